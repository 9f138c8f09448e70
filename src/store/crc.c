#include "store/crc.h"

#include <pthread.h>
#include <string.h>

#define POLY 0x82f63b78u /* reflected 0x1edc6f41 */

static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (unsigned k = 0; k < 8; k++)
			c = c & 1 ? POLY ^ (c >> 1) : c >> 1;
		table[0][i] = c;
	}
	for (unsigned t = 1; t < 8; t++)
		for (unsigned i = 0; i < 256; i++)
			table[t][i] = table[0][table[t - 1][i] & 0xff] ^ (table[t - 1][i] >> 8);
}

uint32_t crc32c_table(uint32_t crc, struct str s)
{
	(void)pthread_once(&once, make_table);
	const unsigned char *p = (const unsigned char *)s.p;
	uint32_t c = ~crc;
	for (; s.n >= 8; s.n -= 8, p += 8) {
		uint32_t lo = c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
		c = table[7][lo & 0xff] ^ table[6][(lo >> 8) & 0xff] ^ table[5][(lo >> 16) & 0xff] ^ table[4][lo >> 24] ^
		    table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
	}
	for (; s.n; s.n--, p++)
		c = table[0][(c ^ *p) & 0xff] ^ (c >> 8);
	return ~c;
}

#ifdef __x86_64__
/* The instruction takes three cycles and a new one can begin every cycle: three lanes side by side, then put together. The checksum of a lane that
 * others follow is carried over their octets as over zeros, which is linear: four tables for each length of lane. */
enum { LONG_LANE = 1024, SHORT_LANE = 128 };
static uint32_t over_long[4][256], over_short[4][256];
static pthread_once_t lanes_once = PTHREAD_ONCE_INIT;

static void make_over(uint32_t over[4][256], size_t lane)
{
	uint32_t basis[32];
	for (unsigned bit = 0; bit < 32; bit++) {
		basis[bit] = 1u << bit;
		for (size_t i = 0; i < lane; i++)
			basis[bit] = table[0][basis[bit] & 0xff] ^ (basis[bit] >> 8);
	}
	for (unsigned t = 0; t < 4; t++)
		for (unsigned i = 0; i < 256; i++)
			for (unsigned bit = 0; bit < 8; bit++)
				over[t][i] ^= i & 1u << bit ? basis[8 * t + bit] : 0;
}

static void make_lanes(void)
{
	(void)pthread_once(&once, make_table);
	make_over(over_long, LONG_LANE);
	make_over(over_short, SHORT_LANE);
}

static inline uint64_t carry(uint32_t over[4][256], uint64_t c)
{
	return over[0][c & 0xff] ^ over[1][(c >> 8) & 0xff] ^ over[2][(c >> 16) & 0xff] ^ over[3][(c >> 24) & 0xff];
}

static inline uint64_t word(const char *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return v;
}

__attribute__((target("sse4.2"))) static const char *three_lanes(const char *p, size_t *n, size_t lane, uint32_t over[4][256], uint64_t *crc)
{
	for (; *n >= 3 * lane; *n -= 3 * lane, p += 2 * lane) {
		uint64_t a = *crc, b = 0, c = 0;
		for (const char *end = p + lane; p < end; p += 8) {
			a = __builtin_ia32_crc32di(a, word(p));
			b = __builtin_ia32_crc32di(b, word(p + lane));
			c = __builtin_ia32_crc32di(c, word(p + 2 * lane));
		}
		*crc = carry(over, carry(over, a) ^ b) ^ c;
	}
	return p;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_fast(uint32_t crc, struct str s)
{
	const char *p = s.p;
	uint64_t c = (uint32_t)~crc;
	if (s.n >= 3 * SHORT_LANE) {
		(void)pthread_once(&lanes_once, make_lanes);
		p = three_lanes(p, &s.n, LONG_LANE, over_long, &c);
		p = three_lanes(p, &s.n, SHORT_LANE, over_short, &c);
	}
	for (; s.n >= 8; s.n -= 8, p += 8)
		c = __builtin_ia32_crc32di(c, word(p));
	uint32_t d = (uint32_t)c;
	for (; s.n; s.n--, p++)
		d = __builtin_ia32_crc32qi(d, (unsigned char)*p);
	return ~d;
}
#endif

uint32_t crc32c(uint32_t crc, struct str s)
{
#ifdef __x86_64__
	if (__builtin_expect(__builtin_cpu_supports("sse4.2"), 1))
		return crc32c_fast(crc, s);
#endif
	return crc32c_table(crc, s);
}
