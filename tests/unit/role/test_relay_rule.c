#include "role/relay_rule.h"
#include "smtp/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define MINUTE 60000LL
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)
static const struct relay_times usual = { .first = 5 * MINUTE, .most = 4 * HOUR, .expire = 5 * DAY, .notice = 4 * HOUR };
static const int64_t T0 = 1767225600000LL;

static void the_wait_doubles_up_to_its_most_and_varies_by_a_fifth(void **state)
{
	static const int64_t minutes[] = { 5, 10, 20, 40, 80, 160, 240, 240, 240 };
	(void)state;
	for (uint32_t i = 0; i < 9; i++) {
		int64_t least = INT64_MAX, most = 0;
		for (uint64_t seed = 0; seed < 500; seed++) {
			int64_t w = relay_wait(&usual, i + 1, seed);
			assert_in_range(w, minutes[i] * MINUTE * 8 / 10, minutes[i] * MINUTE * 12 / 10);
			least = w < least ? w : least;
			most = w > most ? w : most;
		}
		assert_true(most - least > minutes[i] * MINUTE * 3 / 10);
		assert_int_equal(relay_wait(&usual, i + 1, 7), relay_wait(&usual, i + 1, 7));
	}
}

static void the_schedule_knows_how_often_it_tries(void **state)
{
	(void)state;
	assert_int_equal(relay_attempts_in(&usual, 0), 1);
	assert_int_equal(relay_attempts_in(&usual, 5 * MINUTE), 2);
	assert_int_equal(relay_attempts_in(&usual, 34 * MINUTE), 3);
	assert_int_equal(relay_attempts_in(&usual, 35 * MINUTE), 4);
	assert_int_equal(relay_attempts_in(&usual, 315 * MINUTE), 7);
	assert_int_equal(relay_attempts_in(&usual, 315 * MINUTE + 8 * HOUR), 9);
}

/* A whole life in the queue; `at` is called with the clock after each attempt and may move it. */
static int64_t live(const struct relay_times *t, struct queue_row *r, int64_t (*at)(int64_t now, uint32_t attempts), uint32_t *out_notices)
{
	int64_t now = r->due_ms;
	*out_notices = 0;
	for (;;) {
		r->attempts++;
		now = at ? at(now, r->attempts) : now;
		if (relay_expired(t, r, now))
			return now;
		if (relay_is_late(t, r, now)) {
			++*out_notices;
			r->flags |= QUEUE_ROW_DELAY_TOLD;
		}
		int64_t due = relay_due(t, r, now, 1);
		assert_true(due > now && due <= now + t->most * 6 / 5);
		now = due;
		assert_true(r->attempts < 1000);
	}
}

static void a_message_lives_its_five_days_and_is_told_late_once_at_four_hours(void **state)
{
	struct queue_row r = { .created_ms = T0, .due_ms = T0, .expires_ms = T0 + 5 * DAY };
	uint32_t notices;
	(void)state;
	assert_int_equal(live(&usual, &r, NULL, &notices), T0 + 5 * DAY);
	assert_in_range(r.attempts, 30, 45);
	assert_int_equal(notices, 1);
	struct queue_row late = { .created_ms = T0, .attempts = 6 };
	assert_false(relay_is_late(&usual, &late, T0 + 4 * HOUR - 1));
	assert_true(relay_is_late(&usual, &late, T0 + 4 * HOUR));
}

static void what_was_held_for_its_sender_has_its_days_from_then_on(void **state)
{
	struct queue_row r = { .created_ms = T0, .due_ms = T0 + 30 * DAY, .expires_ms = T0 + 35 * DAY };
	uint32_t notices;
	(void)state;
	assert_int_equal(live(&usual, &r, NULL, &notices), T0 + 35 * DAY);
	assert_in_range(r.attempts, 30, 45);
	assert_int_equal(notices, 1);
	struct queue_row late = { .created_ms = T0, .expires_ms = T0 + 35 * DAY, .attempts = 6 };
	assert_false(relay_is_late(&usual, &late, T0 + 30 * DAY + 4 * HOUR - 1));
	assert_true(relay_is_late(&usual, &late, T0 + 30 * DAY + 4 * HOUR));
}

