#include "crypto/tls.h"

#include "base/mem.h"
#include "crypto/pem.h"
#include "crypto/thread.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

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

/* ---- the only operation ---- */

/* RFC 8446 4.2.3 and RFC 5246 7.4.1.4.1: what may be asked of a key. There is no row without a padding, and no other operation. */
static const struct { int padding; size_t digest; const EVP_MD *(*md)(void); } schemes[TLS_SCHEMES] = {
	[TLS_RSA_PSS_SHA256] = { RSA_PKCS1_PSS_PADDING, 32, EVP_sha256 },
	[TLS_RSA_PSS_SHA384] = { RSA_PKCS1_PSS_PADDING, 48, EVP_sha384 },
	[TLS_RSA_PSS_SHA512] = { RSA_PKCS1_PSS_PADDING, 64, EVP_sha512 },
	[TLS_RSA_PKCS1_SHA256] = { RSA_PKCS1_PADDING, 32, EVP_sha256 },
	[TLS_RSA_PKCS1_SHA384] = { RSA_PKCS1_PADDING, 48, EVP_sha384 },
	[TLS_RSA_PKCS1_SHA512] = { RSA_PKCS1_PADDING, 64, EVP_sha512 },
};

static bool is_of(EVP_PKEY *k, enum tls_scheme s, struct str digest)
{
	bool rsa = pkey_kind(k) == PKEY_RSA;
	if (s == TLS_ECDSA)
		return !rsa && (digest.n == 32 || digest.n == 48 || digest.n == 64);
	return rsa && s > TLS_ECDSA && s < TLS_SCHEMES && digest.n == schemes[s].digest;
}

static bool pad(EVP_PKEY_CTX *c, enum tls_scheme s)
{
	return s == TLS_ECDSA ||
	       (EVP_PKEY_CTX_set_rsa_padding(c, schemes[s].padding) == 1 && EVP_PKEY_CTX_set_signature_md(c, schemes[s].md()) == 1 &&
	        (schemes[s].padding != RSA_PKCS1_PSS_PADDING ||
	         (EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(c, schemes[s].md()) == 1)));
}

static enum rc sign(EVP_PKEY *k, enum tls_scheme s, struct str digest, uint8_t *out, size_t *n)
{
	ERR_clear_error();
	if (!is_of(k, s, digest))
		return RC_SYNTAX;
	EVP_PKEY_CTX *c AUTO(pctx_free) = EVP_PKEY_CTX_new(k, NULL);
	bool ok = c && EVP_PKEY_sign_init(c) == 1 && pad(c, s) && EVP_PKEY_sign(c, out, n, (const uint8_t *)digest.p, digest.n) == 1;
	ERR_clear_error();
	return ok ? RC_OK : RC_NOMEM;
}

/* A file may hold a public half and numbers that do not belong to it (cut, edited, a bad export). A signature by such an RSA key can
 * give its factors away, so none is ever sent: one is made here and looked at. */
static enum rc halves_fit(EVP_PKEY *k, struct why *why)
{
	static const uint8_t digest[32] = "letterlock: do the halves fit?";
	uint8_t sig[TLS_SIGNATURE_MAX];
	size_t n = sizeof sig;
	enum tls_scheme s = pkey_kind(k) == PKEY_RSA ? TLS_RSA_PSS_SHA256 : TLS_ECDSA;
	bool ok = sign(k, s, str_of(digest, sizeof digest), sig, &n) == RC_OK;
	EVP_PKEY_CTX *c AUTO(pctx_free) = EVP_PKEY_CTX_new(k, NULL);
	ok = ok && c && EVP_PKEY_verify_init(c) == 1 && pad(c, s) && EVP_PKEY_verify(c, sig, n, digest, sizeof digest) == 1;
	ERR_clear_error();
	if (!ok)
		FAIL(why, RC_DENIED, "the private key is damaged: what it signs does not verify under its own public half");
	return RC_OK;
}

enum rc tls_key_load(struct str private_pem, struct tls_key **out, struct why *why)
{
	/* The first secret_new() of a process opens the locked heap, in which OpenSSL then puts private numbers. */
	struct secret *open_heap = secret_new();
	secret_free(&open_heap);
	EVP_PKEY *k AUTO(pkey_free) = NULL;
	TRY(pem_private(private_pem, &k, why));
	TRY(halves_fit(k, why));
	struct tls_key *t = mem_new(sizeof *t);
	if (!t)
		return RC_NOMEM;
	t->key = k;
	k = NULL;
	*out = t;
	return RC_OK;
}

struct tls_key *tls_key_share(struct tls_key *k)
{
	struct tls_key *t = mem_new(sizeof *t);
	if (t && EVP_PKEY_up_ref(k->key) == 1)
		t->key = k->key;
	else
		tls_key_free(&t);
	return t;
}

bool tls_key_is_slow(const struct tls_key *k) { return pkey_kind(k->key) != PKEY_P256; }

void tls_key_free(struct tls_key **k)
{
	if (*k)
		EVP_PKEY_free((*k)->key);
	mem_free(*k);
	*k = NULL;
}

enum rc tls_key_sign_with(struct tls_key *k, enum tls_scheme scheme, struct str digest, struct buf *out_signature)
{
	uint8_t sig[TLS_SIGNATURE_MAX];
	size_t n = sizeof sig;
	TRY(sign(k->key, scheme, digest, sig, &n));
	buf_add(out_signature, str_of(sig, n));
	return out_signature->failed ? RC_NOMEM : RC_OK;
}

static void key_free(struct tls_key **k) { tls_key_free(k); }

enum rc tls_key_sign(struct str private_pem, enum tls_scheme scheme, struct str digest, struct buf *out_signature, struct why *why)
{
	struct tls_key *k AUTO(key_free) = NULL;
	TRY(tls_key_load(private_pem, &k, why));
	enum rc rc = tls_key_sign_with(k, scheme, digest, out_signature);
	if (rc == RC_SYNTAX)
		FAIL(why, rc, "scheme %d over %zu octets is nothing that this key signs", (int)scheme, digest.n);
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
