#pragma once
#include "base/buf.h"
#include "base/why.h"

/* Base64 (RFC 4648; decode takes no white space and wants right padding unless `lenient`), hex, and the short ids that people read out
 * on the phone (Crockford base32 without I L O U: "7F3K9Q2D"). */
void base64_add(struct buf *out, struct str in);
MUST_USE enum rc base64_decode(struct str in, bool lenient, struct buf *out);
void hex_add(struct buf *out, struct str in);
MUST_USE enum rc hex_decode(struct str in, struct buf *out);
void short_id(uint64_t random, char out[9]);
/* UTF-8: is it well-formed (RFC 3629)? The length of the well-formed prefix. */
size_t utf8_valid_prefix(struct str in);
/* The first character of `in`: its length in octets and its code point; 0 = `in` is empty or does not begin with a well-formed one. */
size_t utf8_next(struct str in, uint32_t *out);
static inline bool utf8_ok(struct str in) { return utf8_valid_prefix(in) == in.n; }
/* JSON string contents (without the quotes); bytes that are not UTF-8 become U+FFFD. */
void json_escape(struct buf *out, struct str in);
/* The same for the first character alone, into the caller's memory: answers how many octets of `in` it took (0 at the end). */
size_t json_unit(struct str in, char out[8], size_t *out_n);
