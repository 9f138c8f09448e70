/* A report between processes: a version, the kind, its fields in order. Read back strictly, for the other end may be taken over. */
#include "origin/report_internal.h"

#include "base/cursor.h"

enum { PACK_VERSION = 1, ROWS_MAX = 500000, POLICIES_MAX = 1000, FAILURES_MAX = 20000, STRINGS_MAX = 200 };

static void put_auth(const struct report_auth *a, struct buf *out)
{
	buf_run(out, a->domain);
	buf_run(out, a->selector);
	buf_run(out, a->result);
	buf_run(out, a->scope);
}

static void put_row(const struct report_row *w, struct buf *out)
{
	const struct str *const texts[] = { &w->source_ip, &w->disposition, &w->dkim, &w->spf, &w->override, &w->override_comment, &w->header_from,
		&w->envelope_from, &w->envelope_to };
	buf_u64(out, w->count);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		buf_run(out, *texts[i]);
	buf_u8(out, (uint8_t)w->auth_dkims);
	for (size_t i = 0; i < w->auth_dkims; i++)
		put_auth(&w->auth_dkim[i], out);
	put_auth(&w->auth_spf, out);
}

static void put_aggregate(const struct report_aggregate *r, struct buf *out)
{
	const struct str *const texts[] = { &r->org, &r->email, &r->extra, &r->id, &r->domain, &r->p, &r->sp, &r->np, &r->adkim, &r->aspf, &r->fo, &r->discovery };
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		buf_run(out, *texts[i]);
	buf_u64(out, (uint64_t)r->begin_s);
	buf_u64(out, (uint64_t)r->end_s);
	buf_u8(out, (uint8_t)r->pct);
	buf_u8(out, r->testing);
	buf_u8(out, r->rfc9990);
	buf_u32(out, (uint32_t)r->rows);
	for (size_t i = 0; i < r->rows; i++)
		put_row(&r->row[i], out);
}

static void put_tls(const struct report_tls *r, struct buf *out)
{
	buf_run(out, r->org);
	buf_run(out, r->contact);
	buf_run(out, r->id);
	buf_u64(out, (uint64_t)r->begin_s);
	buf_u64(out, (uint64_t)r->end_s);
	buf_u32(out, (uint32_t)r->policies);
	for (size_t i = 0; i < r->policies; i++) {
		const struct report_tls_policy *p = &r->policy[i];
		buf_run(out, p->type);
		buf_run(out, p->domain);
		buf_run(out, p->mx);
		buf_u64(out, p->success);
		buf_u64(out, p->failure);
		buf_u32(out, (uint32_t)p->policy_strings);
		for (size_t k = 0; k < p->policy_strings; k++)
			buf_run(out, p->policy_string[k]);
		buf_u32(out, (uint32_t)p->n_failures);
		for (size_t k = 0; k < p->n_failures; k++) {
			const struct report_tls_failure *f = &p->failures[k];
			const struct str *const texts[] = { &f->type, &f->sending_ip, &f->receiving_mx, &f->receiving_ip, &f->helo, &f->info, &f->reason };
			for (size_t n = 0; n < sizeof texts / sizeof texts[0]; n++)
				buf_run(out, *texts[n]);
			buf_u64(out, f->count);
		}
	}
}

static void put_failure(const struct report_failure *f, struct buf *out)
{
	const struct str *const texts[] = { &f->domain, &f->source_ip, &f->mail_from, &f->auth_failure, &f->dkim_domain, &f->dkim_selector, &f->spf_dns, &f->delivery,
		&f->alignment, &f->original_headers };
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		buf_run(out, *texts[i]);
	buf_u64(out, (uint64_t)f->at_s);
	buf_u64(out, f->incidents);
}

void report_pack(const struct report *in, struct buf *out)
{
	buf_u8(out, PACK_VERSION);
	buf_u8(out, (uint8_t)in->kind);
	if (in->kind == REPORT_DMARC)
		put_aggregate(&in->dmarc, out);
	else if (in->kind == REPORT_TLS)
		put_tls(&in->tls, out);
	else if (in->kind == REPORT_FAILURE)
		put_failure(&in->failure, out);
}

/* ---- back ---- */
struct unpacker {
	struct cursor c;
	struct arena *arena;
};

static void take_texts(struct unpacker *u, struct str *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*texts[i] = cursor_run(&u->c, REPORT_TEXT_MAX);
}

/* `n` things of at least `least` octets each: never more than can be there. NULL: not. */
static void *room(struct unpacker *u, size_t n, size_t max, size_t least, size_t size)
{
	if (n > max || n > u->c.in.n / least)
		u->c.failed = true;
	return u->c.failed ? NULL : arena_new(u->arena, n * size);
}

static void take_auth(struct unpacker *u, struct report_auth *a)
{
	struct str *const texts[] = { &a->domain, &a->selector, &a->result, &a->scope };
	take_texts(u, texts, 4);
}

static bool is_word(struct str s, const char *const *words)
{
	for (; *words; words++)
		if (str_eq(s, str_z(*words)))
			return true;
	return false;
}

