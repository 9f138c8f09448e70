/* Streams over descriptors: suspension, back-pressure, deadlines, wake-ups, TLS providers. */
#include "base/mem.h"
#include "os/file.h"
#include "os/net.h"
#include "os/stream.h"
#include "os_test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
	struct loop *l;
	int fd[2];
	struct stream *s;            /* over fd[0] */
	int ended;                   /* fibers that have finished */
	const struct tls_provider *tls;
	void (*server)(struct pair *p);
	void (*client)(struct pair *p);
	enum rc rc;
	struct fiber *server_fiber;
	size_t got;
};

static void end_one(struct pair *p)
{
	if (++p->ended == 2)
		loop_stop(p->l);
}

static void run_server(void *arg)
{
	struct pair *p = arg;
	struct why why = { 0 };
	assert_int_equal(stream_of_fd(p->l, p->fd[0], p->tls, &p->s, &why), RC_OK);
	p->server(p);
	stream_free(&p->s);
	end_one(p);
}

static void run_client(void *arg)
{
	struct pair *p = arg;
	p->client(p);
	fd_close(&p->fd[1]);
	end_one(p);
}

static void run_pair(struct pair *p, int type)
{
	struct why why = { 0 };
	assert_int_equal(loop_open(&p->l, &why), RC_OK);
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fd), 0);
	assert_int_equal(fiber_start(p->l, run_server, p, &p->server_fiber), RC_OK);
	assert_int_equal(fiber_start(p->l, run_client, p, NULL), RC_OK);
	loop_run(p->l);
	assert_int_equal(p->ended, 2);
	loop_close(&p->l);
}

static void put(struct pair *p, const char *z)
{
	struct why why = { 0 };
	assert_int_equal(fd_write_all(p->fd[1], str_z(z), &why), RC_OK);
}

static size_t get(struct pair *p, char *to, size_t cap)
{
	assert_int_equal(io_wait(p->fd[1], IO_READ, loop_now(p->l) + 5000), RC_OK);
	ssize_t n = read(p->fd[1], to, cap - 1);
	assert_true(n >= 0);
	to[n] = 0;
	return (size_t)n;
}

static void echo_server(struct pair *p)
{
	struct str line;
	while (stream_line(p->s, 1000, &line) == RC_OK) {
		stream_write(p->s, STR("<"));
		stream_write(p->s, line);
		stream_write(p->s, STR(">"));
	}
	p->rc = stream_error(p->s);
}

static void pipelining_client(struct pair *p)
{
	char text[100];
	put(p, "one\r\ntwo\r\nthr");
	assert_int_equal(get(p, text, sizeof text), 10); /* both answers in one piece */
	assert_string_equal(text, "<one><two>");
	put(p, "ee\r");
	assert_int_equal(fiber_sleep(5), RC_OK);
	put(p, "\n");
	get(p, text, sizeof text);
	assert_string_equal(text, "<three>");
}

static void answers_to_pipelined_lines_leave_together(void **state)
{
	struct pair p = { .server = echo_server, .client = pipelining_client };
	run_pair(&p, SOCK_STREAM);
	assert_int_equal(p.rc, RC_CLOSED);
}

enum { FLOOD = 8 * 1000 * 1000 };
static void flooding_server(struct pair *p)
{
	char line[1000];
	memset(line, 'x', sizeof line);
	for (size_t i = 0; i < FLOOD / sizeof line; i++)
		stream_write(p->s, str_of(line, sizeof line));
	p->rc = stream_flush(p->s);
}

static void slow_client(struct pair *p)
{
	static char scrap[50000];
	for (unsigned i = 0; p->got < FLOOD; i++) {
		if (i % 16 == 0)
			assert_int_equal(fiber_sleep(1), RC_OK);
		p->got += get(p, scrap, sizeof scrap);
	}
}

static void lending_server(struct pair *p)
{
	static char body[4 * 1000 * 1000 - 12];
	memset(body, 'y', sizeof body);
	for (unsigned i = 0; i < 2; i++) {
		stream_write(p->s, STR("+OK y\r\n"));
		struct str parts[STREAM_PARTS_MAX] = { str_of(body, 1), str_of(body, sizeof body / 2), STR(""), str_of(body + 1, sizeof body / 2 - 2) };
		size_t n = 4;
		for (; n < STREAM_PARTS_MAX - 1; n++)
			parts[n] = n == 9 ? str_of(body, 1) : STR("");
		parts[n++] = STR("\r\n.\r\n");
		stream_write_last(p->s, parts, n);
		memset(body, 'z', sizeof body); /* ours again */
	}
	p->rc = stream_flush(p->s);
}

