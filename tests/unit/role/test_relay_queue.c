#include "role/relay_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>
#include "base/mem.h"

enum { MINUTE = 60000, HOUR = 60 * MINUTE };
static const struct rq_limits usual = { .total = 100, .lane_first = 2, .lane_most = 8, .down_first_ms = 30000, .down_most_ms = 15 * MINUTE, .stale_ms = 15 * MINUTE };

static struct rq *made(const struct rq_limits *l)
{
	struct rq *q = NULL;
	assert_int_equal(rq_new(l, &q), RC_OK);
	return q;
}

static void add(struct rq *q, uint64_t letter, uint32_t n, uint64_t lane, int64_t due, int priority, int64_t now)
{
	struct rq_row r = { .letter = letter, .n = n, .lane = lane, .due = due, .priority = (uint8_t)priority };
	assert_int_equal(rq_add(q, &r, now), RC_OK);
}

static struct rq_job job; /* 4 KB */
static bool next(struct rq *q, int64_t now, unsigned max) { return rq_next(q, now, max, &job) == RC_OK; }
static void finish(struct rq *q, int64_t now, const struct rq_job *j)
{
	for (unsigned i = 0; i < j->rows; i++)
		rq_drop(q, now, j->letter, j->n[i]);
	rq_leave(q, now, j->lane, j->down);
}

static void recipients_of_one_letter_in_one_lane_go_together_up_to_the_limit(void **state)
{
	struct rq *q = made(&usual);
	(void)state;
	for (uint32_t n = 0; n < 7; n++)
		add(q, 1, n, n == 3 ? 20 : 10, 0, 4, 0);
	add(q, 2, 0, 10, 0, 4, 0);
	assert_true(next(q, 0, 4));
	assert_int_equal(job.letter, 1);
	assert_int_equal(job.lane, 10);
	assert_int_equal(job.rows, 4);
	uint32_t want[] = { 0, 1, 2, 4 };
	assert_memory_equal(job.n, want, sizeof want);
	assert_true(next(q, 0, 4)); /* the other lane's turn */
	assert_int_equal(job.lane, 20);
	assert_true(next(q, 0, 4));
	assert_int_equal(job.rows, 2);
	assert_false(next(q, 0, 4)); /* letter 2 waits: the lane begins with two jobs */
	rq_free(&q);
}

static void a_row_waits_for_its_time_and_the_wake_up_names_it(void **state)
{
	struct rq *q = made(&usual);
	(void)state;
	add(q, 1, 0, 10, 5000, 4, 0);
	add(q, 2, 0, 11, 3000, 4, 0);
	assert_false(next(q, 0, 9));
	assert_int_equal(rq_wake_at(q), 3000);
	assert_false(next(q, 2999, 9));
	assert_true(next(q, 3000, 9));
	assert_int_equal(job.letter, 2);
	assert_int_equal(rq_wake_at(q), 5000);
	rq_free(&q);
}

static void the_higher_priority_goes_first_and_lanes_with_low_ones_are_not_starved(void **state)
{
	struct rq_limits one = usual;
	one.total = 1;
	struct rq *q = made(&one);
	unsigned low_after = 0;
	(void)state;
	add(q, 1, 0, 10, 0, 0, 0);
	add(q, 2, 0, 10, 0, 9, 0);
	add(q, 3, 0, 10, 0, 4, 0);
	int order[] = { 2, 3, 1 };
	for (int i = 0; i < 3; i++) {
		assert_true(next(q, 1, 1));
		assert_int_equal(job.letter, order[i]);
		finish(q, 1, &job);
	}
	add(q, 10000, 0, 77, 0, 0, 0);
	for (uint32_t i = 0; i < 5000; i++)
		add(q, 20000 + i, 0, 5, 0, 9, 0);
	for (unsigned i = 0; i < 5000 && !low_after; i++) {
		assert_true(next(q, 1, 1));
		if (job.letter == 10000)
			low_after = i;
		finish(q, 1, &job);
	}
	assert_in_range(low_after, 100, 1200);
	rq_free(&q);
}

static void lanes_take_turns_however_much_one_of_them_has(void **state)
{
	struct rq_limits one = usual;
	one.total = 1;
	struct rq *q = made(&one);
	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		add(q, 1 + i, 0, 1, 0, 4, 0);
	add(q, 5000, 0, 2, 0, 4, 0);
	add(q, 5001, 0, 3, 0, 4, 0);
	unsigned seen = 0;
	for (int i = 0; i < 3; i++) {
		assert_true(next(q, 0, 1));
		seen |= 1u << job.lane;
		finish(q, 0, &job);
	}
	assert_int_equal(seen, 14);
	rq_free(&q);
}

