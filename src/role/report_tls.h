#pragma once
#include "ipc/ipc.h"
#include "ledger/report.h"
#include "origin/report.h"

/* TLS reports out (RFC 8460): what the relay says of each session it tried, kept in the ledger's table of observations under a day of its own name, and made
 * into the report of a domain's day. The sender is report_send.c. */

/* A domain's day of TLS results has this before its name, which no domain can have: days of DMARC have the bare name. */
bool report_tls_is_day(struct str name, struct str *out_domain);
MUST_USE enum rc report_tls_tag(struct ledger *l, struct str domain, int64_t *out);

/* ---- on the way in: added up in memory until the next flush ---- */
enum { REPORT_TLS_ROWS = 10000 };      /* a day and domain; past it rows lose who and where, never sessions */
struct tls_note;
MUST_USE enum rc tls_note_new(struct ledger *l, struct tls_note **out);
void tls_note_free(struct tls_note **n);           /* what was not flushed is lost */
/* One session. RC_SYNTAX: it makes no sense. Everything is copied. */
MUST_USE enum rc tls_note_take(struct tls_note *n, const struct msg_TLS_RESULT *m, struct why *why);
MUST_USE enum rc tls_note_flush(struct tls_note *n, struct why *why);      /* into the ledger's open transaction */

/* ---- on the way out ---- */
/* The rows of a span as policies with their failures; texts in `a`. Past 50 policies and 1,000 different failures of each, failures are added to one without
 * details. `domain` is theirs. *out_sessions 0: there is nothing to say. Yields. */
MUST_USE enum rc report_tls_gather(struct ledger *l, const struct ledger_span *span, struct str domain, struct arena *a, struct report_tls *out, uint64_t *out_sessions,
                                   struct why *why);
/* rua= of a domain's record (RFC 8460 3); "" = it wants none. RC_BUSY: the DNS does not say now. */
MUST_USE enum rc report_tls_rua(const struct dns *dns, struct str domain, struct arena *a, struct str *out_rua);
