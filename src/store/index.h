#pragma once
#include "base/buf.h"
#include "store/engine.h"
#include <lmdb.h>

/* The LMDB environment `index/`: opened once per process whoever asks (LMDB's lock file cannot bear two), all tables as named
 * databases, every value followed by its checksum. Used by the engine `local`, by view, verify and backup. */
struct index {
	MDB_env *env;
	MDB_dbi dbi[TABLE_COUNT];
	bool writable;
	bool lacks_recent;              /* open for reading, and made before there was this table: it has no rows */
	unsigned refs;
	uint64_t dev, ino;
	struct index *next;
};
enum { CHECK_LEN = 4 };
#define INDEX_MAP_DEFAULT (1ull << 40)

extern const char *const index_table_names[TABLE_COUNT];
/* `writable` makes the environment and its tables when they are missing. RC_NOTFOUND: no index there (read-only open). RC_DAMAGED: not
 * an index of ours, or cut off. RC_BUSY: already open in this process without the right to write. */
MUST_USE enum rc index_open(const char *dir, uint64_t map_size, bool writable, struct index **out, struct why *why);
void index_close(struct index **i);
void index_look_again(struct index *i);                /* whether the store has made meanwhile what was lacking */
/* Reads the two headers of the index file without mapping it: LMDB believes the one with the higher transaction number, and neither has a
 * checksum. RC_DAMAGED: there is no index, it is cut off, or the two do not follow one another: one of them is not what was written. */
MUST_USE enum rc index_head_check(const char *dir, struct why *why);
/* Nothing was ever committed: no domain, no account, no number given out. */
bool index_is_new(const struct index *i, MDB_txn *t);
/* LMDB's answer as ours; fills `why`. */
enum rc index_error(int err, const char *what, struct why *why);

uint32_t index_checksum(struct str key, struct str value);
/* Splits a stored value; false when it fails its checksum. */
bool index_value(struct str key, MDB_val stored, struct str *out);
static inline MDB_val val_of(struct str s) { return (MDB_val){ s.n, (void *)(uintptr_t)s.p }; }
static inline struct str str_val(MDB_val v) { return str_of(v.mv_data, v.mv_size); }
/* Borrowed until the transaction's next write or end. RC_NOTFOUND, RC_DAMAGED. */
MUST_USE enum rc index_get(const struct index *i, MDB_txn *t, enum table table, struct str key, struct str *out);
int index_put(const struct index *i, MDB_txn *t, enum table table, struct str key, struct str value); /* an LMDB error */
/* The same for a key that is likely the table's last: pages are filled, not halved when they are full. */
int index_append(const struct index *i, MDB_txn *t, enum table table, struct str key, struct str value);