static void a_connection_goes_on_with_its_lane_but_gives_way_when_all_places_are_taken(void **state)
{
	struct rq_limits one = usual;
	one.total = 1;
	struct rq *q = made(&one);
	unsigned more = 0;
	(void)state;
	for (uint32_t i = 0; i < 3000; i++)
		add(q, 1 + i, 0, 1, 0, 4, 0);
	add(q, 5000, 0, 2, 0, 4, 0);
	assert_true(next(q, 0, 1));
	assert_int_equal(job.lane, 1);
	rq_drop(q, 0, job.letter, 0);
	while (rq_more(q, 0, 1, 1, &job) == RC_OK) {
		rq_drop(q, 0, job.letter, 0);
		more++;
	}
	assert_in_range(more, 100, 1000);
	rq_leave(q, 0, 1, false);
	assert_true(next(q, 0, 1));
	assert_int_equal(job.lane, 2);
	rq_free(&q);
}

static unsigned start_all(struct rq *q, int64_t now)
{
	unsigned n = 0;
	while (next(q, now, 1))
		n++;
	return n;
}

static void jobs_of_a_lane_grow_with_success_and_shrink_when_it_is_crowded(void **state)
{
	struct rq *q = made(&usual);
	struct rq_lane_fact f;
	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		add(q, 1 + i, 0, 1, 0, 4, 0);
	assert_int_equal(start_all(q, 0), 2);
	rq_tell(q, 0, 1, RQ_WELL);
	rq_tell(q, 0, 1, RQ_WELL);
	assert_int_equal(start_all(q, 0), 2);
	for (int i = 0; i < 20; i++)
		rq_tell(q, 0, 1, RQ_WELL);
	assert_int_equal(start_all(q, 0), 4);
	assert_true(rq_lane(q, 1, &f));
	assert_int_equal(f.limit, 8);
	assert_int_equal(f.jobs, 8);
	rq_tell(q, 0, 1, RQ_CROWDED);
	assert_true(rq_lane(q, 1, &f));
	assert_int_equal(f.limit, 4);
	assert_int_equal(rq_more(q, 0, 1, 1, &job), RC_AGAIN); /* a connection too many ends */
	for (int i = 0; i < 4; i++)
		rq_tell(q, 0, 1, RQ_WELL);
	assert_true(rq_lane(q, 1, &f));
	assert_in_range(f.limit, 4, 5); /* by one a round from now on */
	rq_free(&q);
}

static void a_lane_that_does_not_answer_is_asked_with_one_job_after_a_time_that_doubles(void **state)
{
	struct rq_limits patient = usual;
	patient.stale_ms = 1000 * (int64_t)HOUR;
	struct rq *q = made(&patient);
	int64_t now = 0, waits[8];
	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		add(q, 1 + i, 0, 1, 0, 4, 0);
	assert_int_equal(start_all(q, 0), 2);
	for (int i = 0; i < 2; i++) {
		rq_tell(q, 0, 1, RQ_DOWN); /* both jobs meet it: one failure */
		rq_back(q, 0, 1 + (uint64_t)i, 0, 5 * MINUTE, false);
		rq_leave(q, 0, 1, false);
	}
	for (int i = 0; i < 8; i++) {
		assert_false(next(q, now, 1));
		waits[i] = rq_wake_at(q) - now;
		now = rq_wake_at(q);
		assert_true(next(q, now, 1));
		assert_false(job.down);
		assert_int_equal(start_all(q, now), 0);
		rq_tell(q, now, 1, RQ_DOWN);
		rq_back(q, now, job.letter, job.n[0], now + HOUR, false);
		rq_leave(q, now, 1, false);
	}
	assert_in_range(waits[0], 24000, 36000);
	assert_in_range(waits[1], 48000, 72000);
	assert_in_range(waits[2], 96000, 144000);
	assert_in_range(waits[7], 720000, 1080000);
	rq_tell(q, now, 1, RQ_WELL);
	struct rq_lane_fact f;
	assert_true(rq_lane(q, 1, &f));
	assert_int_equal(f.failures, 0);
	assert_int_equal(start_all(q, now), 2);
	rq_free(&q);
}

