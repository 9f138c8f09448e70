#pragma once
#include "base/str.h"

/* An owned, growing byte buffer with a hard ceiling and a sticky failure flag:
 * write many times, check once. After a failure every further write is a no-op. */
struct buf {
	char *p;
	size_t len, cap, max;
	bool failed;
};
void buf_init(struct buf *b, size_t max); /* cannot fail; allocates nothing */
void buf_done(struct buf *b);             /* safe on a zeroed or done buffer */
void buf_wipe(struct buf *b);             /* zeroes the bytes, then buf_done: for secrets */
void buf_clear(struct buf *b);            /* empty again, memory kept, `failed` reset */
bool buf_grow(struct buf *b, size_t more);/* buf_room() where there is none yet */
/* Makes room for `more` bytes after p + len; false = failed. len <= cap and len <= max always, so nothing overflows. */
static inline bool buf_room(struct buf *b, size_t more)
{
	return !b->failed && more <= b->cap - b->len && more <= b->max - b->len ? true : buf_grow(b, more);
}
void buf_add(struct buf *b, struct str s);
static inline void buf_byte(struct buf *b, char c)
{
	if (buf_room(b, 1))
		b->p[b->len++] = c;
}
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* <= 2047 bytes a call */
void buf_num(struct buf *b, uint64_t v);  /* decimal, fast */
void buf_drop(struct buf *b, size_t n);   /* forget the first n bytes */
static inline struct str buf_str(const struct buf *b) { return (struct str){ b->p ? b->p : "", b->len }; }

/* Fixed-width big-endian integers, and runs with a 32-bit length before them. base/cursor.h reads them back. */
void buf_u8(struct buf *b, uint8_t v);
void buf_u16(struct buf *b, uint16_t v);
void buf_u32(struct buf *b, uint32_t v);
void buf_u64(struct buf *b, uint64_t v);
void buf_run(struct buf *b, struct str s);
size_t buf_run_begin(struct buf *b);              /* a run written in pieces: what is added from here on ... */
void buf_run_end(struct buf *b, size_t begun);    /* ... to here; `begun` is what the first answered */
