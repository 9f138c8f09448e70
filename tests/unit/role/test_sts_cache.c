/* MTA-STS policies of others: when they are fetched, kept, refreshed and believed. A table stands in for DNS, web and store. */
#include "role/sts_cache.h"

#include "../origin/fake_dns.h"
#include "base/cursor.h"

enum { HOUR = 3600000, DAY = 24 * HOUR };
#define ENFORCE "version: STSv1\nmode: enforce\nmx: mail.a.example\nmax_age: 604800\n"
#define TESTING "version: STSv1\nmode: testing\nmx: mail.a.example\nmax_age: 604800\n"

static struct world {
	struct dns_table *zone;
	struct dns dns;
	const char *text;          /* what the web server says; NULL: it does not answer */
	const char *result;
	unsigned fetches, writes;
	int64_t now;
	struct { struct buf key, value; } note[8];
	size_t notes;
} w;
static const uint8_t hash_key[16] = "0123456789abcdef";

static void ask(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out) { dns_ask(&w.dns, type, name, a, out); }

static enum rc fetch(void *house, struct str domain, struct buf *out, const char **result, struct why *why)
{
	w.fetches++;
	*result = w.result ? w.result : "sts-policy-fetch-error";
	if (!w.text)
		FAIL(why, RC_IO, "no web server at mta-sts.%.*s", PSTR(domain));
	buf_add(out, str_z(w.text));
	return RC_OK;
}

static size_t find(struct str key)
{
	size_t i = 0;
	while (i < w.notes && !str_eq(buf_str(&w.note[i].key), key))
		i++;
	return i;
}

static enum rc note_get(void *house, struct str key, struct buf *out, struct why *why)
{
	size_t i = find(key);
	if (i == w.notes || !w.note[i].value.len)
		return RC_NOTFOUND;
	buf_add(out, buf_str(&w.note[i].value));
	return RC_OK;
}

static enum rc note_put(void *house, struct str key, struct str value, struct why *why)
{
	size_t i = find(key);
	assert_true(i < 8 && key.n <= 200 && value.n <= 256 << 10);
	if (i == w.notes) {
		w.notes++;
		w.note[i].key.max = w.note[i].value.max = 1 << 20;
		buf_add(&w.note[i].key, key);
	}
	buf_clear(&w.note[i].value);
	buf_add(&w.note[i].value, value);
	w.writes++;
	return RC_OK;
}

/* One note a time, so that going on is tried. */
static enum rc note_list(void *house, struct str prefix, struct str after, struct buf *out, bool *more, struct why *why)
{
	size_t i = after.n ? find(after) + 1 : 0;
	*more = i + 1 < w.notes;
	if (i < w.notes && w.note[i].value.len) {
		assert_true(str_starts(buf_str(&w.note[i].key), prefix));
		buf_run(out, buf_str(&w.note[i].key));
		buf_run(out, buf_str(&w.note[i].value));
	}
	return RC_OK;
}

static int64_t now_ms(void) { return w.now; }
static const struct sts_hooks hooks = { .dns = { NULL, ask }, .fetch = fetch, .note_get = note_get, .note_put = note_put, .note_list = note_list, .now_ms = now_ms };

static void zone(const char *text)
{
	dns_table_free(&w.zone);
	w.zone = zone_of(text);
	w.dns = dns_table_dns(w.zone);
}

static int setup(void **state)
{
	struct sts_cache *c;
	w = (struct world){ .text = ENFORCE, .now = 1800000000000 };
	zone("_mta-sts.a.example. 300 TXT \"v=STSv1; id=1\"\n");
	if (sts_cache_new(&hooks, hash_key, &c) != RC_OK)
		return -1;
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	struct sts_cache *c = *state;
	sts_cache_free(&c);
	dns_table_free(&w.zone);
	for (size_t i = 0; i < w.notes; i++) {
		buf_done(&w.note[i].key);
		buf_done(&w.note[i].value);
	}
	return 0;
}

