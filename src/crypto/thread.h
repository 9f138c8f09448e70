#pragma once
#include <openssl/err.h>
#include <openssl/evp.h>

/* What a thread keeps between calls, since fetching an algorithm costs more than using it. Inside src/crypto only. Nothing that
 * uses it suspends a fiber, so one set per thread is enough. */
struct crypto_thread {
	EVP_CIPHER *aes;        /* AES-256-GCM */
	EVP_MD *sha256;
	EVP_CIPHER_CTX *aead;   /* scratch: rekeyed by each one-shot call */
	EVP_MD_CTX *digest;
	EVP_MAC_CTX *hmac;
};
/* NULL: no memory. Also empties OpenSSL's error queue, so that what is found there after a call belongs to that call. */
struct crypto_thread *crypto_thread(void);

/* Empties OpenSSL's error queue. ERR_clear_error() frees three strings in each of 16 slots, also when there is nothing: 0.2 us, several times for
 * each row that is read. */
static inline void errors_clear(void)
{
	if (ERR_peek_error())
		ERR_clear_error();
}