static void comparing_client(struct pair *p)
{
	static char all[FLOOD + 1];
	while (p->got < FLOOD) {
		if (p->got % 3 == 0)
			assert_int_equal(fiber_sleep(1), RC_OK);
		p->got += get(p, all + p->got, sizeof all - p->got);
	}
	for (unsigned i = 0; i < 2; i++) {
		const char *one = all + i * (FLOOD / 2), *end = one + FLOOD / 2 - 5;
		assert_memory_equal(one, "+OK y\r\n", 7);
		for (const char *q = one + 7; q < end; q++)
			assert_int_equal(*q, i ? 'z' : 'y');
		assert_memory_equal(end, "\r\n.\r\n", 5);
	}
}

static void what_is_lent_arrives_in_its_place_however_little_fits(void **state)
{
	struct pair p = { .server = lending_server, .client = comparing_client };
	run_pair(&p, SOCK_STREAM);
	assert_int_equal(p.rc, RC_OK);
}

static void a_slow_reader_suspends_the_writer_and_gets_everything(void **state)
{
	struct pair p = { .server = flooding_server, .client = slow_client };
	run_pair(&p, SOCK_STREAM);
	assert_int_equal(p.rc, RC_OK);
	assert_int_equal(p.got, FLOOD);
}

static void impatient_flood(struct pair *p)
{
	stream_timeout(p->s, 30);
	flooding_server(p);
}
static void silent_client(struct pair *p)
{
	while (p->ended == 0)
		assert_int_equal(fiber_sleep(5), RC_OK);
}

static void a_reader_that_never_reads_is_late(void **state)
{
	struct pair p = { .server = impatient_flood, .client = silent_client };
	run_pair(&p, SOCK_STREAM);
	assert_int_equal(p.rc, RC_LATE);
}

static void impatient_reader(struct pair *p)
{
	struct str line;
	stream_timeout(p->s, 30);
	p->rc = stream_line(p->s, 100, &line);
	assert_int_equal(stream_line(p->s, 100, &line), RC_LATE); /* sticky */
}

static void a_client_that_says_nothing_is_late(void **state)
{
	struct pair p = { .server = impatient_reader, .client = silent_client };
	run_pair(&p, SOCK_STREAM);
	assert_int_equal(p.rc, RC_LATE);
}

static void patient_reader(struct pair *p)
{
	struct str line;
	p->rc = stream_line(p->s, 100, &line);
}
static void cancelling_client(struct pair *p)
{
	assert_int_equal(fiber_sleep(5), RC_OK);
	fiber_cancel(p->server_fiber);
	silent_client(p);
}

static void cancelling_closes_the_stream(void **state)
{
	struct pair p = { .server = patient_reader, .client = cancelling_client };
	run_pair(&p, SOCK_STREAM);
	assert_int_equal(p.rc, RC_CLOSED);
}

static void idle_server(struct pair *p)
{
	struct str line;
	stream_wake(p->s); /* sticky: before the wait */
	assert_int_equal(stream_wait(p->s, 5000), RC_AGAIN);
	stream_write(p->s, STR("+ idling\r\n")); /* goes out by itself */
	assert_int_equal(stream_wait(p->s, 5000), RC_AGAIN);
	assert_int_equal(stream_wait(p->s, 10), RC_LATE);
	stream_write(p->s, STR("* 1 EXISTS\r\n"));
	assert_int_equal(stream_wait(p->s, 5000), RC_OK);
	assert_int_equal(stream_line(p->s, 100, &line), RC_OK);
	assert_true(str_eq(line, STR("DONE")));
	assert_int_equal(stream_wait(p->s, 5000), RC_CLOSED);
	p->rc = stream_error(p->s);
}
static void idle_client(struct pair *p)
{
	char text[100];
	get(p, text, sizeof text);
	assert_string_equal(text, "+ idling\r\n");
	stream_wake(p->s);
	get(p, text, sizeof text);
	assert_string_equal(text, "* 1 EXISTS\r\n");
	put(p, "DONE\r\n");
}

