#include "role/config_names.h"

#include "mail/address.h"

enum { WORDS_MAX = 64 };

bool name_ends_with_number(struct str name)
{
	size_t digits = 0;
	while (digits < name.n && ascii_digit(name.p[name.n - 1 - digits]))
		digits++;
	return digits > 0 && (digits == name.n || name.p[name.n - 1 - digits] == '.');
}

static bool is_name(struct str s)
{
	if (s.n > 1 && str_ends(s, STR(".")))
		s = str_head(s, s.n - 1);
	return mail_domain_ok(s, true) && !name_ends_with_number(s);
}

static bool is_zone(struct str s) { return str_eq(s, STR(".")) || is_name(s); }

static bool is_port(struct str s)
{
	uint64_t v;
	return str_u64(s, 65535, &v) && v > 0;
}

static bool is_ip(struct str s, bool v4, bool v6)
{
	char text[80];
	struct net_addr unused;
	bool colon = str_find(s, ':') < s.n;
	if (s.n == 0 || s.n > 60 || (colon ? !v6 : !v4))
		return false;
	int n = snprintf(text, sizeof text, colon ? "[%.*s]:0" : "%.*s:0", PSTR(s));
	return net_parse(str_of(text, (size_t)n), &unused, NULL) == RC_OK;
}

static bool is_v4(struct str s) { return is_ip(s, true, false); }
static bool is_v6(struct str s) { return is_ip(s, false, true); }

static bool is_forwarder(struct str s)
{
	struct str address, port;
	bool more = str_cut(s, '@', &address, &port);
	return is_ip(address, true, true) && (!more || is_port(port));
}

/* One word, or several: each must be what `ok` takes. Empty is the default of all of them. */
struct rule { const char *key; size_t offset; bool list; bool (*ok)(struct str word); const char *wanted; };
static const struct rule rules[] = {
	{ "server.hostname", offsetof(struct config, server_hostname), false, is_name, "is no host name, such as mail.example.org" },
	{ "relay.hostname", offsetof(struct config, relay_hostname), false, is_name, "is no host name, such as mail.example.org" },
	{ "login.default_domain", offsetof(struct config, login_default_domain), false, is_name, "is no domain, such as example.org" },
	{ "relay.source_v4", offsetof(struct config, relay_source_v4), false, is_v4, "is no IPv4 address" },
	{ "relay.source_v6", offsetof(struct config, relay_source_v6), false, is_v6, "is no IPv6 address" },
	{ "relay.ports", offsetof(struct config, relay_ports), true, is_port, "is no port: 1 to 65535" },
	{ "dns.insecure", offsetof(struct config, dns_insecure), true, is_zone, "is no zone, such as example.org" },
	{ "dns.forwarder", offsetof(struct config, dns_forwarder), true, is_forwarder, "is not ADDRESS or ADDRESS@PORT" },
};

static enum rc check_rule(const struct config *c, const struct rule *r, struct why *why)
{
	struct str value = *(const struct str *)(const void *)((const char *)c + r->offset), word[WORDS_MAX];
	size_t n = r->list ? str_words(value, word, WORDS_MAX) : value.n > 0;
	if (!r->list)
		word[0] = value;
	if (n > WORDS_MAX)
		FAIL(why, RC_LIMIT, "%s names more than %d", r->key, WORDS_MAX);
	for (size_t i = 0; i < n; i++)
		if (!r->ok(word[i]))
			FAIL(why, RC_SYNTAX, "%s: \"%.*s\" %s", r->key, PSTR(str_head(word[i], 60)), r->wanted);
	return RC_OK;
}

enum rc config_names_check(const struct config *c, struct why *why)
{
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		if (rules[i].ok == is_forwarder && str_eq(str_trim(c->dns_forwarder), STR("none")))
			continue;
		TRY(check_rule(c, &rules[i], why));
	}
	return RC_OK;
}
