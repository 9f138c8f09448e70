#include "origin/auth_results.h"

#include "base/idn.h"


/* Authentication-Results, read (RFC 8601 2.2): ours found among incoming ones, and what a trusted sealer says. Linear, without recursion; strict about
 * what it understands, since a lenient reader can be told two things at once. */

enum { COMMENT_DEPTH = 100, ID_MAX = 512 };

struct reader {
	struct str in;
	bool bad;
};

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* A comment, from its "(". */
static void skip_comment(struct reader *r)
{
	unsigned depth = 0;
	size_t i = 0;
	for (; i < r->in.n; i++) {
		char c = r->in.p[i];
		if (c == '\\')
			i++;
		else if (c == '(' && ++depth > COMMENT_DEPTH)
			break;
		else if (c == ')' && --depth == 0) {
			r->in = str_skip(r->in, i + 1);
			return;
		}
	}
	r->bad = true;
}

static void skip_blanks(struct reader *r)
{
	while (r->in.n && !r->bad) {
		if (is_space(r->in.p[0]))
			r->in = str_skip(r->in, 1);
		else if (r->in.p[0] == '(')
			skip_comment(r);
		else
			return;
	}
}

/* After blanks: is `c` next? Takes it. */
static bool take(struct reader *r, char c)
{
	skip_blanks(r);
	if (r->bad || r->in.n == 0 || r->in.p[0] != c)
		return false;
	r->in = str_skip(r->in, 1);
	return true;
}

static bool at_end(struct reader *r)
{
	skip_blanks(r);
	return r->bad || r->in.n == 0;
}

/* token (RFC 2045 5.1), and UTF-8 (RFC 8601 2.2). */
static bool is_token(char c)
{
	return (unsigned char)c > 0x20 && c != 0x7f && !memchr("()<>@,;:\\\"/[]?=", c, 15);
}

static bool is_keyword(char c) { return ascii_alnum(c) || c == '-' || c == '_'; }

static struct str take_while(struct reader *r, bool (*is)(char))
{
	size_t n = 0;
	skip_blanks(r);
	while (!r->bad && n < r->in.n && is(r->in.p[n]))
		n++;
	struct str s = str_head(r->in, n);
	r->in = str_skip(r->in, n);
	r->bad = r->bad || n == 0;
	return s;
}

/* Raw, quotes included: what stands between them is unescaped later. */
static struct str take_quoted(struct reader *r)
{
	for (size_t i = 1; i < r->in.n; i++) {
		if (r->in.p[i] == '\\') {
			i++;
		} else if (r->in.p[i] == '"') {
			struct str s = str_head(r->in, i + 1);
			r->in = str_skip(r->in, i + 1);
			return s;
		}
	}
	r->bad = true;
	return STR("");
}

static struct str unquoted(struct str raw, struct arena *a)
{
	struct str s = arena_str(a, str_head(str_skip(raw, 1), raw.n - 2));
	char *p = (char *)s.p;
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (p[i] == '\\' && i + 1 < s.n)
			i++;
		if (p[i] != '\r' && p[i] != '\n')
			p[n++] = p[i];
	}
	return (struct str){ p, n };
}

/* value = token / quoted-string */
static struct str take_value(struct reader *r, struct arena *a)
{
	skip_blanks(r);
	if (r->bad || r->in.n == 0 || r->in.p[0] != '"')
		return take_while(r, is_token);
	struct str raw = take_quoted(r);
	return r->bad ? raw : unquoted(raw, a);
}

static bool is_pvalue(char c)
{
	return (unsigned char)c > 0x20 && c != 0x7f && c != ';' && c != '(' && c != ')' && c != '"' && c != ',' && c != '<' && c != '>' && c != '\\';
}

/* pvalue = value / ( [ [ local-part ] "@" ] domain-name ); addresses, "/" and ":" of other writers are taken without quotes too. */
static struct str take_pvalue(struct reader *r, struct arena *a)
{
	skip_blanks(r);
	if (r->bad || r->in.n == 0 || r->in.p[0] != '"')
		return take_while(r, is_pvalue);
	struct str from = r->in, raw = take_quoted(r);
	if (r->bad || r->in.n == 0 || r->in.p[0] != '@')
		return r->bad ? raw : unquoted(raw, a);
	(void)take_while(r, is_pvalue);
	return (struct str){ from.p, from.n - r->in.n };
}

