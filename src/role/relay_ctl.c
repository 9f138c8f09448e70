#include "role/relay.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "role/relay_wire.h"
#include "role/suppress.h"
#include "role/wire_queue.h"

/* The queue, shown and steered by hand. */

enum { PAGE = 256 << 10, FOUND_ROOM = 1 << 20, SLICE = 50, ROOM = 16 << 20, ACT_AT_ONCE = 1000, NOTES_ROOM = 900 << 10, NAME_MOST = 320, FILTER_ROOM = 65536 };

/* ---- state ---- */

void relay_on_queue_state(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct relay_house *h = ((struct role_env *)env)->state;
	struct rq_counts c;
	(void)from, (void)msg;
	fd_close(&fd);
	rq_counts(h->q, &c);
	uint32_t open = c.rows[RQ_WAITING] + c.rows[RQ_READY] + c.rows[RQ_UNDER_WAY];
	struct msg_QUEUE_STATE_answer a = { .ready = open - c.again, .deferred = c.again, .held = c.rows[RQ_HELD], .under_way = c.rows[RQ_UNDER_WAY], .lanes = c.lanes,
		.connections = h->connections, .oldest_ms = (uint64_t)h->oldest_ms };
	ipc_answer(call, RC_OK, NULL, &a);
}

/* ---- finding ---- */

static bool address_fits(struct str address, struct str want)
{
	return !want.n || (want.p[0] == '@' ? str_iends(address, want) : str_ieq(address, want));
}

static uint8_t state_of(const struct queue_row *r)
{
	return r->state == QUEUE_DONE ? RELAY_STATE_DONE : r->state == QUEUE_HELD ? RELAY_STATE_HELD : r->attempts ? RELAY_STATE_DEFERRED : RELAY_STATE_READY;
}

struct finding { struct relay_house *h; struct relay_filter f; uint64_t lane; struct buf out; struct arena a; unsigned opened; };

static bool head_fits(const struct finding *x, const struct queue_row *r)
{
	const struct relay_filter *f = &x->f;
	if ((f->states && !(f->states & state_of(r))) || (f->letter && r->letter != f->letter) || (f->one && r->n != f->n))
		return false;
	if (f->domain.n && r->state != QUEUE_DONE && r->lane != x->lane)
		return false;
	return !f->older_ms || wall_ms() - r->created_ms >= (int64_t)f->older_ms;
}

static bool texts_fit(const struct finding *x, const struct relay_entry *e)
{
	const struct relay_filter *f = &x->f;
	char at[NAME_MOST];
	int n = snprintf(at, sizeof at, "@%.*s", PSTR(str_head(f->domain, 255)));
	return address_fits(e->from, f->from) && address_fits(e->to, f->to) && (!f->domain.n || str_iends(e->to, str_of(at, (size_t)n))) &&
	       (!f->mid.n || str_ieq(e->mid, f->mid)) && (!f->reason.n || str_ifind_str(e->reason, f->reason) < e->reason.n);
}

static void of_rcpt(const struct letter_rcpt *r, struct relay_entry *e)
{
	e->to = r->address;
	e->reason = r->reply;
	e->host = r->host;
	e->tls = r->tls;
	e->last_ms = (uint64_t)r->last_ms;
	e->notify = r->notify;
	e->orcpt = r->orcpt;
}

static void of_letter(struct finding *x, const struct letter *l, struct relay_entry *e)
{
	e->mid = arena_str(&x->a, l->mid);
	e->from = arena_str(&x->a, l->sender);
	e->subject = arena_str(&x->a, l->subject);
	e->envid = arena_str(&x->a, l->envid);
	e->size = l->size;
	e->ret = l->ret;
	e->require_tls = l->require_tls;
	e->tls_optional = l->tls_optional;
	e->by_return = l->by_return;
	e->deliver_by_ms = (uint64_t)l->deliver_by_ms;
}

static enum rc describe_done(struct finding *x, const struct queue_row *r, struct relay_entry *e)
{
	struct relay_done d;
	enum rc rc = relay_done_open(x->h, r->sealed, &x->a, &d);
	if (rc != RC_OK)
		return rc;
	e->mid = d.mid;
	e->from = d.sender;
	of_rcpt(&d.rcpt, e);
	return RC_OK;
}

