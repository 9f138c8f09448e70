/* Our side of TLS as a client: live against `openssl s_server` with certificates good and bad, and against our own server over STARTTLS. */
#include "unit/crypto/tls_pair.h"
#include "crypto/tls_client.h"
#include "os/file.h"
#include "os/loop.h"
#include "os/net.h"
#include <openssl/x509v3.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

/* ---- certificates that are made here, not by the code under test ---- */

enum { DAY = 86400 };
struct made { EVP_PKEY *key; X509 *x; };

static void add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX c;
	X509V3_set_ctx(&c, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &c, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* `by` NULL: self-signed. `names` NULL: an authority. */
static struct made make(const char *cn, const char *names, const struct made *by, long from, long to)
{
	static long serial = 1;
	struct made m = { EVP_EC_gen("P-256"), X509_new() };
	X509_set_version(m.x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(m.x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(m.x), from);
	X509_gmtime_adj(X509_getm_notAfter(m.x), to);
	X509_set_pubkey(m.x, m.key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(m.x), "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509 *issuer = by ? by->x : m.x;
	X509_set_issuer_name(m.x, X509_get_subject_name(issuer));
	add_ext(m.x, issuer, NID_basic_constraints, names ? "CA:FALSE" : "critical,CA:TRUE");
	if (names)
		add_ext(m.x, issuer, NID_subject_alt_name, names);
	assert_true(X509_sign(m.x, by ? by->key : m.key, EVP_sha256()) > 0);
	return m;
}

static void made_done(struct made *m)
{
	EVP_PKEY_free(m->key);
	X509_free(m->x);
}

/* SHA-256 of the public key: selector 1, matching type 1. */
static struct tls_tlsa tlsa_of(uint8_t usage, const struct made *m, uint8_t digest[32])
{
	unsigned char *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(m->x), &der);
	assert_true(n > 0);
	assert_int_equal(sha256(str_of(der, (size_t)n), digest), RC_OK);
	OPENSSL_free(der);
	return (struct tls_tlsa){ usage, 1, 1, str_of(digest, 32) };
}

/* ---- servers that are not ours ---- */

static char dir[] = "/tmp/letterlock-tls-XXXXXX";
struct server { pid_t pid; uint16_t port; FILE *says; };

static void write_pem(const char *path, const struct made *m, const struct made *above, bool key)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	if (key)
		assert_int_equal(PEM_write_PrivateKey(f, m->key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(PEM_write_X509(f, m->x), 1);
	if (above)
		assert_int_equal(PEM_write_X509(f, above->x), 1);
	(void)fclose(f);
}

static struct server serve(const struct made *leaf, const struct made *ca, const char *option)
{
	char cert[64], chain[64], line[128] = "";
	struct server s = { 0 };
	int out[2];
	(void)snprintf(cert, sizeof cert, "%s/leaf.pem", dir);
	(void)snprintf(chain, sizeof chain, "%s/chain.pem", dir);
	write_pem(cert, leaf, NULL, true);
	write_pem(chain, leaf, ca, false);
	const char *args[] = { "openssl", "s_server", "-accept", "127.0.0.1:0", "-key", cert, "-cert", cert, "-cert_chain", chain, "-naccept", "40", option, NULL };
	posix_spawn_file_actions_t fa;
	assert_int_equal(pipe(out), 0);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/zero", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, out[1], 1);
	posix_spawn_file_actions_adddup2(&fa, out[1], 2);
	posix_spawn_file_actions_addclose(&fa, out[0]);
	assert_int_equal(posix_spawnp(&s.pid, "openssl", &fa, NULL, (char **)(uintptr_t)args, environ), 0);
	posix_spawn_file_actions_destroy(&fa);
	close(out[1]);
	s.says = fdopen(out[0], "r"); /* open until the end: it goes on talking */
	while (!s.port && fgets(line, sizeof line, s.says)) {
		unsigned port = 0;
		if (sscanf(line, "ACCEPT 127.0.0.1:%u", &port) == 1)
			s.port = (uint16_t)port;
	}
	if (!s.port)
		fail_msg("openssl s_server does not start: %s", line);
	return s;
}

static void stop(struct server *s)
{
	kill(s->pid, SIGKILL);
	assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
	(void)fclose(s->says);
}

/* ---- dialling ---- */

struct dial {
	struct loop *l;
	struct tls_client *c;
	struct tls_peer_config config;
	uint16_t port;
	enum rc rc;
	struct tls_peer_facts facts;
	struct stream_facts stream;
};

static void dial_fiber(void *arg)
{
	struct dial *d = arg;
	struct net_addr to;
	struct why why = { 0 };
	struct tls_peer *p = NULL;
	struct stream *s = NULL;
	char text[32];
	int fd = -1;
	(void)snprintf(text, sizeof text, "127.0.0.1:%u", d->port);
	assert_int_equal(net_parse(str_z(text), &to, &why), RC_OK);
	assert_int_equal(net_connect(d->l, &to, NULL, loop_now(d->l) + 5000, &fd, &why), RC_OK);
	assert_int_equal(tls_peer_new(d->c, &d->config, &p, &why), RC_OK);
	assert_int_equal(stream_of_fd(d->l, fd, tls_peer_provider(p), &s, &why), RC_OK);
	stream_timeout(s, 5000);
	d->rc = stream_starttls(s);
	d->stream = *stream_facts(s);
	stream_free(&s);
	tls_peer_facts(p, &d->facts);
	tls_peer_free(&p);
	loop_stop(d->l);
}

static void dial(struct dial *d)
{
	struct why why = { 0 };
	assert_int_equal(loop_open(&d->l, &why), RC_OK);
	assert_int_equal(fiber_start(d->l, dial_fiber, d, NULL), RC_OK);
	loop_run(d->l);
	loop_close(&d->l);
}

static struct tls_client *client_of(const struct made *ca)
{
	struct tls_client *c = NULL;
	struct why why = { 0 };
	struct buf b AUTO(buf_done);
	buf_init(&b, 8192);
	char *p = NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(bio, ca->x);
	long n = BIO_get_mem_data(bio, &p);
	buf_add(&b, STR("# our roots\n"));
	buf_add(&b, str_of(p, (size_t)n));
	BIO_free(bio);
	assert_int_equal(tls_client_new(buf_str(&b), &c, &why), RC_OK);
	return c;
}

enum which { GOOD, EXPIRED, SELF, TLS12, OLD, SERVERS };
enum record { NONE, EE, TA, OTHER_EE };
struct wanted {
	enum which server;
	enum tls_want want;
	const char *name;
	enum record tlsa;
	enum rc rc;
	bool pkix, named, dane;
	const char *type, *words;      /* part of it */
};
static const struct wanted table[] = {
	{ GOOD, TLS_WANT_PKIX, "mail.example", NONE, RC_OK, true, true, false, "", "TLSv1.3 AES_256_GCM, verified for mail.example" },
	{ GOOD, TLS_WANT_PKIX, "MAIL.example.", NONE, RC_OK, true, true, false, "", "verified" },
	{ GOOD, TLS_WANT_PKIX, "a.wild.example", NONE, RC_OK, true, true, false, "", "verified" },
	{ GOOD, TLS_WANT_PKIX, "a.b.wild.example", NONE, RC_CLOSED, true, false, false, "certificate-host-mismatch", "is for mail.example, not for a.b.wild.example" },
	{ GOOD, TLS_WANT_PKIX, "192.0.2.7", NONE, RC_OK, true, true, false, "", "verified" },
	{ GOOD, TLS_WANT_PKIX, "only.in.cn", NONE, RC_CLOSED, true, false, false, "certificate-host-mismatch", "not for only.in.cn" },
	{ GOOD, TLS_WANT_ANY, "other.example", NONE, RC_OK, true, false, false, "certificate-host-mismatch", "not verified: certificate is for mail.example, not for other" },
	{ GOOD, TLS_WANT_DANE, "mail.example", EE, RC_OK, true, true, true, "", "TLSv1.3 AES_256_GCM, verified by DANE (3 1 1)" },
	{ GOOD, TLS_WANT_DANE, "other.example", EE, RC_OK, true, false, true, "", "verified by DANE (3 1 1)" },
	{ GOOD, TLS_WANT_DANE, "mail.example", TA, RC_OK, true, true, true, "", "verified by DANE (2 1 1)" },
	{ GOOD, TLS_WANT_DANE, "other.example", TA, RC_CLOSED, true, false, false, "certificate-host-mismatch", "not for other.example" },
	{ GOOD, TLS_WANT_DANE, "mail.example", OTHER_EE, RC_CLOSED, true, true, false, "tlsa-invalid", "matches no TLSA record" },
	{ GOOD, TLS_WANT_PKIX, "mail.example", OTHER_EE, RC_OK, true, true, false, "", "verified for mail.example" },
	{ GOOD, TLS_WANT_ANY, "mail.example", EE, RC_OK, true, true, true, "", "verified by DANE (3 1 1)" },
	{ EXPIRED, TLS_WANT_PKIX, "mail.example", NONE, RC_CLOSED, false, true, false, "certificate-expired", "certificate expired on 20" },
	{ EXPIRED, TLS_WANT_ANY, "mail.example", NONE, RC_OK, false, true, false, "certificate-expired", "not verified: certificate expired on 20" },
	{ EXPIRED, TLS_WANT_DANE, "mail.example", EE, RC_OK, false, true, true, "", "verified by DANE (3 1 1)" },
	{ EXPIRED, TLS_WANT_DANE, "mail.example", TA, RC_CLOSED, false, true, false, "certificate-expired", "certificate expired on 20" },
	{ SELF, TLS_WANT_PKIX, "mail.example", NONE, RC_CLOSED, false, true, false, "certificate-not-trusted", "certificate not trusted: self-signed certificate" },
	{ SELF, TLS_WANT_ANY, "mail.example", NONE, RC_OK, false, true, false, "certificate-not-trusted", "not verified: certificate not trusted" },
	{ SELF, TLS_WANT_DANE, "mail.example", EE, RC_OK, false, true, true, "", "verified by DANE (3 1 1)" },
	{ TLS12, TLS_WANT_PKIX, "mail.example", NONE, RC_OK, true, true, false, "", "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384, verified" },
	{ OLD, TLS_WANT_ANY, "mail.example", NONE, RC_CLOSED, false, false, false, "validation-failure", "the TLS handshake failed: " },
};

static void each_certificate_is_judged_as_it_must_be(void **state)
{
	struct made ca = make("Test CA", NULL, NULL, -DAY, 10 * DAY);
	struct made certs[SERVERS] = {
		[GOOD] = make("only.in.cn", "DNS:mail.example,DNS:*.wild.example,IP:192.0.2.7", &ca, -DAY, DAY),
		[EXPIRED] = make("mail.example", "DNS:mail.example", &ca, -9 * DAY, -2 * DAY),
		[SELF] = make("mail.example", "DNS:mail.example", NULL, -DAY, DAY),
		[TLS12] = make("mail.example", "DNS:mail.example", &ca, -DAY, DAY),
		[OLD] = make("mail.example", "DNS:mail.example", &ca, -DAY, DAY),
	};
	static const char *const options[SERVERS] = { [TLS12] = "-tls1_2", [OLD] = "-tls1_1" };
	struct server servers[SERVERS];
	struct tls_client *c = client_of(&ca);
	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < SERVERS; i++)
		servers[i] = serve(&certs[i], i == SELF ? NULL : &ca, options[i]);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const struct wanted *w = &table[i];
		uint8_t digest[32];
		struct str name = str_z(w->name);
		struct tls_tlsa t = tlsa_of(w->tlsa == TA ? 2 : 3, w->tlsa == TA ? &ca : w->tlsa == OTHER_EE ? &certs[w->server == GOOD ? SELF : GOOD] : &certs[w->server], digest);
		struct dial d = { .c = c, .port = servers[w->server].port,
			          .config = { .want = w->want, .sni = STR("mail.example"), .names = &name, .name_n = 1, .tlsa = &t, .tlsa_n = w->tlsa != NONE } };
		dial(&d);
		if (d.rc != w->rc || strcmp(d.facts.result_type, w->type) != 0 || !strstr(d.facts.words, w->words))
			print_error("case %zu: %s, %s, \"%s\"\n", i, rc_name(d.rc), d.facts.result_type, d.facts.words);
		assert_int_equal(d.rc, w->rc);
		assert_string_equal(d.facts.result_type, w->type);
		assert_non_null(strstr(d.facts.words, w->words));
		assert_int_equal(d.facts.done, w->rc == RC_OK);
		assert_int_equal(d.facts.pkix_ok, w->pkix);
		assert_int_equal(d.facts.name_ok, w->named);
		assert_int_equal(d.facts.dane_ok, w->dane);
		if (w->rc == RC_OK)
			assert_int_equal(strncmp(d.stream.tls_version, "TLSv1.", 6), 0);
	}
	for (int i = 0; i < SERVERS; i++) {
		stop(&servers[i]);
		made_done(&certs[i]);
	}
	made_done(&ca);
	tls_client_free(&c);
	char path[64];
	for (int i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof path, "%s/%s.pem", dir, i ? "chain" : "leaf");
		(void)remove(path);
	}
	(void)rmdir(dir);
}

