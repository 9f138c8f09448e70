#pragma once
#include "imap/session.h"
#include "mail/digest.h"

/* A mail store in memory behind the hooks of imap/session.h, for tests and fuzzers. It obeys the contract to the letter: rows in
 * ascending order, changes in modseq order and in small pieces, everything borrowed only as long as promised (what it lends is
 * overwritten at the next call, so that a session which holds on to it too long is found out). */
enum { HOUSE_BOXES = 24, HOUSE_SUBSCRIPTIONS = 48, HOUSE_GONE = 512, HOUSE_NAME = 1100 };
struct house_message {
	uint32_t uid, flags;
	uint64_t keywords, modseq;
	int64_t internal_ms;
	struct buf body;
	struct mail_digest digest;
	bool is_damaged;
};
struct house_box {
	uint64_t id, modseq;
	uint32_t uidvalidity, uidnext, special_use;
	uint32_t given;             /* the first UID that no session was given as \Recent */
	bool is_selectable;
	char name[HOUSE_NAME];
	struct house_message *messages;
	size_t n, cap;
	char keywords[64][256];
	struct { uint32_t uid; uint64_t modseq; } gone[HOUSE_GONE];
	size_t gone_n;
};
struct house {
	struct house_box *boxes[HOUSE_BOXES];
	size_t n;
	char subscribed[HOUSE_SUBSCRIPTIONS][HOUSE_NAME]; /* names, whether there is such a box or not */
	size_t subscribed_n;
	uint64_t last_id;
	struct stream *io;          /* to wake */
	uint64_t watched;           /* box that is open, or 0 */
	unsigned logins, logouts, opens, closes, cursors;
	bool forgets;               /* the next changes() does not know any more */
	bool refuses;               /* connections */
	bool stale;                 /* status() and open() do not know yet what was given */
	unsigned asked_recent;      /* calls of recent() */
	enum rc login_rc, store_rc, append_rc, recent_rc; /* what the next ones answer */
	size_t body_cut;            /* > 0: bodies end there without saying so */
	uint64_t append_box, append_size;
	struct buf append, lent;
	char lent_row[64];
	unsigned matches;           /* how many messages were opened to search them */
	unsigned wanted;            /* all `want` bits since the last look */
};
struct imap_hooks house_hooks(struct house *h);
void house_init(struct house *h);            /* INBOX, Sent (\Sent), Drafts, Archive, Archive/2025; user "alice@corp.example", password "secret" */
void house_done(struct house *h);
struct house_box *house_box(struct house *h, const char *name);
uint32_t house_deliver(struct house *h, struct house_box *b, struct str message, int64_t internal_ms); /* the UID; 0: no memory */
void house_flag(struct house *h, struct house_box *b, uint32_t uid, uint32_t flags);
bool house_expunge(struct house *h, struct house_box *b, uint32_t uid);
void house_lend_over(struct house *h);
