#include "dns/dns.h"
#include <stdio.h>

static const struct { unsigned type; const char *name; } type_names[] = {
	{ DNS_A, "A" }, { DNS_NS, "NS" }, { DNS_CNAME, "CNAME" }, { DNS_SOA, "SOA" }, { DNS_PTR, "PTR" }, { DNS_MX, "MX" }, { DNS_TXT, "TXT" },
	{ DNS_AAAA, "AAAA" }, { DNS_SRV, "SRV" }, { DNS_TLSA, "TLSA" }, { DNS_CAA, "CAA" },
};

const char *dns_status_name(enum dns_status s)
{
	static const char *const names[] = { "ok", "nodata", "nxdomain", "tempfail", "bogus", "badname" };
	return (size_t)s < sizeof(names) / sizeof(names[0]) ? names[s] : "?";
}

const char *dns_type_name(unsigned t)
{
	for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++)
		if (type_names[i].type == t)
			return type_names[i].name;
	return "?";
}

unsigned dns_type_of(struct str name)
{
	for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++)
		if (str_ieq(name, str_z(type_names[i].name)))
			return type_names[i].type;
	return 0;
}

bool dns_name_ok(struct str name)
{
	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	if (name.n == 0 || name.n > 253)
		return false;
	size_t label = 0;
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] != '.') {
			if (++label > 63)
				return false;
			continue;
		}
		if (label == 0)
			return false;
		label = 0;
	}
	return label != 0;
}

void dns_reverse_name(struct str ip, struct str suffix, char out[256])
{
	const uint8_t *b = (const uint8_t *)ip.p;
	size_t at = 0;
	if (ip.n == 4) {
		at = (size_t)snprintf(out, 256, "%u.%u.%u.%u.", b[3], b[2], b[1], b[0]);
	} else if (ip.n == 16) {
		for (size_t i = 16; i-- > 0;)
			at += (size_t)snprintf(out + at, 256 - at, "%x.%x.", b[i] & 15u, b[i] >> 4);
	} else {
		out[0] = '\0';
		return;
	}
	struct str tail = suffix.n ? suffix : ip.n == 4 ? STR("in-addr.arpa") : STR("ip6.arpa");
	snprintf(out + at, 256 - at, "%.*s", PSTR(str_head(tail, 180)));
}
