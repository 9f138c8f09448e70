#pragma once
#include "base/map.h"
#include "origin/report.h"

/* Adds up what single messages came to, as the rows of an aggregate report: messages that are equal in every field of a row are one row with their
 * count. Pure and bounded: past `max_rows` different rows, or when the arena is full, what is new is counted in at most twelve overflow rows (one for each
 * disposition and each pair of aligned results): the sums stay right while the details are lost, and a forger with many sources cannot make a report grow.
 * A row costs its text and about 100 octets. */
enum { REPORT_SUM_ROWS = 100000, REPORT_SUM_OVERFLOWS = 12 };  /* a day and domain */
struct report_sum {
	struct arena *arena;
	struct map rows;                 /* key -> struct sum_row */
	struct sum_row *first, **tail;   /* in the order they came */
	size_t n, max_rows;              /* n: overflow rows included */
	uint64_t messages, lost_details; /* all; of them those in overflow rows */
	struct sum_row *overflow[REPORT_SUM_OVERFLOWS];
};
void report_sum_init(struct report_sum *s, struct arena *arena, size_t max_rows);
void report_sum_done(struct report_sum *s); /* the map; the arena is the caller's */
/* `row->count` messages (0 = 1). Texts are copied. RC_LIMIT: not a row (more than 8 signatures, texts beyond 256 KiB); RC_NOMEM: the arena
 * was too small for even the overflow rows. Nothing was counted then. */
MUST_USE enum rc report_sum_add(struct report_sum *s, const struct report_row *row);
/* All rows as one array in memory of `a`; their texts are borrowed from the sum's arena. The sum of their counts is s->messages. RC_LIMIT: `a` is full. */
MUST_USE enum rc report_sum_rows(const struct report_sum *s, struct arena *a, struct report_row **out, size_t *out_n);
/* A row's fields without its count as one run, and back (borrowed from `key`): for tables of rows. Equal rows have equal keys. RC_DAMAGED. */
void report_row_key(const struct report_row *row, struct buf *out);
MUST_USE enum rc report_row_of_key(struct str key, struct report_row *out);
