#include "role/dns_want.h"

#include "base/codec.h"
#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

const char *dns_check_name(enum dns_check c)
{
	static const char *const names[] = { "ok", "missing", "different", "extra", "could not check" };
	return names[c];
}

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

static void want(struct dns_wants *o, bool needed, struct str name, unsigned type, enum dns_rule rule, struct str value)
{
	if (o->n < DNS_WANTS_MAX)
		o->w[o->n++] = (struct dns_want){ needed, name, type, rule, value };
}

/* RFC 7672 3.1.1: "3 1 1", the certificate's key; it survives a renewal that keeps the key. */
static bool tlsa_of(const char *path, struct arena *a, struct str *out)
{
	unsigned char hash[32];
	unsigned char *der = NULL;
	unsigned n = 0;
	FILE *f = fopen(path, "re");
	X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	int der_n = x ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der) : -1;
	bool ok = der_n > 0 && EVP_Digest(der, (size_t)der_n, hash, &n, EVP_sha256(), NULL) == 1 && n == sizeof hash;
	OPENSSL_free(der);
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

static void want_services(struct dns_wants *o, struct arena *a)
{
	static const struct { const char *service; unsigned port; } services[] = { { "_submissions._tcp", 465 }, { "_imaps._tcp", 993 }, { "_pop3s._tcp", 995 } };
	static const char *const aliases[] = { "mta-sts", "autoconfig", "autodiscover" };
	for (size_t i = 0; i < sizeof services / sizeof *services; i++)
		want(o, false, format(a, "%s.%.*s", services[i].service, PSTR(o->domain)), DNS_SRV, RULE_EXACT, format(a, "0 1 %u %.*s.", services[i].port, PSTR(o->host)));
	for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
		want(o, false, format(a, "%s.%.*s", aliases[i], PSTR(o->domain)), DNS_CNAME, RULE_ALIAS, format(a, "%.*s.", PSTR(o->host)));
}

static void want_host(const struct config *c, struct dns_wants *o, struct arena *a)
{
	char reverse[256], path[1024];
	struct str value;
	want(o, true, o->host, DNS_A, RULE_ADDRESS, STR("this machine's address"));
	for (size_t i = 0; i < o->address_n; i++) {
		dns_reverse_name(o->address[i], STR(""), reverse);
		want(o, true, arena_str(a, str_z(reverse)), DNS_PTR, RULE_EXACT, format(a, "%.*s.", PSTR(o->host)));
	}
	for (size_t i = 0; i < c->tls_n; i++) {
		(void)snprintf(path, sizeof path, "%.*s", PSTR(str_head(c->tls[i].cert, sizeof path - 1)));
		if (!tlsa_of(path, a, &value))
			continue;
		want(o, false, format(a, "_25._tcp.%.*s", PSTR(o->host)), DNS_TLSA, RULE_EXACT, value);
		break;
	}
}

void dns_wants(const struct config *c, struct str domain, const struct dkim_row *keys, size_t key_n, struct arena *a, struct dns_wants *o)
{
	o->n = 0;
	o->host = c->server_hostname;
	o->domain = domain;
	want(o, true, domain, DNS_MX, RULE_EXACT, format(a, "10 %.*s.", PSTR(o->host)));
	want(o, true, domain, DNS_TXT, RULE_SPF, STR("v=spf1 mx -all"));
	for (size_t i = 0; i < key_n; i++) {
		if (keys[i].state == VAULT_DKIM_REVOKED)
			continue;
		want(o, keys[i].state < VAULT_DKIM_RETIRED, format(a, "%.*s._domainkey.%.*s", PSTR(keys[i].selector), PSTR(keys[i].domain)), DNS_TXT, RULE_DKIM, keys[i].record);
	}
	want(o, true, format(a, "_dmarc.%.*s", PSTR(domain)), DNS_TXT, RULE_DMARC, format(a, "v=DMARC1; p=none; rua=mailto:postmaster@%.*s", PSTR(domain)));
	want_host(c, o, a);
	want(o, false, format(a, "_mta-sts.%.*s", PSTR(domain)), DNS_TXT, RULE_STS, STR("v=STSv1; id=1"));
	want(o, false, format(a, "_smtp._tls.%.*s", PSTR(domain)), DNS_TXT, RULE_TLSRPT, format(a, "v=TLSRPTv1; rua=mailto:postmaster@%.*s", PSTR(domain)));
	want_services(o, a);
}

