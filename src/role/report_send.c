#include "role/report_send.h"

#include "base/log.h"
#include "base/mem.h"
#include "dns/asker.h"
#include "origin/report_sum.h"
#include "role/hourly.h"
#include "role/letter.h"
#include "role/report_note.h"
#include "role/report_rules.h"
#include "role/report_tls.h"

enum {
	ROUND_MS = 60000,              /* between looks */
	SETTLE_MS = 600000,            /* after midnight: what was seen at its last second is in the ledger by then */
	AGAIN_MS = 600000,             /* after a failure */
	DAYS_BACK = 7,                 /* what is older is not sent by itself any more */
	PAGE = 200, ROWS_PAGE = 500, RECEIVERS = 5, ROOM = 256 << 20, XML_MAX = 64 << 20, MAIL_MAX = 40 << 20, DOMAINS_COUNTED = 10000
};

struct report_send {
	struct role_env *e;
	struct ledger *l;
	struct dns dns;
	bool dns_failed;               /* an answer since it was reset was none */
	int64_t next;
	bool busy;
	struct hourly told;            /* receiving domains */
};

struct day_work {                      /* one part of one domain's day */
	struct report_send *s;
	struct ledger_report_day d;
	bool forced, again;            /* again: what was waiting is tried once more */
	struct arena *a;
	bool tls;                      /* a TLS report (RFC 8460), not one of DMARC */
	struct str domain;             /* whom it is about */
	struct report_aggregate report;
	struct report_tls tls_report;
	struct str rua, packed;        /* packed: the report, gzipped; made when the first receiver may have it */
	uint64_t messages;             /* of a TLS report: sessions */
	char from[400], id[80];
	struct why why;
};

const char *report_sent_word(enum ledger_sent_state state)
{
	static const char *const words[LEDGER_SENT_STATES] = { "?", "sending", "sent", "waiting", "refused", "too large", "failed", "unsure" };
	return state > 0 && state < LEDGER_SENT_STATES ? words[state] : words[0];
}

/* ---- DNS that remembers whether it failed ---- */

static void ask(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	struct report_send *s = house;
	struct dns dns = dns_asker(s->e->node);
	dns_ask(&dns, type, name, a, out);
	if (out->status == DNS_TEMPFAIL || out->status == DNS_BOGUS)
		s->dns_failed = true;
}

enum rc report_send_new(struct role_env *e, struct ledger *l, struct report_send **out)
{
	struct report_send *s = mem_new(sizeof *s);
	if (!s)
		return RC_NOMEM;
	*s = (struct report_send){ .e = e, .l = l, .dns = { .house = s, .ask = ask }, .next = loop_now(e->loop) + 5000 };
	hourly_init(&s->told, DOMAINS_COUNTED);
	*out = s;
	return RC_OK;
}

void report_send_free(struct report_send **s)
{
	if (!*s)
		return;
	hourly_done(&(*s)->told);
	mem_free(*s);
	*s = NULL;
}

/* ---- one receiver ---- */

static enum rc note_state(struct day_work *w, struct str to, enum ledger_sent_state state, struct str text)
{
	struct ledger_sent row = { .day = w->d.day, .domain = w->d.domain, .part = w->d.target, .state = state, .at_ms = wall_ms(), .name = w->d.name,
		.receiver = to, .id = str_z(w->id), .text = text };
	TRY(ledger_sent_put(w->s->l, &row, &w->why));
	TRY(ledger_flush(w->s->l, &w->why));
	if (state != LEDGER_SENDING)
		log_event(state == LEDGER_SENT ? LEVEL_INFO : LEVEL_WARN, EV_REPORT_SENT, F("dom", w->domain), F("kind", w->tls ? "tls" : "dmarc"), F("to", str_head(to, 320)), F("state", report_sent_word(state)),
		          F("messages", (int64_t)w->messages), F("reason", text));
	if (state != LEDGER_SENDING)
		count_add(w->s->e, state == LEDGER_SENT ? M_REPORTS_SENT : M_REPORTS_UNSENT, 1);
	return RC_OK;
}

