#include "os/net.h"

#include "os/file.h"
#include "os/runtime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

bool net_is_mapped(const uint8_t addr[16]) { return memcmp(addr, mapped, sizeof mapped) == 0; }

bool fd_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	return flags >= 0 && (flags & O_NONBLOCK || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
}

/* ---- text to address ---- */

static bool text_z(struct str s, char *out, size_t cap)
{
	if (s.n == 0 || s.n >= cap || memchr(s.p, 0, s.n))
		return false;
	memcpy(out, s.p, s.n);
	out[s.n] = 0;
	return true;
}

static enum rc parse_unix(struct str path, struct net_addr *out, struct why *why)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->sa;
	*out = (struct net_addr){ 0 };
	if (!text_z(path, un->sun_path, sizeof un->sun_path) || path.p[0] != '/')
		FAIL(why, RC_SYNTAX, "a Unix socket wants an absolute path of at most %zu octets", sizeof un->sun_path - 1);
	un->sun_family = AF_UNIX;
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
	return RC_OK;
}

enum rc net_parse(struct str text, struct net_addr *out, struct why *why)
{
	if (str_starts(text, STR("unix:")))
		return parse_unix(str_skip(text, 5), out, why);
	struct str host, port;
	bool v6 = text.n && text.p[0] == '[';
	if (v6) {
		size_t end = str_find(text, ']');
		if (end == text.n || end + 1 >= text.n || text.p[end + 1] != ':')
			FAIL(why, RC_SYNTAX, "an IPv6 address is written [address]:port");
		host = (struct str){ text.p + 1, end - 1 };
		port = str_skip(text, end + 2);
	} else if (!str_cut(text, ':', &host, &port)) {
		FAIL(why, RC_SYNTAX, "no port: write address:port");
	}
	char ip[INET6_ADDRSTRLEN];
	uint64_t number;
	struct net_addr a = { 0 };
	if (!text_z(host, ip, sizeof ip))
		FAIL(why, RC_SYNTAX, "not an IP address");
	if (!str_u64(port, 65535, &number))
		FAIL(why, RC_SYNTAX, "not a port: 0 to 65535");
	if (v6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a.sa;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)number);
		a.len = sizeof *in6;
		if (inet_pton(AF_INET6, ip, &in6->sin6_addr) != 1)
			FAIL(why, RC_SYNTAX, "%s is not an IPv6 address", ip);
	} else {
		struct sockaddr_in *in = (struct sockaddr_in *)&a.sa;
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)number);
		a.len = sizeof *in;
		if (inet_pton(AF_INET, ip, &in->sin_addr) != 1)
			FAIL(why, RC_SYNTAX, "%s is not an IPv4 address", ip);
	}
	*out = a;
	return RC_OK;
}

bool net_is_loopback(const struct net_addr *a)
{
	if (a->sa.ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)&a->sa)->sin_addr.s_addr) >> 24 == 127;
	if (a->sa.ss_family != AF_INET6)
		return a->sa.ss_family == AF_UNIX;
	const struct in6_addr *in6 = &((const struct sockaddr_in6 *)&a->sa)->sin6_addr;
	return IN6_IS_ADDR_LOOPBACK(in6) || (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127);
}

void net_ip_text(const struct net_addr *a, char out[46], uint16_t *out_port)
{
	out[0] = 0;
	*out_port = 0;
	if (a->sa.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
		(void)inet_ntop(AF_INET, &in->sin_addr, out, 46);
		*out_port = ntohs(in->sin_port);
	} else if (a->sa.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
			(void)inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, out, 46);
		else
			(void)inet_ntop(AF_INET6, &in6->sin6_addr, out, 46);
		*out_port = ntohs(in6->sin6_port);
	}
}

/* "192.0.2.1 port 25", or a socket's path. */
static const char *name_of(const struct net_addr *a, char room[128])
{
	char ip[46];
	uint16_t port;
	net_ip_text(a, ip, &port);
	if (ip[0])
		(void)snprintf(room, 128, "%s port %u", ip, (unsigned)port);
	else
		(void)snprintf(room, 128, "%s", a->sa.ss_family == AF_UNIX ? ((const struct sockaddr_un *)&a->sa)->sun_path : "the address");
	return room;
}

