/* What is asked of a connection: the whole table of who has a say. */
#include "origin/tls_policy.h"

#include "../mail/mail_test.h"

enum { NO, YES };
enum sts { S_NONE, S_OFF /* mode none */, S_TEST, S_TEST_OTHER /* names other hosts */, S_FORCE, S_FORCE_OTHER };
enum dane { D_NONE, D_USABLE, D_UNUSABLE, D_LATER };

static struct str named[] = { STR_INIT("mx.hop.example"), STR_INIT("*.cloud.example") }, others[] = { STR_INIT("elsewhere.example") };
static const struct mta_sts_policy policies[] = {
	[S_OFF] = { .mode = MTA_STS_NONE, .max_age = 86400 },
	[S_TEST] = { .mode = MTA_STS_TESTING, .max_age = 86400, .mx = named, .mx_n = 2 },
	[S_TEST_OTHER] = { .mode = MTA_STS_TESTING, .max_age = 86400, .mx = others, .mx_n = 1 },
	[S_FORCE] = { .mode = MTA_STS_ENFORCE, .max_age = 86400, .mx = named, .mx_n = 2 },
	[S_FORCE_OTHER] = { .mode = MTA_STS_ENFORCE, .max_age = 86400, .mx = others, .mx_n = 1 },
};
static struct dns_record tlsa[] = { { .usage = 3, .selector = 1, .matching = 1, .data = STR_INIT("\x01\x02") }, { .usage = 2, .selector = 0, .matching = 1, .data = STR_INIT("\xff") } };

static struct dane_host dane_host(enum dane d, const char *host)
{
	static const enum dane_state states[] = { DANE_NONE, DANE_USABLE, DANE_UNUSABLE, DANE_LATER };
	struct dane_host h = { .state = states[d], .base = str_z(host), .names = { str_z(host), STR("hop.example") }, .name_n = 2, .why = STR("its records") };
	h.address_v4.status = DNS_OK;
	if (d == D_USABLE) {
		h.tlsa = tlsa;
		h.n = 2;
	}
	return h;
}

struct wanted { bool allowed, later, try, need; enum tls_verify verify; const char *name; bool note; enum tls_policy_type type; const char *result; };
#define CLEAR   NO, TLS_VERIFY_NOT
#define TLS     YES, TLS_VERIFY_NOT
#define PKIX    YES, TLS_VERIFY_PKIX
#define DANE    YES, TLS_VERIFY_DANE
#define GOES    YES, NO, YES
#define REFUSED NO, NO, YES
#define WAITS   NO, YES, YES
#define MX "mx.hop.example"
#define FAR "mx.cloud.example"
#define STRANGE "mx.strange.example"

