#pragma once
#include "role/wire.h"
#include "store/queue.h"

/* What the queue's BYTES fields of ipc/messages.def hold, packed; the rules are those of role/wire.h. Runs (letters, rows' sealed parts) are
 * BORROWED from the input. */

/* DELIVER: puts, sent, letters (wire_put_ids). */
void wire_put_puts(struct buf *out, const struct queue_put *list, size_t n); /* letter, n and version of rows are not sent: the store sets them */
MUST_USE enum rc wire_get_puts(struct str in, struct arena *a, struct queue_put **out, size_t *out_n);
void wire_put_sent(struct buf *out, const struct sent_note *sent);            /* nothing at all when there is none: "" */
MUST_USE enum rc wire_get_sent(struct str in, struct arena *a, struct sent_note *out);

/* QUEUE_CHANGE: changes, and one outcome each, in their order. */
void wire_put_queue_changes(struct buf *out, const struct queue_change *list, size_t n);
MUST_USE enum rc wire_get_queue_changes(struct str in, struct arena *a, struct queue_change **out, size_t *out_n);
void wire_put_outcomes(struct buf *out, const struct queue_change *list, size_t n);
MUST_USE enum rc wire_get_outcomes(struct str in, struct queue_change *list, size_t n); /* fills list[].rc; RC_SYNTAX: another number of them */

/* NOTES: (run key, run value)*, read one by one. RC_NOTFOUND at the end. */
MUST_USE enum rc wire_next_note(struct cursor *in, struct str *out_key, struct str *out_value);
