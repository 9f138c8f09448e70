#pragma once
#include "smtp/session.h"
#include "smtp/text.h"

/* What the files of this folder share: one session, and how it answers. Nobody else includes this. */

enum {
	SMTP_COMMAND_MAX = 510,        /* RFC 5321 4.5.3.1.4: 512 octets with CRLF */
	SMTP_EXTENDED_MAX = 2046,      /* MAIL and RCPT: 512 and what RFC 1870, 3461, 6152, 6531 add to it */
	SMTP_AUTH_MAX = 12286,         /* RFC 4954 4: "The maximum length of [a base64 line] is 12288 octets" with CRLF */
	SMTP_HELO_MAX = 255,           /* RFC 5321 4.5.3.1.2 */
	SMTP_ENVELOPE_MAX = 16384,     /* arena of one transaction */
	SMTP_PIECE_MAX = 262144,       /* of a body, read at once */
	SMTP_TARPIT_FREE = 3,          /* errors that are answered at once */
	SMTP_RCPT_DEFAULT = 1000,      /* recipients, when the configuration names no limit */
	SMTP_JUNK_MS = 600000,         /* patience for the rest of a body that is refused already */
};
#define SMTP_JUNK_MAX (256ULL << 20)   /* octets of such a rest, then the connection is closed */

/* Where a session stands. BDAT: chunks have come, LAST has not. */
enum smtp_state { SMTP_GREET = 1, SMTP_READY = 2, SMTP_MAIL = 4, SMTP_RCPT = 8, SMTP_BDAT = 16, SMTP_GONE = 32 };

struct smtp_session {
	struct stream *io;
	const struct smtp_config *config;
	const struct smtp_hooks *hooks;
	enum smtp_state state;
	enum rc end;                   /* why the session is over; meaningful in SMTP_GONE */
	struct str command;            /* being answered, for `refused` */
	unsigned errors, bad_rcpts, mails;
	char helo[SMTP_HELO_MAX + 1];
	bool esmtp;                    /* EHLO or LHLO, not HELO */

	/* submission */
	bool logged_in;
	bool hush;                     /* AUTH was said: a line that is no command may be a credential, and is not told to `refused` */
	unsigned before_login, bad_logins;
	int64_t began;                 /* loop's time */

	/* the transaction */
	struct arena envelope;
	struct smtp_mail mail;
	bool mail_open;                /* the house took MAIL and waits for `reset` */
	unsigned rcpts, rcpts_tried;

	/* the body: between begin and commit or abort when `open`; refused with `refusal` when code is not 0 */
	struct smtp_text text;
	struct smtp_result *results;
	bool open;
	uint64_t size, junk;
	int64_t junk_since;
	int refusal_code;
	char refusal[240];
};

/* ---- answers (reply.c) ---- */
void smtp_reply(struct smtp_session *s, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A command that was wrong: counted, slowed down when there are many, 421 when there are too many. */
void smtp_error(struct smtp_session *s, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The last answer of this connection. */
void smtp_hang_up(struct smtp_session *s, enum rc end, int code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* A hook's outcome in SMTP's words: the basic code for it, and "x.y.z text" of the same class. */
int smtp_code_of(enum rc rc);
void smtp_text_of(enum rc rc, int code, const struct why *why, const char *fallback, char out[240]);
void smtp_tarpit(struct smtp_session *s);

/* ---- submission (login.c) ---- */
static inline bool smtp_must_login(const struct smtp_session *s) { return s->config->kind == SMTP_SUBMISSION && !s->logged_in; }
void smtp_do_auth(struct smtp_session *s, struct str arg);
void smtp_auth_extension(struct smtp_session *s);  /* "250-AUTH ..." where it can work */

/* ---- the transaction (envelope.c) ---- */
void smtp_do_mail(struct smtp_session *s, struct str arg);
void smtp_do_rcpt(struct smtp_session *s, struct str arg);
void smtp_end_transaction(struct smtp_session *s); /* safe at any time */

/* ---- bodies (body.c) ---- */
void smtp_do_data(struct smtp_session *s, struct str arg);
void smtp_do_bdat(struct smtp_session *s, struct str arg);
void smtp_abort_body(struct smtp_session *s);      /* safe at any time */
