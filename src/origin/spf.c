#include "origin/spf_internal.h"
#include "origin/spf_ip.h"

#include <stdarg.h>
#include <stdio.h>

/* check_host() and what calls it (RFC 7208 2, 4, 6). */

static uint64_t now_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void spf_because(struct spf_run *r, const char *fmt, ...)
{
	if (r->why[0])
		return;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(r->why, sizeof r->why, fmt, ap);
	va_end(ap);
}

void spf_ask(struct spf_run *r, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	/* RFC 7208 4.6.4: "MTAs or other processors SHOULD impose a limit on the maximum amount of elapsed time to evaluate check_host()." */
	if (now_ms() >= r->deadline_ms) {
		*out = (struct dns_answer){ .status = DNS_TEMPFAIL };
		(void)snprintf(out->why, sizeof out->why, "the check has taken %d s", SPF_TIME_MS / 1000);
	} else {
		dns_ask(r->dns, type, name, a, out);
	}
	if (out->status == DNS_OK && out->records == 0)
		out->status = DNS_NODATA;
	origin_step_dns(r->trace, type, name, out);
}

/* AUTH_PASS: *out is the one record (its terms). */
static enum auth find_record(struct spf_run *r, struct str domain, struct arena *a, struct str *out)
{
	struct dns_answer ans;
	spf_ask(r, DNS_TXT, domain, a, &ans);
	if (ans.status == DNS_TEMPFAIL || ans.status == DNS_BOGUS) {
		spf_because(r, "TXT of %.*s: %s", PSTR(str_head(domain, SPF_NAME_MAX)), ans.why[0] ? ans.why : dns_status_name(ans.status));
		return AUTH_TEMPERROR;
	}
	size_t found = 0;
	struct str terms;
	for (size_t i = 0; ans.status == DNS_OK && i < ans.records; i++) {
		if (!spf_is_record(ans.record[i].data, &terms))
			continue;
		found++;
		*out = terms;
		origin_step(r->trace, "record", "%.*s", PSTR(str_head(ans.record[i].data, 900)));
	}
	if (found == 0)
		return AUTH_NONE;
	if (found > 1) {
		spf_because(r, "%.*s has %zu SPF records", PSTR(str_head(domain, SPF_NAME_MAX)), found);
		return AUTH_PERMERROR;
	}
	if (out->n > SPF_RECORD_MAX) {
		spf_because(r, "the SPF record of %.*s has more than %d octets", PSTR(str_head(domain, SPF_NAME_MAX)), SPF_RECORD_MAX);
		return AUTH_PERMERROR;
	}
	return AUTH_PASS;
}

static bool is_printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e)
			return false;
	return true;
}

/* RFC 7208 6.2: whatever goes wrong here, there is no explanation, and the result stays as it is. */
static void explain(struct spf_run *r, struct str spec, struct str domain)
{
	AUTO(arena_done) struct arena a = { .max = SPF_ANSWER_MAX };
	char name[SPF_NAME_MAX + 1];
	struct dns_answer ans;
	struct str target = spf_target(r, spec, domain, name);
	if (target.n == 0)
		return;
	spf_ask(r, DNS_TXT, target, &a, &ans);
	if (ans.status != DNS_OK || ans.records != 1)
		return;
	struct str text = ans.record[0].data;
	if (text.n > SPF_RECORD_MAX || !spf_macro_ok(text, SPF_MACRO_TEXT))
		return;
	AUTO(buf_done) struct buf b = { .max = SPF_TEXT_MAX };
	spf_expand(r, text, domain, SPF_MACRO_TEXT, &b);
	/* "the explanation string ... consists of only US-ASCII": a macro may have brought anything. */
	if (!b.failed && is_printable(buf_str(&b)))
		r->explanation = arena_str(r->out_arena, buf_str(&b));
}

/* RFC 7208 6.1: none, or a name that cannot be asked, is a permerror; else the other record's result is ours. */
static enum auth follow_redirect(struct spf_run *r, struct str spec, struct str domain, bool top)
{
	if (spf_count(r) == SPF_PERM)
		return AUTH_PERMERROR;
	char name[SPF_NAME_MAX + 1];
	struct str target = spf_target(r, spec, domain, name);
	origin_step(r->trace, "term", "redirect=%.*s: %.*s", PSTR(str_head(spec, 200)), PSTR(target));
	enum auth result = target.n ? spf_host(r, target, top) : AUTH_NONE;
	if (result != AUTH_NONE)
		return result;
	spf_because(r, "redirect=%.*s: there is no SPF record", PSTR(str_head(spec, 60)));
	return AUTH_PERMERROR;
}

