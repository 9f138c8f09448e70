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
		if (record_open_head(keys, &clear, sealed, &scratch, &secret) == RC_OK && secret.envelope.n > value.n)
			abort();
		(void)!grams_open(keys, &clear, sealed, &scratch, &grams);
	}
	buf_done(&scratch);
}

static void seal_part(struct buf *value, char part, const char head[CLEAR], uint64_t nonce, struct str plain)
{
	char ctx[1 + CLEAR];
	ctx[0] = part;
	memcpy(ctx + 1, head, CLEAR);
	memset(ctx + 1 + 9, 0, 8); /* the save date is no part of the context */
	if (aead_seal(&sub, nonce, str_of(ctx, sizeof ctx), plain, value) != RC_OK)
		abort();
}

/* A record as record_seal() would make it, but with this inside. */
static void use_inside(struct str clear_bytes, struct str plain)
{
	struct buf value;
	char head[CLEAR];
	uint64_t nonce = 0;
	size_t n = plain.n < KEY_LEN ? plain.n : KEY_LEN + (uint8_t)plain.p[0] % (plain.n - KEY_LEN + 1);
	memcpy(head, clear_bytes.p, CLEAR);
	head[0] = 2;
	head[CLEAR - 8] = 0; /* a nonce within its range */
	for (size_t i = CLEAR - 8; i < CLEAR; i++)
		nonce = nonce << 8 | (uint8_t)head[i];
	buf_init(&value, 1 << 20);
	buf_add(&value, str_of(head, CLEAR));
	buf_u32(&value, (uint32_t)(n + TAG_LEN));
	seal_part(&value, 'R', head, 2 * nonce, str_head(plain, n));
	seal_part(&value, 'S', head, (1ull << 63) + 2 * nonce, str_skip(plain, n));
	use(buf_str(&value));
	use(record_head(buf_str(&value)));
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
