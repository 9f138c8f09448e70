#include "unit/store/kit.h"

#include "store/index.h"
#include "store/layout.h"
#include "store/view.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* Up to where sessions were given a folder's messages as \Recent. Each test ends with a store that verify finds sound. */
static struct kit kit, *k = &kit;
enum { ANNA = 11, BOB = 12 };

static int set_up(void **state)
{
	kit_open(k);
	kit_account(k, ANNA, "anna@example.org", 0);
	kit_account(k, BOB, "bob@example.org", 0);
	return 0;
}

static int tear_down(void **state)
{
	assert_int_equal(store_recent_settle(k->s, &k->why), RC_OK);
	kit_end_sound(k);
	return 0;
}

/* ---- doing ---- */
static void deliver(uint64_t account, uint64_t box, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct store_copy_result r = { 0 };
		assert_int_equal(kit_deliver(k, 0, STR("a message"), &(struct kit_copy){ .account = account, .box = box }, 1, &r), RC_OK);
		assert_int_equal(r.rc, RC_OK);
	}
}

static uint32_t give(uint64_t account, uint64_t box, uint32_t before)
{
	uint32_t first = 0;
	enum rc rc = store_recent(k->s, account, box, before, &first, &k->why);
	if (rc != RC_OK)
		fail_msg("%s (%s)", rc_name(rc), k->why.text);
	return first;
}

/* What readers see. */
static uint32_t on_disk(uint64_t account, uint64_t box)
{
	struct view *v;
	struct arena a;
	struct box_info b = { 0 };
	arena_init(&a, 1 << 20);
	assert_int_equal(view_open(k->dir, k->o.map_size, &v, &k->why), RC_OK);
	assert_int_equal(view_box(v, account, box, &a, &b, &k->why), RC_OK);
	view_close(&v);
	arena_done(&a);
	return b.recent_from;
}

static uint64_t commits(void)
{
	struct store_stats s;
	store_stats(k->s, &s);
	return s.commits;
}

/* Something else than the store has written into this table. */
static void scribble(enum table t, uint64_t account, uint64_t box, struct str stored)
{
	struct index *x;
	MDB_txn *t0;
	struct key key = key_box(account, box);
	MDB_val mk = val_of(key_str(&key)), v = val_of(stored);
	store_close(&k->s);
	assert_int_equal(index_open(k->dir, k->o.map_size, true, &x, &k->why), RC_OK);
	assert_int_equal(mdb_txn_begin(x->env, NULL, 0, &t0), 0);
	assert_int_equal(mdb_put(t0, x->dbi[t], &mk, &v, 0), 0);
	assert_int_equal(mdb_txn_commit(t0), 0);
	index_close(&x);
	assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_OK);
}

/* ---- tests ---- */
static void each_message_is_given_once(void **state)
{
	uint64_t inbox = kit_box(k, ANNA, "INBOX");
	assert_int_equal(give(ANNA, inbox, 0), 1);
	assert_int_equal(give(ANNA, inbox, 1), 1); /* nothing is there */
	deliver(ANNA, 0, 3);
	assert_int_equal(give(ANNA, inbox, 0), 1);
	assert_int_equal(give(ANNA, inbox, 0), 1); /* a look takes nothing */
	assert_int_equal(give(ANNA, inbox, 3), 1); /* uids 1 and 2 */
	assert_int_equal(give(ANNA, inbox, 3), 3);
	assert_int_equal(give(ANNA, inbox, 2), 3); /* somebody whose list is older */
	assert_int_equal(give(ANNA, inbox, 4), 3);
	assert_int_equal(give(ANNA, inbox, 0), 4);
	deliver(ANNA, 0, 1);
	assert_int_equal(give(ANNA, inbox, 5), 4);
	assert_int_equal(give(ANNA, inbox, 0), 5);
}

static void what_is_not_there_is_not_given(void **state)
{
	uint64_t inbox = kit_box(k, ANNA, "INBOX");
	deliver(ANNA, 0, 2);
	assert_int_equal(give(ANNA, inbox, UINT32_MAX), 1);
	assert_int_equal(give(ANNA, inbox, 0), 3); /* not beyond uidnext: what comes is recent */
	deliver(ANNA, 0, 1);
	assert_int_equal(give(ANNA, inbox, UINT32_MAX), 3);
}

