/* Our SMTP client for scripts: one connection, one or more messages, the outcome of everything as lines of words.
 *
 *   smtp_send HOST:PORT [OPTION...] FROM RCPT...  < message (LF or CRLF line ends)
 *     lmtp, no-pipelining, no-chunking, 8bit, utf8, binary, implicit-tls, starttls, pkix=NAME, roots=FILE, auth=USER:PASSWORD, messages=N, patience=MS, trace
 *
 *   connect WORD [words]; hello WORD code name; tls WORD [facts]; auth WORD code; send WORD code; rcpt N WORD code enhanced text; end usable|dead
 */
#include "crypto/tls_client.h"
#include "os/loop.h"
#include "os/net.h"
#include "os/stream.h"
#include "smtp/client.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { RCPTS = 200, MESSAGE_MAX = 64 << 20 };

struct tool {
	struct loop *loop;
	struct net_addr to;
	struct smtp_client_config config;
	bool implicit, starttls, trace;
	struct tls_peer_config tls;
	struct str name, roots, user, password;
	struct smtp_client_mail mail;
	struct buf message;
	struct arena addresses;
	size_t given;
	struct smtp_client_rcpt rcpts[RCPTS];
	size_t n;
	unsigned messages, patience;
};

static enum rc more(void *house, struct str *out)
{
	struct tool *t = house;
	*out = str_head(str_skip(buf_str(&t->message), t->given), 30000);
	t->given += out->n;
	return RC_OK;
}

static enum rc again(void *house)
{
	((struct tool *)house)->given = 0;
	return RC_OK;
}

static void trace(void *arg, char direction, struct str line) { (void)fprintf(stderr, "%c %.*s\n", direction, (int)line.n, line.p); }

/* ---- talking ---- */

static enum rc start_tls(struct tool *t, struct smtp_client *c, struct stream *s, const struct tls_peer *peer)
{
	struct smtp_reply reply = { 0 };
	struct why why = { 0 };
	struct tls_peer_facts f;
	enum rc rc = c ? smtp_client_starttls(c, &reply, &why) : stream_starttls(s);
	tls_peer_facts(peer, &f);
	printf("tls %s %d \"%s\" %s\n", rc_name(rc), reply.code, f.result_type, rc == RC_OK || !why.text[0] || !reply.code || reply.code == 220 ? f.words : why.text);
	return rc;
}

static void send_all(struct tool *t, struct smtp_client *c)
{
	struct smtp_reply reply;
	for (unsigned i = 0; i < t->messages && smtp_client_usable(c); i++) {
		struct why why = { 0 };
		enum rc rc = smtp_client_send(c, &t->mail, t->rcpts, t->n, &reply, &why);
		printf("send %s %d %s\n", rc_name(rc), reply.code, why.text);
		for (size_t k = 0; k < t->n; k++)
			printf("rcpt %zu %s %d \"%s\" %s\n", k, rc_name(t->rcpts[k].rc), t->rcpts[k].reply.code, t->rcpts[k].reply.enhanced, t->rcpts[k].reply.text);
	}
	printf("end %s\n", smtp_client_usable(c) ? "usable" : "dead");
	smtp_client_quit(c);
}

static void talk(struct tool *t, struct smtp_client *c, struct stream *s, const struct tls_peer *peer)
{
	struct smtp_reply reply = { 0 };
	struct why why = { 0 };
	if (t->trace)
		smtp_client_watch(c, trace, NULL);
	if (t->implicit && start_tls(t, NULL, s, peer) != RC_OK)
		return;
	enum rc rc = smtp_client_hello(c, &reply, &why);
	struct str name = smtp_client_name(c);
	printf("hello %s %d %s\n", rc_name(rc), reply.code, rc == RC_OK ? name.p : why.text);
	if (rc != RC_OK)
		return;
	if (t->starttls)
		(void)start_tls(t, c, s, peer);
	if (t->user.n && smtp_client_usable(c)) {
		rc = smtp_client_auth(c, t->user, t->password, &reply, &why);
		printf("auth %s %d %s\n", rc_name(rc), reply.code, rc == RC_OK ? "" : why.text);
		if (rc != RC_OK)
			return;
	}
	send_all(t, c);
}

