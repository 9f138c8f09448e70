#pragma once
#include "role/edge_address.h"
#include "role/role.h"

/* Reports in `edge`: mail to a reporting address is read, not stored. */
struct report_came { struct str message, mid, sender, verified; }; /* verified: the domain that DMARC proved, "" = none */
/* Read by `scan`, kept by `ledger`. RC_OK: taken, also when it was malformed or had come before (an event says so). RC_SYNTAX: no report is in it and
 * nothing proves its sender. RC_BUSY: later. Text in `why` begins with an enhanced code. Suspends. */
MUST_USE enum rc report_edge_read(struct role_env *e, struct edge_addresses *addresses, const struct report_came *r, struct why *why);
