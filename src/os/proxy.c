/* The PROXY protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt). */
#include "os/net.h"
#include "os/runtime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

enum { V1_MAX = 107, V2_FIXED = 16, V2_MAX = V2_FIXED + 4096 };
static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";
enum { V2_LOCAL = 0, V2_PROXY = 1 };

static bool take_ip(struct str text, bool v6, char out[46])
{
	char z[46];
	uint8_t a[16];
	if (text.n == 0 || text.n >= sizeof z || memchr(text.p, 0, text.n))
		return false;
	memcpy(z, text.p, text.n);
	z[text.n] = 0;
	if (inet_pton(v6 ? AF_INET6 : AF_INET, z, a) != 1)
		return false;
	return inet_ntop(v6 ? AF_INET6 : AF_INET, a, out, 46) != NULL; /* one spelling for one address */
}

static bool take_port(struct str text, uint16_t *out)
{
	uint64_t n;
	if ((text.n > 1 && text.p[0] == '0') || !str_u64(text, 65535, &n))
		return false;
	*out = (uint16_t)n;
	return true;
}

/* "TCP4 SP source SP destination SP source-port SP destination-port", exactly one space between each. */
static bool parse_v1_fields(struct str line, struct proxy_source *out, bool *out_local)
{
	struct str word, rest = line, ip[2], port[2];
	bool more = str_cut(rest, ' ', &word, &rest);
	/* "the receiver must ignore anything presented before the CRLF" after UNKNOWN */
	if (str_eq(word, STR("UNKNOWN"))) {
		*out_local = true;
		return true;
	}
	bool v6 = str_eq(word, STR("TCP6"));
	if (!more || (!v6 && !str_eq(word, STR("TCP4"))))
		return false;
	struct proxy_source src = { 0 };
	char ip_text[46];
	uint16_t to;
	if (!str_cut(rest, ' ', &ip[0], &rest) || !str_cut(rest, ' ', &ip[1], &rest) || !str_cut(rest, ' ', &port[0], &port[1]))
		return false;
	if (!take_ip(ip[0], v6, src.ip) || !take_ip(ip[1], v6, ip_text) || !take_port(port[0], &src.port) || !take_port(port[1], &to))
		return false;
	*out = src;
	*out_local = false;
	return true;
}

static long parse_v1(struct str in, struct proxy_source *out, bool *out_local)
{
	struct str lead = STR("PROXY ");
	if (!str_starts(in, str_head(lead, in.n)))
		return -1;
	size_t lf = str_find(str_head(in, V1_MAX), '\n');
	if (lf >= in.n || lf >= V1_MAX)
		return in.n >= V1_MAX ? -1 : 0;
	if (lf < lead.n + 1 || in.p[lf - 1] != '\r')
		return -1;
	struct str line = { in.p + lead.n, lf - 1 - lead.n };
	if (str_find(line, '\r') < line.n)
		return -1;
	return parse_v1_fields(line, out, out_local) ? (long)lf + 1 : -1;
}

static bool v2_address(uint8_t family, const uint8_t *a, size_t n, struct proxy_source *out, bool *out_local)
{
	size_t ip = family >> 4 == 1 ? 4 : 16;
	struct proxy_source src = { 0 };
	*out_local = false;
	switch (family) {
	case 0x11: case 0x12: case 0x21: case 0x22: /* TCP or UDP over IPv4 or IPv6 */
		if (n < 2 * ip + 4 || !inet_ntop(ip == 4 ? AF_INET : AF_INET6, a, src.ip, sizeof src.ip))
			return false;
		src.port = (uint16_t)(a[2 * ip] << 8 | a[2 * ip + 1]);
		*out = src;
		return true;
	case 0x31: case 0x32: /* Unix sockets: 108 octets each; there is no address to take over */
		*out_local = true;
		return n >= 216;
	case 0x00:            /* UNSPEC */
		*out_local = true;
		return true;
	default:
		return false;
	}
}

