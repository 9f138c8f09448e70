/* A key without its private half, as an OpenSSL provider: key management and signatures, for "RSA" and "EC".
 *
 * 1. What leaves for the key's holder is a digest and a scheme (enum tls_scheme), never padded or raw input: RSA_METHOD would hand
 *    over raw blocks for PSS, which makes whoever signs them an oracle.
 * 2. There is no decryption, no raw signing and no export here: what is not written cannot be asked for.
 * 3. The provider lives in a library context of its own. In the default one its "RSA" would be found by everybody's look-ups.
 * 4. OpenSSL calls us on the caller's own stack and holds no lock meanwhile: the fiber may suspend inside. */
#include "crypto/tls_internal.h"

#include "base/mem.h"
#include "crypto/pem.h"
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <pthread.h>

/* ---- a key: its public half, and whom to ask for the other. Goes with the EVP_PKEY, so a reload breaks no handshake ---- */

struct asked { EVP_PKEY *public; const struct tls_key_hook *hook; uint64_t key_id; };

static const char param_asked[] = "letterlock-asked"; /* octets of a struct asked: whom, and which key */

static void *key_new(void *provider) { return mem_new(sizeof(struct asked)); }

static void key_free(void *key)
{
	struct asked *a = key;
	if (a)
		EVP_PKEY_free(a->public);
	mem_free(a);
}

static int key_has(const void *key, int selection) { return 1; }

static int key_match(const void *one, const void *other, int selection)
{
	const struct asked *a = one, *b = other;
	return a->public && b->public && EVP_PKEY_eq(a->public, b->public) == 1;
}

static void pctx_free(EVP_PKEY_CTX **c) { EVP_PKEY_CTX_free(*c); }

/* A public half comes in: the leaf's (with `param_asked`), or one to be compared with it. */
static int import(struct asked *a, const char *type, const OSSL_PARAM params[])
{
	EVP_PKEY_CTX *c AUTO(pctx_free) = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, param_asked);
	if (p && p->data_size == sizeof *a) {
		struct asked from;
		memcpy(&from, p->data, sizeof from);
		a->hook = from.hook;
		a->key_id = from.key_id;
	}
	EVP_PKEY_free(a->public);
	a->public = NULL;
	return c && EVP_PKEY_fromdata_init(c) == 1 && EVP_PKEY_fromdata(c, &a->public, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)(uintptr_t)params) == 1;
}

static int rsa_import(void *key, int selection, const OSSL_PARAM params[]) { return import(key, "RSA", params); }
static int ec_import(void *key, int selection, const OSSL_PARAM params[]) { return import(key, "EC", params); }

static const OSSL_PARAM *import_types(int selection)
{
	static const OSSL_PARAM none[] = { OSSL_PARAM_END };
	return none;
}

static int key_get(void *key, OSSL_PARAM params[])
{
	struct asked *a = key;
	return a->public && EVP_PKEY_get_params(a->public, params) == 1;
}

static const OSSL_PARAM *key_gettable(void *provider)
{
	static const OSSL_PARAM can[] = { OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL), OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		                          OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL), OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		                          OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0), OSSL_PARAM_END };
	return can;
}

static const char *rsa_operation(int operation) { return operation == OSSL_OP_SIGNATURE ? "RSA" : NULL; }
static const char *ec_operation(int operation) { return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL; }

/* ---- a signature over a whole message: digest here, the rest at the key's holder ---- */

struct signing { const struct asked *key; EVP_MD *md; bool pss; };

static void *sign_new(void *provider, const char *properties) { return mem_new(sizeof(struct signing)); }

static void sign_free(void *ctx)
{
	struct signing *s = ctx;
	if (s)
		EVP_MD_free(s->md);
	mem_free(s);
}

static int set_params(void *ctx, const OSSL_PARAM params[])
{
	struct signing *s = ctx;
	const OSSL_PARAM *p = params ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE) : NULL;
	int mode = 0;
	if (p && p->data_type == OSSL_PARAM_UTF8_STRING)
		mode = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0 ? RSA_PKCS1_PSS_PADDING
		     : strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0 ? RSA_PKCS1_PADDING : 0;
	else if (p && OSSL_PARAM_get_int(p, &mode) != 1)
		return 0;
	if (p && mode != RSA_PKCS1_PSS_PADDING && mode != RSA_PKCS1_PADDING)
		return 0;
	if (p)
		s->pss = mode == RSA_PKCS1_PSS_PADDING;
	/* RFC 8446 4.2.3: "The length of the Salt MUST be equal to the length of the digest algorithm": the holder knows no other. */
	p = params ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN) : NULL;
	return !p || (p->data_type == OSSL_PARAM_UTF8_STRING && strcmp(p->data, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0);
}

static const OSSL_PARAM *settable(void *ctx, void *provider)
{
	static const OSSL_PARAM can[] = { OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
		                          OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0), OSSL_PARAM_END };
	return can;
}

static int sign_init(void *ctx, const char *digest, void *key, const OSSL_PARAM params[])
{
	struct signing *s = ctx;
	if (!digest || !key)
		return 0;
	EVP_MD_free(s->md);
	*s = (struct signing){ .key = key, .md = EVP_MD_fetch(NULL, digest, NULL) };
	return s->md && set_params(s, params);
}

/* 0: nothing that we would sign. */
static enum tls_scheme scheme_of(const struct signing *s)
{
	bool rsa = EVP_PKEY_is_a(s->key->public, "RSA");
	static const char *const name[] = { "SHA256", "SHA384", "SHA512" };
	for (unsigned i = 0; i < 3; i++)
		if (EVP_MD_is_a(s->md, name[i]))
			return !rsa ? TLS_ECDSA : (enum tls_scheme)((s->pss ? TLS_RSA_PSS_SHA256 : TLS_RSA_PKCS1_SHA256) + i);
	return (enum tls_scheme)0;
}

