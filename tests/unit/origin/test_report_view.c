/* Adding up single messages, and the judgement on what reports say. */
#include "origin/report_internal.h"
#include "origin/report_sum.h"
#include "origin/report_view.h"

#include "../mail/mail_test.h"

enum { DAY = 86400 };
#define T0 INT64_C(1795392000)

static struct report_row row_of(const char *ip, const char *dkim, const char *spf)
{
	struct report_row r = report_row_empty();
	r.source_ip = str_z(ip);
	r.dkim = str_z(dkim);
	r.spf = str_z(spf);
	r.header_from = STR("bank.example");
	r.count = 1;
	return r;
}
static void signed_by(struct report_row *r, const char *domain, const char *selector, const char *result)
{
	r->auth_dkim[r->auth_dkims++] = (struct report_auth){ str_z(domain), str_z(selector), str_z(result), STR("") };
}
static void sent_by(struct report_row *r, const char *domain, const char *result) { r->auth_spf = (struct report_auth){ str_z(domain), STR(""), str_z(result), STR("mfrom") }; }

/* ---- sums ---- */
static void equal_messages_become_one_row(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct report_sum s;
	struct report_row *rows, r = row_of("192.0.2.1", "pass", "fail"), other;
	size_t n;
	signed_by(&r, "bank.example", "s1", "pass");
	sent_by(&r, "x.example", "pass");
	r.count = 0;
	report_sum_init(&s, &a, 100);
	for (int i = 0; i < 5; i++)
		assert_int_equal(report_sum_add(&s, &r), RC_OK);
	for (int field = 0; field < 6; field++) { /* each field makes a row of its own */
		other = r;
		if (field == 0) other.source_ip = STR("192.0.2.2");
		if (field == 1) other.disposition = STR("reject");
		if (field == 2) other.auth_dkim[0].selector = STR("s2");
		if (field == 3) other.auth_spf.domain = STR("y.example");
		if (field == 4) other.envelope_from = STR("bank.example");
		if (field == 5) other.override = STR("local_policy");
		other.count = 3;
		assert_int_equal(report_sum_add(&s, &other), RC_OK);
	}
	assert_int_equal(report_sum_rows(&s, &a, &rows, &n), RC_OK);
	assert_int_equal(n, 7);
	assert_int_equal(rows[0].count, 5);
	assert_int_equal(rows[6].count, 3);
	SAME(rows[0].auth_dkim[0].domain, STR("bank.example"));
	SAME(rows[0].auth_spf.result, STR("pass"));
	SAME(rows[6].override, STR("local_policy"));
	assert_int_equal(s.messages, 23);
	assert_int_equal(s.lost_details, 0);
	report_sum_done(&s);
}

static void past_its_bound_sums_stay_right(void **state)
{
	for (int which = 0; which < 2; which++) { /* bounded by rows, bounded by the arena */
		AUTO(arena_done) struct arena a = { .max = which ? 40000 : 1 << 20 };
		AUTO(arena_done) struct arena out = { .max = 8 << 20 };
		struct report_sum s;
		struct report_row *rows;
		size_t n;
		uint64_t sum = 0, rejected = 0;
		report_sum_init(&s, &a, which ? 100000 : 10);
		for (int i = 0; i < 1000; i++) {
			char ip[20];
			snprintf(ip, sizeof ip, "10.0.%d.%d", i / 250, i % 250);
			struct report_row r = row_of(ip, i % 3 ? "fail" : "pass", i % 2 ? "pass" : "fail");
			r.disposition = i % 5 ? STR("none") : STR("reject");
			assert_int_equal(report_sum_add(&s, &r), RC_OK);
		}
		assert_int_equal(report_sum_rows(&s, &out, &rows, &n), RC_OK);
		for (size_t i = 0; i < n; i++) {
			sum += rows[i].count;
			rejected += str_eq(rows[i].disposition, STR("reject")) ? rows[i].count : 0;
		}
		assert_int_equal(sum, 1000);
		assert_int_equal(rejected, 200);
		assert_int_equal(s.messages, 1000);
		assert_true(s.lost_details > 0 && n < (which ? 500 : 23));
		report_sum_done(&s);
	}
}

