#include "origin/auth_results.h"

#include "fake_dns.h"

static void a_field_says_what_was_found(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 10000 };
	struct spf_result spf = { .result = AUTH_PASS, .domain = STR("example.org"), .why = STR("x") };
	struct dkim_signature s[2] = {
		{ .result = AUTH_PASS, .domain = STR("example.org"), .selector = STR("s1"), .identity = STR("@example.org"), .algorithm = STR("rsa-sha256"), .b_head = STR("AbC/+d=9"), .why = STR("") },
		{ .result = AUTH_FAIL, .domain = STR("list.example"), .selector = STR("s2"), .identity = STR("bob@list.example"), .algorithm = STR("ed25519-sha256"),
		  .b_head = STR("12345678"), .why = STR("the body hash \"differs\"") } };
	struct dkim_result dkim = { .signature = s, .n = 2, .arc = { .result = AUTH_PASS, .sets = 2, .oldest_pass = 1 } };
	struct dmarc_result dmarc = { .result = AUTH_PASS, .from = STR("example.org"), .record = { .found = true, .at = STR("example.org"), .p = DMARC_REJECT } };
	struct auth_facts f = { .authserv = STR("mx.example.net"), .client_ip = STR("2001:db8::1"), .mail_from = STR("ann+x@example.org"), .helo = STR("h.example"),
		.spf = &spf, .dkim = &dkim, .dmarc = &dmarc, .disposition = "none", .iprev = AUTH_PASS, .iprev_name = STR("h.example"), .iprev_done = true,
		.override = STR("mailing_list") };
	auth_results_make(&f, &out);
	SAME(buf_str(&out), STR("Authentication-Results: mx.example.net;\r\n\tiprev=pass (h.example) policy.iprev=\"2001:db8::1\";\r\n"
		"\tspf=pass smtp.mailfrom=ann+x@example.org;\r\n"
		"\tdkim=pass header.d=example.org header.s=s1 header.a=rsa-sha256\r\n\theader.b=\"AbC/+d=9\";\r\n"
		"\tdkim=fail reason=\"the body hash \\\"differs\\\"\" header.d=list.example\r\n\theader.s=s2 header.i=bob@list.example header.a=ed25519-sha256\r\n\theader.b=12345678;\r\n"
		"\tarc=pass (i=2) header.oldest-pass=1 smtp.remote-ip=\"2001:db8::1\";\r\n"
		"\tdmarc=pass header.from=example.org polrec.p=reject\r\n\tpolrec.domain=example.org policy.disposition=none\r\n\tpolicy.override=mailing_list\r\n"));
}

static void a_listing_names_its_zone_code_and_text(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 10000 };
	struct dnsbl_listing l[2] = { { .listed = true, .zone = STR("bl.example"), .code = { 127, 0, 0, 4 }, .reason = STR("sends spam") },
		                      { .listed = true, .zone = STR("two.example"), .code = { 127, 0, 0, 2 }, .reason = STR("") } };
	struct auth_facts f = { .authserv = STR("mx.example.net"), .listing = l, .listings = 2 };
	auth_results_make(&f, &out);
	SAME(buf_str(&out), STR("Authentication-Results: mx.example.net;\r\n\tx-dnsbl=fail dns.zone=bl.example policy.ip=127.0.0.4\r\n\tpolicy.txt=\"sends spam\";\r\n"
		"\tx-dnsbl=fail dns.zone=two.example policy.ip=127.0.0.2\r\n"));
}

static void nothing_evaluated_is_none(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 10000 };
	struct auth_facts f = { .authserv = STR("mx.example.net") };
	auth_results_make(&f, &out);
	SAME(buf_str(&out), STR("Authentication-Results: mx.example.net; none\r\n"));
	buf_clear(&out);
	f.auth_user = STR("ann@example.net");
	auth_results_value(&f, &out);
	SAME(buf_str(&out), STR("mx.example.net;\r\n\tauth=pass smtp.auth=ann@example.net"));
}

