#include "mail/address.h"

#include "base/mem.h"
#include "mail_test.h"

static void a_path_gives_local_part_and_domain(void **state)
{
	static const struct { struct str in, local, domain, rest; bool utf8; } cases[] = {
		{ STR_INIT("<a@b.example>"), STR_INIT("a"), STR_INIT("b.example"), STR_INIT("") },
		{ STR_INIT("<A.b@B.Example> SIZE=1"), STR_INIT("A.b"), STR_INIT("b.example"), STR_INIT(" SIZE=1") },
		{ STR_INIT("<@x.org,@y.org:a@b>"), STR_INIT("a"), STR_INIT("b"), STR_INIT("") },
		{ STR_INIT("<\"a b\\\"c\"@b>"), STR_INIT("a b\"c"), STR_INIT("b"), STR_INIT("") },
		{ STR_INIT("<a@[192.0.2.1]>"), STR_INIT("a"), STR_INIT("[192.0.2.1]"), STR_INIT("") },
		{ STR_INIT("<a@[IPv6:2001:db8::1]>"), STR_INIT("a"), STR_INIT("[IPv6:2001:db8::1]"), STR_INIT("") },
		{ STR_INIT("<Postmaster>"), STR_INIT("Postmaster"), STR_INIT(""), STR_INIT("") },
		{ STR_INIT("<j\xc3\xb6rg@b>"), STR_INIT("j\xc3\xb6rg"), STR_INIT("b"), STR_INIT(""), true },
		{ STR_INIT("<a@B\xc3\xbc" "cher.example>"), STR_INIT("a"), STR_INIT("xn--bcher-kva.example"), STR_INIT(""), true },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(arena_done) struct arena a = { .max = 10000 };
		struct mail_address m;
		struct str rest;
		assert_int_equal(mail_path_parse(cases[i].in, false, cases[i].utf8, &a, &m, &rest, NULL), RC_OK);
		SAME(m.local, cases[i].local);
		SAME(m.domain, cases[i].domain);
		SAME(rest, cases[i].rest);
	}
}

static void the_empty_path_is_taken_only_where_it_may_be(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 10000 };
	struct mail_address m;
	struct str rest;
	assert_int_equal(mail_path_parse(STR("<>"), true, false, &a, &m, &rest, NULL), RC_OK);
	assert_int_equal(m.local.n + m.domain.n, 0);
	assert_int_equal(mail_path_parse(STR("<>"), false, false, &a, &m, &rest, NULL), RC_SYNTAX);
	assert_int_equal(mail_path_parse(STR("<postmaster>"), true, false, &a, &m, &rest, NULL), RC_SYNTAX);
}

static void a_bad_path_is_refused(void **state)
{
	static const char *const bad[] = { "", "a@b", "<a@b", "<a b@c>", "<a@>", "<@b>", "<a@b..c>", "<.a@b>", "<a.@b>", "<a@-b>", "<a@b_c>",
		"<\"a@b>", "<a@[1.2.3]>", "<a@[1.2.3.4>", "<a@[IPv6:1::2::3]>", "<@x.org a@b>", "<a\r\n@b>", "<j\xc3\xb6rg@b>", "<a@b\xc3\xbc>" };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		AUTO(arena_done) struct arena a = { .max = 10000 };
		struct mail_address m;
		struct str rest;
		struct why why = { 0 };
		if (mail_path_parse(str_z(bad[i]), false, false, &a, &m, &rest, &why) != RC_SYNTAX)
			fail_msg("taken: %s", bad[i]);
		assert_true(why.text[0] != 0);
	}
}

static void lengths_past_the_rfc_are_a_limit(void **state)
{
	char in[400];
	AUTO(arena_done) struct arena a = { .max = 10000 };
	struct mail_address m;
	memset(in, 'a', sizeof in);
	in[65] = '@';
	assert_int_equal(mail_address_parse((struct str){ in, 67 }, false, &a, &m, NULL), RC_LIMIT);
	assert_int_equal(mail_address_parse((struct str){ in + 1, 66 }, false, &a, &m, NULL), RC_OK);
	for (size_t i = 65 + 60; i < sizeof in; i += 60)
		in[i] = '.';
	assert_int_equal(mail_address_parse((struct str){ in + 1, 330 }, false, &a, &m, NULL), RC_LIMIT);
	assert_int_equal(mail_address_parse((struct str){ in + 1, 255 }, false, &a, &m, NULL), RC_LIMIT);
	assert_int_equal(mail_address_parse((struct str){ in + 1, 254 }, false, &a, &m, NULL), RC_OK);
}

static void formatting_quotes_what_needs_it(void **state)
{
	static const struct { struct mail_address a; struct str out; } cases[] = {
		{ { STR_INIT("a.b"), STR_INIT("c") }, STR_INIT("a.b@c") },   { { STR_INIT("a b"), STR_INIT("c") }, STR_INIT("\"a b\"@c") },
		{ { STR_INIT("a\"\\"), STR_INIT("c") }, STR_INIT("\"a\\\"\\\\\"@c") }, { { STR_INIT(""), STR_INIT("c") }, STR_INIT("\"\"@c") },
		{ { STR_INIT(".a"), STR_INIT("c") }, STR_INIT("\".a\"@c") }, { { STR_INIT(""), STR_INIT("") }, STR_INIT("") },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(buf_done) struct buf b = { .max = 100 };
		mail_address_format(&cases[i].a, &b);
		SAME(buf_str(&b), cases[i].out);
	}
}

