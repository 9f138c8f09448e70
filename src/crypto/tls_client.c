#include "crypto/tls_client.h"

#include "base/mem.h"
#include "crypto/pem.h"
#include "crypto/thread.h"
#include "crypto/tls_internal.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* One SSL_CTX for the process; each connection's SSL asks its own peer what to think of the certificates (judge_them). No sessions are kept: a resumed one
 * would show no certificate, and each connection's verdict is to be its own. */
enum { TLSA_MAX = 100 };
struct tls_client { SSL_CTX *ctx; };
struct tls_peer {
	struct tls_client *client;
	struct tls_wish wish;
	struct tls_provider provider;
	struct tls_tlsa *tlsa; size_t tlsa_n;
	struct buf tlsa_data;
	struct tls_verdict verdict;
	struct tls_peer_facts facts;
	bool judged;
};

static void ssl_free(SSL **s) { SSL_free(*s); }
static void client_free(struct tls_client **c) { tls_client_free(c); }
static void peer_free(struct tls_peer **p) { tls_peer_free(p); }

/* ---- the client ---- */

/* Forward secrecy always where we insist on a verdict. Opportunistic TLS takes anything that is better than clear text (RFC 7435 3). */
#define VERIFIED_12 "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES"
static const char verified_12[] = VERIFIED_12 ":!aNULL:!PSK:@SECLEVEL=1";
static const char any_12[] = VERIFIED_12 ":DHE+AES:kRSA+AESGCM:kRSA+AES:!aNULL:!PSK:@SECLEVEL=0";

static int judge_them(X509_STORE_CTX *c, void *arg)
{
	const struct tls_client *client = arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(c, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_peer *p = ssl ? SSL_get_app_data(ssl) : NULL;
	X509 *leaf = X509_STORE_CTX_get0_cert(c);
	if (!p || !leaf)
		return 0;
	bool met = tls_judge(ssl, SSL_CTX_get_cert_store(client->ctx), leaf, X509_STORE_CTX_get0_untrusted(c), &p->wish, 0, &p->verdict, &p->facts);
	p->judged = true;
	met = met || p->wish.want == TLS_WANT_ANY;
	int error = p->wish.want == TLS_WANT_DANE ? p->verdict.dane : p->verdict.pkix;
	X509_STORE_CTX_set_error(c, met ? X509_V_OK : error != X509_V_OK ? error : X509_V_ERR_HOSTNAME_MISMATCH); /* chooses the alert */
	return met;
}

enum rc tls_client_new(struct str roots_pem, struct tls_client **out, struct why *why)
{
	errors_clear();
	struct tls_client *c AUTO(client_free) = mem_new(sizeof *c);
	if (!c)
		return RC_NOMEM;
	c->ctx = SSL_CTX_new(TLS_client_method());
	if (!c->ctx || SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) != 1 || SSL_CTX_dane_enable(c->ctx) != 1)
		FAIL(why, RC_NOMEM, "TLS does not start");
	SSL_CTX_set_options(c->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_read_ahead(c->ctx, 1);
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(c->ctx, judge_them, c);
	TRY(tls_roots_add(SSL_CTX_get_cert_store(c->ctx), roots_pem, why));
	*out = c;
	c = NULL;
	return RC_OK;
}

void tls_client_free(struct tls_client **c)
{
	if (!*c)
		return;
	SSL_CTX_free((*c)->ctx);
	mem_free(*c);
	*c = NULL;
}

/* ---- a peer: what is wanted ---- */

static enum rc take_name(struct str s, char out[TLS_NAME_MAX + 1], struct why *why)
{
	if (s.n && s.p[s.n - 1] == '.')
		s.n--;
	if (s.n == 0 || s.n > TLS_NAME_MAX || s.p[0] == '.')
		FAIL(why, RC_SYNTAX, "not a name for a certificate: it has 1 to %d octets", TLS_NAME_MAX);
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alnum(s.p[i]) && !memchr("-._:", s.p[i], 4))
			FAIL(why, RC_SYNTAX, "not a name for a certificate: it has an octet that no host name has");
	memcpy(out, s.p, s.n);
	out[s.n] = 0;
	return RC_OK;
}

static bool is_address(const char *name)
{
	ASN1_OCTET_STRING *a = a2i_IPADDRESS(name);
	errors_clear();
	ASN1_OCTET_STRING_free(a);
	return a != NULL;
}

static enum rc take_names(struct tls_peer *p, const struct tls_peer_config *c, struct why *why)
{
	struct tls_wish *w = &p->wish;
	if (c->name_n > TLS_NAMES_MAX)
		FAIL(why, RC_LIMIT, "more than %d names for one certificate", TLS_NAMES_MAX);
	TRY(take_name(c->sni, w->sni, why));
	for (size_t i = 0; i < c->name_n; i++)
		TRY(take_name(c->names[i], w->names[i], why));
	w->name_n = c->name_n;
	if (!w->name_n) {
		memcpy(w->names[0], w->sni, sizeof w->sni);
		w->name_n = 1;
	}
	/* RFC 6066 3: "Literal IPv4 and IPv6 addresses are not permitted in 'HostName'." */
	if (is_address(w->sni))
		w->sni[0] = 0;
	return RC_OK;
}

