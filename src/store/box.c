#include "store/folder.h"

/* Folders: names are paths, so renaming one renames what lies below it, and making one makes what lies above it. */
enum { FOLDERS_MAX = 10000, SUBSCRIPTIONS_MAX = 10000, REMOVE_STEP = 1024, REMOVE_TRIES = 1 << 20 };
static const struct str inbox = STR_INIT("INBOX");

/* ---- all folders of an account ---- */
struct listing { struct tx *t; struct folder_name *out; size_t n; bool failed; };

static bool list_row(void *arg, const struct engine_row *r)
{
	struct listing *l = arg;
	struct box_row row;
	if (r->damaged || box_parse(r->value, &row) != RC_OK)
		return true;
	struct folder_name *f = arena_new(&l->t->batch.mem, sizeof *f);
	if (!f)
		return !(l->failed = true);
	*f = (struct folder_name){ key_second(r->key), arena_str(&l->t->batch.mem, row.name), l->out };
	l->out = f;
	l->n++;
	return true;
}

enum rc tx_folders(struct tx *t, struct tx_account *a, struct folder_name **out, size_t *out_n)
{
	struct key from = key_box(a->row.a.id, 0), to = key_box_end(a->row.a.id);
	struct listing l = { .t = t };
	TRY(engine_scan(t->s->engine, TABLE_BOX, key_str(&from), key_str(&to), FOLDERS_MAX + 16, list_row, &l, NULL));
	*out = l.out;
	*out_n = l.n;
	return l.failed || t->batch.mem.full ? RC_NOMEM : RC_OK;
}

static bool lies_below(struct str name, struct str parent)
{
	return name.n > parent.n && str_starts(name, parent) && name.p[parent.n] == '/';
}

static bool exists(const struct folder_name *all, struct str name)
{
	for (; all; all = all->next)
		if (str_eq(all->name, name))
			return true;
	return false;
}

static bool has_children(const struct folder_name *all, struct str name)
{
	for (; all; all = all->next)
		if (lies_below(all->name, name))
			return true;
	return false;
}

/* ---- create ---- */
struct create { uint64_t account; struct str name; uint32_t special_use; uint64_t id; };

/* RFC 3501 6.3.3: "the server SHOULD create any superior hierarchical names that are needed". */
static enum rc make_parents(struct tx *t, struct tx_account *a, const struct folder_name *all, struct str name, struct why *why)
{
	for (size_t i = 0; i < name.n; i++) {
		struct tx_box *parent;
		if (name.p[i] == '/' && !exists(all, str_head(name, i)))
			TRY(tx_box_new(t, a, str_head(name, i), 0, &parent, why));
	}
	return RC_OK;
}

static enum rc create(struct tx *t, void *arg, struct why *why)
{
	struct create *c = arg;
	struct tx_account *a;
	struct tx_box *b;
	struct folder_name *all;
	size_t n;
	TRY(tx_account(t, c->account, &a, why));
	enum rc rc = tx_box_named(t, a, c->name, &b, why);
	if (rc == RC_OK && b->row.selectable)
		FAIL(why, RC_EXISTS, "there is a folder of this name");
	if (rc == RC_OK) { /* it was removed while it had children: now it holds messages again, as a new folder */
		b->row.selectable = true;
		b->row.special_use = c->special_use;
		b->row.uidvalidity = tx_uidvalidity(t, a);
		(void)tx_change(t, b, CHANGE_FOLDERS, 0);
		c->id = b->id;
		return RC_OK;
	}
	if (rc != RC_NOTFOUND)
		return rc;
	TRY(tx_folders(t, a, &all, &n));
	if (n + 20 > FOLDERS_MAX)
		FAIL(why, RC_LIMIT, "an account has at most %d folders", FOLDERS_MAX);
	TRY(make_parents(t, a, all, c->name, why));
	TRY(tx_box_new(t, a, c->name, c->special_use, &b, why));
	c->id = b->id;
	return RC_OK;
}

enum rc box_create(struct store *s, uint64_t account, struct str name, uint32_t special_use, uint64_t *out_id, struct why *why)
{
	char text[NAME_MAX_OCTETS];
	struct create c = { .account = account, .special_use = special_use };
	TRY(name_canonical(name, text, &c.name, why));
	TRY(verb_run(s, create, &c, why));
	if (out_id)
		*out_id = c.id;
	return RC_OK;
}

/* ---- remove ---- */
static bool drop_row(void *arg, const struct engine_row *r)
{
	struct tx *t = arg;
	batch_delete(&t->batch, TABLE_KEYWORD, r->key);
	return true;
}

enum rc tx_box_drop(struct tx *t, struct tx_box *b, struct why *why)
{
	struct key k;
	struct key from = key_keyword(b->id, 0), to = key_keyword_end(b->id);
	TRY(key_name(b->account->row.a.id, b->row.name, &k));
	batch_delete(&t->batch, TABLE_NAME, key_str(&k));
	k = key_box(b->account->row.a.id, b->id);
	batch_delete(&t->batch, TABLE_RECENT, key_str(&k));
	TRY(engine_scan(t->s->engine, TABLE_KEYWORD, key_str(&from), key_str(&to), 64, drop_row, t, NULL));
	(void)tx_change(t, b, CHANGE_FOLDERS, 0);
	b->gone = true;
	return RC_OK;
}

