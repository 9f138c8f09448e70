#pragma once
#include "base/buf.h"

/* A header value as UTF-8 text: unfolded, RFC 2047 words decoded wherever they stand (also inside quotes, as real mail has them), raw 8-bit
 * text guessed (UTF-8, else windows-1252). A character may be split over adjacent words of one charset. False: some word was broken. */
bool encoded_words_decode(struct str value, struct buf *out);
/* Text as encoded words of UTF-8, for values that must leave as 7-bit (each word at most 75 octets, RFC 2047 2). */
void encoded_words_add(struct buf *out, struct str utf8);
