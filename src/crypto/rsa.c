#include "crypto/rsa.h"

#include "crypto/crypto.h"
#include "crypto/pem.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

enum { BITS = 2048 };

static void bio_free(BIO **b) { BIO_free(*b); }

enum rc rsa_pair(struct buf *out_private_pem, struct buf *out_public_der)
{
	ERR_clear_error();
	EVP_PKEY *k AUTO(pkey_free) = EVP_RSA_gen((size_t)BITS);
	BIO *b AUTO(bio_free) = BIO_new(BIO_s_secmem());
	uint8_t *der = NULL;
	char *p = NULL;
	if (!k || !b || PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL) != 1) {
		ERR_clear_error();
		return RC_NOMEM;
	}
	long n = BIO_get_mem_data(b, &p);
	int der_n = i2d_PUBKEY(k, &der);
	buf_add(out_private_pem, str_of(p, n > 0 ? (size_t)n : 0));
	buf_add(out_public_der, str_of(der, der_n > 0 ? (size_t)der_n : 0));
	OPENSSL_free(der);
	return n <= 0 || der_n <= 0 || out_private_pem->failed || out_public_der->failed ? RC_NOMEM : RC_OK;
}
