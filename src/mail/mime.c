/* The MIME splitter (RFC 2045, 2046 5.1). One pass over the lines; open multiparts stand on an explicit stack.
 * 1. Every part ends once: where a delimiter of a multipart around it stands, or where the message ends.
 * 2. The line end before a delimiter belongs to the delimiter (RFC 2046 5.1.1).
 * 3. What a limit cuts off is body of the last part that fitted. */
#include "mail/mime.h"

#include "base/mem.h"
#include "base/octets.h"
#include "mail/charset.h"
#include "mail/header.h"
#include "mail/param.h"

enum { JOINED_MAX = 1 << 20 }; /* octets, over all joins of a message */

struct open_multipart {
	uint32_t part;
	struct str boundary;
};
struct splitter {
	struct mime_tree *t;
	struct str in;
	const struct mail_limits *lim;
	size_t pos;
	uint32_t lf;            /* line feeds before pos */
	struct open_multipart *stack;
	uint32_t open;
	uint32_t cur;           /* the innermost part that has not ended */
	struct arena scratch;   /* parameters of one Content-Type */
	bool full;              /* no part may be added any more */
};

bool mime_is(const struct mime_part *p, struct str type, struct str subtype)
{
	return str_ieq(p->type, type) && (subtype.n == 0 || str_ieq(p->subtype, subtype));
}

void mime_done(struct mime_tree *t)
{
	mem_free(t->part);
	mem_free(t->head);
	arena_done(&t->joined);
	*t = (struct mime_tree){ .message = STR("") };
}

static uint32_t count_lf(struct str s) { return (uint32_t)octets_count(s, '\n'); }

/* Damage that shows in the octets alone. */
static uint32_t survey(struct str in)
{
	enum { LINE_MAX_OCTETS = 998 }; /* RFC 5322 2.1.1, without the CRLF */
	unsigned odd = octets_survey(in);
	return (odd & OCTETS_BARE_LF ? MAIL_BARE_LF : 0u) | (odd & OCTETS_BARE_CR ? MAIL_BARE_CR : 0u) |
	       (odd & OCTETS_NUL ? MAIL_NUL : 0u) | (octets_long_line(in, LINE_MAX_OCTETS) ? MAIL_LONG_LINE : 0u);
}

/* ---- growing ---- */
static enum rc grow(void **p, uint32_t *cap, uint32_t n, size_t each)
{
	if (n < *cap)
		return RC_OK;
	uint32_t want = *cap ? *cap * 2 : 8;
	void *q = mem_grow(*p, *cap * each, want * each);
	if (!q)
		return RC_NOMEM;
	*p = q;
	*cap = want;
	return RC_OK;
}

static struct mime_part blank(void)
{
	struct str none = STR("");
	return (struct mime_part){ .parent = MIME_NONE, .next = MIME_NONE, .first_child = MIME_NONE, .last_child = MIME_NONE, .head = MIME_NONE,
		.type = none, .subtype = none, .params = none, .disposition = none, .id = none, .description = none, .md5 = none,
		.language = none, .location = none, .encoding_name = none };
}

static enum rc add_part(struct splitter *s, uint32_t parent, bool message_root, uint32_t *out)
{
	struct mime_tree *t = s->t;
	TRY(grow((void **)&t->part, &t->cap, t->n, sizeof *t->part));
	struct mime_part p = blank();
	p.parent = parent;
	p.header_off = p.body_off = s->pos;
	if (message_root) {
		TRY(grow((void **)&t->head, &t->heads_cap, t->heads, sizeof *t->head));
		struct mime_head *h = &t->head[t->heads];
		*h = (struct mime_head){ 0 };
		for (int i = 0; i < MIME_FIELDS; i++)
			h->value[i] = STR("");
		p.head = t->heads++;
	}
	if (parent != MIME_NONE) {
		struct mime_part *up = &t->part[parent];
		p.depth = up->depth + 1;
		if (up->last_child == MIME_NONE)
			up->first_child = t->n;
		else
			t->part[up->last_child].next = t->n;
		up->last_child = t->n;
	}
	t->part[t->n] = p;
	*out = t->n++;
	return RC_OK;
}

