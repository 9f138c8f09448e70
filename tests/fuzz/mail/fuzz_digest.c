/* The whole digest: every offset inside the message, wire forms balanced, every part found by its number, signatures true to searches. */
#include "base/codec.h"
#include "mail/digest.h"
#include "mail/grams.h"
#include "mail/mime.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void balanced(struct str s)
{
	long depth = 0;
	assert(s.n >= 2 && s.p[0] == '(');
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		assert(c != '\r' && c != '\n' && c != 0 && !(c & 0x80));
		if (c == '"') {
			for (i++; assert(i < s.n), s.p[i] != '"'; i++) {
				assert(s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != 0 && !(s.p[i] & 0x80));
				i += s.p[i] == '\\';
			}
		}
		depth += c == '(' ? 1 : c == ')' ? -1 : 0;
		assert(depth > 0 || i == s.n - 1);
	}
	assert(depth == 0);
}

/* The number of a part, from the tree; 0 = it has none of its own (a message's root that is a multipart). */
static size_t path_of(const struct mime_tree *t, uint32_t i, uint32_t *path)
{
	size_t n = 0;
	uint32_t rev[600];
	bool root = t->part[i].parent == MIME_NONE || t->part[t->part[i].parent].kind == MAIL_MESSAGE;
	if (root && t->part[i].kind == MAIL_MULTIPART)
		return 0;
	for (; i != MIME_NONE; i = t->part[i].parent) {
		uint32_t up = t->part[i].parent, k = 1;
		if (up == MIME_NONE || t->part[up].kind == MAIL_MESSAGE) {
			if (t->part[i].kind != MAIL_MULTIPART)
				rev[n++] = 1;
			continue;
		}
		for (uint32_t j = t->part[up].first_child; j != i; j = t->part[j].next)
			k++;
		rev[n++] = k;
	}
	for (size_t k = 0; k < n; k++)
		path[k] = rev[n - 1 - k];
	return n;
}

static void parts(struct str msg, const struct mail_digest *d)
{
	struct mime_tree t;
	uint32_t path[600];
	struct mail_part p, inner;
	assert(mime_parse(msg, &mail_limits_default, &t, NULL) == RC_OK && t.n == d->part_count);
	for (uint32_t i = 0; i < t.n && i < 300; i++) {
		const struct mime_part *q = &t.part[i];
		assert(q->body_off == q->header_off + q->header_len && q->body_off + q->body_len <= msg.n);
		if (q->parent != MIME_NONE) {
			const struct mime_part *up = &t.part[q->parent];
			assert(q->header_off >= up->body_off && q->body_off + q->body_len <= up->body_off + up->body_len);
		}
		uint32_t lf = 0;
		for (size_t k = 0; k < q->body_len; k++)
			lf += msg.p[q->body_off + k] == '\n';
		assert(lf == q->lines);
		size_t n = path_of(&t, i, path);
		if (n == 0)
			continue;
		assert(mail_part_find(buf_str(&d->parts), path, n, &p, &inner) == RC_OK);
		assert(p.header_off == q->header_off && p.body_off == q->body_off && p.body_len == q->body_len && p.kind == q->kind && p.lines == q->lines);
	}
	mime_done(&t);
}

static void searches(struct str msg, const struct mail_digest *d)
{
	struct buf folded;
	buf_init(&folded, 4 * msg.n + 64);
	assert(mail_fold(msg, &folded) == RC_OK);
	for (size_t i = 0, n = 3; i + n <= folded.len; i += 1 + folded.len / 3, n = 3 + i % 6) {
		struct str needle = str_head(str_skip(buf_str(&folded), i), n);
		for (int text = 0; text < 2; text++) {
			struct mail_match m = { text ? MATCH_TEXT : MATCH_BODY, STR(""), needle };
			bool yes = false;
			assert(mail_matches(msg, &m, 1, NULL, &yes) == RC_OK);
			assert(!yes || grams_maybe(buf_str(&d->grams), text ? GRAMS_BODY | GRAMS_HEADER : GRAMS_BODY, needle));
		}
	}
	buf_done(&folded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str msg = str_of(data, size);
	struct mail_digest d;
	struct mail_fields f;
	struct mail_attachment at;
	struct buf body, json;
	enum rc rc;
	assert(mail_digest(msg, NULL, &d, NULL) == RC_OK);
	balanced(buf_str(&d.envelope));
	balanced(buf_str(&d.structure));
	buf_init(&body, 64 << 20);
	buf_init(&json, 256 << 20);
	assert(mail_body_of_structure(buf_str(&d.structure), &body) == RC_OK);
	balanced(buf_str(&body));
	assert(utf8_ok(buf_str(&d.preview)));
	assert(mail_fields_parse(buf_str(&d.fields), &f) == RC_OK && utf8_ok(f.subject_folded) && utf8_ok(f.from_folded));
	struct str packed = buf_str(&d.attachments);
	while ((rc = mail_attachment_next(&packed, &at)) == RC_OK)
		assert(utf8_ok(at.name) && at.size <= size);
	assert(rc == RC_NOTFOUND);
	parts(msg, &d);
	searches(msg, &d);
	assert(mail_describe(STR("x"), msg, NULL, size & 1, &json, NULL) == RC_OK);
	buf_done(&json);
	buf_done(&body);
	mail_digest_done(&d);
	return 0;
}
