#pragma once
#include "base/arena.h"
#include "store/queue.h"

/* What the queue holds sealed: the letter (one per message and sender) and each recipient's row. `edge` seals, `relay` opens and seals rows again.
 * The letter is sealed to the queue's public key with the blob's id as context; it carries a row key under which the rows are AES-256-GCM with
 * nonce = version << 32 | n: only the relay makes new versions, and the store refuses a second one of the same number. */
struct letter {
	struct secret body_key, row_key;
	struct str mid;                /* short id */
	struct str sender;             /* MAIL FROM on the wire; "" = null */
	struct str owner;              /* who is told when it fails: an address; "" = nobody (null sender) */
	uint64_t account;              /* who submitted it, or whose forwarding it is; 0 = the server itself */
	uint8_t kind;                  /* enum letter_kind */
	struct str prefix;             /* header fields put in front on the wire (DKIM, ARC, Delivered-To), CRLF */
	uint32_t skip;                 /* octets of the stored body that do not go out (its Return-Path) */
	uint64_t size;                 /* octets on the wire: prefix + body - skip */
	struct str envid; uint8_t ret; /* DSN: enum letter_ret */
	bool body_8bit;                /* octets beyond ASCII in the body, or in a header that is no UTF-8 */
	bool body_binary;
	bool smtputf8;                 /* its sender said SMTPUTF8 */
	bool utf8_header;              /* some header field has letters beyond ASCII, in UTF-8 */
	bool require_tls;              /* RFC 8689: only over verified TLS to a server that offers REQUIRETLS */
	bool tls_optional;             /* "TLS-Required: No": policies (DANE, MTA-STS) do not stop it */
	int64_t created_ms;
	int64_t deliver_by_ms; bool by_return; /* RFC 2852: 0 = none; true: R (return it), false: N (tell) */
	bool has_priority; int mt_priority; /* RFC 6710: as its sender said it, -9 to 9, for the next server; the row's `priority` is our own order */
	struct str subject;            /* decoded, at most 200 octets: for bounces and `queue show` */
	struct str from;               /* header From as text, at most 320 octets, for bounces and routes by sender */
};
enum letter_kind { LETTER_SUBMITTED, LETTER_FORWARDED, LETTER_DSN, LETTER_REPORT, LETTER_KINDS };
enum letter_ret { LETTER_RET_NONE, LETTER_RET_FULL, LETTER_RET_HDRS };
struct letter_rcpt {                   /* a row's sealed part */
	struct str address;            /* RCPT TO on the wire */
	struct str orcpt_type, orcpt;  /* "" = none */
	uint8_t notify;                /* enum smtp_notify bits; 0 = not given */
	/* the last attempt; all zero before the first */
	int64_t last_ms;
	struct str reply;              /* the receiver's words with code, at most 500 octets, or ours */
	struct str host;               /* "mx.example.net [192.0.2.1]" */
	struct str tls;                /* "TLSv1.3 verified (DANE)", "none" */
	uint8_t remote;                /* the reply is the receiver's, not ours */
};
/* Texts for people (subject, from; reply, host, tls) are cut off at their limits, at a whole character; anything else that is too long (addresses
 * past 1,024 octets, a prefix past 512 KiB) is RC_LIMIT. */
void letter_pack(const struct letter *l, struct buf *out);
MUST_USE enum rc letter_unpack(struct str packed, struct arena *a, struct letter *out); /* RC_SYNTAX; runs are copied into `a` */
MUST_USE enum rc letter_seal(const uint8_t queue_public[PUB_LEN], const struct blob_id *blob, const struct letter *l, struct buf *out);
/* RC_DAMAGED: sealed to another key or for another body. */
MUST_USE enum rc letter_open(struct unsealer *queue, const struct blob_id *blob, struct str sealed, struct arena *a, struct letter *out);
MUST_USE enum rc letter_rcpt_seal(const struct secret *row_key, uint32_t version, uint32_t n, const struct letter_rcpt *r, struct buf *out);
MUST_USE enum rc letter_rcpt_open(const struct secret *row_key, uint32_t version, uint32_t n, struct str sealed, struct arena *a, struct letter_rcpt *out);
/* A lane's number: SipHash of the lower-case domain under the vault's hash key. */
uint64_t letter_lane(const uint8_t hash_key[16], struct str domain);
