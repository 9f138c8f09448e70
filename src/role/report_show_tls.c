#include "role/report_show.h"

#include "base/map.h"
#include "role/report_rules.h"
#include "role/report_take.h"

/* TLS reports (RFC 8460): sessions to us that worked and did not, by policy and reason. */

enum { DOMAINS = 200, PAGE = 500, REASONS = 200, POLICIES = 50, REASONS_SAID = 15 };

struct reason { struct str type, mx; uint64_t n; };
struct policy { struct str type; uint64_t success, failure; };
struct tls_view {
	struct arena *a;
	struct policy policy[POLICIES]; size_t policies;
	struct reason reason[REASONS]; size_t reasons;
	uint64_t success, failure, other; /* other: failures past the bound of reasons */
	int64_t last;
	unsigned got;
};

static void add_reason(struct tls_view *v, const struct report_tls_failure *f)
{
	struct str mx = f->receiving_mx.n ? f->receiving_mx : f->receiving_ip;
	size_t i = 0;
	while (i < v->reasons && !(str_eq(v->reason[i].type, f->type) && str_ieq(v->reason[i].mx, mx)))
		i++;
	if (i == REASONS) {
		v->other += f->count;
		return;
	}
	if (i == v->reasons)
		v->reason[v->reasons++] = (struct reason){ arena_str(v->a, f->type), arena_str(v->a, mx), 0 };
	v->reason[i].n += f->count;
}

static bool take(void *arg, const struct ledger_report_row *r)
{
	struct tls_view *v = arg;
	struct arena a AUTO(arena_done);
	struct report one;
	v->last = r->id;
	v->got++;
	arena_init(&a, 1 << 20);
	if (report_unpack(r->row, &a, &one, NULL) != RC_OK || one.kind != REPORT_TLS || one.tls.policies != 1)
		return true;
	const struct report_tls_policy *p = &one.tls.policy[0];
	v->success += p->success;
	v->failure += p->failure;
	size_t i = 0;
	while (i < v->policies && !str_eq(v->policy[i].type, p->type))
		i++;
	if (i == v->policies && i < POLICIES)
		v->policy[v->policies++].type = arena_str(v->a, p->type);
	if (i < v->policies) {
		v->policy[i].success += p->success;
		v->policy[i].failure += p->failure;
	}
	for (size_t k = 0; k < p->n_failures; k++)
		add_reason(v, &p->failures[k]);
	return true;
}

static int by_count(const void *a, const void *b)
{
	const struct reason *x = a, *y = b;
	return x->n < y->n ? 1 : x->n > y->n ? -1 : 0;
}

static void say(const struct tls_view *v, struct str domain, uint32_t days, struct buf *out)
{
	show_text(out, domain);
	buf_addf(out, ": %llu sessions over TLS in %u days, %llu failed\n", (unsigned long long)v->success, days, (unsigned long long)v->failure);
	for (size_t i = 0; i < v->policies; i++) {
		buf_add(out, STR("  policy "));
		show_text(out, str_head(v->policy[i].type, 32));
		buf_addf(out, ": %llu worked, %llu failed\n", (unsigned long long)v->policy[i].success, (unsigned long long)v->policy[i].failure);
	}
	if (v->reasons)
		buf_add(out, STR("  why\n"));
	for (size_t i = 0; i < v->reasons && i < REASONS_SAID; i++) {
		buf_addf(out, "  %8llu  ", (unsigned long long)v->reason[i].n);
		show_text(out, v->reason[i].type);
		if (v->reason[i].mx.n) {
			buf_add(out, STR("  at "));
			show_text(out, v->reason[i].mx);
		}
		buf_byte(out, '\n');
	}
	if (v->reasons > REASONS_SAID || v->other)
		buf_add(out, STR("  and others: --json has more\n"));
}

static void say_json(const struct tls_view *v, struct str domain, uint32_t days, struct buf *out)
{
	buf_byte(out, '{');
	show_json(out, "domain", domain);
	buf_addf(out, ",\"days\":%u,\"success\":%llu,\"failure\":%llu,\"policies\":[", days, (unsigned long long)v->success, (unsigned long long)v->failure);
	for (size_t i = 0; i < v->policies; i++) {
		buf_add(out, i ? STR(",{") : STR("{"));
		show_json(out, "type", v->policy[i].type);
		buf_addf(out, ",\"success\":%llu,\"failure\":%llu}", (unsigned long long)v->policy[i].success, (unsigned long long)v->policy[i].failure);
	}
	buf_add(out, STR("],\"failures\":["));
	for (size_t i = 0; i < v->reasons; i++) {
		buf_add(out, i ? STR(",{") : STR("{"));
		show_json(out, "type", v->reason[i].type);
		buf_byte(out, ',');
		show_json(out, "mx", v->reason[i].mx);
		buf_addf(out, ",\"count\":%llu}", (unsigned long long)v->reason[i].n);
	}
	buf_addf(out, "],\"other_failures\":%llu}\n", (unsigned long long)v->other);
}

static enum rc show_one(struct ledger *l, const struct report_show *q, const struct ledger_reports *span, struct str domain, struct buf *out, struct why *why)
{
	struct arena a AUTO(arena_done);
	struct tls_view v = { .a = &a, .got = PAGE };
	struct ledger_reports page = *span;
	arena_init(&a, 1 << 20);
	page.max = PAGE;
	page.unverified = false;
	TRY(ledger_tag(l, domain, &page.domain));
	while (v.got == PAGE) {
		v.got = 0;
		page.after = v.last;
		TRY(ledger_report_rows(l, &page, take, &v, why));
		fiber_yield();
	}
	qsort(v.reason, v.reasons, sizeof *v.reason, by_count);
	(q->json ? say_json : say)(&v, domain, q->days, out);
	return RC_OK;
}

enum rc show_tls(struct ledger *l, const struct report_show *q, struct buf *out, uint32_t *out_found, struct why *why)
{
	struct arena a AUTO(arena_done);
	struct str domains[DOMAINS];
	size_t n = 0;
	int64_t now = wall_ms() / 1000;
	struct ledger_reports span = { .kind = REPORT_TLS, .since_s = ((int64_t)day_of_ms(wall_ms()) + 1 - q->days) * 86400, .until_s = now + 86400 };
	arena_init(&a, 1 << 20);
	if (q->domain.n)
		domains[n++] = q->domain;
	else
		TRY(show_domains(l, &span, &a, domains, DOMAINS, &n, why));
	for (size_t i = 0; i < n; i++)
		TRY(show_one(l, q, &span, domains[i], out, why));
	*out_found = (uint32_t)n;
	return RC_OK;
}
