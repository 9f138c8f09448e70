#pragma once
#include "base/buf.h"

/* Small steps over the raw header of a message. Pure and linear. */

/* Where the header of `raw` ends: behind its empty line; 0: not within `raw`. Looks from `from` on, where an earlier look over fewer octets ended. */
size_t edge_header_end(struct str raw, size_t from);

/* Takes the fields that `drop` names out of the header (its first n octets, in place): what is kept ends where the header ended, and the answer is how
 * many octets at its front are free now. */
size_t edge_strip(char *header, size_t n, bool (*drop)(const void *arg, struct str field), const void *arg);
/* RFC 8601 5: every Authentication-Results that claims to be ours (`arg`: a struct str, our name). */
bool edge_is_ours(const void *authserv, struct str field);
/* What leaves no submission: Bcc and Resent-Bcc, Return-Path, and Authentication-Results of ours. */
bool edge_is_private(const void *authserv, struct str field);

/* What `edge` has to know of a header, in one pass. */
struct edge_head {
	unsigned from, sender, resent_from, resent_sender, date, message_id, received; /* how many there are */
	struct str from_value, sender_value, resent_from_value, resent_sender_value, subject; /* of the first one; "" = none */
	bool tls_optional;             /* TLS-Required: No (RFC 8689 5) */
	bool utf8, foreign;            /* some octet beyond ASCII: in sound UTF-8, or in no UTF-8 */
};
void edge_head_read(struct str header, struct edge_head *out);
/* Is there a Delivered-To with this address? */
bool edge_was_delivered_to(struct str header, struct str address);
/* Is every CR and LF part of a CRLF? */
bool edge_lines_ok(struct str header);
/* Some octet beyond ASCII in it? */
bool edge_has_8bit(struct str text);
