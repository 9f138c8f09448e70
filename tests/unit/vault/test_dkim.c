#include "vault/dkim.h"

#include "base/cursor.h"
#include "unit/vault/place.h"
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>

static const int64_t november = 1795000000000; /* 2026-11-18 */
static const struct vault_dkim_rules rules = { .settle_ms = 3600000, .rotate_ms = 86400000LL * 180, .revoke_ms = 86400000LL * 14 };

static struct vault *open_it(struct place *p)
{
	struct vault *v = NULL;
	struct why why = { 0 };
	assert_int_equal(vault_open(NULL, &p->o, &v, &why), RC_OK);
	return v;
}

static void make(struct vault *v, const char *domain, int64_t now)
{
	struct why why = { 0 };
	assert_int_equal(vault_dkim_make(v, str_z(domain), false, now, &why), RC_OK);
}

static const char *state_of(struct vault *v, const char *domain, const char *selector)
{
	const struct vault_dkim *k = vault_dkim_find(v, str_z(domain), str_z(selector));
	return k ? vault_dkim_state_name(k->state) : "none";
}

struct moves { unsigned n; char text[1000]; };
static void note(void *arg, const struct vault_dkim *k)
{
	struct moves *m = arg;
	size_t at = strlen(m->text);
	m->n++;
	(void)snprintf(m->text + at, sizeof m->text - at, "%.*s %s;", PSTR(k->selector), vault_dkim_state_name(k->state));
}

static struct moves turn_by(struct vault *v, int64_t now, int64_t steady, const char *stem, bool seen)
{
	struct moves m = { 0 };
	struct why why = { 0 };
	struct vault_dkim_look look[64];
	size_t n = 0;
	for (size_t i = 0; i < vault_dkim_count(v) && n < 64; i++) {
		struct vault_dkim k;
		vault_dkim_get(v, i, &k);
		if (stem && str_starts(k.selector, str_z(stem)))
			look[n++] = (struct vault_dkim_look){ k.id, seen };
	}
	assert_int_equal(vault_dkim_turn(v, &rules, now, steady, look, n, &(struct vault_dkim_listener){ note, &m }, &why), RC_OK);
	return m;
}

/* A turn in which the DNS says `seen` of every key of that stem, and nothing of the others. Nobody has set the clock. */
static struct moves turn(struct vault *v, int64_t now, const char *stem, bool seen) { return turn_by(v, now, now - november + 1000, stem, seen); }

/* A vault in which 202611a signs since `november`. */
static struct vault *signing(struct place *p, const char *domain)
{
	struct vault *v = open_it(p);
	make(v, domain, november);
	(void)turn(v, november, "202611a", true);
	(void)turn(v, november + rules.settle_ms, "202611a", true);
	return v;
}

static void a_pair_is_made_under_selectors_of_the_month(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p);
	make(v, "example.org", november);
	assert_int_equal(vault_dkim_count(v), 2);
	assert_string_equal(state_of(v, "example.org", "202611a-rsa"), "made");
	assert_string_equal(state_of(v, "example.org", "202611a-ed"), "made");
	const struct vault_dkim *ed = vault_dkim_find(v, STR("example.org"), STR("202611a-ed"));
	assert_int_equal(ed->public_key.n, 32);
	vault_close(&v);
}

static void a_second_pair_is_not_made_while_one_waits(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	struct vault *v = open_it(p);
	make(v, "example.org", november);
	assert_int_equal(vault_dkim_make(v, STR("example.org"), false, november, &why), RC_EXISTS);
	assert_non_null(strstr(why.text, "publish its record"));
	assert_int_equal(vault_dkim_make(v, STR("other.example"), true, november, &why), RC_OK);
	assert_int_equal(vault_dkim_make(v, STR("other.example"), true, november, &why), RC_EXISTS);
	vault_close(&v);
}

