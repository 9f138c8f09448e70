#pragma once
#include "base/arena.h"
#include "base/cursor.h"
#include "store/blob.h"
#include "store/store.h"

/* Outbound mail at rest: one *letter* per message (who sends, how to open the body) and one *row* per recipient. The store orders and counts; it
 * cannot read either: letter and rows are sealed to the queue's key owner (role/letter.h), whose private half only `relay` is given.
 *
 * Letters are numbered by the store as they are committed, 1, 2, 3 ...: a reader that has seen number n finds everything newer behind it. Rows of
 * letter L are (L, 0) ... (L, count-1). A letter holds one reference to its blob and goes, with the reference, when its last row is done.
 *
 * Invariants.
 * 1. `edge` inserts (inside store_deliver, in one transaction with the local copies), `relay` alone changes: a row's `version` is what the relay
 *    last wrote; a change that names another is RC_CONFLICT for that row and for nothing else.
 * 2. A row is either in TABLE_QUEUE (ready or held) or in TABLE_QUEUE_DONE, never in both; the move is one transaction.
 * 3. What queue_change() answered RC_OK is durable. */

enum queue_state { QUEUE_UNREADABLE = 0 /* read only: its bytes are damaged; version 0, all else zero */,
                   QUEUE_READY = 1 /* due at due_ms; deferred = ready with attempts > 0 */, QUEUE_HELD = 2, QUEUE_DONE = 3 };
enum queue_end { QUEUE_END_NONE, QUEUE_SENT = 1, QUEUE_BOUNCED = 2, QUEUE_EXPIRED = 3, QUEUE_DROPPED = 4 };
enum { QUEUE_LETTER_MAX = 1 << 20, QUEUE_ROW_MAX = 8192, QUEUE_ROWS_MAX = 100000 /* of one letter */, QUEUE_CHANGES_MAX = 100000 /* of one call */ };

/* A row's head is in the clear (times, counts and a keyed hash only); `sealed` is not. */
struct queue_row {
	uint64_t letter; uint32_t n;
	uint32_t version;              /* 1 when it is new; + 1 with each change; part of the AEAD nonce of `sealed` */
	uint8_t state;                 /* enum queue_state */
	uint8_t end;                   /* enum queue_end, when done */
	uint8_t priority;              /* 0 lowest ... 9; 4 is normal (RFC 6710's -9..9 mapped) */
	uint8_t flags;                 /* QUEUE_ROW_* */
	uint32_t attempts;
	uint64_t lane;                 /* keyed hash of the next hop's domain: rows of one lane go to the same place */
	int64_t created_ms, due_ms, expires_ms; /* done: due_ms is when */
	struct str sealed;
};
enum { QUEUE_ROW_DELAY_TOLD = 1, QUEUE_ROW_SYSTEM = 2 /* a report or DSN of our own */ };

/* What goes into the queue with a delivery: see store_deliver_out(). */
struct queue_put {
	struct str letter;             /* letter_seal()'s output, <= QUEUE_LETTER_MAX */
	const struct queue_row *rows; size_t row_n; /* letter, n, version are set by the store */
	uint64_t account;              /* whose recipients wait: they are counted until they are done. 0: nobody's */
};

/* As store_deliver(), and `puts` in the same transaction; n may be 0 when put_n is not. out_letters[put_n]: the numbers given. The blob gets one
 * reference per stored copy and one per put. Puts are all or nothing: RC_FULL (of the disk), RC_LIMIT. `sent` may be NULL: see below. */
struct sent_note;
MUST_USE enum rc store_deliver_out(struct store *s, uint64_t delivery, const struct blob_id *blob, struct str sealed_body, const struct store_epoch *epochs,
                                   size_t epoch_n, const struct store_copy *copies, size_t n, const struct queue_put *puts, size_t put_n,
                                   const struct sent_note *sent, struct store_copy_result *out, uint64_t *out_letters, struct why *why);

