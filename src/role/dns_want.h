#pragma once
#include "base/arena.h"
#include "dns/asker.h"
#include "role/config.h"
#include "role/dkim_wire.h"

/* The records that a domain's mail needs, and whether what the DNS holds is right. Pure. */
enum dns_check { DNS_RIGHT, DNS_MISSING, DNS_DIFFERENT, DNS_EXTRA, DNS_UNCHECKED };
const char *dns_check_name(enum dns_check c); /* "ok", "missing", "different", "extra", "could not check" */
enum dns_rule { RULE_EXACT, RULE_SPF, RULE_DKIM, RULE_DMARC, RULE_STS, RULE_TLSRPT, RULE_ALIAS, RULE_ADDRESS };
struct dns_want {
	bool needed;
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
	struct str address[DNS_ADDRESSES_MAX]; size_t address_n; /* of `host`, 4 or 16 octets */
};
/* `address` of *out may have been filled before: each then also wants its PTR. TLSA is wanted of the first certificate in `c` whose file can be read. */
void dns_wants(const struct config *c, struct str domain, const struct dkim_row *keys, size_t key_n, struct arena *a, struct dns_wants *out);
/* How what is there compares; *is becomes the records in words. */
enum dns_check dns_compare(const struct dns_wants *all, const struct dns_want *w, const struct dns_answer *answer, struct arena *a, struct str *is);
/* One record as a zone file says it. */
void dns_record_text(unsigned type, const struct dns_record *r, struct buf *out);
/* TXT as quoted strings of at most 255 octets, escaped. */
void dns_txt_quoted(struct str text, struct buf *out);
