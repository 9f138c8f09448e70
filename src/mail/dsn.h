#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/why.h"

/* Delivery status notifications (RFC 3464 in RFC 6522's multipart/report, RFC 6533 for addresses beyond ASCII): written for people first. Pure. */
enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };
struct dsn_rcpt {
	enum dsn_action action;
	struct str final, orcpt_type, orcpt;   /* final: the address tried */
	char status[12];                       /* "5.1.1" */
	struct str remote_mta;                 /* "mx.example.net" or ""; */
	struct str diagnostic;                 /* the receiver's words with code: "550 5.1.1 no such user"; "" = none */
	bool remote;                           /* diagnostic is the receiver's, not ours */
	int64_t last_ms, retry_until_ms;       /* delayed: until when it is tried */
	struct str tls;                        /* for people, "" = nothing to say */
};
struct dsn {
	struct str reporting_mta;              /* our name */
	struct str from, to;                   /* MAILER-DAEMON address shown; the sender who is told */
	struct str message_id;                 /* for the DSN itself, without <> */
	struct str mid;                        /* short id of the message that it is about */
	struct str envid;
	struct str subject, message_to_name;   /* of the message it is about, decoded; "" = unknown */
	int64_t arrival_ms, now_ms;
	const struct dsn_rcpt *rcpts; size_t n;
	struct str original;                   /* whole message, or its header (see full) */
	bool full;                             /* RET=FULL: message/rfc822; else text/rfc822-headers */
	bool utf8;                             /* message/global-delivery-status and friends (RFC 6533) where an address needs it */
};
/* The whole message, CRLF, Auto-Submitted: auto-replied, null-sender material. First paragraph: who, what, why in the receiver's words, what to do. At most 64 KiB of `original`'s
 * header when not full. RC_SYNTAX: from, to, reporting_mta or message_id are not what may stand in a header, `to` is beyond ASCII without `utf8`, or there is no recipient; every
 * other text may be anything and is made harmless. RC_LIMIT: `out` is full. A status that is none, or does not fit the action, becomes the action's plain one. */
MUST_USE enum rc dsn_format(const struct dsn *d, struct buf *out);
/* "no such address there", "the mailbox is full" ...: what an enhanced status (or bare code) means for the person who sent it, and what to do about it. Static text. */
struct dsn_words { const char *what, *act; };
struct dsn_words dsn_explain(const char *status, int code, bool remote); /* remote: the receiver said it, not we */
