#include "origin/spf_internal.h"
#include "origin/spf_ip.h"

/* Macros (RFC 7208 7). */

enum { PARTS_MAX = 1000, VALUE_MAX = 512, KEEP_BEHIND = 1024, DROP_AT = 4096 };

struct macro {
	char letter;              /* lower case */
	bool escape;              /* written in upper case: the value is URL-escaped */
	bool reverse;
	unsigned keep;            /* right-hand parts to keep */
	struct str delimiters;
};

/* "s2r.-}" as it stands after "%{". Octets taken, 0 = malformed.
 * macro-expand = ( "%{" macro-letter transformers *delimiter "}" ) / "%%" / "%_" / "%-" */
static size_t macro_read(struct str in, struct macro *out)
{
	size_t i = 1, from;
	if (in.n < 2 || !memchr("slodiphcrtv", ascii_lower(in.p[0]), 11))
		return 0;
	*out = (struct macro){ .letter = ascii_lower(in.p[0]), .keep = PARTS_MAX };
	out->escape = in.p[0] != out->letter;
	for (from = i; i < in.n && ascii_digit(in.p[i]); i++) {
		if (i == from)
			out->keep = 0;
		out->keep = out->keep * 10 + (unsigned)(in.p[i] - '0');
		if (out->keep > PARTS_MAX)
			out->keep = PARTS_MAX;
	}
	/* RFC 7208 7.1: the DIGIT transformer "must be nonzero". */
	if (out->keep == 0)
		return 0;
	if (i < in.n && ascii_lower(in.p[i]) == 'r') {
		out->reverse = true;
		i++;
	}
	for (from = i; i < in.n && memchr(".-+,/_=", in.p[i], 7);)
		i++;
	out->delimiters = i > from ? str_of(in.p + from, i - from) : STR(".");
	return i < in.n && in.p[i] == '}' ? i + 1 : 0;
}

/* toplabel = ( *alphanum ALPHA *alphanum ) / ( 1*alphanum "-" *( alphanum / "-" ) alphanum ) */
static bool toplabel_ok(struct str s)
{
	bool only_digits = true;
	if (s.n == 0 || !ascii_alnum(s.p[0]) || !ascii_alnum(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_alnum(s.p[i]) && s.p[i] != '-')
			return false;
		only_digits = only_digits && ascii_digit(s.p[i]);
	}
	return !only_digits;
}

/* domain-end = ( "." toplabel [ "." ] ) / macro-expand. `tail` is what follows the last macro. */
static bool domain_end_ok(struct str tail)
{
	if (tail.n == 0)
		return true;
	if (tail.p[tail.n - 1] == '.')
		tail.n--;
	for (size_t i = tail.n; i > 0; i--)
		if (tail.p[i - 1] == '.')
			return toplabel_ok(str_skip(tail, i));
	return false;
}

/* Octets of the macro at the start of `s`, 0 = malformed. */
static size_t macro_length(struct str s, enum spf_macro_use use)
{
	struct macro m;
	if (s.n < 2)
		return 0;
	if (s.p[1] == '%' || s.p[1] == '_' || s.p[1] == '-')
		return 2;
	size_t n = s.p[1] == '{' ? macro_read(str_skip(s, 2), &m) : 0;
	/* RFC 7208 7.2: "The following macro letters are allowed only in "exp" text: c r t". */
	if (n == 0 || (use != SPF_MACRO_TEXT && memchr("crt", m.letter, 3)))
		return 0;
	return n + 2;
}

bool spf_macro_ok(struct str s, enum spf_macro_use use)
{
	size_t i = 0, after = s.n + 1;
	if (s.n == 0)
		return use != SPF_MACRO_DOMAIN;
	while (i < s.n) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '%') {
			size_t n = macro_length(str_skip(s, i), use);
			if (n == 0)
				return false;
			i += n;
			after = i;
			continue;
		}
		/* macro-literal = %x21-24 / %x26-7E */
		if (c > 0x7e || c < 0x20 || (c == ' ' && use != SPF_MACRO_TEXT))
			return false;
		i++;
	}
	if (use != SPF_MACRO_DOMAIN)
		return true;
	return after == s.n || domain_end_ok(after > s.n ? s : str_skip(s, after));
}

/* ---- expansion ---- */

static void put(struct buf *out, char c, bool escape)
{
	/* RFC 3986 2.3: unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~" */
	if (escape && !ascii_alnum(c) && c != '-' && c != '.' && c != '_' && c != '~')
		buf_addf(out, "%%%02X", (unsigned char)c);
	else
		buf_byte(out, c);
}

static bool is_delimiter(const struct macro *m, char c) { return memchr(m->delimiters.p, c, m->delimiters.n) != NULL; }

