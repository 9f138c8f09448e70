#include "role/report_tls.h"

#include "base/cursor.h"
#include "os/loop.h"

enum { POLICIES_MAX = 50, FAILURES_MAX = 1000, STRINGS_MAX = 64, PAGE = 500 };
static const char *const types[] = { "no-policy-found", "sts", "tlsa" }; /* by TLS_RESULT's number */

struct failure { struct failure *next; struct report_tls_failure f; };
struct policy {
	struct policy *next;
	uint8_t type;
	struct str strings;            /* packed */
	uint64_t success, failed;
	struct failure *first; size_t n;
};
struct gathering {
	struct arena *a;
	struct policy *first; size_t n;
	uint64_t sessions;
	int64_t last;
	unsigned got;
	enum rc rc;
};
struct row { uint8_t policy; struct str strings, mx, mx_ip, local_ip, result, reason; };

static enum rc read_row(struct str in, struct row *r)
{
	struct cursor c = cursor_of(in);
	r->policy = cursor_u8(&c);
	struct str *const field[] = { &r->strings, &r->mx, &r->mx_ip, &r->local_ip, &r->result, &r->reason };
	for (size_t i = 0; i < sizeof field / sizeof *field; i++)
		*field[i] = cursor_run(&c, c.in.n);
	return cursor_at_end(&c) && r->policy < sizeof types / sizeof *types ? RC_OK : RC_DAMAGED;
}

static struct policy *policy_of(struct gathering *g, const struct row *r)
{
	struct policy **p = &g->first;
	for (; *p; p = &(*p)->next)
		if ((*p)->type == r->policy && (str_eq((*p)->strings, r->strings) || g->n >= POLICIES_MAX))
			return *p;
	struct policy *fresh = arena_new(g->a, sizeof *fresh);
	if (fresh) {
		*fresh = (struct policy){ .type = r->policy, .strings = arena_str(g->a, r->strings) };
		*p = fresh;
		g->n++;
	}
	return fresh;
}

static bool is_same(const struct report_tls_failure *f, const struct row *r)
{
	return str_eq(f->type, r->result) && str_eq(f->receiving_mx, r->mx) && str_eq(f->receiving_ip, r->mx_ip) && str_eq(f->sending_ip, r->local_ip) &&
	       str_eq(f->reason, r->reason);
}

static enum rc add_failure(struct gathering *g, struct policy *p, struct row r, uint64_t count)
{
	struct str no = STR("");
	struct failure **at = &p->first;
	if (p->n >= FAILURES_MAX)
		r.mx = r.mx_ip = r.local_ip = r.reason = no;
	for (; *at; at = &(*at)->next)
		if (is_same(&(*at)->f, &r))
			return (*at)->f.count += count, RC_OK;
	struct failure *f = arena_new(g->a, sizeof *f);
	if (!f)
		return RC_NOMEM;
	*f = (struct failure){ .f = { .type = arena_str(g->a, r.result), .receiving_mx = arena_str(g->a, r.mx), .receiving_ip = arena_str(g->a, r.mx_ip),
		.sending_ip = arena_str(g->a, r.local_ip), .reason = arena_str(g->a, r.reason), .helo = no, .info = no, .count = count } };
	*at = f;
	p->n++;
	return g->a->full ? RC_NOMEM : RC_OK;
}

static bool take(void *arg, const struct ledger_observation *o)
{
	struct gathering *g = arg;
	struct row r;
	g->rc = read_row(o->row, &r);
	struct policy *p = g->rc == RC_OK ? policy_of(g, &r) : NULL;
	if (g->rc == RC_OK && !p)
		g->rc = RC_NOMEM;
	if (g->rc != RC_OK)
		return false;
	g->sessions += o->count;
	g->last = o->id;
	g->got++;
	if (r.result.n) {
		p->failed += o->count;
		g->rc = add_failure(g, p, r, o->count);
	} else {
		p->success += o->count;
	}
	return g->rc == RC_OK;
}

