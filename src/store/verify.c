#include "store/verify.h"

#include "base/codec.h"
#include "base/mem.h"
#include "os/file.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Offline care: every row's checksum, then whether the rows agree with each other. What is damaged is reported once: a row that fails
 * its checksum makes the totals it belongs to "unsure", and those are then not judged. */

void verify_say(struct verify *v, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	v->out->damaged++;
	if (v->damage)
		v->damage(v->arg, text);
}

void *verify_add(struct list *l, size_t item)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		void *p = mem_grow(l->items, l->cap * item, cap * item);
		if (!p)
			return NULL;
		l->items = p;
		l->cap = cap;
	}
	return (char *)l->items + item * l->n++;
}

static unsigned long long ull(uint64_t v) { return v; }

static uint64_t u64_at(struct str key, size_t at)
{
	struct cursor c = cursor_of(str_skip(key, at));
	return cursor_u64(&c);
}

static uint64_t box_of(struct str key) { return u64_at(key, key.n - 12); } /* ... box, uid */

static bool of_message(enum table t, struct str key)
{
	return t == TABLE_STATE ? key.n == STATE_KEY_LEN : (t == TABLE_RECORD || t == TABLE_GRAMS) && key.n == RECORD_KEY_LEN;
}

/* Which row, for people: folder and uid where there are some, the key in hex otherwise. */
static void say_row(struct verify *v, enum table t, struct str key, const char *what)
{
	if (of_message(t, key)) {
		verify_say(v, "%s of folder %016llx uid %u: %s", index_table_names[t], ull(box_of(key)), key_uid_of(key), what);
		return;
	}
	struct buf hex;
	buf_init(&hex, 256);
	hex_add(&hex, str_head(key, 60));
	verify_say(v, "%s row %.*s: %s", index_table_names[t], PSTR(buf_str(&hex)), what);
	buf_done(&hex);
}

static void unsure(struct verify *v, enum table t, struct str key)
{
	v->damaged_rows[t]++;
	if (t != TABLE_KEYWORD && (t == TABLE_GRAMS || !of_message(t, key)))
		return;
	struct seen_box *b = verify_box(v, t == TABLE_KEYWORD ? u64_at(key, 4) : box_of(key));
	if (b)
		b->unsure = true;
}

/* A damaged page can hide a row from a look-up while a walk still meets it, or show another's row in its place. */
static bool looked_up(struct verify *v, enum table t, MDB_val k, const MDB_val *val)
{
	MDB_val got;
	return mdb_get(v->txn, v->index->dbi[t], &k, &got) == 0 && got.mv_data == val->mv_data;
}

static void check_row(struct verify *v, enum table t, MDB_val k, MDB_val val, verify_row *each)
{
	struct str value;
	if (!index_value(str_val(k), val, &value)) {
		if (v->quiet)
			return; /* told in the first pass */
		say_row(v, t, str_val(k), "fails its checksum");
		unsure(v, t, str_val(k));
	} else if (each && !each(v, str_val(k), value)) {
		say_row(v, t, str_val(k), "holds an impossible value");
		unsure(v, t, str_val(k));
	} else if (!v->quiet && !looked_up(v, t, k, &val)) {
		say_row(v, t, str_val(k), "cannot be found by its key");
		unsure(v, t, str_val(k));
	}
}

/* LMDB lets nothing more be read through a transaction that met a damaged page; nobody writes, so a renewed one sees the same rows. */
static enum rc read_on(struct verify *v)
{
	mdb_txn_reset(v->txn);
	return index_error(mdb_txn_renew(v->txn), "verify: snapshot", v->why);
}

