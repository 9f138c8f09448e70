#include "dns_test.h"

static const char zone[] =
	"$ORIGIN example.com.\n"
	"$TTL 1h\n"
	"@ IN SOA ns1 host\\.master (\n"
	"	2026010101 ; serial\n"
	"	3600 600 864000 120 )\n"
	"	NS ns1\n"
	"	600 IN MX 10 MX1\n"
	"	IN 500 MX 20 mx2.example.NET.\n"
	"	TXT \"v=spf1 \" \"-all\"\n"
	"	TXT plain;comment\n"
	"ns1 A 192.0.2.1\n"
	"    AAAA 2001:db8::1\n"
	"mx1 CNAME ns1\n"
	"loop1 CNAME loop2\n"
	"loop2 CNAME loop1\n"
	"gone CNAME nowhere\n"
	"*.wild TXT \"any\"\n"
	"a.b.deep A 192.0.2.2\n"
	"_25._tcp.mx1 TLSA 3 1 1 0102 0304\n"
	"_imaps._tcp SRV 1 2 993 mx1\n"
	"caa CAA 128 ISSUE \"ca.example.net\"\n"
	"odd\\032name TXT \"tab\\009quote\\\" \\\\\"\n"
	"generic TYPE16 \\# 4 03 616263\n"
	"other HINFO \"a\" \"b\"\n"
	"      KEY 256 3 5 AQ==\n"
	"      APL 1:192.168.32.0/21 !1:192.168.38.0/28\n"
	"      EUI48 00-00-5e-00-53-2a\n"
	"      CSYNC 66 3 A NS AAAA\n"
	"null MX 0 .\n"
	"twice A 192.0.2.9\n"
	"twice A 192.0.2.9\n"
	"; TIMEOUT slow.example.com. TXT\n"
	"; TIMEOUT dead.example.com. ANY\n"
	"; BOGUS lie A\n"
	"; SECURE deep\n"
	"; an ordinary remark about SECURE things here\n"
	"lie A 192.0.2.3\n"
	"slow A 192.0.2.4\n";

static struct dns_table *t;
static struct arena arena;

static int start(void **state)
{
	struct why why = { 0 };
	(void)state;
	arena_init(&arena, 4 << 20);
	assert_int_equal(dns_table_new(&t), RC_OK);
	enum rc rc = dns_table_read(t, str_z(zone), STR(""), &why);
	if (rc != RC_OK)
		fail_msg("%s", why.text);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	dns_table_free(&t);
	arena_done(&arena);
	return 0;
}

static struct dns_answer look(unsigned type, const char *name)
{
	struct dns_answer a;
	struct dns d = dns_table_dns(t);
	dns_ask(&d, type, str_z(name), &arena, &a);
	return a;
}

static void every_form_of_a_record_is_read(void **state)
{
	static const struct { unsigned type; const char *name, *want; uint32_t ttl; } cases[] = {
		{ DNS_SOA, "example.com", "ok; 0 0 0 0 0 0 ns1.example.com ", 3600 },
		{ DNS_NS, "EXAMPLE.com.", "ok; 0 0 0 0 0 0 ns1.example.com ", 3600 },
		{ DNS_MX, "example.com", "ok; 10 0 0 0 0 0 mx1.example.com ; 20 0 0 0 0 0 mx2.example.net ", 500 },
		{ DNS_TXT, "example.com", "ok; 0 0 0 0 0 0  v=spf1 -all; 0 0 0 0 0 0  plain", 3600 },
		{ DNS_A, "ns1.example.com", "ok; 0 0 0 0 0 0  c0000201", 3600 },
		{ DNS_AAAA, "ns1.example.com", "ok; 0 0 0 0 0 0  20010db8000000000000000000000001", 3600 },
		{ DNS_A, "mx1.example.com", "ok; 0 0 0 0 0 0  c0000201", 3600 },
		{ DNS_CNAME, "mx1.example.com", "ok; 0 0 0 0 0 0 ns1.example.com ", 3600 },
		{ DNS_TLSA, "_25._tcp.mx1.example.com", "ok; 0 0 0 3 1 1  01020304", 3600 },
		{ DNS_SRV, "_imaps._tcp.example.com", "ok; 1 2 993 0 0 0 mx1.example.com ", 3600 },
		{ DNS_CAA, "caa.example.com", "ok; 0 0 0 128 0 0 issue ca.example.net", 3600 },
		{ DNS_TXT, "odd name.example.com", "ok; 0 0 0 0 0 0  tab\tquote\" \\", 3600 },
		{ DNS_TXT, "generic.example.com", "ok; 0 0 0 0 0 0  abc", 3600 },
		{ DNS_MX, "null.example.com", "ok; 0 0 0 0 0 0  ", 3600 },
		{ DNS_A, "twice.example.com", "ok; 0 0 0 0 0 0  c0000209", 3600 },
		{ DNS_TXT, "x.wild.example.com", "ok; 0 0 0 0 0 0  any", 3600 },
		{ DNS_TXT, "x.y.wild.example.com", "ok; 0 0 0 0 0 0  any", 3600 },
	};
	char got[512];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dns_answer a = look(cases[i].type, cases[i].name);
		assert_string_equal(show(cases[i].type, &a, got, sizeof got), cases[i].want);
		assert_int_equal(a.ttl, cases[i].ttl);
	}
	assert_int_equal(look(DNS_TXT, "example.com").record[0].strings, 2);
}

