#include "crypto/crypto.h"

#include "crypto/thread.h"

enum rc sha256(struct str in, uint8_t out[HASH_LEN])
{
	struct crypto_thread *t = crypto_thread();
	if (!t || EVP_DigestInit_ex2(t->digest, t->sha256, NULL) != 1 || EVP_DigestUpdate(t->digest, in.p, in.n) != 1 ||
	    EVP_DigestFinal_ex(t->digest, out, NULL) != 1)
		return RC_NOMEM;
	return RC_OK;
}

/* HMAC over up to three parts; the key has 1 to any number of octets. */
static enum rc mac(struct str key, const struct str *part, size_t parts, uint8_t out[HASH_LEN])
{
	struct crypto_thread *t = crypto_thread();
	if (!t || EVP_MAC_init(t->hmac, (const unsigned char *)key.p, key.n, NULL) != 1)
		return RC_NOMEM;
	for (size_t i = 0; i < parts; i++)
		if (EVP_MAC_update(t->hmac, (const unsigned char *)part[i].p, part[i].n) != 1)
			return RC_NOMEM;
	size_t n = 0;
	return EVP_MAC_final(t->hmac, out, &n, HASH_LEN) == 1 && n == HASH_LEN ? RC_OK : RC_NOMEM;
}

enum rc hmac_sha256(const struct secret *key, struct str in, uint8_t out[HASH_LEN])
{
	return mac(str_of(key->k, KEY_LEN), &in, 1, out);
}

enum rc hkdf(struct str ikm, struct str salt, struct str info, struct secret *out)
{
	/* RFC 5869 2.2: "if not provided, [salt] is set to a string of HashLen zeros" */
	static const uint8_t zeros[HASH_LEN];
	struct secret prk AUTO(secret_done) = { { 0 } };
	TRY(mac(salt.n ? salt : str_of(zeros, sizeof zeros), &ikm, 1, prk.k));
	/* RFC 5869 2.3: T(1) = HMAC-Hash(PRK, T(0) | info | 0x01); one block is all we take. */
	struct str part[] = { info, STR("\x01") };
	return mac(str_of(prk.k, sizeof prk.k), part, 2, out->k);
}

/* ---- SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012) ---- */

static inline uint64_t rotl(uint64_t x, unsigned b) { return x << b | x >> (64 - b); }

static inline uint64_t le64(const uint8_t *p)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static inline void sip_rounds(uint64_t v[4], unsigned n)
{
	while (n--) {
		v[0] += v[1], v[1] = rotl(v[1], 13) ^ v[0], v[0] = rotl(v[0], 32);
		v[2] += v[3], v[3] = rotl(v[3], 16) ^ v[2];
		v[0] += v[3], v[3] = rotl(v[3], 21) ^ v[0];
		v[2] += v[1], v[1] = rotl(v[1], 17) ^ v[2], v[2] = rotl(v[2], 32);
	}
}

uint64_t siphash(const uint8_t key[16], struct str in)
{
	uint64_t k0 = le64(key), k1 = le64(key + 8);
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u };
	const uint8_t *p = (const uint8_t *)in.p;
	size_t words = in.n / 8;
	for (size_t i = 0; i < words; i++) {
		uint64_t m = le64(p + 8 * i);
		v[3] ^= m;
		sip_rounds(v, 2);
		v[0] ^= m;
	}
	uint64_t last = (uint64_t)in.n << 56;
	for (size_t i = 0; i < in.n % 8; i++)
		last |= (uint64_t)p[words * 8 + i] << (8 * i);
	v[3] ^= last;
	sip_rounds(v, 2);
	v[0] ^= last;
	v[2] ^= 0xff;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
