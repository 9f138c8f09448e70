/* DMARC records, alignment, verdicts and what they cost. */
#include "origin/dmarc.h"

#include "../mail/mail_test.h"
#include "base/mem.h"

#define AUTHOR "From: a@mail.bank.example\r\n\r\n"

struct house {
	struct arena a;
	struct dns_table *table;
	struct dns dns;
};

static int setup(void **state)
{
	static struct house h;
	arena_init(&h.a, 4 << 20);
	assert_int_equal(dns_table_new(&h.table), RC_OK);
	h.dns = dns_table_dns(h.table);
	*state = &h;
	return 0;
}
static int teardown(void **state)
{
	struct house *h = *state;
	dns_table_free(&h->table);
	arena_done(&h->a);
	return 0;
}
static void txt(struct house *h, const char *name, const char *text)
{
	assert_int_equal(dns_table_add(h->table, str_z(name), DNS_TXT, 300, str_z(text), true, NULL), RC_OK);
}
static struct dmarc_result check(struct house *h, const char *header, const char *spf, const char *dkim)
{
	struct spf_result s = { .result = AUTH_PASS, .domain = str_z(spf) };
	struct dkim_signature sig = { .result = AUTH_PASS, .domain = str_z(dkim) };
	struct dkim_result d = { .signature = &sig, .n = 1 };
	struct dmarc_result r;
	struct dmarc_input in = { str_z(header), spf ? &s : NULL, dkim ? &d : NULL };
	dmarc_check(&h->dns, &in, NULL, &h->a, &r);
	assert_true(r.why.n > 0);
	return r;
}

static void a_record_is_read_with_its_defaults(void **state)
{
	struct house *h = *state;
	struct dmarc_record r;
	assert_int_equal(dmarc_record_parse(STR("v=DMARC1; p=reject"), &h->a, &r, NULL), RC_OK);
	assert_true(r.found && r.p == DMARC_REJECT && r.sp == DMARC_REJECT && r.np == DMARC_REJECT);
	assert_true(!r.strict_dkim && !r.strict_spf && !r.testing && r.psd == 'u' && r.pct == 100 && r.ri == 86400);
	assert_int_equal(dmarc_record_parse(STR("v=DMARC1;p=none;sp=Quarantine;adkim=S;aspf=r;t=y;psd=n;pct=20;rf=afrf;ri=3600;fo=1:d;rua=mailto:a@b.example;ruf= mailto:c@d.example ;"),
	                                    &h->a, &r, NULL), RC_OK);
	assert_true(r.p == DMARC_NONE && r.sp == DMARC_QUARANTINE && r.np == DMARC_QUARANTINE && r.strict_dkim && !r.strict_spf && r.testing && r.psd == 'n');
	assert_int_equal(r.pct, 20);
	assert_int_equal(r.ri, 3600);
	SAME(r.rf, STR("afrf"));
	SAME(r.fo, STR("1:d"));
	SAME(r.ruf, STR("mailto:c@d.example"));
	assert_int_equal(dmarc_record_parse(STR("v=DMARC1; p=none; p=reject; pct=101; ri=x"), &h->a, &r, NULL), RC_OK);
	assert_true(r.p == DMARC_NONE && r.pct == 100 && r.ri == 86400);
	assert_int_equal(dmarc_record_parse(STR("v=DMARC1"), &h->a, &r, NULL), RC_OK);
	assert_true(r.p == DMARC_NONE);
}

static void what_is_no_record_is_told_from_one_that_cannot_be_used(void **state)
{
	struct house *h = *state;
	static const char *const none[] = { "", "v=DMARC2; p=reject", "v=DMARC1 p=reject", "v=dmarc1; p=reject", "v=spf1 -all", "DMARC1; p=reject", "p=reject; v=DMARC1",
		"v=DMARC10; p=reject", ";v=DMARC1; p=reject" };
	static const char *const broken[] = { "v=DMARC1; p=discard", "v=DMARC1; p=reject; sp=x", "v=DMARC1; p=reject; np=noone", "v=DMARC1; p=x; rua=https://b.example/" };
	struct dmarc_record r;
	struct why why = { 0 };
	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
		assert_int_equal(dmarc_record_parse(str_z(none[i]), &h->a, &r, &why), RC_NOTFOUND);
	for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
		assert_int_equal(dmarc_record_parse(str_z(broken[i]), &h->a, &r, &why), RC_SYNTAX);
	assert_non_null(strstr(why.text, "p=, sp= or np="));
}

