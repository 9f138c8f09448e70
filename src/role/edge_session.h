#pragma once
#include "base/map.h"
#include "role/auth_check.h"
#include "role/auth_policy.h"
#include "role/door.h"
#include "role/edge_address.h"
#include "role/edge_blocklist.h"
#include "role/edge_failure.h"
#include "role/edge_post.h"
#include "role/edge_trace.h"
#include "role/login_name.h"
#include "role/sealer.h"
#include "smtp/session.h"

/* One connection of `edge`, between its files: edge_login.c (who submits), edge_route.c (whom a message is for), edge_body.c (a message in memory, and what is put
 * in front of it), edge_in.c (mail from strangers), edge_forward.c (what of it goes on), edge_out.c (submissions), edge_settle.c (answers and notices), edge_tell.c (what the ledger hears),
 * role_edge.c (the session and the role). Nobody else includes this, except edge_post.c, edge_submit.c and edge_suppress.c for the house. */

enum { EDGE_ARENA = 64 << 20, EDGE_GAP = 4096, EDGE_TRACE_MAX = 65536, EDGE_EVENT_MOST = 2048, EDGE_FACT_MOST = 8192, EDGE_EVENTS_MAX = 48 * 1024,
	EDGE_TOLD_MAX = 10000, EDGE_NOTES_MAX = 16, EDGE_RECEIVED_MAX = 50 /* Received fields: more is a loop */ };

struct edge_house {
	struct sealer *sealer;
	struct auth_house *auth;
	struct edge_addresses addresses; /* emptied by DIRECTORY_NEWS */
	struct map told;               /* account -> day on which it was told of a forward that was not made */
	uint64_t held;                 /* octets of messages in memory over all sessions */
	struct buf events;             /* for the ledger, not yet told */
	struct buf facts;              /* the same: DMARC_RESULT */
	int64_t told_at;               /* when some were */
	struct edge_failures failures;
	uint8_t name_key[16];          /* of this process: ids of names that are nobody's */
	uint8_t hash_key[16];          /* the vault's, for lanes and suppressed recipients */
	uint8_t queue_public[PUB_LEN];
	struct secret *srs;
};

struct edge_session {                  /* one connection */
	struct door_visit *v;
	struct edge_house *h;
	struct arena a;                /* of the transaction */
	const struct smtp_mail *mail;  /* of the transaction */
	struct edge_rcpt *rcpts; size_t rcpt_n, rcpt_cap;
	struct buf body;               /* EDGE_GAP octets for what we put in front, then the message as it comes */
	size_t header;                 /* octets of its header with the empty line; 0 = not whole yet */
	size_t start;                  /* where the message begins in `body` by now: below EDGE_GAP + what was taken out, as fields are put in front */
	struct str message;            /* what is delivered: our fields and the message, within `body` */
	size_t return_path;            /* octets of its first field, which is not for other servers */
	struct auth_check *auth;       /* NULL: the sender is not evaluated */
	struct str from_local, from_domain;
	struct blocklist_check *blocklists; /* of the connection; NULL: not asked */
	bool blocklists_begun;
	struct str verified;           /* the author's domain, when DMARC has passed */
	bool proved;                   /* SPF or DMARC has passed: what may be forwarded */
	bool disowned;                 /* its author's domain wants it quarantined: the sender is nobody to answer */
	uint64_t counted;              /* of `held` */
	struct str from;
	char mid[9];
	char helo[256];
	bool esmtp, utf8;
	int64_t began;

	/* a submission, after its login */
	bool submission;
	uint64_t account;
	bool is_system;                /* root or the server's own user on the Unix socket: may send as any address of ours */
	char login[LOGIN_USER_MAX + 1];/* the account's primary address */
};

