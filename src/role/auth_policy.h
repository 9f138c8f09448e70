#pragma once
#include "base/arena.h"
#include "origin/auth_results.h"
#include "os/net.h"
#include "role/config.h"

/* What is done with a message, given what was found out about its sender. Pure: no clock, no question, no log. */
enum auth_mode { AUTH_MODE_HONOUR, AUTH_MODE_QUARANTINE, AUTH_MODE_REPORT, AUTH_MODE_OFF };
struct auth_rules {                    /* the section `authentication`, taken apart */
	enum auth_mode mode;
	bool defer;
	struct str *sealers; size_t sealer_n;           /* lower case, A-labels */
	struct net_range *forwarders; size_t forwarder_n;
};
/* RC_SYNTAX: an unknown word or network, RC_LIMIT: too many, RC_CONFLICT: DMARC without SPF or DKIM. Everything is copied into `a`. */
MUST_USE enum rc auth_rules_read(const struct config *c, struct arena *a, struct auth_rules *out, struct why *why);

bool auth_is_forwarder(const struct auth_rules *r, const uint8_t *ip); /* 16 octets, IPv4 mapped; NULL: no */

struct auth_evidence {                 /* NULL = not evaluated */
	const uint8_t *ip;             /* 16 octets, IPv4 mapped; NULL = unknown */
	const struct spf_result *spf;
	const struct dkim_result *dkim;
	const struct dmarc_result *dmarc;
};
enum auth_action { AUTH_ACCEPT, AUTH_JUNK, AUTH_REFUSE, AUTH_DEFER };
struct auth_verdict {
	enum auth_action action;
	const char *disposition;       /* "none", "quarantine", "reject": what is reported; NULL = no DMARC policy was in play */
	const char *override;          /* why the policy was not followed, in the words of aggregate reports; "" = it was */
	char comment[160];             /* of the override, for people */
	char answer[200];              /* of AUTH_REFUSE and AUTH_DEFER: begins with the enhanced code, the message id goes behind it */
};
void auth_decide(const struct auth_rules *r, const struct auth_evidence *e, struct arena *scratch, struct auth_verdict *out);