/* The mode in force as a number, or -1 for none. */
static int mode_of(struct sts_cache *c, const char *domain, struct sts_status *status, struct why *why)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 18 };
	struct mta_sts_policy p;
	*why = (struct why){ 0 };
	enum rc rc = sts_policy_for(c, str_z(domain), &a, &p, status, why);
	assert_true(rc == RC_OK || rc == RC_NOTFOUND);
	return rc == RC_OK ? (int)p.mode : -1;
}
#define EXPECT(c, mode, st, n)                                                                                                          \
	do {                                                                                                                            \
		struct sts_status s_;                                                                                                   \
		struct why y_;                                                                                                          \
		int m_ = mode_of(c, "a.example", &s_, &y_);                                                                             \
		if (m_ != (mode) || s_.state != (st) || w.fetches != (n))                                                               \
			fail_msg("mode %d, state %d, %u fetches, %s", m_, (int)s_.state, w.fetches, y_.text);                           \
	} while (0)

static void a_policy_is_fetched_once_and_kept(void **state)
{
	struct sts_cache *c = *state;
	EXPECT(c, MTA_STS_ENFORCE, STS_FETCHED, 1);
	EXPECT(c, MTA_STS_ENFORCE, STS_KEPT, 1);
	w.now += 6ll * DAY;
	EXPECT(c, MTA_STS_ENFORCE, STS_KEPT, 1);
	w.now += 1ll * DAY;
	EXPECT(c, MTA_STS_ENFORCE, STS_FETCHED, 2);
}

static void a_new_id_is_a_new_policy(void **state)
{
	struct sts_cache *c = *state;
	EXPECT(c, MTA_STS_ENFORCE, STS_FETCHED, 1);
	w.text = TESTING;
	EXPECT(c, MTA_STS_ENFORCE, STS_KEPT, 1);
	zone("_mta-sts.a.example. 300 TXT \"v=STSv1; id=2\"\n");
	EXPECT(c, MTA_STS_TESTING, STS_FETCHED, 2);
}

/* RFC 8461 5.1 and 10.2: who blocks the DNS or the web server gains nothing while the policy lives. */
static void a_kept_policy_outlives_failures_until_it_expires(void **state)
{
	struct sts_cache *c = *state;
	EXPECT(c, MTA_STS_ENFORCE, STS_FETCHED, 1);
	zone("x.example. 300 TXT none\n");
	EXPECT(c, MTA_STS_ENFORCE, STS_KEPT_STALE, 1);
	zone("; TIMEOUT _mta-sts.a.example TXT\n");
	EXPECT(c, MTA_STS_ENFORCE, STS_KEPT_STALE, 1);
	zone("_mta-sts.a.example. 300 TXT \"v=STSv1; id=2\"\n");
	w.text = NULL;
	EXPECT(c, MTA_STS_ENFORCE, STS_KEPT_STALE, 2);
	w.text = "garbage";
	w.now += 6 * (int64_t)60000;
	EXPECT(c, MTA_STS_ENFORCE, STS_KEPT_STALE, 3);
	w.now += 8ll * DAY;
	EXPECT(c, -1, STS_FAILED, 4);
	zone("x.example. 300 TXT none\n");
	EXPECT(c, -1, STS_NONE, 4);
}

