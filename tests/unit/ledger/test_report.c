#include "ledger/report.h"

#include "base/buf.h"
#include "os/file.h"
#include "unit/crypto/hex.h"
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

static const struct secret key = { { 1, 2, 3 } };
struct place { char dir[64], db[96]; };

static int make_place(void **state)
{
	static struct place p;
	(void)snprintf(p.dir, sizeof p.dir, "/tmp/ll-report-XXXXXX");
	if (!mkdtemp(p.dir))
		return -1;
	(void)snprintf(p.db, sizeof p.db, "%s/ledger.db", p.dir);
	*state = &p;
	return 0;
}

static int drop_place(void **state)
{
	struct place *p = *state;
	static const char *const names[] = { "ledger.db", "ledger.db-wal", "ledger.db-shm" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[128];
		(void)snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
		(void)remove(path);
	}
	return rmdir(p->dir);
}

static struct ledger *open_it(struct place *p)
{
	struct ledger *l = NULL;
	struct why why = { 0 };
	assert_int_equal(ledger_open_with(p->dir, &key, &l, &why), RC_OK);
	return l;
}

static void ok(enum rc rc, const struct why *why)
{
	if (rc != RC_OK)
		print_error("%s\n", why->text);
	assert_int_equal(rc, RC_OK);
}

static int64_t tag(struct ledger *l, const char *text)
{
	int64_t t = 0;
	assert_int_equal(ledger_tag(l, str_z(text), &t), RC_OK);
	return t;
}

