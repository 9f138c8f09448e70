#include "store/index.h"

#include "base/mem.h"
#include "os/file.h"
#include "store/crc.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const index_table_names[TABLE_COUNT] = {
	[TABLE_META] = "meta",       [TABLE_DOMAIN] = "domain",   [TABLE_ADDRESS] = "address", [TABLE_ACCOUNT] = "account",
	[TABLE_BOX] = "box",         [TABLE_NAME] = "name",       [TABLE_STATE] = "state",     [TABLE_KEYWORD] = "keyword",
	[TABLE_RECORD] = "record",   [TABLE_GRAMS] = "grams",     [TABLE_CHANGE] = "change",
	[TABLE_EPOCH] = "epoch",     [TABLE_DELIVERY] = "delivery", [TABLE_BLOB] = "blob",     [TABLE_SEGMENT] = "segment",
	[TABLE_QUEUE] = "queue",     [TABLE_SUBSCRIPTION] = "subscription", [TABLE_QUEUE_DONE] = "queue_done", [TABLE_LETTER] = "letter",
	[TABLE_NOTE] = "note",       [TABLE_KNOWN] = "known",     [TABLE_GROUP] = "group",     [TABLE_MEMBER] = "member",
	[TABLE_RULES] = "rules",     [TABLE_WAY] = "way",       [TABLE_RECENT] = "recent",
};
enum { MAX_READERS = 512, MAX_TABLES = 32 };

/* LMDB: "do not have open an LMDB database twice in the same process at the same time". In one process (tests, --one-process) the
 * writer and its readers therefore share one environment, found here. */
static struct index *opened;
static pthread_mutex_t opened_lock = PTHREAD_MUTEX_INITIALIZER;

enum rc index_error(int err, const char *what, struct why *why)
{
	enum rc rc = RC_IO;
	switch (err) {
	case 0: return RC_OK;
	case MDB_NOTFOUND: rc = RC_NOTFOUND; break;
	case ENOSPC: case EDQUOT: case EFBIG: case MDB_MAP_FULL: rc = RC_FULL; break;
	case ENOMEM: rc = RC_NOMEM; break;
	case ENOENT: rc = RC_NOTFOUND; break;
	case MDB_READERS_FULL: rc = RC_BUSY; break;
	case MDB_CORRUPTED: case MDB_PAGE_NOTFOUND: case MDB_INVALID: case MDB_VERSION_MISMATCH: rc = RC_DAMAGED; break;
	default: break;
	}
	return why_fail(why, rc, err > 0 ? err : 0, __FILE__, "%s: %s", what, mdb_strerror(err));
}

/* A data file shorter than the pages it claims would end this process by SIGBUS at the first touch. */
static enum rc check_size(struct index *x, int fd, struct why *why)
{
	MDB_envinfo info;
	MDB_stat st;
	struct stat sb;
	if (mdb_env_info(x->env, &info) != 0 || mdb_env_stat(x->env, &st) != 0 || fstat(fd, &sb) != 0)
		FAIL(why, RC_IO, "cannot ask the index for its size");
	if ((uint64_t)sb.st_size < (uint64_t)(info.me_last_pgno + 1) * st.ms_psize)
		FAIL(why, RC_DAMAGED, "index is cut off: %lld octets, its header speaks of %llu", (long long)sb.st_size,
		     (unsigned long long)(info.me_last_pgno + 1) * st.ms_psize);
	return RC_OK;
}

static enum rc open_tables(struct index *x, struct why *why)
{
	MDB_txn *t = NULL;
	TRY(index_error(mdb_txn_begin(x->env, NULL, x->writable ? 0 : MDB_RDONLY, &t), "index: begin", why));
	for (unsigned i = 0; i < TABLE_COUNT; i++) {
		int err = mdb_dbi_open(t, index_table_names[i], x->writable ? MDB_CREATE : 0, &x->dbi[i]);
		if (err == MDB_NOTFOUND && i == TABLE_RECENT) {
			x->lacks_recent = true;
		} else if (err) {
			mdb_txn_abort(t);
			return index_error(err, "index: table", why);
		}
	}
	return index_error(mdb_txn_commit(t), "index: first commit", why);
}

void index_look_again(struct index *x)
{
	MDB_txn *t = NULL;
	MDB_dbi dbi;
	if (mdb_txn_begin(x->env, NULL, MDB_RDONLY, &t) != 0)
		return;
	if (mdb_dbi_open(t, index_table_names[TABLE_RECENT], 0, &dbi) != 0) {
		mdb_txn_abort(t);
	} else if (mdb_txn_commit(t) == 0) {
		x->dbi[TABLE_RECENT] = dbi;
		x->lacks_recent = false;
	}
}

