#include "origin/mta_sts.h"

#include "base/codec.h"
#include "base/cursor.h"
#include "crypto/crypto.h"
#include "mail/address.h"
#include "origin/origin.h"

enum { ID_MAX = 32, KEPT_VERSION = 1, ID_OCTETS = 16 };

static bool is_wsp(char c) { return c == ' ' || c == '\t'; }

static struct str wsp_trim(struct str s)
{
	while (s.n && is_wsp(s.p[0]))
		s = str_skip(s, 1);
	while (s.n && is_wsp(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* ---- the TXT record ---- */

/* sts-id = %s"id=" 1*32(ALPHA / DIGIT) */
static bool id_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alnum(s.p[i]))
			return false;
	return s.n >= 1 && s.n <= ID_MAX;
}

/* sts-ext-name = (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / "."), here and in policies */
static bool name_ok(struct str s)
{
	if (!s.n || s.n > 32 || !ascii_alnum(s.p[0]))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!ascii_alnum(s.p[i]) && !memchr("_-.", s.p[i], 3))
			return false;
	return true;
}

/* sts-ext-value = 1*(%x21-3A / %x3C / %x3E-7E), excluding "=", ";", SP and controls */
static bool record_value_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '=' || s.p[i] == ';')
			return false;
	return s.n > 0;
}

static enum rc record_fields(struct str fields, struct str *out_id, struct why *why)
{
	struct str one, rest = fields, key, value, id = STR("");
	for (bool more = true; more;) {
		more = str_cut(rest, ';', &one, &rest);
		one = wsp_trim(one);
		if (!one.n && !more)
			break;
		if (!str_cut(one, '=', &key, &value) || !name_ok(key) || !record_value_ok(value))
			FAIL(why, RC_NOTFOUND, "the _mta-sts record has a field that is none: \"%.*s\"", PSTR(str_head(one, 40)));
		/* RFC 8461 3.2: "If any non-repeated field [...] is duplicated, all entries except for the first SHALL be ignored." */
		if (str_eq(key, STR("id")) && !id.n)
			id = value;
	}
	if (!id_ok(id))
		FAIL(why, RC_NOTFOUND, "the _mta-sts record has no id of 1 to 32 letters and digits");
	*out_id = id;
	return RC_OK;
}

enum rc mta_sts_record(const struct dns_answer *txt, struct str *out_id, struct why *why)
{
	const struct dns_record *found = NULL;
	/* RFC 8461 3.1: "If multiple TXT records for "_mta-sts" are returned by the resolver, records that do not begin with "v=STSv1;" are discarded. If
	 * the number of resulting records is not one [...] senders MUST assume the recipient domain does not have an available MTA-STS Policy" */
	for (size_t i = 0; txt->status == DNS_OK && i < txt->records; i++) {
		if (!str_starts(txt->record[i].data, STR("v=STSv1;")))
			continue;
		if (found)
			FAIL(why, RC_NOTFOUND, "there are several _mta-sts records");
		found = &txt->record[i];
	}
	if (!found)
		FAIL(why, RC_NOTFOUND, "there is no _mta-sts record");
	return record_fields(str_skip(found->data, 8), out_id, why);
}

/* ---- the policy ---- */

static bool mx_pattern_ok(struct str s)
{
	return mail_domain_ok(str_starts(s, STR("*.")) ? str_skip(s, 2) : s, false);
}

static struct str lower(struct str s, struct arena *a)
{
	char *p = arena_new(a, s.n + 1);
	for (size_t i = 0; p && i < s.n; i++)
		p[i] = ascii_lower(s.p[i]);
	return str_of(p, p ? s.n : 0);
}

struct reading {
	struct arena *a;
	struct mta_sts_policy p;
	bool version, mode, age;
	size_t cap;
};

