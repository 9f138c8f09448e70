#include "crypto/pem.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>

void x509_free(X509 **x) { X509_free(*x); }
void pkey_free(EVP_PKEY **k) { EVP_PKEY_free(*k); }
void x509_stack_free(STACK_OF(X509) **s) { sk_X509_pop_free(*s, X509_free); }
static void bio_free(BIO **b) { BIO_free(*b); }

/* OpenSSL would ask on the terminal otherwise. */
static int no_passphrase(char *p, int n, int rw, void *arg)
{
	*(bool *)arg = true;
	return -1;
}

const char pkey_kinds[] = "ECDSA P-256 or P-384, or RSA of 2048 to 4096 bits";

enum pkey_kind pkey_kind(EVP_PKEY *k)
{
	char name[32] = "";
	size_t n = 0;
	if (EVP_PKEY_is_a(k, "RSA"))
		return EVP_PKEY_get_bits(k) >= 2048 && EVP_PKEY_get_bits(k) <= 4096 ? PKEY_RSA : PKEY_OTHER;
	if (!EVP_PKEY_is_a(k, "EC") || EVP_PKEY_get_group_name(k, name, sizeof name, &n) != 1)
		return PKEY_OTHER;
	return strcmp(name, "prime256v1") == 0 ? PKEY_P256 : strcmp(name, "secp384r1") == 0 ? PKEY_P384 : PKEY_OTHER;
}

enum rc pem_chain(struct str pem, STACK_OF(X509) **out, struct why *why)
{
	ERR_clear_error();
	if (pem.n > PEM_MAX)
		FAIL(why, RC_LIMIT, "certificate chain of %zu octets, at most %d", pem.n, PEM_MAX);
	BIO *b AUTO(bio_free) = BIO_new_mem_buf(pem.p, (int)pem.n);
	STACK_OF(X509) *chain AUTO(x509_stack_free) = sk_X509_new_null();
	if (!b || !chain)
		return RC_NOMEM;
	for (;;) {
		bool asked = false;
		X509 *x = PEM_read_bio_X509(b, NULL, no_passphrase, &asked);
		if (!x)
			break;
		if (sk_X509_num(chain) >= CHAIN_MAX) {
			X509_free(x);
			FAIL(why, RC_LIMIT, "certificate chain longer than %d", CHAIN_MAX);
		}
		if (sk_X509_push(chain, x) <= 0) {
			X509_free(x);
			return RC_NOMEM;
		}
	}
	unsigned long e = ERR_peek_last_error();
	ERR_clear_error();
	if (ERR_GET_LIB(e) != ERR_LIB_PEM || ERR_GET_REASON(e) != PEM_R_NO_START_LINE)
		FAIL(why, RC_SYNTAX, "certificate %d of the chain does not parse", sk_X509_num(chain) + 1);
	if (sk_X509_num(chain) == 0)
		FAIL(why, RC_SYNTAX, "no certificate in PEM form");
	*out = chain;
	chain = NULL;
	return RC_OK;
}

enum rc pem_private(struct str pem, EVP_PKEY **out, struct why *why)
{
	ERR_clear_error();
	if (pem.n > PEM_MAX)
		FAIL(why, RC_LIMIT, "private key of %zu octets, at most %d", pem.n, PEM_MAX);
	BIO *b AUTO(bio_free) = BIO_new_mem_buf(pem.p, (int)pem.n);
	if (!b)
		return RC_NOMEM;
	bool asked = false;
	EVP_PKEY *k AUTO(pkey_free) = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, &asked);
	ERR_clear_error();
	if (asked)
		FAIL(why, RC_DENIED, "the private key is under a passphrase");
	if (!k)
		FAIL(why, RC_SYNTAX, "no private key in PEM form");
	if (pkey_kind(k) == PKEY_OTHER)
		FAIL(why, RC_DENIED, "the private key is not %s", pkey_kinds);
	*out = k;
	k = NULL;
	return RC_OK;
}
