#include "role/auth_fact.h"
#include "role/auth_policy.h"
#include "role/edge_trace.h"

#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* What is done with a message, by table: what was found on the left, what happens on the right. */

#define S(z) STR_INIT(z)
enum { IP_STRANGER, IP_FORWARDER };
struct chain { enum auth result; const char *sealers[3]; const char *first, *newest; bool late; };
struct row {
	const char *says;
	const char *mode;
	enum auth spf, dkim, dmarc;
	enum dmarc_policy published, policy;
	int ip;
	struct chain arc;
	/* what comes of it */
	enum auth_action action;
	const char *disposition, *override, *answer;
};
#define ARC_OF(...) { __VA_ARGS__ }
static const char seen[] = "lists.example; dmarc=pass header.from=author.example";

static const struct row rows[] = {
	{ "a stranger's mail without any record", "honour", AUTH_NONE, AUTH_NONE, AUTH_NONE, 0, 0, 0, { 0 }, AUTH_ACCEPT, NULL, "", "" },
	{ "an aligned pass", "honour", AUTH_PASS, AUTH_NONE, AUTH_PASS, DMARC_REJECT, 0, 0, { 0 }, AUTH_ACCEPT, "none", "", "" },
	{ "a forged author who asks for refusal", "honour", AUTH_FAIL, AUTH_NONE, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0, { 0 }, AUTH_REFUSE, "reject", "",
	  "5.7.1 author.example asks receivers to refuse mail that fails its checks (DMARC)." },
	{ "a forged author who asks for quarantine", "honour", AUTH_FAIL, AUTH_NONE, AUTH_FAIL, DMARC_QUARANTINE, DMARC_QUARANTINE, 0, { 0 }, AUTH_JUNK,
	  "quarantine", "", "" },
	{ "a forged author who only wants to know", "honour", AUTH_FAIL, AUTH_NONE, AUTH_FAIL, DMARC_NONE, DMARC_NONE, 0, { 0 }, AUTH_ACCEPT, "none", "", "" },
	{ "a policy in test mode", "honour", AUTH_FAIL, AUTH_NONE, AUTH_FAIL, DMARC_QUARANTINE, DMARC_NONE, 0, { 0 }, AUTH_ACCEPT, "none", "policy_test_mode", "" },
	{ "a pass by somebody else changes nothing", "honour", AUTH_PASS, AUTH_PASS, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0, { 0 }, AUTH_REFUSE, "reject", "",
	  "5.7.1 author.example asks receivers to refuse mail that fails its checks (DMARC)." },
	{ "quarantine instead of refusal", "quarantine-instead", AUTH_FAIL, AUTH_NONE, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0, { 0 }, AUTH_JUNK, "quarantine",
	  "local_policy", "" },
	{ "quarantine stays quarantine", "quarantine-instead", AUTH_FAIL, AUTH_NONE, AUTH_FAIL, DMARC_QUARANTINE, DMARC_QUARANTINE, 0, { 0 }, AUTH_JUNK,
	  "quarantine", "", "" },
	{ "report only", "report-only", AUTH_FAIL, AUTH_NONE, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0, { 0 }, AUTH_ACCEPT, "none", "local_policy", "" },
	{ "off", "off", AUTH_FAIL, AUTH_NONE, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0, { 0 }, AUTH_ACCEPT, NULL, "", "" },
	{ "a trusted forwarder", "honour", AUTH_FAIL, AUTH_NONE, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, IP_FORWARDER, { 0 }, AUTH_ACCEPT, "none",
	  "trusted_forwarder", "" },
	{ "a list that a trusted sealer vouches for", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_PASS, { "lists.example" }, seen, seen }, AUTH_ACCEPT, "none", "mailing_list", "" },
	{ "a subdomain of a trusted sealer", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_PASS, { "a.lists.example" }, seen, seen }, AUTH_ACCEPT, "none", "mailing_list", "" },
	{ "a name that only ends like a trusted sealer", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_PASS, { "evillists.example" }, seen, seen }, AUTH_REFUSE, "reject", "", NULL },
	{ "a broken chain of a trusted sealer", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_FAIL, { "lists.example" }, seen, seen }, AUTH_REFUSE, "reject", "", NULL },
	{ "a sealer nobody trusts", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_PASS, { "other.example" }, seen, seen }, AUTH_REFUSE, "reject", "", NULL },
	{ "a trusted sealer that saw a failure", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_PASS, { "lists.example" }, "x; dmarc=fail header.from=author.example", "x; dmarc=fail header.from=author.example" }, AUTH_REFUSE, "reject", "", NULL },
	{ "a trusted sealer that saw another author pass", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_PASS, { "lists.example" }, "x; dmarc=pass header.from=evil.example", "x; dmarc=pass header.from=evil.example" }, AUTH_REFUSE, "reject", "", NULL },
	{ "a trusted sealer that saw an aligned signature", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_PASS, { "lists.example" }, "x; dkim=pass header.d=author.example", "x; dkim=pass header.d=author.example" }, AUTH_ACCEPT, "none", "mailing_list", "" },
	{ "a trusted sealer that saw an aligned SPF pass", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_PASS, { "lists.example" }, "x; spf=pass smtp.mailfrom=joe@author.example", "x; spf=pass smtp.mailfrom=joe@author.example" }, AUTH_ACCEPT, "none",
	  "mailing_list", "" },
	{ "two trusted sealers, the first of whom saw it", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_PASS, { "lists.example", "lists.example" }, seen, "x; dmarc=fail header.from=author.example" }, AUTH_ACCEPT, "none", "mailing_list", "" },
	{ "an untrusted sealer below a trusted one, and only he saw it", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_PASS, { "other.example", "lists.example" }, seen, "x; dmarc=fail header.from=author.example" }, AUTH_REFUSE, "reject", "", NULL },
	{ "a trusted sealer whose key cannot be asked for", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_FAIL, { "lists.example" }, seen, seen, true }, AUTH_DEFER, NULL, "", "4.7.5 the ARC chain of lists.example cannot be verified now, try again." },
	{ "a trusted sealer whose key cannot be asked for, and who saw a failure", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_FAIL, { "lists.example" }, "x; dmarc=fail header.from=author.example", "x; dmarc=fail header.from=author.example", true }, AUTH_REFUSE, "reject", "", NULL },
	{ "a sealer nobody trusts, whose key cannot be asked for", "honour", AUTH_FAIL, AUTH_FAIL, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0,
	  { AUTH_FAIL, { "other.example" }, seen, seen, true }, AUTH_REFUSE, "reject", "", NULL },
	{ "the policy cannot be asked for", "honour", AUTH_NONE, AUTH_NONE, AUTH_TEMPERROR, 0, 0, 0, { 0 }, AUTH_DEFER, NULL, "",
	  "4.7.1 the DMARC record of author.example cannot be read now, try again." },
	{ "SPF without an answer, and a policy of refusal", "honour", AUTH_TEMPERROR, AUTH_NONE, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0, { 0 }, AUTH_DEFER, NULL,
	  "", "4.7.24 the SPF record of sender.example cannot be read now, try again." },
	{ "a key without an answer, and a policy of refusal", "honour", AUTH_PASS, AUTH_TEMPERROR, AUTH_FAIL, DMARC_REJECT, DMARC_REJECT, 0, { 0 }, AUTH_DEFER, NULL,
	  "", "4.7.5 the DKIM key of signer.example cannot be read now, try again." },
	{ "SPF without an answer, but DKIM proves the author", "honour", AUTH_TEMPERROR, AUTH_PASS, AUTH_PASS, DMARC_REJECT, 0, 0, { 0 }, AUTH_ACCEPT, "none", "", "" },
	{ "SPF without an answer and nothing else", "honour", AUTH_TEMPERROR, AUTH_NONE, AUTH_NONE, 0, 0, 0, { 0 }, AUTH_DEFER, NULL, "", NULL },
	{ "a dead DNS where nothing is enforced", "report-only", AUTH_TEMPERROR, AUTH_NONE, AUTH_TEMPERROR, 0, 0, 0, { 0 }, AUTH_ACCEPT, NULL, "", "" },
	{ "a dead DNS and a trusted forwarder", "honour", AUTH_TEMPERROR, AUTH_NONE, AUTH_TEMPERROR, 0, 0, IP_FORWARDER, { 0 }, AUTH_ACCEPT, NULL, "", "" },
	{ "an unusable author", "honour", AUTH_NONE, AUTH_NONE, AUTH_PERMERROR, 0, 0, 0, { 0 }, AUTH_ACCEPT, NULL, "", "" },
};

