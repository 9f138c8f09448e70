#pragma once
#include "base/map.h"
#include "dns/rdata.h"

/* What a master file's reader puts into a table. Internal to src/dns. Names are folded, without last dot. */
enum { TABLE_OCTETS = 256 << 20, TABLE_NAMES = 4 << 20 };
struct table_set { struct table_set *next; unsigned type; uint32_t ttl; struct dns_record *record; size_t n, cap; };
struct table_fault { struct table_fault *next; unsigned type; enum dns_status status; };
struct table_node {
	struct str name;
	struct table_set *sets;
	bool exists;            /* it, or something below it, has records */
	bool secure;
	struct table_fault *faults;
	uint32_t denial_ttl;    /* of a SOA here: how long denials below may be kept (RFC 2308 4) */
	bool soa;
};
struct dns_table {
	struct arena a;
	struct map names;
	uint64_t asked;
};
struct table_node *table_node(struct dns_table *t, struct str name);   /* made when not there; NULL: no memory */
/* Adds a record; a type that we do not carry only makes the name exist (`r` NULL). */
MUST_USE enum rc table_add(struct dns_table *t, struct str name, unsigned type, uint32_t ttl, const struct dns_record *r, struct why *why);
MUST_USE enum rc table_soa(struct dns_table *t, struct str name, uint32_t denial_ttl);
