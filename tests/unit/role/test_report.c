#include "role/report_note.h"
#include "role/report_rules.h"
#include "role/report_take.h"
#include "role/report_tls.h"
#include "unit/crypto/hex.h"
#include <stdio.h>
#include <unistd.h>

/* Reports in the layer where they meet the ledger: what is noted, what is taken, which addresses are whose. */

static const struct secret key = { { 7 } };
static char dir[64];

static int make_place(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/ll-rolereport-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int drop_place(void **state)
{
	static const char *const names[] = { "ledger.db", "ledger.db-wal", "ledger.db-shm" };
	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[128];
		(void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		(void)remove(path);
	}
	return rmdir(dir);
}

static struct ledger *open_it(void)
{
	struct ledger *l = NULL;
	struct why why = { 0 };
	assert_int_equal(ledger_open_with(dir, &key, &l, &why), RC_OK);
	return l;
}

static void ok(enum rc rc, const struct why *why)
{
	if (rc != RC_OK)
		print_error("%s\n", why->text);
	assert_int_equal(rc, RC_OK);
}

/* ---- noted ---- */

enum { DAY = 20000 };
static const int64_t noon = DAY * 86400000ll + 43200000;

static struct report_aggregate policy(const char *p)
{
	struct str no = STR("");
	return (struct report_aggregate){ .org = no, .email = no, .extra = no, .id = no, .domain = STR("example.org"), .p = str_z(p), .sp = no, .np = no, .adkim = STR("r"),
		.aspf = STR("r"), .fo = no, .pct = 100, .discovery = STR("treewalk"), .rfc9990 = true };
}

static struct report_row row(const char *ip)
{
	struct str no = STR("");
	struct report_row w = { .source_ip = str_z(ip), .count = 1, .disposition = STR("none"), .dkim = STR("pass"), .spf = STR("fail"), .override = no,
		.override_comment = no, .header_from = STR("example.org"), .envelope_from = no, .envelope_to = no };
	w.auth_spf = (struct report_auth){ no, no, no, no };
	for (size_t i = 0; i < 8; i++)
		w.auth_dkim[i] = w.auth_spf;
	return w;
}

struct seen { unsigned n; uint64_t count; char override[100]; };
static bool see(void *arg, const struct ledger_observation *o)
{
	struct seen *s = arg;
	struct report_row w;
	assert_int_equal(report_row_of_key(o->row, &w), RC_OK);
	s->n++;
	s->count += o->count;
	(void)snprintf(s->override, sizeof s->override, "%.*s", PSTR(str_head(w.override_comment, 99)));
	return true;
}

static struct seen observed(struct ledger *l, int64_t after, unsigned max)
{
	struct seen s = { 0 };
	struct why why = { 0 };
	int64_t tag;
	assert_int_equal(ledger_tag(l, STR("example.org"), &tag), RC_OK);
	ok(ledger_observations(l, &(struct ledger_span){ DAY, tag, after, INT64_MAX, max }, see, &s, &why), &why);
	return s;
}

static void a_busy_domain_costs_one_row_a_flush(void **state)
{
	struct ledger *l = open_it();
	struct report_note *n;
	struct why why = { 0 };
	struct report_aggregate about = policy("none");
	struct report_row a = row("192.0.2.1"), b = row("192.0.2.2");
	assert_int_equal(report_note_new(l, &n), RC_OK);
	for (int i = 0; i < 1000; i++)
		ok(report_note_take(n, noon, &about, STR("mailto:x@example.org"), i % 4 ? &a : &b, &why), &why);
	ok(report_note_flush(n, &why), &why);
	struct seen s = observed(l, 0, 100);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.count, 1000);
	ok(report_note_flush(n, &why), &why);
	assert_int_equal(observed(l, 0, 100).n, 2);
	report_note_free(&n);
	ledger_close(&l);
}

static bool keep_about(void *arg, const struct ledger_report_day *d)
{
	struct arena a;
	struct report_aggregate about;
	struct str rua;
	struct why why = { 0 };
	arena_init(&a, 1 << 16);
	ok(report_about_get(d->about, &a, &about, &rua, &why), &why);
	(void)snprintf(arg, 100, "%.*s %.*s %.*s", PSTR(d->name), PSTR(about.p), PSTR(rua));
	arena_done(&a);
	return true;
}

