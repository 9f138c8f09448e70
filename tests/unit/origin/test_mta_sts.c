/* MTA-STS (RFC 8461): the record, the policy, which hosts it names, our own. The look-ups of a whole test internet are in conformance/role/sts_lookups.py. */
#include "origin/mta_sts.h"

#include "../mail/mail_test.h"
#include "base/mem.h"

static enum rc record(const char *a, const char *b, struct str *id)
{
	struct dns_record r[2] = { { .data = str_z(a) }, { .data = str_z(b) } };
	struct dns_answer x = { .status = DNS_OK, .record = r, .records = b ? 2 : 1 };
	struct why why;
	return mta_sts_record(&x, id, &why);
}

static void a_record_gives_its_id(void **state)
{
	static const struct { const char *text, *id; } cases[] = {
		{ "v=STSv1; id=20160831085700Z;", "20160831085700Z" }, /* RFC 8461 3.1's example */
		{ "v=STSv1;id=1", "1" },
		{ "v=STSv1; id=a; ", "a" },
		{ "v=STSv1;\t id=a\t;later=x.y_z-1; also=!", "a" },
		{ "v=STSv1; id=first; id=second", "first" },
		{ "v=STSv1; ext=1; id=abc", "abc" },
		{ "v=STSv1; id=abcdefghijabcdefghijabcdefghij12", "abcdefghijabcdefghijabcdefghij12" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct str id = STR("");
		assert_int_equal(record(cases[i].text, NULL, &id), RC_OK);
		SAME(id, str_z(cases[i].id));
	}
}

static void a_record_that_is_none_means_no_policy(void **state)
{
	static const char *const cases[] = {
		"", "v=STSv1", "v=STSv1;", "v=STSv1; ", "v=STSv1; id=", "v=STSv1; id= 1", "v=STSv1; id=a b", "v=STSv1; id=a-b", "V=STSv1; id=1", "v=stsv1; id=1", "v=STSv1 ; id=1",
		" v=STSv1; id=1", "v=STSv2; id=1", "v=STSv1; id=abcdefghijabcdefghijabcdefghij123", "v=STSv1; ID=1", "v=STSv1;; id=1", "v=STSv1; id=1; =x", "v=STSv1; id=1; x",
		"v=STSv1; id=1; x=", "v=STSv1; id=1; x=a=b", "v=STSv1; id=1; -x=1", "id=1; v=STSv1", "v=STSv1; id=1\n", "v=STSv1; id=1; abcdefghijabcdefghijabcdefghij123=1",
	};
	struct str id;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (record(cases[i], NULL, &id) != RC_NOTFOUND)
			fail_msg("taken: \"%s\"", cases[i]);
}

static void other_records_are_passed_over_and_two_are_none(void **state)
{
	struct str id = STR("");
	assert_int_equal(record("hello", "v=STSv1; id=2", &id), RC_OK);
	SAME(id, STR("2"));
	assert_int_equal(record("v=STSv1; id=1", "v=STSv1; id=2", &id), RC_NOTFOUND);
	assert_int_equal(record("v=STSv1; id=1", "v=STSv1; broken", &id), RC_NOTFOUND);
	struct dns_answer none = { .status = DNS_NXDOMAIN }, late = { .status = DNS_TEMPFAIL };
	assert_int_equal(mta_sts_record(&none, &id, NULL), RC_NOTFOUND);
	assert_int_equal(mta_sts_record(&late, &id, NULL), RC_NOTFOUND);
}

static enum rc parse(const char *text, struct arena *a, struct mta_sts_policy *p, struct why *why)
{
	*why = (struct why){ 0 };
	return mta_sts_parse(str_z(text), a, p, why);
}

static void a_policy_is_read(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct mta_sts_policy p;
	struct why why;
	/* RFC 8461 3.2's example */
	assert_int_equal(parse("version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n", &a, &p, &why), RC_OK);
	assert_int_equal(p.mode, MTA_STS_ENFORCE);
	assert_int_equal(p.max_age, 604800);
	assert_int_equal(p.mx_n, 3);
	SAME(p.mx[1], STR("*.example.net"));
	static const struct { const char *text; enum mta_sts_mode mode; uint32_t age; size_t mx; } cases[] = {
		{ "version: STSv1\nmode: testing\nmax_age: 86400\nmx: mail.loc", MTA_STS_TESTING, 86400, 1 },
		{ "max_age:0\nmx:\t Mail.LOC. \t\nmode:enforce\nversion:STSv1  \n\n", MTA_STS_ENFORCE, 0, 1 },
		{ "version: STSv1\nmode: none\nmax_age: 31557600\n", MTA_STS_NONE, 31557600, 0 },
		{ "version: STSv1\nmode: none\nmode: rubbish\nmax_age: 1\nmax_age: 2\nversion: STSv9\n", MTA_STS_NONE, 1, 0 },
		{ "version: STSv1\nmode: none\nmax_age: 9999999999\n", MTA_STS_NONE, 31557600, 0 },
		{ "version: STSv1\nmode: none\nmax_age: 1\nfuture.key_1-x: any thing: at \xc3\xa4ll\n", MTA_STS_NONE, 1, 0 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (parse(cases[i].text, &a, &p, &why) != RC_OK)
			fail_msg("case %zu: %s", i, why.text);
		assert_true(p.mode == cases[i].mode && p.max_age == cases[i].age && p.mx_n == cases[i].mx);
		if (p.mx_n)
			SAME(p.mx[0], STR("mail.loc"));
	}
}

static void a_broken_policy_is_refused_with_its_reason(void **state)
{
	static const struct { const char *text, *why; } cases[] = {
		{ "", "has no version" }, { "garbage", "is not KEY: VALUE" }, { "<html>\n", "is not KEY: VALUE" },
		{ "mode: none\nmax_age: 1\n", "has no version" }, { "version: STSv1\nmax_age: 1\n", "has no mode" }, { "version: STSv1\nmode: none\n", "has no max_age" },
		{ "version: STSv1\nmode: enforce\nmax_age: 86400", "has no mx" }, { "version: STSv1\nmode: testing\nmax_age: 86400", "has no mx" },
		{ "version: STSv2\nmode: none\nmax_age: 1", "is not STSv1" }, { "version: stsv1\nmode: none\nmax_age: 1", "is not STSv1" },
		{ "version: STSv1\nmode: Enforce\nmx: a.b\nmax_age: 1", "is not enforce, testing or none" },
		{ "version: STSv1\nmode: none\nmax_age: -1", "no number of seconds" }, { "version: STSv1\nmode: none\nmax_age: 1d", "no number of seconds" },
		{ "version: STSv1\nmode: none\nmax_age: 11111111111", "no number of seconds" },
		{ "version: STSv1\nmode: enforce\nmax_age: 1\nmx: *", "is no host name" }, { "version: STSv1\nmode: enforce\nmax_age: 1\nmx: *.", "is no host name" },
		{ "version: STSv1\nmode: enforce\nmax_age: 1\nmx: mail.*.com", "is no host name" }, { "version: STSv1\nmode: enforce\nmax_age: 1\nmx: *.*.com", "is no host name" },
		{ "version: STSv1\nmode: enforce\nmax_age: 1\nmx: a..b", "is no host name" }, { "version: STSv1\nmode: enforce\nmax_age: 1\nmx: a b", "is no host name" },
		{ "version: STSv1\nmode: none\nmax_age: 1\nbad key: 1", "is not KEY: VALUE" }, { "version: STSv1\nmode: none\nmax_age: 1\nx:\n", "is not KEY: VALUE" },
		{ "version: STSv1\nmode: none\nmax_age: 1\nx: \x01\n", "is not KEY: VALUE" }, { "version: STSv1\rmode: none\rmax_age: 1\r", "is not KEY: VALUE" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 20 };
		struct mta_sts_policy p;
		struct why why;
		assert_int_equal(parse(cases[i].text, &a, &p, &why), RC_SYNTAX);
		if (!strstr(why.text, cases[i].why))
			fail_msg("case %zu: \"%s\"", i, why.text);
	}
}

static void a_policy_has_ceilings(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 1 << 20 };
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct mta_sts_policy p;
	struct why why = { 0 };
	buf_add(&b, STR("version: STSv1\nmode: enforce\nmax_age: 1\n"));
	for (int i = 0; i < MTA_STS_MX_MAX; i++)
		buf_addf(&b, "mx: m%d.example\n", i);
	assert_int_equal(mta_sts_parse(buf_str(&b), &a, &p, &why), RC_OK);
	assert_int_equal(p.mx_n, MTA_STS_MX_MAX);
	SAME(p.mx[255], STR("m255.example"));
	buf_add(&b, STR("mx: one.more.example\n"));
	assert_int_equal(mta_sts_parse(buf_str(&b), &a, &p, &why), RC_LIMIT);
	assert_non_null(strstr(why.text, "more than 256 mx lines"));
	buf_clear(&b);
	buf_add(&b, STR("version: STSv1\nmode: none\nmax_age: 1\n"));
	while (b.len < MTA_STS_POLICY_MAX)
		buf_byte(&b, '\n');
	assert_int_equal(mta_sts_parse(buf_str(&b), &a, &p, &why), RC_OK);
	buf_byte(&b, '\n');
	assert_int_equal(mta_sts_parse(buf_str(&b), &a, &p, &why), RC_LIMIT);
	struct arena small = { .max = 100 };
	assert_int_equal(mta_sts_parse(STR("version: STSv1\nmode: enforce\nmax_age: 1\nmx: a.b\nmx: c.d\n"), &small, &p, &why), RC_NOMEM);
	arena_done(&small);
}

static void a_pattern_stands_for_one_label(void **state)
{
	struct str mx[] = { STR("mail.example.com"), STR("*.example.net") };
	struct mta_sts_policy p = { .mode = MTA_STS_ENFORCE, .mx = mx, .mx_n = 2 };
	static const struct { const char *host; bool yes; } cases[] = {
		{ "mail.example.com", true }, { "MAIL.example.COM.", true }, { "a.example.net", true }, { "a.Example.Net", true }, { "a-b.example.net.", true },
		{ "mx.mail.example.com", false }, { "example.com", false }, { "example.net", false }, { ".example.net", false }, { "a.b.example.net", false }, { "aexample.net", false },
		{ "*.example.org", false }, { "", false }, { ".", false }, { "mail.example.comm", false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (mta_sts_match(&p, str_z(cases[i].host)) != cases[i].yes)
			fail_msg("%s", cases[i].host);
}

static void our_own_is_read_back_and_its_id_changes_with_it(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	AUTO(buf_done) struct buf b = { .max = 1 << 16 };
	struct str mx[] = { STR("mail.example.com"), STR("*.example.net") };
	struct mta_sts_policy p = { .mode = MTA_STS_TESTING, .max_age = 604800, .mx = mx, .mx_n = 2 }, q;
	char id[33], again[33], other[33], record_text[64];
	assert_int_equal(mta_sts_write(&p, &b, id), RC_OK);
	SAME(buf_str(&b), STR("version: STSv1\r\nmode: testing\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"));
	assert_int_equal(mta_sts_parse(buf_str(&b), &a, &q, NULL), RC_OK);
	assert_true(q.mode == p.mode && q.max_age == p.max_age && q.mx_n == 2);
	buf_clear(&b);
	assert_int_equal(mta_sts_write(&p, &b, again), RC_OK);
	assert_string_equal(id, again);
	p.mode = MTA_STS_ENFORCE;
	assert_int_equal(mta_sts_write(&p, &b, other), RC_OK);
	assert_string_not_equal(id, other);
	snprintf(record_text, sizeof record_text, "v=STSv1; id=%s", id);
	struct str read = STR("");
	assert_int_equal(record(record_text, NULL, &read), RC_OK);
	SAME(read, str_z(id));
	p.mx_n = 0;
	assert_int_equal(mta_sts_write(&p, &b, id), RC_SYNTAX);
	mx[0] = STR("evil\r\nmode: none");
	p.mx_n = 1;
	assert_int_equal(mta_sts_write(&p, &b, id), RC_SYNTAX);
	mx[0] = STR("a.b");
	p.max_age = MTA_STS_AGE_MAX + 1;
	assert_int_equal(mta_sts_write(&p, &b, id), RC_SYNTAX);
}

static void what_is_kept_comes_back(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 1 << 16 };
	struct mta_sts_kept k = { STR("example.com"), STR("1"), STR("version: STSv1\n"), 1, INT64_MAX - 1, 3 }, back;
	mta_sts_keep(&k, &b);
	assert_int_equal(mta_sts_kept_get(buf_str(&b), &back), RC_OK);
	SAME(back.domain, k.domain);
	SAME(back.id, k.id);
	SAME(back.text, k.text);
	assert_true(back.fetched_ms == 1 && back.expires_ms == INT64_MAX - 1 && back.tried_ms == 3);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(mta_sts_kept_get(str_head(buf_str(&b), n), &back), RC_SYNTAX);
	buf_byte(&b, 0);
	assert_int_equal(mta_sts_kept_get(buf_str(&b), &back), RC_SYNTAX);
	b.p[0] = 9;
	assert_int_equal(mta_sts_kept_get(str_head(buf_str(&b), b.len - 1), &back), RC_SYNTAX);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_gives_its_id),
		cmocka_unit_test(a_record_that_is_none_means_no_policy),
		cmocka_unit_test(other_records_are_passed_over_and_two_are_none),
		cmocka_unit_test(a_policy_is_read),
		cmocka_unit_test(a_broken_policy_is_refused_with_its_reason),
		cmocka_unit_test(a_policy_has_ceilings),
		cmocka_unit_test(a_pattern_stands_for_one_label),
		cmocka_unit_test(our_own_is_read_back_and_its_id_changes_with_it),
		cmocka_unit_test(what_is_kept_comes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
