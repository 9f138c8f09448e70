#include "role/report_take.h"

#include "base/codec.h"
#include "base/cursor.h"
#include "origin/report_sum.h"
#include "role/report_rules.h"

enum { ROOM = 256 << 20, TLS_FAILURES = 30, HEADERS_KEPT = 8192, POLICIES = 500, POLICIES_UNPROVEN = 5 };

static void clip(struct str *s, size_t most) { *s = str_head(*s, most); }

static void clip_row(struct report_row *w)
{
	struct str *const names[] = { &w->header_from, &w->envelope_from, &w->envelope_to };
	struct str *const words[] = { &w->source_ip, &w->disposition, &w->dkim, &w->spf, &w->override };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		clip(names[i], 255);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		clip(words[i], 64);
	clip(&w->override_comment, 300);
	for (size_t i = 0; i <= w->auth_dkims && i <= 8; i++) {
		struct report_auth *a = i < w->auth_dkims ? &w->auth_dkim[i] : &w->auth_spf;
		clip(&a->domain, 255);
		clip(&a->selector, 255);
		clip(&a->result, 32);
		clip(&a->scope, 32);
	}
}

static void clip_aggregate(struct report_aggregate *r)
{
	struct str *const texts[] = { &r->org, &r->email, &r->extra, &r->id, &r->domain };
	struct str *const words[] = { &r->p, &r->sp, &r->np, &r->adkim, &r->aspf, &r->fo, &r->discovery };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		clip(texts[i], 500);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		clip(words[i], 32);
	clip(&r->domain, 255);
}

enum rc report_shrink(struct report *r, size_t max, struct arena *a)
{
	struct report_sum s;
	if (r->kind != REPORT_DMARC)
		return RC_OK;
	report_sum_init(&s, a, max);
	enum rc rc = RC_OK;
	for (size_t i = 0; i < r->dmarc.rows && rc == RC_OK; i++) {
		clip_row(&r->dmarc.row[i]);
		rc = report_sum_add(&s, &r->dmarc.row[i]);
	}
	if (rc == RC_OK && s.n)
		rc = report_sum_rows(&s, a, &r->dmarc.row, &r->dmarc.rows);
	report_sum_done(&s);
	return rc;
}

struct str report_about_whom(const struct report *r)
{
	if (r->kind == REPORT_DMARC)
		return r->dmarc.domain;
	if (r->kind == REPORT_FAILURE)
		return r->failure.domain;
	return r->kind == REPORT_TLS && r->tls.policies ? r->tls.policy[0].domain : STR("");
}

/* ---- into rows ---- */

struct taking {
	struct ledger_report head;
	struct ledger_report_row *rows;
	size_t n;
	struct arena *a;
	struct buf text;               /* scratch */
};

static struct str keep(struct taking *t)
{
	return t->text.failed ? STR("") : arena_str(t->a, buf_str(&t->text));
}

static bool rows_new(struct taking *t, size_t n)
{
	t->rows = arena_new(t->a, (n ? n : 1) * sizeof *t->rows);
	return t->rows != NULL;
}

static uint32_t facts_of(const struct report_row *w)
{
	uint32_t d = str_eq(w->disposition, STR("reject")) ? 2 : str_eq(w->disposition, STR("quarantine")) ? 1 : 0;
	return d | (str_eq(w->dkim, STR("pass")) ? 4u : 0u) | (str_eq(w->spf, STR("pass")) ? 8u : 0u);
}

static enum rc take_dmarc(struct taking *t, struct report *r)
{
	struct report_aggregate *d = &r->dmarc;
	/* Anybody can send what proves nothing: it shall not be a way to fill our disk. */
	TRY(report_shrink(r, t->head.verified ? REPORT_ROWS_IN : REPORT_ROWS_UNPROVEN, t->a));
	clip_aggregate(d);
	t->head.begin_s = d->begin_s;
	t->head.end_s = d->end_s;
	t->head.domain = d->domain;
	if (!rows_new(t, d->rows))
		return RC_NOMEM;
	for (size_t i = 0; i < d->rows; i++) {
		buf_clear(&t->text);
		report_row_key(&d->row[i], &t->text);
		t->rows[t->n++] = (struct ledger_report_row){ .day = day_of_ms(d->begin_s * 1000), .count = d->row[i].count, .facts = facts_of(&d->row[i]),
			.domain = d->domain, .row = keep(t) };
	}
	d->rows = 0;
	return t->a->full ? RC_NOMEM : RC_OK;
}

static void clip_policy(struct report_tls_policy *p)
{
	clip(&p->type, 32);
	clip(&p->domain, 255);
	clip(&p->mx, 255);
	p->policy_strings = 0;
	if (p->n_failures > TLS_FAILURES)
		p->n_failures = TLS_FAILURES;
	for (size_t i = 0; i < p->n_failures; i++) {
		struct report_tls_failure *f = &p->failures[i];
		struct str *const texts[] = { &f->type, &f->sending_ip, &f->receiving_mx, &f->receiving_ip, &f->helo, &f->info, &f->reason };
		for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
			clip(texts[k], 100);
	}
}