enum rc verify_table(struct verify *v, enum table t, verify_row *each)
{
	MDB_cursor *c = NULL;
	MDB_val k, val;
	MDB_stat st = { 0 };
	size_t rows = 0;
	TRY(index_error(mdb_stat(v->txn, v->index->dbi[t], &st), "verify: size of a table", v->why));
	TRY(index_error(mdb_cursor_open(v->txn, v->index->dbi[t], &c), "verify: cursor", v->why));
	int err;
	for (err = mdb_cursor_get(c, &k, &val, MDB_FIRST); !err; err = mdb_cursor_get(c, &k, &val, MDB_NEXT)) {
		rows++;
		check_row(v, t, k, val, each);
	}
	mdb_cursor_close(c);
	if (err != MDB_NOTFOUND) {
		verify_say(v, "table %s cannot be walked: %s", index_table_names[t], mdb_strerror(err));
		v->damaged_rows[t]++;
		return read_on(v);
	}
	if (rows != st.ms_entries && !v->quiet) {
		verify_say(v, "table %s: its page says %zu rows, there are %zu", index_table_names[t], st.ms_entries, rows);
		v->damaged_rows[t]++;
	}
	return RC_OK;
}

/* The rows of LMDB's own that name the tables. It takes what it keeps of a table for as long as that always is, and never looks at the length that stands there. */
static enum rc check_table_rows(struct verify *v)
{
	enum { KEPT_OF_A_TABLE = 48 }; /* struct MDB_db of mdb.c, on 64 bits */
	MDB_dbi names;
	MDB_cursor *c = NULL;
	MDB_val k, val;
	TRY(index_error(mdb_dbi_open(v->txn, NULL, 0, &names), "verify: names of tables", v->why));
	TRY(index_error(mdb_cursor_open(v->txn, names, &c), "verify: cursor", v->why));
	int err;
	for (err = mdb_cursor_get(c, &k, &val, MDB_FIRST); !err; err = mdb_cursor_get(c, &k, &val, MDB_NEXT))
		if (val.mv_size != KEPT_OF_A_TABLE)
			verify_say(v, "table %.*s: its own row says %zu octets, not %d", PSTR(str_head(str_val(k), 40)), val.mv_size, KEPT_OF_A_TABLE);
	mdb_cursor_close(c);
	if (err == MDB_NOTFOUND)
		return RC_OK;
	verify_say(v, "the names of the tables cannot be walked: %s", mdb_strerror(err));
	return read_on(v);
}

/* ---- accounts and folders ---- */
static int by_account(const void *a, const void *b)
{
	const struct seen_account *x = a, *y = b;
	return x->id < y->id ? -1 : x->id > y->id;
}

static int by_box(const void *a, const void *b)
{
	const struct seen_box *x = a, *y = b;
	return x->id < y->id ? -1 : x->id > y->id;
}

struct seen_account *verify_account(struct verify *v, uint64_t id)
{
	struct seen_account want = { .id = id };
	return v->accounts.n ? bsearch(&want, v->accounts.items, v->accounts.n, sizeof want, by_account) : NULL;
}

struct seen_box *verify_box(struct verify *v, uint64_t id)
{
	struct seen_box want = { .id = id };
	return v->boxes.n ? bsearch(&want, v->boxes.items, v->boxes.n, sizeof want, by_box) : NULL;
}

static bool account_row(struct verify *v, struct str key, struct str value)
{
	struct account_row row;
	if (account_parse(value, &row) != RC_OK || row.a.id != u64_at(key, 4))
		return false;
	struct seen_account *a = verify_add(&v->accounts, sizeof *a);
	if (a)
		*a = (struct seen_account){ .id = row.a.id, .row = row };
	return true;
}

static bool box_row(struct verify *v, struct str key, struct str value)
{
	struct box_row row;
	if (box_parse(value, &row) != RC_OK)
		return false;
	struct seen_box *b = verify_add(&v->boxes, sizeof *b);
	if (b)
		*b = (struct seen_box){ .id = u64_at(key, 12), .account = u64_at(key, 4), .row = row, .name = row.name };
	return true;
}

static bool address_row(struct verify *v, struct str key, struct str value)
{
	struct address_row row;
	if (address_row_parse(value, &row) != RC_OK)
		return false;
	struct key k = key_account(row.id);
	struct str other;
	if (row.kind != ADDRESS_GROUP && !verify_account(v, row.id) && !v->damaged_rows[TABLE_ACCOUNT])
		say_row(v, TABLE_ADDRESS, key, "belongs to no account");
	if (row.kind == ADDRESS_GROUP && index_get(v->index, v->txn, TABLE_GROUP, key_str(&k), &other) == RC_NOTFOUND)
		say_row(v, TABLE_ADDRESS, key, "belongs to no group");
	return true;
}

