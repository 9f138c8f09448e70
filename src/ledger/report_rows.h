#pragma once
#include "ledger/internal.h"
#include "ledger/report.h"

/* The tables of reports, all of one shape: an id, clear columns (numbers), batch, place, sealed texts that are bound to the clear columns. For report*.c. */
enum { REPORT_DAY, REPORT_OBSERVATION, REPORT_SENT, REPORT_IN, REPORT_ROW, REPORT_TABLES, REPORT_CLEAR_MAX = 8, REPORT_TEXTS_MAX = 4 };
struct report_table { const char *name, *columns; size_t clear_n, text_n; };
extern const struct report_table report_tables[REPORT_TABLES];

struct report_place { int64_t batch, place; };
MUST_USE enum rc report_seal(struct ledger *l, const struct report_table *t, const int64_t *clear, const struct str *texts, struct report_place *out_place, struct buf *out,
                             struct why *why);
MUST_USE enum rc report_open(struct ledger *l, const struct report_table *t, const int64_t *clear, const struct report_place *p, struct str sealed, struct buf *plain,
                             struct str *out_texts, struct why *why);
void report_bind(sqlite3_stmt *s, int first, const int64_t *v, size_t n);
/* `which` takes the clear columns, batch, place and the sealed texts in this order. */
MUST_USE enum rc report_insert(struct ledger *l, enum sql which, const struct report_table *t, const int64_t *clear, const struct str *texts, struct why *why);
/* Each row of a statement that gives id, clear columns, batch, place, sealed and whatever follows; `row` NULL: only opened. */
MUST_USE enum rc report_each(struct ledger *l, sqlite3_stmt *s, const struct report_table *t, bool (*row)(void *arg, sqlite3_stmt *s, const int64_t *clear, const struct str *texts),
                             void *arg, struct why *why);
