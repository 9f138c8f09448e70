#include "unit/crypto/tls_pair.h"

#include "crypto/scram.h"
#include "crypto/tls_client.h"
#include "dialog/smtp/house.h"
#include "os/loop.h"
#include "smtp/client.h"

/* Our client and our server over a socket, each in its fiber: what arrives is what was sent, whatever way it went. */

int run_client_server_tests(void);

enum { BODY = 300000 };

struct scene {
	struct loop *loop;
	int fd[2];
	struct smtp_house house;
	struct smtp_hooks hooks;
	struct house tls_house;
	struct tls_server *tls_server;
	struct tls_client *tls_client;
	struct smtp_client_config config;
	bool starttls, binary;
	struct str user, password;
	struct str message;
	size_t given;
	enum rc login, sent;
	struct smtp_client_rcpt rcpts[4];
	size_t n;
	struct smtp_reply reply;
	struct why why;
	unsigned rounds, done, ended;
	bool leaves;                   /* the client goes without QUIT */
};

static void end(struct scene *s)
{
	if (++s->ended == 2)
		loop_stop(s->loop);
}

static void server_fiber(void *arg)
{
	struct scene *s = arg;
	struct stream *io = NULL;
	struct why why = { 0 };
	assert_int_equal(stream_of_fd(s->loop, s->fd[0], s->starttls ? tls_server_provider(s->tls_server) : NULL, &io, &why), RC_OK);
	assert_int_equal(smtp_serve(io, &s->house.config, &s->hooks), s->leaves ? RC_CLOSED : RC_OK); /* it ended by QUIT */
	stream_free(&io);
	end(s);
}

static enum rc more(void *arg, struct str *out)
{
	struct scene *s = arg;
	*out = str_head(str_skip(s->message, s->given), 4000);
	s->given += out->n;
	return s->given % 3 ? RC_OK : fiber_sleep(0); /* reading it may take its time */
}

static enum rc again(void *arg)
{
	((struct scene *)arg)->given = 0;
	return RC_OK;
}

static void talk(struct scene *s, struct smtp_client *c)
{
	struct smtp_client_mail m = { .from = { STR("tim"), STR("example.org") }, .envid = STR(""), .body_8bit = s->binary, .body_binary = s->binary, .size = s->message.n,
		                      .more = more, .rewind = again, .house = s };
	assert_int_equal(smtp_client_hello(c, &s->reply, &s->why), RC_OK);
	if (s->starttls)
		assert_int_equal(smtp_client_starttls(c, &s->reply, &s->why), RC_OK);
	if (s->user.n)
		s->login = smtp_client_auth(c, s->user, s->password, &s->reply, &s->why);
	for (unsigned i = 0; i < s->rounds && s->login == RC_OK; i++, s->done++) {
		s->sent = smtp_client_send(c, &m, s->rcpts, s->n, &s->reply, &s->why);
		assert_true(smtp_client_usable(c));
	}
	smtp_client_quit(c);
}

static void client_fiber(void *arg)
{
	struct scene *s = arg;
	struct stream *io = NULL;
	struct smtp_client *c = NULL;
	struct tls_peer *peer = NULL;
	struct tls_peer_facts facts;
	if (s->starttls)
		assert_int_equal(tls_peer_new(s->tls_client, &(struct tls_peer_config){ .want = TLS_WANT_PKIX, .sni = STR("mail.example") }, &peer, &s->why), RC_OK);
	assert_int_equal(stream_of_fd(s->loop, s->fd[1], peer ? tls_peer_provider(peer) : NULL, &io, &s->why), RC_OK);
	s->config.helo = STR("client.example");
	s->config.quit_ms = 5000;
	assert_int_equal(smtp_client_new(io, &s->config, &c), RC_OK);
	talk(s, c);
	smtp_client_free(&c);
	stream_free(&io);
	if (peer) {
		tls_peer_facts(peer, &facts);
		assert_true(facts.done && facts.pkix_ok && facts.name_ok);
	}
	tls_peer_free(&peer);
	end(s);
}

static void begin(struct scene *s, enum smtp_kind kind)
{
	*s = (struct scene){ .rounds = 1 };
	smtp_house_init(&s->house);
	s->house.config.kind = kind;
	s->house.config.max_size = 1 << 20;
	s->hooks = smtp_house_hooks;
	s->hooks.house = &s->house;
	s->config.lmtp = kind == SMTP_LMTP;
}

static void add(struct scene *s, const char *local)
{
	s->rcpts[s->n++] = (struct smtp_client_rcpt){ .to = { str_z(local), STR("example.org") }, .orcpt_type = STR(""), .orcpt = STR("") };
}

static void play(struct scene *s)
{
	assert_int_equal(loop_open(&s->loop, &s->why), RC_OK);
	socket_pair(s->fd);
	assert_int_equal(fiber_start(s->loop, server_fiber, s, NULL), RC_OK);
	assert_int_equal(fiber_start(s->loop, client_fiber, s, NULL), RC_OK);
	loop_run(s->loop);
	loop_close(&s->loop);
	assert_null(s->house.breach);
}

/* Lines that begin with dots, empty ones, long ones. */
static void make_message(struct buf *b)
{
	buf_init(b, BODY + 4096);
	for (unsigned i = 0; b->len < BODY; i++)
		buf_addf(b, "%s%.*u\r\n", i % 3 ? "" : i % 2 ? "." : "..", (int)(i * 7 % 900), i);
}

