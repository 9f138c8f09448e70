#pragma once
#include "base/str.h"

/* Reads what buf_u8 .. buf_run wrote, with a sticky failure: take many times, check once. After a failure every
 * take gives 0 or "". Borrowed: runs point into the input. */
struct cursor {
	struct str in;
	bool failed;
};
static inline struct cursor cursor_of(struct str in) { return (struct cursor){ .in = in }; }
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
struct str cursor_take(struct cursor *c, size_t n);  /* exactly n bytes */
struct str cursor_run(struct cursor *c, size_t max); /* length-prefixed, at most max bytes */
static inline bool cursor_at_end(const struct cursor *c) { return !c->failed && c->in.n == 0; }
