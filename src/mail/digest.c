/* mail_digest: one tree, then everything that is kept beside a message. */
#include "mail/digest.h"

#include "base/codec.h"
#include "mail/attach.h"
#include "mail/charset.h"
#include "mail/fields.h"
#include "mail/grams.h"
#include "mail/header.h"
#include "mail/param.h"
#include "mail/parts.h"
#include "mail/text.h"
#include "mail/wire.h"

const struct mail_limits mail_limits_default = {
	.depth = 100, .parts = 10000, .header_fields = 2000, .header_bytes = 1 << 20, .preview_chars = 200, .text_bytes = 2 << 20,
};
enum { DEPTH_MOST = 250, GATHER_MAX = 64 << 20 };

const char *mail_defect_name(unsigned bit_index)
{
	static const char *const names[MAIL_DEFECTS] = {
		"no-header-end", "bad-field-name", "bare-cr", "bare-lf", "nul", "8bit-header", "long-line", "bad-content-type", "no-boundary",
		"unclosed-multipart", "bad-encoding", "bad-charset", "too-deep", "too-many-parts", "header-too-large", "duplicate-field",
		"bad-address", "bad-date", "bad-encoded-word", "missing-field", "type-mismatch",
	};
	return bit_index < MAIL_DEFECTS ? names[bit_index] : "unknown";
}

/* ---- preview (RFC 8970) ---- */
static void preview_of(struct str text, size_t chars, struct buf *out)
{
	bool space = true; /* none at the start */
	size_t n = 0, i = 0, end = out->len;
	out->max = 4 * chars + 4;
	while (i < text.n && n < chars) {
		uint32_t c = (unsigned char)text.p[i];
		size_t k = c < 0x80 ? 1 : utf8_next(str_skip(text, i), &c);
		if (k == 0) {
			c = 0xfffd;
			k = 1;
		}
		i += k;
		bool blank = c <= ' ' || c == 0x7f || c == 0xa0 || (c >= 0x2000 && c <= 0x200f) || (c >= 0x2028 && c <= 0x202f) || c == 0x3000 ||
		             c == 0xfeff || c == 0xad || c == 0x34f || (c >= 0x2060 && c <= 0x206f); /* bidi and invisible fillers too */
		if (blank && space)
			continue;
		utf8_put(out, blank ? ' ' : c);
		space = blank;
		n++;
		if (!blank)
			end = out->len;
	}
	if (!out->failed)
		out->len = end;
}

static bool is_body_text(const struct mime_part *p)
{
	struct str rest;
	return text_is_text(p) && p->body_len > 0 && !str_ieq(param_token(p->disposition, &rest), STR("attachment"));
}

/* The first plain text that shows anything; else the first other text. */
struct preview {
	struct buf plain, other;
	size_t chars;
};

static void preview_add(struct preview *pv, const struct mime_part *p, struct str text)
{
	bool plain = p->type.n == 0 || str_ieq(p->subtype, STR("plain"));
	struct buf *to = plain ? &pv->plain : &pv->other;
	if (to->len == 0 && is_body_text(p))
		preview_of(text, pv->chars, to);
}

/* ---- signatures ---- */
static enum rc add_body(const struct mime_tree *t, struct text_reader *r, struct grams *g, struct preview *pv, struct buf *scratch)
{
	for (uint32_t i = 0; i < t->n; i++) {
		const struct mime_part *p = &t->part[i];
		struct str text;
		if (p->head != MIME_NONE && i > 0) { /* the header of an embedded message belongs to the body */
			struct header_field f;
			size_t pos = 0;
			while (header_next(mime_header(t, p), &pos, &f, NULL) == RC_OK) {
				buf_clear(scratch);
				TRY(text_of_field(r, f.name, f.value, scratch));
				grams_add(g, GRAMS_BODY, buf_str(scratch));
				grams_gap(g);
			}
		}
		buf_clear(scratch);
		TRY(text_of_name(r, p, scratch));
		grams_add(g, GRAMS_BODY, buf_str(scratch));
		grams_gap(g);
		TRY(text_of_part(r, t, p, &text));
		if (text.n == 0)
			continue;
		preview_add(pv, p, text);
		grams_add_text(g, GRAMS_BODY, text);
		grams_gap(g);
	}
	return RC_OK;
}

