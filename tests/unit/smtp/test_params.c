#include "smtp_test.h"

#include "smtp/params.h"

static const struct smtp_config config = { .max_size = 1000, .utf8 = true };

static void xtext_decodes_as_rfc_3461_says(void **state)
{
	(void)state;
	static const struct { struct str in, out; enum rc rc; } cases[] = {
		{ STR_INIT("plain"), STR_INIT("plain"), RC_OK },     { STR_INIT("a+2Bb"), STR_INIT("a+b"), RC_OK },
		{ STR_INIT("a+3Db"), STR_INIT("a=b"), RC_OK },       { STR_INIT("+20"), STR_INIT(" "), RC_OK },
		{ STR_INIT("a+2bb"), STR_INIT(""), RC_SYNTAX },      { STR_INIT("a=b"), STR_INIT(""), RC_SYNTAX },
		{ STR_INIT("a b"), STR_INIT(""), RC_SYNTAX },        { STR_INIT("a+"), STR_INIT(""), RC_SYNTAX },
		{ STR_INIT("a+2"), STR_INIT(""), RC_SYNTAX },        { STR_INIT("+00"), STR_INIT(""), RC_SYNTAX },
		{ STR_INIT("+0A"), STR_INIT(""), RC_SYNTAX },        { STR_INIT("+FF"), STR_INIT(""), RC_SYNTAX },
		{ STR_INIT("\xc3\xa4"), STR_INIT(""), RC_SYNTAX },   { STR_INIT(""), STR_INIT(""), RC_OK },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct arena a;
		struct str out = STR("");
		arena_init(&a, 4096);
		if (smtp_xtext_decode(cases[i].in, &a, &out) != cases[i].rc)
			fail_msg("case %zu: %.*s", i, PSTR(cases[i].in));
		if (cases[i].rc == RC_OK)
			assert_str(out, cases[i].out);
		arena_done(&a);
	}
}

static void utf8_addresses_decode_as_rfc_6533_says(void **state)
{
	(void)state;
	static const struct { struct str in, out; enum rc rc; } cases[] = {
		{ STR_INIT("\\x{E4}@b"), STR_INIT("\xc3\xa4@b"), RC_OK },
		{ STR_INIT("\\x{20AC}"), STR_INIT("\xe2\x82\xac"), RC_OK },
		{ STR_INIT("\\x{1F600}"), STR_INIT("\xf0\x9f\x98\x80"), RC_OK },
		{ STR_INIT("\\x{10FFFF}"), STR_INIT("\xf4\x8f\xbf\xbf"), RC_OK },
		{ STR_INIT("\\x{2B}"), STR_INIT("+"), RC_OK },
		{ STR_INIT("\xc3\xa4"), STR_INIT("\xc3\xa4"), RC_OK },
		{ STR_INIT("\\x{110000}"), STR_INIT(""), RC_SYNTAX }, { STR_INIT("\\x{D800}"), STR_INIT(""), RC_SYNTAX },
		{ STR_INIT("\\x{e4}"), STR_INIT(""), RC_SYNTAX },     { STR_INIT("\\x{E4"), STR_INIT(""), RC_SYNTAX },
		{ STR_INIT("\\x{0A}"), STR_INIT(""), RC_SYNTAX },     { STR_INIT("\\xE4"), STR_INIT(""), RC_SYNTAX },
		{ STR_INIT("\xc3"), STR_INIT(""), RC_SYNTAX },        { STR_INIT("a+b"), STR_INIT(""), RC_SYNTAX },
		{ STR_INIT("\\x{0000041}"), STR_INIT(""), RC_SYNTAX },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct arena a;
		struct str out = STR("");
		arena_init(&a, 4096);
		if (smtp_utf8_addr_decode(cases[i].in, &a, &out) != cases[i].rc)
			fail_msg("case %zu: %.*s", i, PSTR(cases[i].in));
		if (cases[i].rc == RC_OK)
			assert_str(out, cases[i].out);
		arena_done(&a);
	}
}

