#pragma once
#include "base/map.h"
#include "role/role.h"
#include "role/sealer.h"

/* Reports in `edge`: mail to a reporting address is read, not stored; our own reports are signed and delivered here. */
struct report_came { struct str message, mid, sender, verified; }; /* verified: the domain that DMARC proved, "" = none */
/* Read by `scan`, kept by `ledger`. RC_OK: taken, also when it was malformed or had come before (an event says so). RC_SYNTAX: no report is in it and
 * nothing proves its sender. RC_BUSY: later. Text in `why` begins with an enhanced code. Suspends. */
MUST_USE enum rc report_edge_read(struct role_env *e, struct map *addresses, const struct report_came *r, struct why *why);
/* Puts DKIM-Signature fields by the domain's signing keys in front of `message`; none when there are no such keys. */
MUST_USE enum rc report_edge_sign(struct role_env *e, struct str domain, struct str message, struct buf *out, struct why *why);
/* A mail of our own (SUBMIT) to somebody here: an account's INBOX, or a reporting address. RC_DENIED: the recipient is on another server; RC_NOTFOUND: nobody
 * here; RC_BUSY: later. */
MUST_USE enum rc report_edge_submit(struct role_env *e, struct map *addresses, struct sealer *s, const struct msg_SUBMIT *m, char out_mid[9], struct why *why);
