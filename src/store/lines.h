#pragma once
#include "base/str.h"

/* Base64 in lines of one length, as MIME attachments are (RFC 2045 section 6.8), and back: where a chunk of a body has some, the octets that
 * it stands for are stored instead: a little less than any packing makes of the digits, and several times as quickly undone. Only what comes back exactly as it
 * was is taken for such lines. Pure functions on memory. */
enum { LINE_DIGITS_MAX = 65532 };

/* Lines joined by CRLF, all of `digits` digits but the last, which may be shorter and padded. The CRLF behind it is not part of it. */
struct line_run {
	size_t at, n;    /* in the text */
	uint32_t digits; /* in each line */
	uint32_t octets; /* that it stands for */
};

/* The next run that is worth it at or behind `from`; its octets are written to `out`, which has room for three quarters of the rest and 32. */
bool lines_find(struct str text, size_t from, struct line_run *out_run, char *out);
/* How long `octets` are in lines of `digits`; 0: impossible numbers. */
size_t lines_length(uint32_t octets, uint32_t digits);
/* Writes them; `in_room` and `out_room` as in base/base64.h. */
void lines_write(const char *in, const struct line_run *r, size_t in_room, char *out, size_t out_room);
