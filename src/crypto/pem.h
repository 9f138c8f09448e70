#pragma once
#include "base/str.h"
#include "base/why.h"
#include <openssl/x509.h>

/* PEM text to OpenSSL's objects, for the files of src/crypto. */
enum { PEM_MAX = 128 * 1024, CHAIN_MAX = 10 };
/* Leaf first; RC_SYNTAX, or RC_LIMIT past CHAIN_MAX certificates or PEM_MAX octets. */
MUST_USE enum rc pem_chain(struct str pem, STACK_OF(X509) **out, struct why *why);
MUST_USE enum rc pem_private(struct str pem, EVP_PKEY **out, struct why *why); /* of a kind below; RC_SYNTAX, RC_DENIED */
enum pkey_kind { PKEY_OTHER, PKEY_P256, PKEY_P384, PKEY_RSA };
enum pkey_kind pkey_kind(EVP_PKEY *k); /* RSA: of 2048 to 4096 bits */
extern const char pkey_kinds[];        /* which these are, in words */
void x509_stack_free(STACK_OF(X509) **s);
void x509_free(X509 **x);
void pkey_free(EVP_PKEY **k);
