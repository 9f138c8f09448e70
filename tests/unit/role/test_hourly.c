#include "role/hourly.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

enum { HOUR = 3600000 };

static void each_name_gets_its_limit_and_again_after_the_hour(void **state)
{
	(void)state;
	AUTO(hourly_done) struct hourly h = { 0 };
	hourly_init(&h, 10);
	for (int hour = 0; hour < 3; hour++) {
		int64_t now = 1000 + hour * (int64_t)HOUR;
		for (int i = 0; i < 3; i++) {
			assert_true(hourly_take(&h, now + i, STR("one.example"), 3));
			assert_true(hourly_take(&h, now + i, STR(""), 100)); /* a name like any other */
		}
		assert_false(hourly_take(&h, now + HOUR - 1, STR("one.example"), 3));
		assert_true(hourly_take(&h, now + HOUR - 1, STR("two.example"), 3));
		assert_true(hourly_take(&h, now + HOUR - 1, STR("one.example"), 4)); /* the limit may have been raised meanwhile */
	}
}

static void a_name_past_the_most_gets_nothing_until_the_hour_is_over(void **state)
{
	(void)state;
	AUTO(hourly_done) struct hourly h = { 0 };
	hourly_init(&h, 2);
	assert_true(hourly_take(&h, 5, STR("a"), 9));
	assert_true(hourly_take(&h, 5, STR("b"), 9));
	assert_false(hourly_take(&h, 5, STR("c"), 9));
	assert_true(hourly_take(&h, 5, STR("a"), 9));
	assert_true(hourly_take(&h, 5 + HOUR, STR("c"), 9));
}

static void the_name_may_be_gone_when_it_is_counted_again(void **state)
{
	(void)state;
	AUTO(hourly_done) struct hourly h = { 0 };
	hourly_init(&h, 2);
	char name[] = "a.example";
	assert_true(hourly_take(&h, 0, str_z(name), 1));
	memset(name, 'x', sizeof name - 1);
	assert_false(hourly_take(&h, 0, STR("a.example"), 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_name_gets_its_limit_and_again_after_the_hour),
		cmocka_unit_test(a_name_past_the_most_gets_nothing_until_the_hour_is_over),
		cmocka_unit_test(the_name_may_be_gone_when_it_is_counted_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