/* ---- delimiters ---- */
/* Is the line at `pos` a delimiter of an open multipart? RFC 2046 5.1.1: "Boundary string comparisons must compare the boundary value with
 * the beginning of each candidate line. An exact match of the entire candidate line is not required." The longest one wins, then the
 * innermost. */
static bool delimiter(const struct splitter *s, size_t pos, uint32_t *out_level, bool *out_close)
{
	size_t best = 0;
	if (s->open == 0 || pos + 2 > s->in.n || s->in.p[pos] != '-' || s->in.p[pos + 1] != '-')
		return false;
	struct str line = str_skip(s->in, pos + 2); /* boundaries hold no line end, so this needs no end of its own */
	for (uint32_t k = s->open; k-- > 0;) {
		struct str b = s->stack[k].boundary;
		if (b.n <= best || !str_starts(line, b))
			continue;
		best = b.n;
		*out_level = k;
		*out_close = str_starts(str_skip(line, b.n), STR("--"));
	}
	return best > 0;
}

/* ---- headers ---- */
static const struct { struct str name; enum mime_field field; } envelope_fields[] = {
	{ STR_INIT("Date"), MIME_DATE }, { STR_INIT("Subject"), MIME_SUBJECT }, { STR_INIT("From"), MIME_FROM }, { STR_INIT("Sender"), MIME_SENDER },
	{ STR_INIT("Reply-To"), MIME_REPLY_TO }, { STR_INIT("To"), MIME_TO }, { STR_INIT("Cc"), MIME_CC }, { STR_INIT("Bcc"), MIME_BCC },
	{ STR_INIT("In-Reply-To"), MIME_IN_REPLY_TO }, { STR_INIT("Message-ID"), MIME_MESSAGE_ID }, { STR_INIT("References"), MIME_REFERENCES },
};

/* RFC 5322 3.6 allows one To, Cc and Bcc; where there are more, each of them names recipients, and none is kept from whoever reads or searches.
 * Of all other fields the first counts. */
static void one_more(struct mime_tree *t, struct str *value, enum mime_field k, struct str more)
{
	t->defects |= MAIL_DUPLICATE_FIELD;
	if (k != MIME_TO && k != MIME_CC && k != MIME_BCC)
		return;
	size_t n = value->n + 1 + more.n;
	if (n > JOINED_MAX || t->joined.used + n > JOINED_MAX) {
		t->defects |= MAIL_HEADER_TOO_LARGE;
		return;
	}
	char *both = arena_new(&t->joined, n);
	if (!both)
		return; /* mime_parse() sees that the arena is full */
	memcpy(both, value->p, value->n);
	both[value->n] = ',';
	memcpy(both + value->n + 1, more.p, more.n);
	*value = str_of(both, n);
}

static void envelope_field(struct mime_tree *t, struct mime_head *h, const struct header_field *f)
{
	for (size_t i = 0; i < sizeof envelope_fields / sizeof envelope_fields[0]; i++) {
		if (!str_ieq(f->name, envelope_fields[i].name))
			continue;
		enum mime_field k = envelope_fields[i].field;
		if (h->present & 1u << k) {
			one_more(t, &h->value[k], k, f->value);
		} else {
			h->present |= 1u << k;
			h->value[k] = f->value;
		}
	}
}

static void content_field(struct splitter *s, struct mime_part *p, const struct header_field *f)
{
	struct str name = str_skip(f->name, 8), rest, *to = NULL;
	struct mime_tree *t = s->t;
	if (str_ieq(name, STR("Type"))) {
		if (p->type.n == 0 && !param_type(f->value, &p->type, &p->subtype, &p->params))
			t->defects |= MAIL_BAD_CONTENT_TYPE;
	} else if (str_ieq(name, STR("Transfer-Encoding"))) {
		p->encoding_name = param_token(f->value, &rest);
		p->encoding = transfer_of(p->encoding_name);
		if (p->encoding == TRANSFER_UNKNOWN)
			t->defects |= MAIL_BAD_ENCODING;
	} else if (str_ieq(name, STR("Disposition"))) {
		to = &p->disposition;
	} else if (str_ieq(name, STR("ID"))) {
		to = &p->id;
	} else if (str_ieq(name, STR("Description"))) {
		to = &p->description;
	} else if (str_ieq(name, STR("MD5"))) {
		to = &p->md5;
	} else if (str_ieq(name, STR("Language"))) {
		to = &p->language;
	} else if (str_ieq(name, STR("Location"))) {
		to = &p->location;
	}
	if (to && to->n == 0)
		*to = str_trim(f->value);
}

