#include "origin/spf.h"

#include "fake_dns.h"
#include "origin/spf_ip.h"

/* The published suite (203 cases) runs through `letterlock probe spf` in tests/blackbox/test_probe_auth.py; here is what it does not say. */

static const uint8_t client4[4] = { 192, 0, 2, 1 };
static const uint8_t client6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
static const uint8_t mapped[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };

static struct spf_query query(const char *domain)
{
	return (struct spf_query){ .ip = str_of(client4, 4), .helo = STR("mx.example.org"), .local = STR("ann"), .domain = str_z(domain),
		.receiver = STR("mx.example.net"), .now_s = 1767225600 };
}

static void check(const char *zone, const struct spf_query *q, struct arena *a, struct spf_result *out, uint64_t *out_asked)
{
	struct dns_table *t = zone_of(zone);
	struct dns dns = dns_table_dns(t);
	spf_check(&dns, q, NULL, a, out);
	if (out_asked)
		*out_asked = dns_table_asked(t);
	dns_table_free(&t);
}

#define CHECK(zone, q)                                   \
	AUTO(arena_done) struct arena a = { .max = 1 << 20 }; \
	struct spf_result r;                             \
	uint64_t asked;                                  \
	check((zone), (q), &a, &r, &asked)

static void a_pass_names_the_mechanism_and_the_reason(void **state)
{
	struct spf_query q = query("example.org");
	CHECK("example.org. 60 IN TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\n", &q);
	assert_int_equal(r.result, AUTH_PASS);
	assert_false(r.of_helo);
	SAME(r.domain, STR("example.org"));
	SAME(r.mechanism, STR("ip4:192.0.2.0/24"));
	SAME(r.why, STR("192.0.2.1 may send for example.org (ip4:192.0.2.0/24)"));
	assert_int_equal(asked, 1);
	assert_int_equal(r.lookups, 0);
}

static void the_null_sender_is_judged_by_helo(void **state)
{
	struct spf_query q = query("");
	q.local = STR("");
	CHECK("mx.example.org. 60 IN TXT \"v=spf1 a -all\"\nmx.example.org. 60 IN A 192.0.2.1\n", &q);
	assert_int_equal(r.result, AUTH_PASS);
	assert_true(r.of_helo);
	SAME(r.domain, STR("mx.example.org"));
}

static void a_mapped_address_is_ipv4(void **state)
{
	struct spf_query q = query("example.org");
	q.ip = str_of(mapped, 16);
	CHECK("example.org. 60 IN TXT \"v=spf1 ip6:::ffff:192.0.2.1 -ip4:192.0.2.1 ?all\"\n", &q);
	assert_int_equal(r.result, AUTH_FAIL);
	SAME(r.mechanism, STR("-ip4:192.0.2.1"));
}

static void a_bogus_answer_is_a_temporary_error_and_says_so(void **state)
{
	struct spf_query q = query("example.org");
	CHECK("; BOGUS example.org. TXT\nexample.org. 60 IN TXT \"v=spf1 +all\"\n", &q);
	assert_int_equal(r.result, AUTH_TEMPERROR);
	assert_true(str_starts(r.why, STR("TXT of example.org: ")));
}

