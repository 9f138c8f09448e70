#pragma once
#include "dns/dnsbl.h"
#include "role/auth_check.h"

/* Which blocklists (section `blocklists`) list the client of one connection. All are asked at once, each in a fiber of its own, when the first recipient is
 * about to be taken; whoever does not answer within blocklists.patience has not listed anybody. Lives as long as its session. */
struct blocklist_check;
struct blocklist_found { size_t n; struct dnsbl_listing listing[2 * DNSBL_ZONES_MAX]; size_t refuse; }; /* the first `refuse` of them are of blocklists.refuse */

/* *out NULL: there is nobody to ask, or the client's network is in authentication.trusted_forwarders. `ip` in text; `sid` for the log. */
MUST_USE enum rc blocklist_new(struct auth_house *h, struct role_env *e, const char *ip, const char *sid, struct blocklist_check **out);
/* Waits for the answers, the first time. What it says lives as long as the check. */
const struct blocklist_found *blocklist_wait(struct blocklist_check *c);
void blocklist_drop(struct blocklist_check **c);   /* safe at any time, also on NULL */
/* RC_SYNTAX, RC_LIMIT: which zone of which key is wrong. */
MUST_USE enum rc blocklist_rules_check(const struct config *c, struct why *why);
