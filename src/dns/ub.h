#pragma once
#include "dns/dns.h"
#include "os/loop.h"

/* libunbound on our own loop (ub_ctx_create_ub_event): no thread, no process of its own. The library is loaded by ub_open(), so that only the process which
 * resolves carries it. Owned by the role `resolver`. */
struct ub_house;
struct ub_config {
	const struct str *forwarder; size_t forwarder_n; /* "192.0.2.1" or "192.0.2.1@5353"; none: from the root, hints built in */
	struct str trust_anchor;                         /* master file text: DS or DNSKEY records; "" = nothing is validated */
	const struct str *insecure; size_t insecure_n;   /* zones whose signatures do not count */
	unsigned max_questions;
};
/* Before the sandbox: loads the library, sets everything up; no file is opened later. */
MUST_USE enum rc ub_open(struct loop *l, const struct ub_config *c, struct ub_house **out, struct why *why);
void ub_close(struct ub_house **h);
/* Suspends the fiber until there is an answer, at most `timeout_ms`. `name` is folded. */
void ub_ask(struct ub_house *h, unsigned type, struct str name, unsigned timeout_ms, struct arena *a, struct dns_answer *out);
