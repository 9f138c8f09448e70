#include "store/view_inside.h"

#include "base/mem.h"
#include <stdlib.h>

/* ---- snapshots: one per call, taken by renew and let go by reset ---- */
enum rc view_begin(struct view *v, struct why *why)
{
	if (v->index->lacks_recent)
		index_look_again(v->index);
	return index_error(mdb_txn_renew(v->txn), "index: snapshot", why);
}
enum rc view_end(struct view *v, enum rc rc)
{
	mdb_txn_reset(v->txn);
	return rc;
}

enum rc view_open(const char *dir, uint64_t map_size, struct view **out, struct why *why)
{
	struct view *v = mem_new(sizeof *v);
	if (!v)
		FAIL(why, RC_NOMEM, "no memory for a view");
	enum rc rc = index_open(dir, map_size, false, &v->index, why);
	if (rc == RC_OK)
		rc = index_error(mdb_txn_begin(v->index->env, NULL, MDB_RDONLY, &v->txn), "index: reader", why);
	if (rc != RC_OK) {
		view_close(&v);
		return rc;
	}
	mdb_txn_reset(v->txn);
	*out = v;
	return RC_OK;
}

void view_close(struct view **vp)
{
	struct view *v = *vp;
	*vp = NULL;
	if (!v)
		return;
	for (size_t i = 0; i < TABLE_COUNT; i++)
		if (v->cursors[i])
			mdb_cursor_close(v->cursors[i]);
	if (v->txn)
		mdb_txn_abort(v->txn);
	index_close(&v->index);
	mem_free(v);
}

enum rc view_get(struct view *v, enum table t, struct key k, struct str *out) { return index_get(v->index, v->txn, t, key_str(&k), out); }

/* Cursors live as long as the view; renewing one costs less than making one. */
enum rc view_cursor(struct view *v, enum table t, MDB_cursor **out)
{
	int err = v->cursors[t] ? mdb_cursor_renew(v->txn, v->cursors[t]) : mdb_cursor_open(v->txn, v->index->dbi[t], &v->cursors[t]);
	*out = v->cursors[t];
	return index_error(err, "index: cursor", NULL);
}

/* ---- directory ---- */
static enum rc account_out(const struct account_row *r, struct arena *a, struct account *out)
{
	*out = r->a;
	out->address = arena_str(a, r->a.address);
	out->name = arena_str(a, r->a.name);
	return a->full ? RC_NOMEM : RC_OK;
}

static enum rc get_account(struct view *v, uint64_t id, struct arena *a, struct account *out)
{
	struct str raw;
	struct account_row r;
	TRY(view_get(v, TABLE_ACCOUNT, key_account(id), &raw));
	TRY(account_parse(raw, &r));
	return r.removing ? RC_NOTFOUND : account_out(&r, a, out);
}

/* RC_EXISTS: it is a group's. */
static enum rc by_address(struct view *v, struct str address, struct arena *a, struct account *out)
{
	struct str raw;
	struct address_row r;
	TRY(view_get(v, TABLE_ADDRESS, key_address(address), &raw));
	TRY(address_row_parse(raw, &r));
	return r.kind == ADDRESS_GROUP ? RC_EXISTS : get_account(v, r.id, a, out);
}

static enum rc find_address(struct view *v, struct str address, struct arena *a, struct account *out, struct str *out_tag, struct why *why)
{
	struct str domain = address_domain(address), raw, catch_all;
	enum rc rc = view_get(v, TABLE_DOMAIN, key_domain(domain), &raw);
	if (rc == RC_NOTFOUND)
		FAIL(why, RC_DENIED, "the domain is not ours");
	TRY(rc);
	TRY(domain_row_parse(raw, &catch_all));
	catch_all = arena_str(a, catch_all);
	*out_tag = STR("");
	rc = by_address(v, address, a, out);
	if (rc == RC_NOTFOUND) {
		char text[ADDRESS_MAX];
		struct str tag, base = address_base(address, text, &tag);
		rc = by_address(v, base, a, out);
		if (rc == RC_OK)
			*out_tag = arena_str(a, tag);
	}
	if (rc == RC_NOTFOUND && catch_all.n)
		rc = by_address(v, catch_all, a, out);
	if (rc == RC_EXISTS)
		FAIL(why, RC_NOTFOUND, "a group's address, not an account's");
	if (rc == RC_NOTFOUND)
		FAIL(why, rc, "no such address");
	return rc == RC_OK && a->full ? RC_NOMEM : rc;
}

