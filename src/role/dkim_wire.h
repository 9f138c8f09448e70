#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/why.h"
#include "vault/dkim.h"

/* What everybody may know of a DKIM key, packed for the channel. */
struct dkim_row {
	uint64_t id;
	uint8_t kind, state, dns;      /* enums of vault/dkim.h */
	struct str domain, selector;
	int64_t at_ms[VAULT_DKIM_STATES];
	struct str record;             /* the TXT record to publish: "v=DKIM1; k=rsa; p=..."; of a revoked key "p=" is empty */
};
void dkim_wire_put(struct buf *out, const struct vault_dkim *k);
MUST_USE enum rc dkim_wire_get(struct str in, struct arena *a, struct dkim_row **out, size_t *out_n); /* runs point into `in`; RC_SYNTAX */
enum { DKIM_OP_FIRST, DKIM_OP_ROTATE, DKIM_OP_RETIRE, DKIM_OP_REVOKE, DKIM_OP_FORGET, DKIM_OPS }; /* DKIM_KEYS */
