/* A stream over a connected descriptor, in clear or through a TLS provider. Reads and writes are tried first and the
 * fiber suspends only at EAGAIN; buffers are given back before every wait that finds them empty, so an idle connection
 * holds its stack's top page, this structure and what TLS keeps. */
#include "os/stream_impl.h"

#include "base/mem.h"
#include "os/net.h"
#include "os/runtime.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct fd_stream {
	struct stream s;
	struct io_poll *poll;
	const struct tls_provider *tls;
	void *session;            /* the provider's, while TLS is on */
	struct tls_wire wire;     /* what lies under it */
	char *gathered;           /* its octets gathered[gone .. gathered_n) wait to leave together; NULL: none */
	size_t gone, gathered_n;
	size_t work;              /* octets moved since this fiber last let others run */
	bool waits_idle;          /* in stream_wait(): the one place where stream_wake() reaches */
};

enum { FAIR_SHARE = 1024 * 1024, FILL_WORK = 64 * 1024 }; /* small reads make more work than their octets tell */
enum { AGAIN_READ = -1, AGAIN_WRITE = -2, BROKEN = -3 };
_Static_assert((int)AGAIN_READ == (int)TLS_WANT_READ && (int)AGAIN_WRITE == (int)TLS_WANT_WRITE && (int)BROKEN == (int)TLS_BROKEN,
               "clear and TLS answer alike");

static struct fd_stream *fd_of(struct stream *s) { return (struct fd_stream *)(void *)s; }

static int64_t deadline_of(const struct stream *s, unsigned ms)
{
	int64_t deadline = loop_now(s->loop) + ms;
	return s->until && s->until < deadline ? s->until : deadline;
}

/* A peer that always has more, or always has room, would keep the loop for itself: every so often it is the others' turn. */
static void be_fair(struct fd_stream *d, size_t work)
{
	d->work += work;
	if (d->work < FAIR_SHARE)
		return;
	d->work = 0;
	fiber_yield();
}

/* Never waits, also where somebody else who has this socket open made it one that does. */
static ssize_t receive(int fd, void *p, size_t n)
{
	ssize_t got = recv(fd, p, n, MSG_DONTWAIT);
	return got < 0 && errno == ENOTSOCK ? read(fd, p, n) : got;
}

/* > 0 octets, 0 = the peer has ended, or AGAIN_* / BROKEN. */
static long socket_read(struct fd_stream *d, void *p, size_t n)
{
	/* A short read empties a socket: until there is an edge, another would find nothing. */
	if (!io_poll_may_read(d->poll))
		return AGAIN_READ;
	io_poll_reading(d->poll);
	ssize_t got;
	do
		got = receive(d->poll->fd, p, n);
	while (got < 0 && errno == EINTR);
	if (got == (ssize_t)n)
		d->poll->input_edge = true;
	if (got >= 0)
		return got;
	return errno == EAGAIN || errno == EWOULDBLOCK ? AGAIN_READ : errno == ECONNRESET ? 0 : BROKEN;
}

