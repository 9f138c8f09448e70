#pragma once
#include "vault/vault.h"

/* DKIM keys per domain: made here, never leaving; what goes out is public halves and signatures over digests. A key's life:
 *
 *   made -> published (its record was seen in the DNS) -> signing -> retired (another signs; its record must stay) -> revoked
 *
 * One key of each kind signs for a domain: when the next begins, the one before it is retired. What is revoked has lost its private half. */
enum vault_dkim_kind { VAULT_DKIM_RSA, VAULT_DKIM_ED25519 };
enum vault_dkim_state { VAULT_DKIM_MADE = 1, VAULT_DKIM_PUBLISHED, VAULT_DKIM_SIGNING, VAULT_DKIM_RETIRED, VAULT_DKIM_REVOKED, VAULT_DKIM_STATES };
const char *vault_dkim_state_name(unsigned state);
enum { DKIM_KEYS_MAX = 16384, DKIM_KEYS_PER_DOMAIN = 32, DKIM_SELECTOR_MAX = 32, DKIM_DIGESTS_MAX = 256, DKIM_DIGEST = 32 };

struct vault_dkim {                    /* runs live until the next call that changes keys */
	uint64_t id;
	enum vault_dkim_kind kind;
	enum vault_dkim_state state;
	struct str domain, selector;
	int64_t at_ms[VAULT_DKIM_STATES]; /* when it became so; 0 = never */
	struct str public_key;         /* RSA: SubjectPublicKeyInfo DER; Ed25519: 32 octets */
	enum { DKIM_UNASKED, DKIM_SEEN, DKIM_ABSENT } dns; /* what the DNS said last; forgotten at a restart */
};
size_t vault_dkim_count(const struct vault *v);
void vault_dkim_get(const struct vault *v, size_t i, struct vault_dkim *out);
const struct vault_dkim *vault_dkim_find(const struct vault *v, struct str domain, struct str selector); /* NULL: none */

/* A pair of one RSA-2048 and one Ed25519 key under selectors of this month ("202611a-rsa", "202611a-ed"). Suspends. RC_EXISTS: a pair is waiting
 * to be published already (or, with `first_only`, the domain has keys); RC_LIMIT: too many keys. */
MUST_USE enum rc vault_dkim_make(struct vault *v, struct str domain, bool first_only, int64_t now_ms, struct why *why);
/* RC_NOTFOUND; RC_CONFLICT: not from that state. Retiring: made, published or signing. Revoking: any but revoked. */
MUST_USE enum rc vault_dkim_retire(struct vault *v, struct str domain, struct str selector, int64_t now_ms, struct why *why);
MUST_USE enum rc vault_dkim_revoke(struct vault *v, struct str domain, struct str selector, int64_t now_ms, struct why *why);
/* Forgets a domain's keys altogether. RC_NOTFOUND: it has none. */
MUST_USE enum rc vault_dkim_forget(struct vault *v, struct str domain, struct why *why);

/* Signs digests (DKIM_DIGEST octets each) under one key and appends a run for each. RSA: PKCS #1 v1.5 with SHA-256's DigestInfo, on a worker;
 * Ed25519: PureEdDSA over the digest (RFC 8463 3). RC_NOTFOUND, RC_DENIED (not a signing key), RC_SYNTAX (no whole number of digests). */
MUST_USE enum rc vault_dkim_sign(struct vault *v, struct str domain, struct str selector, struct str digests, struct buf *out, struct why *why);

/* The clock: what the DNS said of some keys, and how long things take. Moves what is due; `moved` hears of each. `steady_ms` is of a clock that nobody
 * sets: where the other one was set between two turns, forward or back, the ages of the keys stay what they are. */
struct vault_dkim_rules { int64_t settle_ms, rotate_ms, revoke_ms; }; /* rotate_ms 0: only by hand */
struct vault_dkim_look { uint64_t id; bool seen; };
struct vault_dkim_listener { void (*moved)(void *arg, const struct vault_dkim *k); void *arg; };
MUST_USE enum rc vault_dkim_turn(struct vault *v, const struct vault_dkim_rules *r, int64_t now_ms, int64_t steady_ms, const struct vault_dkim_look *look, size_t n,
                                 const struct vault_dkim_listener *l, struct why *why);
