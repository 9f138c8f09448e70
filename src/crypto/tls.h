#pragma once
#include "base/buf.h"
#include "crypto/crypto.h"
#include "os/stream.h"

/* TLS server side for streams. The private key is not here: each handshake asks `sign`, which may suspend the fiber
 * (the vault answers). TLS 1.2 and 1.3 only; session tickets under keys handed in by the vault.
 * Keys: ECDSA P-256 and P-384, RSA of 2048 to 4096 bits (signatures only: no key exchange ever decrypts). */
struct tls_server;

/* What is to be signed, and how. Whoever holds the key takes a digest and does the padding itself, so that nothing but these can be
 * had from it: a raw RSA operation would decrypt, and forge anything. */
enum tls_scheme {
	TLS_ECDSA = 1,                                                      /* over a digest of 32, 48 or 64 octets; DER */
	TLS_RSA_PSS_SHA256, TLS_RSA_PSS_SHA384, TLS_RSA_PSS_SHA512,         /* salt as long as the digest */
	TLS_RSA_PKCS1_SHA256, TLS_RSA_PKCS1_SHA384, TLS_RSA_PKCS1_SHA512,   /* TLS 1.2 */
	TLS_SCHEMES,
};
enum { TLS_SIGNATURE_MAX = 512 };
struct tls_key_hook {
	void *house;
	enum rc (*sign)(void *house, uint64_t key_id, enum tls_scheme scheme, struct str digest, struct buf *out_signature);
};
MUST_USE enum rc tls_server_new(const struct tls_key_hook *hook, struct tls_server **out, struct why *why);
void tls_server_free(struct tls_server **t);
/* A certificate chain (PEM, leaf first) whose private half the hook knows as `key_id`. May be called again for a reload:
 * new handshakes take the new chain, running ones finish with the old. The first one is used without SNI. */
MUST_USE enum rc tls_server_chain(struct tls_server *t, uint64_t key_id, struct str pem, struct why *why);
/* Whether tls_server_chain() would take it, asked before anything is replaced. */
MUST_USE enum rc tls_chain_check(struct str pem, struct why *why);
/* Is the leaf valid at this time (s since 1970)? RC_LATE: it is not valid any more, or not yet; `why` has the date. Servers serve it all the same:
 * most others would rather have that than no TLS. */
MUST_USE enum rc tls_chain_valid(struct str pem, int64_t at, struct why *why);
void tls_server_clear(struct tls_server *t); /* forget all chains before loading a new set */
/* Ticket keys, newest first: 48 octets each (16 name, 32 key). */
void tls_server_tickets(struct tls_server *t, struct str keys);
bool tls_server_ready(const struct tls_server *t); /* there is a chain: worth offering TLS */
/* What a stream needs; lives as long as the server. */
const struct tls_provider *tls_server_provider(struct tls_server *t);

/* For the vault and the demo: keys, signatures, and a small CA. PEM in and out. */
MUST_USE enum rc tls_key_make(struct buf *out_private_pem); /* P-256 */
MUST_USE enum rc tls_key_sign(struct str private_pem, enum tls_scheme scheme, struct str digest, struct buf *out_signature, struct why *why);
MUST_USE enum rc tls_key_fits(struct str private_pem, struct str chain_pem, struct why *why); /* RC_DENIED: not a pair */
/* The key kept ready for use, its private number in locked memory: what a process signs with all day. Never one under a passphrase,
 * and never one whose halves do not fit (RC_DENIED with the reason). */
struct tls_key;
MUST_USE enum rc tls_key_load(struct str private_pem, struct tls_key **out, struct why *why);
void tls_key_free(struct tls_key **k);
struct tls_key *tls_key_share(struct tls_key *k); /* one more owner, also in another thread; NULL: no memory */
bool tls_key_is_slow(const struct tls_key *k);    /* a signature takes a good part of a millisecond: a worker's work */
/* RC_SYNTAX: not a scheme for this kind of key, or not a digest of the scheme's length. Any thread. */
MUST_USE enum rc tls_key_sign_with(struct tls_key *k, enum tls_scheme scheme, struct str digest, struct buf *out_signature);
/* First 8 octets of SHA-256 over the public key: the same key has the same id in every process and after every restart. */
MUST_USE enum rc tls_key_id(const struct tls_key *k, uint64_t *out_id);
MUST_USE enum rc tls_ca_make(struct str ca_private_pem, const char *name, struct buf *out_cert_pem, struct why *why);
/* A leaf for these DNS names and IP addresses (comma-separated), 90 days. */
MUST_USE enum rc tls_leaf_make(struct str ca_private_pem, struct str ca_cert_pem, struct str leaf_private_pem,
                               const char *names, struct buf *out_cert_pem, struct why *why);
