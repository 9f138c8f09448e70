#include "unit/store/kit.h"

#include "store/index.h"
#include "store/queue.h"
#include "store/queue_row.h"
#include "store/view.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

/* The queue as the store keeps it: numbers, versions, what goes with what, and what is counted. */
static struct kit kit, *k = &kit;
enum { ANNA = 11, DAY = 24 * 3600 * 1000 };
static const int64_t noon = 1000ll * DAY + DAY / 2; /* 1972-09-27 */

static int set_up(void **state)
{
	kit_open(k);
	kit_account(k, ANNA, "anna@example.org", 0);
	return 0;
}

static int tear_down(void **state)
{
	wall_ms_fixed = 0;
	kit_done(k);
	return 0;
}

static void expect_clean(uint64_t letters, uint64_t queued)
{
	struct verify_report r;
	struct buf b;
	buf_init(&b, 1 << 20);
	if (kit_verify(k->dir, &b, &r))
		fail_msg("%.*s", PSTR(str_head(buf_str(&b), 600)));
	buf_done(&b);
	assert_int_equal(r.letters, letters);
	assert_int_equal(r.queued, queued);
}

static void expect_queue(bool done, const char *want)
{
	struct buf b;
	buf_init(&b, 1 << 16);
	kit_queue(k, done, &b);
	buf_byte(&b, 0);
	assert_string_equal(b.p, want);
	buf_done(&b);
}

static const struct queue_row ready = { .state = QUEUE_READY, .priority = 4, .created_ms = 1000, .due_ms = 1000, .expires_ms = 9000, .sealed = STR_INIT("row") };

static struct queue_change to_ready(uint64_t letter, uint32_t n, uint32_t version)
{
	struct queue_change c = { .row = ready, .rc = RC_IO };
	c.row.letter = letter;
	c.row.n = n;
	c.row.version = version;
	c.row.attempts = version;
	return c;
}

static struct queue_change to_done(uint64_t letter, uint32_t n, uint32_t version, int64_t at)
{
	struct queue_change c = to_ready(letter, n, version);
	c.row.state = QUEUE_DONE;
	c.row.end = QUEUE_SENT;
	c.row.due_ms = at;
	c.done = STR("history");
	return c;
}

static enum rc change_one(struct queue_change c)
{
	assert_int_equal(queue_change(k->s, &c, 1, &k->why), RC_OK);
	return c.rc;
}

static uint64_t blobs(void)
{
	struct verify_report r;
	assert_int_equal(kit_verify(k->dir, NULL, &r), 0);
	return r.blobs;
}

/* ---- deliveries ---- */
static void letters_are_numbered_in_the_order_of_their_commits_and_no_number_comes_twice(void **state)
{
	assert_int_equal(kit_letter(k, 2), 1);
	assert_int_equal(kit_letter(k, 1), 2);
	assert_int_equal(change_one(to_done(2, 0, 1, 5000)), RC_OK);
	kit_reopen(k);
	assert_int_equal(kit_letter(k, 1), 3);
	expect_queue(false, "1.0:1:1 1.1:1:1 3.0:1:1");
	expect_clean(2, 3);
}

static void one_delivery_brings_copies_and_letters_and_all_share_its_body(void **state)
{
	struct queue_row rows[3] = { ready, ready, ready };
	struct queue_put puts[2] = { { STR("one"), rows, 2 }, { STR("two"), rows, 3 } };
	struct kit_copy copies[2] = { { .account = ANNA }, { .account = 999 } };
	struct store_copy_result out[2];
	uint64_t letters[2];
	rows[1].state = QUEUE_HELD;
	assert_int_equal(kit_deliver_out(k, 7, STR("hello"), copies, 2, puts, 2, NULL, out, letters), RC_OK);
	assert_int_equal(out[0].rc, RC_OK);
	assert_int_equal(out[1].rc, RC_NOTFOUND);
	assert_true(letters[0] == 1 && letters[1] == 2);
	expect_queue(false, "1.0:1:1 1.1:1:2 2.0:1:1 2.1:1:2 2.2:1:1");
	expect_clean(2, 5); /* counts the references: one copy and two letters */
	assert_int_equal(blobs(), 1);
	struct uid_range all = { 1, UINT32_MAX };
	assert_int_equal(store_expunge(k->s, ANNA, out[0].box, &all, 1, false, NULL, &k->why), RC_OK);
	assert_int_equal(blobs(), 1);
}

