#include "dns/dns.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
/* What unpacks must pack to the same octets again, but for flags that mean nothing. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a;
	struct dns_answer x, y;
	struct buf b;
	arena_init(&a, 1 << 22);
	buf_init(&b, 1 << 24);
	if (dns_unpack(str_of(data, n), &a, &x, NULL) == RC_OK) {
		dns_pack(&x, &b);
		if (!b.failed && (dns_unpack(buf_str(&b), &a, &y, NULL) != RC_OK || y.records != x.records || y.status != x.status) && !a.full)
			abort();
	}
	buf_done(&b);
	arena_done(&a);
	return 0;
}
