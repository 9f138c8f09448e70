/* SMTP paths and bare addresses (RFC 5321 4.1.2, 6531 3.3), strictly. Header lists are in address_list.c. */
#include "mail/address.h"

#include "base/codec.h"
#include "base/idn.h"

enum { LOCAL_MAX = 64, DOMAIN_MAX = 255, PATH_MAX_OCTETS = 256, LABEL_MAX = 63 };

static bool is_atext(char c)
{
	static const char special[] = "!#$%&'*+-/=?^_`{|}~";
	return ascii_alnum(c) || (c && memchr(special, c, sizeof special - 1));
}
static bool is_high(char c) { return (unsigned char)c >= 0x80; }

static bool label_ok(struct str l)
{
	if (l.n == 0 || l.n > LABEL_MAX || l.p[0] == '-' || l.p[l.n - 1] == '-')
		return false;
	for (size_t i = 0; i < l.n; i++)
		if (!ascii_alnum(l.p[i]) && l.p[i] != '-')
			return false;
	return true;
}

static bool ldh_ok(struct str d)
{
	struct str label, rest = d;
	bool more;
	if (d.n == 0 || d.n > DOMAIN_MAX)
		return false;
	do {
		more = str_cut(rest, '.', &label, &rest);
		if (!label_ok(label))
			return false;
	} while (more);
	return true;
}

/* The A-label form of a name with U-labels into out (DOMAIN_MAX + 1 octets). */
static bool to_alabels(struct str d, char *out, size_t *out_n)
{
	char in[DOMAIN_MAX + 1];
	char *made = NULL;
	if (d.n > DOMAIN_MAX || memchr(d.p, 0, d.n) || !utf8_ok(d))
		return false;
	memcpy(in, d.p, d.n);
	in[d.n] = 0;
	if (!idn_to_ascii(in, &made))
		return false;
	struct str a = str_z(made);
	bool ok = a.n <= DOMAIN_MAX && ldh_ok(a);
	if (ok) {
		memcpy(out, a.p, a.n);
		*out_n = a.n;
	}
	idn_alabels_free(made);
	return ok;
}

static bool all_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_high(s.p[i]))
			return false;
	return true;
}

bool mail_domain_ok(struct str domain, bool utf8)
{
	char a[DOMAIN_MAX + 1];
	size_t n;
	return all_ascii(domain) ? ldh_ok(domain) : utf8 && to_alabels(domain, a, &n);
}

/* ---- address literals (RFC 5321 4.1.3) ---- */
static bool ipv4_ok(struct str s)
{
	struct str head;
	uint64_t v;
	for (int i = 0; i < 4; i++) {
		bool more = str_cut(s, '.', &head, &s);
		if (head.n > 3 || !str_u64(head, 255, &v) || more != (i < 3))
			return false;
	}
	return true;
}

static bool hex_group(struct str g)
{
	if (g.n == 0 || g.n > 4)
		return false;
	for (size_t i = 0; i < g.n; i++)
		if (!ascii_digit(g.p[i]) && (ascii_lower(g.p[i]) < 'a' || ascii_lower(g.p[i]) > 'f'))
			return false;
	return true;
}

/* Counts the groups of one side of "::"; an IPv4 tail (only at the very end) counts as two. */
static bool groups(struct str s, bool v4_may_end, unsigned *count, bool *v4)
{
	struct str g;
	bool more = s.n > 0;
	while (more) {
		more = str_cut(s, ':', &g, &s);
		if (!more && v4_may_end && str_find(g, '.') < g.n) {
			if (!ipv4_ok(g))
				return false;
			*v4 = true;
			*count += 2;
		} else if (!hex_group(g) || ++*count > 8) {
			return false;
		}
	}
	return true;
}

static bool ipv6_ok(struct str s)
{
	unsigned n = 0;
	bool v4 = false;
	size_t gap = str_find_str(s, STR("::"));
	if (gap == s.n)
		return groups(s, true, &n, &v4) && n == 8;
	/* RFC 5321 4.1.3: the "::" represents at least 2 16-bit groups of zeros */
	return groups(str_head(s, gap), false, &n, &v4) && groups(str_skip(s, gap + 2), true, &n, &v4) && n <= 6;
}

static bool literal_ok(struct str d)
{
	struct str in = { d.p + 1, d.n - 2 };
	return str_istarts(in, STR("IPv6:")) ? ipv6_ok(str_skip(in, 5)) : ipv4_ok(in);
}

