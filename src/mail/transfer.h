#pragma once
#include "base/buf.h"

/* Content-Transfer-Encoding (RFC 2045 6), leniently: junk is skipped, missing padding is fine, a broken "=" stays as it is. */
enum transfer { TRANSFER_7BIT, TRANSFER_8BIT, TRANSFER_BINARY, TRANSFER_QP, TRANSFER_BASE64, TRANSFER_UUENCODE, TRANSFER_UNKNOWN };
enum transfer transfer_of(struct str name); /* "" is 7bit */
/* Appends the decoded octets; stops, without failing, when `out` is at its ceiling. False: something was not as it should be. */
bool transfer_decode(enum transfer how, struct str in, struct buf *out);
