#include "role/dns_want.h"

#include "base/codec.h"
#include "origin/dmarc.h"
#include "role/dkim_clock.h"
#include <arpa/inet.h>

const char *dns_check_name(enum dns_check c)
{
	static const char *const names[] = { "ok", "not used", "extra", "could not check", "missing", "different" };
	return names[c];
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

static struct str ip_text(struct str ip, char room[INET6_ADDRSTRLEN])
{
	(void)snprintf(room, INET6_ADDRSTRLEN, "?");
	if (ip.n == 4 || ip.n == 16)
		(void)inet_ntop(ip.n == 4 ? AF_INET : AF_INET6, ip.p, room, INET6_ADDRSTRLEN);
	return str_z(room);
}

void dns_record_text(unsigned type, const struct dns_record *r, struct buf *out)
{
	char ip[INET6_ADDRSTRLEN];
	switch (type) {
	case DNS_A: case DNS_AAAA: buf_add(out, ip_text(r->data, ip)); return;
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
	AUTO(buf_done) struct buf b = { .max = 65536 };
	*out_n = 0;
	for (size_t i = 0; i < x->records; i++) {
		if (!str_istarts(x->record[i].data, str_z(prefix)))
			continue;
		if ((*out_n)++)
			buf_add(&b, STR(" | "));
		dns_record_text(type, &x->record[i], &b);
	}
	return b.failed ? STR("(more than can be shown)") : arena_str(a, buf_str(&b));
}

static enum dns_check exact(const struct dns_want *w, const struct dns_answer *x)
{
	bool found = false;
	for (size_t i = 0; i < x->records; i++) {
		AUTO(buf_done) struct buf b = { .max = 65536 };
		dns_record_text(w->type, &x->record[i], &b);
		struct str got = buf_str(&b), want = w->value;
		if (w->type == DNS_MX) { /* the number is the owner's choice */
			got = str_skip(got, str_find(got, ' '));
			want = str_skip(want, str_find(want, ' '));
		}
		found = found || str_ieq(got, want);
	}
	bool alone = x->records == 1 || w->type == DNS_TLSA || w->type == DNS_SRV;
	if (w->unused)
		return found ? DNS_RIGHT : DNS_EXTRA;
	return !found ? DNS_DIFFERENT : alone ? DNS_RIGHT : DNS_EXTRA;
}

/* ---- SPF: the record as the name server has it, evaluated for each of this machine's addresses ---- */

struct overlay { const struct dns *behind; struct str name; const struct dns_answer *answer; };
static void overlay_ask(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	const struct overlay *o = house;
	if (type == DNS_TXT && str_ieq(name, o->name))
		*out = *o->answer;
	else
		dns_ask(o->behind, type, name, a, out);
}

static enum dns_check spf_right(const struct dns_wants *all, const struct dns_want *w, const struct dns_answer *x, struct arena *a, struct str *is)
{
	struct overlay o = { &all->dns, w->name, x };
	struct dns dns = { .house = &o, .ask = overlay_ask };
	char ip[INET6_ADDRSTRLEN], text[400];
	if (!all->address_n) {
		*is = STR("this machine's name has no address yet for which it could be evaluated");
		return DNS_UNCHECKED;
	}
	for (size_t i = 0; i < all->address_n; i++) {
		struct spf_query q = { .ip = all->address[i], .helo = all->host, .local = STR("postmaster"), .domain = w->name, .receiver = all->host };
		struct spf_result r;
		spf_check(&dns, &q, NULL, a, &r);
		if (r.result == AUTH_PASS)
			continue;
		int n = snprintf(text, sizeof text, "for %.*s it says %s: %.*s", PSTR(ip_text(all->address[i], ip)), auth_name(r.result), PSTR(str_head(r.why, 250)));
		struct str said = arena_str(a, str_of(text, n > 0 ? (size_t)n : 0));
		if (r.result == AUTH_TEMPERROR)
			return *is = said, DNS_UNCHECKED;
		AUTO(buf_done) struct buf b = { .max = 70000 };
		buf_addf(&b, "%.*s (%.*s)", PSTR(*is), PSTR(said));
		*is = arena_str(a, buf_str(&b));
		return DNS_DIFFERENT;
	}
	return DNS_RIGHT;
}

/* ---- other texts ---- */

static bool names_us(struct str rua, struct str address, struct arena *a)
{
	enum { URIS = 20 };
	struct dmarc_uri uri[URIS];
	size_t n = dmarc_uris(rua, a, uri, URIS);
	for (size_t i = 0; i < n; i++)
		if (str_ieq(uri[i].address, address))
			return true;
	return address.n == 0;
}

static bool tag(struct str record, const char *name, struct str *out)
{
	struct tags t;
	struct why unused = { 0 };
	const struct str *v = tags_parse(record, &t, &unused) == RC_OK ? tags_get(&t, name) : NULL;
	if (v)
		*out = *v;
	return v != NULL;
}

static bool is_id(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alnum(s.p[i]))
			return false;
	return s.n >= 1 && s.n <= 32;
}

static bool text_right(const struct dns_wants *all, const struct dns_want *w, struct str is, struct arena *a)
{
	struct dmarc_record r;
	struct why unused = { 0 };
	struct str x, y;
	switch (w->rule) {
	case RULE_DKIM: return dkim_clock_same(is, w->value);
	case RULE_DMARC: return dmarc_record_parse(is, a, &r, &unused) == RC_OK && tag(is, "p", &x) && names_us(r.rua, all->dmarc_address, a);
	case RULE_REPORTS: return true;
	case RULE_STS: /* RFC 8461 3.1; the id of a policy of ours says which policy it is */
		return tag(is, "v", &x) && str_eq(x, STR("STSv1")) && tag(is, "id", &y) && is_id(y) && (w->unused || (tag(w->value, "id", &x) && str_eq(x, y)));
	case RULE_TLSRPT: return tag(is, "rua", &x) && names_us(x, all->tls_address, a);
	default: return false;
	}
}

/* The record there is, with our address among those of rua=. */
static struct str with_us(struct str is, struct str address, struct arena *a)
{
	AUTO(buf_done) struct buf b = { .max = 8192 };
	struct str rua, head = is;
	if (tag(is, "rua", &rua) && rua.n) {
		size_t end = (size_t)(rua.p - is.p) + rua.n;
		buf_addf(&b, "%.*s,mailto:%.*s%.*s", PSTR(str_head(is, end)), PSTR(address), PSTR(str_skip(is, end)));
	} else {
		head = str_trim(head);
		while (head.n && (head.p[head.n - 1] == ';' || head.p[head.n - 1] == ' '))
			head.n--;
		buf_addf(&b, "%.*s; rua=mailto:%.*s", PSTR(head), PSTR(address));
	}
	return b.failed ? STR("") : arena_str(a, buf_str(&b));
}

/* What its owner says beside what we need is kept. */
static struct str should_be(const struct dns_wants *all, const struct dns_want *w, struct str is, struct arena *a)
{
	struct dmarc_record r;
	struct why unused = { 0 };
	struct str fixed = STR(""), x;
	AUTO(buf_done) struct buf b = { .max = 8192 };
	if (w->rule == RULE_SPF) {
		buf_addf(&b, "v=spf1 mx%.*s", PSTR(str_skip(is, 6)));
		fixed = b.failed ? fixed : arena_str(a, buf_str(&b));
	}
	if (w->rule == RULE_DMARC && dmarc_record_parse(is, a, &r, &unused) == RC_OK && tag(is, "p", &x))
		fixed = with_us(is, all->dmarc_address, a);
	if (w->rule == RULE_TLSRPT && tag(is, "v", &x) && all->tls_address.n)
		fixed = with_us(is, all->tls_address, a);
	return fixed.n ? fixed : w->value;
}

static enum dns_check compare_text(const struct dns_wants *all, const struct dns_want *w, const struct dns_answer *x, struct arena *a, struct str *is, struct str *should)
{
	static const char *const prefixes[] = { [RULE_SPF] = "v=spf1", [RULE_DKIM] = "", [RULE_DMARC] = "v=DMARC1", [RULE_REPORTS] = "v=DMARC1", [RULE_STS] = "v=",
		                                [RULE_TLSRPT] = "v=TLSRPTv1" };
	size_t n;
	*is = list_of(DNS_TXT, x, prefixes[w->rule], a, &n);
	if (n == 0)
		return w->unused ? DNS_UNUSED : DNS_MISSING;
	/* Two records of one kind are none: RFC 7208 4.5, RFC 9989 4.10.1, RFC 8461 3.1 */
	if (n > 1)
		return DNS_DIFFERENT;
	struct str one = *is;
	enum dns_check r = w->rule == RULE_SPF ? spf_right(all, w, x, a, is) : text_right(all, w, one, a) ? DNS_RIGHT : DNS_DIFFERENT;
	if (r == DNS_DIFFERENT)
		*should = should_be(all, w, one, a);
	return r;
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

enum dns_check dns_compare(const struct dns_wants *all, const struct dns_want *w, const struct dns_answer *x, struct arena *a, struct str *is, struct str *should)
{
	size_t n;
	*is = STR("");
	*should = w->value;
	if (x->status != DNS_OK && x->status != DNS_NODATA && x->status != DNS_NXDOMAIN) {
		*is = arena_str(a, str_z(x->why));
		return DNS_UNCHECKED;
	}
	if (x->status != DNS_OK)
		return w->unused ? DNS_UNUSED : DNS_MISSING;
	if (w->type == DNS_TXT)
		return compare_text(all, w, x, a, is, should);
	*is = list_of(w->type, x, "", a, &n);
	if (w->rule == RULE_ADDRESS)
		return n ? DNS_RIGHT : DNS_MISSING;
	return w->rule == RULE_ALIAS ? compare_alias(all, x) : exact(w, x);
}
