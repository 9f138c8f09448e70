/* net_parse() and net_range_parse(): what is accepted can be written out and read back as the same. */
#include "os/net.h"

#include <assert.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size);
	struct net_addr a, b;
	struct net_range r;
	struct why why = { 0 };
	if (net_parse(in, &a, &why) == RC_OK && a.sa.ss_family == AF_INET) {
		char ip[46], text[64];
		uint16_t port, port2;
		net_ip_text(&a, ip, &port);
		int n = snprintf(text, sizeof text, "%s:%u", ip, port);
		assert(net_parse(str_of(text, (size_t)n), &b, &why) == RC_OK);
		net_ip_text(&b, text, &port2);
		assert(strcmp(ip, text) == 0 && port == port2);
	}
	if (net_range_parse(in, &r, &why) == RC_OK) {
		assert(r.bits <= 128 && net_range_has(&r, r.addr));
		uint8_t other[16];
		memcpy(other, r.addr, 16);
		if (r.bits) {
			other[(r.bits - 1) / 8] ^= (uint8_t)(0x80 >> (r.bits - 1) % 8);
			assert(!net_range_has(&r, other));
		}
	} else {
		assert(why.rc == RC_SYNTAX);
	}
	return 0;
}