static bool domain_row(struct verify *v, struct str key, struct str value)
{
	struct str catch_all, other;
	if (domain_row_parse(value, &catch_all) != RC_OK)
		return false;
	struct key k = key_address(catch_all);
	if (catch_all.n && index_get(v->index, v->txn, TABLE_ADDRESS, key_str(&k), &other) == RC_NOTFOUND && !v->damaged_rows[TABLE_ADDRESS])
		say_row(v, TABLE_DOMAIN, key, "has a catch-all to an address that is not there");
	return true;
}

static bool name_row(struct verify *v, struct str key, struct str value)
{
	if (value.n != 8)
		return false;
	struct seen_box *b = verify_box(v, u64_at(value, 0));
	struct key want;
	if (!b && !v->damaged_rows[TABLE_BOX])
		say_row(v, TABLE_NAME, key, "names no folder");
	if (b && (b->account != u64_at(key, 4) || key_name(b->account, b->name, &want) != RC_OK || !str_eq(key_str(&want), key)))
		say_row(v, TABLE_NAME, key, "names a folder of another name");
	return true;
}

static bool subscription_row(struct verify *v, struct str key, struct str value)
{
	char text[NAME_MAX_OCTETS];
	struct str name;
	struct key want;
	uint64_t account = u64_at(key, 4);
	if (name_canonical(value, text, &name, NULL) != RC_OK || !str_eq(name, value) || key_name(account, value, &want) != RC_OK ||
	    !str_eq(key_str(&want), key))
		return false;
	if (!verify_account(v, account) && !v->damaged_rows[TABLE_ACCOUNT])
		say_row(v, TABLE_SUBSCRIPTION, key, "belongs to no account");
	return true;
}

static bool keyword_row(struct verify *v, struct str key, struct str value)
{
	struct seen_box *b = verify_box(v, u64_at(key, 4));
	if (key.n != 13 || (uint8_t)key.p[12] > 63 || value.n > KEYWORD_MAX)
		return false;
	if (b)
		b->keywords |= 1ull << (uint8_t)key.p[12];
	else if (!v->damaged_rows[TABLE_BOX])
		say_row(v, TABLE_KEYWORD, key, "belongs to no folder");
	return true;
}

static bool recent_row(struct verify *v, struct str key, struct str value)
{
	uint32_t first;
	if (key.n != 20 || recent_parse(value, &first) != RC_OK)
		return false;
	struct seen_box *b = verify_box(v, u64_at(key, 12));
	if ((!b || b->account != u64_at(key, 4)) && !v->damaged_rows[TABLE_BOX])
		say_row(v, TABLE_RECENT, key, "belongs to no folder");
	if (b && first > b->row.uidnext)
		say_row(v, TABLE_RECENT, key, "speaks of a UID its folder has not given yet");
	return true;
}

/* ---- messages ---- */
static bool state_row(struct verify *v, struct str key, struct str value)
{
	struct state_row s;
	if (key.n != STATE_KEY_LEN || state_parse(value, &s) != RC_OK)
		return false;
	uint32_t uid = key_uid_of(key);
	struct seen_box *b = verify_box(v, u64_at(key, 4));
	struct str record;
	v->out->messages++;
	if (!b) {
		if (!v->damaged_rows[TABLE_BOX])
			say_row(v, TABLE_STATE, key, "belongs to no folder");
		return true;
	}
	b->exists++;
	b->size += s.size;
	if (!(s.flags & 1) && b->unseen++ == 0)
		b->first_unseen = uid;
	if (s.modseq > b->highestmodseq)
		b->highestmodseq = s.modseq;
	if (uid == 0 || uid >= b->row.uidnext)
		say_row(v, TABLE_STATE, key, "has a UID its folder has not given yet");
	if (s.keywords & ~b->keywords && !v->damaged_rows[TABLE_KEYWORD])
		say_row(v, TABLE_STATE, key, "has a keyword without a name");
	struct key k = key_record(s.email, u64_at(key, 4), uid);
	if (index_get(v->index, v->txn, TABLE_RECORD, key_str(&k), &record) == RC_NOTFOUND && !v->damaged_rows[TABLE_RECORD])
		say_row(v, TABLE_RECORD, key_str(&k), "is missing");
	return true;
}