/* RFC 7672 3.1.3: "SMTP client treatment of TLSA RRs with certificate usages PKIX-TA(0) or PKIX-EE(1) is undefined"; ours: unusable. */
static bool is_usable(const struct tls_tlsa *t, struct tls_dane_rules rules)
{
	size_t n = t->matching == 1 ? 32 : t->matching == 2 ? 64 : 0;
	return (t->usage == 2 || t->usage == 3 || (rules.pkix_usages && t->usage < 2)) && t->selector <= 1 && t->matching <= 2 && t->data.n > 0 &&
	       t->data.n <= 65535 && (n == 0 || t->data.n == n);
}

static enum rc take_records(struct tls_peer *p, const struct tls_peer_config *c)
{
	size_t n = c->tlsa_n < TLSA_MAX ? c->tlsa_n : TLSA_MAX, total = 0;
	for (size_t i = 0; i < n; i++)
		total += is_usable(&c->tlsa[i], p->wish.rules) ? c->tlsa[i].data.n : 0;
	buf_init(&p->tlsa_data, total);
	if (total && (!buf_room(&p->tlsa_data, total) || !(p->tlsa = mem_new(n * sizeof *p->tlsa))))
		return RC_NOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!is_usable(&c->tlsa[i], p->wish.rules))
			continue;
		p->tlsa[p->tlsa_n] = c->tlsa[i];
		p->tlsa[p->tlsa_n++].data = str_of(p->tlsa_data.p + p->tlsa_data.len, c->tlsa[i].data.n);
		buf_add(&p->tlsa_data, c->tlsa[i].data);
	}
	return RC_OK;
}

/* The records into an SSL; how many it took (a whole certificate that does not parse is not taken), -1 = no memory. */
static int add_records(const struct tls_peer *p, SSL *ssl)
{
	int took = 0;
	const struct tls_wish *w = &p->wish;
	if (!p->tlsa_n)
		return 0;
	if (SSL_dane_enable(ssl, w->names[0]) <= 0)
		return -1;
	if (!w->rules.ee_names)
		SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	for (size_t i = 1; i < w->name_n; i++)
		if (SSL_add1_host(ssl, w->names[i]) != 1)
			return -1;
	for (size_t i = 0; i < p->tlsa_n; i++) {
		const struct tls_tlsa *t = &p->tlsa[i];
		int r = SSL_dane_tlsa_add(ssl, t->usage, t->selector, t->matching, (const unsigned char *)t->data.p, t->data.n);
		took += r > 0;
	}
	errors_clear();
	return took;
}

static SSL *new_ssl(struct tls_peer *p)
{
	errors_clear();
	SSL *ssl AUTO(ssl_free) = SSL_new(p->client->ctx);
	if (!ssl || SSL_set_cipher_list(ssl, p->wish.want == TLS_WANT_ANY ? any_12 : verified_12) != 1 ||
	    SSL_set_app_data(ssl, p) != 1 || add_records(p, ssl) < 0)
		return NULL;
	/* RFC 7672 8.1: "SMTP clients ... MUST send the TLS SNI extension containing the TLSA base domain"; SSL_dane_enable() may have put another name there. */
	if (SSL_set_tlsext_host_name(ssl, (p->wish.sni[0] ? p->wish.sni : NULL)) != 1)
		return NULL;
	SSL_set_connect_state(ssl);
	SSL *made = ssl;
	ssl = NULL;
	return made;
}

/* ---- what a stream calls ---- */

static void forget(struct tls_peer *p, const char *words)
{
	p->judged = false;
	p->verdict = (struct tls_verdict){ .depth = -1, .usage = -1 };
	p->facts = (struct tls_peer_facts){ .result_type = "validation-failure" };
	(void)snprintf(p->facts.words, sizeof p->facts.words, "%s", words);
}

static void *start(void *house, const struct tls_wire *wire)
{
	struct tls_peer *p = house;
	forget(p, "the handshake did not end");
	SSL *ssl AUTO(ssl_free) = new_ssl(p);
	if (!ssl || !tls_wire_attach(ssl, wire))
		return NULL;
	SSL *made = ssl;
	ssl = NULL;
	return made;
}

/* "TLSv1.3 AES_256_GCM": the hash at the end of 1.3's names tells nobody anything. */
static void suite_words(SSL *ssl, char out[64])
{
	struct str name = str_z(SSL_get_cipher_name(ssl));
	if (str_starts(name, STR("TLS_"))) {
		name = str_skip(name, 4);
		size_t at = str_find_str(name, STR("_SHA"));
		name = str_head(name, at);
	}
	(void)snprintf(out, 64, "%s %.*s", SSL_get_version(ssl), (int)(name.n < 40 ? name.n : 40), name.p);
}

