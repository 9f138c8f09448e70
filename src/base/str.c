#include "base/str.h"

bool str_eq(struct str a, struct str b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }

bool str_ieq(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

int str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;
	return c ? c : (a.n > b.n) - (a.n < b.n);
}

bool str_starts(struct str s, struct str prefix) { return str_eq(str_head(s, prefix.n), prefix); }
bool str_istarts(struct str s, struct str prefix) { return str_ieq(str_head(s, prefix.n), prefix); }
bool str_ends(struct str s, struct str suffix) { return s.n >= suffix.n && str_eq(str_skip(s, s.n - suffix.n), suffix); }
bool str_iends(struct str s, struct str suffix) { return s.n >= suffix.n && str_ieq(str_skip(s, s.n - suffix.n), suffix); }

size_t str_find(struct str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
	return at ? (size_t)(at - s.p) : s.n;
}

size_t str_find_str(struct str s, struct str needle)
{
	const char *at = needle.n <= s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return at ? (size_t)(at - s.p) : s.n;
}

size_t str_ifind_str(struct str s, struct str needle)
{
	for (size_t i = 0; i + needle.n <= s.n; i++)
		if (str_ieq((struct str){ s.p + i, needle.n }, needle))
			return i;
	return s.n;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

struct str str_trim(struct str s)
{
	while (s.n && is_space(s.p[0]))
		s = str_skip(s, 1);
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool str_cut(struct str s, char sep, struct str *out_head, struct str *out_tail)
{
	size_t k = str_find(s, sep);
	bool found = k < s.n;
	*out_head = str_head(s, k);
	*out_tail = str_skip(s, k + 1);
	return found;
}

static bool is_between_words(char c) { return c == ' ' || c == '\t' || c == ',' || c == '\r' || c == '\n'; }

bool str_word(struct str *list, struct str *out)
{
	size_t from = 0, to;
	while (from < list->n && is_between_words(list->p[from]))
		from++;
	for (to = from; to < list->n && !is_between_words(list->p[to]);)
		to++;
	*out = str_head(str_skip(*list, from), to - from);
	*list = str_skip(*list, to);
	return to > from;
}

size_t str_words(struct str list, struct str *out, size_t max)
{
	size_t n = 0;
	while (n < max && str_word(&list, &out[n]))
		n++;
	return n;
}

bool str_u64(struct str s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_digit(s.p[i]))
			return false;
		unsigned d = (unsigned)(s.p[i] - '0');
		if (v > (UINT64_MAX - d) / 10)
			return false;
		v = v * 10 + d;
	}
	if (v > max)
		return false;
	*out = v;
	return true;
}
