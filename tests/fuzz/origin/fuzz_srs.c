/* SRS: an address that is rewritten comes back; a local part of any octets never does under a key that did not make it. */
#include "origin/srs.h"

#include "mail/address.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1700000000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct secret key = { { 7 } };
	AUTO(buf_done) struct buf out = { .max = 4096 }, back = { .max = 4096 }, plain = { .max = 4096 };
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct str in = str_of(data, size);
	struct mail_address m, from;
	assert(srs_reverse(&key, in, NOW, &back) != RC_OK || size >= 20);
	if (srs_forward(&key, in, STR("ours.example"), NOW, &out) != RC_OK)
		return 0;
	assert(mail_address_parse(buf_str(&out), true, &a, &m, NULL) == RC_OK && str_eq(m.domain, STR("ours.example")) && m.local.n <= 64);
	buf_clear(&back);
	assert(srs_reverse(&key, m.local, NOW, &back) == RC_OK);
	if (str_starts(m.local, STR("SRS0=")) && mail_address_parse(in, true, &a, &from, NULL) == RC_OK && !str_eq(from.domain, STR("ours.example"))) {
		mail_address_format(&from, &plain);
		assert(str_eq(buf_str(&plain), buf_str(&back)));
	}
	return 0;
}