static void take_row(struct unpacker *u, struct report_row *w)
{
	static const char *const dispositions[] = { "none", "quarantine", "reject", NULL }, *const results[] = { "pass", "fail", NULL };
	struct str *const texts[] = { &w->source_ip, &w->disposition, &w->dkim, &w->spf, &w->override, &w->override_comment, &w->header_from,
		&w->envelope_from, &w->envelope_to };
	*w = report_row_empty();
	w->count = cursor_u64(&u->c);
	take_texts(u, texts, sizeof texts / sizeof texts[0]);
	w->auth_dkims = cursor_u8(&u->c);
	if (w->auth_dkims > sizeof w->auth_dkim / sizeof w->auth_dkim[0] || w->count > REPORT_NUMBER_MAX || !is_word(w->disposition, dispositions) ||
	    !is_word(w->dkim, results) || !is_word(w->spf, results))
		u->c.failed = true;
	for (size_t i = 0; i < w->auth_dkims && !u->c.failed; i++)
		take_auth(u, &w->auth_dkim[i]);
	take_auth(u, &w->auth_spf);
}

static void take_aggregate(struct unpacker *u, struct report_aggregate *r)
{
	struct str *const texts[] = { &r->org, &r->email, &r->extra, &r->id, &r->domain, &r->p, &r->sp, &r->np, &r->adkim, &r->aspf, &r->fo, &r->discovery };
	take_texts(u, texts, sizeof texts / sizeof texts[0]);
	r->begin_s = (int64_t)cursor_u64(&u->c);
	r->end_s = (int64_t)cursor_u64(&u->c);
	r->pct = cursor_u8(&u->c);
	unsigned testing = cursor_u8(&u->c), rfc9990 = cursor_u8(&u->c);
	r->testing = testing == 1;
	r->rfc9990 = rfc9990 == 1;
	size_t n = cursor_u32(&u->c);
	if (r->pct > 100 || testing > 1 || rfc9990 > 1 || !report_period_ok(r->begin_s, r->end_s))
		u->c.failed = true;
	r->row = room(u, n, ROWS_MAX, 61, sizeof *r->row);
	for (; r->row && r->rows < n && !u->c.failed; r->rows++)
		take_row(u, &r->row[r->rows]);
}

static void take_tls_policy(struct unpacker *u, struct report_tls_policy *p, size_t *failures)
{
	struct str *const texts[] = { &p->type, &p->domain, &p->mx };
	take_texts(u, texts, 3);
	p->success = cursor_u64(&u->c);
	p->failure = cursor_u64(&u->c);
	size_t n = cursor_u32(&u->c);
	p->policy_string = room(u, n, STRINGS_MAX, 4, sizeof *p->policy_string);
	for (; p->policy_string && p->policy_strings < n && !u->c.failed; p->policy_strings++)
		p->policy_string[p->policy_strings] = cursor_run(&u->c, REPORT_TEXT_MAX);
	n = cursor_u32(&u->c);
	*failures += n;
	u->c.failed |= *failures > FAILURES_MAX;
	p->failures = room(u, n, FAILURES_MAX, 36, sizeof *p->failures);
	for (; p->failures && p->n_failures < n && !u->c.failed; p->n_failures++) {
		struct report_tls_failure *f = &p->failures[p->n_failures];
		struct str *const more[] = { &f->type, &f->sending_ip, &f->receiving_mx, &f->receiving_ip, &f->helo, &f->info, &f->reason };
		take_texts(u, more, 7);
		f->count = cursor_u64(&u->c);
		u->c.failed |= f->count > REPORT_NUMBER_MAX;
	}
	u->c.failed |= p->success > REPORT_NUMBER_MAX || p->failure > REPORT_NUMBER_MAX;
}

static void take_tls(struct unpacker *u, struct report_tls *r)
{
	struct str *const texts[] = { &r->org, &r->contact, &r->id };
	size_t failures = 0;
	take_texts(u, texts, 3);
	r->begin_s = (int64_t)cursor_u64(&u->c);
	r->end_s = (int64_t)cursor_u64(&u->c);
	size_t n = cursor_u32(&u->c);
	u->c.failed |= !report_period_ok(r->begin_s, r->end_s);
	r->policy = room(u, n, POLICIES_MAX, 36, sizeof *r->policy);
	for (; r->policy && r->policies < n && !u->c.failed; r->policies++)
		take_tls_policy(u, &r->policy[r->policies], &failures);
}

static void take_failure(struct unpacker *u, struct report_failure *f)
{
	struct str *const texts[] = { &f->domain, &f->source_ip, &f->mail_from, &f->auth_failure, &f->dkim_domain, &f->dkim_selector, &f->spf_dns, &f->delivery,
		&f->alignment };
	take_texts(u, texts, sizeof texts / sizeof texts[0]);
	f->original_headers = cursor_run(&u->c, REPORT_HEADERS_MAX);
	f->at_s = (int64_t)cursor_u64(&u->c);
	f->incidents = cursor_u64(&u->c);
	u->c.failed |= f->incidents > REPORT_NUMBER_MAX || (f->at_s != 0 && !report_period_ok(f->at_s, f->at_s));
}

enum rc report_unpack(struct str packed, struct arena *a, struct report *out, struct why *why)
{
	struct unpacker u = { cursor_of(packed), a };
	*out = (struct report){ .kind = REPORT_UNKNOWN };
	unsigned version = cursor_u8(&u.c), kind = cursor_u8(&u.c);
	if (version != PACK_VERSION || kind > REPORT_TLS)
		FAIL(why, RC_SYNTAX, "not a packed report");
	if (kind == REPORT_DMARC)
		take_aggregate(&u, &out->dmarc);
	else if (kind == REPORT_TLS)
		take_tls(&u, &out->tls);
	else if (kind == REPORT_FAILURE)
		take_failure(&u, &out->failure);
	if (a->full)
		FAIL(why, RC_NOMEM, "the packed report is larger than what may be kept of it");
	if (!cursor_at_end(&u.c))
		FAIL(why, RC_SYNTAX, "the packed report is damaged");
	out->kind = (enum report_kind)kind;
	return RC_OK;
}
