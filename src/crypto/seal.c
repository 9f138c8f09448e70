#include "crypto/crypto.h"

#include "base/mem.h"
#include "crypto/thread.h"
#include <openssl/err.h>

/* Sealed: version octet, the ephemeral public key, AES-256-GCM under HKDF(shared secret, info = suite, both public keys, context).
 * The key is fresh for each message, so the nonce is 0. */
enum { SEAL_VERSION = 1, CONTEXT_MAX = 512 };
static const char suite[] = "letterlock seal x25519 hkdf-sha256 aes-256-gcm";

static void pkey_free(EVP_PKEY **k) { EVP_PKEY_free(*k); }
static void pctx_free(EVP_PKEY_CTX **c) { EVP_PKEY_CTX_free(*c); }
static void mdctx_free(EVP_MD_CTX **c) { EVP_MD_CTX_free(*c); }

static EVP_PKEY_CTX *agree_new(const struct secret *private_key)
{
	errors_clear();
	EVP_PKEY *own AUTO(pkey_free) = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key->k, KEY_LEN);
	EVP_PKEY_CTX *c = own ? EVP_PKEY_CTX_new(own, NULL) : NULL; /* holds the key */
	if (c && EVP_PKEY_derive_init(c) == 1)
		return c;
	EVP_PKEY_CTX_free(c);
	return NULL;
}

static enum rc agree(EVP_PKEY_CTX *c, const uint8_t public_key[PUB_LEN], struct secret *out)
{
	errors_clear();
	EVP_PKEY *peer AUTO(pkey_free) = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public_key, PUB_LEN);
	size_t n = KEY_LEN;
	if (!peer || EVP_PKEY_derive_set_peer_ex(c, peer, 0) != 1)
		return RC_NOMEM;
	/* RFC 7748 6.1: "Both MAY check, without leaking extra information ..., whether K is the all-zero value and abort if so":
	 * OpenSSL does, and that is the only way in which this step fails. */
	if (EVP_PKEY_derive(c, out->k, &n) != 1 || n != KEY_LEN) {
		errors_clear();
		return RC_DAMAGED;
	}
	return RC_OK;
}

enum rc x25519(const struct secret *private_key, const uint8_t public_key[PUB_LEN], struct secret *out)
{
	EVP_PKEY_CTX *c AUTO(pctx_free) = agree_new(private_key);
	return c ? agree(c, public_key, out) : RC_NOMEM;
}

enum rc x25519_pair(struct secret *out_private, uint8_t out_public[PUB_LEN])
{
	errors_clear();
	TRY(random_bytes(out_private->k, KEY_LEN));
	EVP_PKEY *k AUTO(pkey_free) = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, out_private->k, KEY_LEN);
	size_t n = PUB_LEN;
	return k && EVP_PKEY_get_raw_public_key(k, out_public, &n) == 1 && n == PUB_LEN ? RC_OK : RC_NOMEM;
}

static enum rc message_key(const struct secret *shared, const uint8_t *ephemeral, const uint8_t *public_key, struct str context,
                           struct secret *out)
{
	char info[sizeof suite + 2 * PUB_LEN + CONTEXT_MAX];
	if (context.n > CONTEXT_MAX)
		return RC_LIMIT;
	/* Fixed widths before the one part whose length varies: no two inputs look alike. */
	memcpy(info, suite, sizeof suite);
	memcpy(info + sizeof suite, ephemeral, PUB_LEN);
	memcpy(info + sizeof suite + PUB_LEN, public_key, PUB_LEN);
	memcpy(info + sizeof suite + 2 * PUB_LEN, context.p, context.n);
	return hkdf(str_of(shared->k, KEY_LEN), STR(""), str_of(info, sizeof suite + 2 * PUB_LEN + context.n), out);
}

