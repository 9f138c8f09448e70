#pragma once
#include "dns/dns.h"
#include "ipc/ipc.h"

/* The DNS of every role but `resolver`: asks that role and suspends the fiber until it answers, at most dns.timeout. A resolver that is full, restarting or
 * silent is a DNS_TEMPFAIL. Asked once more when it went away meanwhile. `node` must outlive its use; nothing is to be freed. */
struct dns dns_asker(struct ipc_node *node);
/* The same over one channel (the command line's): `peer` is a channel to the resolver. */
struct dns dns_asker_at(struct ipc_peer *peer);

/* A limit of what one session may ask, in front of a cache: what is answered from the cache is free, so is a name that cannot be asked. Past the limit every
 * question is a DNS_TEMPFAIL. Lives in the session. */
struct dns_budget {
	struct dns behind;
	unsigned left;
	uint64_t (*now_ms)(void); uint64_t until_ms; /* and a time, past which it is the same; 0 = none */
};
struct dns dns_budget_dns(struct dns_budget *b);
