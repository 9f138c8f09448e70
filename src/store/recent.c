#include "store/verb.h"

#include "base/mem.h"

/* \Recent: for each folder the first UID that no session was given yet. Sessions take what lies below, one after the other, so that no two are given
 * the same message. Invariants:
 * 1. What was given is the greater of the folder's row and of what `recent` holds in memory; neither ever goes back.
 * 2. An entry leaves the memory when a row that says as much is on disk, or its folder is gone.
 * 3. A row exists only beside its folder's, and is never beyond its uidnext. No other verb touches it: it needs no account's row. */
enum { STEP = 512 };
struct given { uint64_t account, box; uint32_t first; };

void recent_done(struct store *s)
{
	size_t at = 0;
	for (struct given *g; (g = map_next(&s->recent, &at));)
		mem_free(g);
	map_done(&s->recent);
}

/* ---- giving ---- */
static enum rc look(struct store *s, uint64_t account, uint64_t box, struct buf *b, uint32_t *out_first, uint32_t *out_uidnext, struct why *why)
{
	struct box_row row = { 0 };
	struct key k = key_box(account, box);
	enum rc rc = engine_get(s->engine, TABLE_BOX, key_str(&k), b);
	if (rc == RC_OK)
		rc = box_parse(buf_str(b), &row);
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_NOTFOUND ? "no such folder" : "the folder's row cannot be read");
	rc = engine_get(s->engine, TABLE_RECENT, key_str(&k), b);
	if (rc != RC_OK && rc != RC_NOTFOUND && rc != RC_DAMAGED)
		FAIL(why, rc, "what is recent cannot be read");
	uint32_t first = recent_of(rc, buf_str(b), row.uidnext);
	const struct given *g = map_get_u64(&s->recent, box);
	*out_first = g && g->first > first ? g->first : first;
	*out_uidnext = row.uidnext;
	return RC_OK;
}

static enum rc note(struct store *s, uint64_t account, uint64_t box, uint32_t first, struct why *why)
{
	struct given *g = map_get_u64(&s->recent, box);
	if (g) {
		g->first = first;
		return RC_OK;
	}
	g = mem_new(sizeof *g);
	if (!g)
		FAIL(why, RC_NOMEM, "no memory for what is recent");
	*g = (struct given){ account, box, first };
	enum rc rc = map_put_u64(&s->recent, box, g);
	if (rc != RC_OK) {
		mem_free(g);
		FAIL(why, rc, "no memory for what is recent");
	}
	return RC_OK;
}

enum rc store_recent(struct store *s, uint64_t account, uint64_t box, uint32_t before, uint32_t *out_first, struct why *why)
{
	struct buf b;
	uint32_t first = 0, uidnext = 0;
	if (before && s->read_only)
		FAIL(why, RC_DENIED, "the store is open for reading only");
	if (before && s->recent.n >= RECENT_MAX)
		TRY(store_recent_settle(s, why));
	buf_init(&b, BOX_ROW_MAX);
	/* Nothing suspends from here on: two who ask at the same time are answered one after the other. */
	enum rc rc = look(s, account, box, &b, &first, &uidnext, why);
	buf_done(&b);
	if (before > uidnext)
		before = uidnext;
	if (rc == RC_OK && first < before)
		rc = note(s, account, box, before, why);
	if (rc == RC_OK)
		*out_first = first;
	engine_settle(s->engine);
	return rc;
}

/* ---- keeping ---- */
struct settling { struct given g[STEP]; size_t n; };

static enum rc put_rows(struct tx *t, void *arg, struct why *why)
{
	const struct settling *w = arg;
	for (size_t i = 0; i < w->n; i++) {
		char row[RECENT_ROW_LEN];
		struct key k = key_box(w->g[i].account, w->g[i].box);
		struct str v;
		enum rc rc = tx_get(t, TABLE_BOX, k, &v);
		if (rc == RC_NOTFOUND)
			continue; /* removed meanwhile */
		if (rc != RC_OK && rc != RC_DAMAGED)
			FAIL(why, rc, "a folder's row cannot be read");
		batch_put(&t->batch, TABLE_RECENT, key_str(&k), recent_format(w->g[i].first, row));
	}
	return RC_OK;
}

static enum rc settle_some(struct store *s, struct settling *w, struct why *why)
{
	size_t at = 0;
	w->n = 0;
	for (const struct given *g; w->n < STEP && (g = map_next(&s->recent, &at));)
		w->g[w->n++] = *g;
	TRY(verb_run(s, put_rows, w, why));
	for (size_t i = 0; i < w->n; i++) {
		struct given *g = map_get_u64(&s->recent, w->g[i].box);
		if (g && g->first == w->g[i].first) /* else more was given meanwhile */
			mem_free(map_drop_u64(&s->recent, w->g[i].box));
	}
	return RC_OK;
}

enum rc store_recent_settle(struct store *s, struct why *why)
{
	size_t left = s->recent.n;
	if (!left)
		return RC_OK;
	struct settling *w = mem_new(sizeof *w);
	if (!w)
		FAIL(why, RC_NOMEM, "no memory for what is recent");
	enum rc rc = RC_OK;
	for (; rc == RC_OK && left && s->recent.n; left -= w->n < left ? w->n : left)
		rc = settle_some(s, w, why);
	mem_free(w);
	return rc;
}
