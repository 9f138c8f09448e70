#include "crypto/crypto.h"

#include "unit/crypto/hex.h"
#include <pthread.h>

static struct secret key_of(const char *text)
{
	struct secret k = { { 0 } };
	struct str s = hex(text);
	assert_true(s.n <= KEY_LEN);
	memcpy(k.k, s.p, s.n); /* HMAC pads a short key with zeros, so a shorter one from a vector is the same key */
	return k;
}

static void sha256_gives_fips_180_digests(void **state)
{
	uint8_t h[HASH_LEN];
	assert_int_equal(sha256(STR("abc"), h), RC_OK);
	assert_hex(h, sizeof h, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(sha256(STR(""), h), RC_OK);
	assert_hex(h, sizeof h, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_int_equal(sha256(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), h), RC_OK);
	assert_hex(h, sizeof h, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void hmac_gives_rfc_4231_tags(void **state)
{
	char dd[50], cd[50];
	memset(dd, 0xdd, sizeof dd);
	memset(cd, 0xcd, sizeof cd);
	const struct { const char *key; struct str in; const char *want; } t[] = {
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", STR_INIT("Hi There"),
		  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ "4a656665", STR_INIT("what do ya want for nothing?"),
		  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", { dd, 50 },
		  "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
		{ "0102030405060708090a0b0c0d0e0f10111213141516171819", { cd, 50 },
		  "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b" },
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct secret k = key_of(t[i].key);
		uint8_t h[HASH_LEN];
		assert_int_equal(hmac_sha256(&k, t[i].in, h), RC_OK);
		assert_hex(h, sizeof h, t[i].want);
	}
}

static void hkdf_gives_rfc_5869_keys(void **state)
{
	/* Appendix A; our output is the first block of each OKM. */
	static const struct { const char *ikm, *salt, *info, *want; } t[] = {
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
		  "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf" },
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
		  "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d" },
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct secret k;
		assert_int_equal(hkdf(hex(t[i].ikm), hex(t[i].salt), hex(t[i].info), &k), RC_OK);
		assert_hex(k.k, sizeof k.k, t[i].want);
	}
}

static void siphash_gives_its_authors_vectors(void **state)
{
	/* Key 00..0f, input 00, 01, ... of length n; output as little-endian octets (vectors.h of the reference code). */
	static const char *const want[] = { "310e0edd47db6f72", "fd67dc93c539f874", "5a4fa9d909806c0d", "2d7efbd796666785",
		                            "b7877127e09427cf", "8da699cd64557618", "cee3fe586e46c9cb", "37d1018bf50002ab",
		                            "6224939a79f5f593" };
	uint8_t key[16], in[64];
	for (unsigned i = 0; i < 64; i++)
		in[i] = (uint8_t)i;
	memcpy(key, in, 16);
	for (size_t n = 0; n < sizeof want / sizeof *want; n++) {
		uint64_t h = siphash(key, str_of(in, n));
		uint8_t le[8];
		for (unsigned i = 0; i < 8; i++)
			le[i] = (uint8_t)(h >> (8 * i));
		assert_hex(le, 8, want[n]);
	}
	assert_true(siphash(key, str_of(in, 15)) == 0xa129ca6149be45e5u); /* the paper's appendix A */
}

static void gcm_gives_the_specifications_test_cases_13_and_14(void **state)
{
	struct secret k = { { 0 } };
	struct buf b AUTO(buf_done);
	buf_init(&b, 100);
	assert_int_equal(aead_seal(&k, 0, STR(""), STR(""), &b), RC_OK);
	assert_hex(b.p, b.len, "530f8afbc74536b9a963b4f1c4cb738b");
	buf_clear(&b);
	assert_int_equal(aead_seal(&k, 0, STR(""), hex("00000000000000000000000000000000"), &b), RC_OK);
	assert_hex(b.p, b.len, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
}

static void a_sealed_run_opens_with_the_same_key_nonce_and_context_only(void **state)
{
	struct secret k = key_of("00112233"), other = key_of("00112234");
	char text[1000], plain[1000];
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)(i * 7);
	struct str aad = STR("record 1");
	for (size_t n = 0; n <= sizeof text; n += n < 40 ? 1 : 97) {
		struct buf b AUTO(buf_done), c AUTO(buf_done);
		buf_init(&b, 2000);
		buf_init(&c, 2000);
		assert_int_equal(aead_seal(&k, 77, aad, str_of(text, n), &b), RC_OK);
		assert_int_equal(b.len, n + TAG_LEN);
		assert_int_equal(aead_open(&k, 77, aad, buf_str(&b), &c), RC_OK);
		assert_int_equal(c.len, n);
		assert_true(n == 0 || ct_eq(c.p, text, n));
		assert_int_equal(aead_open_into(&k, 78, aad, buf_str(&b), (uint8_t *)plain), RC_DAMAGED);
		assert_int_equal(aead_open_into(&k, 77, STR("record 2"), buf_str(&b), (uint8_t *)plain), RC_DAMAGED);
		assert_int_equal(aead_open_into(&other, 77, aad, buf_str(&b), (uint8_t *)plain), RC_DAMAGED);
		assert_int_equal(aead_open(&k, 77, aad, str_of(b.p, n + TAG_LEN - 1), &c), RC_DAMAGED);
		assert_int_equal(c.len, n);
	}
}

static void every_flipped_bit_is_noticed_and_no_plain_byte_comes_out(void **state)
{
	struct secret k = key_of("aa");
	struct buf b AUTO(buf_done);
	buf_init(&b, 100);
	assert_int_equal(aead_seal(&k, 1, STR("x"), STR("seventeen letters"), &b), RC_OK);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		uint8_t out[32], zero[17] = { 0 };
		b.p[bit / 8] = (char)(b.p[bit / 8] ^ 1 << bit % 8);
		assert_int_equal(aead_open_into(&k, 1, STR("x"), buf_str(&b), out), RC_DAMAGED);
		assert_memory_equal(out, zero, sizeof zero);
		b.p[bit / 8] = (char)(b.p[bit / 8] ^ 1 << bit % 8);
	}
}

