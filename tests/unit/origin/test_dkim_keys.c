/* DKIM: what the records of keys allow, and what no key may cost. */
#include "dkim_kit.h"

#include "base/codec.h"
#include "base/mem.h"

#define KIT struct kit *k = *state

static void keys_are_used_as_their_records_allow(void **state)
{
	KIT;
	static const char p[] = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
	static const struct {
		const char *record;
		enum auth result;
		const char *why;
	} cases[] = {
		{ "v=DKIM1; k=ed25519; p=%s", AUTH_PASS, "fit" },
		{ "k=ed25519; p=%s", AUTH_PASS, "fit" },
		{ "v=DKIM1; k=ed25519; p=%s; g=x*; n=note; unknown=1;", AUTH_PASS, "fit" },
		{ "v=DKIM1; k=ed25519; h=sha1:sha256; s=tlsrpt:email; t=y:s; p=%s", AUTH_PASS, "fit" },
		{ "v=DKIM1; k=ed25519; s=*; p=%s", AUTH_PASS, "fit" },
		{ "v=DKIM1; k=ed25519; h=sha1; p=%s", AUTH_PERMERROR, "the key's h=" },
		{ "v=DKIM1; k=ed25519; s=chat; p=%s", AUTH_PERMERROR, "the key's s=" },
		{ "v=DKIM1; k=ed25519; p=", AUTH_PERMERROR, "revoked" },
		{ "v=DKIM1; k=ed25519", AUTH_PERMERROR, "has no p=" },
		{ "v=DKIM2; k=ed25519; p=%s", AUTH_PERMERROR, "not DKIM1" },
		{ "k=ed25519; v=DKIM1; p=%s", AUTH_PERMERROR, "not first" },
		{ "v=DKIM1; k=ed25519; p=%s; p=%s", AUTH_PERMERROR, "twice" },
		{ "v=DKIM1; k=ed448; p=%s", AUTH_PERMERROR, "k=ed448 is not known" },
		{ "v=DKIM1; k=rsa; p=%s", AUTH_PERMERROR, "no RSA key" },
		{ "v=DKIM1; k=ed25519; p=AAAA", AUTH_PERMERROR, "has 3 octets" },
		{ "v=DKIM1; k=ed25519; p=!%s", AUTH_PERMERROR, "not base64" },
		{ "v=spf1 -all", AUTH_PERMERROR, "not DKIM1" },
		{ "", AUTH_PERMERROR, "has no p=" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char name[64], record[256];
		snprintf(name, sizeof name, "k%zu._domainkey.example.org", i);
		k->ed.ref.selector = str_of(name, str_find(str_z(name), '.'));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(record, sizeof record, cases[i].record, p, p);
#pragma GCC diagnostic pop
		kit_key(k, name, record);
		kit_sign(k, kit_message);
		struct dkim_signature s = kit_only(k);
		if (s.result != cases[i].result)
			fail_msg("%s: %s: %.*s", record, auth_name(s.result), PSTR(s.why));
		assert_true(kit_why(&s, cases[i].why));
		assert_int_equal(s.testing, strstr(cases[i].record, "t=y") != NULL);
	}
}

static void a_strict_key_takes_no_identity_below_its_domain(void **state)
{
	KIT;
	kit_key(k, "strict._domainkey.example.org", "v=DKIM1; k=ed25519; t=s; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
	k->ed.ref.selector = STR("strict");
	k->s.identity = STR("ann@example.org");
	kit_sign(k, kit_message);
	assert_int_equal(kit_only(k).result, AUTH_PASS);
	k->s.identity = STR("ann@sub.example.org");
	kit_sign(k, kit_message);
	struct dkim_signature s = kit_only(k);
	assert_int_equal(s.result, AUTH_PERMERROR);
	assert_true(kit_why(&s, "t=s"));
}

/* RFC 8460 3: "The DKIM TXT record SHOULD contain the appropriate service type declaration, "s=tlsrpt"." */
static void a_key_for_tls_reports_counts_where_reports_are_read_and_nowhere_else(void **state)
{
	KIT;
	static const struct { const char *s; bool mail, reports; } cases[] = {
		{ "s=tlsrpt; ", false, true }, { "s=email:tlsrpt; ", true, true }, { "s=email; ", true, true }, { "s=*; ", true, true }, { "s=other; ", false, false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char name[64], record[256];
		snprintf(name, sizeof name, "s%zu._domainkey.example.org", i);
		snprintf(record, sizeof record, "v=DKIM1; k=ed25519; %sp=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", cases[i].s);
		k->ed.ref.selector = str_of(name, 2);
		kit_key(k, name, record);
		kit_sign(k, kit_message);
		k->o.tls_reports = false;
		assert_int_equal(kit_only(k).result, cases[i].mail ? AUTH_PASS : AUTH_PERMERROR);
		k->o.tls_reports = true;
		assert_int_equal(kit_only(k).result, cases[i].reports ? AUTH_PASS : AUTH_PERMERROR);
	}
}

static void of_several_records_the_first_that_is_a_key_counts(void **state)
{
	KIT;
	kit_key(k, "many._domainkey.example.org", "v=spf1 -all");
	kit_key(k, "many._domainkey.example.org", "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
	k->ed.ref.selector = STR("many");
	kit_sign(k, kit_message);
	assert_int_equal(kit_only(k).result, AUTH_PASS);
}

static void a_dns_that_does_not_answer_is_a_temporary_error(void **state)
{
	KIT;
	static const enum dns_status bad[] = { DNS_TEMPFAIL, DNS_BOGUS };
	for (size_t i = 0; i < 2; i++) {
		char name[64];
		snprintf(name, sizeof name, "t%zu._domainkey.example.org", i);
		k->ed.ref.selector = str_of(name, 2);
		assert_int_equal(dns_table_fail(k->table, str_z(name), DNS_TXT, bad[i]), RC_OK);
		kit_sign(k, kit_message);
		struct dkim_signature s = kit_only(k);
		assert_int_equal(s.result, AUTH_TEMPERROR);
		assert_true(s.body_ok);
		assert_true(kit_why(&s, "could not be asked for"));
	}
}

static void short_rsa_keys_are_refused(void **state)
{
	KIT;
	kit_key(k, "short._domainkey.example.org", /* 512 bits, of Mail::DKIM's fame; its private half matters not */
	        "p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALgSoqXVSEmfcIsOzw7oRuCCOwsmtX/SJnTWxYyj2leFxfS/AVJ+dYfY+hXqMsT7l+MZvvh/R1WzN4MO/kI/7XsCAwEAAQ==");
	kit_rsa(k);
	k->rsa.ref.selector = STR("short");
	assert_int_equal(dkim_sign(str_z(kit_message), &k->rsa.ref, 1, &k->s, &k->out, &k->why), RC_OK);
	buf_add(&k->out, str_z(kit_message));
	struct dkim_signature s = kit_only(k);
	assert_int_equal(s.result, AUTH_PERMERROR);
	assert_int_equal(s.key_bits, 512);
	assert_true(kit_why(&s, "only 512 bits"));
}

static void rsa_keys_that_cost_too_much_or_are_none_are_refused(void **state)
{
	KIT;
	static const char *const p[] = {
		"MAA=", "MAYCAQECAQE=", "MIIBCgKCAQEA", "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQ==", "AAAA", "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
	};
	kit_rsa(k);
	for (size_t i = 0; i < sizeof p / sizeof p[0]; i++) {
		char name[64], record[512];
		snprintf(name, sizeof name, "r%zu._domainkey.example.org", i);
		snprintf(record, sizeof record, "v=DKIM1; p=%s", p[i]);
		kit_key(k, name, record);
		k->rsa.ref.selector = str_of(name, 2);
		buf_clear(&k->out);
		assert_int_equal(dkim_sign(str_z(kit_message), &k->rsa.ref, 1, &k->s, &k->out, &k->why), RC_OK);
		buf_add(&k->out, str_z(kit_message));
		assert_int_equal(kit_only(k).result, AUTH_PERMERROR);
	}
}

static void a_thousand_keys_do_not_fill_the_store(void **state)
{
	KIT;
	kit_sign(k, kit_message);
	for (int i = 0; i < 1000; i++) {
		char name[64], record[128];
		snprintf(name, sizeof name, "n%d._domainkey.example.org", i);
		snprintf(record, sizeof record, "v=DKIM1; k=ed25519; n=%d; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", i);
		kit_key(k, name, record);
		k->ed.ref.selector = str_of(name, str_find(str_z(name), '.'));
		kit_sign(k, kit_message);
		assert_int_equal(kit_only(k).result, AUTH_PASS);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)
	const struct CMUnitTest tests[] = {
		T(keys_are_used_as_their_records_allow),
		T(a_strict_key_takes_no_identity_below_its_domain),
		T(a_key_for_tls_reports_counts_where_reports_are_read_and_nowhere_else),
		T(of_several_records_the_first_that_is_a_key_counts),
		T(a_dns_that_does_not_answer_is_a_temporary_error),
		T(short_rsa_keys_are_refused),
		T(rsa_keys_that_cost_too_much_or_are_none_are_refused),
		T(a_thousand_keys_do_not_fill_the_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
