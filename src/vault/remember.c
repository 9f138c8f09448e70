#include "vault/remember.h"

#include "base/mem.h"

enum { SETS = 4096, WAYS = 8, LOOKUP = 16, PASSWORD_MAX = 1024 };
struct kept {
	int64_t until;                 /* 0 = empty */
	uint64_t id;
	uint8_t lookup[LOOKUP], sealed[KEY_LEN + TAG_LEN], pub[PUB_LEN];
};
struct remember {
	struct secret *key;
	unsigned keep_ms;
	struct kept *table;            /* SETS x WAYS; pages are touched only where used */
};

enum rc remember_new(unsigned keep_ms, struct remember **out)
{
	struct remember *r = mem_new(sizeof *r);
	if (!r)
		return RC_NOMEM;
	r->keep_ms = keep_ms;
	r->key = secret_new();
	r->table = mem_new(sizeof *r->table * SETS * WAYS);
	enum rc rc = r->key && r->table ? random_bytes(r->key->k, KEY_LEN) : RC_NOMEM;
	if (rc != RC_OK) {
		remember_free(&r);
		return rc;
	}
	*out = r;
	return RC_OK;
}

void remember_free(struct remember **r)
{
	if (!*r)
		return;
	secret_free(&(*r)->key);
	mem_free((*r)->table);
	mem_free(*r);
	*r = NULL;
}

/* KDF(memory key, account, password), then one key to find the entry by and one to open it. */
static enum rc derive(const struct remember *r, uint64_t id, struct str password, struct secret *find, struct secret *open)
{
	uint8_t in[9 + PASSWORD_MAX];
	if (password.n > PASSWORD_MAX)
		return RC_LIMIT;
	for (unsigned i = 0; i < 8; i++)
		in[1 + i] = (uint8_t)(id >> (56 - 8 * i));
	memcpy(in + 9, password.p, password.n);
	in[0] = 1;
	enum rc rc = hmac_sha256(r->key, str_of(in, 9 + password.n), find->k);
	in[0] = 2;
	if (rc == RC_OK)
		rc = hmac_sha256(r->key, str_of(in, 9 + password.n), open->k);
	mem_wipe(in, 9 + password.n);
	return rc;
}

/* All passwords of an account lie in its set, so forgetting looks at one set. */
static struct kept *set_of(struct remember *r, uint64_t id) { return r->table + (id * 0x9e3779b97f4a7c15u >> 52) * WAYS; }

void remember_put(struct remember *r, int64_t now, uint64_t id, struct str password, const struct secret *priv, const uint8_t pub[PUB_LEN])
{
	struct secret find AUTO(secret_done) = { { 0 } }, open AUTO(secret_done) = { { 0 } };
	if (r->keep_ms == 0 || derive(r, id, password, &find, &open) != RC_OK)
		return; /* nothing is owed: the next login costs an Argon2id */
	struct kept *set = set_of(r, id), *best = set;
	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].id == id && ct_eq(set[i].lookup, find.k, LOOKUP)) {
			best = &set[i];
			break;
		}
		if (set[i].until < best->until)
			best = &set[i];
	}
	struct kept k = { .until = now + r->keep_ms, .id = id };
	struct aead *a = NULL;
	memcpy(k.lookup, find.k, LOOKUP);
	memcpy(k.pub, pub, PUB_LEN);
	/* The key seals this one value only (the same value under the same key again is the same bytes), so the nonce is 0. */
	if (aead_new(&open, &a) == RC_OK && aead_seal_with(a, 0, str_of(pub, PUB_LEN), secret_str(priv), k.sealed) == RC_OK)
		*best = k;
	aead_free(&a);
}

enum rc remember_get(struct remember *r, int64_t now, uint64_t id, struct str password, struct secret *out_priv, uint8_t out_pub[PUB_LEN])
{
	struct secret find AUTO(secret_done) = { { 0 } }, open AUTO(secret_done) = { { 0 } };
	TRY(derive(r, id, password, &find, &open));
	struct kept *set = set_of(r, id);
	for (unsigned i = 0; i < WAYS; i++) {
		struct kept *k = &set[i];
		if (k->until == 0 || k->id != id || !ct_eq(k->lookup, find.k, LOOKUP))
			continue;
		if (k->until <= now) {
			mem_wipe(k, sizeof *k);
			return RC_NOTFOUND;
		}
		TRY(aead_open_into(&open, 0, str_of(k->pub, PUB_LEN), str_of(k->sealed, sizeof k->sealed), out_priv->k));
		memcpy(out_pub, k->pub, PUB_LEN);
		return RC_OK;
	}
	return RC_NOTFOUND;
}

void remember_forget(struct remember *r, uint64_t id)
{
	struct kept *set = set_of(r, id);
	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].id == id)
			mem_wipe(&set[i], sizeof set[i]);
}

enum rc remember_pair(const struct remember *r, uint64_t id, struct str password, uint64_t *out)
{
	struct secret find AUTO(secret_done) = { { 0 } }, open AUTO(secret_done) = { { 0 } };
	TRY(derive(r, id, password, &find, &open));
	memcpy(out, find.k + LOOKUP, sizeof *out); /* octets that no entry holds */
	return RC_OK;
}