/* Each: the record of example.org, and words of the reason. */
static void a_broken_record_is_a_permanent_error_with_the_reason(void **state)
{
	static const struct { const char *record, *why; } cases[] = {
		{ "v=spf1 ip4:192.0.2.1 moo -all", "\"moo\": no such mechanism" },
		{ "v=spf1 ip4:192.0.2.1/33", "\"ip4:192.0.2.1/33\": not a prefix length" },
		{ "v=spf1 ip4:192.0.2.01", "not an IPv4 address" },
		{ "v=spf1 ip6:2001:db8:::1", "not an IPv6 address" },
		{ "v=spf1 a:foo", "\"a:foo\": not a domain" },
		{ "v=spf1 a/24//129", "not a prefix length" },
		{ "v=spf1 include", "its argument is missing" },
		{ "v=spf1 all:x", "\"all:x\" takes no argument" },
		{ "v=spf1 exp=a.example exp=b.example", "exp= stands there twice" },
		{ "v=spf1 exists:%{i0}.example", "not a domain" },
		{ "v=spf1 exists:%{c}.example", "not a domain" },
		{ "v=spf1 x=%(i)", "a macro in it is malformed" },
		{ "v=spf1 x=%{r}", "a macro in it is malformed" },
		{ "v=spf1 ptr ptr ptr -all", "more than 2 terms whose question has no answer" },
		{ "v=spf1 a%{i}", "no such mechanism" },
		{ "v=spf1 include:nothing.example.org -all", "the included nothing.example.org has no SPF record" },
		{ "v=spf1 redirect=nothing.example.org", "there is no SPF record" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char zone[300];
		struct spf_query q = query("example.org");
		(void)snprintf(zone, sizeof zone, "example.org. 60 IN TXT \"%s\"\n", cases[i].record);
		CHECK(zone, &q);
		if (r.result != AUTH_PERMERROR || str_find_str(r.why, str_z(cases[i].why)) == r.why.n)
			fail_msg("%s: %s: %.*s", cases[i].record, auth_name(r.result), PSTR(r.why));
		assert_int_equal(r.mechanism.n, 0);
	}
}

static void macros_expand_as_in_the_rfc(void **state)
{
	/* RFC 7208 7.4. */
	static const struct { const char *macro, *name; } cases[] = {
		{ "%{s}", "strong-bad@email.example.com" }, { "%{o}", "email.example.com" }, { "%{d}", "email.example.com" },
		{ "%{d4}", "email.example.com" }, { "%{d3}", "email.example.com" }, { "%{d2}", "example.com" }, { "%{d1}", "com" },
		{ "%{dr}", "com.example.email" }, { "%{d2r}", "example.email" }, { "%{l}", "strong-bad" }, { "%{l-}", "strong.bad" },
		{ "%{lr}", "strong-bad" }, { "%{lr-}", "bad.strong" }, { "%{l1r-}", "strong" },
		{ "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com" }, { "%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com" },
		{ "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com" },
		{ "%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net" },
	};
	static const uint8_t ip[4] = { 192, 0, 2, 3 };
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char zone[600];
		struct spf_query q = { .ip = str_of(ip, 4), .helo = STR("h.example"), .local = STR("strong-bad"), .domain = STR("email.example.com") };
		(void)snprintf(zone, sizeof zone, "email.example.com. 60 IN TXT \"v=spf1 -all exp=x.example\"\nx.example. 60 IN TXT \"%s\"\n", cases[i].macro);
		CHECK(zone, &q);
		SAME(r.explanation, str_z(cases[i].name));
	}
}

static void an_ipv6_address_expands_to_nibbles(void **state)
{
	struct spf_query q = query("example.org");
	q.ip = str_of(client6, 16);
	CHECK("example.org. 60 IN TXT \"v=spf1 exists:%{ir}.%{v}.l.example -all\"\n"
	      "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.l.example. 60 IN A 127.0.0.1\n", &q);
	assert_int_equal(r.result, AUTH_PASS);
}

static void an_explanation_is_only_ascii(void **state)
{
	struct spf_query q = query("example.org");
	q.local = STR("j\xc3\xb6rg");
	CHECK("example.org. 60 IN TXT \"v=spf1 -all exp=x.example\"\nx.example. 60 IN TXT \"no, %{l}\"\n", &q);
	assert_int_equal(r.result, AUTH_FAIL);
	assert_int_equal(r.explanation.n, 0);
}

/* ---- attacks ---- */

static void ten_thousand_includes_cost_eleven_questions(void **state)
{
	AUTO(buf_done) struct buf zone = { .max = 4 << 20 };
	for (int i = 0; i < 10000; i++)
		buf_addf(&zone, "i%d.example. 60 IN TXT \"v=spf1 include:i%d.example include:i%d.example ~all\"\n", i, i + 1, i + 2);
	buf_byte(&zone, '\0');
	struct spf_query q = query("i0.example");
	CHECK(zone.p, &q);
	assert_int_equal(r.result, AUTH_PERMERROR);
	SAME(r.why, STR("more than 10 terms that ask the DNS"));
	assert_int_equal(asked, 11);
	assert_int_equal(r.lookups, 10);
}

static void a_record_that_includes_or_redirects_to_itself_ends(void **state)
{
	static const char *const zones[] = { "example.org. 60 IN TXT \"v=spf1 include:example.org -all\"\n", "example.org. 60 IN TXT \"v=spf1 redirect=example.org\"\n",
		"example.org. 60 IN TXT \"v=spf1 include:%{d} redirect=%{d}\"\n" };
	for (size_t i = 0; i < 3; i++) {
		struct spf_query q = query("example.org");
		CHECK(zones[i], &q);
		assert_int_equal(r.result, AUTH_PERMERROR);
		assert_int_equal(asked, 11);
	}
}

