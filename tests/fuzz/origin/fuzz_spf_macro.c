/* Macro-strings: what is sound expands, within bounds, to a name that can be asked or to none. */
#include "origin/spf_internal.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	(void)house, (void)type, (void)name, (void)a;
	*out = (struct dns_answer){ .status = DNS_NXDOMAIN };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns dns = { .ask = ask };
	struct str in = str_of(data, size), local, helo, spec;
	(void)str_cut(in, '\n', &local, &in);
	(void)str_cut(in, '\n', &helo, &spec);
	if (spec.n > SPF_RECORD_MAX)
		return 0;
	struct spf_run r = { .dns = &dns, .ip = size % 2 ? STR("\xc0\x00\x02\x01") : STR("0123456789abcdef"), .local = local, .domain = STR("example.org"), .helo = helo,
		.receiver = helo, .deadline_ms = UINT64_MAX, .names_arena = { .max = 1 << 16 } };
	char name[SPF_NAME_MAX + 1];
	if (spf_macro_ok(spec, SPF_MACRO_DOMAIN)) {
		assert(spf_macro_ok(spec, SPF_MACRO_MODIFIER) && spf_macro_ok(spec, SPF_MACRO_TEXT));
		struct str target = spf_target(&r, spec, STR("example.org"), name);
		assert(target.n <= SPF_NAME_MAX && (target.n == 0 || dns_name_ok(target)));
	}
	if (spf_macro_ok(spec, SPF_MACRO_TEXT)) {
		AUTO(buf_done) struct buf out = { .max = SPF_TEXT_MAX };
		spf_expand(&r, spec, STR("example.org"), SPF_MACRO_TEXT, &out);
		assert(out.len <= SPF_TEXT_MAX);
	}
	arena_done(&r.names_arena);
	return 0;
}
