#include "vault/format.h"

#include "base/cursor.h"
#include "base/mem.h"

static const char magic[8] = { 'L', 'L', 'V', 'A', 'U', 'L', 'T', 1 };
enum { HEAD_CLEAR = 8 + 16 + 16, HEAD_LEN = HEAD_CLEAR + KEY_LEN + TAG_LEN, MARKER = 0x4c4c7672 };

static enum rc wrapping_key(const struct secret *root, struct str salt, struct secret *out)
{
	return hkdf(secret_str(root), salt, STR("letterlock vault key wrap"), out);
}

static enum rc derive_check(struct format_keys *k)
{
	struct secret c AUTO(secret_done) = { { 0 } };
	TRY(hkdf(secret_str(k->vault), str_of(k->file_id, 16), STR("letterlock vault check"), &c));
	memcpy(k->check, c.k, 16);
	return RC_OK;
}

void format_keys_done(struct format_keys *k)
{
	secret_free(&k->vault);
	mem_wipe(k, sizeof *k);
}

enum rc format_head_make(const struct secret *root, struct format_keys *out, struct buf *file)
{
	struct secret wrap AUTO(secret_done) = { { 0 } };
	struct format_keys k AUTO(format_keys_done) = { .vault = secret_new() };
	uint8_t salt[16];
	if (!k.vault)
		return RC_NOMEM;
	TRY(random_bytes(k.vault->k, KEY_LEN));
	TRY(random_bytes(k.file_id, 16));
	TRY(random_bytes(salt, 16));
	TRY(wrapping_key(root, str_of(salt, 16), &wrap));
	TRY(derive_check(&k));
	buf_add(file, str_of(magic, 8));
	buf_add(file, str_of(k.file_id, 16));
	buf_add(file, str_of(salt, 16));
	if (file->failed)
		return RC_NOMEM;
	struct str clear = { file->p + file->len - HEAD_CLEAR, HEAD_CLEAR };
	char aad[HEAD_CLEAR];
	memcpy(aad, clear.p, HEAD_CLEAR); /* `file` may move while it grows */
	TRY(aead_seal(&wrap, 0, str_of(aad, HEAD_CLEAR), secret_str(k.vault), file));
	while (file->len < FRAMES_AT && !file->failed)
		buf_byte(file, 0);
	if (file->failed)
		return RC_NOMEM;
	*out = k;
	k = (struct format_keys){ 0 };
	return RC_OK;
}

enum rc format_head_open(const struct secret *root, struct str file, struct format_keys *out)
{
	struct secret wrap AUTO(secret_done) = { { 0 } };
	struct format_keys k AUTO(format_keys_done) = { 0 };
	if (file.n < FRAMES_AT || !str_eq(str_head(file, 8), str_of(magic, 8)))
		return RC_DENIED;
	memcpy(k.file_id, file.p + 8, 16);
	k.vault = secret_new();
	if (!k.vault)
		return RC_NOMEM;
	TRY(wrapping_key(root, str_of(file.p + 24, 16), &wrap));
	enum rc rc = aead_open_into(&wrap, 0, str_head(file, HEAD_CLEAR), str_of(file.p + HEAD_CLEAR, KEY_LEN + TAG_LEN), k.vault->k);
	if (rc != RC_OK)
		return rc == RC_DAMAGED ? RC_DENIED : rc;
	TRY(derive_check(&k));
	*out = k;
	k = (struct format_keys){ 0 };
	return RC_OK;
}

