#pragma once
#include "dns/rdata.h"

/* A DNS message (RFC 1035 4.1) made and read. Internal to src/dns, fuzzed. `name` is folded. */
struct dns_reply_facts { bool authoritative, cut; unsigned rcode; };
/* The question, with EDNS (RFC 6891) for 1232 octets: what crosses every path unfragmented. Without recursion (RD = 0). At most 300 octets. */
size_t dns_question_write(uint16_t id, unsigned type, struct str name, char out[300]);
/* Whether `packet` answers that question. */
bool dns_reply_fits(struct str packet, uint16_t id, unsigned type, struct str name);
/* Fills *out: DNS_OK, DNS_NODATA (also when a CNAME leads where this reply has nothing: `canonical` says where) or DNS_NXDOMAIN; DNS_TEMPFAIL for another code.
 * RC_SYNTAX: the octets are no reply to a question of that type and name. A record whose data is malformed is left out. */
MUST_USE enum rc dns_reply_parse(struct str packet, unsigned type, struct str name, struct arena *a, struct dns_answer *out, struct dns_reply_facts *facts, struct why *why);
