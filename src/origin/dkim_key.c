/* Key records. The DER of a key is read here and not by OpenSSL's decoders: those take any kind of key with parameters of the sender's
 * choosing, and cost as much as the verification itself. */
#include "origin/dkim_key.h"

#include "base/mem.h"
#include "crypto/crypto.h"
#include "origin/dkim_thread.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

struct dkim_key_entry {
	struct dkim_key key;
	struct dkim_key_entry *newer, *older;
	size_t n;
	char text[];               /* the record */
};

/* ---- DER ---- */

/* One element of that tag: its contents; *in goes past it. Definite lengths of up to 65,535 octets are all a key needs. */
static bool der_take(struct str *in, uint8_t tag, struct str *out)
{
	const uint8_t *p = (const uint8_t *)in->p;
	size_t head = 2, n;
	if (in->n < 2 || p[0] != tag)
		return false;
	if (p[1] < 0x80) {
		n = p[1];
	} else if (p[1] == 0x81 && in->n >= 3) {
		n = p[2];
		head = 3;
	} else if (p[1] == 0x82 && in->n >= 4) {
		n = (size_t)p[2] << 8 | p[3];
		head = 4;
	} else {
		return false;
	}
	if (n > in->n - head)
		return false;
	*out = str_of(in->p + head, n);
	*in = str_skip(*in, head + n);
	return true;
}

/* A positive INTEGER without its leading zeros. */
static bool der_number(struct str *in, struct str *out)
{
	if (!der_take(in, 0x02, out) || out->n == 0 || (out->p[0] & 0x80))
		return false;
	while (out->n && out->p[0] == 0)
		*out = str_skip(*out, 1);
	return out->n > 0;
}

/* RFC 8017 A.1.1: RSAPublicKey ::= SEQUENCE { modulus, publicExponent } */
static bool der_rsa(struct str in, struct str *out_n, struct str *out_e)
{
	struct str seq;
	return der_take(&in, 0x30, &seq) && in.n == 0 && der_number(&seq, out_n) && der_number(&seq, out_e) && seq.n == 0;
}

/* RFC 5280 4.1: SubjectPublicKeyInfo ::= SEQUENCE { SEQUENCE { rsaEncryption, NULL }, BIT STRING } */
static bool der_public_key(struct str in, struct str *out_n, struct str *out_e)
{
	static const char rsa_oid[] = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
	struct str seq, algorithm, bits;
	if (!der_take(&in, 0x30, &seq) || in.n || !der_take(&seq, 0x30, &algorithm) || !der_take(&seq, 0x03, &bits) || seq.n)
		return false;
	return str_starts(algorithm, str_of(rsa_oid, sizeof rsa_oid - 1)) && bits.n > 1 && bits.p[0] == 0 && der_rsa(str_skip(bits, 1), out_n, out_e);
}

/* ---- RSA ---- */

static unsigned bit_length(struct str n)
{
	unsigned bits = (unsigned)n.n * 8;
	for (uint8_t top = (uint8_t)n.p[0]; !(top & 0x80); top = (uint8_t)(top << 1))
		bits--;
	return bits;
}

static EVP_PKEY *rsa_key(struct str n, struct str e)
{
	BIGNUM *bn = BN_bin2bn((const uint8_t *)n.p, (int)n.n, NULL), *be = BN_bin2bn((const uint8_t *)e.p, (int)e.n, NULL);
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;
	if (bn && be && bld && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be))
		params = OSSL_PARAM_BLD_to_param(bld);
	if (!c || !params || EVP_PKEY_fromdata_init(c) != 1 || EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(c);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	BN_free(bn);
	BN_free(be);
	return key;
}

static enum rc rsa_ready(struct dkim_key *k, struct str n, struct str e)
{
	EVP_PKEY *key = rsa_key(n, e);
	const EVP_MD *md = dkim_md(DKIM_SHA256);
	k->rsa = key ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
	EVP_PKEY_free(key); /* the context holds it */
	if (!k->rsa || !md || EVP_PKEY_verify_init(k->rsa) != 1 || EVP_PKEY_CTX_set_rsa_padding(k->rsa, RSA_PKCS1_PADDING) != 1 ||
	    EVP_PKEY_CTX_set_signature_md(k->rsa, md) != 1) {
		ERR_clear_error();
		EVP_PKEY_CTX_free(k->rsa);
		k->rsa = NULL;
		return RC_NOMEM;
	}
	k->rsa_hash = DKIM_SHA256;
	return RC_OK;
}

