/* The judgement on a domain's reports: see report_view.h for its rules. Three passes over the rows: put networks together, learn which selectors are the
 * owner's, group. */
#include "origin/report_view.h"

#include "base/map.h"
#include "base/mem.h"
#include "origin/say.h"
#include "origin/spf_ip.h"

#include <stdio.h>
#include <stdlib.h>

enum { DAY_S = 86400, SELECTORS_MAX = 16 };

struct gathered {
	struct report_view_source s;
	uint8_t ip[16];              /* of the network */
	unsigned octets;             /* 4 or 16 */
	bool told_forwarder, listed_own, listed_forwarder, anything_passed;
	struct str selector[SELECTORS_MAX]; /* "selector@domain" of aligned signatures */
	size_t selectors;
};
struct maker {
	struct arena *arena;
	struct map networks, days, own_selectors;
	struct gathered **list;
	size_t n, cap;
	struct report_view_day **day;
	size_t days_n, days_cap;
	const struct report_view_options *o;
	struct why *why;
};

const char *report_view_group_name(enum report_view_group g)
{
	static const char *const names[] = { "yours", "known forwarder", "unknown", "threat" };
	return (size_t)g < REPORT_VIEW_GROUPS ? names[g] : "unknown";
}

static bool passes(const struct report_row *r) { return str_eq(r->dkim, STR("pass")) || str_eq(r->spf, STR("pass")); }

static size_t ip_of(struct str text, uint8_t out[16])
{
	if (ip4_parse(text, out))
		return 4;
	return ip6_parse(text, out) ? 16 : 0;
}

/* ---- the lists of the owner ---- */
static bool in_listed_net(struct str item, const uint8_t *ip, size_t n)
{
	struct str address, bits_text;
	uint8_t net[16];
	uint64_t bits = n * 8;
	bool masked = str_cut(item, '/', &address, &bits_text);
	return ip_of(address, net) == n && (!masked || str_u64(bits_text, n * 8, &bits)) && ip_in_net(str_of(ip, n), net, (unsigned)bits);
}

static bool below(struct str name, struct str top)
{
	return str_ieq(name, top) || (name.n > top.n + 1 && str_iends(name, top) && name.p[name.n - top.n - 1] == '.');
}

static bool speaks_for(const struct report_row *r, struct str domain)
{
	if (str_eq(r->auth_spf.result, STR("pass")) && below(r->auth_spf.domain, domain))
		return true;
	for (size_t i = 0; i < r->auth_dkims; i++)
		if (str_eq(r->auth_dkim[i].result, STR("pass")) && below(r->auth_dkim[i].domain, domain))
			return true;
	return false;
}

static void look_up(const struct report_view_options *o, const struct report_row *r, const uint8_t *ip, size_t n, struct gathered *g)
{
	for (size_t i = 0; o && i < o->owns; i++)
		g->listed_own |= in_listed_net(o->own[i], ip, n);
	for (size_t i = 0; o && i < o->n_forwarders; i++)
		g->listed_forwarder |= in_listed_net(o->forwarders[i], ip, n) || (o->forwarders[i].n && speaks_for(r, o->forwarders[i]));
}

/* ---- first pass: networks and days ---- */
static bool grow(void **p, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return true;
	size_t want = *cap ? *cap * 2 : 64;
	void *more = mem_grow(*p, *cap * size, want * size);
	if (!more)
		return false;
	*p = more;
	*cap = want;
	return true;
}

static enum rc network_of(struct maker *m, const struct report_row *r, struct gathered **out, uint8_t ip[16], size_t *out_n)
{
	uint8_t key[17] = { 0 };
	size_t n = ip_of(r->source_ip, ip);
	*out_n = n;
	*out = NULL;
	if (n == 0)
		return RC_OK;
	key[0] = (uint8_t)n;
	memcpy(key + 1, ip, n == 4 ? 3 : 6); /* /24, /48 */
	struct gathered *g = map_get(&m->networks, str_of(key, sizeof key));
	if (!g) {
		char text[IP_TEXT_MAX];
		if (m->n >= REPORT_VIEW_SOURCES_MAX)
			FAIL(m->why, RC_LIMIT, "more than %d networks", REPORT_VIEW_SOURCES_MAX);
		g = arena_new(m->arena, sizeof *g);
		struct str kept = arena_str(m->arena, str_of(key, sizeof key));
		if (!g || kept.n == 0 || !grow((void **)&m->list, m->n, &m->cap, sizeof *m->list) || map_put(&m->networks, kept, g) != RC_OK)
			FAIL(m->why, RC_LIMIT, "no room for the networks");
		memcpy(g->ip, key + 1, 16);
		g->octets = (unsigned)n;
		struct str net = ip_format(str_of(g->ip, n), text);
		g->s = (struct report_view_source){ .network = origin_say(m->arena, "%.*s/%d", PSTR(net), n == 4 ? 24 : 48), .because = STR(""), .authenticated_as = STR(""),
			.example_ip = r->source_ip, .first_s = INT64_MAX, .last_s = INT64_MIN };
		m->list[m->n++] = g;
	}
	*out = g;
	return RC_OK;
}

