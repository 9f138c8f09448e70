/* A message with ARC sets: its verdict; and sealed by us upon that verdict it passes, unless it had failed. */
#include "fuzz_dkim_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sealed(struct str m, enum auth chain, unsigned sets, uint8_t how, struct arena *a)
{
	struct dkim_key_ref key = fuzz_key();
	struct dkim_sign_options o = { .header = how & 1, .body = how >> 1 & 1, .plain = how >> 2 & 1, .identity = STR(""), .headers = STR(""), .now_s = 1700000000 };
	struct dkim_result r;
	struct why why;
	struct buf all;
	buf_init(&all, m.n + (1 << 20));
	enum rc rc = arc_seal(m, &key, STR("mx.example.net; arc=none"), chain, &o, &all, &why);
	assert(rc == RC_OK || rc == RC_SYNTAX || rc == RC_LIMIT || (rc == RC_DENIED && chain == AUTH_FAIL));
	if (rc == RC_OK) {
		buf_add(&all, m);
		fuzz_verify(buf_str(&all), 4096, STR(""), a, &r);
		assert(r.arc.result == (chain == AUTH_FAIL ? AUTH_FAIL : AUTH_PASS));
		assert(chain == AUTH_FAIL || r.arc.sets == sets + 1);
	}
	buf_done(&all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dkim_result r;
	struct arena a;
	if (size == 0)
		return 0;
	struct str m = str_of(data + 1, size - 1);
	arena_init(&a, 8 << 20);
	fuzz_verify(m, m.n + 1, m, &a, &r);
	assert(r.arc.result == AUTH_NONE || r.arc.result == AUTH_PASS || r.arc.result == AUTH_FAIL);
	assert((r.arc.result == AUTH_NONE) == (r.arc.sets == 0));
	assert(r.arc.oldest_pass <= r.arc.sets);
	if (data[0] & 8)
		sealed(m, r.arc.result, r.arc.sets, (uint8_t)(data[0] >> 4), &a);
	arena_done(&a);
	return 0;
}