/* ---- records in words ---- */

void dns_txt_quoted(struct str text, struct buf *out)
{
	for (bool first = true; first || text.n; text = str_skip(text, 255), first = false) {
		struct str s = str_head(text, 255);
		buf_add(out, first ? STR("\"") : STR(" \""));
		for (size_t i = 0; i < s.n; i++) {
			unsigned char ch = (unsigned char)s.p[i];
			if (ch < 32 || ch > 126)
				buf_addf(out, "\\%03u", ch);
			else if (ch == '"' || ch == '\\')
				buf_addf(out, "\\%c", ch);
			else
				buf_byte(out, (char)ch);
		}
		buf_byte(out, '"');
	}
}

void dns_record_text(unsigned type, const struct dns_record *r, struct buf *out)
{
	char ip[INET6_ADDRSTRLEN] = "?";
	switch (type) {
	case DNS_A: case DNS_AAAA:
		if (r->data.n == (type == DNS_A ? 4u : 16u))
			(void)inet_ntop(type == DNS_A ? AF_INET : AF_INET6, r->data.p, ip, sizeof ip);
		buf_add(out, str_z(ip));
		return;
	case DNS_MX: buf_addf(out, "%u ", r->preference); break;
	case DNS_SRV: buf_addf(out, "%u %u %u ", r->preference, r->weight, r->port); break;
	case DNS_TXT: buf_add(out, r->data); return;
	case DNS_TLSA:
		buf_addf(out, "%u %u %u ", r->usage, r->selector, r->matching);
		hex_add(out, r->data);
		return;
	case DNS_CAA: buf_addf(out, "%u %.*s ", r->usage, PSTR(r->name)); buf_add(out, r->data); return;
	default: break;
	}
	buf_add(out, r->name);
	buf_byte(out, '.');
}

/* ---- comparing ---- */

static struct str list_of(unsigned type, const struct dns_answer *x, const char *prefix, struct arena *a, size_t *out_n)
{
	AUTO(buf_done) struct buf b = { .max = 8192 };
	*out_n = 0;
	for (size_t i = 0; i < x->records; i++) {
		if (!str_istarts(x->record[i].data, str_z(prefix)))
			continue;
		if ((*out_n)++)
			buf_add(&b, STR(" | "));
		dns_record_text(type, &x->record[i], &b);
	}
	return arena_str(a, buf_str(&b));
}

static enum dns_check exact(const struct dns_want *w, const struct dns_answer *x)
{
	bool found = false;
	for (size_t i = 0; i < x->records; i++) {
		AUTO(buf_done) struct buf b = { .max = 4096 };
		dns_record_text(w->type, &x->record[i], &b);
		struct str got = buf_str(&b), want = w->value;
		if (w->type == DNS_MX) { /* the number is the owner's choice */
			got = str_skip(got, str_find(got, ' '));
			want = str_skip(want, str_find(want, ' '));
		}
		found = found || str_ieq(got, want);
	}
	bool alone = x->records == 1 || w->type == DNS_TLSA || w->type == DNS_SRV;
	return !found ? DNS_DIFFERENT : alone ? DNS_RIGHT : DNS_EXTRA;
}

static bool is_our_term(const struct dns_wants *all, struct str term)
{
	char ip[INET6_ADDRSTRLEN];
	if (term.n && term.p[0] == '+')
		term = str_skip(term, 1);
	struct str target = str_skip(term, 2);
	if (str_ieq(term, STR("mx")) || (str_istarts(term, STR("a:")) && str_ieq(target, all->host)) || (str_ieq(term, STR("a")) && str_ieq(all->host, all->domain)) ||
	    (str_istarts(term, STR("mx:")) && str_ieq(str_skip(term, 3), all->domain)))
		return true;
	for (size_t i = 0; i < all->address_n; i++)
		if (str_istarts(term, all->address[i].n == 4 ? STR("ip4:") : STR("ip6:")) &&
		    inet_ntop(all->address[i].n == 4 ? AF_INET : AF_INET6, all->address[i].p, ip, sizeof ip) && str_ieq(str_skip(term, 4), str_z(ip)))
			return true;
	return false;
}

