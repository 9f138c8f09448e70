#pragma once
#include "base/map.h"
#include "store/verb.h"

/* Addresses, for directory.c, route.c and gone.c. */
/* The address is this account's or group's from now on. RC_EXISTS: it is taken; RC_NOTFOUND: its domain is not ours. */
MUST_USE enum rc tx_address_claim(struct tx *t, struct str address, enum address_kind kind, uint64_t id, struct why *why);

/* What names an address that goes, goes too (store/route.h). Filled with the addresses, then swept once: a walk over the directory's tables. */
struct gone {
	uint64_t account, group;        /* what is being removed itself; 0 = nothing but addresses */
	struct gone_list { struct gone_list *next; size_t n; char key[]; } *list; /* keys of the table address */
	bool failed;
};
void gone_add(struct gone *g, struct str key);     /* copied; sticky failure */
/* Frees the list, whatever comes of it. */
MUST_USE enum rc gone_sweep(struct tx *t, struct gone *g);
MUST_USE enum rc gone_address(struct tx *t, struct str address);
/* A domain has no addresses any more when it goes; what is left are the right to send in its name, and ways of its senders. */
MUST_USE enum rc gone_domain(struct tx *t, struct str domain);
