/* EC_KEY_METHOD is deprecated in OpenSSL 3 in favour of a provider. It is used here because a method is fifty lines and a provider
 * five hundred, and because it calls us on the caller's own stack: the fiber may suspend inside. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/tls_internal.h"

#include "base/mem.h"
#include "crypto/pem.h"
#include <openssl/ec.h>
#include <openssl/err.h>
#include <pthread.h>

/* What an EC_KEY of ours carries in its ex_data: whom to ask, for which key. Goes with the key, so a reload breaks no handshake. */
struct asked { const struct tls_key_hook *hook; uint64_t key_id; };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int slot = -1;
static EC_KEY_METHOD *method; /* a table of constants, made once per process */

static void asked_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp) { mem_free(ptr); }

static int sign(int type, const unsigned char *digest, int n, unsigned char *out, unsigned int *out_n, const BIGNUM *kinv,
                const BIGNUM *r, EC_KEY *key)
{
	struct asked *a = EC_KEY_get_ex_data(key, slot);
	struct buf b AUTO(buf_done);
	int room = ECDSA_size(key);
	buf_init(&b, room > 0 ? (size_t)room : 0);
	if (!a || n < 0)
		return 0;
	enum rc rc = a->hook->sign(a->hook->house, a->key_id, str_of(digest, (size_t)n), &b); /* may suspend */
	ERR_clear_error(); /* other fibers ran: what is queued now is theirs */
	if (rc != RC_OK || b.failed || b.len == 0 || b.len > (size_t)room)
		return 0;
	memcpy(out, b.p, b.len);
	*out_n = (unsigned)b.len;
	return 1;
}

static void make_method(void)
{
	slot = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, asked_free);
	EC_KEY_METHOD *m = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
	if (m)
		EC_KEY_METHOD_set_sign(m, sign, NULL, NULL);
	method = m;
}

/* OpenSSL has no owner for a method but us. */
__attribute__((destructor)) static void drop_method(void)
{
	if (method)
		EC_KEY_METHOD_free(method);
	method = NULL;
}

enum rc tls_hook_key(X509 *leaf, const struct tls_key_hook *hook, uint64_t key_id, EVP_PKEY **out, struct why *why)
{
	ERR_clear_error();
	pthread_once(&once, make_method);
	if (slot < 0 || !method)
		return RC_NOMEM;
	EVP_PKEY *public AUTO(pkey_free) = X509_get_pubkey(leaf);
	if (!public || !pkey_is_p256(public)) {
		ERR_clear_error();
		FAIL(why, RC_SYNTAX, "the certificate's key is not ECDSA P-256");
	}
	EC_KEY *borrowed = EVP_PKEY_get1_EC_KEY(public);
	EC_KEY *ec = borrowed ? EC_KEY_dup(borrowed) : NULL; /* ours alone: the other is the certificate's own */
	EC_KEY_free(borrowed);
	EVP_PKEY *key AUTO(pkey_free) = EVP_PKEY_new();
	struct asked *a = mem_new(sizeof *a);
	if (!a || !ec || !key || EC_KEY_set_ex_data(ec, slot, a) != 1) {
		mem_free(a);
		EC_KEY_free(ec);
		return RC_NOMEM;
	}
	*a = (struct asked){ hook, key_id }; /* owned by `ec` now */
	/* The method before the key is assigned: OpenSSL looks then whether it may hand the key to a provider. */
	if (EC_KEY_set_method(ec, method) != 1 || EVP_PKEY_assign_EC_KEY(key, ec) != 1) {
		EC_KEY_free(ec);
		return RC_NOMEM;
	}
	*out = key;
	key = NULL;
	return RC_OK;
}