static bool spf_lets_us(const struct dns_wants *all, struct str record)
{
	struct str term, rest = record;
	while (rest.n) {
		(void)str_cut(rest, ' ', &term, &rest);
		if (is_our_term(all, term))
			return true;
	}
	return false;
}

/* The value of a tag of "a=1; b=2", blanks within left out; false: not there. */
static bool tag(struct str record, const char *name, struct arena *a, struct str *out)
{
	struct str part, rest = record, key, value;
	while (rest.n) {
		(void)str_cut(rest, ';', &part, &rest);
		if (!str_cut(part, '=', &key, &value) || !str_ieq(str_trim(key), str_z(name)))
			continue;
		char *p = arena_new(a, value.n + 1);
		size_t n = 0;
		for (size_t i = 0; p && i < value.n; i++)
			if (value.p[i] != ' ' && value.p[i] != '\t')
				p[n++] = value.p[i];
		*out = str_of(p, n);
		return true;
	}
	return false;
}

static bool text_right(const struct dns_wants *all, const struct dns_want *w, struct str is, struct arena *a)
{
	struct str x, y, u, v;
	switch (w->rule) {
	case RULE_SPF: return spf_lets_us(all, is);
	case RULE_DKIM:
		if (!tag(is, "p", a, &x) || !tag(w->value, "p", a, &y) || !str_eq(x, y))
			return false;
		/* RFC 6376 3.6.1: without k= it is an RSA key */
		return str_ieq(tag(is, "k", a, &u) ? u : STR("rsa"), tag(w->value, "k", a, &v) ? v : STR("rsa"));
	case RULE_DMARC: return tag(is, "p", a, &x) && (str_ieq(x, STR("none")) || str_ieq(x, STR("quarantine")) || str_ieq(x, STR("reject")));
	case RULE_STS: return tag(is, "v", a, &x) && str_eq(x, STR("STSv1")) && tag(is, "id", a, &y) && y.n && y.n <= 32;
	case RULE_TLSRPT: return tag(is, "rua", a, &x) && (str_istarts(x, STR("mailto:")) || str_istarts(x, STR("https:")));
	default: return false;
	}
}

static enum dns_check compare_text(const struct dns_wants *all, const struct dns_want *w, const struct dns_answer *x, struct arena *a, struct str *is)
{
	static const char *const prefixes[] = { [RULE_SPF] = "v=spf1", [RULE_DKIM] = "", [RULE_DMARC] = "v=DMARC1", [RULE_STS] = "v=", [RULE_TLSRPT] = "v=TLSRPTv1" };
	size_t n;
	*is = list_of(DNS_TXT, x, prefixes[w->rule], a, &n);
	if (n == 0)
		return DNS_MISSING;
	/* Two records of one kind are none: RFC 7208 4.5, RFC 7489 6.6.3, RFC 8461 3.1 */
	return n == 1 && text_right(all, w, *is, a) ? DNS_RIGHT : DNS_DIFFERENT;
}

/* Any way to our host will do: a CNAME, or its addresses. */
static enum dns_check compare_alias(const struct dns_wants *all, const struct dns_answer *x)
{
	bool same = str_ieq(x->canonical, all->host);
	for (size_t i = 0; i < x->records; i++) {
		same = same || str_ieq(x->record[i].name, all->host);
		for (size_t k = 0; k < all->address_n; k++)
			same = same || str_eq(x->record[i].data, all->address[k]);
	}
	return same ? DNS_RIGHT : DNS_DIFFERENT;
}

enum dns_check dns_compare(const struct dns_wants *all, const struct dns_want *w, const struct dns_answer *x, struct arena *a, struct str *is)
{
	size_t n;
	*is = STR("");
	if (x->status != DNS_OK && x->status != DNS_NODATA && x->status != DNS_NXDOMAIN) {
		*is = arena_str(a, str_z(x->why));
		return DNS_UNCHECKED;
	}
	if (x->status != DNS_OK)
		return DNS_MISSING;
	if (w->type == DNS_TXT)
		return compare_text(all, w, x, a, is);
	*is = list_of(w->type, x, "", a, &n);
	if (w->rule == RULE_ADDRESS)
		return n ? DNS_RIGHT : DNS_MISSING;
	return w->rule == RULE_ALIAS ? compare_alias(all, x) : exact(w, x);
}
