#pragma once
#include "smtp/session.h"

/* What follows the path in MAIL FROM and RCPT TO: parsed and checked, never acted upon. Pure. */

/* RFC 3461 4: xtext, decoded. RC_SYNTAX on anything that is not xtext or decodes to a control character or beyond ASCII. */
MUST_USE enum rc smtp_xtext_decode(struct str in, struct arena *a, struct str *out);
/* RFC 6533 3: utf-8-addr-xtext, utf-8-addr-unitext ("\x{20AC}" and UTF-8 as it is), decoded to UTF-8. */
MUST_USE enum rc smtp_utf8_addr_decode(struct str in, struct arena *a, struct str *out);

/* RFC 3339 5.6 in UTC, "2026-11-30T09:00:00Z". */
enum { SMTP_DATE_LEN = 20 };
void smtp_date_format(int64_t ms, char out[SMTP_DATE_LEN + 1]);
/* Any RFC 3339 date-time of the years 1970 to 9999; RC_SYNTAX. Fractions of a second are dropped. */
MUST_USE enum rc smtp_date_parse(struct str in, int64_t *out_ms);

/* `now_ms`: Unix time, from which HOLDFOR counts. RC_SYNTAX: malformed, or given twice (501). RC_NOTFOUND: we do not know it (555). RC_LIMIT: SIZE past `max_size` (552). RC_NOMEM.
 * `why` begins with the enhanced code. */
MUST_USE enum rc smtp_mail_params(struct str in, const struct smtp_config *config, int64_t now_ms, struct arena *a, struct smtp_mail *mail, struct why *why);
MUST_USE enum rc smtp_rcpt_params(struct str in, bool smtputf8, struct arena *a, struct smtp_rcpt *rcpt, struct why *why);