/* Is there a message whose state names this record (or signature)? */
static bool has_state(struct verify *v, struct str key)
{
	struct key k = key_uid(box_of(key), key_uid_of(key));
	struct str value;
	struct state_row s;
	enum rc rc = index_get(v->index, v->txn, TABLE_STATE, key_str(&k), &value);
	return rc == RC_OK ? state_parse(value, &s) == RC_OK && s.email == u64_at(key, 4) : rc != RC_NOTFOUND;
}

static bool record_row(struct verify *v, struct str key, struct str value)
{
	struct record_clear clear;
	struct str sealed;
	if (key.n != RECORD_KEY_LEN || record_clear_parse(value, &clear, &sealed) != RC_OK || clear.email_id != u64_at(key, 4))
		return false;
	struct blob_id *id = verify_add(&v->named, sizeof *id);
	if (id)
		*id = clear.blob;
	if (!has_state(v, key) && !v->damaged_rows[TABLE_STATE])
		say_row(v, TABLE_RECORD, key, "has no state");
	return true;
}

static bool grams_row(struct verify *v, struct str key, struct str value)
{
	if (key.n != RECORD_KEY_LEN || value.n < 1 + TAG_LEN)
		return false;
	if (!has_state(v, key) && !v->damaged_rows[TABLE_STATE])
		say_row(v, TABLE_GRAMS, key, "has no state");
	return true;
}

static bool change_row(struct verify *v, struct str key, struct str value)
{
	struct change_row row;
	struct seen_account *a = verify_account(v, u64_at(key, 4));
	if (key.n != 20 || change_parse(value, &row) != RC_OK)
		return false;
	if (!a && !v->damaged_rows[TABLE_ACCOUNT])
		say_row(v, TABLE_CHANGE, key, "belongs to no account");
	if (a && (u64_at(key, 12) > a->row.modseq || u64_at(key, 12) <= a->row.floor))
		say_row(v, TABLE_CHANGE, key, "lies outside its account's log");
	return true;
}

static bool epoch_row(struct verify *v, struct str key, struct str value) { return key.n == 20 && value.n >= 2 && (uint8_t)value.p[0] <= 1; }

/* ---- totals ---- */
static void judge_boxes(struct verify *v)
{
	struct seen_box *boxes = v->boxes.items;
	for (size_t i = 0; i < v->boxes.n; i++) {
		struct seen_box *b = &boxes[i];
		struct seen_account *a = verify_account(v, b->account);
		struct key k;
		struct str other;
		if (!a && !v->damaged_rows[TABLE_ACCOUNT])
			verify_say(v, "folder %016llx belongs to no account", ull(b->id));
		if (a) {
			a->used += b->size;
			a->messages += b->exists;
			a->unsure |= b->unsure;
		}
		if (key_name(b->account, b->name, &k) == RC_OK && index_get(v->index, v->txn, TABLE_NAME, key_str(&k), &other) == RC_NOTFOUND &&
		    !v->damaged_rows[TABLE_NAME])
			verify_say(v, "folder %016llx cannot be found by its name", ull(b->id));
		if (b->unsure)
			continue;
		if (b->exists != b->row.exists || b->unseen != b->row.unseen || b->size != b->row.size)
			verify_say(v, "folder %016llx: totals say %u messages, %u unseen, %llu octets; there are %llu, %llu, %llu", ull(b->id), b->row.exists,
			           b->row.unseen, ull(b->row.size), ull(b->exists), ull(b->unseen), ull(b->size));
		if (b->highestmodseq > b->row.highestmodseq)
			verify_say(v, "folder %016llx: a message is newer than the folder's own modseq", ull(b->id));
		if (b->unseen && b->first_unseen < b->row.unseen_from)
			verify_say(v, "folder %016llx: an unseen message before the place where the search for them begins", ull(b->id));
	}
}

