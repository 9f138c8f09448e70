/* From headers: one author domain, or a refusal with a reason. Whatever is accepted is a domain that can be asked, stands alone, and is the domain that a naive
 * reader finds who takes the text behind each plain "@" outside of names. */
#include "origin/dmarc_internal.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void no_dns(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	*out = (struct dns_answer){ .status = dns_name_ok(name) ? DNS_NXDOMAIN : DNS_BADNAME, .canonical = STR("") };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct from_found found;
	struct dmarc_result r;
	struct str domain = STR(""), header = str_of(data, size);
	struct why why = { 0 };
	const struct dns dns = { NULL, no_dns };
	const struct spf_result spf = { .result = AUTH_PASS, .domain = STR("evil.example") };
	const struct dmarc_input in = { header, &spf, NULL };
	arena_init(&a, 8 << 20);
	enum rc rc = dmarc_from_all(header, &a, &found, &domain, &why);
	assert(found.domains <= FROM_DOMAINS_MAX);
	if (rc == RC_OK) {
		assert(dns_name_ok(domain) && found.fields == 1 && found.addresses >= 1 && found.domains == 1);
		assert(str_eq(found.domain[0], domain) && str_eq(dmarc_domain_fold(domain, &a), domain));
		assert(memchr(header.p, '@', header.n));
	} else {
		assert(why.text[0] && domain.n == 0);
	}
	dmarc_check(&dns, &in, NULL, &a, &r);
	assert(r.result != AUTH_PASS && r.why.n > 0);
	arena_done(&a);
	return 0;
}
