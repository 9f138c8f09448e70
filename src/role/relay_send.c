#include "role/relay.h"

#include "base/log.h"
#include "base/mem.h"

/* One job: rows of a letter that go to one destination. Load, try, tell whom it concerns, commit, and only then go on over the same connection. */

enum { ROOM = 16 << 20, TROUBLE_MS = 60000, NO_ROOM_MS = 5000, CROWD_MS = 1000 };

struct sending {
	struct relay_house *h;
	struct rq_job job;
	struct arena a;
	struct arena turn;             /* of one transaction: a peer that takes one recipient at a time costs no more than another */
	struct relay_letter *letter;
	struct relay_row *rows; size_t n;
	struct relay_outcome *out;
	struct str *host;
	struct relay_conn *conn;
	struct relay_pending pending;
	struct str domain;
	int64_t began;
};

static int64_t now_of(const struct relay_house *h) { return loop_now(h->e->loop); }

struct relay_lane *relay_lane_of(struct relay_house *h, uint64_t lane, struct str domain)
{
	struct relay_lane *l = map_get_u64(&h->lanes, lane);
	if (l || !domain.n || !(l = mem_new(sizeof *l)))
		return l;
	l->lane = lane;
	(void)snprintf(l->domain, sizeof l->domain, "%.*s", PSTR(str_head(domain, 255)));
	if (map_put_u64(&h->lanes, lane, l) != RC_OK) {
		mem_free(l);
		return NULL;
	}
	return l;
}

static struct str domain_of(struct str address)
{
	size_t at = address.n;
	while (at && address.p[at - 1] != '@')
		at--;
	return str_skip(address, at);
}

/* ---- outcomes that become changes ---- */

/* RFC 2852 4: where a time was asked for with N, its passing is what the sender is told of. (With R, edge has made it the end: expires_ms.) */
static struct relay_times times_of(const struct sending *s, const struct relay_row *r)
{
	struct relay_times t = relay_times_of(s->h->e);
	const struct letter *l = &s->letter->l;
	int64_t by = l->deliver_by_ms - relay_begin(&t, &r->row);
	if (l->deliver_by_ms && !l->by_return && (!t.notice || by < t.notice))
		t.notice = by > 0 ? by : 1;
	return t;
}

/* By what this attempt came to, and by how long it has been tried: done, or when again. */
static void settle(struct sending *s, size_t i, struct relay_row *r, struct relay_outcome *o, enum relay_report *out_report)
{
	struct relay_times t = times_of(s, r);
	int64_t wall = wall_ms();
	r->row.attempts++;
	if (o->what == RELAY_LATER && relay_expired(&t, &r->row, wall)) {
		o->what = RELAY_FAILED;
		r->row.end = QUEUE_EXPIRED;
		(void)snprintf(o->status, sizeof o->status, "4.4.7"); /* RFC 3463 3.5: delivery time expired */
	}
	bool late = o->what == RELAY_LATER && relay_is_late(&t, &r->row, wall);
	*out_report = relay_report_due(o->what, r->rcpt.notify, late, s->conn && s->conn->client && (smtp_client_extensions(s->conn->client) & SMTP_EXT_DSN), s->letter->l.owner.n);
	if (late)
		r->row.flags |= QUEUE_ROW_DELAY_TOLD;
	r->rcpt.last_ms = wall;
	r->rcpt.reply = str_head(str_z(o->text), 500);
	r->rcpt.remote = o->remote;
	r->rcpt.host = s->host[i];
	r->rcpt.tls = s->conn ? arena_str(&s->turn, str_z(s->conn->tls)) : STR("");
	if (o->what == RELAY_LATER) {
		r->row.state = QUEUE_READY;
		r->row.due_ms = relay_due(&t, &r->row, wall, s->job.letter);
		return;
	}
	r->row.state = QUEUE_DONE;
	r->row.due_ms = wall;
	if (o->what == RELAY_SENT)
		r->row.end = QUEUE_SENT;
	else if (r->row.end != QUEUE_EXPIRED)
		r->row.end = QUEUE_BOUNCED;
}

