#include "store/queue_row.h"
#include "store/verb.h"

#include "base/mem.h"
#include <stdlib.h>

/* The relay's side of the queue. A verb here suspends nowhere between its first read and its commit, so what it read holds when its batch is
 * applied (README.md, invariant 3). The changes of a call are done in the order of their keys: rows of one letter lie on a page or two, and
 * the letter's own count is read and put once. */
enum { FORGET_LOOKS = 16, FORGET_MAX = 100000 };
#define DAY_MS (24ll * 3600 * 1000)

/* ---- changes ---- */
struct changing {
	struct tx *t;
	struct queue_change **order;    /* by letter and n; of one row the one that was named first comes first */
	size_t n;
	struct waiting *ended; size_t ended_n; /* of each letter that some rows were done of: whose, and how many */
};

static int by_row(const void *a, const void *b)
{
	const struct queue_change *x = *(struct queue_change *const *)a, *y = *(struct queue_change *const *)b;
	if (x->row.letter != y->row.letter)
		return x->row.letter < y->row.letter ? -1 : 1;
	if (x->row.n != y->row.n)
		return x->row.n < y->row.n ? -1 : 1;
	return x < y ? -1 : x > y; /* one array */
}

static struct queue_row row_after(const struct queue_change *c, const struct queue_row *was)
{
	struct queue_row r = c->row;
	r.version++;
	r.created_ms = was->created_ms;
	if (r.state == QUEUE_DONE)
		r.sealed = c->done;
	return r;
}

/* The value in the batch's memory; "" = no memory. */
static struct str format_row(struct tx *t, const struct queue_row *r)
{
	char *p = arena_new(&t->batch.mem, QUEUE_HEAD_LEN + r->sealed.n);
	if (!p)
		return STR("");
	(void)queue_value_head(r, p);
	memcpy(p + QUEUE_HEAD_LEN, r->sealed.p, r->sealed.n);
	return str_of(p, QUEUE_HEAD_LEN + r->sealed.n);
}

/* Is the row there as this change would leave it? Then its answer was lost, and it is given again. */
static enum rc done_before(struct tx *t, const struct queue_change *c, struct key k, enum rc otherwise)
{
	struct str v;
	struct queue_row is;
	enum rc rc = tx_get(t, c->row.state == QUEUE_DONE ? TABLE_QUEUE_DONE : TABLE_QUEUE, k, &v);
	if (rc == RC_OK)
		rc = queue_value_parse(key_str(&k), v, &is);
	if (rc == RC_NOTFOUND || rc == RC_DAMAGED)
		return otherwise;
	if (rc != RC_OK)
		return rc;
	struct queue_row want = row_after(c, &is);
	char a[QUEUE_HEAD_LEN], b[QUEUE_HEAD_LEN];
	return str_eq(queue_value_head(&want, a), queue_value_head(&is, b)) && str_eq(want.sealed, is.sealed) ? RC_OK : otherwise;
}

/* RC_OK with *out_moved: the letter has one row less that waits. c->rc is set; what comes back otherwise ends the whole call. */
static enum rc change_one(struct tx *t, struct queue_change *c, bool *out_moved)
{
	struct key k = key_queue(c->row.letter, c->row.n);
	struct queue_row was = { .created_ms = c->row.created_ms };
	struct str v;
	enum rc rc = tx_get(t, TABLE_QUEUE, k, &v);
	if (rc == RC_OK)
		rc = queue_value_parse(key_str(&k), v, &was);
	if (rc == RC_NOTFOUND)
		return c->rc = done_before(t, c, k, RC_NOTFOUND), RC_OK;
	if (rc != RC_OK && rc != RC_DAMAGED)
		return rc;
	if (was.version != c->row.version || (rc == RC_DAMAGED && c->row.state != QUEUE_DONE) || was.version == UINT32_MAX)
		return c->rc = done_before(t, c, k, RC_CONFLICT), RC_OK;
	struct queue_row r = row_after(c, &was);
	struct str value = format_row(t, &r);
	if (value.n == 0)
		return RC_NOMEM;
	*out_moved = r.state == QUEUE_DONE;
	if (*out_moved)
		batch_delete(&t->batch, TABLE_QUEUE, key_str(&k));
	batch_lend(&t->batch, *out_moved ? TABLE_QUEUE_DONE : TABLE_QUEUE, key_str(&k), value);
	c->rc = RC_OK;
	return RC_OK;
}

/* The letter loses `n` rows; with the last one it goes, and its hold on the body. A letter that cannot be read stays: verify tells. *out_account: whose they were. */
static enum rc letter_less(struct tx *t, uint64_t letter, uint32_t n, uint64_t *out_account)
{
	struct key k = key_letter(letter), lk = key_letter_left(letter);
	struct letter_row l;
	struct str v;
	char row[LEFT_LEN];
	enum rc rc = tx_get(t, TABLE_LETTER, k, &v);
	if (rc == RC_OK)
		rc = letter_value_parse(v, &l);
	if (rc == RC_NOTFOUND || rc == RC_DAMAGED)
		return RC_OK;
	TRY(rc);
	*out_account = l.account;
	uint32_t left = l.rows;
	rc = tx_get(t, TABLE_LETTER, lk, &v);
	if (rc == RC_OK)
		rc = left_parse(v, &left);
	if (rc == RC_DAMAGED)
		return RC_OK;
	if (rc != RC_OK && rc != RC_NOTFOUND)
		return rc;
	if (n < left) {
		batch_put(&t->batch, TABLE_LETTER, key_str(&lk), left_format(left - n, row));
		return RC_OK;
	}
	batch_delete(&t->batch, TABLE_LETTER, key_str(&k));
	batch_delete(&t->batch, TABLE_LETTER, key_str(&lk));
	batch_blob(&t->batch, &l.blob, -1);
	return RC_OK;
}