static void a_report_of_sums_is_one_that_others_can_read(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 8 << 20 };
	AUTO(buf_done) struct buf xml = { .max = 8 << 20 };
	struct report_sum s;
	struct report_aggregate r = { .org = STR("O"), .email = STR("a@b.example"), .extra = STR(""), .id = STR("1"), .begin_s = T0, .end_s = T0 + DAY - 1, .domain = STR("bank.example"),
		.p = STR("reject"), .sp = STR(""), .np = STR(""), .adkim = STR("r"), .aspf = STR("r"), .fo = STR(""), .pct = 100, .discovery = STR("") };
	struct report back;
	struct why why;
	report_sum_init(&s, &a, 2);
	for (int i = 0; i < 50; i++) {
		char ip[20];
		snprintf(ip, sizeof ip, "10.0.0.%d", i);
		struct report_row w = row_of(ip, "fail", "fail");
		assert_int_equal(report_sum_add(&s, &w), RC_OK);
	}
	assert_int_equal(report_sum_rows(&s, &a, &r.row, &r.rows), RC_OK);
	assert_int_equal(r.rows, 3);
	assert_int_equal(report_aggregate_xml(&r, &xml), RC_OK);
	assert_int_equal(report_read(buf_str(&xml), &a, &back, &why), RC_OK);
	assert_int_equal(back.dmarc.rows, 3);
	assert_int_equal(back.dmarc.row[2].count, 48);
	report_sum_done(&s);
}

static void a_damaged_key_is_no_row(void **state)
{
	AUTO(buf_done) struct buf key = { .max = 10000 };
	struct report_row r = row_of("192.0.2.1", "pass", "fail"), back;
	signed_by(&r, "bank.example", "s1", "pass");
	report_row_key(&r, &key);
	assert_int_equal(report_row_of_key(buf_str(&key), &back), RC_OK);
	for (size_t n = 0; n < key.len; n++)
		assert_int_equal(report_row_of_key(str_head(buf_str(&key), n), &back), RC_DAMAGED);
}

/* ---- views ---- */
struct world {
	struct arena a;
	struct report_row row[64];
	struct report_view_row at[64];
	size_t n;
};
static struct report_row *put(struct world *w, int day, struct report_row r, uint64_t count)
{
	r.count = count;
	w->row[w->n] = r;
	w->at[w->n] = (struct report_view_row){ T0 + day * DAY + 3600, &w->row[w->n] };
	return &w->row[w->n++];
}
static const struct report_view_source *source(const struct report_view *v, const char *network)
{
	for (size_t i = 0; i < v->sources; i++)
		if (str_eq(v->source[i].network, str_z(network)))
			return &v->source[i];
	fail_msg("no source %s", network);
	return NULL;
}
static int setup(void **state)
{
	static struct world w;
	w = (struct world){ 0 };
	arena_init(&w.a, 8 << 20);
	*state = &w;
	return 0;
}
static int teardown(void **state)
{
	arena_done(&((struct world *)*state)->a);
	return 0;
}

/* A small company: its server, a service with a key of its own, a forwarder, a list, a newsletter tool nobody told about, a forgotten printer, a forger. */
static void company(struct world *w, int days, uint64_t scale)
{
	for (int d = 0; d < days; d += days > 1 ? days - 1 : 1) {
		struct report_row r = row_of("192.0.2.10", "pass", "pass");
		signed_by(&r, "bank.example", "s1", "pass");
		sent_by(&r, "bank.example", "pass");
		put(w, d, r, 1000 * scale);
		r = row_of("198.51.100.5", "pass", "fail");
		signed_by(&r, "bank.example", "crm", "pass");
		sent_by(&r, "crm.example", "pass");
		put(w, d, r, 200 * scale);
		r = row_of("203.0.113.77", "pass", "fail");
		signed_by(&r, "bank.example", "s1", "pass");
		sent_by(&r, "alumni.example", "pass");
		put(w, d, r, 30);
		r = row_of("203.0.114.5", "fail", "fail");
		r.override = STR("mailing_list");
		sent_by(&r, "lists.example", "pass");
		put(w, d, r, 2);
	}
}
static void strangers(struct world *w)
{
	struct report_row r = row_of("100.64.9.9", "fail", "fail");
	sent_by(&r, "newsletter.example", "pass");
	put(w, 1, r, 40);
	r = row_of("192.0.77.3", "fail", "fail"); /* in 192.0.0.0/16 as the own server */
	sent_by(&r, "bank.example", "fail");
	put(w, 1, r, 5);
	r = row_of("45.9.1.1", "fail", "fail");
	sent_by(&r, "bank.example", "fail");
	signed_by(&r, "bank.example", "s1", "fail");
	r.disposition = STR("reject");
	put(w, 2, r, 900);
	r = row_of("2001:db8:5:1::9", "fail", "fail");
	put(w, 2, r, 10);
}