static void mail_parameters_are_taken_or_refused(void **state)
{
	(void)state;
	static const struct { struct str in; enum rc rc; const char *why; } cases[] = {
		{ STR_INIT(""), RC_OK, "" },
		{ STR_INIT(" SIZE=1000  BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=x"), RC_OK, "" },
		{ STR_INIT(" size=1"), RC_OK, "" },
		{ STR_INIT(" SIZE=1001"), RC_LIMIT, "5.3.4 message larger than 1000 octets" },
		{ STR_INIT(" SIZE=-1"), RC_SYNTAX, "5.5.4 SIZE is not a number" },
		{ STR_INIT(" SIZE="), RC_SYNTAX, "5.5.4 malformed parameter" },
		{ STR_INIT(" BODY=8BITMIME BODY=7BIT"), RC_SYNTAX, "5.5.4 BODY given twice" },
		{ STR_INIT(" AUTH=<>"), RC_NOTFOUND, "5.5.4 unknown parameter AUTH" },
		{ STR_INIT(" NOTIFY=NEVER"), RC_NOTFOUND, "5.5.4 unknown parameter NOTIFY" },
		{ STR_INIT(" X_Y=1"), RC_SYNTAX, "5.5.4 malformed parameter" },
		{ STR_INIT(" -X=1"), RC_SYNTAX, "5.5.4 malformed parameter" },
		{ STR_INIT(" X=a=b"), RC_SYNTAX, "5.5.4 malformed parameter" },
		{ STR_INIT(" X=\x01"), RC_SYNTAX, "5.5.4 malformed parameter" },
		{ STR_INIT(" RET"), RC_SYNTAX, "5.5.4 RET takes a value" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct arena a;
		struct smtp_mail mail = { 0 };
		struct why why = { 0 };
		arena_init(&a, 4096);
		if (smtp_mail_params(cases[i].in, &config, 0, &a, &mail, &why) != cases[i].rc || strcmp(why.text, cases[i].why) != 0)
			fail_msg("%.*s: %s", PSTR(cases[i].in), why.text);
		arena_done(&a);
	}
}

static void an_envid_of_a_hundred_octets_passes_and_one_more_does_not(void **state)
{
	(void)state;
	for (size_t n = 100; n <= 101; n++) {
		char text[120] = " ENVID=";
		memset(text + 7, 'x', n);
		struct arena a;
		struct smtp_mail mail = { 0 };
		struct why why = { 0 };
		arena_init(&a, 4096);
		assert_int_equal(smtp_mail_params(str_of(text, 7 + n), &config, 0, &a, &mail, &why), n == 100 ? RC_OK : RC_SYNTAX);
		arena_done(&a);
	}
}

static void a_full_arena_is_no_memory_and_no_answer(void **state)
{
	(void)state;
	struct arena a;
	struct smtp_mail mail = { 0 };
	struct smtp_rcpt rcpt = { 0 };
	struct why why = { 0 };
	arena_init(&a, 1);
	assert_int_equal(smtp_mail_params(STR(" ENVID=abc"), &config, 0, &a, &mail, &why), RC_NOMEM);
	assert_int_equal(smtp_rcpt_params(STR(" ORCPT=rfc822;abc"), false, &a, &rcpt, &why), RC_NOMEM);
	arena_done(&a);
}

static void dates_are_those_of_rfc_3339(void **state)
{
	(void)state;
	static const struct { struct str in; int64_t ms; } cases[] = {
		{ STR_INIT("1985-04-12T23:20:50.52Z"), 482196050000 },      /* RFC 3339 5.8 */
		{ STR_INIT("1996-12-19T16:39:57-08:00"), 851042397000 },
		{ STR_INIT("1990-12-31T23:59:60Z"), 662688000000 },
		{ STR_INIT("1990-12-31T15:59:60-08:00"), 662688000000 },
		{ STR_INIT("2000-02-29T00:00:00z"), 951782400000 },
		{ STR_INIT("2026-11-30t09:00:00+00:00"), 1796029200000 },
		{ STR_INIT("1900-01-01T00:00:00Z"), -1 },
		{ STR_INIT("2100-02-29T00:00:00Z"), -1 },
		{ STR_INIT("2026-13-01T00:00:00Z"), -1 },
		{ STR_INIT("2026-11-31T00:00:00Z"), -1 },
		{ STR_INIT("2026-11-30T24:00:00Z"), -1 },
		{ STR_INIT("2026-11-30 09:00:00Z"), -1 },
		{ STR_INIT("2026-11-30T09:00:00"), -1 },
		{ STR_INIT("2026-11-30T09:00:00.Z"), -1 },
		{ STR_INIT("2026-11-30T09:00:00+1:00"), -1 },
		{ STR_INIT("2026-11-30T09:00:00Zx"), -1 },
		{ STR_INIT("1970-01-01T00:00:00+23:59"), -1 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int64_t ms = -1;
		enum rc rc = smtp_date_parse(cases[i].in, &ms);
		if (rc != (cases[i].ms < 0 ? RC_SYNTAX : RC_OK) || (rc == RC_OK && ms != cases[i].ms))
			fail_msg("%.*s: %lld", PSTR(cases[i].in), (long long)ms);
	}
}

static void what_is_formatted_as_a_date_reads_back(void **state)
{
	(void)state;
	for (int64_t ms = 0; ms < 253402300800000; ms += 86399999000 / 3) {
		char text[SMTP_DATE_LEN + 1];
		int64_t back;
		smtp_date_format(ms, text);
		if (smtp_date_parse(str_z(text), &back) != RC_OK || back != ms / 1000 * 1000)
			fail_msg("%lld: %s", (long long)ms, text);
	}
}

int run_params_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xtext_decodes_as_rfc_3461_says),
		cmocka_unit_test(utf8_addresses_decode_as_rfc_6533_says),
		cmocka_unit_test(mail_parameters_are_taken_or_refused),
		cmocka_unit_test(an_envid_of_a_hundred_octets_passes_and_one_more_does_not),
		cmocka_unit_test(a_full_arena_is_no_memory_and_no_answer),
		cmocka_unit_test(dates_are_those_of_rfc_3339),
		cmocka_unit_test(what_is_formatted_as_a_date_reads_back),
	};
	return cmocka_run_group_tests_name("smtp parameters", tests, NULL, NULL);
}
