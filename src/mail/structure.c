/* BODYSTRUCTURE from the tree, and BODY from BODYSTRUCTURE. Neither recurses. */
#include "mail/param.h"
#include "mail/wire.h"

struct writer {
	const struct mime_tree *t;
	struct buf *out;
	uint32_t *defects;
	struct arena scratch;
};

static void lower(struct writer *w, struct str s, struct str otherwise)
{
	size_t at = w->out->len + 1;
	wire_string(w->out, s.n ? s : otherwise, w->defects);
	for (size_t i = at; i < w->out->len; i++)
		w->out->p[i] = ascii_lower(w->out->p[i]);
}

static void nstring(struct writer *w, struct str s)
{
	if (s.n)
		wire_string(w->out, s, w->defects);
	else
		buf_add(w->out, STR("NIL"));
}

static enum rc params(struct writer *w, struct str rest)
{
	struct mail_param *p = NULL;
	bool sound;
	arena_done(&w->scratch);
	TRY(param_parse(rest, &w->scratch, &p, &sound));
	if (!sound)
		*w->defects |= MAIL_BAD_CONTENT_TYPE;
	if (!p) {
		buf_add(w->out, STR("NIL"));
		return RC_OK;
	}
	buf_byte(w->out, '(');
	for (struct mail_param *q = p; q; q = q->next) {
		if (q != p)
			buf_byte(w->out, ' ');
		size_t at = w->out->len;
		wire_string(w->out, q->name, w->defects);
		for (size_t i = at; i < w->out->len; i++)
			w->out->p[i] = ascii_lower(w->out->p[i]);
		if (q->extended && w->out->len > at && !w->out->failed) { /* "name*": the client decodes RFC 2231 */
			w->out->len--;
			buf_add(w->out, STR("*\""));
		}
		buf_byte(w->out, ' ');
		wire_string(w->out, q->value, w->defects);
	}
	buf_byte(w->out, ')');
	return RC_OK;
}

/* body-fld-dsp: "(" string SP body-fld-param ")" / nil */
static enum rc disposition(struct writer *w, const struct mime_part *p)
{
	struct str rest, token = param_token(p->disposition, &rest);
	if (token.n == 0) {
		buf_add(w->out, STR("NIL"));
		return RC_OK;
	}
	buf_byte(w->out, '(');
	lower(w, token, token);
	buf_byte(w->out, ' ');
	TRY(params(w, rest));
	buf_byte(w->out, ')');
	return RC_OK;
}

/* body-fld-lang: nstring / "(" string *(SP string) ")" */
static void language(struct writer *w, struct str value)
{
	struct str tag, rest = value;
	unsigned n = 0;
	size_t start = w->out->len;
	buf_byte(w->out, '(');
	while (rest.n && n < 64) {
		str_cut(rest, ',', &tag, &rest);
		tag = str_trim(tag);
		if (tag.n == 0)
			continue;
		if (n++)
			buf_byte(w->out, ' ');
		wire_string(w->out, tag, w->defects);
	}
	buf_byte(w->out, ')');
	if (n == 0 && !w->out->failed) {
		w->out->len = start;
		buf_add(w->out, STR("NIL"));
	}
}

static enum rc extension(struct writer *w, const struct mime_part *p)
{
	buf_byte(w->out, ' ');
	TRY(disposition(w, p));
	buf_byte(w->out, ' ');
	language(w, p->language);
	buf_byte(w->out, ' ');
	nstring(w, p->location);
	buf_byte(w->out, ')');
	return RC_OK;
}

static enum rc open_part(struct writer *w, const struct mime_part *p)
{
	struct buf *out = w->out;
	buf_byte(out, '(');
	if (p->kind == MAIL_MULTIPART)
		return RC_OK;
	lower(w, p->type, STR("text"));
	buf_byte(out, ' ');
	lower(w, p->subtype, STR("plain"));
	buf_byte(out, ' ');
	if (p->type.n == 0) /* RFC 2045 5.2 */
		buf_add(out, STR("(\"charset\" \"us-ascii\")"));
	else
		TRY(params(w, p->params));
	buf_byte(out, ' ');
	nstring(w, p->id);
	buf_byte(out, ' ');
	nstring(w, p->description);
	buf_byte(out, ' ');
	lower(w, p->encoding_name, STR("7bit"));
	buf_byte(out, ' ');
	buf_num(out, p->body_len);
	if (p->kind == MAIL_MESSAGE) {
		buf_byte(out, ' ');
		TRY(wire_envelope(&w->t->head[w->t->part[p->first_child].head], out, w->defects));
		buf_byte(out, ' ');
		return RC_OK;
	}
	if (p->type.n == 0 || str_ieq(p->type, STR("text"))) {
		buf_byte(out, ' ');
		buf_num(out, p->lines);
	}
	buf_byte(out, ' ');
	nstring(w, p->md5);
	return extension(w, p);
}

