#pragma once
#include "role/auth_policy.h"
#include "role/hourly.h"
#include "role/role.h"

/* Failure reports (RFC 6591, RFC 9991): one message that did not pass, told at once to those whom its author's record names in ruf=. Off unless
 * reports.send_failures; redacted; never about reports; at most reports.failures_per_domain an hour for each author's domain and 500 in all from one process.
 * Only fields that say something of the way and the signatures go into it, no Subject and no recipients. Nobody waits for it: a fiber of its own does the rest. */
struct edge_failures { struct hourly told; unsigned under_way; };
void edge_failures_init(struct edge_failures *f);
void edge_failures_done(struct edge_failures *f);  /* all fibers are gone */

struct edge_failure {                  /* one message; everything is copied */
	struct str mid, source_ip, mail_from, header;
	bool to_reports;               /* it came to a reporting address */
};
/* `submit` hands a mail of ours over, in a fiber. */
typedef enum rc edge_failure_submit(struct role_env *e, struct str from, struct str to, struct str message, struct why *why);
void edge_failure_tell(struct role_env *e, struct edge_failures *f, const struct dns *dns, const struct edge_failure *m, const struct auth_evidence *ev,
                       const struct auth_verdict *v, edge_failure_submit *submit);
/* What fo= asks for (RFC 7489 6.3) of these results; NULL: no report. The word is Auth-Failure's. Pure. */
const char *edge_failure_wanted(const struct dmarc_result *d, const struct dkim_result *dkim, const struct spf_result *spf);
/* The fields of a header that a report may have. Pure. */
void edge_failure_fields(struct str header, struct buf *out);
