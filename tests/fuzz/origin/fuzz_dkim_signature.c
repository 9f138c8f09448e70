/* One DKIM-Signature field, and the same octets as the key record it asks for. */
#include "fuzz_dkim_kit.h"
#include "origin/dkim_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(enum sig_kind kind, const struct head *h, struct arena *a)
{
	struct sig s;
	struct why why;
	struct str rest, name;
	size_t n = 0;
	enum rc rc = sig_parse(kind, h, &h->field[0], 1700000000, false, a, &s, &why);
	assert(rc == RC_OK || rc == RC_SYNTAX || rc == RC_LIMIT || rc == RC_DENIED);
	assert(s.identity.n <= SIG_MAX_IDENTITY + 256 && s.domain.n <= 253 && s.selector.n <= 253);
	if (rc != RC_OK)
		return;
	assert(s.domain.n && s.selector.n && s.b.n && s.algorithm != SIG_RSA_SHA1);
	assert(s.cut_from <= s.cut_to && s.cut_to <= s.field->raw.n && s.field->raw.p[s.cut_from - 1] == '=');
	for (rest = s.h; sig_next_name(&rest, &name); n++)
		;
	assert(kind == SIG_SEAL || (n <= SIG_MAX_NAMES && s.bh.n == 32));
	assert(kind == SIG_SEAL || s.instance <= ARC_MAX_SETS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf m;
	struct arena a;
	struct head h;
	struct dkim_result r;
	buf_init(&m, size + 256);
	arena_init(&a, 8 << 20);
	buf_add(&m, STR("DKIM-Signature: "));
	buf_add(&m, str_of(data, size));
	buf_add(&m, STR("\r\nFrom: a@example.org\r\n\r\n"));
	assert(head_read(&h, buf_str(&m), &a) == RC_OK);
	assert(h.n > 0);
	for (int kind = SIG_DKIM; kind <= SIG_SEAL; kind++)
		parse((enum sig_kind)kind, &h, &a);
	head_done(&h);
	fuzz_verify(buf_str(&m), 100, str_of(data, size), &a, &r);
	buf_done(&m);
	arena_done(&a);
	return 0;
}