static void what_we_write_we_read(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 100000 };
	AUTO(buf_done) struct buf out = { .max = 10000 };
	/* Everything that strangers choose, at its worst. */
	struct str evil = STR("\"; dmarc=pass header.from=bank.example\r\nX: y (\\ ) \x01\xff");
	struct spf_result spf = { .result = AUTH_FAIL, .domain = evil, .why = evil };
	struct dkim_signature s = { .result = AUTH_NEUTRAL, .domain = evil, .selector = evil, .identity = evil, .algorithm = evil, .b_head = evil, .why = evil };
	struct dkim_result dkim = { .signature = &s, .n = 1, .arc = { .result = AUTH_FAIL, .sets = 1, .why = evil } };
	struct dmarc_result dmarc = { .result = AUTH_FAIL, .from = evil, .why = evil, .record = { .found = true, .at = evil } };
	struct auth_facts f = { .authserv = STR("mx.example.net"), .client_ip = evil, .mail_from = evil, .helo = evil, .spf = &spf, .dkim = &dkim, .dmarc = &dmarc,
		.iprev = AUTH_PASS, .iprev_name = evil, .iprev_done = true, .override = evil, .auth_user = evil };
	struct dnsbl_listing listing = { .listed = true, .zone = evil, .code = { 127, 0, 0, 2 }, .reason = evil };
	struct auth_claim c[40];
	struct str id;
	f.listing = &listing;
	f.listings = 1;
	auth_results_value(&f, &out);
	size_t n = auth_results_read(buf_str(&out), &a, &id, c, 40);
	SAME(id, STR("mx.example.net"));
	assert_int_equal(n, 16);
	for (size_t i = 0; i < n; i++) {
		if (str_eq(c[i].method, STR("dmarc")))
			SAME(c[i].result, STR("fail"));
		assert_true(str_find(c[i].value, '\n') == c[i].value.n);
	}
	for (struct str rest = buf_str(&out), line; rest.n;) {
		(void)str_cut(rest, '\n', &line, &rest);
		assert_true(line.n <= 998 && (line.p[0] == '\t' || str_starts(line, STR("mx.example.net"))));
	}
}

/* RFC 8601 appendix B. */
static void the_examples_of_the_rfc_are_read(void **state)
{
	static const struct { const char *value, *id; size_t n; struct auth_claim claim[6]; } cases[] = {
		{ " example.org 1; none", "example.org", 0, { { { 0 } } } },
		{ " example.com;\r\n          spf=pass smtp.mailfrom=example.net", "example.com", 1,
		  { { STR_INIT("spf"), STR_INIT("pass"), STR_INIT("smtp.mailfrom"), STR_INIT("example.net") } } },
		{ " example.com;\r\n          auth=pass (cleartext) smtp.auth=sender@example.net;\r\n          spf=pass smtp.mailfrom=example.net", "example.com", 2,
		  { { STR_INIT("auth"), STR_INIT("pass"), STR_INIT("smtp.auth"), STR_INIT("sender@example.net") },
		    { STR_INIT("spf"), STR_INIT("pass"), STR_INIT("smtp.mailfrom"), STR_INIT("example.net") } } },
		{ " example.com; iprev=pass\r\n          policy.iprev=192.0.2.200", "example.com", 1, { { STR_INIT("iprev"), STR_INIT("pass"), STR_INIT("policy.iprev"), STR_INIT("192.0.2.200") } } },
		{ " example.com;\r\n        dkim=pass reason=\"good signature\"\r\n           header.i=@mail-router.example.net;\r\n         dkim=fail reason=\"bad signature\"\r\n           header.i=@newyork.example.com",
		  "example.com", 2, { { STR_INIT("dkim"), STR_INIT("pass"), STR_INIT("header.i"), STR_INIT("@mail-router.example.net") },
		    { STR_INIT("dkim"), STR_INIT("fail"), STR_INIT("header.i"), STR_INIT("@newyork.example.com") } } },
		{ " foo.example.net (foobar) 1 (baz);\r\n     dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n       policy (A dot can go here) . (like that) expired\r\n"
		  "       (this surprised me) = (as I wasn't expecting it) 1362471462", "foo.example.net", 1,
		  { { STR_INIT("dkim"), STR_INIT("fail"), STR_INIT("policy.expired"), STR_INIT("1362471462") } } },
		{ " i=2; mx.example; dmarc=pass (p=REJECT) header.from=\"a b\"@x.example; arc=none", "mx.example", 2,
		  { { STR_INIT("dmarc"), STR_INIT("pass"), STR_INIT("header.from"), STR_INIT("\"a b\"@x.example") }, { STR_INIT("arc"), STR_INIT("none"), STR_INIT(""), STR_INIT("") } } },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(arena_done) struct arena a = { .max = 10000 };
		struct auth_claim c[10];
		struct str id;
		size_t n = auth_results_read(str_z(cases[i].value), &a, &id, c, 10);
		SAME(id, str_z(cases[i].id));
		assert_int_equal(n, cases[i].n);
		for (size_t k = 0; k < n; k++) {
			SAME(c[k].method, cases[i].claim[k].method);
			SAME(c[k].result, cases[i].claim[k].result);
			SAME(c[k].ptype_property, cases[i].claim[k].ptype_property);
			SAME(c[k].value, cases[i].claim[k].value);
		}
	}
}