static void what_is_not_there_is_denied_in_the_right_way(void **state)
{
	static const struct { unsigned type; const char *name; enum dns_status want; } cases[] = {
		{ DNS_AAAA, "lie.example.com", DNS_NODATA },      { DNS_A, "nobody.example.com", DNS_NXDOMAIN }, { DNS_A, "deep.example.com", DNS_NODATA },
		{ DNS_A, "b.deep.example.com", DNS_NODATA },      { DNS_A, "c.b.deep.example.com", DNS_NXDOMAIN }, { DNS_A, "com", DNS_NODATA },
		{ DNS_A, "gone.example.com", DNS_NXDOMAIN },      { DNS_A, "loop1.example.com", DNS_TEMPFAIL },   { DNS_TXT, "slow.example.com", DNS_TEMPFAIL },
		{ DNS_A, "slow.example.com", DNS_OK },            { DNS_A, "dead.example.com", DNS_TEMPFAIL },    { DNS_MX, "dead.example.com", DNS_TEMPFAIL },
		{ DNS_A, "lie.example.com", DNS_BOGUS },          { DNS_A, "other.example.com", DNS_NODATA },     { DNS_A, "a..b", DNS_BADNAME },
		{ DNS_A, "", DNS_BADNAME },                       { DNS_A, ".", DNS_BADNAME },                    { DNS_A, "wild.example.com", DNS_NODATA },
		{ DNS_A, "x.wild.example.com", DNS_NODATA },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dns_answer a = look(cases[i].type, cases[i].name);
		if (a.status != cases[i].want)
			fail_msg("%s: %s", cases[i].name, dns_status_name(a.status));
		assert_int_equal(a.why[0] != '\0', a.status == DNS_TEMPFAIL || a.status == DNS_BOGUS || a.status == DNS_BADNAME);
	}
	assert_int_equal(look(DNS_A, "nobody.example.com").ttl, 120); /* RFC 2308 5 */
	expect_str(look(DNS_A, "gone.example.com").canonical, "nowhere.example.com");
	expect_str(look(DNS_A, "MX1.example.com.").canonical, "ns1.example.com");
}

static void a_question_that_was_not_sent_is_not_counted(void **state)
{
	(void)state;
	look(DNS_A, "ns1.example.com");
	look(DNS_A, "a..b");
	assert_int_equal(dns_table_asked(t), 1);
}

static void secure_is_what_lies_at_or_below_the_marked_name(void **state)
{
	(void)state;
	assert_true(look(DNS_A, "a.b.deep.example.com").secure);
	assert_true(look(DNS_A, "x.deep.example.com").secure);
	assert_false(look(DNS_A, "ns1.example.com").secure);
	assert_int_equal(dns_table_read(t, STR("x.deep CNAME ns1"), STR("example.com"), NULL), RC_OK);
	assert_false(look(DNS_A, "x.deep.example.com").secure); /* a chain is as secure as its weakest link */
}