static void rules_of(const char *mode, struct arena *a, struct auth_rules *out)
{
	struct config c;
	struct why why = { 0 };
	config_init(&c);
	c.authentication_dmarc = str_z(mode);
	c.authentication_trusted_sealers = STR("lists.example, Trusted.example");
	c.authentication_trusted_forwarders = STR("192.0.2.0/24 2001:db8::/32");
	assert_int_equal(auth_rules_read(&c, a, out, &why), RC_OK);
	config_done(&c);
}

static void check_row(const struct row *r)
{
	static const uint8_t ips[2][16] = { { [10] = 0xff, [11] = 0xff, [12] = 203, [14] = 113, [15] = 9 }, { [10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 7 } };
	struct arena a;
	struct auth_rules rules;
	struct auth_verdict v;
	arena_init(&a, 4 << 20);
	rules_of(r->mode, &a, &rules);
	struct spf_result spf = { .result = r->spf, .domain = S("sender.example") };
	struct dkim_signature sig = { .result = r->dkim, .domain = S("signer.example") };
	struct str sealers[3] = { str_z(r->arc.sealers[0]), str_z(r->arc.sealers[1]), str_z(r->arc.sealers[2]) };
	struct dkim_result dkim = { .signature = &sig, .n = r->dkim != AUTH_NONE };
	unsigned sets = r->arc.sealers[1] ? 2 : r->arc.sealers[0] ? 1 : 0;
	dkim.arc = (struct arc_result){ .result = r->arc.result, .late = r->arc.late, .sets = sets, .sealers = sealers, .sealer = sets ? sealers[sets - 1] : STR(""),
		.aar = str_z(r->arc.newest), .first_aar = str_z(r->arc.first) };
	struct dmarc_result dmarc = { .result = r->dmarc, .from = S("author.example"), .published = r->published, .policy = r->policy };
	dmarc.record.found = r->dmarc == AUTH_PASS || r->dmarc == AUTH_FAIL;
	auth_decide(&rules, &(struct auth_evidence){ .ip = ips[r->ip], .spf = &spf, .dkim = &dkim, .dmarc = &dmarc }, &a, &v);
	if (v.action != r->action)
		fail_msg("%s: action %d, not %d", r->says, (int)v.action, (int)r->action);
	if ((v.disposition == NULL) != (r->disposition == NULL) || (v.disposition && strcmp(v.disposition, r->disposition) != 0))
		fail_msg("%s: disposition %s", r->says, v.disposition ? v.disposition : "-");
	if (strcmp(v.override, r->override) != 0)
		fail_msg("%s: override \"%s\"", r->says, v.override);
	if (r->answer && strcmp(v.answer, r->answer) != 0)
		fail_msg("%s: answer \"%s\"", r->says, v.answer);
	arena_done(&a);
}

static void every_finding_has_its_consequence(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_row(&rows[i]);
}

static void a_sealer_is_named_as_seals_name_it(void **state)
{
	static const char *const wrong[] = { "a..example", "example", "joe@lists.example", "a.example/24", ".a.example" };
	struct config c;
	struct arena a;
	struct auth_rules rules;
	struct why why = { 0 };
	(void)state;
	arena_init(&a, 4 << 20);
	config_init(&c);
	c.authentication_trusted_sealers = STR("Lists.Example b\xc3\xbc" "cher.example");
	assert_int_equal(auth_rules_read(&c, &a, &rules, &why), RC_OK);
	assert_int_equal(rules.sealer_n, 2);
	assert_true(str_eq(rules.sealers[0], STR("lists.example")) && str_eq(rules.sealers[1], STR("xn--bcher-kva.example")));
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		c.authentication_trusted_sealers = str_z(wrong[i]);
		assert_int_equal(auth_rules_read(&c, &a, &rules, &why), RC_SYNTAX);
		assert_non_null(strstr(why.text, "is no domain"));
	}
	config_done(&c);
	arena_done(&a);
}

