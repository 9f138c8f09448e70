#include "role/backup.h"

#include "ledger/sqlite.h"
#include "os/file.h"
#include "os/loop.h"
#include "os/sandbox.h"
#include "store/rows.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, FILES_MAX = 1 << 20 };
#define MARK_BEGIN "{\"format\":1"

static enum rc path_of(const char *dir, const char *name, char out[PATH_BYTES], struct why *why)
{
	int n = snprintf(out, PATH_BYTES, "%s/%s", dir, name);
	if (n < 0 || n >= PATH_BYTES)
		FAIL(why, RC_LIMIT, "%.100s/%s: the path is too long", dir, name);
	return RC_OK;
}

static bool is_empty_or_absent(const char *path)
{
	DIR *d = opendir(path);
	bool empty = true;
	if (!d)
		return errno == ENOENT;
	for (const struct dirent *e; empty && (e = readdir(d)) != NULL;)
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	(void)closedir(d);
	return empty;
}

/* ---- files, front to back, then synced ---- */

static enum rc copy_bytes(int from, int to, const char *name, struct why *why)
{
	struct stat st;
	if (fstat(from, &st) < 0)
		FAIL_SYS(why, "%s: %s", name, strerror(errno));
	for (off_t at = 0; at < st.st_size;) {
		size_t n = st.st_size - at > 64 << 20 ? 64 << 20 : (size_t)(st.st_size - at);
		void *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, from, at);
		if (p == MAP_FAILED)
			FAIL_SYS(why, "%s: %s", name, strerror(errno));
		enum rc rc = fd_write_all(to, str_of(p, n), why);
		(void)munmap(p, n);
		TRY(rc);
		at += (off_t)n;
	}
	if (fsync(to) < 0)
		FAIL_SYS(why, "%s: %s", name, strerror(errno));
	return RC_OK;
}

