#pragma once
#include "smtp/session.h"

/* A house that keeps mail in memory and watches the session: it notes every breach of the hooks' contract. Tests, dialogues and fuzzers
 * share it. Local are the addresses of example.org; what their local parts say is what happens:
 *
 *   nobody*     RCPT: no such address          full*   RCPT: over quota, temporary      busy*   RCPT: try later
 *   later*      commit: temporary failure      never*  commit: refused                  odd*    commit: says nothing of it
 *
 * Who submits logs in as tim@example.org with "pencil sharpener"; "busy@..." is put off. SCRAM knows the user of RFC 7677 3 with that example's nonce and proof, and
 * "plus", who proves with 32 times "+".
 *
 * A sender "bad*@..." is refused at MAIL, "slow*@..." is put off. */
enum { HOUSE_RCPTS = 64, HOUSE_BODY_MAX = 4 << 20 };

struct smtp_house {
	struct smtp_config config;
	bool tls_offered, tls_on;      /* for whoever makes the stream */
	enum rc connect_rc, begin_rc, commit_rc;
	long write_fails_after;        /* octets; < 0: never */
	bool id_missing;

	/* what happened */
	unsigned commits, mails, resets, aborts, begins, refusals, hellos;
	int last_code;
	struct buf body, bodies;       /* of the open transaction; of all committed ones, one after the other */
	char login[400];               /* "MECHANISM user" */
	char from[400], rcpt[HOUSE_RCPTS][400], seen[1200];
	size_t rcpts;
	bool in_mail, in_body;
	bool unanswered;               /* a client has proved itself by SCRAM and may yet refuse to believe us: then it is not logged in */
	const char *breach;            /* what the session did that it may not; NULL = nothing */
};
void smtp_house_init(struct smtp_house *h);
void smtp_house_done(struct smtp_house *h);
extern const struct smtp_hooks smtp_house_hooks;   /* set `house` in a copy */
enum rc smtp_house_serve(struct smtp_house *h, struct stream *io);
