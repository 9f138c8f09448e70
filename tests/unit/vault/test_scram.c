#include "crypto/scram.h"
#include "unit/vault/place.h"

/* SCRAM verifiers in the vault. */

static struct vault *open_it(struct place *p)
{
	struct vault *v = NULL;
	struct why why = { 0 };
	assert_int_equal(vault_open(NULL, &p->o, &v, &why), RC_OK);
	return v;
}

struct who { uint64_t id; };
static struct who make(struct vault *v, enum vault_mode mode, const char *password)
{
	struct who w = { 0 };
	uint8_t pub[PUB_LEN];
	struct arena a;
	struct str recovery;
	struct why why = { 0 };
	arena_init(&a, 4096);
	assert_int_equal(vault_account_make(v, mode, str_z(password), &w.id, pub, &recovery, &a, &why), RC_OK);
	arena_done(&a);
	return w;
}

static enum rc login(struct vault *v, uint64_t id, const char *password)
{
	struct secret priv;
	uint8_t pub[PUB_LEN];
	struct why why = { 0 };
	return vault_login(v, &(struct vault_login){ .id = id, .password = str_z(password), .client_network = { 1 }, .protocol = STR("imap") }, &priv, pub, &why);
}

static void note(void *arg, const char *what)
{
	(void)what;
	++*(unsigned *)arg;
}

static enum rc prove(struct vault *v, uint64_t id, const char *password, struct str message, struct why *why)
{
	uint8_t salt[VAULT_SCRAM_SALT], signature[HASH_LEN], expected[HASH_LEN], proof[HASH_LEN];
	uint32_t iterations;
	struct secret salted;
	struct scram_keys keys;
	assert_int_equal(vault_scram_begin(v, id, STR("ann@example.org"), salt, &iterations, why), RC_OK);
	assert_int_equal(scram_salted(str_z(password), str_of(salt, sizeof salt), iterations, &salted), RC_OK);
	assert_int_equal(scram_keys_of(&salted, &keys), RC_OK);
	assert_int_equal(scram_proof(&keys, message, proof), RC_OK);
	enum rc rc = vault_scram_prove(v, &(struct vault_scram){ .id = id, .auth_message = message, .proof = str_of(proof, HASH_LEN), .client_network = { 1 } }, signature, why);
	assert_int_equal(scram_signature(&keys.server, message, expected), RC_OK);
	if (rc == RC_OK)
		assert_memory_equal(signature, expected, HASH_LEN);
	return rc;
}

static void a_scram_proof_of_the_password_is_taken_and_no_other(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	p->o.scram = true;
	struct vault *v = open_it(p);
	struct who w = make(v, MODE_ORGANISATION, "pencil"), other = make(v, MODE_ORGANISATION, "pen"), private = make(v, MODE_PRIVATE, "pencil"),
		   umlaut = make(v, MODE_ORGANISATION, "p\xc3\xa4ncil");
	vault_close(&v);
	v = open_it(p); /* from the disk */
	assert_int_equal(prove(v, w.id, "pencil", STR("n=a,r=b"), &why), RC_OK);
	assert_int_equal(prove(v, w.id, "pencils", STR("n=a,r=c"), &why), RC_DENIED);
	assert_string_equal(why.text, "wrong address or password");
	assert_int_equal(prove(v, other.id, "pencil", STR("n=a,r=b"), &why), RC_DENIED);
	assert_int_equal(prove(v, private.id, "pencil", STR("n=a,r=b"), &why), RC_DENIED);
	assert_int_equal(prove(v, umlaut.id, "p\xc3\xa4ncil", STR("n=a,r=b"), &why), RC_DENIED);
	assert_int_equal(login(v, umlaut.id, "p\xc3\xa4ncil"), RC_OK);
	assert_int_equal(prove(v, 77, "pencil", STR("n=a,r=b"), &why), RC_DENIED);
	assert_int_equal(vault_password_set(v, w.id, STR("crayon"), &why), RC_OK);
	assert_int_equal(prove(v, w.id, "pencil", STR("n=a,r=d"), &why), RC_DENIED);
	assert_int_equal(prove(v, w.id, "crayon", STR("n=a,r=d"), &why), RC_OK);
	unsigned damage = 0;
	assert_int_equal(vault_verify(v, note, &damage, &why), RC_OK);
	assert_int_equal(damage, 0);
	vault_close(&v);
}

static void without_scram_there_is_no_verifier_and_a_new_password_forgets_the_old_one(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	struct vault *v = open_it(p);
	struct who w = make(v, MODE_ORGANISATION, "pencil");
	vault_scram(v, true);
	assert_int_equal(prove(v, w.id, "pencil", STR("n=a,r=b"), &why), RC_DENIED); /* set while it was off */
	assert_int_equal(vault_password_set(v, w.id, STR("crayon"), &why), RC_OK);
	assert_int_equal(prove(v, w.id, "crayon", STR("n=a,r=b"), &why), RC_OK);
	vault_scram(v, false);
	assert_int_equal(prove(v, w.id, "crayon", STR("n=a,r=c"), &why), RC_DENIED);
	assert_int_equal(vault_password_set(v, w.id, STR("chalk"), &why), RC_OK);
	vault_scram(v, true);
	assert_int_equal(prove(v, w.id, "crayon", STR("n=a,r=d"), &why), RC_DENIED);
	vault_close(&v);
}

static void an_unknown_name_has_one_salt_and_each_name_its_own(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	uint8_t a[VAULT_SCRAM_SALT], b[VAULT_SCRAM_SALT], c[VAULT_SCRAM_SALT];
	uint32_t i, k;
	p->o.scram = true;
	struct vault *v = open_it(p);
	struct who w = make(v, MODE_ORGANISATION, "pencil");
	assert_int_equal(vault_scram_begin(v, 0, STR("nobody@example.org"), a, &i, &why), RC_OK);
	assert_int_equal(vault_scram_begin(v, 0, STR("noone@example.org"), b, &i, &why), RC_OK);
	vault_close(&v);
	v = open_it(p);
	assert_int_equal(vault_scram_begin(v, 0, STR("nobody@example.org"), c, &i, &why), RC_OK);
	assert_memory_equal(a, c, sizeof a);
	assert_memory_not_equal(a, b, sizeof a);
	assert_int_equal(vault_scram_begin(v, w.id, STR("nobody@example.org"), c, &k, &why), RC_OK);
	assert_int_equal(i, k);
	vault_close(&v);
}

static void proofs_that_fail_are_limited_as_passwords_are(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	p->o.scram = true;
	p->o.failures = 3;
	struct vault *v = open_it(p);
	struct who w = make(v, MODE_ORGANISATION, "pencil");
	for (unsigned i = 0; i < 3; i++) {
		char text[16];
		(void)snprintf(text, sizeof text, "n=a,r=%u", i);
		assert_int_equal(prove(v, w.id, "wrong", str_z(text), &why), RC_DENIED);
	}
	assert_int_equal(prove(v, w.id, "pencil", STR("n=a,r=x"), &why), RC_BUSY);
	vault_close(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make_place, drop_place)
		T(a_scram_proof_of_the_password_is_taken_and_no_other),
		T(without_scram_there_is_no_verifier_and_a_new_password_forgets_the_old_one),
		T(an_unknown_name_has_one_salt_and_each_name_its_own),
		T(proofs_that_fail_are_limited_as_passwords_are),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