static void what_cannot_be_read_claims_nothing(void **state)
{
	static const char *const bad[] = { "", ";", "mx.example; dkim", "mx.example; dkim=pass header", "mx.example; dkim=pass header.d", "mx.example; dkim=pass header.d=",
		"mx.example; dkim=pass header.d=\"x", "mx.example; dkim=pass (x", "mx.example dkim=pass header.d=x", "\"mx; dkim=pass header.d=x", "mx.example x; dkim=pass",
		"mx.example; dkim=pass, spf=pass", "mx.example; =pass" };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		AUTO(arena_done) struct arena a = { .max = 10000 };
		struct auth_claim c[10];
		struct str id;
		if (auth_results_read(str_z(bad[i]), &a, &id, c, 10) != 0)
			fail_msg("read: %s", bad[i]);
	}
}

static void ours_is_seen_through_every_disguise(void **state)
{
	static const char *const ours[] = { "mx.example.net; none", " MX.Example.NET;spf=pass", "\r\n\t(hi) mx.example.net (there) 1; dkim=pass header.d=x", "\"mx.example.net\"; none",
		"\"mx\\.example.net\"; none", "mx.example.net", "mx.example.net.; none", "mx.example.net 2;none", "x mx.example.net; dkim=pass", "x; dkim=pass (mx.example.net",
		"(unclosed mx.example.net; dkim=pass", "((((mx.EXAMPLE.net; x=y", "=?utf-8?q?mx.example.net?=; dkim=pass", "x;; dkim==pass mx.example.net",
		"(a (b) \\) c) mx.example.net; none" };
	static const char *const theirs[] = { "mx.example.org; none", "example.net; dkim=pass header.d=mx.example.net", "x (mx.example.net); spf=pass", "notmx.example.net; none",
		"mx.example.net.evil.example; none", "\"mx.example.net \"; none", "", "other; none;" };
	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
		if (!auth_results_is_ours(str_z(ours[i]), STR("mx.example.net")))
			fail_msg("not seen: %s", ours[i]);
	for (size_t i = 0; i < sizeof theirs / sizeof theirs[0]; i++)
		if (auth_results_is_ours(str_z(theirs[i]), STR("mx.example.net")))
			fail_msg("taken for ours: %s", theirs[i]);
	assert_true(auth_results_is_ours(STR("mx.b\xc3\xbc" "cher.example; none"), STR("mx.xn--bcher-kva.example")));
}

static void ten_thousand_open_comments_cost_nothing(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 4 << 20 };
	AUTO(arena_done) struct arena a = { .max = 10000 };
	struct auth_claim c[4];
	struct str id;
	for (int i = 0; i < 1000000; i++)
		buf_add(&b, STR("(("));
	assert_false(auth_results_is_ours(buf_str(&b), STR("mx.example.net")));
	assert_int_equal(auth_results_read(buf_str(&b), &a, &id, c, 4), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_field_says_what_was_found), cmocka_unit_test(a_listing_names_its_zone_code_and_text), cmocka_unit_test(nothing_evaluated_is_none), cmocka_unit_test(what_we_write_we_read),
		cmocka_unit_test(the_examples_of_the_rfc_are_read), cmocka_unit_test(what_cannot_be_read_claims_nothing),
		cmocka_unit_test(ours_is_seen_through_every_disguise), cmocka_unit_test(ten_thousand_open_comments_cost_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
