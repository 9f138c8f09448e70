#include "base/buf.h"

#include "base/mem.h"
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>

void buf_init(struct buf *b, size_t max) { *b = (struct buf){ .max = max }; }

void buf_done(struct buf *b)
{
	mem_free(b->p);
	*b = (struct buf){ .max = b->max };
}

void buf_wipe(struct buf *b)
{
	if (b->p)
		mem_wipe(b->p, b->cap);
	buf_done(b);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

bool buf_grow(struct buf *b, size_t more)
{
	enum { FIRST = 64, SMALL = 1024 };
	if (b->failed || more > b->max - b->len)
		return !(b->failed = true);
	size_t need = b->len + more, cap = b->cap ? b->cap : FIRST;
	while (cap < need) {
		size_t times = cap < SMALL ? 4 : 2;
		cap = cap > b->max / times ? b->max : cap * times;
	}
	char *p = mem_grow_raw(b->p, cap); /* what lies past `len` is nobody's to read */
	if (!p)
		return !(b->failed = true);
	b->p = p;
	b->cap = cap;
	return true;
}

void buf_add(struct buf *b, struct str s)
{
	if (s.n == 0 || !buf_room(b, s.n))
		return;
	memcpy(b->p + b->len, s.p, s.n);
	b->len += s.n;
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	char tmp[2048];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(tmp, sizeof tmp, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof tmp)
		b->failed = true; /* never emit a truncated line */
	else
		buf_add(b, (struct str){ tmp, (size_t)n });
}

void buf_num(struct buf *b, uint64_t v)
{
	char tmp[20];
	size_t i = sizeof tmp;
	do
		tmp[--i] = (char)('0' + v % 10);
	while (v /= 10);
	buf_add(b, (struct str){ tmp + i, sizeof tmp - i });
}

void buf_drop(struct buf *b, size_t n)
{
	size_t k = n < b->len ? n : b->len;
	if (k && k < b->len)
		memmove(b->p, b->p + k, b->len - k);
	b->len -= k;
}

static inline void add_be(struct buf *b, uint64_t v, unsigned n)
{
	uint64_t be = htobe64(v << (64 - 8 * n));
	if (!buf_room(b, n))
		return;
	memcpy(b->p + b->len, &be, n);
	b->len += n;
}

void buf_u8(struct buf *b, uint8_t v) { add_be(b, v, 1); }
void buf_u16(struct buf *b, uint16_t v) { add_be(b, v, 2); }
void buf_u32(struct buf *b, uint32_t v) { add_be(b, v, 4); }
void buf_u64(struct buf *b, uint64_t v) { add_be(b, v, 8); }

void buf_run(struct buf *b, struct str s)
{
	if (s.n > UINT32_MAX) {
		b->failed = true;
		return;
	}
	buf_u32(b, (uint32_t)s.n);
	buf_add(b, s);
}

size_t buf_run_begin(struct buf *b)
{
	buf_u32(b, 0);
	return b->len;
}

void buf_run_end(struct buf *b, size_t begun)
{
	size_t n = b->len - begun;
	b->failed |= n > UINT32_MAX;
	for (unsigned i = 0; i < 4 && !b->failed; i++)
		b->p[begun - 4 + i] = (char)(n >> (24 - 8 * i));
}
