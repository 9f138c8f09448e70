#pragma once
#include "ledger/report.h"
#include "role/role.h"

/* Sends the aggregate reports of days that are over, each domain at a moment of its own. What is under way is written down before a mail is handed over and
 * after: whatever stops in between, no receiver gets one twice, and the rest of the day goes on. */
struct report_send;
MUST_USE enum rc report_send_new(struct role_env *e, struct ledger *l, struct report_send **out);
void report_send_free(struct report_send **s);
void report_send_tick(struct report_send *s);      /* once a second */
/* Now, without waiting for the moment: of one day (today's too: what was seen until now; 0 = all that are over) and one domain ("" = all). Suspends.
 * RC_BUSY: a run is under way. *out_parts: how many reports were settled. */
MUST_USE enum rc report_send_now(struct report_send *s, uint32_t day, struct str domain, struct why *why);
const char *report_sent_word(enum ledger_sent_state state); /* "sent", "waiting", ... */