static void a_broken_file_names_its_line(void **state)
{
	static const struct { const char *text, *why; } cases[] = {
		{ "a A 1.2.3\n", "line 1: \"1.2.3\" is not an IPv4 address" },
		{ "a A 1.2.3.4\n\nb AAAA 1.2.3.4\n", "line 3: \"1.2.3.4\" is not an IPv6 address" },
		{ "a MX mail\n", "line 1: MX takes 2 words, here are 1" },
		{ "a MX 70000 mail\n", "line 1: \"70000\" where a number up to 65535 belongs" },
		{ "a TXT \"x\nb A 1.2.3.4\n", "line 1: a quoted string does not end on its line" },
		{ "a TXT (\"x\"\n", "line 2: a parenthesis does not close" },
		{ "a TXT )\n", "line 1: a closing parenthesis without an opening one" },
		{ " A 1.2.3.4\n", "line 1: the first record has no name" },
		{ "$INCLUDE /etc/passwd\n", "line 1: \"$INCLUDE\" is not taken here" },
		{ "$GENERATE 1-3 a$ A 1.2.3.$\n", "line 1: \"$GENERATE\" is not taken here" },
		{ "a FROG 1\n", "line 1: \"FROG\" where a record's type belongs" },
		{ "a..b A 1.2.3.4\n", "line 1: \"a..b\" is not a name" },
		{ "a\\.b A 1.2.3.4\n", "line 1: \"a\\.b\": a dot inside a label is not taken" },
		{ "a TXT \\300\n", "line 1: a backslash that is no escape" },
		{ "a TYPE16 \\# 5 0361\n", "line 1: \\# says 5 octets, there are 2" },
		{ "a TYPE16 \\# 2 0361\n", "line 1: a character-string reaches past its record" },
		{ "a CNAME b\na CNAME c\n", "line 2: a has two CNAME records" },
		{ "a SOA b c 1 2 3 4\n", "line 1: a SOA record has seven words, the last a time" },
		{ "$TTL forever\n", "line 1: \"forever\" is not a TTL" },
	};
	struct why why;
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dns_table *x;
		why = (struct why){ 0 };
		assert_int_equal(dns_table_new(&x), RC_OK);
		assert_int_equal(dns_table_read(x, str_z(cases[i].text), STR(""), &why), RC_SYNTAX);
		assert_string_equal(why.text, cases[i].why);
		dns_table_free(&x);
	}
}

static void a_string_has_at_most_255_octets(void **state)
{
	char text[400];
	struct why why = { 0 };
	(void)state;
	int n = snprintf(text, sizeof text, "long TXT \"%0255d\"", 0);
	assert_int_equal(dns_table_read(t, str_of(text, (size_t)n), STR(""), &why), RC_OK);
	n = snprintf(text, sizeof text, "longer TXT \"%0256d\"", 0);
	assert_int_equal(dns_table_read(t, str_of(text, (size_t)n), STR(""), &why), RC_SYNTAX);
	assert_string_equal(why.text, "line 1: a string of 256 octets: at most 255 each");
}

static void records_are_added_one_by_one(void **state)
{
	struct why why = { 0 };
	char got[200];
	(void)state;
	assert_int_equal(dns_table_add(t, STR("odd \"name\".test"), DNS_MX, 60, STR("5 mail.test"), false, &why), RC_OK);
	struct dns_answer a = look(DNS_MX, "odd \"name\".test");
	assert_string_equal(show(DNS_MX, &a, got, sizeof got), "ok; 5 0 0 0 0 0 mail.test ");
	assert_int_equal(a.ttl, 60);
	assert_int_equal(dns_table_add(t, STR("x.test"), DNS_A, 60, STR("1.2.3.4\ny A 1.2.3.4"), false, &why), RC_SYNTAX);
	assert_int_equal(dns_table_add(t, STR("x.test"), DNS_TXT, 60, STR("a\"\\b; c"), true, &why), RC_OK);
	a = look(DNS_TXT, "x.test");
	expect_str(a.record[0].data, "a\"\\b; c");
	assert_int_equal(dns_table_fail(t, STR("x.test"), DNS_TXT, DNS_NXDOMAIN), RC_OK);
	assert_int_equal(look(DNS_TXT, "x.test").status, DNS_NXDOMAIN);
}