static void a_record_past_4_kib_is_a_permanent_error(void **state)
{
	struct dns_table *t;
	AUTO(buf_done) struct buf txt = { .max = 2 << 20 };
	struct why why = { 0 };
	assert_int_equal(dns_table_new(&t), RC_OK);
	buf_add(&txt, STR("v=spf1"));
	while (txt.len < 60000)
		buf_add(&txt, STR(" ip4:198.51.100.1"));
	assert_int_equal(dns_table_add(t, STR("example.org"), DNS_TXT, 60, buf_str(&txt), true, &why), RC_OK);
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct dns dns = dns_table_dns(t);
	struct spf_query q = query("example.org");
	struct spf_result r;
	spf_check(&dns, &q, NULL, &a, &r);
	assert_int_equal(r.result, AUTH_PERMERROR);
	SAME(r.why, STR("the SPF record of example.org has more than 4096 octets"));
	dns_table_free(&t);
}

/* A DNS that answers whatever it is asked with a mebibyte. */
static void ask_flood(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	++*(unsigned *)house;
	char *p = arena_new(a, 1 << 20);
	struct dns_record *r = arena_new(a, sizeof *r);
	*out = (struct dns_answer){ .status = p && r ? DNS_OK : DNS_TEMPFAIL, .record = r, .records = p && r ? 1 : 0 };
	if (!p || !r)
		return;
	memset(p, ' ', 1 << 20);
	memcpy(p, "v=spf1", 6);
	r->data = (struct str){ p, 1 << 20 };
}

static void a_txt_of_a_mebibyte_is_refused_at_once(void **state)
{
	unsigned asked = 0;
	struct dns dns = { .house = &asked, .ask = ask_flood };
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct spf_query q = query("example.org");
	struct spf_result r;
	spf_check(&dns, &q, NULL, &a, &r);
	assert_int_equal(r.result, AUTH_PERMERROR);
	assert_int_equal(asked, 1);
	assert_true(a.used < 4096);
}

/* A DNS in which every name has 60 MX, PTR and TXT that ask for all of it, and no address is right. */
struct hydra { unsigned asked; const char *record; };
static void ask_hydra(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	struct hydra *h = house;
	unsigned n = type == DNS_TXT || type == DNS_A ? 1 : 60;
	h->asked++;
	*out = (struct dns_answer){ .status = DNS_OK, .record = arena_new(a, n * sizeof *out->record), .records = n };
	for (unsigned i = 0; i < n; i++) {
		char text[64];
		(void)snprintf(text, sizeof text, "n%u.example", i);
		out->record[i].name = arena_str(a, str_z(text));
		out->record[i].data = type == DNS_TXT ? str_z(h->record) : STR("\x01\x01\x01\x01");
	}
}

