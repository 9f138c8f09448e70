#pragma once
#include "role/config.h"

/* Backups. A backup is a directory laid out like the data directory (index/ segments/ vault/ ledger/) with a file `backup.json` that is
 * written last: a directory without it is not a backup. The root key is not in it. */
#define BACKUP_MARK "backup.json"

/* Copies the data directory of a running server into `to`, which exists and is empty. The caller holds the store's and the vault's pins. Blocks
 * for as long as the copying takes: call it on a worker. Order: store, then vault, so that every account in the copy has its keys. */
MUST_USE enum rc backup_copy(const char *data_dir, const char *to, struct why *why);
/* Confines this process to reading and writing below the two directories. `to` must exist. */
MUST_USE enum rc backup_confine(const char *data_dir, const char *to, bool reduced, struct why *why);
/* Copies a backup into `data_dir`, which does not exist or is empty. RC_EXISTS otherwise, RC_NOTFOUND: `from` is no backup, or
 * lacks a part, RC_DAMAGED: it is of another format. No server starts on half of one. */
MUST_USE enum rc backup_restore(const char *from, const char *data_dir, struct why *why);
MUST_USE enum rc backup_is_one(const char *dir, struct why *why);
