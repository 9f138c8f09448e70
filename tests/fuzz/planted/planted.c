#include "base/cursor.h"

#include <stdlib.h>

/* Shows that the fuzzing set-up finds what it should: a reader of length-prefixed runs that trusts the length after a few right
 * octets. Built only by `tools/fuzz --planted`; no part of the product. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *copy = malloc(n ? n : 1);
	if (!copy)
		return 0;
	memcpy(copy, data, n);
	struct cursor c = cursor_of((struct str){ copy, n });
	unsigned sum = 0;
	if (cursor_u8(&c) == 'L' && cursor_u8(&c) == 'K' && cursor_u16(&c) > 7) {
		uint32_t length = cursor_u32(&c);
		for (uint32_t i = 0; !c.failed && i < length && i < 4096; i++)
			sum += (unsigned char)c.in.p[i]; /* the planted bug: `length` was never held against c.in.n */
	}
	free(copy);
	return sum == 1 && n > 1u << 30;
}