struct removal { uint64_t account; struct str name; bool left; };

static enum rc remove_step(struct tx *t, void *arg, struct why *why)
{
	struct removal *r = arg;
	struct tx_account *a;
	struct tx_box *b;
	struct folder_name *all;
	size_t n;
	TRY(tx_account(t, r->account, &a, why));
	TRY(tx_box_named(t, a, r->name, &b, why));
	/* RFC 3501 6.3.4: "It is an error to attempt to delete INBOX". */
	if (b->id == a->row.a.inbox)
		FAIL(why, RC_DENIED, "INBOX cannot be removed");
	TRY(tx_folders(t, a, &all, &n));
	bool children = has_children(all, b->row.name);
	/* ibid.: "it is an error to attempt to delete a name that has inferior hierarchical names and also has the \Noselect attribute" */
	if (children && !b->row.selectable)
		FAIL(why, RC_DENIED, "this name only holds other folders");
	TRY(tx_empty(t, b, REMOVE_STEP, &r->left, why));
	if (r->left)
		return RC_OK;
	if (!children)
		return tx_box_drop(t, b, why);
	b->row.selectable = false; /* ibid.: the messages go, the name stays \Noselect */
	b->row.special_use = 0;
	(void)tx_change(t, b, CHANGE_FOLDERS, 0);
	return RC_OK;
}

enum rc box_remove(struct store *s, uint64_t account, struct str name, struct why *why)
{
	char text[NAME_MAX_OCTETS];
	struct removal r = { .account = account };
	TRY(name_canonical(name, text, &r.name, why));
	for (unsigned i = 0; i < REMOVE_TRIES; i++) {
		TRY(verb_run(s, remove_step, &r, why));
		if (!r.left)
			return RC_OK;
	}
	FAIL(why, RC_BUSY, "the folder fills faster than it can be emptied");
}

/* ---- rename ---- */
struct renaming { uint64_t account, inbox_id; struct str from, to; bool is_inbox; };

static enum rc rename_one(struct tx *t, struct tx_account *a, uint64_t id, struct str to, struct why *why)
{
	struct tx_box *b;
	struct key k;
	char row[8];
	struct pen p = { row, row + sizeof row, false };
	TRY(tx_box(t, a, id, &b, why));
	TRY(key_name(a->row.a.id, b->row.name, &k));
	batch_delete(&t->batch, TABLE_NAME, key_str(&k));
	TRY(key_name(a->row.a.id, to, &k));
	pen_int(&p, id, 8);
	batch_expect(&t->batch, TABLE_NAME, key_str(&k), STR(""));
	batch_put(&t->batch, TABLE_NAME, key_str(&k), str_of(row, sizeof row));
	b->row.name = arena_str(&t->batch.mem, to);
	(void)tx_change(t, b, CHANGE_FOLDERS, 0);
	return RC_OK;
}

static enum rc rename_tree(struct tx *t, struct tx_account *a, const struct folder_name *all, const struct renaming *r, struct why *why)
{
	for (const struct folder_name *f = all; f; f = f->next) {
		if (!str_eq(f->name, r->from) && !lies_below(f->name, r->from))
			continue;
		char joined[2 * NAME_MAX_OCTETS], text[NAME_MAX_OCTETS];
		struct str tail = str_skip(f->name, r->from.n), name;
		memcpy(joined, r->to.p, r->to.n);
		memcpy(joined + r->to.n, tail.p, tail.n);
		TRY(name_canonical(str_of(joined, r->to.n + tail.n), text, &name, why)); /* may be too long or deep by now */
		if (exists(all, name))
			FAIL(why, RC_EXISTS, "there is a folder of this name");
		TRY(rename_one(t, a, f->id, name, why));
	}
	return RC_OK;
}

static enum rc rename_verb(struct tx *t, void *arg, struct why *why)
{
	struct renaming *r = arg;
	struct tx_account *a;
	struct tx_box *b;
	struct folder_name *all;
	size_t n;
	TRY(tx_account(t, r->account, &a, why));
	TRY(tx_box_named(t, a, r->from, &b, why));
	TRY(tx_folders(t, a, &all, &n));
	if (exists(all, r->to))
		FAIL(why, RC_EXISTS, "there is a folder of this name");
	if (lies_below(r->to, r->from) && !str_eq(r->from, inbox))
		FAIL(why, RC_DENIED, "a folder cannot be moved into itself");
	if (n + 20 > FOLDERS_MAX)
		FAIL(why, RC_LIMIT, "an account has at most %d folders", FOLDERS_MAX);
	TRY(make_parents(t, a, all, r->to, why));
	r->is_inbox = b->id == a->row.a.inbox;
	if (!r->is_inbox)
		return rename_tree(t, a, all, r, why);
	struct tx_box *fresh;
	r->inbox_id = b->id;
	return tx_box_new(t, a, r->to, 0, &fresh, why);
}

