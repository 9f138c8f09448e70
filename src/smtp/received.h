#pragma once
#include "base/buf.h"

/* The trace field that a receiver puts in front of a message (RFC 5321 4.4). Pure. Everything a stranger said is reduced to what the field's
 * grammar allows and cut to a bound, so that no HELO can open a comment, a header or a second line. */
struct smtp_received {
	struct str helo;           /* as said; "" = unknown */
	struct str peer_ip;        /* "" = a Unix socket */
	struct str by;             /* our own name */
	struct str id;             /* short message id */
	struct str only_rcpt;      /* "local@domain" of a transaction with one recipient, else "": the others are nobody's business */
	struct str tls_version, tls_cipher;  /* "" = no TLS */
	bool lmtp, esmtp, auth, utf8;
	bool no_client;            /* a submission whose client is nobody's business: helo, address and TLS are left out */
	int64_t wall_ms;           /* Unix time */
};
/* "ESMTPS" and so on: RFC 3848, RFC 6531 4.3. */
const char *smtp_with_keyword(const struct smtp_received *r);
/* Adds the whole field with its CRLF; at most 2 KiB. */
void smtp_received_format(const struct smtp_received *r, struct buf *out);
