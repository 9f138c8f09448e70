#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/cursor.h"

/* The inside of wire_put_* and wire_get_*. A list is a 32-bit count, then its elements. The count is believed only as far as the octets that follow
 * could hold it. */
static inline void put_count(struct buf *out, size_t n)
{
	if (n > UINT32_MAX)
		out->failed = true;
	else
		buf_u32(out, (uint32_t)n);
}

static inline enum rc get_list(struct cursor *in, struct arena *a, size_t least, size_t size, void *out_list, size_t *out_n)
{
	uint32_t n = cursor_u32(in);
	if (in->failed || n > in->in.n / least)
		return RC_SYNTAX;
	void *list = arena_new(a, n * size);
	if (!list)
		return RC_NOMEM;
	memcpy(out_list, &list, sizeof list);
	*out_n = n;
	return RC_OK;
}

static inline bool get_bool(struct cursor *in)
{
	uint8_t v = cursor_u8(in);
	if (v > 1)
		in->failed = true;
	return v == 1;
}

/* A copy in the arena, of at most `max` octets. */
static inline struct str get_text(struct cursor *in, size_t max, struct arena *a) { return arena_str(a, cursor_run(in, max)); }

/* Of one element, which others may follow. */
static inline enum rc get_done(const struct cursor *in, const struct arena *a) { return in->failed ? RC_SYNTAX : a->full ? RC_NOMEM : RC_OK; }

static inline enum rc end_of(const struct cursor *in, const struct arena *a)
{
	if (!cursor_at_end(in))
		return RC_SYNTAX;
	return a->full ? RC_NOMEM : RC_OK;
}
