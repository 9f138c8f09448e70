#pragma once
#include "base/str.h"
#include "base/why.h"
#include <stdbool.h>
#include <stdint.h>

/* History of deliveries, and the audit log (role `ledger`). SQLite; write-ahead, batched: events are durable within a second, for they
 * are never in the path of a 250. Audit entries form a hash chain (each holds the hash of the one before) with signed checkpoints. */
struct ledger;
MUST_USE enum rc ledger_open(const char *dir, struct ledger **out, struct why *why);
void ledger_close(struct ledger **l);

struct ledger_event {              /* one recipient of one message */
	int64_t at_ms;
	struct str mid, kind;      /* "delivered", "refused", "append", ... */
	struct str sender, recipient, client_ip, helo, tls, reason;
	uint64_t size;
	uint64_t account;
};
MUST_USE enum rc ledger_event(struct ledger *l, const struct ledger_event *e, struct why *why);
MUST_USE enum rc ledger_audit(struct ledger *l, int64_t at_ms, struct str who, struct str from, struct str what, struct str before,
                              struct str after, struct why *why);
MUST_USE enum rc ledger_flush(struct ledger *l, struct why *why); /* commits what is pending: once a second, and at the end */
/* Head of the chain for a checkpoint: count and hash; then store its signature. */
MUST_USE enum rc ledger_head(struct ledger *l, uint64_t *out_count, uint8_t out_hash[32], struct why *why);
MUST_USE enum rc ledger_checkpoint(struct ledger *l, uint64_t count, const uint8_t hash[32], const uint8_t signature[64], const uint8_t public_key[32], struct why *why);
MUST_USE enum rc ledger_verify(struct ledger *l, uint64_t *out_entries, struct why *why); /* RC_DAMAGED names the first broken entry */
MUST_USE enum rc ledger_backup(struct ledger *l, const char *to_path, struct why *why);
