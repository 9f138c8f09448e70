#pragma once
#include "base/buf.h"
#include "base/cursor.h"

/* The sealed texts of a row: a version octet, then each text with its length before it. */
bool pack(const struct str *texts, size_t n, struct buf *out);          /* false: too long, or no memory */
bool unpack(struct str packed, struct str *out_texts, size_t n);        /* runs point into `packed`; false: damaged */