enum rc view_address(struct view *v, struct str address, struct arena *a, struct account *out, struct str *out_tag, struct why *why)
{
	char text[ADDRESS_MAX];
	struct str canonical;
	enum rc rc = address_canonical(address, text, &canonical);
	if (rc != RC_OK)
		FAIL(why, rc == RC_LIMIT ? RC_LIMIT : RC_DENIED, "not an address of ours");
	TRY(view_begin(v, why));
	return view_end(v, find_address(v, canonical, a, out, out_tag, why));
}

enum rc view_account(struct view *v, uint64_t id, struct arena *a, struct account *out, struct why *why)
{
	TRY(view_begin(v, why));
	enum rc rc = view_end(v, get_account(v, id, a, out));
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_NOTFOUND ? "no such account" : "the account's row cannot be read");
	return RC_OK;
}

enum rc view_each(struct view *v, enum table t, struct key from, struct key to, view_row *each, void *arg)
{
	MDB_cursor *c;
	MDB_val k = val_of(key_str(&from)), val;
	TRY(view_cursor(v, t, &c));
	int err = mdb_cursor_get(c, &k, &val, MDB_SET_RANGE);
	for (; !err && str_cmp(str_val(k), key_str(&to)) < 0; err = mdb_cursor_get(c, &k, &val, MDB_NEXT)) {
		struct engine_row r = { .key = str_val(k), .value = STR("") };
		r.damaged = !index_value(r.key, val, &r.value);
		enum rc rc = each(arg, &r);
		if (rc != RC_OK)
			return rc == RC_AGAIN ? RC_OK : rc;
	}
	return err && err != MDB_NOTFOUND ? index_error(err, "index: scan", NULL) : RC_OK;
}

void *view_list_add(struct view_list *l, size_t item)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		char *p = arena_new(l->a, cap * item);
		if (!p)
			return NULL;
		if (l->n)
			memcpy(p, l->items, l->n * item);
		l->items = p;
		l->cap = cap;
	}
	return (char *)l->items + item * l->n++;
}

static enum rc domain_row(void *arg, const struct engine_row *r)
{
	struct view_list *l = arg; /* of names, and of their catch-alls */
	struct str *d = view_list_add(&l[0], sizeof *d), *to = view_list_add(&l[1], sizeof *to), catch_all;
	if (!d || !to)
		return RC_NOMEM;
	*d = arena_str(l->a, str_skip(r->key, 4));
	*to = !r->damaged && domain_row_parse(r->value, &catch_all) == RC_OK ? arena_str(l->a, catch_all) : STR("");
	return l->a->full ? RC_NOMEM : RC_OK;
}

enum rc view_domains(struct view *v, struct arena *a, struct str **out, struct str **out_catch_alls, size_t *out_n, struct why *why)
{
	struct view_list l[2] = { { .v = v, .a = a }, { .v = v, .a = a } };
	TRY(view_begin(v, why));
	TRY(view_end(v, view_each(v, TABLE_DOMAIN, view_first(), view_last(), domain_row, l)));
	*out = l[0].items;
	*out_catch_alls = l[1].items;
	*out_n = l[0].n;
	return RC_OK;
}

static enum rc address_row(void *arg, const struct engine_row *r)
{
	struct view_list *l = arg;
	struct address_row row;
	if (r->damaged || address_row_parse(r->value, &row) != RC_OK || row.kind != ADDRESS_ACCOUNT)
		return RC_OK;
	if (l->n == l->max)
		return RC_AGAIN;
	struct account found, *slot;
	enum rc rc = get_account(l->v, row.id, l->a, &found);
	if (rc == RC_NOTFOUND || rc == RC_DAMAGED)
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	slot = view_list_add(l, sizeof *slot);
	if (!slot)
		return RC_NOMEM;
	*slot = found;
	return RC_OK;
}

enum rc view_accounts(struct view *v, struct str after_address, size_t max, struct arena *a, struct account **out, size_t *out_n, struct why *why)
{
	char text[ADDRESS_MAX];
	struct str after;
	struct key from = view_first();
	struct view_list l = { .v = v, .a = a, .max = max };
	if (after_address.n) {
		enum rc rc = address_canonical(after_address, text, &after);
		if (rc != RC_OK)
			FAIL(why, rc, "not an address");
		from = key_address(after);
		from.b[from.n++] = 0; /* behind it */
	}
	TRY(view_begin(v, why));
	TRY(view_end(v, view_each(v, TABLE_ADDRESS, from, view_last(), address_row, &l)));
	*out = l.items;
	*out_n = l.n;
	return RC_OK;
}

