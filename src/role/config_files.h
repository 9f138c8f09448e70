#pragma once
#include "role/config.h"

/* Whether the files that a configuration names are there and right: certificates and keys that fit each other, zones, the trust anchor, the trusted
 * authorities. For `config check`; the server finds out by itself when it starts. RC_DENIED: this
 * user may not read one of them, and nothing else is wrong. */
MUST_USE enum rc config_files_check(const struct config *c, struct why *why);