/* The right-hand `keep` parts, joined with dots. */
static void put_parts(const struct macro *m, struct str v, struct buf *out)
{
	unsigned seen = 0;
	size_t from = v.n;
	while (from > 0 && !(is_delimiter(m, v.p[from - 1]) && ++seen == m->keep))
		from--;
	for (size_t i = from; i < v.n; i++)
		put(out, is_delimiter(m, v.p[i]) ? '.' : v.p[i], m->escape);
}

/* The right-hand parts of the reversed list are the left-hand ones of the list. */
static void put_parts_reversed(const struct macro *m, struct str v, struct buf *out)
{
	unsigned seen = 0;
	size_t end = 0;
	while (end < v.n && !(is_delimiter(m, v.p[end]) && ++seen == m->keep))
		end++;
	for (;;) {
		size_t from = end;
		while (from > 0 && !is_delimiter(m, v.p[from - 1]))
			from--;
		for (size_t i = from; i < end; i++)
			put(out, v.p[i], m->escape);
		if (from == 0)
			return;
		put(out, '.', m->escape);
		end = from - 1;
	}
}

/* RFC 7208 7.3: "i" of IPv6 is dot-separated nibbles. Upper case, as the published test suite has them in explanations. */
static void put_nibbles(struct str ip, struct buf *out)
{
	for (size_t i = 0; i < ip.n; i++) {
		unsigned b = (unsigned char)ip.p[i];
		buf_addf(out, "%s%X.%X", i ? "." : "", b >> 4, b & 15);
	}
}

static void put_value(struct spf_run *r, char letter, struct str domain, struct buf *out)
{
	char text[IP_TEXT_MAX];
	switch (letter) {
	case 's':
		buf_add(out, str_head(r->local, VALUE_MAX));
		buf_byte(out, '@');
		buf_add(out, str_head(r->domain, VALUE_MAX));
		break;
	case 'l': buf_add(out, str_head(r->local, VALUE_MAX)); break;
	case 'o': buf_add(out, str_head(r->domain, VALUE_MAX)); break;
	case 'd': buf_add(out, domain); break;
	case 'i':
		if (r->ip.n == 16)
			put_nibbles(r->ip, out);
		else
			buf_add(out, ip_format(r->ip, text));
		break;
	case 'p': buf_add(out, spf_client_name(r, domain)); break;
	case 'v': buf_add(out, r->ip.n == 16 ? STR("ip6") : STR("in-addr")); break;
	case 'h': buf_add(out, str_head(r->helo, VALUE_MAX)); break;
	case 'c': buf_add(out, ip_format(r->ip, text)); break;
	case 'r': buf_add(out, r->receiver.n ? str_head(r->receiver, VALUE_MAX) : STR("unknown")); break;
	default: buf_num(out, r->now_s); break;
	}
}

static size_t expand_one(struct spf_run *r, struct str s, struct str domain, struct buf *out)
{
	struct macro m;
	if (s.n < 2 || s.p[1] != '{') {
		buf_add(out, s.n < 2 || s.p[1] == '%' ? STR("%") : s.p[1] == '_' ? STR(" ") : STR("%20"));
		return 2;
	}
	size_t n = macro_read(str_skip(s, 2), &m);
	if (n == 0)
		return 2;
	AUTO(buf_done) struct buf value = { .max = 2 * VALUE_MAX + 2 };
	put_value(r, m.letter, domain, &value);
	if (m.reverse)
		put_parts_reversed(&m, buf_str(&value), out);
	else
		put_parts(&m, buf_str(&value), out);
	return n + 2;
}

void spf_expand(struct spf_run *r, struct str s, struct str domain, enum spf_macro_use use, struct buf *out)
{
	for (size_t i = 0; i < s.n && !out->failed;) {
		if (s.p[i] == '%')
			i += expand_one(r, str_skip(s, i), domain, out);
		else
			buf_byte(out, s.p[i++]);
		/* Of a name only the last 253 octets count: a record full of %{l} costs no memory. */
		if (use == SPF_MACRO_DOMAIN && out->len > DROP_AT)
			buf_drop(out, out->len - KEEP_BEHIND);
	}
}

struct str spf_target(struct spf_run *r, struct str spec, struct str domain, char out[SPF_NAME_MAX + 1])
{
	AUTO(buf_done) struct buf b = { .max = 4 * DROP_AT };
	if (spec.n)
		spf_expand(r, spec, domain, SPF_MACRO_DOMAIN, &b);
	else
		buf_add(&b, domain);
	struct str name = buf_str(&b);
	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	/* RFC 7208 7.3: "the left side is truncated to fit, by removing successive domain labels (and their following dots)". */
	while (name.n > SPF_NAME_MAX) {
		struct str label;
		if (!str_cut(name, '.', &label, &name))
			return STR("");
	}
	if (b.failed || !dns_name_ok(name))
		return STR("");
	memcpy(out, name.p, name.n);
	out[name.n] = '\0';
	return (struct str){ out, name.n };
}
