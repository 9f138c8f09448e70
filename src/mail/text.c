#include "mail/text.h"

#include "mail/attach.h"
#include "mail/charset.h"
#include "mail/encoded_word.h"
#include "mail/html.h"
#include "mail/param.h"

void text_reader_init(struct text_reader *r, const struct mail_limits *lim)
{
	*r = (struct text_reader){ .budget = lim->text_bytes };
	buf_init(&r->raw, lim->text_bytes);
	size_t most = lim->text_bytes > lim->header_bytes ? lim->text_bytes : lim->header_bytes;
	buf_init(&r->utf8, 4 * most + 64);
	buf_init(&r->plain, 4 * most + 64);
}

void text_reader_done(struct text_reader *r)
{
	buf_done(&r->raw);
	buf_done(&r->utf8);
	buf_done(&r->plain);
}

bool text_is_text(const struct mime_part *p) { return p->kind == MAIL_LEAF && (p->type.n == 0 || str_ieq(p->type, STR("text"))); }

/* RFC 3464, 3798, 5965: fields in lines, as readable as text/plain. */
static bool has_text(const struct mime_part *p) { return text_is_text(p) || (p->kind == MAIL_LEAF && str_ieq(p->type, STR("message"))); }

static enum rc charset_of(const struct mime_part *p, struct arena *a, struct str *out)
{
	struct mail_param *first;
	bool sound;
	*out = STR("");
	if (str_ifind_str(p->params, STR("charset")) == p->params.n)
		return RC_OK;
	TRY(param_parse(p->params, a, &first, &sound));
	const struct mail_param *c = param_get(first, STR("charset"));
	if (c)
		*out = c->value;
	return RC_OK;
}

enum rc text_of_part(struct text_reader *r, const struct mime_tree *t, const struct mime_part *p, struct str *out)
{
	struct arena a;
	struct str charset, raw = mime_body(t, p);
	*out = STR("");
	if (!has_text(p) || r->budget == 0 || raw.n == 0)
		return RC_OK;
	buf_clear(&r->raw);
	buf_clear(&r->utf8);
	buf_clear(&r->plain);
	if (p->encoding == TRANSFER_QP || p->encoding == TRANSFER_BASE64 || p->encoding == TRANSFER_UUENCODE) {
		r->raw.max = r->budget;
		if (!transfer_decode(p->encoding, raw, &r->raw))
			r->defects |= MAIL_BAD_ENCODING;
		if (r->raw.failed)
			return RC_NOMEM;
		raw = buf_str(&r->raw);
	}
	raw = str_head(raw, r->budget);
	r->budget -= raw.n;
	arena_init(&a, 16 << 20);
	enum rc rc = charset_of(p, &a, &charset);
	if (rc == RC_OK) {
		if (ascii_prefix(raw) == raw.n && (charset.n == 0 || str_ieq(charset, STR("utf-8")) || str_ieq(charset, STR("us-ascii")))) {
			*out = raw; /* the common case costs no copy */
		} else {
			if (!charset_to_utf8(charset, raw, &r->utf8))
				r->defects |= MAIL_BAD_CHARSET;
			*out = buf_str(&r->utf8);
		}
		if (str_ieq(p->subtype, STR("html"))) {
			html_text(*out, &r->plain);
			*out = buf_str(&r->plain);
		}
		rc = r->utf8.failed || r->plain.failed ? RC_NOMEM : RC_OK;
	}
	arena_done(&a);
	return rc;
}

enum rc text_of_name(struct text_reader *r, const struct mime_part *p, struct buf *out)
{
	if (!attach_is_attachment(p))
		return RC_OK;
	buf_clear(&r->utf8);
	TRY(attach_name(p, &r->utf8, &r->defects));
	return mail_fold(buf_str(&r->utf8), out);
}

enum rc text_of_field(struct text_reader *r, struct str name, struct str value, struct buf *out)
{
	struct fold f;
	struct str trimmed = str_trim(value);
	fold_begin(&f);
	fold_add(&f, name, out);
	fold_add(&f, STR(": "), out);
	if (ascii_prefix(trimmed) == trimmed.n && str_find_str(trimmed, STR("=?")) == trimmed.n) {
		/* a fold of lines is white space, and all of that becomes one space: no unfolding needed */
		fold_add(&f, trimmed, out);
	} else {
		buf_clear(&r->utf8);
		if (!encoded_words_decode(trimmed, &r->utf8))
			r->defects |= MAIL_BAD_ENCODED_WORD;
		fold_add(&f, buf_str(&r->utf8), out);
		out->failed |= r->utf8.failed;
	}
	return out->failed ? RC_NOMEM : RC_OK;
}
