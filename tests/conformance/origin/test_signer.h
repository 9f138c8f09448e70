#pragma once
#include "origin/dkim.h"
#include <openssl/evp.h>

/* A private key in the open, for tests only: in the server it lies in the vault. */
struct test_signer {
	EVP_PKEY *key;
	struct dkim_key_ref ref;
};
/* `key`: PEM, or the base64 of an Ed25519 seed. False: neither. */
bool test_signer_init(struct test_signer *s, struct str domain, struct str selector, struct str key);
void test_signer_done(struct test_signer *s);
/* The key record to publish. */
void test_signer_record(const struct test_signer *s, struct buf *out);