static int64_t year_on(int64_t now, uint32_t attempts) { return attempts == 2 ? now + YEAR : now; }
static int64_t year_back(int64_t now, uint32_t attempts) { return attempts == 2 ? now - YEAR : now; }

static void a_clock_that_jumps_a_year_forwards_bounces_nothing_at_once(void **state)
{
	struct queue_row r = { .created_ms = T0, .due_ms = T0, .expires_ms = T0 + 5 * DAY };
	uint32_t notices;
	(void)state;
	int64_t end = live(&usual, &r, year_on, &notices);
	assert_true(end - (T0 + YEAR) > 12 * HOUR);
	assert_true(r.attempts >= 10);
	assert_int_equal(notices, 1);
}

static void a_clock_that_jumps_a_year_backwards_keeps_nothing_for_a_year(void **state)
{
	struct queue_row r = { .created_ms = T0, .due_ms = T0, .expires_ms = T0 + 5 * DAY };
	uint32_t notices;
	(void)state;
	int64_t end = live(&usual, &r, year_back, &notices);
	assert_in_range(end - (T0 - YEAR), 5 * DAY, 15 * DAY);
	assert_int_equal(notices, 1);
}

static void rows_loaded_after_a_jump_are_due_within_the_schedule(void **state)
{
	struct { const char *what; uint32_t attempts; int64_t created, due, now, want_least, want_most; } cases[] = {
		{ "as written", 3, T0, T0 + HOUR, T0 + 30 * MINUTE, T0 + HOUR, T0 + HOUR },
		{ "clock a year back, tried", 3, T0, T0 + HOUR, T0 - YEAR, T0 - YEAR, T0 - YEAR + 5 * HOUR },
		{ "clock a year back, new", 0, T0, T0, T0 - YEAR, T0 - YEAR, T0 - YEAR },
		{ "clock a year back, held until", 0, T0, T0 + DAY, T0 - YEAR, T0 - YEAR + DAY, T0 - YEAR + DAY },
		{ "held until next week", 0, T0, T0 + 7 * DAY, T0 + 1, T0 + 7 * DAY, T0 + 7 * DAY },
		{ "long overdue", 5, T0, T0 + HOUR, T0 + YEAR, T0 + HOUR, T0 + HOUR },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct queue_row r = { .attempts = cases[i].attempts, .created_ms = cases[i].created, .due_ms = cases[i].due };
		int64_t due = relay_due_loaded(&usual, &r, cases[i].now);
		if (due < cases[i].want_least || due > cases[i].want_most)
			fail_msg("%s: %lld", cases[i].what, (long long)(due - T0));
	}
}

static void a_short_life_needs_one_attempt(void **state)
{
	struct queue_row r = { .created_ms = T0, .due_ms = T0, .expires_ms = T0 + 10 * MINUTE, .attempts = 1 };
	(void)state;
	assert_int_equal(relay_due(&usual, &(struct queue_row){ .created_ms = T0, .expires_ms = T0 + 3 * MINUTE, .attempts = 1 }, T0, 1), T0 + 3 * MINUTE);
	assert_false(relay_expired(&usual, &r, T0 + 9 * MINUTE));
	assert_true(relay_expired(&usual, &r, T0 + 10 * MINUTE));
}

