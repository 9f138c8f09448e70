#pragma once
#include "base/str.h"

/* Small steps over the raw header of a message that comes in. Pure. */

/* Where the header of `raw` ends: behind its empty line; 0: not within `raw`. Looks from `from` on, where an earlier look over fewer octets ended. */
size_t edge_header_end(struct str raw, size_t from);

/* RFC 8601 5: takes every Authentication-Results that claims to be ours out of the header (its first n octets, in place): what is kept ends where the
 * header ended, and the answer is how many octets at its front are free now. Linear. */
size_t edge_strip_results(char *header, size_t n, struct str authserv);
