#include "base/codec.h"
#include "base/map.h"

#include <stdint.h>

/* Whatever decodes must encode back to the same bytes (strict), and a JSON string must stay well-formed UTF-8. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		__builtin_trap();
}

static void codecs(struct str in)
{
	AUTO(buf_done) struct buf raw = { .max = 1 << 20 }, back = { .max = 1 << 20 }, loose = { .max = 1 << 20 };
	if (base64_decode(in, false, &raw) == RC_OK) {
		base64_add(&back, buf_str(&raw));
		check(str_eq(buf_str(&back), in));
		check(base64_decode(in, true, &loose) == RC_OK && str_eq(buf_str(&loose), buf_str(&raw)));
	}
	AUTO(buf_done) struct buf hex = { .max = 1 << 20 }, text = { .max = 1 << 20 };
	hex_add(&hex, in);
	check(hex_decode(buf_str(&hex), &text) == RC_OK && str_eq(buf_str(&text), in));
	AUTO(buf_done) struct buf json = { .max = 1 << 20 };
	json_escape(&json, in);
	check(utf8_ok(buf_str(&json)) && str_find(buf_str(&json), '\n') == json.len);
	check(utf8_valid_prefix(in) <= in.n);
}

/* The map against a plain array. */
static void maps(struct str in)
{
	static char values[64];
	bool there[64] = { 0 };
	struct map m;
	map_init(&m, 48);
	size_t live = 0;
	for (size_t i = 0; i < in.n && i < 4096; i++) {
		unsigned op = (unsigned char)in.p[i], k = op & 63;
		if (op & 64) {
			enum rc rc = map_put_u64(&m, k, &values[k]);
			check(rc == RC_OK || (rc == RC_FULL && live == 48 && !there[k]));
			live += rc == RC_OK && !there[k];
			there[k] = there[k] || rc == RC_OK;
		} else {
			check(map_drop_u64(&m, k) == (there[k] ? &values[k] : NULL));
			live -= there[k];
			there[k] = false;
		}
	}
	for (size_t k = 0; k < 64; k++)
		check(map_get_u64(&m, k) == (there[k] ? &values[k] : NULL));
	map_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str in = str_of(data, n);
	codecs(in);
	maps(in);
	return 0;
}
