#include "store/engine_local.h"

#include "base/mem.h"
#include "os/file.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>

/* The engine `local`: one LMDB environment and segments. All verbs that are under way in one turn of the loop share a group:
 * one write transaction, one set of syncs. Invariants:
 * 1. The group's transaction is opened by the first call that needs it and ends in group_close() or engine_abort(); nothing in
 *    between suspends while it reads and applies, so what a verb read is still true when its batch is applied.
 * 2. Bodies are on disk before the transaction that names them commits; LMDB syncs its pages before its header.
 * 3. A group that failed leaves nothing: LMDB's transaction is aborted, segment rows go back, unnamed files go away. */
enum { OFFERS_MAX = 1 << 16, NOTICES_MAX = 1 << 20, CROWD = 8, CROWD_WAITED = 12, CROWD_WAIT_NS = 1000000, WAITS_MOST = 2, COMPANY = 4 };

/* ---- groups ---- */
static void group_unref(struct group **gp)
{
	struct group *g = *gp;
	*gp = NULL;
	if (!g || g->refs > 0 || !g->closed)
		return;
	mem_free(g->notices);
	mem_free(g);
}

static enum rc begin_txn(struct engine *e, struct why *why)
{
	unsigned flags = e->index && !e->index->writable ? MDB_RDONLY : 0;
	int err = e->index ? mdb_txn_begin(e->index->env, NULL, flags, &e->txn) : MDB_PANIC;
	if (err == MDB_PANIC && (!e->index || e->index->refs == 1)) {
		index_close(&e->index);
		TRY(index_open(e->dir, e->map_size, true, &e->index, why));
		err = mdb_txn_begin(e->index->env, NULL, 0, &e->txn);
	}
	return index_error(err, "index: begin", why);
}

enum rc engine_begin(struct engine *e, struct why *why)
{
	if (e->txn)
		return RC_OK;
	struct group *g = mem_new(sizeof *g);
	if (!g)
		FAIL(why, RC_NOMEM, "no memory for a commit group");
	enum rc rc = begin_txn(e, why);
	if (rc != RC_OK) {
		e->txn = NULL;
		mem_free(g);
		return rc;
	}
	e->group = g;
	return RC_OK;
}

static void offers_settle(struct engine *e)
{
	size_t kept = 0;
	for (size_t i = 0; i < e->offer_n; i++)
		if (!e->offers[i].named)
			e->offers[kept++] = e->offers[i];
	e->offer_n = kept;
}

/* Ends the open group for everybody in it. The transaction is gone already. */
static void group_end(struct engine *e, enum rc rc, const struct why *why)
{
	struct group *g = e->group;
	e->txn = NULL;
	e->group = NULL;
	e->late_n = 0;
	segments_settle(e, rc == RC_OK);
	offers_settle(e);
	g->closed = true;
	g->rc = rc;
	if (why)
		g->why = *why;
	for (size_t i = 0; rc == RC_OK && e->watch && i < g->notice_n; i++)
		e->watch(e->watch_arg, g->notices[i].account, g->notices[i].box, g->notices[i].modseq);
	wake_all(&g->wait);
	group_unref(&g);
}

void engine_abort(struct engine *e, enum rc rc, const struct why *why)
{
	if (!e->group)
		return;
	mdb_txn_abort(e->txn);
	group_end(e, rc, why);
}

/* ---- rows put last: records and signatures lie in the order in which they came. Put in that order when the group is whole, they fill the
 * last pages one after the other ---- */
static bool comes_late(enum table t) { return t == TABLE_RECORD || t == TABLE_GRAMS; }

static int by_key(const void *a, const void *b)
{
	const struct late *x = a, *y = b;
	return x->table != y->table ? (x->table > y->table) - (x->table < y->table) : str_cmp(x->key, y->key);
}

static enum rc late_put(struct engine *e, struct why *why)
{
	enum rc rc = RC_OK;
	if (e->late_n > 1)
		qsort(e->late, e->late_n, sizeof *e->late, by_key);
	for (size_t i = 0; i < e->late_n && rc == RC_OK; i++)
		rc = index_error(index_append(e->index, e->txn, e->late[i].table, e->late[i].key, e->late[i].value), "index: put", why);
	e->late_n = 0;
	return rc;
}

