#pragma once
#include "ledger/report.h"
#include "origin/report_sum.h"

/* What single messages came to, on the way into the ledger: added up in memory for as long as a flush takes, so that a busy domain costs one row a distinct
 * row and second. Bounded in memory, and on the disk to REPORT_SUM_ROWS rows a domain and day, past which rows lose details, never messages. */
struct report_note;
MUST_USE enum rc report_note_new(struct ledger *l, struct report_note **out);
void report_note_free(struct report_note **n);     /* what was not flushed is lost */
/* One message. `about` without rows, `rua` as published; everything is copied. */
MUST_USE enum rc report_note_take(struct report_note *n, int64_t at_ms, const struct report_aggregate *about, struct str rua, const struct report_row *row, struct why *why);
MUST_USE enum rc report_note_flush(struct report_note *n, struct why *why); /* into the ledger's open transaction */

/* What the ledger keeps of a domain's day: who is told, and the policy published. The period in `about` must be one that can be true. */
void report_about_put(const struct report_aggregate *about, struct str rua, struct buf *out);
MUST_USE enum rc report_about_get(struct str in, struct arena *a, struct report_aggregate *out, struct str *out_rua, struct why *why);