static void the_policy_published_last_is_the_day_s(void **state)
{
	struct ledger *l = open_it();
	struct report_note *n;
	struct why why = { 0 };
	struct report_aggregate none = policy("none"), reject = policy("reject");
	struct report_row w = row("192.0.2.1");
	char said[100] = "";
	assert_int_equal(report_note_new(l, &n), RC_OK);
	ok(report_note_take(n, noon, &none, STR("mailto:old@example.org"), &w, &why), &why);
	ok(report_note_flush(n, &why), &why);
	ok(report_note_take(n, noon, &reject, STR("mailto:new@example.org"), &w, &why), &why);
	ok(report_note_flush(n, &why), &why);
	ok(ledger_report_days(l, &(struct ledger_days){ .first = DAY, .end = DAY + 1, .max = 9 }, keep_about, said, &why), &why);
	assert_string_equal(said, "example.org reject mailto:new@example.org");
	report_note_free(&n);
	ledger_close(&l);
}

static void past_its_bound_a_day_loses_details_and_no_message(void **state)
{
	struct ledger *l = open_it();
	struct report_note *n;
	struct why why = { 0 };
	struct report_aggregate about = policy("none");
	int64_t tag;
	assert_int_equal(ledger_tag(l, STR("example.org"), &tag), RC_OK);
	for (unsigned i = 0; i < REPORT_SUM_ROWS; i++)
		ok(ledger_observe(l, DAY, tag, 1, STR("x"), &why), &why);
	assert_int_equal(report_note_new(l, &n), RC_OK);
	for (int i = 0; i < 50; i++) {
		char ip[32];
		(void)snprintf(ip, sizeof ip, "192.0.2.%d", i);
		struct report_row w = row(ip);
		ok(report_note_take(n, noon, &about, STR("mailto:x@example.org"), &w, &why), &why);
	}
	ok(report_note_flush(n, &why), &why);
	struct seen s = observed(l, REPORT_SUM_ROWS, 100);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.count, 50);
	assert_string_equal(s.override, "too many different sources: the rest, added up");
	report_note_free(&n);
	ledger_close(&l);
}

/* ---- taken ---- */

static void pack_report(struct buf *out, const char *domain, const char *id, size_t rows, struct report_row *w, int64_t begin)
{
	struct report r = { .kind = REPORT_DMARC, .dmarc = policy("none") };
	r.dmarc.org = STR("Receiver");
	r.dmarc.id = str_z(id);
	r.dmarc.domain = str_z(domain);
	r.dmarc.begin_s = begin;
	r.dmarc.end_s = begin + 86399;
	r.dmarc.row = w;
	r.dmarc.rows = rows;
	buf_clear(out);
	report_pack(&r, out);
}

static void nobody_takes_the_place_of_a_report_by_sending_first(void **state)
{
	struct ledger *l = open_it();
	struct why why = { 0 };
	struct buf b = { .max = 1 << 20 };
	struct report_row w[2] = { row("192.0.2.1"), row("192.0.2.1") };
	uint32_t rows = 0;
	struct report_take how = { .at_ms = noon, .mid = STR("1"), .sender = STR("a@b"), .verified = STR("") };
	pack_report(&b, "example.org", "id", 2, w, (DAY - 1) * 86400ll);
	ok(report_take(l, buf_str(&b), &how, &rows, &why), &why);
	assert_int_equal(rows, 1); /* equal rows are one */
	how.verified = STR("evil.example");
	ok(report_take(l, buf_str(&b), &how, &rows, &why), &why);
	how.verified = STR("receiver.example");
	ok(report_take(l, buf_str(&b), &how, &rows, &why), &why);
	assert_int_equal(report_take(l, buf_str(&b), &how, &rows, &why), RC_EXISTS);
	buf_done(&b);
	ledger_close(&l);
}

static void a_period_that_cannot_be_true_is_refused(void **state)
{
	struct ledger *l = open_it();
	struct why why = { 0 };
	struct buf b = { .max = 1 << 20 };
	struct report_row w = row("192.0.2.1");
	uint32_t rows = 0;
	struct report_take how = { .at_ms = noon, .mid = STR("1"), .sender = STR(""), .verified = STR("") };
	pack_report(&b, "example.org", "id", 1, &w, (DAY + 30) * 86400ll);
	assert_int_equal(report_take(l, buf_str(&b), &how, &rows, &why), RC_SYNTAX);
	assert_string_equal(why.text, "the report's period cannot be true");
	assert_int_equal(report_take(l, STR("\001\001junk"), &how, &rows, &why), RC_SYNTAX);
	buf_done(&b);
	ledger_close(&l);
}

/* ---- rules ---- */

static void set(struct config *c, const char *name, const char *value)
{
	struct why why = { 0 };
	const char *dot = strchr(name, '.');
	const struct config_row *r = config_row_find(str_of(name, (size_t)(dot - name)), str_z(dot + 1));
	assert_non_null(r);
	ok(config_set(c, r, str_z(value), &why), &why);
}