enum rc seal_to(const uint8_t public_key[PUB_LEN], struct str context, struct str in, struct buf *out)
{
	struct secret own AUTO(secret_done) = { { 0 } }, shared AUTO(secret_done) = { { 0 } }, key AUTO(secret_done) = { { 0 } };
	uint8_t ephemeral[PUB_LEN];
	TRY(x25519_pair(&own, ephemeral));
	TRY(x25519(&own, public_key, &shared));
	TRY(message_key(&shared, ephemeral, public_key, context, &key));
	if (!buf_room(out, in.n + SEAL_OVERHEAD))
		return out->len + in.n + SEAL_OVERHEAD > out->max ? RC_LIMIT : RC_NOMEM;
	size_t start = out->len;
	buf_u8(out, SEAL_VERSION);
	buf_add(out, str_of(ephemeral, PUB_LEN));
	enum rc rc = aead_seal(&key, 0, STR(""), in, out);
	if (rc != RC_OK)
		out->len = start;
	return rc;
}

static enum rc open_with(EVP_PKEY_CTX *own, const uint8_t public_key[PUB_LEN], struct str context, struct str in, struct buf *out)
{
	struct secret shared AUTO(secret_done) = { { 0 } }, key AUTO(secret_done) = { { 0 } };
	if (in.n < SEAL_OVERHEAD || in.p[0] != SEAL_VERSION)
		return RC_DAMAGED;
	const uint8_t *ephemeral = (const uint8_t *)in.p + 1;
	TRY(agree(own, ephemeral, &shared));
	TRY(message_key(&shared, ephemeral, public_key, context, &key));
	return aead_open(&key, 0, STR(""), str_skip(in, 1 + PUB_LEN), out);
}

enum rc seal_open(const struct secret *private_key, const uint8_t public_key[PUB_LEN], struct str context, struct str in,
                  struct buf *out)
{
	EVP_PKEY_CTX *c AUTO(pctx_free) = agree_new(private_key);
	return c ? open_with(c, public_key, context, in, out) : RC_NOMEM;
}

struct unsealer { EVP_PKEY_CTX *own; uint8_t public_key[PUB_LEN]; };

enum rc unsealer_new(const struct secret *private_key, const uint8_t public_key[PUB_LEN], struct unsealer **out)
{
	struct unsealer *u = mem_new(sizeof *u);
	if (!u)
		return RC_NOMEM;
	u->own = agree_new(private_key);
	memcpy(u->public_key, public_key, PUB_LEN);
	if (!u->own)
		unsealer_free(&u);
	else
		*out = u;
	return u ? RC_OK : RC_NOMEM;
}

enum rc unsealer_open(struct unsealer *u, struct str context, struct str in, struct buf *out)
{
	return open_with(u->own, u->public_key, context, in, out);
}

void unsealer_free(struct unsealer **u)
{
	if (!*u)
		return;
	EVP_PKEY_CTX_free((*u)->own); /* wipes the key: it was the last to hold it */
	mem_free(*u);
	*u = NULL;
}

enum rc ed25519_public(const struct secret *key, uint8_t out_public[PUB_LEN])
{
	errors_clear();
	EVP_PKEY *k AUTO(pkey_free) = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->k, KEY_LEN);
	size_t n = PUB_LEN;
	return k && EVP_PKEY_get_raw_public_key(k, out_public, &n) == 1 && n == PUB_LEN ? RC_OK : RC_NOMEM;
}

enum rc ed25519_sign(const struct secret *key, struct str in, uint8_t out[64])
{
	errors_clear();
	EVP_PKEY *k AUTO(pkey_free) = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->k, KEY_LEN);
	EVP_MD_CTX *c AUTO(mdctx_free) = EVP_MD_CTX_new();
	size_t n = 64;
	return k && c && EVP_DigestSignInit(c, NULL, NULL, NULL, k) == 1 &&
	       EVP_DigestSign(c, out, &n, (const uint8_t *)in.p, in.n) == 1 && n == 64 ? RC_OK : RC_NOMEM;
}

enum rc ed25519_verify(const uint8_t public_key[PUB_LEN], struct str in, const uint8_t signature[64])
{
	errors_clear();
	EVP_PKEY *k AUTO(pkey_free) = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, PUB_LEN);
	EVP_MD_CTX *c AUTO(mdctx_free) = EVP_MD_CTX_new();
	if (!k || !c || EVP_DigestVerifyInit(c, NULL, NULL, NULL, k) != 1)
		return RC_NOMEM;
	int ok = EVP_DigestVerify(c, signature, 64, (const uint8_t *)in.p, in.n);
	errors_clear();
	return ok == 1 ? RC_OK : RC_DAMAGED;
}