/* ---- against our own server, over a socket pair: STARTTLS, SNI, and servers that are none ---- */

struct scene {
	struct loop *l;
	int fd[2];
	struct tls_server *server;
	struct tls_client *client;
	const char *sni, *instead;     /* what the server says in place of a handshake; "" = it closes */
	enum rc rc;
	char got[32];
	struct tls_peer_facts facts;
	int ended;
};

static void end(struct scene *s)
{
	if (++s->ended == 2)
		loop_stop(s->l);
}

static void server_fiber(void *arg)
{
	struct scene *s = arg;
	struct stream *st = NULL;
	struct why why = { 0 };
	struct str line;
	assert_int_equal(stream_of_fd(s->l, s->fd[0], tls_server_provider(s->server), &st, &why), RC_OK);
	stream_timeout(st, 5000);
	if (s->instead) {
		stream_write(st, str_z(s->instead));
		if (stream_flush(st) == RC_OK && s->instead[0])
			assert_int_not_equal(stream_some(st, 1000, &line), RC_LATE);
	} else if (stream_starttls(st) == RC_OK && stream_line(st, 1000, &line) == RC_OK) {
		stream_writef(st, "you said %.*s\r\n", PSTR(line));
		assert_int_equal(stream_flush(st), RC_OK);
	}
	stream_free(&st);
	end(s);
}

