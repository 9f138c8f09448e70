/* Records: the clear part from anybody; and, sealed under our own epoch key, the inside from anybody. */
#include "store/record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { CLEAR = 65 };
static const struct secret epoch = { { 5 } };
static struct epoch_keys *keys;
static struct secret sub;

static void set_up(void)
{
	if (keys)
		return;
	if (epoch_keys_new(&epoch, &keys) != RC_OK || hkdf(str_of(epoch.k, KEY_LEN), STR(""), STR("letterlock record 1"), &sub) != RC_OK)
		abort();
}

static void use(struct str value)
{
	struct record_clear clear;
	struct record_secret secret;
	struct str sealed, grams;
	struct buf scratch;
	buf_init(&scratch, 1 << 20);
	if (record_clear_parse(value, &clear, &sealed) == RC_OK) {
		if (record_open(keys, &clear, sealed, &scratch, &secret) == RC_OK &&
		    secret.envelope.n + secret.structure.n + secret.parts.n + secret.preview.n + secret.fields.n > value.n)
			abort();
		(void)!grams_open(keys, &clear, sealed, &scratch, &grams);
	}
	buf_done(&scratch);
}

/* A record as record_seal() would make it, but with this inside. */
static void use_inside(struct str clear_bytes, struct str plain)
{
	struct record_clear clear;
	struct str sealed;
	struct buf value;
	char ctx[1 + CLEAR], head[CLEAR];
	memcpy(head, clear_bytes.p, CLEAR);
	head[0] = 1;
	head[CLEAR - 8] = 0; /* a nonce within its range */
	buf_init(&value, 1 << 20);
	buf_add(&value, str_of(head, CLEAR));
	buf_add(&value, str_of("0123456789abcdef", 16));
	if (record_clear_parse(buf_str(&value), &clear, &sealed) != RC_OK)
		abort();
	ctx[0] = 'R';
	memcpy(ctx + 1, head, CLEAR);
	memset(ctx + 1 + 9, 0, 8); /* the save date is no part of the context */
	value.len = CLEAR;
	if (aead_seal(&sub, 2 * clear.nonce, str_of(ctx, sizeof ctx), plain, &value) == RC_OK)
		use(buf_str(&value));
	buf_done(&value);
}

static void ignore(void *arg, const struct epoch_entry *e) { (void)arg; (void)e; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	set_up();
	if (n == 0 || n > 1 << 16)
		return 0;
	struct str s = str_of(data + 1, n - 1);
	if (data[0] % 3 == 0)
		use(s);
	else if (data[0] % 3 == 1 && s.n >= CLEAR)
		use_inside(str_head(s, CLEAR), str_skip(s, CLEAR));
	else
		(void)!rollup_open(&epoch, 1, 2, s, ignore, NULL);
	return 0;
}
