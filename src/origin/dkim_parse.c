#include "origin/dkim_parse.h"

#include "base/idn.h"
#include "base/mem.h"

bool sig_next_name(struct str *rest, struct str *out)
{
	if (rest->n == 0)
		return false;
	(void)str_cut(*rest, ':', out, rest);
	*out = str_trim(*out);
	return true;
}

bool sig_tag_place(const struct head_field *f, const char *tag, size_t *out_from, size_t *out_to)
{
	struct str rest = f->value;
	while (rest.n) {
		struct str spec, name, value;
		(void)str_cut(rest, ';', &spec, &rest);
		if (str_cut(spec, '=', &name, &value) && str_eq(str_trim(name), str_z(tag))) {
			*out_from = (size_t)(value.p - f->raw.p);
			*out_to = *out_from + value.n;
			return true;
		}
	}
	return false;
}

/* ---- names ---- */

static bool label_ok(struct str s)
{
	if (s.n == 0 || s.n > 63 || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_')
			return false;
	return true;
}

static bool labels_ok(struct str s, size_t at_least)
{
	size_t n = 0;
	struct str label;
	bool more = s.n <= 253;
	if (!more)
		return false;
	while (more) {
		more = str_cut(s, '.', &label, &s);
		if (!label_ok(label))
			return false;
		n++;
	}
	return n >= at_least;
}

static struct str lowered(struct str in, struct arena *a)
{
	struct str s = arena_str(a, in);
	char *p = (char *)s.p;
	for (size_t i = 0; i < s.n; i++)
		p[i] = ascii_lower(p[i]);
	return s;
}

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] & 0x80)
			return false;
	return true;
}

/* RFC 8616 4: a domain in U-labels is asked for, and compared, in A-labels. */
static enum rc to_a_labels(struct str in, struct arena *a, struct str *out)
{
	char z[256], *ascii = NULL;
	if (in.n >= sizeof z || memchr(in.p, 0, in.n))
		return RC_SYNTAX;
	memcpy(z, in.p, in.n);
	z[in.n] = 0;
	if (!idn_to_ascii(z, &ascii))
		return RC_SYNTAX;
	*out = arena_str(a, str_z(ascii));
	idn_alabels_free(ascii);
	return RC_OK;
}

enum rc sig_domain(struct str in, struct arena *a, struct str *out)
{
	struct str s = in;
	if (!is_ascii(in))
		TRY(to_a_labels(in, a, &s));
	/* RFC 6376 3.5: domain-name = sub-domain 1*("." sub-domain) */
	if (!labels_ok(s, 2))
		return RC_SYNTAX;
	*out = lowered(s, a);
	return a->full ? RC_NOMEM : RC_OK;
}

/* ---- tags ---- */

struct reader {
	const struct tags *t;
	struct arena *a;
	struct sig *s;
	struct why *why;
};

static enum rc needed(const struct reader *r, const char *name, struct str *out)
{
	const struct str *v = tags_get(r->t, name);
	if (!v)
		FAIL(r->why, RC_SYNTAX, "%s= is missing", name);
	*out = *v;
	return RC_OK;
}

static enum rc octets(const struct reader *r, const char *name, struct str *out)
{
	struct str text;
	TRY(needed(r, name, &text));
	struct buf b;
	buf_init(&b, SIG_MAX_OCTETS);
	enum rc rc = tags_base64(text, &b);
	if (rc != RC_OK)
		rc = why_fail(r->why, RC_SYNTAX, 0, __FILE__, "%s= is not base64, or too long", name);
	else if (b.len == 0)
		rc = why_fail(r->why, RC_SYNTAX, 0, __FILE__, "%s= is empty", name);
	else
		*out = arena_str(r->a, buf_str(&b));
	buf_done(&b);
	return rc;
}

static enum rc number(const struct reader *r, const char *name, int64_t *out)
{
	const struct str *v = tags_get(r->t, name);
	uint64_t n;
	if (!v)
		return RC_OK;
	if (!str_u64(*v, INT64_MAX, &n))
		FAIL(r->why, RC_SYNTAX, "%s= is not a number", name);
	*out = (int64_t)n;
	return RC_OK;
}