static enum rc take_tls(struct taking *t, struct report *r)
{
	struct report_tls *d = &r->tls;
	size_t most = t->head.verified ? POLICIES : POLICIES_UNPROVEN, n = d->policies < most ? d->policies : most;
	t->head.begin_s = d->begin_s;
	t->head.end_s = d->end_s;
	if (!rows_new(t, n))
		return RC_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct report one = { .kind = REPORT_TLS, .tls = *d };
		clip_policy(&d->policy[i]);
		one.tls.org = one.tls.contact = one.tls.id = STR("");
		one.tls.policy = &d->policy[i];
		one.tls.policies = 1;
		buf_clear(&t->text);
		report_pack(&one, &t->text);
		t->rows[t->n++] = (struct ledger_report_row){ .day = day_of_ms(d->begin_s * 1000), .count = d->policy[i].success, .domain = d->policy[i].domain, .row = keep(t) };
	}
	t->head.domain = n ? d->policy[0].domain : STR("");
	clip(&d->org, 255);
	clip(&d->contact, 255);
	clip(&d->id, 255);
	d->policies = 0;
	return t->a->full ? RC_NOMEM : RC_OK;
}

static enum rc take_failure(struct taking *t, struct report *r)
{
	struct report_failure *f = &r->failure;
	struct str *const texts[] = { &f->domain, &f->source_ip, &f->mail_from, &f->auth_failure, &f->dkim_domain, &f->dkim_selector, &f->spf_dns, &f->delivery, &f->alignment };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		clip(texts[i], 300);
	clip(&f->domain, 255);
	clip(&f->original_headers, HEADERS_KEPT);
	t->head.begin_s = t->head.end_s = f->at_s > 0 ? f->at_s : t->head.at_ms / 1000;
	t->head.domain = f->domain;
	if (!rows_new(t, 1))
		return RC_NOMEM;
	buf_clear(&t->text);
	report_pack(r, &t->text);
	t->rows[t->n++] = (struct ledger_report_row){ .day = day_of_ms(t->head.begin_s * 1000), .count = f->incidents ? f->incidents : 1, .domain = f->domain, .row = keep(t) };
	f->original_headers = STR("");
	return t->a->full ? RC_NOMEM : RC_OK;
}

/* Who vouches is part of what makes two reports the same: nobody can take another's place by sending first. */
static enum rc name_it(struct taking *t, const struct report *r, const struct report_take *how, char hex[2 * HASH_LEN + 1])
{
	const struct report_failure *f = &r->failure;
	uint8_t h[HASH_LEN];
	struct buf out = { .p = hex, .cap = 2 * HASH_LEN, .max = 2 * HASH_LEN };
	buf_clear(&t->text);
	buf_u8(&t->text, (uint8_t)r->kind);
	buf_run(&t->text, how->verified);
	buf_u64(&t->text, (uint64_t)t->head.begin_s);
	if (r->kind == REPORT_DMARC) {
		buf_run(&t->text, r->dmarc.org);
		buf_run(&t->text, r->dmarc.id);
		buf_run(&t->text, r->dmarc.domain);
	} else if (r->kind == REPORT_TLS) {
		buf_run(&t->text, r->tls.org);
		buf_run(&t->text, r->tls.id);
	} else {
		buf_run(&t->text, f->source_ip);
		buf_run(&t->text, f->mail_from);
		buf_run(&t->text, t->rows[0].row); /* with the original's header */
	}
	TRY(sha256(buf_str(&t->text), h));
	hex_add(&out, str_of(h, HASH_LEN));
	t->head.unique = str_of(hex, out.len);
	return t->text.failed ? RC_NOMEM : RC_OK;
}

/* "Yesterday" of any time zone and clock, as far back as reports are kept at most. */
static bool period_ok(const struct taking *t)
{
	int64_t now = t->head.at_ms / 1000;
	return t->head.begin_s > now - INT64_C(86400) * 3650 && t->head.begin_s < now + 3 * 86400;
}

static enum rc take(struct taking *t, struct report *r, struct why *why)
{
	enum rc rc = r->kind == REPORT_DMARC ? take_dmarc(t, r) : r->kind == REPORT_TLS ? take_tls(t, r) : r->kind == REPORT_FAILURE ? take_failure(t, r) : RC_SYNTAX;
	if (rc != RC_OK)
		FAIL(why, rc, "that is no report, or too large a one");
	if (!period_ok(t))
		FAIL(why, RC_SYNTAX, "the report's period cannot be true");
	return RC_OK;
}

enum rc report_take(struct ledger *l, struct str packed, const struct report_take *how, uint32_t *out_rows, struct why *why)
{
	struct arena a AUTO(arena_done);
	struct report r;
	struct taking t = { .a = &a, .head = { .at_ms = how->at_ms, .verified = how->verified.n > 0 } };
	char hex[2 * HASH_LEN + 1];
	arena_init(&a, ROOM);
	buf_init(&t.text, LEDGER_RUN_MAX);
	TRY(report_unpack(packed, &a, &r, why));
	t.head.kind = (uint32_t)r.kind;
	enum rc rc = take(&t, &r, why);
	if (rc == RC_OK)
		rc = name_it(&t, &r, how, hex);
	if (rc == RC_OK) {
		buf_clear(&t.text);
		buf_run(&t.text, str_head(how->verified, 255));
		buf_run(&t.text, str_head(how->sender, 320));
		buf_run(&t.text, str_head(how->mid, 16));
		report_pack(&r, &t.text);
		t.head.head = keep(&t);
		rc = t.text.failed || a.full ? RC_NOMEM : ledger_report_add(l, &t.head, t.rows, t.n, why);
	}
	buf_done(&t.text);
	*out_rows = (uint32_t)t.n;
	return rc;
}

enum rc report_head_get(struct str in, struct arena *a, struct report_head *out, struct why *why)
{
	struct cursor c = cursor_of(in);
	out->verified = cursor_run(&c, 255);
	out->sender = cursor_run(&c, 320);
	out->mid = cursor_run(&c, 16);
	if (c.failed)
		FAIL(why, RC_DAMAGED, "a report's head is cut short");
	return report_unpack(c.in, a, &out->report, why);
}