static void the_same_delivery_again_gives_the_same_numbers_and_stores_nothing(void **state)
{
	struct queue_put puts[2] = { { STR("one"), &ready, 1 }, { STR("two"), &ready, 1 } };
	struct kit_copy copy = { .account = ANNA };
	struct store_copy_result out;
	uint64_t letters[2];
	struct sent_note sent = { .account = ANNA, .messages = 1, .recipients = 2, .max_messages = 1 };
	for (int i = 0; i < 2; i++) {
		letters[0] = letters[1] = 0;
		assert_int_equal(kit_deliver_out(k, 7, STR("hello"), &copy, 1, puts, 2, &sent, &out, letters), RC_OK);
		assert_true(letters[0] == 1 && letters[1] == 2 && out.uid == 1);
	}
	assert_int_equal(kit_deliver_out(k, 7, STR("hello"), &copy, 1, puts, 1, &sent, &out, letters), RC_SYNTAX); /* that is another one */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(kit_deliver_out(k, 8, STR("out only"), NULL, 0, puts, 1, NULL, NULL, letters), RC_OK);
		assert_int_equal(letters[0], 3);
	}
	expect_clean(3, 3);
}

static void what_cannot_be_queued_is_refused_whole(void **state)
{
	static char big[QUEUE_LETTER_MAX + 1], row[QUEUE_ROW_MAX + 1];
	struct queue_row bad = ready;
	uint64_t letters[1];
	struct queue_put put = { str_of(big, sizeof big), &ready, 1 };
	assert_int_equal(kit_deliver_out(k, 0, STR("x"), NULL, 0, &put, 1, NULL, NULL, letters), RC_LIMIT);
	put = (struct queue_put){ STR("l"), &ready, 0 };
	assert_int_equal(kit_deliver_out(k, 0, STR("x"), NULL, 0, &put, 1, NULL, NULL, letters), RC_LIMIT);
	put = (struct queue_put){ STR("l"), &bad, 1 };
	bad.sealed = str_of(row, sizeof row);
	assert_int_equal(kit_deliver_out(k, 0, STR("x"), NULL, 0, &put, 1, NULL, NULL, letters), RC_SYNTAX);
	bad = ready;
	bad.state = QUEUE_DONE;
	bad.end = QUEUE_SENT;
	assert_int_equal(kit_deliver_out(k, 0, STR("x"), NULL, 0, &put, 1, NULL, NULL, letters), RC_SYNTAX);
	bad = ready;
	bad.priority = 10;
	assert_int_equal(kit_deliver_out(k, 0, STR("x"), NULL, 0, &put, 1, NULL, NULL, letters), RC_SYNTAX);
	assert_int_equal(kit_deliver_out(k, 0, STR("x"), NULL, 0, NULL, 0, NULL, NULL, letters), RC_LIMIT); /* to nobody */
	expect_clean(0, 0);
	put = (struct queue_put){ str_of(big, QUEUE_LETTER_MAX), &bad, 1 };
	bad = ready;
	bad.sealed = str_of(row, QUEUE_ROW_MAX);
	assert_int_equal(kit_deliver_out(k, 0, STR("x"), NULL, 0, &put, 1, NULL, NULL, letters), RC_OK);
	expect_clean(1, 1);
}

struct heard { uint64_t last; unsigned n; };
static void hear(void *arg, uint64_t letter)
{
	struct heard *h = arg;
	h->last = letter;
	h->n++;
}

static void whoever_listens_hears_of_new_letters_and_of_nothing_else(void **state)
{
	struct heard h = { 0 };
	struct kit_copy copy = { .account = ANNA };
	struct store_copy_result out;
	store_on_queue(k->s, hear, &h);
	assert_int_equal(kit_deliver(k, 0, STR("stays here"), &copy, 1, &out), RC_OK);
	assert_int_equal(h.n, 0);
	(void)kit_letter(k, 2);
	(void)kit_letter(k, 2);
	assert_true(h.last == 2 && h.n == 2);
	assert_int_equal(change_one(to_ready(1, 0, 1)), RC_OK);
	assert_int_equal(h.n, 2);
}

