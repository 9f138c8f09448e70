#pragma once
#include "base/arena.h"
#include "crypto/crypto.h"
#include "crypto/tls.h"
#include "os/loop.h"

/* Secrets and what is done with them (role `vault`). Everything in vault/ is sealed under the root key, which is not in the
 * data directory. Calls that hash a password suspend the fiber (a worker runs Argon2id, at most one per core). */
struct vault;
struct vault_options {
	const char *dir;                /* vault/ */
	struct secret root;             /* copied, locked */
	unsigned argon2_at_once;        /* 0 = number of cores */
	unsigned remember_ms;           /* verified passwords, default 600,000 */
	bool scram;                     /* keep SCRAM verifiers: vault_scram() */
	bool read_only;                 /* offline tools: no account is made or changed, and no lock is taken */
	/* The limiter: this many different (account, password) pairs may fail per client network within the window. */
	unsigned failures;              /* 0 = 10 */
	unsigned failures_window_ms;    /* 0 = 600,000 */
	unsigned networks_max;          /* 0 = 4,096 */
};
MUST_USE enum rc vault_open(struct loop *l, const struct vault_options *o, struct vault **out, struct why *why);
void vault_close(struct vault **v);
/* The root key from where the configuration says: "file:/path" (64 hex digits or 32 octets), "credential:NAME" ($CREDENTIALS_DIRECTORY),
 * or made there when it is missing and `make`. Never inside `data_dir` unless `demo`. */
MUST_USE enum rc root_key_load(const char *where, const char *data_dir, bool make, bool demo, struct secret *out, struct why *why);

/* ---- accounts ---- */
enum vault_mode { MODE_ORGANISATION, MODE_PRIVATE };
/* Makes id and key pair, wraps the private half under the password (Argon2id) and, in mode organisation, under the
 * organisation's key. */
MUST_USE enum rc vault_account_make(struct vault *v, enum vault_mode mode, struct str password, uint64_t *out_id,
                                    uint8_t out_public[PUB_LEN], struct str *out_recovery /* in `a`: shown once */, struct arena *a, struct why *why);
/* A new password by the administrator: possible only in mode organisation (RC_DENIED otherwise, use the recovery key). */
MUST_USE enum rc vault_password_set(struct vault *v, uint64_t id, struct str password, struct why *why);
MUST_USE enum rc vault_password_change(struct vault *v, uint64_t id, struct str old_password, struct str password, struct why *why);
MUST_USE enum rc vault_recover(struct vault *v, uint64_t id, struct str recovery_key, struct str password, struct why *why);
MUST_USE enum rc vault_account_drop(struct vault *v, uint64_t id, struct why *why); /* destroys wraps, rewrites the file compact */

/* Verifies and hands out the account's key pair. RC_DENIED: wrong (also for an unknown id: same time, same answer); RC_BUSY with
 * `why` when this client network must wait (limiter: distinct failures per network; a stranger cannot lock a user out), or when too
 * many logins wait already. id 0 = no such account; a caller that knows the name asked for better passes a keyed hash of it instead
 * of 0, so that guesses at different unknown names count as different. Remembered logins are answered before the limiter is asked. */
struct vault_login { uint64_t id; struct str password; uint8_t client_network[16]; struct str protocol; };
MUST_USE enum rc vault_login(struct vault *v, const struct vault_login *in, struct secret *out_private, uint8_t out_public[PUB_LEN], struct why *why);

/* ---- SCRAM-SHA-256 (RFC 5802, 7677) ---- off by default, and never for an account of mode private: a verifier is a cheaper target than Argon2id.
 * While it is on, setting a password also keeps a verifier; while it is off, setting one forgets it, and no verifier is used. */
void vault_scram(struct vault *v, bool on);
enum { VAULT_SCRAM_SALT = 16 };
/* For an id that has no verifier, or is nobody's: a salt that depends on `user` alone. */
MUST_USE enum rc vault_scram_begin(struct vault *v, uint64_t id, struct str user, uint8_t out_salt[VAULT_SCRAM_SALT], uint32_t *out_iterations, struct why *why);
/* Outcomes as those of vault_login(), and the same limiter. */
struct vault_scram { uint64_t id; struct str auth_message, proof; uint8_t client_network[16]; };
MUST_USE enum rc vault_scram_prove(struct vault *v, const struct vault_scram *in, uint8_t out_signature[HASH_LEN], struct why *why);

/* ---- keys that stay ---- */
/* TLS: loads chain + key from files (or the demo's CA), keeps the key, answers signatures. */
MUST_USE enum rc vault_tls_add(struct vault *v, struct str chain_pem, struct str key_pem, uint64_t *out_key_id, struct why *why);
/* Whether vault_tls_add() and every role would take the pair: asked for all pairs before vault_tls_clear(). */
MUST_USE enum rc vault_tls_check(struct str chain_pem, struct str key_pem, struct why *why);
size_t vault_tls_count(const struct vault *v);
void vault_tls_get(const struct vault *v, size_t i, uint64_t *out_key_id, struct str *out_chain_pem);
/* RC_SYNTAX: not a scheme for this key. Suspends where the key is slow (a worker pads and signs). */
MUST_USE enum rc vault_tls_sign(struct vault *v, uint64_t key_id, enum tls_scheme scheme, struct str digest, struct buf *out, struct why *why);
void vault_tls_clear(struct vault *v);           /* before a reload */
/* Session-ticket keys, newest first, 48 octets each, at most 3; rotated hourly. */
void vault_tickets(struct vault *v, struct buf *out);
/* A 16-octet key for keyed hashes of addresses and message ids (edge). */
void vault_hash_key(struct vault *v, uint8_t out[16]);
/* The key that seals the ledger's columns. */
MUST_USE enum rc vault_ledger_key(struct vault *v, struct secret *out);
/* The key owner of the outbound queue (X25519): to its public half letters are sealed, its private half is for `relay` alone. Made when it is
 * first asked for; `out_private` may be NULL. Read-only: RC_NOTFOUND while there is none. */
MUST_USE enum rc vault_queue_key(struct vault *v, struct secret *out_private, uint8_t out_public[PUB_LEN], struct why *why);
/* The key under which forwarded mail's envelope senders are rewritten (SRS). Made when it is first asked for. */
MUST_USE enum rc vault_srs_key(struct vault *v, struct secret *out, struct why *why);
/* Signs an audit checkpoint (Ed25519, key made on first use). */
MUST_USE enum rc vault_audit_sign(struct vault *v, struct str checkpoint, uint8_t out[64], uint8_t out_public[32], struct why *why);
/* Every record opens under the root key (for `verify`). */
MUST_USE enum rc vault_verify(struct vault *v, void (*damage)(void *arg, const char *what), void *arg, struct why *why);
MUST_USE enum rc vault_backup(struct vault *v, int dir, struct why *why); /* consistent copy of the vault's files into `dir` */