static void addresses_for_reports_are_read_with_their_limits(void **state)
{
	struct house *h = *state;
	struct dmarc_uri u[4];
	size_t n = dmarc_uris(STR("mailto:a@b.example!10m, https://x.example/, MAILTO:C%2bd@e.example , mailto:nobody, mailto:f@g.example!x, mailto:h@i.example!50"), &h->a, u, 4);
	assert_int_equal(n, 3);
	SAME(u[0].address, STR("a@b.example"));
	assert_int_equal(u[0].max_size, 10 << 20);
	SAME(u[1].address, STR("C+d@e.example"));
	assert_int_equal(u[1].max_size, 0);
	SAME(u[2].address, STR("h@i.example"));
	assert_int_equal(u[2].max_size, 50);
	assert_int_equal(dmarc_uris(STR("mailto:a@b.example,mailto:c@d.example"), &h->a, u, 1), 1);
	assert_int_equal(dmarc_uris(STR(""), &h->a, u, 4), 0);
	assert_int_equal(dmarc_uris(STR("mailto:a@b.example!20000000t"), &h->a, u, 4), 1);
	assert_int_equal(u[0].max_size, 0); /* past 64 bits: no limit */
	assert_int_equal(dmarc_uris(STR("mailto:a%0d%0aTo%3ax@b.example,mailto:a@b.example%"), &h->a, u, 4), 0);
}

static void a_record_of_its_own_costs_one_question(void **state)
{
	struct house *h = *state;
	txt(h, "_dmarc.mail.bank.example", "v=DMARC1; p=reject; sp=none; np=quarantine");
	txt(h, "_dmarc.bank.example", "v=DMARC1; p=none");
	struct dmarc_result r = check(h, AUTHOR, "mail.bank.example", "mail.bank.example");
	assert_int_equal(r.result, AUTH_PASS);
	assert_true(r.spf_aligned && r.dkim_aligned && r.policy == DMARC_NONE && r.published == DMARC_REJECT);
	assert_int_equal(dns_table_asked(h->table), 1);
	r = check(h, AUTHOR, NULL, "evil.test");
	assert_int_equal(r.result, AUTH_FAIL);
	assert_int_equal(r.policy, DMARC_REJECT);
	assert_int_equal(dns_table_asked(h->table), 2);
}

static void many_signatures_do_not_make_many_questions(void **state)
{
	struct house *h = *state;
	struct dkim_signature sig[20];
	char names[20][160];
	txt(h, "_dmarc.bank.example", "v=DMARC1; p=reject; psd=n");
	for (int i = 0; i < 20; i++) {
		snprintf(names[i], sizeof names[i], "a.b.c.d.e.f.g.h.i.j.k%d.evil%d.example", i, i);
		sig[i] = (struct dkim_signature){ .result = AUTH_PASS, .domain = str_z(names[i]) };
	}
	struct dkim_result d = { .signature = sig, .n = 20 };
	struct dmarc_input in = { STR("From: x@a.b.c.d.e.f.g.h.i.bank.example\r\n"), NULL, &d };
	struct dmarc_result r;
	dmarc_check(&h->dns, &in, NULL, &h->a, &r);
	assert_int_equal(r.result, AUTH_FAIL);
	assert_true(dns_table_asked(h->table) <= 8);
}