static void sources_are_grouped_by_what_speaks_for_them(void **state)
{
	struct world *w = *state;
	struct report_view v;
	company(w, 15, 1);
	strangers(w);
	put(w, 3, row_of("", "fail", "fail"), 7);
	assert_int_equal(report_view_make(w->at, w->n, NULL, &w->a, &v, NULL), RC_OK);
	static const struct { const char *network; enum report_view_group group; const char *because; } want[] = {
		{ "192.0.2.0/24", REPORT_VIEW_YOURS, "SPF record" }, { "198.51.100.0/24", REPORT_VIEW_YOURS, "key of its own (crm@bank.example)" },
		{ "203.0.113.0/24", REPORT_VIEW_FORWARDER, "your own servers signed" }, { "203.0.114.0/24", REPORT_VIEW_FORWARDER, "receivers say" },
		{ "100.64.9.0/24", REPORT_VIEW_UNKNOWN, "newsletter.example" }, { "192.0.77.0/24", REPORT_VIEW_UNKNOWN, "beside" }, { "45.9.1.0/24", REPORT_VIEW_THREAT, "nothing speaks" },
		{ "2001:db8:5::/48", REPORT_VIEW_THREAT, "nothing speaks" },
	};
	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
		const struct report_view_source *s = source(&v, want[i].network);
		if (s->group != want[i].group || str_find_str(s->because, str_z(want[i].because)) == s->because.n)
			fail_msg("%s: %s, %.*s", want[i].network, report_view_group_name(s->group), PSTR(s->because));
	}
	assert_int_equal(v.sources, 8);
	assert_int_equal(v.unread, 7);
	assert_int_equal(v.messages, 2 * 1232 + 955 + 7);
	assert_int_equal(v.passed, 2 * 1230);
	assert_int_equal(v.group_messages[REPORT_VIEW_THREAT], 910);
	SAME(v.source[0].network, STR("192.0.2.0/24"));
	assert_int_equal(v.days, 5);
	assert_true(v.day[0].day_s == T0 && v.day[1].messages == 45 && v.day[1].passed == 0);
	assert_int_equal(source(&v, "45.9.1.0/24")->rejected, 900);
}

static void the_owners_lists_come_first(void **state)
{
	struct world *w = *state;
	struct report_view v;
	const struct str own[] = { STR("45.9.1.1"), STR("2001:db8::/32") }, forwarders[] = { STR("newsletter.example"), STR("192.0.77.0/24") };
	struct report_view_options o = { own, 2, forwarders, 2 };
	company(w, 15, 1);
	strangers(w);
	assert_int_equal(report_view_make(w->at, w->n, &o, &w->a, &v, NULL), RC_OK);
	assert_int_equal(source(&v, "45.9.1.0/24")->group, REPORT_VIEW_YOURS);
	assert_int_equal(source(&v, "2001:db8:5::/48")->group, REPORT_VIEW_YOURS);
	assert_int_equal(source(&v, "100.64.9.0/24")->group, REPORT_VIEW_FORWARDER);
	assert_int_equal(source(&v, "192.0.77.0/24")->group, REPORT_VIEW_FORWARDER);
}

static void the_next_step_is_judged(void **state)
{
	struct world *w = *state;
	struct report_view v;
	struct report_view_step s;
	company(w, 15, 1);
	assert_int_equal(report_view_make(w->at, w->n, NULL, &w->a, &v, NULL), RC_OK);
	assert_int_equal(report_view_next_step(&v, STR("none"), &w->a, &s), RC_OK);
	assert_true(s.safe);
	SAME(s.next, STR("quarantine"));
	assert_int_equal(s.would_break, 4); /* the mailing list's */
	assert_int_equal(s.breakings, 1);
	strangers(w);
	assert_int_equal(report_view_make(w->at, w->n, NULL, &w->a, &v, NULL), RC_OK);
	assert_int_equal(report_view_next_step(&v, STR("quarantine"), &w->a, &s), RC_OK);
	assert_false(s.safe);
	SAME(s.next, STR("reject"));
	assert_int_equal(s.would_break, 49);
	assert_int_equal(s.breakings, 3);
	SAME(s.breaking[0]->network, STR("100.64.9.0/24")); /* threats are not among them */
	assert_true(str_find_str(s.reason, STR("49 of 2509")) < s.reason.n);
	assert_int_equal(report_view_next_step(&v, STR("reject"), &w->a, &s), RC_OK);
	assert_true(!s.safe && s.next.n == 0);
}