/* "mx: *.example.org" of an MTA-STS policy, when there is one only: RFC 8460 4.4's mx-host. */
static struct str only_mx(const struct str *string, size_t n)
{
	struct str mx = STR("");
	for (size_t i = 0; i < n; i++) {
		if (!str_istarts(string[i], STR("mx:")))
			continue;
		if (mx.n)
			return STR("");
		mx = str_trim(str_skip(string[i], 3));
	}
	return mx;
}

static enum rc put_policy(const struct gathering *g, const struct policy *p, struct str domain, struct report_tls_policy *out)
{
	struct cursor c = cursor_of(p->strings);
	*out = (struct report_tls_policy){ .type = str_z(types[p->type]), .domain = domain, .mx = STR(""), .success = p->success, .failure = p->failed };
	out->policy_string = arena_new(g->a, STRINGS_MAX * sizeof *out->policy_string);
	out->failures = arena_new(g->a, (p->n + 1) * sizeof *out->failures);
	if (!out->policy_string || !out->failures)
		return RC_NOMEM;
	while (c.in.n && !c.failed && out->policy_strings < STRINGS_MAX)
		out->policy_string[out->policy_strings++] = cursor_run(&c, c.in.n);
	out->mx = only_mx(out->policy_string, out->policy_strings);
	for (const struct failure *f = p->first; f; f = f->next)
		out->failures[out->n_failures++] = f->f;
	return c.failed ? RC_DAMAGED : RC_OK;
}

enum rc report_tls_gather(struct ledger *l, const struct ledger_span *span, struct str domain, struct arena *a, struct report_tls *out, uint64_t *out_sessions,
                          struct why *why)
{
	struct gathering g = { .a = a, .last = span->after, .got = PAGE };
	struct ledger_span s = *span;
	s.max = PAGE;
	for (; g.got == PAGE && !fiber_cancelled(); fiber_yield()) {
		g.got = 0;
		s.after = g.last;
		TRY(ledger_observations(l, &s, take, &g, why));
		if (g.rc != RC_OK)
			FAIL(why, g.rc, "the TLS results of a day cannot be added up");
	}
	if (fiber_cancelled())
		return RC_CLOSED;
	out->policy = arena_new(a, (g.n + 1) * sizeof *out->policy);
	if (!out->policy)
		return RC_NOMEM;
	for (const struct policy *p = g.first; p; p = p->next)
		TRY(put_policy(&g, p, domain, &out->policy[out->policies++]));
	*out_sessions = g.sessions;
	return RC_OK;
}

enum rc report_tls_rua(const struct dns *dns, struct str domain, struct arena *a, struct str *out_rua)
{
	struct dns_answer x;
	struct tags t;
	struct why unused = { 0 };
	struct str record = STR("");
	size_t n = 0;
	char name[300];
	(void)snprintf(name, sizeof name, "_smtp._tls.%.*s", PSTR(str_head(domain, 253)));
	dns_ask(dns, DNS_TXT, str_z(name), a, &x);
	*out_rua = STR("");
	if (x.status == DNS_TEMPFAIL || x.status == DNS_BOGUS)
		return RC_BUSY;
	/* RFC 8460 3: "If the number of resulting records is not one ... senders MUST assume the recipient domain does not implement TLSRPT." */
	for (size_t i = 0; x.status == DNS_OK && i < x.records; i++) {
		struct str one = x.record[i].data;
		if (!str_starts(one, STR("v=TLSRPTv1")) || (one.n > 10 && one.p[10] != ';' && one.p[10] != ' ' && one.p[10] != '\t'))
			continue;
		record = one;
		n++;
	}
	const struct str *rua = n == 1 && tags_parse(record, &t, &unused) == RC_OK ? tags_get(&t, "rua") : NULL;
	if (rua)
		*out_rua = *rua;
	return RC_OK;
}
