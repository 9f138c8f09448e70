/* DMARC records (RFC 9989 4.7, 7489 6.3) and the addresses in them. */
#include "origin/dmarc_internal.h"

#include "mail/address.h"

const char *dmarc_policy_name(enum dmarc_policy p)
{
	static const char *const names[] = { "none", "quarantine", "reject" };
	return (size_t)p < sizeof names / sizeof names[0] ? names[p] : "none";
}

static bool policy_of(struct str s, enum dmarc_policy *out)
{
	for (enum dmarc_policy p = DMARC_NONE; p <= DMARC_REJECT; p++)
		if (str_ieq(s, str_z(dmarc_policy_name(p)))) {
			*out = p;
			return true;
		}
	return false;
}

/* The next "name = value" of *rest. "Unknown tags MUST be ignored" (4.7), and so is what is no tag at all. */
static bool tag_next(struct str *rest, struct tag *out)
{
	while (rest->n) {
		struct str spec, tail;
		if (!str_cut(*rest, ';', &spec, &tail))
			tail = STR("");
		*rest = tail;
		if (!str_cut(spec, '=', &out->name, &out->value))
			continue;
		out->name = str_trim(out->name);
		out->value = str_trim(out->value);
		return true;
	}
	return false;
}

/* RFC 9989 4.7: "[v] MUST appear as the first tag … The value of this tag MUST match precisely [DMARC1]"; 4.10: records that do not begin so are discarded. */
static bool is_dmarc1(struct str txt)
{
	struct str spec, rest, name, value;
	str_cut(txt, ';', &spec, &rest);
	return str_cut(spec, '=', &name, &value) && str_ieq(str_trim(name), STR("v")) && str_eq(str_trim(value), STR("DMARC1"));
}

struct raw_tags { struct str p, sp, np, adkim, aspf, t, psd, pct, ri, rua, ruf, fo, rf; };

static void gather(struct str txt, struct raw_tags *out)
{
	const struct { const char *name; struct str *to; } known[] = {
		{ "p", &out->p }, { "sp", &out->sp }, { "np", &out->np }, { "adkim", &out->adkim }, { "aspf", &out->aspf }, { "t", &out->t },
		{ "psd", &out->psd }, { "pct", &out->pct }, { "ri", &out->ri }, { "rua", &out->rua }, { "ruf", &out->ruf }, { "fo", &out->fo },
		{ "rf", &out->rf },
	};
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		*known[i].to = STR("");
	struct tag t;
	while (tag_next(&txt, &t))
		for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
			if (str_ieq(t.name, str_z(known[i].name)) && known[i].to->n == 0)
				*known[i].to = t.value; /* the first one counts */
}

static bool any_uri(struct str value, struct arena *a)
{
	struct dmarc_uri one;
	return dmarc_uris(value, a, &one, 1) == 1;
}

/* RFC 9989 4.10.1: without a usable p, or with an unusable sp or np, a record that asks for reports is read as p=none, and any other as no record. A
 * record that has no p at all is p=none (4.7). */
static enum rc policies(const struct raw_tags *r, struct arena *a, struct dmarc_record *out, struct why *why)
{
	bool ok = r->p.n == 0 || policy_of(r->p, &out->p);
	out->sp = out->p;
	ok = ok && (r->sp.n == 0 || policy_of(r->sp, &out->sp));
	out->np = out->sp;
	ok = ok && (r->np.n == 0 || policy_of(r->np, &out->np));
	if (ok)
		return RC_OK;
	out->p = out->sp = out->np = DMARC_NONE;
	if (!any_uri(r->rua, a))
		FAIL(why, RC_SYNTAX, "the DMARC record's p=, sp= or np= is none of none, quarantine and reject");
	return RC_OK;
}

enum rc dmarc_record_parse(struct str txt, struct arena *a, struct dmarc_record *out, struct why *why)
{
	static const struct str empty = STR_INIT("");
	uint64_t n;
	struct raw_tags r;
	*out = (struct dmarc_record){ .at = empty, .rua = empty, .ruf = empty, .fo = empty, .rf = empty, .text = empty, .psd = 'u', .pct = 100, .ri = 86400 };
	if (!is_dmarc1(txt))
		FAIL(why, RC_NOTFOUND, "not a DMARC record");
	struct str text = arena_str(a, txt);
	if (text.n != txt.n)
		FAIL(why, RC_NOMEM, "no memory for the DMARC record");
	gather(text, &r);
	out->text = text;
	out->strict_dkim = str_ieq(r.adkim, STR("s"));
	out->strict_spf = str_ieq(r.aspf, STR("s"));
	out->testing = str_ieq(r.t, STR("y"));
	out->psd = str_ieq(r.psd, STR("y")) ? 'y' : str_ieq(r.psd, STR("n")) ? 'n' : 'u';
	out->pct = str_u64(r.pct, 100, &n) ? (unsigned)n : 100;
	out->ri = str_u64(r.ri, UINT32_MAX, &n) ? (uint32_t)n : 86400;
	out->rua = r.rua;
	out->ruf = r.ruf;
	out->fo = r.fo;
	out->rf = r.rf;
	TRY(policies(&r, a, out, why));
	out->found = true;
	return RC_OK;
}

static int hex_digit(char c)
{
	if (ascii_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 6068: percent-encoded octets, and no header fields for us ("?subject="). */
static bool unpercent(struct str in, struct arena *a, struct str *out)
{
	char *p = arena_new(a, in.n + 1);
	size_t n = 0;
	if (!p)
		return false;
	for (size_t i = 0; i < in.n && in.p[i] != '?'; i++) {
		if (in.p[i] != '%') {
			p[n++] = in.p[i];
			continue;
		}
		if (in.n - i < 3 || hex_digit(in.p[i + 1]) < 0 || hex_digit(in.p[i + 2]) < 0)
			return false;
		p[n++] = (char)(hex_digit(in.p[i + 1]) << 4 | hex_digit(in.p[i + 2]));
		i += 2;
	}
	*out = str_of(p, n);
	return true;
}

/* dmarc-uri = URI [ "!" 1*DIGIT [ "k" / "m" / "g" / "t" ] ] (RFC 7489 6.4). 0 = no limit said; an overflow means no limit either. */
static bool size_of(struct str s, uint64_t *out)
{
	static const char units[] = "kmgt";
	unsigned shift = 0;
	uint64_t n;
	if (s.n) {
		const char *u = memchr(units, ascii_lower(s.p[s.n - 1]), 4);
		shift = u ? 10 * (unsigned)(u - units + 1) : 0;
		s.n -= u != NULL;
	}
	if (!str_u64(s, UINT64_MAX, &n))
		return false;
	*out = n > UINT64_MAX >> shift ? 0 : n << shift;
	return true;
}

size_t dmarc_uris(struct str value, struct arena *a, struct dmarc_uri *out, size_t max)
{
	size_t n = 0;
	struct str one, rest = value;
	bool more = value.n != 0;
	for (unsigned seen = 0; more && n < max && seen < 64; seen++) {
		struct str address, size, plain;
		struct mail_address m;
		struct dmarc_uri u = { 0 };
		more = str_cut(rest, ',', &one, &rest);
		one = str_trim(one);
		if (!str_istarts(one, STR("mailto:")))
			continue;
		if (str_cut(str_skip(one, 7), '!', &address, &size) && !size_of(str_trim(size), &u.max_size))
			continue;
		if (!unpercent(str_trim(address), a, &plain) || mail_address_parse(plain, true, a, &m, NULL) != RC_OK || m.domain.n == 0)
			continue;
		u.address = plain;
		out[n++] = u;
	}
	return n;
}