static void a_key_signs_only_after_it_was_seen_and_has_settled(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p);
	make(v, "example.org", november);
	assert_int_equal(turn(v, november, NULL, false).n, 0);
	assert_int_equal(turn(v, november, "202611a", false).n, 0);
	assert_string_equal(turn(v, november + 1, "202611a-rsa", true).text, "202611a-rsa published;");
	assert_int_equal(turn(v, november + rules.settle_ms, "202611a-rsa", true).n, 0);
	assert_string_equal(turn(v, november + 1 + rules.settle_ms, "202611a-rsa", true).text, "202611a-rsa signing;");
	assert_string_equal(state_of(v, "example.org", "202611a-ed"), "made");
	vault_close(&v);
}

static void a_record_that_goes_away_before_its_use_sets_the_key_back(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p);
	make(v, "example.org", november);
	(void)turn(v, november, "202611a", true);
	assert_int_equal(turn(v, november + 5, "202611a", false).n, 2);
	assert_string_equal(state_of(v, "example.org", "202611a-ed"), "made");
	vault_close(&v);
}

static void the_next_pair_retires_the_one_before_and_time_revokes_it(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	struct vault *v = signing(p, "example.org");
	int64_t later = november + 86400000;
	make(v, "example.org", later);
	make(v, "other.example", later);
	(void)turn(v, later, "202611b", true);
	later += rules.settle_ms;
	(void)turn(v, later, "202611b", true);
	assert_string_equal(state_of(v, "example.org", "202611b-rsa"), "signing");
	assert_string_equal(state_of(v, "example.org", "202611a-rsa"), "retired");
	assert_string_equal(state_of(v, "other.example", "202611a-rsa"), "made");
	(void)turn(v, later + rules.revoke_ms - 1, NULL, false);
	assert_string_equal(state_of(v, "example.org", "202611a-ed"), "retired");
	(void)turn(v, later + rules.revoke_ms, NULL, false);
	assert_string_equal(state_of(v, "example.org", "202611a-ed"), "revoked");
	struct buf out AUTO(buf_done);
	buf_init(&out, 4096);
	uint8_t digest[32] = { 1 };
	assert_int_equal(vault_dkim_sign(v, STR("example.org"), STR("202611a-ed"), str_of(digest, 32), &out, &why), RC_DENIED);
	vault_close(&v);
}

static void an_old_key_gets_a_successor_by_itself(void **state)
{
	struct place *p = *state;
	struct vault *v = signing(p, "example.org");
	int64_t began = november + rules.settle_ms;
	assert_int_equal(turn(v, began + rules.rotate_ms - 1, NULL, false).n, 0);
	assert_string_equal(turn(v, began + rules.rotate_ms, NULL, false).text, "202705a-rsa made;202705a-ed made;");
	assert_int_equal(turn(v, began + rules.rotate_ms + 5, NULL, false).n, 0);
	vault_close(&v);
}

static EVP_PKEY *public_of(const struct vault_dkim *k)
{
	const uint8_t *p = (const uint8_t *)k->public_key.p;
	if (k->kind == VAULT_DKIM_ED25519)
		return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, p, k->public_key.n);
	return d2i_PUBKEY(NULL, &p, (long)k->public_key.n);
}

static bool verifies(const struct vault_dkim *k, const uint8_t digest[32], struct str sig)
{
	EVP_PKEY *pub = public_of(k);
	bool ok = false;
	if (k->kind == VAULT_DKIM_ED25519) {
		EVP_MD_CTX *c = EVP_MD_CTX_new();
		ok = EVP_DigestVerifyInit(c, NULL, NULL, NULL, pub) == 1 && EVP_DigestVerify(c, (const uint8_t *)sig.p, sig.n, digest, 32) == 1;
		EVP_MD_CTX_free(c);
	} else {
		EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(pub, NULL);
		ok = EVP_PKEY_verify_init(c) == 1 && EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) == 1 && EVP_PKEY_verify(c, (const uint8_t *)sig.p, sig.n, digest, 32) == 1;
		EVP_PKEY_CTX_free(c);
	}
	EVP_PKEY_free(pub);
	return ok;
}

