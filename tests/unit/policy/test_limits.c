#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/limits.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct limits *l;

static int map(void **state)
{
	(void)state;
	void *p = mmap(NULL, limits_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(p != MAP_FAILED);
	l = p;
	return 0;
}

static int unmap(void **state)
{
	(void)state;
	return munmap(l, limits_size());
}

static struct limit_key key(char thing, uint32_t n)
{
	uint8_t network[16] = { 0x20, 0x01, 0x0d, 0xb8, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
	return limit_key_of(thing, network);
}

static void the_table_is_of_a_reasonable_size(void **state)
{
	(void)state;
	assert_in_range(limits_size(), 2 << 20, 4 << 20);
}

static void a_limit_holds_over_all_processes_and_is_given_back(void **state)
{
	(void)state;
	assert_true(limits_enter(l, key('c', 1), 0, 3));
	assert_true(limits_enter(l, key('c', 1), 1, 3));
	assert_true(limits_enter(l, key('c', 1), 1, 3));
	assert_false(limits_enter(l, key('c', 1), 2, 3));
	assert_int_equal(limits_held(l, key('c', 1)), 3);
	assert_true(limits_enter(l, key('c', 2), 2, 3));
	assert_true(limits_enter(l, key('d', 1), 2, 3));
	limits_leave(l, key('c', 1), 1);
	assert_true(limits_enter(l, key('c', 1), 2, 3));
	assert_false(limits_enter(l, key('c', 1), 2, 3));
}

static void leaving_what_was_never_entered_harms_nobody(void **state)
{
	(void)state;
	limits_leave(l, key('c', 1), 0);
	assert_true(limits_enter(l, key('c', 1), 0, 1));
	limits_leave(l, key('c', 1), 1);
	assert_int_equal(limits_held(l, key('c', 1)), 1);
	assert_false(limits_enter(l, key('x', 1), 0, 0));
	assert_true(limits_enter(l, key('x', 1), LIMIT_HOLDER_MAX + 1, 1)); /* an index beyond the table: not counted */
	assert_int_equal(limits_held(l, key('x', 1)), 0);
}

static void what_a_dead_process_held_is_given_back(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 100; n++)
		for (int i = 0; i < 5; i++)
			assert_true(limits_enter(l, key('c', n), 3 + (unsigned)(i & 1), 5));
	limits_forget(l, 3);
	for (uint32_t n = 0; n < 100; n++)
		assert_int_equal(limits_held(l, key('c', n)), 2);
	limits_forget(l, 4);
	for (uint32_t n = 0; n < 100; n++)
		assert_int_equal(limits_held(l, key('c', n)), 0);
}

static void a_full_table_refuses_nobody(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 400000; n++)
		assert_true(limits_enter(l, key('c', n), 0, 1));
	for (uint32_t n = 0; n < 200000; n++)
		assert_true(limits_rate(l, key('r', n), 1000, 60000, 1));
	limits_forget(l, 0);
	assert_true(limits_enter(l, key('c', 399999), 0, 1));
	assert_false(limits_enter(l, key('c', 399999), 0, 1));
}

/* ---- rates ---- */

static void a_rate_slides_over_two_windows(void **state)
{
	(void)state;
	int64_t t = 1000000000;
	for (int i = 0; i < 10; i++)
		assert_true(limits_rate(l, key('r', 1), t, 1000, 10));
	assert_false(limits_rate(l, key('r', 1), t + 999, 1000, 10));
	/* half of the next window: half of the ten still count */
	for (int i = 0; i < 5; i++)
		assert_true(limits_rate(l, key('r', 1), t + 1500, 1000, 10));
	assert_false(limits_rate(l, key('r', 1), t + 1500, 1000, 10));
	/* after two quiet windows all is forgotten */
	for (int i = 0; i < 10; i++)
		assert_true(limits_rate(l, key('r', 1), t + 4000, 1000, 10));
	assert_false(limits_rate(l, key('r', 1), t + 4000, 1000, 10));
}

static void refused_events_do_not_count(void **state)
{
	(void)state;
	assert_true(limits_rate(l, key('r', 1), 0, 1000, 1));
	for (int i = 0; i < 1000; i++)
		assert_false(limits_rate(l, key('r', 1), 500, 1000, 1));
	assert_true(limits_rate(l, key('r', 1), 2000, 1000, 1));
}

static void windows_of_other_lengths_and_odd_arguments_are_separate(void **state)
{
	(void)state;
	assert_true(limits_rate(l, key('r', 1), 0, 1000, 1));
	assert_true(limits_rate(l, key('r', 1), 0, 60000, 1));
	assert_false(limits_rate(l, key('r', 1), 0, 60000, 1));
	assert_false(limits_rate(l, key('r', 2), 0, 1000, 0));
	assert_true(limits_rate(l, key('r', 2), 0, 0, 1));
	assert_true(limits_rate(l, key('r', 2), -1, 1000, 1));
	assert_true(limits_rate(l, key('r', 2), INT64_MAX / 2, UINT32_MAX, UINT32_MAX));
}

static void stale_entries_make_room_for_new_ones(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 200000; n++)
		(void)limits_rate(l, key('r', n), 1000, 1000, 1);
	/* ten windows later everyone is counted again, from nothing */
	uint32_t counted = 0;
	for (uint32_t n = 500000; n < 510000; n++) {
		assert_true(limits_rate(l, key('r', n), 11000, 1000, 1));
		counted += !limits_rate(l, key('r', n), 11000, 1000, 1);
	}
	assert_int_equal(counted, 10000);
}

/* ---- many at once ---- */

