/* What we write is read back the same: documents, messages, packed reports. */
#include "origin/report_internal.h"

#include "../mail/mail_test.h"

static const struct str none = STR_INIT("");

static struct report_row row_of(const char *ip, uint64_t count, bool pass)
{
	struct report_row r = report_row_empty();
	r.source_ip = str_z(ip);
	r.count = count;
	r.dkim = pass ? STR("pass") : STR("fail");
	r.spf = STR("fail");
	r.disposition = pass ? STR("none") : STR("reject");
	r.header_from = STR("bank.example");
	r.envelope_from = STR("b.bank.example");
	r.envelope_to = STR("letterlock.test");
	r.override = pass ? none : STR("local_policy");
	r.override_comment = pass ? none : STR("because & <so>");
	r.auth_dkim[0] = (struct report_auth){ STR("bank.example"), STR("s1"), pass ? STR("pass") : STR("fail"), none };
	r.auth_dkims = 1;
	r.auth_spf = (struct report_auth){ STR("b.bank.example"), none, STR("softfail"), STR("mfrom") };
	return r;
}

static struct report_aggregate sample(struct report_row *w, size_t n, bool rfc9990)
{
	return (struct report_aggregate){ .org = STR("Org \"&\" <Sons>"), .email = STR("a@org.example"), .extra = STR("x"), .id = STR("id.1"), .begin_s = 1795392000,
		.end_s = 1795478399, .domain = STR("bank.example"), .p = STR("reject"), .sp = STR("none"), .np = rfc9990 ? STR("reject") : none, .adkim = STR("r"), .aspf = STR("s"),
		.fo = STR("1"), .pct = 100, .testing = rfc9990, .discovery = rfc9990 ? STR("treewalk") : none, .rfc9990 = rfc9990, .row = w, .rows = n };
}

static void same_auth(const struct report_auth *a, const struct report_auth *b)
{
	SAME(a->domain, b->domain);
	SAME(a->selector, b->selector);
	SAME(a->result, b->result);
	SAME(a->scope, b->scope);
}

static void same_report(const struct report_aggregate *a, const struct report_aggregate *b)
{
	const struct str *const x[] = { &a->org, &a->email, &a->extra, &a->id, &a->domain, &a->p, &a->sp, &a->np, &a->adkim, &a->aspf, &a->fo, &a->discovery };
	const struct str *const y[] = { &b->org, &b->email, &b->extra, &b->id, &b->domain, &b->p, &b->sp, &b->np, &b->adkim, &b->aspf, &b->fo, &b->discovery };
	for (size_t i = 0; i < sizeof x / sizeof x[0]; i++)
		SAME(*x[i], *y[i]);
	assert_true(a->begin_s == b->begin_s && a->end_s == b->end_s && a->pct == b->pct && a->testing == b->testing && a->rfc9990 == b->rfc9990);
	assert_int_equal(a->rows, b->rows);
	for (size_t i = 0; i < a->rows; i++) {
		const struct report_row *v = &a->row[i], *w = &b->row[i];
		const struct str *const p[] = { &v->source_ip, &v->disposition, &v->dkim, &v->spf, &v->override, &v->override_comment, &v->header_from, &v->envelope_from, &v->envelope_to };
		const struct str *const q[] = { &w->source_ip, &w->disposition, &w->dkim, &w->spf, &w->override, &w->override_comment, &w->header_from, &w->envelope_from, &w->envelope_to };
		for (size_t k = 0; k < sizeof p / sizeof p[0]; k++)
			SAME(*p[k], *q[k]);
		assert_int_equal(v->count, w->count);
		assert_int_equal(v->auth_dkims, w->auth_dkims);
		for (size_t k = 0; k < v->auth_dkims; k++)
			same_auth(&v->auth_dkim[k], &w->auth_dkim[k]);
		same_auth(&v->auth_spf, &w->auth_spf);
	}
}