/* ---- folders ---- */
static enum rc keyword_row(void *arg, const struct engine_row *r)
{
	struct { struct arena *a; struct box_info *b; } *k = arg;
	uint8_t bit = (uint8_t)r->key.p[r->key.n - 1];
	if (bit < 64)
		k->b->keywords[bit] = r->damaged ? STR("?") : arena_str(k->a, r->value);
	return RC_OK;
}

static enum rc box_out(struct view *v, uint64_t account, uint64_t id, const struct box_row *r, struct arena *a, struct box_info *out)
{
	*out = (struct box_info){ .id = id, .name = arena_str(a, r->name), .special_use = r->special_use,
		                  .selectable = r->selectable, .uidvalidity = r->uidvalidity, .uidnext = r->uidnext, .exists = r->exists,
		                  .unseen = r->unseen, .highestmodseq = r->highestmodseq, .size = r->size };
	for (size_t i = 0; i < 64; i++)
		out->keywords[i] = STR("");
	struct key name;
	struct str raw;
	TRY(key_name(account, r->name, &name));
	enum rc rc = view_get(v, TABLE_SUBSCRIPTION, name, &raw);
	if (rc != RC_OK && rc != RC_NOTFOUND && rc != RC_DAMAGED)
		return rc;
	out->subscribed = rc == RC_OK;
	struct { struct arena *a; struct box_info *b; } k = { a, out };
	TRY(view_each(v, TABLE_KEYWORD, key_keyword(id, 0), key_keyword_end(id), keyword_row, &k));
	return a->full ? RC_NOMEM : RC_OK;
}

static enum rc subscription_row(void *arg, const struct engine_row *r)
{
	struct view_list *l = arg;
	struct str raw;
	struct key k = { .n = r->key.n };
	if (r->damaged || r->key.n > sizeof k.b)
		return RC_OK;
	memcpy(k.b, r->key.p, r->key.n);
	enum rc rc = view_get(l->v, TABLE_NAME, k, &raw); /* both tables have the same keys */
	if (rc != RC_NOTFOUND)
		return rc == RC_DAMAGED ? RC_OK : rc;
	struct str *name = view_list_add(l, sizeof *name);
	if (!name)
		return RC_NOMEM;
	*name = arena_str(l->a, r->value);
	return l->a->full ? RC_NOMEM : RC_OK;
}

static enum rc box_row(void *arg, const struct engine_row *r)
{
	struct view_list *l = arg;
	struct box_row row;
	if (r->damaged || box_parse(r->value, &row) != RC_OK)
		return RC_OK; /* verify names it; the others are served */
	struct box_info *b = view_list_add(l, sizeof *b);
	return b ? box_out(l->v, key_first_of(r->key), key_second(r->key), &row, l->a, b) : RC_NOMEM;
}

static int by_name(const void *a, const void *b)
{
	const struct box_info *x = a, *y = b;
	bool xi = str_eq(x->name, STR("INBOX")), yi = str_eq(y->name, STR("INBOX"));
	return xi != yi ? (xi ? -1 : 1) : str_cmp(x->name, y->name);
}

enum rc view_folders(struct view *v, uint64_t account, struct arena *a, struct box_info **out, size_t *out_n, struct str **out_names,
                     size_t *out_names_n, struct why *why)
{
	struct view_list l = { .v = v, .a = a }, names = { .v = v, .a = a };
	struct account who;
	TRY(view_begin(v, why));
	enum rc rc = get_account(v, account, a, &who);
	if (rc == RC_OK)
		rc = view_each(v, TABLE_BOX, key_box(account, 0), key_box_end(account), box_row, &l);
	if (rc == RC_OK && out_names)
		rc = view_each(v, TABLE_SUBSCRIPTION, key_name_first(account), key_name_end(account), subscription_row, &names);
	(void)view_end(v, rc);
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_NOTFOUND ? "no such account" : "the folders cannot be read");
	if (l.n)
		qsort(l.items, l.n, sizeof(struct box_info), by_name);
	*out = l.items;
	*out_n = l.n;
	if (out_names) {
		*out_names = names.items;
		*out_names_n = names.n;
	}
	return RC_OK;
}

