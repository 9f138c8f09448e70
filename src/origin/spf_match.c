#include "origin/spf_internal.h"
#include "origin/spf_ip.h"

/* The mechanisms (RFC 7208 5). */

enum spf_match spf_count(struct spf_run *r)
{
	/* RFC 7208 4.6.4: "If this limit is exceeded, the implementation MUST return "permerror"." */
	if (r->lookups >= SPF_LOOKUPS_MAX) {
		spf_because(r, "more than %d terms that ask the DNS", SPF_LOOKUPS_MAX);
		return SPF_PERM;
	}
	r->lookups++;
	return SPF_YES;
}

static bool failed(enum dns_status s) { return s == DNS_TEMPFAIL || s == DNS_BOGUS; }

static enum spf_match no_answer(struct spf_run *r, unsigned type, struct str name, const struct dns_answer *ans)
{
	spf_because(r, "%s of %.*s: %s", dns_type_name(type), PSTR(str_head(name, SPF_NAME_MAX)), ans->why[0] ? ans->why : dns_status_name(ans->status));
	return SPF_TEMP;
}

/* A term whose question had nothing for an answer (4.6.4). A name that cannot be asked was not asked. */
static enum spf_match void_answer(struct spf_run *r, enum dns_status s)
{
	if (s == DNS_BADNAME || ++r->voids <= SPF_VOIDS_MAX)
		return SPF_NO;
	spf_because(r, "more than %d terms whose question has no answer", SPF_VOIDS_MAX);
	return SPF_PERM;
}

static unsigned address_type(const struct spf_run *r) { return r->ip.n == 16 ? DNS_AAAA : DNS_A; }

static bool has_address(const struct spf_run *r, const struct dns_answer *ans, unsigned cidr4, unsigned cidr6)
{
	for (size_t i = 0; i < ans->records; i++) {
		struct str data = ans->record[i].data;
		if (data.n == r->ip.n && ip_in_net(r->ip, (const uint8_t *)data.p, data.n == 16 ? cidr6 : cidr4))
			return true;
	}
	return false;
}

static enum spf_match match_host(struct spf_run *r, const struct spf_term *t, struct str name, bool *out_void)
{
	AUTO(arena_done) struct arena a = { .max = SPF_ANSWER_MAX };
	struct dns_answer ans;
	spf_ask(r, address_type(r), name, &a, &ans);
	*out_void = ans.status == DNS_NODATA || ans.status == DNS_NXDOMAIN;
	if (failed(ans.status))
		return no_answer(r, address_type(r), name, &ans);
	return ans.status == DNS_OK && has_address(r, &ans, t->cidr4, t->cidr6) ? SPF_YES : SPF_NO;
}

static enum spf_match match_a(struct spf_run *r, const struct spf_term *t, struct str target)
{
	bool is_void;
	enum spf_match m = match_host(r, t, target, &is_void);
	return is_void ? void_answer(r, DNS_NODATA) : m;
}

static enum spf_match match_mx(struct spf_run *r, const struct spf_term *t, struct str target)
{
	AUTO(arena_done) struct arena a = { .max = SPF_ANSWER_MAX };
	struct dns_answer ans;
	spf_ask(r, DNS_MX, target, &a, &ans);
	if (failed(ans.status))
		return no_answer(r, DNS_MX, target, &ans);
	if (ans.status != DNS_OK)
		return void_answer(r, ans.status);
	bool all_void = true;
	for (size_t i = 0; i < ans.records; i++) {
		/* RFC 7208 4.6.4: "the evaluation of each "MX" record MUST NOT result in querying more than 10 address records";
		 * beyond that "the "mx" mechanism MUST produce a "permerror" result". */
		if (i == SPF_NAMES_MAX) {
			spf_because(r, "%.*s has more than %d MX", PSTR(target), SPF_NAMES_MAX);
			return SPF_PERM;
		}
		bool is_void = true;
		enum spf_match m = ans.record[i].name.n ? match_host(r, t, ans.record[i].name, &is_void) : SPF_NO;
		if (m != SPF_NO)
			return m;
		all_void = all_void && is_void;
	}
	return all_void ? void_answer(r, DNS_NODATA) : SPF_NO;
}

static enum spf_match match_exists(struct spf_run *r, struct str target)
{
	AUTO(arena_done) struct arena a = { .max = SPF_ANSWER_MAX };
	struct dns_answer ans;
	/* RFC 7208 5.7: "The lookup type is A even when the connection type is IPv6." */
	spf_ask(r, DNS_A, target, &a, &ans);
	if (failed(ans.status))
		return no_answer(r, DNS_A, target, &ans);
	return ans.status == DNS_OK ? SPF_YES : void_answer(r, ans.status);
}

/* ---- the client's own names (5.5) ---- */