static enum rc make_change(struct sending *s, struct relay_row *r, struct queue_change *out)
{
	struct buf b AUTO(buf_done);
	buf_init(&b, QUEUE_ROW_MAX);
	enum rc rc;
	if (r->row.state == QUEUE_DONE) {
		struct relay_done d = { .mid = s->letter->l.mid, .sender = s->letter->l.sender, .from = s->letter->l.from, .rcpt = r->rcpt };
		rc = relay_done_seal(s->h, &d, &b);
	} else {
		rc = letter_rcpt_seal(&s->letter->l.row_key, r->row.version + 1, r->row.n, &r->rcpt, &b);
	}
	if (rc != RC_OK || b.failed)
		return RC_NOMEM;
	*out = (struct queue_change){ .row = r->row };
	*(r->row.state == QUEUE_DONE ? &out->done : &out->row.sealed) = arena_str(&s->turn, buf_str(&b));
	return s->turn.full ? RC_NOMEM : RC_OK;
}

/* ---- what is told, and to whom ---- */

/* One report for all that want the same kind of it. */
static enum rc report(struct sending *s, size_t from, size_t n, const enum relay_report *reports, enum relay_report kind, struct why *why)
{
	struct relay_told *list = arena_new(&s->turn, n * sizeof *list);
	size_t k = 0;
	for (size_t i = from; list && i < from + n; i++)
		if (reports[i - from] == kind)
			list[k++] = (struct relay_told){ &s->rows[i], &s->out[i], kind, s->host[i] };
	if (!list)
		return RC_NOMEM;
	return k ? relay_bounce(s->h, s->letter, list, k, why) : RC_OK;
}

/* A report that nobody takes now. What was delivered is delivered all the same; a delay is told the next time; and who failed stays in the queue until its sender can hear of
 * it, for as long again as the message was tried. */
static void untold(struct sending *s, size_t i, enum relay_report kind)
{
	struct relay_times t = relay_times_of(s->h->e);
	struct queue_row *r = &s->rows[i].row;
	int64_t wall = wall_ms(), life = r->expires_ms > r->created_ms ? r->expires_ms - r->created_ms : 0;
	if (kind == RELAY_REPORT_DELAYED)
		r->flags &= (uint8_t)~QUEUE_ROW_DELAY_TOLD;
	if (kind != RELAY_REPORT_FAILED || (wall > r->expires_ms + life && relay_expired(&t, r, wall)))
		return;
	s->out[i].what = RELAY_LATER;
	r->state = QUEUE_READY;
	r->end = QUEUE_END_NONE;
	r->due_ms = relay_due(&t, r, wall, s->job.letter);
}

static void tell_senders(struct sending *s, size_t from, size_t n, const enum relay_report *reports)
{
	for (enum relay_report k = RELAY_REPORT_FAILED; k <= RELAY_REPORT_RELAYED; k++) {
		struct why why = { 0 };
		enum rc rc = report(s, from, n, reports, k, &why);
		if (rc == RC_OK)
			continue;
		if (rc != RC_CLOSED)
			log_event(LEVEL_ERROR, EV_QUEUE_TROUBLE, F("mid", s->letter->l.mid), F("reason", why.text[0] ? why.text : rc_name(rc)));
		for (size_t i = from; i < from + n; i++)
			if (reports[i - from] == k)
				untold(s, i, k);
	}
}

static void log_rows(struct sending *s, size_t from, size_t n)
{
	static const struct { enum relay_what what; enum event ev; enum level level; const char *kind; enum metric m; } kinds[] = {
		{ RELAY_SENT, EV_QUEUE_SENT, LEVEL_INFO, "sent", M_DELIVERED_OUT },
		{ RELAY_LATER, EV_QUEUE_DEFERRED, LEVEL_INFO, "deferred", M_DEFERRED_OUT },
		{ RELAY_FAILED, EV_QUEUE_BOUNCED, LEVEL_WARN, "bounced", M_BOUNCED_OUT },
	};
	size_t which[RQ_JOB_ROWS];
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
		for (size_t i = from; i < from + n;) {
			size_t m = 0, first = i;
			while (first < from + n && s->out[first].what != kinds[k].what)
				first++;
			for (i = first; i < from + n; i++) /* those with the same words */
				if (s->out[i].what == kinds[k].what && strcmp(s->out[i].text, s->out[first].text) == 0)
					which[m++] = i;
				else if (s->out[i].what == kinds[k].what)
					break;
			if (!m)
				break;
			relay_tell_rows(s->h, s->letter, kinds[k].kind, s->rows, which, m, s->conn, s->out[first].text);
			count_add(s->h->e, kinds[k].m, (int64_t)m);
			log_event(kinds[k].level, kinds[k].ev, F("mid", s->letter->l.mid), F("letter", (int64_t)s->job.letter), F("dom", s->domain), F("rcpts", (int64_t)m),
			          F("host", s->host[first]), F("tls", s->conn ? s->conn->tls : ""), F("reason", s->out[first].text), F("dur_ms", now_of(s->h) - s->began));
		}
}

