#pragma once
#include "role/config.h"
#include "store/rows.h"

/* Everything that lies in a data directory which nobody serves, or in a backup: index against segments, every seal of the vault, the ledger's
 * chain. */
struct verify_all {
	struct verify_report store;
	uint64_t audit_entries;
	bool vault_checked, ledger_checked;   /* false: no root key here; `skipped` says why */
	char skipped[200];
	uint64_t damaged;                     /* everything reported through `damage` */
};
/* `damage` is called once per damaged thing. RC_OK: the looking worked, whatever it found. */
MUST_USE enum rc verify_all(const struct config *c, const char *dir, void (*damage)(void *arg, const char *what), void *arg, struct verify_all *out,
                            struct why *why);
