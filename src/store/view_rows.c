#include "store/view_inside.h"

#include "base/mem.h"

/* The hot paths: states in UID order, records and signatures beside them. Records lie in the order in which messages came, whosever they
 * are: in a folder that filled at once cursors step through them, elsewhere they seek. */
enum { HEAD_LEN = 32, PLACE_LEN = 20 };
#define DAMAGED_BIT 0x80000000u

static inline uint32_t load32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}

/* ---- runs ---- */
struct runs { struct arena *a; struct uid_range *r; size_t n, cap; };

static enum rc runs_add(struct runs *u, uint32_t uid)
{
	if (u->n && u->r[u->n - 1].last + 1 == uid)
		return u->r[u->n - 1].last = uid, RC_OK;
	if (u->n == u->cap) {
		size_t cap = u->cap ? u->cap * 2 : 16;
		struct uid_range *r = arena_new(u->a, cap * sizeof *r);
		if (!r)
			return RC_NOMEM;
		if (u->n)
			memcpy(r, u->r, u->n * sizeof *r);
		u->r = r;
		u->cap = cap;
	}
	u->r[u->n++] = (struct uid_range){ uid, uid };
	return RC_OK;
}

/* Keys only: what they say is checked when a row is read. */
static enum rc collect_runs(struct view *v, uint64_t box, struct runs *u)
{
	MDB_cursor *c;
	struct key from = key_uid(box, 0);
	MDB_val k = val_of(key_str(&from)), val;
	TRY(view_cursor(v, TABLE_STATE, &c));
	int err = mdb_cursor_get(c, &k, &val, MDB_SET_RANGE);
	for (; !err && k.mv_size == STATE_KEY_LEN && memcmp(k.mv_data, from.b, STATE_KEY_LEN - 4) == 0; err = mdb_cursor_get(c, &k, &val, MDB_NEXT))
		TRY(runs_add(u, load32((const char *)k.mv_data + STATE_KEY_LEN - 4)));
	return err && err != MDB_NOTFOUND ? index_error(err, "index: scan", NULL) : RC_OK;
}

static enum rc check_box(struct view *v, uint64_t account, uint64_t box, struct why *why)
{
	struct str raw;
	enum rc rc = view_get(v, TABLE_BOX, key_box(account, box), &raw);
	if (rc == RC_NOTFOUND)
		FAIL(why, rc, "no such folder");
	return rc == RC_DAMAGED ? RC_OK : rc; /* a damaged folder row does not hide its messages */
}

enum rc view_runs(struct view *v, uint64_t account, uint64_t box, struct arena *a, struct uid_range **out, size_t *out_n, struct why *why)
{
	struct runs u = { .a = a };
	TRY(view_begin(v, why));
	enum rc rc = check_box(v, account, box, why);
	if (rc == RC_OK)
		rc = collect_runs(v, box, &u);
	(void)view_end(v, rc);
	if (rc != RC_OK)
		FAIL(why, rc, "the folder cannot be read");
	*out = u.r;
	*out_n = u.n;
	return RC_OK;
}

/* ---- rows ---- */
/* A cursor that is led from key to key and usually finds the next one right behind the last. */
struct walker { MDB_cursor *c; bool placed; unsigned missed; };
struct one { uint32_t uid; bool ok; struct str key; const char *state; struct str record, grams; struct blob_place place; };
enum { WINDOW = 64 };

struct rows {
	struct view *v;
	uint64_t box;
	unsigned want;
	size_t start, max;
	struct buf *out;
	MDB_cursor *states;
	struct walker records, grams, blobs;
	uint32_t next;                  /* set when `max` ended it */
	struct one window[WINDOW]; size_t n; /* rows whose states are known: the rest is looked up for all of them together */
};

/* Not checked: what does not hold is found out by whoever opens it, for its seal covers it. */
static bool unchecked_value(MDB_val stored, struct str *out)
{
	*out = str_of(stored.mv_data, stored.mv_size > CHECK_LEN ? stored.mv_size - CHECK_LEN : 0);
	return stored.mv_size > CHECK_LEN;
}