static void an_idle_stream_is_woken_from_outside(void **state)
{
	struct pair p = { .server = idle_server, .client = idle_client };
	run_pair(&p, SOCK_STREAM);
	assert_int_equal(p.rc, RC_CLOSED);
}

/* A provider whose handshake is one line each way and whose records are the octets XOR 0x20; it may suspend inside. */
struct fake { const struct tls_wire *wire; int step; bool fails; };
static void *fake_start(void *house, const struct tls_wire *wire)
{
	struct fake *f = mem_new(sizeof *f);
	if (f)
		*f = (struct fake){ .wire = wire, .fails = house != NULL };
	return f;
}
static int fake_handshake(void *tls)
{
	struct fake *f = tls;
	char hello[5];
	long n = f->wire->read(f->wire->stream, hello, sizeof hello);
	if (n < 0)
		return (int)n;
	if (n != 5 || memcmp(hello, "HELLO", 5) != 0 || f->fails)
		return TLS_BROKEN;
	assert_int_equal(fiber_sleep(3), RC_OK); /* the private-key operation, elsewhere */
	return f->wire->write(f->wire->stream, "READY", 5) == 5 ? 1 : TLS_BROKEN;
}
static long fake_read(void *tls, void *p, size_t n)
{
	const struct tls_wire *w = ((struct fake *)tls)->wire;
	long got = w->read(w->stream, p, n);
	for (long i = 0; i < got; i++)
		((char *)p)[i] ^= 0x20;
	return got;
}
static long fake_write(void *tls, const void *p, size_t n)
{
	char text[64];
	n = n < sizeof text ? n : sizeof text;
	for (size_t i = 0; i < n; i++)
		text[i] = ((const char *)p)[i] ^ 0x20;
	const struct tls_wire *w = ((struct fake *)tls)->wire;
	return w->write(w->stream, text, n);
}
static void fake_facts(void *tls, struct stream_facts *out) { snprintf(out->tls_version, sizeof out->tls_version, "FAKEv1"); }
static void fake_stop(void *tls) { mem_free(tls); }
#define FAKE(h) { .house = (h), .start = fake_start, .handshake = fake_handshake, .read = fake_read, .write = fake_write, .facts = fake_facts, .stop = fake_stop }

static void tls_server(struct pair *p)
{
	struct str line;
	assert_int_equal(stream_line(p->s, 100, &line), RC_OK);
	assert_true(str_eq(line, STR("STARTTLS")));
	assert_int_equal(stream_pending(p->s), 6);
	stream_write(p->s, STR("220 go\r\n"));
	assert_int_equal(stream_starttls(p->s), RC_OK);
	assert_int_equal(stream_pending(p->s), 0);
	assert_string_equal(stream_facts(p->s)->tls_version, "FAKEv1");
	assert_int_equal(stream_line(p->s, 100, &line), RC_OK);
	assert_true(str_eq(line, STR("hi")));
	stream_write(p->s, STR("ok"));
	p->rc = stream_flush(p->s);
	assert_int_equal(stream_starttls(p->s), RC_DENIED);
}
static void tls_client(struct pair *p)
{
	char text[100];
	put(p, "STARTTLS\r\nEVIL\r\n");
	get(p, text, sizeof text);
	assert_string_equal(text, "220 go\r\n");
	put(p, "HELLO");
	get(p, text, sizeof text);
	assert_string_equal(text, "READY");
	put(p, "HI-*"); /* "hi\r\n" XOR 0x20 */
	get(p, text, sizeof text);
	assert_string_equal(text, "OK");
}

static void starttls_on_a_socket_discards_and_upgrades(void **state)
{
	static const struct tls_provider tls = FAKE(NULL);
	struct pair p = { .server = tls_server, .client = tls_client, .tls = &tls };
	run_pair(&p, SOCK_STREAM);
	assert_int_equal(p.rc, RC_OK);
}