static void put_be(uint8_t *p, uint64_t v, unsigned n)
{
	while (n--) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

/* The keyed check of `head` against the eight octets that stand for it: in constant time, as every keyed check is compared. */
static bool check_ok(const struct format_keys *k, struct str head, struct str got)
{
	uint8_t want[8];
	put_be(want, siphash(k->check, head), sizeof want);
	return got.n == sizeof want && ct_eq(want, got.p, sizeof want);
}

void format_slot_put(const struct format_keys *k, const struct slot *s, uint8_t out[SLOT_LEN])
{
	put_be(out, s->version, 8);
	put_be(out + 8, s->committed, 8);
	put_be(out + 16, siphash(k->check, str_of(out, 16)), 8);
}

bool format_slot_get(const struct format_keys *k, struct str file, unsigned which, struct slot *out)
{
	struct str in = str_head(str_skip(file, SLOT_AT + which * SLOT_STEP), SLOT_LEN);
	struct cursor c = cursor_of(in);
	struct slot s = { .version = cursor_u64(&c), .committed = cursor_u64(&c) };
	struct str check = cursor_take(&c, 8);
	if (c.failed || !check_ok(k, str_head(in, 16), check) || s.version == 0)
		return false;
	*out = s;
	return true;
}

static enum rc record_key(const struct format_keys *k, struct str salt, struct secret *out)
{
	return hkdf(secret_str(k->vault), salt, STR("letterlock vault record"), out);
}

/* The head of a frame as it lies in the file, without check and salt, and the file's id: no frame fits elsewhere. */
enum { CLEAR_LEN = 28 };
static void aad_of(const struct format_keys *k, const char *clear, uint8_t out[CLEAR_LEN + 16])
{
	memcpy(out, clear, CLEAR_LEN);
	memcpy(out + CLEAR_LEN, k->file_id, 16);
}

enum rc format_frame_put(const struct format_keys *k, enum vault_kind kind, uint64_t id, uint64_t version, struct str value, struct buf *out)
{
	struct secret key AUTO(secret_done) = { { 0 } };
	uint8_t head[FRAME_HEAD] = { 0 }, aad[CLEAR_LEN + 16];
	if (value.n > VAULT_VALUE_MAX)
		return RC_LIMIT;
	put_be(head, MARKER, 4);
	put_be(head + 4, value.n + TAG_LEN, 4);
	put_be(head + 8, version, 8);
	head[16] = (uint8_t)kind;
	put_be(head + 20, id, 8);
	put_be(head + CLEAR_LEN, siphash(k->check, str_of(head, CLEAR_LEN)), 8);
	TRY(random_bytes(head + CLEAR_LEN + 8, 16));
	TRY(record_key(k, str_of(head + CLEAR_LEN + 8, 16), &key));
	aad_of(k, (const char *)head, aad);
	size_t start = out->len;
	if (!buf_room(out, FRAME_HEAD + value.n + TAG_LEN))
		return RC_NOMEM;
	buf_add(out, str_of(head, FRAME_HEAD));
	enum rc rc = aead_seal(&key, 0, str_of(aad, sizeof aad), value, out);
	if (rc != RC_OK)
		out->len = start;
	return rc;
}

bool format_frame_get(const struct format_keys *k, struct str in, struct frame *out)
{
	struct cursor c = cursor_of(in);
	uint32_t marker = cursor_u32(&c), n = cursor_u32(&c);
	struct frame f = { .version = cursor_u64(&c) };
	uint32_t kind = cursor_u32(&c);
	f.kind = kind >> 24;
	f.id = cursor_u64(&c);
	struct str check = cursor_take(&c, 8);
	f.salt = cursor_take(&c, 16);
	if (c.failed || marker != MARKER || n < TAG_LEN || n > VAULT_VALUE_MAX + TAG_LEN || kind & 0xffffff ||
	    !check_ok(k, str_head(in, CLEAR_LEN), check))
		return false;
	f.sealed = cursor_take(&c, n);
	f.length = FRAME_HEAD + n;
	if (c.failed)
		return false;
	*out = f;
	return true;
}

enum rc format_frame_open(const struct format_keys *k, const struct frame *f, struct buf *out)
{
	struct secret key AUTO(secret_done) = { { 0 } };
	uint8_t clear[CLEAR_LEN] = { 0 }, aad[CLEAR_LEN + 16];
	put_be(clear, MARKER, 4);
	put_be(clear + 4, f->sealed.n, 4);
	put_be(clear + 8, f->version, 8);
	clear[16] = (uint8_t)f->kind;
	put_be(clear + 20, f->id, 8);
	aad_of(k, (const char *)clear, aad);
	TRY(record_key(k, f->salt, &key));
	return aead_open(&key, 0, str_of(aad, sizeof aad), f->sealed, out);
}

bool format_padding_ok(struct str file)
{
	uint8_t any = 0;
	if (file.n < FRAMES_AT)
		return false;
	for (size_t i = HEAD_LEN; i < FRAMES_AT; i++) {
		bool slot = (i >= SLOT_AT && i < SLOT_AT + SLOT_LEN) || (i >= SLOT_AT + SLOT_STEP && i < SLOT_AT + SLOT_STEP + SLOT_LEN);
		if (!slot)
			any |= (uint8_t)file.p[i];
	}
	return any == 0;
}
