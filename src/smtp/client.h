#pragma once
#include "base/arena.h"
#include "mail/address.h"
#include "os/stream.h"
#include "smtp/session.h"

/* The client side of SMTP and LMTP (RFC 5321, 2033): one connection, any number of transactions over it. Functions of a stream: over a real one they suspend the
 * fiber, over memory they run straight through (tests, fuzzing). Nothing here decides policy: who is dialled, whether TLS is good enough, when to try
 * again is the caller's. */
struct smtp_client;
struct smtp_client_config {
	struct str helo;               /* our name */
	bool lmtp;
	unsigned greeting_ms, hello_ms, mail_ms, rcpt_ms, data_ms, block_ms, dot_ms, quit_ms; /* RFC 5321 4.5.3.2; 0 = 5, 5, 5, 5, 2, 3, 10 min and 5 s */
	bool no_pipelining, no_chunking; /* for peers that get it wrong */
};
/* What the peer said last, kept whole as far as it fits. RFC 5321 4.2: at most 512 octets a line; we take 2,048 a line, 100 lines, 16 KiB a reply (RC_LIMIT past
 * that, and the connection is of no use any more). */
struct smtp_reply {
	int code;                      /* 200-599 */
	bool ours;                     /* no server said this: what it lacks was refused by ourselves */
	char enhanced[12];             /* "5.7.1", "" = none; only when its class fits the code's */
	char text[1024];               /* lines joined with one space, without codes; control characters and what is not UTF-8 shown as ?; cut with "..." */
};
enum smtp_extension {
	SMTP_EXT_PIPELINING = 1, SMTP_EXT_SIZE = 2, SMTP_EXT_8BITMIME = 4, SMTP_EXT_CHUNKING = 8, SMTP_EXT_BINARYMIME = 16, SMTP_EXT_SMTPUTF8 = 32, SMTP_EXT_DSN = 64,
	SMTP_EXT_STARTTLS = 128, SMTP_EXT_REQUIRETLS = 256, SMTP_EXT_ENHANCED = 512, SMTP_EXT_AUTH_PLAIN = 1024, SMTP_EXT_AUTH_LOGIN = 2048, SMTP_EXT_DELIVERBY = 4096,
	SMTP_EXT_MT_PRIORITY = 8192, SMTP_EXT_AUTH_SCRAM_SHA_256 = 16384,
};
/* Every call: RC_OK, or RC_DENIED (5xx: `reply` has it), RC_BUSY (4xx), RC_LATE, RC_CLOSED (the peer went away), RC_SYNTAX / RC_LIMIT (what it said is not SMTP). After
 * anything but RC_OK, RC_DENIED and RC_BUSY the connection is of no use. `why` has words for people. */
MUST_USE enum rc smtp_client_new(struct stream *borrowed, const struct smtp_client_config *c, struct smtp_client **out);
void smtp_client_free(struct smtp_client **c);
/* Greeting, then EHLO (HELO where EHLO is answered 5xx; 554 greeting: RC_DENIED). */
MUST_USE enum rc smtp_client_hello(struct smtp_client *c, struct smtp_reply *reply, struct why *why);
unsigned smtp_client_extensions(const struct smtp_client *c);
uint64_t smtp_client_size(const struct smtp_client *c);      /* SIZE's argument; 0 = none */
unsigned smtp_client_rcpt_max(const struct smtp_client *c);  /* LIMITS RCPTMAX (RFC 9422); 0 = none */
unsigned smtp_client_mail_max(const struct smtp_client *c);  /* LIMITS MAILMAX; 0 = none */
struct str smtp_client_name(const struct smtp_client *c);    /* what it calls itself in the EHLO answer */
/* STARTTLS, the handshake by stream_starttls() (the stream carries the client's TLS provider), then EHLO again. What was pipelined behind the 220 in the clear
 * is an attack: RC_SYNTAX. RC_NOTFOUND: it does not offer STARTTLS. RC_DENIED/RC_BUSY: it offered STARTTLS and will not; the session goes on in the clear if the caller
 * wants it. A failed handshake: RC_CLOSED, or RC_LATE. */
MUST_USE enum rc smtp_client_starttls(struct smtp_client *c, struct smtp_reply *reply, struct why *why);
/* AUTH by the best of what is offered: SCRAM-SHA-256, PLAIN, LOGIN; the last two only under TLS or where the path does not leave the machine. RC_NOTFOUND: nothing
 * that we would take (nothing was sent). RC_DENIED with reply->code 0: a server that could not prove that it knows the password (SCRAM); the connection is dead. */