static enum rc pack_report(struct day_work *w)
{
	struct buf text AUTO(buf_done), gz AUTO(buf_done);
	buf_init(&text, XML_MAX);
	buf_init(&gz, MAIL_MAX);
	TRY(w->tls ? report_tls_json(&w->tls_report, &text) : report_aggregate_xml(&w->report, &text));
	TRY(report_gzip(buf_str(&text), &gz));
	w->packed = arena_str(w->a, buf_str(&gz));
	return w->packed.n ? RC_OK : RC_NOMEM;
}

static enum rc make_mail(struct day_work *w, struct str to, struct buf *out)
{
	char message_id[400];
	int64_t tag = 0;
	if (!w->packed.n)
		TRY(pack_report(w));
	TRY(ledger_tag(w->s->l, to, &tag));
	int n = snprintf(message_id, sizeof message_id, "<%s.%s.%llx@%.*s>", w->tls ? "tls" : "dmarc", w->id, (unsigned long long)tag, PSTR(str_head(w->s->e->config->server_hostname, 253)));
	struct report_mail m = { .from = str_z(w->from), .to = to, .submitter = report_domain_of(str_z(w->from)), .domain = w->domain, .id = str_z(w->id),
		.message_id = str_of(message_id, (size_t)n), .now_s = wall_ms() / 1000, .begin_s = w->report.begin_s, .end_s = w->report.end_s, .key = STR("") };
	return w->tls ? report_mail_tls(&m, w->packed, out) : report_mail_dmarc(&m, w->packed, out);
}

/* What the hand-over came to. Whatever may have been delivered is never tried again. */
static enum ledger_sent_state hand_over(struct day_work *w, struct str to, struct str mail, struct why *why)
{
	struct ipc_peer *edge;
	char name[480];
	int64_t tag = 0;
	(void)snprintf(name, sizeof name, "%s %.*s", w->id, PSTR(str_head(to, 320)));
	/* The same report to the same receiver is the same delivery: asked for twice it goes once. */
	if (ledger_tag(w->s->l, str_z(name), &tag) != RC_OK)
		return (void)why_fail(why, RC_NOMEM, 0, __FILE__, "no memory"), LEDGER_FAILED;
	struct msg_SUBMIT q = { .delivery = (uint64_t)tag | 1, .kind = LETTER_REPORT, .from = str_z(w->from), .to = to, .message = mail };
	struct msg_SUBMIT_answer a;
	struct ipc_reply reply = { 0 };
	if (ipc_find(w->s->e->node, ROLE_EDGE, 3000, &edge) != RC_OK)
		return (void)why_fail(why, RC_CLOSED, 0, __FILE__, "no process for mail is there"), LEDGER_FAILED;
	enum rc rc = ipc_ask(edge, MSG_SUBMIT, &q, &a, &reply, why);
	ipc_reply_done(&reply);
	switch (rc) {
	case RC_OK: return LEDGER_SENT;
	case RC_DENIED: return LEDGER_WAITING;
	case RC_NOTFOUND: case RC_SYNTAX: return LEDGER_REFUSED;
	case RC_LIMIT: return LEDGER_TOO_LARGE;
	case RC_LATE: case RC_CLOSED:
		(void)why_fail(why, rc, 0, __FILE__, "no answer came: it may have been delivered, so it is not sent again");
		return LEDGER_UNSURE;
	default: return LEDGER_FAILED;
	}
}

/* `uri` is whom the record names, `to` who gets it. */
static enum rc send_mail(struct day_work *w, const struct dmarc_uri *uri, const struct dmarc_uri *to, bool *out_settled)
{
	struct buf mail AUTO(buf_done);
	struct why why = { 0 };
	buf_init(&mail, MAIL_MAX);
	enum rc rc = make_mail(w, to->address, &mail);
	if (rc != RC_OK && rc != RC_LIMIT)
		return note_state(w, uri->address, LEDGER_FAILED, STR("the report could not be written"));
	*out_settled = true;
	/* RFC 9990 and 7489 6.2 speak of the report; the whole mail is measured: what fits in so is never too large for its receiver. */
	if (rc == RC_LIMIT || (to->max_size && mail.len > to->max_size)) {
		char text[100];
		(void)snprintf(text, sizeof text, "%zu octets; its receiver takes %llu", mail.len, (unsigned long long)to->max_size);
		return note_state(w, uri->address, LEDGER_TOO_LARGE, str_z(text));
	}
	TRY(note_state(w, uri->address, LEDGER_SENDING, STR("")));
	enum ledger_sent_state state = hand_over(w, to->address, buf_str(&mail), &why);
	*out_settled = state != LEDGER_FAILED;
	return note_state(w, uri->address, state, state == LEDGER_SENT ? STR("") : str_z(why.text));
}

