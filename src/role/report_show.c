#include "role/report_show.h"

#include "base/codec.h"
#include "origin/report_sum.h"
#include "origin/report_view.h"
#include "role/report_rules.h"
#include "role/report_tls.h"
#include "role/report_send.h"
#include "role/report_take.h"

enum { DOMAINS = 200, ROWS_MAX = 200000, PAGE = 500, ROOM = 512 << 20, SOURCES_SAID = 15, CHANGES_SAID = 10, REPORTERS = 100, WORDS = 256, SENT_MAX = 2000 };

void show_text(struct buf *out, struct str s)
{
	while (s.n) {
		uint32_t v;
		size_t n = utf8_next(s, &v);
		bool odd = v < 0x20 || (v >= 0x7f && v < 0xa0) || v == 0xfffd || (v >= 0x2028 && v <= 0x202e) || (v >= 0x2066 && v <= 0x2069);
		buf_add(out, odd ? STR("?") : str_head(s, n));
		s = str_skip(s, n ? n : 1);
	}
}

void show_json(struct buf *out, const char *key, struct str value)
{
	buf_addf(out, "\"%s\":\"", key);
	json_escape(out, value);
	buf_byte(out, '"');
}

static void put_count(struct buf *out, uint64_t n, const char *thing) { buf_addf(out, "%llu %s%s", (unsigned long long)n, thing, n == 1 ? "" : "s"); }

/* ---- which domains ---- */

struct naming { struct arena *a; struct map seen; struct str *out; size_t n, max; int64_t last; unsigned got; };
static bool name_one(void *arg, const struct ledger_report *r)
{
	struct naming *g = arg;
	g->last = r->id;
	g->got++;
	if (r->domain.n == 0 || map_get(&g->seen, r->domain))
		return true;
	struct str kept = arena_str(g->a, r->domain);
	if (g->n == g->max || map_put(&g->seen, kept, (void *)(uintptr_t)1) != RC_OK)
		return false;
	g->out[g->n++] = kept;
	return true;
}

enum rc show_domains(struct ledger *l, const struct ledger_reports *q, struct arena *a, struct str *out, size_t max, size_t *out_n, struct why *why)
{
	struct naming g = { .a = a, .out = out, .max = max, .last = q->after, .got = PAGE };
	struct ledger_reports page = *q;
	enum rc rc = RC_OK;
	map_init(&g.seen, max + 1);
	page.max = PAGE;
	while (rc == RC_OK && g.got == PAGE && g.n < max) {
		g.got = 0;
		page.after = g.last;
		rc = ledger_reports(l, &page, name_one, &g, why);
		fiber_yield();
	}
	map_done(&g.seen);
	*out_n = g.n;
	return rc;
}

/* ---- rows of one domain ---- */

struct rows { struct arena *a; struct report_view_row *row; size_t n; int64_t last; unsigned got; bool full; };
static bool take_row(void *arg, const struct ledger_report_row *r)
{
	struct rows *g = arg;
	g->last = r->id;
	g->got++;
	struct report_row *w = arena_new(g->a, sizeof *w);
	struct str key = arena_str(g->a, r->row);
	g->full = g->n == ROWS_MAX || !w || key.n != r->row.n;
	if (g->full)
		return false;
	if (report_row_of_key(key, w) != RC_OK)
		return true;
	w->count = r->count;
	g->row[g->n++] = (struct report_view_row){ .day_s = (int64_t)r->day * 86400, .row = w };
	return true;
}

static enum rc read_rows(struct ledger *l, const struct ledger_reports *q, struct rows *out, struct why *why)
{
	struct ledger_reports page = *q;
	out->row = arena_new(out->a, ROWS_MAX * sizeof *out->row);
	if (!out->row)
		return RC_NOMEM;
	page.max = PAGE;
	out->got = PAGE;
	while (out->got == PAGE && !out->full) {
		out->got = 0;
		page.after = out->last;
		TRY(ledger_report_rows(l, &page, take_row, out, why));
		fiber_yield();
	}
	if (out->full)
		FAIL(why, RC_LIMIT, "more than %d rows: ask for fewer days with --since, or for one domain with --domain", ROWS_MAX);
	return RC_OK;
}

/* ---- who reported ---- */