MUST_USE enum rc smtp_client_auth(struct smtp_client *c, struct str user, struct str password, struct smtp_reply *reply, struct why *why);

struct smtp_client_rcpt {
	struct mail_address to;
	unsigned notify; struct str orcpt_type, orcpt;
	enum rc rc; struct smtp_reply reply; /* out: RC_OK = it has taken the message for this one; RC_BUSY/RC_DENIED with its words; RC_AGAIN = never asked or unknown:
	                                        the connection ended before an answer that counts */
	bool asked;                    /* out: RCPT was answered */
};
struct smtp_client_mail {
	struct mail_address from;      /* empty = null */
	uint64_t size;                 /* octets of the message; SIZE= */
	bool body_8bit, body_binary, smtputf8, require_tls;
	bool utf8_wanted;              /* SMTPUTF8 is right where it is offered; elsewhere 8BITMIME has to do */
	struct str envid; int ret;     /* 0 none, 1 FULL, 2 HDRS */
	int64_t by_s; bool by_return, by; int mt_priority; bool has_priority;
	/* The message: hands out its next run (borrowed until the next call), "" at the end; anything but RC_OK ends the connection in the middle, so that nothing
	 * half is taken. May suspend. */
	enum rc (*more)(void *house, struct str *out_run);
	enum rc (*rewind)(void *house);
	void *house;
};
/* One transaction: MAIL, RCPTs, DATA or BDAT, pipelined where offered; each recipient's outcome in its `rc`.
 *   RC_OK: every recipient has its outcome (all may be refusals); `reply` is the last answer.
 *   RC_DENIED, RC_BUSY: MAIL was refused, and so was everybody with it; or the server said 421 before the end (RC_BUSY): who has no outcome has RC_AGAIN.
 *   all else: the connection ended; who has no outcome has RC_AGAIN. RC_CLOSED with nobody `asked` on a connection that was used before: it had ended while
 *   it waited (also by 421, which is then in `reply`); a fresh one will do.
 * RC_OK in a recipient's `rc` stands only on a 2xx that came behind the whole message. A 552 for a RCPT is RC_BUSY (RFC 5321 4.5.3.1.10).
 * What the peer lacks decides as follows: the message is larger than its SIZE (5.3.4), 8BITMIME missing for 8-bit text, or for `utf8_wanted` where there is no SMTPUTF8 either (5.6.3), BINARYMIME (with CHUNKING) for binary
 * (5.6.1), SMTPUTF8 for the sender or the headers (5.6.7), REQUIRETLS (5.7.30): RC_DENIED with that in `reply` and everywhere, and nothing was sent (the caller bounces). A recipient
 * beyond ASCII without SMTPUTF8, or one that cannot be said, is refused alone, by ourselves (`asked` is false). BODY is said where `body_8bit` or `body_binary`, SMTPUTF8 where
 * `smtputf8` or an address needs it. DSN, DELIVERBY and MT-PRIORITY parameters are left out where not offered. BDAT is used wherever CHUNKING is offered.
 * Lines end by CRLF: a bare CR or LF in the message is never sent (RC_SYNTAX: the caller's bug; the connection is dead), unless `body_binary`; a last line without
 * CRLF gets one. `rewind` (may be NULL) is called before the first `more`. Without `more` it ends when the recipients are answered: who was taken has RC_AGAIN and `asked`. */
MUST_USE enum rc smtp_client_send(struct smtp_client *c, const struct smtp_client_mail *m, struct smtp_client_rcpt *rcpts, size_t n, struct smtp_reply *reply, struct why *why);
/* Is the connection good for another transaction (RSET said where it is due)? */
bool smtp_client_usable(const struct smtp_client *c);
void smtp_client_quit(struct smtp_client *c);  /* at most quit_ms; errors do not matter */
/* For `probe send` and traces: every line sent ('>' , AUTH's secrets as ***) and received ('<'); may be NULL. */
void smtp_client_watch(struct smtp_client *c, void (*line)(void *arg, char direction, struct str text), void *arg);
/* One reply out of complete lines, for tests and fuzzing: octets used, 0 = more is needed, -1 = not a reply. */
long smtp_reply_parse(struct str in, struct smtp_reply *out);