static void a_clock_that_was_ahead_delays_nothing_by_years(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p);
	static const int64_t ahead = 10 * 365 * 86400000LL;
	make(v, "example.org", november + ahead);
	(void)turn(v, november + ahead, "203611a", true);
	assert_string_equal(state_of(v, "example.org", "203611a-rsa"), "published");
	(void)turn(v, november, "203611a", true);
	assert_string_equal(state_of(v, "example.org", "203611a-rsa"), "published");
	(void)turn(v, november + rules.settle_ms, "203611a", true);
	assert_string_equal(state_of(v, "example.org", "203611a-rsa"), "signing");
	vault_close(&v);
	/* The same of what has been retired meanwhile. */
	v = open_it(p);
	struct why why = { 0 };
	assert_int_equal(vault_dkim_retire(v, STR("example.org"), STR("203611a-ed"), november + ahead, &why), RC_OK);
	(void)turn(v, november, NULL, false);
	(void)turn(v, november + rules.revoke_ms, NULL, false);
	assert_string_equal(state_of(v, "example.org", "203611a-ed"), "revoked");
	vault_close(&v);
}

static void a_clock_that_jumps_makes_no_key_older_or_younger(void **state)
{
	static const int64_t year = 365 * 86400000LL, day = 86400000;
	static const int64_t jumps[] = { year, -year };
	for (size_t i = 0; i < 2; i++) {
		struct place *p = *state;
		struct why why = { 0 };
		struct vault *v = open_it(p);
		const char *domain = i ? "back.example" : "ahead.example";
		int64_t jump = jumps[i], began = november + rules.settle_ms, now = began + day;
		make(v, domain, november);
		(void)turn(v, november, "202611a", true);
		(void)turn(v, began, "202611a", true);
		assert_int_equal(vault_dkim_retire(v, str_z(domain), STR("202611a-ed"), now, &why), RC_OK);
		assert_int_equal(turn(v, now, NULL, false).n, 0);
		assert_int_equal(turn_by(v, now + jump + 600000, now - november + 601000, NULL, false).n, 0);
		assert_int_equal(turn_by(v, now + 1200000, now - november + 1201000, NULL, false).n, 0);
		assert_int_equal(turn_by(v, now + jump + 1800000, now - november + 1801000, NULL, false).n, 0);
		/* what passes after it counts on from what had passed before */
		assert_int_equal(turn_by(v, now + jump + rules.revoke_ms - 1, now - november + 999 + rules.revoke_ms, NULL, false).n, 0);
		assert_string_equal(turn_by(v, now + jump + rules.revoke_ms, now - november + 1000 + rules.revoke_ms, NULL, false).text, "202611a-ed revoked;");
		assert_int_equal(turn_by(v, began + jump + rules.rotate_ms - 1, began - november + 999 + rules.rotate_ms, NULL, false).n, 0);
		assert_int_equal(turn_by(v, began + jump + rules.rotate_ms, began - november + 1000 + rules.rotate_ms, NULL, false).n, 2);
		vault_close(&v);
		drop_place(state);
		make_place(state);
	}
}

