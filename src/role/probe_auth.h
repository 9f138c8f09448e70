#pragma once
#include "base/buf.h"
#include "base/why.h"
#include "dns/dns.h"

/* `letterlock probe spf|dkim|arc|dmarc`: an evaluation with every step of it, as one JSON object on one line or as text. The verdict is the
 * answer, never an error. RC_SYNTAX: something that was given is not what it should be. */
struct probe_query {
	struct str name;          /* the file, or the id of a case; "" = none */
	struct str ip;            /* as text; "" = SPF is left out */
	struct str helo, from;    /* from: "local@domain", "" or "<>" = the null sender */
	struct str receiver;
	int64_t now_s;
};
MUST_USE enum rc probe_spf(const struct dns *dns, const struct probe_query *q, bool json, struct buf *out, struct why *why);
MUST_USE enum rc probe_dkim(const struct dns *dns, const struct probe_query *q, struct str message, bool json, struct buf *out, struct why *why);
MUST_USE enum rc probe_arc(const struct dns *dns, const struct probe_query *q, struct str message, bool json, struct buf *out, struct why *why);
/* With SPF when q->ip is there; ends with the Authentication-Results field that would be added. */
MUST_USE enum rc probe_dmarc(const struct dns *dns, const struct probe_query *q, struct str message, bool json, struct buf *out, struct why *why);

/* Unix seconds from "1767225600", "2026-01-01", "2026-01-01T00:00:00Z" or a date of a message. */
MUST_USE enum rc probe_time(struct str text, int64_t *out_s, struct why *why);

/* The zones of --zone FILE as a DNS. */
MUST_USE enum rc probe_zones_new(struct dns_table **out, struct why *why);
MUST_USE enum rc probe_zones_read(struct dns_table *t, struct str text, struct why *why);
/* The running server's resolver over a channel to it; within a fiber. */
struct ipc_peer;
struct dns probe_resolver(struct ipc_peer *peer);