static enum rc send_one(struct day_work *w, const struct dmarc_uri *uri, bool *out_settled)
{
	enum ledger_sent_state state;
	int64_t at = 0;
	struct str domain = report_domain_of(uri->address), instead;
	struct dmarc_uri to;
	enum rc rc = ledger_sent_state(w->s->l, w->d.day, w->d.domain, w->d.target, uri->address, &state, &at, &w->why);
	*out_settled = rc == RC_OK && state != LEDGER_FAILED && state != LEDGER_SENDING && !(state == LEDGER_WAITING && w->again);
	if (*out_settled || (rc != RC_OK && rc != RC_NOTFOUND))
		return *out_settled ? RC_OK : rc;
	if (rc == RC_OK && state == LEDGER_SENDING) { /* only one runs at a time: the server stopped in the middle of it */
		*out_settled = true;
		return note_state(w, uri->address, LEDGER_UNSURE, STR("the server stopped while it was handed over: it may have been delivered, so it is not sent again"));
	}
	if (rc == RC_OK && !w->forced && wall_ms() - at < AGAIN_MS)
		return RC_OK;
	if (uri->address.n > 320 || !hourly_take(&w->s->told, loop_now(w->s->e->loop), domain, w->s->e->config->reports_per_domain)) /* another hour */
		return w->forced ? note_state(w, uri->address, LEDGER_FAILED, STR("its receiver's domain has had as many within an hour as reports.per_domain allows")) : RC_OK;
	w->s->dns_failed = false;
	if (w->tls) /* RFC 8460 knows no consent of another domain */
		return send_mail(w, uri, uri, out_settled);
	if (!dmarc_report_allowed(&w->s->dns, w->domain, domain, w->a, &instead)) {
		*out_settled = !w->s->dns_failed;
		return note_state(w, uri->address, w->s->dns_failed ? LEDGER_FAILED : LEDGER_REFUSED,
		                  w->s->dns_failed ? STR("the DNS does not say whether its receiver wants it") : STR("its receiver does not say in the DNS that it wants reports about this domain"));
	}
	/* RFC 9990 4: the receiver's own record may name another address of the same host for this domain's reports. */
	if (dmarc_uris(instead, w->a, &to, 1) != 1 || to.address.n > 320)
		to = *uri;
	return send_mail(w, uri, &to, out_settled);
}

/* ---- one day of one domain ---- */

struct gathering { struct report_sum *sum; int64_t last; enum rc rc; unsigned n; };
static bool add_row(void *arg, const struct ledger_observation *o)
{
	struct gathering *g = arg;
	struct report_row row;
	g->rc = report_row_of_key(o->row, &row);
	if (g->rc != RC_OK)
		return false;
	row.count = o->count;
	g->rc = report_sum_add(g->sum, &row);
	g->last = o->id;
	g->n++;
	return g->rc == RC_OK;
}

static enum rc gather(struct day_work *w)
{
	struct report_sum sum;
	struct gathering g = { &sum, w->d.upto, RC_OK, ROWS_PAGE };
	enum rc rc = RC_OK;
	report_sum_init(&sum, w->a, REPORT_SUM_ROWS);
	while (rc == RC_OK && g.n == ROWS_PAGE && !fiber_cancelled()) {
		g.n = 0;
		rc = ledger_observations(w->s->l, &(struct ledger_span){ w->d.day, w->d.domain, g.last, w->d.target, ROWS_PAGE }, add_row, &g, &w->why);
		if (rc == RC_OK)
			rc = g.rc;
		fiber_yield();
	}
	w->messages = sum.messages;
	if (rc == RC_OK)
		rc = fiber_cancelled() ? RC_CLOSED : report_sum_rows(&sum, w->a, &w->report.row, &w->report.rows);
	report_sum_done(&sum);
	return rc;
}

