#include "dns_test.h"

static uint64_t now;
static uint64_t now_ms(void) { return now; }

static struct dns_table *t;
static struct dns_cache *c;
static struct arena arena;

static int start_with(size_t octets)
{
	struct dns d;
	now = 1000;
	arena_init(&arena, 4 << 20);
	assert_int_equal(dns_table_new(&t), RC_OK);
	assert_int_equal(dns_table_read(t, STR("$TTL 100\n@ SOA n h 1 2 3 4 7200\n@ MX 10 mail\nzero 0 A 192.0.2.1\nweek 1w A 192.0.2.2\n; TIMEOUT slow A\n"), STR("test"), NULL), RC_OK);
	d = dns_table_dns(t);
	return dns_cache_new(&d, octets, now_ms, &c) == RC_OK ? 0 : -1;
}

static int start(void **state)
{
	(void)state;
	return start_with(1 << 20);
}

static int stop(void **state)
{
	(void)state;
	dns_cache_free(&c);
	dns_table_free(&t);
	arena_done(&arena);
	return 0;
}

static struct dns_answer look(unsigned type, const char *name)
{
	struct dns_answer a;
	struct dns d = dns_cache_dns(c);
	dns_ask(&d, type, str_z(name), &arena, &a);
	return a;
}

static void a_second_question_costs_nothing_until_the_ttl_is_over(void **state)
{
	uint64_t hits, misses;
	(void)state;
	assert_false(look(DNS_MX, "test").cached);
	now += 60000;
	struct dns_answer a = look(DNS_MX, "TEST.");
	assert_true(a.cached);
	assert_int_equal(a.ttl, 40);
	assert_int_equal(a.records, 1);
	expect_str(a.record[0].name, "mail.test");
	assert_int_equal(dns_table_asked(t), 1);
	now += 40000;
	assert_false(look(DNS_MX, "test").cached);
	assert_int_equal(dns_table_asked(t), 2);
	assert_false(look(DNS_TXT, "test").cached); /* another type is another question */
	dns_cache_stats(c, &hits, &misses);
	assert_int_equal(hits, 1);
	assert_int_equal(misses, 3);
}

static void failures_are_kept_for_seconds_and_denials_for_an_hour_at_most(void **state)
{
	static const struct { const char *name; enum dns_status status; uint64_t kept_ms; } cases[] = {
		{ "slow.test", DNS_TEMPFAIL, 5000 }, { "nobody.test", DNS_NXDOMAIN, 100000 }, { "zero.test", DNS_OK, 0 }, { "week.test", DNS_OK, 86400000 },
		{ "a..b", DNS_BADNAME, 0 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(look(DNS_A, cases[i].name).status, cases[i].status);
		if (cases[i].kept_ms) {
			now += cases[i].kept_ms - 1;
			struct dns_answer a = look(DNS_A, cases[i].name);
			assert_true(a.cached);
			assert_int_equal(a.status, cases[i].status);
			now++;
		}
		assert_false(look(DNS_A, cases[i].name).cached);
	}
}

static void the_cache_stays_within_its_octets_and_the_least_used_goes(void **state)
{
	char name[32];
	(void)state;
	assert_int_equal(start_with(4096), 0);
	look(DNS_MX, "test");
	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "n%u.test", i);
		look(DNS_A, name);
		assert_true(look(DNS_MX, "test").cached); /* used all the time: stays */
	}
	assert_false(look(DNS_A, "n0.test").cached);
	assert_true(look(DNS_A, "n199.test").cached);
	assert_int_equal(dns_table_asked(t), 202);
}

static void a_sessions_own_want_of_memory_is_not_kept(void **state)
{
	struct dns d = dns_cache_dns(c);
	struct dns_answer a;
	struct arena small;
	(void)state;
	arena_init(&small, 8);
	dns_ask(&d, DNS_MX, STR("test"), &small, &a);
	assert_int_equal(a.status, DNS_TEMPFAIL);
	arena_done(&small);
	assert_int_equal(look(DNS_MX, "test").status, DNS_OK);
	arena_init(&small, 8); /* nor is it answered from what is kept */
	dns_ask(&d, DNS_MX, STR("test"), &small, &a);
	assert_int_equal(a.status, DNS_TEMPFAIL);
	arena_done(&small);
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	for (long k = 0; k < 40; k++) {
		char name[32];
		snprintf(name, sizeof name, "m%ld.test", k);
		mem_fail_at = k;
		enum dns_status s = look(DNS_A, name).status;
		mem_fail_at = -1;
		assert_true(s == DNS_NXDOMAIN || s == DNS_TEMPFAIL);
		arena_done(&arena);
	}
	assert_int_equal(look(DNS_MX, "test").status, DNS_OK);
}

/* A resolver that was away for a moment must not defer mail for seconds. */
static void away(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	(void)type, (void)name, (void)a;
	++*(unsigned *)house;
	*out = (struct dns_answer){ .status = DNS_TEMPFAIL, .ours = true, .canonical = STR("") };
}

static void what_is_our_own_failure_is_not_kept(void **state)
{
	unsigned asked = 0;
	struct dns_answer a;
	struct dns behind = { &asked, away };
	(void)state;
	dns_cache_free(&c);
	assert_int_equal(dns_cache_new(&behind, 1 << 20, now_ms, &c), RC_OK);
	assert_int_equal(look(DNS_A, "test").status, DNS_TEMPFAIL);
	a = look(DNS_A, "test");
	assert_int_equal(a.status, DNS_TEMPFAIL);
	assert_true(a.ours && !a.cached);
	assert_int_equal(asked, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_second_question_costs_nothing_until_the_ttl_is_over, start, stop),
		cmocka_unit_test_setup_teardown(failures_are_kept_for_seconds_and_denials_for_an_hour_at_most, start, stop),
		cmocka_unit_test_teardown(the_cache_stays_within_its_octets_and_the_least_used_goes, stop),
		cmocka_unit_test_setup_teardown(a_sessions_own_want_of_memory_is_not_kept, start, stop),
		cmocka_unit_test_setup_teardown(what_is_our_own_failure_is_not_kept, start, stop),
		cmocka_unit_test_setup_teardown(every_allocation_may_fail, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
