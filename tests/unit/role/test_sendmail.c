#include "unit/crypto/hex.h"

#include "role/sendmail_text.h"

static void assert_message(struct str in, bool dot_ends, const char *want)
{
	struct buf out AUTO(buf_done);
	buf_init(&out, 4096);
	sendmail_message(in, dot_ends, &out);
	buf_byte(&out, 0);
	assert_string_equal(out.p, want);
}

static void every_line_end_becomes_cr_lf(void **state)
{
	assert_message(STR("A: b\nC: d\r\nE: f\rG: h"), false, "A: b\r\nC: d\r\nE: f\r\nG: h\r\n");
	assert_message(STR(""), false, "\r\n");
}

static void a_text_without_a_header_gets_an_empty_one(void **state)
{
	assert_message(STR("just words\n"), false, "\r\njust words\r\n");
	assert_message(STR("\nA: b\n"), false, "\r\nA: b\r\n");
	assert_message(STR("From root Mon Nov 30\nSubject: x\n\ny\n"), false, "Subject: x\r\n\r\ny\r\n");
}

static void a_dot_alone_ends_it_only_where_it_may(void **state)
{
	assert_message(STR("A: b\n\nx\n.\ny\n"), true, "A: b\r\n\r\nx\r\n");
	assert_message(STR("A: b\n\nx\n.\ny\n"), false, "A: b\r\n\r\nx\r\n.\r\ny\r\n");
	assert_message(STR("A: b\n\n..\n"), true, "A: b\r\n\r\n..\r\n");
}

static void recipients_are_those_of_the_header_and_of_a_resent_one_alone(void **state)
{
	static const struct { struct str in; const char *want; } cases[] = {
		{ STR_INIT("To: Ann <a@b>, bob\r\nCC: \"x, y\" <c@d>\r\nBcc: e@f\r\nFrom: g@h\r\n\r\nTo: i@j\r\n"), "a@b bob c@d e@f " },
		{ STR_INIT("To: a@b\r\nResent-To: c@d\r\nResent-Bcc: e@f\r\n\r\n"), "c@d e@f " },
		{ STR_INIT("To: friends: a@b, c@d;\r\n\r\n"), "a@b c@d " },
		{ STR_INIT("Subject: x\r\n\r\n"), "" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct arena a;
		struct str *list = NULL;
		size_t n = 0;
		struct why why = { 0 };
		char got[200] = "";
		arena_init(&a, 1 << 20);
		assert_int_equal(sendmail_recipients(cases[i].in, &a, &list, &n, &why), RC_OK);
		for (size_t k = 0, at = 0; k < n; k++)
			at += (size_t)snprintf(got + at, sizeof got - at, "%.*s ", PSTR(list[k]));
		assert_string_equal(got, cases[i].want);
		arena_done(&a);
	}
}

static void an_argument_is_an_address_or_a_list_of_them(void **state)
{
	static const struct { struct str in; const char *want; } cases[] = {
		{ STR_INIT("a@b"), "a@b " }, { STR_INIT("root"), "root " }, { STR_INIT("j\xc3\xb6@b"), "j\xc3\xb6@b " }, { STR_INIT("a..b@c"), "a..b@c " }, { STR_INIT("-x@b"), "-x@b " },
		{ STR_INIT("<a@b>"), "a@b " }, { STR_INIT("Bob B <a@b>"), "a@b " }, { STR_INIT("a@b,c@d , root"), "a@b c@d root " }, { STR_INIT("\"x, y\" <a@b>, g: c@d;"), "a@b c@d " },
		{ STR_INIT("a@b (home, not work)"), "a@b " }, { STR_INIT("\"a b\"@c"), "\"a b\"@c " }, { STR_INIT("a@b c@d"), NULL }, { STR_INIT("a@b\r\nDATA <x"), NULL }, { STR_INIT("a@[IPv6:::1]"), "a@[IPv6:::1] " },
		{ STR_INIT(""), " " }, { STR_INIT("a@b,,c@d,"), "a@b c@d " },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct arena a AUTO(arena_done);
		struct str *list = NULL;
		size_t n = 0;
		struct why why = { 0 };
		char got[200] = "";
		arena_init(&a, 1 << 20);
		assert_int_equal(sendmail_argument(cases[i].in, &a, &list, &n, &why), cases[i].want ? RC_OK : RC_SYNTAX);
		for (size_t k = 0, at = 0; k < n; k++)
			at += (size_t)snprintf(got + at, sizeof got - at, "%.*s ", PSTR(list[k]));
		assert_string_equal(got, cases[i].want ? cases[i].want : "");
	}
}

static void names_without_a_domain_get_ours_in_address_fields(void **state)
{
	static const struct { struct str in; const char *want; } cases[] = {
		{ STR_INIT("From: root (Cron Daemon)\r\nTo: root\r\n\r\nFrom: joe\r\n"), "From: root@d.e (Cron Daemon)\r\nTo: root@d.e\r\n\r\nFrom: joe\r\n" },
		{ STR_INIT("From: \"root (Cron, Daemon)\" <root>\r\n\r\n"), "From: \"root (Cron, Daemon)\" <root@d.e>\r\n\r\n" },
		{ STR_INIT("To: a, b@c,\r\n Bob < bob >, (x, \\) y) z\r\n\r\n"), "To: a@d.e, b@c,\r\n Bob < bob@d.e >, (x, \\) y) z@d.e\r\n\r\n" },
		{ STR_INIT("Cc: team: ann, bob@c;\r\nResent-To: r\r\nTo: nobody:;\r\n\r\n"), "Cc: team: ann@d.e, bob@c;\r\nResent-To: r@d.e\r\nTo: nobody:;\r\n\r\n" },
		{ STR_INIT("Subject: root\r\nFrom: two words\r\nReply-To: <>\r\nSender: \"q\"\r\nTo:\r\n\r\n"), "Subject: root\r\nFrom: two words\r\nReply-To: <>\r\nSender: \"q\"\r\nTo:\r\n\r\n" },
		{ STR_INIT("From: \"open <root>\r\n"), "From: \"open <root>\r\n" }, { STR_INIT("From: (open root\r\n"), "From: (open root\r\n" }, { STR_INIT("From: <root"), "From: <root@d.e" },
		{ STR_INIT("\r\nFrom: root\r\n"), "\r\nFrom: root\r\n" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		for (int with = 0; with < 2; with++) {
			struct buf out AUTO(buf_done);
			struct arena a AUTO(arena_done);
			arena_init(&a, 1 << 16);
			buf_init(&out, 4096);
			assert_int_equal(sendmail_qualify(cases[i].in, with ? STR("d.e") : STR(""), &a, &out), RC_OK);
			assert_true(str_eq(buf_str(&out), with ? str_z(cases[i].want) : cases[i].in));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_end_becomes_cr_lf),
		cmocka_unit_test(names_without_a_domain_get_ours_in_address_fields),
		cmocka_unit_test(a_text_without_a_header_gets_an_empty_one),
		cmocka_unit_test(a_dot_alone_ends_it_only_where_it_may),
		cmocka_unit_test(recipients_are_those_of_the_header_and_of_a_resent_one_alone),
		cmocka_unit_test(an_argument_is_an_address_or_a_list_of_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