/* Their record is read when the report is due: RC_BUSY when the DNS does not say. */
static enum rc describe_tls(struct day_work *w, struct str org)
{
	struct ledger_span span = { w->d.day, w->d.domain, w->d.upto, w->d.target, 0 };
	w->tls_report = (struct report_tls){ .org = org, .contact = str_z(w->from), .id = str_z(w->id), .begin_s = w->report.begin_s, .end_s = w->report.end_s };
	TRY(report_tls_gather(w->s->l, &span, w->domain, w->a, &w->tls_report, &w->messages, &w->why));
	if (report_tls_rua(&w->s->dns, w->domain, w->a, &w->rua) != RC_OK)
		FAIL(&w->why, RC_BUSY, "the DNS does not say who wants TLS reports about %.*s", PSTR(str_head(w->domain, 120)));
	return RC_OK;
}

static enum rc describe(struct day_work *w)
{
	const struct config *c = w->s->e->config;
	char room[400];
	struct str from = report_from(c, room);
	int64_t begin = (int64_t)w->d.day * 86400, end = begin + 86399, now = wall_ms() / 1000;
	w->tls = report_tls_is_day(w->d.name, &w->domain);
	if (!w->tls)
		TRY(report_about_get(w->d.about, w->a, &w->report, &w->rua, &w->why));
	(void)snprintf(w->from, sizeof w->from, "%.*s", PSTR(from));
	(void)snprintf(w->id, sizeof w->id, "%lu.%llx.%lld", (unsigned long)w->d.day, (unsigned long long)w->d.domain, (long long)w->d.target);
	/* Copies, and taken before anything waits: a reload replaces the configuration. */
	struct str org = arena_str(w->a, report_org(c));
	bool rfc9990 = !c->reports_rfc7489;
	w->report.begin_s = w->d.since_ms / 1000 > begin ? w->d.since_ms / 1000 : begin;
	w->report.end_s = end < now ? end : now;
	if (w->tls)
		return describe_tls(w, org);
	TRY(gather(w));
	w->report.org = org;
	w->report.email = str_z(w->from);
	w->report.extra = STR("");
	w->report.id = str_z(w->id);
	w->report.domain = w->domain;
	w->report.rfc9990 = rfc9990;
	return RC_OK;
}

static enum rc set_day(struct day_work *w)
{
	TRY(ledger_report_day_set(w->s->l, &w->d, &w->why));
	return ledger_flush(w->s->l, &w->why);
}

/* RFC 8460 3 knows https: besides mailto:. It is not spoken here, and that is said. */
static enum rc note_https(struct day_work *w)
{
	struct str one, rest = w->rua;
	for (unsigned i = 0; w->tls && rest.n && i < RECEIVERS; i++) {
		enum ledger_sent_state state;
		int64_t at;
		(void)str_cut(rest, ',', &one, &rest);
		one = str_head(str_trim(one), 320);
		if (!str_istarts(one, STR("https:")))
			continue;
		enum rc rc = ledger_sent_state(w->s->l, w->d.day, w->d.domain, w->d.target, one, &state, &at, &w->why);
		if (rc == RC_NOTFOUND)
			rc = note_state(w, one, LEDGER_REFUSED, STR("reports go by mail only, not by https"));
		TRY(rc);
	}
	return RC_OK;
}

