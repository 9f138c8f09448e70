#pragma once
#include "base/buf.h"

/* Text of any charset as UTF-8. ASCII, UTF-8 and Latin-1 (read as windows-1252, as everybody does) are ours; the rest is ICU's, whose
 * converters are opened lazily and kept per thread until mail_thread_done() (mail/digest.h). Always appends something: what cannot be converted becomes U+FFFD, text in an unknown
 * charset is read as UTF-8 when it is well-formed and as windows-1252 otherwise. False when anything was wrong.
 * An empty name means US-ASCII. */
bool charset_to_utf8(struct str name, struct str in, struct buf *out);
void utf8_put(struct buf *out, uint32_t c);
/* Length of the prefix without octets >= 0x80. */
size_t ascii_prefix(struct str in);