/* ---- who submits (edge_login.c) ---- */
enum rc edge_on_login(void *house, struct str user, struct str password, const char *mechanism, struct why *why);
enum rc edge_on_scram_begin(void *house, struct str user, struct buf *out_salt, uint32_t *out_iterations, struct buf *out_nonce, struct why *why);
enum rc edge_on_scram_prove(void *house, struct str user, struct str auth_message, struct str proof, struct buf *out_signature, struct why *why);
/* On a Unix socket: by the uid that the kernel names. RC_DENIED: no account. */
MUST_USE enum rc edge_login_unix(struct edge_session *s, struct why *why);
/* May who has logged in use this address as sender? RC_DENIED names it. */
MUST_USE enum rc edge_may_send(struct edge_session *s, struct str address, const char *where, struct why *why);

/* ---- whom it is for ---- */
enum rc edge_on_rcpt(void *house, const struct smtp_mail *mail, const struct smtp_rcpt *to, struct why *why);

/* ---- the message in memory ---- */
enum rc edge_on_body_begin(void *house, const struct smtp_mail *mail, struct why *why);
enum rc edge_on_body_write(void *house, struct str bytes, struct why *why);
void edge_drop_body(struct edge_session *s);
struct str edge_raw(const struct edge_session *s);       /* as it came */
struct str edge_now(const struct edge_session *s);       /* as it is by now */
/* Some more of the message has come: the header to those who wait for it, the body to those who hash it. `last`: that was all. */
MUST_USE enum rc edge_feed_auth(struct edge_session *s, struct str bytes, bool last);
/* RFC 3030 3: BINARYMIME frees the body's lines, not the header's: RC_SYNTAX where one ends otherwise, for readers differ in what they make of that. */
MUST_USE enum rc edge_check_lines(struct edge_session *s, struct why *why);
/* Takes fields out of the header, puts fields in front. RC_NOMEM. */
void edge_take_out(struct edge_session *s, bool (*drop)(const void *arg, struct str field));
MUST_USE enum rc edge_prepend(struct edge_session *s, struct str fields);
/* Return-Path, Authentication-Results, `more` and Received go in front: s->message is set. */
MUST_USE enum rc edge_put_trace(struct edge_session *s, struct str more, struct why *why);

/* ---- mail from strangers ---- */
MUST_USE enum rc edge_begin_auth(struct edge_session *s, struct why *why); /* from the first recipient that is taken */
enum rc edge_in_commit(void *house, struct smtp_result *results, size_t n, char out_id[16], struct why *why);
/* What of it may go on to other servers: the places that may not are taken away, and somebody here gets it instead. */
MUST_USE enum rc edge_forward_review(struct edge_session *s, bool junk);
/* Fills in the letters of a stranger's message after the plan: rewritten senders, Delivered-To, ARC. */
MUST_USE enum rc edge_forward_letters(struct edge_session *s, struct edge_post *p, struct why *why);

/* ---- submissions ---- */
enum rc edge_out_mail(struct edge_session *s, struct why *why);  /* MAIL: may it be the sender? */
enum rc edge_out_commit(void *house, struct smtp_result *results, size_t n, char out_id[16], struct why *why);

/* ---- both ---- */
struct str edge_subject(struct arena *a, const struct edge_head *h); /* as people read it */
void edge_read_reports(struct edge_session *s, struct smtp_result *results); /* what came to reporting addresses: once, however many they are */
/* What came of each recipient, to the session, to the ledger, and by a notice to those whom the one answer of SMTP does not reach. */
void edge_settle(struct edge_session *s, const struct edge_post *p, struct smtp_result *results);
enum rc edge_commit_failed(struct edge_session *s, enum rc rc, const struct why *inner, struct why *why);
/* Who is told of a failure, when it goes out at all, and how long it is tried. */
void edge_letter_times(const struct role_env *e, struct seal_letter *l, int64_t due_ms);

/* ---- what the ledger hears ---- */
/* A single message's history goes at once; in a crowd it waits for company, 20 ms at most. `b` is one of the house's two lists. */
void edge_tell(struct role_env *e, struct buf *b, enum msg_type type, const void *m, size_t most);
/* What became of each recipient; recipients to whom the same happened share an event. */
void edge_tell_rcpts(struct edge_session *s, const enum rc *fates);
void edge_flush_events(struct role_env *e);
