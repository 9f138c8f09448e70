#include "base/octets.h"

/* Sixteen octets in a register of the compiler's own vector types, which every machine of 64 bits has; what is left of a text is looked at
 * octet by octet. A pair is compared by two loads that lie one octet apart, so that it is found wherever it stands. */

typedef uint8_t octets16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

enum { STEP = sizeof(octets16), STEPS = 4 * STEP, SUMS_MAX = 255 };

static inline octets16 load(const char *p)
{
	octets16 v;
	memcpy(&v, p, sizeof v);
	return v;
}

static inline octets16 all(char c) { return (octets16){ 0 } + (uint8_t)c; }

static inline bool any(octets16 v)
{
	words2 w = (words2)v;
	return (w[0] | w[1]) != 0;
}

static inline octets16 is(const char *p, char c) { return (octets16)(load(p) == all(c)); }
static inline octets16 is_pair(const char *p, char a, char b) { return is(p, a) & is(p + 1, b); }

static size_t sum(octets16 v)
{
	size_t n = 0;
	for (size_t i = 0; i < sizeof v; i++)
		n += v[i];
	return n;
}

/* ---- counts: what is found is -1 in its octet, so a subtraction counts, and no octet may count past 255 ---- */

size_t octets_count(struct str s, char c)
{
	size_t n = 0, i = 0;
	while (s.n - i >= STEP) {
		octets16 found = { 0 };
		for (unsigned k = 0; k < SUMS_MAX && s.n - i >= STEP; k++, i += STEP)
			found -= is(s.p + i, c);
		n += sum(found);
	}
	for (; i < s.n; i++)
		n += s.p[i] == c;
	return n;
}

size_t octets_count_pair(struct str s, char a, char b)
{
	size_t n = 0, i = 0;
	while (s.n - i > STEP) {
		octets16 found = { 0 };
		for (unsigned k = 0; k < SUMS_MAX && s.n - i > STEP; k++, i += STEP)
			found -= is_pair(s.p + i, a, b);
		n += sum(found);
	}
	for (; i + 1 < s.n; i++)
		n += s.p[i] == a && s.p[i + 1] == b;
	return n;
}

/* ---- places ---- */

size_t octets_find_pair(struct str s, char a, char b)
{
	size_t i = 0;
	for (; s.n - i > STEPS; i += STEPS) {
		const char *p = s.p + i;
		if (any(is_pair(p, a, b) | is_pair(p + STEP, a, b) | is_pair(p + 2 * STEP, a, b) | is_pair(p + 3 * STEP, a, b)))
			break;
	}
	for (; s.n - i > STEP; i += STEP)
		if (any(is_pair(s.p + i, a, b)))
			break;
	for (; i + 1 < s.n; i++)
		if (s.p[i] == a && s.p[i + 1] == b)
			return i;
	return s.n;
}

/* ---- lines ---- */

unsigned octets_survey(struct str s)
{
	octets16 nul = { 0 }, bare_cr = { 0 }, bare_lf = { 0 };
	unsigned found = s.n && s.p[0] == '\n' ? OCTETS_BARE_LF : 0;
	size_t i = 0;
	for (; s.n - i > STEP; i += STEP) {
		octets16 cr = is(s.p + i, '\r'), lf = is(s.p + i + 1, '\n');
		nul |= is(s.p + i, 0);
		bare_cr |= cr & ~lf;
		bare_lf |= lf & ~cr;
	}
	found |= (any(nul) ? OCTETS_NUL : 0u) | (any(bare_cr) ? OCTETS_BARE_CR : 0u) | (any(bare_lf) ? OCTETS_BARE_LF : 0u);
	for (; i < s.n; i++) {
		bool cr = s.p[i] == '\r', lf = i + 1 < s.n && s.p[i + 1] == '\n';
		found |= (s.p[i] ? 0u : OCTETS_NUL) | (cr && !lf ? OCTETS_BARE_CR : 0u) | (lf && !cr ? OCTETS_BARE_LF : 0u);
	}
	return found;
}

bool octets_long_line(struct str s, size_t most)
{
	while (s.n > most) { /* from the start of a line; the last LF that is not too far is behind all that are not too long */
		const char *lf = memrchr(s.p, '\n', most + 1);
		size_t n = lf ? (size_t)(lf - s.p) + 1 : most + 2;
		if (!lf && (s.n < n || s.p[most] != '\r' || s.p[most + 1] != '\n'))
			return true;
		s = str_skip(s, n);
	}
	return false;
}

/* A line's end that is none, or the end of a line before one that begins with `stop`. */
static inline octets16 is_stop(const char *p, char stop)
{
	octets16 a = load(p), b = load(p + 1);
	return (octets16)((a == all('\r')) ^ (b == all('\n'))) | (octets16)((a == all('\n')) & (b == all(stop)));
}

size_t octets_whole_lines(struct str s, char stop)
{
	size_t i = 0;
	if (s.n == 0 || s.p[0] == '\n')
		return 0;
	for (; s.n - i > STEPS; i += STEPS) {
		const char *p = s.p + i;
		if (any(is_stop(p, stop) | is_stop(p + STEP, stop) | is_stop(p + 2 * STEP, stop) | is_stop(p + 3 * STEP, stop)))
			break;
	}
	for (; s.n - i > STEP; i += STEP)
		if (any(is_stop(s.p + i, stop)))
			break;
	while (i + 1 < s.n && (s.p[i] == '\r') == (s.p[i + 1] == '\n') && (s.p[i] != '\n' || s.p[i + 1] != stop))
		i++;
	/* All up to and with the octet at `i` is sound, but for a CR there: its last LF ends the last whole line. */
	const char *lf = memrchr(s.p, '\n', i + 1);
	return lf ? (size_t)(lf - s.p) + 1 : 0;
}
