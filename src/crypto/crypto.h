#pragma once
#include "base/buf.h"
#include "base/str.h"
#include "base/why.h"
#include <stdbool.h>
#include <stdint.h>

/* The small set of primitives the house uses, over OpenSSL 3 and libargon2. Contexts that are costly to make are cached
 * per thread. Every failure of the library itself is RC_NOMEM; a wrong tag or signature is RC_DAMAGED. Secrets live in
 * struct secret (locked, not dumpable pages where many live long; wiped by secret_done). */
enum { KEY_LEN = 32, TAG_LEN = 16, NONCE_LEN = 12, HASH_LEN = 32, PUB_LEN = 32 };

struct secret { uint8_t k[KEY_LEN]; };   /* no log or trace function takes this type */
void secret_done(struct secret *s);      /* wipes; works with AUTO() */
static inline struct str secret_str(const struct secret *s) { return str_of(s->k, KEY_LEN); } /* key material for hkdf() */
/* Secrets that live long: locked pages, left out of core dumps, zeroed at birth and wiped at death. NULL: no room (256 KiB a
 * process). Where the kernel refuses to lock (RLIMIT_MEMLOCK), the pages are still kept out of dumps. */
struct secret *secret_new(void);
void secret_free(struct secret **s);

/* Gives back what this thread has cached. For threads that end before the process, which do it by themselves, and for the end of
 * main(); the next call makes it again. */
void crypto_thread_done(void);

MUST_USE enum rc random_bytes(void *p, size_t n);
bool ct_eq(const void *a, const void *b, size_t n); /* constant time */

MUST_USE enum rc sha256(struct str in, uint8_t out[HASH_LEN]);
MUST_USE enum rc hmac_sha256(const struct secret *key, struct str in, uint8_t out[HASH_LEN]);
/* HKDF-SHA-256 (RFC 5869): out = HKDF(ikm, salt, info), KEY_LEN octets. */
MUST_USE enum rc hkdf(struct str ikm, struct str salt, struct str info, struct secret *out);
/* Fast keyed hash for tables and bloom filters of secret content: SipHash-2-4. Not a MAC for storage. */
uint64_t siphash(const uint8_t key[16], struct str in);

/* AES-256-GCM. `nonce` is a 96-bit counter value that the caller never repeats under one key. `aad` is the immutable
 * context. Output = ciphertext || tag, in.n + TAG_LEN octets appended to `out`. */
MUST_USE enum rc aead_seal(const struct secret *key, uint64_t nonce, struct str aad, struct str in, struct buf *out);
MUST_USE enum rc aead_open(const struct secret *key, uint64_t nonce, struct str aad, struct str in, struct buf *out);
/* The same into the caller's memory, for the hot read path; `out` has in.n - TAG_LEN octets. */
MUST_USE enum rc aead_open_into(const struct secret *key, uint64_t nonce, struct str aad, struct str in, uint8_t *out);
/* A key schedule kept over many calls (one epoch key, hundreds of records). */
struct aead;
MUST_USE enum rc aead_new(const struct secret *key, struct aead **out);
void aead_rekey(struct aead *a, const struct secret *key);             /* another key from now on; copied */
void aead_free(struct aead **a);
MUST_USE enum rc aead_seal_with(struct aead *a, uint64_t nonce, struct str aad, struct str in, uint8_t *out);
MUST_USE enum rc aead_open_with(struct aead *a, uint64_t nonce, struct str aad, struct str in, uint8_t *out);

/* Sealing to a public key: ephemeral X25519, HKDF over both public keys, AES-256-GCM (HPKE's base mode in shape, RFC 9180;
 * our own fixed suite, versioned by its first octet). Output is in.n + SEAL_OVERHEAD octets. */
enum { SEAL_OVERHEAD = 1 + PUB_LEN + TAG_LEN };
MUST_USE enum rc x25519_pair(struct secret *out_private, uint8_t out_public[PUB_LEN]);
MUST_USE enum rc seal_to(const uint8_t public_key[PUB_LEN], struct str context, struct str in, struct buf *out);
MUST_USE enum rc seal_open(const struct secret *private_key, const uint8_t public_key[PUB_LEN], struct str context,
                           struct str in, struct buf *out);

/* Argon2id (RFC 9106). Runs 20-60 ms: call it through worker_run(). */
struct argon2_cost { uint32_t memory_kib, passes, lanes; };
extern const struct argon2_cost argon2_default; /* 19 MiB, t = 2, p = 1 */
MUST_USE enum rc argon2id(struct str password, struct str salt, struct argon2_cost cost, struct secret *out);
/* The same with the RFC's optional inputs: a secret value (pepper) and associated data. */
MUST_USE enum rc argon2id_keyed(struct str password, struct str salt, struct str pepper, struct str data, struct argon2_cost cost,
                                struct secret *out);

/* Ed25519 (RFC 8032): `key` is the 32-octet seed. */
MUST_USE enum rc ed25519_public(const struct secret *key, uint8_t out_public[PUB_LEN]);
MUST_USE enum rc ed25519_sign(const struct secret *key, struct str in, uint8_t out[64]);
MUST_USE enum rc ed25519_verify(const uint8_t public_key[PUB_LEN], struct str in, const uint8_t signature[64]); /* RC_DAMAGED */
/* X25519 (RFC 7748) alone. RC_DAMAGED: the result is all zero (a point of small order). */
MUST_USE enum rc x25519(const struct secret *private_key, const uint8_t public_key[PUB_LEN], struct secret *out);
/* One private key for many seals: half the price of seal_open() each. It holds the key until unsealer_free(). */
struct unsealer;
MUST_USE enum rc unsealer_new(const struct secret *private_key, const uint8_t public_key[PUB_LEN], struct unsealer **out);
MUST_USE enum rc unsealer_open(struct unsealer *u, struct str context, struct str in, struct buf *out); /* as seal_open() */
void unsealer_free(struct unsealer **u);
