/* The first octet chooses: encoded words, parameters, transfer encodings, charsets, HTML, folding. What comes out is UTF-8 where it must be. */
#include "base/codec.h"
#include "mail/charset.h"
#include "mail/encoded_word.h"
#include "mail/fold.h"
#include "mail/html.h"
#include "mail/magic.h"
#include "mail/param.h"
#include "mail/transfer.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void params(struct str in, struct buf *out)
{
	struct arena a;
	struct mail_param *p;
	struct str type, subtype, rest;
	bool sound;
	arena_init(&a, 64 << 20);
	if (param_type(in, &type, &subtype, &rest))
		assert(type.n && subtype.n && rest.p + rest.n == in.p + in.n);
	if (param_parse(in, &a, &p, &sound) == RC_OK)
		for (; p; p = p->next) {
			assert(p->name.n > 0 && p->value.n <= 3 * in.n + 2);
			buf_clear(out);
			(void)param_text(p, out);
			assert(utf8_ok(buf_str(out)));
		}
	arena_done(&a);
}

static void words(struct str in, struct buf *out)
{
	struct buf b, back;
	(void)encoded_words_decode(in, out);
	assert(utf8_ok(buf_str(out)));
	buf_init(&b, 1 << 22);
	buf_init(&back, 1 << 22);
	encoded_words_add(&b, buf_str(out));
	assert(encoded_words_decode(buf_str(&b), &back) && str_eq(buf_str(&back), buf_str(out)));
	buf_done(&b);
	buf_done(&back);
}

static void folding(struct str in, struct buf *out)
{
	struct buf again;
	buf_init(&again, 1 << 22);
	assert(mail_fold(in, out) == RC_OK && mail_fold(buf_str(out), &again) == RC_OK);
	assert(str_eq(buf_str(out), buf_str(&again))); /* folding twice is folding once */
	assert(utf8_ok(buf_str(out)));
	buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "utf-8", "", "iso-8859-1", "shift_jis", "iso-2022-jp", "gb2312", "utf-7", "utf-16", "big5", "koi8-r", "hz" };
	if (size < 2 || size > 1 << 16)
		return 0;
	struct str in = str_of(data + 1, size - 1);
	struct buf out;
	buf_init(&out, 1 << 22);
	switch (data[0] % 8) {
	case 0: words(in, &out); break;
	case 1: params(in, &out); break;
	case 2: (void)transfer_decode((enum transfer)(data[0] / 8 % 7), in, &out); assert(out.len <= in.n + 2); break;
	case 3: (void)charset_to_utf8(str_z(names[data[0] / 8 % 11]), in, &out); assert(utf8_ok(buf_str(&out))); break;
	case 4: html_text(in, &out); assert(out.len <= 3 * in.n + 4); break;
	case 5: folding(in, &out); break;
	case 6: (void)charset_to_utf8(str_head(in, 16), str_skip(in, 16), &out); assert(utf8_ok(buf_str(&out))); break;
	default: (void)magic_type(in); (void)magic_breaks(magic_promise(in, in), magic_type(in), false); break;
	}
	assert(!out.failed);
	buf_done(&out);
	return 0;
}