static struct report_mail mail_for(const struct report_aggregate *r)
{
	return (struct report_mail){ .from = STR("a@org.example"), .to = STR("d@bank.example"), .submitter = STR("org.example"), .domain = r->domain, .id = r->id,
		.message_id = STR("m1@org.example"), .now_s = 1795480000, .begin_s = r->begin_s, .end_s = r->end_s };
}

static void an_aggregate_report_comes_back_from_its_own_mail(void **state)
{
	for (int form = 0; form < 2; form++) {
		AUTO(arena_done) struct arena a = { .max = 4 << 20 };
		AUTO(buf_done) struct buf xml = { .max = 1 << 20 };
		AUTO(buf_done) struct buf gz = { .max = 1 << 20 };
		AUTO(buf_done) struct buf mail = { .max = 1 << 20 };
		struct report_row w[3] = { row_of("192.0.2.1", 7, true), row_of("2001:db8::7", 1000000000, false), row_of("198.51.100.3", 0, true) };
		struct report_aggregate r = sample(w, 3, form);
		struct report_mail m = mail_for(&r);
		struct report back;
		struct why why = { 0 };
		assert_int_equal(report_aggregate_xml(&r, &xml), RC_OK);
		assert_int_equal(report_gzip(buf_str(&xml), &gz), RC_OK);
		assert_int_equal(report_mail_dmarc(&m, buf_str(&gz), &mail), RC_OK);
		assert_int_equal(report_read(buf_str(&mail), &a, &back, &why), RC_OK);
		same_report(&r, &back.dmarc);
	}
}

static void packed_reports_come_back_and_damage_is_seen(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 64 << 20 };
	AUTO(buf_done) struct buf packed = { .max = 1 << 20 };
	struct report_row w[2] = { row_of("192.0.2.1", 7, true), row_of("2001:db8::7", 9, false) };
	struct report in = { .kind = REPORT_DMARC, .dmarc = sample(w, 2, true) }, back;
	struct why why = { 0 };
	report_pack(&in, &packed);
	assert_int_equal(report_unpack(buf_str(&packed), &a, &back, &why), RC_OK);
	same_report(&in.dmarc, &back.dmarc);
	for (size_t n = 0; n < packed.len; n++)
		assert_int_equal(report_unpack(str_head(buf_str(&packed), n), &a, &back, &why), RC_SYNTAX);
	buf_byte(&packed, 0);
	assert_int_equal(report_unpack(buf_str(&packed), &a, &back, &why), RC_SYNTAX);
	packed.len--;
	packed.p[0] = 9;
	assert_int_equal(report_unpack(buf_str(&packed), &a, &back, &why), RC_SYNTAX);
}

static void a_packed_report_cannot_say_what_a_report_cannot(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 4 << 20 };
	struct report_row w = row_of("192.0.2.1", 7, true);
	struct report back, in = { .kind = REPORT_DMARC };
	for (int lie = 0; lie < 4; lie++) {
		AUTO(buf_done) struct buf packed = { .max = 1 << 20 };
		w = row_of("192.0.2.1", 7, true);
		in.dmarc = sample(&w, 1, true);
		if (lie == 0)
			w.disposition = STR("pass");
		if (lie == 1)
			w.count = 1000000001;
		if (lie == 2)
			in.dmarc.end_s = in.dmarc.begin_s - 1;
		if (lie == 3)
			in.dmarc.pct = 101;
		report_pack(&in, &packed);
		assert_int_equal(report_unpack(buf_str(&packed), &a, &back, NULL), RC_SYNTAX);
	}
}

