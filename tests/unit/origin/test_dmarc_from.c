/* Who wrote it? Every case is a way to show one author and be evaluated as another. */
#include "origin/dmarc_internal.h"

#include "../mail/mail_test.h"

#define R(rc_, text) { STR_INIT(text), rc_ }
#define D(domain_, text) { STR_INIT(text), RC_OK, STR_INIT(domain_) }
struct from_case { struct str header; enum rc rc; struct str domain; };

static void each(const struct from_case *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 20 };
		struct str domain = STR("");
		struct why why = { 0 };
		enum rc rc = dmarc_from(c[i].header, &a, &domain, &why);
		if (rc != c[i].rc || !str_eq(domain, c[i].domain.p ? c[i].domain : STR("")))
			fail_msg("case %zu: %s %.*s (%s), should be %s %.*s: %.*s", i, rc_name(rc), PSTR(domain), why.text, rc_name(c[i].rc),
			         PSTR(c[i].domain.p ? c[i].domain : STR("")), PSTR(c[i].header));
		assert_true(rc == RC_OK || why.text[0]);
	}
}
#define EACH(cases) each(cases, sizeof cases / sizeof cases[0])

static void a_plain_from_gives_its_domain(void **state)
{
	static const struct from_case cases[] = {
		D("b.example", "From: a@b.example\r\n"),
		D("b.example", "Subject: x\r\nFROM: a@B.Example\r\nTo: c@d.example\r\n\r\nFrom: x@y.example\r\n"),
		D("b.example", "from : Jane Doe <a@b.example>\r\n\r\n"),
		D("b.example", "From: \"Doe, Jane\" <a@b.example>\r\n"),
		D("b.example", "From: a@b.example (Jane Doe)\r\n"),
		D("b.example", "From: (hello) a@b.example\r\n"),
		D("b.example", "From: Jane (work) Doe <a@b.example> (x)\r\n"),
		D("b.example", "From:\r\n Jane\r\n\t<a@b.example>\r\n"),
		D("b.example", "From:\n Jane\n <a@b.example>\n\n"),
		D("b.example", "From: <a@b.example>"),
		D("b.example", "From: \"john smith\"@b.example\r\n"),
		D("b.example", "From: J. Q. Public <a..b.@b.example>\r\n"),
		D("b.example", "From: [EXT] Jane <a@b.example>\r\n"),
		D("b.example", "From: Doe, Jane <a@b.example>\r\n"),
		D("b.example", "From: a@b.example, c@B.EXAMPLE\r\n"),
		D("b.example", "From: a@b.example <a@b.example>\r\n"),
		D("b.example", "From: =?utf-8?Q?J=C3=B6rg?= <a@b.example>\r\n"),
		D("b.example", "From: =?utf-8?Q?J=C3=B6rg_=28a=40b.example=29?= <a@b.example>\r\n"),
		D("b.example", "From: J\xf6rg <a@b.example>\r\n"),
		D("b.example", "From: J\xc3\xb6rg <j\xc3\xb6rg@b.example>\r\n"),
		D("b.example", "From: \"ceo@bank.example\" <a@b.example>\r\n"), /* a name; what it claims is for the detectors */
		D("b.example", "From: \"a@b.example via List\" <a@b.example>\r\n"),
		D("foo_bar.b.example", "From: a@foo_bar.b.example\r\n"),
		D("localhost", "From: root@localhost\r\n"),
		D("b.example", "From a@x.example Mon Nov 23 10:00:00 2026\r\nFrom: a@b.example\r\n"),
		D("b.example", "Sender: x@y.example\r\nResent-From: z@w.example\r\nReply-To: q@r.example\r\nFrom: a@b.example\r\n"),
		D("b.example", "Subject: x\r\n From: the desk of\r\nFrom: a@b.example\r\n"),
		D("b.example", "F rom: x@y.example\r\nFrom: a@b.example\r\n"),
	};
	EACH(cases);
}