struct heads {
	struct arena *a;
	struct str policy;             /* of the newest report that proved its sender */
	int64_t newest_s, last;
	uint64_t reports, unverified;
	unsigned got;
	struct { struct str name; uint64_t n; } by[REPORTERS];
	size_t by_n;
};
static bool take_head(void *arg, const struct ledger_report *r)
{
	struct heads *g = arg;
	struct arena a AUTO(arena_done);
	struct report_head h;
	g->last = r->id;
	g->got++;
	arena_init(&a, 1 << 20);
	if (!r->verified)
		g->unverified++;
	if (!r->verified || report_head_get(r->head, &a, &h, NULL) != RC_OK)
		return true;
	g->reports++;
	if (r->begin_s >= g->newest_s) {
		g->newest_s = r->begin_s;
		g->policy = arena_str(g->a, h.report.dmarc.p);
	}
	size_t i = 0;
	while (i < g->by_n && !str_ieq(g->by[i].name, h.verified))
		i++;
	if (i == g->by_n && i < REPORTERS)
		g->by[g->by_n++].name = arena_str(g->a, h.verified);
	if (i < g->by_n)
		g->by[i].n++;
	return true;
}

static enum rc read_heads(struct ledger *l, const struct ledger_reports *q, struct heads *out, struct why *why)
{
	struct ledger_reports page = *q;
	page.max = PAGE;
	page.unverified = true;
	out->got = PAGE;
	while (out->got == PAGE) {
		out->got = 0;
		page.after = out->last;
		TRY(ledger_reports(l, &page, take_head, out, why));
		fiber_yield();
	}
	return RC_OK;
}

/* ---- one domain ---- */

struct domain_view {
	struct str domain;
	uint32_t days;
	struct report_view now, before;
	struct report_view_change *change; size_t changes;
	struct report_view_step step;
	struct heads heads;
	uint64_t failures;             /* failure reports */
};

static bool count_one(void *arg, const struct ledger_report_row *r)
{
	*(uint64_t *)arg += r->count;
	return true;
}

static enum rc look(struct role_env *e, struct ledger *l, struct str domain, uint32_t days, struct arena *a, struct domain_view *v, struct why *why)
{
	struct str own[WORDS], forwarders[WORDS];
	struct report_view_options o = { .own = own, .forwarders = forwarders };
	struct rows now = { .a = a }, before = { .a = a };
	int64_t end = wall_ms() / 1000 + 86400, begin = ((int64_t)day_of_ms(wall_ms()) + 1 - days) * 86400;
	struct ledger_reports q = { .kind = REPORT_DMARC, .since_s = begin, .until_s = end };
	/* Copies: a reload replaces the configuration while this waits. */
	o.owns = str_words(arena_str(a, e->config->reports_own_networks), own, WORDS);
	o.n_forwarders = str_words(arena_str(a, e->config->authentication_trusted_forwarders), forwarders, WORDS);
	*v = (struct domain_view){ .domain = domain, .days = days, .heads = { .a = a, .policy = STR("") } };
	TRY(ledger_tag(l, domain, &q.domain));
	TRY(read_rows(l, &q, &now, why));
	TRY(report_view_make(now.row, now.n, &o, a, &v->now, why));
	TRY(read_heads(l, &q, &v->heads, why));
	struct ledger_reports failed = q;
	failed.kind = REPORT_FAILURE;
	failed.max = 100000;
	TRY(ledger_report_rows(l, &failed, count_one, &v->failures, why));
	q.since_s = begin - (int64_t)days * 86400;
	q.until_s = begin;
	TRY(read_rows(l, &q, &before, why));
	TRY(report_view_make(before.row, before.n, &o, a, &v->before, why));
	if (before.n)
		TRY(report_view_changes(&v->before, &v->now, a, &v->change, &v->changes));
	return report_view_next_step(&v->now, v->heads.policy.n ? v->heads.policy : STR("none"), a, &v->step);
}

static unsigned permille(uint64_t part, uint64_t all) { return all ? (unsigned)(part * 1000 / all) : 0; }

static void put_rate(struct buf *out, uint64_t part, uint64_t all)
{
	unsigned p = permille(part, all);
	buf_addf(out, "%u.%u %%", p / 10, p % 10);
}