static enum rc read_txt(size_t strings, size_t octets, struct why *why)
{
	AUTO(buf_done) struct buf b = { .max = 8 << 20 };
	struct dns_table *own;
	assert_int_equal(dns_table_new(&own), RC_OK);
	buf_add(&b, STR("a.test. TXT"));
	for (size_t i = 0; i < strings; i++) {
		buf_add(&b, STR(" \""));
		for (size_t k = 0; k < octets; k++)
			buf_byte(&b, 'x');
		buf_byte(&b, '"');
	}
	assert_false(b.failed);
	enum rc rc = dns_table_read(own, buf_str(&b), STR(""), why);
	dns_table_free(&own);
	return rc;
}

static void a_record_has_a_most_of_words_and_of_octets(void **state)
{
	struct why why = { 0 };
	(void)state;
	assert_int_equal(read_txt(16381, 1, &why), RC_OK); /* the name and the type are words too */
	assert_int_equal(read_txt(16383, 1, &why), RC_LIMIT);
	assert_non_null(strstr(why.text, "more than 16384 words in one record"));
	assert_int_equal(read_txt(8192, 255, &why), RC_OK);
	assert_int_equal(read_txt(8225, 255, &why), RC_LIMIT);
	assert_non_null(strstr(why.text, "a record of more than 2097152 octets"));
}

static void a_name_with_too_many_records_is_cut_and_says_so(void **state)
{
	char ip[32];
	(void)state;
	for (unsigned i = 0; i < DNS_MAX_RECORDS + 1; i++) {
		int n = snprintf(ip, sizeof ip, "10.0.%u.%u", i / 256, i % 256);
		assert_int_equal(dns_table_add(t, STR("many.test"), DNS_A, 60, str_of(ip, (size_t)n), false, NULL), RC_OK);
	}
	struct dns_answer a = look(DNS_A, "many.test");
	assert_int_equal(a.records, DNS_MAX_RECORDS);
	assert_true(a.truncated);
}

static void without_memory_it_is_a_temporary_failure(void **state)
{
	struct dns d = dns_table_dns(t);
	struct dns_answer a;
	struct arena small;
	(void)state;
	for (size_t room = 0; room < 120; room += 16) {
		arena_init(&small, room);
		dns_ask(&d, DNS_MX, STR("example.com"), &small, &a);
		assert_int_equal(a.status, DNS_TEMPFAIL);
		assert_int_equal(a.records, 0);
		arena_done(&small);
	}
}

static void reverse_names_and_blocklist_names_are_made(void **state)
{
	char out[256];
	const char ip6[16] = { 0x20, 1, 0x0d, (char)0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };
	(void)state;
	dns_reverse_name(str_of("\xc0\0\2\1", 4), STR(""), out);
	assert_string_equal(out, "1.2.0.192.in-addr.arpa");
	dns_reverse_name(str_of("\x7f\0\0\2", 4), STR("bl.test"), out);
	assert_string_equal(out, "2.0.0.127.bl.test");
	dns_reverse_name(str_of(ip6, 16), STR(""), out);
	assert_string_equal(out, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_form_of_a_record_is_read, start, stop),
		cmocka_unit_test_setup_teardown(what_is_not_there_is_denied_in_the_right_way, start, stop),
		cmocka_unit_test_setup_teardown(a_question_that_was_not_sent_is_not_counted, start, stop),
		cmocka_unit_test_setup_teardown(secure_is_what_lies_at_or_below_the_marked_name, start, stop),
		cmocka_unit_test(a_broken_file_names_its_line),
		cmocka_unit_test_setup_teardown(a_string_has_at_most_255_octets, start, stop),
		cmocka_unit_test_setup_teardown(records_are_added_one_by_one, start, stop),
		cmocka_unit_test(a_record_has_a_most_of_words_and_of_octets),
		cmocka_unit_test_setup_teardown(a_name_with_too_many_records_is_cut_and_says_so, start, stop),
		cmocka_unit_test_setup_teardown(without_memory_it_is_a_temporary_failure, start, stop),
		cmocka_unit_test(reverse_names_and_blocklist_names_are_made),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
