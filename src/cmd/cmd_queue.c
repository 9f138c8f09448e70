#include "cmd/address.h"
#include "cmd/cmd_queue.h"
#include "cmd/ctl.h"
#include "base/mem.h"
#include <stdio.h>
#include <time.h>

/* queue list|show|retry|hold|free|bounce|drop: the same filters to look and to act. */

enum { SHOWN = 20, AT_ONCE = 1000, FOUND_MAX = 16 << 20, ARENA = 16 << 20, LINE_MOST = 300, LETTER = 8, ROW = 12 /* octets of a row's number: the letter's, then its own */ };
enum { OPEN_STATES = RELAY_STATE_READY | RELAY_STATE_DEFERRED | RELAY_STATE_HELD };
static const char *const acts[RELAY_ACTS] = { "retry", "hold", "free", "bounce", "drop" };
static const char *const done_words[RELAY_ACTS] = { "due now", "held", "freed", "returned", "removed" };

/* ---- what was asked for ---- */

const char *queue_state_word(const struct relay_entry *e)
{
	static const char *const ends[] = { "done", "sent", "bounced", "expired", "dropped" };
	if (e->unreadable)
		return "unreadable";
	if (e->under_way)
		return "sending";
	switch (e->state) {
	case RELAY_STATE_DEFERRED: return e->paused ? "paused" : "deferred";
	case RELAY_STATE_HELD: return "held";
	case RELAY_STATE_DONE: return ends[e->end < 5 ? e->end : 0];
	default: return e->paused ? "paused" : "ready";
	}
}

bool queue_duration(const char *text, uint64_t *out_ms)
{
	static const struct { char unit; uint64_t ms; } units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 }, { 'w', 604800000 } };
	struct str t = str_z(text);
	uint64_t n;
	for (size_t i = 0; t.n > 1 && i < sizeof units / sizeof *units; i++)
		if (t.p[t.n - 1] == units[i].unit && str_u64(str_head(t, t.n - 1), 100000, &n))
			return *out_ms = n * units[i].ms, true;
	return false;
}

static enum status state_option(const struct call *c, struct relay_filter *f)
{
	static const struct { const char *word; uint8_t states; } words[] = { { "ready", RELAY_STATE_READY }, { "deferred", RELAY_STATE_DEFERRED }, { "held", RELAY_STATE_HELD },
		{ "done", RELAY_STATE_DONE }, { "open", OPEN_STATES } };
	const char *given = call_option(c, "state");
	f->states = given ? 0 : OPEN_STATES;
	for (size_t i = 0; given && i < sizeof words / sizeof *words; i++)
		if (strcmp(given, words[i].word) == 0)
			f->states = words[i].states;
	return f->states ? STATUS_OK : say_usage(c, "--state takes ready, deferred, held, open (these three) or done");
}

static struct str option(const struct call *c, const char *name) { return str_z(call_option(c, name)); }

static struct str sought(const struct call *c, const char *name, char room[ADDRESS_TEXT])
{
	const char *given = call_option(c, name);
	return given ? address_sought(given, room, ADDRESS_TEXT) : STR("");
}

