#pragma once
#include "base/str.h"
#include "base/why.h"
#include <stddef.h>

/* An address or domain as an administrator types it, in the form in which the directory keeps it: lower case, the domain as
 * A-labels (RFC 5890). RC_SYNTAX or RC_LIMIT with the reason. */
MUST_USE enum rc address_clean(const char *text, char *out, size_t size, struct why *why);
MUST_USE enum rc address_clean_tagged(const char *text, char *out, size_t size, struct why *why); /* where mail goes: with "+tag", too */
/* One that is looked for in the queue and the history, which keep envelopes: its domain as A-labels, also of "@domain"; all else as it was typed. In `out`, or `text` itself. */
struct str address_sought(const char *text, char *out, size_t size);
MUST_USE enum rc domain_clean(const char *text, char *out, size_t size, struct why *why);
/* The same for one that is to be ours: no IP address, bare or as a literal, and nothing else whose last part is a number. */
MUST_USE enum rc domain_clean_ours(const char *text, char *out, size_t size, struct why *why);
