/* proxy_parse(): a header is taken whole, its beginnings ask for more, and what follows it changes nothing. */
#include "os/net.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_source src = { 0 }, again = { 0 };
	bool local = false, local2 = false;
	struct str in = str_of(data, size);
	long n = proxy_parse(in, &src, &local);
	assert(n >= -1 && n <= (long)size);
	if (n <= 0)
		return 0;
	assert(proxy_parse(str_head(in, (size_t)n), &again, &local2) == n && local == local2);
	assert(proxy_parse(str_head(in, (size_t)n - 1), &again, &local2) == 0);
	uint8_t ip[16];
	assert(local || net_addr16(src.ip, ip));
	return 0;
}