static void run(void *arg)
{
	struct tool *t = arg;
	struct why why = { 0 };
	struct tls_client *tls = NULL;
	struct tls_peer *peer = NULL;
	struct stream *s = NULL;
	struct smtp_client *c = NULL;
	int fd = -1;
	t->tls.sni = t->name;
	if (tls_client_new(t->roots, &tls, &why) != RC_OK || tls_peer_new(tls, &t->tls, &peer, &why) != RC_OK)
		printf("connect fail %s\n", why.text);
	else {
		enum rc rc = net_connect(t->loop, &t->to, NULL, loop_now(t->loop) + t->patience, &fd, &why);
		printf("connect %s %s\n", rc_name(rc), rc == RC_OK ? "" : why.text);
		if (rc == RC_OK && stream_of_fd(t->loop, fd, tls_peer_provider(peer), &s, &why) == RC_OK && smtp_client_new(s, &t->config, &c) == RC_OK)
			talk(t, c, s, peer);
	}
	smtp_client_free(&c);
	stream_free(&s);
	tls_peer_free(&peer);
	tls_client_free(&tls);
	loop_stop(t->loop);
}

/* ---- arguments ---- */

static void read_all(FILE *f, struct buf *out, bool lines)
{
	char last = 0;
	for (int c; (c = getc(f)) != EOF; last = (char)c) {
		if (lines && c == '\n' && last != '\r')
			buf_byte(out, '\r');
		buf_byte(out, (char)c);
	}
}

static void patience(struct tool *t, unsigned ms)
{
	struct smtp_client_config *c = &t->config;
	t->patience = c->greeting_ms = c->hello_ms = c->mail_ms = c->rcpt_ms = c->data_ms = c->block_ms = c->dot_ms = c->quit_ms = ms;
}

static bool option(struct tool *t, struct str o, struct buf *roots)
{
	const struct { const char *name; bool *flag; } flags[] = {
		{ "lmtp", &t->config.lmtp }, { "no-pipelining", &t->config.no_pipelining }, { "no-chunking", &t->config.no_chunking }, { "8bit", &t->mail.body_8bit },
		{ "utf8", &t->mail.smtputf8 }, { "binary", &t->mail.body_binary }, { "implicit-tls", &t->implicit }, { "starttls", &t->starttls }, { "trace", &t->trace },
	};
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (str_eq(o, str_z(flags[i].name)))
			return *flags[i].flag = true;
	struct str key, value;
	uint64_t n = 0;
	if (!str_cut(o, '=', &key, &value))
		return false;
	if (str_eq(key, STR("pkix"))) {
		t->name = value;
		t->tls.want = TLS_WANT_PKIX;
	} else if (str_eq(key, STR("roots"))) {
		FILE *f = fopen(value.p, "rb");
		if (!f)
			return false;
		read_all(f, roots, false);
		(void)fclose(f);
		t->roots = buf_str(roots);
	} else if (str_eq(key, STR("auth"))) {
		return str_cut(value, ':', &t->user, &t->password);
	} else if (str_eq(key, STR("messages")) && str_u64(value, 1000000, &n)) {
		t->messages = (unsigned)n;
	} else if (str_eq(key, STR("patience")) && str_u64(value, 1000000, &n)) {
		patience(t, (unsigned)n);
	} else {
		return false;
	}
	return true;
}

static struct mail_address address(struct tool *t, const char *z)
{
	struct mail_address a = { STR(""), STR("") };
	struct why why = { 0 };
	if (*z && mail_address_parse(str_z(z), true, &t->addresses, &a, &why) != RC_OK) {
		(void)fprintf(stderr, "smtp_send: %s: %s\n", z, why.text);
		exit(2);
	}
	return a;
}

int main(int argc, char **argv)
{
	static struct tool t = { .messages = 1, .name = STR_INIT("mail.example"), .roots = STR_INIT("") };
	struct why why = { 0 };
	struct buf roots;
	buf_init(&roots, 8 << 20);
	buf_init(&t.message, MESSAGE_MAX);
	arena_init(&t.addresses, 1 << 20);
	t.config.helo = STR("client.example");
	t.mail = (struct smtp_client_mail){ .envid = STR(""), .more = more, .rewind = again, .house = &t };
	patience(&t, 5000);
	int i = 2;
	while (i < argc && option(&t, str_z(argv[i]), &roots))
		i++;
	if (argc < i + 2 || argc - i - 1 > RCPTS || net_parse(str_z(argv[1]), &t.to, &why) != RC_OK)
		return 2;
	t.mail.from = address(&t, argv[i++]);
	for (; i < argc; i++)
		t.rcpts[t.n++] = (struct smtp_client_rcpt){ .to = address(&t, argv[i]), .orcpt_type = STR(""), .orcpt = STR("") };
	read_all(stdin, &t.message, !t.mail.body_binary);
	t.mail.size = t.message.len;
	if (loop_open(&t.loop, &why) != RC_OK || fiber_start(t.loop, run, &t, NULL) != RC_OK)
		return 2;
	loop_run(t.loop);
	loop_close(&t.loop);
	buf_done(&t.message);
	buf_done(&roots);
	arena_done(&t.addresses);
	return 0;
}
