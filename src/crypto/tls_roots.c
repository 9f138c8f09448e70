#include "crypto/tls_client.h"

#include "base/mem.h"
#include "crypto/thread.h"
#include "crypto/tls_internal.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>

/* Trusted certificates, parsed when one is asked for. A system has 140 of them, and a server meets three: to parse them all took 26 ms of each start and a
 * megabyte. What is read at once is the PEM and where each certificate has its subject; a store looks a certificate up by that (X509_LOOKUP_METHOD).
 * The handshakes of one store are of one thread: another could look into it between two certificates of the same subject. */
enum { ROOTS_MAX = 2000, ROOTS_PEM_MAX = 8 << 20 };

struct root { size_t at, n, subject_at, subject_n; unsigned long hash; bool taken; };
struct roots {
	struct buf der;
	struct root one[ROOTS_MAX + 1];
	size_t n;
	bool hashed;
};

static void bio_free(BIO **b) { BIO_free(*b); }
static void openssl_free(void *p) { OPENSSL_free(*(void **)p); }

/* ---- reading ---- */

/* The next value of DER, which has this tag: its content is left at *p, and *after is what follows. */
static bool enter(const uint8_t **p, const uint8_t *end, int tag, const uint8_t **after)
{
	long n;
	int t, class;
	if (*p >= end || ASN1_get_object(p, &n, &t, &class, end - *p) & 0x81 || t != tag || class != (tag ? V_ASN1_UNIVERSAL : V_ASN1_CONTEXT_SPECIFIC))
		return false;
	*after = *p + n;
	return true;
}

static bool skip_one(const uint8_t **p, const uint8_t *end, int tag)
{
	const uint8_t *after;
	bool is = enter(p, end, tag, &after);
	if (is)
		*p = after;
	return is;
}

/* Where its subject lies in a certificate: RFC 5280 4.1. */
static bool find_subject(const uint8_t *der, size_t n, struct root *r)
{
	const uint8_t *p = der, *end = der + n, *tbs_end, *after, *subject;
	if (!enter(&p, end, V_ASN1_SEQUENCE, &after) || !enter(&p, after, V_ASN1_SEQUENCE, &tbs_end))
		return false;
	if (p < tbs_end && *p == 0xa0 && !skip_one(&p, tbs_end, 0)) /* the version; without one it is 1 */
		return false;
	if (!skip_one(&p, tbs_end, V_ASN1_INTEGER) || !skip_one(&p, tbs_end, V_ASN1_SEQUENCE) || !skip_one(&p, tbs_end, V_ASN1_SEQUENCE) || !skip_one(&p, tbs_end, V_ASN1_SEQUENCE))
		return false;
	subject = p;
	if (!skip_one(&p, tbs_end, V_ASN1_SEQUENCE))
		return false;
	r->subject_at = r->at + (size_t)(subject - der);
	r->subject_n = (size_t)(p - subject);
	return true;
}

/* RC_NOTFOUND: there is no further one. RC_SYNTAX: what stands there is none. Other things in PEM are passed over. */
static enum rc next_der(BIO *b, struct roots *out)
{
	for (;;) {
		char *name AUTO(openssl_free) = NULL, *header AUTO(openssl_free) = NULL;
		unsigned char *data AUTO(openssl_free) = NULL;
		long n = 0;
		if (PEM_read_bio(b, &name, &header, &data, &n) != 1) {
			unsigned long e = ERR_peek_last_error();
			errors_clear();
			return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE ? RC_NOTFOUND : RC_SYNTAX;
		}
		if (strcmp(name, PEM_STRING_X509) && strcmp(name, PEM_STRING_X509_OLD))
			continue;
		struct root *r = &out->one[out->n];
		*r = (struct root){ .at = out->der.len, .n = (size_t)n };
		errors_clear();
		bool is = find_subject(data, r->n, r);
		errors_clear();
		if (!is)
			return RC_SYNTAX;
		buf_add(&out->der, str_of((char *)data, r->n));
		return out->der.failed ? RC_NOMEM : RC_OK;
	}
}

static void roots_free(struct roots **rp)
{
	struct roots *r = *rp;
	if (!r)
		return;
	buf_done(&r->der);
	mem_free(r);
	*rp = NULL;
}

static enum rc roots_read(struct str pem, struct roots **out, struct why *why)
{
	if (pem.n > ROOTS_PEM_MAX)
		FAIL(why, RC_LIMIT, "trusted certificates of %zu octets, at most %d", pem.n, ROOTS_PEM_MAX);
	struct roots *r AUTO(roots_free) = mem_new(sizeof *r);
	BIO *b AUTO(bio_free) = BIO_new_mem_buf(pem.p, (int)pem.n);
	if (!r || !b)
		return RC_NOMEM;
	buf_init(&r->der, pem.n + 1);
	for (enum rc rc; (rc = next_der(b, r)) != RC_NOTFOUND; r->n++) {
		if (rc == RC_SYNTAX)
			FAIL(why, RC_SYNTAX, "trusted certificate %zu does not parse", r->n + 1);
		TRY(rc);
		if (r->n == ROOTS_MAX)
			FAIL(why, RC_LIMIT, "more than %d trusted certificates", ROOTS_MAX);
	}
	*out = r;
	r = NULL;
	return RC_OK;
}

