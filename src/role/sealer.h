#pragma once
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
