#include "origin/dane.h"

#include "origin/say.h"
#include <stdio.h>

enum { SHA256_OCTETS = 32, SHA512_OCTETS = 64 };

/* RFC 7672 3.1: DANE-TA(2) and DANE-EE(3) only; 3.1.3: PKIX-TA(0) and PKIX-EE(1) are treated as unusable. RFC 7671 5, 6: selectors Cert(0) and SPKI(1), matching
 * types Full(0), SHA2-256(1), SHA2-512(2). */
static bool usable(const struct dns_record *r)
{
	if (r->usage < 2 || r->usage > 3 || r->selector > 1)
		return false;
	switch (r->matching) {
	case 0: return r->data.n > 0;
	case 1: return r->data.n == SHA256_OCTETS;
	case 2: return r->data.n == SHA512_OCTETS;
	default: return false;
	}
}

static bool failed(const struct dns_answer *x) { return x->status == DNS_TEMPFAIL || x->status == DNS_BOGUS; }

static struct str without_dot(struct str name) { return name.n && name.p[name.n - 1] == '.' ? str_head(name, name.n - 1) : name; }

struct look {
	const struct dns *d;
	struct arena *a;
	uint16_t port;
	struct dane_host *out;
};

static void name_add(struct dane_host *h, struct str name)
{
	name = without_dot(name);
	for (size_t i = 0; i < h->name_n; i++)
		if (str_ieq(h->names[i], name))
			return;
	if (name.n)
		h->names[h->name_n++] = name;
}

static bool later(struct look *k, const char *what, struct str name, const struct dns_answer *x)
{
	k->out->state = DANE_LATER;
	k->out->why = origin_say(k->a, "%s of %.*s: %s (%s)", what, PSTR(str_head(name, 253)), x->status == DNS_BOGUS ? "the DNS's signatures are wrong" : "the DNS gave no answer",
	                         x->why[0] ? x->why : dns_status_name(x->status));
	return true;
}

/* Keeps the records of a secure answer that can be used. */
static void take(struct look *k, const struct dns_answer *x, struct str base)
{
	struct dane_host *h = k->out;
	h->base = base;
	h->tlsa = arena_new(k->a, x->records * sizeof *h->tlsa);
	for (size_t i = 0; h->tlsa && i < x->records; i++)
		if (usable(&x->record[i]))
			h->tlsa[h->n++] = x->record[i];
	if (!h->tlsa) {
		h->state = DANE_LATER;
		h->why = STR("no memory for the TLSA records");
		return;
	}
	h->state = h->n ? DANE_USABLE : DANE_UNUSABLE;
	h->why = h->n ? origin_say(k->a, "%zu TLSA record%s at _%u._tcp.%.*s", h->n, h->n == 1 ? "" : "s", k->port, PSTR(str_head(base, 253)))
	              : origin_say(k->a, "the TLSA records at _%u._tcp.%.*s are of no kind that holds for SMTP: TLS is a must, a certificate is not", k->port, PSTR(str_head(base, 253)));
}

/* RFC 7672 2.2.3: the TLSA records of one candidate. True: the search is over. */
static bool try_base(struct look *k, struct str base)
{
	char name[300];
	struct dns_answer x;
	int n = snprintf(name, sizeof name, "_%u._tcp.%.*s", k->port, PSTR(str_head(base, 253)));
	dns_ask(k->d, DNS_TLSA, str_of(name, (size_t)n), k->a, &x);
	if (failed(&x))
		/* RFC 7672 2.1.2: an error while looking for TLSA records leaves open whether TLS is a must: this server is not used until it is known. */
		return later(k, "the TLSA records", base, &x);
	if (x.status != DNS_OK || !x.secure || !x.records)
		return false;
	take(k, &x, base);
	return true;
}

/* The addresses. RFC 7672 2.1.2: without any because of an error, this host is not to be used now. True: it is over. */
static bool addresses(struct look *k, struct str host)
{
	struct dane_host *h = k->out;
	dns_ask(k->d, DNS_A, host, k->a, &h->address_v4);
	dns_ask(k->d, DNS_AAAA, host, k->a, &h->address_v6);
	if (h->address_v4.status == DNS_OK || h->address_v6.status == DNS_OK)
		return false;
	if (failed(&h->address_v4))
		return later(k, "the address", host, &h->address_v4);
	if (failed(&h->address_v6))
		return later(k, "the address", host, &h->address_v6);
	h->why = origin_say(k->a, "%.*s has no address", PSTR(str_head(host, 253)));
	return true;
}

static bool all_secure(const struct dane_host *h)
{
	return (h->address_v4.status != DNS_OK || h->address_v4.secure) && (h->address_v6.status != DNS_OK || h->address_v6.secure);
}

/* The candidates in RFC 7672 2.2.2's order. */
static bool candidates(struct look *k, struct str host)
{
	struct dane_host *h = k->out;
	const struct dns_answer *x = h->address_v4.status == DNS_OK ? &h->address_v4 : &h->address_v6;
	struct str end = without_dot(x->canonical);
	bool alias = end.n && !str_ieq(end, host);
	if (all_secure(h)) /* the name that all CNAMEs lead to first, then the one of the MX record */
		return (alias && try_base(k, end)) || try_base(k, host);
	h->why = origin_say(k->a, "the address of %.*s is not signed", PSTR(str_head(host, 253)));
	if (!alias)
		/* RFC 7672 2.2.2: no TLSA question where the addresses are insecure: some such zones' servers cannot answer one, and it would prove nothing. */
		return true;
	/* A signed alias into a zone that is not: the alias's owner may speak for it, at the alias itself. */
	struct dns_answer cname;
	dns_ask(k->d, DNS_CNAME, host, k->a, &cname);
	if (failed(&cname))
		return later(k, "the alias", host, &cname);
	return cname.status != DNS_OK || !cname.secure || try_base(k, host);
}

void dane_look_up(const struct dns *d, struct str next_hop, struct str mx_host, uint16_t port, bool mx_secure, struct arena *a, struct dane_host *out)
{
	struct look k = { .d = d, .a = a, .port = port, .out = out };
	struct str host = without_dot(mx_host);
	*out = (struct dane_host){ .state = DANE_NONE, .base = host, .why = STR("") };
	if (!addresses(&k, host) && !candidates(&k, host))
		out->why = origin_say(a, "%.*s has no TLSA records", PSTR(str_head(host, 253)));
	/* RFC 7672 3.2.2: the TLSA base domain; a certificate for the next hop's domain is no less right; and the name that the MX record says. */
	name_add(out, out->base);
	name_add(out, next_hop);
	name_add(out, host);
	if (out->state == DANE_USABLE && !mx_secure)
		out->why = origin_say(a, "%.*s (the MX record itself is not signed)", PSTR(str_head(out->why, 400)));
	if (a->full && out->state != DANE_LATER) {
		out->state = DANE_LATER;
		out->why = STR("no memory for the DNS's answers");
	}
}
