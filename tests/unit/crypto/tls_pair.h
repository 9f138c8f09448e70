#pragma once
#include "unit/crypto/hex.h"
#include "crypto/tls.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A demo authority with one server key, and a verifying OpenSSL client, for the tests of TLS. */
struct house {
	struct buf ca_key, ca, key, leaf;
	struct tls_key *sign;
	unsigned signatures;
	uint64_t asked;
	enum tls_scheme scheme;
};

static inline enum rc house_sign(void *arg, uint64_t key_id, enum tls_scheme scheme, struct str digest, struct buf *out)
{
	struct house *h = arg;
	h->signatures++;
	h->asked = key_id;
	h->scheme = scheme;
	return tls_key_sign_with(h->sign, scheme, digest, out);
}

/* A key as people bring it; takes `k`. */
static inline void put_key(EVP_PKEY *k, struct buf *out)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p = NULL;
	assert_non_null(k);
	assert_int_equal(PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL), 1);
	long n = BIO_get_mem_data(b, &p);
	buf_add(out, str_of(p, (size_t)n));
	BIO_free(b);
	EVP_PKEY_free(k);
}

/* "P-256", "P-384", "RSA" */
static inline void make_key(const char *kind, struct buf *out)
{
	if (strcmp(kind, "P-256") == 0)
		assert_int_equal(tls_key_make(out), RC_OK);
	else
		put_key(strcmp(kind, "RSA") == 0 ? EVP_RSA_gen(2048) : EVP_EC_gen(kind), out);
}

static inline void house_init_of(struct house *h, const char *names, const char *ca_kind, const char *leaf_kind)
{
	*h = (struct house){ 0 };
	struct why why = { 0 };
	struct buf *all[] = { &h->ca_key, &h->ca, &h->key, &h->leaf };
	for (size_t i = 0; i < 4; i++)
		buf_init(all[i], 8192);
	make_key(ca_kind, &h->ca_key);
	make_key(leaf_kind, &h->key);
	assert_int_equal(tls_ca_make(buf_str(&h->ca_key), "Test CA", &h->ca, &why), RC_OK);
	assert_int_equal(tls_leaf_make(buf_str(&h->ca_key), buf_str(&h->ca), buf_str(&h->key), names, &h->leaf, &why), RC_OK);
	assert_int_equal(tls_key_load(buf_str(&h->key), &h->sign, &why), RC_OK);
}

static inline void house_init(struct house *h, const char *names) { house_init_of(h, names, "P-256", "P-256"); }

static inline void house_done(struct house *h)
{
	struct buf *all[] = { &h->ca_key, &h->ca, &h->key, &h->leaf };
	for (size_t i = 0; i < 4; i++)
		buf_wipe(all[i]);
	tls_key_free(&h->sign);
}

static inline struct tls_server *house_server(struct house *h, uint64_t key_id)
{
	struct tls_server *t = NULL;
	struct why why = { 0 };
	assert_int_equal(tls_server_new(&(struct tls_key_hook){ h, house_sign }, &t, &why), RC_OK);
	assert_int_equal(tls_server_chain(t, key_id, buf_str(&h->leaf), &why), RC_OK);
	return t;
}

/* A client that trusts only the house's CA and wants `name` in the certificate. */
static inline SSL_CTX *house_client(struct house *h)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	BIO *b = BIO_new_mem_buf(h->ca.p, (int)h->ca.len);
	X509 *ca = PEM_read_bio_X509(b, NULL, NULL, NULL);
	assert_non_null(ca);
	assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(c), ca), 1);
	X509_free(ca);
	BIO_free(b);
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT);
	return c;
}

static inline SSL *client_on(SSL_CTX *c, int fd, const char *name)
{
	SSL *s = SSL_new(c);
	assert_non_null(s);
	SSL_set_fd(s, fd);
	SSL_set_connect_state(s);
	if (name) {
		SSL_set_tlsext_host_name(s, name);
		SSL_set1_host(s, name);
	}
	return s;
}

/* A bare socket in the stream's place: `stream` points to its descriptor. */
static inline long wire_said(ssize_t n, long again) { return n >= 0 ? (long)n : errno == EAGAIN ? again : TLS_BROKEN; }
static inline long wire_in(void *fd, void *p, size_t n) { return wire_said(recv(*(int *)fd, p, n, 0), TLS_WANT_READ); }
static inline long wire_out(void *fd, const void *p, size_t n) { return wire_said(send(*(int *)fd, p, n, MSG_NOSIGNAL), TLS_WANT_WRITE); }
#define WIRE_ON(fd) (&(struct tls_wire){ (fd), wire_in, wire_out })

static inline void socket_pair(int fd[2]) { assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0); }

/* Both sides step by step in one thread until both are done (true) or one has failed. */
static inline bool shake(const struct tls_provider *p, void *server, SSL *client)
{
	bool s = false, c = false;
	for (int i = 0; i < 100 && !(s && c); i++) {
		if (!c) {
			int r = SSL_do_handshake(client), e = SSL_get_error(client, r);
			c = r == 1;
			if (!c && e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
				return false;
		}
		if (!s) {
			int r = p->handshake(server);
			s = r == 1;
			if (!s && r != TLS_WANT_READ && r != TLS_WANT_WRITE)
				return false;
		}
	}
	return s && c;
}