/* ---- listening ---- */

static enum rc set_up(int fd, const struct net_addr *a, bool reuseport, struct why *why)
{
	int on = 1;
	if (a->sa.ss_family == AF_UNIX)
		return RC_OK;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
		FAIL_SYS(why, "SO_REUSEADDR");
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) /* for those that are accepted from it */
		FAIL_SYS(why, "TCP_NODELAY");
	if (reuseport && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0)
		FAIL_SYS(why, "SO_REUSEPORT");
	if (a->sa.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
		FAIL_SYS(why, "IPV6_V6ONLY");
	return RC_OK;
}

/* A socket file nobody listens on is a leftover of a dead process; one that answers is not ours to take. */
static enum rc drop_stale(const struct net_addr *a, struct why *why)
{
	const char *path = ((const struct sockaddr_un *)&a->sa)->sun_path;
	struct stat st;
	if (lstat(path, &st) < 0)
		return RC_OK;
	if (!S_ISSOCK(st.st_mode))
		FAIL(why, RC_EXISTS, "%s is there and is not a socket", path);
	AUTO(fd_close) int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe >= 0 && (connect(probe, (const struct sockaddr *)&a->sa, a->len) == 0 || errno == EAGAIN))
		FAIL(why, RC_BUSY, "%s: somebody listens there already", path);
	if (unlink(path) < 0 && errno != ENOENT)
		FAIL_SYS(why, "cannot replace %s", path);
	return RC_OK;
}

enum rc net_listen(const struct net_addr *a, bool reuseport, int backlog, int *out_fd, struct why *why)
{
	bool local = a->sa.ss_family == AF_UNIX;
	char name[128];
	AUTO(fd_close) int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		FAIL_SYS(why, "cannot make a socket");
	TRY(set_up(fd, a, reuseport, why));
	if (local)
		TRY(drop_stale(a, why));
	if (bind(fd, (const struct sockaddr *)&a->sa, a->len) < 0) {
		enum rc rc = errno == EADDRINUSE ? RC_BUSY : errno == EACCES || errno == EPERM ? RC_DENIED : RC_IO;
		return why_fail(why, rc, errno, __FILE__ ":" WHY_STR(__LINE__), "cannot listen on %s: %s", name_of(a, name), strerror(errno));
	}
	if (local && chmod(((const struct sockaddr_un *)&a->sa)->sun_path, 0660) < 0)
		FAIL_SYS(why, "cannot set the mode of %s: %s", name_of(a, name), strerror(errno));
	if (listen(fd, backlog) < 0)
		FAIL_SYS(why, "cannot listen on %s: %s", name_of(a, name), strerror(errno));
	*out_fd = fd;
	fd = -1;
	return RC_OK;
}

/* ---- connecting ---- */

static enum rc connect_failed(int e, const struct net_addr *to, struct why *why)
{
	static const struct { int sys; enum rc rc; const char *words; } known[] = {
		{ ECONNREFUSED, RC_DENIED, "refused the connection: nothing listens on that port" },
		{ ETIMEDOUT, RC_LATE, "did not answer" },
		{ ENETUNREACH, RC_IO, "cannot be reached: no route to its network" },
		{ EHOSTUNREACH, RC_IO, "cannot be reached: the host does not answer" },
		{ EADDRNOTAVAIL, RC_IO, "cannot be reached: no free local port, or no such local address" },
		{ EACCES, RC_IO, "cannot be reached: a local firewall or the sandbox forbids it" },
		{ EPERM, RC_IO, "cannot be reached: a local firewall or the sandbox forbids it" },
		{ ECONNRESET, RC_IO, "closed the connection at once" },
		{ ENOENT, RC_IO, "is no socket that anybody listens on" },
	};
	char name[128];
	(void)name_of(to, name);
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].sys == e)
			return why_fail(why, known[i].rc, e, __FILE__ ":" WHY_STR(__LINE__), "%s %s", name, known[i].words);
	return why_fail(why, RC_IO, e, __FILE__ ":" WHY_STR(__LINE__), "%s: no connection (system error %d)", name, e);
}

