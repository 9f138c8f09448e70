/* A key record as a stranger publishes it, and a signature under it. */
#include "fuzz_dkim_kit.h"
#include "origin/dkim_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t digest[32] = { 1 };
	static const char signature[64] = { 2 };
	const struct dkim_key *k;
	struct why why;
	enum rc rc = dkim_key_get(str_of(data, size), &k, &why);
	assert(rc == RC_OK || rc == RC_SYNTAX || rc == RC_NOTFOUND || rc == RC_DENIED);
	if (rc != RC_OK)
		return 0;
	assert(k->kind == DKIM_ED25519 ? k->bits == 256 : k->bits >= 512 && k->bits <= DKIM_KEY_MAX_BITS);
	/* an RSA modulus of the input's choosing may be anything, also one of two small primes: but not of so short a signature */
	rc = dkim_key_verify(k, DKIM_SHA256, digest, str_of(signature, k->kind == DKIM_RSA ? 63 : 64));
	assert(rc == RC_DAMAGED);
	return 0;
}