enum rc view_boxes(struct view *v, uint64_t account, struct arena *a, struct box_info **out, size_t *out_n, struct why *why)
{
	return view_folders(v, account, a, out, out_n, NULL, NULL, why);
}

static enum rc first_unseen(void *arg, const struct engine_row *r)
{
	struct state_row s;
	if (r->damaged || state_parse(r->value, &s) != RC_OK || s.flags & 1)
		return RC_OK;
	*(uint32_t *)arg = key_uid_of(r->key);
	return RC_AGAIN;
}

static enum rc get_box(struct view *v, uint64_t account, uint64_t box, struct arena *a, struct box_info *out)
{
	struct str raw;
	struct box_row r;
	TRY(view_get(v, TABLE_BOX, key_box(account, box), &raw));
	TRY(box_parse(raw, &r));
	TRY(box_out(v, account, box, &r, a, out));
	out->recent_from = recent_of(view_get(v, TABLE_RECENT, key_box(account, box), &raw), raw, r.uidnext);
	return r.unseen == 0 ? RC_OK : view_each(v, TABLE_STATE, key_uid(box, r.unseen_from), key_uid_end(box), first_unseen, &out->first_unseen_uid);
}

enum rc view_box(struct view *v, uint64_t account, uint64_t box, struct arena *a, struct box_info *out, struct why *why)
{
	TRY(view_begin(v, why));
	enum rc rc = view_end(v, get_box(v, account, box, a, out));
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_NOTFOUND ? "no such folder" : "the folder's row cannot be read");
	return RC_OK;
}

enum rc view_box_named(struct view *v, uint64_t account, struct str name, struct arena *a, struct box_info *out, struct why *why)
{
	char text[NAME_MAX_OCTETS];
	struct str canonical, raw;
	struct key k;
	TRY(name_canonical(name, text, &canonical, why));
	TRY(key_name(account, canonical, &k));
	TRY(view_begin(v, why));
	enum rc rc = view_get(v, TABLE_NAME, k, &raw);
	if (rc == RC_OK) {
		struct cursor c = cursor_of(raw);
		rc = get_box(v, account, cursor_u64(&c), a, out);
	}
	(void)view_end(v, rc);
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_NOTFOUND ? "no such folder" : "the folder's row cannot be read");
	return RC_OK;
}

/* ---- bodies and epochs ---- */
enum rc view_place(struct view *v, const struct blob_id *id, struct blob_place *out, struct why *why)
{
	struct str raw;
	struct blob_row r;
	TRY(view_begin(v, why));
	enum rc rc = view_get(v, TABLE_BLOB, key_blob(id), &raw);
	if (rc == RC_OK)
		rc = blob_row_parse(raw, &r);
	(void)view_end(v, rc);
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_NOTFOUND ? "no such body" : "the body's row cannot be read");
	*out = r.place;
	return RC_OK;
}

struct epochs { struct buf *out; size_t start, max; uint64_t next; };

static enum rc epoch_row(void *arg, const struct engine_row *r)
{
	struct epochs *e = arg;
	if (r->damaged || r->value.n < 2)
		return RC_OK; /* its messages cannot be opened; verify names it */
	size_t used = e->out->len - e->start;
	if (used && used + 13 + r->value.n > e->max) {
		e->next = key_second(r->key);
		return RC_AGAIN;
	}
	buf_u64(e->out, key_second(r->key));
	buf_u8(e->out, (uint8_t)r->value.p[0]);
	buf_run(e->out, str_skip(r->value, 1));
	return e->out->failed ? RC_NOMEM : RC_OK;
}

enum rc view_epochs(struct view *v, uint64_t owner, uint64_t from, size_t max_bytes, struct buf *out, uint64_t *out_next, struct why *why)
{
	struct epochs e = { .out = out, .start = out->len, .max = max_bytes };
	struct key to = key_pair(owner, UINT64_MAX);
	to.b[to.n++] = 0; /* an epoch's id may be anything */
	TRY(view_begin(v, why));
	TRY(view_end(v, view_each(v, TABLE_EPOCH, key_pair(owner, from), to, epoch_row, &e)));
	*out_next = e.next;
	return RC_OK;
}