/* Who must not go on without a policy waits where next time may bring one, and nowhere else. */
static void what_next_time_may_change_is_told(void **state)
{
	struct sts_cache *c = *state;
	struct sts_status s;
	struct why y;
	w.text = NULL; /* a record, and a web server that does not answer */
	assert_true(mode_of(c, "a.example", &s, &y) == -1 && s.state == STS_FAILED && s.later);
	assert_true(mode_of(c, "a.example", &s, &y) == -1 && s.state == STS_FAILED && s.later); /* not asked again so soon */
	zone("; TIMEOUT _mta-sts.a.example TXT\n");
	assert_true(mode_of(c, "a.example", &s, &y) == -1 && s.state == STS_NONE && s.later);
	zone("x.example. 300 TXT none\n");
	assert_true(mode_of(c, "a.example", &s, &y) == -1 && s.state == STS_NONE && !s.later);
	zone("_mta-sts.a.example. 300 TXT \"v=STSv1; id=1\"\n");
	w.text = ENFORCE;
	w.now += 10 * (int64_t)60000;
	assert_true(mode_of(c, "a.example", &s, &y) == MTA_STS_ENFORCE && s.state == STS_FETCHED && !s.later);
	assert_true(mode_of(c, "a.example", &s, &y) == MTA_STS_ENFORCE && s.state == STS_KEPT && !s.later);
	zone("_mta-sts.a.example. 300 TXT \"v=STSv1; id=2\"\n");
	w.text = NULL;
	assert_true(mode_of(c, "a.example", &s, &y) == MTA_STS_ENFORCE && s.state == STS_KEPT_STALE && s.later);
	zone("x.example. 300 TXT none\n");
	assert_true(mode_of(c, "a.example", &s, &y) == MTA_STS_ENFORCE && s.state == STS_KEPT_STALE && !s.later);
}

static void another_process_finds_what_was_kept(void **state)
{
	struct sts_cache *c = *state, *other;
	EXPECT(c, MTA_STS_ENFORCE, STS_FETCHED, 1);
	assert_int_equal(w.notes, 1);
	assert_true(str_starts(buf_str(&w.note[0].key), STR("sts/")));
	/* neither the key nor the value names the domain */
	assert_true(str_find_str(buf_str(&w.note[0].key), STR("example")) == w.note[0].key.len);
	assert_true(str_find_str(buf_str(&w.note[0].value), STR("example")) == w.note[0].value.len);
	assert_int_equal(sts_cache_new(&hooks, hash_key, &other), RC_OK);
	w.text = NULL;
	EXPECT(other, MTA_STS_ENFORCE, STS_KEPT, 1);
	sts_cache_free(&other);
	/* a note that was tampered with is none */
	w.note[0].value.p[20] ^= 1;
	assert_int_equal(sts_cache_new(&hooks, hash_key, &other), RC_OK);
	EXPECT(other, -1, STS_FAILED, 2);
	sts_cache_free(&other);
}

static void a_failed_fetch_is_not_tried_again_at_once(void **state)
{
	struct sts_cache *c = *state;
	struct sts_status s;
	struct why why;
	w.text = NULL;
	EXPECT(c, -1, STS_FAILED, 1);
	assert_int_equal(mode_of(c, "a.example", &s, &why), -1);
	assert_string_equal(s.result, "sts-policy-fetch-error");
	assert_non_null(strstr(why.text, "no web server at mta-sts.a.example"));
	w.now += 299999;
	EXPECT(c, -1, STS_FAILED, 1);
	w.now += 1;
	EXPECT(c, -1, STS_FAILED, 2);
	w.now += 599999;
	EXPECT(c, -1, STS_FAILED, 2);
	for (unsigned n = 3; n < 9; n++) { /* the wait doubles up to an hour */
		w.now += HOUR;
		EXPECT(c, -1, STS_FAILED, n);
	}
	w.text = ENFORCE;
	w.now += HOUR;
	EXPECT(c, MTA_STS_ENFORCE, STS_FETCHED, 9);
}

static void what_went_wrong_has_its_type(void **state)
{
	struct sts_cache *c = *state;
	struct sts_status s;
	struct why why;
	w.text = "version: STSv1\nmode: enforce\nmax_age: 86400";
	assert_int_equal(mode_of(c, "a.example", &s, &why), -1);
	assert_string_equal(s.result, "sts-policy-invalid");
	assert_non_null(strstr(why.text, "has no mx"));
	w.now += HOUR;
	w.text = NULL;
	w.result = "sts-webpki-invalid";
	assert_int_equal(mode_of(c, "a.example", &s, &why), -1);
	assert_string_equal(s.result, "sts-webpki-invalid");
}