static void judge_accounts(struct verify *v)
{
	struct seen_account *accounts = v->accounts.items;
	for (size_t i = 0; i < v->accounts.n; i++) {
		struct seen_account *a = &accounts[i];
		struct str other;
		if (a->unsure || v->damaged_rows[TABLE_BOX])
			continue;
		if (a->used != a->row.a.used || a->messages != a->row.a.messages)
			verify_say(v, "account %016llx: totals say %llu messages, %llu octets; there are %llu, %llu", ull(a->id), ull(a->row.a.messages),
			           ull(a->row.a.used), ull(a->messages), ull(a->used));
		struct key k = key_box(a->id, a->row.a.inbox);
		if (!a->row.removing && index_get(v->index, v->txn, TABLE_BOX, key_str(&k), &other) == RC_NOTFOUND)
			verify_say(v, "account %016llx has no INBOX", ull(a->id));
	}
}

static enum rc verify_all(struct verify *v)
{
	if (index_is_new(v->index, v->txn) && segments_lie(v->segments_dir))
		verify_say(v, "the index is new, but there are segments: another one was here");
	TRY(check_table_rows(v));
	TRY(verify_table(v, TABLE_META, NULL));
	TRY(verify_table(v, TABLE_ACCOUNT, account_row));
	TRY(verify_table(v, TABLE_BOX, box_row));
	v->out->accounts = v->accounts.n;
	v->out->boxes = v->boxes.n;
	if (v->boxes.n)
		qsort(v->boxes.items, v->boxes.n, sizeof(struct seen_box), by_box);
	TRY(verify_table(v, TABLE_ADDRESS, address_row));
	TRY(verify_table(v, TABLE_DOMAIN, domain_row));
	TRY(verify_table(v, TABLE_NAME, name_row));
	TRY(verify_table(v, TABLE_SUBSCRIPTION, subscription_row));
	TRY(verify_table(v, TABLE_KEYWORD, keyword_row));
	if (!v->index->lacks_recent)
		TRY(verify_table(v, TABLE_RECENT, recent_row));
	/* First what fails its checksum, so that rows which miss it are not reported as well. */
	static const enum table linked[] = { TABLE_STATE, TABLE_RECORD, TABLE_GRAMS };
	for (size_t i = 0; i < sizeof linked / sizeof *linked; i++)
		TRY(verify_table(v, linked[i], NULL));
	v->quiet = true;
	TRY(verify_table(v, TABLE_STATE, state_row));
	TRY(verify_table(v, TABLE_RECORD, record_row));
	TRY(verify_table(v, TABLE_GRAMS, grams_row));
	v->quiet = false;
	TRY(verify_table(v, TABLE_CHANGE, change_row));
	TRY(verify_table(v, TABLE_EPOCH, epoch_row));
	TRY(verify_table(v, TABLE_DELIVERY, NULL));
	TRY(verify_queue(v));
	TRY(verify_route(v));
	judge_boxes(v);
	judge_accounts(v);
	return verify_bodies(v);
}

enum rc store_verify(const char *dir, void (*damage)(void *arg, const char *what), void *arg, struct verify_report *out, struct why *why)
{
	struct verify v = { .segments_dir = -1, .damage = damage, .arg = arg, .out = out, .why = why };
	char path[4096];
	*out = (struct verify_report){ 0 };
	int n = snprintf(path, sizeof path, "%s/segments", dir);
	if (n < 0 || (size_t)n >= sizeof path)
		FAIL(why, RC_LIMIT, "path too long");
	TRY(dir_open(path, &v.segments_dir, why));
	enum rc rc = index_head_check(dir, why);
	if (rc == RC_OK)
		rc = index_open(dir, 0, false, &v.index, why);
	if (rc == RC_OK)
		rc = index_error(mdb_txn_begin(v.index->env, NULL, MDB_RDONLY, &v.txn), "verify: snapshot", why);
	if (rc == RC_OK) {
		rc = verify_all(&v);
		mdb_txn_abort(v.txn);
	}
	index_close(&v.index);
	fd_close(&v.segments_dir);
	mem_free(v.accounts.items);
	mem_free(v.boxes.items);
	mem_free(v.segments.items);
	mem_free(v.letters.items);
	mem_free(v.groups.items);
	mem_free(v.named.items);
	return rc;
}
