#include "origin/auth_results.h"

/* Authentication-Results, written (RFC 8601 2.2). One result a line; within a line folded before 78 columns. */

/* VALUE_MAX doubles when every octet is escaped, and must still fit a line of 998 octets. */
enum { LINE_MAX = 78, VALUE_MAX = 400, REASON_MAX = 140 };

struct writer {
	struct buf *out;
	size_t column;
	bool any;                 /* a result has been written */
};

static void put(struct writer *w, struct str s)
{
	buf_add(w->out, s);
	w->column += s.n;
}

static void fold(struct writer *w)
{
	buf_add(w->out, STR("\r\n\t"));
	w->column = 8;
}

/* A word that is not to be broken, with a space or a new line before it. */
static void put_word(struct writer *w, struct str s)
{
	if (w->column + 1 + s.n > LINE_MAX && w->column > 8)
		fold(w);
	else
		put(w, STR(" "));
	put(w, s);
}

/* token (RFC 2045 5.1), and one "@" where `address`: pvalue = value / ( [ [ local-part ] "@" ] domain-name ). */
static bool is_plain(struct str s, bool address)
{
	unsigned ats = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		ats += c == '@';
		if (c <= 0x20 || c >= 0x7f || memchr("()<>,;:\\\"/[]?=", c, 14))
			return false;
	}
	return s.n > 0 && (ats == 0 || (address && ats == 1 && s.p[s.n - 1] != '@'));
}

/* As it is, or quoted; what may not stand in a header at all is shown as "?". */
static void add_value(struct buf *b, struct str s, bool address)
{
	s = str_head(s, VALUE_MAX);
	if (is_plain(s, address)) {
		buf_add(b, s);
		return;
	}
	buf_byte(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			buf_byte(b, '\\');
		buf_byte(b, c < 0x20 || c >= 0x7f ? '?' : (char)c);
	}
	buf_byte(b, '"');
}

static void put_pair(struct writer *w, const char *name, struct str value)
{
	AUTO(buf_done) struct buf b = { .max = 4096 };
	buf_add(&b, str_z(name));
	buf_byte(&b, '=');
	add_value(&b, value, true);
	put_word(w, buf_str(&b));
}

static void put_optional(struct writer *w, const char *name, struct str value)
{
	if (value.n)
		put_pair(w, name, value);
}

/* "reason="…"", one word after the other so that it folds. */
static void put_reason(struct writer *w, struct str why)
{
	if (why.n == 0)
		return;
	AUTO(buf_done) struct buf b = { .max = 4096 };
	buf_add(&b, STR("reason="));
	add_value(&b, str_head(why, REASON_MAX), false);
	for (struct str rest = buf_str(&b), word; rest.n;) {
		(void)str_cut(rest, ' ', &word, &rest);
		put_word(w, word);
	}
}

/* A comment of our own making: letters, digits, "=", "." and blanks only. */
static void put_comment(struct writer *w, struct str text)
{
	AUTO(buf_done) struct buf b = { .max = 1024 };
	buf_byte(&b, '(');
	for (size_t i = 0; i < text.n && i < 300; i++)
		if (ascii_alnum(text.p[i]) || memchr("=.-_: ", text.p[i], 6))
			buf_byte(&b, text.p[i]);
	buf_byte(&b, ')');
	put_word(w, buf_str(&b));
}

static void put_result(struct writer *w, const char *method, enum auth result)
{
	put(w, STR(";"));
	fold(w);
	put(w, str_z(method));
	put(w, STR("="));
	put(w, str_z(auth_name(result)));
	w->any = true;
}

/* ---- the methods ---- */

static void put_iprev(struct writer *w, const struct auth_facts *f)
{
	put_result(w, "iprev", f->iprev);
	if (f->iprev_name.n)
		put_comment(w, f->iprev_name);
	put_optional(w, "policy.iprev", f->client_ip);
}

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

/* A local part beyond US-ASCII is left out: the domain is what was judged. */
static struct str sender(const struct auth_facts *f)
{
	return f->mail_from.n && is_ascii(f->mail_from) ? f->mail_from : f->spf->domain;
}

static void put_spf(struct writer *w, const struct auth_facts *f, const struct spf_result *r)
{
	put_result(w, "spf", r->result);
	if (r->result != AUTH_PASS && r->result != AUTH_NONE)
		put_reason(w, r->why);
	if (r->of_helo)
		put_optional(w, "smtp.helo", r->domain.n ? r->domain : f->helo);
	else
		put_optional(w, "smtp.mailfrom", sender(f));
}

