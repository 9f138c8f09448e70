#include "base/codec.h"

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char hex_digits[] = "0123456789abcdef";

void base64_add(struct buf *out, struct str in)
{
	if (in.n == 0)
		return;
	if (in.n > SIZE_MAX / 2 || !buf_room(out, (in.n + 2) / 3 * 4)) {
		out->failed = true;
		return;
	}
	char *o = out->p + out->len;
	const unsigned char *p = (const unsigned char *)in.p;
	size_t n = in.n;
	for (; n >= 3; n -= 3, p += 3, o += 4) {
		o[0] = base64_digits[p[0] >> 2];
		o[1] = base64_digits[(p[0] & 3) << 4 | p[1] >> 4];
		o[2] = base64_digits[(p[1] & 15) << 2 | p[2] >> 6];
		o[3] = base64_digits[p[2] & 63];
	}
	if (n) {
		unsigned second = n == 2 ? p[1] : 0;
		o[0] = base64_digits[p[0] >> 2];
		o[1] = base64_digits[(p[0] & 3) << 4 | second >> 4];
		o[2] = n == 2 ? base64_digits[(second & 15) << 2] : '=';
		o[3] = '=';
	}
	out->len += (in.n + 2) / 3 * 4;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* The last 2 or 3 digits of a run that is not a multiple of four. RFC 4648 3.5: unused bits must be zero (strict only). */
static enum rc base64_tail(uint32_t bits, unsigned digits, unsigned pads, bool lenient, struct buf *out)
{
	if (digits == 0)
		return pads == 0 || lenient ? RC_OK : RC_SYNTAX;
	if (digits == 1 || (!lenient && digits + pads != 4))
		return RC_SYNTAX;
	uint32_t unused = digits == 2 ? bits & 15 : bits & 3;
	if (!lenient && unused)
		return RC_SYNTAX;
	bits <<= 6 * (4 - digits);
	buf_byte(out, (char)(bits >> 16));
	if (digits == 3)
		buf_byte(out, (char)(bits >> 8));
	return RC_OK;
}

enum rc base64_decode(struct str in, bool lenient, struct buf *out)
{
	uint32_t bits = 0;
	unsigned digits = 0, pads = 0;
	for (size_t i = 0; i < in.n; i++) {
		if (lenient && is_blank(in.p[i]))
			continue;
		if (in.p[i] == '=') {
			if (++pads > 2)
				return RC_SYNTAX;
			continue;
		}
		int v = base64_value(in.p[i]);
		if (v < 0 || pads)
			return RC_SYNTAX;
		bits = bits << 6 | (uint32_t)v;
		if (++digits < 4)
			continue;
		char three[3] = { (char)(bits >> 16), (char)(bits >> 8), (char)bits };
		buf_add(out, (struct str){ three, 3 });
		bits = 0;
		digits = 0;
	}
	TRY(base64_tail(bits, digits, pads, lenient, out));
	return out->failed ? RC_LIMIT : RC_OK;
}

void hex_add(struct buf *out, struct str in)
{
	for (size_t i = 0; i < in.n; i++) {
		unsigned c = (unsigned char)in.p[i];
		char two[2] = { hex_digits[c >> 4], hex_digits[c & 15] };
		buf_add(out, (struct str){ two, 2 });
	}
}

static int hex_value(char c)
{
	if (ascii_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum rc hex_decode(struct str in, struct buf *out)
{
	if (in.n % 2)
		return RC_SYNTAX;
	for (size_t i = 0; i < in.n; i += 2) {
		int hi = hex_value(in.p[i]), lo = hex_value(in.p[i + 1]);
		if (hi < 0 || lo < 0)
			return RC_SYNTAX;
		buf_byte(out, (char)(hi << 4 | lo));
	}
	return out->failed ? RC_LIMIT : RC_OK;
}

void short_id(uint64_t random, char out[9])
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	for (int i = 0; i < 8; i++, random >>= 5)
		out[i] = digits[random & 31];
	out[8] = 0;
}

/* RFC 3629 4: the first octet decides the length and the least and greatest second octet; no overlong form, no surrogate. */
size_t utf8_next(struct str in, uint32_t *out)
{
	if (in.n == 0)
		return 0;
	unsigned c = (unsigned char)in.p[0];
	*out = c;
	if (c < 0x80)
		return 1;
	size_t n = c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
	if (n == 0 || in.n < n)
		return 0;
	unsigned least = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	unsigned greatest = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	uint32_t v = n == 2 ? c & 31 : n == 3 ? c & 15 : c & 7;
	for (size_t i = 1; i < n; i++) {
		unsigned d = (unsigned char)in.p[i];
		if (d < (i == 1 ? least : 0x80) || d > (i == 1 ? greatest : 0xbf))
			return 0;
		v = v << 6 | (d & 63);
	}
	*out = v;
	return n;
}

size_t utf8_valid_prefix(struct str in)
{
	size_t at = 0;
	uint32_t v;
	while (at < in.n) {
		if ((unsigned char)in.p[at] < 0x80) {
			at++;
			continue;
		}
		size_t n = utf8_next(str_skip(in, at), &v);
		if (n == 0)
			break;
		at += n;
	}
	return at;
}

size_t json_unit(struct str in, char out[8], size_t *out_n)
{
	uint32_t v = 0;
	size_t n = utf8_next(in, &v);
	if (n == 0) {
		memcpy(out, "\xef\xbf\xbd", 3);
		*out_n = 3;
		return in.n ? 1 : 0;
	}
	if (v == '"' || v == '\\') {
		out[0] = '\\';
		out[1] = (char)v;
		*out_n = 2;
	} else if (v < 0x20 || (v >= 0x7f && v < 0xa0)) { /* C1 too: a terminal may obey them */
		memcpy(out, "\\u00", 4);
		out[4] = hex_digits[v >> 4];
		out[5] = hex_digits[v & 15];
		*out_n = 6;
	} else {
		memcpy(out, in.p, n);
		*out_n = n;
	}
	return n;
}

void json_escape(struct buf *out, struct str in)
{
	while (in.n) {
		char unit[8];
		size_t n;
		size_t took = json_unit(in, unit, &n);
		buf_add(out, (struct str){ unit, n });
		in = str_skip(in, took);
	}
}