static void questions_are_bounded_whatever_the_records_say(void **state)
{
	static const struct { const char *record; enum auth result; unsigned most; } cases[] = {
		{ "v=spf1 mx mx mx mx mx mx mx mx mx mx mx", AUTH_PERMERROR, 123 },
		{ "v=spf1 ptr ptr ptr ptr ptr ptr ptr ptr ptr ptr ptr", AUTH_PERMERROR, 123 },
		{ "v=spf1 ptr:n9.example exists:%{p}.%{p}.%{p}.%{p}.x -a:%{p} ptr include:%{p}.%{p}", AUTH_PASS, 123 },
		{ "v=spf1 a:%{p}.%{p}.a include:%{p}.%{d}.b -all", AUTH_PERMERROR, 123 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct hydra h = { .record = cases[i].record };
		struct dns dns = { .house = &h, .ask = ask_hydra };
		AUTO(arena_done) struct arena a = { .max = 1 << 20 };
		struct spf_query q = query("a.example");
		struct spf_result r;
		spf_check(&dns, &q, NULL, &a, &r);
		if (r.result != cases[i].result || h.asked > cases[i].most)
			fail_msg("%s: %s after %u questions: %.*s", cases[i].record, auth_name(r.result), h.asked, PSTR(r.why));
	}
}

/* The longest record of macros that each stand for the longest name: a name to ask all the same, cut from the left. */
static void a_macro_bomb_is_cut_to_a_name(void **state)
{
	struct dns_table *t;
	AUTO(buf_done) struct buf txt = { .max = 1 << 20 };
	char helo[500];
	struct why why = { 0 };
	assert_int_equal(dns_table_new(&t), RC_OK);
	buf_add(&txt, STR("v=spf1 exists:"));
	while (txt.len < 4060)
		buf_add(&txt, STR("%{H255r.-+}."));
	buf_add(&txt, STR("good.example -all"));
	assert_true(txt.len <= 4096);
	assert_int_equal(dns_table_add(t, STR("example.org"), DNS_TXT, 60, buf_str(&txt), true, &why), RC_OK);
	for (size_t i = 0; i < sizeof helo; i++)
		helo[i] = i % 2 ? '.' : '\x7f';
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct dns dns = dns_table_dns(t);
	struct spf_query q = query("example.org");
	q.helo = str_of(helo, sizeof helo);
	struct spf_result r;
	spf_check(&dns, &q, NULL, &a, &r);
	assert_int_equal(r.result, AUTH_FAIL);
	assert_true(dns_table_asked(t) <= 2);
	dns_table_free(&t);
}

static void three_terms_with_nothing_for_an_answer_are_too_many(void **state)
{
	struct spf_query q = query("example.org");
	CHECK("example.org. 60 IN TXT \"v=spf1 a:n1.example a:n2.example exists:n3.example +all\"\n", &q);
	assert_int_equal(r.result, AUTH_PERMERROR);
	assert_int_equal(r.voids, 3);
	SAME(r.why, STR("more than 2 terms whose question has no answer"));
}

static void no_memory_gives_a_result(void **state)
{
	static const char zone[] = "example.org. 60 IN TXT \"v=spf1 mx include:%{d2}.x a:%{l}.example -all exp=e.example\"\nexample.org. 60 IN MX 1 m.example.\n"
	                           "m.example. 60 IN A 198.51.100.1\nexample.org.x. 60 IN TXT \"v=spf1 ptr ?all\"\ne.example. 60 IN TXT \"%{s} %{p}\"\n"
	                           "1.2.0.192.in-addr.arpa. 60 IN PTR p.example.\np.example. 60 IN A 192.0.2.1\nann.example. 60 IN A 192.0.2.9\n";
	struct dns_table *t = zone_of(zone);
	struct dns dns = dns_table_dns(t);
	struct spf_query q = query("example.org");
	bool whole = false;
	for (long k = 0; k < 400 && !whole; k++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 20 };
		struct spf_result r;
		mem_count = 0;
		mem_fail_at = k;
		spf_check(&dns, &q, NULL, &a, &r);
		whole = mem_count <= k;
		mem_fail_at = -1;
		/* Less memory never makes a pass. */
		assert_true(r.result != AUTH_PASS);
	}
	assert_true(whole);
	dns_table_free(&t);
}

/* ---- Received-SPF, iprev, addresses ---- */

static void received_spf_says_it_all(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 4096 };
	struct spf_query q = query("example.org");
	q.local = STR("a\"b");
	CHECK("example.org. 60 IN TXT \"v=spf1 ip4:192.0.2.1 -all\"\n", &q);
	spf_received(&q, &r, &out);
	SAME(buf_str(&out), STR("Received-SPF: pass (192.0.2.1 may send for example.org \\(ip4:192.0.2.1\\))\r\n\treceiver=mx.example.net;\r\n\tclient-ip=192.0.2.1;"
	                        "\r\n\tenvelope-from=\"a\\\"b@example.org\";\r\n\thelo=mx.example.org;\r\n\tidentity=mailfrom;\r\n\tmechanism=\"ip4:192.0.2.1\"\r\n"));
}

static void a_hostile_helo_cannot_forge_a_field(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 4096 };
	struct spf_query q = query("exa\r\nX: y.org");
	q.helo = STR("a\r\nX-Evil: \"yes\"\r\n\r\nbody");
	CHECK("", &q);
	assert_int_equal(r.result, AUTH_NONE);
	spf_received(&q, &r, &out);
	assert_true(str_find_str(buf_str(&out), STR("\nX")) == out.len);
	assert_true(str_ends(buf_str(&out), STR("\r\n")));
}