/* The value under `key`. "" = none. */
static bool walk_to(struct walker *w, struct str key, bool check, struct str *out)
{
	MDB_val k, val;
	int err = MDB_NOTFOUND;
	*out = STR("");
	/* Where other accounts' mail lies between, the next one never is the right one: it is hardly tried any more. */
	if (w->placed && (w->missed < 4 || w->missed % 16 == 0)) {
		err = mdb_cursor_get(w->c, &k, &val, MDB_NEXT);
		if (!err && (k.mv_size != key.n || memcmp(k.mv_data, key.p, key.n) != 0))
			err = MDB_NOTFOUND;
	}
	w->missed = err ? w->missed + 1 : 0;
	if (err) {
		k = val_of(key);
		err = mdb_cursor_get(w->c, &k, &val, MDB_SET_KEY);
	}
	w->placed = !err;
	return err == MDB_NOTFOUND || (!err && (check ? index_value(key, val, out) : unchecked_value(val, out)));
}

static bool find_place(struct rows *r, struct str record, struct blob_place *out)
{
	struct record_clear clear;
	struct blob_row row;
	struct str sealed, raw;
	if (record_clear_parse(record, &clear, &sealed) != RC_OK)
		return false;
	struct key key = key_blob(&clear.blob);
	if (!walk_to(&r->blobs, key_str(&key), true, &raw) || blob_row_parse(raw, &row) != RC_OK)
		return false;
	*out = row.place;
	return true;
}

static char *put(char *p, uint64_t v, unsigned octets)
{
	if (octets == 8)
		v = __builtin_bswap64(v);
	else
		v = __builtin_bswap32((uint32_t)v);
	memcpy(p, &v, octets);
	return p + octets;
}

static char *put_run(char *p, struct str s)
{
	p = put(p, s.n, 4);
	memcpy(p, s.p, s.n);
	return p + s.n;
}

static bool write_row(struct rows *r, const struct one *m)
{
	size_t n = HEAD_LEN + (r->want & (ROW_RECORD | ROW_HEAD) ? 4 + m->record.n : 0) + (r->want & ROW_GRAMS ? 4 + m->grams.n : 0) +
	           (r->want & ROW_PLACE ? PLACE_LEN : 0);
	size_t used = r->out->len - r->start;
	if ((used && used + n > r->max) || (r->out->len && used && n > r->out->max - r->out->len)) {
		r->next = m->uid;
		return false;
	}
	if (!buf_room(r->out, n))
		return false;
	char *p = put(r->out->p + r->out->len, m->uid, 4);
	if (m->ok) { /* stored: modseq 8, flags 4, size 4, keywords 8, all big-endian: copied as they are */
		memcpy(p, m->state + 8, 4);
		memcpy(p + 4, m->state + 16, 8);
		memcpy(p + 12, m->state, 8);
		p = put(p + 20, load32(m->state + 12), 8);
	} else {
		p = put(p, DAMAGED_BIT, 4);
		memset(p, 0, 24);
		p += 24;
	}
	if (r->want & (ROW_RECORD | ROW_HEAD))
		p = put_run(p, m->record);
	if (r->want & ROW_GRAMS)
		p = put_run(p, m->grams);
	if (r->want & ROW_PLACE) {
		p = put(p, m->place.segment, 4);
		p = put(p, m->place.offset, 8);
		p = put(p, m->place.length, 8);
	}
	r->out->len += n;
	return true;
}

/* org, e-mail id (from the state), box, uid */
static struct str record_key(struct str state_key, const char *state, char out[RECORD_KEY_LEN])
{
	memcpy(out, state_key.p, 4);
	memcpy(out + 4, state + STATE_EMAIL_AT, 8);
	memcpy(out + 12, state_key.p + 4, STATE_KEY_LEN - 4);
	return str_of(out, RECORD_KEY_LEN);
}

