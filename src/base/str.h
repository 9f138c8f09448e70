#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed run of bytes: not owned, not NUL-terminated, may contain NUL.
 * Passed by value. `p` is never NULL (an empty run is ""): NULL + 0 is undefined in C17.
 * Valid only as long as whoever lent it says so. */
struct str {
	const char *p;
	size_t n;
};
#define STR_INIT(lit) { "" lit, sizeof(lit) - 1 } /* for static tables */
#define STR(lit) ((struct str)STR_INIT(lit))      /* for expressions   */
#define PSTR(s) (int)(s).n, (s).p                 /* for "%.*s"; only for runs known to be short */

static inline struct str str_of(const void *p, size_t n) { return (struct str){ p ? p : "", p ? n : 0 }; }
static inline struct str str_z(const char *z) { return (struct str){ z ? z : "", z ? strlen(z) : 0 }; }

bool str_eq(struct str a, struct str b);
bool str_ieq(struct str a, struct str b);     /* ASCII case only; never locale */
int str_cmp(struct str a, struct str b);      /* byte order, shorter first */
bool str_starts(struct str s, struct str prefix);
bool str_istarts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_iends(struct str s, struct str suffix);

/* Offset of the first `c` / of `needle`, or s.n when there is none. */
size_t str_find(struct str s, char c);
size_t str_find_str(struct str s, struct str needle);
size_t str_ifind_str(struct str s, struct str needle); /* ASCII case folded */

/* The rest of `s` after `n` bytes, its first `n` bytes; both clamp. */
static inline struct str str_skip(struct str s, size_t n)
{
	size_t k = n < s.n ? n : s.n;
	return (struct str){ s.p + k, s.n - k };
}
static inline struct str str_head(struct str s, size_t n) { return (struct str){ s.p, n < s.n ? n : s.n }; }

struct str str_trim(struct str s); /* without leading and trailing SP, HTAB, CR, LF */

/* "a SP b" -> head "a", tail "b". False (head all, tail empty) when `sep` is absent. */
bool str_cut(struct str s, char sep, struct str *out_head, struct str *out_tail);

/* A list as people write it in a configuration: blanks, line ends or commas between the words, as many as they like. str_word takes the next one off
 * the front; false: there is none. str_words answers how many it put; what is past `max` is left. */
bool str_word(struct str *list, struct str *out);
size_t str_words(struct str list, struct str *out, size_t max);

/* A decimal number with nothing around it; false on empty, junk or overflow past `max`. */
bool str_u64(struct str s, uint64_t max, uint64_t *out);

static inline char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }
static inline char ascii_upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c & ~0x20) : c; }
static inline bool ascii_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool ascii_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static inline bool ascii_alnum(char c) { return ascii_digit(c) || ascii_alpha(c); }
