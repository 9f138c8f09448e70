#include "crypto/crypto.h"

#include "base/mem.h"

/* Hostile sealed bytes: what does not carry the right tag never opens and never writes past its room; what was sealed opens again. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct secret key = { { 9, 8, 7 } };
	static struct aead *kept;
	static uint8_t pub[PUB_LEN];
	static struct secret priv;
	if (!kept && (aead_new(&key, &kept) != RC_OK || x25519_pair(&priv, pub) != RC_OK))
		abort();
	if (n < 2 || n > 4096)
		return 0;
	struct str in = { (const char *)p + 2, n - 2 }, aad = { (const char *)p, 2 };
	struct buf out, back;
	buf_init(&out, 8192);
	buf_init(&back, 8192);
	if (aead_open(&key, p[0], aad, in, &out) == RC_OK || seal_open(&priv, pub, aad, in, &out) == RC_OK)
		abort(); /* nobody guesses a tag */
	if (in.n >= TAG_LEN) {
		uint8_t *room = mem_new(in.n - TAG_LEN);
		if (room && aead_open_with(kept, p[1], aad, in, room) == RC_OK)
			abort();
		mem_free(room);
	}
	if (aead_seal(&key, p[0], aad, in, &out) != RC_OK || aead_open(&key, p[0], aad, buf_str(&out), &back) != RC_OK ||
	    !str_eq(buf_str(&back), in))
		abort();
	(void)siphash(key.k, in);
	buf_done(&out);
	buf_done(&back);
	return 0;
}
