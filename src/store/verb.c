#include "store/verb.h"

#include "base/mem.h"
#include <stdlib.h>

/* Invariants:
 * 1. Every verb that touches an account puts its row and expects it as read: two verbs of one account never interleave.
 * 2. Totals in account and folder rows change in the batch that changes what they count.
 * 3. Every change of a message or a folder list has a modseq; modseq is one counter per account. All but the coming of a message have a
 *    change row as well: messages come at a folder's end and their state rows tell when (view_changes), so a delivery dirties no page for it. */
enum { TRIES = 16, HORIZON_CHANGES = 100000, PRUNE_EVERY = 64, PRUNE_STEP = 128, FOLDERS_MAX = 10000, RECLAIM_MAX = 100000 };
#define HORIZON_MS (30ll * 24 * 3600 * 1000)

/* ---- running ---- */
struct prune { struct tx *t; struct tx_account *a; uint64_t floor; };

static bool prune_row(void *arg, const struct engine_row *r)
{
	struct prune *p = arg;
	struct change_row c;
	uint64_t modseq = key_second(r->key);
	bool old = p->a->row.modseq - modseq >= HORIZON_CHANGES;
	if (!old && !r->damaged && change_parse(r->value, &c) == RC_OK)
		old = c.at_ms < p->t->now - HORIZON_MS;
	if (!old)
		return false;
	batch_delete(&p->t->batch, TABLE_CHANGE, r->key);
	p->floor = modseq;
	return true;
}

/* The change log has a horizon; behind it view_changes() says so. Bounded: 128 rows for every 64 written. */
static enum rc prune_changes(struct tx *t, struct tx_account *a)
{
	struct key from = key_change(a->row.a.id, 0), to = key_change(a->row.a.id, a->row.modseq);
	struct prune p = { t, a, a->row.floor };
	TRY(engine_scan(t->s->engine, TABLE_CHANGE, key_str(&from), key_str(&to), PRUNE_STEP, prune_row, &p, NULL));
	a->row.floor = p.floor;
	return RC_OK;
}

static void flush_change(struct tx *t, struct tx_account *a)
{
	if (!a->logged)
		return;
	char row[CHANGE_ROW_MAX];
	struct key k = key_change(a->row.a.id, a->row.modseq);
	a->logged = false;
	if (a->change.what == CHANGE_NEW)
		return;
	batch_put(&t->batch, TABLE_CHANGE, key_str(&k), change_format(&a->change, row));
}

static enum rc finish(struct tx *t)
{
	for (struct tx_account *a = t->accounts; a; a = a->next) {
		bool prune = a->logged && a->row.modseq % PRUNE_EVERY == 0;
		flush_change(t, a);
		if (prune)
			TRY(prune_changes(t, a));
		if (a->changed) {
			char row[ACCOUNT_ROW_MAX];
			struct key k = key_account(a->row.a.id);
			batch_put(&t->batch, TABLE_ACCOUNT, key_str(&k), account_format(&a->row, row));
		}
		if (a->folders_changed)
			batch_notice(&t->batch, a->row.a.id, 0, a->row.modseq);
	}
	for (struct tx_box *b = t->boxes; b; b = b->next) {
		if (!b->changed)
			continue;
		char row[BOX_ROW_MAX];
		struct key k = key_box(b->account->row.a.id, b->id);
		if (b->gone)
			batch_delete(&t->batch, TABLE_BOX, key_str(&k));
		else
			batch_put(&t->batch, TABLE_BOX, key_str(&k), box_format(&b->row, row));
		batch_notice(&t->batch, b->account->row.a.id, b->id, b->row.highestmodseq);
	}
	return RC_OK;
}

static enum rc run_once(struct store *s, verb *v, void *arg, struct why *why)
{
	struct tx t = { .s = s, .now = wall_ms() };
	batch_init(&t.batch);
	buf_init(&t.scratch, (size_t)1 << 30);
	enum rc rc = v(&t, arg, why);
	if (rc == RC_OK)
		rc = finish(&t);
	if (rc == RC_OK && (t.batch.failed || t.batch.mem.full))
		rc = why_fail(why, RC_NOMEM, 0, __FILE__, "no memory for a verb");
	if (rc == RC_OK)
		rc = engine_commit(s->engine, &t.batch, why);
	batch_done(&t.batch);
	buf_done(&t.scratch);
	return rc;
}