static enum rc rsa_parse(struct dkim_key *k, struct str der, struct why *why)
{
	struct str n, e;
	/* RFC 6376 3.6.1 asks for an RSAPublicKey, all examples have a SubjectPublicKeyInfo: both are taken (erratum 3017) */
	if (!der_public_key(der, &n, &e) && !der_rsa(der, &n, &e))
		FAIL(why, RC_SYNTAX, "p= in the key record is no RSA key");
	if (n.n > DKIM_KEY_MAX_BITS / 8)
		FAIL(why, RC_DENIED, "the key is longer than %d bits", DKIM_KEY_MAX_BITS);
	/* a long exponent costs the verifier a hundred times as much */
	if (e.n > 8 || !(e.p[e.n - 1] & 1) || (e.n == 1 && e.p[0] == 1))
		FAIL(why, RC_DENIED, "the key's exponent is not one in use");
	k->bits = bit_length(n);
	if (k->bits < 512 || !(n.p[n.n - 1] & 1))
		FAIL(why, RC_DENIED, "p= in the key record is no RSA key of 512 bits or more");
	return rsa_ready(k, n, e);
}

/* ---- the record ---- */

/* Is `word` in the colon-separated list (RFC 6376 3.6.1)? */
static bool listed(struct str list, const char *word)
{
	struct str one;
	bool more = true;
	while (more) {
		more = str_cut(list, ':', &one, &list);
		if (str_eq(str_trim(one), str_z(word)))
			return true;
	}
	return false;
}

static enum rc kind_parse(struct dkim_key *k, const struct tags *t, struct str p, struct why *why)
{
	const struct str *kind = tags_get(t, "k");
	struct buf der;
	buf_init(&der, DKIM_KEY_MAX_BITS / 4);
	enum rc rc = tags_base64(p, &der);
	struct str key = buf_str(&der);
	if (rc != RC_OK) {
		rc = why_fail(why, RC_SYNTAX, 0, __FILE__, "p= in the key record is not base64, or too long");
	} else if (!kind || str_eq(*kind, STR("rsa"))) {
		k->kind = DKIM_RSA;
		rc = rsa_parse(k, key, why);
	} else if (str_eq(*kind, STR("ed25519"))) {
		k->kind = DKIM_ED25519;
		k->bits = 256;
		/* RFC 8463 4.2: "the public key is 32 octets", bare */
		if (key.n == sizeof k->ed25519)
			memcpy(k->ed25519, key.p, sizeof k->ed25519);
		else
			rc = why_fail(why, RC_SYNTAX, 0, __FILE__, "the Ed25519 key has %zu octets, not 32", key.n);
	} else {
		rc = why_fail(why, RC_DENIED, 0, __FILE__, "k=%.*s is not known", PSTR(str_head(*kind, 40)));
	}
	buf_done(&der);
	return rc;
}

static enum rc key_parse(struct str record, struct dkim_key *k, struct why *why)
{
	struct tags t;
	TRY(tags_parse(record, &t, why));
	const struct str *v = tags_get(&t, "v"), *p = tags_get(&t, "p"), *h = tags_get(&t, "h"), *s = tags_get(&t, "s"), *flags = tags_get(&t, "t");
	/* RFC 6376 3.6.1: v= "if specified, ... MUST be set to "DKIM1" ... MUST be the first tag" */
	if (v && (!str_eq(*v, STR("DKIM1")) || v != &t.tag[0].value))
		FAIL(why, RC_SYNTAX, "v= in the key record is not DKIM1, or not first");
	if (!p)
		FAIL(why, RC_SYNTAX, "the key record has no p=");
	if (p->n == 0)
		FAIL(why, RC_NOTFOUND, "the key is revoked (its record has an empty p=)");
	k->sha256 = !h || listed(*h, "sha256");
	k->sha1 = !h || listed(*h, "sha1");
	k->email = !s || listed(*s, "*") || listed(*s, "email");
	k->tls_reports = k->email || listed(*s, "tlsrpt");
	k->testing = flags && listed(*flags, "y");
	k->strict = flags && listed(*flags, "s");
	return kind_parse(k, &t, *p, why);
}

