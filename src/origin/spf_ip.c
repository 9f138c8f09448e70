#include "origin/spf_ip.h"

#include <stdio.h>

bool ip4_parse(struct str text, uint8_t out[4])
{
	struct str rest = text;
	for (unsigned i = 0; i < 4; i++) {
		struct str part;
		uint64_t v;
		bool more = str_cut(rest, '.', &part, &rest);
		if (more != (i < 3) || part.n > 3 || (part.n > 1 && part.p[0] == '0') || !str_u64(part, 255, &v))
			return false;
		out[i] = (uint8_t)v;
	}
	return true;
}

static int hex_value(char c)
{
	if (ascii_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 1 to 4 hexadecimal digits. */
static bool group_parse(struct str s, uint8_t out[2])
{
	unsigned v = 0;
	if (s.n == 0 || s.n > 4)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int d = hex_value(s.p[i]);
		if (d < 0)
			return false;
		v = v << 4 | (unsigned)d;
	}
	out[0] = (uint8_t)(v >> 8);
	out[1] = (uint8_t)v;
	return true;
}

/* Groups separated by single colons, at most 8; the last may be a dotted quad when `tail`. Octets written, or -1. */
static int groups_parse(struct str s, bool tail, uint8_t out[16])
{
	int n = 0;
	for (bool more = s.n > 0; more;) {
		struct str part;
		more = str_cut(s, ':', &part, &s);
		if (!more && tail && str_find(part, '.') < part.n) {
			if (n > 12 || !ip4_parse(part, out + n))
				return -1;
			return n + 4;
		}
		if (n > 14 || !group_parse(part, out + n))
			return -1;
		n += 2;
	}
	return n;
}

bool ip6_parse(struct str text, uint8_t out[16])
{
	uint8_t head[16] = { 0 }, tail[16] = { 0 };
	if (text.n < 2 || text.n > 45)
		return false;
	size_t gap = str_find_str(text, STR("::"));
	int h = groups_parse(str_head(text, gap), gap == text.n, head);
	if (gap == text.n) {
		if (h != 16)
			return false;
		memcpy(out, head, 16);
		return true;
	}
	int t = groups_parse(str_skip(text, gap + 2), true, tail);
	/* "::" stands for at least one group of zeros. */
	if (h < 0 || t < 0 || h + t > 14)
		return false;
	memset(out, 0, 16);
	memcpy(out, head, (size_t)h);
	memcpy(out + 16 - t, tail, (size_t)t);
	return true;
}

static struct str format6(const uint8_t *b, char out[IP_TEXT_MAX])
{
	unsigned g[8], at = 8, run = 1; /* RFC 5952 4.2.2: a single group of zeros is not shortened */
	for (unsigned i = 0; i < 8; i++)
		g[i] = (unsigned)b[2 * i] << 8 | b[2 * i + 1];
	for (unsigned i = 0; i < 8; i++) {
		unsigned n = 0;
		while (i + n < 8 && g[i + n] == 0)
			n++;
		if (n > run) {
			run = n;
			at = i;
		}
	}
	size_t len = 0;
	for (unsigned i = 0; i < 8; i++) {
		if (i == at) {
			len += (size_t)snprintf(out + len, IP_TEXT_MAX - len, "::");
			i += run - 1;
			continue;
		}
		bool colon = i > 0 && !(at < 8 && i == at + run);
		len += (size_t)snprintf(out + len, IP_TEXT_MAX - len, "%s%x", colon ? ":" : "", g[i]);
	}
	return (struct str){ out, len };
}

struct str ip_format(struct str ip, char out[IP_TEXT_MAX])
{
	const uint8_t *b = (const uint8_t *)ip.p;
	if (ip.n == 16)
		return format6(b, out);
	if (ip.n != 4)
		return STR("");
	return (struct str){ out, (size_t)snprintf(out, IP_TEXT_MAX, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]) };
}

struct str ip_unmapped(struct str ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	return ip.n == 16 && memcmp(ip.p, mapped, 12) == 0 ? str_skip(ip, 12) : ip;
}

bool ip_in_net(struct str ip, const uint8_t *net, unsigned bits)
{
	size_t whole = bits / 8;
	if (bits > ip.n * 8 || memcmp(ip.p, net, whole) != 0)
		return false;
	unsigned rest = bits % 8;
	return rest == 0 || (((unsigned char)ip.p[whole] ^ net[whole]) & (0xff00u >> rest) & 0xff) == 0;
}