static void a_tls_report_comes_back(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 4 << 20 };
	AUTO(buf_done) struct buf json = { .max = 1 << 20 };
	AUTO(buf_done) struct buf gz = { .max = 1 << 20 };
	AUTO(buf_done) struct buf mail = { .max = 1 << 20 };
	AUTO(buf_done) struct buf packed = { .max = 1 << 20 };
	struct str lines[] = { STR("3 0 1 AB"), STR("a\\b\"c") };
	struct report_tls_failure f[2] = { { STR("validation-failure"), STR("192.0.2.1"), STR("mx.bank.example"), STR("198.51.100.2"), STR("mx"), STR("info"), STR("code"), 5 },
		{ STR("certificate-expired"), none, none, none, none, none, none, 1 } };
	struct report_tls_policy p[2] = { { STR("tlsa"), STR("bank.example"), STR("mx.bank.example"), lines, 2, 100, 6, f, 2 },
		{ STR("no-policy-found"), STR("other.example"), none, NULL, 0, 3, 0, NULL, 0 } };
	struct report in = { .kind = REPORT_TLS, .tls = { STR("Org"), STR("a@b.example"), STR("id"), 1795392000, 1795478399, p, 2 } }, read, back;
	struct report_aggregate like = sample(NULL, 0, false);
	struct report_mail m = mail_for(&like);
	struct why why = { 0 };
	assert_int_equal(report_tls_json(&in.tls, &json), RC_OK);
	assert_int_equal(report_gzip(buf_str(&json), &gz), RC_OK);
	assert_int_equal(report_mail_tls(&m, buf_str(&gz), &mail), RC_OK);
	assert_int_equal(report_read(buf_str(&mail), &a, &read, &why), RC_OK);
	report_pack(&read, &packed);
	assert_int_equal(report_unpack(buf_str(&packed), &a, &back, &why), RC_OK);
	assert_int_equal(back.kind, REPORT_TLS);
	assert_true(back.tls.begin_s == in.tls.begin_s && back.tls.end_s == in.tls.end_s && back.tls.policies == 2);
	for (size_t i = 0; i < 2; i++) {
		const struct report_tls_policy *g = &back.tls.policy[i];
		SAME(g->type, p[i].type);
		SAME(g->domain, p[i].domain);
		SAME(g->mx, p[i].mx);
		assert_true(g->success == p[i].success && g->failure == p[i].failure && g->n_failures == p[i].n_failures && g->policy_strings == p[i].policy_strings);
	}
	SAME(back.tls.policy[0].policy_string[1], lines[1]);
	SAME(back.tls.policy[0].failures[0].reason, f[0].reason);
	assert_int_equal(back.tls.policy[0].failures[0].count, 5);
	for (size_t n = 0; n < packed.len; n++)
		assert_int_equal(report_unpack(str_head(buf_str(&packed), n), &a, &back, NULL), RC_SYNTAX);
}

static const char original[] = "Received: from x by y for <Jane.Doe@letterlock.test>\r\nFrom: \"ceo@bank.example\" <ceo@bank.example>\r\n"
	"To: \"odd local\"@letterlock.test, jane.doe@letterlock.test\r\nX-Nul: a\rb\r\nSubject: =?utf-8?Q?jane=2Edoe?= hello\r\n folded jane.doe@letterlock.test\r\n\r\n";

static enum rc failure_mail(bool redact, struct str key, struct str from, struct buf *out)
{
	struct report_failure f = { .domain = STR("bank.example"), .source_ip = STR("192.0.2.9"), .mail_from = STR("ceo@bank.example"), .auth_failure = STR("dmarc"), .dkim_domain = none,
		.dkim_selector = none, .spf_dns = none, .delivery = STR("reject"), .original_headers = none, .at_s = 1795400000, .incidents = 4, .alignment = STR("none") };
	struct report_aggregate like = sample(NULL, 0, false);
	struct report_mail m = mail_for(&like);
	m.key = key;
	if (from.n)
		m.from = from;
	return report_mail_failure(&m, &f, str_z(original), redact, out);
}

