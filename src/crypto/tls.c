#include "crypto/tls.h"

#include "base/mem.h"
#include "crypto/pem.h"
#include "crypto/thread.h"
#include "crypto/tls_internal.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* One SSL_CTX per chain. A connection holds a reference to the one it started with, so forgetting chains breaks no handshake.
 * Rules: the error queue is emptied before each call; nothing of OpenSSL's per-thread state is relied on over a suspension. */
enum { CHAINS_MAX = 256 };
struct chain { SSL_CTX *ctx; };
struct tls_server {
	struct tls_key_hook hook;
	struct tls_provider provider;
	struct tls_tickets tickets;
	SSL_CTX *bare;                 /* when there is no chain: every handshake fails */
	struct chain chains[CHAINS_MAX];
	size_t n;
};

/* ---- contexts ---- */

static int pick_by_name(SSL *ssl, int *alert, void *arg)
{
	struct tls_server *t = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	if (!name)
		return SSL_TLSEXT_ERR_OK;
	for (size_t i = 0; i < t->n; i++) {
		X509 *leaf = SSL_CTX_get0_certificate(t->chains[i].ctx);
		if (X509_check_host(leaf, name, 0, 0, NULL) != 1)
			continue;
		SSL_set_SSL_CTX(ssl, t->chains[i].ctx);
		break;
	}
	/* RFC 6066 3: a server that does not know the name may go on; mail clients often send none that fits. */
	errors_clear();
	return SSL_TLSEXT_ERR_OK;
}

/* Forward secrecy and AEAD only; no suite in which the server's key would decrypt. */
static const char ciphers_12[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:"
				 "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305";
/* Exactly what enum tls_scheme can express. */
static const char sigalgs[] = "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"
			      "RSA+SHA256:RSA+SHA384:RSA+SHA512";

static SSL_CTX *new_ctx(struct tls_server *t)
{
	errors_clear();
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());
	if (!c)
		return NULL;
	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF); /* tickets only: no state here */
	SSL_CTX_set_num_tickets(c, 1);
	SSL_CTX_set_read_ahead(c, 1); /* a record's head and body, and the next record, with one read */
	SSL_CTX_set_timeout(c, 2 * 3600); /* not longer than ticket keys live */
	SSL_CTX_set_tlsext_servername_callback(c, pick_by_name);
	SSL_CTX_set_tlsext_servername_arg(c, t);
	if (SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
	    SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") == 1 &&
	    SSL_CTX_set_cipher_list(c, ciphers_12) == 1 && SSL_CTX_set1_sigalgs_list(c, sigalgs) == 1 &&
	    SSL_CTX_set1_groups_list(c, "X25519:P-256") == 1 && tls_tickets_attach(c, &t->tickets))
		return c;
	SSL_CTX_free(c);
	return NULL;
}

enum rc tls_server_chain(struct tls_server *t, uint64_t key_id, struct str pem, struct why *why)
{
	STACK_OF(X509) *certs AUTO(x509_stack_free) = NULL;
	EVP_PKEY *key AUTO(pkey_free) = NULL;
	if (t->n == CHAINS_MAX)
		FAIL(why, RC_LIMIT, "more than %d certificates", CHAINS_MAX);
	TRY(pem_chain(pem, &certs, why));
	TRY(tls_hook_key(sk_X509_value(certs, 0), &t->hook, key_id, &key, why));
	SSL_CTX *c = new_ctx(t);
	if (!c)
		return RC_NOMEM;
	bool ok = SSL_CTX_use_certificate(c, sk_X509_value(certs, 0)) == 1 && SSL_CTX_use_PrivateKey(c, key) == 1;
	for (int i = 1; ok && i < sk_X509_num(certs); i++)
		ok = SSL_CTX_add1_chain_cert(c, sk_X509_value(certs, i)) == 1;
	errors_clear();
	if (!ok) {
		SSL_CTX_free(c);
		FAIL(why, RC_SYNTAX, "the certificate cannot be used for TLS");
	}
	t->chains[t->n++].ctx = c;
	return RC_OK;
}

void tls_server_clear(struct tls_server *t)
{
	while (t->n)
		SSL_CTX_free(t->chains[--t->n].ctx);
}

void tls_server_tickets(struct tls_server *t, struct str keys) { tls_tickets_set(&t->tickets, keys); }

/* ---- what a stream calls ---- */