/* Before anything looks at such a table. */
static enum rc late_settle(struct engine *e, enum table t, struct why *why)
{
	struct why local = { 0 };
	if (e->late_n == 0 || !comes_late(t))
		return RC_OK;
	enum rc rc = late_put(e, &local);
	if (rc != RC_OK) {
		engine_abort(e, rc, &local);
		if (why)
			*why = local;
	}
	return rc;
}

static enum rc late_add(struct engine *e, const struct op *o, struct why *why)
{
	if (e->late_n == e->late_cap) {
		size_t cap = e->late_cap ? e->late_cap * 2 : 64;
		struct late *l = mem_grow(e->late, e->late_cap * sizeof *l, cap * sizeof *l);
		if (!l)
			FAIL(why, RC_NOMEM, "no memory for a row");
		e->late = l;
		e->late_cap = cap;
	}
	e->late[e->late_n++] = (struct late){ o->table, o->key, o->value };
	return RC_OK;
}

/* LMDB calls a write that the disk took only in part EIO; on a full disk that is what it is: no room. */
static int why_short(const struct engine *e, int err)
{
	struct statvfs f;
	return err == EIO && fstatvfs(e->segments_dir, &f) == 0 && f.f_bavail < 256 ? ENOSPC : err;
}

static void group_close(struct engine *e)
{
	if (!e->group)
		return;
	struct why why = { 0 };
	if (!e->group->dirty) { /* only reads: nothing to promise */
		engine_abort(e, RC_OK, NULL);
		return;
	}
	e->crowded = e->write_n && e->group->notice_n >= (e->group->waits ? CROWD_WAITED : CROWD);
	enum rc rc = late_put(e, &why);
	if (rc == RC_OK)
		rc = segments_put_rows(e, &why);
	if (rc == RC_OK)
		rc = segments_sync(e, &why);
	if (rc != RC_OK) {
		engine_abort(e, rc, &why);
		return;
	}
	bool probe = !e->joined && !joint_works(e->joint);
	if (probe)
		joint_probe(e->joint, true);
	rc = index_error(why_short(e, mdb_txn_commit(e->txn)), "index: commit", &why);
	if (probe)
		joint_probe(e->joint, false);
	struct why beside;
	enum rc bodies = segments_joined(e, &beside);
	if (bodies != RC_OK) { /* LMDB has failed for it, too; this says why */
		rc = bodies;
		why = beside;
	}
	if (rc == RC_OK)
		e->stats.commits++;
	if (rc != RC_OK && rc != RC_FULL && e->index->refs == 1) { /* what is on disk now, only a fresh environment knows */
		index_close(&e->index);
		if (index_open(e->dir, e->map_size, true, &e->index, NULL) != RC_OK)
			e->index = NULL; /* the next verb tries again */
	}
	group_end(e, rc == RC_NOTFOUND || rc == RC_AGAIN ? RC_IO : rc, &why);
}

static void stay_awake(void *arg) { (void)arg; }

/* In a crowd a group waits a millisecond for company, and once more where some came: its syncs and the pages that all verbs share are the
 * same for nine deliveries as for eighteen. It does not wait for all: those who miss a group work while it is on its way to the disk; with
 * everybody in one, the machine would be idle meanwhile. Where waiting brings few (ten clients, each waiting for its answer) it is left out
 * again. It waits asleep, not at its channels: each delivery that wakes it up would cost what is to be saved. */
static bool wait_for_company(struct engine *e)
{
	struct group *g = e->group;
	if (!e->patient || !g || !g->dirty || e->write_n == 0 || loop_stopping(e->loop))
		return false;
	if (g->waits == 0 ? !e->crowded : g->waits == WAITS_MOST || g->notice_n < g->waited_n + COMPANY)
		return false;
	if (fiber_start(e->loop, stay_awake, NULL, NULL) != RC_OK) /* so that the loop looks at its channels and comes back */
		return false;
	g->waits++;
	g->waited_n = g->notice_n;
	(void)nanosleep(&(struct timespec){ .tv_nsec = CROWD_WAIT_NS }, NULL);
	return true;
}