enum { THREADS = 4, ROUNDS = 20000, PLACES = 3 };
static _Atomic int inside, most;
static _Atomic long passed;

static void *crowd(void *arg)
{
	unsigned holder = (unsigned)(uintptr_t)arg;
	for (int i = 0; i < ROUNDS; i++) {
		if (!limits_enter(l, key('c', 7), holder, PLACES))
			continue;
		int now = atomic_fetch_add(&inside, 1) + 1, seen = atomic_load(&most);
		while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
			;
		atomic_fetch_add(&passed, 1);
		atomic_fetch_sub(&inside, 1);
		limits_leave(l, key('c', 7), holder);
	}
	return NULL;
}

static void a_crowd_never_passes_the_limit_and_leaves_nothing_behind(void **state)
{
	(void)state;
	pthread_t t[THREADS];
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, crowd, (void *)i), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	assert_in_range(atomic_load(&most), 1, PLACES);
	assert_true(atomic_load(&passed) > ROUNDS / 10);
	assert_int_equal(limits_held(l, key('c', 7)), 0);
}

static void *events(void *arg)
{
	long *mine = arg;
	for (int i = 0; i < ROUNDS; i++)
		*mine += limits_rate(l, key('r', 7), 5000, 1000, 1234);
	return NULL;
}

/* What THREADS of them count together. */
static long together(void *(*count)(void *))
{
	pthread_t t[THREADS];
	long got[THREADS] = { 0 }, sum = 0;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count, &got[i]), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	for (int i = 0; i < THREADS; i++)
		sum += got[i];
	return sum;
}

static void a_crowd_of_events_is_counted_exactly(void **state)
{
	(void)state;
	assert_int_equal(together(events), 1234);
}

enum { KEYS = 3000, EACH = 3 };
static _Atomic int arrived;

/* All of them come to each new key at the same moment. */
static void *newcomers(void *arg)
{
	long *mine = arg;
	for (int n = 0; n < KEYS; n++) {
		atomic_fetch_add(&arrived, 1);
		while (atomic_load(&arrived) < (n + 1) * THREADS)
			(void)sched_yield();
		for (int i = 0; i < EACH; i++)
			*mine += limits_rate(l, key('n', (uint32_t)n), 11000, 1000, EACH);
	}
	return NULL;
}

static void a_key_that_is_new_to_several_at_once_is_counted_once(void **state)
{
	(void)state;
	atomic_store(&arrived, 0);
	assert_int_equal(together(newcomers), (long)KEYS * EACH);
}

static void and_so_it_is_where_it_takes_the_place_of_another(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 200000; n++) /* the table is full, and stale at 11000 */
		(void)limits_rate(l, key('r', n), 1000, 1000, 1000);
	atomic_store(&arrived, 0);
	assert_int_equal(together(newcomers), (long)KEYS * EACH);
}

/* A process is killed at any instruction: the others go on, and what it held comes back. */
static void killing_a_holder_anywhere_leaves_the_table_sound(void **state)
{
	(void)state;
	assert_true(limits_enter(l, key('c', 7), 0, 1000));
	for (int round = 0; round < 25; round++) {
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0)
			for (uint32_t n = 0;; n++) {
				(void)limits_enter(l, key('c', 7), 1, 1000);
				(void)limits_enter(l, key('c', n % 512), 1, 1000);
				(void)limits_rate(l, key('r', n % 512), n, 10, 1000);
				limits_leave(l, key('c', n % 512), 1);
			}
		for (int i = 0; i < 1000; i++) { /* beside it */
			assert_true(limits_enter(l, key('o', 9), 0, 1));
			limits_leave(l, key('o', 9), 0);
		}
		(void)usleep((unsigned)(200 + round * 37)); /* any instruction, not an event to wait for */
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		limits_forget(l, 1);
		assert_int_equal(limits_held(l, key('c', 7)), 1);
		assert_int_equal(limits_held(l, key('c', 100)), 0);
		assert_true(limits_rate(l, key('q', (uint32_t)round), 5000, 1000, 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_table_is_of_a_reasonable_size, map, unmap),
		cmocka_unit_test_setup_teardown(a_limit_holds_over_all_processes_and_is_given_back, map, unmap),
		cmocka_unit_test_setup_teardown(leaving_what_was_never_entered_harms_nobody, map, unmap),
		cmocka_unit_test_setup_teardown(what_a_dead_process_held_is_given_back, map, unmap),
		cmocka_unit_test_setup_teardown(a_full_table_refuses_nobody, map, unmap),
		cmocka_unit_test_setup_teardown(a_rate_slides_over_two_windows, map, unmap),
		cmocka_unit_test_setup_teardown(refused_events_do_not_count, map, unmap),
		cmocka_unit_test_setup_teardown(windows_of_other_lengths_and_odd_arguments_are_separate, map, unmap),
		cmocka_unit_test_setup_teardown(stale_entries_make_room_for_new_ones, map, unmap),
		cmocka_unit_test_setup_teardown(a_crowd_never_passes_the_limit_and_leaves_nothing_behind, map, unmap),
		cmocka_unit_test_setup_teardown(a_crowd_of_events_is_counted_exactly, map, unmap),
		cmocka_unit_test_setup_teardown(a_key_that_is_new_to_several_at_once_is_counted_once, map, unmap),
		cmocka_unit_test_setup_teardown(and_so_it_is_where_it_takes_the_place_of_another, map, unmap),
		cmocka_unit_test_setup_teardown(killing_a_holder_anywhere_leaves_the_table_sound, map, unmap),
	};
	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
