#include "origin/spf_internal.h"
#include "origin/spf_ip.h"

/* Which argument a mechanism takes (RFC 7208 5). */
enum argument { ARG_NONE, ARG_DOMAIN, ARG_MAYBE_DOMAIN, ARG_HOST, ARG_IP4, ARG_IP6 };
static const struct { struct str name; enum spf_kind kind; enum argument argument; } mechanisms[] = {
	{ STR_INIT("all"), SPF_ALL, ARG_NONE },          { STR_INIT("include"), SPF_INCLUDE, ARG_DOMAIN }, { STR_INIT("a"), SPF_A, ARG_HOST },
	{ STR_INIT("mx"), SPF_MX, ARG_HOST },            { STR_INIT("ptr"), SPF_PTR, ARG_MAYBE_DOMAIN },   { STR_INIT("ip4"), SPF_IP4, ARG_IP4 },
	{ STR_INIT("ip6"), SPF_IP6, ARG_IP6 },           { STR_INIT("exists"), SPF_EXISTS, ARG_DOMAIN },
};
enum { SHOWN = 60 }; /* octets of a term that an error message shows */

bool spf_is_record(struct str txt, struct str *out_terms)
{
	/* RFC 7208 4.5: "starts with a version section of exactly "v=spf1"", terminated by a space or the end of the record. */
	if (!str_istarts(txt, STR("v=spf1")) || (txt.n > 6 && txt.p[6] != ' '))
		return false;
	*out_terms = str_skip(txt, 6);
	return true;
}

/* name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ) (RFC 7208 4.6.1) */
static bool name_ok(struct str s)
{
	if (s.n == 0 || !ascii_alpha(s.p[0]))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!ascii_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
			return false;
	return true;
}

/* "0" or a number without leading zeros (the ABNF of 5.6). */
static bool cidr_number(struct str s, unsigned max, unsigned *out)
{
	uint64_t v;
	if (s.n == 0 || s.n > 3 || (s.n > 1 && s.p[0] == '0') || !str_u64(s, max, &v))
		return false;
	*out = (unsigned)v;
	return true;
}

static size_t digits_at_end(struct str s)
{
	size_t n = 0;
	while (n < s.n && ascii_digit(s.p[s.n - 1 - n]))
		n++;
	return n;
}

/* Takes "/24", "//64" or "/24//64" off the end. False: it is there, and wrong. */
static bool take_cidr(struct str *s, struct spf_term *t)
{
	size_t n = digits_at_end(*s), end = s->n - n;
	if (end >= 2 && s->p[end - 1] == '/' && s->p[end - 2] == '/') {
		if (!cidr_number(str_skip(*s, end), 128, &t->cidr6))
			return false;
		s->n = end - 2;
		n = digits_at_end(*s);
		end = s->n - n;
	}
	if (end >= 1 && s->p[end - 1] == '/') {
		if (!cidr_number(str_skip(*s, end), 32, &t->cidr4))
			return false;
		s->n = end - 1;
	}
	return true;
}

static enum rc read_domain(struct spf_term *t, struct str spec, struct why *why)
{
	if (!spf_macro_ok(spec, SPF_MACRO_DOMAIN))
		FAIL(why, RC_SYNTAX, "\"%.*s\": not a domain", PSTR(str_head(t->text, SHOWN)));
	t->domain = spec;
	return RC_OK;
}

static enum rc read_network(struct spf_term *t, enum argument kind, struct str s, struct why *why)
{
	struct str address, bits;
	bool has_bits = str_cut(s, '/', &address, &bits);
	bool is4 = kind == ARG_IP4;
	if (!(is4 ? ip4_parse(address, t->ip) : ip6_parse(address, t->ip)))
		FAIL(why, RC_SYNTAX, "\"%.*s\": not an %s address", PSTR(str_head(t->text, SHOWN)), is4 ? "IPv4" : "IPv6");
	if (has_bits && !cidr_number(bits, is4 ? 32 : 128, is4 ? &t->cidr4 : &t->cidr6))
		FAIL(why, RC_SYNTAX, "\"%.*s\": not a prefix length", PSTR(str_head(t->text, SHOWN)));
	return RC_OK;
}