static void testing_and_pct_0_take_the_policy_one_step_milder(void **state)
{
	struct house *h = *state;
	txt(h, "_dmarc.t.example", "v=DMARC1; p=reject; t=y");
	txt(h, "_dmarc.q.example", "v=DMARC1; p=quarantine; pct=0");
	txt(h, "_dmarc.half.example", "v=DMARC1; p=quarantine; pct=50");
	struct dmarc_result r = check(h, "From: a@t.example\r\n", NULL, NULL);
	assert_true(r.result == AUTH_FAIL && r.published == DMARC_REJECT && r.policy == DMARC_QUARANTINE);
	r = check(h, "From: a@q.example\r\n", NULL, NULL);
	assert_true(r.published == DMARC_QUARANTINE && r.policy == DMARC_NONE);
	assert_int_equal(check(h, "From: a@half.example\r\n", NULL, NULL).policy, DMARC_QUARANTINE);
}

static void only_passed_identifiers_count(void **state)
{
	struct house *h = *state;
	txt(h, "_dmarc.bank.example", "v=DMARC1; p=reject");
	for (enum auth x = AUTH_NONE; x <= AUTH_PERMERROR; x++) {
		struct spf_result s = { .result = x, .domain = STR("bank.example") };
		struct dkim_signature sig = { .result = x, .domain = STR("bank.example") };
		struct dkim_result d = { .signature = &sig, .n = 1 };
		struct dmarc_input in = { STR("From: a@bank.example\r\n"), &s, &d };
		struct dmarc_result r;
		dmarc_check(&h->dns, &in, NULL, &h->a, &r);
		assert_int_equal(r.result, x == AUTH_PASS ? AUTH_PASS : AUTH_FAIL);
	}
}

