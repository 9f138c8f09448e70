#pragma once
#include "vault/dkim.h"
#include "vault/internal.h"

/* The set of DKIM keys, between dkim.c (life), dkim_record.c (bytes) and dkim_sign.c. Private halves lie in the vault's file; RSA keys that sign are kept
 * ready, at most DKIM_READY of them, since OpenSSL's locked heap is small. */
enum { DKIM_READY = 48, DKIM_PUBLIC_MAX = 400, DKIM_PRIVATE_MAX = 4096, DKIM_NAME_MAX = 255 + DKIM_SELECTOR_MAX + 13 };
struct dkim_entry {
	struct vault_dkim k;           /* its runs point into the arrays below */
	char name[DKIM_NAME_MAX + 1];  /* "selector._domainkey.domain" */
	char public_key[DKIM_PUBLIC_MAX];
	struct tls_key *ready;         /* RSA: loaded; NULL: not now */
	uint64_t used;
};
/* `private_key` may be empty: revoked. */
void dkim_record_format(const struct vault_dkim *k, struct str private_key, struct buf *out);
MUST_USE enum rc dkim_record_parse(uint64_t id, struct str value, struct vault_dkim *out, struct str *out_private); /* runs point into value; RC_DAMAGED */
MUST_USE enum rc dkim_set_load(struct vault *v, struct why *why);
void dkim_set_done(struct dkim_set *s);
void dkim_unready(struct dkim_set *s, struct dkim_entry *e);
const char *dkim_record_check(uint64_t id, struct str value); /* what is wrong with it; NULL: nothing */