/* ---- changes ---- */
static void a_change_names_the_version_that_is_there(void **state)
{
	struct queue_change c[4] = { to_ready(1, 0, 1), to_ready(1, 1, 2), to_ready(1, 5, 1), to_ready(1, 2, 1) };
	(void)kit_letter(k, 3);
	assert_int_equal(queue_change(k->s, c, 4, &k->why), RC_OK);
	assert_true(c[0].rc == RC_OK && c[1].rc == RC_CONFLICT && c[2].rc == RC_NOTFOUND && c[3].rc == RC_OK);
	expect_queue(false, "1.0:2:1 1.1:1:1 1.2:2:1");
	expect_clean(1, 3);
}

static void of_two_changes_of_one_row_the_first_counts(void **state)
{
	struct queue_change c[3] = { to_ready(1, 0, 1), to_done(1, 0, 1, 5000), to_ready(1, 0, 1) };
	c[2].row.attempts = 77;
	(void)kit_letter(k, 1);
	assert_int_equal(queue_change(k->s, c, 3, &k->why), RC_OK);
	assert_true(c[0].rc == RC_OK && c[1].rc == RC_CONFLICT && c[2].rc == RC_CONFLICT);
	expect_queue(false, "1.0:2:1");
	expect_queue(true, "");
	expect_clean(1, 1);
}

static void a_change_whose_answer_was_lost_may_be_asked_for_again(void **state)
{
	(void)kit_letter(k, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(change_one(to_ready(1, 0, 1)), RC_OK);
		assert_int_equal(change_one(to_done(1, 1, 1, 5000)), RC_OK);
	}
	expect_queue(false, "1.0:2:1");
	expect_queue(true, "1.1:2:3");
	struct queue_change other = to_ready(1, 0, 1);
	other.row.sealed = STR("another outcome");
	assert_int_equal(change_one(other), RC_CONFLICT);
	assert_int_equal(change_one(to_done(1, 1, 1, 6000)), RC_NOTFOUND);
	expect_clean(1, 1);
}

static void a_letter_and_its_body_go_with_the_last_row(void **state)
{
	struct view *v;
	struct arena a;
	struct queue_letter l;
	(void)kit_letter(k, 3);
	struct queue_change two[2] = { to_done(1, 2, 1, 5000), to_done(1, 0, 1, 5000) };
	assert_int_equal(queue_change(k->s, two, 2, &k->why), RC_OK);
	expect_clean(1, 1);
	arena_init(&a, 1 << 20);
	assert_int_equal(view_open(k->dir, k->o.map_size, &v, &k->why), RC_OK);
	assert_int_equal(view_letter(v, 1, &a, &l, &k->why), RC_OK);
	assert_true(l.rows_left == 1 && str_eq(l.sealed, STR("a sealed letter")));
	assert_int_equal(blobs(), 1);
	assert_int_equal(change_one(to_done(1, 1, 1, 5000)), RC_OK);
	assert_int_equal(view_letter(v, 1, &a, &l, &k->why), RC_NOTFOUND);
	view_close(&v);
	arena_done(&a);
	assert_int_equal(blobs(), 0);
	expect_queue(false, "");
	expect_queue(true, "1.0:2:3 1.1:2:3 1.2:2:3");
	expect_clean(0, 0);
}

static void a_change_that_cannot_be_changes_nothing(void **state)
{
	struct queue_change c[2] = { to_ready(1, 0, 1), to_ready(1, 1, 1) };
	(void)kit_letter(k, 2);
	c[1].row.end = QUEUE_SENT; /* and not done */
	assert_int_equal(queue_change(k->s, c, 2, &k->why), RC_SYNTAX);
	c[1] = to_done(1, 1, 1, 5000);
	c[1].row.end = QUEUE_END_NONE;
	assert_int_equal(queue_change(k->s, c, 2, &k->why), RC_SYNTAX);
	expect_queue(false, "1.0:1:1 1.1:1:1");
}

