#include "test_signer.h"

#include "base/codec.h"
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static bool sign_rsa(EVP_PKEY *key, const uint8_t digest[32], struct buf *out)
{
	uint8_t sig[2048];
	size_t n = sizeof sig;
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
	bool ok = c && EVP_PKEY_sign_init(c) == 1 && EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) == 1 &&
	          EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) == 1 && EVP_PKEY_sign(c, sig, &n, digest, 32) == 1;
	EVP_PKEY_CTX_free(c);
	if (ok)
		buf_add(out, str_of(sig, n));
	return ok;
}

static bool sign_ed25519(EVP_PKEY *key, const uint8_t digest[32], struct buf *out)
{
	uint8_t sig[64];
	size_t n = sizeof sig;
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = c && EVP_DigestSignInit(c, NULL, NULL, NULL, key) == 1 && EVP_DigestSign(c, sig, &n, digest, 32) == 1;
	EVP_MD_CTX_free(c);
	if (ok)
		buf_add(out, str_of(sig, n));
	return ok;
}

static enum rc sign(void *house, const uint8_t digest[32], struct buf *out, struct why *why)
{
	struct test_signer *s = house;
	bool ok = s->ref.kind == DKIM_RSA ? sign_rsa(s->key, digest, out) : sign_ed25519(s->key, digest, out);
	if (!ok)
		FAIL(why, RC_NOMEM, "the test key does not sign");
	return RC_OK;
}

static EVP_PKEY *load(struct str key)
{
	if (str_starts(key, STR("-----BEGIN"))) {
		BIO *in = BIO_new_mem_buf(key.p, (int)key.n);
		EVP_PKEY *k = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
		BIO_free(in);
		return k;
	}
	struct buf seed;
	buf_init(&seed, 64);
	EVP_PKEY *k = NULL;
	if (base64_decode(str_trim(key), false, &seed) == RC_OK && seed.len == 32)
		k = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, (const uint8_t *)seed.p, 32);
	buf_done(&seed);
	return k;
}

bool test_signer_init(struct test_signer *s, struct str domain, struct str selector, struct str key)
{
	*s = (struct test_signer){ .key = load(key) };
	if (!s->key)
		return false;
	s->ref = (struct dkim_key_ref){ domain, selector, EVP_PKEY_is_a(s->key, "RSA") ? DKIM_RSA : DKIM_ED25519, sign, s };
	return true;
}

void test_signer_done(struct test_signer *s)
{
	EVP_PKEY_free(s->key);
	s->key = NULL;
}

void test_signer_record(const struct test_signer *s, struct buf *out)
{
	uint8_t raw[32], *der = NULL;
	size_t n = sizeof raw;
	if (s->ref.kind == DKIM_ED25519) {
		(void)EVP_PKEY_get_raw_public_key(s->key, raw, &n);
		dkim_key_record(DKIM_ED25519, str_of(raw, n), false, out);
		return;
	}
	int len = i2d_PUBKEY(s->key, &der);
	dkim_key_record(DKIM_RSA, str_of(der, len > 0 ? (size_t)len : 0), false, out);
	OPENSSL_free(der);
}
