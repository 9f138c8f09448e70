#include "dns/reply.h"

#include "base/cursor.h"
#include <stdio.h>

enum { HEADER = 12, RECORDS_MAX = 2048, CNAMES_MAX = 12, CLASS_IN = 1, TYPE_OPT = 41, EDNS_OCTETS = 1232 };

struct rr { size_t name_at, data_at, data_n; unsigned type, class; uint32_t ttl; };

static unsigned be16(struct str p, size_t at) { return (unsigned)(unsigned char)p.p[at] << 8 | (unsigned char)p.p[at + 1]; }
static uint32_t be32(struct str p, size_t at) { return be16(p, at) << 16 | be16(p, at + 2); }

static char *put16(char *p, unsigned v)
{
	*p++ = (char)(v >> 8);
	*p++ = (char)v;
	return p;
}

size_t dns_question_write(uint16_t id, unsigned type, struct str name, char out[300])
{
	char *p = out;
	static const uint16_t rest[] = { 0, 1, 0, 0, 1 }; /* flags, one question, no records, one additional: OPT */
	p = put16(p, id);
	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
		p = put16(p, rest[i]);
	while (name.n) {
		struct str label, more;
		(void)str_cut(name, '.', &label, &more);
		*p++ = (char)label.n;
		memcpy(p, label.p, label.n);
		p += label.n;
		name = more;
	}
	*p++ = 0;
	p = put16(p, type);
	p = put16(p, CLASS_IN);
	*p++ = 0;
	p = put16(p, TYPE_OPT);
	p = put16(p, EDNS_OCTETS);
	p = put16(put16(put16(p, 0), 0), 0);
	return (size_t)(p - out);
}

static bool question_fits(struct str packet, unsigned type, struct str name, size_t *out_after)
{
	char got[256];
	size_t at = HEADER, n;
	if (packet.n < HEADER || !((unsigned char)packet.p[2] & 0x80) || be16(packet, 4) != 1)
		return false;
	if (wire_name(packet, &at, got, &n, NULL) != RC_OK || packet.n - at < 4)
		return false;
	*out_after = at + 4;
	return str_eq(str_of(got, n), name) && be16(packet, at) == type && be16(packet, at + 2) == CLASS_IN;
}

bool dns_reply_fits(struct str packet, uint16_t id, unsigned type, struct str name)
{
	size_t after;
	return question_fits(packet, type, name, &after) && be16(packet, 0) == id;
}

static bool skip_name(struct str packet, size_t *at)
{
	while (*at < packet.n) {
		unsigned len = (unsigned char)packet.p[*at];
		if (len >= 0xc0)
			return (*at += 2) <= packet.n;
		*at += 1 + len;
		if (len == 0)
			return true;
		if (len > 63)
			return false;
	}
	return false;
}

static bool next_rr(struct str packet, size_t *at, struct rr *out)
{
	out->name_at = *at;
	if (!skip_name(packet, at) || packet.n - *at < 10)
		return false;
	out->type = be16(packet, *at);
	out->class = be16(packet, *at + 2);
	out->ttl = be32(packet, *at + 4);
	if (out->ttl > INT32_MAX)
		out->ttl = 0; /* RFC 2181 8: "treat as if the entire value received was zero" */
	out->data_n = be16(packet, *at + 8);
	out->data_at = *at + 10;
	if (out->data_n > packet.n - out->data_at)
		return false;
	*at = out->data_at + out->data_n;
	return true;
}

static bool is_at(struct str packet, const struct rr *r, struct str name)
{
	char got[256];
	size_t at = r->name_at, n;
	return r->class == CLASS_IN && wire_name(packet, &at, got, &n, NULL) == RC_OK && str_eq(str_of(got, n), name);
}

struct walk { struct str packet; size_t answers; unsigned n, authority_n; struct arena *a; };

static enum rc follow_cnames(struct walk *w, unsigned type, struct dns_answer *out)
{
	struct dns_record target;
	struct rr r;
	for (unsigned hops = 0; type != DNS_CNAME && hops < CNAMES_MAX; hops++) {
		size_t at = w->answers;
		bool moved = false;
		for (unsigned i = 0; i < w->n && !moved && next_rr(w->packet, &at, &r); i++) {
			if (r.type != DNS_CNAME || !is_at(w->packet, &r, out->canonical))
				continue;
			if (rdata_from_wire(DNS_CNAME, w->packet, r.data_at, r.data_n, w->a, &target, NULL) != RC_OK)
				return RC_SYNTAX;
			out->canonical = target.name;
			out->ttl = r.ttl < out->ttl ? r.ttl : out->ttl;
			moved = true;
		}
		if (!moved)
			return RC_OK;
	}
	return type == DNS_CNAME ? RC_OK : RC_LIMIT;
}