static void note_success(struct tls_peer *p, SSL *ssl)
{
	char verdict[sizeof p->facts.words], suite[64];
	struct tls_peer_facts *f = &p->facts;
	const struct tls_verdict *v = &p->verdict;
	f->done = true;
	(void)snprintf(verdict, sizeof verdict, "%s", f->words);
	suite_words(ssl, suite);
	if (f->dane_ok && v->usage >= 0 && p->wish.want != TLS_WANT_PKIX)
		(void)snprintf(f->words, sizeof f->words, "%s, verified by DANE (%d %d %d)", suite, v->usage, v->selector, v->matching);
	else
		(void)snprintf(f->words, sizeof f->words, "%s, %s%.80s", suite, f->result_type[0] ? "not verified: " : "", verdict);
}

/* What a verdict has not explained: the words are those of the library's first complaint. */
static void note_failure(struct tls_peer *p, unsigned long error, int outcome)
{
	struct tls_peer_facts *f = &p->facts;
	const char *reason = ERR_reason_error_string(error);
	bool refused_by_us = p->judged && f->result_type[0] && p->wish.want != TLS_WANT_ANY;
	if (refused_by_us)
		return;
	f->result_type = "validation-failure";
	if (reason)
		(void)snprintf(f->words, sizeof f->words, "the TLS handshake failed: %.100s", reason);
	else
		(void)snprintf(f->words, sizeof f->words, "%s", outcome == TLS_BROKEN ? "the peer broke the TLS handshake off" : "the peer ended TLS at once");
}

static int handshake(void *tls)
{
	SSL *ssl = tls;
	struct tls_peer *p = SSL_get_app_data(ssl);
	errors_clear();
	int r = SSL_do_handshake(ssl);
	if (r == 1) {
		note_success(p, ssl);
		return 1;
	}
	unsigned long error = ERR_peek_error();
	int outcome = tls_wire_outcome(ssl, r);
	if (outcome == TLS_WANT_READ || outcome == TLS_WANT_WRITE)
		return outcome;
	note_failure(p, error, outcome);
	return TLS_BROKEN;
}

enum rc tls_peer_new_by(struct tls_client *c, const struct tls_peer_config *config, struct tls_dane_rules rules, struct tls_peer **out, struct why *why)
{
	struct tls_peer *p AUTO(peer_free) = mem_new(sizeof *p);
	if (!p)
		return RC_NOMEM;
	p->client = c;
	p->wish.want = config->want;
	p->wish.rules = rules;
	p->provider = (struct tls_provider){ p, start, handshake, tls_wire_read, tls_wire_write, tls_wire_facts, tls_wire_stop };
	forget(p, "no handshake yet");
	TRY(take_names(p, config, why));
	TRY(take_records(p, config));
	SSL *ssl AUTO(ssl_free) = SSL_new(c->ctx);
	int took = ssl ? add_records(p, ssl) : -1;
	errors_clear();
	if (took < 0)
		FAIL(why, RC_NOMEM, "no memory for a TLS connection");
	p->wish.dane = took > 0;
	if (config->want == TLS_WANT_DANE && !took)
		FAIL(why, RC_NOTFOUND, "no usable TLSA record among %zu", config->tlsa_n);
	*out = p;
	p = NULL;
	return RC_OK;
}

enum rc tls_peer_new(struct tls_client *c, const struct tls_peer_config *p, struct tls_peer **out, struct why *why)
{
	return tls_peer_new_by(c, p, (struct tls_dane_rules){ false, false }, out, why);
}

void tls_peer_free(struct tls_peer **p)
{
	if (!*p)
		return;
	mem_free((*p)->tlsa);
	buf_done(&(*p)->tlsa_data);
	mem_free(*p);
	*p = NULL;
}

const struct tls_provider *tls_peer_provider(struct tls_peer *p) { return &p->provider; }
void tls_peer_facts(const struct tls_peer *p, struct tls_peer_facts *out) { *out = p->facts; }
const struct tls_verdict *tls_peer_verdict(const struct tls_peer *p) { return &p->verdict; }

enum rc tls_peer_judge(struct tls_peer *p, struct str chain_pem, int64_t at_s, struct why *why)
{
	STACK_OF(X509) *certs AUTO(x509_stack_free) = NULL;
	TRY(pem_chain(chain_pem, &certs, why));
	forget(p, "");
	SSL *ssl AUTO(ssl_free) = new_ssl(p);
	if (!ssl)
		return RC_NOMEM;
	X509 *leaf = sk_X509_value(certs, 0);
	bool met = tls_judge(ssl, SSL_CTX_get_cert_store(p->client->ctx), leaf, certs, &p->wish, at_s, &p->verdict, &p->facts);
	if (!met && p->wish.want != TLS_WANT_ANY)
		FAIL(why, RC_DENIED, "%s", p->facts.words);
	return RC_OK;
}