static void client_fiber(void *arg)
{
	struct scene *s = arg;
	struct stream *st = NULL;
	struct tls_peer *p = NULL;
	struct why why = { 0 };
	struct str line;
	struct tls_peer_config config = { .want = TLS_WANT_PKIX, .sni = str_z(s->sni) };
	assert_int_equal(tls_peer_new(s->client, &config, &p, &why), RC_OK);
	assert_int_equal(stream_of_fd(s->l, s->fd[1], tls_peer_provider(p), &st, &why), RC_OK);
	stream_timeout(st, 5000);
	s->rc = stream_starttls(st);
	if (s->rc == RC_OK) {
		stream_write(st, STR("hello\r\n"));
		if (stream_line(st, 100, &line) == RC_OK)
			(void)snprintf(s->got, sizeof s->got, "%.*s", PSTR(line));
	}
	stream_free(&st);
	tls_peer_facts(p, &s->facts);
	tls_peer_free(&p);
	end(s);
}

static void play(struct scene *s)
{
	struct why why = { 0 };
	assert_int_equal(loop_open(&s->l, &why), RC_OK);
	socket_pair(s->fd);
	assert_int_equal(fiber_start(s->l, server_fiber, s, NULL), RC_OK);
	assert_int_equal(fiber_start(s->l, client_fiber, s, NULL), RC_OK);
	loop_run(s->l);
	loop_close(&s->l);
}