static enum rc set_up(struct index *x, const char *path, uint64_t map_size, struct why *why)
{
	TRY(index_error(mdb_env_create(&x->env), "index: create", why));
	TRY(index_error(mdb_env_set_maxdbs(x->env, MAX_TABLES), "index: tables", why));
	TRY(index_error(mdb_env_set_maxreaders(x->env, MAX_READERS), "index: readers", why));
	TRY(index_error(mdb_env_set_mapsize(x->env, map_size ? map_size : INDEX_MAP_DEFAULT), "index: map size", why));
	/* Never NOSYNC (commits are promises) nor WRITEMAP (a stray pointer would write into the index). */
	unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (x->writable ? 0 : MDB_RDONLY);
	TRY(index_error(mdb_env_open(x->env, path, flags, 0600), "index: open", why));
	int dead = 0;
	(void)mdb_reader_check(x->env, &dead); /* slots of readers that died */
	return RC_OK;
}

static enum rc open_fresh(struct index *x, const char *dir, uint64_t map_size, struct why *why)
{
	char path[4096];
	int n = snprintf(path, sizeof path, "%s/index", dir);
	if (n < 0 || (size_t)n >= sizeof path)
		FAIL(why, RC_LIMIT, "path too long: %.100s", dir);
	TRY(set_up(x, path, map_size, why));
	int fd = -1;
	TRY(index_error(mdb_env_get_fd(x->env, &fd), "index: descriptor", why));
	TRY(check_size(x, fd, why));
	TRY(open_tables(x, why));
	struct stat sb;
	if (fstat(fd, &sb) != 0)
		FAIL_SYS(why, "index: stat");
	x->dev = sb.st_dev;
	x->ino = sb.st_ino;
	return RC_OK;
}

static struct index *find_opened(const char *dir)
{
	char path[4096];
	struct stat sb;
	int n = snprintf(path, sizeof path, "%s/index/data.mdb", dir);
	if (n < 0 || (size_t)n >= sizeof path || stat(path, &sb) != 0)
		return NULL;
	for (struct index *x = opened; x; x = x->next)
		if (x->dev == sb.st_dev && x->ino == sb.st_ino)
			return x;
	return NULL;
}

static enum rc open_locked(const char *dir, uint64_t map_size, bool writable, struct index **out, struct why *why)
{
	struct index *x = find_opened(dir);
	if (x) {
		if (writable && !x->writable)
			FAIL(why, RC_BUSY, "the index is open for reading in this process already");
		x->refs++;
		*out = x;
		return RC_OK;
	}
	x = mem_new(sizeof *x);
	if (!x)
		FAIL(why, RC_NOMEM, "no memory for the index");
	x->writable = writable;
	enum rc rc = open_fresh(x, dir, map_size, why);
	if (rc != RC_OK) {
		if (x->env)
			mdb_env_close(x->env);
		mem_free(x);
		return rc;
	}
	x->refs = 1;
	x->next = opened;
	*out = opened = x;
	return RC_OK;
}

enum rc index_open(const char *dir, uint64_t map_size, bool writable, struct index **out, struct why *why)
{
	if (pthread_mutex_lock(&opened_lock) != 0)
		FAIL(why, RC_IO, "lock");
	enum rc rc = open_locked(dir, map_size, writable, out, why);
	(void)pthread_mutex_unlock(&opened_lock);
	return rc;
}

void index_close(struct index **i)
{
	struct index *x = *i;
	*i = NULL;
	if (!x || pthread_mutex_lock(&opened_lock) != 0)
		return;
	if (--x->refs == 0) {
		struct index **at = &opened;
		while (*at && *at != x)
			at = &(*at)->next;
		if (*at)
			*at = x->next;
		mdb_env_close(x->env);
		mem_free(x);
	}
	(void)pthread_mutex_unlock(&opened_lock);
}

bool index_is_new(const struct index *i, MDB_txn *t)
{
	static const enum table first[] = { TABLE_META, TABLE_DOMAIN, TABLE_ACCOUNT };
	for (size_t n = 0; n < sizeof first / sizeof *first; n++) {
		MDB_stat st;
		if (mdb_stat(t, i->dbi[first[n]], &st) != 0 || st.ms_entries)
			return false;
	}
	return true;
}

/* ---- headers ---- */

/* Where LMDB keeps them: page 0 and page 1, in the machine's own order of octets. */
enum { HEAD_MAGIC = 16, HEAD_VERSION = 20, HEAD_PAGE_SIZE = 40, HEAD_LAST_PAGE = 136, HEAD_TXN = 144, HEAD_LEN = 152, PAGE_LEAST = 256, PAGE_MOST = 65536 };
struct head { uint32_t magic, version, page_size; uint64_t last_page, txn; };

