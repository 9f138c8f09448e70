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
__attribute__((target("sse4.2"))) static uint32_t crc32c_fast(uint32_t crc, struct str s)
{
	const char *p = s.p;
	uint64_t c = (uint32_t)~crc;
	for (; s.n >= 8; s.n -= 8, p += 8) {
		uint64_t v;
		memcpy(&v, p, 8);
		c = __builtin_ia32_crc32di(c, v);
	}
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
