#pragma once
#include "origin/dkim.h"
#include "role/role.h"

/* Signing through the vault, which keeps the keys. Both put what they make into `out` and suspend. */

/* DKIM-Signature fields by every signing key of the domain; none (and RC_OK) when there is no such key. */
MUST_USE enum rc edge_sign_dkim(struct role_env *e, struct str domain, struct str message, struct buf *out, struct why *why);
/* One ARC set by a signing key of the domain, an RSA one where there is one: more verifiers know it. RC_NOTFOUND: the domain has no such key. `results` is the value of our
 * Authentication-Results; `chain` what we think of the sets that are there. */
MUST_USE enum rc edge_sign_arc(struct role_env *e, struct str domain, struct str message, struct str results, enum auth chain, struct buf *out, struct why *why);
