#include "store/index.h"
#include "store/layout.h"
#include "store/rows.h"

#include "base/mem.h"
#include "os/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* A hot backup: LMDB's own consistent copy first, then of every segment the octets which that copy counts. Segments only grow and are
 * not unlinked while the caller's lease lasts, so the second half cannot miss what the first half names. */
enum { COPY_STEP = 1 << 20, PATH_MAX_ = 4096 };

static enum rc copy_index(struct index *x, const char *to, struct why *why)
{
	char path[PATH_MAX_];
	(void)snprintf(path, sizeof path, "%s/index/data.mdb", to);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		FAIL(why, errno == EEXIST ? RC_EXISTS : RC_IO, "cannot create %.150s", path);
	enum rc rc = index_error(mdb_env_copyfd2(x->env, fd, 0), "backup of the index", why);
	if (rc == RC_OK && fsync(fd) != 0)
		rc = why_fail(why, RC_IO, errno, __FILE__, "backup of the index: sync");
	fd_close(&fd);
	return rc;
}

static enum rc copy_bytes(int in, int out, uint64_t n, char *scratch, struct why *why)
{
	uint64_t at = 0;
	while (at < n) {
		size_t want = n - at < COPY_STEP ? (size_t)(n - at) : COPY_STEP;
		ssize_t got = pread(in, scratch, want, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			FAIL_SYS(why, "backup: read");
		if (got == 0)
			FAIL(why, RC_DAMAGED, "a segment is shorter than the index says");
		TRY(fd_pwrite_all(out, str_of(scratch, (size_t)got), at, why));
		at += (uint64_t)got;
	}
	if (fsync(out) != 0)
		FAIL_SYS(why, "backup: sync");
	return RC_OK;
}

struct copying { int from, to; char *scratch; struct why *why; };

static enum rc copy_segment(const struct copying *c, uint32_t n, uint64_t length)
{
	char name[16];
	int in = -1;
	segment_name(n, name);
	TRY(segment_open(c->from, n, &in, c->why));
	int out = openat(c->to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	enum rc rc = out < 0 ? why_fail(c->why, RC_IO, errno, __FILE__, "backup: cannot create a segment") : copy_bytes(in, out, length, c->scratch, c->why);
	fd_close(&in);
	fd_close(&out);
	return rc;
}

static enum rc copy_segments(struct index *copied, const struct copying *c)
{
	MDB_txn *t = NULL;
	MDB_cursor *cur = NULL;
	MDB_val k, v;
	TRY(index_error(mdb_txn_begin(copied->env, NULL, MDB_RDONLY, &t), "backup: read", c->why));
	int err = mdb_cursor_open(t, copied->dbi[TABLE_SEGMENT], &cur);
	enum rc rc = index_error(err, "backup: read", c->why);
	for (err = rc == RC_OK ? mdb_cursor_get(cur, &k, &v, MDB_FIRST) : MDB_NOTFOUND; rc == RC_OK && !err; err = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) {
		struct str value;
		struct segment_row row;
		struct cursor kc = cursor_of(str_skip(str_val(k), 4));
		uint32_t n = cursor_u32(&kc);
		if (!index_value(str_val(k), v, &value) || segment_row_parse(value, &row) != RC_OK)
			continue; /* verify names it, here and in the copy */
		if (row.retired_ms == 0 || row.live)
			rc = copy_segment(c, n, row.length);
	}
	if (cur)
		mdb_cursor_close(cur);
	mdb_txn_abort(t);
	return rc;
}

static enum rc copy_all(const char *dir, const char *to, struct copying *c)
{
	char path[PATH_MAX_];
	struct index *x = NULL, *copied = NULL;
	TRY(index_open(dir, 0, false, &x, c->why));
	enum rc rc = copy_index(x, to, c->why);
	index_close(&x);
	TRY(rc);
	(void)snprintf(path, sizeof path, "%s/segments", dir);
	TRY(dir_open(path, &c->from, c->why));
	(void)snprintf(path, sizeof path, "%s/segments", to);
	TRY(dir_open(path, &c->to, c->why));
	TRY(index_open(to, 0, false, &copied, c->why));
	rc = copy_segments(copied, c);
	index_close(&copied);
	TRY(rc);
	return dir_sync(c->to, c->why);
}

enum rc store_backup(const char *dir, const char *to, struct why *why)
{
	char path[PATH_MAX_];
	if (strlen(dir) > PATH_MAX_ - 32 || strlen(to) > PATH_MAX_ - 32)
		FAIL(why, RC_LIMIT, "path too long");
	(void)snprintf(path, sizeof path, "%s/index", to);
	TRY(dir_make(path, 0700, why));
	(void)snprintf(path, sizeof path, "%s/segments", to);
	TRY(dir_make(path, 0750, why));
	struct copying c = { -1, -1, mem_new(COPY_STEP), why };
	enum rc rc = c.scratch ? copy_all(dir, to, &c) : why_fail(why, RC_NOMEM, 0, __FILE__, "no memory for a backup");
	fd_close(&c.from);
	fd_close(&c.to);
	mem_free(c.scratch);
	return rc;
}
