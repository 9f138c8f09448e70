#pragma once
#include "base/buf.h"
#include "os/stream.h"

/* TLS for connections that we open. One struct tls_client per process holds the trusted roots; each connection has its own struct tls_peer, which says what is
 * wanted of it and, after the handshake, what was had. TLS 1.2 and 1.3; SNI always. */
struct tls_client;
/* Roots from a PEM bundle (/etc/ssl/certs/ca-certificates.crt), read before the sandbox; "" = none: nothing verifies by PKIX. */
MUST_USE enum rc tls_client_new(struct str roots_pem, struct tls_client **out, struct why *why);
/* Whether each of the certificates parses as a whole: tls_client_new() looks at the outside of them, and at one as a whole when a chain asks for it. */
MUST_USE enum rc tls_roots_check(struct str roots_pem, struct why *why);
void tls_client_free(struct tls_client **c);

enum tls_want {
	TLS_WANT_ANY,                  /* opportunistic (RFC 7435): any certificate; whether it would verify is noted */
	TLS_WANT_PKIX,                 /* a chain to a root and one of `names` (RFC 6125, RFC 8461 4.1): else the handshake fails */
	TLS_WANT_DANE,                 /* RFC 7672: TLSA records; usages 2 and 3, the others are unusable; else the handshake fails */
};
struct tls_tlsa { uint8_t usage, selector, matching; struct str data; };
struct tls_peer_config {
	enum tls_want want;
	struct str sni;                /* the MX host (RFC 7672 8.1: the TLSA base domain) */
	const struct str *names; size_t name_n;  /* reference identifiers; "*.example.com" patterns of MTA-STS are the caller's to resolve beforehand: these are names */
	const struct tls_tlsa *tlsa; size_t tlsa_n;
};
/* Names are DNS names or IP addresses of at most 255 octets, at most 8; without any, `sni` is the name. An address as `sni` is not sent. What is
 * given is copied. Records of `tlsa` are looked at whatever is wanted (dane_ok), but only TLS_WANT_DANE needs one. */
struct tls_peer;                       /* borrowed by the stream: outlives it */
MUST_USE enum rc tls_peer_new(struct tls_client *c, const struct tls_peer_config *p, struct tls_peer **out, struct why *why); /* RC_NOTFOUND: DANE without one usable record; RC_SYNTAX: a name that is none */
void tls_peer_free(struct tls_peer **p);
const struct tls_provider *tls_peer_provider(struct tls_peer *p); /* for stream_of_fd(); stream_starttls() shakes hands as a client */
/* The judgement alone, on a chain that is at hand (PEM, leaf first), at Unix time `at_s` (0 = now): the facts are filled as by a handshake, but for `done`.
 * RC_DENIED: what is wanted does not hold. RC_SYNTAX, RC_LIMIT: no chain. */
MUST_USE enum rc tls_peer_judge(struct tls_peer *p, struct str chain_pem, int64_t at_s, struct why *why);
/* After the handshake, also a failed one. RFC 8460 4.3's result type: "certificate-expired", "certificate-host-mismatch", "certificate-not-trusted",
 * "tlsa-invalid" (no TLSA record matches), "validation-failure" (all else, as a handshake that broke off); "starttls-not-supported", "dane-required"
 * and what concerns policies are the caller's. With TLS_WANT_ANY it is what PKIX would have said: a testing policy of MTA-STS wants it reported, nobody
 * else needs to mind. "" = nothing is wrong. */
struct tls_peer_facts {
	bool done;                     /* there was a whole handshake */
	bool pkix_ok, name_ok, dane_ok;/* what holds, whatever was wanted; name_ok: for `names` or sni */
	const char *result_type;       /* constant text */
	char words[160];               /* for people: "certificate expired on 2026-01-02", "TLSv1.3 AES_256_GCM, verified by DANE (3 1 1)" */
	char subject[128];
};
void tls_peer_facts(const struct tls_peer *p, struct tls_peer_facts *out);