static void what_a_sealer_saw_may_be_written_in_letters_of_its_own(void **state)
{
	static const char *const saw[] = { "x; dmarc=pass header.from=b\xc3\xbc" "cher.example", "x; dkim=pass header.d=B\xc3\x9c" "CHER.example", "x; spf=pass smtp.mailfrom=joe@xn--bcher-kva.example" };
	static const struct str sealer = S("lists.example");
	struct arena a;
	struct auth_rules rules;
	struct auth_verdict v;
	(void)state;
	arena_init(&a, 4 << 20);
	rules_of("honour", &a, &rules);
	for (size_t i = 0; i < 3; i++) {
		struct dkim_result dkim = { .arc = { .result = AUTH_PASS, .sets = 1, .sealers = (struct str *)&sealer, .sealer = sealer, .aar = str_z(saw[i]), .first_aar = str_z(saw[i]) } };
		struct dmarc_result d = { .result = AUTH_FAIL, .from = S("xn--bcher-kva.example"), .published = DMARC_REJECT, .policy = DMARC_REJECT, .record = { .found = true, .strict_dkim = true } };
		auth_decide(&rules, &(struct auth_evidence){ .dkim = &dkim, .dmarc = &d }, &a, &v);
		assert_int_equal(v.action, AUTH_ACCEPT);
		assert_string_equal(v.override, "mailing_list");
	}
	arena_done(&a);
}