enum rc verb_run(struct store *s, verb *v, void *arg, struct why *why)
{
	if (s->read_only)
		FAIL(why, RC_DENIED, "the store is open for reading only");
	s->verbs++;
	enum rc rc = RC_CONFLICT;
	for (unsigned i = 0; i < TRIES && rc == RC_CONFLICT; i++)
		rc = run_once(s, v, arg, why);
	engine_settle(s->engine);
	if (rc == RC_CONFLICT)
		FAIL(why, RC_BUSY, "too many writers on one account");
	return rc;
}

/* ---- reading ---- */
enum rc tx_get(struct tx *t, enum table table, struct key k, struct str *out)
{
	TRY(engine_get(t->s->engine, table, key_str(&k), &t->scratch));
	*out = buf_str(&t->scratch);
	return RC_OK;
}

static enum rc no_memory(struct why *why) { FAIL(why, RC_NOMEM, "no memory for a verb"); }

enum rc tx_account_any(struct tx *t, uint64_t id, struct tx_account **out, struct why *why)
{
	for (struct tx_account *a = t->accounts; a; a = a->next)
		if (a->row.a.id == id)
			return *out = a, RC_OK;
	struct key k = key_account(id);
	struct str v;
	enum rc rc = tx_get(t, TABLE_ACCOUNT, k, &v);
	if (rc == RC_NOTFOUND)
		FAIL(why, rc, "no such account");
	if (rc != RC_OK)
		FAIL(why, rc, "the account's row cannot be read");
	struct tx_account *a = arena_new(&t->batch.mem, sizeof *a);
	v = arena_str(&t->batch.mem, v); /* its runs stay valid as long as the batch */
	if (!a || t->batch.mem.full)
		return no_memory(why);
	if (account_parse(v, &a->row) != RC_OK || a->row.a.id != id)
		FAIL(why, RC_DAMAGED, "the account's row is damaged");
	batch_expect(&t->batch, TABLE_ACCOUNT, key_str(&k), v);
	a->next = t->accounts;
	t->accounts = a;
	*out = a;
	return RC_OK;
}

enum rc tx_account(struct tx *t, uint64_t id, struct tx_account **out, struct why *why)
{
	struct tx_account *a;
	TRY(tx_account_any(t, id, &a, why));
	if (a->row.removing)
		FAIL(why, RC_NOTFOUND, "no such account");
	*out = a;
	return RC_OK;
}

enum rc tx_box(struct tx *t, struct tx_account *a, uint64_t id, struct tx_box **out, struct why *why)
{
	for (struct tx_box *b = t->boxes; b; b = b->next)
		if (b->id == id && b->account == a) {
			if (b->gone)
				FAIL(why, RC_NOTFOUND, "no such folder");
			return *out = b, RC_OK;
		}
	struct str v;
	enum rc rc = tx_get(t, TABLE_BOX, key_box(a->row.a.id, id), &v);
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_NOTFOUND ? "no such folder" : "the folder's row cannot be read");
	struct tx_box *b = arena_new(&t->batch.mem, sizeof *b);
	v = arena_str(&t->batch.mem, v);
	if (!b || t->batch.mem.full)
		return no_memory(why);
	if (box_parse(v, &b->row) != RC_OK)
		FAIL(why, RC_DAMAGED, "the folder's row is damaged");
	b->id = id;
	b->account = a;
	b->next = t->boxes;
	t->boxes = b;
	*out = b;
	return RC_OK;
}

enum rc tx_box_named(struct tx *t, struct tx_account *a, struct str canonical, struct tx_box **out, struct why *why)
{
	struct key k;
	struct str v;
	TRY(key_name(a->row.a.id, canonical, &k));
	enum rc rc = tx_get(t, TABLE_NAME, k, &v);
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_NOTFOUND ? "no such folder" : "the folder's name cannot be read");
	struct cursor c = cursor_of(v);
	return tx_box(t, a, cursor_u64(&c), out, why);
}