static void on_idle(void *arg)
{
	if (!wait_for_company(arg))
		group_close(arg);
}

enum rc engine_wait(struct engine *e, struct why *why)
{
	struct group *g = e->group;
	if (!g)
		return RC_OK;
	g->refs++;
	if (!e->loop || !fiber_self()) {
		group_close(e);
	} else if (g->dirty) {
		enum rc rc = wait_on(&g->wait, NO_DEADLINE);
		/* Cancelled while the server stops: the answer is still owed and must be true, so the group ends here and now. */
		if (rc != RC_OK && !g->closed)
			group_close(e);
	}
	enum rc rc = g->closed ? g->rc : RC_OK;
	if (rc != RC_OK && why)
		*why = g->why;
	g->refs--;
	if (g->closed)
		group_unref(&g);
	return rc;
}

void engine_settle(struct engine *e)
{
	if (!e->loop || !fiber_self())
		group_close(e);
}

/* ---- reading ---- */
enum rc engine_get(struct engine *e, enum table t, struct str key, struct buf *out)
{
	TRY(engine_begin(e, NULL));
	TRY(late_settle(e, t, NULL));
	struct str v;
	TRY(index_get(e->index, e->txn, t, key, &v));
	buf_clear(out);
	buf_add(out, v);
	return out->failed ? RC_NOMEM : RC_OK;
}