/* The day's counters of an account that submits: checked and counted in the same transaction. Over a limit: RC_DENIED, nothing stored, `why` =
 * "4.7.1 ..." (till the day's end, UTC) naming which limit, its size, and until when. Counted only where
 * something is stored. RC_NOTFOUND: no such account. `known` are keyed hashes of the recipients' addresses; those that the account has not
 * written to before (in TABLE_KNOWN) count against max_first. 0 = no such limit. Old rows go: counters with the next day's first letter,
 * addresses when nothing was written there for more than a year.
 * Likewise of the recipients that wait in the queue, this delivery's included, when there are more than max_waiting: "4.5.3 ...", or "5.5.3 ..." when this delivery alone
 * has more. They are counted by queue_put's account, and no more when their rows are done. */
struct sent_note { uint64_t account; uint32_t messages, recipients; uint32_t max_messages, max_recipients, max_first, max_waiting; const uint64_t *known; size_t known_n; };

/* ---- relay's changes: each row by itself; results in place ---- */
struct queue_change {
	struct queue_row row;          /* as it is to be; row.version = the version that is there now (the store writes + 1) */
	struct str done;               /* state QUEUE_DONE: what stays for the history instead of row.sealed (sealed; may be the same) */
	enum rc rc;                    /* out: RC_OK, RC_CONFLICT, RC_NOTFOUND */
};
/* RC_OK also for a change that is there already as asked for (its answer was lost). created_ms stays as it was. Of two changes of one row in one
 * list the second is RC_CONFLICT. A row that cannot be read (QUEUE_UNREADABLE, version 0) can only be done. RC_SYNTAX: a change that cannot be
 * (no such state, done without an end, too long): nothing happens. */
MUST_USE enum rc queue_change(struct store *s, struct queue_change *list, size_t n, struct why *why);
/* Rows done before `before_ms` are forgotten, at most `max` of them in one call and with a bounded look at others; *out_more: call again. */
MUST_USE enum rc queue_forget(struct store *s, int64_t before_ms, size_t max, bool *out_more, struct why *why);

/* ---- small sealed or hashed things that the relay keeps here: MTA-STS policies, suppressed recipients, pauses, per-destination state ---- */
/* A named value in TABLE_NOTE: key <= 200 octets (hash what must not be read), value <= 256 KiB; "" deletes. */
MUST_USE enum rc note_put(struct store *s, struct str key, struct str value, struct why *why);

/* After a commit that added letters: their numbers, ascending, not each of them and perhaps in several calls; the last is the highest. From
 * the loop's thread. */
void store_on_queue(struct store *s, void (*fn)(void *arg, uint64_t letter), void *arg);

/* ---- reading (view) ---- */
struct view;
/* Rows from (letter, n) on, packed one after the other (queue_row_put) until `max_bytes`; next = where to go on, letter 0 = all done. `table_done`: those that are done.
 * A row whose bytes are damaged comes as QUEUE_UNREADABLE. At least one row, whatever max_bytes. */
MUST_USE enum rc view_queue(struct view *v, bool table_done, uint64_t letter, uint32_t n, size_t max_bytes, struct buf *out, uint64_t *out_letter, uint32_t *out_n, struct why *why);
struct queue_letter { struct blob_id blob; uint32_t rows_left; struct str sealed; };
MUST_USE enum rc view_letter(struct view *v, uint64_t letter, struct arena *a, struct queue_letter *out, struct why *why); /* RC_NOTFOUND */
/* Notes whose key begins with `prefix` and lies behind `after` (""), in order; at least one, whatever max_bytes. What is damaged is left out. */
MUST_USE enum rc view_notes(struct view *v, struct str prefix, struct str after, size_t max_bytes, struct buf *out /* (run key, run value)* */, bool *out_more, struct why *why);

void queue_row_put(struct buf *out, const struct queue_row *r);
MUST_USE enum rc queue_row_get(struct cursor *in, struct queue_row *out); /* `sealed` borrows; RC_SYNTAX */