/* ---- committing ---- */

static void put_back(struct sending *s, size_t from, int64_t wait_ms)
{
	for (size_t i = from; i < s->n; i++)
		rq_back(s->h->q, now_of(s->h), s->job.letter, s->rows[i].row.n, now_of(s->h) + wait_ms, s->rows[i].row.state == QUEUE_HELD);
}

/* Nothing was tried for them: they have not used their slots. */
static void put_back_untried(struct sending *s, size_t from, int64_t wait_ms)
{
	put_back(s, from, wait_ms);
	rq_unpay(s->h->q, now_of(s->h), s->job.lane, (unsigned)(s->n - from));
}

static void back_in_memory(struct sending *s, const struct queue_change *c)
{
	int64_t now = now_of(s->h);
	if (c->rc != RC_OK && c->rc != RC_NOTFOUND) { /* RC_CONFLICT, although nobody else writes rows: it is read again */
		log_event(LEVEL_ERROR, EV_QUEUE_TROUBLE, F("reason", c->rc == RC_CONFLICT ? "a row in the store is of another version" : rc_name(c->rc)), F("letter", (int64_t)c->row.letter));
		rq_back(s->h->q, now, c->row.letter, c->row.n, now + TROUBLE_MS, false);
	} else if (c->row.state == QUEUE_DONE || c->rc == RC_NOTFOUND) {
		rq_drop(s->h->q, now, c->row.letter, c->row.n);
	} else {
		struct relay_times t = relay_times_of(s->h->e); /* the clock may have jumped since `due_ms` was written */
		int64_t wall = wall_ms();
		rq_back(s->h->q, now, c->row.letter, c->row.n, now + relay_due_loaded(&t, &c->row, wall) - wall, false);
	}
}

/* The rows [from, from + n) have their outcome: reports first (they know themselves again), then the store, then everybody who likes to know. */
static enum rc conclude(struct sending *s, size_t from, size_t n)
{
	enum relay_report *reports = arena_new(&s->turn, n * sizeof *reports);
	struct queue_change *changes = arena_new(&s->turn, n * sizeof *changes);
	enum rc rc = reports && changes ? RC_OK : RC_NOMEM;
	for (size_t i = from; rc == RC_OK && i < from + n; i++)
		settle(s, i, &s->rows[i], &s->out[i], &reports[i - from]);
	if (rc == RC_OK)
		tell_senders(s, from, n, reports);
	for (size_t i = from; rc == RC_OK && i < from + n; i++)
		rc = make_change(s, &s->rows[i], &changes[i - from]);
	if (rc == RC_OK)
		rc = relay_commit(s->h, &s->pending, changes, n);
	if (rc != RC_OK) {
		if (rc != RC_CLOSED)
			log_event(LEVEL_ERROR, EV_QUEUE_TROUBLE, F("mid", s->letter->l.mid), F("reason", rc_name(rc)));
		put_back(s, from, TROUBLE_MS);
		return rc;
	}
	log_rows(s, from, n);
	for (size_t i = 0; i < n; i++) {
		if (relay_suppresses(&s->out[from + i]))
			relay_suppress(s->h, s->rows[from + i].rcpt.address, str_z(s->out[from + i].text));
		back_in_memory(s, &changes[i]);
	}
	return RC_OK;
}

/* ---- one job ---- */

static void all_back(struct sending *s, int64_t wait_ms)
{
	for (unsigned i = 0; i < s->job.rows; i++)
		rq_back(s->h->q, now_of(s->h), s->job.letter, s->job.n[i], now_of(s->h) + wait_ms, false);
}