enum auth spf_host(struct spf_run *r, struct str domain, bool top)
{
	AUTO(arena_done) struct arena a = { .max = SPF_ANSWER_MAX };
	struct str terms, redirect, exp;
	struct why why = { 0 };
	enum auth found = find_record(r, domain, &a, &terms);
	if (found != AUTH_PASS)
		return found;
	if (spf_record_check(terms, &redirect, &exp, &why) != RC_OK) {
		spf_because(r, "the SPF record of %.*s: %s", PSTR(str_head(domain, SPF_NAME_MAX)), why.text);
		return AUTH_PERMERROR;
	}
	struct spf_term t;
	for (struct str rest = terms; spf_term_next(&rest, &t, NULL) == RC_OK;) {
		if (t.kind > SPF_EXISTS)
			continue;
		enum spf_match m = spf_match(r, &t, domain);
		static const char *const words[] = { "no match", "match", "temporary error", "permanent error" };
		origin_step(r->trace, "term", "%.*s of %.*s: %s", PSTR(str_head(t.text, 300)), PSTR(domain), words[m]);
		if (m == SPF_NO)
			continue;
		if (m != SPF_YES)
			return m == SPF_TEMP ? AUTH_TEMPERROR : AUTH_PERMERROR;
		if (top) {
			r->mechanism = arena_str(r->out_arena, t.text);
			if (t.qualifier == AUTH_FAIL && exp.n)
				explain(r, exp, domain);
		}
		return t.qualifier;
	}
	return redirect.n ? follow_redirect(r, redirect, domain, top) : AUTH_NEUTRAL;
}

/* RFC 7208 4.3: malformed names, address literals and single labels give "none" at once. */
static bool domain_ok(struct str d)
{
	struct str last = d;
	if (!dns_name_ok(d) || d.p[0] == '[')
		return false;
	for (size_t i = 0; i < d.n; i++) {
		if (d.p[i] <= 0x20 || d.p[i] >= 0x7f)
			return false;
		if (d.p[i] == '.')
			last = str_skip(d, i + 1);
	}
	uint64_t number;
	return last.n < d.n && !str_u64(last, UINT64_MAX, &number);
}

/* Sentences for people go into header fields and terminals: what is not printable is shown as "?". */
static struct str printable(struct arena *a, const char *text)
{
	struct str s = arena_str(a, str_z(text));
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e)
			((char *)s.p)[i] = '?';
	return s;
}

static void say_why(struct spf_run *r, struct spf_result *out)
{
	char ip[IP_TEXT_MAX];
	struct str address = ip_format(r->ip, ip), by = str_head(out->mechanism, 80), d = str_head(out->domain, 120);
	switch (out->result) {
	case AUTH_NONE: spf_because(r, "%.*s has no SPF record", PSTR(d)); break;
	case AUTH_PASS: spf_because(r, "%.*s may send for %.*s (%.*s)", PSTR(address), PSTR(d), PSTR(by)); break;
	case AUTH_FAIL: spf_because(r, "%.*s may not send for %.*s (%.*s)", PSTR(address), PSTR(d), PSTR(by)); break;
	case AUTH_SOFTFAIL: spf_because(r, "%.*s should not send for %.*s (%.*s)", PSTR(address), PSTR(d), PSTR(by)); break;
	default: spf_because(r, "%.*s says nothing about %.*s%s%.*s%s", PSTR(d), PSTR(address), by.n ? " (" : "", PSTR(by), by.n ? ")" : ""); break;
	}
}