static enum status read_filter(const struct call *c, struct queue_search *s)
{
	struct why why = { 0 };
	uint64_t limit = 0;
	const char *older = call_option(c, "older"), *most = call_option(c, "limit"), *domain = call_option(c, "domain");
	s->f = (struct relay_filter){ .from = sought(c, "from", s->from), .to = sought(c, "to", s->to), .reason = option(c, "reason"), .domain = STR(""), .mid = STR("") };
	if (domain && domain_clean(domain, s->domain, sizeof s->domain, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	if (domain)
		s->f.domain = str_z(s->domain);
	if (older && !queue_duration(older, &s->f.older_ms))
		return say_usage(c, "--older takes a time: 30m, 4h, 2d, 1w");
	if (most && (!str_u64(str_z(most), UINT32_MAX, &limit) || !limit))
		return say_usage(c, "--limit takes a number");
	s->limit = most ? (size_t)limit : SIZE_MAX;
	s->filtered = s->f.from.n || s->f.to.n || s->f.reason.n || domain || older || most || call_option(c, "state");
	return state_option(c, &s->f);
}

/* "12.0": one row; "7F3K9Q2D": a message's rows. */
static bool set_id(struct relay_filter *f, const char *id)
{
	struct str letter, n;
	uint64_t v, row;
	f->letter = 0;
	f->one = false;
	f->mid = STR("");
	if (str_cut(str_z(id), '.', &letter, &n)) {
		if (!str_u64(letter, UINT64_MAX, &v) || !v || !str_u64(n, UINT32_MAX, &row))
			return false;
		f->letter = v;
		f->one = true;
		f->n = (uint32_t)row;
		return true;
	}
	f->mid = str_z(id);
	return strlen(id) == 8;
}

/* ---- finding ---- */

struct gathered { const struct call *c; struct relay_entry shown[SHOWN]; struct arena a; struct buf rows; size_t n, shown_n, missing; bool show_all, kept; /* missing: ids that
	matched nothing; kept: `shown` is filled */ };

static bool is_shown(const struct gathered *g, const struct relay_entry *e)
{
	for (size_t i = 0; i < g->shown_n; i++)
		if (g->shown[i].letter == e->letter && g->shown[i].n == e->n)
			return true;
	return false;
}

static void keep(struct gathered *g, const struct relay_entry *e)
{
	buf_u64(&g->rows, e->letter);
	buf_u32(&g->rows, e->n);
	if (g->shown_n < SHOWN && !g->kept && !is_shown(g, e)) {
		struct relay_entry *x = &g->shown[g->shown_n++];
		*x = *e;
		struct str *const texts[] = { &x->mid, &x->from, &x->to, &x->reason, &x->host, &x->tls, &x->subject, &x->envid, &x->orcpt };
		for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
			*texts[i] = arena_str(&g->a, *texts[i]);
	}
	g->n++;
}

enum rc queue_find(struct ctl *ctl, const struct queue_search *s, size_t *found, void (*each)(void *arg, const struct relay_entry *e), void *arg, struct why *why)
{
	AUTO(buf_done) struct buf filter = { .max = 8192 };
	struct msg_QUEUE_FIND q = { .letter = 0 };
	enum rc rc = RC_OK;
	relay_put_filter(&filter, &s->f);
	q.filter = buf_str(&filter);
	do {
		struct msg_QUEUE_FIND_answer a;
		struct ipc_reply reply = { 0 };
		TRY(ctl_ask(ctl, ROLE_RELAY, MSG_QUEUE_FIND, &q, &a, &reply, why));
		struct cursor c = cursor_of(a.rows);
		struct relay_entry e;
		while (*found < s->limit && (rc = relay_next_entry(&c, &e)) == RC_OK) {
			each(arg, &e);
			++*found;
		}
		q.letter = a.next_letter;
		q.n = a.next_n;
		ipc_reply_done(&reply);
	} while (rc == RC_NOTFOUND && q.letter && *found < s->limit);
	return rc == RC_NOTFOUND || *found >= s->limit ? RC_OK : rc;
}

static void gather_one(void *arg, const struct relay_entry *e)
{
	struct gathered *g = arg;
	if (g->show_all) {
		queue_print(g->c, e, false);
		g->n++;
	} else {
		keep(g, e);
	}
}

typedef enum status each_id(void *arg, const char *id);
/* The ids given as arguments; "-": the first word of each line of stdin. */
static enum status each_given(struct call *c, each_id *fn, void *arg)
{
	char line[LINE_MOST];
	for (int i = 0; i < c->arg_n; i++) {
		if (strcmp(c->args[i], "-") != 0) {
			enum status s = fn(arg, c->args[i]);
			if (s != STATUS_OK)
				return s;
			continue;
		}
		while (fgets(line, sizeof line, stdin)) {
			struct str word, rest;
			str_cut(str_trim(str_z(line)), ' ', &word, &rest);
			char id[64];
			(void)snprintf(id, sizeof id, "%.*s", PSTR(str_head(word, 63)));
			enum status s = id[0] ? fn(arg, id) : STATUS_OK;
			if (s != STATUS_OK)
				return s;
		}
	}
	return STATUS_OK;
}

static enum status cannot_read(const struct call *c, const struct why *why) { return say_error(c, STATUS_FAILED, "the queue cannot be read", why->text, "letterlock status"); }
static enum status no_id(const struct call *c, const char *id) { return say_usage(c, "\"%.40s\" is neither a message (7F3K9Q2D) nor one recipient of it (12.0)", id); }

/* An id of several that matched nothing: the others are gone on with, and the status at the end says that it was not all. */
static void say_missing(struct gathered *g, const char *id, const char *act)
{
	char what[100];
	(void)snprintf(what, sizeof what, "nothing in the queue matches \"%.40s\"", id);
	(void)say_error(g->c, STATUS_NOTHING, what, NULL, act);
	g->missing++;
}

static enum status in_part(const struct gathered *g, enum status s) { return s == STATUS_OK && g->missing ? STATUS_FAILED : s; }

static void see(void *arg, const struct relay_entry *e) { (void)arg, (void)e; }

/* Is this id in the queue, whatever the filters beside it leave of it? */
static enum rc is_in_queue(struct ctl *ctl, const char *id, bool *out, struct why *why)
{
	struct queue_search s = { .limit = 1 };
	size_t found = 0;
	s.f = (struct relay_filter){ .from = STR(""), .to = STR(""), .domain = STR(""), .reason = STR(""), .states = OPEN_STATES };
	*out = set_id(&s.f, id);
	TRY(queue_find(ctl, &s, &found, see, NULL, why));
	*out = found > 0;
	return RC_OK;
}

struct looking { struct ctl *ctl; struct queue_search s; struct gathered *g; size_t found; };
static enum status look_for(void *arg, const char *id)
{
	struct looking *l = arg;
	struct why why = { 0 };
	size_t before = l->found;
	bool passed_over = false;
	if (!set_id(&l->s.f, id))
		return no_id(l->g->c, id);
	if (queue_find(l->ctl, &l->s, &l->found, gather_one, l->g, &why) != RC_OK ||
	    (l->found == before && l->s.filtered && is_in_queue(l->ctl, id, &passed_over, &why) != RC_OK))
		return cannot_read(l->g->c, &why);
	if (l->found == before && !passed_over)
		say_missing(l->g, id, "letterlock queue show ID tells of what has left it, too");
	return STATUS_OK;
}

static enum status gather(struct ctl *ctl, struct call *c, struct gathered *g)
{
	struct looking l = { .ctl = ctl, .g = g };
	struct why why = { 0 };
	enum status s = read_filter(c, &l.s);
	if (s != STATUS_OK)
		return s;
	if (c->arg_n)
		return each_given(c, look_for, &l);
	if (!g->show_all) { /* the first ones with all that is known, for the eye; then their numbers */
		size_t seen = 0, limit = l.s.limit;
		l.s.limit = limit < SHOWN ? limit : SHOWN;
		if (queue_find(ctl, &l.s, &seen, gather_one, g, &why) != RC_OK)
			return cannot_read(c, &why);
		l.s.limit = limit;
		l.s.f.heads = true;
		g->n = 0;
		g->kept = true;
		buf_clear(&g->rows);
	}
	if (queue_find(ctl, &l.s, &l.found, gather_one, g, &why) != RC_OK)
		return cannot_read(c, &why);
	return STATUS_OK;
}

/* ---- list, show ---- */

static enum status nothing(const struct call *c)
{
	if (!c->json)
		say("Nothing in the queue matches.");
	return STATUS_NOTHING;
}

static void print_counts(struct ctl *ctl)
{
	struct msg_QUEUE_STATE_answer a;
	struct why why = { 0 };
	if (ctl_ask(ctl, ROLE_RELAY, MSG_QUEUE_STATE, &(struct msg_QUEUE_STATE){ 0 }, &a, NULL, &why) == RC_OK)
		say("In the queue: %u ready, %u deferred, %u held; %u being sent over %u connections.", a.ready, a.deferred, a.held, a.under_way, a.connections);
}

static enum status list_for_scripts(struct ctl *ctl, struct call *c)
{
	struct queue_search s;
	struct mailq q = { 0 };
	struct why why = { 0 };
	size_t found = 0;
	enum status st = read_filter(c, &s);
	if (st != STATUS_OK)
		return st;
	if (queue_find(ctl, &s, &found, mailq_row, &q, &why) != RC_OK)
		return cannot_read(c, &why);
	mailq_end(&q);
	return found ? STATUS_OK : STATUS_NOTHING;
}

static enum status list(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	if (call_option(c, "mailq"))
		return list_for_scripts(ctl, c);
	struct gathered g = { .c = c, .show_all = true };
	enum status s = gather(ctl, c, &g);
	if (s != STATUS_OK)
		return s;
	if (g.n && !c->json)
		print_counts(ctl);
	return g.n ? in_part(&g, STATUS_OK) : nothing(c);
}
enum status run_queue_list(struct call *c) { return ctl_verb(c, list); }

static void show_one(void *arg, const struct relay_entry *e)
{
	struct gathered *g = arg;
	queue_print(g->c, e, true);
	g->n++;
}

struct showing { struct ctl *ctl; struct gathered g; };
static enum status show_id(void *arg, const char *id)
{
	struct showing *x = arg;
	struct queue_search s = { .limit = SIZE_MAX };
	struct why why = { 0 };
	static const uint8_t tables[] = { OPEN_STATES, RELAY_STATE_DONE };
	size_t before = x->g.n;
	s.f = (struct relay_filter){ .from = STR(""), .to = STR(""), .domain = STR(""), .reason = STR("") };
	if (!set_id(&s.f, id))
		return no_id(x->g.c, id);
	for (size_t i = 0; i < 2; i++) {
		size_t found = 0;
		s.f.states = tables[i];
		if (queue_find(x->ctl, &s, &found, show_one, &x->g, &why) != RC_OK)
			return cannot_read(x->g.c, &why);
	}
	if (x->g.n == before)
		say_missing(&x->g, id, "letterlock queue list");
	return STATUS_OK;
}

static enum status show(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct showing x = { .ctl = ctl, .g = { .c = c } };
	enum status s = each_given(c, show_id, &x);
	return s != STATUS_OK ? s : x.g.n ? in_part(&x.g, STATUS_OK) : nothing(c);
}
enum status run_queue_show(struct call *c) { return ctl_verb(c, show); }

/* ---- acting ---- */

static void say_result(const struct call *c, enum relay_act act, const size_t counts[16], size_t n)
{
	if (c->json) {
		say_json("{\"act\":\"%s\",\"matched\":%zu,\"done\":%zu,\"already\":%zu,\"sending\":%zu,\"gone\":%zu,\"held\":%zu,\"failed\":%zu}", acts[act], n, counts[RC_OK], counts[RC_EXISTS],
		         counts[RC_BUSY], counts[RC_NOTFOUND], counts[RC_DENIED], n - counts[RC_OK] - counts[RC_EXISTS] - counts[RC_BUSY] - counts[RC_NOTFOUND] - counts[RC_DENIED]);
		return;
	}
	say("%zu %s", counts[RC_OK], done_words[act]);
	if (counts[RC_EXISTS])
		say("%zu were so already", counts[RC_EXISTS]);
	if (counts[RC_BUSY])
		say("%zu are being sent at this moment, and were left alone", counts[RC_BUSY]);
	if (counts[RC_NOTFOUND])
		say("%zu had left the queue meanwhile", counts[RC_NOTFOUND]);
	if (counts[RC_DENIED])
		say("%zu are held: letterlock queue free", counts[RC_DENIED]);
}

static int by_number(const void *a, const void *b) { return memcmp(a, b, ROW); }

/* In order, and each once: a script that takes messages out of `queue list --json` names one of three recipients three times. */
static void one_of_each(struct gathered *g)
{
	size_t kept = 0;
	qsort(g->rows.p, g->n, ROW, by_number);
	for (size_t i = 0; i < g->n; i++)
		if (!kept || memcmp(g->rows.p + (kept - 1) * ROW, g->rows.p + i * ROW, ROW) != 0)
			memmove(g->rows.p + kept++ * ROW, g->rows.p + i * ROW, ROW);
	g->n = kept;
	g->rows.len = kept * ROW;
}

/* The next rows to be sent together: a letter's recipients are not parted where that can be helped, for they share a notice. */
static size_t next_lot(struct str rows)
{
	size_t n = rows.n / ROW;
	if (n <= AT_ONCE)
		return n;
	for (n = AT_ONCE; n && memcmp(rows.p + (n - 1) * ROW, rows.p + n * ROW, LETTER) == 0; n--)
		;
	return n ? n : AT_ONCE;
}

static enum status act_on(struct ctl *ctl, struct call *c, enum relay_act act, struct gathered *g)
{
	size_t counts[16] = { 0 };
	struct str rest = buf_str(&g->rows);
	struct why why = { 0 };
	char what[64], after[100];
	while (rest.n) {
		size_t lot = next_lot(rest) * ROW;
		struct msg_QUEUE_ACT q = { .act = (uint8_t)act, .rows = str_head(rest, lot), .reason = str_head(option(c, "text"), 320) };
		struct msg_QUEUE_ACT_answer a;
		struct ipc_reply reply = { 0 };
		if (ctl_ask(ctl, ROLE_RELAY, MSG_QUEUE_ACT, &q, &a, &reply, &why) != RC_OK)
			return say_error(c, STATUS_FAILED, "not everything was done", why.text, "run it again: what is done stays done");
		for (size_t i = 0; i < a.results.n; i++)
			counts[(uint8_t)a.results.p[i] & 15]++;
		ipc_reply_done(&reply);
		rest = str_skip(rest, lot);
	}
	(void)snprintf(what, sizeof what, "queue %s", acts[act]);
	(void)snprintf(after, sizeof after, "%zu of %zu", counts[RC_OK], g->n);
	ctl_audit(ctl, what, g->n == 1 ? g->shown[0].to : STR(""), str_z(after));
	say_result(c, act, counts, g->n);
	size_t fine = counts[RC_OK] + counts[RC_EXISTS] + counts[RC_NOTFOUND];
	return fine == g->n ? STATUS_OK : STATUS_FAILED;
}

static enum status confirm(struct ctl *ctl, struct call *c, enum relay_act act, struct gathered *g)
{
	char question[100];
	for (size_t i = 0; i < g->shown_n; i++)
		queue_print(c, &g->shown[i], false);
	if (!c->json && g->n > g->shown_n)
		say("... and %zu more", g->n - g->shown_n);
	if (!c->json)
		say("%zu recipient%s.", g->n, g->n == 1 ? "" : "s");
	if (call_option(c, "dry-run"))
		return STATUS_OK;
	(void)snprintf(question, sizeof question, "%s %s?", acts[act], g->n == 1 ? "it" : "them");
	question[0] = ascii_upper(question[0]);
	return ask_yes(c, question) ? act_on(ctl, c, act, g) : STATUS_FAILED;
}

static enum status act(struct ctl *ctl, struct call *c, enum relay_act act_)
{
	struct gathered *g = mem_new(sizeof *g);
	struct queue_search probe = { 0 };
	enum status s = read_filter(c, &probe);
	if (s != STATUS_OK || !g) {
		mem_free(g);
		return g ? s : STATUS_FAILED;
	}
	if (!c->arg_n && !probe.filtered && !call_option(c, "all")) {
		mem_free(g);
		return say_usage(c, "which? Give ids, a filter (--domain, --from, --to, --older, --reason, --state) or --all");
	}
	g->c = c;
	arena_init(&g->a, ARENA);
	buf_init(&g->rows, (size_t)ROW * FOUND_MAX);
	s = gather(ctl, c, g);
	if (g->n)
		one_of_each(g);
	if (s == STATUS_OK)
		s = g->n ? in_part(g, confirm(ctl, c, act_, g)) : nothing(c);
	buf_done(&g->rows);
	arena_done(&g->a);
	mem_free(g);
	return s;
}

static enum status do_retry(struct ctl *ctl, void *arg) { return act(ctl, arg, RELAY_RETRY); }
static enum status do_hold(struct ctl *ctl, void *arg) { return act(ctl, arg, RELAY_HOLD); }
static enum status do_free(struct ctl *ctl, void *arg) { return act(ctl, arg, RELAY_FREE); }
static enum status do_bounce(struct ctl *ctl, void *arg) { return act(ctl, arg, RELAY_BOUNCE); }
static enum status do_drop(struct ctl *ctl, void *arg) { return act(ctl, arg, RELAY_DROP); }
enum status run_queue_retry(struct call *c) { return ctl_verb(c, do_retry); }
enum status run_queue_hold(struct call *c) { return ctl_verb(c, do_hold); }
enum status run_queue_free(struct call *c) { return ctl_verb(c, do_free); }
enum status run_queue_bounce(struct call *c) { return ctl_verb(c, do_bounce); }
enum status run_queue_drop(struct call *c) { return ctl_verb(c, do_drop); }