static void read_header(struct splitter *s, uint32_t index)
{
	struct mime_part *p = &s->t->part[index];
	struct str window = str_head(str_skip(s->in, s->pos), s->lim->header_bytes);
	bool cut = window.n < s->in.n - s->pos, broken = false, close;
	size_t at = 0;
	uint32_t level, fields = 0;
	for (;;) {
		struct header_field f;
		size_t before = at;
		if (at < window.n && window.p[at] == '-' && delimiter(s, s->pos + at, &level, &close)) {
			s->t->defects |= MAIL_NO_HEADER_END;
			break;
		}
		if (header_next(window, &at, &f, &broken) != RC_OK) {
			if (broken)
				s->t->defects |= MAIL_BAD_FIELD_NAME;
			if (at >= window.n && cut)
				s->t->defects |= MAIL_HEADER_TOO_LARGE;
			else if (at == before) /* no empty line was there */
				s->t->defects |= MAIL_NO_HEADER_END;
			break;
		}
		if (++fields > s->lim->header_fields || (at >= window.n && cut)) {
			s->t->defects |= MAIL_HEADER_TOO_LARGE;
			at = before;
			break;
		}
		if (f.name.n > 8 && str_istarts(f.name, STR("Content-")))
			content_field(s, p, &f);
		else if (p->head != MIME_NONE)
			envelope_field(s->t, &s->t->head[p->head], &f);
	}
	p->header_len = at;
	if (ascii_prefix(str_head(window, at)) < at)
		s->t->defects |= MAIL_8BIT_HEADER;
	s->lf += count_lf(str_head(window, at));
	s->pos += at;
	p->body_off = s->pos;
	p->lines = s->lf; /* line feeds before the body, until it ends */
}

/* ---- what kind of part is it? ---- */
static enum rc boundary_of(struct splitter *s, const struct mime_part *p, struct str *out)
{
	struct mail_param *first;
	bool sound;
	arena_done(&s->scratch);
	TRY(param_parse(p->params, &s->scratch, &first, &sound));
	*out = STR("");
	for (; first; first = first->next)
		if (str_ieq(first->name, STR("boundary"))) {
			*out = first->value;
			break;
		}
	while (out->n && (out->p[out->n - 1] == ' ' || out->p[out->n - 1] == '\t')) /* bchars may not end in a space */
		out->n--;
	if (out->n && !(out->p >= s->in.p && out->p < s->in.p + s->in.n)) {
		char *copy = mem_new(out->n); /* it had escapes; lives until the multipart is popped */
		if (!copy)
			return RC_NOMEM;
		memcpy(copy, out->p, out->n);
		out->p = copy;
	}
	return RC_OK;
}

static void pop_to(struct splitter *s, uint32_t level)
{
	while (s->open > level) {
		struct str b = s->stack[--s->open].boundary;
		if (!(b.p >= s->in.p && b.p < s->in.p + s->in.n))
			mem_free((char *)(uintptr_t)b.p);
	}
}

static void as_leaf(struct mime_part *p, bool text)
{
	p->type = text ? STR("text") : STR("application");
	p->subtype = text ? STR("plain") : STR("octet-stream");
	p->params = STR("");
}

