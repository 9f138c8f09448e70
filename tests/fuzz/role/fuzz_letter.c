#include "role/letter.h"

/* What `relay` opens: the inside of letters and rows from anybody who holds the keys (a taken-over edge), and sealed bytes from anybody. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct secret row_key = { { 7 } };
static const struct blob_id blob = { { 3 } };

static void letter(struct str in)
{
	AUTO(buf_done) struct buf again = { .max = 2 << 20 };
	AUTO(arena_done) struct arena a = { .max = 4 << 20 };
	struct letter l;
	if (letter_unpack(in, &a, &l) != RC_OK)
		return;
	letter_pack(&l, &again);
	if (!str_eq(buf_str(&again), in))
		__builtin_trap();
}

static void row_inside(struct str in)
{
	AUTO(buf_done) struct buf sealed = { .max = 1 << 20 }, again = { .max = 1 << 20 };
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct letter_rcpt r;
	if (aead_seal(&row_key, 1ull << 32, STR("letterlock queue row"), in, &sealed) != RC_OK)
		__builtin_trap();
	if (letter_rcpt_open(&row_key, 1, 0, buf_str(&sealed), &a, &r) != RC_OK)
		return;
	if (letter_rcpt_seal(&row_key, 1, 0, &r, &again) != RC_OK || !str_eq(buf_str(&again), buf_str(&sealed)))
		__builtin_trap();
}

static void strangers(struct str in)
{
	static struct secret own;
	static uint8_t public_key[PUB_LEN];
	static struct unsealer *queue;
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct letter l;
	struct letter_rcpt r;
	if (!queue && (x25519_pair(&own, public_key) != RC_OK || unsealer_new(&own, public_key, &queue) != RC_OK))
		__builtin_trap();
	if (letter_open(queue, &blob, in, &a, &l) == RC_OK || letter_rcpt_open(&row_key, 1, 0, in, &a, &r) == RC_OK)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0 || n > 1 << 18)
		return 0;
	struct str in = str_of(data + 1, n - 1);
	if (data[0] % 4 < 2)
		letter(in);
	else if (data[0] % 4 == 2)
		row_inside(in);
	else
		strangers(in);
	return 0;
}