static void nothing_is_deferred_when_that_is_off(void **state)
{
	struct arena a;
	struct auth_rules rules;
	struct auth_verdict v;
	struct dmarc_result d = { .result = AUTH_TEMPERROR, .from = S("author.example") };
	(void)state;
	arena_init(&a, 1 << 20);
	rules_of("honour", &a, &rules);
	rules.defer = false;
	auth_decide(&rules, &(struct auth_evidence){ .dmarc = &d }, &a, &v);
	assert_int_equal(v.action, AUTH_ACCEPT);
	arena_done(&a);
}

static void broken_lists_are_named(void **state)
{
	struct config c;
	struct arena a;
	struct auth_rules r;
	struct why why = { 0 };
	(void)state;
	arena_init(&a, 1 << 20);
	config_init(&c);
	c.authentication_trusted_forwarders = STR("192.0.2.0/24 10.0.0.1/33");
	assert_int_equal(auth_rules_read(&c, &a, &r, &why), RC_SYNTAX);
	assert_non_null(strstr(why.text, "trusted_forwarders"));
	config_done(&c);
	config_init(&c);
	c.authentication_dmarc = STR("strict");
	assert_int_equal(auth_rules_read(&c, &a, &r, &why), RC_SYNTAX);
	assert_non_null(strstr(why.text, "quarantine-instead"));
	config_done(&c);
	arena_done(&a);
}

/* ---- the fact for the ledger, there and back ---- */

