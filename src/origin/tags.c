#include "origin/origin.h"

#include "base/codec.h"

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* tag-name = ALPHA *ALNUMPUNC, where ALNUMPUNC takes the underscore too (RFC 6376 3.2). */
static bool name_ok(struct str s)
{
	if (s.n == 0 || !ascii_alpha(s.p[0]))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!ascii_alnum(s.p[i]) && s.p[i] != '_')
			return false;
	return true;
}

/* tag-value = VALCHAR with folding white space between; VALCHAR = %x21-3A / %x3C-7E. Octets past ASCII are let through: RFC 8616 allows UTF-8 there. */
static bool value_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == 0x7f || (c < 0x20 && !is_space((char)c)))
			return false;
	}
	return true;
}

static enum rc tag_add(struct str spec, struct tags *out, struct why *why)
{
	struct tag t;
	if (!str_cut(spec, '=', &t.name, &t.value))
		FAIL(why, RC_SYNTAX, "\"%.*s\" has no \"=\"", PSTR(str_head(spec, 40)));
	t.name = str_trim(t.name);
	t.value = str_trim(t.value);
	if (!name_ok(t.name))
		FAIL(why, RC_SYNTAX, "\"%.*s\" is no tag name", PSTR(str_head(t.name, 40)));
	if (!value_ok(t.value))
		FAIL(why, RC_SYNTAX, "the value of %.*s= has control characters", PSTR(str_head(t.name, 40)));
	for (size_t i = 0; i < out->n; i++)
		if (str_eq(out->tag[i].name, t.name))
			FAIL(why, RC_SYNTAX, "%.*s= stands there twice", PSTR(str_head(t.name, 40)));
	if (out->n == TAGS_MAX)
		FAIL(why, RC_LIMIT, "more than %d tags", TAGS_MAX);
	out->tag[out->n++] = t;
	return RC_OK;
}

enum rc tags_parse(struct str in, struct tags *out, struct why *why)
{
	out->n = 0;
	struct str rest = in;
	while (str_trim(rest).n) {
		struct str spec, tail;
		bool more = str_cut(rest, ';', &spec, &tail);
		if (str_trim(spec).n == 0)
			FAIL(why, RC_SYNTAX, "an empty tag");
		TRY(tag_add(spec, out, why));
		if (!more)
			break;
		rest = tail;
	}
	return RC_OK;
}

const struct str *tags_get(const struct tags *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (str_eq(t->tag[i].name, str_z(name)))
			return &t->tag[i].value;
	return NULL;
}

enum rc tags_base64(struct str in, struct buf *out)
{
	size_t digits = 0;
	for (size_t i = 0; i < in.n; i++)
		digits += !is_space(in.p[i]);
	return digits % 4 ? RC_SYNTAX : base64_decode(in, true, out); /* lenient is: white space, and bits that no digit needs */
}