static void say_group(const struct domain_view *v, enum report_view_group g, struct buf *out)
{
	size_t said = 0, more = 0;
	buf_addf(out, "\n%s: ", report_view_group_name(g));
	put_count(out, v->now.group_messages[g], "message");
	buf_addf(out, ", %llu passed\n", (unsigned long long)v->now.group_passed[g]);
	for (size_t i = 0; i < v->now.sources; i++) {
		const struct report_view_source *s = &v->now.source[i];
		if (s->group != g)
			continue;
		if (said == SOURCES_SAID) {
			more++;
			continue;
		}
		said++;
		buf_addf(out, "  %-20.*s %8llu  ", PSTR(str_head(s->network, 60)), (unsigned long long)s->messages);
		put_rate(out, s->passed, s->messages);
		buf_add(out, STR("  "));
		show_text(out, str_head(s->because, 300));
		buf_byte(out, '\n');
	}
	if (more)
		buf_addf(out, "  and %zu more networks\n", more);
}

static void say_days(const struct domain_view *v, struct buf *out)
{
	size_t from = v->now.days > 31 ? v->now.days - 31 : 0;
	buf_add(out, STR("\nday by day\n"));
	for (size_t i = from; i < v->now.days; i++) {
		const struct report_view_day *d = &v->now.day[i];
		char day[16], bar[21];
		unsigned n = permille(d->passed, d->messages) / 50;
		report_day_text((uint32_t)(d->day_s / 86400), day);
		memset(bar, '.', 20);
		memset(bar, '#', n < 20 ? n : 20);
		bar[20] = 0;
		buf_addf(out, "  %s  %s  ", day, bar);
		put_rate(out, d->passed, d->messages);
		buf_addf(out, " of %llu\n", (unsigned long long)d->messages);
	}
}

static void say_step(const struct domain_view *v, struct buf *out)
{
	const struct report_view_step *s = &v->step;
	if (!s->next.n)
		buf_addf(out, "\npolicy: %.*s, which is the last step\n", PSTR(str_head(s->now, 20)));
	else
		buf_addf(out, "\nnext step: %.*s -> %.*s is %s\n  ", PSTR(str_head(s->now, 20)), PSTR(str_head(s->next, 20)), s->safe ? "safe" : "not safe yet");
	if (s->next.n) {
		show_text(out, s->reason);
		buf_byte(out, '\n');
	}
	if (s->breakings)
		buf_add(out, STR("  would break:\n"));
	for (size_t i = 0; i < s->breakings && i < SOURCES_SAID; i++) {
		const struct report_view_source *b = s->breaking[i];
		buf_addf(out, "    %-20.*s %8llu of %llu messages fail", PSTR(str_head(b->network, 60)), (unsigned long long)(b->messages - b->passed), (unsigned long long)b->messages);
		if (b->authenticated_as.n) {
			buf_add(out, STR("; proves to be "));
			show_text(out, str_head(b->authenticated_as, 255));
		}
		buf_byte(out, '\n');
	}
}

static void say_domain(const struct domain_view *v, struct buf *out)
{
	show_text(out, v->domain);
	buf_add(out, STR(": "));
	put_count(out, v->now.messages, "message");
	buf_add(out, STR(" in "));
	put_count(out, v->days, "day");
	buf_add(out, STR(", "));
	put_rate(out, v->now.passed, v->now.messages);
	buf_add(out, STR(" proved to be yours\n  "));
	put_count(out, v->heads.reports, "report");
	buf_add(out, STR(" from "));
	put_count(out, v->heads.by_n, "receiver");
	if (v->heads.unverified)
		buf_addf(out, "; %llu more did not prove their sender and do not count", (unsigned long long)v->heads.unverified);
	if (v->failures)
		buf_addf(out, "; %llu failures were reported one by one", (unsigned long long)v->failures);
	buf_byte(out, '\n');
	for (int g = 0; g < REPORT_VIEW_GROUPS; g++)
		if (v->now.group_messages[g])
			say_group(v, (enum report_view_group)g, out);
	say_days(v, out);
	if (v->changes)
		buf_addf(out, "\nwhat changed since the %u days before\n", v->days);
	for (size_t i = 0; i < v->changes && i < CHANGES_SAID; i++) {
		buf_add(out, STR("  "));
		show_text(out, v->change[i].text);
		buf_byte(out, '\n');
	}
	say_step(v, out);
}

