#include "dns/rdata.h"

#include "base/cursor.h"
#include "base/codec.h"
#include "base/mem.h"
#include "os/net.h"

/* Types that stand in real zones beside what we ask for: their records are read over. DNAME is not among them: what it says of other names would be missing. */
static const struct { const char *name; uint16_t type; } other_types[] = {
	{ "HINFO", 13 }, { "RP", 17 }, { "AFSDB", 18 }, { "LOC", 29 }, { "NAPTR", 35 }, { "CERT", 37 }, { "DS", 43 }, { "SSHFP", 44 }, { "RRSIG", 46 },
	{ "NSEC", 47 }, { "DNSKEY", 48 }, { "NSEC3", 50 }, { "NSEC3PARAM", 51 }, { "SMIMEA", 53 }, { "CDS", 59 }, { "CDNSKEY", 60 }, { "OPENPGPKEY", 61 },
	{ "ZONEMD", 63 }, { "SVCB", 64 }, { "HTTPS", 65 }, { "SPF", 99 }, { "URI", 256 }, { "MB", 7 }, { "MG", 8 }, { "MR", 9 }, { "NULL", 10 }, { "WKS", 11 },
	{ "MINFO", 14 }, { "X25", 19 }, { "ISDN", 20 }, { "RT", 21 }, { "NSAP", 22 }, { "NSAP-PTR", 23 }, { "SIG", 24 }, { "KEY", 25 }, { "PX", 26 }, { "GPOS", 27 },
	{ "NXT", 30 }, { "KX", 36 }, { "APL", 42 }, { "IPSECKEY", 45 }, { "DHCID", 49 }, { "HIP", 55 }, { "CSYNC", 62 }, { "DSYNC", 66 }, { "NID", 104 }, { "L32", 105 },
	{ "L64", 106 }, { "LP", 107 }, { "EUI48", 108 }, { "EUI64", 109 }, { "AVC", 258 }, { "AMTRELAY", 260 }, { "TA", 32768 }, { "DLV", 32769 },
};

unsigned rdata_type(struct str word)
{
	unsigned t = dns_type_of(word);
	for (size_t i = 0; !t && i < sizeof(other_types) / sizeof(other_types[0]); i++)
		if (str_ieq(word, str_z(other_types[i].name)))
			t = other_types[i].type;
	uint64_t n;
	if (!t && str_istarts(word, STR("TYPE")) && str_u64(str_skip(word, 4), 65535, &n))
		t = (unsigned)n;
	return t;
}

bool dns_fold(struct str name, char out[256], size_t *out_n)
{
	if (!dns_name_ok(name))
		return false;
	if (name.p[name.n - 1] == '.')
		name.n--;
	for (size_t i = 0; i < name.n; i++)
		out[i] = ascii_lower(name.p[i]);
	*out_n = name.n;
	return true;
}

/* RFC 1035 5.1: "\DDD" is the octet of that number, "\X" is X without its meaning. 0: nothing left; < 0: not an escape that is allowed. */
static int unescape(struct str *s, bool *out_escaped)
{
	unsigned char c = (unsigned char)s->p[0];
	*out_escaped = c == '\\';
	if (c != '\\') {
		*s = str_skip(*s, 1);
		return c;
	}
	if (s->n < 2)
		return -1;
	if (!ascii_digit(s->p[1])) {
		c = (unsigned char)s->p[1];
		*s = str_skip(*s, 2);
		return c;
	}
	uint64_t v;
	if (s->n < 4 || !str_u64(str_of(s->p + 1, 3), 255, &v))
		return -1;
	*s = str_skip(*s, 4);
	return (int)v;
}