/* After the addresses come type-length-value triples, which we need not understand but which must fill the rest exactly. */
static bool v2_tlvs(const uint8_t *p, size_t n)
{
	while (n >= 3) {
		size_t len = (size_t)p[1] << 8 | p[2];
		if (len > n - 3)
			return false;
		p += 3 + len;
		n -= 3 + len;
	}
	return n == 0;
}

static size_t v2_address_octets(uint8_t family)
{
	return family >> 4 == 1 ? 12 : family >> 4 == 2 ? 36 : family >> 4 == 3 ? 216 : 0;
}

static long parse_v2(struct str in, struct proxy_source *out, bool *out_local)
{
	size_t sig = in.n < sizeof v2_signature ? in.n : sizeof v2_signature;
	if (memcmp(in.p, v2_signature, sig) != 0)
		return -1;
	const uint8_t *p = (const uint8_t *)in.p;
	if (in.n > 12 && (p[12] >> 4 != 2 || (p[12] & 15) > V2_PROXY))
		return -1;
	if (in.n < V2_FIXED)
		return 0;
	size_t len = (size_t)p[14] << 8 | p[15];
	if (len > V2_MAX - V2_FIXED)
		return -1;
	if (in.n < V2_FIXED + len)
		return 0;
	long total = (long)(V2_FIXED + len);
	if ((p[12] & 15) == V2_LOCAL) { /* "the receiver must ignore the address block" */
		*out_local = true;
		return total;
	}
	if (!v2_address(p[13], p + V2_FIXED, len, out, out_local))
		return -1;
	size_t used = v2_address_octets(p[13]);
	if (p[13] != 0 && !v2_tlvs(p + V2_FIXED + used, len - used))
		return -1;
	return total;
}

long proxy_parse(struct str in, struct proxy_source *out, bool *out_local)
{
	if (in.n == 0)
		return 0;
	return in.p[0] == 'P' ? parse_v1(in, out, out_local) : parse_v2(in, out, out_local);
}

/* ---- reading one from a connection ---- */

/* Looks at what has arrived without taking it, and takes the header's octets once it is whole: nothing behind it is
 * touched. How much more must arrive before another look is worth it is not known, so a header in many small pieces is
 * looked at a few times, a step apart. */
static enum rc peek(int fd, size_t have, int64_t deadline, char *p, size_t cap, size_t *out_n, struct why *why)
{
	for (;;) {
		ssize_t n = recv(fd, p, cap, MSG_PEEK | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			FAIL_SYS(why, "reading a PROXY header");
		if (n == 0 || (n > 0 && (size_t)n < have))
			FAIL(why, RC_CLOSED, "the connection ended inside its PROXY header");
		if (n > 0 && (size_t)n > have) {
			*out_n = (size_t)n;
			return RC_OK;
		}
		/* Octets already looked at keep the socket readable: wait for time, not for them. */
		enum rc rc = have ? fiber_sleep(2) : io_wait(fd, IO_READ, deadline);
		struct fiber *f = fiber_self();
		if (rc == RC_OK && have && f && loop_now(fiber_loop()) >= deadline)
			rc = RC_LATE;
		if (rc != RC_OK)
			FAIL(why, rc, "no PROXY header in time");
	}
}

enum rc proxy_read(int fd, int64_t deadline, struct proxy_source *out, struct why *why)
{
	char in[V2_MAX];
	size_t n = 0;
	bool local = false;
	long len = 0;
	if (!fd_nonblocking(fd))
		FAIL_SYS(why, "not a usable socket");
	while (len == 0) {
		TRY(peek(fd, n, deadline, in, sizeof in, &n, why));
		len = proxy_parse((struct str){ in, n }, out, &local);
		if (len < 0)
			FAIL(why, RC_SYNTAX, "no PROXY header at the start of the connection");
	}
	for (long left = len; left > 0;) {
		ssize_t got = recv(fd, in, (size_t)left, MSG_DONTWAIT);
		if (got <= 0 && !(got < 0 && errno == EINTR))
			FAIL(why, RC_CLOSED, "the connection ended inside its PROXY header");
		left -= got > 0 ? got : 0;
	}
	return local ? RC_AGAIN : RC_OK;
}