static void show(const struct mail_mailbox *m, struct buf *out)
{
	for (; m; m = m->next) {
		if (m->kind == MAILBOX_GROUP_END)
			buf_add(out, STR("end;"));
		else if (m->kind == MAILBOX_GROUP_START)
			buf_addf(out, "group %.*s:", PSTR(m->name));
		else
			buf_addf(out, "%.*s|%.*s|%.*s|%.*s;", PSTR(m->name), PSTR(m->route), PSTR(m->local), PSTR(m->domain));
	}
}

static void lists_are_read_with_their_obsolete_forms(void **state)
{
	static const struct { struct str in, out; bool sound; } cases[] = {
		{ STR_INIT("a@b"), STR_INIT("||a|b;"), true },
		{ STR_INIT(" John Q. Public <j@x.org> , \"A, B\" <c@d>"), STR_INIT("John Q. Public||j|x.org;A, B||c|d;"), true },
		{ STR_INIT("j@x.org (John (Q))"), STR_INIT("John (Q)||j|x.org;"), true },
		{ STR_INIT("<@a,@b:c@d>"), STR_INIT("|@a,@b|c|d;"), true },
		{ STR_INIT("undisclosed-recipients:;"), STR_INIT("group undisclosed-recipients:end;"), true },
		{ STR_INIT("A Group:Ed Jones <joe@where.test>,john@one.test;,x@y"),
		  STR_INIT("group A Group:Ed Jones||joe|where.test;||john|one.test;end;||x|y;"), true },
		{ STR_INIT("a . b @ c . d"), STR_INIT("||a.b|c.d;"), true },
		{ STR_INIT("\"x y\"@b"), STR_INIT("||x y|b;"), true },
		{ STR_INIT("=?utf-8?q?J=C3=B6rg?= <j@x>"), STR_INIT("=?utf-8?q?J=C3=B6rg?=||j|x;"), true },
		{ STR_INIT("a@b,,c@d,"), STR_INIT("||a|b;||c|d;"), true },
		{ STR_INIT("Joe\r\n Doe <a@b>"), STR_INIT("Joe Doe||a|b;"), true },
		{ STR_INIT("root"), STR_INIT("||root|;"), false },
		{ STR_INIT("a@b <a@b>"), STR_INIT("a@b||a|b;"), false },
		{ STR_INIT("x [y] <a@b>"), STR_INIT("x [y]||a|b;"), false },
		{ STR_INIT("g: a@b"), STR_INIT("group g:||a|b;end;"), false },
		{ STR_INIT("\"unclosed <a@b>"), STR_INIT("||unclosed <a@b>|;"), false },
		{ STR_INIT("<a@b"), STR_INIT("||a|b;"), false },
		{ STR_INIT("a@[1.2.3.4]"), STR_INIT("||a|[1.2.3.4];"), true },
		{ STR_INIT(")>a@b"), STR_INIT("||a|b;"), false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(arena_done) struct arena a = { .max = 100000 };
		AUTO(buf_done) struct buf b = { .max = 1000 };
		struct mail_mailbox *m;
		bool sound;
		assert_int_equal(mail_list_parse(cases[i].in, &a, &m, &sound), RC_OK);
		show(m, &b);
		SAME(buf_str(&b), cases[i].out);
		if (sound != cases[i].sound)
			fail_msg("sound is %d for %s", sound, cases[i].in.p);
	}
}

static void a_list_stops_at_ten_thousand_entries(void **state)
{
	AUTO(buf_done) struct buf in = { .max = 1 << 20 };
	AUTO(arena_done) struct arena a = { .max = 16 << 20 };
	struct mail_mailbox *m;
	bool sound;
	size_t n = 0;
	for (int i = 0; i < 20000; i++)
		buf_add(&in, STR("a@b,"));
	assert_int_equal(mail_list_parse(buf_str(&in), &a, &m, &sound), RC_OK);
	for (; m; m = m->next)
		n++;
	assert_int_equal(n, 10000);
	assert_false(sound);
}

static void a_full_arena_is_no_memory(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 64 };
	struct mail_mailbox *m;
	bool sound;
	assert_int_equal(mail_list_parse(STR("a@b, c@d, e@f"), &a, &m, &sound), RC_NOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_gives_local_part_and_domain), cmocka_unit_test(the_empty_path_is_taken_only_where_it_may_be),
		cmocka_unit_test(a_bad_path_is_refused), cmocka_unit_test(lengths_past_the_rfc_are_a_limit), cmocka_unit_test(formatting_quotes_what_needs_it),
		cmocka_unit_test(lists_are_read_with_their_obsolete_forms), cmocka_unit_test(a_list_stops_at_ten_thousand_entries),
		cmocka_unit_test(a_full_arena_is_no_memory),
	};
	return cmocka_run_group_tests_name("mail addresses", tests, NULL, NULL);
}
