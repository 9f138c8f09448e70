#include "role/relay_queue.h"

#include "base/map.h"
#include "base/mem.h"

/* Invariants.
 * 1. A row that waits or is ready is in exactly one heap of its lane, at `at`; one that is held or under way is in none.
 * 2. A lane's heaps have room for all its rows: a row that comes back always finds its place.
 * 3. A lane is in `awake` if a job of it could be given out now, in `asleep` if that will be so at `wake` by itself, else in neither. The one call that may
 *    change this is place_lane(), at the end of every change. */

enum {
	DUE_AT_ONCE = 64,              /* rows moved from waiting to ready in one step: a clock's jump makes no pause */
	TURNS_PER_PRIORITY = 64,
	RUN = 100,                     /* jobs of one lane over one connection while others wait for a place */
	DOWN_JOBS = 8,
	ONE = 256,                     /* limits are kept in 1/256 */
	IDLE_MS = 600000,
	NONE = 0xffffffff
};

struct row {
	uint64_t letter;
	int64_t due;
	uint32_t lane, at, chain;
	uint32_t n : 17, priority : 4, state : 3, again : 1;
};

struct heap { uint32_t *v; uint32_t n, cap; };
enum order { BY_DUE, BY_PRIORITY, BY_WAKE, BY_TURN };
enum place { NOWHERE, ASLEEP, AWAKE };

struct lane {
	uint64_t id;
	struct heap waiting, ready;
	uint32_t rows, jobs, down_jobs, limit, self, at;
	unsigned failures;
	enum place place;
	bool paused, slow;             /* slow: has been crowded: grows by one a round, not by one a success */
	int64_t until, wake, idle_since;
	uint64_t turn;
};

struct rq {
	struct rq_limits limits;
	struct row *rows;
	uint32_t row_n, row_cap, row_free;   /* row_free: a list through `chain` */
	uint32_t *bucket;                    /* linear hashing: grows by one bucket a row, never all at once */
	uint32_t bucket_n, bucket_cap, index_n;
	struct lane **lanes;
	uint32_t lane_n, lane_cap, holes;
	uint32_t *hole;                      /* numbers of lanes that are free again */
	struct map by_id;
	struct heap awake, asleep;
	uint64_t turn;
	uint32_t jobs, states[RQ_STATES], again;
	uint64_t random;
};

/* ---- heaps of rows and of lanes ---- */

static bool before(const struct rq *q, enum order o, uint32_t x, uint32_t y)
{
	if (o == BY_WAKE)
		return q->lanes[x]->wake < q->lanes[y]->wake;
	if (o == BY_TURN)
		return q->lanes[x]->turn < q->lanes[y]->turn;
	const struct row *a = &q->rows[x], *b = &q->rows[y];
	if (o == BY_PRIORITY && a->priority != b->priority)
		return a->priority > b->priority;
	if (a->due != b->due)
		return a->due < b->due;
	return a->letter != b->letter ? a->letter < b->letter : a->n < b->n;
}

static void set_at(struct rq *q, enum order o, uint32_t x, uint32_t at)
{
	if (o == BY_WAKE || o == BY_TURN)
		q->lanes[x]->at = at;
	else
		q->rows[x].at = at;
}

static void put_at(struct rq *q, struct heap *h, enum order o, uint32_t at, uint32_t x)
{
	h->v[at] = x;
	set_at(q, o, x, at);
}