static void copy_file(const char *from, const char *to)
{
	static char bytes[1 << 20];
	FILE *f = fopen(from, "rb");
	size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
	assert_true(n > 0 && n < sizeof bytes && fclose(f) == 0);
	f = fopen(to, "wb");
	assert_true(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

/* The file as a server leaves it that stops between the two steps: the listener hears of the first one before the second. */
static void keep_first_step(void *arg, const struct vault_dkim *k)
{
	struct place *p = arg;
	char kept[96];
	(void)snprintf(kept, sizeof kept, "%s/key", p->dir);
	if (k->state == VAULT_DKIM_SIGNING && k->kind == VAULT_DKIM_RSA)
		copy_file(p->file, kept);
}

static void of_two_that_sign_after_a_crash_the_older_is_retired(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	char kept[96];
	int64_t now = november + rules.settle_ms + 86400000;
	struct vault *v = signing(p, "example.org");
	make(v, "example.org", now);
	(void)turn(v, now, "202611b", true);
	now += rules.settle_ms;
	assert_int_equal(vault_dkim_turn(v, &rules, now, now - november + 1000, NULL, 0, &(struct vault_dkim_listener){ keep_first_step, p }, &why), RC_OK);
	assert_string_equal(state_of(v, "example.org", "202611a-rsa"), "retired");
	vault_close(&v);
	(void)snprintf(kept, sizeof kept, "%s/key", p->dir);
	copy_file(kept, p->file);
	v = open_it(p);
	assert_string_equal(state_of(v, "example.org", "202611a-rsa"), "signing");
	assert_string_equal(state_of(v, "example.org", "202611b-rsa"), "signing");
	(void)turn(v, now + 1, NULL, false);
	assert_string_equal(state_of(v, "example.org", "202611a-rsa"), "retired");
	assert_string_equal(state_of(v, "example.org", "202611b-rsa"), "signing");
	vault_close(&v);
}

static void a_domain_that_can_have_no_more_keys_does_not_keep_others_from_theirs(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	struct vault *v = signing(p, "full.example");
	make(v, "other.example", november);
	(void)turn(v, november, "202611a", true);
	(void)turn(v, november + rules.settle_ms, "202611a", true);
	while (vault_dkim_make(v, STR("full.example"), false, november, &why) == RC_OK) /* retired, not revoked: nothing to be forgotten */
		for (size_t i = 0; i < vault_dkim_count(v); i++) {
			struct vault_dkim k;
			vault_dkim_get(v, i, &k);
			if (k.state == VAULT_DKIM_MADE)
				assert_int_equal(vault_dkim_retire(v, k.domain, k.selector, november + rules.rotate_ms, &why), RC_OK);
		}
	assert_int_equal(vault_dkim_make(v, STR("full.example"), false, november, &why), RC_LIMIT);
	int64_t now = november + rules.settle_ms + rules.rotate_ms;
	assert_int_equal(vault_dkim_turn(v, &rules, now, now - november + 1000, NULL, 0, NULL, &why), RC_OK);
	assert_string_equal(state_of(v, "other.example", "202705a-rsa"), "made");
	vault_close(&v);
}

static void signatures_over_many_digests_verify_under_the_public_halves(void **state)
{
	static const char *const selectors[] = { "202611a-rsa", "202611a-ed" };
	struct place *p = *state;
	struct why why = { 0 };
	struct vault *v = signing(p, "example.org");
	uint8_t digests[3 * 32];
	for (size_t i = 0; i < sizeof digests; i++)
		digests[i] = (uint8_t)(i * 7);
	for (size_t s = 0; s < 2; s++) {
		struct buf out AUTO(buf_done);
		buf_init(&out, 8192);
		assert_int_equal(vault_dkim_sign(v, STR("example.org"), str_z(selectors[s]), str_of(digests, sizeof digests), &out, &why), RC_OK);
		struct cursor c = cursor_of(buf_str(&out));
		for (size_t i = 0; i < 3; i++) {
			struct str sig = cursor_run(&c, 512);
			const struct vault_dkim *k = vault_dkim_find(v, STR("example.org"), str_z(selectors[s]));
			assert_true(verifies(k, digests + 32 * i, sig));
			assert_false(verifies(k, digests + 32 * ((i + 1) % 3), sig));
		}
		assert_true(cursor_at_end(&c));
		assert_int_equal(vault_dkim_sign(v, STR("example.org"), str_z(selectors[s]), str_of(digests, 31), &out, &why), RC_SYNTAX);
	}
	vault_close(&v);
}

static void keys_and_their_states_outlive_a_restart(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	uint8_t digest[32] = { 9 };
	struct vault *v = signing(p, "example.org");
	assert_int_equal(vault_dkim_revoke(v, STR("example.org"), STR("202611a-ed"), november, &why), RC_OK);
	vault_close(&v);
	v = open_it(p);
	assert_int_equal(vault_dkim_count(v), 2);
	assert_string_equal(state_of(v, "example.org", "202611a-ed"), "revoked");
	assert_string_equal(state_of(v, "example.org", "202611a-rsa"), "signing");
	struct buf out AUTO(buf_done);
	buf_init(&out, 4096);
	assert_int_equal(vault_dkim_sign(v, STR("example.org"), STR("202611a-rsa"), str_of(digest, 32), &out, &why), RC_OK);
	struct cursor c = cursor_of(buf_str(&out));
	assert_true(verifies(vault_dkim_find(v, STR("example.org"), STR("202611a-rsa")), digest, cursor_run(&c, 512)));
	vault_close(&v);
}

static void damaged(void *arg, const char *what)
{
	(void)what;
	++*(unsigned *)arg;
}

static void verify_opens_dkim_keys_too(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	unsigned n = 0;
	struct vault *v = signing(p, "example.org");
	assert_int_equal(vault_verify(v, damaged, &n, &why), RC_OK);
	assert_int_equal(n, 0);
	vault_close(&v);
}

static void a_domain_that_is_forgotten_has_no_keys(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	struct vault *v = open_it(p);
	make(v, "example.org", november);
	make(v, "other.example", november);
	assert_int_equal(vault_dkim_forget(v, STR("example.org"), &why), RC_OK);
	assert_int_equal(vault_dkim_forget(v, STR("example.org"), &why), RC_NOTFOUND);
	assert_int_equal(vault_dkim_count(v), 2);
	assert_string_equal(state_of(v, "other.example", "202611a-ed"), "made");
	vault_close(&v);
	v = open_it(p);
	assert_int_equal(vault_dkim_count(v), 2);
	vault_close(&v);
}

static void a_month_of_rotations_ends_and_the_revoked_make_room(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	struct vault *v = open_it(p);
	static const int64_t month = 31 * 86400000LL;
	for (int i = 0; i < 20; i++) { /* 40 keys, more than a domain may have: rows are bounded */
		int64_t now = november + i * month;
		make(v, "example.org", now);
		for (size_t j = 0; j < vault_dkim_count(v); j++) {
			struct vault_dkim k;
			vault_dkim_get(v, j, &k);
			if (k.state != VAULT_DKIM_REVOKED)
				assert_int_equal(vault_dkim_revoke(v, k.domain, k.selector, now, &why), RC_OK);
		}
	}
	assert_true(vault_dkim_count(v) <= DKIM_KEYS_PER_DOMAIN);
	vault_close(&v);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_place, drop_place)
	const struct CMUnitTest tests[] = {
		T(a_pair_is_made_under_selectors_of_the_month),
		T(a_second_pair_is_not_made_while_one_waits),
		T(a_key_signs_only_after_it_was_seen_and_has_settled),
		T(a_record_that_goes_away_before_its_use_sets_the_key_back),
		T(the_next_pair_retires_the_one_before_and_time_revokes_it),
		T(an_old_key_gets_a_successor_by_itself),
		T(a_clock_that_was_ahead_delays_nothing_by_years),
		T(a_clock_that_jumps_makes_no_key_older_or_younger),
		T(of_two_that_sign_after_a_crash_the_older_is_retired),
		T(a_domain_that_can_have_no_more_keys_does_not_keep_others_from_theirs),
		T(signatures_over_many_digests_verify_under_the_public_halves),
		T(keys_and_their_states_outlive_a_restart),
		T(verify_opens_dkim_keys_too),
		T(a_domain_that_is_forgotten_has_no_keys),
		T(a_month_of_rotations_ends_and_the_revoked_make_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
