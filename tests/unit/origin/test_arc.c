/* ARC: chains made here and verified here, and every way to break one. The published suite is run by tests/conformance/origin/arc_vectors.py. */
#include "dkim_kit.h"

#define KIT struct kit *k = *state

/* k->out = k->out (or the plain message) with one more set, sealed by the given domain. */
static enum rc seal(struct kit *k, const char *domain, enum auth chain)
{
	struct dkim_key_ref key = k->ed.ref;
	struct buf m;
	buf_init(&m, 64 << 20);
	if (k->out.len == 0)
		buf_add(&k->out, str_z(kit_message));
	key.domain = str_z(domain);
	enum rc rc = arc_seal(buf_str(&k->out), &key, STR("mx.example.net; spf=pass;\r\n\tdkim=pass header.d=example.org"), chain, &k->s, &m, &k->why);
	if (rc == RC_OK) {
		buf_add(&m, buf_str(&k->out));
		buf_done(&k->out);
		k->out = m;
	} else {
		assert_int_equal(m.len, 0);
		buf_done(&m);
	}
	return rc;
}

static void publish(struct kit *k, const char *domain)
{
	char name[128];
	snprintf(name, sizeof name, "sel-ed._domainkey.%s", domain);
	kit_key(k, name, "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
}

static void chain_of(struct kit *k, unsigned n)
{
	static const char *const domain[] = { "example.org", "one.example", "two.example" };
	publish(k, "one.example");
	publish(k, "two.example");
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(seal(k, domain[i % 3], i ? AUTH_PASS : AUTH_NONE), RC_OK);
}

static struct arc_result judged(struct kit *k) { return kit_verify(k, buf_str(&k->out)).arc; }

static void fails(struct kit *k, const char *why)
{
	struct arc_result r = judged(k);
	if (r.result != AUTH_FAIL || str_find_str(r.why, str_z(why)) == r.why.n)
		fail_msg("%s: %.*s; wanted: %s", auth_name(r.result), PSTR(r.why), why);
}

static void a_message_without_arc_has_none(void **state)
{
	KIT;
	struct arc_result r = kit_verify(k, str_z(kit_message)).arc;
	assert_int_equal(r.result, AUTH_NONE);
	assert_int_equal(r.sets, 0);
	assert_int_equal(r.sealer.n, 0);
}

static void a_chain_of_three_passes_and_names_its_sealers(void **state)
{
	KIT;
	chain_of(k, 3);
	struct arc_result r = judged(k);
	assert_int_equal(r.result, AUTH_PASS);
	assert_int_equal(r.sets, 3);
	assert_int_equal(r.oldest_pass, 0);
	assert_true(str_eq(r.sealer, STR("two.example")));
	assert_true(str_eq(r.sealers[0], STR("example.org")) && str_eq(r.sealers[1], STR("one.example")));
	assert_true(str_eq(r.aar, STR("mx.example.net; spf=pass;\r\n\tdkim=pass header.d=example.org")));
	assert_true(str_eq(r.first_aar, r.aar));
}

static void every_canonicalisation_and_form_seals(void **state)
{
	KIT;
	kit_rsa(k);
	for (unsigned i = 0; i < 8; i++) {
		k->s.header = i & 1 ? DKIM_SIMPLE : DKIM_RELAXED;
		k->s.body = i & 2 ? DKIM_SIMPLE : DKIM_RELAXED;
		k->s.plain = i & 4;
		buf_clear(&k->out);
		struct buf m;
		buf_init(&m, 1 << 20);
		assert_int_equal(arc_seal(str_z(kit_message), &k->rsa.ref, STR("mx; none"), AUTH_NONE, &k->s, &m, &k->why), RC_OK);
		buf_add(&m, str_z(kit_message));
		assert_int_equal(kit_verify(k, buf_str(&m)).arc.result, AUTH_PASS);
		buf_done(&m);
	}
}

static void a_list_that_changes_the_message_and_seals_it_keeps_the_chain(void **state)
{
	KIT;
	chain_of(k, 1);
	kit_replace(k, "Dear Bob", "[a list's note]\r\nDear Bob");
	buf_add(&k->out, STR("-- \r\nfooter of the list\r\n"));
	fails(k, "ARC-Message-Signature i=1: the body was altered");
	/* the list itself saw the chain pass before it changed the text */
	assert_int_equal(seal(k, "one.example", AUTH_PASS), RC_OK);
	struct arc_result r = judged(k);
	assert_int_equal(r.result, AUTH_PASS);
	assert_int_equal(r.oldest_pass, 2);
}

static void a_chain_that_failed_is_sealed_once_and_never_again(void **state)
{
	KIT;
	chain_of(k, 2);
	kit_replace(k, "Dear Bob", "Dear Rob");
	assert_int_equal(seal(k, "one.example", AUTH_FAIL), RC_OK);
	assert_true(str_find_str(buf_str(&k->out), STR("i=3")) < 40 && str_find_str(buf_str(&k->out), STR("cv=fail")) < 200);
	fails(k, "the newest seal says that the chain had failed before");
	assert_int_equal(seal(k, "two.example", AUTH_FAIL), RC_DENIED);
	assert_string_equal(k->why.text, "the newest seal says that the chain has failed");
}

static void a_verdict_about_another_message_is_refused(void **state)
{
	KIT;
	assert_int_equal(seal(k, "example.org", AUTH_PASS), RC_CONFLICT);
	assert_int_equal(seal(k, "example.org", AUTH_TEMPERROR), RC_SYNTAX);
	chain_of(k, 1);
	assert_int_equal(seal(k, "example.org", AUTH_NONE), RC_CONFLICT);
}

static void results_cannot_end_the_field_early(void **state)
{
	KIT;
	struct buf m;
	buf_init(&m, 4096);
	assert_int_equal(arc_seal(str_z(kit_message), &k->ed.ref, STR("mx; none\r\nBcc: eve"), AUTH_NONE, &k->s, &m, &k->why), RC_SYNTAX);
	assert_int_equal(m.len, 0);
	buf_done(&m);
}

static void fifty_sets_pass_and_there_is_no_fifty_first(void **state)
{
	KIT;
	chain_of(k, ARC_MAX_SETS);
	struct arc_result r = judged(k);
	assert_int_equal(r.result, AUTH_PASS);
	assert_int_equal(r.sets, 50);
	assert_int_equal(dns_table_asked(k->table), 3);
	assert_int_equal(seal(k, "example.org", AUTH_PASS), RC_LIMIT);
	kit_replace(k, "ARC-Seal: i=50;", "ARC-Seal: i=51;");
	fails(k, "has no i= from 1 to 50");
}

static void any_change_to_the_sets_fails(void **state)
{
	KIT;
	static const struct {
		const char *from, *to, *why;
	} cases[] = {
		{ "ARC-Seal: i=3;", "ARC-Seal: i=2;", "stands there twice" },
		{ "ARC-Seal: i=3;", "ARC-Seal: i=4;", "set 3 of 4 has no arc-seal" },
		{ "ARC-Seal: i=2;", "ARC-Seal: i=0;", "has no i= from 1 to 50" },
		{ "ARC-Seal: i=2;", "ARC-Seal: i=;", "has no i= from 1 to 50" },
		{ "ARC-Seal: i=2;", "ARC-Seal: i=99999999999999999999;", "has no i= from 1 to 50" },
		{ "ARC-Seal: i=2;", "ARC-Seal: i=2; i=2;", "stands there twice" },
		{ "ARC-Seal: i=2;", "ARC-Seal: i=2; h=from;", "has an h=" },
		{ "ARC-Seal: i=2;", "X-Seal: i=2;", "set 2 of 3 has no arc-seal" },
		{ "ARC-Message-Signature: i=1;", "X: i=1;", "set 1 of 3 has no arc-message-signature" },
		{ "ARC-Authentication-Results: i=1;", "ARC-Authentication-Results: mx; i=1;", "has no i= from 1 to 50" },
		{ "ARC-Authentication-Results: i=1; mx.example.net; spf=pass", "ARC-Authentication-Results: i=1; mx.example.net; spf=fail", "ARC-Seal i=3" },
		{ "cv=none", "cv=pass", "ARC-Seal i=1 has cv=pass" },
		{ "cv=pass", "cv=none", "ARC-Seal i=3 has cv=none" },
		{ "cv=pass", "cv=Pass", "cv= is neither none, pass nor fail" },
		{ "h=from:", "h=arc-seal:", "h= holds ARC-Seal" },
		{ "Subject: On", "Subject: Off", "ARC-Message-Signature i=3: the signature does not fit" },
		{ "Dear", "Deer", "ARC-Message-Signature i=3: the body was altered" },
		{ "d=two.example;", "d=three.example;", "there is no key at" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		buf_clear(&k->out);
		chain_of(k, 3);
		kit_replace(k, cases[i].from, cases[i].to);
		fails(k, cases[i].why);
	}
}

static void a_hundred_stray_fields_are_a_failure(void **state)
{
	KIT;
	static const char *const names[] = { "ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results" };
	for (size_t n = 0; n < 3; n++) {
		buf_clear(&k->out);
		for (int i = 1; i <= 100; i++)
			buf_addf(&k->out, "%s: i=%d; a=b\r\n", names[n], i);
		buf_add(&k->out, str_z(kit_message));
		fails(k, "i= from 1 to 50");
	}
	buf_clear(&k->out);
	buf_add(&k->out, STR("ARC-Seal:\r\n"));
	buf_add(&k->out, str_z(kit_message));
	fails(k, "i= from 1 to 50");
}

static void a_dns_that_does_not_answer_is_a_failure_for_now(void **state)
{
	KIT;
	chain_of(k, 2);
	assert_false(judged(k).late);
	assert_int_equal(dns_table_fail(k->table, STR("sel-ed._domainkey.example.org"), DNS_TXT, DNS_TEMPFAIL), RC_OK);
	fails(k, "ARC-Seal i=1: the key could not be asked for");
	assert_true(judged(k).late);
	kit_replace(k, "Dear", "Deer"); /* no answer can mend this */
	fails(k, "ARC-Message-Signature i=2: the body was altered");
	assert_false(judged(k).late);
}

static void dkim_and_arc_are_judged_in_one_pass(void **state)
{
	KIT;
	kit_sign(k, kit_message);
	assert_int_equal(seal(k, "example.org", AUTH_NONE), RC_OK);
	struct dkim_result r = kit_verify(k, buf_str(&k->out));
	assert_int_equal(r.n, 1);
	assert_int_equal(r.signature[0].result, AUTH_PASS);
	assert_int_equal(r.arc.result, AUTH_PASS);
	assert_true(str_find_str(buf_str(&k->out), STR("dkim-signature")) < k->out.len); /* the seal's h= holds it */
	k->o.no_arc = true;
	assert_int_equal(judged(k).result, AUTH_NONE);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)
	const struct CMUnitTest tests[] = {
		T(a_message_without_arc_has_none),
		T(a_chain_of_three_passes_and_names_its_sealers),
		T(every_canonicalisation_and_form_seals),
		T(a_list_that_changes_the_message_and_seals_it_keeps_the_chain),
		T(a_chain_that_failed_is_sealed_once_and_never_again),
		T(a_verdict_about_another_message_is_refused),
		T(results_cannot_end_the_field_early),
		T(fifty_sets_pass_and_there_is_no_fifty_first),
		T(any_change_to_the_sets_fails),
		T(a_hundred_stray_fields_are_a_failure),
		T(a_dns_that_does_not_answer_is_a_failure_for_now),
		T(dkim_and_arc_are_judged_in_one_pass),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