static enum rc describe_open(struct finding *x, const struct queue_row *r, struct relay_entry *e)
{
	struct relay_letter *l = NULL;
	struct letter_rcpt rcpt;
	struct why why = { 0 };
	TRY(relay_letter_get(x->h, r->letter, &l, &why));
	enum rc rc = r->state == QUEUE_UNREADABLE ? RC_DAMAGED : letter_rcpt_open(&l->l.row_key, r->version, r->n, r->sealed, &x->a, &rcpt);
	of_letter(x, &l->l, e);
	if (rc == RC_OK)
		of_rcpt(&rcpt, e);
	relay_letter_unref(x->h, &l);
	return rc;
}

/* Can all that is asked be told without opening anything? */
static bool heads_do(const struct relay_filter *f)
{
	bool texts = f->from.n || f->to.n || f->reason.n || f->mid.n;
	return f->heads && !texts && (f->states != RELAY_STATE_DONE || !f->domain.n);
}

static enum rc find_row(struct finding *x, const struct queue_row *r)
{
	struct rq_fact fact;
	struct relay_entry e = { .letter = r->letter, .n = r->n, .state = state_of(r), .end = r->end, .priority = r->priority, .attempts = r->attempts,
		.created_ms = (uint64_t)r->created_ms, .due_ms = (uint64_t)r->due_ms, .expires_ms = (uint64_t)r->expires_ms,
		.mid = STR(""), .from = STR(""), .to = STR(""), .reason = STR(""), .host = STR(""), .tls = STR(""), .subject = STR(""), .envid = STR(""), .orcpt = STR("") };
	if (!head_fits(x, r))
		return RC_OK;
	if (heads_do(&x->f)) {
		relay_put_entry(&x->out, &e);
		return RC_OK;
	}
	arena_done(&x->a);
	arena_init(&x->a, ROOM);
	x->opened++;
	enum rc rc = r->state == QUEUE_DONE ? describe_done(x, r, &e) : describe_open(x, r, &e);
	if (rc == RC_NOTFOUND) /* done meanwhile */
		return RC_OK;
	e.unreadable = rc == RC_DAMAGED;
	if (rc != RC_OK && rc != RC_DAMAGED)
		return rc;
	if (r->state != QUEUE_DONE && rq_find(x->h->q, r->letter, r->n, &fact)) {
		const struct relay_lane *lane = relay_lane_of(x->h, fact.lane, STR(""));
		e.under_way = fact.state == RQ_UNDER_WAY;
		e.paused = rq_paused(x->h->q, fact.lane);
		if (!e.reason.n && lane) /* it was not tried itself, because its destination does not answer */
			e.reason = str_z(lane->last);
		if (e.state != RELAY_STATE_HELD && !e.under_way)
			e.due_ms = (uint64_t)(wall_ms() + fact.due - loop_now(x->h->e->loop));
	}
	if (texts_fit(x, &e))
		relay_put_entry(&x->out, &e);
	return RC_OK;
}

/* A page of the store's, and of it what fits; *letter 0: that was all. */
static enum rc find_page(struct finding *x, uint64_t *letter, uint32_t *n, struct why *why)
{
	bool done = x->f.states == RELAY_STATE_DONE;
	struct msg_QUEUE_SCAN q = { .done = done, .letter = *letter, .n = *n, .max_bytes = x->f.one ? 1 : PAGE };
	struct msg_QUEUE_SCAN_answer a;
	struct ipc_reply reply = { 0 };
	TRY(ipc_ask_role(x->h->e->node, ROLE_READER, MSG_QUEUE_SCAN, &q, &a, &reply, true, why));
	struct cursor c = cursor_of(a.rows);
	enum rc rc = RC_OK;
	*letter = a.next_letter;
	*n = a.next_n;
	while (rc == RC_OK && c.in.n) {
		struct queue_row r;
		rc = queue_row_get(&c, &r);
		if (rc == RC_OK && (x->out.len > FOUND_ROOM || (x->f.letter && r.letter > x->f.letter))) {
			*letter = x->f.letter && r.letter > x->f.letter ? 0 : r.letter;
			*n = r.n;
			break;
		}
		if (rc == RC_OK)
			rc = find_row(x, &r);
		if (x->opened % SLICE == SLICE - 1)
			fiber_yield();
	}
	ipc_reply_done(&reply);
	return rc;
}