static void what_is_no_domain_costs_nothing(void **state)
{
	static const char *const cases[] = { "", ".", ".a.example", "192.0.2.1", "[192.0.2.1]", "2001:db8::1", "a..example", "a b.example", "j\xc3\xb6rg.example", "a.example..", "..." };
	struct sts_status s;
	struct why why;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(mode_of(*state, cases[i], &s, &why), -1);
	assert_int_equal(dns_table_asked(w.zone), 0);
	assert_int_equal(mode_of(*state, "A.Example.", &s, &why), MTA_STS_ENFORCE);
}

static void refreshing_comes_before_the_end(void **state)
{
	struct sts_cache *c = *state;
	EXPECT(c, MTA_STS_ENFORCE, STS_FETCHED, 1);
	assert_int_equal(sts_refresh(c), 0);
	w.now += 23ll * HOUR;
	assert_int_equal(sts_refresh(c), 0);
	w.now += 2ll * HOUR;
	assert_int_equal(sts_refresh(c), 1);
	assert_int_equal(w.fetches, 2);
	w.now += 6ll * DAY + 23 * HOUR; /* past the first one's end, within the second's */
	zone("x.example. 300 TXT none\n");
	EXPECT(c, MTA_STS_ENFORCE, STS_KEPT_STALE, 2);
	w.text = NULL;
	zone("_mta-sts.a.example. 300 TXT \"v=STSv1; id=1\"\n");
	assert_int_equal(sts_refresh(c), 0);
	assert_int_equal(w.fetches, 3);
	assert_int_equal(sts_refresh(c), 0); /* not again at once */
	assert_int_equal(w.fetches, 3);
	w.now += 1ll * DAY;
	assert_int_equal(sts_refresh(c), 0);
	assert_int_equal(w.note[0].value.len, 0); /* expired: forgotten */
}

static void refreshing_goes_over_all_of_them(void **state)
{
	struct sts_cache *c = *state;
	struct sts_status s;
	struct why why;
	zone("_mta-sts.a.example. 300 TXT \"v=STSv1; id=1\"\n_mta-sts.b.example. 300 TXT \"v=STSv1; id=1\"\n_mta-sts.c.example. 300 TXT \"v=STSv1; id=1\"\n");
	assert_int_equal(mode_of(c, "a.example", &s, &why), MTA_STS_ENFORCE);
	assert_int_equal(mode_of(c, "b.example", &s, &why), MTA_STS_ENFORCE);
	assert_int_equal(mode_of(c, "c.example", &s, &why), MTA_STS_ENFORCE);
	w.now += 2ll * DAY;
	assert_int_equal(sts_refresh(c), 3);
}

static void a_clock_that_jumps_keeps_nothing_for_ever(void **state)
{
	struct sts_cache *c = *state;
	EXPECT(c, MTA_STS_ENFORCE, STS_FETCHED, 1);
	w.now -= 3ll * 366 * DAY;
	EXPECT(c, MTA_STS_ENFORCE, STS_FETCHED, 2);
}

static void memory_that_runs_out_is_an_answer(void **state)
{
	for (long at = 0; at < 40; at++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 18 };
		struct sts_cache *c = NULL;
		struct mta_sts_policy p;
		struct sts_status s;
		mem_fail_at = at;
		enum rc rc = sts_cache_new(&hooks, hash_key, &c);
		if (rc == RC_OK)
			rc = sts_policy_for(c, STR("a.example"), &a, &p, &s, NULL);
		mem_fail_at = -1;
		assert_true(rc == RC_OK || rc == RC_NOMEM || rc == RC_NOTFOUND);
		sts_cache_free(&c);
	}
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_policy_is_fetched_once_and_kept), TEST(a_new_id_is_a_new_policy), TEST(a_kept_policy_outlives_failures_until_it_expires), TEST(another_process_finds_what_was_kept),
		TEST(what_next_time_may_change_is_told),
		TEST(a_failed_fetch_is_not_tried_again_at_once), TEST(what_went_wrong_has_its_type), TEST(what_is_no_domain_costs_nothing), TEST(refreshing_comes_before_the_end),
		TEST(refreshing_goes_over_all_of_them), TEST(a_clock_that_jumps_keeps_nothing_for_ever), TEST(memory_that_runs_out_is_an_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