static enum rc close_part(struct writer *w, const struct mime_part *p)
{
	buf_byte(w->out, ' ');
	if (p->kind == MAIL_MESSAGE) {
		buf_num(w->out, p->lines);
		buf_byte(w->out, ' ');
		nstring(w, p->md5);
	} else {
		lower(w, p->subtype, STR("mixed"));
		buf_byte(w->out, ' ');
		TRY(params(w, p->params));
	}
	return extension(w, p);
}

static enum rc walk(struct writer *w)
{
	uint32_t i = 0;
	for (;;) {
		const struct mime_part *p = &w->t->part[i];
		TRY(open_part(w, p));
		if (p->kind != MAIL_LEAF) {
			i = p->first_child;
			continue;
		}
		while (p->next == MIME_NONE && p->parent != MIME_NONE) {
			p = &w->t->part[p->parent];
			TRY(close_part(w, p));
		}
		if (p->next == MIME_NONE)
			return RC_OK;
		i = p->next;
	}
}

enum rc wire_structure(const struct mime_tree *t, struct buf *out, uint32_t *defects)
{
	struct writer w = { .t = t, .out = out, .defects = defects };
	size_t start = out->len;
	arena_init(&w.scratch, 16 << 20);
	enum rc rc = walk(&w);
	arena_done(&w.scratch);
	if (!out->failed)
		return rc;
	if (out->max - out->len > 8 * (size_t)WIRE_STRING_MAX) /* no string is as long: it was memory, not the ceiling */
		return RC_NOMEM;
	/* Too long to be told in full: the message as one opaque part. */
	out->failed = false;
	out->len = start;
	*defects |= MAIL_TOO_MANY_PARTS;
	buf_add(out, STR("(\"application\" \"octet-stream\" NIL NIL NIL \"binary\" "));
	buf_num(out, t->part[0].body_len);
	buf_add(out, STR(" NIL NIL NIL NIL)"));
	return out->failed ? RC_NOMEM : RC_OK;
}

/* ---- BODY ---- */
static bool skip_token(struct str s, size_t *pos)
{
	size_t i = *pos, depth = 0;
	do {
		if (i >= s.n)
			return false;
		char c = s.p[i];
		if (c == '(') {
			depth++, i++;
		} else if (c == ')') {
			if (depth == 0)
				return false;
			depth--, i++;
		} else if (c == ' ') {
			if (depth == 0)
				return false;
			i++;
		} else if (c == '"') {
			for (i++; i < s.n && s.p[i] != '"'; i++)
				i += s.p[i] == '\\';
			i++;
		} else {
			while (i < s.n && s.p[i] != ' ' && s.p[i] != '(' && s.p[i] != ')' && s.p[i] != '"')
				i++;
		}
	} while (depth);
	if (i > s.n)
		return false;
	*pos = i;
	return true;
}

/* Copies `n` tokens, the white space before each included. */
static bool copy_tokens(struct str s, size_t *pos, unsigned n, struct buf *out)
{
	size_t from = *pos;
	while (n--) {
		if (*pos < s.n && s.p[*pos] == ' ')
			++*pos;
		if (!skip_token(s, pos))
			return false;
	}
	buf_add(out, (struct str){ s.p + from, *pos - from });
	return true;
}

/* Leaves out what stands before the ")" of this level. */
static bool finish(struct str s, size_t *pos, struct buf *out)
{
	while (*pos < s.n && s.p[*pos] == ' ') {
		++*pos;
		if (!skip_token(s, pos))
			return false;
	}
	if (*pos >= s.n || s.p[*pos] != ')')
		return false;
	++*pos;
	buf_byte(out, ')');
	return true;
}

enum rc mail_body_of_structure(struct str structure, struct buf *out)
{
	enum { DEEP = 512 };
	bool is_message[DEEP];
	size_t open = 0, i = 0;
	for (;;) {
		if (i >= structure.n || structure.p[i] != '(')
			return RC_SYNTAX;
		if (open == DEEP)
			return RC_LIMIT;
		buf_byte(out, '(');
		i++;
		if (i < structure.n && structure.p[i] == '(') {
			is_message[open++] = false;
			continue;
		}
		struct str rest = str_skip(structure, i);
		bool text = str_istarts(rest, STR("\"text\" ")), message = str_istarts(rest, STR("\"message\" \"rfc822\" "));
		if (!copy_tokens(structure, &i, message ? 8 : text ? 8 : 7, out))
			return RC_SYNTAX;
		if (message) {
			is_message[open++] = true;
			if (i >= structure.n || structure.p[i++] != ' ')
				return RC_SYNTAX;
			buf_byte(out, ' ');
			continue;
		}
		if (!finish(structure, &i, out))
			return RC_SYNTAX;
		while (open && (is_message[open - 1] || i >= structure.n || structure.p[i] != '(')) {
			open--;
			if (!copy_tokens(structure, &i, 1, out) || !finish(structure, &i, out))
				return RC_SYNTAX;
		}
		if (open == 0)
			return i == structure.n && !out->failed ? RC_OK : out->failed ? RC_NOMEM : RC_SYNTAX;
	}
}
