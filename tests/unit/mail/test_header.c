#include "mail/header.h"

#include "mail_test.h"

static void fields_are_raw_runs_with_exact_offsets(void **state)
{
	struct str in = STR("A: 1\r\nB :\t2\r\n 3\r\nC:\n\r\nbody: x\r\n");
	static const struct { struct str name, value, raw; } want[] = {
		{ STR_INIT("A"), STR_INIT(" 1"), STR_INIT("A: 1\r\n") },
		{ STR_INIT("B"), STR_INIT("\t2\r\n 3"), STR_INIT("B :\t2\r\n 3\r\n") },
		{ STR_INIT("C"), STR_INIT(""), STR_INIT("C:\n") },
	};
	struct header_field f;
	size_t pos = 0;
	bool broken = false;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(header_next(in, &pos, &f, &broken), RC_OK);
		SAME(f.name, want[i].name);
		SAME(f.value, want[i].value);
		SAME(f.raw, want[i].raw);
	}
	assert_int_equal(header_next(in, &pos, &f, &broken), RC_NOTFOUND);
	SAME(str_skip(in, pos), STR("body: x\r\n"));
	assert_false(broken);
}

static void a_line_that_is_no_field_ends_the_header(void **state)
{
	struct str in = STR("A: 1\r\nno colon here\r\nB: 2\r\n");
	struct header_field f;
	size_t pos = 0;
	bool broken = false;
	assert_int_equal(header_next(in, &pos, &f, &broken), RC_OK);
	assert_int_equal(header_next(in, &pos, &f, &broken), RC_NOTFOUND);
	assert_true(broken);
	assert_int_equal(pos, 6);
}

static void a_mailbox_separator_before_the_header_is_passed_over(void **state)
{
	struct header_field f;
	assert_int_equal(header_find(STR("From me@x  Mon Jan  1 00:00:00 2001\nSubject: s\n\n"), STR("subject"), &f), RC_OK);
	SAME(f.value, STR(" s"));
	assert_int_equal(header_find(STR("From: a\n\nSubject: body\n"), STR("Subject"), &f), RC_NOTFOUND);
}

static void unfolding_removes_line_ends_only(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 100 };
	header_unfold(STR(" a\r\n\tb\n c"), &b);
	SAME(buf_str(&b), STR(" a\tb c"));
}

static void dates_of_real_mail_are_read(void **state)
{
	static const struct { const char *in; int64_t s; int zone; } cases[] = {
		{ "Fri, 21 Nov 1997 09:55:06 -0600", 880127706, -360 },              /* RFC 5322 appendix A.1.1 */
		{ "Tue, 1 Jul 2003 10:52:37 +0200", 1057049557, 120 },               /* A.1.3 */
		{ "Thu, 13 Feb 1969 23:32:54 -0330", -27723426, -210 },              /* A.1.2 */
		{ "Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)", -27723480, -210 }, /* A.5 */
		{ "21 Nov 97 09:55:06 GMT", 880106106, 0 },                          /* A.6.2 */
		{ "Mon, 7 Feb 1994 21:52:25 -0800 (PST)", 760686745, -480 },
		{ "Mon Feb  7 21:52:25 1994", 760657945, 0 },
		{ "1994-02-07T21:52:25Z", 760657945, 0 },
		{ "Mon, 07-Feb-94 21:52:25 EST", 760675945, -300 },
		{ "7 Feb 1994 9:52 PM +0000", 760657920, 0 },
		{ "Mon, 7 Feb 1994 21.52.25 GMT+0100", 760654345, 60 },
		{ "29 Feb 2000 00:00:00 A", 951782400, 0 },
		{ "31 Dec 1999 23:59:60 +0000", 946684800, 0 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int64_t ms = 0;
		int zone = 9999;
		if (mail_date_parse(str_z(cases[i].in), &ms, &zone) != RC_OK || ms != cases[i].s * 1000 || zone != cases[i].zone)
			fail_msg("%s: %lld %d", cases[i].in, (long long)ms, zone);
	}
}

static void what_is_no_date_is_refused(void **state)
{
	static const char *const bad[] = { "", "yesterday", "Mon, 32 Feb 1994 00:00:00 +0000", "29 Feb 1999 00:00 +0000", "1 Foo 1999 00:00:00",
		"1 Jan 1999 25:00:00 +0000", "(((((((", "99999999999999999999" };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		int64_t ms;
		if (mail_date_parse(str_z(bad[i]), &ms, NULL) != RC_SYNTAX)
			fail_msg("taken: %s", bad[i]);
	}
}

static void formatted_dates_read_back(void **state)
{
	static const int64_t times[] = { 0, -1000, 1795469772000, 951782399000, 4102444800000, -27723426000 };
	static const int zones[] = { 0, 120, -330, 825, -720 };
	for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
		for (size_t k = 0; k < sizeof zones / sizeof zones[0]; k++) {
			AUTO(buf_done) struct buf b = { .max = 100 }, c = { .max = 100 };
			int64_t ms = 0, imap = 0;
			int zone = 0;
			mail_date_format(times[i], zones[k], &b);
			imap_date_format(times[i], zones[k], &c);
			assert_int_equal(mail_date_parse(buf_str(&b), &ms, &zone), RC_OK);
			assert_int_equal(imap_date_parse(buf_str(&c), &imap), RC_OK);
			assert_true(ms == times[i] && imap == times[i] && zone == zones[k]);
		}
	AUTO(buf_done) struct buf b = { .max = 100 };
	mail_date_format(1795469772000, 0, &b);
	imap_date_format(1795469772000, 60, &b);
	SAME(buf_str(&b), STR("Mon, 23 Nov 2026 21:36:12 +000023-Nov-2026 22:36:12 +0100"));
}

static void imap_dates_are_strict(void **state)
{
	static const char *const bad[] = { "1-Feb-1994", "01-Feb-1994 00:00:00", "01-Feb-1994 00:00:00 0000", "01-Feb-94 00:00:00 +0000",
		"01-Foo-1994 00:00:00 +0000", "01-Feb-1994 00:00:00 +00000", "31-Feb-1994 00:00:00 +0000", "01-Feb-1994 0:00:00 +0000" };
	int64_t ms;
	int32_t day;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (imap_date_parse(str_z(bad[i]), &ms) != RC_SYNTAX)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(imap_date_parse(STR(" 7-Feb-1994 21:52:25 -0800"), &ms), RC_OK);
	assert_true(ms == 760686745000);
	assert_int_equal(imap_day_parse(STR("1-Feb-1994"), &day), RC_OK);
	assert_int_equal(day, 8797);
	assert_int_equal(imap_day_parse(STR("31-Dec-1969"), &day), RC_OK);
	assert_int_equal(day, -1);
	assert_int_equal(imap_day_parse(STR("1-Feb-1994x"), &day), RC_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_raw_runs_with_exact_offsets), cmocka_unit_test(a_line_that_is_no_field_ends_the_header),
		cmocka_unit_test(a_mailbox_separator_before_the_header_is_passed_over), cmocka_unit_test(unfolding_removes_line_ends_only),
		cmocka_unit_test(dates_of_real_mail_are_read), cmocka_unit_test(what_is_no_date_is_refused), cmocka_unit_test(formatted_dates_read_back),
		cmocka_unit_test(imap_dates_are_strict),
	};
	return cmocka_run_group_tests_name("mail headers and dates", tests, NULL, NULL);
}