static void folders_and_accounts_are_apart(void **state)
{
	uint64_t inbox = kit_box(k, ANNA, "INBOX"), junk = kit_box(k, ANNA, "Junk"), bobs = kit_box(k, BOB, "INBOX");
	uint32_t first = 77;
	deliver(ANNA, inbox, 2);
	deliver(ANNA, junk, 2);
	deliver(BOB, 0, 2);
	assert_int_equal(give(ANNA, inbox, 3), 1);
	assert_int_equal(give(ANNA, junk, 0), 1);
	assert_int_equal(give(BOB, bobs, 0), 1);
	assert_int_equal(store_recent(k->s, BOB, inbox, 3, &first, &k->why), RC_NOTFOUND);
	assert_int_equal(store_recent(k->s, ANNA, 4711, 3, &first, &k->why), RC_NOTFOUND);
	assert_int_equal(first, 77);
}

static void giving_writes_nothing_at_once_and_one_row_later(void **state)
{
	uint64_t inbox = kit_box(k, ANNA, "INBOX"), junk = kit_box(k, ANNA, "Junk");
	deliver(ANNA, inbox, 3);
	deliver(ANNA, junk, 1);
	uint64_t before = commits();
	assert_int_equal(give(ANNA, inbox, 4), 1);
	assert_int_equal(give(ANNA, junk, 2), 1);
	assert_int_equal(commits(), before);
	assert_int_equal(on_disk(ANNA, inbox), 1); /* a crash gives them once more */
	assert_int_equal(store_recent_settle(k->s, &k->why), RC_OK);
	assert_int_equal(commits(), before + 1); /* for both */
	assert_int_equal(on_disk(ANNA, inbox), 4);
	assert_int_equal(on_disk(ANNA, junk), 2);
	assert_int_equal(store_recent_settle(k->s, &k->why), RC_OK);
	assert_int_equal(give(ANNA, inbox, 4), 4);
	assert_int_equal(store_recent_settle(k->s, &k->why), RC_OK);
	assert_int_equal(commits(), before + 1); /* nothing new was given */
}

static void what_was_given_outlives_the_store(void **state)
{
	uint64_t inbox = kit_box(k, ANNA, "INBOX");
	deliver(ANNA, 0, 3);
	assert_int_equal(give(ANNA, inbox, 3), 1);
	kit_reopen(k);
	assert_int_equal(on_disk(ANNA, inbox), 3);
	assert_int_equal(give(ANNA, inbox, 4), 3);
}

static void many_folders_are_kept_in_pieces(void **state)
{
	enum { MANY = 1200 };
	static uint64_t ids[MANY];
	char name[32];
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof name, "f%u", i);
		assert_int_equal(box_create(k->s, ANNA, str_z(name), 0, &ids[i], &k->why), RC_OK);
	}
	struct store_copy_result r[60];
	for (unsigned i = 0; i < MANY; i += 60) {
		struct kit_copy c[60];
		for (unsigned n = 0; n < 60; n++)
			c[n] = (struct kit_copy){ .account = ANNA, .box = ids[i + n] };
		assert_int_equal(kit_deliver(k, 0, STR("a message"), c, 60, r), RC_OK);
	}
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(give(ANNA, ids[i], 2), 1);
	uint64_t before = commits();
	assert_int_equal(store_recent_settle(k->s, &k->why), RC_OK);
	assert_in_range(commits() - before, 2, 3);
	for (unsigned i = 0; i < MANY; i += 37)
		assert_int_equal(on_disk(ANNA, ids[i]), 2);
}

static void copies_are_new_where_they_arrive(void **state)
{
	uint64_t inbox = kit_box(k, ANNA, "INBOX"), junk = kit_box(k, ANNA, "Junk");
	struct uid_range all = { 1, UINT32_MAX }, *src, *dst;
	struct arena a;
	size_t n;
	uint32_t validity;
	deliver(ANNA, inbox, 2);
	assert_int_equal(give(ANNA, inbox, 3), 1);
	arena_init(&a, 1 << 20);
	assert_int_equal(store_copy_to(k->s, ANNA, inbox, &all, 1, junk, false, &a, &src, &dst, &n, &validity, &k->why), RC_OK);
	assert_int_equal(store_copy_to(k->s, ANNA, inbox, &all, 1, junk, true, &a, &src, &dst, &n, &validity, &k->why), RC_OK);
	arena_done(&a);
	assert_int_equal(give(ANNA, junk, 5), 1);
	assert_int_equal(give(ANNA, inbox, 0), 3);
}

