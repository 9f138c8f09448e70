#include "base/base64.h"

#include "base/wide.h"

enum { OCTETS = 24, DIGITS = 32 }; /* of one step in 256-bit registers */

static const char digit_of[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
#define FROM(first, value) [(first)] = (value) + 1
#define FIVE(first, value) FROM(first, value), FROM((first) + 1, (value) + 1), FROM((first) + 2, (value) + 2), FROM((first) + 3, (value) + 3), FROM((first) + 4, (value) + 4)
/* A digit's value plus one; 0: no digit. */
static const uint8_t value_of[256] = {
	FIVE('A', 0), FIVE('F', 5), FIVE('K', 10), FIVE('P', 15), FIVE('U', 20), FROM('Z', 25), FIVE('a', 26), FIVE('f', 31), FIVE('k', 36),
	FIVE('p', 41), FIVE('u', 46), FROM('z', 51), FIVE('0', 52), FIVE('5', 57), FROM('+', 62), FROM('/', 63),
};

#if defined(__x86_64__)
typedef unsigned char bytes16 __attribute__((vector_size(16)));
typedef unsigned char bytes32 __attribute__((vector_size(32)));
typedef signed char chars32 __attribute__((vector_size(32)));
typedef uint32_t words8 __attribute__((vector_size(32)));

#define ALL(c) ((chars32){ 0 } + (signed char)(c))

/* Reads 28 octets at `in`, writes 32 digits. */
WIDE static inline void encode_step(const char *in, char *out)
{
	bytes16 a, b;
	memcpy(&a, in, sizeof a);
	memcpy(&b, in + OCTETS / 2, sizeof b);
	bytes32 both = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
	/* Each lane the 24 bits of three octets, the first of them highest; its top octet is never looked at. */
	words8 w = (words8)__builtin_shufflevector(both, both, 2, 1, 0, 0, 5, 4, 3, 3, 8, 7, 6, 6, 11, 10, 9, 9, 18, 17, 16, 16, 21, 20, 19, 19, 24, 23, 22, 22, 27, 26, 25, 25);
	chars32 v = (chars32)((w >> 18 & 0x3f) | (w >> 4 & 0x3f00) | (w << 10 & 0x3f0000) | (w << 24 & 0x3f000000));
	/* From one run of the alphabet to the next, the distance to the letter changes. */
	v += ALL('A') + ((v > ALL(25)) & ALL('a' - 'A' - 26)) - ((v > ALL(51)) & ALL('a' - '0' + 26)) - ((v > ALL(61)) & ALL('0' - '+' + 10)) + ((v > ALL(62)) & ALL(3));
	memcpy(out, &v, sizeof v);
}

#define BETWEEN(v, from, to) (((v) > ALL((from)-1)) & ((v) < ALL((to) + 1)))

/* Reads 32 octets at `in`, writes 28, of which 24 have a meaning; false: one of them is no digit, and nothing was written. */
WIDE static inline bool decode_step(const char *in, char *out)
{
	chars32 c;
	memcpy(&c, in, sizeof c);
	chars32 upper = BETWEEN(c, 'A', 'Z'), lower = BETWEEN(c, 'a', 'z'), number = BETWEEN(c, '0', '9'), plus = c == ALL('+'), slash = c == ALL('/');
	uint64_t ok[4];
	chars32 any = upper | lower | number | plus | slash;
	memcpy(ok, &any, sizeof ok);
	if ((ok[0] & ok[1] & ok[2] & ok[3]) != UINT64_MAX)
		return false;
	words8 w = (words8)(c - (upper & ALL('A')) - (lower & ALL('a' - 26)) - (number & ALL('0' - 52)) + (plus & ALL(62 - '+')) + (slash & ALL(63 - '/')));
	bytes32 b = (bytes32)((w << 18 & 0xfc0000) | (w << 4 & 0x3f000) | (w >> 10 & 0xfc0) | w >> 24);
	b = __builtin_shufflevector(b, b, 2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 3, 3, 3, 3, 18, 17, 16, 22, 21, 20, 26, 25, 24, 30, 29, 28, 19, 19, 19, 19);
	bytes16 a = __builtin_shufflevector(b, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	memcpy(out, &a, sizeof a);
	a = __builtin_shufflevector(b, b, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
	memcpy(out + OCTETS / 2, &a, sizeof a);
	return true;
}

WIDE static size_t encode_wide(const char *in, size_t n, size_t in_room, char *out, size_t out_room)
{
	size_t at = 0;
	for (; at < n && in_room - at >= OCTETS + 4 && out_room - at / 3 * 4 >= DIGITS; at += OCTETS)
		encode_step(in + at, out + at / 3 * 4);
	return at < n ? at : n;
}

/* Where the last step would look at what is behind, the line's end most often, the rest is left. */
WIDE static size_t decode_wide(const char *in, size_t n, char *out, size_t out_room)
{
	size_t at = 0;
	for (; n - at >= DIGITS && out_room - at / 4 * 3 >= OCTETS + 4; at += DIGITS)
		if (!decode_step(in + at, out + at / 4 * 3))
			break;
	return at;
}
#else
static size_t encode_wide(const char *in, size_t n, size_t in_room, char *out, size_t out_room) { return 0; }
static size_t decode_wide(const char *in, size_t n, char *out, size_t out_room) { return 0; }
#endif

void base64_encode_block(const char *in, size_t n, size_t in_room, char *out, size_t out_room)
{
	size_t at = wide_ok() ? encode_wide(in, n, in_room, out, out_room) : 0;
	const uint8_t *p = (const uint8_t *)in + at;
	char *o = out + at / 3 * 4;
	for (; at < n; at += 3, p += 3, o += 4) {
		o[0] = digit_of[p[0] >> 2];
		o[1] = digit_of[(p[0] & 3) << 4 | p[1] >> 4];
		o[2] = digit_of[(p[1] & 15) << 2 | p[2] >> 6];
		o[3] = digit_of[p[2] & 63];
	}
}

size_t base64_decode_block(const char *in, size_t n, char *out, size_t out_room)
{
	size_t at = wide_ok() ? decode_wide(in, n, out, out_room) : 0;
	const uint8_t *p = (const uint8_t *)in + at;
	char *o = out + at / 4 * 3;
	for (; n - at >= 4; at += 4, p += 4, o += 3) {
		unsigned a = value_of[p[0]], b = value_of[p[1]], c = value_of[p[2]], d = value_of[p[3]];
		if (!a || !b || !c || !d)
			break;
		uint32_t w = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
		o[0] = (char)(w >> 16);
		o[1] = (char)(w >> 8);
		o[2] = (char)w;
	}
	return at;
}
