#include "imap/utf7.h"

#include "base/codec.h"

/* RFC 3501 5.1.3: modified BASE64 uses "," instead of "/" and no padding. */
static const char digits[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static int digit_value(char c)
{
	const char *at = c ? memchr(digits, c, sizeof digits) : NULL;
	return at ? (int)(at - digits) : -1;
}

static bool is_direct(uint32_t c) { return c >= 0x20 && c <= 0x7e; }

static void add_utf8(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_byte(out, (char)c);
	} else if (c < 0x800) {
		buf_byte(out, (char)(0xc0 | c >> 6));
		buf_byte(out, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_byte(out, (char)(0xe0 | c >> 12));
		buf_byte(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_byte(out, (char)(0x80 | (c & 0x3f)));
	} else {
		buf_byte(out, (char)(0xf0 | c >> 18));
		buf_byte(out, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_byte(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_byte(out, (char)(0x80 | (c & 0x3f)));
	}
}

/* UTF-16 units as they come out of the base64 run. */
struct units {
	struct buf *out;
	uint32_t high; /* waiting for its low surrogate, or 0 */
};

static bool take_unit(struct units *u, uint32_t unit)
{
	bool is_low = unit >= 0xdc00 && unit <= 0xdfff, is_high = unit >= 0xd800 && unit <= 0xdbff;
	if ((u->high != 0) != is_low)
		return false;
	if (is_low) {
		add_utf8(u->out, 0x10000 + ((u->high - 0xd800) << 10) + (unit - 0xdc00));
		u->high = 0;
		return true;
	}
	if (is_high) {
		u->high = unit;
		return true;
	}
	/* RFC 3501 5.1.3: modified BASE64 MUST NOT be used to represent any printing US-ASCII character. */
	if (is_direct(unit) || unit == 0)
		return false;
	add_utf8(u->out, unit);
	return true;
}

/* The run after "&" up to its "-"; *pos is behind it afterwards. */
static bool decode_run(struct str in, size_t *pos, struct buf *out)
{
	struct units u = { out, 0 };
	uint32_t bits = 0;
	unsigned have = 0;
	bool any = false;
	for (; *pos < in.n && in.p[*pos] != '-'; (*pos)++) {
		int v = digit_value(in.p[*pos]);
		if (v < 0)
			return false;
		bits = (bits << 6 | (uint32_t)v) & 0x3fffff;
		have += 6;
		if (have >= 16) {
			have -= 16;
			if (!take_unit(&u, bits >> have & 0xffff))
				return false;
			any = true;
		}
	}
	if (*pos == in.n)
		return false; /* not ended */
	(*pos)++;
	return any && u.high == 0 && have < 6 && (bits & ((1u << have) - 1)) == 0;
}

enum rc utf7_decode(struct str in, struct buf *out)
{
	bool after_run = false;
	for (size_t i = 0; i < in.n;) {
		char c = in.p[i++];
		if (!is_direct((unsigned char)c))
			return RC_SYNTAX;
		if (c != '&') {
			buf_byte(out, c);
			after_run = false;
		} else if (i < in.n && in.p[i] == '-') {
			buf_byte(out, '&');
			i++;
			after_run = false;
		} else {
			/* RFC 3501 5.1.3: "superfluous shifts" are not allowed: a run may not follow a run. */
			if (after_run || !decode_run(in, &i, out))
				return RC_SYNTAX;
			after_run = true;
		}
	}
	return out->failed ? RC_NOMEM : RC_OK;
}

/* The code point at *pos of well-formed UTF-8. */
static uint32_t next_point(struct str in, size_t *pos)
{
	unsigned char c = (unsigned char)in.p[(*pos)++];
	if (c < 0x80)
		return c;
	unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
	uint32_t v = c & (0x3fu >> more);
	for (; more && *pos < in.n; more--)
		v = v << 6 | ((unsigned char)in.p[(*pos)++] & 0x3fu);
	return v;
}

struct packer {
	struct buf *out;
	uint32_t bits;
	unsigned have;
};

static void pack_unit(struct packer *p, uint32_t unit)
{
	p->bits = p->bits << 16 | unit;
	p->have += 16;
	while (p->have >= 6) {
		p->have -= 6;
		buf_byte(p->out, digits[p->bits >> p->have & 0x3f]);
	}
	p->bits &= (1u << p->have) - 1;
}

enum rc utf7_encode(struct str in, struct buf *out)
{
	if (!utf8_ok(in))
		return RC_SYNTAX;
	for (size_t i = 0; i < in.n;) {
		uint32_t c = next_point(in, &i);
		if (c == 0)
			return RC_SYNTAX;
		if (is_direct(c)) {
			buf_add(out, c == '&' ? STR("&-") : str_of(&(char){ (char)c }, 1));
			continue;
		}
		struct packer p = { out, 0, 0 };
		buf_byte(out, '&');
		for (;;) {
			if (c >= 0x10000) {
				pack_unit(&p, 0xd800 + ((c - 0x10000) >> 10));
				pack_unit(&p, 0xdc00 + ((c - 0x10000) & 0x3ff));
			} else {
				pack_unit(&p, c);
			}
			size_t ahead = i;
			if (i == in.n || (c = next_point(in, &ahead), is_direct(c)) || c == 0)
				break;
			i = ahead;
		}
		if (p.have)
			buf_byte(out, digits[p.bits << (6 - p.have) & 0x3f]);
		buf_byte(out, '-');
	}
	return out->failed ? RC_NOMEM : RC_OK;
}