/* ---- writing ---- */
uint32_t tx_uidvalidity(struct tx *t, struct tx_account *a)
{
	/* RFC 3501 2.3.1.1: a folder made again under an old name must have a greater value: seconds, and never one twice. */
	uint32_t now = (uint32_t)(t->now / 1000);
	a->row.last_uidvalidity = now > a->row.last_uidvalidity ? now : a->row.last_uidvalidity + 1;
	a->changed = true;
	return a->row.last_uidvalidity;
}

enum rc tx_box_new(struct tx *t, struct tx_account *a, struct str canonical, uint32_t special_use, struct tx_box **out, struct why *why)
{
	struct key k;
	TRY(key_name(a->row.a.id, canonical, &k));
	struct tx_box *b = arena_new(&t->batch.mem, sizeof *b);
	if (!b)
		return no_memory(why);
	do
		TRY(random_bytes(&b->id, sizeof b->id));
	while (b->id == 0 || b->id == UINT64_MAX);
	b->account = a;
	b->row = (struct box_row){ .name = arena_str(&t->batch.mem, canonical), .special_use = special_use, .selectable = true,
		                   .uidvalidity = tx_uidvalidity(t, a), .uidnext = 1, .unseen_from = 1 };
	b->next = t->boxes;
	t->boxes = b;
	char id[8];
	struct pen p = { id, id + sizeof id, false };
	pen_int(&p, b->id, 8);
	batch_expect(&t->batch, TABLE_NAME, key_str(&k), STR(""));
	batch_put(&t->batch, TABLE_NAME, key_str(&k), str_of(id, sizeof id));
	(void)tx_change(t, b, CHANGE_FOLDERS, 0);
	*out = b;
	return RC_OK;
}

static bool extends(const struct change_row *c, uint64_t box, enum change_what what, uint32_t uid)
{
	if (c->box != box || c->what != what)
		return false;
	return uid == 0 || c->n < CHANGE_RANGES_MAX || c->r[c->n - 1].last + 1 == uid;
}

uint64_t tx_change(struct tx *t, struct tx_box *b, enum change_what what, uint32_t uid)
{
	struct tx_account *a = b->account;
	struct change_row *c = &a->change;
	if (!a->logged || !extends(c, b->id, what, uid)) {
		flush_change(t, a);
		a->row.modseq++;
		*c = (struct change_row){ .what = (uint8_t)what, .box = b->id, .at_ms = t->now };
		a->logged = true;
	}
	if (uid && c->n && c->r[c->n - 1].last + 1 == uid)
		c->r[c->n - 1].last = uid;
	else if (uid)
		c->r[c->n++] = (struct uid_range){ uid, uid };
	a->changed = b->changed = true;
	a->folders_changed |= what == CHANGE_FOLDERS;
	b->row.highestmodseq = a->row.modseq;
	return a->row.modseq;
}

/* ---- keywords ---- */
struct names { struct tx *t; struct str *out; };

static bool keyword_row(void *arg, const struct engine_row *r)
{
	struct names *n = arg;
	uint8_t bit = (uint8_t)r->key.p[r->key.n - 1];
	if (bit < 64) /* a damaged name keeps its bit */
		n->out[bit] = r->damaged ? STR("?") : arena_str(&n->t->batch.mem, r->value);
	return true;
}

enum rc tx_keyword_names(struct tx *t, struct tx_box *b)
{
	if (b->keywords)
		return RC_OK;
	b->keywords = arena_new(&t->batch.mem, 64 * sizeof *b->keywords);
	if (!b->keywords)
		return RC_NOMEM;
	for (size_t i = 0; i < 64; i++)
		b->keywords[i] = STR("");
	struct key from = key_keyword(b->id, 0), to = key_keyword_end(b->id);
	struct names n = { t, b->keywords };
	return engine_scan(t->s->engine, TABLE_KEYWORD, key_str(&from), key_str(&to), 64, keyword_row, &n, NULL);
}

static bool add_used(void *arg, const struct engine_row *r)
{
	uint64_t *used = arg;
	struct state_row s;
	*used |= r->damaged || state_parse(r->value, &s) != RC_OK ? UINT64_MAX : s.keywords;
	return *used != UINT64_MAX;
}