enum rc engine_scan(struct engine *e, enum table t, struct str from, struct str to, size_t max,
                    bool (*each)(void *arg, const struct engine_row *r), void *arg, uint64_t *out_version)
{
	TRY(engine_begin(e, NULL));
	TRY(late_settle(e, t, NULL));
	if (out_version)
		*out_version = mdb_txn_id(e->txn);
	MDB_cursor *c = NULL;
	int err = mdb_cursor_open(e->txn, e->index->dbi[t], &c);
	if (err)
		return index_error(err, "index: cursor", NULL);
	MDB_val k = val_of(from), v;
	err = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	for (size_t i = 0; i < max && !err && str_cmp(str_val(k), to) < 0; i++) {
		struct engine_row r = { .key = str_val(k), .value = STR("") };
		r.damaged = !index_value(r.key, v, &r.value);
		if (!each(arg, &r))
			break;
		err = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(c);
	return err && err != MDB_NOTFOUND ? index_error(err, "index: scan", NULL) : RC_OK;
}

/* ---- applying ---- */
static enum rc check_expectation(struct engine *e, const struct op *o, struct why *why)
{
	struct str v;
	enum rc rc = index_get(e->index, e->txn, o->table, o->key, &v);
	if (rc == RC_NOTFOUND ? o->value.n == 0 : rc == RC_OK && o->value.n && str_eq(v, o->value))
		return RC_OK;
	if (rc == RC_OK || rc == RC_NOTFOUND)
		FAIL(why, RC_CONFLICT, "changed meanwhile");
	FAIL(why, rc, "index: %s row fails its checksum", index_table_names[o->table]);
}

static enum rc apply_delete(struct engine *e, const struct op *o, struct why *why)
{
	MDB_val k = val_of(o->key);
	int err = mdb_del(e->txn, e->index->dbi[o->table], &k, NULL);
	return err == MDB_NOTFOUND ? RC_OK : index_error(err, "index: delete", why);
}

static enum rc apply_copy(struct engine *e, const struct op *o, struct why *why)
{
	struct str v;
	enum rc rc = index_get(e->index, e->txn, o->table, o->key, &v);
	if (o->optional && (rc == RC_NOTFOUND || rc == RC_DAMAGED))
		return RC_OK;
	if (rc == RC_NOTFOUND)
		FAIL(why, RC_DAMAGED, "a %s row is missing", index_table_names[o->table]);
	if (rc != RC_OK)
		FAIL(why, rc, "a %s row fails its checksum", index_table_names[o->table]);
	char *copy = mem_new(v.n); /* a put may move the page that `v` points into */
	if (!copy)
		FAIL(why, RC_NOMEM, "no memory for a row");
	memcpy(copy, v.p, v.n);
	if (o->at + o->value.n <= v.n)
		memcpy(copy + o->at, o->value.p, o->value.n);
	int err = index_put(e->index, e->txn, o->table, o->to, str_of(copy, v.n));
	mem_free(copy);
	return index_error(err, "index: put", why);
}

static struct offer *offer_find(struct engine *e, struct str id)
{
	for (size_t i = e->offer_n; i > 0; i--)
		if (memcmp(e->offers[i - 1].id.b, id.p, BLOB_ID_LEN) == 0)
			return &e->offers[i - 1];
	return NULL;
}

static enum rc name_blob(struct engine *e, struct str id, struct blob_row *out, struct why *why)
{
	struct offer *f = offer_find(e, id);
	if (!f)
		FAIL(why, RC_DAMAGED, "a body that nobody has put");
	if (f->single) {
		TRY(segment_add_single(e, f->single, f->bytes.n, why));
		out->place = (struct blob_place){ f->single, SEGMENT_HEAD_LEN, f->bytes.n };
	} else {
		TRY(segment_place(e, f->bytes, &out->place, why));
	}
	f->named = true;
	return RC_OK;
}

static enum rc apply_blob(struct engine *e, const struct op *o, struct why *why)
{
	struct key k = { 0 };
	struct blob_id id;
	memcpy(id.b, o->key.p, BLOB_ID_LEN);
	k = key_blob(&id);
	struct str v;
	struct blob_row row = { 0 };
	enum rc rc = index_get(e->index, e->txn, TABLE_BLOB, key_str(&k), &v);
	if (rc == RC_OK)
		rc = blob_row_parse(v, &row);
	if (rc == RC_NOTFOUND && o->delta > 0)
		rc = name_blob(e, o->key, &row, why);
	else if (o->delta < 0 && (rc == RC_NOTFOUND || rc == RC_DAMAGED))
		return RC_OK; /* a damaged row is verify's to report; letting go of a message must still be possible */
	if (rc == RC_DAMAGED)
		FAIL(why, rc, "a blob row is damaged");
	if (rc != RC_OK)
		return rc;
	if (o->delta < 0 && (uint32_t)-o->delta >= row.refs) {
		segment_release(e, row.place.segment, row.place.length);
		MDB_val mk = val_of(key_str(&k));
		return index_error(mdb_del(e->txn, e->index->dbi[TABLE_BLOB], &mk, NULL), "index: delete", why);
	}
	if (o->delta > 0 && row.refs > (uint32_t)(INT32_MAX - o->delta))
		FAIL(why, RC_LIMIT, "too many copies of one body");
	row.refs += (uint32_t)o->delta;
	char out[BLOB_ROW_LEN];
	return index_error(index_put(e->index, e->txn, TABLE_BLOB, key_str(&k), blob_row_format(&row, out)), "index: put", why);
}

static enum rc apply_notice(struct engine *e, const struct op *o, struct why *why)
{
	struct group *g = e->group;
	struct notice *last = g->notice_n ? &g->notices[g->notice_n - 1] : NULL;
	if (last && last->account == o->notice.account && last->box == o->notice.box) {
		last->modseq = o->notice.modseq;
		return RC_OK;
	}
	if (g->notice_n == g->notice_cap) {
		size_t cap = g->notice_cap ? g->notice_cap * 2 : 64;
		struct notice *n = cap > NOTICES_MAX ? NULL : mem_grow(g->notices, g->notice_cap * sizeof *n, cap * sizeof *n);
		if (!n)
			FAIL(why, RC_NOMEM, "no memory for a notice");
		g->notices = n;
		g->notice_cap = cap;
	}
	g->notices[g->notice_n++] = o->notice;
	return RC_OK;
}

static enum rc apply(struct engine *e, const struct op *o, struct why *why)
{
	switch (o->kind) {
	case OP_EXPECT: return RC_OK; /* checked before anything was applied */
	case OP_PUT:
		if (o->lent && comes_late(o->table))
			return late_add(e, o, why);
		return index_error((o->append ? index_append : index_put)(e->index, e->txn, o->table, o->key, o->value), "index: put", why);
	case OP_DELETE: return apply_delete(e, o, why);
	case OP_COPY: return apply_copy(e, o, why);
	case OP_BLOB: return apply_blob(e, o, why);
	case OP_NOTICE: return apply_notice(e, o, why);
	}
	return RC_OK;
}

enum rc engine_commit(struct engine *e, struct batch *b, struct why *why)
{
	if (b->failed)
		FAIL(why, RC_NOMEM, "no memory for a batch");
	TRY(engine_begin(e, why));
	for (size_t i = 0; i < b->n; i++)
		if (b->ops[i].kind == OP_EXPECT)
			TRY(check_expectation(e, &b->ops[i], why));
	struct why local = { 0 };
	for (size_t i = 0; i < b->n; i++) {
		if (b->ops[i].kind == OP_EXPECT)
			continue;
		e->group->dirty = true;
		enum rc rc = b->ops[i].kind == OP_DELETE || b->ops[i].kind == OP_COPY ? late_settle(e, b->ops[i].table, &local) : RC_OK;
		if (rc == RC_OK)
			rc = apply(e, &b->ops[i], &local);
		if (rc != RC_OK) { /* half a batch is in the transaction: the whole group goes */
			rc = rc == RC_NOTFOUND ? RC_IO : rc;
			engine_abort(e, rc, &local);
			if (why)
				*why = local;
			return rc;
		}
	}
	return engine_wait(e, why);
}

/* ---- bodies ---- */
enum rc engine_blob_put(struct engine *e, const struct blob_id *id, struct str bytes, struct why *why)
{
	if (offer_find(e, str_of(id->b, BLOB_ID_LEN)))
		return RC_OK;
	uint32_t single = 0;
	if (bytes.n > BLOB_SINGLE_MIN)
		TRY(segment_write_single(e, bytes, &single, why));
	if (e->offer_n == e->offer_cap) {
		size_t cap = e->offer_cap ? e->offer_cap * 2 : 64;
		struct offer *f = cap > OFFERS_MAX ? NULL : mem_grow(e->offers, e->offer_cap * sizeof *f, cap * sizeof *f);
		if (!f) {
			if (single)
				segment_unlink(e, single);
			FAIL(why, RC_NOMEM, "no memory for a body");
		}
		e->offers = f;
		e->offer_cap = cap;
	}
	e->offers[e->offer_n++] = (struct offer){ .id = *id, .bytes = bytes, .single = single };
	return RC_OK;
}

void engine_blob_drop(struct engine *e, const struct blob_id *id)
{
	struct offer *f = offer_find(e, str_of(id->b, BLOB_ID_LEN));
	if (!f || f->named)
		return;
	if (f->single)
		segment_unlink(e, f->single);
	*f = e->offers[--e->offer_n];
}

enum rc engine_blob_read(struct engine *e, const struct blob_id *id, uint64_t offset, size_t n, struct buf *out, struct why *why)
{
	struct key k = key_blob(id);
	struct blob_row row;
	TRY(engine_begin(e, why));
	struct str v;
	enum rc rc = index_get(e->index, e->txn, TABLE_BLOB, key_str(&k), &v);
	if (rc == RC_OK)
		rc = blob_row_parse(v, &row);
	if (rc != RC_OK)
		FAIL(why, rc, "no such body");
	return segment_read(e, &row.place, offset, n, out, why);
}

void engine_watch(struct engine *e, void (*fn)(void *arg, uint64_t account, uint64_t box, uint64_t modseq), void *arg)
{
	e->watch = fn;
	e->watch_arg = arg;
}

/* ---- open, close, care ---- */
static enum rc open_dirs(struct engine *e, const struct engine_options *o, struct why *why)
{
	char path[4096];
	int n = snprintf(path, sizeof path, "%s/index", o->dir);
	if (n < 0 || (size_t)n + 8 >= sizeof path)
		FAIL(why, RC_LIMIT, "path too long: %.100s", o->dir);
	if (!o->read_only)
		TRY(dir_make(path, 0700, why));
	(void)snprintf(path, sizeof path, "%s/segments", o->dir);
	if (!o->read_only)
		TRY(dir_make(path, 0750, why));
	return dir_open(path, &e->segments_dir, why);
}

/* LMDB makes its file and does not sync the directory that names it. */
static enum rc sync_names(const char *dir, struct why *why)
{
	static const char *const below[] = { "/index", "/segments", "" };
	for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
		char path[4096];
		int fd = -1;
		(void)snprintf(path, sizeof path, "%s%s", dir, below[i]); /* shorter than what open_dirs() has checked */
		TRY(dir_open(path, &fd, why));
		enum rc rc = dir_sync(fd, why);
		fd_close(&fd);
		TRY(rc);
	}
	return RC_OK;
}