static enum rc add_header(const struct mime_tree *t, struct text_reader *r, struct grams *g, struct buf *scratch)
{
	struct header_field f;
	size_t pos = 0;
	struct str header = mime_header(t, &t->part[0]);
	while (header_next(header, &pos, &f, NULL) == RC_OK) {
		buf_clear(scratch);
		TRY(text_of_field(r, f.name, f.value, scratch));
		grams_add(g, GRAMS_HEADER, buf_str(scratch));
		grams_gap(g);
	}
	return RC_OK;
}

static enum rc add_text(const struct mime_tree *t, const struct mail_limits *lim, struct text_reader *r, struct mail_digest *d)
{
	struct grams *g = NULL;
	struct preview pv = { .chars = lim->preview_chars };
	struct buf scratch;
	buf_init(&scratch, GATHER_MAX);
	buf_init(&pv.plain, 4 * lim->preview_chars + 4);
	buf_init(&pv.other, 4 * lim->preview_chars + 4);
	enum rc rc = grams_new(&g);
	if (rc == RC_OK)
		rc = add_body(t, r, g, &pv, &scratch);
	if (rc == RC_OK)
		rc = add_header(t, r, g, &scratch);
	if (rc == RC_OK)
		rc = grams_format(g, &d->grams);
	d->preview.max = 4 * lim->preview_chars + 4;
	buf_add(&d->preview, buf_str(pv.plain.len ? &pv.plain : &pv.other));
	if (pv.plain.failed || pv.other.failed)
		rc = RC_NOMEM;
	grams_free(&g);
	buf_done(&pv.plain);
	buf_done(&pv.other);
	buf_done(&scratch);
	return rc;
}

/* ---- all of it ---- */
static void read_date(const struct mime_head *h, struct mail_digest *d, int32_t *out_day)
{
	int zone = 0;
	int64_t ms;
	d->date_ms = INT64_MIN;
	*out_day = INT32_MIN;
	if (!(h->present & 1u << MIME_DATE))
		return;
	if (mail_date_parse(h->value[MIME_DATE], &ms, &zone) != RC_OK) {
		d->defects |= MAIL_BAD_DATE;
		return;
	}
	d->date_ms = ms;
	ms += (int64_t)zone * 60000;
	*out_day = (int32_t)(ms / 86400000 - (ms % 86400000 < 0));
}

static enum rc fill(const struct mime_tree *t, const struct mail_limits *lim, struct mail_digest *d)
{
	struct text_reader r;
	int32_t day;
	d->part_count = t->n;
	d->defects = t->defects;
	read_date(&t->head[0], d, &day);
	text_reader_init(&r, lim);
	enum rc rc = wire_envelope(&t->head[0], &d->envelope, &d->defects);
	if (rc == RC_OK)
		rc = wire_structure(t, &d->structure, &d->defects);
	parts_format(t, &d->parts);
	if (rc == RC_OK)
		rc = attach_format(t, &d->attachments, &d->defects);
	if (rc == RC_OK)
		rc = fields_format(&t->head[0], &r, d->date_ms, day, &d->fields);
	if (rc == RC_OK)
		rc = add_text(t, lim, &r, d);
	d->defects |= r.defects;
	text_reader_done(&r);
	const struct buf *all[] = { &d->envelope, &d->structure, &d->parts, &d->preview, &d->fields, &d->attachments, &d->grams };
	for (size_t i = 0; rc == RC_OK && i < sizeof all / sizeof all[0]; i++)
		if (all[i]->failed)
			rc = RC_NOMEM;
	return rc;
}

enum rc mail_digest(struct str message, const struct mail_limits *limits, struct mail_digest *out, struct why *why)
{
	struct mime_tree t;
	struct mail_limits lim = limits ? *limits : mail_limits_default;
	struct mail_digest d = { .date_ms = INT64_MIN };
	if (lim.depth > DEPTH_MOST)
		lim.depth = DEPTH_MOST;
	struct buf *all[] = { &d.envelope, &d.structure, &d.parts, &d.preview, &d.fields, &d.attachments, &d.grams };
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		buf_init(all[i], WIRE_MAX);
	enum rc rc = mime_parse(message, &lim, &t, why);
	if (rc == RC_OK && (rc = fill(&t, &lim, &d)) != RC_OK)
		why_fail(why, rc, 0, "digest.c", "no memory for what is told about a message");
	mime_done(&t);
	if (rc != RC_OK)
		mail_digest_done(&d);
	else
		*out = d;
	return rc;
}

void mail_digest_done(struct mail_digest *d)
{
	struct buf *all[] = { &d->envelope, &d->structure, &d->parts, &d->preview, &d->fields, &d->attachments, &d->grams };
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		buf_done(all[i]);
	*d = (struct mail_digest){ .date_ms = INT64_MIN };
}