/* What may be shown of a stranger's word: letters, digits and hyphens, so that it can stand in any header field or log. */
static struct str word_of(struct str text, struct arena *a)
{
	size_t n = 0;
	while (n < text.n && n < 64 && (ascii_alnum(text.p[n]) || text.p[n] == '-'))
		n++;
	return arena_str(a, str_head(text, n));
}

/* RFC 6008 4: the first eight characters of the signature, without what it was folded with. */
static struct str head_of_base64(struct str text, struct arena *a)
{
	char room[8];
	size_t n = 0;
	for (size_t i = 0; i < text.n && n < sizeof room; i++)
		if (ascii_alnum(text.p[i]) || text.p[i] == '+' || text.p[i] == '/' || text.p[i] == '=')
			room[n++] = text.p[i];
	return arena_str(a, str_of(room, n));
}

static enum rc algorithm(const struct reader *r, bool weak)
{
	static const struct {
		struct str name;
		enum sig_algorithm value;
	} known[] = { { STR_INIT("rsa-sha256"), SIG_RSA_SHA256 }, { STR_INIT("ed25519-sha256"), SIG_ED25519_SHA256 }, { STR_INIT("rsa-sha1"), SIG_RSA_SHA1 } };
	struct str text;
	TRY(needed(r, "a", &text));
	r->s->a_text = word_of(text, r->a);
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		if (!str_eq(text, known[i].name))
			continue;
		r->s->algorithm = known[i].value;
		/* RFC 8301 3.1: "rsa-sha1 MUST NOT be used for signing or verifying" */
		if (known[i].value == SIG_RSA_SHA1 && !weak)
			FAIL(r->why, RC_DENIED, "rsa-sha1 is not safe any more (RFC 8301)");
		/* RFC 8617 leaves Ed25519 out of ARC by name, RFC 8463 2 puts it in wherever DKIM's algorithms are */
		return RC_OK;
	}
	FAIL(r->why, RC_DENIED, "the algorithm a=%.*s is not known", PSTR(r->s->a_text));
}

static bool canon_word(struct str s, enum dkim_canon *out)
{
	*out = str_eq(s, STR("relaxed")) ? DKIM_RELAXED : DKIM_SIMPLE;
	return *out == DKIM_RELAXED || str_eq(s, STR("simple"));
}

/* RFC 6376 3.5: c=, "simple/simple" when left out, "simple" for the body when only one is named. ARC sealers that leave it out mean
 * "relaxed/relaxed": so do the suite of ValiMail and the verifiers that are out there. */
static enum rc canons(const struct reader *r)
{
	const struct str *v = tags_get(r->t, "c");
	struct str head, body;
	r->s->header = r->s->body = r->s->kind == SIG_AMS ? DKIM_RELAXED : DKIM_SIMPLE;
	if (!v)
		return RC_OK;
	bool two = str_cut(*v, '/', &head, &body);
	r->s->body = DKIM_SIMPLE;
	if (!canon_word(head, &r->s->header) || (two && !canon_word(body, &r->s->body)))
		FAIL(r->why, RC_DENIED, "the canonicalization c=%.*s is not known", PSTR(str_head(*v, 64)));
	return RC_OK;
}

static enum rc names(const struct reader *r)
{
	struct str d = STR(""), s = STR("");
	TRY(needed(r, "d", &d));
	TRY(needed(r, "s", &s));
	if (sig_domain(d, r->a, &r->s->domain) != RC_OK)
		FAIL(r->why, RC_SYNTAX, "d= is no domain name");
	if (!is_ascii(s) && to_a_labels(s, r->a, &s) != RC_OK)
		FAIL(r->why, RC_SYNTAX, "s= is no selector");
	if (!labels_ok(s, 1))
		FAIL(r->why, RC_SYNTAX, "s= is no selector");
	r->s->selector = lowered(s, r->a);
	return RC_OK;
}

