#include "role/access_reading.h"

#include "base/mem.h"
#include "os/file.h"
#include <fcntl.h>

/* Somebody who reads one body after the other gets the next ones opened meanwhile, by a worker: reading, opening and unpacking take longer than
 * sending. What does not come out of it as it should (moved, damaged, many chunks) is left out here: the session reads it in its turn. */

enum { BODIES_MOST = 24, STORED_AT_ONCE = 160 * 1024, STORED_MOST = 64 * 1024, STREAK = 2, PLAIN_MAX = (BODIES_MOST + 1) * (BLOB_CHUNK + 64) };

struct body_ahead {
	uint32_t uid;
	struct blob_id id;
	struct blob_place place;
	struct secret key;
	bool fine;
	size_t at, n;                           /* in `plain` */
};

/* Belongs to the reading, and to the fiber that has it filled for as long as that lasts. */
struct batch_of_bodies {
	unsigned refs;
	bool filled;
	struct waitlist done;
	int fd;
	size_t n;
	struct body_ahead body[BODIES_MOST];
	struct buf stored, plain;
};

static void batch_clear(struct batch_of_bodies *b)
{
	fd_close(&b->fd);
	for (size_t i = 0; i < b->n; i++)
		secret_done(&b->body[i].key);
	b->n = 0;
}

static void batch_unref(struct batch_of_bodies **bp)
{
	struct batch_of_bodies *b = *bp;
	*bp = NULL;
	if (!b || --b->refs)
		return;
	batch_clear(b);
	buf_done(&b->stored);
	buf_wipe(&b->plain);
	mem_free(b);
}

static struct batch_of_bodies *batch_new(void)
{
	struct batch_of_bodies *b = mem_new(sizeof *b);
	if (!b)
		return NULL;
	b->refs = 1;
	b->fd = -1;
	buf_init(&b->stored, 2 * STORED_AT_ONCE);
	buf_init(&b->plain, PLAIN_MAX);
	return b;
}

/* ---- on the worker ---- */

static bool open_one(struct batch_of_bodies *b, struct body_ahead *x, struct str stored)
{
	struct blob_header h;
	struct why why = { 0 };
	size_t need;
	uint64_t off;
	uint32_t len;
	if (blob_header_parse(stored, &h, &need, &why) != RC_OK || memcmp(h.id.b, x->id.b, sizeof h.id.b) != 0 || h.chunks != 1 ||
	    blob_chunk_at(stored, &h, 0, &off, &len) != RC_OK || off + len > stored.n)
		return false;
	x->at = b->plain.len;
	if (blob_chunk_open(&x->key, &h, 0, str_of(stored.p + off, len), &b->plain) != RC_OK)
		return false;
	x->n = b->plain.len - x->at;
	return true;
}

/* Messages that came one after the other lie one behind the other: one read for all of them. */
static void fill(void *arg)
{
	struct batch_of_bodies *b = arg;
	buf_clear(&b->plain);
	for (size_t i = 0, end; i < b->n; i = end) {
		uint64_t from = b->body[i].place.offset, to = from + b->body[i].place.length;
		for (end = i + 1; end < b->n && b->body[end].place.offset == to; end++)
			to += b->body[end].place.length;
		if (segment_pull(b->fd, from, to - from, &b->stored) != RC_OK)
			continue;
		for (size_t k = i; k < end; k++) {
			struct body_ahead *x = &b->body[k];
			x->fine = open_one(b, x, str_of(b->stored.p + (x->place.offset - from), x->place.length));
		}
	}
}

static void fill_fiber(void *arg)
{
	struct batch_of_bodies *b = arg;
	(void)!worker_run(fill, b); /* not run: nothing is `fine` */
	b->filled = true;
	wake_all(&b->done);
	batch_unref(&b);
}

/* ---- on the session's side ---- */

