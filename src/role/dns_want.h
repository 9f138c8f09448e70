#pragma once
#include "base/arena.h"
#include "dns/asker.h"
#include "role/config.h"
#include "role/dkim_wire.h"

/* The records that a domain's mail needs (dns_want.c), and whether what the DNS holds is right (dns_compare.c). Pure but for the certificates' files. */
enum dns_check { DNS_RIGHT, DNS_UNUSED, DNS_EXTRA, DNS_UNCHECKED, DNS_MISSING, DNS_DIFFERENT }; /* worse ones last */
const char *dns_check_name(enum dns_check c); /* "ok", "not used", "extra", "could not check", "missing", "different" */
enum dns_rule { RULE_EXACT, RULE_SPF, RULE_DKIM, RULE_DMARC, RULE_REPORTS, RULE_STS, RULE_TLSRPT, RULE_ALIAS, RULE_ADDRESS };
struct dns_want {
	bool needed;
	const char *unused;      /* NULL; or why nothing here serves what the record names: then it need not be there */
	struct str name;         /* without the last dot */
	unsigned type;
	enum dns_rule rule;
	struct str value;        /* as a zone file says it; TXT: the text itself */
};
enum { DNS_WANTS_MAX = 200, DNS_ADDRESSES_MAX = 16 };
struct dns_wants {
	struct dns_want w[DNS_WANTS_MAX];
	size_t n;
	struct str host, domain;
	struct str dmarc_address, tls_address; /* where this server reads reports about `domain`; "" = nowhere */
	struct str address[DNS_ADDRESSES_MAX]; size_t address_n; /* of `host`, 4 or 16 octets */
	struct dns dns;          /* what an SPF record includes is asked here */
};
/* `address` and `dns` of *out must have been filled before: each address also wants its PTR. TLSA is wanted of each certificate in `c` whose file can be read
 * and that names the host. */
void dns_wants(const struct config *c, struct str domain, const struct dkim_row *keys, size_t key_n, struct arena *a, struct dns_wants *out);
/* "3 1 1 ..." (RFC 7672 3.1.1) of the first certificate in a PEM file. False: it cannot be read, or does not name `host`. */
bool dns_tlsa_of(const char *path, struct str host, struct arena *a, struct str *out);
/* Our own MTA-STS policy (RFC 8461 3.2), the same for each of our domains, as sts.mode and sts.max_age have it, and the id of its record. */
MUST_USE enum rc dns_sts_policy(const struct config *c, struct buf *out, char out_id[33]);

/* How what is there compares: *is becomes the records in words, *should what is to be published, with what else its owner has in it kept. */
enum dns_check dns_compare(const struct dns_wants *all, const struct dns_want *w, const struct dns_answer *answer, struct arena *a, struct str *is, struct str *should);
/* One record as a zone file says it. */
void dns_record_text(unsigned type, const struct dns_record *r, struct buf *out);
/* TXT as quoted strings of at most 255 octets, escaped. */
void dns_txt_quoted(struct str text, struct buf *out);
