#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "os/loop.h"
#include "store/blob.h"

/* The storage contract: what every engine gives, and all that the verbs (mailbox.c, box.c, directory.c ...) know of storage.
 *
 * A partition (a shard of an account, a mailbox, a queue lane) holds ordered keys with non-empty values. get and scan read;
 * commit applies a batch (expectations, puts, deletes, blob references), atomic in its partition and durable when it returns;
 * blob_put makes bytes durable before a commit that names them returns; blob_read, blob_drop (a batch with batch_blob(-1)), watch.
 * Every call may suspend. A conflict (an expectation that does not hold) is an outcome: the caller reads again. The engine `local`
 * holds all partitions in one environment, so that there a batch is atomic across them.
 *
 * Invariants:
 * 1. A value never changes on disk without its checksum: every value is followed by CRC32C(key, value). What fails it is
 *    RC_DAMAGED for that row and for nothing else.
 * 2. Whatever a batch was told by get or scan is durable when its commit returns RC_OK, even when the batch is empty.
 * 3. After any failure of commit nothing of the batch is there, nor of any other batch of its group. */
struct engine;

enum table {
	TABLE_META, TABLE_DOMAIN, TABLE_ADDRESS, TABLE_ACCOUNT,            /* directory */
	TABLE_BOX, TABLE_NAME, TABLE_STATE, TABLE_KEYWORD, TABLE_RECORD,   /* mail */
	TABLE_SUBSCRIPTION,
	TABLE_GRAMS, TABLE_CHANGE, TABLE_EPOCH,
	TABLE_DELIVERY, TABLE_BLOB, TABLE_SEGMENT,
	TABLE_QUEUE, TABLE_QUEUE_DONE, TABLE_LETTER, TABLE_NOTE,           /* outbound mail: store/queue.h */
	TABLE_KNOWN,                                                       /* whom an account has written to, and its counters of the day */
	TABLE_GROUP, TABLE_MEMBER, TABLE_RULES, TABLE_WAY,                 /* directory: store/route.h */
	TABLE_RECENT,                                                      /* up to where IMAP sessions were given messages as \Recent */
	TABLE_COUNT
};
enum { ENGINE_KEY_MAX = 400 };

/* ---- a batch: everything is copied unless said otherwise ---- */
struct op;
struct batch {
	struct arena mem;
	struct op *ops;
	size_t n, cap;
	bool failed;                    /* out of memory: commit answers RC_NOMEM */
};
void batch_init(struct batch *b);
void batch_done(struct batch *b);
void batch_expect(struct batch *b, enum table t, struct str key, struct str value); /* "" = absent */
void batch_put(struct batch *b, enum table t, struct str key, struct str value);
void batch_lend(struct batch *b, enum table t, struct str key, struct str value);   /* put; `value` is borrowed until the commit has returned */
void batch_append(struct batch *b, enum table t, struct str key, struct str value); /* as batch_lend; likely the table's last key: fills its pages */
void batch_delete(struct batch *b, enum table t, struct str key);                   /* absent: fine */
/* Puts under `to` what stands under `from`, with `patch` written over it at `at`. RC_DAMAGED at commit when `from` is absent or fails its
 * checksum, which fails the whole group: look first, or say `optional`, which then copies nothing. */
void batch_copy(struct batch *b, enum table t, struct str from, struct str to, size_t at, struct str patch, bool optional);
void batch_blob(struct batch *b, const struct blob_id *id, int32_t delta);          /* references; at 0 the blob is dropped */
void batch_notice(struct batch *b, uint64_t account, uint64_t box, uint64_t modseq); /* told to the watcher after the commit */

/* ---- reading: sees everything committed and, inside a verb, what its group has applied so far ---- */
struct engine_row { struct str key, value; bool damaged; };            /* borrowed for the call */
MUST_USE enum rc engine_get(struct engine *e, enum table t, struct str key, struct buf *out); /* cleared first; RC_NOTFOUND, RC_DAMAGED */
/* from <= key < to in order, at most `max` rows; stops when `each` answers false. `each` calls no engine function. */
MUST_USE enum rc engine_scan(struct engine *e, enum table t, struct str from, struct str to, size_t max,
                             bool (*each)(void *arg, const struct engine_row *r), void *arg, uint64_t *out_version);
MUST_USE enum rc engine_commit(struct engine *e, struct batch *b, struct why *why);
void engine_settle(struct engine *e); /* outside a fiber: ends what reading has opened. A verb's last call. */

/* `bytes` stay lent until the commit that names the blob has returned. Putting the same id again before it is fine. */
MUST_USE enum rc engine_blob_put(struct engine *e, const struct blob_id *id, struct str bytes, struct why *why);
/* A blob that was put and whose commit never came or failed: forgotten. Fine when there is none. */
void engine_blob_drop(struct engine *e, const struct blob_id *id);
MUST_USE enum rc engine_blob_read(struct engine *e, const struct blob_id *id, uint64_t offset, size_t n, struct buf *out, struct why *why);
void engine_watch(struct engine *e, void (*fn)(void *arg, uint64_t account, uint64_t box, uint64_t modseq), void *arg);

/* ---- the engine `local` ---- */
struct engine_options { const char *dir; uint64_t map_size, segment_bytes; int64_t grace_ms; bool read_only, patient; };
MUST_USE enum rc engine_local_open(struct loop *l_or_null, const struct engine_options *o, struct engine **out, struct why *why);
void engine_close(struct engine **e);          /* closes the open group first */
MUST_USE enum rc engine_compact(struct engine *e, unsigned budget_ms, bool *out_more, struct why *why);
struct engine_stats { uint64_t commits, bytes_written, segments, live_bytes, dead_bytes, disk_free; };
void engine_stats(struct engine *e, struct engine_stats *out);
MUST_USE enum rc engine_pin(struct engine *e, uint64_t *out_lease, struct why *why);
void engine_unpin(struct engine *e, uint64_t lease);
