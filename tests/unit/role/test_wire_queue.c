#include "role/wire_queue.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* One case per list: what is written, and how it is read back and written again. */
struct list {
	void (*write)(struct buf *out);
	enum rc (*again)(struct str in, struct arena *a, struct buf *out);
	size_t step;                    /* a list without a count may end after any element; 0 = it has one */
	size_t least;                   /* shorter than this it is no list */
};
#define N(x) (sizeof(x) / sizeof *(x))

static const struct queue_row rows[] = {
	{ .state = QUEUE_READY, .priority = 4, .flags = QUEUE_ROW_SYSTEM, .attempts = 3, .lane = UINT64_MAX, .created_ms = 1, .due_ms = -2, .expires_ms = 3, .sealed = STR_INIT("row") },
	{ .state = QUEUE_HELD, .priority = 9, .sealed = STR_INIT("") },
};
static const struct queue_put letters[] = { { STR_INIT("a letter"), rows, 2, 77 }, { STR_INIT("b\0c"), rows + 1, 1 } };
static const uint64_t known[] = { 1, UINT64_MAX };
static const struct sent_note sent = { .account = 7, .messages = 1, .recipients = 2, .max_messages = 3, .max_recipients = 4, .max_first = 5, .max_waiting = 6, .known = known, .known_n = 2 };
static const struct queue_change changes[] = {
	{ .row = { .letter = 9, .n = 4, .version = 2, .state = QUEUE_DONE, .end = QUEUE_BOUNCED, .due_ms = 6, .sealed = STR_INIT("x") }, .done = STR_INIT("history") },
	{ .row = { .letter = UINT64_MAX, .version = 1, .state = QUEUE_READY, .sealed = STR_INIT("y") }, .done = STR_INIT("") },
};

static void write_puts(struct buf *out) { wire_put_puts(out, letters, N(letters)); }
static enum rc again_puts(struct str in, struct arena *a, struct buf *out)
{
	struct queue_put *list;
	size_t n;
	TRY(wire_get_puts(in, a, &list, &n));
	wire_put_puts(out, list, n);
	return RC_OK;
}

static void write_sent(struct buf *out) { wire_put_sent(out, &sent); }
static enum rc again_sent(struct str in, struct arena *a, struct buf *out)
{
	struct sent_note s;
	TRY(wire_get_sent(in, a, &s));
	wire_put_sent(out, &s);
	return RC_OK;
}

static void write_changes(struct buf *out) { wire_put_queue_changes(out, changes, N(changes)); }
static enum rc again_changes(struct str in, struct arena *a, struct buf *out)
{
	struct queue_change *list;
	size_t n;
	TRY(wire_get_queue_changes(in, a, &list, &n));
	wire_put_queue_changes(out, list, n);
	return RC_OK;
}

static const struct list lists[] = { { write_puts, again_puts, 0, 0 }, { write_sent, again_sent, 8, 32 }, { write_changes, again_changes, 0, 0 } };

static void every_list_comes_back_as_it_was_written(void **state)
{
	for (size_t i = 0; i < N(lists); i++) {
		AUTO(buf_done) struct buf b = { .max = 1 << 16 }, back = { .max = 1 << 16 };
		AUTO(arena_done) struct arena a = { .max = 1 << 16 };
		lists[i].write(&b);
		assert_int_equal(lists[i].again(buf_str(&b), &a, &back), RC_OK);
		assert_true(b.len > 0 && str_eq(buf_str(&b), buf_str(&back)));
	}
}

static void every_shorter_or_longer_list_is_refused(void **state)
{
	for (size_t i = 0; i < N(lists); i++) {
		AUTO(buf_done) struct buf b = { .max = 1 << 16 }, back = { .max = 1 << 16 };
		lists[i].write(&b);
		size_t whole = b.len;
		buf_byte(&b, 0);
		for (size_t n = 0; n <= b.len; n++) {
			AUTO(arena_done) struct arena a = { .max = 1 << 16 };
			if (n == whole || (lists[i].step && n >= lists[i].least && (n - lists[i].least) % lists[i].step == 0))
				continue;
			assert_int_equal(lists[i].again(str_head(buf_str(&b), n), &a, &back), RC_SYNTAX);
		}
	}
}