/* ---- the store ---- */

static void unlink_entry(struct dkim_thread *t, struct dkim_key_entry *e)
{
	*(e->newer ? &e->newer->older : &t->newest) = e->older;
	*(e->older ? &e->older->newer : &t->oldest) = e->newer;
}

static void link_newest(struct dkim_thread *t, struct dkim_key_entry *e)
{
	e->newer = NULL;
	e->older = t->newest;
	*(t->newest ? &t->newest->newer : &t->oldest) = e;
	t->newest = e;
}

static void free_entry(struct dkim_key_entry *e)
{
	EVP_PKEY_CTX_free(e->key.rsa);
	mem_free(e);
}

static void drop_oldest(struct dkim_thread *t)
{
	struct dkim_key_entry *e = t->oldest;
	map_drop(&t->keys, str_of(e->text, e->n));
	unlink_entry(t, e);
	free_entry(e);
}

void dkim_key_setup(struct dkim_thread *t) { map_init(&t->keys, DKIM_KEYS_KEPT); }

void dkim_key_forget(struct dkim_thread *t)
{
	while (t->oldest)
		drop_oldest(t);
	map_done(&t->keys);
}

enum rc dkim_key_get(struct str record, const struct dkim_key **out, struct why *why)
{
	struct dkim_thread *t = dkim_thread();
	if (record.n > DKIM_KEY_TEXT_MAX)
		FAIL(why, RC_SYNTAX, "the key record is longer than %d octets", DKIM_KEY_TEXT_MAX);
	if (!t)
		FAIL(why, RC_NOMEM, "out of memory");
	struct dkim_key_entry *e = map_get(&t->keys, record);
	if (e) {
		unlink_entry(t, e);
		link_newest(t, e);
		*out = &e->key;
		return RC_OK;
	}
	e = mem_new(sizeof *e + record.n);
	if (!e)
		FAIL(why, RC_NOMEM, "out of memory");
	e->n = record.n;
	memcpy(e->text, record.p, record.n);
	enum rc rc = key_parse(record, &e->key, why);
	if (rc == RC_OK && t->keys.n == DKIM_KEYS_KEPT)
		drop_oldest(t);
	if (rc == RC_OK)
		rc = map_put(&t->keys, str_of(e->text, e->n), e);
	if (rc != RC_OK) {
		free_entry(e);
		return rc;
	}
	link_newest(t, e);
	*out = &e->key;
	return RC_OK;
}

static enum rc rsa_verify(struct dkim_key *k, enum dkim_hash h, const uint8_t *digest, struct str signature)
{
	if (ERR_peek_error())
		ERR_clear_error();
	if (k->rsa_hash != h) {
		const EVP_MD *md = dkim_md(h);
		if (!md || EVP_PKEY_CTX_set_signature_md(k->rsa, md) != 1)
			return RC_NOMEM;
		k->rsa_hash = h;
	}
	int ok = EVP_PKEY_verify(k->rsa, (const uint8_t *)signature.p, signature.n, digest, dkim_hash_len(h));
	if (ok != 1)
		ERR_clear_error();
	return ok == 1 ? RC_OK : RC_DAMAGED;
}

enum rc dkim_key_verify(const struct dkim_key *k, enum dkim_hash h, const uint8_t *digest, struct str signature)
{
	if (k->kind == DKIM_RSA)
		return rsa_verify((struct dkim_key *)k, h, digest, signature); /* the context remembers its last hash */
	/* RFC 8463 3: Ed25519 (PureEdDSA) over the SHA-256 of what is signed */
	if (signature.n != 64 || h != DKIM_SHA256)
		return RC_DAMAGED;
	return ed25519_verify(k->ed25519, str_of(digest, 32), (const uint8_t *)signature.p);
}
