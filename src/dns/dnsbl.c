#include "dns/dnsbl.h"

enum { REASON_MAX = 200 };
enum answer { ANSWER_NO, ANSWER_LISTED, ANSWER_REFUSED };

static bool is_private(struct str ip)
{
	const uint8_t *b = (const uint8_t *)ip.p;
	if (ip.n == 4)
		return b[0] == 10 || b[0] == 0 || (b[0] == 127 && !(b[1] == 0 && b[2] == 0 && b[3] == 2)) || (b[0] == 172 && (b[1] & 0xf0) == 16) ||
		       (b[0] == 192 && b[1] == 168) || (b[0] == 169 && b[1] == 254) || (b[0] == 100 && (b[1] & 0xc0) == 64);
	static const uint8_t loopback[16] = { [15] = 1 };
	return memcmp(b, loopback, 16) == 0 || (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
}

bool dnsbl_asks_about(struct str ip) { return (ip.n == 4 || ip.n == 16) && !is_private(ip); }

/* RFC 5782 2.1: listed is an A record in 127.0.0.0/8. Lists answer 127.255.255.x to those they do not serve ("open resolver", "over quota", "typing
 * error"), and a seized or parked zone answers anything: neither is a listing. */
static enum answer one(const struct dns *d, struct str zone, struct str ip, struct arena *a, uint8_t code[4])
{
	char name[256];
	struct dns_answer x;
	bool strange = false;
	dns_reverse_name(ip, zone, name);
	dns_ask(d, DNS_A, str_z(name), a, &x);
	if (x.status == DNS_NXDOMAIN || x.status == DNS_NODATA)
		return ANSWER_NO;
	if (x.status != DNS_OK)
		return ANSWER_REFUSED;
	for (size_t i = 0; i < x.records; i++) {
		const uint8_t *b = (const uint8_t *)x.record[i].data.p;
		if (x.record[i].data.n != 4 || b[0] != 127 || (b[1] == 255 && b[2] == 255))
			strange = true;
		else
			memcpy(code, b, 4);
	}
	return strange || !x.records ? ANSWER_REFUSED : ANSWER_LISTED;
}

/* RFC 5782 5: a list that works never lists 127.0.0.1, nor ::FFFF:7F00:1 where it lists IPv6. Lists that are given up, and zones that came into other hands,
 * list the whole world. Asked only of a list that has just listed somebody; whoever does not answer this is believed. */
static bool lists_everything(const struct dns *d, struct str zone, struct str ip, struct arena *a)
{
	static const uint8_t nobody[16] = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 };
	uint8_t unused[4];
	return one(d, zone, str_of(nobody + sizeof nobody - ip.n, ip.n), a, unused) == ANSWER_LISTED;
}

static struct str reason(const struct dns *d, struct str zone, struct str ip, struct arena *a)
{
	char name[256];
	struct dns_answer x;
	dns_reverse_name(ip, zone, name);
	dns_ask(d, DNS_TXT, str_z(name), a, &x);
	if (x.status != DNS_OK || !x.records)
		return STR("");
	struct str text = str_head(x.record[0].data, REASON_MAX);
	char *shown = arena_new(a, text.n + 1); /* it goes into an answer and a header field: printable ASCII, whatever the list says */
	for (size_t i = 0; shown && i < text.n; i++)
		shown[i] = text.p[i] < 0x20 || text.p[i] > 0x7e ? '?' : text.p[i];
	return shown ? str_of(shown, text.n) : STR("");
}

void dnsbl_ask(const struct dns *d, const struct str *zone, size_t zone_n, struct str ip, struct arena *a, struct dnsbl_listing *out)
{
	*out = (struct dnsbl_listing){ .zone = STR(""), .reason = STR("") };
	if (!dnsbl_asks_about(ip))
		return;
	for (size_t i = 0; i < zone_n && i < DNSBL_ZONES_MAX; i++) {
		enum answer x = one(d, zone[i], ip, a, out->code);
		if (x == ANSWER_LISTED && lists_everything(d, zone[i], ip, a))
			x = ANSWER_REFUSED;
		if (x == ANSWER_REFUSED)
			out->refused++;
		if (x != ANSWER_LISTED)
			continue;
		out->listed = true;
		out->zone = zone[i];
		out->reason = reason(d, zone[i], ip, a);
		return;
	}
}
