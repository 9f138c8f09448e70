#pragma once
#include "base/buf.h"
#include "base/why.h"

/* Mailbox names on the wire: modified UTF-7 (RFC 3501 5.1.3). Strict both ways, so that one name has one form.
 * RC_SYNTAX: not well-formed, not the canonical form, or not UTF-8; `out` is then undefined. RC_NOMEM: `out` is full. */
MUST_USE enum rc utf7_decode(struct str in, struct buf *out_utf8);
MUST_USE enum rc utf7_encode(struct str utf8, struct buf *out);