static enum rc work_part(struct day_work *w)
{
	struct dmarc_uri uris[RECEIVERS];
	bool all = true;
	enum rc rc = describe(w);
	if (rc == RC_BUSY && !w->forced)
		return RC_OK; /* another round */
	TRY(rc);
	size_t n = dmarc_uris(w->rua, w->a, uris, RECEIVERS);
	if (w->messages)
		TRY(note_https(w));
	for (size_t i = 0; i < n && w->messages; i++) {
		bool settled = false, twice = false;
		if (fiber_cancelled())
			return RC_OK;
		for (size_t k = 0; k < i; k++)
			twice = twice || str_ieq(uris[k].address, uris[i].address);
		if (!twice)
			TRY(send_one(w, &uris[i], &settled));
		all = all && (settled || twice);
	}
	if (!all)
		return RC_OK;
	w->d.upto = w->d.target;
	w->d.since_ms = wall_ms();
	w->d.done = w->d.last == w->d.target && w->d.day < day_of_ms(wall_ms());
	return set_day(w);
}

static enum rc work_day(struct report_send *s, const struct ledger_report_day *d, bool forced, struct why *why)
{
	struct arena a;
	struct day_work w = { .s = s, .d = *d, .forced = forced, .a = &a };
	enum rc rc = RC_OK;
	arena_init(&a, ROOM);
	if (w.d.target <= w.d.upto && w.d.last <= w.d.upto) {
		w.d.done = w.d.day < day_of_ms(wall_ms());
		if (w.d.done)
			rc = set_day(&w);
	} else {
		if (w.d.target <= w.d.upto) {
			w.d.target = w.d.last;
			rc = set_day(&w);
		}
		if (rc == RC_OK)
			rc = work_part(&w);
	}
	arena_done(&a);
	if (rc != RC_OK)
		*why = w.why;
	return rc;
}

/* ---- what waits for mail to other servers ---- */

enum { WAITING_MAX = 64, PARTS_MAX = 256 };
struct waiting {
	struct arena *a;
	struct { int64_t part; struct str receiver; } one[WAITING_MAX];
	size_t n;
	int64_t part[PARTS_MAX]; size_t parts;
};
static bool find_waiting(void *arg, const struct ledger_sent *s)
{
	struct waiting *g = arg;
	if (g->parts < PARTS_MAX)
		g->part[g->parts++] = s->part;
	if (s->state == LEDGER_WAITING && g->n < WAITING_MAX) {
		g->one[g->n].part = s->part;
		g->one[g->n++].receiver = arena_str(g->a, s->receiver);
	}
	return true;
}

/* One part to one receiver: its rows begin where the part before it ended. */
static enum rc try_again(struct day_work *w, const struct waiting *g, size_t i)
{
	bool settled;
	w->d.upto = 0;
	w->d.target = g->one[i].part;
	w->d.since_ms = 0;
	w->packed = STR("");
	for (size_t k = 0; k < g->parts; k++)
		if (g->part[k] < w->d.target && g->part[k] > w->d.upto)
			w->d.upto = g->part[k];
	TRY(describe(w));
	struct dmarc_uri uris[RECEIVERS], to = { .address = g->one[i].receiver };
	size_t n = dmarc_uris(w->rua, w->a, uris, RECEIVERS);
	for (size_t k = 0; k < n; k++)
		if (str_ieq(uris[k].address, to.address))
			to.max_size = uris[k].max_size;
	return w->messages ? send_one(w, &to, &settled) : RC_OK;
}

static enum rc work_waiting(struct report_send *s, const struct ledger_report_day *d, struct why *why)
{
	struct arena names;
	struct waiting g = { .a = &names };
	arena_init(&names, 1 << 20);
	enum rc rc = ledger_sent_list(s->l, &(struct ledger_days){ .first = d->day, .end = d->day + 1, .domain = d->domain, .max = 2000 }, find_waiting, &g, why);
	for (size_t i = 0; rc == RC_OK && i < g.n && !fiber_cancelled(); i++) {
		struct arena a;
		struct day_work w = { .s = s, .d = *d, .forced = true, .again = true, .a = &a };
		arena_init(&a, ROOM);
		rc = try_again(&w, &g, i);
		*why = w.why;
		arena_done(&a);
	}
	arena_done(&names);
	return rc;
}

/* ---- rounds ---- */

