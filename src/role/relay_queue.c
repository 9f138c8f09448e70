#include "role/relay_queue_inside.h"

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
	IDLE_MS = 600000
};

enum order { BY_DUE, BY_PRIORITY, BY_WAKE, BY_TURN };

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
	int64_t slot = rate_at(&l->rate, l->slot);
	due = l->ready.n ? now : due;
	return slot > due ? slot : due;
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
	q->row_free = RQ_NONE;
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
	if (rq_row_find(q, in->letter, in->n) != RQ_NONE)
		return RC_EXISTS;
	TRY(get_lane(q, in->lane, &l));
	if (!heap_room(&l->waiting, l->rows + 1) || !heap_room(&l->ready, l->rows + 1) || !rq_index_grow(q))
		return RC_NOMEM;
	TRY(rq_row_new(q, &r));
	q->rows[r] = (struct row){ .letter = in->letter, .due = in->due, .lane = l->self, .n = in->n & 0x1ffff, .priority = (in->priority > 9 ? 9u : in->priority) & 15u,
		.state = RQ_HELD, .again = in->again };
	rq_row_link(q, r);
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

/* As many as its rate lets go now, and counted. */
static void take_rated(struct rq *q, struct lane *l, int64_t now, unsigned max_rows, struct rq_job *out)
{
	take_ready(q, l, rate_room(&l->rate, l->slot, now, max_rows), out);
	out->paid = l->rate.n > 0;
	l->slot = rate_take(&l->rate, l->slot, now, out->rows);
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
	if (down)
		take_ready(q, l, max_rows ? max_rows : 1, out);
	else
		take_rated(q, l, now, max_rows ? max_rows : 1, out);
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
	if (!l->ready.n || l->paused || l->until > now || l->jobs * ONE > l->limit || !rate_room(&l->rate, l->slot, now, 1))
		return RC_AGAIN;
	/* Others wait because all places are taken: its turn is over when theirs comes. */
	if (q->jobs >= q->limits.total && q->awake.n && q->lanes[q->awake.v[0]] != l && q->lanes[q->awake.v[0]]->turn + RUN <= q->turn)
		return RC_AGAIN;
	q->turn++;
	take_rated(q, l, now, max_rows ? max_rows : 1, out);
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
	uint32_t r = rq_row_find(q, letter, n);
	if (r == RQ_NONE || q->rows[r].state != RQ_UNDER_WAY)
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
	uint32_t r = rq_row_find(q, letter, n);
	if (r == RQ_NONE || q->rows[r].state != RQ_UNDER_WAY)
		return;
	struct lane *l = q->lanes[q->rows[r].lane];
	q->states[RQ_UNDER_WAY]--;
	rq_row_free(q, r);
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
	uint32_t r = rq_row_find(q, letter, n);
	if (r == RQ_NONE)
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
	uint32_t r = rq_row_find(q, letter, n);
	if (r == RQ_NONE)
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

void rq_rate(struct rq *q, int64_t now, uint64_t lane, const struct rate *r)
{
	struct lane *l = find_lane(q, lane);
	if (!l || (l->rate.n == r->n && l->rate.seconds == r->seconds))
		return;
	int64_t first = rate_take(r, 0, now, 1);
	l->rate = *r;
	l->slot = l->slot < first ? l->slot : first; /* a slower one's last slot is not waited for */
	place_lane(q, l, now);
}

unsigned rq_pay(struct rq *q, int64_t now, const struct rq_job *j, unsigned n)
{
	struct lane *l = find_lane(q, j->lane);
	if (!l || j->paid || j->down)
		return n;
	n = rate_room(&l->rate, l->slot, now, n);
	if (n)
		l->slot = rate_take(&l->rate, l->slot, now, n);
	place_lane(q, l, now);
	return n;
}

void rq_unpay(struct rq *q, int64_t now, uint64_t lane, unsigned n)
{
	struct lane *l = find_lane(q, lane);
	if (!l)
		return;
	l->slot = rate_untake(&l->rate, l->slot, n);
	place_lane(q, l, now);
}

bool rq_rated(const struct rq *q, uint32_t *at, uint64_t *out_lane)
{
	while (*at < q->lane_n) {
		const struct lane *l = q->lanes[(*at)++];
		if (l && l->rate.n)
			return *out_lane = l->id, true;
	}
	return false;
}

bool rq_find(const struct rq *q, uint64_t letter, uint32_t n, struct rq_fact *out)
{
	uint32_t r = rq_row_find(q, letter, n);
	if (r == RQ_NONE)
		return false;
	const struct row *row = &q->rows[r];
	const struct lane *l = q->lanes[row->lane];
	int64_t slot = rate_at(&l->rate, l->slot);
	*out = (struct rq_fact){ .state = (enum rq_state)row->state, .lane = l->id, .due = row->due > slot ? row->due : slot, .priority = row->priority, .again = row->again };
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
		if (!l || l->rows || l->jobs || l->down_jobs || l->paused || l->until > now || now - l->idle_since < IDLE_MS || rate_at(&l->rate, l->slot) > now)
			continue;
		unplace(q, l);
		(void)map_drop_u64(&q->by_id, l->id);
		q->lanes[i] = NULL;
		q->hole[q->holes++] = i;
		free_lane(l);
	}
}