static enum dns_status ask_names(struct spf_run *r)
{
	/* The same answer for each term that asks: RFC 7208 4.6.4 counts terms "for which DNS queries return" nothing. */
	if (r->names_asked)
		return r->names_status;
	r->names_asked = true;
	char reverse[256];
	struct dns_answer ans;
	dns_reverse_name(r->ip, STR(""), reverse);
	spf_ask(r, DNS_PTR, str_z(reverse), &r->names_arena, &ans);
	/* RFC 7208 4.6.4: of more than 10 names "only the first 10 are used". */
	for (size_t i = 0; ans.status == DNS_OK && i < ans.records && r->names < SPF_NAMES_MAX; i++)
		r->name[r->names++] = (struct spf_name){ .name = ans.record[i].name };
	r->names_status = ans.status;
	return ans.status;
}

/* "If a DNS error occurs while doing an A RR lookup, then that domain name is skipped". */
static bool name_valid(struct spf_run *r, struct spf_name *n)
{
	if (n->asked)
		return n->valid;
	AUTO(arena_done) struct arena a = { .max = SPF_ANSWER_MAX };
	struct dns_answer ans;
	n->asked = true;
	spf_ask(r, address_type(r), n->name, &a, &ans);
	n->valid = ans.status == DNS_OK && has_address(r, &ans, 32, 128);
	return n->valid;
}

static bool is_below(struct str name, struct str domain)
{
	return name.n > domain.n && str_iends(name, domain) && name.p[name.n - domain.n - 1] == '.';
}

static enum spf_match match_ptr(struct spf_run *r, struct str target)
{
	enum dns_status s = ask_names(r);
	if (s == DNS_NODATA || s == DNS_NXDOMAIN)
		return void_answer(r, s);
	/* "If a DNS error occurs while doing the PTR RR lookup, then this mechanism fails to match." */
	for (size_t i = 0; i < r->names; i++)
		if ((str_ieq(r->name[i].name, target) || is_below(r->name[i].name, target)) && name_valid(r, &r->name[i]))
			return SPF_YES;
	return SPF_NO;
}

struct str spf_client_name(struct spf_run *r, struct str domain)
{
	(void)ask_names(r);
	/* RFC 7208 7.3: "If the <domain> is present in the list of validated domains, it SHOULD be used. Otherwise, if a subdomain of the <domain>
	 * is present, it SHOULD be used. Otherwise, any name from the list can be used." Else, or on a DNS error, "unknown". */
	for (unsigned round = 0; round < 3; round++)
		for (size_t i = 0; i < r->names; i++) {
			struct str name = r->name[i].name;
			if ((round == 0 ? str_ieq(name, domain) : round == 1 ? is_below(name, domain) : true) && name_valid(r, &r->name[i]))
				return name;
		}
	return STR("unknown");
}

/* ---- include ---- */

/* RFC 7208 5.2: pass matches; fail, softfail and neutral do not; the errors stay errors, and none is one. */
static enum spf_match match_include(struct spf_run *r, struct str target)
{
	switch (spf_host(r, target, false)) {
	case AUTH_PASS: return SPF_YES;
	case AUTH_TEMPERROR: return SPF_TEMP;
	case AUTH_PERMERROR: return SPF_PERM;
	case AUTH_NONE: spf_because(r, "the included %.*s has no SPF record", PSTR(target)); return SPF_PERM;
	default: return SPF_NO;
	}
}

enum spf_match spf_match(struct spf_run *r, const struct spf_term *t, struct str domain)
{
	if (t->kind == SPF_ALL)
		return SPF_YES;
	if (t->kind == SPF_IP4 || t->kind == SPF_IP6)
		return r->ip.n == (t->kind == SPF_IP4 ? 4 : 16) && ip_in_net(r->ip, t->ip, r->ip.n == 4 ? t->cidr4 : t->cidr6) ? SPF_YES : SPF_NO;
	if (spf_count(r) == SPF_PERM)
		return SPF_PERM;
	char name[SPF_NAME_MAX + 1];
	struct str target = spf_target(r, t->domain, domain, name);
	if (target.n == 0) {
		origin_step(r->trace, "term", "%.*s: does not expand to a name that can be asked", PSTR(str_head(t->text, 200)));
		if (t->kind != SPF_INCLUDE)
			return SPF_NO;
		spf_because(r, "\"%.*s\" does not expand to a name that can be asked", PSTR(str_head(t->text, 60)));
		return SPF_PERM;
	}
	switch (t->kind) {
	case SPF_INCLUDE: return match_include(r, target);
	case SPF_A: return match_a(r, t, target);
	case SPF_MX: return match_mx(r, t, target);
	case SPF_PTR: return match_ptr(r, target);
	default: return match_exists(r, target);
	}
}
