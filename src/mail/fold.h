#pragma once
#include "mail/digest.h"

/* Folding in pieces (each of whole characters): a run of white space over two pieces still becomes one space. */
struct fold {
	bool space; /* the last octet put was one */
};
void fold_begin(struct fold *f);
void fold_add(struct fold *f, struct str utf8, struct buf *out);

/* White space of ASCII, a run of which is one space. */
static inline bool fold_is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Are these eight octets, the first of them lowest, visible ASCII and single spaces? *space: the octet before was a space; then, the last of them. */
static inline bool fold_plain(uint64_t w, bool *space)
{
	const uint64_t ones = UINT64_MAX / 255, tops = ones << 7;
	uint64_t low = (w & ~tops) + (0x80 - 0x20) * ones;   /* top bit: >= 0x20 */
	uint64_t above = (w & ~tops) + (0x80 - 0x21) * ones; /* top bit: > 0x20 */
	uint64_t spaces = ~above & tops;                     /* of those >= 0x20: the spaces */
	if ((w & tops) || ~low & tops || (spaces & spaces << 8) || (*space && spaces & 0x80))
		return false;
	*space = spaces >> 63;
	return true;
}
