/* What `letterlock probe mime` says about a message, for machines (one JSON object on one line) and for people. */
#include "base/codec.h"
#include "mail/encoded_word.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "mail/param.h"

enum { DESCRIPTION_MAX = 256 << 20 };

static void key(struct buf *out, const char *name)
{
	char last = out->len ? out->p[out->len - 1] : '{';
	if (last != '{' && last != '[' && last != ':')
		buf_byte(out, ',');
	if (*name)
		buf_addf(out, "\"%s\":", name);
}

static void string(struct buf *out, const char *name, struct str s)
{
	key(out, name);
	buf_byte(out, '"');
	json_escape(out, s);
	buf_byte(out, '"');
}

static void number(struct buf *out, const char *name, uint64_t v)
{
	key(out, name);
	buf_num(out, v);
}

static void headers(struct str header, size_t base, struct buf *out)
{
	struct header_field f;
	struct buf text;
	size_t pos = 0;
	buf_init(&text, 4 * header.n + 64);
	key(out, "headers");
	buf_byte(out, '[');
	while (header_next(header, &pos, &f, NULL) == RC_OK) {
		buf_clear(&text);
		encoded_words_decode(str_trim(f.value), &text);
		key(out, "");
		buf_byte(out, '{');
		string(out, "name", f.name);
		number(out, "offset", base + (size_t)(f.raw.p - header.p));
		number(out, "length", f.raw.n);
		string(out, "value", buf_str(&text));
		buf_byte(out, '}');
	}
	buf_byte(out, ']');
	out->failed |= text.failed;
	buf_done(&text);
}

static enum rc parameters(const struct mime_part *p, struct buf *out)
{
	struct arena a;
	struct mail_param *q = NULL;
	struct buf text;
	bool sound;
	arena_init(&a, 16 << 20);
	buf_init(&text, 16 << 20);
	enum rc rc = param_parse(p->params, &a, &q, &sound);
	key(out, "params");
	buf_byte(out, '{');
	for (; rc == RC_OK && q; q = q->next) {
		buf_clear(&text);
		param_text(q, &text);
		key(out, "");
		buf_byte(out, '"');
		json_escape(out, q->name);
		buf_add(out, STR("\":\""));
		json_escape(out, buf_str(&text));
		buf_byte(out, '"');
	}
	buf_byte(out, '}');
	buf_done(&text);
	arena_done(&a);
	return rc;
}

static void type_name(const struct mime_part *p, struct buf *out)
{
	struct str type = p->type.n ? p->type : STR("text"), subtype = p->type.n ? p->subtype : STR("plain");
	for (size_t i = 0; i < type.n; i++)
		buf_byte(out, ascii_lower(type.p[i]));
	buf_byte(out, '/');
	for (size_t i = 0; i < subtype.n; i++)
		buf_byte(out, ascii_lower(subtype.p[i]));
}

static enum rc open_part(const struct mime_tree *t, const struct mime_part *p, struct buf *out)
{
	struct buf type;
	struct str token, rest;
	buf_init(&type, 4 << 20);
	type_name(p, &type);
	key(out, "");
	buf_byte(out, '{');
	string(out, "type", buf_str(&type));
	buf_done(&type);
	TRY(parameters(p, out));
	string(out, "encoding", p->encoding_name.n ? p->encoding_name : STR("7bit"));
	token = param_token(p->disposition, &rest);
	if (token.n)
		string(out, "disposition", token);
	number(out, "header_offset", p->header_off);
	number(out, "header_length", p->header_len);
	number(out, "body_offset", p->body_off);
	number(out, "body_length", p->body_len);
	number(out, "lines", p->lines);
	headers(mime_header(t, p), p->header_off, out);
	key(out, "children");
	buf_byte(out, '[');
	return RC_OK;
}

static enum rc tree(const struct mime_tree *t, struct buf *out)
{
	uint32_t i = 0;
	for (;;) {
		const struct mime_part *p = &t->part[i];
		TRY(open_part(t, p, out));
		if (p->first_child != MIME_NONE) {
			i = p->first_child;
			continue;
		}
		buf_add(out, STR("]}"));
		while (p->next == MIME_NONE && p->parent != MIME_NONE) {
			p = &t->part[p->parent];
			buf_add(out, STR("]}"));
		}
		if (p->next == MIME_NONE)
			return RC_OK;
		i = p->next;
	}
}