/* connect() has said that it is on its way: wait until the socket can be written, then ask how it went. */
static enum rc await_connection(struct loop *l, int fd, const struct net_addr *to, int64_t deadline, struct why *why)
{
	struct io_poll *poll;
	TRY(io_poll_open(l, fd, &poll));
	enum rc rc = io_poll_wait(poll, IO_WRITE, deadline);
	io_poll_close(&poll, false);
	if (rc == RC_LATE)
		return connect_failed(ETIMEDOUT, to, why);
	if (rc != RC_OK)
		FAIL(why, rc, "the connection was given up");
	int e = 0;
	socklen_t n = sizeof e;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0)
		e = errno;
	return e ? connect_failed(e, to, why) : RC_OK;
}

enum rc net_connect(struct loop *l, const struct net_addr *to, const struct net_addr *from_or_null, int64_t deadline, int *out_fd, struct why *why)
{
	if (fiber_cancelled())
		FAIL(why, RC_CLOSED, "the connection was given up");
	AUTO(fd_close) int fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		FAIL_SYS(why, "cannot make a socket");
	if (from_or_null) {
		/* The port is chosen at connect(), when the whole four-tuple is known: one local address serves more than 65,535 connections. */
		int on = 1;
		(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
		if (bind(fd, (const struct sockaddr *)&from_or_null->sa, from_or_null->len) < 0)
			FAIL_SYS(why, "cannot send from the local address that is set: is it one of this machine's?");
	}
	int r;
	do
		r = connect(fd, (const struct sockaddr *)&to->sa, to->len);
	while (r < 0 && errno == EINTR);
	if (r < 0 && errno != EINPROGRESS)
		return connect_failed(errno, to, why);
	if (r < 0)
		TRY(await_connection(l, fd, to, deadline, why));
	*out_fd = fd;
	fd = -1;
	return RC_OK;
}

/* ---- networks ---- */

bool net_addr16(const char *ip, uint8_t out[16])
{
	memcpy(out, mapped, sizeof mapped);
	return inet_pton(AF_INET, ip, out + 12) == 1 || inet_pton(AF_INET6, ip, out) == 1;
}

enum rc net_range_parse(struct str text, struct net_range *out, struct why *why)
{
	char ip[INET6_ADDRSTRLEN];
	struct str host, bits;
	struct net_range r = { .bits = 128 };
	bool has_bits = str_cut(text, '/', &host, &bits);
	if (!text_z(host, ip, sizeof ip) || !net_addr16(ip, r.addr))
		FAIL(why, RC_SYNTAX, "not an IP address or network");
	unsigned most = str_find(host, ':') < host.n ? 128 : 32;
	uint64_t n = most;
	if (has_bits && !str_u64(bits, most, &n))
		FAIL(why, RC_SYNTAX, "a network of %s has 0 to %u bits", ip, most);
	r.bits = (unsigned)n + (128 - most);
	/* Host bits are not silently ignored: 10.0.0.1/8 is more likely a slip than an intention. */
	for (unsigned i = r.bits; i < 128; i++)
		if (r.addr[i / 8] & (0x80 >> i % 8))
			FAIL(why, RC_SYNTAX, "%s has bits set beyond /%u", ip, (unsigned)n);
	*out = r;
	return RC_OK;
}

bool net_range_has(const struct net_range *r, const uint8_t addr[16])
{
	unsigned whole = r->bits / 8, rest = r->bits % 8;
	if (memcmp(r->addr, addr, whole) != 0)
		return false;
	return rest == 0 || ((r->addr[whole] ^ addr[whole]) & (uint8_t)(0xff << (8 - rest))) == 0;
}

void net_client_network(const uint8_t addr[16], uint8_t out[16])
{
	size_t keep = net_is_mapped(addr) ? 15 : 7; /* /24 of IPv4, /56 of IPv6 */
	memset(out, 0, 16);
	memcpy(out, addr, keep);
}