static void put_signature(struct writer *w, const struct dkim_signature *s)
{
	put_result(w, "dkim", s->result);
	if (s->result != AUTH_PASS)
		put_reason(w, s->why);
	put_optional(w, "header.d", s->domain);
	put_optional(w, "header.s", s->selector);
	/* "@d" is what i= is when it is left out. */
	if (s->identity.n && !(s->identity.p[0] == '@' && str_ieq(str_skip(s->identity, 1), s->domain)))
		put_pair(w, "header.i", s->identity);
	put_optional(w, "header.a", s->algorithm);
	put_optional(w, "header.b", s->b_head);
}

static void put_dkim(struct writer *w, const struct dkim_result *r)
{
	for (size_t i = 0; i < r->n; i++)
		put_signature(w, &r->signature[i]);
	if (r->n == 0 && !r->skipped)
		put_result(w, "dkim", AUTH_NONE);
}

/* RFC 8617 10.2: header.oldest-pass, smtp.remote-ip. */
static void put_arc(struct writer *w, const struct auth_facts *f, const struct arc_result *r)
{
	char text[40];
	if (r->result == AUTH_NONE)
		return;
	put_result(w, "arc", r->result);
	(void)snprintf(text, sizeof text, "i=%u", r->sets);
	put_comment(w, str_z(text));
	if (r->result != AUTH_PASS)
		put_reason(w, r->why);
	if (r->result == AUTH_PASS) {
		(void)snprintf(text, sizeof text, "%u", r->oldest_pass);
		put_pair(w, "header.oldest-pass", str_z(text));
	}
	put_optional(w, "smtp.remote-ip", f->client_ip);
}

static void put_dmarc(struct writer *w, const struct auth_facts *f, const struct dmarc_result *r)
{
	put_result(w, "dmarc", r->result);
	if (r->result != AUTH_PASS && r->result != AUTH_NONE)
		put_reason(w, r->why);
	put_optional(w, "header.from", r->from);
	if (r->record.found) {
		put_pair(w, "polrec.p", str_z(dmarc_policy_name(r->record.p)));
		put_optional(w, "polrec.domain", r->record.at);
	}
	if (f->disposition)
		put_pair(w, "policy.disposition", str_z(f->disposition));
	put_optional(w, "policy.override", f->override);
}

/* RFC 8601 2.7.7 lets methods that are not registered begin with "x-"; the properties are those of dnswl (RFC 8904 3). */
static void put_listing(struct writer *w, const struct dnsbl_listing *l)
{
	char code[16];
	put_result(w, "x-dnsbl", AUTH_FAIL);
	put_pair(w, "dns.zone", l->zone);
	(void)snprintf(code, sizeof code, "%u.%u.%u.%u", l->code[0], l->code[1], l->code[2], l->code[3]);
	put_pair(w, "policy.ip", str_z(code));
	put_optional(w, "policy.txt", str_head(l->reason, REASON_MAX));
}

static void put_all(struct writer *w, const struct auth_facts *f)
{
	AUTO(buf_done) struct buf id = { .max = 4096 };
	add_value(&id, f->authserv.n ? f->authserv : STR("localhost"), false);
	put(w, buf_str(&id));
	if (f->auth_user.n) {
		put_result(w, "auth", AUTH_PASS);
		put_pair(w, "smtp.auth", f->auth_user);
	}
	if (f->iprev_done)
		put_iprev(w, f);
	for (size_t i = 0; i < f->listings; i++)
		put_listing(w, &f->listing[i]);
	if (f->spf_helo && !(f->spf && f->spf->of_helo))
		put_spf(w, f, f->spf_helo);
	if (f->spf)
		put_spf(w, f, f->spf);
	if (f->dkim) {
		put_dkim(w, f->dkim);
		put_arc(w, f, &f->dkim->arc);
	}
	if (f->dmarc)
		put_dmarc(w, f, f->dmarc);
	/* no-result = [CFWS] ";" [CFWS] "none" */
	if (!w->any)
		put(w, STR("; none"));
}

void auth_results_value(const struct auth_facts *f, struct buf *out)
{
	struct writer w = { .out = out, .column = 40 };
	put_all(&w, f);
}

void auth_results_make(const struct auth_facts *f, struct buf *out)
{
	struct writer w = { .out = out };
	put(&w, STR("Authentication-Results: "));
	put_all(&w, f);
	buf_add(out, STR("\r\n"));
}
