#pragma once
#include "dns/dnsbl.h"
#include "origin/dmarc.h"

/* Authentication-Results (RFC 8601): ours, and theirs that must go. */
struct auth_facts {                    /* NULL = not evaluated, left out */
	struct str authserv;           /* our id: the configured hostname */
	struct str client_ip;          /* text, "" = none */
	struct str mail_from;          /* "local@domain" or "" */
	struct str helo;
	const struct spf_result *spf, *spf_helo;
	const struct dkim_result *dkim;
	const struct dmarc_result *dmarc;
	const char *disposition;       /* what we did: "none", "quarantine", "reject"; NULL = not said (policy.* property) */
	enum auth iprev; struct str iprev_name; bool iprev_done;
	struct str override;           /* "" = none; "trusted_forwarder", "mailing_list", ... as in reports */
	const struct dnsbl_listing *listing; size_t listings; /* blocklists that list the client */
	struct str auth_user;          /* submission: the login name; "" = none */
};
/* "Authentication-Results: id;\r\n\tspf=pass …\r\n", folded, every value quoted where it must be. */
void auth_results_make(const struct auth_facts *f, struct buf *out);
/* The resinfo part alone ("id; spf=pass …"), for ARC-Authentication-Results. */
void auth_results_value(const struct auth_facts *f, struct buf *out);
/* Is this field an Authentication-Results with our authserv-id (RFC 8601 5: to be removed from incoming mail)? Comments, quoting, case and version
 * are seen through; a field that cannot be parsed counts as ours when our id is anywhere in it. */
bool auth_results_is_ours(struct str field_value, struct str authserv);
/* What another server found ("dkim=pass header.d=example.com"): read from an ARC-Authentication-Results of a trusted sealer. */
struct auth_claim { struct str method, result, ptype_property, value; };
size_t auth_results_read(struct str value, struct arena *a, struct str *out_id, struct auth_claim *out, size_t max);