void relay_on_queue_find(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	if (relay_is_early(env, call, &fd))
		return;
	const struct msg_QUEUE_FIND *m = msg;
	struct finding x = { .h = ((struct role_env *)env)->state };
	struct arena fa;
	struct why why = { 0 };
	uint64_t letter = m->letter ? m->letter : 1;
	uint32_t n = m->n;
	(void)from;
	fd_close(&fd);
	arena_init(&fa, FILTER_ROOM);
	arena_init(&x.a, ROOM);
	buf_init(&x.out, 4 << 20);
	enum rc rc = relay_get_filter(m->filter, &fa, &x.f);
	if (rc == RC_OK && x.f.domain.n)
		x.lane = letter_lane(x.h->hash_key, x.f.domain);
	if (rc == RC_OK && x.f.letter && letter <= x.f.letter) {
		n = letter == x.f.letter ? n : 0;
		letter = x.f.letter;
		n = x.f.one ? x.f.n : n;
	}
	if (rc == RC_OK)
		rc = find_page(&x, &letter, &n, &why);
	if (rc == RC_OK && x.f.one)
		letter = 0;
	struct msg_QUEUE_FIND_answer a = { .rows = buf_str(&x.out), .next_letter = letter, .next_n = n };
	ipc_answer(call, rc == RC_OK && x.out.failed ? RC_NOMEM : rc, &why, &a);
	buf_done(&x.out);
	arena_done(&x.a);
	arena_done(&fa);
}

/* ---- acting ---- */

struct acting {
	struct relay_house *h;
	enum relay_act act;
	struct relay_outcome outcome;  /* of what is returned or removed */
	struct arena a;
	struct queue_change changes[ACT_AT_ONCE]; size_t place[ACT_AT_ONCE]; size_t n;
	struct relay_row rows[ACT_AT_ONCE]; struct rq_fact was[ACT_AT_ONCE];
	struct relay_letter *letter; size_t first; /* whose rows from `first` on are returned, and its sender is still to be told */
	struct relay_pending pending;
	uint8_t *results;
};

static enum rc seal_row(struct acting *x, const struct relay_letter *l, struct relay_row *r, struct queue_change *out)
{
	struct buf b AUTO(buf_done);
	bool done = r->row.state == QUEUE_DONE;
	buf_init(&b, QUEUE_ROW_MAX);
	struct relay_done d = { .mid = l->l.mid, .sender = l->l.sender, .from = l->l.from, .rcpt = r->rcpt };
	TRY(done ? relay_done_seal(x->h, &d, &b) : letter_rcpt_seal(&l->l.row_key, r->row.version + 1, r->row.n, &r->rcpt, &b));
	*out = (struct queue_change){ .row = r->row };
	*(done ? &out->done : &out->row.sealed) = arena_str(&x->a, buf_str(&b));
	return b.failed || x->a.full ? RC_NOMEM : RC_OK;
}

static enum rc change_row(struct acting *x, struct relay_letter *l, struct relay_row *r, struct queue_change *out)
{
	int64_t wall = wall_ms();
	size_t which = 0;
	if (x->act == RELAY_HOLD) {
		r->row.state = QUEUE_HELD;
	} else if (x->act == RELAY_FREE) {
		r->row.state = QUEUE_READY;
		r->row.due_ms = wall;
	} else {
		r->row.state = QUEUE_DONE;
		r->row.end = x->act == RELAY_DROP ? QUEUE_DROPPED : QUEUE_BOUNCED;
		r->row.due_ms = wall;
		r->rcpt.reply = str_z(x->outcome.text);
		r->rcpt.remote = false;
		r->rcpt.last_ms = wall;
		if (x->act == RELAY_DROP)
			relay_tell_rows(x->h, l, "dropped", r, &which, 1, NULL, x->outcome.text);
	}
	return seal_row(x, l, r, out);
}

/* One notice for all recipients of the letter; whose sender cannot be told now stays where it was. */
static enum rc tell_sender(struct acting *x)
{
	size_t n = x->n - x->first, k = 0, *which = arena_new(&x->a, n * sizeof *which);
	struct relay_told *list = arena_new(&x->a, n * sizeof *list);
	struct why why = { 0 };
	if (!which || !list)
		return RC_NOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct relay_row *r = &x->rows[x->first + i];
		which[i] = x->first + i;
		if (relay_report_due(RELAY_FAILED, r->rcpt.notify, false, false, x->letter->l.owner.n) == RELAY_REPORT_FAILED)
			list[k++] = (struct relay_told){ r, &x->outcome, RELAY_REPORT_FAILED, STR("") };
	}
	if (k)
		TRY(relay_bounce(x->h, x->letter, list, k, &why));
	relay_tell_rows(x->h, x->letter, "bounced", x->rows, which, n, NULL, x->outcome.text);
	return RC_OK;
}

