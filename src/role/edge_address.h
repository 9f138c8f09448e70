#pragma once
#include "base/map.h"
#include "role/role.h"
#include "store/route.h"

/* Where addresses of ours lead, as `edge` looked it up a moment ago: a known one costs no question for ten seconds. */
struct edge_known {
	int64_t until;
	struct route route;            /* all of it lies within this block */
	size_t n;
	char *address;
};
struct edge_addresses { struct map m; size_t targets; /* over all routes */ };
void edge_addresses_init(struct edge_addresses *k);
void edge_addresses_forget(struct edge_addresses *k);         /* all; stays usable */
/* `address` in lower case. RC_NOTFOUND: nobody here, RC_DENIED: not a domain of ours. *out lives until the fiber suspends. */
MUST_USE enum rc edge_address_find(struct role_env *e, struct edge_addresses *k, struct str address, const struct edge_known **out, struct why *why);