static const struct {
	const char *host;
	enum dane dane; bool mx_secure; enum sts sts; enum tls_directory directory; bool require, optional;
	struct wanted want;
	bool sts_later;
} cases[] = {
	/* nobody says anything */
	{ MX, D_NONE, NO, S_NONE, 0, NO, NO, { GOES, CLEAR, MX, NO, TLS_POLICY_NONE, "" } },
	{ MX, D_NONE, YES, S_OFF, 0, NO, NO, { GOES, CLEAR, MX, NO, TLS_POLICY_NONE, "" } },
	/* DANE */
	{ MX, D_USABLE, YES, S_NONE, 0, NO, NO, { GOES, DANE, MX, NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_USABLE, NO, S_NONE, 0, NO, NO, { GOES, DANE, MX, NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_UNUSABLE, YES, S_NONE, 0, NO, NO, { GOES, TLS, MX, NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_LATER, YES, S_NONE, 0, NO, NO, { WAITS, CLEAR, MX, NO, TLS_POLICY_TLSA, "dnssec-invalid" } },
	/* MTA-STS */
	{ MX, D_NONE, NO, S_FORCE, 0, NO, NO, { GOES, PKIX, MX, NO, TLS_POLICY_STS, "" } },
	{ FAR, D_NONE, NO, S_FORCE, 0, NO, NO, { GOES, PKIX, FAR, NO, TLS_POLICY_STS, "" } },
	{ MX, D_NONE, NO, S_FORCE_OTHER, 0, NO, NO, { REFUSED, CLEAR, MX, NO, TLS_POLICY_STS, "validation-failure" } },
	{ MX, D_NONE, YES, S_FORCE_OTHER, 0, NO, NO, { REFUSED, CLEAR, MX, NO, TLS_POLICY_STS, "validation-failure" } },
	{ MX, D_NONE, NO, S_TEST, 0, NO, NO, { GOES, CLEAR, MX, YES, TLS_POLICY_STS, "" } },
	{ MX, D_NONE, NO, S_TEST_OTHER, 0, NO, NO, { GOES, CLEAR, MX, YES, TLS_POLICY_STS, "validation-failure" } },
	/* both: RFC 8461 2: MTA-STS must not override a failing DANE */
	{ MX, D_USABLE, YES, S_FORCE, 0, NO, NO, { GOES, DANE, MX, NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_USABLE, YES, S_FORCE_OTHER, 0, NO, NO, { GOES, DANE, MX, NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_USABLE, NO, S_FORCE, 0, NO, NO, { GOES, DANE, MX, NO, TLS_POLICY_TLSA, "" } },
	/* ... but a forged MX record may not lead past MTA-STS to a host with sound records of its own */
	{ STRANGE, D_USABLE, NO, S_FORCE, 0, NO, NO, { REFUSED, DANE, STRANGE, NO, TLS_POLICY_TLSA, "validation-failure" } },
	{ STRANGE, D_USABLE, NO, S_TEST, 0, NO, NO, { GOES, DANE, STRANGE, NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_LATER, YES, S_FORCE, 0, NO, NO, { WAITS, CLEAR, MX, NO, TLS_POLICY_TLSA, "dnssec-invalid" } },
	{ MX, D_UNUSABLE, YES, S_FORCE, 0, NO, NO, { GOES, PKIX, MX, NO, TLS_POLICY_STS, "" } },
	{ MX, D_UNUSABLE, YES, S_TEST, 0, NO, NO, { GOES, TLS, MX, NO, TLS_POLICY_TLSA, "" } },
	/* the directory: verified */
	{ MX, D_NONE, NO, S_NONE, TLS_DIRECTORY_VERIFIED, NO, NO, { GOES, PKIX, MX, NO, TLS_POLICY_NONE, "" } },
	{ STRANGE, D_NONE, NO, S_NONE, TLS_DIRECTORY_VERIFIED, NO, NO, { GOES, PKIX, "hop.example", NO, TLS_POLICY_NONE, "" } },
	{ STRANGE, D_NONE, YES, S_NONE, TLS_DIRECTORY_VERIFIED, NO, NO, { GOES, PKIX, STRANGE, NO, TLS_POLICY_NONE, "" } },
	{ FAR, D_NONE, NO, S_FORCE, TLS_DIRECTORY_VERIFIED, NO, NO, { GOES, PKIX, FAR, NO, TLS_POLICY_STS, "" } },
	{ FAR, D_NONE, NO, S_TEST, TLS_DIRECTORY_VERIFIED, NO, NO, { GOES, PKIX, FAR, YES, TLS_POLICY_STS, "" } },
	{ MX, D_USABLE, YES, S_NONE, TLS_DIRECTORY_VERIFIED, NO, NO, { GOES, DANE, MX, NO, TLS_POLICY_TLSA, "" } },
	{ STRANGE, D_USABLE, NO, S_NONE, TLS_DIRECTORY_VERIFIED, NO, NO, { GOES, PKIX, "hop.example", NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_UNUSABLE, YES, S_NONE, TLS_DIRECTORY_VERIFIED, NO, NO, { GOES, PKIX, MX, NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_LATER, YES, S_NONE, TLS_DIRECTORY_VERIFIED, NO, NO, { WAITS, CLEAR, MX, NO, TLS_POLICY_TLSA, "dnssec-invalid" } },
	/* the directory: encrypted, never */
	{ MX, D_NONE, NO, S_NONE, TLS_DIRECTORY_ENCRYPTED, NO, NO, { GOES, TLS, MX, NO, TLS_POLICY_NONE, "" } },
	{ MX, D_NONE, NO, S_FORCE, TLS_DIRECTORY_ENCRYPTED, NO, NO, { GOES, PKIX, MX, NO, TLS_POLICY_STS, "" } },
	{ MX, D_USABLE, YES, S_NONE, TLS_DIRECTORY_ENCRYPTED, NO, NO, { GOES, DANE, MX, NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_USABLE, YES, S_FORCE_OTHER, TLS_DIRECTORY_NONE, NO, NO, { YES, NO, NO, CLEAR, MX, NO, TLS_POLICY_NONE, "" } },
	{ MX, D_NONE, NO, S_NONE, TLS_DIRECTORY_NONE, YES, NO, { NO, NO, NO, CLEAR, MX, NO, TLS_POLICY_NONE, "" } },
	/* REQUIRETLS: verified by DANE or by the host's name, where the MX record is signed or MTA-STS names the host (RFC 8689 4.2.1); policies hold as well */
	{ MX, D_NONE, YES, S_NONE, 0, YES, NO, { GOES, PKIX, MX, NO, TLS_POLICY_NONE, "" } },
	{ STRANGE, D_NONE, YES, S_NONE, 0, YES, NO, { GOES, PKIX, STRANGE, NO, TLS_POLICY_NONE, "" } },
	{ "hop.example", D_NONE, NO, S_NONE, 0, YES, NO, { GOES, PKIX, "hop.example", NO, TLS_POLICY_NONE, "" } },
	{ FAR, D_NONE, NO, S_FORCE, 0, YES, NO, { GOES, PKIX, FAR, NO, TLS_POLICY_STS, "" } },
	{ FAR, D_NONE, NO, S_TEST, 0, YES, NO, { GOES, PKIX, FAR, YES, TLS_POLICY_STS, "" } },
	{ MX, D_NONE, NO, S_NONE, 0, YES, NO, { REFUSED, CLEAR, MX, NO, TLS_POLICY_NONE, "" } },
	{ STRANGE, D_NONE, NO, S_NONE, 0, YES, NO, { REFUSED, CLEAR, STRANGE, NO, TLS_POLICY_NONE, "" } },
	{ STRANGE, D_USABLE, NO, S_NONE, 0, YES, NO, { REFUSED, DANE, STRANGE, NO, TLS_POLICY_TLSA, "" } },
	{ STRANGE, D_NONE, NO, S_TEST, 0, YES, NO, { REFUSED, CLEAR, STRANGE, YES, TLS_POLICY_STS, "validation-failure" } },
	{ MX, D_USABLE, YES, S_NONE, 0, YES, NO, { GOES, DANE, MX, NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_UNUSABLE, YES, S_NONE, 0, YES, NO, { GOES, PKIX, MX, NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_NONE, NO, S_FORCE_OTHER, 0, YES, NO, { REFUSED, CLEAR, MX, NO, TLS_POLICY_STS, "validation-failure" } },
	{ STRANGE, D_NONE, NO, S_NONE, TLS_DIRECTORY_VERIFIED, YES, NO, { REFUSED, PKIX, "hop.example", NO, TLS_POLICY_NONE, "" } },
	/* ... and while the policy cannot be had it waits, where the policy could prove the host; nothing else does */
	{ MX, D_NONE, NO, S_NONE, 0, YES, NO, { WAITS, CLEAR, MX, NO, TLS_POLICY_NONE, "" }, YES },
	{ STRANGE, D_USABLE, NO, S_NONE, 0, YES, NO, { WAITS, DANE, STRANGE, NO, TLS_POLICY_TLSA, "" }, YES },
	{ MX, D_NONE, NO, S_FORCE_OTHER, 0, YES, NO, { WAITS, CLEAR, MX, NO, TLS_POLICY_STS, "validation-failure" }, YES },
	{ MX, D_NONE, NO, S_FORCE, 0, YES, NO, { GOES, PKIX, MX, NO, TLS_POLICY_STS, "" }, YES },
	{ MX, D_NONE, YES, S_NONE, 0, YES, NO, { GOES, PKIX, MX, NO, TLS_POLICY_NONE, "" }, YES },
	{ MX, D_NONE, NO, S_NONE, TLS_DIRECTORY_NONE, YES, NO, { NO, NO, NO, CLEAR, MX, NO, TLS_POLICY_NONE, "" }, YES },
	{ MX, D_NONE, NO, S_NONE, 0, NO, NO, { GOES, CLEAR, MX, NO, TLS_POLICY_NONE, "" }, YES },
	{ MX, D_NONE, NO, S_FORCE_OTHER, 0, NO, NO, { REFUSED, CLEAR, MX, NO, TLS_POLICY_STS, "validation-failure" }, YES },
	/* "TLS-Required: No": what the receiver publishes is noted only; RFC 8689 4.1: REQUIRETLS makes it void; our own directory stays in force */
	{ MX, D_USABLE, YES, S_NONE, 0, NO, YES, { GOES, CLEAR, MX, YES, TLS_POLICY_TLSA, "" } },
	{ MX, D_UNUSABLE, YES, S_NONE, 0, NO, YES, { GOES, CLEAR, MX, NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_LATER, YES, S_NONE, 0, NO, YES, { GOES, CLEAR, MX, YES, TLS_POLICY_TLSA, "dnssec-invalid" } },
	{ MX, D_NONE, NO, S_FORCE, 0, NO, YES, { GOES, CLEAR, MX, YES, TLS_POLICY_STS, "" } },
	{ MX, D_NONE, NO, S_FORCE_OTHER, 0, NO, YES, { GOES, CLEAR, MX, YES, TLS_POLICY_STS, "validation-failure" } },
	{ MX, D_USABLE, YES, S_NONE, 0, YES, YES, { GOES, DANE, MX, NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_NONE, NO, S_FORCE_OTHER, 0, YES, YES, { REFUSED, CLEAR, MX, NO, TLS_POLICY_STS, "validation-failure" } },
	{ MX, D_USABLE, YES, S_NONE, TLS_DIRECTORY_VERIFIED, NO, YES, { GOES, DANE, MX, NO, TLS_POLICY_TLSA, "" } },
	{ MX, D_NONE, NO, S_FORCE, TLS_DIRECTORY_ENCRYPTED, NO, YES, { GOES, TLS, MX, YES, TLS_POLICY_STS, "" } },
};

static void check(size_t i, const struct tls_policy_out *o)
{
	const struct wanted *w = &cases[i].want;
	bool ok = o->allowed == w->allowed && o->later == w->later && o->try_tls == w->try && o->note == w->note && o->type == w->type && strcmp(o->result, w->result) == 0;
	if (w->allowed)
		ok = ok && o->need_tls == w->need && o->verify == w->verify && str_eq(o->names[0], str_z(w->name)) && o->need_requiretls == cases[i].require;
	if (!ok)
		fail_msg("case %zu: allowed %d later %d try %d need %d verify %d name %.*s note %d type %d result \"%s\": %.*s", i, o->allowed, o->later, o->try_tls, o->need_tls, (int)o->verify,
		         PSTR(o->names[0]), o->note, (int)o->type, o->result, PSTR(o->words));
}

static struct tls_policy_in input(size_t i, struct dane_host *h)
{
	*h = dane_host(cases[i].dane, cases[i].host);
	return (struct tls_policy_in){ .next_hop = STR("hop.example"), .mx_host = str_z(cases[i].host), .mx_secure = cases[i].mx_secure, .dane = h,
		.sts = cases[i].sts ? &policies[cases[i].sts] : NULL, .sts_later = cases[i].sts_later, .directory = cases[i].directory, .require_tls = cases[i].require, .tls_optional = cases[i].optional };
}

static void each_case_is_decided_as_the_table_says(void **state)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 16 };
		struct dane_host h;
		struct tls_policy_out o;
		struct tls_policy_in in = input(i, &h);
		tls_policy(&in, &a, &o);
		check(i, &o);
	}
}

/* Over every combination: what must hold whatever the rest says. */
static void no_combination_breaks_a_rule(void **state)
{
	static const char *const hosts[] = { MX, FAR, STRANGE };
	for (unsigned n = 0; n < 3 * 4 * 2 * 6 * 4 * 2 * 2 * 2; n++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 16 };
		unsigned k = n;
		const char *host = hosts[k % 3]; k /= 3;
		enum dane dane = k % 4; k /= 4;
		bool secure = k % 2; k /= 2;
		enum sts sts = k % 6; k /= 6;
		enum tls_directory dir = k % 4; k /= 4;
		bool require = k % 2, optional = k / 2 % 2, given = k / 4 % 2;
		struct dane_host h = dane_host(dane, host);
		struct tls_policy_in in = { .next_hop = STR("hop.example"), .mx_host = str_z(host), .mx_secure = secure, .given = given, .dane = &h, .sts = sts ? &policies[sts] : NULL,
			.directory = dir, .require_tls = require, .tls_optional = optional };
		struct tls_policy_out o;
		tls_policy(&in, &a, &o);
		bool binding = dir != TLS_DIRECTORY_NONE && !(optional && !require);
		assert_true(o.words.n > 0 && o.result != NULL && (!o.later || !o.allowed));
		assert_true(!o.allowed || !o.need_tls || o.try_tls);
		assert_true(o.verify == TLS_VERIFY_NOT || (o.need_tls && o.name_n > 0));
		assert_true(o.verify != TLS_VERIFY_DANE || (o.n > 0 && dane == D_USABLE));
		if (require && o.allowed)
			assert_true(o.need_requiretls && o.verify != TLS_VERIFY_NOT && (secure || given || (sts != S_NONE && sts != S_OFF && mta_sts_match(&policies[sts], str_z(host)))));
		if (dir == TLS_DIRECTORY_VERIFIED && o.allowed)
			assert_true(o.verify != TLS_VERIFY_NOT);
		if (dir == TLS_DIRECTORY_ENCRYPTED && o.allowed)
			assert_true(o.need_tls);
		if (binding && dane == D_USABLE && o.allowed)
			assert_true(o.need_tls && (o.verify == TLS_VERIFY_DANE || dir == TLS_DIRECTORY_VERIFIED));
		if (binding && dane == D_LATER)
			assert_true(!o.allowed && o.later);
		if (binding && (sts == S_FORCE || sts == S_FORCE_OTHER) && !(dane == D_USABLE && secure) && o.allowed)
			assert_true(o.verify != TLS_VERIFY_NOT && mta_sts_match(&policies[sts], str_z(host)));
	}
}

static void what_was_published_is_told_as_tls_reports_want_it(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct dane_host h = dane_host(D_USABLE, MX);
	struct tls_policy_in in = { .next_hop = STR("hop.example"), .mx_host = STR(MX), .mx_secure = true, .dane = &h, .sts = &policies[S_FORCE] };
	struct tls_policy_out o;
	tls_policy(&in, &a, &o);
	assert_int_equal(o.policy_n, 2);
	SAME(o.policy[0], STR("3 1 1 0102"));
	SAME(o.policy[1], STR("2 0 1 ff"));
	assert_int_equal(o.n, 2);
	assert_int_equal(o.name_n, 2);
	in.dane = NULL;
	tls_policy(&in, &a, &o);
	assert_int_equal(o.policy_n, 5);
	SAME(o.policy[0], STR("version: STSv1"));
	SAME(o.policy[1], STR("mode: enforce"));
	SAME(o.policy[3], STR("mx: *.cloud.example"));
	SAME(o.policy[4], STR("max_age: 86400"));
}

static void a_host_of_our_own_directory_is_sure(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct tls_policy_in in = { .next_hop = STR("smart.example"), .mx_host = STR("out.provider.example"), .given = true, .directory = TLS_DIRECTORY_VERIFIED };
	struct tls_policy_out o;
	tls_policy(&in, &a, &o);
	assert_int_equal(o.verify, TLS_VERIFY_PKIX);
	SAME(o.names[0], STR("out.provider.example"));
}

static void a_password_is_said_to_a_verified_server_unless_the_directory_says_less(void **state)
{
	static const struct { enum tls_directory directory; bool need; enum tls_verify verify; } ways[] = {
		{ TLS_DIRECTORY_DEFAULT, PKIX }, { TLS_DIRECTORY_VERIFIED, PKIX }, { TLS_DIRECTORY_ENCRYPTED, TLS },
	};
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 16 };
		struct tls_policy_in in = { .next_hop = STR("smart.example"), .mx_host = STR("smart.example"), .given = true, .login = true, .directory = ways[i].directory, .tls_optional = true };
		struct tls_policy_out o;
		tls_policy(&in, &a, &o);
		assert_true(o.allowed && o.need_tls == ways[i].need && o.verify == ways[i].verify);
	}
}

static void without_memory_nothing_is_sent(void **state)
{
	struct dane_host h = dane_host(D_USABLE, MX);
	struct tls_policy_in in = { .next_hop = STR("hop.example"), .mx_host = STR(MX), .mx_secure = true, .dane = &h };
	AUTO(arena_done) struct arena a = { .max = 8 };
	struct tls_policy_out o;
	tls_policy(&in, &a, &o);
	assert_true(!o.allowed && o.later);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_case_is_decided_as_the_table_says),
		cmocka_unit_test(no_combination_breaks_a_rule),
		cmocka_unit_test(what_was_published_is_told_as_tls_reports_want_it),
		cmocka_unit_test(a_host_of_our_own_directory_is_sure),
		cmocka_unit_test(a_password_is_said_to_a_verified_server_unless_the_directory_says_less),
		cmocka_unit_test(without_memory_nothing_is_sent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
