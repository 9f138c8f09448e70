#include "dns/reply.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
/* The first octet chooses the type; the reply's own question is asked. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint16_t types[] = { DNS_A, DNS_NS, DNS_CNAME, DNS_SOA, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_SRV, DNS_TLSA, DNS_CAA };
	struct dns_reply_facts facts;
	struct dns_answer x;
	struct arena a;
	char name[256];
	size_t at = 12, name_n = 0;
	if (n < 1)
		return 0;
	struct str packet = str_of(data + 1, n - 1);
	if (wire_name(packet, &at, name, &name_n, NULL) != RC_OK)
		return 0;
	arena_init(&a, 1 << 22);
	if (dns_reply_parse(packet, types[data[0] % (sizeof types / sizeof *types)], str_of(name, name_n), &a, &x, &facts, NULL) == RC_OK)
		if (x.records > DNS_MAX_RECORDS || (x.status == DNS_OK) != (x.records > 0))
			abort();
	arena_done(&a);
	return 0;
}