static void replies_become_outcomes(void **state)
{
	static const struct { int code; const char *enhanced, *text; enum relay_what what; const char *status; bool suppresses; } cases[] = {
		{ 250, "2.0.0", "Ok", RELAY_SENT, "2.0.0", false },
		{ 250, "", "Ok", RELAY_SENT, "2.0.0", false },
		{ 421, "", "go away for now", RELAY_LATER, "4.0.0", false },
		{ 452, "4.2.2", "mailbox full", RELAY_LATER, "4.2.2", false },
		{ 550, "5.1.1", "no such user", RELAY_FAILED, "5.1.1", true },
		{ 550, "", "no such user", RELAY_FAILED, "5.0.0", false },
		{ 550, "5.7.1", "spam", RELAY_FAILED, "5.7.1", false },
		{ 553, "5.1.8", "your domain does not exist", RELAY_FAILED, "5.1.8", false },
		{ 556, "5.1.10", "takes no mail", RELAY_FAILED, "5.1.10", true },
		{ 450, "4.1.1", "greylisted", RELAY_LATER, "4.1.1", false },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct relay_outcome o;
		char text[100];
		relay_reply(&o, cases[i].code, cases[i].enhanced, cases[i].text);
		snprintf(text, sizeof text, "%d %s%s%s", cases[i].code, cases[i].enhanced, *cases[i].enhanced ? " " : "", cases[i].text);
		assert_int_equal(o.what, cases[i].what);
		assert_string_equal(o.status, cases[i].status);
		assert_string_equal(o.text, text);
		assert_int_equal(relay_suppresses(&o), cases[i].suppresses);
	}
	struct relay_outcome ours;
	relay_own(&ours, RELAY_FAILED, "5.1.10", "%s takes no mail", "example.com");
	assert_string_equal(ours.text, "example.com takes no mail");
	assert_false(relay_suppresses(&ours));
}

static void notify_decides_who_is_told_what(void **state)
{
	static const struct { enum relay_what what; unsigned notify; bool late, peer, owner; enum relay_report want; } cases[] = {
		{ RELAY_FAILED, 0, false, false, true, RELAY_REPORT_FAILED },
		{ RELAY_FAILED, 0, false, false, false, RELAY_REPORT_NONE }, /* the null sender is never answered */
		{ RELAY_FAILED, NOTIFY_NEVER, false, false, true, RELAY_REPORT_NONE },
		{ RELAY_FAILED, NOTIFY_SUCCESS, false, false, true, RELAY_REPORT_NONE },
		{ RELAY_FAILED, NOTIFY_SUCCESS | NOTIFY_FAILURE, false, false, true, RELAY_REPORT_FAILED },
		{ RELAY_LATER, 0, false, false, true, RELAY_REPORT_NONE },
		{ RELAY_LATER, 0, true, false, true, RELAY_REPORT_DELAYED },
		{ RELAY_LATER, NOTIFY_FAILURE, true, false, true, RELAY_REPORT_NONE },
		{ RELAY_LATER, NOTIFY_DELAY, true, false, true, RELAY_REPORT_DELAYED },
		{ RELAY_LATER, 0, true, false, false, RELAY_REPORT_NONE },
		{ RELAY_SENT, 0, false, false, true, RELAY_REPORT_NONE },
		{ RELAY_SENT, NOTIFY_SUCCESS, false, false, true, RELAY_REPORT_RELAYED },
		{ RELAY_SENT, NOTIFY_SUCCESS, false, true, true, RELAY_REPORT_NONE }, /* the next server will say it */
		{ RELAY_SENT, NOTIFY_FAILURE | NOTIFY_DELAY, false, false, true, RELAY_REPORT_NONE },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (relay_report_due(cases[i].what, cases[i].notify, cases[i].late, cases[i].peer, cases[i].owner) != cases[i].want)
			fail_msg("case %zu", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wait_doubles_up_to_its_most_and_varies_by_a_fifth),
		cmocka_unit_test(the_schedule_knows_how_often_it_tries),
		cmocka_unit_test(what_was_held_for_its_sender_has_its_days_from_then_on),
		cmocka_unit_test(a_message_lives_its_five_days_and_is_told_late_once_at_four_hours),
		cmocka_unit_test(a_clock_that_jumps_a_year_forwards_bounces_nothing_at_once),
		cmocka_unit_test(a_clock_that_jumps_a_year_backwards_keeps_nothing_for_a_year),
		cmocka_unit_test(rows_loaded_after_a_jump_are_due_within_the_schedule),
		cmocka_unit_test(a_short_life_needs_one_attempt),
		cmocka_unit_test(replies_become_outcomes),
		cmocka_unit_test(notify_decides_who_is_told_what),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
