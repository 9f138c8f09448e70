#include "base/codec.h"
#include "imap/utf7.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A name that is taken has one form: back on the wire it is the same octets. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf utf8, wire;
	struct str in = str_of(data, n);
	buf_init(&utf8, 1 << 20);
	buf_init(&wire, 1 << 20);
	if (utf7_decode(in, &utf8) == RC_OK) {
		assert(utf8_ok(buf_str(&utf8)));
		assert(utf7_encode(buf_str(&utf8), &wire) == RC_OK);
		assert(str_eq(buf_str(&wire), in));
	}
	buf_clear(&wire);
	buf_clear(&utf8);
	if (utf7_encode(in, &wire) == RC_OK) {
		assert(utf7_decode(buf_str(&wire), &utf8) == RC_OK);
		assert(str_eq(buf_str(&utf8), in));
	}
	buf_done(&utf8);
	buf_done(&wire);
	return 0;
}