static void our_own_server_is_met_under_the_name_asked_for(void **state)
{
	struct house h;
	struct why why = { 0 };
	struct buf two AUTO(buf_done);
	house_init(&h, "one.example");
	buf_init(&two, 8192);
	assert_int_equal(tls_leaf_make(buf_str(&h.ca_key), buf_str(&h.ca), buf_str(&h.key), "two.example", &two, &why), RC_OK);
	struct tls_server *t = house_server(&h, 1);
	assert_int_equal(tls_server_chain(t, 2, buf_str(&two), &why), RC_OK);
	struct tls_client *c = NULL;
	assert_int_equal(tls_client_new(buf_str(&h.ca), &c, &why), RC_OK);
	static const struct { const char *sni, *subject, *instead, *words; } cases[] = {
		{ "one.example", "one.example", NULL, "verified for one.example" },
		{ "two.example", "two.example", NULL, "verified for two.example" },
		{ "three.example", "one.example", NULL, "not for three.example" },
		{ "one.example", "", "220 this is no TLS\r\n", "the TLS handshake failed: wrong version number" },
		{ "one.example", "", "\x15\x03\x03\x7f\x7f----", "the TLS handshake failed: " },
		{ "one.example", "", "", "broke the TLS handshake off" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct scene s = { .server = t, .client = c, .sni = cases[i].sni, .instead = cases[i].instead };
		bool good = strstr(cases[i].words, "verified for") != NULL;
		play(&s);
		if (!strstr(s.facts.words, cases[i].words))
			print_error("case %zu: %s\n", i, s.facts.words);
		assert_non_null(strstr(s.facts.words, cases[i].words));
		assert_int_equal(s.rc, good ? RC_OK : RC_CLOSED);
		assert_string_equal(s.facts.subject, cases[i].subject);
		assert_string_equal(s.got, good ? "you said hello" : "");
		assert_int_equal(s.facts.done, good);
		assert_string_equal(s.facts.result_type, good ? "" : cases[i].subject[0] ? "certificate-host-mismatch" : "validation-failure");
	}
	tls_server_free(&t);
	tls_client_free(&c);
	house_done(&h);
}

/* ---- what cannot be wanted ---- */

static void wishes_that_make_no_sense_are_refused_with_a_reason(void **state)
{
	struct tls_client *c = NULL;
	struct tls_peer *p = NULL;
	struct why why = { 0 };
	static char longest[257];
	uint8_t digest[64] = { 1 };
	assert_int_equal(tls_client_new(STR(""), &c, &why), RC_OK);
	memset(longest, 'a', 256);
	static const struct { struct str sni; enum rc rc; } names[] = {
		{ STR_INIT("mx.example"), RC_OK }, { STR_INIT("mx.example."), RC_OK }, { STR_INIT("_dane.mx-1.example"), RC_OK }, { STR_INIT("2001:db8::1"), RC_OK },
		{ STR_INIT(""), RC_SYNTAX }, { STR_INIT("."), RC_SYNTAX }, { STR_INIT("mx\0.example"), RC_SYNTAX }, { STR_INIT("m x"), RC_SYNTAX },
		{ STR_INIT(".example"), RC_SYNTAX }, { STR_INIT("m\xc3\xbc.example"), RC_SYNTAX }, { { longest, 255 }, RC_OK }, { { longest, 256 }, RC_SYNTAX },
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		assert_int_equal(tls_peer_new(c, &(struct tls_peer_config){ .sni = names[i].sni }, &p, &why), names[i].rc);
		tls_peer_free(&p);
	}
	struct str many[9];
	for (size_t i = 0; i < 9; i++)
		many[i] = STR("mx.example");
	for (size_t n = 8; n <= 9; n++) {
		struct tls_peer_config nine = { .sni = STR("mx.example"), .names = many, .name_n = n };
		assert_int_equal(tls_peer_new(c, &nine, &p, &why), n == 8 ? RC_OK : RC_LIMIT);
		tls_peer_free(&p);
	}
	static const struct { uint8_t usage, selector, matching; size_t n; bool usable; } records[] = {
		{ 3, 1, 1, 32, true }, { 2, 0, 2, 64, true }, { 0, 1, 1, 32, false }, { 1, 1, 1, 32, false }, { 4, 1, 1, 32, false }, { 255, 1, 1, 32, false },
		{ 3, 2, 1, 32, false }, { 3, 1, 3, 32, false }, { 3, 1, 1, 31, false }, { 3, 1, 1, 33, false }, { 3, 1, 2, 32, false }, { 3, 1, 1, 0, false },
		{ 3, 0, 0, 32, false } /* no certificate */, { 2, 1, 0, 10, false } /* no key */,
	};
	for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
		struct tls_tlsa t = { records[i].usage, records[i].selector, records[i].matching, str_of(digest, records[i].n) };
		struct tls_peer_config wish = { .want = TLS_WANT_DANE, .sni = STR("mx.example"), .tlsa = &t, .tlsa_n = 1 };
		assert_int_equal(tls_peer_new(c, &wish, &p, &why), records[i].usable ? RC_OK : RC_NOTFOUND);
		tls_peer_free(&p);
		wish.want = TLS_WANT_ANY;
		assert_int_equal(tls_peer_new(c, &wish, &p, &why), RC_OK);
		tls_peer_free(&p);
	}
	tls_client_free(&c);
}