static void domains_align_only_on_label_boundaries(void **state)
{
	struct house *h = *state;
	txt(h, "_dmarc.bank.example", "v=DMARC1; p=reject");
	static const struct { const char *other; bool relaxed, strict; } cases[] = {
		{ "bank.example", true, true }, { "BANK.example.", true, true }, { "mail.bank.example", true, false }, { "evilbank.example", false, false },
		{ "bank.example.evil.test", false, false }, { "example", false, false }, { "", false, false }, { ".bank.example", false, false },
		{ "bank.examplex", false, false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(dmarc_aligned(&h->dns, STR("bank.example"), str_z(cases[i].other), false, &h->a), cases[i].relaxed);
		assert_int_equal(dmarc_aligned(&h->dns, STR("bank.example"), str_z(cases[i].other), true, &h->a), cases[i].strict);
	}
}

static void a_public_suffix_does_not_align_its_customers(void **state)
{
	struct house *h = *state;
	txt(h, "_dmarc.co.example", "v=DMARC1; p=reject; psd=y");
	assert_false(dmarc_aligned(&h->dns, STR("bank.co.example"), STR("evil.co.example"), false, &h->a));
	assert_false(dmarc_aligned(&h->dns, STR("bank.co.example"), STR("co.example"), false, &h->a));
	assert_true(dmarc_aligned(&h->dns, STR("bank.co.example"), STR("a.b.bank.co.example"), false, &h->a));
	struct dmarc_result r = check(h, "From: ceo@bank.co.example\r\n", "evil.co.example", "co.example");
	assert_true(r.result == AUTH_FAIL && r.policy == DMARC_REJECT);
}

static void a_refused_from_never_passes_and_the_strictest_policy_is_honoured(void **state)
{
	struct house *h = *state;
	txt(h, "_dmarc.bank.example", "v=DMARC1; p=reject");
	txt(h, "_dmarc.evil.test", "v=DMARC1; p=none");
	static const char *const tricks[] = {
		"From: a@evil.test, ceo@bank.example\r\n", "From: a@evil.test\r\nFrom: ceo@bank.example\r\n", "From: ceo@bank.example <a@evil.test>\r\n",
		"From: \"x <ceo@bank.example>\" <a@evil.test>\r\n", "From: =?utf-8?Q?ceo=40bank.example?= <a@evil.test>\r\n",
		"From: <@bank.example:a@evil.test>, ceo@bank.example\r\n", "From: x: ceo@bank.example;, a@evil.test\r\n", "From: a@evil.test (ceo@bank.example)\r\n",
		" From: ceo@bank.example\r\nFrom: a@evil.test\r\n",
	};
	for (size_t i = 0; i < sizeof tricks / sizeof tricks[0]; i++) {
		struct dmarc_result r = check(h, tricks[i], "evil.test", "evil.test");
		if (r.result != AUTH_FAIL || r.policy != DMARC_REJECT)
			fail_msg("%s: %s %s", tricks[i], auth_name(r.result), dmarc_policy_name(r.policy));
	}
	assert_int_equal(check(h, "From: a@x.test, b@y.test\r\n", "x.test", "y.test").result, AUTH_PERMERROR);
	assert_int_equal(check(h, "Subject: x\r\n", "x.test", "y.test").result, AUTH_PERMERROR);
}

static void a_dns_failure_is_temperror_only_where_the_answer_matters(void **state)
{
	struct house *h = *state;
	txt(h, "_dmarc.mail.bank.example", "v=DMARC1; p=reject");
	assert_int_equal(dns_table_fail(h->table, STR("_dmarc.bank.example"), 0, DNS_TEMPFAIL), RC_OK);
	assert_int_equal(check(h, AUTHOR, "mail.bank.example", NULL).result, AUTH_PASS);
	assert_int_equal(check(h, AUTHOR, NULL, NULL).result, AUTH_FAIL);
	assert_int_equal(check(h, AUTHOR, "bank.example", NULL).result, AUTH_TEMPERROR);
	assert_int_equal(dns_table_fail(h->table, STR("_dmarc.lie.example"), 0, DNS_BOGUS), RC_OK);
	assert_int_equal(check(h, "From: a@lie.example\r\n", "lie.example", NULL).result, AUTH_TEMPERROR);
}

static void a_record_without_a_usable_policy_is_permerror(void **state)
{
	struct house *h = *state;
	txt(h, "_dmarc.bank.example", "v=DMARC1; p=discard");
	struct dmarc_result r = check(h, "From: a@bank.example\r\n", "bank.example", NULL);
	assert_int_equal(r.result, AUTH_PERMERROR);
	assert_true(str_find_str(r.why, STR("p=")) < r.why.n);
}

static void several_records_at_one_name_count_as_none(void **state)
{
	struct house *h = *state;
	txt(h, "_dmarc.bank.example", "v=DMARC1; p=reject");
	txt(h, "_dmarc.bank.example", "v=DMARC1; p=none");
	assert_int_equal(check(h, "From: a@bank.example\r\n", "bank.example", NULL).result, AUTH_NONE);
}

static void reports_go_only_where_they_are_wanted(void **state)
{
	struct house *h = *state;
	struct str over;
	txt(h, "_dmarc.bank.example", "v=DMARC1; p=reject");
	txt(h, "bank.example._report._dmarc.reports.test", "v=DMARC1");
	txt(h, "bank.example._report._dmarc.other.test", "v=DMARC1; rua=mailto:x@other.test");
	txt(h, "bank.example._report._dmarc.sly.test", "v=DMARC1; rua=mailto:x@victim.test");
	txt(h, "bank.example._report._dmarc.spf.test", "v=spf1 -all");
	txt(h, "*._report._dmarc.any.test", "v=DMARC1;");
	assert_true(dmarc_report_allowed(&h->dns, STR("bank.example"), STR("mail.bank.example"), &h->a, &over));
	assert_true(dmarc_report_allowed(&h->dns, STR("bank.example"), STR("reports.test"), &h->a, &over));
	assert_int_equal(over.n, 0);
	assert_true(dmarc_report_allowed(&h->dns, STR("bank.example"), STR("other.test"), &h->a, &over));
	SAME(over, STR("mailto:x@other.test"));
	assert_true(dmarc_report_allowed(&h->dns, STR("bank.example"), STR("sly.test"), &h->a, &over));
	assert_int_equal(over.n, 0);
	assert_true(dmarc_report_allowed(&h->dns, STR("bank.example"), STR("any.test"), &h->a, &over));
	assert_false(dmarc_report_allowed(&h->dns, STR("bank.example"), STR("spf.test"), &h->a, &over));
	assert_false(dmarc_report_allowed(&h->dns, STR("bank.example"), STR("victim.test"), &h->a, &over));
	assert_false(dmarc_report_allowed(&h->dns, STR("bank.example"), STR(""), &h->a, &over));
}

static void a_small_arena_is_a_temporary_error(void **state)
{
	struct house *h = *state;
	txt(h, "_dmarc.bank.example", "v=DMARC1; p=reject");
	for (size_t max = 0; max < 20000; max += 500) {
		AUTO(arena_done) struct arena a = { .max = max };
		struct spf_result s = { .result = AUTH_PASS, .domain = STR("evil.example") };
		struct dmarc_input in = { STR("From: a@bank.example\r\n"), &s, NULL };
		struct dmarc_result r;
		dmarc_check(&h->dns, &in, NULL, &a, &r);
		assert_true(r.result == AUTH_FAIL || r.result == AUTH_TEMPERROR || r.result == AUTH_PERMERROR);
	}
}

static void every_failed_allocation_is_an_answer(void **state)
{
	struct house *h = *state;
	struct spf_result s = { .result = AUTH_PASS, .domain = STR("evil.example") };
	struct dmarc_input in = { STR("From: =?utf-8?Q?J=C3=B6rg?= <a@mail.bank.example>\r\n"), &s, NULL };
	txt(h, "_dmarc.bank.example", "v=DMARC1; p=reject; np=none");
	long k = 0;
	for (enum auth got = AUTH_NONE; got != AUTH_FAIL; k++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 20 };
		struct dmarc_result r;
		mem_count = 0;
		mem_fail_at = k;
		dmarc_check(&h->dns, &in, NULL, &a, &r);
		mem_fail_at = -1;
		got = r.result;
		assert_true(got == AUTH_FAIL || got == AUTH_TEMPERROR);
		assert_true(k < 200);
	}
	assert_true(k > 3);
}