/* The end of the handshake, three records of 64 octets and one of 8: one packet. */
static void gathering_server(struct pair *p)
{
	assert_int_equal(stream_starttls(p->s), RC_OK);
	for (int i = 0; i < 200; i++)
		stream_write(p->s, STR("a"));
	p->rc = stream_flush(p->s);
}
static void gathering_client(struct pair *p)
{
	char text[400];
	put(p, "HELLO");
	get(p, text, sizeof text);
	assert_int_equal(strlen(text), 205);
	assert_memory_equal(text, "READYAAA", 8);
}

static void small_records_of_tls_leave_in_one_packet(void **state)
{
	static const struct tls_provider tls = FAKE(NULL);
	struct pair p = { .server = gathering_server, .client = gathering_client, .tls = &tls };
	run_pair(&p, SOCK_SEQPACKET);
	assert_int_equal(p.rc, RC_OK);
}

static void failing_tls_server(struct pair *p)
{
	struct str line;
	assert_int_equal(stream_starttls(p->s), RC_CLOSED);
	assert_false(stream_is_tls(p->s));
	p->rc = stream_line(p->s, 100, &line);
}
static void hello_client(struct pair *p) { put(p, "HELLO"); silent_client(p); }

static void a_failed_handshake_breaks_the_stream(void **state)
{
	static const struct tls_provider tls = FAKE((void *)1);
	struct pair p = { .server = failing_tls_server, .client = hello_client, .tls = &tls };
	run_pair(&p, SOCK_STREAM);
	assert_int_equal(p.rc, RC_CLOSED);
}

/* ---- over real TCP ---- */

struct tcp { struct loop *l; int listener; struct net_addr at; enum rc rc; struct stream_facts facts; struct proxy_source src; bool proxy; };

static void tcp_server(void *arg)
{
	struct tcp *t = arg;
	struct why why = { 0 };
	struct stream *s;
	struct str line;
	assert_int_equal(io_wait(t->listener, IO_READ, loop_now(t->l) + 5000), RC_OK);
	int fd = accept4(t->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	if (t->proxy) {
		t->rc = proxy_read(fd, loop_now(t->l) + 2000, &t->src, &why);
		if (t->rc == RC_SYNTAX) {
			close(fd);
			loop_stop(t->l);
			return;
		}
	}
	assert_int_equal(stream_of_fd(t->l, fd, NULL, &s, &why), RC_OK);
	if (t->proxy && t->rc == RC_OK)
		stream_set_peer(s, t->src.ip, t->src.port);
	t->facts = *stream_facts(s);
	assert_int_equal(stream_line(s, 100, &line), RC_OK);
	assert_true(str_eq(line, STR("QUIT")));
	stream_write(s, STR("221\r\n"));
	assert_int_equal(stream_flush(s), RC_OK);
	stream_free(&s);
	loop_stop(t->l);
}

static void tcp_run(struct tcp *t, const char *const *pieces)
{
	struct why why = { 0 };
	assert_int_equal(loop_open(&t->l, &why), RC_OK);
	assert_int_equal(net_parse(STR("127.0.0.1:0"), &t->at, &why), RC_OK);
	assert_int_equal(net_listen(&t->at, true, 10, &t->listener, &why), RC_OK);
	t->at.len = sizeof t->at.sa;
	assert_int_equal(getsockname(t->listener, (struct sockaddr *)&t->at.sa, &t->at.len), 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&t->at.sa, t->at.len), 0);
	for (; *pieces; pieces++)
		assert_int_equal(fd_write_all(fd, str_z(*pieces), &why), RC_OK);
	assert_int_equal(fiber_start(t->l, tcp_server, t, NULL), RC_OK);
	loop_run(t->l);
	loop_close(&t->l);
	close(fd);
	close(t->listener);
}

static void a_tcp_stream_knows_both_ends(void **state)
{
	struct tcp t = { 0 };
	tcp_run(&t, (const char *const[]){ "QUIT\r\n", NULL });
	assert_string_equal(t.facts.peer_ip, "127.0.0.1");
	assert_string_equal(t.facts.local_ip, "127.0.0.1");
	assert_int_equal(t.facts.local_port, ntohs(((struct sockaddr_in *)&t.at.sa)->sin_port));
	assert_int_not_equal(t.facts.peer_port, 0);
	assert_true(t.facts.loopback);
	assert_false(t.facts.unix_socket);
}

