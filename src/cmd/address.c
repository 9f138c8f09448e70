#include "cmd/address.h"

#include "base/codec.h"
#include "base/idn.h"
#include "os/net.h"
#include "role/config_names.h"
#include <stdio.h>

enum { LOCAL_MAX = 64, DOMAIN_MAX = 253, LABEL_MAX = 63 };

/* RFC 1123 2.1: letters, digits and hyphens, no hyphen at an end, at least two labels here. */
static bool is_domain(struct str d)
{
	size_t label = 0, labels = 1;
	for (size_t i = 0; i < d.n; i++) {
		char c = d.p[i];
		bool end = i + 1 == d.n || d.p[i + 1] == '.';
		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			labels++;
			continue;
		}
		if (!ascii_alnum(c) && !(c == '-' && label > 0 && !end))
			return false;
		if (++label > LABEL_MAX)
			return false;
	}
	return label > 0 && labels >= 2 && d.n <= DOMAIN_MAX;
}

enum rc domain_clean(const char *text, char *out, size_t size, struct why *why)
{
	char *ascii = NULL;
	if (strlen(text) > 4 * DOMAIN_MAX)
		FAIL(why, RC_LIMIT, "a domain has at most %d octets", DOMAIN_MAX);
	TRY(idn_load(why));
	if (!idn_to_ascii(text, &ascii))
		FAIL(why, RC_SYNTAX, "\"%.100s\" is not a domain", text);
	int n = snprintf(out, size, "%s", ascii);
	idn_alabels_free(ascii);
	for (char *p = out; *p; p++)
		*p = ascii_lower(*p);
	if (n < 0 || (size_t)n >= size || !is_domain(str_z(out)))
		FAIL(why, RC_SYNTAX, "\"%.100s\" is not a domain; it should look like example.org", text);
	return RC_OK;
}

/* "192.0.2.1", "2001:db8::1", and in brackets as RFC 5321 4.1.3 has them: "[192.0.2.1]", "[IPv6:2001:db8::1]". */
static bool is_ip(struct str s)
{
	char text[64];
	uint8_t unused[16];
	if (str_starts(s, STR("[")) && str_ends(s, STR("]")))
		s = str_head(str_skip(s, 1), s.n - 2);
	if (str_istarts(s, STR("IPv6:")))
		s = str_skip(s, 5);
	(void)snprintf(text, sizeof text, "%.*s", PSTR(s));
	return s.n < sizeof text && net_addr16(text, unused);
}

enum rc domain_clean_ours(const char *text, char *out, size_t size, struct why *why)
{
	if (is_ip(str_z(text)))
		FAIL(why, RC_SYNTAX, "\"%.100s\" is an IP address, not a domain; it should look like example.org", text);
	TRY(domain_clean(text, out, size, why));
	if (name_ends_with_number(str_z(out)))
		FAIL(why, RC_SYNTAX, "\"%.100s\" is not a domain, for it ends with a number; it should look like example.org", text);
	return RC_OK;
}

/* The local part without quotes: what cannot be written that way (RFC 5322 3.2.3) makes no good login name either. */
static bool is_local(struct str l, bool tags)
{
	if (l.n == 0 || l.n > LOCAL_MAX || !utf8_ok(l) || l.p[0] == '.' || l.p[l.n - 1] == '.')
		return false;
	for (size_t i = 0; i < l.n; i++) {
		unsigned char c = (unsigned char)l.p[i];
		if (c <= ' ' || c == 0x7f || strchr("()<>[]:;@\\,\"", c) || (c == '+' && !tags) || (c == '.' && l.p[i + 1] == '.'))
			return false;
	}
	return true;
}

static enum rc clean(const char *text, bool tags, char *out, size_t size, struct why *why)
{
	const char *at = strrchr(text, '@');
	if (!at || !is_local((struct str){ text, (size_t)(at - text) }, tags))
		FAIL(why, RC_SYNTAX, "\"%.100s\" is not an address; it should look like alice@example.org%s", text, tags ? "" : ", without +");
	size_t local = (size_t)(at - text) + 1;
	if (local >= size)
		FAIL(why, RC_LIMIT, "the address is too long");
	for (size_t i = 0; i < local; i++)
		out[i] = ascii_lower(text[i]);
	return domain_clean(at + 1, out + local, size - local, why);
}

enum rc address_clean(const char *text, char *out, size_t size, struct why *why) { return clean(text, false, out, size, why); }
enum rc address_clean_tagged(const char *text, char *out, size_t size, struct why *why) { return clean(text, true, out, size, why); }

struct str address_sought(const char *text, char *out, size_t size)
{
	const char *at = strrchr(text, '@');
	size_t local = at ? (size_t)(at - text) + 1 : 0;
	struct why why = { 0 };
	if (!at || local >= size || domain_clean(at + 1, out + local, size - local, &why) != RC_OK)
		return str_z(text);
	memcpy(out, text, local);
	return str_z(out);
}
