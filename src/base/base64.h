#pragma once
#include "base/str.h"

/* Base64 (RFC 4648 section 4) without line ends and padding, by the machine's widest registers: for whole bodies and their lines. Strict and
 * lenient decoding of text as strangers send it is codec.h's. `in_room` octets of `in` may be read and `out_room` octets of `out` written, both at
 * least as many as are meant: with more of either no step need be shorter at the end, and what then lies behind in `out` has no meaning. */

/* `n` octets, a multiple of 3, become n / 3 * 4 digits. */
void base64_encode_block(const char *in, size_t n, size_t in_room, char *out, size_t out_room);
/* Of `n` octets those before the first that is no digit, in whole quanta of four, become three octets for each quantum: answers how many it took. */
size_t base64_decode_block(const char *in, size_t n, char *out, size_t out_room);
