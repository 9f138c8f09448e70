#include "smtp/client.h"

#include "base/codec.h"
#include <assert.h>

/* One reply. Whatever the octets: what is taken stays within the input, does not depend on what follows, is clean to show, and the same octets over a stream, in
 * any packets, give the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void is_clean(const struct smtp_reply *r)
{
	struct str s = str_z(r->text);
	assert(utf8_ok(s) && s.n < sizeof r->text);
	for (uint32_t u; s.n; s = str_skip(s, utf8_next(s, &u)))
		assert(utf8_next(s, &u) && u >= 32 && (u < 127 || u > 159));
	assert(strlen(r->enhanced) < sizeof r->enhanced);
	assert(!r->enhanced[0] || (r->enhanced[0] == '0' + r->code / 100 && r->enhanced[1] == '.'));
}

static void over_a_stream(struct str in, size_t chunk, long used, const struct smtp_reply *want)
{
	struct smtp_client *c = NULL;
	struct smtp_reply got;
	struct why why = { 0 };
	struct stream *io = stream_of_memory((struct stream_memory){ .in = in, .chunk = chunk, .fail_at = -1 });
	if (io && smtp_client_new(io, &(struct smtp_client_config){ .helo = STR("me") }, &c) == RC_OK) {
		/* The greeting, where it is no success: then nothing more is read. */
		enum rc rc = smtp_client_hello(c, &got, &why);
		if (used == 0)
			assert(rc == RC_CLOSED && got.code == 0);
		if (used < 0)
			assert((rc == RC_SYNTAX || rc == RC_LIMIT) && got.code == 0);
		if (used > 0 && want->code >= 300)
			assert(got.code == want->code && strcmp(got.text, want->text) == 0 && strcmp(got.enhanced, want->enhanced) == 0);
		if (used > 0 && want->code >= 400)
			assert(rc == (want->code < 500 ? RC_BUSY : RC_DENIED));
	}
	smtp_client_free(&c);
	stream_free(&io);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct smtp_reply r, again;
	if (n < 1 || n > 40000)
		return 0;
	struct str in = str_of(data + 1, n - 1);
	long used = smtp_reply_parse(in, &r);
	assert(used >= -1 && used <= (long)in.n);
	if (used > 0) {
		assert(r.code >= 200 && r.code <= 599 && used <= 16384);
		is_clean(&r);
		struct str just = str_head(in, (size_t)used);
		assert(smtp_reply_parse(just, &again) == used && again.code == r.code && strcmp(again.text, r.text) == 0);
		assert(smtp_reply_parse(str_head(just, just.n - 1), &again) == 0);
	}
	over_a_stream(in, data[0], used, &r);
	return 0;
}
