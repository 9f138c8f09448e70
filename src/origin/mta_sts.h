#pragma once
#include "base/arena.h"
#include "base/why.h"
#include "dns/dns.h"

/* MTA-STS (RFC 8461). Pure: the caller asks the DNS and fetches https://mta-sts.DOMAIN/.well-known/mta-sts.txt. */
enum { MTA_STS_POLICY_MAX = 65536, MTA_STS_MX_MAX = 256, MTA_STS_AGE_MAX = 31557600 };
enum mta_sts_mode { MTA_STS_NONE, MTA_STS_TESTING, MTA_STS_ENFORCE };
struct mta_sts_policy { enum mta_sts_mode mode; uint32_t max_age; struct str *mx; size_t mx_n; };
/* The TXT record set at _mta-sts.DOMAIN (3.1): RC_OK with the id; RC_NOTFOUND: none, more than one, or malformed, which all mean "no MTA-STS". */
MUST_USE enum rc mta_sts_record(const struct dns_answer *txt, struct str *out_id, struct why *why);
/* A policy document (3.2): CRLF or LF; unknown keys ignored, a repeated key other than mx: the first counts; max_age past MTA_STS_AGE_MAX is cut to it. Patterns are lower
 * case. RC_SYNTAX, RC_LIMIT with the reason in words. */
MUST_USE enum rc mta_sts_parse(struct str text, struct arena *a, struct mta_sts_policy *out, struct why *why);
/* 4.1: does this MX host match one of the patterns? "*." stands for exactly one label at the left. */
bool mta_sts_match(const struct mta_sts_policy *p, struct str mx_host);
const char *mta_sts_mode_name(enum mta_sts_mode m); /* "none", "testing", "enforce" */
/* Our own: the document that our domain's web server is to serve, and the id of its TXT record (a hash of it, so that it changes when it changes). RC_SYNTAX: not a policy
 * that anybody would read: no mx, no host name, too long an age. */
MUST_USE enum rc mta_sts_write(const struct mta_sts_policy *p, struct buf *out, char out_id[33]);
/* What is kept of a fetched policy in the store, packed; and back. */
struct mta_sts_kept { struct str domain, id, text; int64_t fetched_ms, expires_ms, tried_ms; };
void mta_sts_keep(const struct mta_sts_kept *k, struct buf *out);
MUST_USE enum rc mta_sts_kept_get(struct str in, struct mta_sts_kept *out); /* borrows; RC_SYNTAX */