/* The records of that type at the canonical name. */
static enum rc take_records(struct walk *w, unsigned type, struct dns_answer *out, struct why *why)
{
	struct rr r;
	size_t at = w->answers, n = 0;
	for (unsigned i = 0; i < w->n; i++) {
		if (!next_rr(w->packet, &at, &r))
			FAIL(why, RC_SYNTAX, "a record reaches past the reply");
		n += r.type == type && is_at(w->packet, &r, out->canonical);
	}
	out->truncated = n > DNS_MAX_RECORDS;
	n = n > DNS_MAX_RECORDS ? DNS_MAX_RECORDS : n;
	if (n && !(out->record = arena_new(w->a, n * sizeof *out->record)))
		return RC_NOMEM;
	at = w->answers;
	for (unsigned i = 0; i < w->n && out->records < n && next_rr(w->packet, &at, &r); i++) {
		if (r.type != type || !is_at(w->packet, &r, out->canonical))
			continue;
		enum rc rc = rdata_from_wire(type, w->packet, r.data_at, r.data_n, w->a, &out->record[out->records], NULL);
		if (w->a->full)
			return RC_NOMEM;
		if (rc != RC_OK)
			continue;
		out->records++;
		out->ttl = r.ttl < out->ttl ? r.ttl : out->ttl;
	}
	return RC_OK;
}

/* RFC 2308 5: the lesser of the SOA's TTL and its MINIMUM, the last field. Without a SOA a denial is not to be kept. */
static uint32_t denial_ttl(const struct walk *w)
{
	struct rr r;
	size_t at = w->answers;
	for (unsigned i = 0; i < w->n + w->authority_n && next_rr(w->packet, &at, &r); i++) {
		if (i < w->n || r.type != DNS_SOA || r.data_n < 22)
			continue;
		uint32_t minimum = be32(w->packet, r.data_at + r.data_n - 4);
		return r.ttl < minimum ? r.ttl : minimum;
	}
	return 0;
}

enum rc dns_reply_parse(struct str packet, unsigned type, struct str name, struct arena *a, struct dns_answer *out, struct dns_reply_facts *facts, struct why *why)
{
	static const char *const codes[] = { "", "FORMERR", "SERVFAIL", "", "NOTIMP", "REFUSED" };
	struct walk w = { .packet = packet, .a = a };
	struct dns_answer v = { .ttl = UINT32_MAX };
	if (!question_fits(packet, type, name, &w.answers))
		FAIL(why, RC_SYNTAX, "not a reply to this question");
	*facts = (struct dns_reply_facts){ .authoritative = packet.p[2] & 4, .cut = packet.p[2] & 2, .rcode = packet.p[3] & 15 };
	w.n = be16(packet, 6);
	w.authority_n = be16(packet, 8);
	v.canonical = arena_str(a, name);
	if (facts->rcode != 0 && facts->rcode != 3) {
		v.status = DNS_TEMPFAIL;
		v.ttl = 0;
		snprintf(v.why, sizeof v.why, "the server answered %s", facts->rcode < 6 ? codes[facts->rcode] : "an unknown code");
		*out = v;
		return RC_OK;
	}
	if (w.n > RECORDS_MAX || w.authority_n > RECORDS_MAX)
		FAIL(why, RC_LIMIT, "a reply of more than %d records", RECORDS_MAX);
	if (follow_cnames(&w, type, &v) != RC_OK)
		FAIL(why, RC_SYNTAX, "CNAMEs lead in a circle or nowhere");
	TRY(take_records(&w, type, &v, why));
	if (!v.records) {
		uint32_t ttl = denial_ttl(&w);
		v.status = facts->rcode == 3 ? DNS_NXDOMAIN : DNS_NODATA;
		v.ttl = ttl < v.ttl ? ttl : v.ttl;
	}
	if (a->full)
		return RC_NOMEM;
	*out = v;
	return RC_OK;
}