static enum rc add_day(struct maker *m, int64_t day_s, const struct report_row *r)
{
	int64_t day = day_s - (day_s % DAY_S + DAY_S) % DAY_S;
	struct report_view_day *d = map_get_u64(&m->days, (uint64_t)day);
	if (!d) {
		d = arena_new(m->arena, sizeof *d);
		if (!d || !grow((void **)&m->day, m->days_n, &m->days_cap, sizeof *m->day) || map_put_u64(&m->days, (uint64_t)day, d) != RC_OK)
			FAIL(m->why, RC_LIMIT, "no room for the days");
		d->day_s = day;
		m->day[m->days_n++] = d;
	}
	d->messages += r->count;
	d->passed += passes(r) ? r->count : 0;
	return RC_OK;
}

/* Signatures that made DKIM align. A row does not say which of several did: those whose domain is, or is above or below, the author's. */
static void note_selectors(struct maker *m, struct gathered *g, const struct report_row *r)
{
	for (size_t i = 0; i < r->auth_dkims; i++) {
		const struct report_auth *d = &r->auth_dkim[i];
		if (!str_eq(d->result, STR("pass")))
			continue;
		g->anything_passed = true;
		bool aligned = str_eq(r->dkim, STR("pass")) && (below(d->domain, r->header_from) || below(r->header_from, d->domain));
		if (!aligned && g->s.authenticated_as.n == 0)
			g->s.authenticated_as = d->domain;
		if (!aligned || g->selectors == SELECTORS_MAX)
			continue;
		char text[400];
		int n = snprintf(text, sizeof text, "%.*s@%.*s", PSTR(str_head(d->selector, 100)), PSTR(str_head(d->domain, 253)));
		struct str key = str_of(text, (size_t)n);
		bool known = false;
		for (size_t k = 0; k < g->selectors; k++)
			known |= str_eq(g->selector[k], key);
		if (!known)
			g->selector[g->selectors++] = arena_str(m->arena, key);
	}
}

static enum rc add_row(struct maker *m, const struct report_view_row *v, struct report_view *out)
{
	const struct report_row *r = v->row;
	struct gathered *g;
	uint8_t ip[16];
	size_t n;
	TRY(add_day(m, v->day_s, r));
	out->messages += r->count;
	out->passed += passes(r) ? r->count : 0;
	TRY(network_of(m, r, &g, ip, &n));
	if (!g) {
		out->unread += r->count;
		return RC_OK;
	}
	g->s.messages += r->count;
	g->s.passed += passes(r) ? r->count : 0;
	g->s.spf_aligned += str_eq(r->spf, STR("pass")) ? r->count : 0;
	g->s.dkim_aligned += str_eq(r->dkim, STR("pass")) ? r->count : 0;
	g->s.quarantined += str_eq(r->disposition, STR("quarantine")) ? r->count : 0;
	g->s.rejected += str_eq(r->disposition, STR("reject")) ? r->count : 0;
	g->s.first_s = v->day_s < g->s.first_s ? v->day_s : g->s.first_s;
	g->s.last_s = v->day_s > g->s.last_s ? v->day_s : g->s.last_s;
	g->told_forwarder |= str_eq(r->override, STR("forwarded")) || str_eq(r->override, STR("trusted_forwarder")) || str_eq(r->override, STR("mailing_list"));
	if (str_eq(r->auth_spf.result, STR("pass"))) {
		g->anything_passed = true;
		if (!str_eq(r->spf, STR("pass")) && g->s.authenticated_as.n == 0)
			g->s.authenticated_as = r->auth_spf.domain;
	}
	look_up(m->o, r, ip, n, g);
	note_selectors(m, g, r);
	return RC_OK;
}

/* ---- second pass: whose selectors, whose neighbourhoods ---- */
static bool names_it(const struct gathered *g) { return g->s.spf_aligned > 0 || g->listed_own; }

static struct str neighbourhood(const struct gathered *g, uint8_t out[5])
{
	out[0] = (uint8_t)g->octets;
	memcpy(out + 1, g->ip, 4);
	if (g->octets == 4)
		out[3] = out[4] = 0; /* /16; else /32 */
	return str_of(out, 5);
}

