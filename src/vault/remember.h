#pragma once
#include "crypto/crypto.h"

/* Verified passwords, kept for a while under a key that lives only in this process's memory: an entry holds the account's private key
 * sealed under KDF(that key, account, password), so without the password it opens nothing. Bounded: about 10,000 accounts, the
 * entry that would end first goes. Restart forgets all. */
struct remember;
MUST_USE enum rc remember_new(unsigned keep_ms, struct remember **out);
void remember_free(struct remember **r);
void remember_put(struct remember *r, int64_t now, uint64_t id, struct str password, const struct secret *priv, const uint8_t pub[PUB_LEN]);
/* RC_NOTFOUND: not remembered (another password, or too long ago). */
MUST_USE enum rc remember_get(struct remember *r, int64_t now, uint64_t id, struct str password, struct secret *out_priv, uint8_t out_pub[PUB_LEN]);
void remember_forget(struct remember *r, uint64_t id);
/* A short keyed hash of (account, password) for the limiter: tells pairs apart, says nothing. */
MUST_USE enum rc remember_pair(const struct remember *r, uint64_t id, struct str password, uint64_t *out);
