#pragma once
#include "base/map.h"
#include "role/role.h"
#include "store/view.h"

/* Recipient addresses that `edge` looked up a moment ago, so that a known one costs no question for ten seconds. */
struct edge_known {
	int64_t until;
	uint64_t account, box, quota, used;
	uint8_t public_key[PUB_LEN];
	bool disabled;
	size_t n;
	char address[];
};
void edge_addresses_init(struct map *m);
void edge_addresses_forget(struct map *m);         /* all; the map stays usable */
/* `address` in lower case. RC_NOTFOUND: nobody here, RC_DENIED: not a domain of ours. *out lives until the fiber suspends. */
MUST_USE enum rc edge_address_find(struct role_env *e, struct map *m, struct str address, const struct edge_known **out, struct why *why);