static enum rc classify(struct splitter *s, struct mime_part *p)
{
	struct str boundary;
	struct mime_tree *t = s->t;
	bool deep = p->depth >= s->lim->depth, may_nest = p->encoding <= TRANSFER_BINARY || p->encoding == TRANSFER_UNKNOWN;
	if (p->type.n == 0 && p->parent != MIME_NONE && t->part[p->parent].kind == MAIL_MULTIPART && str_ieq(t->part[p->parent].subtype, STR("digest")) &&
	    !deep && !s->full) {
		p->type = STR("message"); /* RFC 2046 5.1.5 */
		p->subtype = STR("rfc822");
	}
	if (str_ieq(p->type, STR("multipart"))) {
		if (!may_nest) /* RFC 2045 6.4: no encoding but 7bit, 8bit, binary; a real one is not believed */
			t->defects |= MAIL_BAD_ENCODING;
		TRY(boundary_of(s, p, &boundary));
		if (boundary.n == 0) {
			t->defects |= MAIL_NO_BOUNDARY;
			as_leaf(p, true);
		} else if (deep) {
			t->defects |= MAIL_TOO_DEEP;
			if (!(boundary.p >= s->in.p && boundary.p < s->in.p + s->in.n))
				mem_free((char *)(uintptr_t)boundary.p);
			as_leaf(p, false);
		} else {
			p->kind = MAIL_MULTIPART;
			s->stack[s->open++] = (struct open_multipart){ (uint32_t)(p - t->part), boundary };
		}
	} else if (mime_is(p, STR("message"), STR("rfc822"))) {
		p->kind = MAIL_MESSAGE;
		if (!may_nest)
			t->defects |= MAIL_BAD_ENCODING;
		if (deep || s->full)
			t->defects |= deep ? MAIL_TOO_DEEP : MAIL_TOO_MANY_PARTS;
		if (!may_nest || deep || s->full) {
			p->kind = MAIL_LEAF;
			as_leaf(p, false);
		}
	}
	return RC_OK;
}

/* ---- ends ---- */
/* `end` is before the delimiter's own line end. A part that the delimiter cut off inside its header ends there too, so that no part
 * reaches out of the one around it; the outermost of those that end keeps its header whole (`clamp` false). */
static void end_part(struct splitter *s, uint32_t index, size_t end, size_t line_start, bool clamp)
{
	struct mime_part *p = &s->t->part[index];
	if (p->ended)
		return;
	p->ended = true;
	uint32_t lf = s->lf;
	if (end < line_start && line_start > p->body_off)
		lf--;
	if (end < p->body_off && clamp) {
		if (p->header_off > end)
			p->header_off = end;
		p->header_len = end - p->header_off;
		p->body_off = end;
	}
	p->body_len = end > p->body_off ? end - p->body_off : 0;
	p->lines = lf > p->lines ? lf - p->lines : 0;
}

/* Ends all open parts inside `keep` (MIME_NONE: all). */
static void end_inside(struct splitter *s, uint32_t keep, size_t line_start, bool at_delimiter)
{
	size_t end = line_start;
	uint32_t top = s->cur;
	if (s->cur == keep)
		return;
	while (s->t->part[top].parent != keep)
		top = s->t->part[top].parent;
	if (at_delimiter && end > 0 && s->in.p[end - 1] == '\n') {
		end--;
		if (end > 0 && s->in.p[end - 1] == '\r')
			end--;
	}
	if (end < s->t->part[top].body_off)
		end = s->t->part[top].body_off;
	for (; s->cur != keep; s->cur = s->t->part[s->cur].parent)
		end_part(s, s->cur, end, line_start, s->cur != top);
}

/* Runs to the next delimiter line or the end. False at the end. *out_line is where that line starts. */
static bool to_delimiter(struct splitter *s, uint32_t *out_level, bool *out_close, size_t *out_line)
{
	while (s->open && !s->full && s->pos < s->in.n) {
		size_t at = s->pos;
		if (s->in.p[at] == '-' && delimiter(s, at, out_level, out_close)) {
			*out_line = at;
			return true;
		}
		struct str rest = str_skip(s->in, at);
		struct str lines = str_head(rest, octets_find_pair(rest, '\n', '-') + 1); /* none behind the first can be one */
		s->pos += lines.n;
		s->lf += count_lf(lines);
	}
	s->lf += count_lf(str_skip(s->in, s->pos));
	s->pos = s->in.n;
	return false;
}

static void skip_line(struct splitter *s)
{
	const char *lf = memchr(s->in.p + s->pos, '\n', s->in.n - s->pos);
	s->pos = lf ? (size_t)(lf - s->in.p) + 1 : s->in.n;
	s->lf += lf != NULL;
}

static enum rc begin(struct splitter *s, uint32_t parent, bool message_root)
{
	uint32_t index;
	for (;;) {
		TRY(add_part(s, parent, message_root, &index));
		s->cur = index;
		s->full = s->t->n >= s->lim->parts;
		read_header(s, index);
		TRY(classify(s, &s->t->part[index]));
		if (s->t->part[index].kind != MAIL_MESSAGE)
			return RC_OK;
		parent = index;
		message_root = true;
	}
}