static void a_full_arena_is_no_memory_and_a_count_larger_than_its_octets_allocates_nothing(void **state)
{
	for (size_t i = 0; i < N(lists); i++) {
		AUTO(buf_done) struct buf b = { .max = 1 << 16 }, back = { .max = 1 << 16 };
		AUTO(arena_done) struct arena small = { .max = 8 }, large = { .max = SIZE_MAX / 2 };
		lists[i].write(&b);
		assert_int_equal(lists[i].again(buf_str(&b), &small, &back), RC_NOMEM);
		if (lists[i].step)
			continue;
		memset(b.p, 0xff, 4);
		assert_int_equal(lists[i].again(buf_str(&b), &large, &back), RC_SYNTAX);
		assert_int_equal(large.used, 0);
	}
}

static void rows_that_cannot_be_are_refused(void **state)
{
	const struct queue_row bad[] = {
		{ .state = 4, .version = 1 }, { .state = QUEUE_READY, .end = QUEUE_SENT, .version = 1 }, { .state = QUEUE_DONE, .version = 1 },
		{ .state = QUEUE_DONE, .end = 5, .version = 1 }, { .state = QUEUE_READY, .priority = 10, .version = 1 }, { .state = QUEUE_READY, .flags = 4, .version = 1 },
		{ .state = QUEUE_UNREADABLE, .version = 1 },
	};
	for (size_t i = 0; i < N(bad); i++) {
		AUTO(buf_done) struct buf b = { .max = 1 << 16 };
		struct queue_row r;
		queue_row_put(&b, &bad[i]);
		struct cursor c = cursor_of(buf_str(&b));
		assert_int_equal(queue_row_get(&c, &r), RC_SYNTAX);
		assert_true(c.failed);
	}
}

static void the_store_sets_what_a_new_row_may_not_say(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	AUTO(buf_done) struct buf b = { .max = 1 << 16 };
	struct queue_row r = rows[0];
	struct queue_put put = { STR("l"), &r, 1 }, *list;
	size_t n;
	r.letter = 5, r.n = 6, r.version = 7;
	wire_put_puts(&b, &put, 1);
	assert_int_equal(wire_get_puts(buf_str(&b), &a, &list, &n), RC_OK);
	assert_true(list[0].rows[0].letter == 0 && list[0].rows[0].n == 0 && list[0].rows[0].version == 0);
	b.p[4 + 4 + 1 + 8 + 4 + 7] = 1; /* its letter's number */
	assert_int_equal(wire_get_puts(buf_str(&b), &a, &list, &n), RC_SYNTAX);
}

static void outcomes_come_one_for_each_change(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 64 };
	struct queue_change list[3] = { { .rc = RC_OK }, { .rc = RC_CONFLICT }, { .rc = RC_NOTFOUND } }, back[3] = { { .rc = RC_IO }, { .rc = RC_IO }, { .rc = RC_IO } };
	wire_put_outcomes(&b, list, 3);
	assert_int_equal(wire_get_outcomes(buf_str(&b), back, 2), RC_SYNTAX);
	assert_int_equal(wire_get_outcomes(buf_str(&b), back, 3), RC_OK);
	assert_true(back[0].rc == RC_OK && back[1].rc == RC_CONFLICT && back[2].rc == RC_NOTFOUND);
	b.p[1] = RC_IO + 1;
	assert_int_equal(wire_get_outcomes(buf_str(&b), back, 3), RC_SYNTAX);
}

static void notes_are_read_one_by_one(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 64 };
	struct str key, value;
	buf_run(&b, STR("k"));
	buf_run(&b, STR("v"));
	struct cursor c = cursor_of(buf_str(&b));
	assert_int_equal(wire_next_note(&c, &key, &value), RC_OK);
	assert_true(str_eq(key, STR("k")) && str_eq(value, STR("v")));
	assert_int_equal(wire_next_note(&c, &key, &value), RC_NOTFOUND);
	for (size_t i = 1; i < b.len; i++) {
		c = cursor_of(str_head(buf_str(&b), i));
		assert_int_equal(wire_next_note(&c, &key, &value), RC_SYNTAX);
		assert_int_equal(wire_next_note(&c, &key, &value), RC_SYNTAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_list_comes_back_as_it_was_written),
		cmocka_unit_test(every_shorter_or_longer_list_is_refused),
		cmocka_unit_test(a_full_arena_is_no_memory_and_a_count_larger_than_its_octets_allocates_nothing),
		cmocka_unit_test(rows_that_cannot_be_are_refused),
		cmocka_unit_test(the_store_sets_what_a_new_row_may_not_say),
		cmocka_unit_test(outcomes_come_one_for_each_change),
		cmocka_unit_test(notes_are_read_one_by_one),
	};
	return cmocka_run_group_tests_name("wire_queue", tests, NULL, NULL);
}
