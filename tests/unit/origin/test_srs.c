/* Sender rewriting: there and back, and what is not ours. */
#include "origin/srs.h"

#include "../mail/mail_test.h"
#include "mail/address.h"

enum { DAY = 86400, NOW = 20000 * DAY };
static const struct secret key = { { 1, 2, 3 } }, other_key = { { 9 } };

static struct str forward(const char *sender, struct buf *out)
{
	buf_clear(out);
	assert_int_equal(srs_forward(&key, str_z(sender), STR("ours.example"), NOW, out), RC_OK);
	return buf_str(out);
}

/* The local part of an address as on the wire, unquoted. */
static struct str local_of(struct str address, struct arena *a)
{
	struct mail_address m;
	assert_int_equal(mail_address_parse(address, true, a, &m, NULL), RC_OK);
	SAME(m.domain, STR("ours.example"));
	assert_true(m.local.n <= 64);
	return m.local;
}

static enum rc back(struct str local, int64_t now_s, struct buf *out)
{
	buf_clear(out);
	return srs_reverse(&key, local, now_s, out);
}

static void a_sender_comes_back(void **state)
{
	static const char *const senders[] = { "a@b.example", "bounce+x=y@lists.example", "a=b=c@d.example", "\"a b\"@c.example", "\"a@b\"@c.example", "Mixed.Case@Example.COM",
		"j\xc3\xb6rg@d.example", "\"\\\"\"@q.example", "srs0@d.example", "SRS9=a@d.example" };
	static const char *const want[] = { "a@b.example", "bounce+x=y@lists.example", "a=b=c@d.example", "\"a b\"@c.example", "\"a@b\"@c.example", "Mixed.Case@example.com",
		"j\xc3\xb6rg@d.example", "\"\\\"\"@q.example", "srs0@d.example", "SRS9=a@d.example" };
	AUTO(buf_done) struct buf out = { .max = 4096 }, in = { .max = 4096 };
	for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 16 };
		struct str local = local_of(forward(senders[i], &out), &a);
		assert_true(str_starts(local, STR("SRS0=")));
		assert_int_equal(back(local, NOW, &in), RC_OK);
		SAME(buf_str(&in), str_z(want[i]));
	}
}

static void a_relay_that_folds_case_does_no_harm(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 4096 }, in = { .max = 4096 };
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	char lower[65], upper[65];
	struct str local = local_of(forward("Alice@b.example", &out), &a);
	for (size_t i = 0; i < local.n; i++) {
		lower[i] = ascii_lower(local.p[i]);
		upper[i] = ascii_upper(local.p[i]);
	}
	assert_int_equal(back(str_of(lower, local.n), NOW, &in), RC_OK);
	SAME(buf_str(&in), STR("alice@b.example"));
	assert_int_equal(back(str_of(upper, local.n), NOW, &in), RC_OK);
	SAME(buf_str(&in), STR("ALICE@B.EXAMPLE"));
}

static void a_changed_address_is_refused(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 4096 }, in = { .max = 4096 };
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	char text[65];
	struct str local = local_of(forward("alice@b.example", &out), &a);
	for (size_t i = 5; i < local.n; i++) {
		memcpy(text, local.p, local.n);
		text[i] = text[i] == 'x' ? 'y' : 'x';
		assert_int_equal(back(str_of(text, local.n), NOW, &in), RC_DENIED);
	}
	for (size_t n = 6; n < local.n; n++)
		assert_int_equal(back(str_head(local, n), NOW, &in), RC_DENIED);
	assert_int_equal(srs_reverse(&other_key, local, NOW, &in), RC_DENIED);
}

static void what_is_not_srs_is_said(void **state)
{
	static const char *const cases[] = { "", "alice", "SRS0", "SRS0=", "SRS2=a=b", "SRSx=", "xSRS0=a", "SRS0_a=b=c=d" };
	AUTO(buf_done) struct buf in = { .max = 4096 };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(back(str_z(cases[i]), NOW, &in), RC_NOTFOUND);
	assert_int_equal(back(STR("SRS0=abc"), NOW, &in), RC_DENIED);
	assert_int_equal(back(STR("SRS1=abc=def"), NOW, &in), RC_DENIED);
}

static void a_stamp_is_good_for_three_weeks(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 4096 }, in = { .max = 4096 };
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct str local = local_of(forward("alice@b.example", &out), &a);
	static const struct { int days; enum rc want; } cases[] = { { 0, RC_OK }, { 1, RC_OK }, { 21, RC_OK }, { 22, RC_LATE }, { 400, RC_LATE }, { 1000, RC_LATE }, { -1, RC_OK }, { -2, RC_LATE } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(back(local, NOW + (int64_t)cases[i].days * DAY, &in), cases[i].want);
}

