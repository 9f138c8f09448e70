/* Is this chain what we want to see? Three answers, all always found: a chain to a root (RFC 5280), a name (RFC 6125), a TLSA record
 * (RFC 7671, 7672). What was wanted only decides which of them count.
 *
 * 1. A name is looked for in the leaf alone; CN counts only for DANE-TA, where RFC 7672 3.2.3 allows it: RFC 8461 4.1 wants a subjectAltName.
 * 2. DANE-EE looks at nothing but the match: neither names nor dates (RFC 7672 3.1.1). */
#include "crypto/tls_internal.h"

#include "crypto/thread.h"
#include <openssl/x509v3.h>

enum { DEPTH_MAX = 20 };

static void store_ctx_free(X509_STORE_CTX **c) { X509_STORE_CTX_free(*c); }

/* The date on which a certificate ended, for people. */
static void date_of(const ASN1_TIME *t, char out[16])
{
	struct tm tm;
	out[0] = 0;
	if (t && ASN1_TIME_to_tm(t, &tm) == 1)
		(void)snprintf(out, 16, "%04u-%02u-%02u", (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100, (unsigned)tm.tm_mday % 100);
}

static X509_STORE_CTX *begin(X509_STORE *roots, X509 *leaf, STACK_OF(X509) *chain, int64_t at)
{
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	if (!c || X509_STORE_CTX_init(c, roots, leaf, chain) != 1 || X509_STORE_CTX_set_default(c, "ssl_server") != 1) {
		X509_STORE_CTX_free(c);
		return NULL;
	}
	X509_STORE_CTX_set_depth(c, DEPTH_MAX);
	if (at)
		X509_STORE_CTX_set_time(c, 0, (time_t)at);
	return c;
}

static int verify(X509_STORE_CTX *c, char expired[16])
{
	int ok = X509_verify_cert(c), error = X509_STORE_CTX_get_error(c);
	X509 *at = X509_STORE_CTX_get_current_cert(c);
	if (ok != 1 && error == X509_V_OK)
		error = X509_V_ERR_UNSPECIFIED;
	if (error == X509_V_ERR_CERT_HAS_EXPIRED && at)
		date_of(X509_get0_notAfter(at), expired);
	return error;
}

static int check_pkix(X509_STORE *roots, X509 *leaf, STACK_OF(X509) *chain, int64_t at, char expired[16])
{
	X509_STORE_CTX *c AUTO(store_ctx_free) = begin(roots, leaf, chain, at);
	if (!c)
		return X509_V_ERR_OUT_OF_MEM;
	/* What the administrator put among the roots is trusted, also where it is no root itself (a company's own issuer). */
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(c), X509_V_FLAG_PARTIAL_CHAIN);
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(c), 1);
	return verify(c, expired);
}

static int check_dane(SSL *ssl, X509_STORE *roots, X509 *leaf, STACK_OF(X509) *chain, int64_t at, struct tls_verdict *v, char expired[16])
{
	uint8_t usage = 0, selector = 0, matching = 0;
	X509_STORE_CTX *c AUTO(store_ctx_free) = begin(roots, leaf, chain, 0);
	if (!c || X509_VERIFY_PARAM_set1(X509_STORE_CTX_get0_param(c), SSL_get0_param(ssl)) != 1 ||
	    X509_STORE_CTX_set_ex_data(c, SSL_get_ex_data_X509_STORE_CTX_idx(), ssl) != 1)
		return X509_V_ERR_OUT_OF_MEM;
	if (at)
		X509_STORE_CTX_set_time(c, 0, (time_t)at);
	X509_STORE_CTX_set0_dane(c, SSL_get0_dane(ssl));
	int error = verify(c, expired);
	if (error == X509_V_OK) {
		SSL_set_verify_result(ssl, X509_V_OK); /* the next two tell nothing otherwise */
		v->depth = SSL_get0_dane_authority(ssl, NULL, NULL);
		if (SSL_get0_dane_tlsa(ssl, &usage, &selector, &matching, NULL, NULL) >= 0)
			v->usage = usage, v->selector = selector, v->matching = matching;
	}
	return error;
}

