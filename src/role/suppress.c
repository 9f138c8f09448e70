#include "role/suppress.h"

#include "crypto/crypto.h"
#include <stdio.h>

enum { ADDRESS_MOST = 1024 };

void suppress_key(const uint8_t hash_key[16], struct str address, char out[SUPPRESS_KEY])
{
	uint8_t second[16];
	char low[ADDRESS_MOST];
	size_t n = address.n < sizeof low ? address.n : sizeof low;
	for (size_t i = 0; i < n; i++)
		low[i] = ascii_lower(address.p[i]);
	for (unsigned i = 0; i < sizeof second; i++)
		second[i] = hash_key[i] ^ 0xa5;
	(void)snprintf(out, SUPPRESS_KEY, "sup/%016llx%016llx", (unsigned long long)siphash(hash_key, str_of(low, n)), (unsigned long long)siphash(second, str_of(low, n)));
}
