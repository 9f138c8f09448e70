#pragma once
#include "base/buf.h"
#include "base/cursor.h"
#include "base/why.h"

/* The sealed texts of a row: a version octet, then each text with its length before it. */
MUST_USE enum rc pack(const struct str *texts, size_t n, struct buf *out, struct why *why); /* RC_LIMIT past LEDGER_TEXT_MAX together */
bool unpack(struct str packed, struct str *out_texts, size_t n);        /* runs point into `packed`; false: damaged */
