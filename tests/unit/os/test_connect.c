/* Outgoing connections: they suspend the fiber, end by their deadline and say in words what is wrong. */
#include "os/file.h"
#include "os/net.h"
#include "os/stream.h"
#include "os_test.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct dial {
	struct loop *l;
	struct net_addr to, from;
	bool has_from;
	unsigned patience;
	enum rc rc;
	struct why why;
	struct stream_facts facts;
	struct fiber *fiber;
	bool cancel;
	size_t others;               /* turns that another fiber had meanwhile */
	bool done;
};

static struct net_addr address(const char *text)
{
	struct net_addr a;
	struct why why = { 0 };
	assert_int_equal(net_parse(str_z(text), &a, &why), RC_OK);
	return a;
}

static void dial(void *arg)
{
	struct dial *d = arg;
	int fd = -1;
	d->rc = net_connect(d->l, &d->to, d->has_from ? &d->from : NULL, loop_now(d->l) + d->patience, &fd, &d->why);
	if (d->rc == RC_OK) {
		struct stream *s = NULL;
		assert_int_equal(stream_of_fd(d->l, fd, NULL, &s, &d->why), RC_OK);
		d->facts = *stream_facts(s);
		stream_write(s, STR("x"));
		assert_int_equal(stream_flush(s), RC_OK);
		stream_free(&s);
	} else {
		assert_int_equal(fd, -1);
	}
	d->done = true;
	loop_stop(d->l);
}

static void run_others(void *arg)
{
	struct dial *d = arg;
	while (!d->done && fiber_sleep(1) == RC_OK)
		if (++d->others == 3 && d->cancel)
			fiber_cancel(d->fiber);
}

static void run(struct dial *d)
{
	struct why why = { 0 };
	assert_int_equal(loop_open(&d->l, &why), RC_OK);
	if (!d->patience)
		d->patience = 5000;
	assert_int_equal(fiber_start(d->l, dial, d, &d->fiber), RC_OK);
	assert_int_equal(fiber_start(d->l, run_others, d, NULL), RC_OK);
	loop_run(d->l);
	loop_close(&d->l);
}

/* A listener on a port of the kernel's choice; `backlog` 0 with the queue filled plays a host that does not answer. */
static int listener(const char *text, int backlog, struct net_addr *out)
{
	struct net_addr a = address(text);
	struct why why = { 0 };
	int fd;
	assert_int_equal(net_listen(&a, false, backlog, &fd, &why), RC_OK);
	out->len = sizeof out->sa;
	assert_int_equal(getsockname(fd, (struct sockaddr *)&out->sa, &out->len), 0);
	return fd;
}

static void a_connection_stands_and_knows_both_ends(void **state)
{
	static const struct { const char *listen, *ip; } cases[] = { { "127.0.0.1:0", "127.0.0.1" }, { "[::1]:0", "::1" } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct dial d = { 0 };
		int fd = listener(cases[i].listen, 4, &d.to);
		char ip[46];
		uint16_t port;
		net_ip_text(&d.to, ip, &port);
		run(&d);
		assert_int_equal(d.rc, RC_OK);
		assert_string_equal(d.facts.peer_ip, cases[i].ip);
		assert_int_equal(d.facts.peer_port, port);
		assert_string_equal(d.facts.local_ip, cases[i].ip);
		assert_true(d.facts.local_port > 0 && d.facts.local_port != port);
		assert_true(d.facts.loopback && !d.facts.unix_socket);
		int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		char c = 0;
		assert_int_equal(read(got, &c, 1), 1);
		assert_int_equal(c, 'x');
		close(got);
		close(fd);
	}
}

static void the_local_address_is_the_one_asked_for(void **state)
{
	struct dial d = { .has_from = true, .from = address("127.0.0.5:0") };
	int fd = listener("127.0.0.1:0", 4, &d.to);
	run(&d);
	assert_int_equal(d.rc, RC_OK);
	assert_string_equal(d.facts.local_ip, "127.0.0.5");
	close(fd);
	struct dial bad = { .has_from = true, .from = address("192.0.2.77:0"), .to = address("127.0.0.1:1") };
	run(&bad);
	assert_int_equal(bad.rc, RC_IO);
	assert_int_equal(bad.why.sys, EADDRNOTAVAIL);
	assert_non_null(strstr(bad.why.text, "local address"));
}

static void a_refused_connection_says_so(void **state)
{
	struct dial d = { 0 };
	close(listener("127.0.0.1:0", 1, &d.to));
	run(&d);
	assert_int_equal(d.rc, RC_DENIED);
	assert_int_equal(d.why.sys, ECONNREFUSED);
	assert_non_null(strstr(d.why.text, "127.0.0.1 port "));
	assert_non_null(strstr(d.why.text, "nothing listens"));
}

/* A full backlog drops the first packet of further connections: to the dialler, silence. */
static int silent_listener(struct net_addr *out, int filler[8])
{
	int fd = listener("127.0.0.1:0", 0, out);
	for (int i = 0; i < 8; i++) {
		filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_true(connect(filler[i], (const struct sockaddr *)&out->sa, out->len) == 0 || errno == EINPROGRESS);
	}
	return fd;
}

static void silence_ends_at_the_deadline_while_others_run(void **state)
{
	for (int cancel = 0; cancel < 2; cancel++) {
		struct dial d = { .patience = cancel ? 60000 : 50, .cancel = cancel };
		int filler[8], fd = silent_listener(&d.to, filler);
		run(&d);
		assert_int_equal(d.rc, cancel ? RC_CLOSED : RC_LATE);
		assert_non_null(strstr(d.why.text, cancel ? "given up" : "did not answer"));
		assert_true(d.others >= 3);
		for (int i = 0; i < 8; i++)
			close(filler[i]);
		close(fd);
	}
}

static void outside_a_fiber_it_blocks_and_a_missing_unix_socket_is_named(void **state)
{
	struct loop *l;
	struct why why = { 0 };
	struct net_addr to, nobody = address("unix:/nonexistent/x.sock");
	int fd = listener("127.0.0.1:0", 4, &to), got = -1;
	assert_int_equal(loop_open(&l, &why), RC_OK);
	assert_int_equal(net_connect(l, &to, NULL, NO_DEADLINE, &got, &why), RC_OK);
	close(got);
	close(fd);
	assert_int_equal(net_connect(l, &nobody, NULL, NO_DEADLINE, &got, &why), RC_IO);
	assert_string_equal(why.text, "/nonexistent/x.sock is no socket that anybody listens on");
	loop_close(&l);
}

const struct CMUnitTest connect_tests[] = {
	cmocka_unit_test(a_connection_stands_and_knows_both_ends),
	cmocka_unit_test(the_local_address_is_the_one_asked_for),
	cmocka_unit_test(a_refused_connection_says_so),
	cmocka_unit_test(silence_ends_at_the_deadline_while_others_run),
	cmocka_unit_test(outside_a_fiber_it_blocks_and_a_missing_unix_socket_is_named),
};
const size_t connect_tests_n = sizeof connect_tests / sizeof *connect_tests;
