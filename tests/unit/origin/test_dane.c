/* DANE for SMTP (RFC 7672): which TLSA records hold for a host, over a table that stands in for a DNS. */
#include "origin/dane.h"

#include "fake_dns.h"

#define H32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
static const char world[] =
	"$TTL 300\n"
	"; SECURE signed.example\n"
	"mx.signed.example.            A 192.0.2.1\n"
	"_25._tcp.mx.signed.example.   TLSA 3 1 1 " H32 "\n"
	"_25._tcp.mx.signed.example.   TLSA 2 0 1 " H32 "\n"
	"_2525._tcp.mx.signed.example. TLSA 3 1 1 " H32 "\n"
	"six.signed.example.           AAAA 2001:db8::1\n"
	"_25._tcp.six.signed.example.  TLSA 3 0 2 " H32 H32 "\n"
	"bare.signed.example.          A 192.0.2.2\n"
	/* usages of the web's kind, unknown selectors and matching types, hashes of the wrong length, nothing */
	"pkix.signed.example.          A 192.0.2.3\n"
	"_25._tcp.pkix.signed.example. TLSA 0 0 1 " H32 "\n"
	"_25._tcp.pkix.signed.example. TLSA 1 1 1 " H32 "\n"
	"_25._tcp.pkix.signed.example. TLSA 3 2 1 " H32 "\n"
	"_25._tcp.pkix.signed.example. TLSA 3 1 3 " H32 "\n"
	"_25._tcp.pkix.signed.example. TLSA 3 1 1 " H32 "00\n"
	"_25._tcp.pkix.signed.example. TLSA 3 1 2 " H32 "\n"
	"mixed.signed.example.         A 192.0.2.4\n"
	"_25._tcp.mixed.signed.example. TLSA 1 1 1 " H32 "\n"
	"_25._tcp.mixed.signed.example. TLSA 3 1 0 3059\n"
	/* errors */
	"; BOGUS _25._tcp.lie.signed.example TLSA\n"
	"lie.signed.example.           A 192.0.2.5\n"
	"; TIMEOUT _25._tcp.slow.signed.example TLSA\n"
	"slow.signed.example.          A 192.0.2.6\n"
	"; BOGUS gone.signed.example A\n"
	"; BOGUS gone.signed.example AAAA\n"
	"; TIMEOUT half.signed.example AAAA\n"
	"half.signed.example.          A 192.0.2.7\n"
	"_25._tcp.half.signed.example. TLSA 3 1 1 " H32 "\n"
	"; TIMEOUT rest.signed.example AAAA\n"
	"rest.signed.example.          TXT only\n"
	/* aliases */
	"alias.signed.example.         CNAME end.signed.example.\n"
	"end.signed.example.           A 192.0.2.8\n"
	"_25._tcp.end.signed.example.  TLSA 3 1 1 " H32 "\n"
	"_25._tcp.alias.signed.example. TLSA 2 1 1 " H32 "\n"
	"first.signed.example.         CNAME bare.signed.example.\n"
	"_25._tcp.first.signed.example. TLSA 3 1 1 " H32 "\n"
	"out.signed.example.           CNAME mx.plain.example.\n"
	"_25._tcp.out.signed.example.  TLSA 3 1 1 " H32 "\n"
	"none.signed.example.          CNAME mx.plain.example.\n"
	"; BOGUS _25._tcp.end2.signed.example TLSA\n"
	"alias2.signed.example.        CNAME end2.signed.example.\n"
	"end2.signed.example.          A 192.0.2.9\n"
	"_25._tcp.alias2.signed.example. TLSA 3 1 1 " H32 "\n"
	/* TLSA records that lead out of what is signed */
	"lead.signed.example.          A 192.0.2.10\n"
	"_25._tcp.lead.signed.example. CNAME tlsa.plain.example.\n"
	"tlsa.plain.example.           TLSA 3 1 1 " H32 "\n"
	"common.signed.example.        A 192.0.2.11\n"
	"_25._tcp.common.signed.example. CNAME tlsa.signed.example.\n"
	"tlsa.signed.example.          TLSA 2 1 1 " H32 "\n"
	/* not signed at all */
	"mx.plain.example.             A 192.0.2.12\n"
	"_25._tcp.mx.plain.example.    TLSA 3 1 1 " H32 "\n"
	"in.plain.example.             CNAME mx.signed.example.\n";

struct result { struct dane_host h; uint64_t asked; };

static struct result look(const char *host, uint16_t port, bool mx_secure, struct arena *a)
{
	struct dns_table *t = zone_of(world);
	struct dns d = dns_table_dns(t);
	struct result r;
	dane_look_up(&d, STR("hop.example"), str_z(host), port, mx_secure, a, &r.h);
	r.asked = dns_table_asked(t);
	assert_true(r.asked <= 6);
	assert_true(r.h.why.n > 0);
	dns_table_free(&t);
	return r;
}

