#include "dns/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const names[] = { "a.test", "test", "x.y.wild.test", "a" };
	struct dns_table *t;
	struct dns_answer x;
	struct why why;
	if (dns_table_new(&t) != RC_OK)
		return 0;
	(void)!dns_table_read(t, str_of(data, n), STR("test"), &why);
	struct dns d = dns_table_dns(t);
	for (size_t i = 0; i < 4; i++)
		for (unsigned type = 1; type <= DNS_TLSA; type++) {
			struct arena a;
			arena_init(&a, 1 << 20);
			dns_ask(&d, type, str_z(names[i]), &a, &x);
			arena_done(&a);
		}
	dns_table_free(&t);
	return 0;
}