static void json_source(const struct report_view_source *s, struct buf *out)
{
	buf_byte(out, '{');
	show_json(out, "network", s->network);
	buf_byte(out, ',');
	show_json(out, "group", str_z(report_view_group_name(s->group)));
	buf_byte(out, ',');
	show_json(out, "because", s->because);
	buf_byte(out, ',');
	show_json(out, "example", s->example_ip);
	buf_byte(out, ',');
	show_json(out, "authenticated_as", s->authenticated_as);
	buf_addf(out, ",\"messages\":%llu,\"passed\":%llu,\"spf_aligned\":%llu,\"dkim_aligned\":%llu,\"quarantined\":%llu,\"rejected\":%llu}",
	         (unsigned long long)s->messages, (unsigned long long)s->passed, (unsigned long long)s->spf_aligned, (unsigned long long)s->dkim_aligned,
	         (unsigned long long)s->quarantined, (unsigned long long)s->rejected);
}

static void json_lists(const struct domain_view *v, struct buf *out)
{
	enum { MOST = 1000 };
	buf_add(out, STR(",\"by_day\":["));
	for (size_t i = 0; i < v->now.days; i++) {
		char day[16];
		report_day_text((uint32_t)(v->now.day[i].day_s / 86400), day);
		buf_addf(out, "%s{\"day\":\"%s\",\"messages\":%llu,\"passed\":%llu}", i ? "," : "", day, (unsigned long long)v->now.day[i].messages,
		         (unsigned long long)v->now.day[i].passed);
	}
	buf_add(out, STR("],\"sources\":["));
	for (size_t i = 0; i < v->now.sources && i < MOST; i++) {
		buf_add(out, i ? STR(",") : STR(""));
		json_source(&v->now.source[i], out);
	}
	buf_addf(out, "],\"more_sources\":%zu,\"changes\":[", v->now.sources > MOST ? v->now.sources - MOST : 0);
	for (size_t i = 0; i < v->changes && i < MOST; i++) {
		buf_add(out, i ? STR(",\"") : STR("\""));
		json_escape(out, v->change[i].text);
		buf_byte(out, '"');
	}
	buf_add(out, STR("],\"reporters\":["));
	for (size_t i = 0; i < v->heads.by_n; i++) {
		buf_add(out, i ? STR(",{") : STR("{"));
		show_json(out, "domain", v->heads.by[i].name);
		buf_addf(out, ",\"reports\":%llu}", (unsigned long long)v->heads.by[i].n);
	}
}

static void json_domain(const struct domain_view *v, struct buf *out)
{
	const struct report_view_step *s = &v->step;
	buf_byte(out, '{');
	show_json(out, "domain", v->domain);
	buf_addf(out, ",\"days\":%u,\"messages\":%llu,\"passed\":%llu,\"reports\":%llu,\"unverified_reports\":%llu,\"failure_reports\":%llu,\"groups\":{", v->days,
	         (unsigned long long)v->now.messages, (unsigned long long)v->now.passed, (unsigned long long)v->heads.reports, (unsigned long long)v->heads.unverified,
	         (unsigned long long)v->failures);
	for (int g = 0; g < REPORT_VIEW_GROUPS; g++)
		buf_addf(out, "%s\"%s\":{\"messages\":%llu,\"passed\":%llu}", g ? "," : "", report_view_group_name((enum report_view_group)g),
		         (unsigned long long)v->now.group_messages[g], (unsigned long long)v->now.group_passed[g]);
	buf_byte(out, '}');
	json_lists(v, out);
	buf_add(out, STR("],\"step\":{"));
	show_json(out, "now", s->now);
	buf_byte(out, ',');
	show_json(out, "next", s->next);
	buf_addf(out, ",\"safe\":%s,", s->safe ? "true" : "false");
	show_json(out, "reason", s->reason);
	buf_addf(out, ",\"may_be_yours\":%llu,\"would_break\":%llu,\"breaking\":[", (unsigned long long)s->may_be_yours, (unsigned long long)s->would_break);
	for (size_t i = 0; i < s->breakings; i++) {
		buf_add(out, i ? STR(",\"") : STR("\""));
		json_escape(out, s->breaking[i]->network);
		buf_byte(out, '"');
	}
	buf_add(out, STR("]}}\n"));
}

