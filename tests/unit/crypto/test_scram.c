#include "unit/crypto/hex.h"
#include "crypto/scram.h"

/* The example of RFC 7677 3: user "user", password "pencil". */
#define AUTH_MESSAGE                                                                                                   \
	"n=user,r=rOprNGfwEbeRWgbNEkqO,"                                                                               \
	"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"                      \
	"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

static struct str base64(const char *text)
{
	static struct buf b;
	buf_done(&b);
	buf_init(&b, 256);
	assert_int_equal(base64_decode(str_z(text), false, &b), RC_OK);
	return buf_str(&b);
}

static void rfc_7677s_example_comes_out_to_the_octet(void **state)
{
	struct secret salted, client;
	struct scram_keys k;
	uint8_t proof[HASH_LEN], signature[HASH_LEN];
	assert_int_equal(scram_salted(STR("pencil"), base64("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096, &salted), RC_OK);
	assert_int_equal(scram_keys_of(&salted, &k), RC_OK);
	assert_int_equal(scram_proof(&k, STR(AUTH_MESSAGE), proof), RC_OK);
	assert_memory_equal(proof, base64("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").p, HASH_LEN);
	assert_int_equal(scram_signature(&k.server, STR(AUTH_MESSAGE), signature), RC_OK);
	assert_memory_equal(signature, base64("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").p, HASH_LEN);
	assert_int_equal(scram_check(k.stored, STR(AUTH_MESSAGE), proof, &client), RC_OK);
	assert_memory_equal(client.k, k.client.k, KEY_LEN);
	scram_keys_done(&k);
}

static void a_proof_with_any_bit_changed_or_for_another_message_is_refused(void **state)
{
	struct secret salted, client;
	struct scram_keys k;
	uint8_t proof[HASH_LEN];
	assert_int_equal(scram_salted(STR("pencil"), STR("salt"), 1, &salted), RC_OK);
	assert_int_equal(scram_keys_of(&salted, &k), RC_OK);
	assert_int_equal(scram_proof(&k, STR("one"), proof), RC_OK);
	assert_int_equal(scram_check(k.stored, STR("two"), proof, &client), RC_DENIED);
	for (size_t bit = 0; bit < 8 * HASH_LEN; bit++) {
		proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(scram_check(k.stored, STR("one"), proof, &client), RC_DENIED);
		proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(scram_check(k.stored, STR("one"), proof, &client), RC_OK);
}

static void the_number_of_iterations_has_bounds(void **state)
{
	struct secret salted;
	assert_int_equal(scram_salted(STR("p"), STR("s"), 0, &salted), RC_LIMIT);
	assert_int_equal(scram_salted(STR("p"), STR("s"), SCRAM_ITERATIONS_MAX + 1, &salted), RC_LIMIT);
	assert_int_equal(scram_salted(STR(""), STR(""), 1, &salted), RC_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_7677s_example_comes_out_to_the_octet),
		cmocka_unit_test(a_proof_with_any_bit_changed_or_for_another_message_is_refused),
		cmocka_unit_test(the_number_of_iterations_has_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