static void end_letter(struct acting *x)
{
	enum rc rc = x->letter && x->n > x->first ? tell_sender(x) : RC_OK;
	for (size_t i = x->first; i < x->n && rc != RC_OK; i++) {
		const struct queue_row *r = &x->rows[i].row;
		x->results[x->place[i]] = (uint8_t)rc;
		rq_back(x->h->q, loop_now(x->h->e->loop), r->letter, r->n, x->was[i].due, x->was[i].state == RQ_HELD);
	}
	if (rc != RC_OK)
		x->n = x->first;
	x->first = x->n;
	relay_letter_unref(x->h, &x->letter);
}

/* The row is under way by hand from here on. */
static enum rc prepare(struct acting *x, uint64_t letter, uint32_t n)
{
	struct relay_letter *l = NULL;
	struct relay_row *r = &x->rows[x->n];
	size_t got = 0;
	struct why why = { 0 };
	enum rc rc = relay_letter_get(x->h, letter, &l, &why);
	struct relay_letter unreadable = { .number = letter };
	if (rc != RC_OK && (rc != RC_DAMAGED || x->act != RELAY_DROP)) /* what does not open can still be removed */
		return rc;
	rc = relay_rows_get(x->h, l ? l : &unreadable, &n, 1, &x->a, r, &got, &why);
	if (rc == RC_OK && !got)
		rc = RC_NOTFOUND;
	if (rc == RC_OK && !r->readable && x->act != RELAY_DROP)
		rc = RC_DAMAGED;
	if (rc == RC_OK)
		rc = change_row(x, l ? l : &unreadable, r, &x->changes[x->n]);
	if (rc == RC_OK && x->act == RELAY_BOUNCE && !x->letter) {
		x->letter = l; /* with its reference */
		l = NULL;
	}
	relay_letter_unref(x->h, &l);
	return rc;
}

static void finish(struct acting *x)
{
	end_letter(x);
	int64_t now = loop_now(x->h->e->loop);
	enum rc rc = relay_commit(x->h, &x->pending, x->changes, x->n);
	for (size_t i = 0; i < x->n; i++) {
		const struct queue_change *c = &x->changes[i];
		enum rc one = rc == RC_OK ? c->rc : rc;
		x->results[x->place[i]] = (uint8_t)one;
		if (one == RC_OK && c->row.state == QUEUE_DONE)
			rq_drop(x->h->q, now, c->row.letter, c->row.n);
		else
			rq_back(x->h->q, now, c->row.letter, c->row.n, now, c->row.state == QUEUE_HELD);
	}
	x->n = x->first = 0;
	arena_done(&x->a);
	arena_init(&x->a, ROOM);
	relay_kick(x->h);
}

static enum rc act_on(struct acting *x, size_t place, uint64_t letter, uint32_t n)
{
	int64_t now = loop_now(x->h->e->loop);
	struct rq_fact was;
	if (!rq_find(x->h->q, letter, n, &was))
		return RC_NOTFOUND;
	if (x->act == RELAY_RETRY) {
		if (was.state == RQ_HELD)
			return RC_DENIED;
		return rq_retry(x->h->q, now, letter, n);
	}
	if ((x->act == RELAY_HOLD) == (was.state == RQ_HELD) && x->act <= RELAY_FREE)
		return RC_EXISTS; /* it is so already */
	TRY(rq_take(x->h->q, now, letter, n));
	if (x->letter && x->letter->number != letter)
		end_letter(x);
	x->was[x->n] = was;
	enum rc rc = prepare(x, letter, n);
	if (rc != RC_OK) {
		if (rc == RC_NOTFOUND)
			rq_drop(x->h->q, now, letter, n);
		else
			rq_back(x->h->q, now, letter, n, was.due, was.state == RQ_HELD);
		return rc;
	}
	x->place[x->n++] = place;
	return RC_OK;
}

