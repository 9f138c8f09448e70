#pragma once
#include "base/buf.h"
#include "base/why.h"
#include "dns/dns.h"

/* Fetches MTA-STS policies (RFC 8461 3.3) over HTTPS with libcurl, in the role `relay` only: the library is loaded by dlopen() before the sandbox. Addresses come from our own
 * resolver; the certificate must be for mta-sts.DOMAIN and lead to one of the roots given; no redirect, no proxy, HTTP/1.1, TLS 1.2 at least. */
struct sts_fetcher;
/* Before the sandbox. `roots_pem` (a bundle) is copied. `port`: 443 but in tests; `timeout_ms`: for all of a fetch. RC_NOTFOUND: libcurl cannot be loaded, with what to install. */
MUST_USE enum rc sts_fetcher_open(struct str roots_pem, uint16_t port, unsigned timeout_ms, struct sts_fetcher **out, struct why *why);
void sts_fetcher_close(struct sts_fetcher **f);
/* https://mta-sts.DOMAIN/.well-known/mta-sts.txt, appended to `out`: at most MTA_STS_POLICY_MAX octets. Suspends the fiber; libcurl itself runs on worker threads, one step at a
 * time, so a slow server costs nobody a thread. Any number may be under way, each with two descriptors and some 100 KB. Otherwise *out_result is RFC 8460 4.3's type
 * ("sts-policy-fetch-error", "sts-webpki-invalid") and `why` says it: RC_NOTFOUND (no such host, not 200), RC_SYNTAX (not text/plain), RC_LIMIT (too large), RC_DENIED
 * (certificate), RC_LATE, RC_IO; RC_CLOSED: the fiber was cancelled. */
MUST_USE enum rc sts_fetch(struct sts_fetcher *f, const struct dns *dns, struct str domain, struct buf *out, const char **out_result, struct why *why);