static void reporting_addresses_are_told_from_others(void **state)
{
	struct config c;
	config_init(&c);
	assert_true(report_address_is(&c, STR("DMARC-Reports"), STR("any.example")));
	assert_true(report_address_is(&c, STR("tls-reports"), STR("any.example")));
	assert_false(report_address_is(&c, STR("dmarc-report"), STR("any.example")));
	assert_false(report_address_is(&c, STR("dmarc-reports"), STR("")));
	set(&c, "reports.dmarc_address", "rua@one.example");
	set(&c, "reports.tls_address", "");
	assert_true(report_address_is(&c, STR("rua"), STR("One.example")));
	assert_false(report_address_is(&c, STR("rua"), STR("two.example")));
	assert_false(report_address_is(&c, STR("tls-reports"), STR("any.example")));
	config_done(&c);
}

static void our_reports_come_from_the_domain_of_the_server_s_name(void **state)
{
	static const struct { const char *hostname, *dmarc, *from, *want; } cases[] = {
		{ "mail.example.org", "dmarc-reports@DOMAIN", "", "dmarc-reports@example.org" },
		{ "example.org", "dmarc-reports@DOMAIN", "", "dmarc-reports@example.org" },
		{ "a.b.example.org", "rua@DOMAIN", "", "rua@b.example.org" },
		{ "mail.example.org", "rua@one.example", "", "rua@one.example" },
		{ "mail.example.org", "", "", "dmarc-reports@example.org" },
		{ "mail.example.org", "rua@one.example", "noreply@two.example", "noreply@two.example" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct config c;
		char room[400], got[401];
		config_init(&c);
		set(&c, "server.hostname", cases[i].hostname);
		set(&c, "reports.dmarc_address", cases[i].dmarc);
		set(&c, "reports.from", cases[i].from);
		(void)snprintf(got, sizeof got, "%.*s", PSTR(report_from(&c, room)));
		assert_string_equal(got, cases[i].want);
		config_done(&c);
	}
}

static void a_report_is_known_by_its_header(void **state)
{
	static const struct { const char *header; bool is; } cases[] = {
		{ "From: a@b.example\r\nSubject: Report Domain: x Submitter: y\r\n\r\n", true },
		{ "Subject: report domain: x\r\n\r\n", true },
		{ "Subject: Re: Report Domain: x\r\n\r\n", false },
		{ "Content-Type: multipart/report;\r\n report-type=feedback-report\r\n\r\n", true },
		{ "Content-Type: multipart/report; report-type=tlsrpt\r\n\r\n", true },
		{ "Content-Type: multipart/report; report-type=delivery-status\r\n\r\n", false },
		{ "From: dmarc-reports@example.org\r\n\r\n", true },
		{ "From: someone@example.org\r\nSubject: hello\r\n\r\n", false },
		{ "", false },
	};
	struct config c;
	config_init(&c);
	set(&c, "server.hostname", "mail.example.org");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(report_is_one(&c, str_z(cases[i].header)), cases[i].is);
	config_done(&c);
}

static void days_are_read_as_they_are_written(void **state)
{
	static const char *const bad[] = { "", "2026-13-01", "2026-02-30", "2026-1-01", "24-11-2026", "2026-11-24T", "2026/11/24", "20 6-11-24" };
	char text[16];
	for (uint32_t day = 15000; day < 25000; day += 17) {
		report_day_text(day, text);
		assert_int_equal(report_day_read(str_z(text)), day);
	}
	assert_int_equal(report_day_read(STR("2026-11-24")), 20781);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(report_day_read(str_z(bad[i])), 0);
}

static void addresses_that_are_none_are_refused_by_the_configuration(void **state)
{
	static const struct { const char *name, *value; } cases[] = {
		{ "reports.dmarc_address", "no-at-sign" }, { "reports.tls_address", "@x.example" }, { "reports.from", "a@DOMAIN" }, { "reports.from", "a <a@b.example>" },
		{ "reports.org_name", "two\nlines" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct config c;
		struct why why = { 0 };
		config_init(&c);
		ok(report_rules_check(&c, &why), &why);
		set(&c, cases[i].name, cases[i].value);
		assert_int_equal(report_rules_check(&c, &why), RC_SYNTAX);
		assert_true(str_starts(str_z(why.text), str_z(cases[i].name)));
		config_done(&c);
	}
}

/* ---- TLS reports out ---- */

static struct msg_TLS_RESULT session_to(const char *domain, uint8_t policy, const char *result, const char *mx)
{
	static const char strings[] = "\0\0\0\x0eversion: STSv1" "\0\0\0\x11mx: *.example.org";
	return (struct msg_TLS_RESULT){ .at_ms = (uint64_t)noon, .domain = str_z(domain), .policy = policy,
		.policy_strings = policy == 1 ? str_of(strings, sizeof strings - 1) : STR(""), .mx = str_z(mx), .mx_ip = STR("2001:db8::5"), .local_ip = STR("192.0.2.9"),
		.result = str_z(result), .reason = *result ? STR("certificate \"expired\"") : STR("") };
}

static void gathered(struct ledger *l, const char *domain, struct arena *a, struct report_tls *out, uint64_t *sessions)
{
	struct why why = { 0 };
	struct ledger_span span = { .day = DAY, .upto = INT64_MAX };
	ok(report_tls_tag(l, str_z(domain), &span.domain), &why);
	*out = (struct report_tls){ .org = STR("mail.example.net"), .contact = STR("reports@example.net"), .id = STR("1.2.3"), .begin_s = DAY * 86400ll, .end_s = DAY * 86400ll + 86399 };
	ok(report_tls_gather(l, &span, str_z(domain), a, out, sessions, &why), &why);
}

/* What went into the ledger comes out of our own reader of TLS reports. */
static void sessions_become_a_tls_report_with_the_same_numbers(void **state)
{
	struct ledger *l = open_it();
	struct tls_note *n;
	struct why why = { 0 };
	struct arena a;
	struct report_tls out;
	struct report back;
	struct buf json AUTO(buf_done), gz AUTO(buf_done);
	uint64_t sessions = 0;
	(void)state;
	arena_init(&a, 8 << 20);
	buf_init(&json, 1 << 20);
	buf_init(&gz, 1 << 20);
	ok(tls_note_new(l, &n), &why);
	for (int i = 0; i < 30; i++) {
		struct msg_TLS_RESULT m = i < 20 ? session_to("Example.org", 1, "", "mx.example.org") : session_to("example.org.", 1, "certificate-expired", i < 25 ? "MX.example.org" : "mx2.example.org");
		ok(tls_note_take(n, &m, &why), &why);
		if (i == 10)
			ok(tls_note_flush(n, &why), &why);
	}
	struct msg_TLS_RESULT other = session_to("example.com", 2, "", "mx.example.com"), none = session_to("example.org", 0, "starttls-not-supported", "old.example.org");
	ok(tls_note_take(n, &other, &why), &why);
	ok(tls_note_take(n, &none, &why), &why);
	ok(tls_note_flush(n, &why), &why);
	ok(ledger_flush(l, &why), &why);
	gathered(l, "example.org", &a, &out, &sessions);
	assert_int_equal(sessions, 31);
	ok(report_tls_json(&out, &json), &why);
	ok(report_gzip(buf_str(&json), &gz), &why);
	ok(report_read(buf_str(&gz), &a, &back, &why), &why);
	assert_int_equal(back.kind, REPORT_TLS);
	assert_int_equal(back.tls.policies, 2);
	const struct report_tls_policy *sts = &back.tls.policy[0], *no = &back.tls.policy[1];
	assert_true(str_eq(sts->type, STR("sts")) && str_eq(sts->domain, STR("example.org")) && str_eq(sts->mx, STR("*.example.org")));
	assert_int_equal(sts->success, 20);
	assert_int_equal(sts->failure, 10);
	assert_int_equal(sts->policy_strings, 2);
	assert_int_equal(sts->n_failures, 2);
	assert_int_equal(sts->failures[0].count, 5);
	assert_true(str_eq(sts->failures[0].receiving_mx, STR("mx.example.org")) && str_eq(sts->failures[0].sending_ip, STR("192.0.2.9")));
	assert_true(str_eq(sts->failures[1].reason, STR("certificate \"expired\"")));
	assert_true(str_eq(no->type, STR("no-policy-found")) && no->failure == 1);
	tls_note_free(&n);
	ledger_close(&l);
	arena_done(&a);
}

static void a_tls_result_that_makes_no_sense_is_refused(void **state)
{
	struct ledger *l = open_it();
	struct tls_note *n;
	struct why why = { 0 };
	(void)state;
	ok(tls_note_new(l, &n), &why);
	struct msg_TLS_RESULT bad[] = { session_to("", 0, "", ""), session_to("a..b", 0, "", ""), session_to("a\rb.example", 0, "", ""), session_to("a.example", 3, "", ""),
		session_to("a.example", 0, "x\ny", ""), session_to("a.example", 0, "", "m\x80"), session_to("a.example", 0, "", "") };
	bad[6].policy_strings = STR("\0\0\0\7abc");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(tls_note_take(n, &bad[i], &why), RC_SYNTAX);
	tls_note_free(&n);
	ledger_close(&l);
}

static void past_its_bound_a_day_of_tls_loses_details_and_no_session(void **state)
{
	struct ledger *l = open_it();
	struct tls_note *n;
	struct why why = { 0 };
	struct arena a;
	struct report_tls out;
	uint64_t sessions = 0;
	(void)state;
	arena_init(&a, 64 << 20);
	ok(tls_note_new(l, &n), &why);
	for (unsigned i = 0; i < REPORT_TLS_ROWS + 500; i++) {
		char mx[40];
		(void)snprintf(mx, sizeof mx, "mx%u.example.net", i);
		struct msg_TLS_RESULT m = session_to("example.net", 0, "validation-failure", mx);
		ok(tls_note_take(n, &m, &why), &why);
	}
	ok(tls_note_flush(n, &why), &why);
	ok(ledger_flush(l, &why), &why);
	gathered(l, "example.net", &a, &out, &sessions);
	assert_int_equal(sessions, REPORT_TLS_ROWS + 500);
	assert_int_equal(out.policy[0].failure, REPORT_TLS_ROWS + 500);
	assert_int_equal(out.policy[0].n_failures, 1001);
	uint64_t sum = 0;
	for (size_t i = 0; i < out.policy[0].n_failures; i++)
		sum += out.policy[0].failures[i].count;
	assert_int_equal(sum, sessions);
	tls_note_free(&n);
	ledger_close(&l);
	arena_done(&a);
}

static void who_wants_tls_reports_says_so_in_one_record(void **state)
{
	static const struct { const char *zone, *rua; enum rc rc; } cases[] = {
		{ "_smtp._tls.a.test. TXT \"v=TLSRPTv1; rua=mailto:t@a.test,https://r.test/x\"", "mailto:t@a.test,https://r.test/x", RC_OK },
		{ "_smtp._tls.a.test. TXT \"v=TLSRPTv1;rua=mailto:t@a.test;\"\n_smtp._tls.a.test. TXT \"other\"", "mailto:t@a.test", RC_OK },
		{ "_smtp._tls.a.test. TXT \"v=TLSRPTv1; rua=mailto:t@a.test\"\n_smtp._tls.a.test. TXT \"v=TLSRPTv1; rua=mailto:u@a.test\"", "", RC_OK },
		{ "_smtp._tls.a.test. TXT \"v=TLSRPTv10; rua=mailto:t@a.test\"", "", RC_OK },
		{ "_smtp._tls.a.test. TXT \"v=TLSRPTv1; \"", "", RC_OK },
		{ "a.test. TXT \"x\"", "", RC_OK },
		{ "; TIMEOUT _smtp._tls.a.test. TXT", "", RC_BUSY },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct dns_table *t;
		struct why why = { 0 };
		struct arena a;
		struct str rua;
		arena_init(&a, 1 << 16);
		ok(dns_table_new(&t), &why);
		ok(dns_table_read(t, str_z(cases[i].zone), STR(""), &why), &why);
		struct dns d = dns_table_dns(t);
		assert_int_equal(report_tls_rua(&d, STR("a.test"), &a, &rua), cases[i].rc);
		assert_true(str_eq(rua, str_z(cases[i].rua)));
		dns_table_free(&t);
		arena_done(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sessions_become_a_tls_report_with_the_same_numbers, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_tls_result_that_makes_no_sense_is_refused, make_place, drop_place),
		cmocka_unit_test_setup_teardown(past_its_bound_a_day_of_tls_loses_details_and_no_session, make_place, drop_place),
		cmocka_unit_test(who_wants_tls_reports_says_so_in_one_record),
		cmocka_unit_test_setup_teardown(a_busy_domain_costs_one_row_a_flush, make_place, drop_place),
		cmocka_unit_test_setup_teardown(the_policy_published_last_is_the_day_s, make_place, drop_place),
		cmocka_unit_test_setup_teardown(past_its_bound_a_day_loses_details_and_no_message, make_place, drop_place),
		cmocka_unit_test_setup_teardown(nobody_takes_the_place_of_a_report_by_sending_first, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_period_that_cannot_be_true_is_refused, make_place, drop_place),
		cmocka_unit_test(reporting_addresses_are_told_from_others),
		cmocka_unit_test(our_reports_come_from_the_domain_of_the_server_s_name),
		cmocka_unit_test(a_report_is_known_by_its_header),
		cmocka_unit_test(days_are_read_as_they_are_written),
		cmocka_unit_test(addresses_that_are_none_are_refused_by_the_configuration),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