static void each_host_has_its_state(void **state)
{
	static const struct { const char *host; enum dane_state want; size_t n; const char *base, *why; } cases[] = {
		{ "mx.signed.example", DANE_USABLE, 2, "mx.signed.example", "2 TLSA records at _25._tcp.mx.signed.example" },
		{ "MX.Signed.Example.", DANE_USABLE, 2, "MX.Signed.Example", "2 TLSA records" },
		{ "six.signed.example", DANE_USABLE, 1, "six.signed.example", "1 TLSA record at" },
		{ "bare.signed.example", DANE_NONE, 0, "bare.signed.example", "has no TLSA records" },
		/* RFC 7672 3.1.3: "SMTP client treatment of TLSA RRs with certificate usages PKIX-TA(0) or PKIX-EE(1) is undefined": unusable, so TLS without a name */
		{ "pkix.signed.example", DANE_UNUSABLE, 0, "pkix.signed.example", "are of no kind that holds for SMTP" },
		{ "mixed.signed.example", DANE_USABLE, 1, "mixed.signed.example", "1 TLSA record at" },
		/* RFC 7672 2.1.2: errors are never taken for "there are none" */
		{ "lie.signed.example", DANE_LATER, 0, "lie.signed.example", "the DNS's signatures are wrong" },
		{ "slow.signed.example", DANE_LATER, 0, "slow.signed.example", "the DNS gave no answer" },
		{ "gone.signed.example", DANE_LATER, 0, "gone.signed.example", "the address of gone.signed.example" },
		{ "half.signed.example", DANE_USABLE, 1, "half.signed.example", "1 TLSA record at" },
		{ "rest.signed.example", DANE_LATER, 0, "rest.signed.example", "the address of rest.signed.example" },
		{ "nobody.signed.example", DANE_NONE, 0, "nobody.signed.example", "has no address" },
		/* RFC 7672 2.2.2: the name at the end of the aliases first, then the one of the MX record */
		{ "alias.signed.example", DANE_USABLE, 1, "end.signed.example", "_25._tcp.end.signed.example" },
		{ "first.signed.example", DANE_USABLE, 1, "first.signed.example", "_25._tcp.first.signed.example" },
		{ "alias2.signed.example", DANE_LATER, 0, "alias2.signed.example", "the TLSA records of end2.signed.example" },
		/* ... and only the latter where a signed alias leads to what is not signed */
		{ "out.signed.example", DANE_USABLE, 1, "out.signed.example", "_25._tcp.out.signed.example" },
		{ "none.signed.example", DANE_NONE, 0, "none.signed.example", "has no TLSA records" },
		{ "lead.signed.example", DANE_NONE, 0, "lead.signed.example", "has no TLSA records" },
		{ "common.signed.example", DANE_USABLE, 1, "common.signed.example", "1 TLSA record at" },
		{ "mx.plain.example", DANE_NONE, 0, "mx.plain.example", "is not signed" },
		{ "in.plain.example", DANE_NONE, 0, "in.plain.example", "is not signed" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 20 };
		struct result r = look(cases[i].host, 25, true, &a);
		if (r.h.state != cases[i].want || r.h.n != cases[i].n || !str_eq(r.h.base, str_z(cases[i].base)) || str_find_str(r.h.why, str_z(cases[i].why)) == r.h.why.n)
			fail_msg("%s: state %d, %zu records, base %.*s, %.*s", cases[i].host, (int)r.h.state, r.h.n, PSTR(r.h.base), PSTR(r.h.why));
	}
}

static void the_names_of_a_certificate_are_base_next_hop_and_mx(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct result r = look("alias.signed.example", 25, true, &a);
	assert_int_equal(r.h.name_n, 3);
	SAME(r.h.names[0], STR("end.signed.example"));
	SAME(r.h.names[1], STR("hop.example"));
	SAME(r.h.names[2], STR("alias.signed.example"));
	r = look("mx.signed.example", 25, true, &a);
	assert_int_equal(r.h.name_n, 2);
	SAME(r.h.names[0], STR("mx.signed.example"));
	SAME(r.h.names[1], STR("hop.example"));
}

static void records_are_of_the_port_that_is_dialled(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	assert_int_equal(look("mx.signed.example", 2525, true, &a).h.n, 1);
	assert_int_equal(look("mx.signed.example", 465, true, &a).h.state, DANE_NONE);
}

/* RFC 7672 2.2.2: no TLSA question below addresses that are not signed. */
static void an_unsigned_host_costs_no_question_for_records(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	assert_int_equal(look("mx.plain.example", 25, true, &a).asked, 2);
	assert_int_equal(look("bare.signed.example", 25, true, &a).asked, 3);
}

static void an_unsigned_mx_record_is_said(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct result r = look("mx.signed.example", 25, false, &a);
	assert_int_equal(r.h.state, DANE_USABLE);
	assert_true(str_find_str(r.h.why, STR("the MX record itself is not signed")) < r.h.why.n);
}

static void without_memory_the_host_is_not_used(void **state)
{
	struct dns_table *t = zone_of(world);
	struct dns d = dns_table_dns(t);
	for (size_t max = 0; max < 6000; max += 50) {
		AUTO(arena_done) struct arena a = { .max = max };
		struct dane_host h;
		dane_look_up(&d, STR("hop.example"), STR("mx.signed.example"), 25, true, &a, &h);
		assert_true(h.state == DANE_LATER || (h.state == DANE_USABLE && h.n == 2));
	}
	dns_table_free(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_host_has_its_state),
		cmocka_unit_test(the_names_of_a_certificate_are_base_next_hop_and_mx),
		cmocka_unit_test(records_are_of_the_port_that_is_dialled),
		cmocka_unit_test(an_unsigned_host_costs_no_question_for_records),
		cmocka_unit_test(an_unsigned_mx_record_is_said),
		cmocka_unit_test(without_memory_the_host_is_not_used),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