void relay_on_queue_act(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	if (relay_is_early(env, call, &fd))
		return;
	const struct msg_QUEUE_ACT *m = msg;
	struct relay_house *h = ((struct role_env *)env)->state;
	struct cursor c = cursor_of(m->rows);
	struct why why = { 0 };
	size_t n = m->rows.n / 12;
	struct acting *x = mem_new(sizeof *x);
	uint8_t *results = mem_new(n + 1);
	(void)from;
	fd_close(&fd);
	enum rc rc = !x || !results ? RC_NOMEM : m->act >= RELAY_ACTS || n * 12 != m->rows.n ? RC_SYNTAX : RC_OK;
	if (rc == RC_OK) {
		x->h = h;
		x->act = (enum relay_act)m->act;
		x->results = results;
		relay_own(&x->outcome, RELAY_FAILED, "5.7.0", "%s by the administrator%s%.*s", x->act == RELAY_DROP ? "removed" : "returned", m->reason.n ? ": " : "", PSTR(str_head(m->reason, 300)));
		arena_init(&x->a, ROOM);
		if (x->act == RELAY_RETRY)
			relay_hosts_forgive(h);
		for (size_t i = 0; i < n; i++) {
			uint64_t letter = cursor_u64(&c);
			results[i] = (uint8_t)act_on(x, i, letter, cursor_u32(&c));
			if (x->n == ACT_AT_ONCE)
				finish(x);
		}
		finish(x);
		arena_done(&x->a);
		relay_kick(h);
	}
	ipc_answer(call, rc, &why, &(struct msg_QUEUE_ACT_answer){ .results = str_of(results, rc == RC_OK ? n : 0) });
	mem_free(results);
	mem_free(x);
}

/* ---- notes: pauses and suppressed recipients ---- */

static enum rc open_note(struct relay_house *h, const char *context, struct str sealed, struct buf *plain, struct relay_noted *out)
{
	buf_clear(plain);
	TRY(unsealer_open(h->unsealer, str_z(context), sealed, plain));
	struct cursor c = cursor_of(buf_str(plain));
	return relay_next_noted(&c, out) == RC_OK ? RC_OK : RC_DAMAGED;
}