/* ---- being asked ---- */

static X509 *parse(const struct roots *r, const struct root *one)
{
	const uint8_t *p = (const uint8_t *)r->der.p + one->at;
	return d2i_X509(NULL, &p, (long)one->n);
}

static unsigned long hash_of(const X509_NAME *name)
{
	int ok = 0;
	unsigned long h = name ? X509_NAME_hash_ex(name, NULL, NULL, &ok) : 0;
	return ok ? h : 0;
}

/* By the form of a name in which case and spaces make no difference; OpenSSL compares that form itself. */
static void hash_all(struct roots *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const uint8_t *p = (const uint8_t *)r->der.p + r->one[i].subject_at;
		X509_NAME *name = d2i_X509_NAME(NULL, &p, (long)r->one[i].subject_n);
		r->one[i].hash = hash_of(name);
		X509_NAME_free(name);
	}
	r->hashed = true;
}

static void take_those_of(struct roots *r, const X509_NAME *name, X509_STORE *store)
{
	unsigned long h = hash_of(name);
	if (!r->hashed)
		hash_all(r);
	for (size_t i = 0; i < r->n; i++) {
		if (r->one[i].taken || r->one[i].hash != h)
			continue;
		X509 *x = parse(r, &r->one[i]);
		r->one[i].taken = x && X509_STORE_add_cert(store, x) == 1;
		X509_free(x);
	}
}

static int by_subject(X509_LOOKUP *lookup, X509_LOOKUP_TYPE type, const X509_NAME *name, X509_OBJECT *ret)
{
	struct roots *r = X509_LOOKUP_get_method_data(lookup);
	X509_STORE *store = X509_LOOKUP_get_store(lookup);
	if (!r || type != X509_LU_X509)
		return 0;
	take_those_of(r, name, store);
	errors_clear();
	if (X509_STORE_lock(store) != 1)
		return 0;
	X509_OBJECT *there = X509_OBJECT_retrieve_by_subject(X509_STORE_get0_objects(store), type, name);
	X509 *x = there ? X509_OBJECT_get0_X509(there) : NULL;
	(void)X509_STORE_unlock(store);
	if (!x || X509_OBJECT_set1_X509(ret, x) != 1)
		return 0;
	X509_free(x); /* the caller counts its own reference; the store keeps one for good */
	return 1;
}

static void lookup_done(X509_LOOKUP *lookup)
{
	struct roots *r = X509_LOOKUP_get_method_data(lookup);
	roots_free(&r);
}

static X509_LOOKUP_METHOD *method;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_method(void)
{
	X509_LOOKUP_METHOD *m = X509_LOOKUP_meth_new("trusted certificates, parsed when asked for");
	if (m && X509_LOOKUP_meth_set_get_by_subject(m, by_subject) == 1 && X509_LOOKUP_meth_set_free(m, lookup_done) == 1)
		method = m;
	else
		X509_LOOKUP_meth_free(m);
}

enum rc tls_roots_add(X509_STORE *store, struct str pem, struct why *why)
{
	struct roots *r AUTO(roots_free) = NULL;
	TRY(roots_read(pem, &r, why));
	(void)pthread_once(&once, make_method);
	X509_LOOKUP *lookup = method ? X509_STORE_add_lookup(store, method) : NULL;
	if (!lookup || X509_LOOKUP_set_method_data(lookup, r) != 1)
		return RC_NOMEM;
	r = NULL;
	return RC_OK;
}

static bool is_subject_of(const struct roots *r, const struct root *one, const X509 *x)
{
	const unsigned char *der;
	size_t n;
	return X509_NAME_get0_der(X509_get_subject_name(x), &der, &n) == 1 && str_eq(str_of((const char *)der, n), str_of(r->der.p + one->subject_at, one->subject_n));
}

enum rc tls_roots_check(struct str pem, struct why *why)
{
	struct roots *r AUTO(roots_free) = NULL;
	TRY(roots_read(pem, &r, why));
	for (size_t i = 0; i < r->n; i++) {
		X509 *x = parse(r, &r->one[i]);
		bool same = x && is_subject_of(r, &r->one[i], x);
		X509_free(x);
		errors_clear();
		if (!same)
			FAIL(why, RC_SYNTAX, "trusted certificate %zu does not parse", i + 1);
	}
	return RC_OK;
}
