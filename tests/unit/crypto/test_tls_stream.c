#include "unit/crypto/hex.h"
#include <openssl/pem.h>
#include "unit/crypto/tls_pair.h"
#include "os/loop.h"
#include "os/stream.h"

/* The whole way: a stream on a socket, a fiber that suspends in the middle of its handshake because the key is elsewhere. */
struct scene {
	struct loop *loop;
	struct house h;
	struct tls_server *tls;
	SSL_CTX *client_ctx;
	int fd[2];
	const char *before;            /* what the client says in the clear */
	bool starttls;
	char got[64];                  /* the first line the server read under TLS */
	char answer[64];               /* what the client read */
	bool verified;
	struct { unsigned char exporter[32], end_point[64]; unsigned exporter_n, end_point_n; } bound[2]; /* the server's and the client's view */
	unsigned slept, ended, clients;
};

static enum rc slow_sign(void *arg, uint64_t id, enum tls_scheme scheme, struct str digest, struct buf *out)
{
	struct scene *s = arg;
	enum rc rc = fiber_sleep(1);
	s->slept++;
	return rc == RC_OK ? house_sign(&s->h, id, scheme, digest, out) : rc;
}

static void end(struct scene *s)
{
	if (++s->ended == s->clients * 2)
		loop_stop(s->loop);
}

static unsigned binding_of(struct stream *st, enum stream_binding kind, unsigned char *out)
{
	struct buf b = { .p = (char *)out, .cap = kind == STREAM_TLS_EXPORTER ? 32 : 64, .max = kind == STREAM_TLS_EXPORTER ? 32 : 64 };
	return stream_binding(st, kind, &b) == RC_OK ? (unsigned)b.len : 0;
}

/* RFC 9266 and RFC 5929 as OpenSSL's client sees them. */
static void bindings_of_client(struct scene *s, SSL *c)
{
	X509 *leaf = SSL_get0_peer_certificate(c);
	assert_int_equal(SSL_export_keying_material(c, s->bound[1].exporter, 32, "EXPORTER-Channel-Binding", 24, (const unsigned char *)"", 0, 1), 1);
	s->bound[1].exporter_n = 32;
	assert_int_equal(X509_digest(leaf, EVP_sha256(), s->bound[1].end_point, &s->bound[1].end_point_n), 1); /* the demo's authority signs with SHA-256 */
}

static void serve(void *arg)
{
	struct scene *s = arg;
	struct stream *st = NULL;
	struct why why = { 0 };
	struct str line;
	assert_int_equal(stream_of_fd(s->loop, s->fd[0], tls_server_provider(s->tls), &st, &why), RC_OK);
	if (s->starttls) {
		assert_int_equal(stream_line(st, 1000, &line), RC_OK);
		assert_true(str_eq(line, STR("STARTTLS")));
		stream_write(st, STR("220 go\r\n"));
		assert_int_equal(stream_flush(st), RC_OK);
	}
	if (stream_starttls(st) == RC_OK && stream_line(st, 1000, &line) == RC_OK) {
		(void)snprintf(s->got, sizeof s->got, "%.*s", PSTR(line));
		stream_writef(st, "you said %.*s\r\n", PSTR(line));
		assert_int_equal(stream_flush(st), RC_OK);
		assert_string_equal(stream_facts(st)->tls_version, "TLSv1.3");
		s->bound[0].exporter_n = binding_of(st, STREAM_TLS_EXPORTER, s->bound[0].exporter);
		s->bound[0].end_point_n = binding_of(st, STREAM_TLS_SERVER_END_POINT, s->bound[0].end_point);
		assert_int_equal(stream_line(st, 1000, &line), RC_CLOSED); /* the client goes */
	}
	stream_free(&st);
	end(s);
}

/* One step of the client; waits as it must. False: over. */
static bool step(SSL *c, int fd, int r)
{
	int e = SSL_get_error(c, r);
	return (e == SSL_ERROR_WANT_READ && io_wait(fd, IO_READ, NO_DEADLINE) == RC_OK) ||
	       (e == SSL_ERROR_WANT_WRITE && io_wait(fd, IO_WRITE, NO_DEADLINE) == RC_OK);
}

static void dial(void *arg)
{
	struct scene *s = arg;
	int fd = s->fd[1], r;
	if (s->before) {
		char line[16];
		assert_int_equal(write(fd, s->before, strlen(s->before)), (ssize_t)strlen(s->before));
		assert_int_equal(io_wait(fd, IO_READ, NO_DEADLINE), RC_OK);
		assert_int_equal(read(fd, line, sizeof line), 8);
	}
	SSL *c = client_on(s->client_ctx, fd, "mail.example");
	while ((r = SSL_do_handshake(c)) != 1 && step(c, fd, r))
		;
	s->verified = r == 1 && SSL_get_verify_result(c) == X509_V_OK;
	if (r == 1)
		bindings_of_client(s, c);
	if (r == 1 && SSL_write(c, "hello\r\n", 7) == 7) {
		while ((r = SSL_read(c, s->answer, sizeof s->answer - 1)) <= 0 && step(c, fd, r))
			;
		SSL_shutdown(c);
	}
	SSL_free(c);
	close(fd);
	end(s);
}

