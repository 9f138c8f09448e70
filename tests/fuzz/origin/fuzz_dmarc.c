/* DMARC records: what is read has values that are in range, and its addresses are addresses. */
#include "mail/address.h"
#include "origin/dmarc.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct str s, struct str text) { return s.n == 0 || (s.p >= text.p && s.p + s.n <= text.p + text.n); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct dmarc_record r;
	struct dmarc_uri u[16];
	struct mail_address m;
	struct str in = str_of(data, size);
	arena_init(&a, 8 << 20);
	if (dmarc_record_parse(in, &a, &r, NULL) == RC_OK) {
		assert(r.found && r.p <= DMARC_REJECT && r.sp <= DMARC_REJECT && r.np <= DMARC_REJECT && r.pct <= 100);
		assert(r.psd == 'y' || r.psd == 'n' || r.psd == 'u');
		assert(str_eq(r.text, in) && inside(r.rua, r.text) && inside(r.ruf, r.text) && inside(r.fo, r.text));
		in = r.rua;
	}
	size_t n = dmarc_uris(in, &a, u, 16);
	assert(n <= 16);
	for (size_t i = 0; i < n; i++)
		assert(mail_address_parse(u[i].address, true, &a, &m, NULL) == RC_OK);
	arena_done(&a);
	return 0;
}