/* RFC 3501 6.3.5: "Renaming INBOX is permitted, and has special behavior. It moves all messages in INBOX to a new mailbox with the
 * given name, leaving INBOX empty. If the server implementation supports inferior hierarchical names of INBOX, these are
 * unaffected by a rename of INBOX." */
struct find { uint64_t account; struct str name; uint64_t id; };

static enum rc find_box(struct tx *t, void *arg, struct why *why)
{
	struct find *f = arg;
	struct tx_account *a;
	struct tx_box *b;
	TRY(tx_account(t, f->account, &a, why));
	TRY(tx_box_named(t, a, f->name, &b, why));
	f->id = b->id;
	return RC_OK;
}

static enum rc move_inbox(struct store *s, const struct renaming *r, struct why *why)
{
	static const struct uid_range all = { 1, UINT32_MAX };
	struct find to = { .account = r->account, .name = r->to };
	struct arena a;
	struct uid_range *src, *dst;
	size_t n;
	uint32_t validity;
	TRY(verb_run(s, find_box, &to, why));
	arena_init(&a, (size_t)64 << 20);
	enum rc rc = store_copy_to(s, r->account, r->inbox_id, &all, 1, to.id, true, &a, &src, &dst, &n, &validity, why);
	arena_done(&a);
	if (rc != RC_OK && box_remove(s, r->account, r->to, NULL) != RC_OK)
		return rc; /* the empty new folder stays; the messages are where they were */
	return rc;
}

enum rc box_rename(struct store *s, uint64_t account, struct str from, struct str to, struct why *why)
{
	char a[NAME_MAX_OCTETS], b[NAME_MAX_OCTETS];
	struct renaming r = { .account = account };
	TRY(name_canonical(from, a, &r.from, why));
	TRY(name_canonical(to, b, &r.to, why));
	TRY(verb_run(s, rename_verb, &r, why));
	return r.is_inbox ? move_inbox(s, &r, why) : RC_OK;
}

/* ---- subscribe ---- */
struct subscription { uint64_t account; struct str name; bool on; };

enum rc tx_subscribe(struct tx *t, struct tx_account *a, struct str canonical)
{
	struct key k;
	TRY(key_name(a->row.a.id, canonical, &k));
	batch_put(&t->batch, TABLE_SUBSCRIPTION, key_str(&k), canonical);
	return RC_OK;
}

static bool count_row(void *arg, const struct engine_row *r)
{
	(void)r;
	++*(size_t *)arg;
	return true;
}

static enum rc add_subscription(struct tx *t, struct tx_account *a, struct str name, struct why *why)
{
	struct key from = key_name_first(a->row.a.id), to = key_name_end(a->row.a.id);
	size_t n = 0;
	TRY(engine_scan(t->s->engine, TABLE_SUBSCRIPTION, key_str(&from), key_str(&to), SUBSCRIPTIONS_MAX, count_row, &n, NULL));
	if (n >= SUBSCRIPTIONS_MAX)
		FAIL(why, RC_LIMIT, "an account has at most %d subscriptions", SUBSCRIPTIONS_MAX);
	return tx_subscribe(t, a, name);
}

/* RFC 3501 6.3.6: "The server MUST NOT unilaterally remove an existing mailbox name from the subscription list even if a mailbox by
 * that name no longer exists." So a name may be subscribed whether there is a folder or not. */
static enum rc subscribe(struct tx *t, void *arg, struct why *why)
{
	struct subscription *u = arg;
	struct tx_account *a;
	struct tx_box *b;
	struct key k;
	struct str v;
	TRY(tx_account(t, u->account, &a, why));
	enum rc box = tx_box_named(t, a, u->name, &b, NULL);
	TRY(key_name(u->account, u->name, &k));
	enum rc rc = tx_get(t, TABLE_SUBSCRIPTION, k, &v); /* a damaged row is written anew, or goes */
	if (rc != RC_OK && rc != RC_NOTFOUND && rc != RC_DAMAGED)
		FAIL(why, rc, "the subscription cannot be read");
	if (u->on && rc == RC_OK)
		return RC_OK;
	if (!u->on && rc == RC_NOTFOUND && box == RC_NOTFOUND)
		FAIL(why, RC_NOTFOUND, "no such folder, nor a subscription to it");
	if (!u->on && rc == RC_NOTFOUND)
		return RC_OK;
	if (!u->on)
		batch_delete(&t->batch, TABLE_SUBSCRIPTION, key_str(&k));
	else if (rc == RC_NOTFOUND)
		TRY(add_subscription(t, a, u->name, why));
	else
		TRY(tx_subscribe(t, a, u->name));
	if (box == RC_OK)
		(void)tx_change(t, b, CHANGE_FOLDERS, 0);
	else
		a->changed = a->folders_changed = true; /* no folder changed, but the list did */
	return RC_OK;
}

enum rc box_subscribe(struct store *s, uint64_t account, struct str name, bool on, struct why *why)
{
	char text[NAME_MAX_OCTETS];
	struct subscription u = { .account = account, .on = on };
	TRY(name_canonical(name, text, &u.name, why));
	return verb_run(s, subscribe, &u, why);
}