static int hex_digit(char c) { return ascii_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* RFC 6376 2.11: dkim-quoted-printable; white space within is ignored. */
static bool decode_qp(struct str in, char *out, size_t *out_n)
{
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			continue;
		if (c == '=') {
			int hi = i + 2 < in.n ? hex_digit(in.p[i + 1]) : -1, lo = i + 2 < in.n ? hex_digit(in.p[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return false;
			c = (char)(hi << 4 | lo);
			i += 2;
		}
		if ((unsigned char)c < 0x20 || c == 0x7f)
			return false;
		out[n++] = c;
	}
	*out_n = n;
	return true;
}

static bool within(struct str name, struct str domain)
{
	return str_eq(name, domain) || (name.n > domain.n && str_ends(name, domain) && name.p[name.n - domain.n - 1] == '.');
}

static enum rc identity(const struct reader *r)
{
	const struct str *v = tags_get(r->t, "i");
	char room[SIG_MAX_IDENTITY];
	size_t n = 0, at;
	if (!v || v->n > sizeof room) {
		if (v)
			FAIL(r->why, RC_LIMIT, "i= is longer than %d octets", SIG_MAX_IDENTITY);
		room[n++] = '@';
		memcpy(room + n, r->s->domain.p, r->s->domain.n);
		r->s->identity = arena_str(r->a, str_of(room, n + r->s->domain.n));
		return RC_OK;
	}
	if (!decode_qp(*v, room, &n))
		FAIL(r->why, RC_SYNTAX, "i= is not as RFC 6376 2.11 encodes it");
	for (at = n; at > 0 && room[at - 1] != '@'; at--)
		;
	struct str domain = STR("");
	if (at == 0 || sig_domain(str_of(room + at, n - at), r->a, &domain) != RC_OK)
		FAIL(r->why, RC_SYNTAX, "i= has no domain");
	/* RFC 6376 3.5: i= "MUST be the same as, or a subdomain of, the value of the "d=" tag" */
	if (!within(domain, r->s->domain))
		FAIL(r->why, RC_DENIED, "i= is not d= or below it");
	struct buf b;
	buf_init(&b, SIG_MAX_IDENTITY + 256);
	buf_add(&b, str_of(room, at));
	buf_add(&b, domain);
	r->s->identity = arena_str(r->a, buf_str(&b));
	buf_done(&b);
	return RC_OK;
}

static enum rc signed_names(const struct reader *r, const struct head *head)
{
	TRY(needed(r, "h", &r->s->h));
	struct str rest = r->s->h, name;
	size_t n = 0, from = 0;
	while (sig_next_name(&rest, &name)) {
		if (++n > SIG_MAX_NAMES)
			FAIL(r->why, RC_LIMIT, "h= has more than %d names", SIG_MAX_NAMES);
		from += str_ieq(name, STR("from"));
		/* RFC 8617 4.1.2: seals cover message signatures, never the other way round */
		if (r->s->kind == SIG_AMS && str_ieq(name, STR("arc-seal")))
			FAIL(r->why, RC_SYNTAX, "h= holds ARC-Seal");
	}
	/* RFC 6376 6.1.1: "If the "h=" tag does not include the From header field, the Verifier MUST ignore" the signature */
	if (from == 0 && r->s->kind == SIG_DKIM)
		FAIL(r->why, RC_DENIED, "From is not signed");
	const struct head_name *g = head_name(head, STR("from"));
	r->s->over_from = from > (g ? g->count : 0);
	return RC_OK;
}

static enum rc body_part(const struct reader *r)
{
	const struct str *l = tags_get(r->t, "l");
	TRY(octets(r, "bh", &r->s->bh));
	if (r->s->bh.n != dkim_hash_len(sig_hash(r->s)))
		FAIL(r->why, RC_SYNTAX, "bh= has the wrong length");
	if (!l)
		return RC_OK;
	r->s->has_length = true;
	if (!str_u64(*l, BODY_WHOLE - 1, &r->s->length))
		FAIL(r->why, RC_SYNTAX, "l= is not a number");
	return RC_OK;
}

static enum rc query_method(const struct reader *r)
{
	const struct str *q = tags_get(r->t, "q");
	struct str rest = q ? *q : STR("dns/txt"), one;
	while (sig_next_name(&rest, &one))
		if (str_eq(one, STR("dns/txt")) || str_eq(one, STR("dns"))) /* RFC 4871's examples leave "/txt" out */
			return RC_OK;
	FAIL(r->why, RC_DENIED, "q= names no way to ask for the key that we know");
}

/* Reasons to stop that need nothing but the clock. A future t= is judged after the signature is (policy). */
static enum rc times(const struct reader *r, int64_t now_s)
{
	r->s->signed_at = r->s->expires_at = -1;
	TRY(number(r, "t", &r->s->signed_at));
	if (r->s->kind == SIG_SEAL)
		return RC_OK;
	TRY(number(r, "x", &r->s->expires_at));
	if (r->s->expires_at < 0)
		return RC_OK;
	/* RFC 6376 3.5: "The value of the "x=" tag MUST be greater than the value of the "t=" tag if both are present." */
	if (r->s->expires_at <= r->s->signed_at)
		FAIL(r->why, RC_SYNTAX, "x= is not after t=");
	if (r->s->expires_at < now_s)
		FAIL(r->why, RC_DENIED, "the signature has expired");
	return RC_OK;
}

/* ---- the three kinds ---- */

static enum rc read_common(const struct reader *r, bool weak)
{
	struct str b_text = STR("");
	TRY(names(r));
	TRY(needed(r, "b", &b_text));
	r->s->b_head = head_of_base64(b_text, r->a);
	TRY(algorithm(r, weak));
	TRY(octets(r, "b", &r->s->b));
	return sig_tag_place(r->s->field, "b", &r->s->cut_from, &r->s->cut_to) ? RC_OK : RC_SYNTAX;
}

static enum rc read_dkim(const struct reader *r, const struct head *head, int64_t now_s, bool weak)
{
	struct str v;
	TRY(needed(r, "v", &v));
	if (!str_eq(v, STR("1")))
		FAIL(r->why, RC_DENIED, "v=%.*s is not 1", PSTR(str_head(v, 40)));
	TRY(read_common(r, weak));
	TRY(identity(r));
	TRY(canons(r));
	TRY(signed_names(r, head));
	TRY(body_part(r));
	TRY(query_method(r));
	return times(r, now_s);
}

static enum rc read_ams(const struct reader *r, const struct head *head, int64_t now_s, bool weak)
{
	TRY(read_common(r, weak));
	TRY(canons(r));
	TRY(signed_names(r, head));
	TRY(body_part(r));
	TRY(query_method(r));
	return times(r, now_s);
}

static enum rc read_seal(const struct reader *r, int64_t now_s, bool weak)
{
	struct str cv;
	TRY(needed(r, "cv", &cv));
	r->s->cv = str_eq(cv, STR("none")) ? AUTH_NONE : str_eq(cv, STR("pass")) ? AUTH_PASS : AUTH_FAIL;
	if (r->s->cv == AUTH_FAIL && !str_eq(cv, STR("fail")))
		FAIL(r->why, RC_SYNTAX, "cv= is neither none, pass nor fail");
	/* RFC 8617 4.1.3: "the DKIM "h" tag is NOT allowed and, if found, MUST result in a cv status of "fail"" */
	if (tags_get(r->t, "h"))
		FAIL(r->why, RC_SYNTAX, "ARC-Seal has an h=");
	r->s->header = DKIM_RELAXED;
	TRY(read_common(r, weak));
	return times(r, now_s);
}

unsigned sig_instance(struct str value)
{
	struct str spec, rest, name, number;
	uint64_t n;
	while (value.n) {
		(void)str_cut(value, ';', &spec, &rest);
		if (str_cut(spec, '=', &name, &number) && str_eq(str_trim(name), STR("i")))
			return str_u64(str_trim(number), ARC_MAX_SETS, &n) ? (unsigned)n : 0;
		value = rest;
	}
	return 0;
}

enum rc sig_parse(enum sig_kind kind, const struct head *h, const struct head_field *f, int64_t now_s, bool weak, struct arena *a,
                  struct sig *out, struct why *why)
{
	struct tags t;
	*out = (struct sig){ .kind = kind, .field = f, .signed_at = -1, .expires_at = -1, .identity = STR(""), .domain = STR(""), .selector = STR(""),
		             .a_text = STR(""), .b = STR(""), .bh = STR(""), .b_head = STR(""), .h = STR(""), .cv = AUTH_FAIL };
	TRY(tags_parse(f->value, &t, why));
	struct reader r = { &t, a, out, why };
	if (kind != SIG_DKIM)
		out->instance = sig_instance(f->value);
	enum rc rc = kind == SIG_DKIM ? read_dkim(&r, h, now_s, weak) : kind == SIG_AMS ? read_ams(&r, h, now_s, weak) : read_seal(&r, now_s, weak);
	if (a->full)
		FAIL(why, RC_NOMEM, "out of memory");
	return rc;
}
