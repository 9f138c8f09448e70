#include "crypto/tls.h"

#include "base/mem.h"
#include "crypto/pem.h"
#include "crypto/thread.h"
#include <openssl/err.h>
#include <openssl/pem.h>

struct tls_key { EVP_PKEY *key; };

static void pctx_free(EVP_PKEY_CTX **c) { EVP_PKEY_CTX_free(*c); }
static void bio_free(BIO **b) { BIO_free(*b); }

enum rc tls_key_make(struct buf *out_private_pem)
{
	ERR_clear_error();
	EVP_PKEY *k AUTO(pkey_free) = EVP_EC_gen("P-256");
	BIO *b AUTO(bio_free) = BIO_new(BIO_s_secmem());
	char *p = NULL;
	if (!k || !b || PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL) != 1)
		return RC_NOMEM;
	long n = BIO_get_mem_data(b, &p);
	buf_add(out_private_pem, str_of(p, n > 0 ? (size_t)n : 0));
	return out_private_pem->failed ? RC_NOMEM : RC_OK;
}

enum rc tls_key_load(struct str private_pem, struct tls_key **out, struct why *why)
{
	/* The first secret_new() of a process opens the locked heap, in which OpenSSL then puts private numbers. */
	struct secret *open_heap = secret_new();
	secret_free(&open_heap);
	EVP_PKEY *k AUTO(pkey_free) = NULL;
	TRY(pem_private(private_pem, &k, why));
	struct tls_key *t = mem_new(sizeof *t);
	if (!t)
		return RC_NOMEM;
	t->key = k;
	k = NULL;
	*out = t;
	return RC_OK;
}

void tls_key_free(struct tls_key **k)
{
	if (*k)
		EVP_PKEY_free((*k)->key);
	mem_free(*k);
	*k = NULL;
}

enum rc tls_key_sign_with(struct tls_key *k, struct str digest, struct buf *out_signature)
{
	ERR_clear_error();
	if (digest.n < 20 || digest.n > 64)
		return RC_SYNTAX;
	EVP_PKEY_CTX *c AUTO(pctx_free) = EVP_PKEY_CTX_new(k->key, NULL);
	uint8_t sig[80];
	size_t n = sizeof sig;
	if (!c || EVP_PKEY_sign_init(c) != 1 || EVP_PKEY_sign(c, sig, &n, (const uint8_t *)digest.p, digest.n) != 1)
		return RC_NOMEM;
	buf_add(out_signature, str_of(sig, n));
	return out_signature->failed ? RC_NOMEM : RC_OK;
}

static void key_free(struct tls_key **k) { tls_key_free(k); }

enum rc tls_key_sign(struct str private_pem, struct str digest, struct buf *out_signature, struct why *why)
{
	struct tls_key *k AUTO(key_free) = NULL;
	TRY(tls_key_load(private_pem, &k, why));
	enum rc rc = tls_key_sign_with(k, digest, out_signature);
	if (rc == RC_SYNTAX)
		FAIL(why, rc, "a digest of %zu octets", digest.n);
	return rc;
}

enum rc tls_key_id(const struct tls_key *k, uint64_t *out_id)
{
	ERR_clear_error();
	uint8_t *der = NULL, h[HASH_LEN];
	int n = i2d_PUBKEY(k->key, &der);
	if (n <= 0)
		return RC_NOMEM;
	enum rc rc = sha256(str_of(der, (size_t)n), h);
	OPENSSL_free(der);
	TRY(rc);
	uint64_t id = 0;
	for (unsigned i = 0; i < 8; i++)
		id = id << 8 | h[i];
	*out_id = id;
	return RC_OK;
}

enum rc tls_key_fits(struct str private_pem, struct str chain_pem, struct why *why)
{
	EVP_PKEY *k AUTO(pkey_free) = NULL;
	STACK_OF(X509) *chain AUTO(x509_stack_free) = NULL;
	TRY(pem_private(private_pem, &k, why));
	TRY(pem_chain(chain_pem, &chain, why));
	int fits = X509_check_private_key(sk_X509_value(chain, 0), k);
	ERR_clear_error();
	if (fits != 1)
		FAIL(why, RC_DENIED, "the private key does not belong to the first certificate of the chain");
	return RC_OK;
}
