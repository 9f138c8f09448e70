#pragma once
#include "base/buf.h"
#include "smtp/client.h"

/* The parts of the client side, between the client*.c files. */
enum {
	REPLY_LINE_MAX = 2048, REPLY_LINES_MAX = 100, REPLY_MAX = 16 * 1024, /* octets of a line without CRLF, lines, octets of a whole reply */
	CLIENT_NAME_MAX = 255,
	RCPT_GROUP = 100,              /* recipients sent before their answers are read: neither side's buffers fill while the other waits */
	CHUNK_MAX = 64 * 1024,         /* octets of a BDAT chunk */
	LISTEN_EVERY = 256 * 1024,     /* octets of a message between two looks whether the peer objects */
};

struct smtp_client {
	struct stream *io;
	struct smtp_client_config config; /* times filled in, `helo` points below */
	char helo[CLIENT_NAME_MAX + 1], name[CLIENT_NAME_MAX + 1];
	unsigned extensions;
	uint64_t size;
	unsigned rcpt_max, mail_max, mails;
	bool ready;                    /* a hello was answered 2xx */
	bool reset_due;                /* a transaction may be open: RSET comes before the next one */
	enum rc dead;                  /* RC_OK while the connection is of use */
	struct buf line;               /* the line that is being read */
	void (*watch)(void *arg, char direction, struct str text);
	void *watch_arg;
};

/* ---- client_reply.c ---- */

/* Reads one whole reply within `ms`; flushes first. RC_OK = well-formed, whatever its code; else the connection is dead. 421 makes it dead too, with RC_OK:
 * RFC 5321 3.8: the server "MUST" close after it. `what` was said last, for `why`. `each` (may be NULL) sees every line's text. */
MUST_USE enum rc smtp_answer(struct smtp_client *c, const char *what, unsigned ms, struct smtp_reply *out, struct why *why,
                             void (*each)(void *arg, unsigned line, struct str text), void *arg);
/* 2xx RC_OK, 3xx RC_AGAIN, 4xx RC_BUSY, 5xx RC_DENIED. */
enum rc smtp_class(const struct smtp_reply *r);
/* Before something is said: is the connection of use, and has the peer said nothing that nobody asked? RC_BUSY: it had said 421. */
MUST_USE enum rc smtp_may_say(struct smtp_client *c, struct smtp_reply *reply, struct why *why);
/* Puts a line into the output, CRLF added; the watcher sees `shown` instead where it is not NULL. */
void smtp_say(struct smtp_client *c, struct str line, const char *shown);
/* The connection is of no use from now on; gives `rc` back and fills `why`. */
enum rc smtp_dead(struct smtp_client *c, enum rc rc, struct why *why, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* An answer of the wrong kind: 3xx where there is nothing to go on with, and so on. */
enum rc smtp_out_of_order(struct smtp_client *c, const char *what, const struct smtp_reply *r, struct why *why);
/* 4xx or 5xx, in words. */
enum rc smtp_refused(const char *what, const struct smtp_reply *r, struct why *why);

/* ---- client_send.c, client_body.c, client_line.c ---- */

struct sending {
	struct smtp_client *c;
	const struct smtp_client_mail *m;
	struct smtp_client_rcpt *rcpts;
	size_t n, next, accepted;
	bool utf8, pipelined, bdat;
	bool began, mail_ok, data_said;
	bool reused, heard;            /* not the connection's first; MAIL was answered, and not by 421 */
	bool stopped;                  /* 421: nothing more will be answered */
	enum rc mail_rc;               /* MAIL was refused: RC_BUSY, RC_DENIED, with these words */
	struct smtp_reply mail_reply;
	struct buf line;
	struct smtp_reply *reply;
	struct why *why;
};
/* The message and its final answers. RC_OK: every accepted recipient has its outcome. */
MUST_USE enum rc smtp_send_body(struct sending *s);
/* The same outcome for everybody who was accepted and waits for one. */
void smtp_outcome(struct sending *s, enum rc rc, const struct smtp_reply *r);
static inline bool smtp_waits(const struct smtp_client_rcpt *r) { return r->asked && r->rc == RC_AGAIN; } /* accepted, and no outcome yet */

/* MAIL and RCPT with their parameters, as far as the peer knows them. */
void smtp_mail_line(const struct smtp_client *c, const struct smtp_client_mail *m, bool utf8, struct buf *out);
void smtp_rcpt_line(const struct smtp_client *c, const struct smtp_client_rcpt *r, bool utf8, struct buf *out);
/* Can this be written into a command at all: no control character, no bracket or space in the domain, at most 254 octets? */
bool smtp_address_ok(const struct mail_address *a, bool may_be_null);
bool smtp_address_is_ascii(const struct mail_address *a);
