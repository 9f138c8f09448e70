#pragma once
#include "pop3/session.h"

/* What the two halves of a POP3 session share: login.c has what is said before the maildrop is open, session.c the rest. */

/* RFC 2449 section 4: a command takes at most 255 octets with its CRLF, a response 512. We read commands up to the longer of
 * the two, since real passwords and initial responses pass 255. RFC 4616: three strings of 255 octets make 1,024 of base64. */
enum { POP3_LINE_MAX = 510, POP3_SASL_MAX = 2046, POP3_TEXT_MAX = 400 };

enum pop3_state { POP3_AUTHORIZATION = 1, POP3_TRANSACTION = 2, POP3_GONE = 4 };

struct pop3_session {
	struct stream *io;
	const struct pop3_config *config;
	const struct pop3_hooks *hooks;
	enum pop3_state state;
	enum rc ended;                     /* why, once GONE */
	unsigned errors, max_errors;
	bool logged_in;                    /* logout() is owed */
	bool user_given;
	struct buf user;
	const struct pop3_entry *entries;  /* borrowed from the house until logout */
	uint8_t *dropped;                  /* one flag per entry */
	size_t n, left;                    /* entries, those not marked deleted */
	size_t next;                       /* entry behind the one that was sent last */
	size_t opened;                     /* entries from `next` up to this one were opened ahead */
	bool in_order;                     /* it was sent behind the one before it, and nothing was asked since */
	uint64_t octets;                   /* of those not marked deleted */
	uint32_t uidvalidity;
};

void pop3_ok(struct pop3_session *s, const char *text);
/* A refusal that is no mistake of the client's ("no such message"): not counted. `text` must be plain. */
void pop3_refuse(struct pop3_session *s, const char *text);
/* A mistake: counted; the one too many ends the session. */
void pop3_fault(struct pop3_session *s, const char *text);
/* A hook's failure in POP3's words, with the response code (RFC 2449, 3206) that `rc` means. */
void pop3_failed(struct pop3_session *s, enum rc rc, const struct why *why, const char *otherwise);

/* The maildrop of whoever has just logged in: TRANSACTION state, or a refusal and AUTHORIZATION. */
void pop3_enter(struct pop3_session *s);
void pop3_leave(struct pop3_session *s);

/* login.c */
void pop3_capa(struct pop3_session *s, struct str arg);
void pop3_stls(struct pop3_session *s, struct str arg);
void pop3_user(struct pop3_session *s, struct str arg);
void pop3_pass(struct pop3_session *s, struct str arg);
void pop3_auth(struct pop3_session *s, struct str arg);
void pop3_utf8(struct pop3_session *s, struct str arg);
