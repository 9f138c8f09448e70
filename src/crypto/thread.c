#include "crypto/thread.h"

#include "base/mem.h"
#include "crypto/crypto.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit;
static bool have_key;
static _Thread_local struct crypto_thread *mine;

static void drop(void *arg)
{
	struct crypto_thread *t = arg;
	if (!t)
		return;
	EVP_CIPHER_CTX_free(t->aead);
	EVP_MD_CTX_free(t->digest);
	EVP_MAC_CTX_free(t->hmac);
	EVP_CIPHER_free(t->aes);
	EVP_MD_free(t->sha256);
	mem_free(t);
	mine = NULL;
}

static void make_key(void) { have_key = pthread_key_create(&at_exit, drop) == 0; }

static EVP_MAC_CTX *new_hmac(void)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *c = mac ? EVP_MAC_CTX_new(mac) : NULL;
	EVP_MAC_free(mac);
	char name[] = "SHA256";
	OSSL_PARAM p[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0), OSSL_PARAM_construct_end() };
	if (c && EVP_MAC_CTX_set_params(c, p) == 1)
		return c;
	EVP_MAC_CTX_free(c);
	return NULL;
}

struct crypto_thread *crypto_thread(void)
{
	errors_clear();
	if (mine)
		return mine;
	struct crypto_thread *t = mem_new(sizeof *t);
	if (!t)
		return NULL;
	t->aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	t->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	t->aead = EVP_CIPHER_CTX_new();
	t->digest = EVP_MD_CTX_new();
	t->hmac = new_hmac();
	pthread_once(&once, make_key);
	if (!t->aes || !t->sha256 || !t->aead || !t->digest || !t->hmac || !have_key || pthread_setspecific(at_exit, t) != 0) {
		drop(t);
		return NULL;
	}
	return mine = t;
}

void crypto_thread_done(void)
{
	if (mine)
		pthread_setspecific(at_exit, NULL);
	drop(mine);
}
