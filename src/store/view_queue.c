#include "store/queue_row.h"
#include "store/view_inside.h"

/* Reading the queue: pages of rows in the order of letters, each page one short snapshot. */
struct page {
	struct buf *out;
	size_t start, max;
	uint64_t letter; uint32_t n;    /* the row that did not fit; letter 0: all did */
};

static enum rc page_row(void *arg, const struct engine_row *r)
{
	struct page *p = arg;
	struct queue_row row;
	if (r->damaged || queue_value_parse(r->key, r->value, &row) != RC_OK)
		row = (struct queue_row){ .letter = key_first_of(r->key), .n = key_uid_of(r->key), .sealed = STR("") };
	size_t used = p->out->len - p->start, need = 8 + 4 + QUEUE_HEAD_LEN - 1 + 4 + row.sealed.n;
	if (used && used + need > p->max) {
		p->letter = row.letter;
		p->n = row.n;
		return RC_AGAIN;
	}
	queue_row_put(p->out, &row);
	return p->out->failed ? RC_LIMIT : RC_OK;
}

enum rc view_queue(struct view *v, bool table_done, uint64_t letter, uint32_t n, size_t max_bytes, struct buf *out, uint64_t *out_letter, uint32_t *out_n,
                   struct why *why)
{
	struct page p = { .out = out, .start = out->len, .max = max_bytes };
	TRY(view_begin(v, why));
	enum rc rc = view_end(v, view_each(v, table_done ? TABLE_QUEUE_DONE : TABLE_QUEUE, key_queue(letter, n), key_org_end(), page_row, &p));
	if (rc != RC_OK)
		FAIL(why, rc, "the queue cannot be read");
	*out_letter = p.letter;
	*out_n = p.n;
	return RC_OK;
}

static enum rc get_letter(struct view *v, uint64_t letter, struct arena *a, struct queue_letter *out)
{
	struct letter_row l;
	struct str raw;
	TRY(view_get(v, TABLE_LETTER, key_letter(letter), &raw));
	TRY(letter_value_parse(raw, &l));
	*out = (struct queue_letter){ .blob = l.blob, .rows_left = l.rows, .sealed = arena_str(a, l.sealed) };
	enum rc rc = view_get(v, TABLE_LETTER, key_letter_left(letter), &raw);
	if (rc == RC_OK)
		rc = left_parse(raw, &out->rows_left);
	if (rc != RC_OK && rc != RC_NOTFOUND && rc != RC_DAMAGED) /* a count that is damaged hides no letter */
		return rc;
	return a->full ? RC_NOMEM : RC_OK;
}

enum rc view_letter(struct view *v, uint64_t letter, struct arena *a, struct queue_letter *out, struct why *why)
{
	struct queue_letter l;
	TRY(view_begin(v, why));
	enum rc rc = view_end(v, get_letter(v, letter, a, &l));
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_NOTFOUND ? "no such letter" : "the letter cannot be read");
	*out = l;
	return RC_OK;
}

struct notes { struct str prefix; struct buf *out; size_t start, max; bool more; };

static enum rc note_row(void *arg, const struct engine_row *r)
{
	struct notes *n = arg;
	struct str key = str_skip(r->key, 4), value;
	if (!str_starts(key, n->prefix))
		return RC_AGAIN;
	if (r->damaged || note_parse(r->value, &value) != RC_OK)
		return RC_OK;
	size_t used = n->out->len - n->start;
	if (used && used + 8 + key.n + value.n > n->max) {
		n->more = true;
		return RC_AGAIN;
	}
	buf_run(n->out, key);
	buf_run(n->out, value);
	return n->out->failed ? RC_LIMIT : RC_OK;
}

enum rc view_notes(struct view *v, struct str prefix, struct str after, size_t max_bytes, struct buf *out, bool *out_more, struct why *why)
{
	struct notes n = { .prefix = prefix, .out = out, .start = out->len, .max = max_bytes };
	if (prefix.n > NOTE_KEY_MAX || after.n > NOTE_KEY_MAX)
		FAIL(why, RC_LIMIT, "a note's key has at most %d octets", NOTE_KEY_MAX);
	struct key from = key_note(after.n && str_cmp(after, prefix) >= 0 ? after : prefix);
	if (after.n && str_cmp(after, prefix) >= 0)
		from.b[from.n++] = 0; /* the first key that can follow it */
	TRY(view_begin(v, why));
	enum rc rc = view_end(v, view_each(v, TABLE_NOTE, from, key_org_end(), note_row, &n));
	if (rc != RC_OK)
		FAIL(why, rc, "the notes cannot be read");
	*out_more = n.more;
	return RC_OK;
}
