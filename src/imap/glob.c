#include "imap/glob.h"

/* Where in the pattern a match of the name so far may stand, as one bit per position: all of them advance together,
 * so there is nothing to go back to. */
enum { WORDS = GLOB_PATTERN_MAX / 64 + 1 };
struct places { uint64_t w[WORDS]; };

static bool has(const struct places *s, size_t i) { return s->w[i / 64] >> (i % 64) & 1; }
static void set(struct places *s, size_t i) { s->w[i / 64] |= 1ull << (i % 64); }

/* A wildcard may match nothing: whoever stands before it stands behind it too. */
static void settle(struct places *s, struct str pattern)
{
	for (size_t i = 0; i < pattern.n; i++)
		if (has(s, i) && (pattern.p[i] == '*' || pattern.p[i] == '%'))
			set(s, i + 1);
}

bool glob_match(struct str pattern, struct str name)
{
	struct places now = { { 1 } };
	if (pattern.n > GLOB_PATTERN_MAX)
		return false;
	settle(&now, pattern);
	for (size_t k = 0; k < name.n; k++) {
		struct places next = { { 0 } };
		for (size_t i = 0; i < pattern.n; i++) {
			if (!has(&now, i))
				continue;
			char c = pattern.p[i];
			if (c == '*' || (c == '%' && name.p[k] != '/'))
				set(&next, i);
			else if (c == name.p[k] && c != '%')
				set(&next, i + 1);
		}
		settle(&next, pattern);
		now = next;
	}
	return has(&now, pattern.n);
}
