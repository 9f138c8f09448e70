#include "dns_test.h"

static void an_answer_packs_and_unpacks_to_itself(void **state)
{
	struct dns_record r[2] = {
		{ .preference = 10, .weight = 2, .port = 25, .usage = 3, .selector = 1, .matching = 2, .name = STR_INIT("mail.test"), .data = STR_INIT("a\0b"), .strings = 2 },
		{ .name = STR_INIT(""), .data = STR_INIT("") },
	};
	struct dns_answer in = { .status = DNS_OK, .secure = true, .ttl = 77, .canonical = STR_INIT("x.test"), .record = r, .records = 2, .truncated = true }, out;
	struct arena a;
	struct buf b;
	char x[300], y[300];
	(void)state;
	arena_init(&a, 1 << 16);
	buf_init(&b, 1 << 16);
	dns_pack(&in, &b);
	assert_int_equal(dns_unpack(buf_str(&b), &a, &out, NULL), RC_OK);
	assert_string_equal(show(DNS_SRV, &in, x, sizeof x), show(DNS_SRV, &out, y, sizeof y));
	assert_true(out.secure && out.truncated && !out.cached);
	assert_int_equal(out.ttl, 77);
	assert_int_equal(out.record[0].strings, 2);
	expect_str(out.canonical, "x.test");
	for (size_t n = 0; n < b.len; n++) /* every shorter run is refused */
		assert_int_equal(dns_unpack(str_of(b.p, n), &a, &out, NULL), RC_SYNTAX);
	buf_byte(&b, 'x');
	assert_int_equal(dns_unpack(buf_str(&b), &a, &out, NULL), RC_SYNTAX);
	buf_done(&b);
	arena_done(&a);
}

static void a_failure_keeps_its_reason(void **state)
{
	struct dns_answer in = { .status = DNS_BOGUS, .canonical = STR_INIT("x.test"), .why = "no signatures" }, out;
	struct arena a;
	struct buf b;
	(void)state;
	arena_init(&a, 1 << 16);
	buf_init(&b, 1 << 16);
	dns_pack(&in, &b);
	assert_int_equal(dns_unpack(buf_str(&b), &a, &out, NULL), RC_OK);
	assert_int_equal(out.status, DNS_BOGUS);
	assert_string_equal(out.why, "no signatures");
	buf_done(&b);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_packs_and_unpacks_to_itself),
		cmocka_unit_test(a_failure_keeps_its_reason),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
