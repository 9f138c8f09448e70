#include "store/engine_local.h"

#include "base/codec.h"
#include "base/mem.h"
#include "os/file.h"
#include "store/rows.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

/* Segments: files of at most segment_bytes, only ever appended to. Invariants:
 * 1. A segment's row says how much of the file counts; what lies behind that was never committed, is ignored and overwritten.
 * 2. Bytes are synced, and the directory that names a new file is, before the commit of the row that counts them.
 * 3. After a failed sync nothing is ever appended to that file again: the kernel may have dropped the pages and called them clean.
 * 4. A number is never used twice. */
enum { IOV_BATCH = 512 };
static const struct str next_name = STR_INIT("segment.next");

static enum rc file_error(int err, const char *what, uint32_t n, struct why *why)
{
	enum rc rc = err == ENOSPC || err == EDQUOT || err == EFBIG ? RC_FULL : err == ENOENT ? RC_NOTFOUND : RC_IO;
	return why_fail(why, rc, err, __FILE__, "segment %u: %s", n, what);
}

struct segment *segment_find(struct engine *e, uint32_t n)
{
	size_t lo = 0, hi = e->segment_n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (e->segments[mid].n < n)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < e->segment_n && e->segments[lo].n == n ? &e->segments[lo] : NULL;
}

static struct segment *segment_new(struct engine *e, uint32_t n)
{
	if (e->segment_n == e->segment_cap) {
		size_t cap = e->segment_cap ? e->segment_cap * 2 : 16;
		struct segment *s = mem_grow(e->segments, e->segment_cap * sizeof *s, cap * sizeof *s);
		if (!s)
			return NULL;
		e->segments = s;
		e->segment_cap = cap;
	}
	size_t at = e->segment_n;
	while (at > 0 && e->segments[at - 1].n > n) /* numbers ascend: nearly always the end */
		at--;
	memmove(&e->segments[at + 1], &e->segments[at], (e->segment_n - at) * sizeof *e->segments);
	e->segment_n++;
	e->segments[at] = (struct segment){ .n = n };
	return &e->segments[at];
}

static void segment_forget(struct engine *e, struct segment *s)
{
	size_t at = (size_t)(s - e->segments);
	memmove(s, s + 1, (e->segment_n - at - 1) * sizeof *s);
	e->segment_n--;
}

