#pragma once
#include "ledger/report.h"
#include "role/role.h"

/* What `letterlock report` says, written where the rows are: text for people, or one JSON object a line. Bounded; what did not fit is said. */
enum report_show_kind { REPORT_SHOW_DMARC, REPORT_SHOW_TLS };
struct report_show { unsigned kind; bool json; struct str domain; uint32_t days; }; /* domain "" = all; the last so many days */
/* *out_found: how many domains; 0 = the text says what will appear and how. RC_LIMIT: too much for one answer: `why` says what to narrow. Suspends. */
MUST_USE enum rc report_show(struct role_env *e, struct ledger *l, const struct report_show *q, struct buf *out, uint32_t *out_found, struct why *why);
/* The reports of ours about a day (0 = the last week) and what they came to. */
MUST_USE enum rc report_show_sent(struct ledger *l, uint32_t day, struct str domain, bool json, struct buf *out, uint32_t *out_found, struct why *why);

/* ---- for report_show*.c ---- */
void show_text(struct buf *out, struct str s);     /* control characters shown as "?" */
void show_json(struct buf *out, const char *key, struct str value); /* "key":"value" */
/* Domains that reports of a kind are about, at most `max`, each once. */
MUST_USE enum rc show_domains(struct ledger *l, const struct ledger_reports *q, struct arena *a, struct str *out, size_t max, size_t *out_n, struct why *why);
MUST_USE enum rc show_tls(struct ledger *l, const struct report_show *q, struct buf *out, uint32_t *out_found, struct why *why);