static bool read_head(int fd, off_t at, struct head *out)
{
	char raw[HEAD_LEN];
	if (pread(fd, raw, sizeof raw, at) != (ssize_t)sizeof raw)
		return false;
	memcpy(&out->magic, raw + HEAD_MAGIC, sizeof out->magic);
	memcpy(&out->version, raw + HEAD_VERSION, sizeof out->version);
	memcpy(&out->page_size, raw + HEAD_PAGE_SIZE, sizeof out->page_size);
	memcpy(&out->last_page, raw + HEAD_LAST_PAGE, sizeof out->last_page);
	memcpy(&out->txn, raw + HEAD_TXN, sizeof out->txn);
	return out->magic == 0xBEEFC0DE && out->version == 1;
}

/* Commits go to page 0 and page 1 by turns: an even number lies on page 0, an odd one on page 1 (which begins with 0), and they differ by one. */
static bool follow(const struct head *even, const struct head *odd)
{
	if (even->txn % 2 != 0 || (odd->txn % 2 != 1 && odd->txn != 0))
		return false;
	return even->txn > odd->txn ? even->txn - odd->txn == 1 : odd->txn - even->txn <= 1;
}

enum rc index_head_check(const char *dir, struct why *why)
{
	char path[4096];
	struct stat sb;
	struct head even = { 0 }, odd = { 0 };
	int n = snprintf(path, sizeof path, "%s/index/data.mdb", dir);
	if (n < 0 || (size_t)n >= sizeof path)
		FAIL(why, RC_LIMIT, "path too long: %.100s", dir);
	AUTO(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		FAIL(why, RC_DAMAGED, "there is no index");
	if (fd < 0 || fstat(fd, &sb) != 0)
		FAIL_SYS(why, "index: open");
	if (sb.st_size == 0)
		FAIL(why, RC_DAMAGED, "the index is empty");
	if (!read_head(fd, 0, &even) || even.page_size < PAGE_LEAST || even.page_size > PAGE_MOST || !read_head(fd, (off_t)even.page_size, &odd) ||
	    odd.page_size != even.page_size)
		FAIL(why, RC_DAMAGED, "a header of the index is damaged");
	if (!follow(&even, &odd))
		FAIL(why, RC_DAMAGED, "the headers of the index do not follow one another (%llu, %llu): one is damaged", (unsigned long long)even.txn,
		     (unsigned long long)odd.txn);
	uint64_t last = even.txn > odd.txn ? even.last_page : odd.last_page, pages = (uint64_t)sb.st_size / even.page_size;
	if (last >= pages)
		FAIL(why, RC_DAMAGED, "index is cut off: %llu pages, its header speaks of %llu", (unsigned long long)pages, (unsigned long long)last + 1);
	return RC_OK;
}

/* ---- values ---- */
uint32_t index_checksum(struct str key, struct str value) { return crc32c(crc32c(0, key), value); }

bool index_value(struct str key, MDB_val stored, struct str *out)
{
	if (stored.mv_size <= CHECK_LEN)
		return false;
	struct str v = str_of(stored.mv_data, stored.mv_size - CHECK_LEN);
	uint32_t have;
	memcpy(&have, v.p + v.n, sizeof have);
	*out = v;
	return __builtin_bswap32(have) == index_checksum(key, v);
}

enum rc index_get(const struct index *i, MDB_txn *t, enum table table, struct str key, struct str *out)
{
	MDB_val k = val_of(key), v;
	if (table == TABLE_RECENT && i->lacks_recent)
		return RC_NOTFOUND;
	int err = mdb_get(t, i->dbi[table], &k, &v);
	if (err)
		return err == MDB_NOTFOUND ? RC_NOTFOUND : err == MDB_CORRUPTED || err == MDB_PAGE_NOTFOUND ? RC_DAMAGED : RC_IO;
	return index_value(key, v, out) ? RC_OK : RC_DAMAGED;
}

static int put(const struct index *i, MDB_txn *t, enum table table, struct str key, struct str value, unsigned flags)
{
	MDB_val k = val_of(key), v = { value.n + CHECK_LEN, NULL };
	int err = mdb_put(t, i->dbi[table], &k, &v, MDB_RESERVE | flags);
	if (err)
		return err;
	uint32_t sum = __builtin_bswap32(index_checksum(key, value));
	memcpy(v.mv_data, value.p, value.n);
	memcpy((char *)v.mv_data + value.n, &sum, sizeof sum);
	return 0;
}

int index_put(const struct index *i, MDB_txn *t, enum table table, struct str key, struct str value) { return put(i, t, table, key, value, 0); }

int index_append(const struct index *i, MDB_txn *t, enum table table, struct str key, struct str value)
{
	int err = put(i, t, table, key, value, MDB_APPEND);
	return err == MDB_KEYEXIST ? put(i, t, table, key, value, 0) : err; /* not the last */
}
