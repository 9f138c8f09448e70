#pragma once
#include "role/config.h"

/* Hosts, domains, addresses and ports that scalar keys name: a role that met a wrong one later could only fail, or leave it out without a
 * word. RC_SYNTAX; `why` begins with the key. Part of config_check(). */
MUST_USE enum rc config_names_check(const struct config *c, struct why *why);