static enum rc attachments(struct str packed, struct buf *out)
{
	struct mail_attachment a;
	enum rc rc;
	key(out, "attachments");
	buf_byte(out, '[');
	while ((rc = mail_attachment_next(&packed, &a)) == RC_OK) {
		key(out, "");
		buf_byte(out, '{');
		string(out, "name", a.name);
		string(out, "declared_type", a.declared);
		string(out, "true_type", a.true_type);
		number(out, "size", a.size);
		buf_byte(out, '}');
	}
	buf_byte(out, ']');
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static void defects(uint32_t set, struct buf *out)
{
	key(out, "defects");
	buf_byte(out, '[');
	for (unsigned i = 0; i < MAIL_DEFECTS; i++)
		if (set & 1u << i)
			string(out, "", str_z(mail_defect_name(i)));
	buf_byte(out, ']');
}

static enum rc as_json(struct str name, const struct mime_tree *t, const struct mail_digest *d, struct str body, struct buf *out)
{
	buf_byte(out, '{');
	string(out, "file", name);
	number(out, "size", t->message.n);
	headers(mime_header(t, &t->part[0]), t->part[0].header_off, out);
	key(out, "tree");
	TRY(tree(t, out));
	string(out, "envelope", buf_str(&d->envelope));
	string(out, "bodystructure", buf_str(&d->structure));
	string(out, "body", body);
	string(out, "preview", buf_str(&d->preview));
	key(out, "date_ms");
	if (d->date_ms == INT64_MIN)
		buf_add(out, STR("null"));
	else
		buf_addf(out, "%lld", (long long)d->date_ms);
	number(out, "parts", d->part_count);
	TRY(attachments(buf_str(&d->attachments), out));
	defects(d->defects, out);
	buf_add(out, STR("}\n"));
	return RC_OK;
}

/* ---- for people ---- */
/* Text of strangers on a terminal: no control characters. */
static void shown(struct str s, struct buf *out)
{
	while (s.n) {
		uint32_t c = 0;
		size_t k = utf8_next(s, &c);
		if (k == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
			buf_byte(out, '?');
		else
			buf_add(out, str_head(s, k));
		s = str_skip(s, k ? k : 1);
	}
}

static void tree_text(const struct mime_tree *t, struct buf *out)
{
	struct buf type;
	buf_init(&type, 4 << 20);
	buf_add(out, STR("Parts\n"));
	for (uint32_t i = 0; i < t->n; i++) {
		const struct mime_part *p = &t->part[i];
		buf_clear(&type);
		type_name(p, &type);
		for (uint32_t k = 0; k <= p->depth; k++)
			buf_add(out, STR("  "));
		shown(buf_str(&type), out);
		buf_addf(out, "  header %llu+%llu  body %llu+%llu  lines %u\n", (unsigned long long)p->header_off, (unsigned long long)p->header_len,
		         (unsigned long long)p->body_off, (unsigned long long)p->body_len, p->lines);
	}
	out->failed |= type.failed;
	buf_done(&type);
}

static void line(struct buf *out, struct str what, struct str value)
{
	buf_add(out, what);
	buf_byte(out, '\n');
	buf_add(out, STR("  "));
	shown(value, out);
	buf_byte(out, '\n');
}

static enum rc as_text(struct str name, const struct mime_tree *t, const struct mail_digest *d, struct str body, struct buf *out)
{
	struct header_field f;
	struct mail_attachment a;
	struct buf text;
	struct str header = mime_header(t, &t->part[0]), packed = buf_str(&d->attachments);
	size_t pos = 0;
	buf_init(&text, 4 * header.n + 64);
	line(out, STR("File"), name);
	buf_add(out, STR("Headers (offset, length, name, value)\n"));
	while (header_next(header, &pos, &f, NULL) == RC_OK) {
		buf_clear(&text);
		encoded_words_decode(str_trim(f.value), &text);
		buf_addf(out, "  %zu %zu ", (size_t)(f.raw.p - header.p), f.raw.n);
		shown(f.name, out);
		buf_add(out, STR(": "));
		shown(buf_str(&text), out);
		buf_byte(out, '\n');
	}
	out->failed |= text.failed;
	buf_done(&text);
	tree_text(t, out);
	line(out, STR("ENVELOPE"), buf_str(&d->envelope));
	line(out, STR("BODYSTRUCTURE"), buf_str(&d->structure));
	line(out, STR("BODY"), body);
	line(out, STR("Preview"), buf_str(&d->preview));
	while (mail_attachment_next(&packed, &a) == RC_OK) {
		buf_add(out, STR("Attachment\n  "));
		shown(a.name, out);
		buf_add(out, STR("  "));
		shown(a.declared, out);
		buf_addf(out, "  is %.*s  %llu octets\n", PSTR(a.true_type.n ? a.true_type : STR("of unknown type")), (unsigned long long)a.size);
	}
	buf_add(out, STR("Defects\n "));
	for (unsigned i = 0; i < MAIL_DEFECTS; i++)
		if (d->defects & 1u << i)
			buf_addf(out, " %s", mail_defect_name(i));
	buf_add(out, d->defects ? STR("\n") : STR(" none\n"));
	return RC_OK;
}

enum rc mail_describe(struct str name, struct str message, const struct mail_limits *limits, bool json, struct buf *out, struct why *why)
{
	const struct mail_limits *lim = limits ? limits : &mail_limits_default;
	struct mail_digest d;
	struct mime_tree t;
	struct buf body;
	TRY(mail_digest(message, lim, &d, why));
	buf_init(&body, DESCRIPTION_MAX);
	enum rc rc = mime_parse(message, lim, &t, why);
	if (rc == RC_OK)
		rc = mail_body_of_structure(buf_str(&d.structure), &body);
	if (rc == RC_OK)
		rc = json ? as_json(name, &t, &d, buf_str(&body), out) : as_text(name, &t, &d, buf_str(&body), out);
	if (rc == RC_OK && out->failed)
		rc = RC_NOMEM;
	mime_done(&t);
	mail_digest_done(&d);
	buf_done(&body);
	return rc;
}
