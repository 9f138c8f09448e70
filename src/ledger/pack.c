#include "ledger/pack.h"

#include "ledger/ledger.h"

enum { PACK_VERSION = 1 };

bool pack(const struct str *texts, size_t n, struct buf *out)
{
	buf_u8(out, PACK_VERSION);
	for (size_t i = 0; i < n; i++)
		buf_run(out, texts[i]);
	return !out->failed;
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