static void run(const struct dns *dns, const struct spf_query *q, bool helo, const struct origin_trace *t, struct arena *a, struct spf_result *out)
{
	struct str domain = helo ? q->helo : q->domain;
	if (domain.n && domain.p[domain.n - 1] == '.')
		domain.n--;
	/* RFC 7208 2.4 and 4.3: no local part is "postmaster". */
	struct spf_run r = { .dns = dns, .trace = t, .ip = ip_unmapped(q->ip), .local = helo || q->local.n == 0 ? STR("postmaster") : q->local,
		.domain = domain, .helo = q->helo, .receiver = q->receiver, .now_s = q->now_s, .deadline_ms = now_ms() + SPF_TIME_MS, .out_arena = a,
		.names_arena = { .max = SPF_ANSWER_MAX }, .mechanism = STR(""), .explanation = STR("") };
	*out = (struct spf_result){ .of_helo = helo, .domain = arena_str(a, domain), .result = AUTH_NONE };
	origin_step(t, "identity", "%s %.*s", helo ? "HELO" : "MAIL FROM", PSTR(str_head(domain, 300)));
	if (!domain_ok(domain))
		spf_because(&r, domain.n ? "\"%.*s\" is not a domain that can be asked about" : "no domain was said%.*s", PSTR(str_head(domain, 120)));
	else if (r.ip.n != 4 && r.ip.n != 16)
		spf_because(&r, "the client's address is not known");
	else
		out->result = spf_host(&r, domain, true);
	bool error = out->result == AUTH_TEMPERROR || out->result == AUTH_PERMERROR;
	out->mechanism = error ? STR("") : r.mechanism;
	out->explanation = r.explanation;
	say_why(&r, out);
	out->why = printable(a, r.why);
	out->lookups = r.lookups;
	out->voids = r.voids;
	arena_done(&r.names_arena);
	origin_step(t, "result", "%s: %.*s", auth_name(out->result), PSTR(out->why));
}

void spf_check(const struct dns *dns, const struct spf_query *q, const struct origin_trace *t, struct arena *a, struct spf_result *out)
{
	run(dns, q, q->domain.n == 0, t, a, out);
}

void spf_check_helo(const struct dns *dns, const struct spf_query *q, const struct origin_trace *t, struct arena *a, struct spf_result *out)
{
	run(dns, q, true, t, a, out);
}

/* ---- Received-SPF (9.1) ---- */

/* dot-atom as it is, anything else quoted; what may not stand in a quoted string is left out. */
static void put_field(struct buf *out, const char *key, struct str value)
{
	bool plain = value.n > 0;
	for (size_t i = 0; i < value.n; i++)
		plain = plain && (ascii_alnum(value.p[i]) || memchr(".-_=+", value.p[i], 5));
	buf_addf(out, "\r\n\t%s=%s", key, plain ? "" : "\"");
	for (size_t i = 0; i < value.n && i < 300; i++) {
		char c = value.p[i];
		if (c < 0x20 || c > 0x7e)
			continue;
		if (c == '"' || c == '\\')
			buf_byte(out, '\\');
		buf_byte(out, c);
	}
	buf_add(out, plain ? STR(";") : STR("\";"));
}

void spf_received(const struct spf_query *q, const struct spf_result *r, struct buf *out)
{
	char ip[IP_TEXT_MAX];
	/* Within a comment parentheses and backslashes are escaped; `why` has printable octets only. */
	buf_addf(out, "Received-SPF: %s (", auth_name(r->result));
	struct str comment = r->why;
	for (size_t i = 0; i < comment.n; i++) {
		if (memchr("()\\", comment.p[i], 3))
			buf_byte(out, '\\');
		buf_byte(out, comment.p[i]);
	}
	buf_byte(out, ')');
	AUTO(buf_done) struct buf sender = { .max = 1024 };
	if (q->domain.n) {
		buf_add(&sender, str_head(q->local, 300));
		buf_byte(&sender, '@');
		buf_add(&sender, str_head(q->domain, 300));
	}
	if (q->receiver.n)
		put_field(out, "receiver", q->receiver);
	put_field(out, "client-ip", ip_format(ip_unmapped(q->ip), ip));
	put_field(out, "envelope-from", buf_str(&sender));
	put_field(out, "helo", q->helo);
	put_field(out, "identity", r->of_helo ? STR("helo") : STR("mailfrom"));
	if (r->result == AUTH_TEMPERROR || r->result == AUTH_PERMERROR)
		put_field(out, "problem", r->why);
	else
		put_field(out, "mechanism", r->mechanism.n ? r->mechanism : STR("default"));
	out->len -= out->failed ? 0 : 1; /* the last semicolon */
	buf_add(out, STR("\r\n"));
}
