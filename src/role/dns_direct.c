#include "role/dns_direct.h"

#include "base/buf.h"
#include "dns/reply.h"
#include "os/file.h"
#include "os/loop.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TRIES = 3, TRY_MS = 2000, TCP_MS = 4000, UDP_MAX = 4096, TCP_MAX = 65537 };

struct direct {
	struct str server, name;
	uint16_t port;
	unsigned type;
	uint16_t id;
	char question[302]; /* two octets of TCP's length before it */
	size_t question_n;
	struct buf reply;
};

static enum rc dial(const struct direct *d, int kind, int64_t deadline, int *out_fd)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(d->port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(d->port) };
	bool is4 = d->server.n == 4;
	memcpy(is4 ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr, d->server.p, d->server.n);
	AUTO(fd_close) int fd = socket(is4 ? AF_INET : AF_INET6, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return RC_IO;
	int e = connect(fd, is4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6, is4 ? sizeof v4 : sizeof v6);
	if (e < 0 && errno != EINPROGRESS)
		return RC_IO;
	if (e < 0) {
		int bad = 0;
		socklen_t n = sizeof bad;
		TRY(io_wait(fd, IO_WRITE, deadline));
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &bad, &n) < 0 || bad)
			return RC_IO;
	}
	*out_fd = fd;
	fd = -1;
	return RC_OK;
}

static enum rc over_udp(struct direct *d, int64_t deadline)
{
	AUTO(fd_close) int fd = -1;
	TRY(dial(d, SOCK_DGRAM, deadline, &fd));
	if (send(fd, d->question + 2, d->question_n, MSG_NOSIGNAL) < 0)
		return RC_IO;
	for (unsigned strangers = 0; strangers < 100; strangers++) {
		TRY(io_wait(fd, IO_READ, deadline));
		buf_clear(&d->reply);
		if (!buf_room(&d->reply, UDP_MAX))
			return RC_NOMEM;
		ssize_t n = recv(fd, d->reply.p, UDP_MAX, 0);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return RC_IO;
		d->reply.len = n > 0 ? (size_t)n : 0;
		if (dns_reply_fits(buf_str(&d->reply), d->id, d->type, d->name))
			return RC_OK;
	}
	return RC_LIMIT;
}

static enum rc receive(int fd, struct buf *b, size_t want, int64_t deadline)
{
	while (b->len < want) {
		TRY(io_wait(fd, IO_READ, deadline));
		if (!buf_room(b, want - b->len))
			return RC_NOMEM;
		ssize_t n = recv(fd, b->p + b->len, want - b->len, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return RC_IO;
		b->len += n > 0 ? (size_t)n : 0;
	}
	return RC_OK;
}

static enum rc over_tcp(struct direct *d, int64_t deadline)
{
	AUTO(fd_close) int fd = -1;
	TRY(dial(d, SOCK_STREAM, deadline, &fd));
	if (send(fd, d->question, d->question_n + 2, MSG_NOSIGNAL) != (ssize_t)d->question_n + 2) /* a new connection takes 300 octets */
		return RC_IO;
	buf_clear(&d->reply);
	TRY(receive(fd, &d->reply, 2, deadline));
	size_t n = (size_t)(unsigned char)d->reply.p[0] << 8 | (unsigned char)d->reply.p[1];
	TRY(receive(fd, &d->reply, n + 2, deadline));
	buf_drop(&d->reply, 2);
	return dns_reply_fits(buf_str(&d->reply), d->id, d->type, d->name) ? RC_OK : RC_SYNTAX;
}

static bool read_reply(struct direct *d, struct arena *a, struct dns_answer *out, struct dns_reply_facts *facts)
{
	struct why why = { 0 };
	if (dns_reply_parse(buf_str(&d->reply), d->type, d->name, a, out, facts, &why) == RC_OK)
		return true;
	(void)snprintf(out->why, sizeof out->why, "%.110s", why.text[0] ? why.text : "no memory for the answer");
	return false;
}

void dns_direct(struct str server, uint16_t port, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	struct direct d = { .server = server, .name = name, .port = port, .type = type, .reply = { .max = TCP_MAX } };
	struct dns_reply_facts facts;
	*out = (struct dns_answer){ .status = DNS_TEMPFAIL, .canonical = STR(""), .why = "no answer in three tries" };
	for (unsigned i = 0; i < TRIES; i++) {
		int64_t now = loop_now(fiber_loop());
		if (getrandom(&d.id, sizeof d.id, 0) != sizeof d.id)
			break;
		d.question_n = dns_question_write(d.id, type, name, d.question + 2);
		d.question[0] = (char)(d.question_n >> 8);
		d.question[1] = (char)d.question_n;
		enum rc rc = over_udp(&d, now + TRY_MS);
		if (rc == RC_CLOSED)
			break;
		if (rc == RC_IO) { /* refused: nobody is there; a little later is another try */
			(void)snprintf(out->why, sizeof out->why, "nobody answers there");
			if (fiber_sleep(100) != RC_OK)
				break;
		}
		if (rc != RC_OK || !read_reply(&d, a, out, &facts))
			continue;
		if (facts.cut && (over_tcp(&d, loop_now(fiber_loop()) + TCP_MS) != RC_OK || !read_reply(&d, a, out, &facts))) {
			*out = (struct dns_answer){ .status = DNS_TEMPFAIL, .canonical = STR(""), .why = "the answer was cut and TCP gave none" };
			continue;
		}
		if (out->status != DNS_TEMPFAIL && !facts.authoritative)
			*out = (struct dns_answer){ .status = DNS_TEMPFAIL, .canonical = STR(""), .why = "that server does not answer for the zone" };
		break;
	}
	buf_done(&d.reply);
}
