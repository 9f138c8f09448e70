#pragma once
#include "dns/dns.h"

/* Blocklists of addresses in the DNS (RFC 5782). Off unless zones are given. */
enum { DNSBL_ZONES_MAX = 8 };
struct dnsbl_listing {
	bool listed;
	struct str zone;          /* the first that lists the address; points into the caller's zones */
	uint8_t code[4];          /* 127.0.0.x: what kind, by that list's own table */
	struct str reason;        /* its TXT, shown to the sender; "" = none */
	unsigned refused;         /* lists that would not or could not answer: never taken for a listing */
};
/* Asks each of at most DNSBL_ZONES_MAX zones about an address of 4 or 16 octets, until one lists it: one question each, and one for the reason.
 * Addresses of loopback and private networks are not asked about, but 127.0.0.2 is: RFC 5782 5's test entry. */
bool dnsbl_asks_about(struct str ip);
void dnsbl_ask(const struct dns *d, const struct str *zone, size_t zone_n, struct str ip, struct arena *a, struct dnsbl_listing *out);
/* RFC 5782 5: a list that works lists 127.0.0.2 and does not list 127.0.0.1. DNS_TEMPFAIL when it does not answer. */
enum dnsbl_health { DNSBL_WORKS, DNSBL_LISTS_EVERYTHING, DNSBL_LISTS_NOTHING, DNSBL_SILENT };
enum dnsbl_health dnsbl_test(const struct dns *d, struct str zone, struct arena *a);
