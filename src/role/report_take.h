#pragma once
#include "ledger/report.h"
#include "origin/report.h"
#include "role/role.h"

/* A report that came to us, from its packed form into the ledger's rows and back. */
struct report_take {                   /* how it came */
	int64_t at_ms;
	struct str mid, sender;
	struct str verified;           /* the domain that its mail proved (DMARC); "" = none: kept, and left out of judgements */
};
/* RC_EXISTS: it has come before. RC_SYNTAX: it makes no sense. *out_rows: how many rows were kept. */
MUST_USE enum rc report_take(struct ledger *l, struct str packed, const struct report_take *how, uint32_t *out_rows, struct why *why);
/* Adds up equal rows, so that a report has at most `max` and a few; for `scan`, before it answers. */
MUST_USE enum rc report_shrink(struct report *r, size_t max, struct arena *a);

/* The domain that it is about; "" = none. */
struct str report_about_whom(const struct report *r);

/* A row's head and what it holds; everything borrows from `in` or lives in `a`. */
struct report_head { struct str verified, sender, mid; struct report report; };
MUST_USE enum rc report_head_get(struct str in, struct arena *a, struct report_head *out, struct why *why);
