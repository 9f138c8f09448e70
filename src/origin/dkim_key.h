#pragma once
#include "origin/dkim.h"
#include "origin/dkim_hash.h"

/* A public key as the DNS publishes it (RFC 6376 3.6.1, RFC 8463), parsed and ready to verify. Kept per thread by the record's text. */
enum { DKIM_KEY_MAX_BITS = 8192, DKIM_KEYS_KEPT = 256, DKIM_KEY_TEXT_MAX = 2048 };
struct dkim_key {
	int kind;                  /* DKIM_RSA, DKIM_ED25519 */
	unsigned bits;
	bool testing, strict;      /* t=y, t=s */
	bool sha1, sha256;         /* h= lets them */
	bool email, tls_reports;   /* s= lets it: "*" or "email"; "tlsrpt" */
	EVP_PKEY_CTX *rsa;
	enum dkim_hash rsa_hash;   /* what `rsa` is set to */
	uint8_t ed25519[32];
};
/* Borrowed until the next call in this thread: no suspending in between. RC_SYNTAX: not a key record, or malformed. RC_NOTFOUND: revoked (empty
 * p=). RC_DENIED: of a kind we do not know, or too long. RC_NOMEM. */
MUST_USE enum rc dkim_key_get(struct str record, const struct dkim_key **out, struct why *why);
/* RC_OK; RC_DAMAGED: does not verify; RC_NOMEM. */
MUST_USE enum rc dkim_key_verify(const struct dkim_key *k, enum dkim_hash h, const uint8_t *digest, struct str signature);

struct dkim_thread;
void dkim_key_setup(struct dkim_thread *t);
void dkim_key_forget(struct dkim_thread *t);
