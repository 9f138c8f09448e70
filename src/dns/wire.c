#include "dns/rdata.h"

#include "base/cursor.h"

enum { POINTERS_MAX = 64 };

static uint16_t be16(struct str p, size_t at) { return (uint16_t)((unsigned char)p.p[at] << 8 | (unsigned char)p.p[at + 1]); }

enum rc wire_name(struct str packet, size_t *at, char out[256], size_t *out_n, struct why *why)
{
	size_t i = *at, n = 0, end = 0;
	for (unsigned jumps = 0;;) {
		if (i >= packet.n)
			FAIL(why, RC_SYNTAX, "a name reaches past the end");
		unsigned len = (unsigned char)packet.p[i];
		if (len >= 0xc0) {
			if (i + 2 > packet.n || ++jumps > POINTERS_MAX)
				FAIL(why, RC_SYNTAX, "a name's pointer leads nowhere");
			size_t to = (size_t)(len & 0x3f) << 8 | (unsigned char)packet.p[i + 1];
			if (!end)
				end = i + 2;
			/* RFC 1035 4.1.4: "a pointer to a prior occurance": never forward, so that no loop is possible. */
			if (to >= i)
				FAIL(why, RC_SYNTAX, "a name's pointer points forward");
			i = to;
			continue;
		}
		if (len > 63)
			FAIL(why, RC_SYNTAX, "a label of an unknown kind");
		i++;
		if (len == 0)
			break;
		if (i + len > packet.n || n + len + 1 > 254)
			FAIL(why, RC_SYNTAX, "a name is too long");
		if (n)
			out[n++] = '.';
		for (unsigned k = 0; k < len; k++) {
			if (packet.p[i + k] == '.')
				FAIL(why, RC_LIMIT, "a label with a dot inside");
			out[n++] = ascii_lower(packet.p[i + k]);
		}
		i += len;
	}
	*at = end ? end : i;
	*out_n = n;
	return RC_OK;
}

static enum rc take_name(struct str packet, size_t at, size_t end, struct arena *a, struct str *out, struct why *why)
{
	char name[256];
	size_t n;
	TRY(wire_name(packet, &at, name, &n, why));
	if (at > end)
		FAIL(why, RC_SYNTAX, "a name reaches past its record");
	*out = arena_str(a, str_of(name, n));
	return a->full ? RC_NOMEM : RC_OK;
}

static enum rc take_text(struct str data, struct arena *a, struct dns_record *out, struct why *why)
{
	char *joined = arena_new(a, data.n + 1);
	size_t n = 0;
	if (!joined)
		return RC_NOMEM;
	for (size_t i = 0; i < data.n; out->strings++) {
		size_t len = (unsigned char)data.p[i++];
		if (len > data.n - i)
			FAIL(why, RC_SYNTAX, "a character-string reaches past its record");
		memcpy(joined + n, data.p + i, len);
		n += len;
		i += len;
	}
	if (!out->strings)
		FAIL(why, RC_SYNTAX, "a TXT record without a string");
	out->data = str_of(joined, n);
	return RC_OK;
}

static enum rc take_caa(struct str data, struct arena *a, struct dns_record *out, struct why *why)
{
	/* RFC 8659 4.1: flags, length of the tag (at least 1), tag, value. */
	size_t tag = data.n >= 2 ? (unsigned char)data.p[1] : 0;
	if (tag == 0 || tag > data.n - 2)
		FAIL(why, RC_SYNTAX, "a CAA record without a tag");
	out->usage = (uint8_t)data.p[0];
	char *name = arena_new(a, tag + 1);
	out->data = arena_str(a, str_skip(data, 2 + tag));
	if (a->full)
		return RC_NOMEM;
	for (size_t i = 0; i < tag; i++)
		name[i] = ascii_lower(data.p[2 + i]);
	out->name = str_of(name, tag);
	return RC_OK;
}

static enum rc take_octets(struct str data, struct arena *a, struct str *out)
{
	*out = arena_str(a, data);
	return a->full ? RC_NOMEM : RC_OK;
}

enum rc rdata_from_wire(unsigned type, struct str packet, size_t at, size_t n, struct arena *a, struct dns_record *out, struct why *why)
{
	static const struct { uint16_t type, least; } leasts[] = {
		{ DNS_A, 4 }, { DNS_AAAA, 16 }, { DNS_MX, 3 }, { DNS_SRV, 7 }, { DNS_TLSA, 3 }, { DNS_SOA, 22 }, { DNS_NS, 1 }, { DNS_CNAME, 1 }, { DNS_PTR, 1 },
	};
	*out = (struct dns_record){ .name = STR(""), .data = STR("") };
	if (at > packet.n || n > packet.n - at)
		FAIL(why, RC_SYNTAX, "a record reaches past the end");
	for (size_t i = 0; i < sizeof(leasts) / sizeof(leasts[0]); i++)
		if (leasts[i].type == type && n < leasts[i].least)
			FAIL(why, RC_SYNTAX, "a %s record of %zu octets", dns_type_name(type), n);
	struct str data = str_of(packet.p + at, n);
	switch (type) {
	case DNS_A: case DNS_AAAA:
		if (n != (type == DNS_A ? 4u : 16u))
			FAIL(why, RC_SYNTAX, "an address of %zu octets", n);
		return take_octets(data, a, &out->data);
	case DNS_NS: case DNS_CNAME: case DNS_PTR: case DNS_SOA:
		return take_name(packet, at, at + n, a, &out->name, why);
	case DNS_MX:
		out->preference = be16(packet, at);
		return take_name(packet, at + 2, at + n, a, &out->name, why);
	case DNS_SRV:
		out->preference = be16(packet, at);
		out->weight = be16(packet, at + 2);
		out->port = be16(packet, at + 4);
		return take_name(packet, at + 6, at + n, a, &out->name, why);
	case DNS_TXT: return take_text(data, a, out, why);
	case DNS_TLSA:
		out->usage = (uint8_t)data.p[0];
		out->selector = (uint8_t)data.p[1];
		out->matching = (uint8_t)data.p[2];
		return take_octets(str_skip(data, 3), a, &out->data);
	case DNS_CAA: return take_caa(data, a, out, why);
	default: return RC_NOTFOUND;
	}
}
