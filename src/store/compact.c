#include "store/engine_local.h"

#include "base/mem.h"
#include "os/file.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Compaction: segments of which less than half is alive give their living bodies to the active segment, step by step, each step a
 * batch in the ordinary group. An emptied segment is retired, and its file goes when the grace period is over (readers ask where a
 * body lies and open the file a moment later) and no lease holds it. Invariants:
 * 1. A body's row changes only together with the durable copy it points to.
 * 2. The row of a retired segment is removed by a commit before its file is unlinked; a file without a row is an orphan that
 *    the next start removes. */
enum { STEP_BYTES = 1 << 20, STEP_BODIES = 64, UNLINK_STEP = 64, HEAD_READ = 4096 };

static bool leased(const struct engine *e)
{
	for (size_t i = 0; i < LEASES_MAX; i++)
		if (e->leases[i])
			return true;
	return false;
}

/* ---- unlinking ---- */
static enum rc remove_retired(struct engine *e, bool *did, struct why *why)
{
	uint32_t gone[UNLINK_STEP];
	size_t n = 0;
	int64_t now = wall_ms();
	if (leased(e))
		return RC_OK;
	for (size_t i = 0; i < e->segment_n && n < UNLINK_STEP; i++) {
		const struct segment *s = &e->segments[i];
		if (s->n != e->active && !s->dirty && s->disk.retired_ms && s->disk.live == 0 && now - s->disk.retired_ms >= e->grace_ms)
			gone[n++] = s->n;
	}
	if (n == 0)
		return RC_OK;
	struct batch b;
	batch_init(&b);
	for (size_t i = 0; i < n; i++) {
		struct key k = key_segment(gone[i]);
		batch_delete(&b, TABLE_SEGMENT, key_str(&k));
	}
	enum rc rc = engine_commit(e, &b, why);
	batch_done(&b);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		segment_unlink(e, gone[i]);
		segment_drop(e, gone[i]);
	}
	*did = rc == RC_OK;
	return rc;
}

/* ---- moving ---- */
static struct segment *choose(struct engine *e)
{
	struct segment *s = e->walk_segment ? segment_find(e, e->walk_segment) : NULL;
	if (s && s->n != e->active && !s->now.retired_ms && !s->broken)
		return s;
	e->walk_segment = 0;
	/* The active one, too, when it is mostly dead and worth it: closed, it is like any other. */
	s = e->active ? segment_find(e, e->active) : NULL;
	if (s && s->now.length > e->segment_bytes / 4 && s->now.live * 2 < s->now.length && !e->group) {
		fd_close(&e->active_fd);
		e->active = 0;
	}
	for (size_t i = 0; i < e->segment_n; i++) {
		s = &e->segments[i];
		if (s->n == e->active || s->now.single || s->broken || s->now.retired_ms || s->now.live * 2 >= s->now.length)
			continue;
		e->walk_segment = s->n;
		e->walk_offset = SEGMENT_HEAD_LEN;
		return s;
	}
	return NULL;
}

/* The stored length of the blob that begins at `at`: from its header. */
static enum rc stored_length(int fd, uint64_t at, uint64_t end, struct buf *scratch, struct blob_header *h, uint64_t *out)
{
	size_t need = HEAD_READ;
	enum rc rc = RC_AGAIN;
	while (rc == RC_AGAIN) {
		if (need > end - at)
			need = (size_t)(end - at);
		buf_clear(scratch);
		if (!buf_room(scratch, need))
			return RC_NOMEM;
		ssize_t got = pread(fd, scratch->p, need, (off_t)at);
		if (got < 0)
			return RC_IO;
		scratch->len = (size_t)got;
		size_t more = 0;
		rc = blob_header_parse(buf_str(scratch), h, &more, NULL);
		if (rc == RC_AGAIN && (more <= need || more > end - at))
			return RC_DAMAGED;
		need = more;
	}
	TRY(rc);
	return blob_stored_len(buf_str(scratch), h, out);
}

struct moving { struct blob_id id; struct blob_row row; struct str bytes; };

