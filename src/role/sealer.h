#pragma once
#include "role/letter.h"
#include "role/role.h"
#include "store/store.h"

/* From a message in the clear to sealed copies on disk: scan, compress and seal, commit. Used where plain text may be seen: `edge` for
 * mail that comes in, `access` for APPEND. Keeps the epoch keys that this process makes: per key owner, at most an hour or
 * process.epoch_messages messages each; they never leave it except sealed to the owner. */
struct sealer;
MUST_USE enum rc sealer_new(struct role_env *e, struct sealer **out);
void sealer_free(struct sealer **s);

struct seal_target {                   /* one copy */
	uint64_t account, box;         /* box 0 = INBOX; the account is the key owner */
	uint8_t public_key[PUB_LEN];
	uint32_t flags;
	const struct str *keywords; size_t keyword_n;
};
/* Suspends for as long as it takes; RC_OK: results[n] are filled, and each one that is RC_OK is on disk. A failure is everybody's and
 * nothing was stored, except RC_LATE: unknown. Text in `why` begins with an enhanced status code. */
MUST_USE enum rc sealer_deliver(struct sealer *s, struct str message, int64_t internal_ms, const struct seal_target *targets, size_t n,
                                struct store_copy_result *results, uint32_t *out_defects, struct why *why);

/* A letter to queue for `relay`: of struct letter the caller fills in all but body_key, row_key and size. */
struct seal_letter {
	struct letter letter;
	const struct letter_rcpt *rcpts; const uint64_t *lanes; size_t n; /* a row each; lanes: letter_lane() of the next hop's domain */
	int64_t due_ms, expires_ms;    /* of every row */
	uint8_t priority, flags;       /* 0 ... 9; QUEUE_ROW_* */
	bool held;
	uint64_t counted;              /* the account whose waiting recipients these are; 0: nobody's */
};
struct seal_out {
	uint64_t delivery;             /* 0 = one is made. Given: the same delivery asked for again stores nothing twice (for an hour) */
	const uint8_t *queue_public;   /* the queue's key owner (QUEUE_PUBLIC), PUB_LEN octets */
	const struct seal_letter *letters; size_t letter_n;
	const struct sent_note *sent;  /* what it counts for the account that submits; NULL: nothing */
	uint64_t *out_letters;         /* their numbers; NULL: not wanted */
};
/* sealer_deliver() and `out` in one commit: all of it or nothing, though a copy may fail alone. n may be 0 where there are letters: then nobody needs
 * to know what is in the message, and it is not scanned (*out_defects = 0). RC_DENIED: over a limit of `sent`, `why` says which. RC_LIMIT: a
 * letter's texts are too long (letter_seal). */
MUST_USE enum rc sealer_deliver_out(struct sealer *s, struct str message, int64_t internal_ms, const struct seal_target *targets, size_t n,
                                    const struct seal_out *out, struct store_copy_result *results, uint32_t *out_defects, struct why *why);
/* sealer_letters.c, for sealer.c: the letters of `out`, sealed and packed for DELIVER's `puts`. */
MUST_USE enum rc sealer_seal_letters(const struct seal_out *out, const struct secret *body_key, const struct blob_id *blob, size_t message_n, struct arena *a,
                                     struct buf *puts);