static void rows_keep_every_field_and_the_time_they_came(void **state)
{
	struct queue_change c = to_ready(1, 1, 1);
	struct view *v;
	struct buf page;
	struct queue_row r;
	uint64_t letter;
	uint32_t n;
	(void)kit_letter(k, 2);
	c.row.created_ms = 5;
	c.row.due_ms = 123456789012;
	c.row.expires_ms = -1;
	c.row.lane = 0xfedcba9876543210;
	c.row.attempts = 3;
	c.row.priority = 9;
	c.row.flags = QUEUE_ROW_DELAY_TOLD;
	c.row.state = QUEUE_HELD;
	c.row.sealed = STR("sealed\0again");
	assert_int_equal(change_one(c), RC_OK);
	buf_init(&page, 4096);
	assert_int_equal(view_open(k->dir, k->o.map_size, &v, &k->why), RC_OK);
	assert_int_equal(view_queue(v, false, 1, 1, 1, &page, &letter, &n, &k->why), RC_OK);
	struct cursor in = cursor_of(buf_str(&page));
	assert_int_equal(queue_row_get(&in, &r), RC_OK);
	assert_true(cursor_at_end(&in) && letter == 0);
	assert_true(r.letter == 1 && r.n == 1 && r.version == 2 && r.state == QUEUE_HELD && r.end == 0 && r.priority == 9 && r.flags == QUEUE_ROW_DELAY_TOLD);
	assert_true(r.attempts == 3 && r.lane == 0xfedcba9876543210 && r.created_ms == 1000 && r.due_ms == 123456789012 && r.expires_ms == -1);
	assert_true(str_eq(r.sealed, STR("sealed\0again")));
	view_close(&v);
	buf_done(&page);
}

static void a_thousand_rows_change_in_one_commit(void **state)
{
	static struct queue_change c[5000];
	struct store_stats before, after;
	(void)kit_letter(k, 5000);
	store_stats(k->s, &before);
	for (uint32_t i = 0; i < 5000; i++)
		c[i] = i % 2 ? to_ready(1, i, 1) : to_done(1, 4998 - i, 1, 5000);
	assert_int_equal(queue_change(k->s, c, 5000, &k->why), RC_OK);
	for (uint32_t i = 0; i < 5000; i++)
		assert_int_equal(c[i].rc, RC_OK);
	store_stats(k->s, &after);
	assert_int_equal(after.commits, before.commits + 1);
	expect_clean(1, 2500);
}

/* ---- history ---- */
static void what_was_done_long_ago_is_forgotten_a_part_at_a_time(void **state)
{
	bool more = true;
	unsigned calls = 0;
	wall_ms_fixed = 100000;
	(void)kit_letter(k, 100);
	for (uint32_t i = 0; i < 90; i++)
		assert_int_equal(change_one(to_done(1, i, 1, i < 70 ? 5000 : 50000)), RC_OK);
	for (; more; calls++)
		assert_int_equal(queue_forget(k->s, 20000, 10, &more, &k->why), RC_OK);
	assert_true(calls >= 7 && calls <= 9);
	struct buf b;
	buf_init(&b, 1 << 16);
	kit_queue(k, true, &b);
	assert_true(str_starts(buf_str(&b), STR("1.70:2:3 1.71:2:3")));
	buf_done(&b);
	expect_clean(1, 10);
}

static void rows_that_are_not_old_enough_do_not_hide_those_behind_them(void **state)
{
	bool more = true;
	wall_ms_fixed = 100000;
	(void)kit_letter(k, 60);
	for (uint32_t i = 0; i < 60; i++)
		assert_int_equal(change_one(to_done(1, i, 1, i < 50 ? 50000 : 5000)), RC_OK);
	for (unsigned i = 0; more && i < 100; i++)
		assert_int_equal(queue_forget(k->s, 20000, 1, &more, &k->why), RC_OK); /* looks at 16 rows */
	struct buf b;
	buf_init(&b, 1 << 16);
	kit_queue(k, true, &b);
	assert_true(str_ends(buf_str(&b), STR(" 1.49:2:3")));
	buf_done(&b);
}