static void play(struct scene *s)
{
	struct why why = { 0 };
	house_init(&s->h, "mail.example");
	assert_int_equal(loop_open(&s->loop, &why), RC_OK);
	assert_int_equal(tls_server_new(&(struct tls_key_hook){ s, slow_sign }, &s->tls, &why), RC_OK);
	assert_int_equal(tls_server_chain(s->tls, 1, buf_str(&s->h.leaf), &why), RC_OK);
	s->client_ctx = house_client(&s->h);
	socket_pair(s->fd);
	s->clients = 1;
	assert_int_equal(fiber_start(s->loop, serve, s, NULL), RC_OK);
	assert_int_equal(fiber_start(s->loop, dial, s, NULL), RC_OK);
	loop_run(s->loop);
	loop_close(&s->loop);
	SSL_CTX_free(s->client_ctx);
	tls_server_free(&s->tls);
	house_done(&s->h);
}

static void a_handshake_suspends_its_fiber_while_the_key_is_asked_for(void **state)
{
	struct scene s = { 0 };
	play(&s);
	assert_true(s.verified);
	assert_int_equal(s.slept, 1);
	assert_string_equal(s.got, "hello");
	assert_string_equal(s.answer, "you said hello\r\n");
}

static void both_ends_agree_on_what_binds_a_login_to_their_session(void **state)
{
	struct scene s = { 0 }, other = { 0 };
	play(&s);
	play(&other);
	assert_int_equal(s.bound[0].exporter_n, 32);
	assert_int_equal(s.bound[0].end_point_n, 32);
	assert_memory_equal(&s.bound[0], &s.bound[1], sizeof s.bound[0]);
	assert_memory_not_equal(s.bound[0].exporter, other.bound[0].exporter, 32);
}

static void what_came_in_the_clear_behind_starttls_is_never_obeyed(void **state)
{
	struct scene s = { .starttls = true, .before = "STARTTLS\r\nMAIL FROM:<evil@example>\r\n" };
	play(&s);
	assert_true(s.verified);
	assert_string_equal(s.got, "hello");
}

/* ---- many at once: the suspended handshakes do not disturb each other ---- */

enum { MANY = 40 };
struct one { struct scene *all; struct scene own; };

static void serve_one(void *arg)
{
	struct one *o = arg;
	o->own.clients = 100; /* the scene of all ends the loop */
	serve(&o->own);
	end(o->all);
}

static void dial_one(void *arg)
{
	struct one *o = arg;
	dial(&o->own);
	end(o->all);
}

static void many_handshakes_wait_for_the_key_at_once(void **state)
{
	static struct one one[MANY];
	struct scene all = { .clients = MANY };
	struct why why = { 0 };
	house_init(&all.h, "mail.example");
	assert_int_equal(loop_open(&all.loop, &why), RC_OK);
	assert_int_equal(tls_server_new(&(struct tls_key_hook){ &all, slow_sign }, &all.tls, &why), RC_OK);
	assert_int_equal(tls_server_chain(all.tls, 1, buf_str(&all.h.leaf), &why), RC_OK);
	all.client_ctx = house_client(&all.h);
	for (int i = 0; i < MANY; i++) {
		one[i] = (struct one){ &all, { .loop = all.loop, .tls = all.tls, .client_ctx = all.client_ctx } };
		socket_pair(one[i].own.fd);
		assert_int_equal(fiber_start(all.loop, serve_one, &one[i], NULL), RC_OK);
		assert_int_equal(fiber_start(all.loop, dial_one, &one[i], NULL), RC_OK);
	}
	loop_run(all.loop);
	for (int i = 0; i < MANY; i++) {
		assert_true(one[i].own.verified);
		assert_string_equal(one[i].own.answer, "you said hello\r\n");
	}
	assert_int_equal(all.slept, MANY);
	loop_close(&all.loop);
	SSL_CTX_free(all.client_ctx);
	tls_server_free(&all.tls);
	house_done(&all.h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handshake_suspends_its_fiber_while_the_key_is_asked_for),
		cmocka_unit_test(both_ends_agree_on_what_binds_a_login_to_their_session),
		cmocka_unit_test(what_came_in_the_clear_behind_starttls_is_never_obeyed),
		cmocka_unit_test(many_handshakes_wait_for_the_key_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