static void roots_are_read_whole_or_not_at_all(void **state)
{
	struct tls_client *c = NULL;
	struct why why = { 0 };
	struct house h;
	struct buf b AUTO(buf_done);
	buf_init(&b, 1 << 20);
	house_init(&h, "mail.example");
	buf_add(&b, buf_str(&h.ca));
	buf_add(&b, STR("some words\n"));
	buf_add(&b, buf_str(&h.ca)); /* twice the same is fine */
	assert_int_equal(tls_client_new(buf_str(&b), &c, &why), RC_OK);
	tls_client_free(&c);
	buf_add(&b, STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
	assert_int_equal(tls_client_new(buf_str(&b), &c, &why), RC_SYNTAX);
	assert_string_equal(why.text, "trusted certificate 3 does not parse");
	assert_null(c);
	assert_int_equal(tls_roots_check(buf_str(&b), &why), RC_SYNTAX);
	house_done(&h);
}

static void so_many_roots_and_no_more(void **state)
{
	(void)state;
	enum { MOST = 2000, MOST_OCTETS = 8 << 20 };
	struct why why = { 0 };
	struct house h;
	struct buf b AUTO(buf_done);
	house_init(&h, "mail.example");
	buf_init(&b, MOST_OCTETS + 1);
	for (int i = 0; i < MOST; i++)
		buf_add(&b, buf_str(&h.ca));
	assert_int_equal(tls_roots_check(buf_str(&b), &why), RC_OK);
	buf_add(&b, buf_str(&h.ca));
	assert_int_equal(tls_roots_check(buf_str(&b), &why), RC_LIMIT);
	assert_string_equal(why.text, "more than 2000 trusted certificates");
	buf_clear(&b);
	while (b.len < MOST_OCTETS)
		buf_byte(&b, '\n');
	assert_int_equal(tls_roots_check(buf_str(&b), &why), RC_OK);
	buf_byte(&b, '\n');
	assert_int_equal(tls_roots_check(buf_str(&b), &why), RC_LIMIT);
	house_done(&h);
}

static void the_systems_roots_load_and_do_not_trust_ours(void **state)
{
	static char pem[4 << 20];
	FILE *f = fopen("/etc/ssl/certs/ca-certificates.crt", "rb");
	struct tls_client *c = NULL;
	struct tls_peer *p = NULL;
	struct tls_peer_facts facts;
	struct why why = { 0 };
	struct house h;
	if (!f)
		skip();
	size_t n = fread(pem, 1, sizeof pem, f);
	(void)fclose(f);
	house_init(&h, "mail.example");
	assert_int_equal(tls_client_new(str_of(pem, n), &c, &why), RC_OK);
	assert_int_equal(tls_peer_new(c, &(struct tls_peer_config){ .want = TLS_WANT_PKIX, .sni = STR("mail.example") }, &p, &why), RC_OK);
	assert_int_equal(tls_peer_judge(p, buf_str(&h.leaf), 0, &why), RC_DENIED);
	tls_peer_facts(p, &facts);
	assert_string_equal(facts.result_type, "certificate-not-trusted");
	/* each of them is found by its name when a chain ends there */
	struct str rest = str_of(pem, n), begin = STR("-----BEGIN CERTIFICATE-----"), end = STR("-----END CERTIFICATE-----");
	size_t roots = 0;
	for (size_t at; (at = str_find_str(rest, begin)) < rest.n; roots++) {
		rest = str_skip(rest, at);
		struct str one = str_head(rest, str_find_str(rest, end) + end.n);
		assert_int_not_equal(tls_peer_judge(p, one, 0, &why), RC_SYNTAX);
		tls_peer_facts(p, &facts);
		assert_string_not_equal(facts.result_type, "certificate-not-trusted");
		rest = str_skip(rest, one.n);
	}
	assert_in_range(roots, 50, 2000);
	assert_int_equal(tls_peer_judge(p, STR("nothing"), 0, &why), RC_SYNTAX);
	tls_peer_free(&p);
	tls_client_free(&c);
	house_done(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_certificate_is_judged_as_it_must_be),
		cmocka_unit_test(our_own_server_is_met_under_the_name_asked_for),
		cmocka_unit_test(wishes_that_make_no_sense_are_refused_with_a_reason),
		cmocka_unit_test(roots_are_read_whole_or_not_at_all),
		cmocka_unit_test(so_many_roots_and_no_more),
		cmocka_unit_test(the_systems_roots_load_and_do_not_trust_ours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
