/* mail_matches: the exact answer after a signature said "maybe". Reads a message through mail/text.h, as the digest did. */
#include "base/mem.h"
#include "mail/header.h"
#include "mail/text.h"

struct matcher {
	const struct mail_match *m;
	bool *found;
	size_t n, missing;
};

static bool wants(const struct mail_match *m, bool header, struct str name)
{
	switch (m->where) {
	case MATCH_BODY: return !header;
	case MATCH_TEXT: return true;
	case MATCH_HEADER: return header && str_ieq(m->field, name);
	}
	return false;
}

/* `text` is folded. For a field the name and ": " stand first: HEADER looks behind them, TEXT at all. */
static void look(struct matcher *k, struct str text, bool header, struct str name)
{
	for (size_t i = 0; i < k->n; i++) {
		const struct mail_match *m = &k->m[i];
		if (k->found[i] || !wants(m, header, name))
			continue;
		struct str in = m->where == MATCH_HEADER ? str_skip(text, name.n + 2) : text;
		if (m->needle_folded.n == 0 || str_find_str(in, m->needle_folded) < in.n) {
			k->found[i] = true;
			k->missing--;
		}
	}
}

static enum rc look_in_header(struct matcher *k, struct text_reader *r, struct str header, bool root, struct buf *scratch)
{
	struct header_field f;
	size_t pos = 0;
	while (k->missing && header_next(header, &pos, &f, NULL) == RC_OK) {
		buf_clear(scratch);
		TRY(text_of_field(r, f.name, f.value, scratch));
		look(k, buf_str(scratch), root, f.name);
	}
	return RC_OK;
}

static enum rc look_everywhere(struct matcher *k, const struct mime_tree *t, struct text_reader *r, struct buf *scratch)
{
	TRY(look_in_header(k, r, mime_header(t, &t->part[0]), true, scratch));
	for (uint32_t i = 0; k->missing && i < t->n; i++) {
		const struct mime_part *p = &t->part[i];
		struct str text;
		if (p->head != MIME_NONE && i > 0)
			TRY(look_in_header(k, r, mime_header(t, p), false, scratch));
		buf_clear(scratch);
		TRY(text_of_name(r, p, scratch));
		if (scratch->len)
			look(k, buf_str(scratch), false, STR(""));
		TRY(text_of_part(r, t, p, &text));
		if (text.n == 0)
			continue;
		buf_clear(scratch);
		TRY(mail_fold(text, scratch));
		look(k, buf_str(scratch), false, STR(""));
	}
	return RC_OK;
}

enum rc mail_matches(struct str message, const struct mail_match *m, size_t n, const struct mail_limits *limits, bool *out)
{
	struct mime_tree t;
	struct text_reader r;
	struct buf scratch;
	struct mail_limits lim = limits ? *limits : mail_limits_default;
	struct matcher k = { .m = m, .n = n, .missing = n };
	if (lim.depth > 250)
		lim.depth = 250;
	k.found = mem_new(n * sizeof *k.found);
	if (!k.found)
		return RC_NOMEM;
	for (size_t i = 0; i < n; i++) /* an empty needle is in every text, but a field must be there */
		if (m[i].where != MATCH_HEADER && m[i].needle_folded.n == 0) {
			k.found[i] = true;
			k.missing--;
		}
	text_reader_init(&r, &lim);
	buf_init(&scratch, (size_t)64 << 20);
	enum rc rc = mime_parse(message, &lim, &t, NULL);
	if (rc == RC_OK)
		rc = look_everywhere(&k, &t, &r, &scratch);
	if (rc == RC_OK)
		*out = k.missing == 0;
	buf_done(&scratch);
	text_reader_done(&r);
	mime_done(&t);
	mem_free(k.found);
	return rc;
}