/* Reads the next living bodies of the segment, at most a step's worth; *out_at: where to go on. */
static enum rc read_step(struct engine *e, const struct segment *s, int fd, struct arena *mem, struct moving *m, size_t *out_n, uint64_t *out_at)
{
	struct buf head;
	buf_init(&head, 1 << 20);
	enum rc rc = RC_OK;
	uint64_t at = e->walk_offset, end = s->now.length;
	size_t n = 0;
	while (rc == RC_OK && at < end && n < STEP_BODIES && mem->used < STEP_BYTES) {
		struct blob_header h;
		uint64_t len = 0;
		struct str raw;
		rc = stored_length(fd, at, end, &head, &h, &len);
		if (rc != RC_OK || len > end - at) {
			rc = rc == RC_OK ? RC_DAMAGED : rc;
			break;
		}
		struct key k = key_blob(&h.id);
		m[n].id = h.id;
		enum rc found = index_get(e->index, e->txn, TABLE_BLOB, key_str(&k), &raw);
		if (found == RC_OK && blob_row_parse(raw, &m[n].row) == RC_OK && m[n].row.place.segment == s->n && m[n].row.place.offset == at) {
			char *p = arena_new(mem, len);
			if (!p)
				rc = RC_NOMEM;
			else if (pread(fd, p, len, (off_t)at) != (ssize_t)len)
				rc = RC_IO;
			else
				rc = blob_check(str_of(p, len), &h.id, NULL);
			if (rc == RC_OK)
				m[n++].bytes = str_of(p, len);
		}
		at += len;
	}
	buf_done(&head);
	*out_n = n;
	*out_at = at;
	return rc;
}

static enum rc apply_step(struct engine *e, uint32_t from, struct moving *m, size_t n, struct why *why)
{
	for (size_t i = 0; i < n; i++) {
		char row[BLOB_ROW_LEN];
		struct key k = key_blob(&m[i].id);
		e->group->dirty = true;
		TRY(segment_place(e, m[i].bytes, &m[i].row.place, why));
		TRY(index_error(index_put(e->index, e->txn, TABLE_BLOB, key_str(&k), blob_row_format(&m[i].row, row)), "blob row", why));
		segment_release(e, from, m[i].bytes.n);
	}
	return RC_OK;
}

/* Nothing lives there (it emptied while it was the active one): its file may go after the grace period. */
static enum rc retire(struct engine *e, uint32_t n, struct why *why)
{
	TRY(engine_begin(e, why));
	segment_release(e, n, 0);
	e->group->dirty = true;
	return engine_wait(e, why);
}

static enum rc move_step(struct engine *e, struct segment *s, struct why *why)
{
	if (s->now.live == 0)
		return retire(e, s->n, why);
	struct arena mem;
	struct moving m[STEP_BODIES];
	size_t n = 0;
	uint64_t at = 0;
	uint32_t from = s->n;
	char name[16];
	segment_name(from, name);
	int fd = openat(e->segments_dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		s->broken = true;
		return RC_OK;
	}
	arena_init(&mem, (size_t)2 << 30);
	enum rc rc = engine_begin(e, why);
	if (rc == RC_OK)
		rc = read_step(e, s, fd, &mem, m, &n, &at);
	fd_close(&fd);
	if (rc == RC_DAMAGED || rc == RC_IO) { /* a walk cannot pass damage: the segment stays as it is, and verify names what is wrong */
		s->broken = true;
		rc = RC_OK;
	} else if (rc == RC_OK) {
		struct batch none;
		bool at_end = at >= s->now.length;
		batch_init(&none);
		rc = apply_step(e, from, m, n, why);
		if (rc != RC_OK)
			engine_abort(e, rc, why);
		else
			rc = engine_commit(e, &none, why);
		batch_done(&none);
		if (rc == RC_OK)
			e->walk_offset = at;
		s = segment_find(e, from); /* the list may have moved */
		if (rc == RC_OK && at_end && s && !s->now.retired_ms)
			s->broken = true; /* its living bodies were not where its rows say: never emptied by walking */
	}
	arena_done(&mem);
	return rc;
}

enum rc engine_compact(struct engine *e, unsigned budget_ms, bool *out_more, struct why *why)
{
	int64_t end = wall_ms() + budget_ms;
	bool more = true;
	enum rc rc = RC_OK;
	while (rc == RC_OK && more) {
		bool did = false;
		rc = remove_retired(e, &did, why);
		struct segment *s = rc == RC_OK ? choose(e) : NULL;
		if (s)
			rc = move_step(e, s, why);
		more = did || s;
		if (wall_ms() >= end)
			break;
	}
	engine_settle(e);
	*out_more = more;
	return rc;
}