static void rows_of_a_silent_lane_are_given_out_once_they_have_waited_long_enough(void **state)
{
	struct rq *q = made(&usual);
	unsigned put_off = 0, asked = 0;
	(void)state;
	for (uint32_t i = 0; i < 500; i++)
		add(q, 1 + i, 0, 1, 0, 4, 0);
	for (int64_t now = 0; now < 40 * MINUTE; now += 1000)
		while (next(q, now, 1)) {
			if (job.down)
				put_off++;
			else
				asked++;
			if (!job.down)
				rq_tell(q, now, 1, RQ_DOWN);
			rq_back(q, now, job.letter, job.n[0], now + 4 * HOUR, false);
			rq_leave(q, now, 1, job.down);
		}
	assert_int_equal(put_off + asked, 500);
	assert_in_range(asked, 2, 10);
	rq_free(&q);
}

static void held_and_paused_rows_stay_and_a_retry_asks_a_silent_lane_again(void **state)
{
	struct rq *q = made(&usual);
	struct rq_fact f;
	struct rq_row held = { .letter = 9, .lane = 3, .held = true, .priority = 4 };
	(void)state;
	assert_int_equal(rq_add(q, &held, 0), RC_OK);
	assert_int_equal(rq_add(q, &held, 0), RC_EXISTS);
	assert_false(next(q, 500 * HOUR, 1));
	assert_int_equal(rq_take(q, 0, 9, 0), RC_OK);
	assert_int_equal(rq_take(q, 0, 9, 0), RC_BUSY);
	assert_int_equal(rq_take(q, 0, 8, 0), RC_NOTFOUND);
	rq_back(q, 0, 9, 0, 0, false);
	rq_pause(q, 0, 3, true);
	assert_false(next(q, 0, 1));
	assert_true(rq_paused(q, 3));
	rq_pause(q, 0, 3, false);
	assert_true(next(q, 0, 1));
	rq_tell(q, 0, 3, RQ_DOWN);
	rq_back(q, 0, 9, 0, HOUR, false);
	rq_leave(q, 0, 3, false);
	assert_true(rq_find(q, 9, 0, &f));
	assert_int_equal(f.state, RQ_WAITING);
	assert_false(next(q, 100, 1));
	assert_int_equal(rq_retry(q, 100, 9, 0), RC_OK);
	assert_true(next(q, 100, 1));
	finish(q, 100, &job);
	assert_false(rq_find(q, 9, 0, &f));
	assert_int_equal(rq_retry(q, 100, 9, 0), RC_NOTFOUND);
	rq_free(&q);
}

static void counts_add_up_through_everything_that_can_happen(void **state)
{
	struct rq *q = made(&(struct rq_limits){ .total = 50, .lane_first = 3, .lane_most = 10, .down_first_ms = 1000, .down_most_ms = 60000, .stale_ms = 30000 });
	struct { struct rq_job j; bool used; } open[50] = { 0 };
	struct rq_counts c;
	unsigned seed = 12345, added = 0, gone = 0;
	(void)state;
	for (int64_t now = 0; now < 200000; now += 7) {
		seed = seed * 1103515245u + 12345u;
		unsigned dice = seed >> 16, at = dice / 8 % 50;
		if (dice % 8 < 3) {
			struct rq_row r = { .letter = 1 + dice % 997, .n = seed >> 8 & 31, .lane = dice % 13, .due = now + dice % 5000, .priority = (uint8_t)(dice % 10), .held = dice % 31 == 0 };
			enum rc rc = rq_add(q, &r, now);
			assert_true(rc == RC_OK || rc == RC_EXISTS);
			added += rc == RC_OK;
		}
		if (!open[at].used && rq_next(q, now, 1 + dice % 5, &open[at].j) == RC_OK) {
			open[at].used = true;
		} else if (open[at].used) {
			struct rq_job *j = &open[at].j;
			if (!j->down)
				rq_tell(q, now, j->lane, (enum rq_news)(dice % 3));
			for (unsigned i = 0; i < j->rows; i++)
				if ((dice + i) % 3)
					rq_drop(q, now, j->letter, j->n[i]), gone++;
				else
					rq_back(q, now, j->letter, j->n[i], now + dice % 9000, dice % 17 == 0);
			rq_leave(q, now, j->lane, j->down);
			open[at].used = false;
		}
		rq_counts(q, &c);
		assert_int_equal(c.rows[0] + c.rows[1] + c.rows[2] + c.rows[3], added - gone);
		if (now % 7000 == 0)
			rq_sweep(q, now);
	}
	assert_true(gone > 1000);
	rq_free(&q);
}

