#include "role/dns_want.h"

#include "base/codec.h"
#include "origin/mta_sts.h"
#include "origin/psl.h"
#include "role/report_rules.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { CERTIFICATES_MAX = 4 };

static struct str format(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static struct str format(struct arena *a, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return arena_str(a, str_of(text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

static struct dns_want *want(struct dns_wants *o, bool needed, struct str name, unsigned type, enum dns_rule rule, struct str value)
{
	static struct dns_want beyond; /* nobody has so many keys and addresses */
	struct dns_want *w = o->n < DNS_WANTS_MAX ? &o->w[o->n++] : &beyond;
	*w = (struct dns_want){ .needed = needed, .name = name, .type = type, .rule = rule, .value = value };
	return w;
}

static bool digest_of_key(X509 *x, unsigned char hash[32])
{
	unsigned char *der = NULL;
	unsigned n = 0;
	int der_n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	bool ok = der_n > 0 && EVP_Digest(der, (size_t)der_n, hash, &n, EVP_sha256(), NULL) == 1 && n == 32;
	OPENSSL_free(der);
	return ok;
}

/* RFC 7672 3.1.1: "3 1 1", the certificate's key; it survives a renewal that keeps the key. */
bool dns_tlsa_of(const char *path, struct str host, struct arena *a, struct str *out)
{
	unsigned char hash[32];
	FILE *f = fopen(path, "re");
	X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	bool ok = x && X509_check_host(x, host.p, host.n, 0, NULL) == 1 && digest_of_key(x, hash);
	X509_free(x);
	if (f)
		(void)fclose(f);
	if (!ok)
		return false;
	AUTO(buf_done) struct buf hex = { .max = 100 };
	hex_add(&hex, str_of(hash, sizeof hash));
	*out = format(a, "3 1 1 %.*s", PSTR(buf_str(&hex)));
	return true;
}

static bool listens(const struct config *c, enum listener_proto proto, unsigned usual, unsigned *out_port)
{
	*out_port = usual;
	for (size_t i = 0; i < c->listener_n; i++) {
		struct str at = c->listeners[i].address;
		uint64_t port;
		size_t colon = at.n;
		while (colon > 0 && at.p[colon - 1] != ':')
			colon--;
		if (c->listeners[i].proto == proto && str_u64(str_skip(at, colon), 65535, &port))
			return *out_port = (unsigned)port, true;
	}
	return false;
}

/* RFC 6186, RFC 8314: where a program for reading and writing mail finds the server. */
static void want_services(const struct config *c, struct dns_wants *o, struct arena *a)
{
	static const struct { const char *service; enum listener_proto proto; unsigned usual; const char *unused; } services[] = {
		{ "_submissions._tcp", LISTEN_SMTPS, 465, "nothing listens for submission: listen.smtps" },
		{ "_imaps._tcp", LISTEN_IMAPS, 993, "nothing listens: listen.imaps" },
		{ "_pop3s._tcp", LISTEN_POP3S, 995, "nothing listens: listen.pop3s" } };
	static const char *const aliases[] = { "autoconfig", "autodiscover" };
	for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
		unsigned port;
		bool used = listens(c, services[i].proto, services[i].usual, &port);
		struct str value = used ? format(a, "0 1 %u %.*s.", port, PSTR(o->host)) : STR("0 0 0 .");
		want(o, false, format(a, "%s.%.*s", services[i].service, PSTR(o->domain)), DNS_SRV, RULE_EXACT, value)->unused = used ? NULL : services[i].unused;
	}
	for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
		want(o, false, format(a, "%s.%.*s", aliases[i], PSTR(o->domain)), DNS_CNAME, RULE_ALIAS, format(a, "%.*s.", PSTR(o->host)))->unused =
			"this server serves no HTTPS yet";
}

static void want_host(const struct config *c, struct dns_wants *o, struct arena *a)
{
	char reverse[256], path[1024];
	struct str value;
	size_t certificates = 0;
	want(o, true, o->host, DNS_A, RULE_ADDRESS, STR("this machine's address"));
	for (size_t i = 0; i < o->address_n; i++) {
		dns_reverse_name(o->address[i], STR(""), reverse);
		want(o, true, arena_str(a, str_z(reverse)), DNS_PTR, RULE_EXACT, format(a, "%.*s.", PSTR(o->host)));
	}
	for (size_t i = 0; i < c->tls_n && certificates < CERTIFICATES_MAX; i++) {
		(void)snprintf(path, sizeof path, "%.*s", PSTR(str_head(c->tls[i].cert, sizeof path - 1)));
		if (!dns_tlsa_of(path, o->host, a, &value))
			continue;
		want(o, false, format(a, "_25._tcp.%.*s", PSTR(o->host)), DNS_TLSA, RULE_EXACT, value);
		certificates++;
	}
}

enum rc dns_sts_policy(const struct config *c, struct buf *out, char out_id[33])
{
	struct str mx = c->server_hostname;
	struct mta_sts_policy p = { .mode = MTA_STS_NONE, .max_age = (uint32_t)(c->sts_max_age / 1000), .mx = &mx, .mx_n = 1 };
	if (str_eq(c->sts_mode, STR("testing")))
		p.mode = MTA_STS_TESTING;
	if (str_eq(c->sts_mode, STR("enforce")))
		p.mode = MTA_STS_ENFORCE;
	return mta_sts_write(&p, out, out_id);
}

/* The policy itself is on the web server of mta-sts.DOMAIN, wherever that is. */
static void want_sts(const struct config *c, struct dns_wants *o, struct arena *a)
{
	AUTO(buf_done) struct buf document = { .max = 4096 };
	char id[33];
	bool off = str_eq(c->sts_mode, STR("none"));
	if (dns_sts_policy(c, &document, id) != RC_OK)
		return;
	want(o, false, format(a, "_mta-sts.%.*s", PSTR(o->domain)), DNS_TXT, RULE_STS, format(a, "v=STSv1; id=%s", id))->unused = off ? "sts.mode is none" : NULL;
	if (off)
		want(o, false, format(a, "mta-sts.%.*s", PSTR(o->domain)), DNS_CNAME, RULE_ALIAS, format(a, "%.*s.", PSTR(o->host)))->unused = "sts.mode is none";
	else
		want(o, false, format(a, "mta-sts.%.*s", PSTR(o->domain)), DNS_A, RULE_ADDRESS, STR("the web server with the policy that `dns show --sts-policy` prints"));
}

/* RFC 9990 4: a domain that takes another's reports has to say so in the DNS. */
static void want_consent(struct dns_wants *o, struct arena *a)
{
	(void)!psl_setup(NULL); /* the list that edge has; without one a record too many is wanted */
	struct str at = report_domain_of(o->dmarc_address), ours = psl_registrable(o->domain, a), theirs = psl_registrable(at, a);
	if (at.n && !str_ieq(at, o->domain) && !(ours.n && str_ieq(ours, theirs)))
		want(o, true, format(a, "%.*s._report._dmarc.%.*s", PSTR(o->domain), PSTR(at)), DNS_TXT, RULE_REPORTS, STR("v=DMARC1"));
}

static void want_keys(struct dns_wants *o, const struct dkim_row *keys, size_t n, struct arena *a)
{
	for (size_t i = 0; i < n; i++)
		if (keys[i].state != VAULT_DKIM_REVOKED)
			want(o, keys[i].state < VAULT_DKIM_RETIRED, format(a, "%.*s._domainkey.%.*s", PSTR(keys[i].selector), PSTR(keys[i].domain)), DNS_TXT, RULE_DKIM,
			     keys[i].record);
}

static struct str report_to(struct str address, const char *before, struct arena *a)
{
	return address.n ? format(a, "%smailto:%.*s", before, PSTR(address)) : STR("");
}

void dns_wants(const struct config *c, struct str domain, const struct dkim_row *keys, size_t key_n, struct arena *a, struct dns_wants *o)
{
	char room[400];
	o->n = 0;
	o->host = c->server_hostname;
	o->domain = domain;
	o->dmarc_address = arena_str(a, report_address_at(c->reports_dmarc_address, domain, room));
	o->tls_address = arena_str(a, report_address_at(c->reports_tls_address, domain, room));
	want(o, true, domain, DNS_MX, RULE_EXACT, format(a, "10 %.*s.", PSTR(o->host)));
	want(o, true, domain, DNS_TXT, RULE_SPF, STR("v=spf1 mx -all"));
	want_keys(o, keys, key_n, a);
	want(o, true, format(a, "_dmarc.%.*s", PSTR(domain)), DNS_TXT, RULE_DMARC, format(a, "v=DMARC1; p=none%.*s", PSTR(report_to(o->dmarc_address, "; rua=", a))));
	want_consent(o, a);
	want_host(c, o, a);
	want_sts(c, o, a);
	struct dns_want *w = want(o, false, format(a, "_smtp._tls.%.*s", PSTR(domain)), DNS_TXT, RULE_TLSRPT,
	                          format(a, "v=TLSRPTv1; %.*s", PSTR(report_to(o->tls_address, "rua=", a))));
	w->unused = o->tls_address.n ? NULL : "reports.tls_address is empty";
	want_services(c, o, a);
}