static void a_failure_report_comes_back(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 4 << 20 };
	AUTO(buf_done) struct buf mail = { .max = 1 << 20 };
	struct report r;
	struct why why = { 0 };
	assert_int_equal(failure_mail(false, none, none, &mail), RC_OK);
	assert_int_equal(report_read(buf_str(&mail), &a, &r, &why), RC_OK);
	assert_int_equal(r.kind, REPORT_FAILURE);
	SAME(r.failure.domain, STR("bank.example"));
	SAME(r.failure.source_ip, STR("192.0.2.9"));
	SAME(r.failure.mail_from, STR("ceo@bank.example"));
	SAME(r.failure.delivery, STR("reject"));
	assert_int_equal(r.failure.at_s, 1795400000);
	assert_int_equal(r.failure.incidents, 4);
	assert_true(str_find_str(r.failure.original_headers, STR("folded jane.doe@letterlock.test\r\n")) < r.failure.original_headers.n);
}

static void local_parts_are_redacted_alike_under_one_key(void **state)
{
	AUTO(buf_done) struct buf one = { .max = 1 << 20 };
	AUTO(buf_done) struct buf two = { .max = 1 << 20 };
	AUTO(buf_done) struct buf other = { .max = 1 << 20 };
	assert_int_equal(failure_mail(true, STR("key"), none, &one), RC_OK);
	assert_int_equal(failure_mail(true, STR("key"), none, &two), RC_OK);
	assert_int_equal(failure_mail(true, none, none, &other), RC_OK);
	SAME(buf_str(&one), buf_str(&two));
	assert_false(str_eq(buf_str(&one), buf_str(&other)));
	static const char *const secrets[] = { "jane", "Doe", "ceo@", "odd local" };
	for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
		assert_int_equal(str_ifind_str(buf_str(&one), str_z(secrets[i])), one.len);
	assert_true(str_find_str(buf_str(&one), STR("@letterlock.test")) < one.len);
	/* The same address, in whatever case, has the same hash: in Received, To and the folded line. */
	size_t at = str_find_str(buf_str(&one), STR("for <"));
	struct str hash = str_of(one.p + at + 5, 16);
	unsigned times = 0;
	for (struct str rest = buf_str(&one); (at = str_find_str(rest, hash)) < rest.n; rest = str_skip(rest, at + 1))
		times++;
	assert_int_equal(times, 3);
}

static void header_injection_is_refused(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 1 << 20 };
	assert_int_equal(failure_mail(true, none, STR("a@b.example\r\nBcc: all@bank.example"), &out), RC_SYNTAX);
	struct report_aggregate like = sample(NULL, 0, false);
	struct report_mail m = mail_for(&like);
	static const char *const bad[] = { "", "a b", "a\nb", "a!b", "../x", "a\"b" };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		m = mail_for(&like);
		m.domain = str_z(bad[i]);
		assert_int_equal(report_mail_dmarc(&m, STR("x"), &out), RC_SYNTAX);
	}
}

static void documents_past_their_ceiling_are_a_limit(void **state)
{
	AUTO(buf_done) struct buf small = { .max = 500 };
	AUTO(buf_done) struct buf small2 = { .max = 20 };
	struct report_row w = row_of("192.0.2.1", 7, true);
	struct report_aggregate r = sample(&w, 1, false);
	assert_int_equal(report_aggregate_xml(&r, &small), RC_LIMIT);
	assert_int_equal(report_gzip(STR("hello hello hello"), &small2), RC_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_aggregate_report_comes_back_from_its_own_mail),
		cmocka_unit_test(packed_reports_come_back_and_damage_is_seen),
		cmocka_unit_test(a_packed_report_cannot_say_what_a_report_cannot),
		cmocka_unit_test(a_tls_report_comes_back),
		cmocka_unit_test(a_failure_report_comes_back),
		cmocka_unit_test(local_parts_are_redacted_alike_under_one_key),
		cmocka_unit_test(header_injection_is_refused),
		cmocka_unit_test(documents_past_their_ceiling_are_a_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
