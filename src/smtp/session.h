#pragma once
#include "base/arena.h"
#include "mail/address.h"
#include "os/stream.h"

/* The server side of SMTP (RFC 5321) and LMTP (RFC 2033). A session is a function of a stream and its hooks; a hook may
 * take its time: over a real stream it suspends the fiber.
 *
 * A hook that fails leaves in `why` the text of the answer, which begins with an enhanced code ("5.1.1 no such
 * address"). The session picks the basic code: RC_NOTFOUND, RC_DENIED, RC_SYNTAX, RC_EXISTS 550; RC_CONFLICT (a mail loop) 554; RC_LIMIT 552; RC_FULL 452; RC_BUSY
 * 451, everything else 451. Text that does not begin with a digit gets the code's own default enhanced code. */

enum smtp_kind { SMTP_RELAY_IN /* port 25 */, SMTP_LMTP, SMTP_SUBMISSION /* RFC 6409: 587, 465, a local socket */ };

struct smtp_config {
	enum smtp_kind kind;
	struct str hostname;
	uint64_t max_size;          /* octets of a message; 0 = none announced; SIZE */
	unsigned max_recipients;    /* per transaction; LIMITS RCPTMAX */
	unsigned max_mails;         /* transactions per connection; LIMITS MAILMAX */
	unsigned max_errors;        /* 5xx answers to commands before 421 */
	unsigned max_bad_rcpt;      /* unknown recipients before 421 */
	unsigned tarpit_ms;         /* wait before each 5xx answer once errors pile up; 0 = none */
	unsigned command_ms, data_ms;/* RFC 5321 4.5.3.2: 300,000 and 180,000 by default */
	bool tls_required;          /* 530 5.7.0 before STARTTLS for MAIL */
	bool utf8;                  /* offer SMTPUTF8 */
	bool dsn;                   /* offer DSN; its parameters are understood in any case. Only where the reports are sent, too */

	/* SMTP_SUBMISSION only: nothing is taken before AUTH (530), and AUTH wants TLS (538). */
	bool plaintext_login;       /* AUTH without TLS: loopback in the demo */
	bool logged_in;             /* by other means, before the greeting (a Unix socket's peer): AUTH is neither offered nor taken */
	bool scram;                 /* offer SCRAM-SHA-256, and -PLUS where the stream gives a channel binding */
	unsigned max_before_login;  /* commands before login, then 421; 0 = no such limit */
	unsigned prelogin_ms;       /* patience with all that comes before login; 0 = command_ms each time */
	uint64_t max_hold_s;        /* FUTURERELEASE: seconds; 0 = not offered */
};

struct smtp_mail {                 /* valid until the transaction ends */
	struct mail_address from;      /* empty = null sender */
	uint64_t size;                 /* SIZE=, 0 = not said */
	bool body_8bit, body_binary, smtputf8, require_tls;
	int64_t hold_until_ms;         /* FUTURERELEASE (RFC 4865): Unix time in ms; 0 = at once */
	bool by, by_return, by_trace; int64_t by_s; /* DELIVERBY (RFC 2852): seconds from now; by_return: R, else N */
	bool has_priority; int mt_priority; /* MT-PRIORITY (RFC 6710): -9 to 9 */
	struct str envid, ret;         /* DSN (RFC 3461), "" = not given; envid xtext-decoded */
	struct str helo;               /* as said; EHLO/HELO/LHLO */
	bool esmtp;                    /* EHLO or LHLO was used */
};
struct smtp_rcpt {                 /* valid during the call of `rcpt` only */
	struct mail_address to;        /* no domain: RFC 5321's bare <postmaster> */
	unsigned notify;               /* bits of enum smtp_notify; 0 = not given */
	struct str orcpt_type, orcpt;  /* decoded; "" = not given */
};
enum smtp_notify { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };

/* One recipient's outcome of a delivery (LMTP answers each; SMTP 250 if any took it: the hook tells the sender of the rest by a message). */
struct smtp_result { enum rc rc; struct why why; };

struct smtp_hooks {
	void *house;
	/* A new connection, before the greeting. Not RC_OK: answered 554 (RC_DENIED) or 421 and closed. */
	enum rc (*connect)(void *house, const struct stream_facts *facts, struct why *why);
	/* EHLO / HELO / LHLO was said (informational). */
	void (*hello)(void *house, struct str name, bool esmtp);
	enum rc (*mail)(void *house, const struct smtp_mail *mail, struct why *why);
	enum rc (*rcpt)(void *house, const struct smtp_mail *mail, const struct smtp_rcpt *rcpt, struct why *why);
	/* The body: begin, any number of write, then commit or abort. Bytes come dot-unstuffed with CRLF line ends exactly as sent
	 * (BDAT: as sent). `begin` failing = answer instead of 354. write failing: the rest is read and thrown away, its answer is given at the end. */
	enum rc (*body_begin)(void *house, const struct smtp_mail *mail, struct why *why);
	enum rc (*body_write)(void *house, struct str bytes, struct why *why);
	/* results[n] in the order of accepted RCPTs, each a temporary failure beforehand: set every one; out_id: short message id for "250 2.0.0 Ok <id>" (16 octets with NUL).
	 * RC_OK: look at results. */
	enum rc (*body_commit)(void *house, struct smtp_result *results, size_t n, char out_id[16], struct why *why);
	/* Instead of commit, once, after a begin that was RC_OK: refused, RSET, QUIT or a lost connection. Never after commit. */
	void (*body_abort)(void *house);
	void (*reset)(void *house);           /* the transaction is over, whatever the outcome: forget it. Once for each `mail` that was RC_OK */
	void (*refused)(void *house, int code, const char *text, struct str command); /* every 4xx/5xx that was sent, for log and counters; may be NULL. `command` never
	                                                                                 holds what may be a credential */
	/* SMTP_SUBMISSION: AUTH by a password. RC_OK: logged in, for the rest of the connection. RC_DENIED, RC_NOTFOUND: 535 and the same words for both; everything else 454. */
	enum rc (*login)(void *house, struct str user, struct str password, const char *mechanism, struct why *why);
	/* AUTH by SCRAM-SHA-256 (RFC 5802 3), where config.scram: salt, iterations and our part of the nonce (printable, without comma; at most 64 octets); then the proof
	 * against ServerSignature. Outcomes as those of `login`; a client that does not take our signature is not logged in after all, and another login may follow. */
	enum rc (*scram_begin)(void *house, struct str user, struct buf *out_salt, uint32_t *out_iterations, struct buf *out_nonce, struct why *why);
	enum rc (*scram_prove)(void *house, struct str user, struct str auth_message, struct str proof, struct buf *out_signature, struct why *why);
};

/* Serves one connection until it ends, and says why it ended: RC_OK = QUIT, RC_CLOSED = the peer is gone, RC_LATE = silence (421 4.4.2), RC_BUSY = shut
 * down by stream_wake() (421 4.3.2), RC_DENIED = turned away or too many errors, RC_LIMIT = too many messages or endless junk. What was answered is
 * flushed. Owns nothing but its own memory; all else is borrowed. `connect`, `hello`, `mail` and `refused` may be NULL. */
enum rc smtp_serve(struct stream *stream, const struct smtp_config *config, const struct smtp_hooks *hooks);
