#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/why.h"
#include <stdbool.h>
#include <stdint.h>

/* Typed questions and answers. `struct dns` is all that evaluators (src/origin) know of the DNS: in production it asks the resolver
 * role and suspends the fiber, in a tool or a test a table stands in for it. Names are A-label text without the last dot,
 * compared without case; at most 253 octets, labels at most 63. */
enum dns_type {
	DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_SOA = 6, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_SRV = 33, DNS_TLSA = 52,
	DNS_CAA = 257,
};
enum dns_status {
	DNS_OK,        /* there are records */
	DNS_NODATA,    /* the name exists, the type does not */
	DNS_NXDOMAIN,  /* no such name (RFC 8020: nor anything below it) */
	DNS_TEMPFAIL,  /* no answer in time, SERVFAIL, or our own limits: later may be different */
	DNS_BOGUS,     /* DNSSEC says that the answer is a lie: never used, treated like DNS_TEMPFAIL */
	DNS_BADNAME,   /* not a name that can be asked (empty label, too long): no question was sent */
};
const char *dns_status_name(enum dns_status s);  /* "ok", "nodata", "nxdomain", "tempfail", "bogus", "badname" */
const char *dns_type_name(unsigned t);           /* "TXT"; "TYPE123" never: "?" for what we do not know */
unsigned dns_type_of(struct str name);           /* 0 = unknown */

struct dns_record {
	uint16_t preference;      /* MX preference, SRV priority */
	uint16_t weight, port;    /* SRV */
	uint8_t usage, selector, matching; /* TLSA; for CAA `usage` holds the flags */
	struct str name;          /* MX, SRV, NS, PTR, CNAME target; SOA: MNAME; CAA: tag. Lower case, "" = root */
	struct str data;          /* A: 4 octets, AAAA: 16, TXT: its strings joined without anything between (RFC 7208 3.3), TLSA: association data, CAA: value */
	unsigned strings;         /* TXT: of how many character-strings it was made */
};
struct dns_answer {
	enum dns_status status;
	bool secure;              /* validated by DNSSEC from the root's trust anchor, denial of existence included */
	bool cached;              /* costs no question */
	bool ours;                /* TEMPFAIL that is not the DNS's doing (no memory, a process that went away): may be asked again at once, never kept */
	uint32_t ttl;             /* seconds: of the records, or how long the denial may be kept (RFC 2308) */
	struct str canonical;     /* the name the records are at, when CNAMEs were followed; else the name asked */
	struct dns_record *record;
	size_t records;           /* at most DNS_MAX_RECORDS; what is beyond is dropped and `truncated` set */
	bool truncated;
	char why[120];            /* of TEMPFAIL, BOGUS, BADNAME: the reason in words */
};
enum { DNS_MAX_RECORDS = 512, DNS_MAX_RDATA = 65535 };

struct dns {
	void *house;
	/* Always fills *out (in memory of `a`; when that is full: DNS_TEMPFAIL). CNAMEs are followed. */
	void (*ask)(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out);
};
static inline void dns_ask(const struct dns *d, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	d->ask(d->house, type, name, a, out);
}
/* "4.3.2.1.in-addr.arpa" / "…ip6.arpa" of 4 or 16 octets of address (RFC 1035 3.5, RFC 3596 2.5). `suffix` replaces in-addr.arpa / ip6.arpa
 * (RFC 5782: a blocklist's zone); "" = the usual. */
void dns_reverse_name(struct str ip, struct str suffix, char out[256]);
/* Can this be asked? Labels 1-63 octets, 253 in all, one trailing dot allowed; underscores and any octet but "." within a label are (RFC 2181 11). */
bool dns_name_ok(struct str name);

/* ---- the table that stands in for a DNS: tests, probe --zone, the demo's own zones ---- */
struct dns_table;
MUST_USE enum rc dns_table_new(struct dns_table **out);
void dns_table_free(struct dns_table **t);
/* Reads an RFC 1035 5 master file ($ORIGIN, $TTL, @, parentheses, quoted strings, \DDD, relative names, class and TTL in either order or left out, comments;
 * RFC 3597 \# too). "; TIMEOUT name type" (type or ANY) makes that question a DNS_TEMPFAIL, "; SERVFAIL name type" too, "; BOGUS name type" a DNS_BOGUS, "; SECURE name" marks
 * what is at and below that name as secure. Several files may be read into one table. RC_SYNTAX names the line. $INCLUDE and $GENERATE are refused. */
MUST_USE enum rc dns_table_read(struct dns_table *t, struct str text, struct str origin, struct why *why);
/* One record: `rdata` in presentation form ("10 mx.example.com."; TXT: already the joined octets when `raw`). */
MUST_USE enum rc dns_table_add(struct dns_table *t, struct str name, unsigned type, uint32_t ttl, struct str rdata, bool raw, struct why *why);
/* That question fails so: DNS_TEMPFAIL, DNS_BOGUS, DNS_NXDOMAIN. type 0 = every type. */
MUST_USE enum rc dns_table_fail(struct dns_table *t, struct str name, unsigned type, enum dns_status status);
/* The table as a DNS. CNAMEs are followed (loop: TEMPFAIL), wildcards work (RFC 4592), an empty non-terminal is NODATA. */
struct dns dns_table_dns(struct dns_table *t);
/* Whether `name` (folded) lies at or below a name with a SOA record: then this table speaks for it. */
bool dns_table_covers(const struct dns_table *t, struct str name);
uint64_t dns_table_asked(const struct dns_table *t); /* how many questions it was asked, for tests of look-up budgets */

/* ---- a cache in front of any struct dns (edge, relay): by TTL, bounded, least recently used goes first ---- */
struct dns_cache;
/* `now_ms` is the house's monotonic clock. Failures are kept for a few seconds, denials for their TTL (at most 1 h), records for at most 1 day. */
MUST_USE enum rc dns_cache_new(const struct dns *behind, size_t max_octets, uint64_t (*now_ms)(void), struct dns_cache **out);
void dns_cache_free(struct dns_cache **c);
struct dns dns_cache_dns(struct dns_cache *c);
void dns_cache_stats(const struct dns_cache *c, uint64_t *out_hits, uint64_t *out_misses);

/* An answer packed for the channel and the cache, and back (borrowing from `packed`, records in `a`). */
void dns_pack(const struct dns_answer *in, struct buf *out);
MUST_USE enum rc dns_unpack(struct str packed, struct arena *a, struct dns_answer *out, struct why *why);
