#pragma once
#include "dns/dnsbl.h"
#include "role/auth_policy.h"
#include "role/role.h"

/* The evaluation of one message's sender in `edge`, from RCPT to the verdict. SPF runs in a fiber of its own while the message comes in, DKIM and ARC hash
 * its body as it arrives, DMARC is asked at the end. The DNS is cached by TTL, so that a known sender costs no question. */
struct auth_house;                     /* one per process */
MUST_USE enum rc auth_house_new(struct role_env *e, struct auth_house **out, struct why *why);
void auth_house_free(struct auth_house **h);       /* all fibers are gone */
void auth_house_reload(struct auth_house *h);      /* the configuration has changed */

struct dns auth_house_dns(const struct auth_house *h);                      /* the cache that every evaluation shares */
bool auth_house_trusts(const struct auth_house *h, const uint8_t ip[16]);   /* in authentication.trusted_forwarders */

struct auth_check;                     /* one message */
struct auth_client { const char *ip; struct str helo, local, domain; }; /* local and domain "" = the null sender */
/* NULL: nothing is to be evaluated, or no memory (RC_NOMEM). Everything is copied. */
MUST_USE enum rc auth_check_new(struct auth_house *h, const struct auth_client *c, struct auth_check **out);
/* The raw header with its empty line, once; copied where it is signed. reports_only: every recipient is an address
 * that reports are read at. Then the body as it comes. */
MUST_USE enum rc auth_check_header(struct auth_check *c, struct str header, bool reports_only);
void auth_check_body(struct auth_check *c, struct str run);
/* Waits for what is under way and judges; `header` once more. Suspends. `out` lives as long as the check. */
void auth_check_end(struct auth_check *c, struct str header, const struct auth_verdict **out);
/* Which blocklists list the client, to be said in Authentication-Results; borrowed until the check is dropped. */
void auth_check_listings(struct auth_check *c, const struct dnsbl_listing *listing, size_t n);
/* After the end: Authentication-Results, and Received-SPF where it is wanted, ready to be put in front. */
void auth_check_fields(const struct auth_check *c, struct buf *out);
/* The value of that Authentication-Results alone, for ARC-Authentication-Results. */
void auth_check_results(const struct auth_check *c, struct buf *out);
/* After the end: what the ledger wants to know (auth_fact.h). */
void auth_check_evidence(const struct auth_check *c, struct auth_evidence *out);
void auth_check_drop(struct auth_check **c);       /* safe at any time, also on NULL */