static enum rc split(struct splitter *s)
{
	uint32_t level;
	bool close;
	size_t line;
	TRY(begin(s, MIME_NONE, true));
	while (to_delimiter(s, &level, &close, &line)) {
		uint32_t multi = s->stack[level].part;
		if (level + 1 < s->open)
			s->t->defects |= MAIL_UNCLOSED_MULTIPART;
		end_inside(s, multi, line, true);
		pop_to(s, close ? level : level + 1);
		skip_line(s);
		if (!close)
			TRY(begin(s, multi, false));
	}
	if (s->full && s->open)
		s->t->defects |= MAIL_TOO_MANY_PARTS;
	else if (s->open)
		s->t->defects |= MAIL_UNCLOSED_MULTIPART;
	end_inside(s, MIME_NONE, s->in.n, false);
	return RC_OK;
}

/* RFC 3501's body-type-mpart has at least one body: a multipart without a delimiter gets an empty text part at its end. Preorder must
 * hold, so the parts are copied once when there are any such. */
static enum rc fill_empty(struct mime_tree *t)
{
	uint32_t missing = 0, at = 0;
	for (uint32_t i = 0; i < t->n; i++)
		missing += t->part[i].kind == MAIL_MULTIPART && t->part[i].first_child == MIME_NONE;
	if (missing == 0)
		return RC_OK;
	uint32_t n = t->n + missing;
	struct mime_part *made = mem_new(n * sizeof *made);
	uint32_t *moved = mem_new(t->n * sizeof *moved);
	for (uint32_t i = 0; made && moved && i < t->n; i++) {
		moved[i] = at;
		made[at++] = t->part[i];
		if (t->part[i].kind == MAIL_MULTIPART && t->part[i].first_child == MIME_NONE) {
			struct mime_part *up = &made[at - 1];
			made[at] = blank();
			made[at].parent = i;
			made[at].header_off = made[at].body_off = up->body_off + up->body_len;
			made[at].depth = up->depth + 1;
			made[at].ended = up->bodiless = true;
			at++;
		}
	}
	for (uint32_t i = 0; made && moved && i < n; i++) {
		struct mime_part *p = &made[i];
		uint32_t *link[] = { &p->parent, &p->next, &p->first_child, &p->last_child };
		for (int k = 0; k < 4; k++)
			if (*link[k] != MIME_NONE)
				*link[k] = moved[*link[k]];
		if (p->bodiless)
			p->first_child = p->last_child = i + 1;
	}
	mem_free(moved);
	if (!made || !moved) {
		mem_free(made);
		return RC_NOMEM;
	}
	mem_free(t->part);
	t->part = made;
	t->n = t->cap = n;
	return RC_OK;
}

enum rc mime_parse(struct str message, const struct mail_limits *limits, struct mime_tree *out, struct why *why)
{
	*out = (struct mime_tree){ .message = message };
	arena_init(&out->joined, JOINED_MAX + 65536);
	if (message.n >= UINT32_MAX)
		FAIL(why, RC_LIMIT, "message of 4 GiB or more");
	struct splitter s = { .t = out, .in = message, .lim = limits, .cur = MIME_NONE };
	arena_init(&s.scratch, 4 * limits->header_bytes + 65536);
	s.stack = mem_new((limits->depth + 1) * sizeof *s.stack);
	enum rc rc = s.stack ? RC_OK : RC_NOMEM;
	out->defects = survey(message);
	if (rc == RC_OK)
		rc = split(&s);
	pop_to(&s, 0);
	mem_free(s.stack);
	arena_done(&s.scratch);
	if (rc == RC_OK)
		rc = fill_empty(out);
	if (rc != RC_OK || out->joined.full)
		FAIL(why, RC_NOMEM, "out of memory for the parts of a message");
	const struct mime_head *h = out->head;
	if (!(h->present & 1u << MIME_FROM) || !(h->present & 1u << MIME_DATE))
		out->defects |= MAIL_MISSING_FIELD;
	return RC_OK;
}
