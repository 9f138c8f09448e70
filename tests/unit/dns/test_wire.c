#include "dns_test.h"

#include "dns/asker.h"
#include "dns/dnsbl.h"
#include "dns/reply.h"

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

/* Replies written here octet by octet, not by the code under test. */
#define HEAD(flags, an, ns) "\0\7" flags "\0\1\0" an "\0" ns "\0\0\1a\4test\0"
#define AT_A "\300\14"

static void a_reply_is_read_from_its_octets(void **state)
{
	static const struct { unsigned type; struct str packet; const char *want; uint32_t ttl; const char *canonical; } cases[] = {
		{ DNS_A, STR_INIT(HEAD("\205\200", "\1", "\0") "\0\1\0\1" AT_A "\0\1\0\1\0\0\0\74\0\4\1\2\3\4"), "ok; 0 0 0 0 0 0  01020304", 60, "a.test" },
		{ DNS_A, STR_INIT(HEAD("\205\200", "\2", "\0") "\0\1\0\1" AT_A "\0\5\0\1\0\0\0\12\0\4\1B\300\16" "\1b\300\16\0\1\0\1\0\0\0\74\0\4\1\2\3\4"), "ok; 0 0 0 0 0 0  01020304", 10, "b.test" },
		{ DNS_MX, STR_INIT(HEAD("\205\200", "\1", "\0") "\0\17\0\1" AT_A "\0\17\0\1\0\0\0\74\0\4\0\12" AT_A), "ok; 10 0 0 0 0 0 a.test ", 60, "a.test" },
		{ DNS_TXT, STR_INIT(HEAD("\205\200", "\1", "\0") "\0\20\0\1" AT_A "\0\20\0\1\0\0\0\74\0\6\2ab\2cd"), "ok; 0 0 0 0 0 0  abcd", 60, "a.test" },
		{ DNS_A, STR_INIT(HEAD("\205\203", "\0", "\1") "\0\1\0\1" "\4test\0\0\6\0\1\0\0\0\74\0\26\0\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\7"), "nxdomain", 7, "a.test" },
		{ DNS_A, STR_INIT(HEAD("\205\200", "\0", "\0") "\0\1\0\1"), "nodata", 0, "a.test" },
		{ DNS_A, STR_INIT(HEAD("\205\205", "\0", "\0") "\0\1\0\1"), "tempfail", 0, "a.test" },
		/* a record for another name, and one whose data is too short, are not answers */
		{ DNS_A, STR_INIT(HEAD("\205\200", "\1", "\0") "\0\1\0\1" "\1x\0\0\1\0\1\0\0\0\74\0\4\1\2\3\4"), "nodata", 0, "a.test" },
		{ DNS_A, STR_INIT(HEAD("\205\200", "\1", "\0") "\0\1\0\1" AT_A "\0\1\0\1\0\0\0\74\0\3\1\2\3"), "nodata", 0, "a.test" },
	};
	char got[300];
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct dns_answer x;
		struct dns_reply_facts facts;
		struct arena a;
		arena_init(&a, 1 << 16);
		assert_true(dns_reply_fits(cases[i].packet, 7, cases[i].type, STR("a.test")));
		assert_int_equal(dns_reply_parse(cases[i].packet, cases[i].type, STR("a.test"), &a, &x, &facts, NULL), RC_OK);
		assert_string_equal(show(cases[i].type, &x, got, sizeof got), cases[i].want);
		assert_int_equal(x.ttl, cases[i].ttl);
		expect_str(x.canonical, cases[i].canonical);
		arena_done(&a);
	}
}

