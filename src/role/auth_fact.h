#pragma once
#include "origin/report.h"
#include "role/auth_policy.h"
#include "role/role.h"

/* What aggregate reports need of one message (DMARC_RESULT), from the evidence into the tell and from the tell into a report's row. */

struct auth_fact_in { struct str mid, source, envelope_from, envelope_to; int64_t at_ms; }; /* envelope_*: domains */
/* False: there is nothing to report, for no record covers the author (or the verdict is not settled). Runs in `out` borrow from everything given and
 * from `scratch`. */
bool auth_fact_make(const struct auth_evidence *e, const struct auth_verdict *v, const struct auth_fact_in *in, struct buf *scratch, struct msg_DMARC_RESULT *out);

/* The policy published (out->domain is the domain that the report is about), and one row of count 1. `rua` is where its owner wants reports. All in `a` or
 * borrowed from `m`. RC_SYNTAX: the tell makes no sense. */
MUST_USE enum rc auth_fact_row(const struct msg_DMARC_RESULT *m, struct arena *a, struct report_aggregate *out, struct report_row *out_row, struct str *out_rua,
                               struct why *why);