static enum rc set_up(struct engine *e, const struct engine_options *o, struct why *why)
{
	size_t n = strlen(o->dir) + 1;
	e->dir = mem_new(n);
	if (!e->dir)
		FAIL(why, RC_NOMEM, "no memory for the store");
	memcpy(e->dir, o->dir, n);
	TRY(open_dirs(e, o, why));
	TRY(index_open(o->dir, o->map_size, !o->read_only, &e->index, why));
	if (o->read_only)
		return RC_OK;
	TRY(sync_names(o->dir, why));
	enum rc rc = segments_load(e, why);
	group_close(e);
	return rc;
}

enum rc engine_local_open(struct loop *l_or_null, const struct engine_options *o, struct engine **out, struct why *why)
{
	struct engine *e = mem_new(sizeof *e);
	if (!e)
		FAIL(why, RC_NOMEM, "no memory for the store");
	e->loop = l_or_null;
	e->joint = joint_new();
	e->segments_dir = e->active_fd = -1;
	e->map_size = o->map_size;
	e->patient = o->patient && l_or_null;
	e->segment_bytes = o->segment_bytes ? o->segment_bytes : SEGMENT_BYTES_DEFAULT;
	e->grace_ms = o->grace_ms == 0 ? GRACE_MS_DEFAULT : o->grace_ms < 0 ? 0 : o->grace_ms;
	enum rc rc = e->joint ? set_up(e, o, why) : why_fail(why, RC_NOMEM, 0, __FILE__, "no memory for the store");
	if (rc != RC_OK) {
		engine_close(&e);
		return rc;
	}
	if (l_or_null)
		loop_on_idle(l_or_null, on_idle, e);
	*out = e;
	return RC_OK;
}