static void signatures_lost_for_want_of_memory_are_no_failure_of_the_author(void **state)
{
	struct house *h = *state;
	struct dkim_result d = { .lost = true };
	struct dmarc_result r;
	struct dmarc_input in = { STR(AUTHOR), NULL, &d };
	txt(h, "_dmarc.mail.bank.example", "v=DMARC1; p=reject");
	dmarc_check(&h->dns, &in, NULL, &h->a, &r);
	assert_int_equal(r.result, AUTH_TEMPERROR);
	assert_int_equal(r.policy, DMARC_NONE);
	SAME(r.why, STR("no memory for its signatures"));
	struct spf_result s = { .result = AUTH_PASS, .domain = STR("mail.bank.example") };
	in.spf = &s;
	dmarc_check(&h->dns, &in, NULL, &h->a, &r);
	assert_int_equal(r.result, AUTH_PASS);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(signatures_lost_for_want_of_memory_are_no_failure_of_the_author),
		T(a_record_is_read_with_its_defaults),
		T(what_is_no_record_is_told_from_one_that_cannot_be_used),
		T(addresses_for_reports_are_read_with_their_limits),
		T(a_record_of_its_own_costs_one_question),
		T(many_signatures_do_not_make_many_questions),
		T(testing_and_pct_0_take_the_policy_one_step_milder),
		T(only_passed_identifiers_count),
		T(domains_align_only_on_label_boundaries),
		T(a_public_suffix_does_not_align_its_customers),
		T(a_refused_from_never_passes_and_the_strictest_policy_is_honoured),
		T(a_dns_failure_is_temperror_only_where_the_answer_matters),
		T(a_record_without_a_usable_policy_is_permerror),
		T(several_records_at_one_name_count_as_none),
		T(reports_go_only_where_they_are_wanted),
		T(a_small_arena_is_a_temporary_error),
		T(every_failed_allocation_is_an_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
