/* A whole message: verified blind to how its body is split; signed by us, it passes. */
#include "fuzz_dkim_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(struct str m, uint8_t how, struct arena *a)
{
	struct dkim_key_ref key = fuzz_key();
	struct dkim_sign_options o = { .header = how & 1, .body = how >> 1 & 1, .plain = how >> 2 & 1, .identity = STR(""), .headers = STR(""), .now_s = 1700000000 };
	struct dkim_result r;
	struct why why;
	struct buf all;
	buf_init(&all, m.n + (1 << 20));
	enum rc rc = dkim_sign(m, &key, 1, &o, &all, &why);
	assert(rc == RC_OK || rc == RC_SYNTAX || rc == RC_LIMIT);
	if (rc == RC_OK) {
		buf_add(&all, m);
		fuzz_verify(buf_str(&all), 4096, STR(""), a, &r);
		assert(r.n > 0 && r.signature[0].result == AUTH_PASS && r.signature[0].over_from);
	} else {
		assert(all.len == 0);
	}
	buf_done(&all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dkim_result whole, pieces;
	struct arena a;
	if (size == 0)
		return 0;
	struct str m = str_of(data + 1, size - 1);
	arena_init(&a, 8 << 20);
	fuzz_verify(m, m.n + 1, m, &a, &whole);
	fuzz_verify(m, 1 + data[0] % 7, m, &a, &pieces);
	assert(whole.n == pieces.n && whole.arc.result == pieces.arc.result);
	for (size_t i = 0; i < whole.n; i++)
		assert(whole.signature[i].result == pieces.signature[i].result && whole.signature[i].body_ok == pieces.signature[i].body_ok);
	if (data[0] & 8)
		round_trip(m, (uint8_t)(data[0] >> 4), &a);
	arena_done(&a);
	return 0;
}
