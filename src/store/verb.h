#pragma once
#include "base/map.h"
#include "store/layout.h"
#include "store/queue.h"

/* What the verbs share. A verb is a function that reads through a `tx`, collects its batch there and is run by verb_run(), again
 * when an expectation did not hold. Accounts and folders are loaded once per try, changed in memory, and put at the end. */
struct store {
	struct engine *engine;
	bool read_only, resumed;        /* resumed: removals that a crash cut short are finished */
	uint64_t verbs;
	void (*on_change)(void *arg, uint64_t account, uint64_t box, uint64_t modseq);
	void *on_change_arg;
	void (*on_queue)(void *arg, uint64_t letter);
	void *on_queue_arg;
	struct map recent;              /* folder -> struct given (recent.c), not on disk yet */
	uint64_t forget_letter;         /* queue_forget() goes on behind this row; 0 = at the first */
	uint32_t forget_n;
};

struct tx_account {
	struct account_row row;
	bool changed, logged, folders_changed;
	struct change_row change;       /* being filled; its modseq is row.modseq */
	struct tx_account *next;
};
struct tx_box {
	uint64_t id;
	struct tx_account *account;
	struct box_row row;
	bool changed, gone;
	struct str *keywords;           /* 64 names, loaded at the first need */
	uint64_t keywords_asked;        /* bits that this tx has answered with: the rows that get them may be in its batch only */
	struct tx_box *next;
};
struct tx {
	struct store *s;
	struct batch batch;
	struct tx_account *accounts;
	struct tx_box *boxes;
	int64_t now;
	struct buf scratch;             /* the last value read; overwritten by the next read */
};

typedef enum rc verb(struct tx *t, void *arg, struct why *why);
/* RC_OK: what the verb did is durable. */
MUST_USE enum rc verb_run(struct store *s, verb *v, void *arg, struct why *why);

MUST_USE enum rc tx_get(struct tx *t, enum table table, struct key k, struct str *out); /* borrowed from t->scratch */
/* Existing and not being removed; RC_NOTFOUND otherwise. */
MUST_USE enum rc tx_account(struct tx *t, uint64_t id, struct tx_account **out, struct why *why);
MUST_USE enum rc tx_account_any(struct tx *t, uint64_t id, struct tx_account **out, struct why *why);
MUST_USE enum rc tx_box(struct tx *t, struct tx_account *a, uint64_t id, struct tx_box **out, struct why *why);
MUST_USE enum rc tx_box_named(struct tx *t, struct tx_account *a, struct str canonical, struct tx_box **out, struct why *why);
/* A new folder of this account under a free name. */
MUST_USE enum rc tx_box_new(struct tx *t, struct tx_account *a, struct str canonical, uint32_t special_use, struct tx_box **out, struct why *why);
uint32_t tx_uidvalidity(struct tx *t, struct tx_account *a);
/* Logs that this happened to `uid` (0 for CHANGE_FOLDERS and CHANGE_KEYWORDS); the answer is the change's modseq. */
uint64_t tx_change(struct tx *t, struct tx_box *b, enum change_what what, uint32_t uid);
/* Keyword names to bits, creating the missing ones if `make`. Where all 64 have names, those that no message bears any more lose them, and
 * who knew the old names reads everything again; RC_LIMIT: messages bear 64, or the folder has too many to look at (RECLAIM_MAX). */
MUST_USE enum rc tx_keywords(struct tx *t, struct tx_box *b, const struct str *names, size_t n, bool make, uint64_t *out_bits, struct why *why);
/* Loads b->keywords: names in the tx's memory, "" = free bit. */
MUST_USE enum rc tx_keyword_names(struct tx *t, struct tx_box *b);

/* Messages of ranges, collected in UID order. */
struct message { uint32_t uid; bool damaged; struct state_row state; };
struct range_walk { const struct uid_range *r; size_t n, i; uint32_t next; }; /* starts as { r, n } */
MUST_USE enum rc walk_collect(struct tx *t, uint64_t box, struct range_walk *w, struct message *out, size_t max, size_t *out_n);
static inline bool walk_at_end(const struct range_walk *w) { return w->i >= w->n; }

/* queue_put.c: what a delivery brings for the queue, and what it counts. The caller adds put_n references to the blob. */
enum { PUTS_MAX = 8192 };
#define QUEUE_NOTICE UINT64_MAX         /* a notice with this account tells the number of a new letter; no account has it */
MUST_USE enum rc queue_check_puts(const struct queue_put *puts, size_t n, const struct sent_note *sent_or_null, struct why *why);
/* `sent` for its limit of what waits; it may be NULL. RC_DENIED. */
MUST_USE enum rc tx_queue_put(struct tx *t, const struct blob_id *blob, const struct queue_put *puts, size_t n, const struct sent_note *sent, uint64_t *out_letters, struct why *why);
MUST_USE enum rc tx_sent(struct tx *t, const struct sent_note *sent, struct why *why); /* RC_DENIED: over a limit */

/* queue_waiting.c: so many recipients of an account wait from now on, or do not any more. The list is put in order; account 0 is nobody's. RC_DENIED: more than `limit`, which
 * may be NULL, lets its account have. */
struct waiting { uint64_t account; uint32_t n; };
MUST_USE enum rc tx_waiting_add(struct tx *t, struct waiting *list, size_t n, const struct sent_note *limit, struct why *why);
MUST_USE enum rc tx_waiting_take(struct tx *t, struct waiting *list, size_t n);

/* recent.c */
enum { RECENT_MAX = 1 << 16 };
void recent_done(struct store *s);      /* forgets what is not on disk */

/* directory.c: goes on with removing accounts whose removal was cut short. */
MUST_USE enum rc directory_resume(struct store *s, struct why *why);

/* mailbox.c: one step of removing messages, at most `max`; whose totals are settled in the tx. */
MUST_USE enum rc tx_expunge(struct tx *t, struct tx_box *b, const struct message *m, struct why *why);
/* Removes up to `max` messages of the box; *out_left: are there more? */
MUST_USE enum rc tx_empty(struct tx *t, struct tx_box *b, size_t max, bool *out_left, struct why *why);
