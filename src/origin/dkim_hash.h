#pragma once
#include "origin/dkim_canon.h"
#include <openssl/evp.h>

/* Hashing for DKIM: OpenSSL's algorithms and contexts kept per thread, since fetching them costs more than using them; and a body hash that
 * serves any number of signatures in one pass. */
enum dkim_hash { DKIM_SHA256, DKIM_SHA1 };
enum { DKIM_HASH_MAX = 32 };
static inline size_t dkim_hash_len(enum dkim_hash h) { return h == DKIM_SHA256 ? 32 : 20; }
const EVP_MD *dkim_md(enum dkim_hash h);           /* NULL: no memory */
/* A context begun with that hash, and back to the thread's store. NULL: no memory. */
EVP_MD_CTX *dkim_ctx_get(enum dkim_hash h);
void dkim_ctx_put(EVP_MD_CTX *c);

/* A canonical stream hashed as a whole (header fields). */
struct hash_out {
	struct canon_out out;      /* first: flush finds the rest by it */
	EVP_MD_CTX *ctx;
	bool failed;
};
MUST_USE enum rc hash_out_init(struct hash_out *h, enum dkim_hash kind);
/* The digest; the context goes back. RC_NOMEM. Call it always, also after a failure. */
MUST_USE enum rc hash_out_done(struct hash_out *h, uint8_t digest[DKIM_HASH_MAX]);

/* One canonicalisation and hash of the body, cut at as many lengths (l=) as signatures want: the context is copied where a cut falls. */
enum { BODY_MAX_CUTS = 64 };
#define BODY_WHOLE UINT64_MAX
struct body_cut {
	uint64_t at;               /* canonical octets that count, or BODY_WHOLE */
	bool done;                 /* false at the end: the body is shorter */
	uint8_t digest[DKIM_HASH_MAX];
};
struct body_hash {
	struct canon_out out;      /* first */
	struct canon_body canon;
	enum dkim_hash kind;
	EVP_MD_CTX *ctx;
	uint64_t hashed;
	size_t cuts, next;         /* sorted by `at` */
	bool failed;
	struct body_cut cut[BODY_MAX_CUTS];
};
void body_hash_init(struct body_hash *b, enum dkim_canon c, enum dkim_hash kind);
bool body_hash_want(struct body_hash *b, uint64_t at);  /* before the first octet; false: too many cuts */
const struct body_cut *body_hash_at(const struct body_hash *b, uint64_t at); /* NULL: never wanted */
void body_hash_add(struct body_hash *b, struct str run);
void body_hash_end(struct body_hash *b);                /* then out.total is the canonical length */
void body_hash_done(struct body_hash *b);