/* Calls `each` with what notes below a prefix say, from `after` on; *out_next: where to go on, "" = all. */
static enum rc each_note(struct relay_house *h, const char *prefix, const char *context, struct str after, void (*each)(void *arg, const struct relay_noted *n), void *arg,
                         char next[201], struct why *why)
{
	struct msg_NOTES_answer a;
	struct ipc_reply reply = { 0 };
	struct buf plain AUTO(buf_wipe);
	struct str key = STR(""), value;
	buf_init(&plain, 65536);
	TRY(ipc_ask_role(h->e->node, ROLE_READER, MSG_NOTES, &(struct msg_NOTES){ .prefix = str_z(prefix), .after = after }, &a, &reply, true, why));
	struct cursor c = cursor_of(a.notes);
	enum rc rc;
	while ((rc = wire_next_note(&c, &key, &value)) == RC_OK) {
		struct relay_noted n;
		if (open_note(h, context, value, &plain, &n) == RC_OK)
			each(arg, &n);
	}
	(void)snprintf(next, 201, "%.*s", a.more ? (int)(key.n < 200 ? key.n : 200) : 0, key.p);
	ipc_reply_done(&reply);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc put_note(struct relay_house *h, const char *key, const char *context, const struct relay_noted *n, struct why *why)
{
	struct buf plain AUTO(buf_done), sealed AUTO(buf_done);
	buf_init(&plain, 4096);
	buf_init(&sealed, 8192);
	relay_put_noted(&plain, n);
	TRY(plain.failed ? RC_NOMEM : seal_to(h->queue_public, str_z(context), buf_str(&plain), &sealed));
	return ipc_ask_role(h->e->node, ROLE_STORE, MSG_NOTE_PUT, &(struct msg_NOTE_PUT){ .key = str_z(key), .value = buf_str(&sealed) }, NULL, NULL, true, why);
}

static enum rc drop_note(struct relay_house *h, const char *key, struct why *why)
{
	return ipc_ask_role(h->e->node, ROLE_STORE, MSG_NOTE_PUT, &(struct msg_NOTE_PUT){ .key = str_z(key), .value = STR("") }, NULL, NULL, true, why);
}

static void pause_it(void *house, const struct relay_noted *n)
{
	struct relay_house *h = house;
	uint64_t lane = letter_lane(h->hash_key, n->name);
	rq_pause(h->q, loop_now(h->e->loop), lane, true);
	(void)relay_lane_of(h, lane, n->name);
}

enum rc relay_pauses_load(struct relay_house *h, struct why *why)
{
	char next[201] = "";
	do {
		char after[201];
		memcpy(after, next, sizeof after);
		TRY(each_note(h, "pause/", "pause", str_z(after), pause_it, h, next, why));
	} while (next[0]);
	return RC_OK;
}

static void list_it(void *out, const struct relay_noted *n)
{
	struct buf *b = out;
	if (b->len < NOTES_ROOM)
		relay_put_noted(b, n);
}

static void pause_key(const struct relay_house *h, struct str domain, char out[32])
{
	(void)snprintf(out, 32, "pause/%016llx", (unsigned long long)letter_lane(h->hash_key, domain));
}

void relay_on_queue_pause(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	if (relay_is_early(env, call, &fd))
		return;
	const struct msg_QUEUE_PAUSE *m = msg;
	struct relay_house *h = ((struct role_env *)env)->state;
	struct why why = { 0 };
	struct buf list AUTO(buf_done);
	char next[201], key[32];
	enum rc rc = RC_SYNTAX;
	(void)from;
	fd_close(&fd);
	buf_init(&list, 1 << 20);
	if (m->op == 0) {
		rc = each_note(h, "pause/", "pause", STR(""), list_it, &list, next, &why);
	} else if (m->domain.n) {
		uint64_t lane = letter_lane(h->hash_key, m->domain);
		bool was = rq_paused(h->q, lane);
		pause_key(h, m->domain, key);
		struct relay_noted n = { .name = m->domain, .reason = STR(""), .at_ms = (uint64_t)wall_ms() };
		rc = m->op == 1 ? was ? RC_EXISTS : put_note(h, key, "pause", &n, &why) : was ? drop_note(h, key, &why) : RC_NOTFOUND;
		if (rc == RC_OK) {
			rq_pause(h->q, loop_now(h->e->loop), lane, m->op == 1);
			(void)relay_lane_of(h, lane, m->domain);
			log_event(LEVEL_INFO, EV_QUEUE_PAUSED, F("dom", m->domain), F("paused", m->op == 1));
			relay_kick(h);
		}
	}
	ipc_answer(call, rc, &why, &(struct msg_QUEUE_PAUSE_answer){ .list = buf_str(&list) });
}

void relay_suppress(struct relay_house *h, struct str address, struct str reason)
{
	char key[SUPPRESS_KEY];
	struct why why = { 0 };
	suppress_key(h->hash_key, address, key);
	enum rc rc = put_note(h, key, "sup", &(struct relay_noted){ .name = address, .reason = reason, .at_ms = (uint64_t)wall_ms() }, &why);
	if (rc != RC_OK && rc != RC_CLOSED)
		log_event(LEVEL_ERROR, EV_QUEUE_TROUBLE, F("reason", why.text[0] ? why.text : rc_name(rc)));
}

static enum rc release(struct relay_house *h, struct str address, struct why *why)
{
	char key[SUPPRESS_KEY];
	struct msg_NOTES_answer a;
	struct ipc_reply reply = { 0 };
	suppress_key(h->hash_key, address, key);
	TRY(ipc_ask_role(h->e->node, ROLE_READER, MSG_NOTES, &(struct msg_NOTES){ .prefix = str_z(key), .after = STR("") }, &a, &reply, true, why));
	bool there = a.notes.n > 0;
	ipc_reply_done(&reply);
	return there ? drop_note(h, key, why) : RC_NOTFOUND;
}

void relay_on_suppressed(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	if (relay_is_early(env, call, &fd))
		return;
	const struct msg_SUPPRESSED *m = msg;
	struct relay_house *h = ((struct role_env *)env)->state;
	struct why why = { 0 };
	struct buf list AUTO(buf_done);
	char next[201] = "";
	(void)from;
	fd_close(&fd);
	buf_init(&list, 1 << 20);
	enum rc rc = m->op == 0 ? each_note(h, "sup/", "sup", m->after, list_it, &list, next, &why) : m->op == 1 ? release(h, m->address, &why) : RC_SYNTAX;
	ipc_answer(call, rc, &why, &(struct msg_SUPPRESSED_answer){ .list = buf_str(&list), .next = str_z(next) });
}