static enum rc show_one(struct role_env *e, struct ledger *l, const struct report_show *q, struct str domain, bool brief, struct buf *out, struct why *why)
{
	struct arena a AUTO(arena_done);
	struct domain_view v;
	arena_init(&a, ROOM);
	TRY(look(e, l, domain, q->days, &a, &v, why));
	if (q->json) {
		json_domain(&v, out);
	} else if (brief) {
		show_text(out, domain);
		buf_add(out, STR(": "));
		put_count(out, v.now.messages, "message");
		buf_add(out, STR(", "));
		put_rate(out, v.now.passed, v.now.messages);
		buf_addf(out, " proved; policy %.*s, next step %s\n", PSTR(str_head(v.step.now, 20)), !v.step.next.n ? "none" : v.step.safe ? "safe" : "not safe yet");
	} else {
		say_domain(&v, out);
	}
	return RC_OK;
}

static enum rc show_dmarc(struct role_env *e, struct ledger *l, const struct report_show *q, struct buf *out, uint32_t *out_found, struct why *why)
{
	struct arena a AUTO(arena_done);
	struct str domains[DOMAINS];
	size_t n = 0;
	struct ledger_reports all = { .kind = REPORT_DMARC, .since_s = wall_ms() / 1000 - (int64_t)q->days * 86400, .until_s = wall_ms() / 1000 + 86400 };
	arena_init(&a, 1 << 20);
	TRY(ledger_tag(l, q->domain, &all.domain));
	all.unverified = q->domain.n > 0;
	TRY(show_domains(l, &all, &a, domains, DOMAINS, &n, why));
	for (size_t i = 0; i < n; i++)
		TRY(show_one(e, l, q, domains[i], n > 1, out, why));
	if (n > 1 && !q->json)
		buf_add(out, STR("\nmore about one: letterlock report dmarc --domain DOMAIN\n"));
	if (n == DOMAINS && !q->json)
		buf_addf(out, "these are %d; there are more\n", DOMAINS);
	*out_found = (uint32_t)n;
	return RC_OK;
}

enum rc report_show(struct role_env *e, struct ledger *l, const struct report_show *q, struct buf *out, uint32_t *out_found, struct why *why)
{
	*out_found = 0;
	enum rc rc = q->kind == REPORT_SHOW_TLS ? show_tls(l, q, out, out_found, why) : show_dmarc(e, l, q, out, out_found, why);
	if (rc == RC_OK && out->failed)
		FAIL(why, RC_LIMIT, "too much for one answer: ask for one domain with --domain");
	return rc;
}

/* ---- sent ---- */

struct sent { struct buf *out; bool json; uint32_t n; };
static bool say_sent(void *arg, const struct ledger_sent *s)
{
	struct sent *g = arg;
	char day[16];
	struct str domain;
	bool tls = report_tls_is_day(s->name, &domain);
	report_day_text(s->day, day);
	g->n++;
	if (!g->json) {
		buf_addf(g->out, "%s  %-5s  ", day, tls ? "TLS" : "DMARC");
		show_text(g->out, str_head(domain, 255));
		buf_add(g->out, STR(" -> "));
		show_text(g->out, str_head(s->receiver, 320));
		buf_addf(g->out, ": %s%s", report_sent_word(s->state), s->text.n ? "; " : "");
		show_text(g->out, s->text);
		buf_byte(g->out, '\n');
		return !g->out->failed;
	}
	buf_addf(g->out, "{\"day\":\"%s\",\"kind\":\"%s\",", day, tls ? "tls" : "dmarc");
	show_json(g->out, "domain", domain);
	buf_byte(g->out, ',');
	show_json(g->out, "to", s->receiver);
	buf_byte(g->out, ',');
	show_json(g->out, "state", str_z(report_sent_word(s->state)));
	buf_byte(g->out, ',');
	show_json(g->out, "reason", s->text);
	buf_byte(g->out, ',');
	show_json(g->out, "id", s->id);
	buf_add(g->out, STR("}\n"));
	return !g->out->failed;
}

enum rc report_show_sent(struct ledger *l, uint32_t day, struct str domain, bool json, struct buf *out, uint32_t *out_found, struct why *why)
{
	struct sent g = { .out = out, .json = json };
	uint32_t today = day_of_ms(wall_ms());
	struct ledger_days q = { .first = day ? day : today - 7, .end = day ? day + 1 : today + 1, .max = SENT_MAX };
	TRY(ledger_tag(l, domain, &q.domain));
	TRY(ledger_sent_list(l, &q, say_sent, &g, why));
	if (domain.n) {
		TRY(report_tls_tag(l, domain, &q.domain));
		TRY(ledger_sent_list(l, &q, say_sent, &g, why));
	}
	*out_found = g.n;
	return out->failed ? RC_LIMIT : RC_OK;
}