static enum rc copy_file(int from_dir, int to_dir, const char *name, struct why *why)
{
	AUTO(fd_close) int from = openat(from_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (from < 0)
		FAIL_SYS(why, "%s: %s", name, strerror(errno));
	AUTO(fd_close) int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		FAIL_SYS(why, "%s: %s", name, strerror(errno));
	return copy_bytes(from, to, name, why);
}

static enum rc copy_entries(DIR *entries, int from, int to, struct why *why)
{
	unsigned seen = 0;
	for (const struct dirent *e; (e = readdir(entries)) != NULL;) {
		struct stat st;
		if (fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		if (++seen > FILES_MAX)
			FAIL(why, RC_LIMIT, "more than %d files", FILES_MAX);
		TRY(copy_file(from, to, e->d_name, why));
	}
	return dir_sync(to, why);
}

/* The regular files of one directory; there are no deeper ones. A directory that is not there is left out. */
static enum rc copy_dir(const char *from_path, const char *to_path, struct why *why)
{
	AUTO(fd_close) int from = open(from_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(fd_close) int to = -1;
	if (from < 0 && errno == ENOENT)
		return RC_OK;
	if (from < 0)
		FAIL_SYS(why, "%s: %s", from_path, strerror(errno));
	TRY(dir_make(to_path, 0700, why));
	TRY(dir_open(to_path, &to, why));
	DIR *entries = opendir(from_path);
	if (!entries)
		FAIL_SYS(why, "%s: %s", from_path, strerror(errno));
	enum rc rc = copy_entries(entries, from, to, why);
	(void)closedir(entries);
	return rc;
}

/* ---- create ---- */

/* SQLite's own online copy, page by page in one transaction: it needs no key, so no secret comes to the command line. */
static int copy_database(sqlite3 *from, const char *to_path)
{
	sqlite3 *to = NULL;
	int e = sqlite3_open_v2(to_path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	sqlite3_backup *copy = e == SQLITE_OK ? sqlite3_backup_init(to, "main", from, "main") : NULL;
	if (copy) {
		(void)sqlite3_backup_step(copy, -1);
		e = sqlite3_backup_finish(copy);
	}
	if (copy && e == SQLITE_OK)
		e = sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL); /* one file */
	(void)sqlite3_close(to);
	return copy ? e : SQLITE_CANTOPEN;
}

static enum rc copy_ledger(const char *from, const char *to, struct why *why)
{
	char from_file[PATH_BYTES], to_file[PATH_BYTES];
	if (is_empty_or_absent(from))
		return RC_OK;
	TRY(dir_make(to, 0700, why));
	TRY(path_of(from, "ledger.db", from_file, why));
	TRY(path_of(to, "ledger.db", to_file, why));
	TRY(sqlite_load(why));
	sqlite3 *db = NULL;
	int e = sqlite3_open_v2(from_file, &db, SQLITE_OPEN_READWRITE, NULL);
	if (e == SQLITE_OK)
		e = copy_database(db, to_file);
	(void)sqlite3_close(db);
	if (e != SQLITE_OK)
		FAIL(why, e == SQLITE_FULL ? RC_FULL : RC_IO, "ledger: %s", sqlite3_errstr(e));
	return RC_OK;
}

static enum rc put_mark(const char *to, struct why *why)
{
	AUTO(fd_close) int dir = -1;
	AUTO(buf_done) struct buf b = { .max = 1000 };
	buf_addf(&b, MARK_BEGIN ",\"version\":\"%s\",\"made_ms\":%" PRId64 "}\n", LETTERLOCK_VERSION, wall_ms());
	TRY(dir_open(to, &dir, why));
	return file_put(dir, BACKUP_MARK, buf_str(&b), 0600, why);
}

enum rc backup_copy(const char *data_dir, const char *to, struct why *why)
{
	char a[PATH_BYTES], b[PATH_BYTES];
	TRY(store_backup(data_dir, to, why));
	/* The vault's file is append-only behind a head that says how far it counts: read from the front it is a whole state. */
	TRY(path_of(data_dir, "vault", a, why));
	TRY(path_of(to, "vault", b, why));
	TRY(copy_dir(a, b, why));
	TRY(path_of(data_dir, "ledger", a, why));
	TRY(path_of(to, "ledger", b, why));
	TRY(copy_ledger(a, b, why));
	return put_mark(to, why);
}

enum rc backup_confine(const char *data_dir, const char *to, bool reduced, struct why *why)
{
	/* Writing below the data directory too: LMDB's readers and SQLite's write their lock files. */
	struct sandbox_path paths[] = { { data_dir, true }, { to, true }, { NULL, false } };
	struct sandbox box = { .needs = SANDBOX_FILES | SANDBOX_LMDB | SANDBOX_THREADS, .paths = paths, .reduced = reduced };
	TRY(sqlite_load(why));
	return sandbox_enter(&box, why);
}

/* ---- restore ---- */

enum rc backup_is_one(const char *dir, struct why *why)
{
	AUTO(fd_close) int fd = -1;
	AUTO(buf_done) struct buf mark = { .max = 4096 };
	TRY(dir_open(dir, &fd, why));
	if (file_get(fd, BACKUP_MARK, 4096, &mark, why) != RC_OK)
		FAIL(why, RC_NOTFOUND, "%s has no " BACKUP_MARK ": it is no backup, or one that was not finished", dir);
	if (!str_starts(buf_str(&mark), STR(MARK_BEGIN ",")))
		FAIL(why, RC_DAMAGED, "%s/" BACKUP_MARK " does not say " MARK_BEGIN ": it is damaged, or of a newer version", dir);
	return RC_OK;
}

/* What no backup lacks: without the vault nothing opens, without the index nothing is found. */
static enum rc check_parts(const char *from, struct why *why)
{
	static const char *const needed[] = { "index/data.mdb", "segments", "vault/keys" };
	char path[PATH_BYTES];
	struct stat st;
	for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
		TRY(path_of(from, needed[i], path, why));
		if (stat(path, &st) != 0)
			FAIL(why, errno == ENOENT ? RC_NOTFOUND : RC_IO, "%s: %s", path, strerror(errno));
	}
	return RC_OK;
}

enum rc backup_restore(const char *from, const char *data_dir, struct why *why)
{
	/* The index last: without it no server starts beside the rest, so none does on half of a restore. */
	static const char *const parts[] = { "segments", "vault", "ledger", "index" };
	char a[PATH_BYTES], b[PATH_BYTES];
	TRY(backup_is_one(from, why));
	TRY(check_parts(from, why));
	if (!is_empty_or_absent(data_dir))
		FAIL(why, RC_EXISTS, "%s is not empty", data_dir);
	TRY(dir_make(data_dir, 0700, why));
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		TRY(path_of(from, parts[i], a, why));
		TRY(path_of(data_dir, parts[i], b, why));
		TRY(copy_dir(a, b, why));
	}
	AUTO(fd_close) int fd = -1;
	TRY(dir_open(data_dir, &fd, why));
	return dir_sync(fd, why);
}