static double seconds(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What it costs to add a row and to give out and end a job, with `n` in the queue. */
static double cost(uint32_t n)
{
	struct rq_limits l = usual;
	l.total = 4;
	struct rq *q = made(&l);
	double best = 1;
	for (uint32_t i = 0; i < n; i++)
		add(q, 1 + i, 0, i % 1000, (i * 7919u) % 100000 + (i % 2 ? 0 : HOUR), 4, 0);
	for (int round = 0; round < 20; round++) {
		double begun = seconds();
		for (uint32_t i = 0; i < 1000; i++) {
			add(q, 3000000 + (uint64_t)round * 1000 + i, 0, i, 0, 4, 200000);
			assert_true(next(q, 200000, 1));
			rq_tell(q, 200000, job.lane, RQ_WELL);
			finish(q, 200000, &job);
		}
		double took = seconds() - begun;
		best = took < best ? took : best;
	}
	rq_free(&q);
	return best;
}

static void a_million_rows_do_not_slow_the_next_one(void **state)
{
	(void)state;
	double small = cost(10000), large = cost(1000000);
	print_message("add, give out, end: %.2f us with 10,000 rows, %.2f us with 1,000,000\n", small * 1000, large * 1000);
	assert_true(large < 0.1); /* 100 us each, sanitizers and a busy machine included: a walk over the rows would be a hundred times that */
}

/* ---- rates ---- */
static const struct rate ten_a_minute = { 10, 60 };

static void a_lane_with_a_rate_sleeps_until_its_slot_and_the_others_go_on(void **state)
{
	struct rq *q = made(&usual);
	(void)state;
	for (uint32_t n = 0; n < 20; n++) {
		add(q, 1, n, 10, 0, 9, 0);
		add(q, 2 + n, 0, 20, 0, 0, 0);
	}
	rq_rate(q, 0, 10, &ten_a_minute);
	int64_t now = 1000;
	for (unsigned minute = 0; minute < 2; minute++) {
		unsigned slow = 0;
		for (int64_t end = now + MINUTE; now < end;) {
			while (next(q, now, 100)) {
				assert_true(job.lane == 20 || (job.rows == 1 && job.paid));
				slow += job.lane == 10;
				finish(q, now, &job);
			}
			assert_false(rq_lane(q, 20, &(struct rq_lane_fact){ 0 }) && rq_wake_at(q) <= now); /* it sleeps, and nobody turns in circles */
			now = rq_wake_at(q) < end ? rq_wake_at(q) : end;
		}
		assert_int_equal(slow, 10);
	}
	assert_int_equal(rq_wake_at(q), INT64_MAX);
	rq_free(&q);
}

static void a_connection_that_goes_on_keeps_the_rate_too(void **state)
{
	struct rq *q = made(&usual);
	struct rq_fact fact;
	(void)state;
	for (uint32_t n = 0; n < 3; n++)
		add(q, 1 + n, 0, 10, 0, 4, 0);
	rq_rate(q, 0, 10, &ten_a_minute);
	assert_true(next(q, 0, 100));
	assert_int_equal(rq_more(q, 5999, 10, 100, &job), RC_AGAIN);
	assert_true(rq_find(q, 3, 0, &fact) && fact.due == 6000); /* what people are told of when it goes */
	assert_int_equal(rq_more(q, 6000, 10, 100, &job), RC_OK);
	assert_int_equal(rq_more(q, 6001, 10, 100, &job), RC_AGAIN);
	rq_free(&q);
}

static void jobs_given_out_before_the_rate_was_known_are_paid_for_as_far_as_they_may_go(void **state)
{
	struct rq *q = made(&usual);
	(void)state;
	for (uint32_t n = 0; n < 30; n++)
		add(q, 1, n, 10, 0, 4, 0);
	assert_true(next(q, 0, 20) && job.rows == 20 && !job.paid);
	struct rq_job first = job;
	assert_true(next(q, 0, 20) && job.rows == 10);
	rq_rate(q, 0, 10, &ten_a_minute);
	assert_int_equal(rq_pay(q, 0, &first, first.rows), 1);
	assert_int_equal(rq_pay(q, 0, &job, job.rows), 0);
	for (unsigned i = 1; i < first.rows; i++)
		rq_back(q, 0, 1, first.n[i], 0, false);
	for (unsigned i = 0; i < job.rows; i++)
		rq_back(q, 0, 1, job.n[i], 0, false);
	rq_leave(q, 0, 10, false);
	rq_leave(q, 0, 10, false);
	assert_false(next(q, 5999, 20));
	assert_int_equal(rq_wake_at(q), 6000);
	assert_true(next(q, 6000, 20) && job.rows == 1 && job.paid);
	assert_int_equal(rq_pay(q, 6000, &job, 1), 1);
	rq_unpay(q, 6000, 10, 1); /* every connection was taken: nothing was tried */
	rq_back(q, 6000, 1, job.n[0], 7000, false);
	rq_leave(q, 6000, 10, false);
	assert_true(next(q, 6001, 20));
	rq_free(&q);
}

static void another_rate_holds_at_once_also_for_who_waits(void **state)
{
	struct rq *q = made(&usual);
	uint32_t at = 0;
	uint64_t lane = 0;
	(void)state;
	for (uint32_t n = 0; n < 9; n++)
		add(q, 1 + n, 0, 10, 0, 4, 0);
	add(q, 100, 0, 11, 0, 4, 0);
	rq_rate(q, 0, 10, &(struct rate){ 1, 3600 });
	assert_true(rq_rated(q, &at, &lane) && lane == 10 && !rq_rated(q, &at, &lane));
	while (next(q, 0, 9))
		finish(q, 0, &job);
	assert_int_equal(rq_wake_at(q), HOUR);
	rq_rate(q, 1000, 10, &ten_a_minute);
	assert_int_equal(rq_wake_at(q), 7000);
	rq_rate(q, 1000, 10, &(struct rate){ 0, 1 });
	assert_true(next(q, 1000, 9));
	rq_free(&q);
}

static void a_lane_that_has_sent_all_is_not_forgotten_before_its_slot(void **state)
{
	struct rq *q = made(&usual);
	(void)state;
	add(q, 1, 0, 10, 0, 4, 0);
	rq_rate(q, 0, 10, &(struct rate){ 1, 3600 });
	assert_true(next(q, 0, 9));
	finish(q, 0, &job);
	rq_sweep(q, HOUR / 2);
	add(q, 2, 0, 10, 0, 4, HOUR / 2);
	assert_false(next(q, HOUR - 1, 9));
	assert_true(next(q, HOUR, 9));
	finish(q, HOUR, &job);
	rq_sweep(q, 2 * HOUR);
	assert_false(rq_lane(q, 10, &(struct rq_lane_fact){ 0 }));
	rq_free(&q);
}

static void no_memory_is_said_and_leaves_everything_in_order(void **state)
{
	(void)state;
	for (long k = 0; k < 60; k++) {
		struct rq *q = NULL;
		struct rq_counts c;
		unsigned in = 0;
		mem_fail_at = k;
		if (rq_new(&usual, &q) == RC_OK)
			for (uint32_t i = 0; i < 200; i++)
				in += rq_add(q, &(struct rq_row){ .letter = i, .lane = i % 9, .priority = 4 }, 0) == RC_OK;
		mem_fail_at = -1;
		if (!q)
			continue;
		rq_counts(q, &c);
		assert_int_equal(c.rows[RQ_READY], in);
		unsigned out = 0;
		while (next(q, 0, 1)) {
			finish(q, 0, &job);
			out++;
		}
		assert_int_equal(out, in);
		rq_free(&q);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipients_of_one_letter_in_one_lane_go_together_up_to_the_limit),
		cmocka_unit_test(a_row_waits_for_its_time_and_the_wake_up_names_it),
		cmocka_unit_test(the_higher_priority_goes_first_and_lanes_with_low_ones_are_not_starved),
		cmocka_unit_test(lanes_take_turns_however_much_one_of_them_has),
		cmocka_unit_test(a_connection_goes_on_with_its_lane_but_gives_way_when_all_places_are_taken),
		cmocka_unit_test(jobs_of_a_lane_grow_with_success_and_shrink_when_it_is_crowded),
		cmocka_unit_test(a_lane_that_does_not_answer_is_asked_with_one_job_after_a_time_that_doubles),
		cmocka_unit_test(rows_of_a_silent_lane_are_given_out_once_they_have_waited_long_enough),
		cmocka_unit_test(held_and_paused_rows_stay_and_a_retry_asks_a_silent_lane_again),
		cmocka_unit_test(counts_add_up_through_everything_that_can_happen),
		cmocka_unit_test(a_million_rows_do_not_slow_the_next_one),
		cmocka_unit_test(a_lane_with_a_rate_sleeps_until_its_slot_and_the_others_go_on),
		cmocka_unit_test(a_connection_that_goes_on_keeps_the_rate_too),
		cmocka_unit_test(jobs_given_out_before_the_rate_was_known_are_paid_for_as_far_as_they_may_go),
		cmocka_unit_test(another_rate_holds_at_once_also_for_who_waits),
		cmocka_unit_test(a_lane_that_has_sent_all_is_not_forgotten_before_its_slot),
		cmocka_unit_test(no_memory_is_said_and_leaves_everything_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