static void too_little_is_no_ground_for_a_step(void **state)
{
	struct world *w = *state;
	struct report_view v;
	struct report_view_step s;
	company(w, 5, 1);
	assert_int_equal(report_view_make(w->at, w->n, NULL, &w->a, &v, NULL), RC_OK);
	assert_int_equal(report_view_next_step(&v, STR("none"), &w->a, &s), RC_OK);
	assert_false(s.safe);
	assert_true(str_find_str(s.reason, STR("5 days")) < s.reason.n);
	w->n = 0;
	put(w, 0, row_of("192.0.2.1", "pass", "pass"), 40);
	put(w, 20, row_of("192.0.2.1", "pass", "pass"), 40);
	assert_int_equal(report_view_make(w->at, w->n, NULL, &w->a, &v, NULL), RC_OK);
	assert_int_equal(report_view_next_step(&v, STR(""), &w->a, &s), RC_OK);
	assert_false(s.safe);
	assert_true(str_find_str(s.reason, STR("too few")) < s.reason.n);
	w->n = 0;
	assert_int_equal(report_view_make(w->at, 0, NULL, &w->a, &v, NULL), RC_OK);
	assert_int_equal(report_view_next_step(&v, STR("none"), &w->a, &s), RC_OK);
	assert_false(s.safe);
}

static void changes_are_told_most_important_first(void **state)
{
	struct world *w = *state;
	struct report_view before, after;
	struct report_view_change *c;
	size_t n;
	company(w, 15, 1);
	assert_int_equal(report_view_make(w->at, w->n, NULL, &w->a, &before, NULL), RC_OK);
	w->n = 0;
	struct report_row r = row_of("192.0.2.10", "pass", "pass");
	signed_by(&r, "bank.example", "s1", "pass");
	put(w, 20, r, 1000);
	put(w, 20, row_of("192.0.2.11", "fail", "fail"), 200); /* a new machine beside it, without a key */
	r = row_of("198.51.100.5", "pass", "fail");
	signed_by(&r, "bank.example", "crm", "pass");
	put(w, 20, r, 5000);
	put(w, 20, row_of("45.9.1.1", "fail", "fail"), 900);
	assert_int_equal(report_view_make(w->at, w->n, NULL, &w->a, &after, NULL), RC_OK);
	assert_int_equal(report_view_changes(&before, &after, &w->a, &c, &n), RC_OK);
	assert_int_equal(n, 5);
	assert_int_equal(c[0].what, REPORT_VIEW_WORSE);
	assert_true(str_find_str(c[0].text, STR("100 % passed, now 83 %")) < c[0].text.n);
	unsigned seen = 0;
	for (size_t i = 0; i < n; i++)
		seen |= 1u << c[i].what;
	assert_int_equal(seen, 1 << REPORT_VIEW_WORSE | 1 << REPORT_VIEW_MORE | 1 << REPORT_VIEW_NEW | 1 << REPORT_VIEW_GONE);
	assert_int_equal(report_view_changes(&after, &after, &w->a, &c, &n), RC_OK);
	assert_int_equal(n, 0);
}

static void a_small_arena_is_a_limit(void **state)
{
	struct world *w = *state;
	struct report_view v;
	company(w, 15, 1);
	strangers(w);
	for (size_t max = 0; max < 40000; max += 250) {
		AUTO(arena_done) struct arena a = { .max = max };
		enum rc rc = report_view_make(w->at, w->n, NULL, &a, &v, NULL);
		assert_int_equal(rc, max < 5000 ? RC_LIMIT : max > 20000 ? RC_OK : rc == RC_OK ? RC_OK : RC_LIMIT);
	}
}

#define W(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_messages_become_one_row),
		cmocka_unit_test(past_its_bound_sums_stay_right),
		cmocka_unit_test(a_report_of_sums_is_one_that_others_can_read),
		cmocka_unit_test(a_damaged_key_is_no_row),
		W(sources_are_grouped_by_what_speaks_for_them),
		W(the_owners_lists_come_first),
		W(the_next_step_is_judged),
		W(too_little_is_no_ground_for_a_step),
		W(changes_are_told_most_important_first),
		W(a_small_arena_is_a_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
