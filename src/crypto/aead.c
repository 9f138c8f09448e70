#include "crypto/crypto.h"

#include "base/mem.h"
#include "crypto/thread.h"
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/err.h>

/* One key, its schedule expanded once, with the first nonce; each later call sets only that. GCM's key schedule serves both directions. */
struct aead {
	EVP_CIPHER_CTX *ctx;
	const struct secret *key;   /* the context does not have it yet */
	struct secret room;         /* where it lies in the meantime, unless it is the caller's */
};

static void put_nonce(uint64_t nonce, uint8_t out[NONCE_LEN])
{
	memset(out, 0, 4);
	for (unsigned i = 0; i < 8; i++)
		out[4 + i] = (uint8_t)(nonce >> (56 - 8 * i));
}

/* Nonce and associated data: the same for both directions. EVP_Cipher() goes straight to the cipher: what EVP_CipherUpdate() checks before is
 * known here, and a FETCH of a mailbox comes by once per message. */
static bool begin(struct aead *a, uint64_t nonce, struct str aad, int sealing, const OSSL_PARAM *params)
{
	uint8_t iv[NONCE_LEN];
	put_nonce(nonce, iv);
	if (EVP_CipherInit_ex2(a->ctx, NULL, a->key ? a->key->k : NULL, iv, sealing, params) != 1)
		return false;
	if (a->key == &a->room)
		secret_done(&a->room);
	a->key = NULL;
	return aad.n == 0 || EVP_Cipher(a->ctx, NULL, (const uint8_t *)aad.p, (unsigned)aad.n) >= 0;
}

static enum rc seal(struct aead *a, uint64_t nonce, struct str aad, struct str in, uint8_t *out)
{
	EVP_CIPHER_CTX *c = a->ctx;
	int n = 0, tail = 0;
	if (in.n > INT_MAX - TAG_LEN || aad.n > INT_MAX)
		return RC_LIMIT;
	if (!begin(a, nonce, aad, 1, NULL) || (in.n && EVP_EncryptUpdate(c, out, &n, (const uint8_t *)in.p, (int)in.n) != 1) ||
	    EVP_EncryptFinal_ex(c, out + n, &tail) != 1 || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, out + in.n) != 1)
		return RC_NOMEM;
	return RC_OK;
}

static enum rc open_sealed(struct aead *a, uint64_t nonce, struct str aad, struct str in, uint8_t *out)
{
	EVP_CIPHER_CTX *c = a->ctx;
	int tail = 0;
	if (in.n < TAG_LEN)
		return RC_DAMAGED;
	if (in.n > INT_MAX || aad.n > INT_MAX)
		return RC_LIMIT;
	size_t plain = in.n - TAG_LEN;
	uint8_t tag[TAG_LEN], none[1];
	memcpy(tag, in.p + plain, TAG_LEN);
	OSSL_PARAM params[] = { OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, TAG_LEN), OSSL_PARAM_construct_end() };
	if (!out)
		out = none; /* nothing but a tag: no octet is written */
	if (!begin(a, nonce, aad, 0, params) || (plain && EVP_Cipher(c, out, (const uint8_t *)in.p, (unsigned)plain) < 0))
		return RC_NOMEM;
	if (EVP_DecryptFinal_ex(c, out + plain, &tail) == 1)
		return RC_OK;
	mem_wipe(out, plain); /* nobody sees what did not verify */
	errors_clear();
	return RC_DAMAGED;
}

/* The thread's scratch context, for this key; without one: no memory. */
static struct aead scratch(const struct secret *key)
{
	struct crypto_thread *t = crypto_thread();
	/* Naming the cipher again would make the context anew. */
	bool there = t && (EVP_CIPHER_CTX_get0_cipher(t->aead) || EVP_CipherInit_ex2(t->aead, t->aes, NULL, NULL, 1, NULL) == 1);
	return (struct aead){ .ctx = there ? t->aead : NULL, .key = key };
}

/* A one-shot key does not stay behind in the thread's context: another takes its place, which costs less than a new context for each call. */
static enum rc unkey(EVP_CIPHER_CTX *c, enum rc rc)
{
	static const uint8_t none[KEY_LEN];
	if (EVP_CipherInit_ex2(c, NULL, none, NULL, 1, NULL) != 1)
		EVP_CIPHER_CTX_reset(c);
	return rc;
}

enum rc aead_seal(const struct secret *key, uint64_t nonce, struct str aad, struct str in, struct buf *out)
{
	if (in.n > INT_MAX - TAG_LEN)
		return RC_LIMIT;
	if (!buf_room(out, in.n + TAG_LEN))
		return out->len + in.n + TAG_LEN > out->max ? RC_LIMIT : RC_NOMEM;
	struct aead a = scratch(key);
	if (!a.ctx)
		return RC_NOMEM;
	TRY(unkey(a.ctx, seal(&a, nonce, aad, in, (uint8_t *)out->p + out->len)));
	out->len += in.n + TAG_LEN;
	return RC_OK;
}

enum rc aead_open(const struct secret *key, uint64_t nonce, struct str aad, struct str in, struct buf *out)
{
	if (in.n < TAG_LEN)
		return RC_DAMAGED;
	size_t plain = in.n - TAG_LEN;
	if (!buf_room(out, plain))
		return out->len + plain > out->max ? RC_LIMIT : RC_NOMEM;
	TRY(aead_open_into(key, nonce, aad, in, plain ? (uint8_t *)out->p + out->len : NULL));
	out->len += plain;
	return RC_OK;
}

enum rc aead_open_into(const struct secret *key, uint64_t nonce, struct str aad, struct str in, uint8_t *out)
{
	struct aead a = scratch(key);
	return a.ctx ? unkey(a.ctx, open_sealed(&a, nonce, aad, in, out)) : RC_NOMEM;
}

enum rc aead_new(const struct secret *key, struct aead **out)
{
	struct crypto_thread *t = crypto_thread();
	struct aead *a = t ? mem_new(sizeof *a) : NULL;
	if (!a)
		return RC_NOMEM;
	a->ctx = EVP_CIPHER_CTX_new();
	if (!a->ctx || EVP_CipherInit_ex2(a->ctx, t->aes, NULL, NULL, 1, NULL) != 1) {
		aead_free(&a);
		return RC_NOMEM;
	}
	aead_rekey(a, key);
	*out = a;
	return RC_OK;
}

void aead_rekey(struct aead *a, const struct secret *key)
{
	errors_clear();
	a->room = *key;
	a->key = &a->room;
}

void aead_free(struct aead **a)
{
	if (!*a)
		return;
	EVP_CIPHER_CTX_free((*a)->ctx); /* wipes the schedule */
	secret_done(&(*a)->room);
	mem_free(*a);
	*a = NULL;
}

enum rc aead_seal_with(struct aead *a, uint64_t nonce, struct str aad, struct str in, uint8_t *out)
{
	return seal(a, nonce, aad, in, out);
}

enum rc aead_open_with(struct aead *a, uint64_t nonce, struct str aad, struct str in, uint8_t *out)
{
	return open_sealed(a, nonce, aad, in, out);
}
