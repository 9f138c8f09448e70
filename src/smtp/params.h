#pragma once
#include "smtp/session.h"

/* What follows the path in MAIL FROM and RCPT TO: parsed and checked, never acted upon. Pure. */

/* RFC 3461 4: xtext, decoded. RC_SYNTAX on anything that is not xtext or decodes to a control character or beyond ASCII. */
MUST_USE enum rc smtp_xtext_decode(struct str in, struct arena *a, struct str *out);
/* RFC 6533 3: utf-8-addr-xtext, utf-8-addr-unitext ("\x{20AC}" and UTF-8 as it is), decoded to UTF-8. */
MUST_USE enum rc smtp_utf8_addr_decode(struct str in, struct arena *a, struct str *out);

/* RC_SYNTAX: malformed, or given twice (501). RC_NOTFOUND: we do not know it (555). RC_LIMIT: SIZE past `max_size` (552). RC_NOMEM.
 * `why` begins with the enhanced code. */
MUST_USE enum rc smtp_mail_params(struct str in, const struct smtp_config *config, struct arena *a, struct smtp_mail *mail, struct why *why);
MUST_USE enum rc smtp_rcpt_params(struct str in, bool smtputf8, struct arena *a, struct smtp_rcpt *rcpt, struct why *why);