static void load_beside(struct rows *r, struct one *m)
{
	char room[RECORD_KEY_LEN];
	struct str key = record_key(m->key, m->state, room);
	bool head = (r->want & (ROW_RECORD | ROW_HEAD)) == ROW_HEAD;
	if (r->want & (ROW_RECORD | ROW_HEAD | ROW_PLACE))
		m->ok = walk_to(&r->records, key, !head, &m->record) && m->record.n;
	if (m->ok && r->want & ROW_GRAMS)
		m->ok = walk_to(&r->grams, key, true, &m->grams);
	if (m->ok && r->want & ROW_PLACE)
		m->ok = find_place(r, m->record, &m->place);
	if (m->ok && head)
		m->ok = (m->record = record_head(m->record)).n > 0;
	if (!m->ok) {
		m->record = m->grams = STR("");
		m->place = (struct blob_place){ 0 };
	}
}

/* Messages that came at the same time from several sides have ids in another order than UIDs: looked up in the order of ids they lie one
 * behind the other. */
static void load_window(struct rows *r)
{
	struct { uint64_t id; unsigned at; } order[WINDOW];
	size_t n = 0;
	for (unsigned i = 0; i < r->n; i++) {
		uint64_t id;
		if (!r->window[i].ok)
			continue;
		memcpy(&id, r->window[i].state + STATE_EMAIL_AT, 8);
		id = __builtin_bswap64(id);
		size_t k = n++;
		for (; k && order[k - 1].id > id; k--)
			order[k] = order[k - 1];
		order[k].id = id;
		order[k].at = i;
	}
	for (size_t k = 0; k < n; k++)
		load_beside(r, &r->window[order[k].at]);
}

/* false: the answer is full (or broken). */
static bool flush_window(struct rows *r)
{
	if (r->want & (ROW_RECORD | ROW_HEAD | ROW_GRAMS | ROW_PLACE))
		load_window(r);
	size_t n = r->n;
	r->n = 0;
	for (size_t i = 0; i < n; i++)
		if (!write_row(r, &r->window[i]))
			return false;
	return true;
}

static bool write_range(struct rows *r, struct uid_range range, int *err)
{
	struct key from = key_uid(r->box, range.first);
	MDB_val k = val_of(key_str(&from)), val;
	*err = mdb_cursor_get(r->states, &k, &val, MDB_SET_RANGE);
	for (; !*err; *err = mdb_cursor_get(r->states, &k, &val, MDB_NEXT)) {
		if (k.mv_size != STATE_KEY_LEN || memcmp(k.mv_data, from.b, STATE_KEY_LEN - 4) != 0)
			break;
		struct str state;
		struct one *m = &r->window[r->n];
		*m = (struct one){ .uid = load32((const char *)k.mv_data + STATE_KEY_LEN - 4), .key = str_val(k), .record = STR(""), .grams = STR("") };
		if (m->uid > range.last)
			break;
		m->ok = index_value(m->key, val, &state) && state.n == STATE_LEN;
		m->state = state.p;
		if (++r->n == WINDOW && !flush_window(r))
			return false;
	}
	return true;
}

static enum rc write_ranges(struct rows *r, const struct uid_range *ranges, size_t n)
{
	TRY(view_cursor(r->v, TABLE_STATE, &r->states));
	if (r->want & (ROW_RECORD | ROW_HEAD | ROW_PLACE))
		TRY(view_cursor(r->v, TABLE_RECORD, &r->records.c));
	if (r->want & ROW_GRAMS)
		TRY(view_cursor(r->v, TABLE_GRAMS, &r->grams.c));
	if (r->want & ROW_PLACE)
		TRY(view_cursor(r->v, TABLE_BLOB, &r->blobs.c));
	int err = 0;
	bool more = true;
	for (size_t i = 0; more && i < n; i++) {
		if (ranges[i].first > ranges[i].last)
			continue;
		more = write_range(r, ranges[i], &err) && (!err || err == MDB_NOTFOUND);
	}
	if (more)
		(void)flush_window(r);
	if (r->out->failed)
		return RC_LIMIT;
	return err && err != MDB_NOTFOUND ? index_error(err, "index: rows", NULL) : RC_OK;
}