static bool has_name(X509 *leaf, const struct tls_wish *w)
{
	for (size_t i = 0; i < w->name_n; i++)
		if (X509_check_host(leaf, w->names[i], 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1 ||
		    X509_check_ip_asc(leaf, w->names[i], 0) == 1)
			return true;
	return false;
}

/* ---- in words ---- */

static void clean(char *p)
{
	for (; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

/* Whose certificate it is: its first DNS name, else its common name. */
static void subject_of(X509 *leaf, char *out, size_t cap)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	out[0] = 0;
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !out[0]; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		if (g->type == GEN_DNS)
			(void)snprintf(out, cap, "%.*s", ASN1_STRING_length(g->d.dNSName), (const char *)ASN1_STRING_get0_data(g->d.dNSName));
	}
	GENERAL_NAMES_free(names);
	if (!out[0] && X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, out, (int)cap) < 0)
		out[0] = 0;
	clean(out);
}

static const char *type_of(int error)
{
	switch (error) {
	case X509_V_OK: return "";
	case X509_V_ERR_CERT_HAS_EXPIRED: return "certificate-expired";
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH: return "certificate-host-mismatch";
	case X509_V_ERR_DANE_NO_MATCH: return "tlsa-invalid";
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_UNTRUSTED: return "certificate-not-trusted";
	default: return "validation-failure";
	}
}

static void words_of(int error, const char *expired, const struct tls_wish *w, struct tls_peer_facts *f)
{
	size_t cap = sizeof f->words;
	const char *type = type_of(error);
	if (error == X509_V_ERR_CERT_HAS_EXPIRED)
		(void)snprintf(f->words, cap, "certificate expired on %s", expired);
	else if (strcmp(type, "certificate-host-mismatch") == 0)
		(void)snprintf(f->words, cap, "certificate is for %.60s, not for %.60s", f->subject[0] ? f->subject : "no name", w->names[0]);
	else if (error == X509_V_ERR_DANE_NO_MATCH)
		(void)snprintf(f->words, cap, "certificate of %.60s matches no TLSA record", f->subject[0] ? f->subject : "no name");
	else if (strcmp(type, "certificate-not-trusted") == 0)
		(void)snprintf(f->words, cap, "certificate not trusted: %.100s", X509_verify_cert_error_string(error));
	else if (error != X509_V_OK)
		(void)snprintf(f->words, cap, "certificate not valid: %.100s", X509_verify_cert_error_string(error));
	else if (f->dane_ok && w->want != TLS_WANT_PKIX)
		(void)snprintf(f->words, cap, "verified by DANE");
	else
		(void)snprintf(f->words, cap, "verified for %.80s", f->subject);
}

bool tls_judge(SSL *ssl, X509_STORE *roots, X509 *leaf, STACK_OF(X509) *chain, const struct tls_wish *w, int64_t at, struct tls_verdict *out_verdict,
               struct tls_peer_facts *out)
{
	char expired[16] = "", dane_expired[16] = "";
	struct tls_verdict v = { .depth = -1, .usage = -1 };
	errors_clear();
	subject_of(leaf, out->subject, sizeof out->subject);
	v.pkix = check_pkix(roots, leaf, chain, at, expired);
	v.dane = w->dane ? check_dane(ssl, roots, leaf, chain, at, &v, dane_expired) : X509_V_ERR_DANE_NO_MATCH;
	out->pkix_ok = v.pkix == X509_V_OK;
	out->name_ok = has_name(leaf, w);
	out->dane_ok = w->dane && v.dane == X509_V_OK;
	bool by_dane = w->want == TLS_WANT_DANE;
	int error = by_dane ? v.dane : v.pkix != X509_V_OK ? v.pkix : out->name_ok ? X509_V_OK : X509_V_ERR_HOSTNAME_MISMATCH;
	out->result_type = type_of(error);
	words_of(error, by_dane ? dane_expired : expired, w, out);
	errors_clear();
	*out_verdict = v;
	return error == X509_V_OK;
}
