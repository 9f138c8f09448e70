#include "smtp/params.h"

#include "base/codec.h"
#include <assert.h>

/* Parameters of MAIL and RCPT, xtext and utf-8-addr: what is taken is within its bounds and clean. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

static void parameters(struct str in)
{
	static const struct smtp_config config = { .max_size = 1000, .utf8 = true };
	struct arena a;
	struct why why = { 0 };
	struct smtp_mail mail = { .envid = STR_INIT(""), .ret = STR_INIT("") };
	struct smtp_rcpt rcpt = { .orcpt = STR_INIT(""), .orcpt_type = STR_INIT("") };
	arena_init(&a, 4096);
	enum rc rc = smtp_mail_params(in, &config, 0, &a, &mail, &why);
	assert(rc == RC_OK || rc == RC_NOMEM || why.text[0] == '5');
	assert(rc != RC_OK || (mail.envid.n <= 100 && printable(mail.envid) && mail.size <= 1000 && (!mail.ret.n || mail.ret.n == 4)));
	rc = smtp_rcpt_params(in, true, &a, &rcpt, &why);
	assert(rc != RC_OK || (rcpt.orcpt.n <= 500 && utf8_ok(rcpt.orcpt) && rcpt.notify < 16 && (rcpt.notify == NOTIFY_NEVER || !(rcpt.notify & NOTIFY_NEVER))));
	arena_done(&a);
}

/* Encoding what was decoded and decoding it again gives the same. */
static void xtext(struct str in)
{
	struct arena a;
	struct buf again;
	struct str out, back;
	arena_init(&a, 65536);
	buf_init(&again, 65536);
	if (smtp_xtext_decode(in, &a, &out) == RC_OK) {
		assert(printable(out) && out.n <= in.n);
		for (size_t i = 0; i < out.n; i++)
			if (out.p[i] == '+' || out.p[i] == '=' || out.p[i] == ' ')
				buf_addf(&again, "+%02X", (unsigned char)out.p[i]);
			else
				buf_byte(&again, out.p[i]);
		assert(smtp_xtext_decode(buf_str(&again), &a, &back) == RC_OK && str_eq(out, back));
	}
	if (smtp_utf8_addr_decode(in, &a, &out) == RC_OK)
		assert(utf8_ok(out) && out.n <= in.n);
	buf_done(&again);
	arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n > 4096)
		return 0;
	parameters(str_of(data, n));
	xtext(str_of(data, n));
	return 0;
}
