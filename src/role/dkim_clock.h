#pragma once
#include "role/role.h"

/* The clock of DKIM keys, in `ledger`: now and then it asks the DNS whether our keys' records are there and tells the vault, which moves what is due
 * (vault/dkim.h). What moved is told to `moved`, for the audit log. */
struct dkim_clock;
MUST_USE enum rc dkim_clock_new(struct role_env *e, void (*moved)(struct role_env *e, struct str name, const char *state), struct dkim_clock **out);
void dkim_clock_hurry(struct dkim_clock *c);       /* look at the next tick: what the DNS says may have changed */
void dkim_clock_tick(struct dkim_clock *c);        /* once a second or so; looks every dkim.check */
void dkim_clock_free(struct dkim_clock **c);       /* all fibers are gone */
/* Does this TXT record hold that key, as verifiers take it? Pure. */
bool dkim_clock_same(struct str published, struct str wanted);
