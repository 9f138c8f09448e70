#include "crypto/scram.h"

#include "base/mem.h"
#include "crypto/thread.h"
#include <limits.h>

enum rc scram_salted(struct str password, struct str salt, uint32_t iterations, struct secret *out)
{
	if (iterations == 0 || iterations > SCRAM_ITERATIONS_MAX || password.n > INT_MAX || salt.n > INT_MAX)
		return RC_LIMIT;
	errors_clear();
	int ok = PKCS5_PBKDF2_HMAC(password.p, (int)password.n, (const unsigned char *)salt.p, (int)salt.n, (int)iterations, EVP_sha256(), KEY_LEN, out->k);
	return ok == 1 ? RC_OK : RC_NOMEM;
}

void scram_keys_done(struct scram_keys *k) { mem_wipe(k, sizeof *k); }

enum rc scram_keys_of(const struct secret *salted, struct scram_keys *out)
{
	TRY(hmac_sha256(salted, STR("Client Key"), out->client.k));
	TRY(hmac_sha256(salted, STR("Server Key"), out->server.k));
	return sha256(secret_str(&out->client), out->stored);
}

/* HMAC(StoredKey, AuthMessage) */
static enum rc client_signature(const uint8_t stored[HASH_LEN], struct str auth_message, uint8_t out[HASH_LEN])
{
	struct secret key AUTO(secret_done) = { { 0 } };
	memcpy(key.k, stored, HASH_LEN);
	return hmac_sha256(&key, auth_message, out);
}

enum rc scram_proof(const struct scram_keys *k, struct str auth_message, uint8_t out[HASH_LEN])
{
	uint8_t signature[HASH_LEN];
	TRY(client_signature(k->stored, auth_message, signature));
	for (size_t i = 0; i < HASH_LEN; i++)
		out[i] = k->client.k[i] ^ signature[i];
	return RC_OK;
}

enum rc scram_check(const uint8_t stored[HASH_LEN], struct str auth_message, const uint8_t proof[HASH_LEN], struct secret *out_client_key)
{
	struct secret key AUTO(secret_done) = { { 0 } };
	uint8_t signature[HASH_LEN], hash[HASH_LEN];
	TRY(client_signature(stored, auth_message, signature));
	for (size_t i = 0; i < HASH_LEN; i++)
		key.k[i] = proof[i] ^ signature[i];
	TRY(sha256(secret_str(&key), hash));
	if (!ct_eq(hash, stored, HASH_LEN))
		return RC_DENIED;
	*out_client_key = key;
	return RC_OK;
}

enum rc scram_signature(const struct secret *server_key, struct str auth_message, uint8_t out[HASH_LEN])
{
	return hmac_sha256(server_key, auth_message, out);
}