static void sift(struct rq *q, struct heap *h, enum order o, uint32_t at)
{
	uint32_t x = h->v[at];
	while (at && before(q, o, x, h->v[(at - 1) / 2])) {
		put_at(q, h, o, at, h->v[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (uint32_t child; (child = 2 * at + 1) < h->n; at = child) {
		if (child + 1 < h->n && before(q, o, h->v[child + 1], h->v[child]))
			child++;
		if (!before(q, o, h->v[child], x))
			break;
		put_at(q, h, o, at, h->v[child]);
	}
	put_at(q, h, o, at, x);
}

static void heap_add(struct rq *q, struct heap *h, enum order o, uint32_t x)
{
	h->v[h->n++] = x;
	sift(q, h, o, h->n - 1);
}

static void heap_remove(struct rq *q, struct heap *h, enum order o, uint32_t at)
{
	uint32_t last = h->v[--h->n];
	if (at == h->n)
		return;
	h->v[at] = last;
	sift(q, h, o, at);
}

static bool heap_room(struct heap *h, uint32_t n)
{
	if (n <= h->cap)
		return true;
	uint32_t cap = n < 4 ? 4 : n + n / 2;
	uint32_t *v = mem_grow_raw(h->v, cap * sizeof *v);
	if (!v)
		return false;
	h->v = v;
	h->cap = cap;
	return true;
}

/* ---- finding rows: linear hashing, one bucket more with each row ---- */

static uint32_t mix(uint64_t letter, uint32_t n)
{
	uint64_t v = (letter ^ (uint64_t)n << 40) * 0x9e3779b97f4a7c15u;
	v ^= v >> 32;
	v *= 0xd6e8feb86659fd93u;
	return (uint32_t)(v >> 32);
}

static uint32_t bucket_of(const struct rq *q, uint64_t letter, uint32_t n)
{
	uint32_t mask = 1, h = mix(letter, n);
	while (mask < q->bucket_n)
		mask <<= 1;
	uint32_t b = h & (mask - 1);
	return b < q->bucket_n ? b : h & (mask / 2 - 1);
}

static bool grow_index(struct rq *q)
{
	if (q->index_n < q->bucket_n)
		return true;
	if (q->bucket_n == q->bucket_cap) {
		uint32_t cap = q->bucket_cap ? q->bucket_cap * 2 : 64;
		uint32_t *v = mem_grow_raw(q->bucket, cap * sizeof *v);
		if (!v)
			return false;
		q->bucket = v;
		q->bucket_cap = cap;
	}
	uint32_t half = 1;
	while (half * 2 <= q->bucket_n)
		half *= 2;
	uint32_t old = q->bucket_n ? q->bucket_n - half : 0;
	q->bucket[q->bucket_n++] = NONE;
	if (q->bucket_n == 1)
		return true;
	uint32_t r = q->bucket[old];
	q->bucket[old] = NONE;
	while (r != NONE) { /* the old bucket's rows now go to one of two */
		uint32_t next = q->rows[r].chain, *to = &q->bucket[bucket_of(q, q->rows[r].letter, q->rows[r].n)];
		q->rows[r].chain = *to;
		*to = r;
		r = next;
	}
	return true;
}

static uint32_t find_row(const struct rq *q, uint64_t letter, uint32_t n)
{
	uint32_t r = q->bucket_n ? q->bucket[bucket_of(q, letter, n)] : NONE;
	while (r != NONE && (q->rows[r].letter != letter || q->rows[r].n != n))
		r = q->rows[r].chain;
	return r;
}

static void unlink_row(struct rq *q, uint32_t r)
{
	uint32_t *p = &q->bucket[bucket_of(q, q->rows[r].letter, q->rows[r].n)];
	while (*p != r)
		p = &q->rows[*p].chain;
	*p = q->rows[r].chain;
	q->index_n--;
	q->rows[r].chain = q->row_free;
	q->row_free = r;
}

static enum rc new_row(struct rq *q, uint32_t *out)
{
	if (q->row_free != NONE) {
		*out = q->row_free;
		q->row_free = q->rows[*out].chain;
		return RC_OK;
	}
	if (q->row_n == q->row_cap) {
		uint32_t cap = q->row_cap ? q->row_cap * 2 : 64;
		if (q->row_cap >= RQ_ROWS_MAX)
			return RC_FULL;
		struct row *v = mem_grow_raw(q->rows, cap * sizeof *v);
		if (!v)
			return RC_NOMEM;
		q->rows = v;
		q->row_cap = cap;
	}
	*out = q->row_n++;
	return RC_OK;
}

/* ---- lanes ---- */

static struct lane *find_lane(const struct rq *q, uint64_t id) { return map_get_u64(&q->by_id, id); }

/* The places of a new lane in the heaps of lanes, and in the list of free numbers, are there before it is. */
static bool more_lanes(struct rq *q)
{
	if (q->lane_n < q->lane_cap)
		return true;
	uint32_t cap = q->lane_cap ? q->lane_cap * 2 : 16;
	struct lane **v = mem_grow_raw((void *)q->lanes, cap * sizeof(*v));
	if (!v)
		return false;
	q->lanes = v;
	uint32_t *hole = mem_grow_raw(q->hole, cap * sizeof *hole);
	if (!hole)
		return false;
	q->hole = hole;
	if (!heap_room(&q->awake, cap) || !heap_room(&q->asleep, cap))
		return false;
	q->lane_cap = cap;
	return true;
}

static enum rc get_lane(struct rq *q, uint64_t id, struct lane **out)
{
	struct lane *l = find_lane(q, id);
	if (l)
		return *out = l, RC_OK;
	if (!q->holes && !more_lanes(q))
		return RC_NOMEM;
	uint32_t self = q->holes ? q->hole[q->holes - 1] : q->lane_n;
	if (!(l = mem_new(sizeof *l)))
		return RC_NOMEM;
	uint32_t first = q->limits.lane_first < q->limits.lane_most ? q->limits.lane_first : q->limits.lane_most;
	*l = (struct lane){ .id = id, .limit = first * ONE, .self = self };
	enum rc rc = map_put_u64(&q->by_id, id, l);
	if (rc != RC_OK)
		return mem_free(l), rc;
	q->lanes[self] = l;
	if (q->holes)
		q->holes--;
	else
		q->lane_n++;
	return *out = l, RC_OK;
}

static void unplace(struct rq *q, struct lane *l)
{
	if (l->place == AWAKE)
		heap_remove(q, &q->awake, BY_TURN, l->at);
	else if (l->place == ASLEEP)
		heap_remove(q, &q->asleep, BY_WAKE, l->at);
	l->place = NOWHERE;
}

static void set_state(struct rq *q, struct row *r, enum rq_state state)
{
	bool was = r->state == RQ_WAITING || r->state == RQ_READY, is = state == RQ_WAITING || state == RQ_READY;
	q->states[r->state]--;
	q->states[state]++;
	q->again += r->again && is;
	q->again -= r->again && was;
	r->state = state & 7;
}

/* What has become due is ready: some at a time. */
static void ripen(struct rq *q, struct lane *l, int64_t now)
{
	for (unsigned i = 0; i < DUE_AT_ONCE && l->waiting.n && q->rows[l->waiting.v[0]].due <= now; i++) {
		uint32_t r = l->waiting.v[0];
		heap_remove(q, &l->waiting, BY_DUE, 0);
		set_state(q, &q->rows[r], RQ_READY);
		heap_add(q, &l->ready, BY_PRIORITY, r);
	}
}

/* When a job of it can be given out, as things are; INT64_MAX: not by itself. */
static int64_t able_at(const struct rq *q, const struct lane *l, int64_t now)
{
	int64_t due = l->ready.n ? q->rows[l->ready.v[0]].due : l->waiting.n ? q->rows[l->waiting.v[0]].due : INT64_MAX;
	if (l->paused || due == INT64_MAX)
		return INT64_MAX;
	int64_t stale = l->down_jobs < DOWN_JOBS ? due + q->limits.stale_ms : INT64_MAX;
	if (l->until > now)
		return stale < l->until ? stale : l->jobs * ONE < l->limit ? l->until : stale;
	if ((l->jobs + 1) * ONE > l->limit)
		return INT64_MAX;
	return l->ready.n ? now : due;
}

static void place_lane(struct rq *q, struct lane *l, int64_t now)
{
	ripen(q, l, now);
	int64_t at = able_at(q, l, now);
	if (at > now) {
		unplace(q, l);
		if (at == INT64_MAX)
			return;
		l->wake = at;
		l->place = ASLEEP;
		heap_add(q, &q->asleep, BY_WAKE, l->self);
		return;
	}
	uint64_t turn = q->turn + 1 + (9u - q->rows[l->ready.v[0]].priority) * TURNS_PER_PRIORITY;
	if (l->place == AWAKE && l->turn <= turn)
		return;
	unplace(q, l);
	l->turn = turn;
	l->place = AWAKE;
	heap_add(q, &q->awake, BY_TURN, l->self);
}

/* ---- the calls ---- */

enum rc rq_new(const struct rq_limits *l, struct rq **out)
{
	struct rq *q = mem_new(sizeof *q);
	if (!q)
		return RC_NOMEM;
	q->limits = *l;
	q->row_free = NONE;
	q->random = 0x2545f4914f6cdd1du;
	map_init(&q->by_id, RQ_ROWS_MAX);
	*out = q;
	return RC_OK;
}

static void free_lane(struct lane *l)
{
	mem_free(l->waiting.v);
	mem_free(l->ready.v);
	mem_free(l);
}

void rq_free(struct rq **q)
{
	if (!*q)
		return;
	for (uint32_t i = 0; i < (*q)->lane_n; i++)
		if ((*q)->lanes[i])
			free_lane((*q)->lanes[i]);
	mem_free((*q)->hole);
	map_done(&(*q)->by_id);
	mem_free((void *)(*q)->lanes);
	mem_free((*q)->rows);
	mem_free((*q)->bucket);
	mem_free((*q)->awake.v);
	mem_free((*q)->asleep.v);
	mem_free(*q);
	*q = NULL;
}

void rq_set_limits(struct rq *q, const struct rq_limits *l)
{
	q->limits = *l;
	for (uint32_t i = 0; i < q->lane_n; i++)
		if (q->lanes[i] && q->lanes[i]->limit > l->lane_most * ONE)
			q->lanes[i]->limit = l->lane_most * ONE;
}

/* Into the heap where it belongs; `r` is in none. */
static void settle(struct rq *q, struct lane *l, uint32_t r, int64_t now)
{
	bool ready = q->rows[r].due <= now;
	set_state(q, &q->rows[r], ready ? RQ_READY : RQ_WAITING);
	heap_add(q, ready ? &l->ready : &l->waiting, ready ? BY_PRIORITY : BY_DUE, r);
}

enum rc rq_add(struct rq *q, const struct rq_row *in, int64_t now)
{
	struct lane *l;
	uint32_t r;
	if (in->n >= RQ_N_MAX)
		return RC_LIMIT;
	if (find_row(q, in->letter, in->n) != NONE)
		return RC_EXISTS;
	TRY(get_lane(q, in->lane, &l));
	if (!heap_room(&l->waiting, l->rows + 1) || !heap_room(&l->ready, l->rows + 1) || !grow_index(q))
		return RC_NOMEM;
	TRY(new_row(q, &r));
	q->rows[r] = (struct row){ .letter = in->letter, .due = in->due, .lane = l->self, .n = in->n & 0x1ffff, .priority = (in->priority > 9 ? 9u : in->priority) & 15u,
		.state = RQ_HELD, .again = in->again };
	uint32_t *b = &q->bucket[bucket_of(q, in->letter, in->n)];
	q->rows[r].chain = *b;
	*b = r;
	q->index_n++;
	q->states[RQ_HELD]++;
	l->rows++;
	if (!in->held)
		settle(q, l, r, now);
	place_lane(q, l, now);
	return RC_OK;
}

static void take_ready(struct rq *q, struct lane *l, unsigned max_rows, struct rq_job *out)
{
	*out = (struct rq_job){ .lane = l->id, .letter = q->rows[l->ready.v[0]].letter };
	while (l->ready.n && out->rows < max_rows && out->rows < RQ_JOB_ROWS && q->rows[l->ready.v[0]].letter == out->letter) {
		struct row *r = &q->rows[l->ready.v[0]];
		heap_remove(q, &l->ready, BY_PRIORITY, 0);
		set_state(q, r, RQ_UNDER_WAY);
		out->n[out->rows++] = r->n;
	}
}

enum rc rq_next(struct rq *q, int64_t now, unsigned max_rows, struct rq_job *out)
{
	while (q->asleep.n && q->lanes[q->asleep.v[0]]->wake <= now)
		place_lane(q, q->lanes[q->asleep.v[0]], now);
	if (q->jobs >= q->limits.total)
		return RC_AGAIN;
	struct lane *l = NULL;
	while (!l && q->awake.n) { /* one that has been awake for long may have got its hosts back, and with them its limit */
		l = q->lanes[q->awake.v[0]];
		if (able_at(q, l, now) > now) {
			place_lane(q, l, now);
			l = NULL;
		}
	}
	if (!l)
		return RC_AGAIN;
	q->turn = q->turn < l->turn ? l->turn : q->turn;
	unplace(q, l);
	bool down = l->until > now;
	take_ready(q, l, max_rows ? max_rows : 1, out);
	out->down = down;
	*(down ? &l->down_jobs : &l->jobs) += 1;
	q->jobs++;
	place_lane(q, l, now);
	return RC_OK;
}

enum rc rq_more(struct rq *q, int64_t now, uint64_t lane, unsigned max_rows, struct rq_job *out)
{
	struct lane *l = find_lane(q, lane);
	if (!l)
		return RC_AGAIN;
	ripen(q, l, now);
	if (!l->ready.n || l->paused || l->until > now || l->jobs * ONE > l->limit)
		return RC_AGAIN;
	/* Others wait because all places are taken: its turn is over when theirs comes. */
	if (q->jobs >= q->limits.total && q->awake.n && q->lanes[q->awake.v[0]] != l && q->lanes[q->awake.v[0]]->turn + RUN <= q->turn)
		return RC_AGAIN;
	q->turn++;
	take_ready(q, l, max_rows ? max_rows : 1, out);
	place_lane(q, l, now);
	return RC_OK;
}

void rq_leave(struct rq *q, int64_t now, uint64_t lane, bool down)
{
	struct lane *l = find_lane(q, lane);
	uint32_t *count = !l ? NULL : down ? &l->down_jobs : &l->jobs;
	if (!l || !*count)
		return;
	--*count;
	q->jobs--;
	l->idle_since = now;
	place_lane(q, l, now);
}

int64_t rq_wake_at(const struct rq *q)
{
	if (q->jobs >= q->limits.total)
		return INT64_MAX;
	return q->awake.n ? INT64_MIN : q->asleep.n ? q->lanes[q->asleep.v[0]]->wake : INT64_MAX;
}

/* A fifth more or less, so that lanes that failed together do not come back together. */
static int64_t jitter(struct rq *q, int64_t ms)
{
	q->random ^= q->random << 13;
	q->random ^= q->random >> 7;
	q->random ^= q->random << 17;
	return ms - ms / 5 + (int64_t)(q->random % (uint64_t)(ms / 5 * 2 + 1));
}

static void went_down(struct rq *q, struct lane *l, int64_t now)
{
	int64_t ms = q->limits.down_first_ms;
	if (l->until > now) /* the others that were under way have met the same */
		return;
	for (unsigned i = 0; i < l->failures && ms < q->limits.down_most_ms; i++)
		ms *= 2;
	l->failures++;
	l->limit = ONE;
	l->slow = false;
	l->until = now + jitter(q, ms < q->limits.down_most_ms ? ms : q->limits.down_most_ms);
}

void rq_tell(struct rq *q, int64_t now, uint64_t lane, enum rq_news news)
{
	struct lane *l = find_lane(q, lane);
	if (!l)
		return;
	if (news == RQ_DOWN) {
		went_down(q, l, now);
	} else if (news == RQ_CROWDED) {
		l->limit = l->limit / 2 < ONE ? ONE : l->limit / 2;
		l->slow = true;
	} else {
		l->failures = 0;
		l->until = 0;
		l->limit += l->slow ? ONE * ONE / l->limit : ONE;
		if (l->limit > q->limits.lane_most * ONE)
			l->limit = q->limits.lane_most * ONE;
	}
	place_lane(q, l, now);
}

void rq_back(struct rq *q, int64_t now, uint64_t letter, uint32_t n, int64_t due, bool held)
{
	uint32_t r = find_row(q, letter, n);
	if (r == NONE || q->rows[r].state != RQ_UNDER_WAY)
		return;
	struct lane *l = q->lanes[q->rows[r].lane];
	q->rows[r].due = due;
	q->rows[r].again = 1;
	if (held)
		set_state(q, &q->rows[r], RQ_HELD);
	else
		settle(q, l, r, now);
	place_lane(q, l, now);
}

void rq_drop(struct rq *q, int64_t now, uint64_t letter, uint32_t n)
{
	uint32_t r = find_row(q, letter, n);
	if (r == NONE || q->rows[r].state != RQ_UNDER_WAY)
		return;
	struct lane *l = q->lanes[q->rows[r].lane];
	q->states[RQ_UNDER_WAY]--;
	unlink_row(q, r);
	l->rows--;
	l->idle_since = now;
}

static void take_out(struct rq *q, struct lane *l, uint32_t r)
{
	if (q->rows[r].state == RQ_READY)
		heap_remove(q, &l->ready, BY_PRIORITY, q->rows[r].at);
	else if (q->rows[r].state == RQ_WAITING)
		heap_remove(q, &l->waiting, BY_DUE, q->rows[r].at);
}

enum rc rq_take(struct rq *q, int64_t now, uint64_t letter, uint32_t n)
{
	uint32_t r = find_row(q, letter, n);
	if (r == NONE)
		return RC_NOTFOUND;
	if (q->rows[r].state == RQ_UNDER_WAY)
		return RC_BUSY;
	struct lane *l = q->lanes[q->rows[r].lane];
	take_out(q, l, r);
	set_state(q, &q->rows[r], RQ_UNDER_WAY);
	unplace(q, l);
	place_lane(q, l, now);
	return RC_OK;
}

enum rc rq_retry(struct rq *q, int64_t now, uint64_t letter, uint32_t n)
{
	uint32_t r = find_row(q, letter, n);
	if (r == NONE)
		return RC_NOTFOUND;
	struct lane *l = q->lanes[q->rows[r].lane];
	l->until = 0;
	if (q->rows[r].state == RQ_WAITING) {
		take_out(q, l, r);
		q->rows[r].due = now;
		settle(q, l, r, now);
	}
	place_lane(q, l, now);
	return RC_OK;
}

void rq_pause(struct rq *q, int64_t now, uint64_t lane, bool paused)
{
	struct lane *l;
	if (get_lane(q, lane, &l) != RC_OK)
		return;
	l->paused = paused;
	unplace(q, l);
	place_lane(q, l, now);
}

bool rq_paused(const struct rq *q, uint64_t lane)
{
	const struct lane *l = find_lane(q, lane);
	return l && l->paused;
}

bool rq_find(const struct rq *q, uint64_t letter, uint32_t n, struct rq_fact *out)
{
	uint32_t r = find_row(q, letter, n);
	if (r == NONE)
		return false;
	const struct row *row = &q->rows[r];
	*out = (struct rq_fact){ .state = (enum rq_state)row->state, .lane = q->lanes[row->lane]->id, .due = row->due, .priority = row->priority, .again = row->again };
	return true;
}

bool rq_lane(const struct rq *q, uint64_t lane, struct rq_lane_fact *out)
{
	const struct lane *l = find_lane(q, lane);
	if (!l)
		return false;
	*out = (struct rq_lane_fact){ .rows = l->rows, .jobs = l->jobs, .limit = l->limit / ONE, .failures = l->failures, .down_until = l->until, .paused = l->paused };
	return true;
}

void rq_counts(const struct rq *q, struct rq_counts *out)
{
	*out = (struct rq_counts){ .again = q->again, .lanes = q->lane_n - q->holes, .jobs = q->jobs };
	memcpy(out->rows, q->states, sizeof out->rows);
}

void rq_sweep(struct rq *q, int64_t now)
{
	for (uint32_t i = 0; i < q->lane_n; i++) {
		struct lane *l = q->lanes[i];
		if (!l || l->rows || l->jobs || l->down_jobs || l->paused || l->until > now || now - l->idle_since < IDLE_MS)
			continue;
		unplace(q, l);
		(void)map_drop_u64(&q->by_id, l->id);
		q->lanes[i] = NULL;
		q->hole[q->holes++] = i;
		free_lane(l);
	}
}