static void a_proxy_header_names_the_peer_and_nothing_behind_it_is_taken(void **state)
{
	struct tcp t = { .proxy = true };
	tcp_run(&t, (const char *const[]){ "PROXY TCP4 192.0.2.9 192.0.2.1 4321 25\r\nQUIT\r\n", NULL });
	assert_int_equal(t.rc, RC_OK);
	assert_string_equal(t.facts.peer_ip, "192.0.2.9");
	assert_int_equal(t.facts.peer_port, 4321);
	assert_false(t.facts.loopback);
}

static void an_unknown_proxy_source_keeps_the_sockets_own(void **state)
{
	struct tcp t = { .proxy = true };
	tcp_run(&t, (const char *const[]){ "PROXY UNKNOWN\r\n", "QUIT\r\n", NULL });
	assert_int_equal(t.rc, RC_AGAIN);
	assert_string_equal(t.facts.peer_ip, "127.0.0.1");
}

static void what_is_no_proxy_header_is_refused(void **state)
{
	struct tcp t = { .proxy = true };
	tcp_run(&t, (const char *const[]){ "EHLO me\r\n", NULL });
	assert_int_equal(t.rc, RC_SYNTAX);
}

/* A pipeline that never ends must leave others their turns. */
struct greedy { struct loop *l; int fd[2]; bool stop; size_t lines, turns; };
static void greedy_reader(void *arg)
{
	struct greedy *g = arg;
	struct stream *s;
	struct why why = { 0 };
	struct str line;
	assert_int_equal(stream_of_fd(g->l, g->fd[0], NULL, &s, &why), RC_OK);
	while (!g->stop && stream_line(s, 100, &line) == RC_OK) {
		/* Refilled from here, so that the socket is never found empty. */
		g->lines++;
		(void)!write(g->fd[1], "NOOP\r\nNOOP\r\n", 12);
		assert_true(g->lines < 50 * 1000 * 1000);
	}
	stream_free(&s);
	loop_stop(g->l);
}
static void other_fiber(void *arg)
{
	struct greedy *g = arg;
	for (int i = 0; i < 20; i++, g->turns++)
		fiber_yield();
	g->stop = true;
}

static void an_endless_pipeline_leaves_others_their_turns(void **state)
{
	struct greedy g = { 0 };
	struct why why = { 0 };
	assert_int_equal(loop_open(&g.l, &why), RC_OK);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, g.fd), 0);
	assert_int_equal(write(g.fd[1], "NOOP\r\nNOOP\r\n", 12), 12);
	assert_int_equal(fiber_start(g.l, greedy_reader, &g, NULL), RC_OK);
	assert_int_equal(fiber_start(g.l, other_fiber, &g, NULL), RC_OK);
	loop_run(g.l);
	assert_int_equal(g.turns, 20);
	loop_close(&g.l);
	close(g.fd[1]);
}

const struct CMUnitTest fd_tests[] = {
	cmocka_unit_test(answers_to_pipelined_lines_leave_together),
	cmocka_unit_test(a_slow_reader_suspends_the_writer_and_gets_everything),
	cmocka_unit_test(what_is_lent_arrives_in_its_place_however_little_fits),
	cmocka_unit_test(a_reader_that_never_reads_is_late),
	cmocka_unit_test(a_client_that_says_nothing_is_late),
	cmocka_unit_test(cancelling_closes_the_stream),
	cmocka_unit_test(an_idle_stream_is_woken_from_outside),
	cmocka_unit_test(starttls_on_a_socket_discards_and_upgrades),
	cmocka_unit_test(small_records_of_tls_leave_in_one_packet),
	cmocka_unit_test(a_failed_handshake_breaks_the_stream),
	cmocka_unit_test(a_tcp_stream_knows_both_ends),
	cmocka_unit_test(a_proxy_header_names_the_peer_and_nothing_behind_it_is_taken),
	cmocka_unit_test(an_unknown_proxy_source_keeps_the_sockets_own),
	cmocka_unit_test(what_is_no_proxy_header_is_refused),
	cmocka_unit_test(an_endless_pipeline_leaves_others_their_turns),
};
const size_t fd_tests_n = sizeof fd_tests / sizeof *fd_tests;
