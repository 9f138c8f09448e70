#include "base/cursor.h"

struct str cursor_take(struct cursor *c, size_t n)
{
	if (c->failed || n > c->in.n) {
		c->failed = true;
		return STR("");
	}
	struct str s = { c->in.p, n };
	c->in = str_skip(c->in, n);
	return s;
}

static uint64_t take_be(struct cursor *c, unsigned n)
{
	struct str s = cursor_take(c, n);
	uint64_t v = 0;
	for (size_t i = 0; i < s.n; i++)
		v = v << 8 | (unsigned char)s.p[i];
	return v;
}

uint8_t cursor_u8(struct cursor *c) { return (uint8_t)take_be(c, 1); }
uint16_t cursor_u16(struct cursor *c) { return (uint16_t)take_be(c, 2); }

/* The two widths that every row of a FETCH is made of, without a loop over octets. */
uint32_t cursor_u32(struct cursor *c)
{
	struct str s = cursor_take(c, 4);
	uint32_t v = 0;
	if (s.n == 4)
		memcpy(&v, s.p, 4);
	return __builtin_bswap32(v);
}

uint64_t cursor_u64(struct cursor *c)
{
	struct str s = cursor_take(c, 8);
	uint64_t v = 0;
	if (s.n == 8)
		memcpy(&v, s.p, 8);
	return __builtin_bswap64(v);
}

struct str cursor_run(struct cursor *c, size_t max)
{
	uint32_t n = cursor_u32(c);
	if (n > max)
		c->failed = true;
	return cursor_take(c, n);
}