/* People change their minds about keywords for years; a folder must not be full of names that nothing bears. */
static enum rc reclaim_keywords(struct tx *t, struct tx_box *b, size_t *out_free)
{
	uint64_t used = b->row.exists > RECLAIM_MAX ? UINT64_MAX : b->keywords_asked;
	struct key from = key_uid(b->id, 0), to = key_uid_end(b->id);
	if (used != UINT64_MAX)
		TRY(engine_scan(t->s->engine, TABLE_STATE, key_str(&from), key_str(&to), SIZE_MAX, add_used, &used, NULL));
	if (used == UINT64_MAX)
		return RC_LIMIT;
	for (size_t i = 64; i > 0; i--) {
		if (used >> (i - 1) & 1)
			continue;
		struct key k = key_keyword(b->id, (uint8_t)(i - 1));
		batch_delete(&t->batch, TABLE_KEYWORD, key_str(&k));
		b->keywords[i - 1] = STR("");
		*out_free = i - 1;
	}
	(void)tx_change(t, b, CHANGE_KEYWORDS, 0);
	return RC_OK;
}

static enum rc keyword_bit(struct tx *t, struct tx_box *b, struct str name, bool make, uint64_t *bits, struct why *why)
{
	struct str *have = b->keywords;
	size_t free_bit = 64;
	for (size_t i = 64; i > 0; i--) {
		if (str_ieq(have[i - 1], name))
			return *bits |= 1ull << (i - 1), RC_OK;
		if (have[i - 1].n == 0)
			free_bit = i - 1;
	}
	if (!make)
		return RC_OK;
	enum rc rc = free_bit < 64 ? RC_OK : reclaim_keywords(t, b, &free_bit);
	if (rc == RC_LIMIT)
		FAIL(why, rc, "a folder has at most 64 keywords");
	TRY(rc);
	struct key k = key_keyword(b->id, (uint8_t)free_bit);
	batch_put(&t->batch, TABLE_KEYWORD, key_str(&k), name);
	have[free_bit] = arena_str(&t->batch.mem, name);
	*bits |= 1ull << free_bit;
	return RC_OK;
}

enum rc tx_keywords(struct tx *t, struct tx_box *b, const struct str *names, size_t n, bool make, uint64_t *out_bits, struct why *why)
{
	uint64_t bits = 0;
	if (n)
		TRY(tx_keyword_names(t, b));
	for (size_t i = 0; i < n; i++) {
		if (names[i].n == 0 || names[i].n > KEYWORD_MAX)
			FAIL(why, RC_LIMIT, "a keyword has 1 to %d octets", KEYWORD_MAX);
		TRY(keyword_bit(t, b, names[i], make, &bits, why));
		b->keywords_asked |= bits;
	}
	*out_bits = bits;
	return RC_OK;
}

/* ---- walking ranges ---- */
struct collect { struct message *out; size_t n, max; };

static bool collect_row(void *arg, const struct engine_row *r)
{
	struct collect *c = arg;
	struct message *m = &c->out[c->n++];
	*m = (struct message){ .uid = key_uid_of(r->key) };
	m->damaged = state_parse(r->value, &m->state) != RC_OK || r->damaged;
	return c->n < c->max;
}

enum rc walk_collect(struct tx *t, uint64_t box, struct range_walk *w, struct message *out, size_t max, size_t *out_n)
{
	struct collect c = { out, 0, max };
	while (w->i < w->n && c.n < max) {
		struct uid_range r = w->r[w->i];
		if (w->next > r.first)
			r.first = w->next;
		if (r.first > r.last || r.first == 0) {
			w->i++;
			w->next = 0;
			continue;
		}
		struct key from = key_uid(box, r.first), to = r.last == UINT32_MAX ? key_uid_end(box) : key_uid(box, r.last + 1);
		TRY(engine_scan(t->s->engine, TABLE_STATE, key_str(&from), key_str(&to), max - c.n, collect_row, &c, NULL));
		if (c.n < max || out[c.n - 1].uid >= r.last) { /* the range is used up */
			w->i++;
			w->next = 0;
		} else {
			w->next = out[c.n - 1].uid + 1;
		}
	}
	*out_n = c.n;
	return RC_OK;
}