static void fields_that_some_reader_takes_for_from_are_counted(void **state)
{
	static const struct { struct str header; size_t n; } cases[] = {
		{ STR_INIT("Subject: x\r\n\r\nFrom: a@b.example\r\n"), 0 }, { STR_INIT("From: a@b.example\r\nfrom : c@d.example\r\n"), 2 },
		{ STR_INIT("From\v: a@b.example\r\n"), 1 }, { STR_INIT("Fr\x1com\f:\r\n a@b.example\r\n"), 1 },
		{ STR_INIT("\xef\xbb\xbf" "From: a@b.example\r\n"), 1 }, { STR_INIT(" From: a@b.example\r\n"), 1 },
		{ STR_INIT("X: y\r\n From: a@b.example\r\n"), 0 }, { STR_INIT("X: y\x1c" "From: a@b.example\r\nFrom: c@d.example\r\n"), 2 },
		{ STR_INIT("F rom: x@y.example\r\nResent-From: a@b.example\r\n"), 0 }, { STR_INIT(""), 0 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		if (dmarc_from_fields(cases[i].header) != cases[i].n)
			fail_msg("%.*s: %zu", PSTR(cases[i].header), dmarc_from_fields(cases[i].header));
}

static void a_line_of_controls_costs_no_more_than_another(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 8 << 20 };
	assert_true(buf_room(&b, 4 << 20));
	memset(b.p, '\v', 4 << 20); /* squared, this would take hours */
	b.len = 4 << 20;
	buf_add(&b, STR("From: a@b.example\r\n"));
	assert_int_equal(dmarc_from_fields(buf_str(&b)), 2); /* as one line, and as its last */
}

static void a_domain_has_one_spelling(void **state)
{
	static const struct from_case cases[] = {
		D("xn--bcher-kva.example", "From: a@b\xc3\xbc" "cher.example\r\n"),
		D("xn--bcher-kva.example", "From: a@B\xc3\x9c" "CHER.example\r\n"),
		D("xn--bcher-kva.example", "From: a@xn--bcher-kva.example\r\n"),
		D("bank.example", "From: a@bank.example.\r\n"),
		D("bank.example", "From: a@\xef\xbd\x82\xef\xbd\x81nk.example\r\n"),          /* full-width letters */
		D("bank.example", "From: a@bank\xe3\x80\x82" "example\r\n"),                   /* ideographic full stop */
		D("bank.example", "From: a@ba\xc2\xadnk.example\r\n"),                         /* soft hyphen */
		R(RC_SYNTAX, "From: a@bank.example..\r\n"),
		R(RC_SYNTAX, "From: a@bank..example\r\n"),
		R(RC_SYNTAX, "From: a@.bank.example\r\n"),
		R(RC_SYNTAX, "From: a@b\xfc" "cher.example\r\n"),
		R(RC_SYNTAX, "From: a@bank!.example\r\n"),
		R(RC_SYNTAX, "From: a@bank/evil.example\r\n"),
		R(RC_SYNTAX, "From: a@aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff1234.example\r\n"),
		R(RC_NOTFOUND, "From: a@[192.0.2.1]\r\n"),
		R(RC_NOTFOUND, "From: Jane <a@[IPv6:2001:db8::1]>\r\n"),
	};
	EACH(cases);
}

static void no_from_or_none_with_an_address_is_said(void **state)
{
	static const struct from_case cases[] = {
		R(RC_NOTFOUND, ""),
		R(RC_NOTFOUND, "\r\nFrom: a@b.example\r\n"),
		R(RC_NOTFOUND, "Subject: x\r\n\r\nFrom: a@b.example\r\n"),
		R(RC_NOTFOUND, "Sender: a@b.example\r\n"),
		R(RC_NOTFOUND, "From:\r\n"),
		R(RC_NOTFOUND, "From:  \r\n \r\n"),
		R(RC_NOTFOUND, "From: root\r\n"),
		R(RC_NOTFOUND, "From: \"Jane Doe\"\r\n"),
		R(RC_SYNTAX, "From: ()\r\n"),
		R(RC_SYNTAX, "From: <>\r\n"),
		R(RC_SYNTAX, "From: Jane <>\r\n"),
		R(RC_SYNTAX, "From: <root>\r\n"),
		R(RC_SYNTAX, "From: @b.example\r\n"),
		R(RC_SYNTAX, "From: a@\r\n"),
	};
	EACH(cases);
}

static void several_from_fields_are_refused(void **state)
{
	static const struct from_case cases[] = {
		R(RC_CONFLICT, "From: a@evil.example\r\nFrom: ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\nFrom: a@evil.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\nfrom : ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\nno field at all\r\nFrom: ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\nSubject: x\rFrom: ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\nSubject: x\nFrom: ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\nSubject: x\x0b" "From: ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\nSubject: x\x0c" "From: ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\nSubject: x\r\r\nFrom: ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\nFrom\t: ceo@bank.example\r\n"),
		R(RC_CONFLICT, " From: ceo@bank.example\r\nFrom: a@evil.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\nFrom\r\n : ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\nFrom\xc2\xa0: ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\nFr\xe2\x80\x8bom: ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\nFrom\0: ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: a@evil.example\r\n\0From: ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From:\r\nFrom: a@evil.example\r\n"),
	};
	EACH(cases);
}

static void a_from_that_only_some_programs_see_is_refused(void **state)
{
	static const struct from_case cases[] = {
		R(RC_SYNTAX, " From: a@evil.example\r\n"),
		R(RC_SYNTAX, "\tFrom: a@evil.example\r\nSubject: x\r\n"),
		R(RC_SYNTAX, "From\r\n : a@evil.example\r\n"),
		R(RC_SYNTAX, "Fr\0om: a@evil.example\r\n"),
		R(RC_SYNTAX, "From\x01: a@evil.example\r\n"),
		R(RC_SYNTAX, "From\v: a@evil.example\r\n"),
		R(RC_SYNTAX, "Subject: x\r\nFrom \x1c:\r\n a@evil.example\r\n"),
	};
	EACH(cases);
}

static void several_domains_are_refused(void **state)
{
	static const struct from_case cases[] = {
		R(RC_CONFLICT, "From: a@evil.example, ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: <ceo@bank.example>, Evil <a@evil.example>\r\n"),
		R(RC_CONFLICT, "From: a@evil.example,\r\n\t\t\t\t ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: a@sub.bank.example, ceo@bank.example\r\n"),
		R(RC_CONFLICT, "From: ceo@bank.example <a@evil.example>\r\n"),
		R(RC_CONFLICT, "From: ceo@bank.example <ceo@bank.example>, x <a@evil.example>\r\n"),
		R(RC_CONFLICT, "From: Jane ceo@bank.example <a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: x@=?utf-8?Q?y?= <a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: ceo@bank <a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: <a@evil.example>, \"Bank <ceo@bank.example>\" Bank\r\n"),
		R(RC_CONFLICT, "From: \"Jane\" ceo@bank.example (x) <a@evil.example>\r\n"),
	};
	EACH(cases);
}

static void brackets_have_one_address_and_nothing_follows(void **state)
{
	static const struct from_case cases[] = {
		R(RC_SYNTAX, "From: <a@evil.example> <ceo@bank.example>\r\n"),
		R(RC_SYNTAX, "From: <a@evil.example>ceo@bank.example\r\n"),
		R(RC_SYNTAX, "From: <<ceo@bank.example>a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: <a@evil.example\r\n"),
		R(RC_SYNTAX, "From: a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: ceo@bank.example>,<a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: <ceo@bank.example@evil.example>\r\n"),
		R(RC_SYNTAX, "From: ceo@bank.example@evil.example\r\n"),
		R(RC_SYNTAX, "From: <@bank.example:a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: <@bank.example,@x.example:a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: <a@evil.example,ceo@bank.example>\r\n"),
		R(RC_SYNTAX, "From: <a@evil.example ceo@bank.example>\r\n"),
		R(RC_SYNTAX, "From: a@evil.example ceo@bank.example\r\n"),
		R(RC_SYNTAX, "From: ceo @bank.example\r\n"),
		R(RC_SYNTAX, "From: a@ evil.example\r\n"),
		R(RC_SYNTAX, "From: a@evil .example\r\n"),
		R(RC_SYNTAX, "From: a b@evil.example\r\n"),
		R(RC_SYNTAX, "From: a@evil.example;\r\n"),
		R(RC_SYNTAX, "From: a@evil.example; ceo@bank.example\r\n"),
		R(RC_SYNTAX, "From: , a@evil.example\r\n"),
		R(RC_SYNTAX, "From: a@evil.example,\r\n"),
		R(RC_SYNTAX, "From: ceo@bank.example\\, <a@evil.example>\r\n"),
	};
	EACH(cases);
}

static void groups_are_refused(void **state)
{
	static const struct from_case cases[] = {
		R(RC_SYNTAX, "From: undisclosed:;\r\n"),
		R(RC_SYNTAX, "From: Bank:ceo@bank.example;\r\n"),
		R(RC_SYNTAX, "From: ceo@bank.example:a@evil.example;\r\n"),
		R(RC_SYNTAX, "From: x: ceo@bank.example;, a@evil.example\r\n"),
		R(RC_SYNTAX, "From: a@evil.example, x: ceo@bank.example;\r\n"),
	};
	EACH(cases);
}

static void comments_hide_nothing(void **state)
{
	static const struct from_case cases[] = {
		R(RC_SYNTAX, "From: a@evil(.bank).example\r\n"),
		R(RC_SYNTAX, "From: ceo(@bank.example)@evil.example\r\n"),
		R(RC_SYNTAX, "From: ceo@(bank.example)evil.example\r\n"),
		R(RC_SYNTAX, "From: <ceo(@bank.example)@evil.example>\r\n"),
		R(RC_SYNTAX, "From: <a@evil.example(@bank.example)>\r\n"),
		R(RC_CONFLICT, "From: a@evil.example (ceo@bank.example)\r\n"),
		R(RC_CONFLICT, "From: (ceo@bank.example) a@evil.example\r\n"),
		R(RC_CONFLICT, "From: (<ceo@bank.example>) a@evil.example\r\n"),
		R(RC_CONFLICT, "From: Jane (ceo@bank.example) <a@evil.example>\r\n"),
		R(RC_CONFLICT, "From: <a@evil.example> (ceo@bank.example)\r\n"),
		R(RC_SYNTAX, "From: a@evil.example (x\\) ceo@bank.example\r\n"),
		R(RC_SYNTAX, "From: a@evil.example (\r\n"),
		R(RC_SYNTAX, "From: a@evil.example )\r\n"),
		R(RC_SYNTAX, "From: (((((((((a))))))))) a@evil.example\r\n"),
	};
	EACH(cases);
}

static void quotes_hide_nothing(void **state)
{
	static const struct from_case cases[] = {
		R(RC_CONFLICT, "From: \"Bank <ceo@bank.example>\" <a@evil.example>\r\n"),
		R(RC_CONFLICT, "From: \"x\\\" <ceo@bank.example>, \\\"\" <a@evil.example>\r\n"),
		R(RC_CONFLICT, "From: \"\\ceo@bank.example\" <a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: \"ceo@bank.example\"@evil.example\r\n"),
		R(RC_SYNTAX, "From: \"ceo@bank.example> x\"@evil.example\r\n"),
		R(RC_SYNTAX, "From: <\"ceo@bank.example\"@evil.example>\r\n"),
		R(RC_SYNTAX, "From: \"ceo\\@bank.example\"@evil.example\r\n"),
		R(RC_SYNTAX, "From: \"<ceo@bank.example> <a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: \"\"@evil.example\r\n"),
	};
	EACH(cases);
}

static void encoded_words_hide_nothing(void **state)
{
	static const struct from_case cases[] = {
		R(RC_SYNTAX, "From: =?utf-8?Q?ceo=40bank.example?=\r\n"),
		R(RC_SYNTAX, "From: =?utf-8?B?Y2VvQGJhbmsuZXhhbXBsZQ==?=, <a@evil.example>\r\n"),
		R(RC_CONFLICT, "From: =?utf-8?B?Y2VvQGJhbmsuZXhhbXBsZQ==?= <a@evil.example>\r\n"),
		R(RC_CONFLICT, "From: =?utf-8?Q?Bank_=3Cceo=40bank.example=3E?= <a@evil.example>\r\n"),
		R(RC_CONFLICT, "From: \"=?utf-8?Q?Bank_=3Cceo=40bank.example=3E?=\" <a@evil.example>\r\n"),
		R(RC_CONFLICT, "From: =?utf-8?Q?ceo=40bank.example=2C_x?= <a@evil.example>\r\n"),
		R(RC_CONFLICT, "From: =?utf-8?Q?x_=22?= =?utf-8?Q?_=3Cceo=40bank.example=3E?= <a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: =?utf-8?Q?ceo=40bank.example=00?=@evil.example\r\n"),
		R(RC_SYNTAX, "From: <=?utf-8?Q?ceo=40bank.example=00?=@evil.example>\r\n"),
		R(RC_SYNTAX, "From: a@=?utf-8?Q?bank.example?=\r\n"),
		R(RC_SYNTAX, "From: a@=?utf-8?Q?bank?=.evil.example\r\n"),
		R(RC_SYNTAX, "From: =?utf-8?Q?Bank=00?= <a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: =?utf-8?Q?Bank=0D=0AFrom=3A_ceo=40bank.example?= <a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: =?utf-8?Q?Bank_=E2=80=AE?= <a@evil.example>\r\n"),
	};
	EACH(cases);
}

static void control_octets_and_lookalikes_are_refused(void **state)
{
	static const struct from_case cases[] = {
		R(RC_SYNTAX, "From: ceo@bank.example\0 <a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: ceo@bank.example\0@evil.example\r\n"),
		R(RC_SYNTAX, "From: <ceo@bank.example\0.evil.example>\r\n"),
		R(RC_SYNTAX, "From: a@evil.example\r (x)\r\n"),
		R(RC_SYNTAX, "From: a@evil.example\rx\r\n"),
		R(RC_SYNTAX, "From: a@evil.example\x0bx\r\n"),
		R(RC_SYNTAX, "From: a@evil\x08.example\r\n"),
		R(RC_SYNTAX, "From: a@evil.example\x7f\r\n"),
		R(RC_SYNTAX, "From: ceo\xef\xbc\xa0" "bank.example@evil.example\r\n"),   /* full-width commercial at */
		R(RC_SYNTAX, "From: ceo\xe2\x80\xae@evil.example\r\n"),                   /* right-to-left override */
		R(RC_SYNTAX, "From: Bank \xe2\x80\xae <a@evil.example>\r\n"),
		R(RC_SYNTAX, "From: ceo\xe2\x80\x8b@evil.example\r\n"),                   /* zero-width space */
		R(RC_SYNTAX, "From: ceo\xc2\xa0@evil.example\r\n"),
		R(RC_SYNTAX, "From: c\xe9o@evil.example\r\n"),
	};
	EACH(cases);
}

static void what_is_refused_still_tells_the_domains_that_stand_there(void **state)
{
	static const struct { struct str header, want[2]; } cases[] = {
		{ STR_INIT("From: a@evil.example, ceo@bank.example\r\n"), { STR_INIT("evil.example"), STR_INIT("bank.example") } },
		{ STR_INIT("From: a@evil.example\r\nFrom: ceo@bank.example\r\n"), { STR_INIT("evil.example"), STR_INIT("bank.example") } },
		{ STR_INIT("From: a@evil.example (ceo@bank.example)\r\n"), { STR_INIT("evil.example"), STR_INIT("bank.example") } },
		{ STR_INIT("From: =?utf-8?Q?ceo=40bank.example?=\r\n"), { STR_INIT("bank.example"), STR_INIT("") } },
		{ STR_INIT("From: <ceo@bank.example@evil.example>\r\n"), { STR_INIT("bank.example"), STR_INIT("evil.example") } },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 20 };
		struct from_found found;
		struct str domain;
		assert_int_not_equal(dmarc_from_all(cases[i].header, &a, &found, &domain, NULL), RC_OK);
		for (size_t k = 0; k < 2; k++)
			if (cases[i].want[k].n) {
				assert_true(k < found.domains);
				SAME(found.domain[k], cases[i].want[k]);
			}
	}
}

