#pragma once
#include "base/arena.h"
#include "base/why.h"
#include "dns/dns.h"

/* DANE for SMTP (RFC 7672): which TLSA records hold for an MX host. Pure code over struct dns; the certificate itself is matched by crypto/tls_client.h. */
enum dane_state {
	DANE_NONE,       /* no secure TLSA: opportunistic TLS, or MTA-STS decides */
	DANE_USABLE,     /* TLS is a must and must match */
	DANE_UNUSABLE,   /* secure records, none that we can use: TLS is a must, unauthenticated (RFC 7672 2.2) */
	DANE_LATER,      /* bogus or no answer: this host is not to be used now (RFC 7672 2.1.1) */
};
struct dane_host {
	enum dane_state state;
	struct dns_record *tlsa; size_t n;     /* usable ones: usage 2 or 3, known selector and matching type, data of a length that fits */
	struct str base;                       /* TLSA base domain: SNI and first reference identifier */
	struct str names[3]; size_t name_n;    /* reference identifiers (RFC 7672 3.2.2): base, next-hop domain, its MX name; each once */
	struct dns_answer address_v4, address_v6;
	struct str why;                        /* in words, for the trace */
};
/* `mx_secure`: the MX answer (or its denial, for an implicit MX) was secure. Where it was not, TLSA records of the host still hold for that host: whether it is
 * the right one is then not proven (tls_policy.h has MTA-STS say so where there is a policy). One family of addresses that fails does not hinder the other. Follows RFC 7672 2.2.2's order with CNAMEs; asks at most 6 questions. Memory in `a`. */
void dane_look_up(const struct dns *d, struct str next_hop, struct str mx_host, uint16_t port, bool mx_secure, struct arena *a, struct dane_host *out);