/* ---- damage ---- */
static void flip_value(enum table t, uint64_t letter, uint32_t n)
{
	struct index *x;
	MDB_txn *txn;
	struct key key = key_queue(letter, n);
	MDB_val mk = val_of(key_str(&key)), v;
	assert_int_equal(index_open(k->dir, k->o.map_size, true, &x, &k->why), RC_OK);
	assert_int_equal(mdb_txn_begin(x->env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_get(txn, x->dbi[t], &mk, &v), 0);
	char *copy = malloc(v.mv_size);
	memcpy(copy, v.mv_data, v.mv_size);
	copy[3] ^= 1;
	v.mv_data = copy;
	assert_int_equal(mdb_put(txn, x->dbi[t], &mk, &v, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	free(copy);
	index_close(&x);
}

static void a_damaged_row_is_shown_as_such_and_can_be_ended_only(void **state)
{
	(void)kit_letter(k, 3);
	store_close(&k->s);
	flip_value(TABLE_QUEUE, 1, 1);
	assert_int_equal(kit_verify(k->dir, NULL, NULL), 1);
	assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_OK);
	expect_queue(false, "1.0:1:1 1.1:0:0 1.2:1:1");
	assert_int_equal(change_one(to_ready(1, 1, 0)), RC_CONFLICT);
	assert_int_equal(change_one(to_done(1, 1, 1, 5000)), RC_CONFLICT);
	assert_int_equal(change_one(to_done(1, 1, 0, 5000)), RC_OK);
	expect_queue(false, "1.0:1:1 1.2:1:1");
	expect_clean(1, 2);
}

/* ---- what verify sees ---- */
static void drop_row(enum table t, struct key key)
{
	struct index *x;
	MDB_txn *txn;
	MDB_val mk = val_of(key_str(&key));
	store_close(&k->s);
	assert_int_equal(index_open(k->dir, k->o.map_size, true, &x, &k->why), RC_OK);
	assert_int_equal(mdb_txn_begin(x->env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_del(txn, x->dbi[t], &mk, NULL), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	index_close(&x);
}

static void expect_damage(const char *text)
{
	struct buf b;
	buf_init(&b, 1 << 16);
	assert_true(kit_verify(k->dir, &b, NULL) >= 1);
	if (str_find_str(buf_str(&b), str_z(text)) == b.len)
		fail_msg("no \"%s\" in: %.*s", text, PSTR(str_head(buf_str(&b), 600)));
	buf_done(&b);
	assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_OK);
}

static void verify_tells_a_letter_that_lost_a_row(void **state)
{
	(void)kit_letter(k, 3);
	drop_row(TABLE_QUEUE, key_queue(1, 1));
	expect_damage("letter 1: 3 recipients are left, there are 2");
}

static void verify_tells_rows_without_a_letter_and_a_body_that_nobody_names(void **state)
{
	(void)kit_letter(k, 1);
	drop_row(TABLE_LETTER, key_letter(1));
	expect_damage("queue of letter 1, recipient 0: has no letter");
	store_close(&k->s);
	expect_damage("its row counts 1 references, there are 0");
}

static void verify_tells_a_lost_count_of_what_is_left(void **state)
{
	(void)kit_letter(k, 3);
	assert_int_equal(change_one(to_done(1, 1, 1, 5000)), RC_OK);
	expect_clean(1, 2);
	drop_row(TABLE_LETTER, key_letter_left(1));
	expect_damage("letter 1: 3 recipients are left, there are 2");
}

static void verify_tells_a_counter_that_went_back(void **state)
{
	(void)kit_letter(k, 1);
	drop_row(TABLE_META, key_last_letter());
	expect_damage("letter 1 has a number that was not given yet");
}

/* ---- what an account has sent ---- */
static enum rc send_to(uint32_t messages, uint32_t recipients, const uint64_t *known, size_t known_n, struct sent_note limits)
{
	struct queue_put put = { STR("letter"), &ready, 1 };
	uint64_t letter;
	limits.account = ANNA;
	limits.messages = messages;
	limits.recipients = recipients;
	limits.known = known;
	limits.known_n = known_n;
	return kit_deliver_out(k, 0, STR("out"), NULL, 0, &put, 1, &limits, NULL, &letter);
}

static void the_days_limits_hold_and_say_which_and_until_when(void **state)
{
	struct sent_note messages = { .max_messages = 2 }, recipients = { .max_recipients = 5 };
	wall_ms_fixed = noon;
	assert_int_equal(send_to(1, 1, NULL, 0, messages), RC_OK);
	assert_int_equal(send_to(1, 1, NULL, 0, messages), RC_OK);
	assert_int_equal(send_to(1, 1, NULL, 0, messages), RC_DENIED);
	assert_string_equal(k->why.text, "4.7.1 this account may send 2 messages a day: wait until 1972-09-28 00:00 UTC");
	assert_int_equal(send_to(1, 4, NULL, 0, recipients), RC_DENIED);
	assert_string_equal(k->why.text, "4.7.1 this account may write to 5 recipients a day: wait until 1972-09-28 00:00 UTC");
	assert_int_equal(send_to(1, 3, NULL, 0, recipients), RC_OK);
	expect_clean(3, 3);
	wall_ms_fixed = noon + DAY / 2;
	assert_int_equal(send_to(1, 1, NULL, 0, messages), RC_OK);
	expect_clean(4, 4);
}

static void only_those_never_written_to_before_count_as_first(void **state)
{
	struct sent_note first = { .max_first = 3 };
	uint64_t to[5] = { 50, 10, 50, 30, 40 };
	wall_ms_fixed = noon;
	assert_int_equal(send_to(1, 3, to, 3, first), RC_OK); /* 50, 10 */
	assert_int_equal(send_to(1, 5, to, 5, first), RC_DENIED); /* 30 and 40 are new */
	assert_string_equal(k->why.text, "4.7.1 this account may write to 3 recipients it has never written to a day: wait until 1972-09-28 00:00 UTC");
	assert_int_equal(send_to(1, 4, to, 4, first), RC_OK);
	for (int i = 0; i < 10; i++)
		assert_int_equal(send_to(1, 4, to, 4, first), RC_OK);
	assert_int_equal(send_to(1, 1, to + 4, 1, first), RC_DENIED);
	wall_ms_fixed = noon + DAY;
	assert_int_equal(send_to(1, 1, to + 4, 1, first), RC_OK);
	expect_clean(13, 13);
}

static uint64_t known_rows(void)
{
	struct index *x;
	MDB_txn *txn;
	MDB_stat st;
	store_close(&k->s);
	assert_int_equal(index_open(k->dir, k->o.map_size, true, &x, &k->why), RC_OK);
	assert_int_equal(mdb_txn_begin(x->env, NULL, MDB_RDONLY, &txn), 0);
	assert_int_equal(mdb_stat(txn, x->dbi[TABLE_KNOWN], &st), 0);
	mdb_txn_abort(txn);
	index_close(&x);
	assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_OK);
	return st.ms_entries;
}

static void old_counters_and_acquaintances_are_pruned(void **state)
{
	uint64_t to[100], one = 1;
	struct sent_note none = { 0 };
	for (size_t i = 0; i < 100; i++)
		to[i] = i * 0x123456789abcdef;
	wall_ms_fixed = noon;
	assert_int_equal(send_to(1, 100, to, 100, none), RC_OK);
	wall_ms_fixed += 60ll * DAY;
	assert_int_equal(send_to(1, 1, to + 7, 1, none), RC_OK); /* is kept up to date */
	assert_int_equal(known_rows(), 100 + 1); /* yesterday's counter has gone */
	wall_ms_fixed += 350ll * DAY;
	assert_int_equal(send_to(1, 1, &one, 1, none), RC_OK);
	assert_int_equal(known_rows(), 1 + 1 + 1);
	expect_clean(3, 3);
}

static void a_removed_account_leaves_its_letters_and_no_counters(void **state)
{
	struct queue_put put = { STR("letter"), &ready, 1 };
	struct kit_copy copy = { .account = ANNA };
	struct store_copy_result out;
	struct sent_note sent = { .account = ANNA, .messages = 1, .known = (uint64_t[]){ 5, 6 }, .known_n = 2 };
	uint64_t letter;
	assert_int_equal(kit_deliver_out(k, 0, STR("to both"), &copy, 1, &put, 1, &sent, &out, &letter), RC_OK);
	assert_int_equal(known_rows(), 3);
	assert_int_equal(account_remove(k->s, ANNA, &k->why), RC_OK);
	assert_int_equal(known_rows(), 0);
	expect_clean(1, 1);
	assert_int_equal(blobs(), 1);
	assert_int_equal(send_to(1, 1, NULL, 0, sent), RC_NOTFOUND);
	assert_int_equal(change_one(to_done(letter, 0, 1, 5000)), RC_OK);
	assert_int_equal(blobs(), 0);
	expect_clean(0, 0);
}

/* ---- notes ---- */
static void expect_notes(struct str prefix, struct str after, size_t max, const char *want, bool want_more)
{
	struct view *v;
	struct buf out, text;
	bool more;
	buf_init(&out, 1 << 20);
	buf_init(&text, 1 << 16);
	assert_int_equal(view_open(k->dir, k->o.map_size, &v, &k->why), RC_OK);
	assert_int_equal(view_notes(v, prefix, after, max, &out, &more, &k->why), RC_OK);
	struct cursor c = cursor_of(buf_str(&out));
	while (c.in.n) {
		buf_add(&text, cursor_run(&c, 200));
		buf_byte(&text, '=');
		buf_add(&text, str_head(cursor_run(&c, NOTE_MAX), 8));
		buf_byte(&text, ' ');
	}
	buf_byte(&text, 0);
	assert_string_equal(text.p, want);
	assert_int_equal(more, want_more);
	view_close(&v);
	buf_done(&out);
	buf_done(&text);
}

static void notes_are_put_read_by_prefix_and_taken_away(void **state)
{
	static char big[NOTE_MAX + 1];
	static const char *const keys[] = { "sts.b", "sts.a", "pause.x", "sts.c", "sts", "su" };
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(note_put(k->s, str_z(keys[i]), str_z(keys[i] + 1), &k->why), RC_OK);
	expect_notes(STR("sts."), STR(""), 1 << 16, "sts.a=ts.a sts.b=ts.b sts.c=ts.c ", false);
	expect_notes(STR("sts."), STR("sts.a"), 1 << 16, "sts.b=ts.b sts.c=ts.c ", false);
	expect_notes(STR("sts."), STR(""), 1, "sts.a=ts.a ", true);
	expect_notes(STR("sts."), STR("sts.c"), 1, "", false);
	assert_int_equal(note_put(k->s, STR("sts.b"), STR(""), &k->why), RC_OK);
	assert_int_equal(note_put(k->s, STR("sts.a"), STR("new"), &k->why), RC_OK);
	expect_notes(STR("s"), STR(""), 1 << 16, "sts=ts sts.a=new sts.c=ts.c su=u ", false);
	memset(big, 'x', sizeof big);
	assert_int_equal(note_put(k->s, STR("big"), str_of(big, NOTE_MAX), &k->why), RC_OK);
	assert_int_equal(note_put(k->s, STR("big"), str_of(big, NOTE_MAX + 1), &k->why), RC_LIMIT);
	assert_int_equal(note_put(k->s, str_of(big, NOTE_KEY_MAX + 1), STR("x"), &k->why), RC_LIMIT);
	assert_int_equal(note_put(k->s, STR(""), STR("x"), &k->why), RC_LIMIT);
	expect_notes(STR("b"), STR(""), 1, "big=xxxxxxxx ", false);
	expect_clean(0, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(letters_are_numbered_in_the_order_of_their_commits_and_no_number_comes_twice),
		T(one_delivery_brings_copies_and_letters_and_all_share_its_body),
		T(the_same_delivery_again_gives_the_same_numbers_and_stores_nothing),
		T(what_cannot_be_queued_is_refused_whole),
		T(whoever_listens_hears_of_new_letters_and_of_nothing_else),
		T(a_change_names_the_version_that_is_there),
		T(of_two_changes_of_one_row_the_first_counts),
		T(a_change_whose_answer_was_lost_may_be_asked_for_again),
		T(a_letter_and_its_body_go_with_the_last_row),
		T(a_change_that_cannot_be_changes_nothing),
		T(rows_keep_every_field_and_the_time_they_came),
		T(a_thousand_rows_change_in_one_commit),
		T(what_was_done_long_ago_is_forgotten_a_part_at_a_time),
		T(rows_that_are_not_old_enough_do_not_hide_those_behind_them),
		T(a_damaged_row_is_shown_as_such_and_can_be_ended_only),
		T(verify_tells_a_letter_that_lost_a_row),
		T(verify_tells_rows_without_a_letter_and_a_body_that_nobody_names),
		T(verify_tells_a_lost_count_of_what_is_left),
		T(verify_tells_a_counter_that_went_back),
		T(the_days_limits_hold_and_say_which_and_until_when),
		T(only_those_never_written_to_before_count_as_first),
		T(old_counters_and_acquaintances_are_pruned),
		T(a_removed_account_leaves_its_letters_and_no_counters),
		T(notes_are_put_read_by_prefix_and_taken_away),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
