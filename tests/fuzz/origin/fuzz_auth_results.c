/* Authentication-Results read; then its claims written by us as facts, which must be read back with our id and without a claim more. */
#include "origin/auth_results.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	AUTO(buf_done) struct buf out = { .max = 1 << 18 };
	struct str in = str_of(data, size), id;
	struct auth_claim c[16];
	size_t n = auth_results_read(in, &a, &id, c, 16);
	assert(n <= 16);
	if (id.n && n && id.n < 256)
		assert(auth_results_is_ours(in, id));
	struct spf_result spf = { .result = AUTH_FAIL, .domain = in, .why = in };
	struct dkim_signature s = { .result = AUTH_FAIL, .domain = in, .selector = str_head(in, size / 2), .identity = in, .algorithm = in, .b_head = str_skip(in, size / 2), .why = in };
	struct dkim_result dkim = { .signature = &s, .n = 1 };
	struct dmarc_result dmarc = { .result = AUTH_FAIL, .from = in, .why = in };
	struct auth_facts f = { .authserv = STR("mx.example.net"), .client_ip = in, .mail_from = in, .helo = in, .spf = &spf, .dkim = &dkim, .dmarc = &dmarc, .iprev_done = true,
		.iprev_name = in, .override = in, .auth_user = in };
	auth_results_value(&f, &out);
	assert(!out.failed);
	n = auth_results_read(buf_str(&out), &a, &id, c, 16);
	assert(a.full || str_eq(id, STR("mx.example.net")));
	assert(a.full || auth_results_is_ours(buf_str(&out), STR("MX.example.net")));
	for (size_t i = 0; i < n; i++)
		assert(!str_eq(c[i].result, STR("pass")) || str_eq(c[i].method, STR("auth")));
	for (struct str rest = buf_str(&out), line; rest.n;) {
		(void)str_cut(rest, '\n', &line, &rest);
		assert(line.n <= 997 && (line.p[0] == '\t' || str_starts(line, STR("mx.example.net"))));
	}
	return 0;
}