static void a_name_does_not_matter_and_what_goes_is_forgotten(void **state)
{
	uint64_t one, two;
	assert_int_equal(box_create(k->s, ANNA, STR("one"), 0, &one, &k->why), RC_OK);
	assert_int_equal(box_create(k->s, ANNA, STR("two/below"), 0, NULL, &k->why), RC_OK);
	two = kit_box(k, ANNA, "two");
	deliver(ANNA, one, 2);
	deliver(ANNA, two, 2);
	assert_int_equal(give(ANNA, one, 2), 1);
	assert_int_equal(give(ANNA, two, 3), 1);
	assert_int_equal(box_rename(k->s, ANNA, STR("one"), STR("three"), &k->why), RC_OK);
	assert_int_equal(give(ANNA, one, 0), 2);
	assert_int_equal(store_recent_settle(k->s, &k->why), RC_OK);
	assert_int_equal(give(ANNA, one, 3), 2);
	/* One with a row and more in memory; the other keeps its name for what lies below, and its UIDs go on. */
	assert_int_equal(box_remove(k->s, ANNA, STR("three"), &k->why), RC_OK);
	assert_int_equal(box_remove(k->s, ANNA, STR("two"), &k->why), RC_OK);
	assert_int_equal(store_recent_settle(k->s, &k->why), RC_OK);
	assert_int_equal(box_create(k->s, ANNA, STR("two"), 0, NULL, &k->why), RC_OK);
	deliver(ANNA, two, 1);
	assert_int_equal(give(ANNA, two, 4), 3);
}

static void renaming_inbox_makes_its_messages_new_elsewhere(void **state)
{
	uint64_t inbox = kit_box(k, ANNA, "INBOX");
	deliver(ANNA, inbox, 2);
	assert_int_equal(give(ANNA, inbox, 3), 1);
	assert_int_equal(box_rename(k->s, ANNA, STR("INBOX"), STR("old"), &k->why), RC_OK);
	assert_int_equal(give(ANNA, kit_box(k, ANNA, "old"), 3), 1);
	deliver(ANNA, inbox, 1);
	assert_int_equal(give(ANNA, inbox, 4), 3);
}

static void an_account_that_goes_leaves_nothing(void **state)
{
	uint64_t inbox = kit_box(k, ANNA, "INBOX"), junk = kit_box(k, ANNA, "Junk");
	uint32_t first;
	deliver(ANNA, inbox, 2);
	deliver(ANNA, junk, 2);
	assert_int_equal(give(ANNA, inbox, 3), 1);
	assert_int_equal(store_recent_settle(k->s, &k->why), RC_OK);
	assert_int_equal(give(ANNA, junk, 3), 1);
	assert_int_equal(account_remove(k->s, ANNA, &k->why), RC_OK);
	assert_int_equal(store_recent(k->s, ANNA, inbox, 3, &first, &k->why), RC_NOTFOUND);
}

/* RFC 3501 2.3.2: in doubt it is recent. */
static void a_damaged_row_makes_all_recent_once(void **state)
{
	uint64_t inbox = kit_box(k, ANNA, "INBOX");
	struct buf said = { .max = 1 << 20 };
	deliver(ANNA, 0, 3);
	assert_int_equal(give(ANNA, inbox, 4), 1);
	scribble(TABLE_RECENT, ANNA, inbox, STR("\0\0\0\4nope"));
	assert_int_equal(kit_verify(k->dir, &said, NULL), 1);
	assert_true(str_find_str(buf_str(&said), STR("recent row")) < said.len);
	buf_done(&said);
	assert_int_equal(on_disk(ANNA, inbox), 1);
	assert_int_equal(give(ANNA, inbox, 0), 1);
	assert_int_equal(give(ANNA, inbox, 4), 1);
	assert_int_equal(store_recent_settle(k->s, &k->why), RC_OK);
	assert_int_equal(on_disk(ANNA, inbox), 4);
}

static void verify_says_what_belongs_to_nothing(void **state)
{
	struct { struct index *x; MDB_txn *t; } w;
	uint64_t inbox = kit_box(k, ANNA, "INBOX");
	struct key far = key_box(ANNA, inbox), none = key_box(ANNA, 4711), other = key_box(BOB, inbox);
	char row[RECENT_ROW_LEN];
	struct buf said = { .max = 1 << 20 };
	store_close(&k->s);
	for (unsigned undo = 0; undo < 2; undo++) {
		assert_int_equal(index_open(k->dir, k->o.map_size, true, &w.x, &k->why), RC_OK);
		assert_int_equal(mdb_txn_begin(w.x->env, NULL, 0, &w.t), 0);
		const struct key *keys[] = { &far, &none, &other };
		for (size_t i = 0; i < 3; i++) {
			MDB_val mk = val_of(key_str(keys[i]));
			if (undo)
				assert_int_equal(mdb_del(w.t, w.x->dbi[TABLE_RECENT], &mk, NULL), 0);
			else
				assert_int_equal(index_put(w.x, w.t, TABLE_RECENT, key_str(keys[i]), recent_format(i ? 1 : 9, row)), 0);
		}
		assert_int_equal(mdb_txn_commit(w.t), 0);
		index_close(&w.x);
		assert_int_equal(kit_verify(k->dir, &said, NULL), undo ? 0 : 3);
	}
	assert_true(str_find_str(buf_str(&said), STR("speaks of a UID its folder has not given yet")) < said.len);
	assert_true(str_find_str(buf_str(&said), STR("belongs to no folder")) < said.len);
	buf_done(&said);
	assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_OK);
}