/* ---- the parts ---- */
static enum rc quoted_local(struct str in, size_t *pos, bool utf8, struct arena *a, struct str *out, struct why *why)
{
	size_t i = 1, n = 0;
	bool escaped = false;
	for (; i < in.n && in.p[i] != '"'; i++, n++) {
		if (in.p[i] == '\\') {
			escaped = true;
			if (++i >= in.n)
				break;
			if (is_high(in.p[i]))
				FAIL(why, RC_SYNTAX, "a backslash stands before a non-ASCII character");
		}
		if ((unsigned char)in.p[i] < 0x20 || in.p[i] == 0x7f)
			FAIL(why, RC_SYNTAX, "control character in the local part");
		if (is_high(in.p[i]) && !utf8)
			FAIL(why, RC_SYNTAX, "non-ASCII local part without SMTPUTF8");
	}
	if (i >= in.n)
		FAIL(why, RC_SYNTAX, "unclosed quote in the local part");
	/* RFC 5321 4.5.3.1.1: the maximum total length of a local-part is 64 octets (as written, quotes included) */
	if (i + 1 > LOCAL_MAX)
		FAIL(why, RC_LIMIT, "local part longer than 64 octets");
	*pos = i + 1;
	*out = (struct str){ in.p + 1, n };
	if (!escaped)
		return RC_OK;
	char *p = arena_new(a, n);
	if (!p)
		FAIL(why, RC_NOMEM, "out of memory");
	*out = (struct str){ p, n };
	for (size_t k = 1; k < i; k++) {
		if (in.p[k] == '\\')
			k++;
		*p++ = in.p[k];
	}
	return RC_OK;
}

static enum rc take_local(struct str in, size_t *pos, bool utf8, struct arena *a, struct str *out, struct why *why)
{
	size_t i = 0;
	if (in.n && in.p[0] == '"') {
		TRY(quoted_local(in, pos, utf8, a, out, why));
	} else {
		while (i < in.n && (is_atext(in.p[i]) || in.p[i] == '.' || (utf8 && is_high(in.p[i]))))
			i++;
		if (i == 0)
			FAIL(why, RC_SYNTAX, "no local part");
		if (in.p[0] == '.' || in.p[i - 1] == '.' || str_find_str(str_head(in, i), STR("..")) < i)
			FAIL(why, RC_SYNTAX, "misplaced dot in the local part");
		if (i > LOCAL_MAX)
			FAIL(why, RC_LIMIT, "local part longer than 64 octets");
		*out = str_head(in, i);
		*pos = i;
	}
	if (!utf8_ok(*out))
		FAIL(why, RC_SYNTAX, "local part is not UTF-8");
	return RC_OK;
}

static enum rc lower_copy(struct str d, struct arena *a, struct str *out, struct why *why)
{
	size_t i = 0;
	while (i < d.n && ascii_lower(d.p[i]) == d.p[i])
		i++;
	*out = d;
	if (i == d.n)
		return RC_OK;
	char *p = arena_new(a, d.n);
	if (!p)
		FAIL(why, RC_NOMEM, "out of memory");
	for (i = 0; i < d.n; i++)
		p[i] = ascii_lower(d.p[i]);
	*out = (struct str){ p, d.n };
	return RC_OK;
}

static enum rc take_domain(struct str in, size_t *pos, bool utf8, struct arena *a, struct str *out, struct why *why)
{
	size_t i = 0, n;
	char alabels[DOMAIN_MAX + 1];
	if (in.n && in.p[0] == '[') {
		while (i < in.n && in.p[i] != ']')
			i++;
		if (i >= in.n || !literal_ok(str_head(in, i + 1)))
			FAIL(why, RC_SYNTAX, "bad address literal");
		*pos = i + 1;
		*out = str_head(in, i + 1);
		return RC_OK;
	}
	while (i < in.n && (ascii_alnum(in.p[i]) || in.p[i] == '-' || in.p[i] == '.' || is_high(in.p[i])))
		i++;
	struct str d = str_head(in, i);
	if (d.n > DOMAIN_MAX)
		FAIL(why, RC_LIMIT, "domain longer than 255 octets");
	*pos = i;
	if (all_ascii(d)) {
		if (!ldh_ok(d))
			FAIL(why, RC_SYNTAX, d.n ? "bad domain name" : "no domain");
		return lower_copy(d, a, out, why);
	}
	if (!utf8)
		FAIL(why, RC_SYNTAX, "non-ASCII domain without SMTPUTF8");
	if (!to_alabels(d, alabels, &n))
		FAIL(why, RC_SYNTAX, "bad internationalized domain name");
	*out = arena_str(a, (struct str){ alabels, n });
	if (a->full)
		FAIL(why, RC_NOMEM, "out of memory");
	return RC_OK;
}

