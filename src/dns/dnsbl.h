#pragma once
#include "dns/dns.h"

/* Blocklists of addresses in the DNS (RFC 5782). Off unless zones are given. */
enum { DNSBL_ZONES_MAX = 8 };
struct dnsbl_listing {
	bool listed;
	struct str zone;          /* the first that lists the address; points into the caller's zones */
	uint8_t code[4];          /* 127.0.0.x: what kind, by that list's own table */
	struct str reason;        /* its TXT, shown to the sender; "" = none */
	unsigned refused;         /* lists that would not or could not answer, or that list everybody: never taken for a listing */
};
/* Asks each of at most DNSBL_ZONES_MAX zones about an address of 4 or 16 octets, until one lists it: one question each, and of
 * the one that does two more: whether it lists 127.0.0.1 too, and so everybody (RFC 5782 5), and for the reason.
 * Addresses of loopback and private networks are not asked about, but 127.0.0.2 is: RFC 5782 5's test entry. */
bool dnsbl_asks_about(struct str ip);
void dnsbl_ask(const struct dns *d, const struct str *zone, size_t zone_n, struct str ip, struct arena *a, struct dnsbl_listing *out);