enum rc rdata_name(struct str text, struct str origin, struct arena *a, struct str *out, struct why *why)
{
	if (str_eq(text, STR("@"))) {
		*out = arena_str(a, origin);
		return a->full ? RC_NOMEM : RC_OK;
	}
	char name[512];
	size_t n = 0;
	bool absolute = false, escaped;
	if (str_eq(text, STR(".")))
		return *out = STR(""), RC_OK;
	for (struct str s = text; s.n;) {
		int c = unescape(&s, &escaped);
		if (c < 0)
			FAIL(why, RC_SYNTAX, "\"%.*s\": a backslash that is no escape", PSTR(str_head(text, 80)));
		if (c == '.' && escaped)
			FAIL(why, RC_SYNTAX, "\"%.*s\": a dot inside a label is not taken", PSTR(str_head(text, 80)));
		absolute = c == '.';
		if (n >= 254)
			FAIL(why, RC_SYNTAX, "\"%.*s...\": a name is at most 253 octets", PSTR(str_head(text, 40)));
		name[n++] = ascii_lower((char)c);
	}
	if (!absolute && origin.n) {
		if (n + 1 + origin.n > 254)
			FAIL(why, RC_SYNTAX, "\"%.*s...\": a name is at most 253 octets", PSTR(str_head(text, 40)));
		name[n++] = '.';
		memcpy(name + n, origin.p, origin.n);
		n += origin.n;
	}
	if (!dns_name_ok(str_of(name, n)))
		FAIL(why, RC_SYNTAX, "\"%.*s\" is not a name", PSTR(str_head(text, 80)));
	*out = arena_str(a, str_of(name, name[n - 1] == '.' ? n - 1 : n));
	return a->full ? RC_NOMEM : RC_OK;
}

static enum rc number(const struct zone_word *w, size_t n, size_t i, uint64_t max, uint64_t *out, struct why *why)
{
	if (i >= n || !str_u64(w[i].text, max, out))
		FAIL(why, RC_SYNTAX, "\"%.*s\" where a number up to %llu belongs", PSTR(str_head(i < n ? w[i].text : STR("nothing"), 40)), (unsigned long long)max);
	return RC_OK;
}

static enum rc need(size_t n, size_t want, const char *what, struct why *why)
{
	if (n != want)
		FAIL(why, RC_SYNTAX, "%s takes %zu words, here are %zu", what, want, n);
	return RC_OK;
}

static enum rc text_add(struct str s, struct buf *b, struct why *why)
{
	size_t start = b->len;
	bool escaped;
	while (s.n) {
		int c = unescape(&s, &escaped);
		if (c < 0)
			FAIL(why, RC_SYNTAX, "a backslash that is no escape");
		buf_byte(b, (char)c);
	}
	/* RFC 1035 3.3: a character-string is at most 255 octets. */
	if (b->len - start > 255)
		FAIL(why, RC_SYNTAX, "a string of %zu octets: at most 255 each", b->len - start);
	return RC_OK;
}

static enum rc keep(struct arena *a, struct buf *b, struct str *out, struct why *why)
{
	if (b->failed)
		FAIL(why, RC_LIMIT, "a record of more than %zu octets", b->max);
	*out = arena_str(a, buf_str(b));
	return a->full ? RC_NOMEM : RC_OK;
}

/* Longer than the wire can carry: a zone of tests may say what no server could, and whoever asks has a ceiling of its own. */
enum { STRINGS_MAX = 2 << 20 };
static enum rc parse_strings(const struct zone_word *w, size_t n, struct arena *a, struct dns_record *out, struct why *why)
{
	AUTO(buf_done) struct buf b;
	buf_init(&b, STRINGS_MAX);
	if (n == 0)
		FAIL(why, RC_SYNTAX, "TXT needs a string");
	for (size_t i = 0; i < n; i++)
		TRY(text_add(w[i].text, &b, why));
	out->strings = (unsigned)n;
	return keep(a, &b, &out->data, why);
}

static enum rc parse_hex(const struct zone_word *w, size_t n, struct arena *a, struct str *out, struct why *why)
{
	AUTO(buf_done) struct buf hex, b;
	buf_init(&hex, 2 * DNS_MAX_RDATA);
	buf_init(&b, DNS_MAX_RDATA);
	for (size_t i = 0; i < n; i++)
		buf_add(&hex, w[i].text);
	if (hex.failed || hex_decode(buf_str(&hex), &b) != RC_OK)
		FAIL(why, RC_SYNTAX, "this is not hexadecimal");
	return keep(a, &b, out, why);
}

/* RFC 3597 5: \# length hex */
static enum rc parse_generic(unsigned type, const struct zone_word *w, size_t n, struct arena *a, struct dns_record *out, struct why *why)
{
	uint64_t len;
	struct str wire;
	TRY(number(w, n, 1, 65535, &len, why));
	TRY(parse_hex(w + 2, n - 2, a, &wire, why));
	if (wire.n != len)
		FAIL(why, RC_SYNTAX, "\\# says %u octets, there are %zu", (unsigned)len, wire.n);
	return rdata_from_wire(type, wire, 0, wire.n, a, out, why);
}

