/* Header fields cover the header without gaps; dates that are read format back to themselves. */
#include "mail/header.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void dates(struct str in)
{
	int64_t ms, again;
	int32_t day;
	int zone;
	struct buf b;
	buf_init(&b, 256);
	if (mail_date_parse(in, &ms, &zone) == RC_OK && ms > -62000000000000 && ms < 253300000000000) {
		mail_date_format(ms, zone, &b);
		if (ms > -2208988800000) /* four digits of year below 1900 are not RFC 5322 */
			assert(mail_date_parse(buf_str(&b), &again, &zone) == RC_OK && again == ms);
	}
	buf_clear(&b);
	if (imap_date_parse(in, &ms) == RC_OK && ms > -62000000000000 && ms < 253300000000000) {
		imap_date_format(ms, 0, &b);
		assert(imap_date_parse(buf_str(&b), &again) == RC_OK && again == ms);
	}
	(void)!imap_day_parse(in, &day);
	buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size);
	struct header_field f;
	struct buf b;
	size_t pos = 0, before = 0;
	bool broken = false, first = true;
	buf_init(&b, size + 1);
	while (header_next(in, &pos, &f, &broken) == RC_OK) {
		assert(pos > before && pos <= size && f.name.n > 0);
		assert(first || f.raw.p == in.p + before);
		assert(f.raw.p + f.raw.n == in.p + pos && f.value.p + f.value.n <= in.p + pos);
		before = pos;
		first = false;
		buf_clear(&b);
		header_unfold(f.value, &b);
		assert(str_find(buf_str(&b), '\n') == b.len);
	}
	assert(pos <= size);
	buf_done(&b);
	dates(in);
	return 0;
}
