#include "smtp/sasl.h"

#include "base/codec.h"
#include <assert.h>

/* What clients say within AUTH: whatever is taken lies within its bounds, is a part of what was said, and put together again is the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool within(struct str part, struct str whole) { return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n); }

static void plain(struct str in)
{
	struct sasl_plain p;
	if (sasl_plain_parse(in, &p) != RC_OK)
		return;
	assert(p.user.n && p.password.n && within(p.user, in) && within(p.password, in));
	assert(p.authzid.n + p.user.n + p.password.n + 2 == in.n);
}

static void first(struct str in)
{
	struct arena a;
	struct sasl_scram_first f;
	arena_init(&a, 65536);
	if (sasl_scram_first_parse(in, &a, &f) == RC_OK) {
		assert(f.flag == 'n' || f.flag == 'y' || (f.flag == 'p' && f.binding.n));
		assert(f.user.n && utf8_ok(f.user) && f.nonce.n && f.nonce.n <= SASL_NONCE_MAX);
		assert(f.gs2.n + f.bare.n == in.n && str_ends(f.gs2, STR(",")) && str_starts(f.bare, STR("n=")));
	}
	arena_done(&a);
}

static void final(struct str in)
{
	struct arena a;
	struct sasl_scram_final f;
	arena_init(&a, 65536);
	if (sasl_scram_final_parse(in, &a, &f) == RC_OK) {
		assert(f.proof.n == SASL_PROOF_LEN && within(f.without_proof, in) && f.without_proof.n < in.n);
		struct buf again;
		buf_init(&again, 65536);
		buf_add(&again, f.without_proof);
		buf_add(&again, STR(",p="));
		base64_add(&again, f.proof);
		assert(str_eq(buf_str(&again), in));
		buf_done(&again);
	}
	arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n > 8192)
		return 0;
	plain(str_of(data, n));
	first(str_of(data, n));
	final(str_of(data, n));
	return 0;
}