static void what_is_no_reply_to_the_question_is_refused(void **state)
{
	static const struct { struct str packet; const char *why; } cases[] = {
		{ STR_INIT("\0\7\205\200"), "not a reply to this question" },
		{ STR_INIT(HEAD("\5\0", "\0", "\0") "\0\1\0\1"), "not a reply to this question" },
		{ STR_INIT(HEAD("\205\200", "\0", "\0") "\0\20\0\1"), "not a reply to this question" },
		{ STR_INIT(HEAD("\205\200", "\1", "\0") "\0\1\0\1" AT_A "\0\1"), "a record reaches past the reply" },
		{ STR_INIT(HEAD("\205\200", "\1", "\0") "\0\1\0\1" AT_A "\0\5\0\1\0\0\0\12\0\2" AT_A), "CNAMEs lead in a circle or nowhere" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct dns_answer x;
		struct dns_reply_facts facts;
		struct why why = { 0 };
		struct arena a;
		arena_init(&a, 1 << 16);
		assert_int_equal(dns_reply_parse(cases[i].packet, DNS_A, STR("a.test"), &a, &x, &facts, &why), RC_SYNTAX);
		assert_string_equal(why.text, cases[i].why);
		arena_done(&a);
	}
	assert_false(dns_reply_fits(STR(HEAD("\205\200", "\0", "\0") "\0\1\0\1"), 8, DNS_A, STR("a.test")));
}

static void a_question_has_edns_for_1232_octets_and_asks_for_no_recursion(void **state)
{
	char out[300];
	(void)state;
	size_t n = dns_question_write(7, DNS_TXT, STR("a.test"), out);
	static const char want[] = "\0\7\0\0\0\1\0\0\0\0\0\1\1a\4test\0\0\20\0\1\0\0\51\4\320\0\0\0\0\0\0";
	assert_int_equal(n, sizeof want - 1);
	assert_memory_equal(out, want, n);
}

static void a_session_past_its_budget_gets_temporary_failures(void **state)
{
	struct dns_table *t;
	struct dns_answer x;
	struct arena a;
	(void)state;
	arena_init(&a, 1 << 16);
	assert_int_equal(dns_table_new(&t), RC_OK);
	struct dns_budget b = { .behind = dns_table_dns(t), .left = 2 };
	struct dns d = dns_budget_dns(&b);
	static const struct { const char *name; enum dns_status want; } cases[] = {
		{ "a.test", DNS_NXDOMAIN }, { "a..b", DNS_BADNAME }, { "b.test", DNS_NXDOMAIN }, { "c.test", DNS_TEMPFAIL },
	};
	for (size_t i = 0; i < 4; i++) {
		dns_ask(&d, DNS_A, str_z(cases[i].name), &a, &x);
		assert_int_equal(x.status, cases[i].want);
	}
	assert_string_equal(x.why, "this session has asked the DNS too much");
	dns_table_free(&t);
	arena_done(&a);
}

static uint64_t fake_ms;
static uint64_t fake_now(void) { return fake_ms; }

static void a_session_past_its_time_gets_temporary_failures(void **state)
{
	struct dns_table *t;
	struct dns_answer x;
	struct arena a;
	(void)state;
	arena_init(&a, 1 << 16);
	assert_int_equal(dns_table_new(&t), RC_OK);
	struct dns_budget b = { .behind = dns_table_dns(t), .left = 9, .now_ms = fake_now };
	struct dns d = dns_budget_dns(&b);
	for (fake_ms = 0; fake_ms < 3; fake_ms++) { /* no time is set at first; then it is over at 2 */
		dns_ask(&d, DNS_A, STR("a.test"), &a, &x);
		assert_int_equal(x.status, fake_ms < 2 ? DNS_NXDOMAIN : DNS_TEMPFAIL);
		b.until_ms = 2;
	}
	assert_string_equal(x.why, "the DNS has taken too long for this session");
	dns_table_free(&t);
	arena_done(&a);
}

static void a_blocklist_lists_refuses_or_is_silent(void **state)
{
	static const struct { struct str ip; bool listed; unsigned refused; const char *reason; } cases[] = {
		{ STR_INIT("\x7f\0\0\2"), true, 0, "test" }, { STR_INIT("\300\0\2\1"), true, 0, "" }, { STR_INIT("\300\0\2\2"), false, 1, "" },
		{ STR_INIT("\300\0\2\3"), false, 1, "" },     { STR_INIT("\300\0\2\4"), false, 0, "" }, { STR_INIT("\300\0\2\5"), false, 1, "" },
		{ STR_INIT("\12\0\0\1"), false, 0, "" },           { STR_INIT("\300\0\2\6"), true, 0, "a?b?c" },
	};
	struct dns_table *t;
	struct arena a;
	struct str zone = STR("bl.test");
	(void)state;
	arena_init(&a, 1 << 16);
	assert_int_equal(dns_table_new(&t), RC_OK);
	assert_int_equal(dns_table_read(t, STR("2.0.0.127 A 127.0.0.2\n TXT test\n1.2.0.192 A 127.0.0.4\n2.2.0.192 A 127.255.255.254\n3.2.0.192 A 192.0.2.99\n; TIMEOUT 5.2.0.192 A\n6.2.0.192 A 127.0.0.2\n TXT \"a\\010b\\255c\"\n"
	                                          "1.0.0.10 A 127.0.0.2\n"), zone, NULL), RC_OK);
	struct dns d = dns_table_dns(t);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct dnsbl_listing x;
		dnsbl_ask(&d, &zone, 1, cases[i].ip, &a, &x);
		assert_int_equal(x.listed, cases[i].listed);
		assert_int_equal(x.refused, cases[i].refused);
		expect_str(x.reason, cases[i].reason);
	}
	dns_table_free(&t);
	arena_done(&a);
}

static void a_blocklist_that_lists_everybody_lists_nobody(void **state)
{
	static const struct str ips[] = { STR_INIT("\300\0\2\1"), STR_INIT("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1") };
	struct str zones[] = { STR("all.test"), STR("good.test") };
	struct dns_table *t;
	struct arena a;
	(void)state;
	arena_init(&a, 1 << 16);
	assert_int_equal(dns_table_new(&t), RC_OK);
	assert_int_equal(dns_table_read(t, STR("*.all.test. A 127.0.0.2\n1.2.0.192.good.test. A 127.0.0.3\n; TIMEOUT 1.0.0.127.good.test. A\n"
	                                          "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.good.test. A 127.0.0.3\n"), STR("."), NULL), RC_OK);
	struct dns d = dns_table_dns(t);
	for (size_t i = 0; i < 2; i++) {
		struct dnsbl_listing x;
		dnsbl_ask(&d, zones, 2, ips[i], &a, &x);
		assert_true(x.listed && x.refused == 1);
		expect_str(x.zone, "good.test");
		dnsbl_ask(&d, zones, 1, ips[i], &a, &x);
		assert_true(!x.listed && x.refused == 1);
	}
	dns_table_free(&t);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_packs_and_unpacks_to_itself),
		cmocka_unit_test(a_failure_keeps_its_reason),
		cmocka_unit_test(a_reply_is_read_from_its_octets),
		cmocka_unit_test(what_is_no_reply_to_the_question_is_refused),
		cmocka_unit_test(a_question_has_edns_for_1232_octets_and_asks_for_no_recursion),
		cmocka_unit_test(a_session_past_its_budget_gets_temporary_failures),
		cmocka_unit_test(a_session_past_its_time_gets_temporary_failures),
		cmocka_unit_test(a_blocklist_lists_refuses_or_is_silent),
		cmocka_unit_test(a_blocklist_that_lists_everybody_lists_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
