#pragma once
#include "dns/dns.h"
#include <stdint.h>

/* One question to one server, without recursion: what `dns check` asks a zone's own servers. UDP, TCP when the answer was cut; three tries. `server` is 4 or 16
 * octets of address. Suspends the fiber, at most 3 x 2 s and a TCP connection of 4 s. An answer that is not authoritative is a DNS_TEMPFAIL. `name` is folded. */
void dns_direct(struct str server, uint16_t port, unsigned type, struct str name, struct arena *a, struct dns_answer *out);