static enum rc mx_add(struct reading *r, struct str pattern, struct why *why)
{
	if (pattern.n && pattern.p[pattern.n - 1] == '.')
		pattern.n--;
	if (!mx_pattern_ok(pattern))
		FAIL(why, RC_SYNTAX, "mx \"%.*s\" is no host name", PSTR(str_head(pattern, 80)));
	if (r->p.mx_n == MTA_STS_MX_MAX)
		FAIL(why, RC_LIMIT, "the policy has more than %d mx lines", MTA_STS_MX_MAX);
	if (r->p.mx_n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 8;
		struct str *grown = arena_new(r->a, cap * sizeof *grown);
		if (!grown)
			FAIL(why, RC_NOMEM, "no memory for the policy");
		if (r->p.mx_n)
			memcpy(grown, r->p.mx, r->p.mx_n * sizeof *grown);
		r->p.mx = grown;
		r->cap = cap;
	}
	r->p.mx[r->p.mx_n++] = lower(pattern, r->a);
	return RC_OK;
}

static enum rc mode_of(struct str value, enum mta_sts_mode *out, struct why *why)
{
	static const char *const names[] = { [MTA_STS_NONE] = "none", [MTA_STS_TESTING] = "testing", [MTA_STS_ENFORCE] = "enforce" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_eq(value, str_z(names[i]))) {
			*out = (enum mta_sts_mode)i;
			return RC_OK;
		}
	FAIL(why, RC_SYNTAX, "the mode \"%.*s\" is not enforce, testing or none", PSTR(str_head(value, 40)));
}

/* max_age: "plaintext non-negative integer seconds, maximum value of 31557600"; ABNF 1*10(DIGIT). A larger number is taken for the most: who wants
 * protection for longer than can be had shall not get none. */
static enum rc age_of(struct str value, uint32_t *out, struct why *why)
{
	uint64_t n;
	if (value.n > 10 || !str_u64(value, 9999999999ull, &n))
		FAIL(why, RC_SYNTAX, "max_age \"%.*s\" is no number of seconds", PSTR(str_head(value, 40)));
	*out = (uint32_t)(n > MTA_STS_AGE_MAX ? MTA_STS_AGE_MAX : n);
	return RC_OK;
}

/* A field that may stand once counts the first time only. */
static bool first(bool *seen)
{
	bool was = *seen;
	*seen = true;
	return !was;
}

static enum rc field(struct reading *r, struct str key, struct str value, struct why *why)
{
	if (str_eq(key, STR("mx")))
		return mx_add(r, value, why);
	if (str_eq(key, STR("version")) && first(&r->version) && !str_eq(value, STR("STSv1")))
		FAIL(why, RC_SYNTAX, "the version \"%.*s\" is not STSv1", PSTR(str_head(value, 40)));
	if (str_eq(key, STR("mode")) && first(&r->mode))
		return mode_of(value, &r->p.mode, why);
	if (str_eq(key, STR("max_age")) && first(&r->age))
		return age_of(value, &r->p.max_age, why);
	return RC_OK;
}

static bool value_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return s.n > 0;
}

static enum rc line(struct reading *r, struct str text, struct why *why)
{
	struct str key, value;
	text = wsp_trim(text);
	if (!text.n)
		return RC_OK;
	if (!str_cut(text, ':', &key, &value) || !name_ok(wsp_trim(key)) || !value_ok(wsp_trim(value)))
		FAIL(why, RC_SYNTAX, "\"%.*s\" is not KEY: VALUE", PSTR(str_head(text, 60)));
	return field(r, wsp_trim(key), wsp_trim(value), why);
}

enum rc mta_sts_parse(struct str text, struct arena *a, struct mta_sts_policy *out, struct why *why)
{
	struct reading r = { .a = a };
	struct str one, rest = text;
	if (text.n > MTA_STS_POLICY_MAX)
		FAIL(why, RC_LIMIT, "the policy is larger than %d octets", MTA_STS_POLICY_MAX);
	for (bool more = true; more;) {
		more = str_cut(rest, '\n', &one, &rest);
		if (one.n && one.p[one.n - 1] == '\r')
			one.n--;
		TRY(line(&r, one, why));
	}
	if (!r.version || !r.mode || !r.age)
		FAIL(why, RC_SYNTAX, "the policy has no %s", !r.version ? "version" : !r.mode ? "mode" : "max_age");
	if (r.p.mode != MTA_STS_NONE && !r.p.mx_n)
		FAIL(why, RC_SYNTAX, "the policy has no mx");
	if (a->full)
		FAIL(why, RC_NOMEM, "no memory for the policy");
	*out = r.p;
	return RC_OK;
}

