#include "role/dns_want.h"

#include "role/dkim_clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* What is published against what is wanted; answers come from a table as a name server would give them. */

static const char zone[] = "$ORIGIN example.org.\n$TTL 60\n"
	"mail A 192.0.2.1\n     AAAA 2001:db8::1\n"
	"_spf TXT \"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all\"\n; TIMEOUT _late.example.org. TXT\n";

struct bench { struct dns_table *t; struct arena a; struct config c; struct dns_wants w; };

static void set_up(struct bench *b, const char *more)
{
	struct why why = { 0 };
	arena_init(&b->a, 1 << 20);
	config_init(&b->c);
	b->c.server_hostname = STR("mail.example.org");
	assert_int_equal(dns_table_new(&b->t), RC_OK);
	assert_int_equal(dns_table_read(b->t, str_z(zone), STR(""), &why), RC_OK);
	assert_int_equal(dns_table_read(b->t, str_z(more), STR("example.org"), &why), RC_OK);
	b->w = (struct dns_wants){ .dns = dns_table_dns(b->t), .address = { STR("\300\0\2\1"), STR("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1") }, .address_n = 2 };
}

static void tear_down(struct bench *b)
{
	dns_table_free(&b->t);
	config_done(&b->c);
	arena_done(&b->a);
}

static const struct dns_want *find(const struct dns_wants *all, const char *name, unsigned type)
{
	for (size_t i = 0; i < all->n; i++)
		if (str_eq(all->w[i].name, str_z(name)) && all->w[i].type == type)
			return &all->w[i];
	return NULL;
}