static int sign_all(void *ctx, unsigned char *out, size_t *n, size_t room, const unsigned char *text, size_t text_n)
{
	struct signing *s = ctx;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned digest_n = 0;
	struct buf b AUTO(buf_done);
	int size = s->key && s->key->hook && s->md ? EVP_PKEY_get_size(s->key->public) : 0;
	buf_init(&b, size > 0 ? (size_t)size : 0);
	if (size <= 0)
		return 0;
	if (!out) {
		*n = (size_t)size;
		return 1;
	}
	enum tls_scheme scheme = scheme_of(s);
	if (!scheme || EVP_Digest(text, text_n, digest, &digest_n, s->md, NULL) != 1)
		return 0;
	/* The key outlives the wait: the connection holds it. */
	enum rc rc = s->key->hook->sign(s->key->hook->house, s->key->key_id, scheme, str_of(digest, digest_n), &b);
	ERR_clear_error(); /* other fibers ran: what is queued now is theirs */
	if (rc != RC_OK || b.failed || b.len == 0 || b.len > room)
		return 0;
	memcpy(out, b.p, b.len);
	*n = b.len;
	return 1;
}

/* ---- the provider ---- */

#define F_(id, fn) { id, (void (*)(void))(fn) }
#define KEYS(import_fn, operation_fn)                                                                                                   \
	{ F_(OSSL_FUNC_KEYMGMT_NEW, key_new), F_(OSSL_FUNC_KEYMGMT_FREE, key_free), F_(OSSL_FUNC_KEYMGMT_HAS, key_has),                \
	  F_(OSSL_FUNC_KEYMGMT_MATCH, key_match), F_(OSSL_FUNC_KEYMGMT_IMPORT, import_fn),                                              \
	  F_(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, import_types), F_(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get),                                  \
	  F_(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable), F_(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation_fn), { 0, NULL } }

static const OSSL_DISPATCH rsa_keys[] = KEYS(rsa_import, rsa_operation), ec_keys[] = KEYS(ec_import, ec_operation);
static const OSSL_DISPATCH signatures[] = {
	F_(OSSL_FUNC_SIGNATURE_NEWCTX, sign_new),
	F_(OSSL_FUNC_SIGNATURE_FREECTX, sign_free),
	F_(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, sign_init),
	F_(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, sign_all),
	F_(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, set_params),
	F_(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, settable),
	{ 0, NULL },
};

static const OSSL_ALGORITHM *algorithms(void *provider, int operation, int *no_cache)
{
	static const OSSL_ALGORITHM keys[] = { { "RSA:rsaEncryption", "provider=letterlock", rsa_keys, NULL },
		                               { "EC:id-ecPublicKey", "provider=letterlock", ec_keys, NULL }, { NULL, NULL, NULL, NULL } };
	static const OSSL_ALGORITHM signs[] = { { "RSA", "provider=letterlock", signatures, NULL },
		                                { "ECDSA", "provider=letterlock", signatures, NULL }, { NULL, NULL, NULL, NULL } };
	*no_cache = 0;
	return operation == OSSL_OP_KEYMGMT ? keys : operation == OSSL_OP_SIGNATURE ? signs : NULL;
}

static int provide(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provider)
{
	static const OSSL_DISPATCH functions[] = { F_(OSSL_FUNC_PROVIDER_QUERY_OPERATION, algorithms), { 0, NULL } };
	static char nothing;
	*out = functions;
	*provider = &nothing; /* there is no state; OpenSSL wants an address */
	return 1;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_LIB_CTX *ours; /* made once, lives as long as the process */

static void start(void)
{
	OSSL_LIB_CTX *c = OSSL_LIB_CTX_new();
	if (c && OSSL_PROVIDER_add_builtin(c, "letterlock", provide) == 1 && OSSL_PROVIDER_load(c, "letterlock"))
		ours = c;
	else
		OSSL_LIB_CTX_free(c);
}

static void params_free(OSSL_PARAM **p) { OSSL_PARAM_free(*p); }

enum rc tls_hook_key(X509 *leaf, const struct tls_key_hook *hook, uint64_t key_id, EVP_PKEY **out, struct why *why)
{
	ERR_clear_error();
	pthread_once(&once, start);
	if (!ours)
		return RC_NOMEM;
	EVP_PKEY *public AUTO(pkey_free) = X509_get_pubkey(leaf);
	enum pkey_kind kind = public ? pkey_kind(public) : PKEY_OTHER;
	if (kind == PKEY_OTHER) {
		ERR_clear_error();
		FAIL(why, RC_SYNTAX, "the certificate's key is not %s", pkey_kinds);
	}
	struct asked asked = { .hook = hook, .key_id = key_id };
	OSSL_PARAM ask[] = { OSSL_PARAM_octet_string(param_asked, &asked, sizeof asked), OSSL_PARAM_END };
	OSSL_PARAM *half AUTO(params_free) = NULL, *whole AUTO(params_free) = NULL;
	EVP_PKEY_CTX *c AUTO(pctx_free) = EVP_PKEY_CTX_new_from_name(ours, kind == PKEY_RSA ? "RSA" : "EC", NULL);
	EVP_PKEY *key = NULL;
	bool ok = c && EVP_PKEY_todata(public, EVP_PKEY_PUBLIC_KEY, &half) == 1 && (whole = OSSL_PARAM_merge(half, ask)) &&
		  EVP_PKEY_fromdata_init(c) == 1 && EVP_PKEY_fromdata(c, &key, EVP_PKEY_KEYPAIR, whole) == 1;
	ERR_clear_error();
	if (!ok)
		return RC_NOMEM;
	*out = key;
	return RC_OK;
}