static long socket_write(struct fd_stream *d, const void *p, size_t n, int flags)
{
	ssize_t put;
	do {
		put = send(d->poll->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
		if (put < 0 && errno == ENOTSOCK)
			put = write(d->poll->fd, p, n);
	} while (put < 0 && errno == EINTR);
	if (put >= 0)
		return put;
	return errno == EAGAIN || errno == EWOULDBLOCK ? AGAIN_WRITE : errno == EPIPE || errno == ECONNRESET ? 0 : BROKEN;
}

static long try_read(struct fd_stream *d, char *p, size_t n) { return d->session ? d->tls->read(d->session, p, n) : socket_read(d, p, n); }

static long try_write(struct fd_stream *d, const char *p, size_t n)
{
	return d->session ? d->tls->write(d->session, p, n) : socket_write(d, p, n, 0);
}

/* ---- what TLS reads and writes ---- */

static long wire_read(void *stream, void *p, size_t n) { return socket_read(stream, p, n); }

/* 1 = nothing is left, or AGAIN_WRITE / BROKEN / 0. */
static long push_gathered(struct fd_stream *d, int flags)
{
	while (d->gone < d->gathered_n) {
		long n = socket_write(d, d->gathered + d->gone, d->gathered_n - d->gone, flags);
		if (n <= 0)
			return n;
		d->gone += (size_t)n;
	}
	block_put(d->s.loop, d->gathered);
	d->gathered = NULL;
	d->gone = d->gathered_n = 0;
	return 1;
}

/* Small records (a ticket and the greeting, an answer and its end) share a packet; large ones are not copied. */
static long wire_write(void *stream, const void *p, size_t n)
{
	struct fd_stream *d = stream;
	if (d->gathered_n == BLOCK_SIZE) {
		long left = push_gathered(d, 0);
		if (left != 1)
			return left;
	}
	if (!d->gathered && (n > BLOCK_SIZE / 2 || !(d->gathered = block_get(d->s.loop))))
		return socket_write(d, p, n, 0);
	size_t take = BLOCK_SIZE - d->gathered_n < n ? BLOCK_SIZE - d->gathered_n : n;
	memcpy(d->gathered + d->gathered_n, p, take);
	d->gathered_n += take;
	return (long)take;
}

static enum rc push_all(struct fd_stream *d, int64_t deadline)
{
	while (d->gathered) {
		long left = push_gathered(d, 0);
		if (left == AGAIN_WRITE)
			TRY(io_poll_wait_drained(d->poll, IO_WRITE, deadline));
		else if (left != 1)
			return RC_CLOSED;
	}
	return RC_OK;
}

static enum rc wait_for(struct fd_stream *d, long want, int64_t deadline)
{
	d->work = 0;
	if (d->gathered) {
		TRY(push_all(d, deadline));
		if (want == AGAIN_WRITE)
			return RC_OK; /* there is room for TLS now */
	}
	return io_poll_wait_drained(d->poll, want == AGAIN_WRITE ? IO_WRITE : IO_READ, deadline);
}

static enum rc fd_send(struct stream *s)
{
	struct fd_stream *d = fd_of(s);
	while (s->sent < s->out_n) {
		long n = try_write(d, s->out + s->sent, s->out_n - s->sent);
		if (n > 0) {
			s->sent += (size_t)n;
			be_fair(d, (size_t)n);
			continue;
		}
		/* TLS may have to read (a key update) before it can write. */
		enum rc rc = n == AGAIN_READ || n == AGAIN_WRITE ? wait_for(d, n, deadline_of(s, s->patience)) : RC_CLOSED;
		if (rc != RC_OK) {
			stream_break(s, rc);
			return s->error;
		}
	}
	if (d->gathered) {
		enum rc rc = push_all(d, deadline_of(s, s->patience));
		if (rc != RC_OK)
			stream_break(s, rc);
	}
	return s->error;
}

/* Errors are left to the sending that follows. */
static size_t fd_send_lent(struct stream *s, const struct str *parts, size_t n)
{
	struct fd_stream *d = fd_of(s);
	size_t unsent = s->out_n - s->sent;
	if (d->session)
		return 0;
	struct iovec part[STREAM_PARTS_MAX + 1];
	struct msghdr m = { .msg_iov = part, .msg_iovlen = n + 1 };
	part[0] = (struct iovec){ s->out + s->sent, unsent };
	for (size_t i = 0; i < n; i++)
		part[i + 1] = (struct iovec){ (void *)(uintptr_t)parts[i].p, parts[i].n };
	ssize_t put;
	do
		put = sendmsg(d->poll->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (put < 0 && errno == EINTR);
	if (put <= 0)
		return 0;
	size_t own = (size_t)put < unsent ? (size_t)put : unsent;
	s->sent += own;
	be_fair(d, (size_t)put);
	return (size_t)put - own;
}

/* One attempt: RC_OK = octets arrived, RC_AGAIN = `*want` tells for what to wait, else broken. */
static enum rc attempt(struct fd_stream *d, long *want)
{
	struct stream *s = &d->s;
	if (fiber_cancelled())
		stream_break(s, RC_CLOSED);
	if (s->error != RC_OK || !stream_room(s))
		return s->error;
	be_fair(d, FILL_WORK);
	long n = try_read(d, s->in + s->end, s->in_cap - s->end);
	if (n > 0) {
		s->end += (size_t)n;
		return RC_OK;
	}
	*want = n;
	if (n == AGAIN_READ || n == AGAIN_WRITE)
		return RC_AGAIN;
	stream_break(s, RC_CLOSED);
	return s->error;
}

static bool fd_fill(struct stream *s)
{
	struct fd_stream *d = fd_of(s);
	int64_t deadline = deadline_of(s, s->patience);
	for (;;) {
		long want = AGAIN_READ;
		enum rc rc = RC_AGAIN;
		if (d->session || io_poll_may_read(d->poll))
			rc = attempt(d, &want);
		if (rc != RC_AGAIN)
			return rc == RC_OK;
		if (s->sent < s->out_n && fd_send(s) != RC_OK)
			return false;
		stream_rest(s);
		rc = wait_for(d, want, deadline);
		if (rc != RC_OK) {
			stream_break(s, rc);
			return false;
		}
	}
}

static enum rc fd_wait(struct stream *s, unsigned ms)
{
	struct fd_stream *d = fd_of(s);
	TRY(stream_flush(s));
	int64_t deadline = deadline_of(s, ms);
	for (;;) {
		long want = AGAIN_READ;
		if (s->woken)
			return RC_AGAIN;
		enum rc rc = attempt(d, &want);
		if (rc != RC_AGAIN)
			return rc;
		stream_rest(s);
		d->waits_idle = true;
		rc = wait_for(d, want, deadline);
		d->waits_idle = false;
		if (rc == RC_LATE)
			return s->woken ? RC_AGAIN : RC_LATE;
		if (rc != RC_OK) {
			stream_break(s, rc);
			return s->error;
		}
	}
}

static void fd_wake(struct stream *s)
{
	struct fd_stream *d = fd_of(s);
	if (d->waits_idle)
		wake_all(&d->poll->readers);
}

static bool fd_ready(const struct stream *s) { return io_poll_may_read(((const struct fd_stream *)(const void *)s)->poll); }

/* ---- TLS ---- */

static bool fd_can_tls(const struct stream *s) { return ((const struct fd_stream *)(const void *)s)->tls != NULL; }

static enum rc handshake(struct fd_stream *d)
{
	int64_t deadline = deadline_of(&d->s, d->s.patience);
	for (;;) {
		int step = d->tls->handshake(d->session);
		if (step == 1)
			return RC_OK; /* a ticket may wait here for the greeting: one packet */
		if (step != TLS_WANT_READ && step != TLS_WANT_WRITE)
			return RC_CLOSED;
		TRY(wait_for(d, step, deadline));
	}
}

/* What a client pipelined into the socket before its ClientHello is plain text too: the handshake would fail on it, and
 * that is right (it must not be skipped in silence). */
static enum rc fd_starttls(struct stream *s)
{
	struct fd_stream *d = fd_of(s);
	d->wire = (struct tls_wire){ d, wire_read, wire_write };
	d->session = d->tls->start(d->tls->house, &d->wire);
	if (!d->session)
		return RC_NOMEM;
	TRY(handshake(d));
	d->tls->facts(d->session, &s->facts);
	return RC_OK;
}

static enum rc fd_binding(struct stream *s, enum stream_binding kind, struct buf *out)
{
	struct fd_stream *d = (struct fd_stream *)(void *)s;
	return d->tls->binding && d->session ? d->tls->binding(d->session, kind, out) : RC_NOTFOUND;
}

/* ---- making and ending ---- */

static void fd_end(struct stream *s)
{
	struct fd_stream *d = fd_of(s);
	if (d->session)
		d->tls->stop(d->session);
	d->session = NULL;
	if (!d->poll)
		return;
	if (d->gathered)
		(void)push_gathered(d, MSG_MORE); /* leaves together with our end of the connection */
	block_put(s->loop, d->gathered);
	d->gathered = NULL;
	/* Unread input makes close() send a reset, which can overtake our last answer: end our side, then take what is there. */
	int fd = d->poll->fd;
	if (shutdown(fd, SHUT_WR) == 0) {
		char scrap[1024];
		for (int i = 0; i < 64 && recv(fd, scrap, sizeof scrap, MSG_DONTWAIT) > 0; i++) {
		}
	}
	io_poll_close(&d->poll, true);
}

static const struct stream_ops fd_ops = {
	.fill = fd_fill, .send = fd_send, .send_lent = fd_send_lent, .ready = fd_ready, .wait = fd_wait, .wake = fd_wake,
	.can_tls = fd_can_tls, .starttls = fd_starttls, .binding = fd_binding, .close = fd_end,
};

static void learn_addresses(struct stream *s, int fd, const struct net_addr *known)
{
	struct net_addr peer = { .len = sizeof peer.sa }, local = { .len = sizeof local.sa };
	struct stream_facts *f = &s->facts;
	if (known)
		peer = *known;
	if (getsockname(fd, (struct sockaddr *)&local.sa, &local.len) == 0) {
		f->unix_socket = local.sa.ss_family == AF_UNIX;
		net_ip_text(&local, f->local_ip, &f->local_port);
	}
	if (known || getpeername(fd, (struct sockaddr *)&peer.sa, &peer.len) == 0) {
		net_ip_text(&peer, f->peer_ip, &f->peer_port);
		f->loopback = net_is_loopback(&peer);
	}
}

enum rc stream_of_accepted(struct loop *l, int take_fd, const struct net_addr *peer, bool own, const struct tls_provider *tls, struct stream **out, struct why *why)
{
	struct fd_stream *d = mem_new(sizeof *d);
	if (!d) {
		close(take_fd);
		FAIL(why, RC_NOMEM, "no memory for a stream");
	}
	stream_init(&d->s, &fd_ops, l);
	d->tls = tls;
	struct stream *s = &d->s;
	enum rc rc = peer || fd_nonblocking(take_fd) ? io_poll_open(l, take_fd, &d->poll) : RC_IO;
	if (rc != RC_OK) {
		int e = errno;
		close(take_fd);
		stream_free(&s);
		return why_fail(why, rc, e, __FILE__ ":" WHY_STR(__LINE__), "cannot watch a descriptor");
	}
	d->poll->own = own;
	learn_addresses(s, take_fd, peer);
	/* Answers are gathered here and leave at once; Nagle's wait for the next one would only cost 40 ms. What was accepted has it from
	 * its listener. */
	int on = 1;
	if (!s->facts.unix_socket && !peer)
		(void)setsockopt(take_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	*out = s;
	return RC_OK;
}

enum rc stream_of_fd(struct loop *l, int take_fd, const struct tls_provider *tls, struct stream **out, struct why *why)
{
	return stream_of_accepted(l, take_fd, NULL, false, tls, out, why);
}

void stream_set_peer(struct stream *s, const char *ip, uint16_t port)
{
	uint8_t a[16];
	(void)snprintf(s->facts.peer_ip, sizeof s->facts.peer_ip, "%s", ip);
	s->facts.peer_port = port;
	static const uint8_t v6_loopback[16] = { [15] = 1 };
	s->facts.loopback = net_addr16(ip, a) &&
	                    (memcmp(a, v6_loopback, 16) == 0 || (net_is_mapped(a) && a[12] == 127));
}
