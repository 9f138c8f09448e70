/* OpenSSL over a stream's octets: the same for connections that we take and that we make. */
#include "crypto/tls_internal.h"

#include "crypto/thread.h"
#include <pthread.h>

/* OpenSSL's way to the stream: no buffers of its own. */
static int wire_said(BIO *b, long n)
{
	BIO_clear_retry_flags(b);
	if (n == TLS_WANT_READ)
		BIO_set_retry_read(b);
	if (n == TLS_WANT_WRITE)
		BIO_set_retry_write(b);
	return n < 0 ? -1 : (int)n;
}

static int wire_read(BIO *b, char *p, int n)
{
	const struct tls_wire *w = BIO_get_data(b);
	return n <= 0 ? 0 : wire_said(b, w->read(w->stream, p, (size_t)n));
}

static int wire_write(BIO *b, const char *p, int n)
{
	const struct tls_wire *w = BIO_get_data(b);
	return n <= 0 ? 0 : wire_said(b, w->write(w->stream, p, (size_t)n));
}

static long wire_ctrl(BIO *b, int what, long number, void *p) { return what == BIO_CTRL_FLUSH; }

static pthread_once_t wire_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *wire_method; /* made once, lives as long as the process */

static void make_wire_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
	if (m && BIO_meth_set_read(m, wire_read) == 1 && BIO_meth_set_write(m, wire_write) == 1 && BIO_meth_set_ctrl(m, wire_ctrl) == 1)
		wire_method = m;
	else
		BIO_meth_free(m);
}

bool tls_wire_attach(SSL *ssl, const struct tls_wire *wire)
{
	pthread_once(&wire_once, make_wire_method);
	BIO *b = wire_method ? BIO_new(wire_method) : NULL;
	if (!b)
		return false;
	BIO_set_data(b, (void *)(uintptr_t)wire);
	BIO_set_init(b, 1);
	SSL_set_bio(ssl, b, b); /* takes it */
	return true;
}

int tls_wire_outcome(SSL *ssl, int ret)
{
	int e = SSL_get_error(ssl, ret);
	errors_clear();
	switch (e) {
	case SSL_ERROR_WANT_READ: return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE: return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN: return 0;
	default: return TLS_BROKEN;
	}
}

int tls_wire_handshake(void *tls)
{
	errors_clear();
	int r = SSL_do_handshake(tls);
	if (r == 1)
		return 1;
	int o = tls_wire_outcome(tls, r);
	return o == 0 ? TLS_BROKEN : o;
}

long tls_wire_read(void *tls, void *p, size_t n)
{
	size_t got = 0;
	errors_clear();
	int r = SSL_read_ex(tls, p, n, &got);
	return r == 1 ? (long)got : tls_wire_outcome(tls, r);
}

long tls_wire_write(void *tls, const void *p, size_t n)
{
	size_t put = 0;
	if (n == 0)
		return TLS_BROKEN; /* a caller's mistake: SSL_write of nothing is undefined */
	errors_clear();
	int r = SSL_write_ex(tls, p, n, &put);
	if (r == 1)
		return (long)put;
	int o = tls_wire_outcome(tls, r);
	return o == 0 ? TLS_BROKEN : o;
}

void tls_wire_facts(void *tls, struct stream_facts *out)
{
	const char *cipher = SSL_get_cipher_name(tls);
	(void)snprintf(out->tls_version, sizeof out->tls_version, "%s", SSL_get_version(tls));
	(void)snprintf(out->tls_cipher, sizeof out->tls_cipher, "%s", cipher ? cipher : "");
}

void tls_wire_stop(void *tls)
{
	errors_clear();
	if (SSL_is_init_finished(tls))
		(void)SSL_shutdown(tls); /* our close_notify; the peer's is not waited for */
	SSL_free(tls);
	errors_clear();
}