enum rc view_rows(struct view *v, uint64_t account, uint64_t box, const struct uid_range *r, size_t n, unsigned want, size_t max_bytes,
                  struct buf *out, uint32_t *out_next, struct why *why)
{
	struct rows rows = { .v = v, .box = box, .want = want, .start = out->len, .max = max_bytes, .out = out };
	TRY(view_begin(v, why));
	enum rc rc = check_box(v, account, box, why);
	if (rc == RC_OK)
		rc = write_ranges(&rows, r, n);
	(void)view_end(v, rc);
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_LIMIT ? "a row larger than the answer may be" : "the folder cannot be read");
	*out_next = rows.next;
	return RC_OK;
}

/* ---- changes ---- */
struct changes {
	struct view *v;
	uint64_t account, box;
	uint64_t since;
	MDB_cursor *states;             /* walks over what came since then, oldest first */
	uint32_t fresh_uid;             /* where it stands; 0: at the end */
	struct state_row fresh;
	struct arena *a;
	struct box_change *out;
	size_t n, cap, max;
	uint64_t reached;
	bool more;
};

static enum rc add_change(struct changes *c, const struct box_change *x)
{
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 16;
		struct box_change *p = arena_new(c->a, cap * sizeof *p);
		if (!p)
			return RC_NOMEM;
		if (c->n)
			memcpy(p, c->out, c->n * sizeof *p);
		c->out = p;
		c->cap = cap;
	}
	c->out[c->n++] = *x;
	return RC_OK;
}

/* A change of a message that changed again later is told there; one of a message that is gone by now with its removal. */
static enum rc expand_range(struct changes *c, uint64_t modseq, uint8_t what, struct uid_range r)
{
	for (uint64_t uid = r.first; uid <= r.last; uid++) {
		struct box_change x = { .modseq = modseq, .uid = (uint32_t)uid, .expunged = what == CHANGE_EXPUNGED };
		struct str raw;
		struct state_row s = { 0 };
		if (!x.expunged) {
			enum rc rc = view_get(c->v, TABLE_STATE, key_uid(c->box, x.uid), &raw);
			if (rc == RC_NOTFOUND || rc == RC_DAMAGED)
				continue;
			TRY(rc);
			if (state_parse(raw, &s) != RC_OK || s.modseq != modseq)
				continue;
		}
		x.flags = s.flags;
		x.keywords = s.keywords;
		TRY(add_change(c, &x));
	}
	return RC_OK;
}

/* ---- what came: no change row says so. Messages come at the folder's end, so they are those behind the last one that is not newer than
 * `since`, but for the ones that changed later, whose change row tells of them ---- */
static bool fresh_one(struct changes *c, MDB_cursor_op op, MDB_val *k, struct state_row *s, bool *out_ok)
{
	MDB_val val;
	struct key from = key_uid(c->box, 0);
	struct str raw;
	if (mdb_cursor_get(c->states, k, &val, op) != 0 || k->mv_size != STATE_KEY_LEN || memcmp(k->mv_data, from.b, STATE_KEY_LEN - 4) != 0)
		return false;
	*out_ok = index_value(str_val(*k), val, &raw) && state_parse(raw, s) == RC_OK;
	return true;
}

static void fresh_next(struct changes *c, MDB_cursor_op op, uint32_t from_uid)
{
	struct key from = key_uid(c->box, from_uid);
	MDB_val k = val_of(key_str(&from));
	struct str raw;
	bool ok;
	for (; fresh_one(c, op, &k, &c->fresh, &ok); op = MDB_NEXT) {
		c->fresh_uid = key_uid_of(str_val(k));
		if (ok && c->fresh.modseq > c->since && view_get(c->v, TABLE_CHANGE, key_change(c->account, c->fresh.modseq), &raw) == RC_NOTFOUND)
			return;
	}
	c->fresh_uid = 0;
}

static enum rc fresh_begin(struct changes *c)
{
	struct key end = key_uid_end(c->box);
	MDB_val k = val_of(key_str(&end)), val;
	struct state_row s;
	bool ok;
	uint32_t first = 0;
	TRY(view_cursor(c->v, TABLE_STATE, &c->states));
	MDB_cursor_op back = mdb_cursor_get(c->states, &k, &val, MDB_SET_RANGE) == 0 ? MDB_PREV : MDB_LAST;
	for (; fresh_one(c, back, &k, &s, &ok) && (!ok || s.modseq > c->since); back = MDB_PREV)
		first = key_uid_of(str_val(k));
	if (first)
		fresh_next(c, MDB_SET_RANGE, first);
	return RC_OK;
}

