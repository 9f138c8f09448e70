#include "role/relay.h"
#include "role/relay_wire.h"
#include "role/suppress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void an_entry_comes_back_as_it_was_and_every_cut_is_refused(void **state)
{
	struct buf b;
	struct relay_entry in = { .letter = 12, .n = 3, .state = RELAY_STATE_DEFERRED, .end = 0, .priority = 4, .under_way = true, .attempts = 7, .created_ms = 1, .due_ms = 2,
		.expires_ms = 3, .last_ms = 4, .size = 5, .mid = STR("7F3K9Q2D"), .from = STR("ann@example.org"), .to = STR("bob@example.net"), .reason = STR("451 wait"),
		.host = STR("mx.example.net [192.0.2.1]"), .tls = STR("none"), .subject = STR("hello"), .notify = 10, .ret = 2,
		.require_tls = true, .by_return = true, .deliver_by_ms = 6, .envid = STR("QQ314"), .orcpt = STR("b@example.net") }, out;
	(void)state;
	buf_init(&b, 4096);
	relay_put_entry(&b, &in);
	struct cursor c = cursor_of(buf_str(&b));
	assert_int_equal(relay_next_entry(&c, &out), RC_OK);
	assert_int_equal(out.letter, 12);
	assert_true(out.under_way && !out.paused);
	assert_true(out.notify == 10 && out.ret == 2 && out.require_tls && !out.tls_optional && out.by_return && out.deliver_by_ms == 6);
	assert_true(str_eq(out.envid, in.envid) && str_eq(out.orcpt, in.orcpt));
	assert_true(str_eq(out.subject, in.subject) && str_eq(out.to, in.to) && str_eq(out.mid, in.mid));
	assert_int_equal(relay_next_entry(&c, &out), RC_NOTFOUND);
	for (size_t n = 1; n < b.len; n++) {
		c = cursor_of(str_head(buf_str(&b), n));
		assert_int_equal(relay_next_entry(&c, &out), RC_SYNTAX);
	}
	buf_done(&b);
}

static void a_filter_that_asks_for_what_cannot_be_is_refused(void **state)
{
	struct arena a;
	struct relay_filter out;
	static const struct { uint8_t states; uint64_t older; enum rc want; } cases[] = {
		{ RELAY_STATE_READY | RELAY_STATE_HELD, 1000, RC_OK }, { RELAY_STATE_DONE, 0, RC_OK }, { RELAY_STATE_DONE | RELAY_STATE_HELD, 0, RC_SYNTAX },
		{ 16, 0, RC_SYNTAX }, { RELAY_STATE_READY, UINT64_MAX, RC_SYNTAX } };
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf b;
		struct relay_filter f = { .from = STR("@example.org"), .to = STR(""), .domain = STR(""), .reason = STR("x"), .mid = STR(""), .older_ms = cases[i].older, .states = cases[i].states };
		arena_init(&a, 65536);
		buf_init(&b, 4096);
		relay_put_filter(&b, &f);
		assert_int_equal(relay_get_filter(buf_str(&b), &a, &out), cases[i].want);
		if (cases[i].want == RC_OK)
			assert_true(str_eq(out.from, f.from) && out.states == f.states);
		buf_byte(&b, 0);
		assert_int_equal(relay_get_filter(buf_str(&b), &a, &out), RC_SYNTAX);
		buf_done(&b);
		arena_done(&a);
	}
}

static void the_nearest_way_wins(void **state)
{
	static const char *const keys[] = { "*", ".example.net", "mail.example.net", "@example.org", "bob@example.org", ".net" };
	static const struct { const char *sender, *domain, *want; } cases[] = {
		{ "bob@example.org", "mail.example.net", "bob@example.org" }, { "Ann@Example.org", "mail.example.net", "@example.org" },
		{ "x@else.example", "mail.example.net", "mail.example.net" }, { "x@else.example", "a.b.example.net", ".example.net" },
		{ "x@else.example", "example.net", ".net" }, { "x@else.example", "example.com", "*" }, { "", "MAIL.example.net", "mail.example.net" } };
	struct way ways[6] = { 0 };
	(void)state;
	for (size_t i = 0; i < 6; i++)
		ways[i].key = str_z(keys[i]);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct way *w = relay_way_for(ways, 6, str_z(cases[i].sender), str_z(cases[i].domain));
		assert_non_null(w);
		if (!str_eq(w->key, str_z(cases[i].want)))
			fail_msg("%s to %s: %.*s", cases[i].sender, cases[i].domain, PSTR(w->key));
	}
	assert_null(relay_way_for(ways + 1, 2, STR("x@else.example"), STR("example.com")));
	assert_null(relay_way_for(NULL, 0, STR("x@else.example"), STR("example.com")));
}

static void addresses_that_lead_nowhere_are_not_dialled(void **state)
{
	static const struct { const char *ip; bool refused, in_tests; } cases[] = {
		{ "127.0.0.1", true, false }, { "127.9.9.9", true, false }, { "::1", true, false }, { "::ffff:127.0.0.1", true, false }, { "0.0.0.0", true, true }, { "::", true, true },
		{ "224.0.0.1", true, true }, { "255.255.255.255", true, true }, { "ff02::1", true, true }, { "169.254.1.1", true, true }, { "fe80::1", true, true },
		{ "192.0.2.1", false, false }, { "10.0.0.1", false, false }, { "2001:db8::1", false, false } };
	struct config c;
	struct role_env e = { .config = &c };
	(void)state;
	config_init(&c);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		c.relay_loopback = false;
		if ((relay_address_refused(&e, cases[i].ip) != NULL) != cases[i].refused)
			fail_msg("%s", cases[i].ip);
		c.relay_loopback = true;
		if ((relay_address_refused(&e, cases[i].ip) != NULL) != cases[i].in_tests)
			fail_msg("%s with relay.loopback", cases[i].ip);
	}
	config_done(&c);
}

static void a_suppressed_address_has_one_key_in_any_case_of_letters(void **state)
{
	static const uint8_t key[16] = { 1, 2, 3 }, other[16] = { 1, 2, 4 };
	char a[SUPPRESS_KEY], b[SUPPRESS_KEY], c[SUPPRESS_KEY], d[SUPPRESS_KEY];
	(void)state;
	suppress_key(key, STR("Bob@Example.NET"), a);
	suppress_key(key, STR("bob@example.net"), b);
	suppress_key(key, STR("bob@example.org"), c);
	suppress_key(other, STR("bob@example.net"), d);
	assert_string_equal(a, b);
	assert_int_equal(strlen(a), 36);
	assert_memory_equal(a, "sup/", 4);
	assert_string_not_equal(a, c);
	assert_string_not_equal(a, d);
	assert_memory_not_equal(a + 4, a + 20, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_comes_back_as_it_was_and_every_cut_is_refused),
		cmocka_unit_test(a_filter_that_asks_for_what_cannot_be_is_refused),
		cmocka_unit_test(the_nearest_way_wins),
		cmocka_unit_test(addresses_that_lead_nowhere_are_not_dialled),
		cmocka_unit_test(a_suppressed_address_has_one_key_in_any_case_of_letters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