/* The next row's body, when it may join this batch. */
static bool add_body(struct reading *r, struct batch_of_bodies *b, const struct row *row, size_t *stored)
{
	struct record_clear clear;
	struct record_secret secret;
	struct str sealed;
	struct epoch_keys *keys;
	struct why why = { 0 };
	if (row->damaged || !row->place.length || row->place.length > STORED_MOST || record_clear_parse(row->record, &clear, &sealed) != RC_OK ||
	    owner_epoch(r->o, clear.epoch, &keys, &why) != RC_OK || record_open_head(keys, &clear, sealed, &r->bodies.scratch, &secret) != RC_OK)
		return false;
	b->body[b->n++] = (struct body_ahead){ .uid = row->uid, .id = clear.blob, .place = row->place, .key = secret.body_key };
	secret_done(&secret.body_key);
	*stored += row->place.length;
	return true;
}

static void collect(struct reading *r, struct batch_of_bodies *b)
{
	struct ahead *a = &r->bodies;
	struct row row;
	size_t stored = 0;
	struct why why;
	if (!a->peeking || (!a->in_next && a->peek.in.n > r->c.in.n))
		a->peek = r->c;
	a->peeking = true;
	while (b->n < BODIES_MOST && stored < STORED_AT_ONCE) {
		struct cursor next = a->peek;
		enum rc rc = row_next(&next, r->want, &row);
		if (rc == RC_NOTFOUND && !a->in_next && reading_look_ahead(r, &a->peek, &why) == RC_OK) {
			a->in_next = true;
			continue;
		}
		if (rc != RC_OK || (b->n && row.place.segment != b->body[0].place.segment))
			return;
		a->peek = next;
		(void)add_body(r, b, &row, &stored);
	}
}

void ahead_row(struct reading *r)
{
	struct ahead *a = &r->bodies;
	a->streak = a->asked ? a->streak + 1 : 0;
	a->asked = false;
}

void ahead_chunk(struct reading *r, bool is_next)
{
	r->bodies.peeking = r->bodies.peeking && r->bodies.in_next && is_next;
	r->bodies.in_next = false;
}

static void recycle(struct ahead *a, struct batch_of_bodies **bp)
{
	struct batch_of_bodies *b = *bp;
	*bp = NULL;
	if (!b)
		return;
	batch_clear(b);
	if (a->spare)
		batch_unref(&b);
	else
		a->spare = b;
}

void ahead_go(struct reading *r)
{
	struct ahead *a = &r->bodies;
	struct why why;
	int fd;
	a->asked = true;
	/* What was passed by without a look is of no use any more. */
	if (a->coming && a->coming->filled && a->coming->body[a->coming->n - 1].uid <= r->uid_now)
		recycle(a, &a->coming);
	if (!a->wanted || a->coming || a->streak < STREAK)
		return;
	struct batch_of_bodies *b = a->spare ? a->spare : batch_new();
	a->spare = NULL;
	if (!b)
		return;
	b->filled = false;
	collect(r, b);
	if (b->n && segment_files_get(&reading_house(r)->files, b->body[0].place.segment, &fd, &why) == RC_OK)
		b->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	b->refs++;
	if (b->fd >= 0 && fiber_start(r->o->e->loop, fill_fiber, b, NULL) == RC_OK) {
		a->coming = b;
		fiber_yield(); /* it begins in the loop's next turn: without one here, when this session waits for it */
		return;
	}
	b->refs--;
	recycle(a, &b);
}

static const struct body_ahead *find(const struct batch_of_bodies *b, const struct reading *r)
{
	for (size_t i = 0; b && i < b->n; i++)
		if (b->body[i].uid == r->uid_now)
			return memcmp(b->body[i].id.b, r->body.id.b, sizeof r->body.id.b) == 0 ? &b->body[i] : NULL;
	return NULL;
}

enum rc ahead_take(struct reading *r, struct str *out)
{
	struct ahead *a = &r->bodies;
	const struct body_ahead *x = find(a->now, r);
	if (!x && (x = find(a->coming, r))) {
		while (!a->coming->filled)
			TRY(wait_on(&a->coming->done, NO_DEADLINE));
		recycle(a, &a->now);
		a->now = a->coming;
		a->coming = NULL;
	}
	if (!x || !x->fine)
		return RC_NOTFOUND;
	*out = str_of(a->now->plain.p + x->at, x->n);
	return RC_OK;
}

void ahead_done(struct reading *r)
{
	batch_unref(&r->bodies.now);
	batch_unref(&r->bodies.coming);
	batch_unref(&r->bodies.spare);
	buf_wipe(&r->bodies.scratch);
}