static void *start(void *house, const struct tls_wire *wire)
{
	struct tls_server *t = house;
	errors_clear();
	SSL *ssl = SSL_new(t->n ? t->chains[0].ctx : t->bare);
	if (!ssl || !tls_wire_attach(ssl, wire)) {
		SSL_free(ssl);
		return NULL;
	}
	if (t->tickets.n == 0)
		SSL_set_options(ssl, SSL_OP_NO_TICKET), SSL_set_num_tickets(ssl, 0);
	SSL_set_accept_state(ssl);
	return ssl;
}

/* RFC 9266 2: the exporter with this label and an empty context; 4.2: before TLS 1.3 only with the extended master secret. */
static enum rc exporter(SSL *ssl, struct buf *out)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	unsigned char value[32];
	if (SSL_version(ssl) < TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1)
		return RC_NOTFOUND;
	if (SSL_export_keying_material(ssl, value, sizeof value, label, sizeof label - 1, (const unsigned char *)"", 0, 1) != 1)
		return RC_NOTFOUND;
	buf_add(out, str_of(value, sizeof value));
	return RC_OK;
}

/* RFC 5929 4.1: the hash of the server's certificate with the hash of its signature, SHA-256 in the place of MD5 and SHA-1. */
static enum rc end_point(SSL *ssl, struct buf *out)
{
	X509 *leaf = SSL_get_certificate(ssl);
	unsigned char value[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	int hash = NID_undef;
	if (!leaf || X509_get_signature_info(leaf, &hash, NULL, NULL, NULL) != 1)
		return RC_NOTFOUND;
	if (hash == NID_md5 || hash == NID_sha1)
		hash = NID_sha256;
	const EVP_MD *md = EVP_get_digestbynid(hash); /* none for Ed25519: RFC 5929 leaves it undefined */
	if (!md || X509_digest(leaf, md, value, &n) != 1)
		return RC_NOTFOUND;
	buf_add(out, str_of(value, n));
	return RC_OK;
}

static enum rc binding(void *tls, enum stream_binding kind, struct buf *out)
{
	errors_clear();
	enum rc rc = SSL_is_init_finished(tls) ? kind == STREAM_TLS_EXPORTER ? exporter(tls, out) : end_point(tls, out) : RC_NOTFOUND;
	errors_clear();
	return rc == RC_OK && out->failed ? RC_NOMEM : rc;
}

enum rc tls_server_new(const struct tls_key_hook *hook, struct tls_server **out, struct why *why)
{
	struct tls_server *t = mem_new(sizeof *t);
	if (!t)
		return RC_NOMEM;
	t->hook = *hook;
	t->provider = (struct tls_provider){ t, start, tls_wire_handshake, tls_wire_read, tls_wire_write, tls_wire_facts, tls_wire_stop, binding };
	t->bare = new_ctx(t);
	if (!t->bare) {
		tls_server_free(&t);
		FAIL(why, RC_NOMEM, "TLS does not start");
	}
	*out = t;
	return RC_OK;
}

void tls_server_free(struct tls_server **t)
{
	if (!*t)
		return;
	tls_server_clear(*t);
	SSL_CTX_free((*t)->bare);
	tls_tickets_set(&(*t)->tickets, STR(""));
	mem_free(*t);
	*t = NULL;
}

bool tls_server_ready(const struct tls_server *t) { return t->n > 0; }

static void server_free(struct tls_server **t) { tls_server_free(t); }

enum rc tls_chain_check(struct str pem, struct why *why)
{
	struct tls_server *t AUTO(server_free) = NULL;
	TRY(tls_server_new(&(struct tls_key_hook){ NULL, NULL }, &t, why));
	return tls_server_chain(t, 0, pem, why);
}

enum rc tls_chain_valid(struct str pem, int64_t at, struct why *why)
{
	STACK_OF(X509) *chain AUTO(x509_stack_free) = NULL;
	time_t t = (time_t)at;
	struct tm day = { 0 };
	TRY(pem_chain(pem, &chain, why));
	const X509 *leaf = sk_X509_value(chain, 0);
	const ASN1_TIME *from = X509_get0_notBefore(leaf), *to = X509_get0_notAfter(leaf);
	bool early = X509_cmp_time(from, &t) > 0, late = X509_cmp_time(to, &t) < 0;
	if (!early && !late)
		return RC_OK;
	if (ASN1_TIME_to_tm(late ? to : from, &day) != 1)
		FAIL(why, RC_SYNTAX, "a date of the certificate does not parse");
	FAIL(why, RC_LATE, late ? "the certificate expired on %04d-%02d-%02d" : "the certificate is not valid before %04d-%02d-%02d", day.tm_year + 1900, day.tm_mon + 1,
	     day.tm_mday);
}

const struct tls_provider *tls_server_provider(struct tls_server *t) { return &t->provider; }
