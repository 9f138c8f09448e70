#include "vault/format.h"

#include "base/mem.h"
#include "vault/dkim_keys.h"
#include "vault/record.h"

/* The vault's stored bytes, as a thief with the keys or a broken disk may leave them: accounts, DKIM keys, password parameters,
 * recovery keys, heads, slots and frames. What parses must format back to the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void records(struct str in)
{
	struct account_record r;
	struct password_params pp;
	struct str rest;
	uint8_t key[RECOVERY_BITS];
	char text[RECOVERY_TEXT];
	struct buf out;
	buf_init(&out, 1 << 17);
	if (record_parse(7, in, &r) == RC_OK) {
		record_format(&r, &out);
		if (!str_eq(buf_str(&out), in))
			abort();
		const struct wrap *w = record_wrap(&r, WRAP_RECOVERY);
		struct secret got;
		if (w && wrap_open(&r, WRAP_RECOVERY, STR("guess"), w->bytes, &got) == RC_OK)
			abort();
	}
	(void)!params_parse(in, &pp, &rest);
	if (recovery_parse(in, key) == RC_OK) {
		uint8_t back[RECOVERY_BITS];
		if (recovery_format(key, text) != RC_OK || recovery_parse(str_z(text), back) != RC_OK || !ct_eq(key, back, sizeof key))
			abort();
	}
	buf_done(&out);
}

/* A DKIM key: the check derives public halves and must not be harmed by any octets. */
static void dkim(struct str in)
{
	struct vault_dkim k;
	struct str priv;
	struct buf out;
	buf_init(&out, 1 << 17);
	if (dkim_record_parse(7, in, &k, &priv) == RC_OK) {
		dkim_record_format(&k, priv, &out);
		if (!str_eq(buf_str(&out), in))
			abort();
		(void)dkim_record_check(7, in);
	}
	buf_done(&out);
}

/* A slot of ours is one, and is none with an octet of the input's choice changed. */
static void slots(const struct format_keys *k, struct str in)
{
	uint8_t file[FRAMES_AT] = { 0 };
	struct slot s = { .version = 1 + in.n, .committed = FRAMES_AT }, got;
	if (in.n < 3)
		return;
	unsigned which = (uint8_t)in.p[0] & 1, at = SLOT_AT + which * SLOT_STEP;
	format_slot_put(k, &s, file + at);
	if (!format_slot_get(k, str_of(file, sizeof file), which, &got) || got.version != s.version || got.committed != s.committed)
		abort();
	file[at + (uint8_t)in.p[1] % SLOT_LEN] ^= (uint8_t)in.p[2] | 1;
	if (format_slot_get(k, str_of(file, sizeof file), which, &got))
		abort();
}

static void file(struct str in)
{
	static struct format_keys k;
	static const struct secret root = { { 1 } };
	static struct buf head;
	if (!k.vault) {
		buf_init(&head, FRAMES_AT);
		if (format_head_make(&root, &k, &head) != RC_OK)
			abort();
	}
	struct format_keys other = { 0 };
	struct frame f;
	struct slot s;
	struct buf out, frame;
	buf_init(&out, VAULT_VALUE_MAX);
	buf_init(&frame, FRAME_MAX);
	if (format_head_open(&root, in, &other) == RC_OK)
		abort();
	if (format_frame_get(&k, in, &f) || format_slot_get(&k, in, 0, &s) || format_slot_get(&k, in, 1, &s))
		abort(); /* nobody guesses a keyed check */
	(void)format_padding_ok(in);
	slots(&k, in);
	/* A frame of ours, with the input as its value, then with one octet of the input's choice changed. */
	if (in.n > 8 && in.n <= VAULT_VALUE_MAX && format_frame_put(&k, KIND_ACCOUNT, 3, 1, in, &frame) == RC_OK) {
		if (!format_frame_get(&k, buf_str(&frame), &f) || format_frame_open(&k, &f, &out) != RC_OK || !str_eq(buf_str(&out), in))
			abort();
		size_t at = ((size_t)(uint8_t)in.p[0] << 8 | (uint8_t)in.p[1]) % frame.len;
		frame.p[at] = (char)(frame.p[at] ^ ((uint8_t)in.p[2] | 1));
		buf_clear(&out);
		if (format_frame_get(&k, buf_str(&frame), &f) && format_frame_open(&k, &f, &out) == RC_OK)
			abort();
	}
	buf_done(&out);
	buf_done(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	dkim(str_of(p, n));
	records(str_of(p, n));
	file(str_of(p, n));
	return 0;
}
