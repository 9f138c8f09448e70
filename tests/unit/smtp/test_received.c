#include "smtp_test.h"

#include "smtp/received.h"

static const struct smtp_received usual = {
	.helo = STR_INIT("client.example"), .peer_ip = STR_INIT("192.0.2.1"), .by = STR_INIT("mail.example.org"), .id = STR_INIT("7F3K9Q2D"),
	.only_rcpt = STR_INIT("joe@example.org"), .tls_version = STR_INIT("TLSv1.3"), .tls_cipher = STR_INIT("TLS_AES_256_GCM_SHA384"), .esmtp = true,
	.wall_ms = 1000000000000,
};

static void expect_field(const struct smtp_received *r, const char *want)
{
	struct buf out;
	buf_init(&out, 4096);
	smtp_received_format(r, &out);
	assert_str(buf_str(&out), str_z(want));
	buf_done(&out);
}

static void a_usual_field_reads_as_rfc_5321_says(void **state)
{
	(void)state;
	expect_field(&usual, "Received: from client.example ([192.0.2.1])\r\n"
	                     "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n"
	                     "\tby mail.example.org with ESMTPS id 7F3K9Q2D\r\n"
	                     "\tfor <joe@example.org>;\r\n"
	                     "\tSun, 9 Sep 2001 01:46:40 +0000\r\n");
}

static void ipv6_lmtp_and_several_recipients_have_their_forms(void **state)
{
	(void)state;
	struct smtp_received r = usual;
	r.peer_ip = STR("2001:db8::1");
	r.only_rcpt = r.tls_version = STR("");
	expect_field(&r, "Received: from client.example ([IPv6:2001:db8::1])\r\n\tby mail.example.org with ESMTP id 7F3K9Q2D;\r\n\tSun, 9 Sep 2001 01:46:40 +0000\r\n");
	r.peer_ip = r.helo = STR("");
	r.lmtp = true;
	expect_field(&r, "Received: from unknown (local)\r\n\tby mail.example.org with LMTP id 7F3K9Q2D;\r\n\tSun, 9 Sep 2001 01:46:40 +0000\r\n");
}

static void a_hostile_name_cannot_leave_its_place(void **state)
{
	(void)state;
	struct smtp_received r = usual;
	r.helo = STR("x) by evil\r\nBcc: (\"<;\\\x80\0.org");
	r.only_rcpt = STR("a>; b\r\n\tc@d");
	expect_field(&r, "Received: from x??by?evil??Bcc:????????.org ([192.0.2.1])\r\n"
	                 "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n"
	                 "\tby mail.example.org with ESMTPS id 7F3K9Q2D\r\n"
	                 "\tfor <a???b???c@d>;\r\n"
	                 "\tSun, 9 Sep 2001 01:46:40 +0000\r\n");
}

static void every_line_is_bounded(void **state)
{
	(void)state;
	char name[5000];
	memset(name, 'x', sizeof name);
	struct str s = str_of(name, sizeof name);
	struct smtp_received r = { .helo = s, .peer_ip = s, .by = s, .id = s, .only_rcpt = str_head(s, 320), .tls_version = s, .tls_cipher = s, .wall_ms = INT64_MAX };
	struct buf out;
	buf_init(&out, 2048);
	smtp_received_format(&r, &out);
	assert_false(out.failed);
	for (struct str line, rest = buf_str(&out); rest.n;) {
		str_cut(rest, '\n', &line, &rest);
		assert_true(line.n < 998);
	}
	buf_done(&out);
}

static void the_with_keyword_is_the_registered_one(void **state)
{
	(void)state;
	static const struct { bool lmtp, esmtp, tls, auth, utf8; const char *word; } cases[] = {
		{ false, false, false, false, false, "SMTP" },    { false, true, false, false, false, "ESMTP" },
		{ false, true, true, false, false, "ESMTPS" },    { false, true, false, true, false, "ESMTPA" },
		{ false, true, true, true, false, "ESMTPSA" },    { false, true, false, false, true, "UTF8SMTP" },
		{ false, true, true, true, true, "UTF8SMTPSA" },  { true, true, false, false, false, "LMTP" },
		{ true, true, true, false, false, "LMTPS" },      { true, true, true, false, true, "UTF8LMTPS" },
		{ false, false, true, false, false, "ESMTPS" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct smtp_received r = { .lmtp = cases[i].lmtp, .esmtp = cases[i].esmtp, .auth = cases[i].auth, .utf8 = cases[i].utf8 };
		r.tls_version = cases[i].tls ? STR("TLSv1.3") : STR("");
		assert_string_equal(smtp_with_keyword(&r), cases[i].word);
	}
}

int run_received_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_usual_field_reads_as_rfc_5321_says),
		cmocka_unit_test(ipv6_lmtp_and_several_recipients_have_their_forms),
		cmocka_unit_test(a_hostile_name_cannot_leave_its_place),
		cmocka_unit_test(every_line_is_bounded),
		cmocka_unit_test(the_with_keyword_is_the_registered_one),
	};
	return cmocka_run_group_tests_name("smtp received", tests, NULL, NULL);
}