static void drop_table(void)
{
	struct index *x;
	MDB_txn *t;
	assert_int_equal(index_open(k->dir, k->o.map_size, true, &x, &k->why), RC_OK);
	assert_int_equal(mdb_txn_begin(x->env, NULL, 0, &t), 0);
	assert_int_equal(mdb_drop(t, x->dbi[TABLE_RECENT], 1), 0);
	assert_int_equal(mdb_txn_commit(t), 0);
	index_close(&x);
}

/* Made before there was such a table: read as ever, also by a reader that was there before the store was. */
static void an_older_index_is_read_and_gets_the_table_from_the_store(void **state)
{
	uint64_t inbox = kit_box(k, ANNA, "INBOX");
	struct view *v;
	struct arena a;
	struct box_info b = { 0 };
	int go[2];
	char c = 0;
	deliver(ANNA, 0, 3);
	store_close(&k->s);
	drop_table();
	assert_int_equal(kit_verify(k->dir, NULL, NULL), 0);
	assert_int_equal(pipe(go), 0);
	pid_t other = fork();
	if (other == 0) {
		uint32_t first = 0;
		bool ok = read(go[0], &c, 1) == 1 && store_open(NULL, &k->o, &k->s, NULL) == RC_OK && store_recent(k->s, ANNA, inbox, 3, &first, NULL) == RC_OK && first == 1;
		store_close(&k->s);
		_exit(!ok);
	}
	arena_init(&a, 1 << 20);
	assert_int_equal(view_open(k->dir, k->o.map_size, &v, &k->why), RC_OK);
	assert_int_equal(view_box(v, ANNA, inbox, &a, &b, &k->why), RC_OK);
	assert_int_equal(b.recent_from, 1);
	int status = 0;
	assert_int_equal(write(go[1], &c, 1), 1);
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(status, 0);
	assert_int_equal(view_box(v, ANNA, inbox, &a, &b, &k->why), RC_OK);
	assert_int_equal(b.recent_from, 3);
	view_close(&v);
	arena_done(&a);
	(void)close(go[0]);
	(void)close(go[1]);
	assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_OK);
	assert_int_equal(give(ANNA, inbox, 4), 3);
}

static void a_store_open_for_reading_gives_nothing(void **state)
{
	uint64_t inbox = kit_box(k, ANNA, "INBOX");
	uint32_t first = 0;
	deliver(ANNA, 0, 1);
	store_close(&k->s);
	struct store_options o = k->o;
	o.read_only = true;
	assert_int_equal(store_open(NULL, &o, &k->s, &k->why), RC_OK);
	assert_int_equal(store_recent(k->s, ANNA, inbox, 2, &first, &k->why), RC_DENIED);
	assert_int_equal(store_recent(k->s, ANNA, inbox, 0, &first, &k->why), RC_OK);
	assert_int_equal(first, 1);
	kit_reopen(k);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(each_message_is_given_once),
		T(what_is_not_there_is_not_given),
		T(folders_and_accounts_are_apart),
		T(giving_writes_nothing_at_once_and_one_row_later),
		T(what_was_given_outlives_the_store),
		T(many_folders_are_kept_in_pieces),
		T(copies_are_new_where_they_arrive),
		T(a_name_does_not_matter_and_what_goes_is_forgotten),
		T(renaming_inbox_makes_its_messages_new_elsewhere),
		T(an_account_that_goes_leaves_nothing),
		T(a_damaged_row_makes_all_recent_once),
		T(verify_says_what_belongs_to_nothing),
		T(an_older_index_is_read_and_gets_the_table_from_the_store),
		T(a_store_open_for_reading_gives_nothing),
	};
	return cmocka_run_group_tests_name("store recent", tests, NULL, NULL);
}
