#include "crypto/tls_client.h"

#include <assert.h>
#include <string.h>

/* A stranger's TLSA records and certificate chain. Octets: what is wanted, how many records; each: usage, selector, matching type, length (two octets), data; then the
 * chain as PEM. Must hold: a verdict is one of the known words, what was wanted and did not hold is refused, and a record that is no use is never a match. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool known(const char *type)
{
	static const char *const types[] = { "", "certificate-expired", "certificate-host-mismatch", "certificate-not-trusted", "tlsa-invalid", "validation-failure" };
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

static size_t take_records(struct str *in, size_t n, struct tls_tlsa *out)
{
	size_t took = 0;
	while (took < n && in->n >= 5) {
		const uint8_t *p = (const uint8_t *)in->p;
		size_t len = (size_t)p[3] << 8 | p[4];
		out[took] = (struct tls_tlsa){ p[0], p[1], p[2], str_head(str_skip(*in, 5), len) };
		*in = str_skip(*in, 5 + len);
		took++;
	}
	return took;
}

static void judge(struct tls_client *c, const struct tls_peer_config *config, struct str chain)
{
	struct tls_peer *p = NULL;
	struct tls_peer_facts f;
	struct why why = { 0 };
	if (tls_peer_new(c, config, &p, &why) != RC_OK)
		return;
	enum rc rc = tls_peer_judge(p, chain, 1800000000, &why);
	tls_peer_facts(p, &f);
	bool usable = false;
	for (size_t i = 0; i < config->tlsa_n; i++)
		usable = usable || config->tlsa[i].usage == 2 || config->tlsa[i].usage == 3;
	assert(known(f.result_type) && !f.done && (usable || !f.dane_ok));
	if (rc == RC_OK && config->want == TLS_WANT_PKIX)
		assert(f.pkix_ok && f.name_ok);
	if (rc == RC_OK && config->want == TLS_WANT_DANE)
		assert(f.dane_ok);
	if (rc == RC_DENIED)
		assert(config->want != TLS_WANT_ANY && f.result_type[0] && f.words[0]);
	for (const char *s = f.subject; *s; s++)
		assert(*s >= ' ' && *s <= '~');
	tls_peer_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct tls_client *c;
	struct why why = { 0 };
	struct tls_tlsa tlsa[8];
	if (n < 2)
		return 0;
	if (!c && tls_client_new(STR(""), &c, &why) != RC_OK)
		return 0;
	struct str in = str_of(data + 2, n - 2);
	struct tls_peer_config config = { .want = data[0] % 3, .sni = STR("example.com"), .tlsa = tlsa };
	config.tlsa_n = take_records(&in, data[1] % 8, tlsa);
	judge(c, &config, in);
	return 0;
}