static enum rc learn_own(struct maker *m, struct map *near)
{
	for (size_t i = 0; i < m->n; i++) {
		struct gathered *g = m->list[i];
		uint8_t key[5];
		if (!names_it(g))
			continue;
		for (size_t k = 0; k < g->selectors; k++)
			TRY(map_put(&m->own_selectors, g->selector[k], g));
		struct str kept = arena_str(m->arena, neighbourhood(g, key));
		if (kept.n == 0)
			return RC_LIMIT;
		TRY(map_put(near, kept, g));
	}
	return RC_OK;
}

/* ---- third pass: groups ---- */
static const struct str *foreign_selector(const struct maker *m, const struct gathered *g)
{
	for (size_t k = 0; k < g->selectors; k++)
		if (!map_get(&m->own_selectors, g->selector[k]))
			return &g->selector[k];
	return NULL;
}

static void group_one(struct maker *m, const struct map *near, struct gathered *g)
{
	struct report_view_source *s = &g->s;
	uint8_t key[5];
	const struct str *own_key = foreign_selector(m, g);
	struct arena *a = m->arena;
	s->group = REPORT_VIEW_UNKNOWN;
	if (g->listed_own || s->spf_aligned) {
		s->group = REPORT_VIEW_YOURS;
		s->because = g->listed_own ? STR("you named it as yours") : STR("your SPF record names it");
	} else if (g->listed_forwarder || g->told_forwarder) {
		s->group = REPORT_VIEW_FORWARDER;
		s->because = g->listed_forwarder ? STR("you named it as a forwarder") : STR("receivers say that it forwards");
	} else if (own_key) {
		s->group = REPORT_VIEW_YOURS;
		s->because = origin_say(a, "it signs for you with a key of its own (%.*s)", PSTR(str_head(*own_key, 200)));
	} else if (s->dkim_aligned) {
		s->group = REPORT_VIEW_FORWARDER;
		s->because = STR("it passes on mail that your own servers signed");
	} else if (g->anything_passed) {
		s->because = s->authenticated_as.n ? origin_say(a, "it is authenticated as %.*s", PSTR(str_head(s->authenticated_as, 200))) : STR("it is authenticated as somebody else");
	} else if (map_get(near, neighbourhood(g, key))) {
		s->because = STR("nothing speaks for it, but it stands beside your own networks");
	} else {
		s->group = REPORT_VIEW_THREAT;
		s->because = STR("nothing speaks for it");
	}
}

static int by_messages(const void *x, const void *y)
{
	const struct report_view_source *a = x, *b = y;
	return a->messages != b->messages ? (a->messages < b->messages ? 1 : -1) : str_cmp(a->network, b->network);
}
static int by_day(const void *x, const void *y)
{
	const struct report_view_day *a = x, *b = y;
	return a->day_s < b->day_s ? -1 : a->day_s > b->day_s;
}

static enum rc finish(struct maker *m, struct report_view *out)
{
	AUTO(map_done) struct map near;
	map_init(&near, REPORT_VIEW_SOURCES_MAX);
	TRY(learn_own(m, &near));
	out->source = arena_new(m->arena, m->n * sizeof *out->source);
	out->day = arena_new(m->arena, m->days_n * sizeof *out->day);
	if (!out->source || !out->day)
		FAIL(m->why, RC_LIMIT, "no room for what was found");
	for (size_t i = 0; i < m->n; i++) {
		group_one(m, &near, m->list[i]);
		out->source[out->sources++] = m->list[i]->s;
		out->group_messages[m->list[i]->s.group] += m->list[i]->s.messages;
		out->group_passed[m->list[i]->s.group] += m->list[i]->s.passed;
	}
	for (size_t i = 0; i < m->days_n; i++)
		out->day[out->days++] = *m->day[i];
	qsort(out->source, out->sources, sizeof *out->source, by_messages);
	qsort(out->day, out->days, sizeof *out->day, by_day);
	if (m->arena->full)
		FAIL(m->why, RC_LIMIT, "no room for what was found");
	return RC_OK;
}

enum rc report_view_make(const struct report_view_row *rows, size_t n, const struct report_view_options *o, struct arena *a, struct report_view *out, struct why *why)
{
	struct maker m = { .arena = a, .o = o, .why = why };
	enum rc rc = RC_OK;
	*out = (struct report_view){ 0 };
	if (n > REPORT_VIEW_ROWS_MAX)
		FAIL(why, RC_LIMIT, "more than %d rows", REPORT_VIEW_ROWS_MAX);
	map_init(&m.networks, REPORT_VIEW_SOURCES_MAX);
	map_init(&m.days, 40000);
	map_init(&m.own_selectors, REPORT_VIEW_SOURCES_MAX);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = add_row(&m, &rows[i], out);
	if (rc == RC_OK)
		rc = finish(&m, out);
	map_done(&m.networks);
	map_done(&m.days);
	map_done(&m.own_selectors);
	mem_free(m.list);
	mem_free(m.day);
	return rc;
}