/* Those that are gone from the store, that cannot be read, or that a hash has brought here from another domain, are not for this attempt. */
static void sort_out(struct sending *s)
{
	size_t keep = 0, at = 0;
	for (unsigned i = 0; i < s->job.rows; i++) {
		if (at >= s->n || s->rows[at].row.n != s->job.n[i]) {
			rq_drop(s->h->q, now_of(s->h), s->job.letter, s->job.n[i]);
			continue;
		}
		struct relay_row *r = &s->rows[at++];
		struct str d = domain_of(r->rcpt.address);
		if (!r->readable) {
			log_event(LEVEL_ERROR, EV_STORE_DAMAGE, F("what", "queue row"), F("letter", (int64_t)s->job.letter), F("n", (int64_t)r->row.n));
			rq_back(s->h->q, now_of(s->h), s->job.letter, r->row.n, INT64_MAX, true);
			continue;
		}
		if (keep && !str_ieq(d, s->domain)) {
			rq_back(s->h->q, now_of(s->h), s->job.letter, r->row.n, now_of(s->h), false);
			continue;
		}
		if (!keep)
			s->domain = d;
		s->rows[keep++] = *r;
	}
	s->n = keep;
}

static int by_n(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static enum rc load(struct sending *s)
{
	struct why why = { 0 };
	qsort(s->job.n, s->job.rows, sizeof *s->job.n, by_n);
	s->rows = arena_new(&s->a, s->job.rows * sizeof *s->rows);
	s->out = arena_new(&s->a, s->job.rows * sizeof *s->out);
	s->host = arena_new(&s->a, s->job.rows * sizeof *s->host);
	enum rc rc = s->rows && s->out && s->host ? relay_letter_get(s->h, s->job.letter, &s->letter, &why) : RC_NOMEM;
	if (rc == RC_OK)
		rc = relay_rows_get(s->h, s->letter, s->job.n, s->job.rows, &s->a, s->rows, &s->n, &why);
	if (rc == RC_OK) {
		sort_out(s);
		return s->n ? RC_OK : RC_AGAIN;
	}
	if (rc == RC_NOTFOUND) { /* its last row is done: nothing of it is here any more */
		for (unsigned i = 0; i < s->job.rows; i++)
			rq_drop(s->h->q, now_of(s->h), s->job.letter, s->job.n[i]);
		return RC_AGAIN;
	}
	if (rc != RC_CLOSED)
		log_event(LEVEL_ERROR, EV_QUEUE_TROUBLE, F("letter", (int64_t)s->job.letter), F("reason", why.text[0] ? why.text : rc_name(rc)));
	all_back(s, rc == RC_DAMAGED ? (int64_t)s->h->e->config->relay_retry_max : TROUBLE_MS);
	return RC_AGAIN;
}

static void put_off(struct sending *s)
{
	const struct relay_lane *l = relay_lane_of(s->h, s->job.lane, s->domain);
	for (size_t i = 0; i < s->n; i++) {
		relay_own(&s->out[i], RELAY_LATER, "4.4.1", "%s", l && l->last[0] ? l->last : "its servers do not answer");
		s->host[i] = STR("");
	}
	arena_init(&s->turn, ROOM);
	(void)!conclude(s, 0, s->n);
	arena_done(&s->turn);
}

static enum rq_news news_of(const struct relay_try *t) { return !t->reached && !t->conn && !t->lost && !t->withheld ? RQ_DOWN : t->crowded ? RQ_CROWDED : RQ_WELL; }

/* Nothing was learnt of the destination: it does not count as an attempt. */
static bool is_our_trouble(const struct relay_outcome *o) { return !o->remote && o->what == RELAY_LATER && strcmp(o->status, "4.3.0") == 0; }

/* Nor was anything where others had all the connections that a host bears. */
static bool is_crowd(const struct relay_outcome *o) { return !o->remote && o->what == RELAY_LATER && strcmp(o->status, "4.4.5") == 0; }

/* One transaction and what comes of it. False: the job ends here. */
static bool try_some(struct sending *s, size_t *at)
{
	struct relay_try t = { .h = s->h, .letter = s->letter, .rows = s->rows + *at, .n = s->n - *at, .domain = s->domain, .a = &s->turn, .conn = s->conn,
		.out = s->out + *at, .host = s->host + *at };
	relay_try(&t);
	s->conn = t.conn;
	if (fiber_cancelled())
		return false;
	if (t.tried && is_our_trouble(&t.out[0])) {
		log_event(LEVEL_ERROR, EV_QUEUE_TROUBLE, F("mid", s->letter->l.mid), F("reason", t.out[0].text));
		put_back_untried(s, *at, TROUBLE_MS);
		return false;
	}
	if (t.tried && is_crowd(&t.out[0])) {
		put_back_untried(s, *at, CROWD_MS);
		return false;
	}
	enum rq_news news = news_of(&t);
	struct relay_lane *l = relay_lane_of(s->h, s->job.lane, s->domain);
	if (l && !t.withheld)
		(void)snprintf(l->last, sizeof l->last, "%.299s", news == RQ_DOWN ? t.out[0].text : "");
	if (news == RQ_DOWN)
		log_event(LEVEL_WARN, EV_QUEUE_DOWN, F("dom", s->domain), F("reason", t.out[0].text));
	enum rc rc = conclude(s, *at, t.tried);
	if (!t.withheld)
		rq_tell(s->h->q, now_of(s->h), s->job.lane, news);
	relay_kick(s->h); /* there may be room for one connection more */
	*at += t.tried;
	if (s->conn && !smtp_client_usable(s->conn->client))
		relay_conn_end(s->h, &s->conn);
	if (rc == RC_OK && news == RQ_DOWN)
		put_back_untried(s, *at, 0);
	return rc == RC_OK && news != RQ_DOWN; /* after a failure conclude() has put back all that follow */
}

static void try_all(struct sending *s)
{
	bool on = true;
	for (size_t at = 0; on && at < s->n && !fiber_cancelled();) {
		arena_init(&s->turn, ROOM);
		on = try_some(s, &at);
		arena_done(&s->turn);
	}
}

/* Its destination, and with it the rate, are known now. What may not leave yet is ready for its slot. */
static void keep_rate(struct sending *s)
{
	struct rate r;
	if (relay_rate_of(s->h, s->domain, &r))
		rq_rate(s->h->q, now_of(s->h), s->job.lane, &r);
	unsigned may = rq_pay(s->h->q, now_of(s->h), &s->job, (unsigned)s->n);
	put_back(s, may, 0);
	s->n = may;
}

static void do_job(struct sending *s)
{
	arena_init(&s->a, ROOM);
	s->letter = NULL;
	s->n = 0;
	s->began = now_of(s->h);
	if (load(s) == RC_OK) {
		(void)relay_lane_of(s->h, s->job.lane, s->domain);
		if (s->job.down) {
			put_off(s);
		} else {
			keep_rate(s);
			try_all(s);
		}
	}
	if (fiber_cancelled()) /* shutting down: what is not committed is tried again after the next start */
		all_back(s, 0);
	relay_letter_unref(s->h, &s->letter);
	arena_done(&s->a);
}

static void job_fiber(void *arg)
{
	struct sending *s = arg;
	struct relay_house *h = s->h;
	bool down = s->job.down;
	uint64_t lane = s->job.lane;
	do
		do_job(s);
	while (!down && s->conn && !h->e->stopping && !fiber_cancelled() && s->conn->used < h->e->config->relay_messages_per_connection &&
	       rq_more(h->q, now_of(h), lane, (unsigned)h->e->config->relay_recipients, &s->job) == RC_OK);
	relay_conn_keep(h, &s->conn);
	rq_leave(h->q, now_of(h), lane, down);
	mem_free(s);
	h->jobs--;
	h->e->sessions--;
	relay_kick(h);
}

static bool start_job(struct relay_house *h)
{
	struct sending *s = mem_new(sizeof *s);
	if (!s)
		return false;
	s->h = h;
	if (rq_next(h->q, now_of(h), (unsigned)h->e->config->relay_recipients, &s->job) != RC_OK) {
		mem_free(s);
		return false;
	}
	h->jobs++;
	h->e->sessions++;
	if (fiber_start(h->e->loop, job_fiber, s, NULL) == RC_OK)
		return true;
	all_back(s, NO_ROOM_MS);
	rq_leave(h->q, now_of(h), s->job.lane, s->job.down);
	mem_free(s);
	h->jobs--;
	h->e->sessions--;
	return false;
}

void relay_kick(struct relay_house *h) { wake_one(&h->work); }

void relay_give_fiber(void *house)
{
	struct relay_house *h = house;
	while (!fiber_cancelled()) {
		while (!h->e->stopping && start_job(h))
			;
		int64_t at = rq_wake_at(h->q), now = now_of(h);
		if (at <= now) /* no memory, or a clock that has not moved yet */
			at = now + 100;
		if (wait_on(&h->work, at == INT64_MAX ? NO_DEADLINE : at) == RC_CLOSED)
			return;
	}
}
