#include "dialog/smtp/house.h"
#include "os/net.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* The test house behind a real socket: one fiber for each connection, a fresh house in each. Prints its port, serves until SIGTERM; exits with 1 when
 * a session broke its contract. For dialog.py. */

static struct { struct loop *loop; int fd; const char *breach; } server;

static void connection(void *arg)
{
	struct stream *io = arg;
	struct smtp_house house;
	smtp_house_init(&house);
	(void)smtp_house_serve(&house, io);
	if (house.breach)
		server.breach = house.breach;
	smtp_house_done(&house);
	stream_free(&io);
}

static void accepting(void *arg)
{
	(void)arg;
	while (io_wait(server.fd, IO_READ, NO_DEADLINE) == RC_OK) {
		struct why why;
		struct stream *io;
		int fd = accept4(server.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 || stream_of_fd(server.loop, fd, NULL, &io, &why) != RC_OK)
			continue;
		if (fiber_start(server.loop, connection, io, NULL) != RC_OK)
			stream_free(&io);
	}
}

static void stop(void *arg, int signo)
{
	(void)signo;
	loop_stop(arg);
}

static int fail(const char *what, const struct why *why)
{
	fprintf(stderr, "%s: %s\n", what, why->text);
	return 2;
}

int main(void)
{
	struct why why = { 0 };
	struct net_addr a;
	if (net_parse(STR("127.0.0.1:0"), &a, &why) != RC_OK || net_listen(&a, false, 16, &server.fd, &why) != RC_OK)
		return fail("listen", &why);
	struct net_addr got = { .len = sizeof got.sa };
	char ip[46];
	uint16_t port = 0;
	if (getsockname(server.fd, (struct sockaddr *)&got.sa, &got.len) != 0)
		return fail("getsockname", &why);
	net_ip_text(&got, ip, &port);
	if (loop_open(&server.loop, &why) != RC_OK || loop_on_signal(server.loop, SIGTERM, stop, server.loop, &why) != RC_OK)
		return fail("loop", &why);
	if (fiber_start(server.loop, accepting, NULL, NULL) != RC_OK)
		return fail("fiber", &why);
	printf("%u\n", port);
	(void)fflush(stdout);
	loop_run(server.loop);
	loop_close(&server.loop);
	(void)close(server.fd);
	if (server.breach)
		fprintf(stderr, "broken contract: %s\n", server.breach);
	return server.breach ? 1 : 0;
}
