#include "policy/limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A run of operations on the limits against a plain model of what is held: few keys and holders, so that no bucket is ever full. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { KEYS = 8, HOLDERS = 4 };

static struct limit_key key_of(uint8_t k)
{
	uint8_t network[16] = { 10, 0, 0, k };
	return limit_key_of('c', network);
}

static unsigned sum(unsigned held[KEYS][HOLDERS], unsigned k)
{
	unsigned s = 0;
	for (unsigned h = 0; h < HOLDERS; h++)
		s += held[k][h];
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct limits *l;
	unsigned held[KEYS][HOLDERS] = { 0 };
	int64_t now = 1000;
	unsigned forgets = 0; /* each looks at the whole table: one in some inputs is enough */
	unsigned passed = 0; /* of the rate of key 0 within one window length, at most twice the limit */
	int64_t since = now;
	if (!l)
		l = aligned_alloc(64, (limits_size() + 63) / 64 * 64);
	if (!l || n > 256)
		return 0;
	static bool formatted;
	if (!formatted)
		memset((void *)l, 0, limits_size());
	formatted = true;
	for (size_t i = 0; i + 1 < n; i += 2) {
		unsigned k = data[i] >> 2 & (KEYS - 1), h = data[i] >> 5 & (HOLDERS - 1), max = data[i + 1] % 8;
		switch (data[i] & 3) {
		case 0: {
			bool in = limits_enter(l, key_of((uint8_t)k), h, max);
			assert(in == (sum(held, k) < max));
			held[k][h] += in;
			break;
		}
		case 1:
			limits_leave(l, key_of((uint8_t)k), h);
			held[k][h] -= held[k][h] > 0;
			break;
		case 2:
			if (n % 8 || forgets++)
				break;
			limits_forget(l, h);
			for (unsigned j = 0; j < KEYS; j++)
				held[j][h] = 0;
			break;
		default:
			now += data[i + 1];
			if (now - since >= 100) {
				passed = 0;
				since = now;
			}
			passed += limits_rate(l, key_of(200), now, 100, 5);
			assert(passed <= 10);
		}
		assert(limits_held(l, key_of((uint8_t)k)) == sum(held, k));
	}
	for (unsigned k = 0; k < KEYS; k++)
		for (unsigned h = 0; h < HOLDERS; h++)
			for (; held[k][h]; held[k][h]--)
				limits_leave(l, key_of((uint8_t)k), h);
	for (unsigned k = 0; k < KEYS; k++)
		assert(limits_held(l, key_of((uint8_t)k)) == 0);
	return 0;
}
