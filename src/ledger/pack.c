#include "ledger/pack.h"

#include "ledger/ledger.h"

enum { PACK_VERSION = 1 };

enum rc pack(const struct str *texts, size_t n, struct buf *out, struct why *why)
{
	size_t left = LEDGER_TEXT_MAX;
	for (size_t i = 0; i < n; i++) {
		if (texts[i].n > left)
			FAIL(why, RC_LIMIT, "ledger: more than %d octets of text in one entry", LEDGER_TEXT_MAX);
		left -= texts[i].n;
	}
	buf_u8(out, PACK_VERSION);
	for (size_t i = 0; i < n; i++)
		buf_run(out, texts[i]);
	return out->failed ? RC_NOMEM : RC_OK;
}

bool unpack(struct str packed, struct str *out_texts, size_t n)
{
	struct cursor c = cursor_of(packed);
	if (cursor_u8(&c) != PACK_VERSION)
		return false;
	for (size_t i = 0; i < n; i++)
		out_texts[i] = cursor_run(&c, LEDGER_TEXT_MAX);
	return cursor_at_end(&c);
}
