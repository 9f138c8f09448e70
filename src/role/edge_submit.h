#pragma once
#include "role/role.h"
#include "store/route.h"

/* Mail of our own: reports, bounces, notes. */
/* SUBMIT: signed by the key of its author's domain; to people here it is delivered, to others it is queued. RC_NOTFOUND: nobody here has the address, RC_SYNTAX,
 * RC_BUSY: later, RC_LATE: nobody knows. */
MUST_USE enum rc edge_submit(struct role_env *e, const struct msg_SUBMIT *m, char out_mid[9], struct why *why);
/* A note to one mailbox here. */
MUST_USE enum rc edge_submit_here(struct role_env *e, const struct route_target *to, struct str message, char out_mid[9], struct why *why);
