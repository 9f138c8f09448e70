#include "crypto/tls.h"

#include "crypto/pem.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* A small authority for the demo and for tests: one CA, leaves for servers, nothing else. */
enum { HOUR = 3600, DAY = 24 * HOUR, LEAF_DAYS = 90, CA_DAYS = 3652, NAMES_MAX = 64 };

static void bio_free(BIO **b) { BIO_free(*b); }
static void names_free(GENERAL_NAMES **n) { GENERAL_NAMES_free(*n); }

/* Version, serial, life time, subject and public key: what every certificate has. */
static bool fill(X509 *x, const char *name, long days, EVP_PKEY *key)
{
	uint8_t serial[16];
	if (random_bytes(serial, sizeof serial) != RC_OK)
		return false;
	/* RFC 5280 4.1.2.2: "a positive integer", "up to 20 octets" */
	serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
	BIGNUM *bn = BN_bin2bn(serial, sizeof serial, NULL);
	bool ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
	BN_free(bn);
	X509_NAME *subject = X509_get_subject_name(x);
	/* RFC 5280 appendix A: ub-common-name is 64; a longer name is in subjectAltName only */
	size_t n = strnlen(name, 65);
	return ok && X509_set_version(x, X509_VERSION_3) == 1 &&
	       X509_gmtime_adj(X509_getm_notBefore(x), -HOUR) && /* clocks differ */
	       X509_gmtime_adj(X509_getm_notAfter(x), days * DAY) && X509_set_pubkey(x, key) == 1 &&
	       (n > 64 || X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *)name, (int)n, -1, 0) == 1);
}

static bool extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX c;
	X509V3_set_ctx_nodb(&c);
	X509V3_set_ctx(&c, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &c, nid, value);
	bool ok = e && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}

static enum rc give_pem(X509 *x, struct buf *out)
{
	BIO *b AUTO(bio_free) = BIO_new(BIO_s_mem());
	char *p = NULL;
	if (!b || PEM_write_bio_X509(b, x) != 1)
		return RC_NOMEM;
	long n = BIO_get_mem_data(b, &p);
	buf_add(out, str_of(p, n > 0 ? (size_t)n : 0));
	return out->failed ? RC_NOMEM : RC_OK;
}

enum rc tls_ca_make(struct str ca_private_pem, const char *name, struct buf *out_cert_pem, struct why *why)
{
	EVP_PKEY *k AUTO(pkey_free) = NULL;
	TRY(pem_private(ca_private_pem, &k, why));
	X509 *x AUTO(x509_free) = X509_new();
	if (!x || !fill(x, name, CA_DAYS, k) || X509_set_issuer_name(x, X509_get_subject_name(x)) != 1 ||
	    !extend(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") || !extend(x, x, NID_subject_key_identifier, "hash") ||
	    !extend(x, x, NID_authority_key_identifier, "keyid:always") || X509_sign(x, k, EVP_sha256()) == 0) {
		ERR_clear_error();
		FAIL(why, RC_NOMEM, "making the authority's certificate");
	}
	return give_pem(x, out_cert_pem);
}

static bool add_name(GENERAL_NAMES *to, const char *name)
{
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
	ASN1_IA5STRING *dns = ip ? NULL : ASN1_IA5STRING_new();
	ERR_clear_error();
	if (!g || !(ip || dns) || (dns && ASN1_STRING_set(dns, name, -1) != 1)) {
		GENERAL_NAME_free(g);
		ASN1_OCTET_STRING_free(ip);
		ASN1_IA5STRING_free(dns);
		return false;
	}
	if (ip)
		GENERAL_NAME_set0_value(g, GEN_IPADD, ip);
	else
		GENERAL_NAME_set0_value(g, GEN_DNS, dns);
	if (sk_GENERAL_NAME_push(to, g) > 0)
		return true;
	GENERAL_NAME_free(g);
	return false;
}

/* "a.example, 127.0.0.1" -> subjectAltName; the first one also into `first`. */
static enum rc parse_names(struct str list, GENERAL_NAMES *to, char first[256], struct why *why)
{
	for (size_t i = 0; list.n; i++) {
		struct str one, rest;
		(void)str_cut(list, ',', &one, &rest);
		list = rest;
		one = str_trim(one);
		char name[256];
		if (one.n == 0 || one.n >= sizeof name || memchr(one.p, 0, one.n))
			FAIL(why, RC_SYNTAX, "name %zu of the certificate is empty or too long", i + 1);
		if (i >= NAMES_MAX)
			FAIL(why, RC_LIMIT, "more than %d names in a certificate", NAMES_MAX);
		memcpy(name, one.p, one.n);
		name[one.n] = 0;
		if (i == 0)
			memcpy(first, name, one.n + 1);
		if (!add_name(to, name))
			return RC_NOMEM;
	}
	if (sk_GENERAL_NAME_num(to) == 0)
		FAIL(why, RC_SYNTAX, "a certificate needs a name");
	return RC_OK;
}

enum rc tls_leaf_make(struct str ca_private_pem, struct str ca_cert_pem, struct str leaf_private_pem, const char *names,
                      struct buf *out_cert_pem, struct why *why)
{
	EVP_PKEY *ca_key AUTO(pkey_free) = NULL, *key AUTO(pkey_free) = NULL;
	STACK_OF(X509) *chain AUTO(x509_stack_free) = NULL;
	GENERAL_NAMES *san AUTO(names_free) = sk_GENERAL_NAME_new_null();
	X509 *x AUTO(x509_free) = X509_new();
	char first[256] = "";
	if (!san || !x)
		return RC_NOMEM;
	TRY(pem_private(ca_private_pem, &ca_key, why));
	TRY(pem_private(leaf_private_pem, &key, why));
	TRY(pem_chain(ca_cert_pem, &chain, why));
	TRY(parse_names(str_z(names), san, first, why));
	X509 *ca = sk_X509_value(chain, 0);
	if (!fill(x, first, LEAF_DAYS, key) || X509_set_issuer_name(x, X509_get_subject_name(ca)) != 1 ||
	    !extend(x, ca, NID_basic_constraints, "critical,CA:FALSE") || !extend(x, ca, NID_key_usage, "critical,digitalSignature") ||
	    !extend(x, ca, NID_ext_key_usage, "serverAuth") || !extend(x, ca, NID_subject_key_identifier, "hash") ||
	    !extend(x, ca, NID_authority_key_identifier, "keyid:always") ||
	    X509_add1_ext_i2d(x, NID_subject_alt_name, san, 0, X509V3_ADD_DEFAULT) != 1 || X509_sign(x, ca_key, EVP_sha256()) == 0) {
		ERR_clear_error();
		FAIL(why, RC_NOMEM, "making the certificate for %.100s", first);
	}
	return give_pem(x, out_cert_pem);
}