static void a_published_record_compares_by_what_it_does(void **state)
{
	static const struct { const char *name; unsigned type; const char *published; enum dns_check want; const char *should; } cases[] = {
		{ "example.org", DNS_TXT, "@ TXT \"v=spf1 include:_spf.example.org -all\"", DNS_RIGHT, NULL },
		{ "example.org", DNS_TXT, "@ TXT \"v=spf1 mx -all\"\n@ MX 10 mail", DNS_RIGHT, NULL },
		{ "example.org", DNS_TXT, "@ TXT \"v=spf1 -all mx\"\n@ MX 10 mail", DNS_DIFFERENT, "v=spf1 mx -all mx" },
		{ "example.org", DNS_TXT, "@ TXT \"v=spf1 ip4:192.0.2.1 -all\"", DNS_DIFFERENT, "v=spf1 mx ip4:192.0.2.1 -all" },
		{ "example.org", DNS_TXT, "@ TXT \"v=spf1 include:_late.example.org -all\"", DNS_UNCHECKED, NULL },
		{ "example.org", DNS_TXT, "@ TXT \"v=spf1 mx -all\"\n@ TXT \"v=spf1 -all\"", DNS_DIFFERENT, "v=spf1 mx -all" },
		{ "example.org", DNS_TXT, "@ TXT \"google-site-verification=1\"", DNS_MISSING, NULL },
		{ "_dmarc.example.org", DNS_TXT, "_dmarc TXT \"v=DMARC1; p=reject; rua=mailto:Dmarc-Reports@example.org\"", DNS_RIGHT, NULL },
		{ "_dmarc.example.org", DNS_TXT, "_dmarc TXT \"v=DMARC1; p=reject; rua=mailto:x@v.example!10m ; pct=100\"", DNS_DIFFERENT,
		  "v=DMARC1; p=reject; rua=mailto:x@v.example!10m,mailto:dmarc-reports@example.org ; pct=100" },
		{ "_dmarc.example.org", DNS_TXT, "_dmarc TXT \"v=DMARC1; p=reject;\"", DNS_DIFFERENT, "v=DMARC1; p=reject; rua=mailto:dmarc-reports@example.org" },
		{ "_dmarc.example.org", DNS_TXT, "_dmarc TXT \"v=DMARC1; p=rejekt\"", DNS_DIFFERENT, "v=DMARC1; p=none; rua=mailto:dmarc-reports@example.org" },
		{ "_smtp._tls.example.org", DNS_TXT, "_smtp._tls TXT \"v=TLSRPTv1; rua=https://r.example/tls\"", DNS_DIFFERENT,
		  "v=TLSRPTv1; rua=https://r.example/tls,mailto:tls-reports@example.org" },
		{ "_smtp._tls.example.org", DNS_TXT, "", DNS_MISSING, NULL },
		{ "_mta-sts.example.org", DNS_TXT, "", DNS_UNUSED, NULL },
		{ "_mta-sts.example.org", DNS_TXT, "_mta-sts TXT \"v=STSv1; id=2026_1\"", DNS_DIFFERENT, NULL },
		{ "mta-sts.example.org", DNS_CNAME, "mta-sts CNAME elsewhere.example.", DNS_DIFFERENT, NULL },
		{ "example.org", DNS_MX, "@ MX 5 mail", DNS_RIGHT, NULL },
		{ "example.org", DNS_MX, "@ MX 5 mail\n@ MX 20 backup", DNS_EXTRA, NULL },
		{ "_imaps._tcp.example.org", DNS_SRV, "_imaps._tcp SRV 0 1 9930 mail", DNS_RIGHT, NULL },
		{ "_pop3s._tcp.example.org", DNS_SRV, "", DNS_UNUSED, NULL },
		{ "_pop3s._tcp.example.org", DNS_SRV, "_pop3s._tcp SRV 0 1 995 mail", DNS_EXTRA, NULL },
		{ "_pop3s._tcp.example.org", DNS_SRV, "_pop3s._tcp SRV 0 0 0 .", DNS_RIGHT, NULL },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bench b;
		struct dns_answer x;
		struct str is, should;
		struct why why;
		set_up(&b, cases[i].published);
		assert_int_equal(config_listen(&b.c, LISTEN_IMAPS, false, STR("0.0.0.0:9930"), &why), RC_OK);
		dns_wants(&b.c, STR("example.org"), NULL, 0, &b.a, &b.w);
		const struct dns_want *w = find(&b.w, cases[i].name, cases[i].type);
		assert_non_null(w);
		dns_ask(&b.w.dns, w->type, w->name, &b.a, &x);
		if (dns_compare(&b.w, w, &x, &b.a, &is, &should) != cases[i].want)
			fail_msg("case %zu (%s): %.*s", i, cases[i].published, PSTR(is));
		if (cases[i].should && !str_eq(should, str_z(cases[i].should)))
			fail_msg("case %zu: should be %.*s", i, PSTR(should));
		tear_down(&b);
	}
}

static void reports_that_another_domain_takes_need_its_consent(void **state)
{
	static const struct { const char *address; bool consent; } cases[] = {
		{ "dmarc@reports.example.org", false }, { "dmarc@viewer.example", true }, { "dmarc-reports@DOMAIN", false }, { "", false },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bench b;
		set_up(&b, "");
		b.c.reports_dmarc_address = str_z(cases[i].address);
		dns_wants(&b.c, STR("example.org"), NULL, 0, &b.a, &b.w);
		assert_int_equal(find(&b.w, "example.org._report._dmarc.viewer.example", DNS_TXT) != NULL, cases[i].consent);
		tear_down(&b);
	}
}

static void without_an_address_spf_cannot_be_checked_and_each_address_wants_its_name(void **state)
{
	struct bench b;
	struct dns_answer x;
	struct str is, should;
	(void)state;
	set_up(&b, "@ TXT \"v=spf1 mx -all\"");
	dns_wants(&b.c, STR("example.org"), NULL, 0, &b.a, &b.w);
	assert_non_null(find(&b.w, "1.2.0.192.in-addr.arpa", DNS_PTR));
	b.w.address_n = 0;
	const struct dns_want *w = find(&b.w, "example.org", DNS_TXT);
	dns_ask(&b.w.dns, w->type, w->name, &b.a, &x);
	assert_int_equal(dns_compare(&b.w, w, &x, &b.a, &is, &should), DNS_UNCHECKED);
	tear_down(&b);
}