static void somebody_elses_rewriting_leads_home_through_him(void **state)
{
	static const struct { const char *sender, *srs1, *back; } cases[] = {
		{ "SRS0=HHHH=TT=home.example=a@f.example", "=f.example==HHHH=TT=home.example=a", "SRS0=HHHH=TT=home.example=a@f.example" },
		{ "SRS0+HHHH=TT=home.example=a@f.example", "=f.example=+HHHH=TT=home.example=a", "SRS0+HHHH=TT=home.example=a@f.example" },
		{ "srs0-HHHH=TT=home.example=a@f.example", "=f.example=-HHHH=TT=home.example=a", "SRS0-HHHH=TT=home.example=a@f.example" },
		{ "SRS1=GGGG=f.example==HHHH=TT=h.example=a@g.example", "=f.example==HHHH=TT=h.example=a", "SRS0=HHHH=TT=h.example=a@f.example" },
	};
	AUTO(buf_done) struct buf out = { .max = 4096 }, in = { .max = 4096 };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 16 };
		struct str local = local_of(forward(cases[i].sender, &out), &a);
		assert_true(str_starts(local, STR("SRS1=")) && str_ends(local, str_z(cases[i].srs1)));
		assert_int_equal(back(local, NOW + 900 * (int64_t)DAY, &in), RC_OK);
		SAME(buf_str(&in), str_z(cases[i].back));
		char bad[65];
		memcpy(bad, local.p, local.n);
		bad[15] = bad[15] == 'x' ? 'y' : 'x';
		assert_int_equal(back(str_of(bad, local.n), NOW, &in), RC_DENIED);
	}
}

static void an_srs1_that_is_none_is_a_sender_like_any(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 4096 }, in = { .max = 4096 };
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	static const char *const senders[] = { "SRS1=junk@g.example", "SRS1=HHHH=f.example=a@g.example", "SRS1=HHHH=not_a_domain==a@g.example" };
	for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
		struct str local = local_of(forward(senders[i], &out), &a);
		assert_true(str_starts(local, STR("SRS0=")));
		assert_int_equal(back(local, NOW, &in), RC_OK);
		SAME(buf_str(&in), str_z(senders[i]));
	}
}

static void what_comes_round_again_is_not_wrapped_again(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 4096 }, again = { .max = 4096 };
	forward("a@b.example", &out);
	assert_int_equal(srs_forward(&key, buf_str(&out), STR("ours.example"), NOW, &again), RC_OK);
	SAME(buf_str(&again), buf_str(&out));
}

static void a_local_part_has_sixty_four_octets_at_most(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 4096 }, sender = { .max = 4096 };
	/* SRS0=HHHHHHHH=TT=b.example= are 27 */
	for (int n = 36; n <= 38; n++) {
		buf_clear(&sender);
		buf_clear(&out);
		for (int i = 0; i < n; i++)
			buf_byte(&sender, 'l');
		buf_add(&sender, STR("@b.example"));
		assert_int_equal(srs_forward(&key, buf_str(&sender), STR("ours.example"), NOW, &out), n <= 37 ? RC_OK : RC_LIMIT);
	}
	assert_int_equal(out.len, 0);
	/* quotes count: 27 + 2 + 35 */
	assert_int_equal(srs_forward(&key, STR("\"lllllllllllllllllll @lllllllllllllll\"@b.example"), STR("ours.example"), NOW, &out), RC_LIMIT);
	assert_int_equal(srs_forward(&key, STR("\"llllllllllllllllll @lllllllllllllll\"@b.example"), STR("ours.example"), NOW, &out), RC_OK);
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const cases[] = { "", "alice", "@b.example", "a@", "a@[192.0.2.1]", "SRS0=abcd=ef=c.example=a@[192.0.2.1]", "SRS1=abcd=c.example==ef=b.example=a@[IPv6:2001:db8::1]", "a@b@c", "a b@c.example", "\"\"@b.example" };
	AUTO(buf_done) struct buf out = { .max = 4096 };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_not_equal(srs_forward(&key, str_z(cases[i]), STR("ours.example"), NOW, &out), RC_OK);
	assert_int_equal(out.len, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sender_comes_back),
		cmocka_unit_test(a_relay_that_folds_case_does_no_harm),
		cmocka_unit_test(a_changed_address_is_refused),
		cmocka_unit_test(what_is_not_srs_is_said),
		cmocka_unit_test(a_stamp_is_good_for_three_weeks),
		cmocka_unit_test(somebody_elses_rewriting_leads_home_through_him),
		cmocka_unit_test(an_srs1_that_is_none_is_a_sender_like_any),
		cmocka_unit_test(what_comes_round_again_is_not_wrapped_again),
		cmocka_unit_test(a_local_part_has_sixty_four_octets_at_most),
		cmocka_unit_test(what_is_no_address_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