static void large_messages_arrive_octet_for_octet_by_every_way(void **state)
{
	static const struct { enum smtp_kind kind; bool no_pipelining, no_chunking, binary; } ways[] = {
		{ SMTP_RELAY_IN }, { SMTP_RELAY_IN, .no_chunking = true }, { SMTP_RELAY_IN, .no_pipelining = true }, { SMTP_RELAY_IN, .no_pipelining = true, .no_chunking = true },
		{ SMTP_RELAY_IN, .binary = true }, { SMTP_LMTP }, { SMTP_LMTP, .no_chunking = true },
	};
	struct buf text AUTO(buf_done);
	make_message(&text);
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		struct scene s;
		begin(&s, ways[i].kind);
		s.config.no_pipelining = ways[i].no_pipelining;
		s.config.no_chunking = ways[i].no_chunking;
		s.binary = ways[i].binary;
		s.message = buf_str(&text);
		s.rounds = 3;
		add(&s, "joe");
		add(&s, "nobody");
		add(&s, "full");
		add(&s, "never");
		play(&s);
		assert_int_equal(s.done, 3);
		assert_int_equal(s.sent, RC_OK);
		assert_int_equal(s.rcpts[0].rc, RC_OK);
		assert_int_equal(s.rcpts[1].rc, RC_DENIED);
		assert_int_equal(s.rcpts[2].rc, RC_BUSY);
		assert_int_equal(s.rcpts[3].rc, ways[i].kind == SMTP_LMTP ? RC_DENIED : RC_OK);
		assert_int_equal(s.house.commits, 3);
		assert_int_equal(s.house.bodies.len, 3 * text.len);
		for (size_t k = 0; k < 3; k++)
			assert_memory_equal(s.house.bodies.p + k * text.len, text.p, text.len);
		smtp_house_done(&s.house);
	}
}

static void under_starttls_with_a_verified_certificate_too(void **state)
{
	struct scene s;
	struct why why = { 0 };
	struct buf text AUTO(buf_done);
	make_message(&text);
	begin(&s, SMTP_RELAY_IN);
	s.starttls = s.house.config.tls_required = true;
	s.message = buf_str(&text);
	house_init(&s.tls_house, "mail.example");
	s.tls_server = house_server(&s.tls_house, 1);
	assert_int_equal(tls_client_new(buf_str(&s.tls_house.ca), &s.tls_client, &why), RC_OK);
	add(&s, "joe");
	play(&s);
	assert_int_equal(s.rcpts[0].rc, RC_OK);
	assert_int_equal(s.house.bodies.len, text.len);
	assert_memory_equal(s.house.bodies.p, text.p, text.len);
	tls_client_free(&s.tls_client);
	tls_server_free(&s.tls_server);
	house_done(&s.tls_house);
	smtp_house_done(&s.house);
}

/* ---- SCRAM: the server knows StoredKey and ServerKey only ---- */

static enum rc scram_begin(void *arg, struct str user, struct buf *salt, uint32_t *iterations, struct buf *nonce, struct why *why)
{
	buf_add(salt, STR("some salt"));
	buf_add(nonce, STR("server-part"));
	*iterations = 4096;
	return RC_OK;
}

static enum rc scram_prove(void *arg, struct str user, struct str auth_message, struct str proof, struct buf *signature, struct why *why)
{
	struct secret salted, client;
	struct scram_keys k;
	uint8_t out[HASH_LEN];
	TRY(scram_salted(STR("pencil"), STR("some salt"), 4096, &salted));
	TRY(scram_keys_of(&salted, &k));
	if (!str_eq(user, STR("tim")) || proof.n != HASH_LEN || scram_check(k.stored, auth_message, (const uint8_t *)proof.p, &client) != RC_OK)
		FAIL(why, RC_DENIED, "5.7.8 wrong address or password");
	TRY(scram_signature(&k.server, auth_message, out));
	(void)snprintf(((struct smtp_house *)arg)->login, sizeof ((struct smtp_house *)arg)->login, "SCRAM tim");
	buf_add(signature, str_of(out, sizeof out));
	return RC_OK;
}

static enum rc scram_impostor(void *arg, struct str user, struct str auth_message, struct str proof, struct buf *signature, struct why *why)
{
	buf_add(signature, STR("I do not know the password, but "));
	return RC_OK;
}

static void scram_proves_both_sides_to_each_other(void **state)
{
	static const struct { const char *password; bool impostor; enum rc rc; const char *words; } cases[] = {
		{ "pencil", false, RC_OK, "" }, { "pencils", false, RC_DENIED, "AUTH was answered: 535" }, { "pencil", true, RC_DENIED, "could not prove that it knows the password" },
	};
	for (size_t i = 0; i < 3; i++) {
		struct scene s;
		begin(&s, SMTP_SUBMISSION);
		s.house.config.scram = s.house.config.plaintext_login = true;
		s.hooks.scram_begin = scram_begin;
		s.hooks.scram_prove = cases[i].impostor ? scram_impostor : scram_prove;
		s.user = STR("tim");
		s.password = str_z(cases[i].password);
		s.message = STR("Subject: x\r\n\r\nx\r\n");
		add(&s, "joe");
		s.leaves = cases[i].impostor;
		play(&s);
		assert_int_equal(s.login, cases[i].rc);
		assert_non_null(strstr(s.why.text, cases[i].words));
		assert_int_equal(s.done, cases[i].rc == RC_OK);
		assert_int_equal(s.house.commits, cases[i].rc == RC_OK);
		smtp_house_done(&s.house);
	}
}

int run_client_server_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_messages_arrive_octet_for_octet_by_every_way),
		cmocka_unit_test(under_starttls_with_a_verified_certificate_too),
		cmocka_unit_test(scram_proves_both_sides_to_each_other),
	};
	return _cmocka_run_group_tests("client_server", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
