#include "base/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct rate of(const char *text)
{
	struct rate r = { 0 };
	if (!rate_parse(str_z(text), &r))
		fail_msg("%s", text);
	return r;
}

static void a_rate_is_a_number_and_a_time_and_nothing_else(void **state)
{
	static const char *const good[] = { "1/s", "30/min", "1000000/h", "0" };
	static const char *const bad[] = { "", "30", "30/", "/min", "0/min", "30/m", "30/MIN", "30 /min", "-1/s", "1000001/s", "1.5/s", "30/min/s", " 0" };
	char text[RATE_TEXT];
	struct rate r;
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		r = of(good[i]);
		rate_text(&r, text);
		assert_string_equal(text, good[i]);
		assert_true(rate_possible(&r) && rate_said(&r));
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (rate_parse(str_z(bad[i]), &r))
			fail_msg("%s", bad[i]);
	rate_text(&(struct rate){ 0 }, text);
	assert_string_equal(text, "");
	assert_true(rate_possible(&(struct rate){ 0 }) && !rate_said(&(struct rate){ 0 }));
	assert_false(rate_possible(&(struct rate){ 3, 7 }) || rate_possible(&(struct rate){ RATE_MOST + 1, 60 }) || rate_possible(&(struct rate){ 0, 60 }));
}

/* Asked every `step` ms for as many as possible: how many came from the first to the end of `ms`. */
static unsigned within(const char *text, int64_t ms, int64_t step, unsigned at_once)
{
	struct rate r = of(text);
	int64_t slot = 0, start = 123456789;
	unsigned n = 0;
	for (int64_t now = start; now < start + ms; now += step) {
		unsigned room = rate_room(&r, slot, now, at_once);
		if (room)
			slot = rate_take(&r, slot, now, room);
		n += room;
	}
	return n;
}

static void in_its_time_come_as_many_as_it_says(void **state)
{
	(void)state;
	assert_int_equal(within("30/min", 60000, 1, 100), 30);
	assert_int_equal(within("30/min", 600000, 7, 1), 300);
	assert_int_equal(within("7/min", 60000, 1, 100), 7);
	assert_int_equal(within("1/h", 3600000, 100, 100), 1);
	assert_int_equal(within("100/h", 3600000, 100, 100), 100);
	/* What would come within a tenth of a second may come together, and is made up for when the caller is that late. */
	assert_in_range(within("1000/s", 10000, 50, 1000), 9900, 10100);
	assert_in_range(within("6000/min", 60000, 50, 1000), 5950, 6010);
}

static void nothing_is_saved_up_and_a_slot_that_was_not_used_is_there_again(void **state)
{
	struct rate r = of("60/min"), none = of("0");
	int64_t slot = rate_take(&r, 0, 1000, 1);
	(void)state;
	assert_int_equal(rate_at(&r, slot), 2000);
	assert_int_equal(rate_room(&r, slot, 1999, 9), 0);
	assert_int_equal(rate_room(&r, slot, 2000, 9), 1);
	assert_int_equal(rate_room(&r, slot, 9000000, 9), 1);
	slot = rate_take(&r, slot, 9000000, 5); /* more than there was room for: it is paid for */
	assert_int_equal(rate_at(&r, slot), 9005000);
	assert_int_equal(rate_at(&r, rate_untake(&r, slot, 5)), 9000000);
	assert_int_equal(rate_at(&none, slot), INT64_MIN);
	assert_int_equal(rate_room(&none, slot, 0, 9), 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_is_a_number_and_a_time_and_nothing_else),
		cmocka_unit_test(in_its_time_come_as_many_as_it_says),
		cmocka_unit_test(nothing_is_saved_up_and_a_slot_that_was_not_used_is_there_again),
	};
	return cmocka_run_group_tests_name("base rate", tests, NULL, NULL);
}
