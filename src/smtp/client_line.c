/* MAIL and RCPT as we write them: the address, then the parameters that the peer knows. Pure. */
#include "base/codec.h"
#include "smtp/client_internal.h"

enum { ENVID_MAX = 100, ORCPT_MAX = 500, ADDRESS_MAX = 254 }; /* RFC 3461 5.4, 5.2 d; RFC 5321 4.5.3.1.3 without brackets */
enum { BY_MAX = 999999999 };                                   /* RFC 2852 4: by-time = ["-"/"+"]1*9digit */

bool smtp_address_ok(const struct mail_address *a, bool may_be_null)
{
	if (a->local.n == 0)
		return may_be_null && a->domain.n == 0;
	if (a->local.n + a->domain.n + 1 > ADDRESS_MAX)
		return false;
	for (size_t i = 0; i < a->local.n; i++)
		if ((unsigned char)a->local.p[i] < 32 || a->local.p[i] == 127)
			return false;
	for (size_t i = 0; i < a->domain.n; i++)
		if ((unsigned char)a->domain.p[i] <= 32 || a->domain.p[i] == 127 || memchr("<>()@,;\"\\", a->domain.p[i], 9))
			return false;
	/* RFC 5321 4.1.1.3: of addresses without a domain there is only "Postmaster". */
	return a->domain.n || str_ieq(a->local, STR("postmaster"));
}

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 128)
			return false;
	return true;
}

bool smtp_address_is_ascii(const struct mail_address *a) { return is_ascii(a->local) && is_ascii(a->domain); }

/* RFC 3461 4: xchar = any ASCII CHAR between "!" (33) and "~" (126) inclusive, except for "+" and "=" */
static void xtext(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '!' || s.p[i] > '~' || s.p[i] == '+' || s.p[i] == '=')
			buf_addf(out, "+%02X", (unsigned)(unsigned char)s.p[i]);
		else
			buf_byte(out, s.p[i]);
}

/* RFC 6533 3: utf-8-addr-unitext where SMTPUTF8 is said, else utf-8-addr-xtext. */
static void utf8_address(struct str s, bool as_it_is, struct buf *out)
{
	for (uint32_t u; s.n;) {
		size_t n = utf8_next(s, &u);
		if (!n) {
			out->failed = true;
			return;
		}
		if ((u > 127 && !as_it_is) || u <= 32 || u == 127 || u == '\\' || u == '+' || u == '=')
			buf_addf(out, "\\x{%02X}", (unsigned)u);
		else
			buf_add(out, str_head(s, n));
		s = str_skip(s, n);
	}
}

static void add_address(const char *before, const struct mail_address *a, struct buf *out)
{
	buf_add(out, str_z(before));
	mail_address_format(a, out);
	buf_byte(out, '>');
}

static void add_dsn(const struct smtp_client_mail *m, struct buf *out)
{
	struct buf x AUTO(buf_done);
	buf_init(&x, ENVID_MAX);
	if (m->ret)
		buf_addf(out, " RET=%s", m->ret == 1 ? "FULL" : "HDRS");
	xtext(m->envid, &x);
	if (m->envid.n && !x.failed) {
		buf_add(out, STR(" ENVID="));
		buf_add(out, buf_str(&x));
	}
}

void smtp_mail_line(const struct smtp_client *c, const struct smtp_client_mail *m, bool utf8, struct buf *out)
{
	unsigned ext = c->extensions;
	add_address("MAIL FROM:<", &m->from, out);
	if (ext & SMTP_EXT_SIZE && m->size)
		buf_addf(out, " SIZE=%llu", (unsigned long long)m->size);
	if (m->body_binary)
		buf_add(out, STR(" BODY=BINARYMIME"));
	else if (m->body_8bit || (m->utf8_wanted && !utf8))
		buf_add(out, STR(" BODY=8BITMIME"));
	if (utf8)
		buf_add(out, STR(" SMTPUTF8"));
	if (m->require_tls)
		buf_add(out, STR(" REQUIRETLS"));
	if (ext & SMTP_EXT_DSN)
		add_dsn(m, out);
	if (ext & SMTP_EXT_DELIVERBY && m->by)
		buf_addf(out, " BY=%lld;%c", (long long)(m->by_s > BY_MAX ? BY_MAX : m->by_s < -BY_MAX ? -BY_MAX : m->by_s), m->by_return ? 'R' : 'N');
	if (ext & SMTP_EXT_MT_PRIORITY && m->has_priority)
		buf_addf(out, " MT-PRIORITY=%d", m->mt_priority > 9 ? 9 : m->mt_priority < -9 ? -9 : m->mt_priority);
}

static void add_notify(unsigned bits, struct buf *out)
{
	static const struct { unsigned bit; const char *word; } words[] = {
		{ NOTIFY_NEVER, "NEVER" }, { NOTIFY_SUCCESS, "SUCCESS" }, { NOTIFY_FAILURE, "FAILURE" }, { NOTIFY_DELAY, "DELAY" },
	};
	const char *between = " NOTIFY=";
	/* RFC 3461 4.1: NEVER "MUST appear alone" */
	if (bits & NOTIFY_NEVER)
		bits = NOTIFY_NEVER;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (!(bits & words[i].bit))
			continue;
		buf_addf(out, "%s%s", between, words[i].word);
		between = ",";
	}
}

static bool is_type(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alnum(s.p[i]) && s.p[i] != '-')
			return false;
	return s.n > 0;
}

void smtp_rcpt_line(const struct smtp_client *c, const struct smtp_client_rcpt *r, bool utf8, struct buf *out)
{
	add_address("RCPT TO:<", &r->to, out);
	if (!(c->extensions & SMTP_EXT_DSN))
		return;
	add_notify(r->notify, out);
	if (!r->orcpt.n || !is_type(r->orcpt_type))
		return;
	struct buf x AUTO(buf_done);
	buf_init(&x, ORCPT_MAX);
	buf_add(&x, r->orcpt_type);
	buf_byte(&x, ';');
	if (str_ieq(r->orcpt_type, STR("utf-8")))
		utf8_address(r->orcpt, utf8, &x);
	else if (is_ascii(r->orcpt))
		xtext(r->orcpt, &x);
	else
		return; /* xtext stands for ASCII only */
	if (!x.failed) {
		buf_add(out, STR(" ORCPT="));
		buf_add(out, buf_str(&x));
	}
}