static void a_result_becomes_a_row_of_a_report(void **state)
{
	struct arena a;
	char room[2400];
	struct buf scratch = { .p = room, .cap = sizeof room, .max = sizeof room };
	struct msg_DMARC_RESULT m;
	struct report_aggregate about;
	struct report_row row;
	struct str rua;
	struct why why = { 0 };
	struct spf_result spf = { .result = AUTH_FAIL, .domain = S("sender.example") };
	struct dkim_signature sig[2] = { { .result = AUTH_PASS, .domain = S("list.example"), .selector = S("s1") }, { .result = AUTH_FAIL, .domain = S("author.example"), .selector = S("s2") } };
	struct dkim_result dkim = { .signature = sig, .n = 2 };
	struct dmarc_result d = { .result = AUTH_FAIL, .from = S("www.author.example"), .published = DMARC_REJECT, .policy = DMARC_REJECT };
	d.record = (struct dmarc_record){ .found = true, .at = S("author.example"), .text = S("v=DMARC1; p=reject; sp=quarantine; adkim=s; rua=mailto:r@author.example") };
	struct auth_verdict v = { .action = AUTH_REFUSE, .disposition = "reject", .override = "" };
	struct auth_fact_in in = { S("7F3K9Q2D"), S("203.0.113.9"), S("sender.example"), S("ours.example"), 1795000000000 };
	(void)state;
	arena_init(&a, 1 << 16);
	struct auth_evidence e = { .spf = &spf, .dkim = &dkim, .dmarc = &d };
	assert_true(auth_fact_make(&e, &v, &in, &scratch, &m));
	assert_int_equal(auth_fact_row(&m, &a, &about, &row, &rua, &why), RC_OK);
	assert_true(str_eq(about.domain, STR("author.example")) && str_eq(about.p, STR("reject")) && str_eq(about.sp, STR("quarantine")) && str_eq(about.adkim, STR("s")));
	assert_true(str_eq(rua, STR("mailto:r@author.example")));
	assert_true(str_eq(row.disposition, STR("reject")) && str_eq(row.dkim, STR("fail")) && str_eq(row.spf, STR("fail")));
	assert_true(str_eq(row.header_from, STR("www.author.example")) && str_eq(row.source_ip, STR("203.0.113.9")));
	assert_int_equal(row.auth_dkims, 2);
	assert_true(str_eq(row.auth_dkim[0].result, STR("pass")) && str_eq(row.auth_dkim[1].selector, STR("s2")));
	assert_true(str_eq(row.auth_spf.result, STR("fail")) && str_eq(row.auth_spf.scope, STR("mfrom")));
	struct dkim_signature many[DKIM_MAX_SIGNATURES];
	for (size_t i = 0; i < DKIM_MAX_SIGNATURES; i++)
		many[i] = (struct dkim_signature){ .result = i + 1 < DKIM_MAX_SIGNATURES ? AUTH_FAIL : AUTH_PASS, .domain = i ? str_of(&"abcdefghijkl"[i], 1) : STR(""), .selector = S("s") };
	dkim = (struct dkim_result){ .signature = many, .n = DKIM_MAX_SIGNATURES };
	buf_clear(&scratch);
	assert_true(auth_fact_make(&e, &v, &in, &scratch, &m));
	assert_int_equal(auth_fact_row(&m, &a, &about, &row, &rua, &why), RC_OK);
	assert_int_equal(row.auth_dkims, 8);
	assert_true(str_eq(row.auth_dkim[0].result, STR("pass")) && str_eq(row.auth_dkim[0].domain, STR("j")) && str_eq(row.auth_dkim[1].domain, STR("b")));
	m.disposition = 9;
	assert_int_equal(auth_fact_row(&m, &a, &about, &row, &rua, &why), RC_SYNTAX);
	d.record.found = false;
	assert_false(auth_fact_make(&e, &v, &in, &scratch, &m));
	arena_done(&a);
}

/* ---- the header on its way in ---- */

static void the_header_s_end_is_found_wherever_it_is_cut(void **state)
{
	static const struct str raw = S("A: 1\r\nB: 2\r\n\r\nbody\r\n\r\n");
	(void)state;
	for (size_t cut = 1; cut < raw.n; cut++) {
		size_t end = edge_header_end(str_head(raw, cut), 0);
		assert_int_equal(end, cut >= 14 ? 14 : 0);
		if (!end)
			assert_int_equal(edge_header_end(raw, cut), 14);
	}
	assert_int_equal(edge_header_end(STR("\r\nbody"), 0), 2);
	assert_int_equal(edge_header_end(STR("A: 1\r\n"), 0), 0);
}