void engine_close(struct engine **ep)
{
	struct engine *e = *ep;
	*ep = NULL;
	if (!e)
		return;
	group_close(e);
	if (e->loop)
		loop_on_idle(e->loop, NULL, NULL);
	joint_free(&e->joint);
	segments_close(e);
	index_close(&e->index);
	fd_close(&e->segments_dir);
	mem_free(e->offers);
	mem_free(e->late);
	mem_free(e->writes);
	mem_free(e->dir);
	mem_free(e);
}

void engine_stats(struct engine *e, struct engine_stats *out)
{
	*out = e->stats;
	out->segments = e->segment_n;
	out->live_bytes = out->dead_bytes = 0;
	for (size_t i = 0; i < e->segment_n; i++) {
		const struct segment_row *r = &e->segments[i].disk;
		out->live_bytes += r->live;
		out->dead_bytes += r->length > r->live + SEGMENT_HEAD_LEN ? r->length - r->live - SEGMENT_HEAD_LEN : 0;
	}
	struct statvfs f;
	if (fstatvfs(e->segments_dir, &f) == 0)
		out->disk_free = (uint64_t)f.f_bavail * f.f_frsize;
}

enum rc engine_pin(struct engine *e, uint64_t *out_lease, struct why *why)
{
	uint64_t lease = 0;
	TRY(random_bytes(&lease, sizeof lease));
	lease |= 1;
	for (size_t i = 0; i < LEASES_MAX; i++)
		if (e->leases[i] == 0) {
			*out_lease = e->leases[i] = lease;
			return RC_OK;
		}
	FAIL(why, RC_BUSY, "too many leases at once (%d)", LEASES_MAX);
}

void engine_unpin(struct engine *e, uint64_t lease)
{
	for (size_t i = 0; lease && i < LEASES_MAX; i++)
		if (e->leases[i] == lease)
			e->leases[i] = 0;
}