static void iprev_wants_the_name_to_lead_back(void **state)
{
	static const struct { const char *zone, *name; enum auth result; } cases[] = {
		{ "1.2.0.192.in-addr.arpa. 60 IN PTR a.example.\na.example. 60 IN A 192.0.2.1\n", "a.example", AUTH_PASS },
		{ "1.2.0.192.in-addr.arpa. 60 IN PTR a.example.\na.example. 60 IN A 192.0.2.2\n", "", AUTH_FAIL },
		{ "1.2.0.192.in-addr.arpa. 60 IN PTR a.example.\n1.2.0.192.in-addr.arpa. 60 IN PTR b.example.\nb.example. 60 IN A 192.0.2.1\n", "b.example", AUTH_PASS },
		{ "x.example. 60 IN A 192.0.2.2\n", "", AUTH_PERMERROR },
		{ "; TIMEOUT 1.2.0.192.in-addr.arpa. PTR\n", "", AUTH_TEMPERROR },
		{ "; TIMEOUT a.example. A\n1.2.0.192.in-addr.arpa. 60 IN PTR a.example.\n", "", AUTH_TEMPERROR },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(arena_done) struct arena a = { .max = 10000 };
		struct dns_table *t = zone_of(cases[i].zone);
		struct dns dns = dns_table_dns(t);
		struct str name;
		assert_int_equal(iprev_check(&dns, str_of(mapped, 16), &a, &name), cases[i].result);
		SAME(name, str_z(cases[i].name));
		dns_table_free(&t);
	}
}

static void addresses_are_read_strictly_and_written_by_rfc_5952(void **state)
{
	static const struct { const char *in, *out; } good[] = {
		{ "2001:db8::1", "2001:db8::1" }, { "2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1" }, { "::", "::" }, { "::1", "::1" }, { "1::", "1::" },
		{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" }, { "::ffff:192.0.2.1", "::ffff:c000:201" }, { "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
		{ "1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:c000:201" },
	};
	static const char *const bad[] = { "", ":", "1", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "::g", "1:2:3:4:5:6:7:8::", "::1.2.3", "1.2.3.4::",
		"::1.2.3.4:5", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "1:2:3:4:5:6:7:192.0.2.1" };
	uint8_t b[16];
	char text[IP_TEXT_MAX];
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_true(ip6_parse(str_z(good[i].in), b));
		SAME(ip_format(str_of(b, 16), text), str_z(good[i].out));
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (ip6_parse(str_z(bad[i]), b))
			fail_msg("taken: %s", bad[i]);
	static const char *const bad4[] = { "", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.", ".1.2.3", "1.2.3.4 ", "1.2.3.-4", "0x1.2.3.4" };
	for (size_t i = 0; i < sizeof bad4 / sizeof bad4[0]; i++)
		if (ip4_parse(str_z(bad4[i]), b))
			fail_msg("taken: %s", bad4[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pass_names_the_mechanism_and_the_reason), cmocka_unit_test(the_null_sender_is_judged_by_helo),
		cmocka_unit_test(a_mapped_address_is_ipv4), cmocka_unit_test(a_bogus_answer_is_a_temporary_error_and_says_so),
		cmocka_unit_test(a_broken_record_is_a_permanent_error_with_the_reason), cmocka_unit_test(macros_expand_as_in_the_rfc),
		cmocka_unit_test(an_ipv6_address_expands_to_nibbles), cmocka_unit_test(an_explanation_is_only_ascii),
		cmocka_unit_test(ten_thousand_includes_cost_eleven_questions), cmocka_unit_test(a_record_that_includes_or_redirects_to_itself_ends),
		cmocka_unit_test(a_record_past_4_kib_is_a_permanent_error), cmocka_unit_test(a_txt_of_a_mebibyte_is_refused_at_once),
		cmocka_unit_test(questions_are_bounded_whatever_the_records_say), cmocka_unit_test(a_macro_bomb_is_cut_to_a_name),
		cmocka_unit_test(three_terms_with_nothing_for_an_answer_are_too_many), cmocka_unit_test(no_memory_gives_a_result),
		cmocka_unit_test(received_spf_says_it_all), cmocka_unit_test(a_hostile_helo_cannot_forge_a_field),
		cmocka_unit_test(iprev_wants_the_name_to_lead_back), cmocka_unit_test(addresses_are_read_strictly_and_written_by_rfc_5952),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