static void a_kept_context_does_what_the_one_shot_calls_do(void **state)
{
	struct secret k = key_of("0123456789");
	struct aead *a = NULL;
	assert_int_equal(aead_new(&k, &a), RC_OK);
	for (uint64_t n = 0; n < 300; n++) {
		char text[300];
		uint8_t sealed[400], plain[400];
		struct buf b AUTO(buf_done);
		buf_init(&b, 500);
		memset(text, (int)n, sizeof text);
		uint64_t nonce = n * 0x0123456789abcd;
		assert_int_equal(aead_seal_with(a, nonce, STR("a"), str_of(text, n), sealed), RC_OK);
		assert_int_equal(aead_seal(&k, nonce, STR("a"), str_of(text, n), &b), RC_OK);
		assert_memory_equal(sealed, b.p, n + TAG_LEN);
		sealed[n] ^= 1; /* a failed open leaves the context usable */
		assert_int_equal(aead_open_with(a, nonce, STR("a"), str_of(sealed, n + TAG_LEN), plain), RC_DAMAGED);
		sealed[n] ^= 1;
		assert_int_equal(aead_open_with(a, nonce, STR("a"), str_of(sealed, n + TAG_LEN), plain), RC_OK);
		assert_true(n == 0 || ct_eq(plain, text, n));
	}
	aead_free(&a);
	assert_null(a);
	aead_free(&a);
}

static void sealing_past_the_buffers_ceiling_is_a_limit_and_changes_nothing(void **state)
{
	struct secret k = { { 0 } };
	struct buf b AUTO(buf_done);
	buf_init(&b, 20);
	assert_int_equal(aead_seal(&k, 0, STR(""), STR("12345"), &b), RC_LIMIT);
	assert_int_equal(b.len, 0);
}

