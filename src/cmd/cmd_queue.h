#pragma once
#include "cmd/verbs.h"
#include "ipc/ipc.h"
#include "role/relay_wire.h"

/* What the verbs that look into the queue share. */
struct ctl;
enum { ADDRESS_TEXT = 1024 };
struct queue_search { struct relay_filter f; char domain[256], from[ADDRESS_TEXT], to[ADDRESS_TEXT]; size_t limit; bool filtered; };
/* Calls `each` for what matches, page by page, until s->limit in all (`*found` counts on). */
MUST_USE enum rc queue_find(struct ctl *ctl, const struct queue_search *s, size_t *found, void (*each)(void *arg, const struct relay_entry *e), void *arg, struct why *why);
const char *queue_state_word(const struct relay_entry *e);
void queue_print(const struct call *c, const struct relay_entry *e, bool whole); /* `whole`: everything that is known; --json always is */
/* As Postfix's mailq: row by row in the order of the queue, then the line at the end. Zeroed at first. */
struct mailq { uint64_t letter, octets; size_t messages; char reason[600]; };
void mailq_row(void *mailq, const struct relay_entry *e);
void mailq_end(const struct mailq *q);
bool queue_duration(const char *text, uint64_t *out_ms);   /* "30m", "4h", "2d", "1w" */
void time_text(uint64_t ms, char out[24]);                 /* "2026-11-30 08:41:29", UTC; "-" for 0 */
void span_text(int64_t ms, char out[24]);                  /* "11 min", "4 h", "3 days" */
