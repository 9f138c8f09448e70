#pragma once
#include "base/str.h"
#include "base/why.h"
#include "crypto/crypto.h"
#include <stdbool.h>
#include <stdint.h>

/* History of deliveries, and the audit log (role `ledger`). SQLite; write-ahead, batched: events are durable within a second, for they
 * are never in the path of a 250. Audit entries form a hash chain (each holds the hash of the one before) with signed checkpoints.
 * Whatever names a correspondent (addresses, IP, HELO, reasons, the audit's texts) is sealed under `key`, which the vault hands out;
 * look-up by address goes by a keyed hash. In the clear are time, kind, short id, size and account number. */
struct ledger;
/* RC_DENIED: the ledger was written under another key, or by a newer version. */
MUST_USE enum rc ledger_open_with(const char *dir, const struct secret *key, struct ledger **out, struct why *why);
void ledger_close(struct ledger **l); /* commits what is pending, if it can: ledger_flush() first tells whether */

struct ledger_event {              /* one message, and a recipient of it */
	int64_t at_ms;
	struct str mid, kind;      /* "delivered", "refused", "append", ... */
	struct str sender, recipient, client_ip, helo, tls, reason;
	uint64_t size;
	uint64_t account;
	struct str more;           /* (run recipient, u64 account)*: further ones to whom all of this happened. Empty when it is read */
};
enum { LEDGER_TEXT_MAX = 32 * 1024 }; /* all texts of one event or audit entry together: RC_LIMIT past it */
MUST_USE enum rc ledger_event(struct ledger *l, const struct ledger_event *e, struct why *why);
/* The newest f->max events in order of writing, also those not yet flushed, each recipient as an event of its own. Empty address and mid: any. Address: sender or recipient, in any case of letters. `each` answers
 * false to stop; its event lives during the call. RC_DAMAGED: an event does not open. */
struct ledger_filter { struct str address, mid; int64_t since_ms; unsigned max; /* the newest; 0 = 1,000 */ };
MUST_USE enum rc ledger_events(struct ledger *l, const struct ledger_filter *f, bool (*each)(void *arg, const struct ledger_event *e), void *arg,
                               struct why *why);

MUST_USE enum rc ledger_audit(struct ledger *l, int64_t at_ms, struct str who, struct str from, struct str what, struct str before,
                              struct str after, struct why *why);
struct ledger_entry { uint64_t number; int64_t at_ms; struct str who, from, what, before, after; };
/* Audit entries from number `first` (1 = the first) on. */
MUST_USE enum rc ledger_entries(struct ledger *l, uint64_t first, unsigned max, bool (*each)(void *arg, const struct ledger_entry *e), void *arg,
                                struct why *why);
MUST_USE enum rc ledger_flush(struct ledger *l, struct why *why); /* commits what is pending: once a second, and at the end */
/* Head of the chain for a checkpoint: count and hash (flushes first); then store its signature. What is signed (Ed25519): count as 8
 * octets, big-endian, and the hash. RC_DAMAGED: the signature is wrong. */
MUST_USE enum rc ledger_head(struct ledger *l, uint64_t *out_count, uint8_t out_hash[32], struct why *why);
MUST_USE enum rc ledger_checkpoint(struct ledger *l, uint64_t count, const uint8_t hash[32], const uint8_t signature[64], const uint8_t public_key[32], struct why *why);
/* Opens every event and entry, recomputes the chain and checks each checkpoint's signature; all checkpoints must be of one key, and
 * of `signer` where it is given. RC_DAMAGED names the first broken entry. */
MUST_USE enum rc ledger_verify(struct ledger *l, uint64_t *out_entries, struct why *why);
MUST_USE enum rc ledger_verify_signer(struct ledger *l, const uint8_t signer[32], uint64_t *out_entries, struct why *why);
MUST_USE enum rc ledger_backup(struct ledger *l, const char *to_path, struct why *why);