bool mta_sts_match(const struct mta_sts_policy *p, struct str mx_host)
{
	if (mx_host.n && mx_host.p[mx_host.n - 1] == '.')
		mx_host.n--;
	size_t dot = str_find(mx_host, '.');
	for (size_t i = 0; mx_host.n && i < p->mx_n; i++) {
		/* RFC 8461 4.1: "mx: *.example.com" matches one label at the left: neither example.com nor a.b.example.com */
		bool any = str_starts(p->mx[i], STR("*."));
		if (any ? dot > 0 && dot < mx_host.n && str_ieq(str_skip(mx_host, dot), str_skip(p->mx[i], 1)) : str_ieq(mx_host, p->mx[i]))
			return true;
	}
	return false;
}

const char *mta_sts_mode_name(enum mta_sts_mode m)
{
	static const char *const names[] = { [MTA_STS_NONE] = "none", [MTA_STS_TESTING] = "testing", [MTA_STS_ENFORCE] = "enforce" };
	return names[m];
}

enum rc mta_sts_write(const struct mta_sts_policy *p, struct buf *out, char out_id[33])
{
	AUTO(buf_done) struct buf text = { .max = MTA_STS_POLICY_MAX }, hex = { .max = 2 * HASH_LEN };
	uint8_t hash[HASH_LEN];
	buf_addf(&text, "version: STSv1\r\nmode: %s\r\n", mta_sts_mode_name(p->mode));
	for (size_t i = 0; i < p->mx_n; i++) {
		if (!mx_pattern_ok(p->mx[i]))
			return RC_SYNTAX;
		buf_addf(&text, "mx: %.*s\r\n", PSTR(p->mx[i]));
	}
	if (p->max_age > MTA_STS_AGE_MAX || (p->mode != MTA_STS_NONE && !p->mx_n))
		return RC_SYNTAX;
	buf_addf(&text, "max_age: %u\r\n", p->max_age);
	TRY(sha256(buf_str(&text), hash));
	hex_add(&hex, str_of(hash, ID_OCTETS));
	buf_add(out, buf_str(&text));
	if (text.failed || hex.failed || out->failed)
		return RC_LIMIT;
	memcpy(out_id, hex.p, 2 * ID_OCTETS);
	out_id[2 * ID_OCTETS] = '\0';
	return RC_OK;
}

/* ---- as kept ---- */

void mta_sts_keep(const struct mta_sts_kept *k, struct buf *out)
{
	buf_u8(out, KEPT_VERSION);
	buf_run(out, k->domain);
	buf_run(out, k->id);
	buf_run(out, k->text);
	buf_u64(out, (uint64_t)k->fetched_ms);
	buf_u64(out, (uint64_t)k->expires_ms);
	buf_u64(out, (uint64_t)k->tried_ms);
}

enum rc mta_sts_kept_get(struct str in, struct mta_sts_kept *out)
{
	struct cursor c = cursor_of(in);
	if (cursor_u8(&c) != KEPT_VERSION)
		return RC_SYNTAX;
	struct mta_sts_kept k = { .domain = cursor_run(&c, 255), .id = cursor_run(&c, ID_MAX), .text = cursor_run(&c, MTA_STS_POLICY_MAX) };
	k.fetched_ms = (int64_t)cursor_u64(&c);
	k.expires_ms = (int64_t)cursor_u64(&c);
	k.tried_ms = (int64_t)cursor_u64(&c);
	if (!cursor_at_end(&c))
		return RC_SYNTAX;
	*out = k;
	return RC_OK;
}