static bool same_row(const struct queue_change *a, const struct queue_change *b) { return a->row.letter == b->row.letter && a->row.n == b->row.n; }

static enum rc change(struct tx *t, void *arg, struct why *why)
{
	struct changing *g = arg;
	uint32_t moved = 0;
	(void)why;
	g->ended_n = 0;
	g->ended = arena_new(&t->batch.mem, g->n * sizeof *g->ended);
	if (!g->ended)
		return RC_NOMEM;
	for (size_t i = 0; i < g->n; i++) {
		struct queue_change *c = g->order[i];
		bool one = false;
		if (i && same_row(c, g->order[i - 1]))
			c->rc = RC_CONFLICT;
		else
			TRY(change_one(t, c, &one));
		moved += one;
		if (moved && (i + 1 == g->n || g->order[i + 1]->row.letter != c->row.letter)) {
			struct waiting *w = &g->ended[g->ended_n++];
			*w = (struct waiting){ .n = moved };
			TRY(letter_less(t, c->row.letter, moved, &w->account));
			moved = 0;
		}
	}
	return tx_waiting_take(t, g->ended, g->ended_n);
}

static enum rc check_changes(struct queue_change *list, size_t n, struct why *why)
{
	if (n > QUEUE_CHANGES_MAX)
		FAIL(why, RC_LIMIT, "at most %d rows are changed at once", QUEUE_CHANGES_MAX);
	for (size_t i = 0; i < n; i++)
		if (!queue_row_possible(&list[i].row) || list[i].done.n > QUEUE_ROW_MAX)
			FAIL(why, RC_SYNTAX, "a change to a row that cannot be");
	return RC_OK;
}

enum rc queue_change(struct store *s, struct queue_change *list, size_t n, struct why *why)
{
	TRY(check_changes(list, n, why));
	struct queue_change **order = mem_new((n + 1) * sizeof *order);
	if (!order)
		FAIL(why, RC_NOMEM, "no memory for changes to the queue");
	for (size_t i = 0; i < n; i++)
		order[i] = &list[i];
	qsort(order, n, sizeof *order, by_row);
	struct changing g = { .order = order, .n = n };
	enum rc rc = verb_run(s, change, &g, why);
	mem_free(order);
	return rc;
}

/* ---- history ---- */
struct forgetting {
	struct tx *t;
	int64_t before;
	size_t looked, dropped, max;
	struct queue_row last;          /* looked at last: letter and n */
	bool ended;                     /* what follows came after `before` */
};

static bool forget_row(void *arg, const struct engine_row *r)
{
	struct forgetting *f = arg;
	struct queue_row row;
	f->looked++;
	f->last.letter = key_first_of(r->key);
	f->last.n = key_uid_of(r->key);
	if (r->damaged || queue_value_parse(r->key, r->value, &row) != RC_OK)
		return true;
	if (row.due_ms < f->before) {
		batch_delete(&f->t->batch, TABLE_QUEUE_DONE, r->key);
		return ++f->dropped < f->max;
	}
	/* Letters are in the order in which they came: none behind this one can be done before it came. A clock that was ahead proves nothing. */
	f->ended = row.created_ms >= f->before && row.created_ms <= f->t->now + DAY_MS;
	return !f->ended;
}

struct forget_verb { int64_t before; size_t max; bool more; };

static enum rc forget(struct tx *t, void *arg, struct why *why)
{
	struct forget_verb *v = arg;
	struct forgetting f = { .t = t, .before = v->before, .max = v->max };
	struct store *s = t->s;
	struct key from = s->forget_letter ? key_queue(s->forget_letter, s->forget_n + 1) : key_org(), to = key_org_end();
	size_t most = v->max * FORGET_LOOKS;
	(void)why;
	TRY(engine_scan(s->engine, TABLE_QUEUE_DONE, key_str(&from), key_str(&to), most, forget_row, &f, NULL));
	/* Stopped by one of the bounds: the next call goes on here. At the end: it begins anew. */
	v->more = !f.ended && (f.dropped >= f.max || f.looked >= most);
	s->forget_letter = v->more ? f.last.letter : 0;
	s->forget_n = v->more ? f.last.n : 0;
	return RC_OK;
}

enum rc queue_forget(struct store *s, int64_t before_ms, size_t max, bool *out_more, struct why *why)
{
	struct forget_verb v = { .before = before_ms, .max = max == 0 ? 1 : max > FORGET_MAX ? FORGET_MAX : max };
	TRY(verb_run(s, forget, &v, why));
	*out_more = v.more;
	return RC_OK;
}

/* ---- notes ---- */
struct note { struct str key, value; };

static enum rc put_note(struct tx *t, void *arg, struct why *why)
{
	const struct note *n = arg;
	struct key k = key_note(n->key);
	(void)why;
	if (n->value.n == 0) {
		batch_delete(&t->batch, TABLE_NOTE, key_str(&k));
		return RC_OK;
	}
	char *p = arena_new(&t->batch.mem, n->value.n + 1);
	if (!p)
		return RC_NOMEM;
	p[0] = 1;
	memcpy(p + 1, n->value.p, n->value.n);
	batch_lend(&t->batch, TABLE_NOTE, key_str(&k), str_of(p, n->value.n + 1));
	return RC_OK;
}

enum rc note_put(struct store *s, struct str key, struct str value, struct why *why)
{
	if (key.n == 0 || key.n > NOTE_KEY_MAX || value.n > NOTE_MAX)
		FAIL(why, RC_LIMIT, "a note has a key of 1 to %d octets and a value of at most %d", NOTE_KEY_MAX, NOTE_MAX);
	struct note n = { key, value };
	return verb_run(s, put_note, &n, why);
}