enum rc segment_open(int segments_dir, uint32_t segment, int *out_fd, struct why *why)
{
	char name[16];
	segment_name(segment, name);
	int fd = openat(segments_dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return file_error(errno, "open", segment, why);
	*out_fd = fd;
	return RC_OK;
}

void segment_unlink(struct engine *e, uint32_t n)
{
	char name[16];
	segment_name(n, name);
	(void)unlinkat(e->segments_dir, name, 0); /* failing leaves an orphan, which the next start removes */
}

void segment_drop(struct engine *e, uint32_t n)
{
	struct segment *s = segment_find(e, n);
	if (s)
		segment_forget(e, s);
}

void segment_release(struct engine *e, uint32_t n, uint64_t length)
{
	struct segment *s = segment_find(e, n);
	if (!s)
		return;
	s->now.live -= length < s->now.live ? length : s->now.live;
	if (s->now.live == 0 && n != e->active)
		s->now.retired_ms = wall_ms();
	s->dirty = true;
}

/* ---- start ---- */
struct loading { struct engine *e; bool failed, damaged; };

static bool load_row(void *arg, const struct engine_row *r)
{
	struct loading *l = arg;
	struct engine *e = l->e;
	struct cursor c = cursor_of(str_skip(r->key, 4));
	uint32_t n = cursor_u32(&c);
	struct segment *s = segment_new(e, n);
	if (!s)
		return !(l->failed = true);
	s->known = true;
	if (r->damaged || segment_row_parse(r->value, &s->disk) != RC_OK)
		s->broken = l->damaged = true; /* its bodies can be read; nothing is added to it */
	s->now = s->disk;
	e->stats.live_bytes += s->now.live;
	return true;
}

static bool file_number(const char *name, uint32_t *out)
{
	if (strlen(name) != 12 || strcmp(name + 8, ".seg") != 0)
		return false;
	char *end = NULL;
	unsigned long v = strtoul(name, &end, 16);
	*out = (uint32_t)v;
	return end == name + 8;
}

/* Files without a row were written and never committed (or retired and not yet unlinked): away with them, unless a row is damaged,
 * which may have been theirs. */
static enum rc look_at_files(struct engine *e, bool remove_orphans, struct why *why)
{
	int fd = dup(e->segments_dir);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (!d) {
		fd_close(&fd);
		FAIL_SYS(why, "segments: list");
	}
	rewinddir(d);
	for (struct dirent *f = readdir(d); f; f = readdir(d)) {
		uint32_t n;
		if (!file_number(f->d_name, &n))
			continue;
		if (remove_orphans && !segment_find(e, n))
			segment_unlink(e, n);
		if (n >= e->next_segment)
			e->next_segment = n + 1;
	}
	(void)closedir(d);
	return RC_OK;
}

bool segments_lie(int segments_dir)
{
	int fd = dup(segments_dir);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	bool any = false;
	if (!d) {
		fd_close(&fd);
		return false;
	}
	rewinddir(d);
	for (struct dirent *f = readdir(d); f && !any; f = readdir(d)) {
		uint32_t unused;
		any = file_number(f->d_name, &unused);
	}
	(void)closedir(d);
	return any;
}

/* A new index beside segments was not always there: the one that names their bodies was lost, and may come back. They would all look
 * like files without a row. */
static enum rc look_for_lost_index(struct engine *e, struct why *why)
{
	MDB_txn *t = NULL;
	TRY(index_error(mdb_txn_begin(e->index->env, NULL, MDB_RDONLY, &t), "segments: snapshot", why));
	bool lost = index_is_new(e->index, t) && segments_lie(e->segments_dir);
	mdb_txn_abort(t);
	if (lost)
		FAIL(why, RC_DAMAGED, "the index is new, but there are segments with mail: bring index/data.mdb back, or restore a backup elsewhere");
	return RC_OK;
}

/* The newest shared segment with room goes on being filled. */
static void choose_active(struct engine *e)
{
	for (size_t i = e->segment_n; i > 0; i--) {
		struct segment *s = &e->segments[i - 1];
		if (s->broken || s->now.single || s->now.retired_ms || s->now.length >= e->segment_bytes)
			continue;
		char name[16];
		segment_name(s->n, name);
		e->active_fd = openat(e->segments_dir, name, O_RDWR | O_CLOEXEC);
		if (e->active_fd >= 0)
			e->active = s->n;
		return;
	}
}

enum rc segments_load(struct engine *e, struct why *why)
{
	struct key from = key_segment(0), to = key_segment(UINT32_MAX);
	struct loading l = { .e = e };
	TRY(engine_scan(e, TABLE_SEGMENT, key_str(&from), key_str(&to), SIZE_MAX, load_row, &l, NULL));
	if (l.failed) /* a file whose row was not seen would look like an orphan */
		FAIL(why, RC_NOMEM, "no memory for the list of segments");
	struct buf b;
	buf_init(&b, 64);
	struct key k = key_meta(next_name);
	enum rc rc = engine_get(e, TABLE_META, key_str(&k), &b);
	struct cursor c = cursor_of(buf_str(&b));
	e->next_segment = rc == RC_OK ? cursor_u32(&c) : 1;
	buf_done(&b);
	if (rc != RC_OK && rc != RC_NOTFOUND && rc != RC_DAMAGED)
		FAIL(why, rc, "segments: cannot read the index");
	e->next_segment_disk = e->next_segment;
	if (e->segment_n && e->segments[e->segment_n - 1].n >= e->next_segment)
		e->next_segment = e->segments[e->segment_n - 1].n + 1;
	TRY(look_for_lost_index(e, why));
	TRY(look_at_files(e, !l.damaged, why));
	choose_active(e);
	return RC_OK;
}

void segments_close(struct engine *e)
{
	fd_close(&e->active_fd);
	mem_free(e->segments);
	e->segments = NULL;
	e->segment_n = e->segment_cap = 0;
}

/* ---- adding ---- */
static enum rc create_file(struct engine *e, uint32_t n, int *out_fd, struct why *why)
{
	char name[16], head[SEGMENT_HEAD_LEN];
	segment_name(n, name);
	segment_head(n, head);
	int fd = openat(e->segments_dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd < 0)
		return file_error(errno, "create", n, why);
	enum rc rc = fd_pwrite_all(fd, str_of(head, sizeof head), 0, why);
	if (rc != RC_OK) {
		fd_close(&fd);
		segment_unlink(e, n);
		return errno == EFBIG ? RC_FULL : rc;
	}
	*out_fd = fd;
	return RC_OK;
}

static enum rc rotate(struct engine *e, struct why *why)
{
	int fd = -1;
	uint32_t n = e->next_segment;
	TRY(create_file(e, n, &fd, why));
	struct segment *s = segment_new(e, n);
	if (!s) {
		fd_close(&fd);
		segment_unlink(e, n);
		FAIL(why, RC_NOMEM, "no memory for a segment");
	}
	s->now.length = s->disk.length = SEGMENT_HEAD_LEN;
	e->next_segment = n + 1;
	/* The old file may have bodies of this very group: segments_sync() opens it again by its name. */
	fd_close(&e->active_fd);
	e->active_fd = fd;
	e->active = n;
	e->dir_dirty = true;
	return RC_OK;
}

enum rc segment_place(struct engine *e, struct str bytes, struct blob_place *out, struct why *why)
{
	struct segment *s = e->active ? segment_find(e, e->active) : NULL;
	if (!s || s->broken || (s->now.length + bytes.n > e->segment_bytes && s->now.length > SEGMENT_HEAD_LEN)) {
		TRY(rotate(e, why));
		s = segment_find(e, e->active);
	}
	if (e->write_n == e->write_cap) {
		size_t cap = e->write_cap ? e->write_cap * 2 : 64;
		struct body_write *w = mem_grow(e->writes, e->write_cap * sizeof *w, cap * sizeof *w);
		if (!w)
			FAIL(why, RC_NOMEM, "no memory for a body");
		e->writes = w;
		e->write_cap = cap;
	}
	e->writes[e->write_n++] = (struct body_write){ s->n, s->now.length, bytes };
	*out = (struct blob_place){ s->n, s->now.length, bytes.n };
	s->now.length += bytes.n;
	s->now.live += bytes.n;
	s->dirty = true;
	return RC_OK;
}

/* A large body: its own file, written and synced by a worker before the commit joins a group. */
struct single_job { struct engine *e; uint32_t n; struct str bytes; enum rc rc; struct why why; };

static void single_work(void *arg)
{
	struct single_job *j = arg;
	int fd = -1;
	j->rc = create_file(j->e, j->n, &fd, &j->why);
	if (j->rc != RC_OK)
		return;
	j->rc = fd_pwrite_all(fd, j->bytes, SEGMENT_HEAD_LEN, &j->why);
	if (j->rc != RC_OK)
		j->rc = j->why.sys == EFBIG ? RC_FULL : j->rc;
	else if (fdatasync(fd) != 0)
		j->rc = file_error(errno, "sync", j->n, &j->why);
	else
		j->rc = dir_sync(j->e->segments_dir, &j->why);
	fd_close(&fd);
	if (j->rc != RC_OK)
		segment_unlink(j->e, j->n);
}

enum rc segment_write_single(struct engine *e, struct str bytes, uint32_t *out_segment, struct why *why)
{
	struct single_job j = { .e = e, .n = e->next_segment++, .bytes = bytes };
	if (e->loop && fiber_self())
		TRY(worker_run(single_work, &j));
	else
		single_work(&j);
	if (j.rc != RC_OK && why)
		*why = j.why;
	if (j.rc == RC_OK) {
		e->stats.bytes_written += bytes.n + SEGMENT_HEAD_LEN;
		*out_segment = j.n;
	}
	return j.rc;
}

enum rc segment_add_single(struct engine *e, uint32_t n, uint64_t length, struct why *why)
{
	struct segment *s = segment_new(e, n);
	if (!s)
		FAIL(why, RC_NOMEM, "no memory for a segment");
	s->now = (struct segment_row){ .length = SEGMENT_HEAD_LEN + length, .live = length, .single = true };
	s->dirty = true;
	return RC_OK;
}

/* ---- the group's end ---- */
static enum rc write_run(struct engine *e, int fd, const struct body_write *w, size_t n, struct why *why)
{
	struct iovec iov[IOV_BATCH];
	uint64_t at = w[0].offset;
	for (size_t i = 0; i < n; i++)
		iov[i] = (struct iovec){ (void *)(uintptr_t)w[i].bytes.p, w[i].bytes.n };
	struct iovec *v = iov;
	while (n) {
		ssize_t done = pwritev(fd, v, (int)n, (off_t)at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return file_error(done < 0 ? errno : EIO, "write", w[0].segment, why);
		at += (uint64_t)done;
		e->stats.bytes_written += (uint64_t)done;
		for (; n && (size_t)done >= v->iov_len; v++, n--)
			done -= (ssize_t)v->iov_len;
		if (n) {
			v->iov_base = (char *)v->iov_base + done;
			v->iov_len -= (size_t)done;
		}
	}
	return RC_OK;
}

static enum rc sync_segment(struct engine *e, int fd, uint32_t n, struct why *why)
{
	if (fdatasync(fd) == 0)
		return RC_OK;
	int err = errno;
	struct segment *s = segment_find(e, n);
	if (s)
		s->broken = true; /* invariant 3 */
	return file_error(err, "sync", n, why);
}

/* Bodies of one segment: written in as few calls as can be, then one sync. */
static enum rc sync_bodies(struct engine *e, const struct body_write *w, size_t n, struct why *why)
{
	int fd = e->active_fd, own = -1;
	if (w[0].segment != e->active) {
		char name[16];
		segment_name(w[0].segment, name);
		fd = own = openat(e->segments_dir, name, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return file_error(errno, "open", w[0].segment, why);
	}
	enum rc rc = RC_OK;
	for (size_t i = 0; i < n && rc == RC_OK; i += IOV_BATCH)
		rc = write_run(e, fd, w + i, n - i < IOV_BATCH ? n - i : IOV_BATCH, why);
	/* The common case, one group and one segment: its sync runs beside LMDB's own. */
	if (rc == RC_OK && own < 0 && n == e->write_n && !e->dir_dirty && joint_start(e->joint, fd))
		e->joined = e->active;
	else if (rc == RC_OK)
		rc = sync_segment(e, fd, w[0].segment, why);
	fd_close(&own);
	return rc;
}

enum rc segments_joined(struct engine *e, struct why *why)
{
	if (!e->joined)
		return RC_OK;
	int err = joint_end(e->joint);
	struct segment *s = segment_find(e, e->joined);
	if (err && s)
		s->broken = true; /* invariant 3 */
	uint32_t n = e->joined;
	e->joined = 0;
	return err ? file_error(err, "sync", n, why) : RC_OK;
}

enum rc segments_sync(struct engine *e, struct why *why)
{
	for (size_t i = 0, n; i < e->write_n; i += n) {
		for (n = 1; i + n < e->write_n && e->writes[i + n].segment == e->writes[i].segment; n++)
			;
		TRY(sync_bodies(e, e->writes + i, n, why));
	}
	if (e->dir_dirty) {
		TRY(dir_sync(e->segments_dir, why));
		e->dir_dirty = false;
	}
	return RC_OK;
}

enum rc segments_put_rows(struct engine *e, struct why *why)
{
	for (size_t i = 0; i < e->segment_n; i++) {
		struct segment *s = &e->segments[i];
		if (!s->dirty)
			continue;
		char row[SEGMENT_ROW_LEN];
		struct key k = key_segment(s->n);
		TRY(index_error(index_put(e->index, e->txn, TABLE_SEGMENT, key_str(&k), segment_row_format(&s->now, row)), "segment row", why));
	}
	if (e->next_segment != e->next_segment_disk) {
		char v[4];
		struct pen p = { v, v + sizeof v, false };
		struct key k = key_meta(next_name);
		pen_int(&p, e->next_segment, 4);
		TRY(index_error(index_put(e->index, e->txn, TABLE_META, key_str(&k), str_of(v, sizeof v)), "segment counter", why));
	}
	return RC_OK;
}

void segments_settle(struct engine *e, bool committed)
{
	if (committed)
		e->next_segment_disk = e->next_segment;
	for (size_t i = 0; i < e->segment_n; i++) {
		struct segment *s = &e->segments[i];
		if (!s->dirty)
			continue;
		s->dirty = false;
		if (committed) {
			s->disk = s->now;
			s->known = true;
			continue;
		}
		s->now = s->disk;
		if (!s->known && s->n != e->active) { /* a file that only the lost group knew */
			segment_unlink(e, s->n);
			segment_forget(e, s);
			i--;
		}
	}
	e->write_n = 0;
}

enum rc segment_read(struct engine *e, const struct blob_place *p, uint64_t offset, size_t n, struct buf *out, struct why *why)
{
	if (offset > p->length || n > p->length - offset)
		FAIL(why, RC_LIMIT, "read past the end of a body");
	if (!buf_room(out, n))
		FAIL(why, RC_NOMEM, "no room for a body");
	int fd = -1;
	TRY(segment_open(e->segments_dir, p->segment, &fd, why));
	enum rc rc = RC_OK;
	while (n && rc == RC_OK) {
		ssize_t got = pread(fd, out->p + out->len, n, (off_t)(p->offset + offset));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			rc = got < 0 ? file_error(errno, "read", p->segment, why)
			             : why_fail(why, RC_DAMAGED, 0, __FILE__, "segment %u is cut off", p->segment);
			continue;
		}
		out->len += (size_t)got;
		offset += (uint64_t)got;
		n -= (size_t)got;
	}
	fd_close(&fd);
	return rc;
}