/* authserv-id [ CFWS authres-version ], then ";" or the end. An ARC-Authentication-Results has "i=N;" before (RFC 8617 4.1.1). */
static struct str take_id(struct reader *r, struct arena *a)
{
	struct reader ahead = *r;
	struct str word = take_while(&ahead, is_token);
	if (!ahead.bad && str_ieq(word, STR("i")) && take(&ahead, '=')) {
		(void)take_while(&ahead, is_token);
		if (take(&ahead, ';') && !ahead.bad)
			*r = ahead;
	}
	struct str id = take_value(r, a);
	if (!at_end(r) && r->in.p[0] != ';') {
		struct str version = take_while(r, is_token);
		uint64_t n;
		r->bad = r->bad || !str_u64(version, 1000, &n) || (!at_end(r) && r->in.p[0] != ';');
	}
	return id;
}

struct claims { struct arena *a; struct auth_claim *out; size_t n, max; };

static void add_claim(struct claims *to, const struct auth_claim *c)
{
	if (to->n < to->max)
		to->out[to->n++] = *c;
}

/* ptype "." property, lower case. */
static struct str joined(struct str ptype, struct str property, struct arena *a)
{
	char *p = arena_new(a, ptype.n + property.n + 1);
	if (!p)
		return STR("");
	for (size_t i = 0; i < ptype.n; i++)
		p[i] = ascii_lower(ptype.p[i]);
	p[ptype.n] = '.';
	for (size_t i = 0; i < property.n; i++)
		p[ptype.n + 1 + i] = ascii_lower(property.p[i]);
	return (struct str){ p, ptype.n + 1 + property.n };
}

/* reasonspec, or a propspec. */
static void read_detail(struct reader *r, struct auth_claim *c, struct claims *to, size_t *properties)
{
	struct str word = take_while(r, is_keyword);
	if (r->bad)
		return;
	if (!take(r, '.')) {
		/* "reason=…"; other words with a value are not in the grammar, but real (Microsoft's "action=none"). */
		if (!take(r, '='))
			r->bad = true;
		else
			(void)take_pvalue(r, to->a);
		return;
	}
	struct str property = take_while(r, is_keyword);
	if (r->bad || !take(r, '=')) {
		r->bad = true;
		return;
	}
	c->ptype_property = joined(word, property, to->a);
	c->value = take_pvalue(r, to->a);
	if (!r->bad && c->ptype_property.n) {
		add_claim(to, c);
		++*properties;
	}
}

/* methodspec [ reasonspec ] *propspec, after its ";". A result that cannot be read wholly gives no claims. */
static void read_result(struct reader *r, struct claims *to)
{
	size_t before = to->n, properties = 0;
	struct auth_claim c = { .ptype_property = STR(""), .value = STR("") };
	c.method = take_while(r, is_keyword);
	if (!r->bad && str_ieq(c.method, STR("none")) && (at_end(r) || r->in.p[0] == ';'))
		return;
	if (take(r, '/'))
		(void)take_while(r, is_token);
	if (r->bad || !take(r, '=')) {
		r->bad = true;
		return;
	}
	c.result = take_while(r, is_keyword);
	while (!at_end(r) && r->in.p[0] != ';')
		read_detail(r, &c, to, &properties);
	if (r->bad)
		to->n = before;
	else if (properties == 0)
		add_claim(to, &c);
}

static void read_all(struct reader *r, struct claims *to)
{
	while (!at_end(r)) {
		if (!take(r, ';')) {
			r->bad = true;
			return;
		}
		if (!at_end(r))
			read_result(r, to);
	}
}

size_t auth_results_read(struct str value, struct arena *a, struct str *out_id, struct auth_claim *out, size_t max)
{
	struct reader r = { .in = value };
	struct claims to = { .a = a, .out = out, .max = max };
	*out_id = take_id(&r, a);
	if (r.bad) {
		*out_id = STR("");
		return 0;
	}
	read_all(&r, &to);
	return to.n;
}

/* Case, a last dot and U-labels do not make another id. */
static bool same_id(struct str a, struct str b, struct arena *mem)
{
	if (a.n && a.p[a.n - 1] == '.')
		a.n--;
	if (b.n && b.p[b.n - 1] == '.')
		b.n--;
	if (str_ieq(a, b))
		return true;
	char *labels = NULL;
	struct str z = arena_str(mem, a);
	if (a.n > ID_MAX || memchr(z.p, 0, z.n) || !idn_to_ascii(z.p, &labels))
		return false;
	bool same = str_ieq(str_z(labels), b);
	idn_alabels_free(labels);
	return same;
}

bool auth_results_is_ours(struct str field_value, struct str authserv)
{
	AUTO(arena_done) struct arena a = { .max = 4 << 20 };
	struct reader r = { .in = field_value };
	struct claims nobody = { .a = &a };
	struct str id = take_id(&r, &a);
	if (!r.bad && same_id(id, authserv, &a))
		return true;
	read_all(&r, &nobody);
	/* What we cannot read, somebody else may read as ours. */
	return (r.bad || a.full) && authserv.n && str_ifind_str(field_value, authserv) < field_value.n;
}
