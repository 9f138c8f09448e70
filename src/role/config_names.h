#pragma once
#include "role/config.h"

/* Does the name end with a number, as an IPv4 address does? No domain of the DNS does (RFC 3696 2). */
bool name_ends_with_number(struct str name);
/* Hosts, domains, addresses and ports that scalar keys name: a role that met a wrong one later could only fail, or leave it out without a
 * word. RC_SYNTAX; `why` begins with the key. Part of config_check(). */
MUST_USE enum rc config_names_check(const struct config *c, struct why *why);