/* `rest` is what follows the mechanism's name: "", ":…" or "/…". */
static enum rc read_argument(struct spf_term *t, enum argument kind, struct str rest, struct why *why)
{
	if (kind == ARG_HOST && !take_cidr(&rest, t))
		FAIL(why, RC_SYNTAX, "\"%.*s\": not a prefix length", PSTR(str_head(t->text, SHOWN)));
	bool given = rest.n > 0;
	if (given && rest.p[0] != ':')
		FAIL(why, RC_SYNTAX, "\"%.*s\": neither a mechanism nor a modifier", PSTR(str_head(t->text, SHOWN)));
	struct str value = str_skip(rest, 1);
	if (!given && (kind == ARG_NONE || kind == ARG_MAYBE_DOMAIN || kind == ARG_HOST))
		return RC_OK;
	if (!given)
		FAIL(why, RC_SYNTAX, "\"%.*s\": its argument is missing", PSTR(str_head(t->text, SHOWN)));
	if (kind == ARG_NONE)
		FAIL(why, RC_SYNTAX, "\"%.*s\" takes no argument", PSTR(str_head(t->text, SHOWN)));
	return kind == ARG_IP4 || kind == ARG_IP6 ? read_network(t, kind, value, why) : read_domain(t, value, why);
}

static enum rc read_mechanism(struct spf_term *t, struct why *why)
{
	struct str s = t->text;
	static const char marks[] = "+-~?";
	static const enum auth meaning[] = { AUTH_PASS, AUTH_FAIL, AUTH_SOFTFAIL, AUTH_NEUTRAL };
	const char *mark = memchr(marks, s.p[0], 4);
	t->qualifier = mark ? meaning[mark - marks] : AUTH_PASS;
	s = str_skip(s, mark ? 1 : 0);
	size_t n = 0;
	while (n < s.n && s.p[n] != ':' && s.p[n] != '/')
		n++;
	for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++) {
		if (!str_ieq(str_head(s, n), mechanisms[i].name))
			continue;
		t->kind = mechanisms[i].kind;
		return read_argument(t, mechanisms[i].argument, str_skip(s, n), why);
	}
	FAIL(why, RC_SYNTAX, "\"%.*s\": no such mechanism", PSTR(str_head(t->text, SHOWN)));
}

static enum rc read_modifier(struct spf_term *t, struct str name, struct str value, struct why *why)
{
	t->kind = str_ieq(name, STR("redirect")) ? SPF_REDIRECT : str_ieq(name, STR("exp")) ? SPF_EXP : SPF_UNKNOWN;
	if (t->kind != SPF_UNKNOWN)
		return read_domain(t, value, why);
	/* RFC 7208 6: unknown modifiers are ignored, wherever they stand, but they are macro-strings. */
	if (!spf_macro_ok(value, SPF_MACRO_MODIFIER))
		FAIL(why, RC_SYNTAX, "\"%.*s\": a macro in it is malformed", PSTR(str_head(t->text, SHOWN)));
	return RC_OK;
}

enum rc spf_term_next(struct str *rest, struct spf_term *out, struct why *why)
{
	while (rest->n && rest->p[0] == ' ')
		*rest = str_skip(*rest, 1);
	if (rest->n == 0)
		return RC_NOTFOUND;
	*out = (struct spf_term){ .cidr4 = 32, .cidr6 = 128 };
	struct str name, value;
	(void)str_cut(*rest, ' ', &out->text, rest);
	if (str_cut(out->text, '=', &name, &value) && name_ok(name))
		return read_modifier(out, name, value, why);
	return read_mechanism(out, why);
}

enum rc spf_record_check(struct str terms, struct str *out_redirect, struct str *out_exp, struct why *why)
{
	struct spf_term t;
	enum rc rc;
	*out_redirect = *out_exp = STR("");
	while ((rc = spf_term_next(&terms, &t, why)) == RC_OK) {
		struct str *at = t.kind == SPF_REDIRECT ? out_redirect : t.kind == SPF_EXP ? out_exp : NULL;
		if (!at)
			continue;
		/* RFC 7208 6: "These two modifiers MUST NOT appear in a record more than once each." */
		if (at->n)
			FAIL(why, RC_SYNTAX, "%s= stands there twice", t.kind == SPF_EXP ? "exp" : "redirect");
		*at = t.domain;
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}