static enum rc take_mailbox(struct str in, size_t *pos, bool utf8, struct arena *a, struct mail_address *out, struct why *why)
{
	size_t k = 0, d = 0;
	struct mail_address made = { STR(""), STR("") };
	TRY(take_local(in, &k, utf8, a, &made.local, why));
	if (k >= in.n || in.p[k] != '@')
		FAIL(why, RC_SYNTAX, "no @ after the local part");
	TRY(take_domain(str_skip(in, k + 1), &d, utf8, a, &made.domain, why));
	*pos = k + 1 + d;
	*out = made;
	return RC_OK;
}

/* RFC 5321 4.1.2: A-d-l = At-domain *( "," At-domain ), then ":". "SHOULD be ignored" (appendix C). */
static enum rc skip_route(struct str in, size_t *pos, bool utf8, struct arena *a, struct why *why)
{
	size_t i = 0, k = 0;
	struct str domain;
	while (i < in.n && in.p[i] == '@') {
		TRY(take_domain(str_skip(in, i + 1), &k, utf8, a, &domain, why));
		i += 1 + k;
		if (i < in.n && in.p[i] == ',')
			i++;
		else
			break;
	}
	if (i > 0 && (i >= in.n || in.p[i] != ':'))
		FAIL(why, RC_SYNTAX, "bad source route");
	*pos = i ? i + 1 : 0;
	return RC_OK;
}

enum rc mail_path_parse(struct str in, bool may_be_null, bool utf8, struct arena *a, struct mail_address *out,
                        struct str *out_rest, struct why *why)
{
	struct mail_address made = { STR(""), STR("") };
	size_t i = 0, k = 0;
	if (in.n == 0 || in.p[0] != '<')
		FAIL(why, RC_SYNTAX, "no < before the address");
	if (in.n > 1 && in.p[1] == '>') {
		if (!may_be_null)
			FAIL(why, RC_SYNTAX, "the empty address is not allowed here");
		i = 1;
	} else if (!may_be_null && str_istarts(in, STR("<postmaster>"))) {
		/* RFC 5321 4.1.1.3: "Postmaster" without a domain, in RCPT only */
		made.local = (struct str){ in.p + 1, 10 };
		i = 11;
	} else {
		TRY(skip_route(str_skip(in, 1), &k, utf8, a, why));
		i = 1 + k;
		TRY(take_mailbox(str_skip(in, i), &k, utf8, a, &made, why));
		i += k;
	}
	if (i >= in.n || in.p[i] != '>')
		FAIL(why, RC_SYNTAX, "no > after the address");
	/* RFC 5321 4.5.3.1.3: path at most 256 octets, punctuation included */
	if (i + 1 > PATH_MAX_OCTETS)
		FAIL(why, RC_LIMIT, "path longer than 256 octets");
	*out = made;
	*out_rest = str_skip(in, i + 1);
	return RC_OK;
}

enum rc mail_address_parse(struct str in, bool utf8, struct arena *a, struct mail_address *out, struct why *why)
{
	struct mail_address made = { STR(""), STR("") };
	size_t k = 0;
	TRY(take_mailbox(in, &k, utf8, a, &made, why));
	if (k != in.n)
		FAIL(why, RC_SYNTAX, "something follows the address");
	if (in.n + 2 > PATH_MAX_OCTETS)
		FAIL(why, RC_LIMIT, "address longer than 254 octets");
	*out = made;
	return RC_OK;
}

void mail_address_format(const struct mail_address *a, struct buf *out)
{
	struct str l = a->local;
	bool plain = l.n > 0 && l.p[0] != '.' && l.p[l.n - 1] != '.' && str_find_str(l, STR("..")) == l.n;
	for (size_t i = 0; plain && i < l.n; i++)
		plain = is_atext(l.p[i]) || l.p[i] == '.' || is_high(l.p[i]);
	if (l.n == 0 && a->domain.n == 0)
		return;
	if (plain) {
		buf_add(out, l);
	} else {
		buf_byte(out, '"');
		for (size_t i = 0; i < l.n; i++) {
			if (l.p[i] == '"' || l.p[i] == '\\')
				buf_byte(out, '\\');
			buf_byte(out, l.p[i]);
		}
		buf_byte(out, '"');
	}
	if (a->domain.n) {
		buf_byte(out, '@');
		buf_add(out, a->domain);
	}
}
