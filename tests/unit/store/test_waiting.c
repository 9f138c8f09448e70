#include "unit/store/kit.h"

#include "store/index.h"
#include "store/queue.h"
#include "store/queue_row.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* How many recipients of an account wait, and how many may. kit_verify() counts again after each test. */
static struct kit kit, *k = &kit;
enum { ANNA = 11, BOB = 12, ROWS = 50 };

static int set_up(void **state)
{
	kit_open(k);
	kit_account(k, ANNA, "anna@example.org", 0);
	kit_account(k, BOB, "bob@example.org", 0);
	return 0;
}

static int tear_down(void **state)
{
	kit_end_sound(k);
	return 0;
}

static int tear_down_damaged(void **state)
{
	kit_done(k);
	return 0;
}

/* ---- doing ---- */
static enum rc put_as(uint64_t delivery, uint64_t account, size_t rows, uint32_t max, uint64_t *out_letter)
{
	static struct queue_row r[ROWS];
	for (size_t i = 0; i < rows; i++)
		r[i] = (struct queue_row){ .state = i % 2 ? QUEUE_HELD : QUEUE_READY, .priority = 4, .created_ms = 1000, .due_ms = 1000, .expires_ms = 9000, .sealed = STR("row") };
	struct queue_put put = { STR("letter"), r, rows, account };
	struct sent_note sent = { .account = account, .messages = 1, .recipients = (uint32_t)rows, .max_waiting = max };
	return kit_deliver_out(k, delivery, STR("out"), NULL, 0, &put, 1, account ? &sent : NULL, NULL, out_letter);
}

static enum rc put(uint64_t account, size_t rows, uint32_t max)
{
	uint64_t letter;
	return put_as(0, account, rows, max, &letter);
}

static struct queue_change change_to(uint64_t letter, uint32_t n, uint32_t version, enum queue_state state, enum queue_end end)
{
	return (struct queue_change){ .row = { .letter = letter, .n = n, .version = version, .state = (uint8_t)state, .end = (uint8_t)end, .priority = 4, .due_ms = 5,
		.sealed = STR("row") }, .done = STR("history") };
}

static void change(struct queue_change *c, size_t n)
{
	assert_int_equal(queue_change(k->s, c, n, &k->why), RC_OK);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(c[i].rc, RC_OK);
}

static void end(uint64_t letter, uint32_t n, enum queue_end how)
{
	struct queue_change c = change_to(letter, n, 1, QUEUE_DONE, how);
	change(&c, 1);
}

/* Behind the store's back: reads the row, and puts another in its place where one is given; "" drops it. */
static uint32_t waiting_row(uint64_t account, const struct str *instead)
{
	struct index *x;
	MDB_txn *txn;
	struct str raw;
	struct key key = key_waiting(account);
	MDB_val mk = { key.n, key.b };
	uint32_t n = 0;
	store_close(&k->s);
	assert_int_equal(index_open(k->dir, k->o.map_size, true, &x, &k->why), RC_OK);
	assert_int_equal(mdb_txn_begin(x->env, NULL, 0, &txn), 0);
	if (index_get(x, txn, TABLE_KNOWN, key_str(&key), &raw) == RC_OK)
		assert_int_equal(waiting_parse(raw, &n), RC_OK);
	if (instead && instead->n)
		assert_int_equal(index_put(x, txn, TABLE_KNOWN, key_str(&key), *instead), 0);
	else if (instead)
		assert_int_equal(mdb_del(txn, x->dbi[TABLE_KNOWN], &mk, NULL), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	index_close(&x);
	assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_OK);
	return n;
}
static uint32_t waiting(uint64_t account) { return waiting_row(account, NULL); }

