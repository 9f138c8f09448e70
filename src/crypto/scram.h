#pragma once
#include "crypto/crypto.h"

/* The arithmetic of SCRAM-SHA-256 (RFC 5802 3, RFC 7677), for both sides. The messages themselves are smtp's. Every call: RC_OK or RC_NOMEM; more where said.
 * Passwords are taken as they are: whoever wants SASLprep (RFC 4013) has done it. */
enum { SCRAM_ITERATIONS_MIN = 4096, SCRAM_ITERATIONS_MAX = 1000000 };

/* SaltedPassword := Hi(password, salt, i). RC_LIMIT: iterations outside 1 .. SCRAM_ITERATIONS_MAX. 4,096 take some milliseconds: a worker's work. */
MUST_USE enum rc scram_salted(struct str password, struct str salt, uint32_t iterations, struct secret *out);
/* ClientKey, StoredKey := H(ClientKey), ServerKey. A server keeps the last two. */
struct scram_keys { struct secret client, server; uint8_t stored[HASH_LEN]; };
void scram_keys_done(struct scram_keys *k); /* wipes; works with AUTO() */
MUST_USE enum rc scram_keys_of(const struct secret *salted, struct scram_keys *out);
/* ClientProof := ClientKey XOR HMAC(StoredKey, AuthMessage). */
MUST_USE enum rc scram_proof(const struct scram_keys *k, struct str auth_message, uint8_t out[HASH_LEN]);
/* The server's check: gives ClientKey back out of a proof; RC_DENIED where its hash is not `stored`. */
MUST_USE enum rc scram_check(const uint8_t stored[HASH_LEN], struct str auth_message, const uint8_t proof[HASH_LEN], struct secret *out_client_key);
/* ServerSignature := HMAC(ServerKey, AuthMessage). */
MUST_USE enum rc scram_signature(const struct secret *server_key, struct str auth_message, uint8_t out[HASH_LEN]);
