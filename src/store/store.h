#pragma once
#include "base/arena.h"
#include "os/loop.h"
#include "store/record.h"

/* The one writer of mail, queue and directory (role `store`), over the engine `local`. Every verb runs in a fiber, applies
 * itself to the open group, and returns when the group is on disk: RC_OK means durable. RC_FULL: no room, nothing changed;
 * RC_CONFLICT never leaves here. Verbs are written once against store/engine.h. Outside a fiber (tests, offline tools)
 * each verb is its own group. */
struct store;
struct store_options {
	const char *dir;                /* holds index/ and segments/ */
	uint64_t map_size;              /* fixed LMDB map, 0 = 1 TiB (address space, not disk) */
	uint64_t segment_bytes;         /* 0 = 256 MiB */
	bool read_only;                 /* start of a damaged store: verbs answer RC_DENIED */
	int64_t grace_ms;               /* how long a rewritten segment's old file stays; 0 = 10 minutes, < 0 = none (tests) */
	bool patient;                   /* the loop's thread may sleep a few milliseconds for more deliveries: it serves nothing else */
};
MUST_USE enum rc store_open(struct loop *l_or_null, const struct store_options *o, struct store **out, struct why *why);
void store_close(struct store **s);

/* ---- directory ---- */
struct account {
	uint64_t id;                    /* also its key owner id; chosen at random by the vault */
	struct str address;             /* primary, lower case */
	struct str name;
	uint64_t quota, used;           /* octets; quota 0 = none */
	uint64_t messages;
	uint8_t public_key[PUB_LEN];
	bool private_mode;              /* sealed to the owner alone */
	bool disabled;
	int64_t created_ms;
	uint64_t inbox;                 /* box id */
};
MUST_USE enum rc domain_add(struct store *s, struct str domain, struct why *why);               /* RC_EXISTS */
MUST_USE enum rc domain_remove(struct store *s, struct str domain, struct why *why);            /* RC_DENIED while it has accounts */
MUST_USE enum rc domain_catch_all(struct store *s, struct str domain, struct str address_or_empty, struct why *why);
/* Makes the account with INBOX, Drafts, Sent, Junk, Trash, Archive. RC_EXISTS: address taken; RC_NOTFOUND: no such domain. */
MUST_USE enum rc account_add(struct store *s, const struct account *a, struct why *why);
MUST_USE enum rc account_set(struct store *s, const struct account *a, struct why *why);        /* name, quota, disabled */
MUST_USE enum rc account_remove(struct store *s, uint64_t id, struct why *why);                 /* mail too; bounded steps */
MUST_USE enum rc account_alias(struct store *s, uint64_t id, struct str address, bool add, struct why *why);

/* ---- mail ---- */
struct store_epoch { uint64_t owner, epoch; struct str sealed; };
struct store_copy {                     /* one recipient's or one APPEND's copy */
	uint64_t account, box;          /* box 0 = INBOX */
	uint32_t flags; uint64_t keywords_unused;
	const struct str *keywords; size_t keyword_n;
	uint64_t size;                  /* RFC822.SIZE */
	uint64_t email_id;
	struct str record;              /* record_seal()'s output */
	struct str grams;               /* grams_seal()'s output */
};
struct store_copy_result { enum rc rc; uint32_t uid, uidvalidity; uint64_t modseq, box; };
/* One body, n copies, one transaction: a copy fails alone only for RC_NOTFOUND (account or box gone) or RC_FULL (quota); any other
 * failure is everybody's. `delivery` (random) makes a retry after a lost answer harmless for an hour: the first results come again. */
MUST_USE enum rc store_deliver(struct store *s, uint64_t delivery, const struct blob_id *blob, struct str sealed_body,
                               const struct store_epoch *epochs, size_t epoch_n, const struct store_copy *copies, size_t n,
                               struct store_copy_result *out, struct why *why);

struct uid_range { uint32_t first, last; };
enum flag_mode { FLAG_SET, FLAG_ADD, FLAG_REMOVE };
MUST_USE enum rc store_flags(struct store *s, uint64_t account, uint64_t box, const struct uid_range *r, size_t n, enum flag_mode mode,
                             uint32_t flags, const struct str *keywords, size_t keyword_n, uint64_t *out_modseq, struct why *why);
MUST_USE enum rc store_expunge(struct store *s, uint64_t account, uint64_t box, const struct uid_range *r, size_t n, bool only_deleted,
                               uint64_t *out_modseq, struct why *why);
/* Source and destination in one account. Pairs: ranges of equal lengths in ascending source order, in `a`. */
MUST_USE enum rc store_copy_to(struct store *s, uint64_t account, uint64_t box, const struct uid_range *r, size_t n, uint64_t to, bool move,
                               struct arena *a, struct uid_range **out_src, struct uid_range **out_dst, size_t *out_n,
                               uint32_t *out_uidvalidity, struct why *why);
MUST_USE enum rc box_create(struct store *s, uint64_t account, struct str name, uint32_t special_use, uint64_t *out_id, struct why *why);
MUST_USE enum rc box_remove(struct store *s, uint64_t account, struct str name, struct why *why);
MUST_USE enum rc box_rename(struct store *s, uint64_t account, struct str from, struct str to, struct why *why);
MUST_USE enum rc box_subscribe(struct store *s, uint64_t account, struct str name, bool on, struct why *why);
/* \Recent (RFC 3501 2.3.2): gives the caller the messages below `before` that no session was given. *out_first is where these begin; `before`, or more,
 * when there is none. before 0 only looks. The answer waits for no disk (but where 65,536 folders wait for it): what was given is kept in memory until store_recent_settle(), and a crash
 * before that gives it once more. */
MUST_USE enum rc store_recent(struct store *s, uint64_t account, uint64_t box, uint32_t before, uint32_t *out_first, struct why *why);
MUST_USE enum rc store_recent_settle(struct store *s, struct why *why);     /* puts that on disk; nothing to put: no commit. store_close() does it, too */
MUST_USE enum rc epoch_rollup(struct store *s, uint64_t owner, uint64_t rollup_id, struct str sealed, const uint64_t *epochs, size_t n, struct why *why);

/* ---- watch ---- called when a commit changed that box (box 0: the account's folder list). From the loop's thread, after the commit. */
void store_on_change(struct store *s, void (*fn)(void *arg, uint64_t account, uint64_t box, uint64_t modseq), void *arg);

/* ---- care ---- */
MUST_USE enum rc store_compact(struct store *s, unsigned budget_ms, bool *out_more, struct why *why); /* rewrites segments < 50 % live */
struct store_stats { uint64_t commits, verbs, bytes_written, segments, live_bytes, dead_bytes, disk_free; };
void store_stats(struct store *s, struct store_stats *out);
/* Pins the index for a backup and returns a lease; until store_unpin() no segment is unlinked. */
MUST_USE enum rc store_pin(struct store *s, uint64_t *out_lease, struct why *why);
void store_unpin(struct store *s, uint64_t lease);