/* ---- tests ---- */
static void as_many_wait_as_may_and_the_refusal_says_how_many(void **state)
{
	uint64_t letter;
	assert_int_equal(put_as(0, ANNA, 6, 10, &letter), RC_OK);
	assert_int_equal(put(ANNA, 5, 10), RC_DENIED);
	assert_string_equal(k->why.text, "4.5.3 at most 10 recipients of this account may wait to be delivered, and 6 do: wait until there are fewer");
	assert_int_equal(put(ANNA, 4, 10), RC_OK);
	assert_int_equal(put(ANNA, 1, 10), RC_DENIED);
	assert_int_equal(put(BOB, 10, 10), RC_OK); /* each by himself */
	assert_int_equal(waiting(ANNA), 10);
	end(letter, 0, QUEUE_SENT);
	assert_int_equal(put(ANNA, 1, 10), RC_OK);
	assert_int_equal(put(ANNA, 1, 0), RC_OK); /* no limit: counted all the same */
	assert_int_equal(waiting(ANNA), 11);
	assert_int_equal(put(ANNA, 1, 5), RC_DENIED); /* the limit was lowered */
}

static void a_message_that_never_fits_is_told_so_for_good(void **state)
{
	assert_int_equal(put(ANNA, 11, 10), RC_DENIED);
	assert_string_equal(k->why.text, "5.5.3 at most 10 recipients of this account may wait to be delivered, and this message has 11");
	assert_int_equal(waiting(ANNA), 0);
}

static void whatever_ends_a_recipient_takes_it_off_and_nothing_else_does(void **state)
{
	uint64_t letter;
	assert_int_equal(put_as(0, ANNA, 6, 10, &letter), RC_OK);
	struct queue_change c[2] = { change_to(letter, 0, 1, QUEUE_HELD, QUEUE_END_NONE), change_to(letter, 1, 1, QUEUE_READY, QUEUE_END_NONE) };
	change(c, 2);
	assert_int_equal(waiting(ANNA), 6);
	c[0] = change_to(letter, 0, 2, QUEUE_DONE, QUEUE_DROPPED);
	c[1] = change_to(letter, 1, 2, QUEUE_DONE, QUEUE_BOUNCED);
	change(c, 2);
	assert_int_equal(waiting(ANNA), 4);
	change(c, 2); /* the answer was lost, and it is asked for again */
	assert_int_equal(waiting(ANNA), 4);
	end(letter, 2, QUEUE_EXPIRED);
	struct queue_change stale = change_to(letter, 3, 9, QUEUE_DONE, QUEUE_SENT), gone = change_to(letter + 7, 0, 1, QUEUE_DONE, QUEUE_SENT);
	assert_int_equal(queue_change(k->s, &stale, 1, &k->why), RC_OK);
	assert_int_equal(queue_change(k->s, &gone, 1, &k->why), RC_OK);
	assert_true(stale.rc == RC_CONFLICT && gone.rc == RC_NOTFOUND);
	assert_int_equal(waiting(ANNA), 3);
	for (uint32_t n = 3; n < 6; n++)
		end(letter, n, QUEUE_SENT);
	assert_int_equal(waiting(ANNA), 0);
}

static void a_commit_of_many_letters_counts_each_account_once(void **state)
{
	struct queue_change c[3 * 4];
	uint64_t letters[3];
	assert_int_equal(put_as(0, ANNA, 4, 0, &letters[0]), RC_OK);
	assert_int_equal(put_as(0, BOB, 4, 0, &letters[1]), RC_OK);
	assert_int_equal(put_as(0, ANNA, 4, 0, &letters[2]), RC_OK);
	for (uint32_t i = 0; i < 12; i++)
		c[i] = change_to(letters[i % 3], i / 3, 1, QUEUE_DONE, QUEUE_SENT);
	change(c, 11);
	assert_int_equal(waiting(ANNA), 1);
	assert_int_equal(waiting(BOB), 0);
	assert_int_equal(put(0, 5, 0), RC_OK); /* the system's own */
	assert_int_equal(waiting(0), 0);
}