static enum rc parse_address(unsigned type, struct str text, struct arena *a, struct dns_record *out, struct why *why)
{
	uint8_t ip[16];
	char z[64];
	snprintf(z, sizeof z, "%.*s", PSTR(str_head(text, 60)));
	bool colons = str_find(text, ':') < text.n;
	if (text.n > 60 || colons != (type == DNS_AAAA) || !net_addr16(z, ip))
		FAIL(why, RC_SYNTAX, "\"%.*s\" is not an IPv%c address", PSTR(str_head(text, 60)), type == DNS_A ? '4' : '6');
	out->data = arena_str(a, type == DNS_A ? str_of(ip + 12, 4) : str_of(ip, 16));
	return a->full ? RC_NOMEM : RC_OK;
}

static enum rc parse_tlsa(const struct zone_word *w, size_t n, struct arena *a, struct dns_record *out, struct why *why)
{
	uint64_t v[3];
	for (size_t i = 0; i < 3; i++)
		TRY(number(w, n, i, 255, &v[i], why));
	if (n < 4)
		FAIL(why, RC_SYNTAX, "TLSA needs its data");
	out->usage = (uint8_t)v[0];
	out->selector = (uint8_t)v[1];
	out->matching = (uint8_t)v[2];
	return parse_hex(w + 3, n - 3, a, &out->data, why);
}

static enum rc parse_caa(const struct zone_word *w, size_t n, struct arena *a, struct dns_record *out, struct why *why)
{
	uint64_t flags;
	AUTO(buf_done) struct buf b;
	buf_init(&b, 256);
	TRY(need(n, 3, "CAA", why));
	TRY(number(w, n, 0, 255, &flags, why));
	TRY(text_add(w[2].text, &b, why));
	out->usage = (uint8_t)flags;
	out->name = arena_str(a, w[1].text);
	for (size_t i = 0; !a->full && i < out->name.n; i++)
		((char *)(uintptr_t)out->name.p)[i] = ascii_lower(out->name.p[i]);
	return keep(a, &b, &out->data, why);
}

static enum rc parse_srv(const struct zone_word *w, size_t n, struct str origin, struct arena *a, struct dns_record *out, struct why *why)
{
	uint64_t v[3];
	TRY(need(n, 4, "SRV", why));
	for (size_t i = 0; i < 3; i++)
		TRY(number(w, n, i, 65535, &v[i], why));
	out->preference = (uint16_t)v[0];
	out->weight = (uint16_t)v[1];
	out->port = (uint16_t)v[2];
	return rdata_name(w[3].text, origin, a, &out->name, why);
}

enum rc rdata_parse(unsigned type, const struct zone_word *w, size_t n, struct str origin, struct arena *a, struct dns_record *out, struct why *why)
{
	uint64_t v;
	*out = (struct dns_record){ .name = STR(""), .data = STR("") };
	if (n >= 2 && !w[0].quoted && str_eq(w[0].text, STR("\\#")))
		return parse_generic(type, w, n, a, out, why);
	switch (type) {
	case DNS_A: case DNS_AAAA:
		TRY(need(n, 1, dns_type_name(type), why));
		return parse_address(type, w[0].text, a, out, why);
	case DNS_NS: case DNS_CNAME: case DNS_PTR:
		TRY(need(n, 1, dns_type_name(type), why));
		return rdata_name(w[0].text, origin, a, &out->name, why);
	case DNS_MX:
		TRY(need(n, 2, "MX", why));
		TRY(number(w, n, 0, 65535, &v, why));
		out->preference = (uint16_t)v;
		return rdata_name(w[1].text, origin, a, &out->name, why);
	case DNS_SOA:
		TRY(need(n, 7, "SOA", why));
		return rdata_name(w[0].text, origin, a, &out->name, why);
	case DNS_TXT: return parse_strings(w, n, a, out, why);
	case DNS_SRV: return parse_srv(w, n, origin, a, out, why);
	case DNS_TLSA: return parse_tlsa(w, n, a, out, why);
	case DNS_CAA: return parse_caa(w, n, a, out, why);
	default: return RC_NOTFOUND;
	}
}