static void sql(struct place *p, const char *text)
{
	sqlite3 *db = NULL;
	char *error = NULL;
	assert_int_equal(sqlite3_open(p->db, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s", error);
	sqlite3_close(db);
}

/* ---- seen ---- */

struct seen { unsigned n; uint64_t count; int64_t last; char row[64]; };
static bool see(void *arg, const struct ledger_observation *o)
{
	struct seen *s = arg;
	s->n++;
	s->count += o->count;
	s->last = o->id;
	(void)snprintf(s->row, sizeof s->row, "%.*s", PSTR(str_head(o->row, 63)));
	return true;
}

static struct seen observations(struct ledger *l, uint32_t day, int64_t domain, int64_t after, int64_t upto, unsigned max)
{
	struct seen s = { 0 };
	struct why why = { 0 };
	ok(ledger_observations(l, &(struct ledger_span){ day, domain, after, upto, max }, see, &s, &why), &why);
	return s;
}

static void rows_of_a_day_come_back_in_pages_after_a_restart(void **state)
{
	struct place *p = *state;
	struct ledger *l = open_it(p);
	struct why why = { 0 };
	int64_t d = tag(l, "Example.ORG");
	assert_int_equal(d, tag(l, "example.org"));
	ok(ledger_observe_day(l, 20000, STR("example.org"), STR("about"), &why), &why);
	for (unsigned i = 0; i < 7; i++)
		ok(ledger_observe(l, 20000, d, 10 + i, STR("a row"), &why), &why);
	ok(ledger_observe(l, 20000, tag(l, "other.example"), 1, STR("no"), &why), &why);
	ok(ledger_observe(l, 20001, d, 1, STR("no"), &why), &why);
	ledger_close(&l);
	l = open_it(p);
	uint64_t rows = 0;
	ok(ledger_observed(l, 20000, d, &rows, &why), &why);
	assert_int_equal(rows, 7);
	struct seen first = observations(l, 20000, d, 0, INT64_MAX, 4), rest = observations(l, 20000, d, first.last, INT64_MAX, 4);
	assert_int_equal(first.n + rest.n, 7);
	assert_int_equal(first.count + rest.count, 10 + 11 + 12 + 13 + 14 + 15 + 16);
	assert_string_equal(rest.row, "a row");
	assert_int_equal(observations(l, 20000, d, 0, first.last, 100).n, 4);
	ledger_close(&l);
}

struct day { unsigned n; struct ledger_report_day d; char name[64], about[64]; };
static bool see_day(void *arg, const struct ledger_report_day *d)
{
	struct day *s = arg;
	s->n++;
	s->d = *d;
	(void)snprintf(s->name, sizeof s->name, "%.*s", PSTR(str_head(d->name, 63)));
	(void)snprintf(s->about, sizeof s->about, "%.*s", PSTR(str_head(d->about, 63)));
	return true;
}

static struct day days(struct ledger *l, uint32_t first, uint32_t end, bool done_too)
{
	struct day s = { 0 };
	struct why why = { 0 };
	ok(ledger_report_days(l, &(struct ledger_days){ .first = first, .end = end, .done_too = done_too, .max = 100 }, see_day, &s, &why), &why);
	return s;
}

static void a_day_knows_its_last_policy_and_how_far_it_was_reported(void **state)
{
	struct place *p = *state;
	struct ledger *l = open_it(p);
	struct why why = { 0 };
	int64_t d = tag(l, "example.org");
	ok(ledger_observe_day(l, 20000, STR("example.org"), STR("p=none"), &why), &why);
	ok(ledger_observe(l, 20000, d, 1, STR("row"), &why), &why);
	ok(ledger_observe_day(l, 20000, STR("example.org"), STR("p=reject"), &why), &why);
	struct day got = days(l, 20000, 20001, false);
	assert_int_equal(got.n, 1);
	assert_string_equal(got.name, "example.org");
	assert_string_equal(got.about, "p=reject");
	assert_true(got.d.last > 0 && got.d.upto == 0 && got.d.target == 0);
	got.d.upto = got.d.target = got.d.last;
	got.d.since_ms = 77;
	got.d.done = true;
	ok(ledger_report_day_set(l, &got.d, &why), &why);
	ledger_close(&l);
	l = open_it(p);
	assert_int_equal(days(l, 20000, 20001, false).n, 0);
	struct day again = days(l, 20000, 20001, true);
	assert_int_equal(again.d.upto, again.d.last);
	assert_int_equal(again.d.since_ms, 77);
	/* News about a day that was done makes it undone, and keeps how far it was. */
	ok(ledger_observe_day(l, 20000, STR("example.org"), STR("p=reject"), &why), &why);
	again = days(l, 20000, 20001, false);
	assert_int_equal(again.n, 1);
	assert_int_equal(again.d.upto, got.d.upto);
	assert_int_equal(days(l, 20001, 20009, true).n, 0);
	ledger_close(&l);
}

/* ---- sent ---- */

static void what_was_sent_is_known_by_day_domain_part_and_receiver(void **state)
{
	struct place *p = *state;
	struct ledger *l = open_it(p);
	struct why why = { 0 };
	enum ledger_sent_state s = 0;
	int64_t at = 0, d = tag(l, "example.org");
	struct ledger_sent one = { .day = 20000, .domain = d, .part = 5, .state = LEDGER_SENDING, .at_ms = 1, .name = STR("example.org"),
		.receiver = STR("a@b.example"), .id = STR("x"), .text = STR("") };
	assert_int_equal(ledger_sent_state(l, 20000, d, 5, STR("a@b.example"), &s, &at, &why), RC_NOTFOUND);
	ok(ledger_sent_put(l, &one, &why), &why);
	ok(ledger_flush(l, &why), &why);
	one.state = LEDGER_SENT;
	one.at_ms = 2;
	ok(ledger_sent_put(l, &one, &why), &why);
	ledger_close(&l);
	l = open_it(p);
	ok(ledger_sent_state(l, 20000, d, 5, STR("A@b.example"), &s, &at, &why), &why);
	assert_int_equal(s, LEDGER_SENT);
	assert_int_equal(at, 2);
	assert_int_equal(ledger_sent_state(l, 20000, d, 6, STR("a@b.example"), &s, &at, &why), RC_NOTFOUND);
	assert_int_equal(ledger_sent_state(l, 20000, d, 5, STR("c@b.example"), &s, &at, &why), RC_NOTFOUND);
	ledger_close(&l);
}

/* ---- received ---- */

static struct ledger_report sample(const char *unique, bool verified)
{
	return (struct ledger_report){ .kind = 1, .verified = verified, .at_ms = 20001 * 86400000ll, .begin_s = 20000 * 86400ll, .end_s = 20000 * 86400ll + 86399,
		.domain = STR("example.org"), .unique = str_z(unique), .head = STR("the head of it") };
}
static const struct ledger_report_row two_rows[] = {
	{ .day = 20000, .count = 3, .facts = 1, .domain = STR_INIT("example.org"), .row = STR_INIT("192.0.2.1") },
	{ .day = 20000, .count = 4, .facts = 8, .domain = STR_INIT("example.org"), .row = STR_INIT("192.0.2.2") },
};

static bool count_report(void *arg, const struct ledger_report *r)
{
	assert_true(str_eq(r->domain, STR("example.org")) && str_eq(r->head, STR("the head of it")));
	++*(unsigned *)arg;
	return true;
}
static bool count_row(void *arg, const struct ledger_report_row *r)
{
	*(uint64_t *)arg += r->count;
	return true;
}

static unsigned reports(struct ledger *l, bool unverified)
{
	struct why why = { 0 };
	unsigned n = 0;
	ok(ledger_reports(l, &(struct ledger_reports){ .kind = 1, .since_s = 0, .until_s = INT64_MAX, .unverified = unverified, .max = 100 }, count_report, &n, &why), &why);
	return n;
}

static uint64_t messages(struct ledger *l, bool unverified)
{
	struct why why = { 0 };
	uint64_t n = 0;
	struct ledger_reports q = { .kind = 1, .domain = tag(l, "example.org"), .since_s = 20000 * 86400ll, .until_s = 20001 * 86400ll, .unverified = unverified, .max = 100 };
	ok(ledger_report_rows(l, &q, count_row, &n, &why), &why);
	return n;
}

static void a_report_that_came_before_is_not_taken_again(void **state)
{
	struct ledger *l = open_it(*state);
	struct why why = { 0 };
	struct ledger_report r = sample("one", true), again = sample("one", false), other = sample("two", false);
	ok(ledger_report_add(l, &r, two_rows, 2, &why), &why);
	assert_int_equal(ledger_report_add(l, &again, two_rows, 2, &why), RC_EXISTS);
	ok(ledger_report_add(l, &other, two_rows, 2, &why), &why);
	assert_int_equal(reports(l, false), 1);
	assert_int_equal(reports(l, true), 2);
	assert_int_equal(messages(l, false), 7);
	assert_int_equal(messages(l, true), 14);
	ledger_close(&l);
}

static void a_report_that_does_not_fit_leaves_nothing_behind(void **state)
{
	struct place *p = *state;
	struct ledger *l = open_it(p);
	struct why why = { 0 };
	static char long_run[LEDGER_RUN_MAX + 1];
	struct ledger_report_row rows[] = { two_rows[0], two_rows[1] };
	struct ledger_report r = sample("one", true);
	memset(long_run, 'x', sizeof long_run);
	rows[1].row = str_of(long_run, sizeof long_run);
	assert_int_equal(ledger_report_add(l, &r, rows, 2, &why), RC_LIMIT);
	assert_int_equal(messages(l, true), 0);
	assert_int_equal(reports(l, true), 0);
	ok(ledger_report_add(l, &r, two_rows, 2, &why), &why); /* and it is not taken for a duplicate */
	ledger_close(&l);
	l = open_it(p);
	assert_int_equal(messages(l, false), 7);
	ledger_close(&l);
}

static void what_is_old_goes_and_what_is_young_stays(void **state)
{
	struct ledger *l = open_it(*state);
	struct why why = { 0 };
	bool more = false;
	int64_t d = tag(l, "example.org");
	struct ledger_report r = sample("one", true);
	ok(ledger_report_add(l, &r, two_rows, 2, &why), &why);
	for (uint32_t day = 19999; day < 20002; day++) {
		ok(ledger_observe_day(l, day, STR("example.org"), STR(""), &why), &why);
		ok(ledger_observe(l, day, d, 1, STR("row"), &why), &why);
	}
	ok(ledger_reports_expire(l, 20000, 1, &more, &why), &why);
	assert_true(more);
	ok(ledger_reports_expire(l, 20000, 1, &more, &why), &why);
	assert_false(more);
	assert_int_equal(days(l, 0, 30000, true).n, 2);
	assert_int_equal(messages(l, true), 7);
	ok(ledger_reports_expire(l, 20001, 100, &more, &why), &why);
	assert_int_equal(messages(l, true), 0);
	assert_int_equal(reports(l, true), 0);
	assert_int_equal(days(l, 0, 30000, true).n, 1);
	ledger_close(&l);
}

/* ---- the file ---- */

static void names_lie_in_no_file_in_the_clear(void **state)
{
	struct place *p = *state;
	struct ledger *l = open_it(p);
	struct why why = { 0 };
	struct ledger_report r = sample("unique-text", true);
	ok(ledger_report_add(l, &r, two_rows, 2, &why), &why);
	ok(ledger_observe_day(l, 20000, STR("example.org"), STR("mailto:someone@example.org"), &why), &why);
	ok(ledger_flush(l, &why), &why);
	static const char *const names[] = { "ledger.db", "ledger.db-wal" }, *const words[] = { "example.org", "192.0.2.1", "someone", "unique-text", "the head of it" };
	unsigned files = 0;
	for (size_t i = 0; i < 2; i++) {
		char path[128];
		struct buf b;
		buf_init(&b, 1 << 24);
		(void)snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
		int fd = open(path, O_RDONLY);
		if (fd >= 0 && fd_read_all(fd, 1 << 24, &b, &why) == RC_OK)
			files++;
		for (size_t k = 0; k < sizeof words / sizeof *words; k++)
			assert_true(str_find_str(buf_str(&b), str_z(words[k])) == b.len);
		buf_done(&b);
		if (fd >= 0)
			close(fd);
	}
	assert_int_equal(files, 2);
	ledger_close(&l);
}

static void a_changed_row_is_found_and_named(void **state)
{
	static const struct { const char *change, *table; } cases[] = {
		{ "UPDATE report_row SET count=99 WHERE id=1", "report_row" },
		{ "UPDATE report SET verified=0", "report" },
		{ "UPDATE observation SET domain=domain+2", "observation" },
		{ "UPDATE report_sent SET state=2", "report_sent" },
		{ "UPDATE report_day SET sealed=zeroblob(length(sealed))", "report_day" },
	};
	struct place *p = *state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ledger *l = open_it(p);
		struct why why = { 0 };
		uint64_t entries;
		char want[64];
		int64_t d = tag(l, "example.org");
		struct ledger_report r = sample("one", true);
		ok(ledger_report_add(l, &r, two_rows, 2, &why), &why);
		ok(ledger_observe_day(l, 20000, STR("example.org"), STR(""), &why), &why);
		ok(ledger_observe(l, 20000, d, 1, STR("row"), &why), &why);
		ok(ledger_sent_put(l, &(struct ledger_sent){ .day = 20000, .domain = d, .state = LEDGER_WAITING, .name = STR("example.org"), .receiver = STR("a@b"),
			.id = STR(""), .text = STR("") }, &why), &why);
		ok(ledger_verify(l, &entries, &why), &why);
		ledger_close(&l);
		sql(p, cases[i].change);
		l = open_it(p);
		assert_int_equal(ledger_verify(l, &entries, &why), RC_DAMAGED);
		(void)snprintf(want, sizeof want, "ledger: a row of %s is damaged", cases[i].table);
		assert_true(str_starts(str_z(why.text), str_z(want)));
		ledger_close(&l);
		sql(p, "DELETE FROM report_row; DELETE FROM report; DELETE FROM observation; DELETE FROM report_sent; DELETE FROM report_day");
	}
}

static void a_ledger_of_the_first_format_gets_the_tables_and_keeps_its_history(void **state)
{
	struct place *p = *state;
	struct ledger *l = open_it(p);
	struct why why = { 0 };
	uint64_t entries = 0;
	ok(ledger_audit(l, 1, STR("who"), STR("from"), STR("what"), STR(""), STR("after"), &why), &why);
	ledger_close(&l);
	sql(p, "DROP TABLE report_row; DROP TABLE report; DROP TABLE observation; DROP TABLE report_sent; DROP TABLE report_day; DROP TABLE event_more; PRAGMA user_version=1");
	l = open_it(p);
	struct ledger_report r = sample("one", true);
	ok(ledger_report_add(l, &r, two_rows, 2, &why), &why);
	ok(ledger_verify(l, &entries, &why), &why);
	assert_int_equal(entries, 1);
	ledger_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_of_a_day_come_back_in_pages_after_a_restart, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_day_knows_its_last_policy_and_how_far_it_was_reported, make_place, drop_place),
		cmocka_unit_test_setup_teardown(what_was_sent_is_known_by_day_domain_part_and_receiver, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_report_that_came_before_is_not_taken_again, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_report_that_does_not_fit_leaves_nothing_behind, make_place, drop_place),
		cmocka_unit_test_setup_teardown(what_is_old_goes_and_what_is_young_stays, make_place, drop_place),
		cmocka_unit_test_setup_teardown(names_lie_in_no_file_in_the_clear, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_changed_row_is_found_and_named, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_ledger_of_the_first_format_gets_the_tables_and_keeps_its_history, make_place, drop_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