static void a_delivery_asked_for_again_counts_once(void **state)
{
	uint64_t letter[2];
	for (int i = 0; i < 2; i++)
		assert_int_equal(put_as(7, ANNA, 6, 10, &letter[i]), RC_OK);
	assert_int_equal(letter[0], letter[1]);
	kit_reopen(k);
	assert_int_equal(waiting(ANNA), 6);
	assert_int_equal(put(ANNA, 5, 10), RC_DENIED);
}

static void a_new_day_leaves_the_count_alone(void **state)
{
	wall_ms_fixed = 1000ll * 24 * 3600 * 1000;
	assert_int_equal(put(ANNA, 6, 10), RC_OK);
	wall_ms_fixed += 500ll * 24 * 3600 * 1000; /* what is old of the account goes with its first message */
	assert_int_equal(put(ANNA, 5, 10), RC_DENIED);
	assert_int_equal(put(ANNA, 1, 10), RC_OK);
	assert_int_equal(waiting(ANNA), 7);
	wall_ms_fixed = 0;
}

static void a_removed_account_has_no_count_and_its_letters_end_as_any(void **state)
{
	uint64_t letter;
	assert_int_equal(put_as(0, ANNA, 2, 10, &letter), RC_OK);
	assert_int_equal(account_remove(k->s, ANNA, &k->why), RC_OK);
	assert_int_equal(waiting(ANNA), 0);
	end(letter, 0, QUEUE_SENT);
	end(letter, 1, QUEUE_SENT);
	assert_int_equal(put(ANNA, 1, 10), RC_NOTFOUND);
}

static void verify_tells_a_count_that_is_wrong(void **state)
{
	char row[WAITING_LEN];
	struct str wrong = waiting_format(7, row), none = STR("");
	struct buf b = { .max = 1 << 20 };
	assert_int_equal(put(ANNA, 3, 10), RC_OK);
	assert_int_equal(waiting_row(ANNA, &wrong), 3);
	assert_int_equal(kit_verify(k->dir, &b, NULL), 1);
	assert_true(str_find_str(buf_str(&b), STR("account 000000000000000b: 7 recipients are counted as waiting, there are 3")) < b.len);
	buf_clear(&b);
	(void)waiting_row(ANNA, &none);
	assert_int_equal(kit_verify(k->dir, &b, NULL), 1);
	assert_true(str_find_str(buf_str(&b), STR("0 recipients are counted as waiting, there are 3")) < b.len);
	buf_done(&b);
}

/* As it was written before letters named an account. */
static void a_letter_without_an_account_is_still_read(void **state)
{
	struct letter_row l;
	char row[LETTER_HEAD_LEN];
	static const char old[] = "\x01" "0123456789abcdef" "\0\0\0\3" "sealed", now[] = "\x02" "0123456789abcdef" "\0\0\0\3" "\0\0\0\0\0\0\0\x0b" "sealed";
	assert_int_equal(letter_value_parse(str_of(old, sizeof old - 1), &l), RC_OK);
	assert_true(l.rows == 3 && l.account == 0 && str_eq(l.sealed, STR("sealed")));
	assert_int_equal(letter_value_parse(str_of(now, sizeof now - 1), &l), RC_OK);
	assert_true(l.rows == 3 && l.account == 11 && str_eq(l.sealed, STR("sealed")));
	assert_true(str_eq(letter_value_head(&l, row), str_of(now, LETTER_HEAD_LEN)));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(as_many_wait_as_may_and_the_refusal_says_how_many),
		T(a_message_that_never_fits_is_told_so_for_good),
		T(whatever_ends_a_recipient_takes_it_off_and_nothing_else_does),
		T(a_commit_of_many_letters_counts_each_account_once),
		T(a_delivery_asked_for_again_counts_once),
		T(a_new_day_leaves_the_count_alone),
		T(a_removed_account_has_no_count_and_its_letters_end_as_any),
		cmocka_unit_test_setup_teardown(verify_tells_a_count_that_is_wrong, set_up, tear_down_damaged),
		T(a_letter_without_an_account_is_still_read),
	};
	return cmocka_run_group_tests_name("store waiting", tests, NULL, NULL);
}