static void results_that_claim_to_be_ours_are_taken_out(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "A: 1\r\n\r\n", "A: 1\r\n\r\n" },
		{ "Authentication-Results: mx.ours.example; dmarc=pass\r\nA: 1\r\n\r\n", "A: 1\r\n\r\n" },
		{ "A: 1\r\nauthentication-RESULTS : (c)\r\n\tMX.ours.example 1;\r\n dmarc=pass\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n" },
		{ "Authentication-Results: mx.theirs.example; spf=pass\r\n\r\n", "Authentication-Results: mx.theirs.example; spf=pass\r\n\r\n" },
		{ "X: 1\r\nAuthentication-Results: \"mx.ours.example\"; a=b\r\nAuthentication-Results: mx.ours.example; c=d\r\nY: 2\r\n\r\n", "X: 1\r\nY: 2\r\n\r\n" },
		{ "Authentication-Results-X: mx.ours.example; a=b\r\n\r\n", "Authentication-Results-X: mx.ours.example; a=b\r\n\r\n" },
		{ "no field\r\nAuthentication-Results: mx.ours.example; a=b\r\nY: 2\r\n\r\n", "no field\r\nY: 2\r\n\r\n" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char room[400];
		struct str in = str_z(cases[i].in), want = str_z(cases[i].out);
		memcpy(room, in.p, in.n);
		struct str ours = STR("mx.ours.example");
		size_t gone = edge_strip(room, in.n, edge_is_ours, &ours);
		assert_int_equal(gone, in.n - want.n);
		assert_memory_equal(room + gone, want.p, want.n);
	}
}

static void what_is_private_leaves_no_submission(void **state)
{
	static const char header[] = "Return-Path: <x@y>\r\nFrom: a@b\r\nBCC : c@d,\r\n\te@f\r\nBcc-Not: g@h\r\nResent-Bcc: i@j\r\nAuthentication-Results: mx.ours.example; spf=pass\r\nSubject: x\r\n\r\n";
	char room[sizeof header];
	struct str ours = STR("mx.ours.example");
	memcpy(room, header, sizeof header);
	size_t gone = edge_strip(room, sizeof header - 1, edge_is_private, &ours);
	assert_string_equal(room + gone, "From: a@b\r\nBcc-Not: g@h\r\nSubject: x\r\n\r\n");
}

static void a_header_is_read_in_one_pass(void **state)
{
	struct edge_head h;
	edge_head_read(STR("Received: a\r\nReceived : b\r\n c\r\nFROM: a@b\r\nfrom: c@d\r\nTLS-Required: no\r\nSubject: caf\xc3\xa9\r\n\r\n"), &h);
	assert_int_equal(h.received, 2);
	assert_int_equal(h.from, 2);
	assert_true(str_eq(str_trim(h.from_value), STR("a@b")));
	assert_int_equal(h.date + h.message_id + h.sender, 0);
	assert_true(h.tls_optional && h.utf8 && !h.foreign);
	edge_head_read(STR("Subject: caf\xe9\r\n\r\n"), &h);
	assert_true(!h.utf8 && h.foreign);
	assert_true(edge_was_delivered_to(STR("X: y\r\nDelivered-To:  Bob@Example.org \r\n\r\n"), STR("bob@example.org")));
	assert_false(edge_was_delivered_to(STR("Delivered-To: bobby@example.org\r\n\r\n"), STR("bob@example.org")));
	assert_true(edge_lines_ok(STR("")) && edge_lines_ok(STR("A: 1")) && edge_lines_ok(STR("A: 1\r\nB: 2\r\n\r\n")));
	static const struct str broken[] = { STR_INIT("A: 1\rB: 2\r\n"), STR_INIT("A: 1\nB: 2\r\n"), STR_INIT("A: 1\r\n\n"), STR_INIT("A: 1\r"), STR_INIT("\r\r\n"), STR_INIT("\n") };
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
		assert_false(edge_lines_ok(broken[i]));
	assert_false(edge_has_8bit(STR("plain text, longer than eight octets")));
	assert_true(edge_has_8bit(STR("plain text, longer than eight octets\xff")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_finding_has_its_consequence),
		cmocka_unit_test(a_sealer_is_named_as_seals_name_it),
		cmocka_unit_test(what_a_sealer_saw_may_be_written_in_letters_of_its_own),
		cmocka_unit_test(nothing_is_deferred_when_that_is_off),
		cmocka_unit_test(broken_lists_are_named),
		cmocka_unit_test(a_result_becomes_a_row_of_a_report),
		cmocka_unit_test(what_is_private_leaves_no_submission),
		cmocka_unit_test(a_header_is_read_in_one_pass),
		cmocka_unit_test(the_header_s_end_is_found_wherever_it_is_cut),
		cmocka_unit_test(results_that_claim_to_be_ours_are_taken_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