static void x25519_gives_rfc_7748_values(void **state)
{
	struct secret a = key_of("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"), s;
	struct str bob = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
	assert_int_equal(x25519(&a, (const uint8_t *)bob.p, &s), RC_OK);
	assert_hex(s.k, KEY_LEN, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	static const uint8_t small_order[PUB_LEN];
	assert_int_equal(x25519(&a, small_order, &s), RC_DAMAGED);
}

static void ed25519_gives_rfc_8032_signatures(void **state)
{
	struct secret k = key_of("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
	uint8_t pub[PUB_LEN], sig[64];
	assert_int_equal(ed25519_public(&k, pub), RC_OK);
	assert_hex(pub, sizeof pub, "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
	assert_int_equal(ed25519_sign(&k, hex("72"), sig), RC_OK);
	assert_hex(sig, sizeof sig,
	           "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
	assert_int_equal(ed25519_verify(pub, hex("72"), sig), RC_OK);
	assert_int_equal(ed25519_verify(pub, hex("73"), sig), RC_DAMAGED);
	sig[3] ^= 1;
	assert_int_equal(ed25519_verify(pub, hex("72"), sig), RC_DAMAGED);
}

static void what_is_sealed_to_a_key_opens_with_its_private_half_only(void **state)
{
	struct secret priv, other;
	uint8_t pub[PUB_LEN], other_pub[PUB_LEN];
	struct buf b AUTO(buf_done), c AUTO(buf_done);
	buf_init(&b, 1000);
	buf_init(&c, 1000);
	assert_int_equal(x25519_pair(&priv, pub), RC_OK);
	assert_int_equal(x25519_pair(&other, other_pub), RC_OK);
	assert_int_equal(seal_to(pub, STR("epoch 7"), STR("the key"), &b), RC_OK);
	assert_int_equal(b.len, 7 + SEAL_OVERHEAD);
	assert_int_equal(seal_open(&priv, pub, STR("epoch 7"), buf_str(&b), &c), RC_OK);
	assert_true(str_eq(buf_str(&c), STR("the key")));
	assert_int_equal(seal_open(&priv, pub, STR("epoch 8"), buf_str(&b), &c), RC_DAMAGED);
	assert_int_equal(seal_open(&other, other_pub, STR("epoch 7"), buf_str(&b), &c), RC_DAMAGED);
	assert_int_equal(seal_open(&priv, other_pub, STR("epoch 7"), buf_str(&b), &c), RC_DAMAGED);
	/* The top bit of a public key's last octet carries no meaning in X25519 (RFC 7748 5): here it is bound all the same. */
	for (size_t bit = 0; bit < b.len * 8; bit += 3) {
		b.p[bit / 8] = (char)(b.p[bit / 8] ^ 1 << bit % 8);
		assert_int_equal(seal_open(&priv, pub, STR("epoch 7"), buf_str(&b), &c), RC_DAMAGED);
		b.p[bit / 8] = (char)(b.p[bit / 8] ^ 1 << bit % 8);
	}
	b.p[PUB_LEN] = (char)(b.p[PUB_LEN] ^ 0x80);
	assert_int_equal(seal_open(&priv, pub, STR("epoch 7"), buf_str(&b), &c), RC_DAMAGED);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(seal_open(&priv, pub, STR("epoch 7"), str_of(b.p, n), &c), RC_DAMAGED);
}

static void argon2id_gives_the_rfc_9106_tag(void **state)
{
	char pw[32], salt[16], pepper[8], data[12];
	memset(pw, 1, sizeof pw);
	memset(salt, 2, sizeof salt);
	memset(pepper, 3, sizeof pepper);
	memset(data, 4, sizeof data);
	struct secret k;
	assert_int_equal(argon2id_keyed(str_of(pw, 32), str_of(salt, 16), str_of(pepper, 8), str_of(data, 12),
	                                (struct argon2_cost){ 32, 3, 4 }, &k), RC_OK);
	assert_hex(k.k, KEY_LEN, "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
}

static void argon2id_without_extras_gives_the_reference_codes_tag(void **state)
{
	struct secret k;
	assert_int_equal(argon2id(STR("password"), STR("somesalt"), (struct argon2_cost){ 256, 2, 1 }, &k), RC_OK);
	assert_hex(k.k, KEY_LEN, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe");
	assert_int_equal(argon2id(STR("password"), STR("short"), argon2_default, &k), RC_LIMIT);
	assert_true(argon2_default.memory_kib >= 19 * 1024 && argon2_default.passes >= 2);
}

static void long_lived_secrets_come_zeroed(void **state)
{
	struct secret *s = secret_new(), zero = { { 0 } };
	assert_non_null(s);
	assert_memory_equal(s->k, zero.k, KEY_LEN);
	assert_int_equal(random_bytes(s->k, KEY_LEN), RC_OK);
	assert_false(ct_eq(s->k, zero.k, KEY_LEN));
	secret_free(&s);
	assert_null(s);
	secret_free(&s);
}

static void *other_thread(void *arg)
{
	uint8_t h[HASH_LEN];
	*(enum rc *)arg = sha256(STR("abc"), h);
	return NULL; /* what the thread cached is freed at its end: LeakSanitizer watches */
}

static void a_thread_that_ends_takes_its_cache_with_it(void **state)
{
	for (int i = 0; i < 3; i++) {
		pthread_t t;
		enum rc rc = RC_IO;
		assert_int_equal(pthread_create(&t, NULL, other_thread, &rc), 0);
		assert_int_equal(pthread_join(t, NULL), 0);
		assert_int_equal(rc, RC_OK);
	}
}

static void running_out_of_memory_is_an_answer(void **state)
{
	struct secret k = { { 0 } };
	struct aead *a = NULL;
	for (long at = 0; at < 4; at++) {
		struct buf b AUTO(buf_done);
		buf_init(&b, 100);
		crypto_thread_done();
		mem_count = 0;
		mem_fail_at = at;
		enum rc rc = aead_seal(&k, 0, STR(""), STR("x"), &b);
		mem_fail_at = -1;
		assert_int_equal(rc, at < 2 ? RC_NOMEM : RC_OK); /* the buffer, the thread's cache, and then it works */
	}
	mem_count = 0;
	mem_fail_at = 0;
	enum rc rc = aead_new(&k, &a);
	mem_fail_at = -1;
	assert_int_equal(rc, RC_NOMEM);
	assert_null(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_gives_fips_180_digests),
		cmocka_unit_test(hmac_gives_rfc_4231_tags),
		cmocka_unit_test(hkdf_gives_rfc_5869_keys),
		cmocka_unit_test(siphash_gives_its_authors_vectors),
		cmocka_unit_test(gcm_gives_the_specifications_test_cases_13_and_14),
		cmocka_unit_test(a_sealed_run_opens_with_the_same_key_nonce_and_context_only),
		cmocka_unit_test(every_flipped_bit_is_noticed_and_no_plain_byte_comes_out),
		cmocka_unit_test(a_kept_context_does_what_the_one_shot_calls_do),
		cmocka_unit_test(sealing_past_the_buffers_ceiling_is_a_limit_and_changes_nothing),
		cmocka_unit_test(x25519_gives_rfc_7748_values),
		cmocka_unit_test(ed25519_gives_rfc_8032_signatures),
		cmocka_unit_test(what_is_sealed_to_a_key_opens_with_its_private_half_only),
		cmocka_unit_test(argon2id_gives_the_rfc_9106_tag),
		cmocka_unit_test(argon2id_without_extras_gives_the_reference_codes_tag),
		cmocka_unit_test(long_lived_secrets_come_zeroed),
		cmocka_unit_test(a_thread_that_ends_takes_its_cache_with_it),
		cmocka_unit_test(running_out_of_memory_is_an_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
