/* Registrable domains: a suffix of the name, in lower case, its own registrable domain. */
#include "origin/origin.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct str in = str_of(data, size), r = psl_registrable(in, &a);
	bool ascii = true;
	for (size_t i = 0; i < size; i++)
		ascii = ascii && data[i] < 0x80;
	if (r.n == 0)
		return 0;
	assert(dns_name_ok(r) && str_eq(psl_registrable(r, &a), r));
	for (size_t i = 0; i < r.n; i++)
		assert((unsigned char)r.p[i] < 0x80 && !(r.p[i] >= 'A' && r.p[i] <= 'Z'));
	if (ascii)
		assert(str_iends(in.p[in.n - 1] == '.' ? str_head(in, in.n - 1) : in, r));
	return 0;
}