static void our_mta_sts_record_has_the_id_of_our_policy(void **state)
{
	struct bench b;
	AUTO(buf_done) struct buf document = { .max = 4096 };
	struct dns_answer x;
	struct str is, should;
	char id[33], right[80];
	set_up(&b, "mta-sts A 192.0.2.9\n_mta-sts TXT \"v=STSv1; id=1\"");
	b.c.sts_mode = STR("testing");
	dns_wants(&b.c, STR("example.org"), NULL, 0, &b.a, &b.w);
	assert_int_equal(dns_sts_policy(&b.c, &document, id), RC_OK);
	assert_true(str_eq(buf_str(&document), STR("version: STSv1\r\nmode: testing\r\nmx: mail.example.org\r\nmax_age: 604800\r\n")));
	const struct dns_want *w = find(&b.w, "_mta-sts.example.org", DNS_TXT), *host = find(&b.w, "mta-sts.example.org", DNS_A);
	assert_true(w && host && !w->unused && !host->unused);
	(void)snprintf(right, sizeof right, "v=STSv1; id=%s", id);
	assert_true(str_eq(w->value, str_z(right)));
	dns_ask(&b.w.dns, DNS_TXT, w->name, &b.a, &x);
	assert_int_equal(dns_compare(&b.w, w, &x, &b.a, &is, &should), DNS_DIFFERENT); /* an id of another policy */
	assert_true(str_eq(should, str_z(right)));
	x.record[0].data = str_z(right);
	assert_int_equal(dns_compare(&b.w, w, &x, &b.a, &is, &should), DNS_RIGHT);
	dns_ask(&b.w.dns, DNS_A, host->name, &b.a, &x);
	assert_int_equal(dns_compare(&b.w, host, &x, &b.a, &is, &should), DNS_RIGHT);
	tear_down(&b);
}

#define ED_P "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" /* RFC 8463 A.2 */
static void a_dkim_record_is_published_when_verifiers_would_take_it(void **state)
{
	static const struct { struct str published; bool same; } cases[] = {
		{ STR_INIT("v=DKIM1; k=ed25519; p=" ED_P), true }, { STR_INIT("k=ed25519; t=y:s; n=ours; p=11qYAYKxCrfVS/7TyWQHOg7 hcvPapiMlrwIaaPcHURo= ;"), true },
		{ STR_INIT("v=DKIM1; h=sha1:sha256; s=email; k=ed25519; p=" ED_P), true }, { STR_INIT("k=ed25519; p=" ED_P "; v=DKIM1"), false },
		{ STR_INIT("v=DKIM 1; k=ed25519; p=" ED_P), false }, { STR_INIT("v=DKIM1; k=ed25519; h=sha1; p=" ED_P), false },
		{ STR_INIT("v=DKIM1; k=ed25519; s=tlsrpt; p=" ED_P), false }, { STR_INIT("v=DKIM1; p=" ED_P), false }, { STR_INIT("v=DKIM1; k=ed25519; p="), false },
		{ STR_INIT("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHUSo="), false }, { STR_INIT("\\\"v=DKIM1\\; k=ed25519\\; p=" ED_P), false },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (dkim_clock_same(cases[i].published, STR("v=DKIM1; k=ed25519; p=" ED_P)) != cases[i].same)
			fail_msg("%.*s", PSTR(cases[i].published));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_mta_sts_record_has_the_id_of_our_policy),
		cmocka_unit_test(a_published_record_compares_by_what_it_does),
		cmocka_unit_test(a_dkim_record_is_published_when_verifiers_would_take_it),
		cmocka_unit_test(reports_that_another_domain_takes_need_its_consent),
		cmocka_unit_test(without_an_address_spf_cannot_be_checked_and_each_address_wants_its_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
