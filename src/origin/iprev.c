#include "origin/spf_internal.h"
#include "origin/spf_ip.h"

/* iprev (RFC 8601 3): a name of the address whose addresses contain it. Asks 1 + 10 questions at most. */

static enum auth forward(const struct dns *dns, struct str ip, struct str name)
{
	AUTO(arena_done) struct arena a = { .max = SPF_ANSWER_MAX };
	struct dns_answer ans;
	dns_ask(dns, ip.n == 16 ? DNS_AAAA : DNS_A, name, &a, &ans);
	if (ans.status == DNS_TEMPFAIL || ans.status == DNS_BOGUS)
		return AUTH_TEMPERROR;
	for (size_t i = 0; ans.status == DNS_OK && i < ans.records; i++)
		if (str_eq(ans.record[i].data, ip))
			return AUTH_PASS;
	return AUTH_FAIL;
}

enum auth iprev_check(const struct dns *dns, struct str ip, struct arena *a, struct str *out_name)
{
	AUTO(arena_done) struct arena mine = { .max = SPF_ANSWER_MAX };
	struct dns_answer ans;
	char reverse[256];
	*out_name = STR("");
	ip = ip_unmapped(ip);
	if (ip.n != 4 && ip.n != 16)
		return AUTH_PERMERROR;
	dns_reverse_name(ip, STR(""), reverse);
	dns_ask(dns, DNS_PTR, str_z(reverse), &mine, &ans);
	if (ans.status == DNS_TEMPFAIL || ans.status == DNS_BOGUS)
		return AUTH_TEMPERROR;
	/* RFC 8601 2.7.3: permerror is "no DNS data of the kind" that a reverse look-up wants. */
	if (ans.status != DNS_OK || ans.records == 0)
		return AUTH_PERMERROR;
	enum auth worst = AUTH_FAIL;
	for (size_t i = 0; i < ans.records && i < SPF_NAMES_MAX; i++) {
		enum auth r = forward(dns, ip, ans.record[i].name);
		if (r == AUTH_PASS) {
			*out_name = arena_str(a, ans.record[i].name);
			return r;
		}
		worst = r == AUTH_TEMPERROR ? r : worst;
	}
	return worst;
}