struct page { struct arena a; struct ledger_report_day *day; size_t n; };
static bool keep_day(void *arg, const struct ledger_report_day *d)
{
	struct page *p = arg;
	p->day[p->n] = *d;
	p->day[p->n].name = arena_str(&p->a, d->name);
	p->day[p->n].about = arena_str(&p->a, d->about);
	return !p->a.full && ++p->n < PAGE;
}

/* Its moment: some time after midnight, by a hash that nobody outside can guess. */
static bool is_due(const struct report_send *s, const struct ledger_report_day *d)
{
	uint64_t spread = s->e->config->reports_spread + 1;
	return wall_ms() >= ((int64_t)d->day + 1) * DAY_MS + SETTLE_MS + (int64_t)((uint64_t)d->domain % spread);
}

static struct str domain_of(const struct ledger_report_day *d)
{
	struct str domain;
	(void)report_tls_is_day(d->name, &domain);
	return domain;
}

static bool is_wanted(const struct report_send *s, const struct ledger_report_day *d)
{
	struct str domain;
	return report_tls_is_day(d->name, &domain) ? s->e->config->reports_send_tls : s->e->config->reports_send;
}

static enum rc run(struct report_send *s, struct ledger_days *q, bool forced, struct why *why)
{
	enum rc rc = RC_OK, worst = RC_OK;
	size_t got = PAGE;
	while (rc == RC_OK && got == PAGE && !fiber_cancelled()) {
		struct page p = { .n = 0 };
		arena_init(&p.a, 16 << 20);
		p.day = arena_new(&p.a, PAGE * sizeof *p.day);
		q->max = PAGE;
		rc = p.day ? ledger_report_days(s->l, q, keep_day, &p, why) : RC_NOMEM;
		for (size_t i = 0; rc == RC_OK && i < p.n && !fiber_cancelled(); i++) {
			q->after = p.day[i].id;
			if (!forced && !is_wanted(s, &p.day[i]))
				continue;
			enum rc one = forced && q->done_too ? work_waiting(s, &p.day[i], why) : RC_OK;
			if (one == RC_OK && (forced || is_due(s, &p.day[i])))
				one = work_day(s, &p.day[i], forced, why);
			if (one != RC_OK && !fiber_cancelled()) {
				log_event(LEVEL_ERROR, EV_REPORT_SENT, F("dom", domain_of(&p.day[i])), F("state", "failed"), F("reason", why->text[0] ? why->text : rc_name(one)));
				worst = one;
			}
		}
		got = p.n;
		arena_done(&p.a);
	}
	return rc != RC_OK ? rc : worst;
}

static void round_fiber(void *arg)
{
	struct report_send *s = arg;
	struct why why = { 0 };
	uint32_t today = day_of_ms(wall_ms());
	struct ledger_days q = { .first = today > DAYS_BACK ? today - DAYS_BACK : 0, .end = today };
	(void)!run(s, &q, false, &why); /* said in the log */
	s->busy = false;
}

void report_send_tick(struct report_send *s)
{
	bool any = s->e->config->reports_send || s->e->config->reports_send_tls;
	if (s->busy || !any || loop_now(s->e->loop) < s->next)
		return;
	s->next = loop_now(s->e->loop) + ROUND_MS;
	s->busy = true;
	if (fiber_start(s->e->loop, round_fiber, s, NULL) != RC_OK)
		s->busy = false;
}

enum rc report_send_now(struct report_send *s, uint32_t day, struct str domain, struct why *why)
{
	uint32_t today = day_of_ms(wall_ms());
	struct ledger_days q = { .first = day ? day : today > DAYS_BACK ? today - DAYS_BACK : 0, .end = day ? day + 1 : today, .done_too = day != 0 };
	if (s->busy)
		FAIL(why, RC_BUSY, "reports are being sent at this moment");
	TRY(ledger_tag(s->l, domain, &q.domain));
	s->busy = true;
	enum rc rc = run(s, &q, true, why);
	if (rc == RC_OK && domain.n) { /* its TLS reports lie under a name of their own */
		q.after = 0;
		rc = report_tls_tag(s->l, domain, &q.domain);
		if (rc == RC_OK)
			rc = run(s, &q, true, why);
	}
	s->busy = false;
	return rc;
}
