#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/why.h"
#include <stdbool.h>

/* What QUEUE_FIND, QUEUE_PAUSE, SUPPRESSED and PROBE_SEND carry between the command line and `relay`, packed. RC_SYNTAX for what wire_put_* cannot have written. */
enum { RELAY_STATE_READY = 1, RELAY_STATE_DEFERRED = 2, RELAY_STATE_HELD = 4, RELAY_STATE_DONE = 8 };
enum relay_act { RELAY_RETRY, RELAY_HOLD, RELAY_FREE, RELAY_BOUNCE, RELAY_DROP, RELAY_ACTS };

struct relay_filter {                  /* "" and 0: any */
	struct str from, to, domain;   /* an address, or "@domain" */
	struct str reason;             /* a piece of the last words, in any case of letters */
	struct str mid;
	uint64_t letter; bool one; uint32_t n; /* that letter; `one`: that row of it */
	uint64_t older_ms;
	uint8_t states;                /* RELAY_STATE_*; DONE stands alone: another table */
	bool heads;                    /* no texts are wanted: nothing is opened that need not be, entries come with numbers and times alone */
};
void relay_put_filter(struct buf *out, const struct relay_filter *f);
MUST_USE enum rc relay_get_filter(struct str in, struct arena *a, struct relay_filter *out);

struct relay_entry {                   /* one row, for people */
	uint64_t letter; uint32_t n;
	uint8_t state, end, priority;  /* RELAY_STATE_*; enum queue_end */
	bool under_way, paused, unreadable;
	uint32_t attempts;
	uint64_t created_ms, due_ms, expires_ms, last_ms, size;
	struct str mid, from, to, reason, host, tls, subject;
	/* what its sender asked for; nothing is known of it once the row is done */
	uint8_t notify, ret;           /* enum smtp_notify bits; enum letter_ret */
	bool require_tls, tls_optional, by_return;
	uint64_t deliver_by_ms;        /* 0 = any time */
	struct str envid, orcpt;
};
void relay_put_entry(struct buf *out, const struct relay_entry *e);
MUST_USE enum rc relay_next_entry(struct cursor *in, struct relay_entry *out); /* RC_NOTFOUND at the end; runs borrow */

/* A domain that is paused, or a recipient that is suppressed. */
struct relay_noted { struct str name, reason; uint64_t at_ms; };
void relay_put_noted(struct buf *out, const struct relay_noted *p);
MUST_USE enum rc relay_next_noted(struct cursor *in, struct relay_noted *out);
