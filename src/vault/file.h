#pragma once
#include "base/buf.h"
#include "base/map.h"
#include "crypto/crypto.h"

/* vault/keys: sealed records in one append-only file, every octet of it under a seal or a keyed check. Inside src/vault only.
 *
 * 1. A record is sealed under a key of its own: HKDF(vault key, its random salt). No nonce can repeat.
 * 2. The vault key is random, lies in the file's head wrapped under the root key, and lives as long as the file: a rewrite makes a
 *    new one, so that what was dropped cannot be opened even from old copies of the file's blocks once the old head is gone.
 * 3. A change is durable when the call returns: record, sync, commit slot, sync. Two slots take turns; a torn one loses nothing.
 * 4. What lies past the last commit and does not open is a torn append that nobody was told about, and is overwritten. What lies
 *    before it and does not open is damage: reported, never dropped in silence, and never rewritten away. */
enum vault_kind { KIND_ACCOUNT = 1, KIND_ORGANISATION, KIND_AUDIT, KIND_HASH, KIND_LEDGER, KIND_DKIM, KIND_QUEUE, KIND_SRS };
enum { VAULT_VALUE_MAX = 64 * 1024 };
extern const char vault_file_name[]; /* "keys" */

struct vault_file;
/* Makes the file when there is none and `read_only` is not set. RC_DENIED: another root key (or a damaged head); RC_BUSY: another
 * process has it open for writing. */
MUST_USE enum rc vault_file_open(const char *dir, const struct secret *root, bool read_only, struct vault_file **out, struct why *why);
void vault_file_close(struct vault_file **f);
/* Appends the plain value. RC_NOTFOUND, RC_DAMAGED. */
MUST_USE enum rc vault_file_get(struct vault_file *f, enum vault_kind kind, uint64_t id, struct buf *out, struct why *why);
/* Which version of it: grows with each put, 0 = there is none. */
uint64_t vault_file_version(const struct vault_file *f, enum vault_kind kind, uint64_t id);
/* Calls `each` with the id of every record of this kind, in no order, until it says false. It may not change the file. */
void vault_file_each(const struct vault_file *f, enum vault_kind kind, bool (*each)(void *arg, uint64_t id), void *arg);
MUST_USE enum rc vault_file_put(struct vault_file *f, enum vault_kind kind, uint64_t id, struct str value, struct why *why);
/* Rewrites the file without it, under a new vault key. RC_NOTFOUND. */
MUST_USE enum rc vault_file_drop(struct vault_file *f, enum vault_kind kind, uint64_t id, struct why *why);
/* Reads the file from the disk again and opens all of it. `check` is called with each record that is in force; what it answers
 * other than NULL is reported as damage. */
struct vault_check {
	void (*damage)(void *arg, const char *what);
	const char *(*check)(void *arg, enum vault_kind kind, uint64_t id, struct str value);
	void *damage_arg, *check_arg;
};
MUST_USE enum rc vault_file_verify(struct vault_file *f, const struct vault_check *c, struct why *why);
MUST_USE enum rc vault_file_backup(struct vault_file *f, int dir, struct why *why);