/* Those that came before `modseq`. RC_AGAIN: `max` is reached; one modseq is never split. */
static enum rc tell_fresh(struct changes *c, uint64_t modseq)
{
	for (; c->fresh_uid && c->fresh.modseq < modseq; fresh_next(c, MDB_NEXT, 0)) {
		if (c->n >= c->max && c->fresh.modseq != c->reached)
			return c->more = true, RC_AGAIN;
		struct box_change x = { .modseq = c->fresh.modseq, .uid = c->fresh_uid, .flags = c->fresh.flags, .keywords = c->fresh.keywords };
		TRY(add_change(c, &x));
		c->reached = x.modseq;
	}
	return RC_OK;
}

/* Something happened to the folder itself: is it still one that holds messages? */
static enum rc box_stands(const struct changes *c)
{
	struct str raw;
	struct box_row row;
	enum rc rc = view_get(c->v, TABLE_BOX, key_box(c->account, c->box), &raw);
	return rc == RC_OK && box_parse(raw, &row) == RC_OK && !row.selectable ? RC_NOTFOUND : rc;
}

static enum rc change_row(void *arg, const struct engine_row *r)
{
	struct changes *c = arg;
	struct change_row row;
	uint64_t modseq = key_second(r->key);
	TRY(tell_fresh(c, modseq));
	if (c->n >= c->max) {
		c->more = true;
		return RC_AGAIN;
	}
	if (r->damaged || change_parse(r->value, &row) != RC_OK)
		return RC_NOTFOUND; /* what it said is lost: the session looks at everything again */
	c->reached = modseq;
	if (row.what == CHANGE_FOLDERS)
		return c->box == 0 ? add_change(c, &(struct box_change){ .modseq = modseq }) : row.box == c->box ? box_stands(c) : RC_OK;
	if (row.box != c->box)
		return RC_OK;
	if (row.what == CHANGE_KEYWORDS)
		return RC_NOTFOUND; /* bits that the session has names for mean others now */
	for (size_t i = 0; i < row.n; i++)
		TRY(expand_range(c, modseq, row.what, row.r[i]));
	return RC_OK;
}

static enum rc collect_changes(struct view *v, uint64_t account, uint64_t since, struct changes *c, struct why *why)
{
	struct str raw;
	struct account_row a;
	TRY(view_get(v, TABLE_ACCOUNT, key_account(account), &raw));
	TRY(account_parse(raw, &a));
	if (a.removing)
		FAIL(why, RC_NOTFOUND, "no such account");
	if (since < a.floor)
		FAIL(why, RC_NOTFOUND, "changes that far back are forgotten");
	c->reached = c->since = since > a.modseq ? a.modseq : since;
	if (c->box)
		TRY(fresh_begin(c));
	struct key to = key_change(account, UINT64_MAX);
	TRY(view_each(v, TABLE_CHANGE, key_change(account, c->reached + 1), to, change_row, c));
	enum rc rc = c->more ? RC_OK : tell_fresh(c, UINT64_MAX);
	if (!c->more)
		c->reached = a.modseq;
	return rc == RC_AGAIN ? RC_OK : rc;
}

enum rc view_changes(struct view *v, uint64_t account, uint64_t box, uint64_t since, size_t max, struct arena *a, struct box_change **out, size_t *out_n,
                     uint64_t *out_modseq, bool *out_more, struct why *why)
{
	struct changes c = { .v = v, .account = account, .box = box, .a = a, .max = max ? max : 1 };
	TRY(view_begin(v, why));
	enum rc rc = view_end(v, collect_changes(v, account, since, &c, why));
	if (rc != RC_OK)
		FAIL(why, rc, "the change log cannot say");
	*out = c.out;
	*out_n = c.n;
	*out_modseq = c.reached;
	*out_more = c.more;
	return RC_OK;
}