static void long_values_and_many_addresses_are_refused(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 8 << 20 };
	AUTO(buf_done) struct buf b = { .max = 1 << 20 };
	struct str domain;
	buf_add(&b, STR("From: "));
	for (int i = 0; i < 300; i++)
		buf_addf(&b, "a%d@b.example, ", i);
	buf_add(&b, STR("z@b.example\r\n"));
	assert_int_equal(dmarc_from(buf_str(&b), &a, &domain, NULL), RC_SYNTAX);
	buf_clear(&b);
	buf_add(&b, STR("From: "));
	for (int i = 0; i < 20000; i++)
		buf_byte(&b, 'x');
	buf_add(&b, STR(" <z@b.example>\r\n"));
	assert_int_equal(dmarc_from(buf_str(&b), &a, &domain, NULL), RC_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_from_gives_its_domain),
		cmocka_unit_test(fields_that_some_reader_takes_for_from_are_counted),
		cmocka_unit_test(a_line_of_controls_costs_no_more_than_another),
		cmocka_unit_test(a_domain_has_one_spelling),
		cmocka_unit_test(no_from_or_none_with_an_address_is_said),
		cmocka_unit_test(several_from_fields_are_refused),
		cmocka_unit_test(a_from_that_only_some_programs_see_is_refused),
		cmocka_unit_test(several_domains_are_refused),
		cmocka_unit_test(brackets_have_one_address_and_nothing_follows),
		cmocka_unit_test(groups_are_refused),
		cmocka_unit_test(comments_hide_nothing),
		cmocka_unit_test(quotes_hide_nothing),
		cmocka_unit_test(encoded_words_hide_nothing),
		cmocka_unit_test(control_octets_and_lookalikes_are_refused),
		cmocka_unit_test(what_is_refused_still_tells_the_domains_that_stand_there),
		cmocka_unit_test(long_values_and_many_addresses_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
