#pragma once
#include "mail/mime.h"

/* ENVELOPE and BODYSTRUCTURE in IMAP's wire form (RFC 3501 7.4.2). Every string is a 7-bit quoted string or NIL: line ends are unfolded, NUL
 * becomes a space, words with 8-bit octets become RFC 2047 encoded words of UTF-8. Values are cut at WIRE_STRING_MAX octets and address lists
 * stop at WIRE_LIST_MAX; both are told as MAIL_HEADER_TOO_LARGE. */
enum { WIRE_STRING_MAX = 65536, WIRE_LIST_MAX = 1 << 20, WIRE_MAX = 16 << 20 };
void wire_string(struct buf *out, struct str raw, uint32_t *defects);
MUST_USE enum rc wire_envelope(const struct mime_head *h, struct buf *out, uint32_t *defects);
MUST_USE enum rc wire_structure(const struct mime_tree *t, struct buf *out, uint32_t *defects);
