#include "store/record.h"

#include "base/cursor.h"
#include "base/mem.h"
#include <string.h>

/* clear part: version u8, internal u64, save u64, blob id 16, email id u64, owner u64, epoch u64, nonce u64; then u32 length of the sealed head,
 * AEAD(head), AEAD(rest). Lists of messages and reading whole ones need the head alone: it is opened, and sent about, without the rest.
 * The AEAD context is what never changes about an email: all of the clear part but the save date (a copy has its own). */
enum { VERSION = 1, RECORD_VERSION = 2, HEAD_AT = 4, CLEAR_LEN = 1 + 8 + 8 + BLOB_ID_LEN + 4 * 8, CONTEXT_LEN = 1 + CLEAR_LEN, RUN_MAX = 64 << 20 };
#define NONCE_MAX (1ull << 62)
#define REST_NONCE (1ull << 63) /* what it is added to stays below */

/* A reading of an aged mailbox passes hundreds of epochs, mostly without their signatures: that key is derived when it is needed. */
struct epoch_keys { struct aead *record, *grams; bool have_grams; struct secret epoch; };

static enum rc derive(const struct secret *key, struct str info, struct aead **out)
{
	struct secret sub;
	enum rc rc = hkdf(str_of(key->k, sizeof key->k), STR(""), info, &sub);
	if (rc == RC_OK && *out)
		aead_rekey(*out, &sub);
	else if (rc == RC_OK)
		rc = aead_new(&sub, out);
	secret_done(&sub);
	return rc;
}

enum rc epoch_keys_new(const struct secret *epoch_key, struct epoch_keys **out)
{
	struct epoch_keys *k = mem_new(sizeof *k);
	if (!k)
		return RC_NOMEM;
	enum rc rc = epoch_keys_change(k, epoch_key);
	if (rc != RC_OK)
		epoch_keys_free(&k);
	else
		*out = k;
	return rc;
}

enum rc epoch_keys_change(struct epoch_keys *k, const struct secret *epoch_key)
{
	k->epoch = *epoch_key;
	k->have_grams = false;
	return derive(epoch_key, STR("letterlock record 1"), &k->record);
}

static enum rc need_grams(struct epoch_keys *k)
{
	if (!k->have_grams)
		TRY(derive(&k->epoch, STR("letterlock grams 1"), &k->grams));
	k->have_grams = true;
	return RC_OK;
}

void epoch_keys_free(struct epoch_keys **k)
{
	if (!*k)
		return;
	aead_free(&(*k)->record);
	aead_free(&(*k)->grams);
	secret_done(&(*k)->epoch);
	mem_free(*k);
	*k = NULL;
}

/* Big-endian writing into fixed memory: this runs once per row of a FETCH, without an allocation. */
struct pen { char *p; };
static inline void pen_int(struct pen *p, uint64_t v, unsigned n)
{
	if (n == 8) {
		v = __builtin_bswap64(v);
		memcpy(p->p, &v, 8);
		p->p += 8;
		return;
	}
	while (n--)
		*p->p++ = (char)(v >> (8 * n));
}

static void write_clear(const struct record_clear *c, int64_t save_ms, struct pen *p)
{
	pen_int(p, RECORD_VERSION, 1);
	pen_int(p, (uint64_t)c->internal_ms, 8);
	pen_int(p, (uint64_t)save_ms, 8);
	memcpy(p->p, c->blob.b, BLOB_ID_LEN);
	p->p += BLOB_ID_LEN;
	pen_int(p, c->email_id, 8);
	pen_int(p, c->owner, 8);
	pen_int(p, c->epoch, 8);
	pen_int(p, c->nonce, 8);
}

static struct str context(const struct record_clear *c, char part, char out[CONTEXT_LEN])
{
	struct pen p = { out };
	pen_int(&p, (uint8_t)part, 1);
	write_clear(c, 0, &p);
	return str_of(out, CONTEXT_LEN);
}

/* Head and rest behind each other. */
enum rc record_plain_make(const struct record_secret *secret, struct record_plain *out)
{
	struct buf *plain = &out->text;
	const struct str *runs[] = { &secret->structure, &secret->parts, &secret->preview, &secret->fields };
	size_t n = KEY_LEN + 4 + secret->envelope.n;
	for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
		n += 4 + runs[i]->n;
	buf_init(plain, 5 * (size_t)RUN_MAX);
	(void)buf_room(plain, n);
	buf_add(plain, str_of(secret->body_key.k, KEY_LEN));
	buf_run(plain, secret->envelope);
	out->head = plain->len;
	for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
		buf_run(plain, *runs[i]);
	if (!plain->failed)
		return RC_OK;
	record_plain_done(out);
	return RC_NOMEM;
}

void record_plain_done(struct record_plain *p) { buf_wipe(&p->text); }

static enum rc seal_parts(struct epoch_keys *k, const struct record_clear *clear, struct str head, struct str rest, char *to)
{
	char ctx[CONTEXT_LEN];
	struct pen p = { to };
	write_clear(clear, clear->save_ms, &p);
	pen_int(&p, head.n + TAG_LEN, 4);
	TRY(aead_seal_with(k->record, 2 * clear->nonce, context(clear, 'R', ctx), head, (uint8_t *)p.p));
	return aead_seal_with(k->record, REST_NONCE + 2 * clear->nonce, context(clear, 'S', ctx), rest, (uint8_t *)p.p + head.n + TAG_LEN);
}

enum rc record_seal_plain(struct epoch_keys *k, const struct record_clear *clear, const struct record_plain *plain, struct buf *out)
{
	struct str text = buf_str(&plain->text);
	size_t n = CLEAR_LEN + HEAD_AT + text.n + 2 * TAG_LEN;
	if (clear->nonce >= NONCE_MAX || !buf_room(out, n))
		return RC_LIMIT;
	TRY(seal_parts(k, clear, str_head(text, plain->head), str_skip(text, plain->head), out->p + out->len));
	out->len += n;
	return RC_OK;
}

enum rc record_seal(struct epoch_keys *k, const struct record_clear *clear, const struct record_secret *secret, struct buf *out)
{
	struct record_plain plain;
	TRY(record_plain_make(secret, &plain));
	enum rc rc = record_seal_plain(k, clear, &plain, out);
	record_plain_done(&plain);
	return rc;
}

/* The sealed head of what follows the clear part, and what is behind it; false: impossible. */
static bool split(struct str sealed, struct str *out_head, struct str *out_rest)
{
	uint32_t n;
	if (sealed.n < HEAD_AT + TAG_LEN)
		return false;
	memcpy(&n, sealed.p, HEAD_AT);
	n = __builtin_bswap32(n);
	if (n < KEY_LEN + TAG_LEN || n > sealed.n - HEAD_AT)
		return false;
	*out_head = str_of(sealed.p + HEAD_AT, n);
	*out_rest = str_skip(sealed, HEAD_AT + (size_t)n);
	return true;
}

struct str record_head(struct str value)
{
	struct str head, rest;
	return value.n > CLEAR_LEN && split(str_skip(value, CLEAR_LEN), &head, &rest) ? str_head(value, value.n - rest.n) : STR("");
}

static inline uint64_t get64(const char *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return __builtin_bswap64(v);
}

enum rc record_clear_parse(struct str value, struct record_clear *out, struct str *out_sealed)
{
	struct str head, rest;
	const char *p = value.p;
	if (value.n < CLEAR_LEN || p[0] != RECORD_VERSION || !split(str_skip(value, CLEAR_LEN), &head, &rest))
		return RC_DAMAGED;
	out->internal_ms = (int64_t)get64(p + 1);
	out->save_ms = (int64_t)get64(p + 9);
	memcpy(out->blob.b, p + 17, BLOB_ID_LEN);
	p += 17 + BLOB_ID_LEN;
	out->email_id = get64(p);
	out->owner = get64(p + 8);
	out->epoch = get64(p + 16);
	out->nonce = get64(p + 24);
	*out_sealed = str_skip(value, CLEAR_LEN);
	return out->nonce < NONCE_MAX ? RC_OK : RC_DAMAGED;
}

static enum rc open_head(struct epoch_keys *k, const struct record_clear *clear, struct str sealed, char *to, struct record_secret *out)
{
	char ctx[CONTEXT_LEN];
	TRY(aead_open_with(k->record, 2 * clear->nonce, context(clear, 'R', ctx), sealed, (uint8_t *)to));
	struct cursor c = cursor_of(str_of(to, sealed.n - TAG_LEN));
	struct str key = cursor_take(&c, KEY_LEN);
	out->envelope = cursor_run(&c, RUN_MAX);
	if (!cursor_at_end(&c))
		return RC_DAMAGED;
	memcpy(out->body_key.k, key.p, KEY_LEN);
	return RC_OK;
}

static enum rc open_rest(struct epoch_keys *k, const struct record_clear *clear, struct str sealed, char *to, struct record_secret *out)
{
	char ctx[CONTEXT_LEN];
	if (sealed.n < TAG_LEN)
		return RC_DAMAGED;
	TRY(aead_open_with(k->record, REST_NONCE + 2 * clear->nonce, context(clear, 'S', ctx), sealed, (uint8_t *)to));
	struct cursor c = cursor_of(str_of(to, sealed.n - TAG_LEN));
	out->structure = cursor_run(&c, RUN_MAX);
	out->parts = cursor_run(&c, RUN_MAX);
	out->preview = cursor_run(&c, RUN_MAX);
	out->fields = cursor_run(&c, RUN_MAX);
	return cursor_at_end(&c) ? RC_OK : RC_DAMAGED;
}

static enum rc open_record(struct epoch_keys *k, const struct record_clear *clear, struct str sealed, bool whole, struct buf *scratch, struct record_secret *out)
{
	struct str head, rest;
	struct record_secret r = { STR(""), STR(""), STR(""), STR(""), STR(""), { { 0 } } };
	buf_clear(scratch);
	if (!split(sealed, &head, &rest))
		return RC_DAMAGED;
	if (!buf_room(scratch, sealed.n))
		return RC_LIMIT;
	TRY(open_head(k, clear, head, scratch->p, &r));
	scratch->len = head.n - TAG_LEN;
	if (whole) {
		TRY(open_rest(k, clear, rest, scratch->p + scratch->len, &r));
		scratch->len += rest.n - TAG_LEN;
	}
	*out = r;
	return RC_OK;
}

enum rc record_open(struct epoch_keys *k, const struct record_clear *clear, struct str sealed, struct buf *scratch, struct record_secret *out)
{
	return open_record(k, clear, sealed, true, scratch, out);
}

enum rc record_open_head(struct epoch_keys *k, const struct record_clear *clear, struct str sealed, struct buf *scratch, struct record_secret *out)
{
	return open_record(k, clear, sealed, false, scratch, out);
}

enum rc grams_seal(struct epoch_keys *k, const struct record_clear *clear, struct str grams, struct buf *out)
{
	if (clear->nonce >= NONCE_MAX)
		return RC_LIMIT;
	if (!buf_room(out, 1 + grams.n + TAG_LEN))
		return RC_LIMIT;
	TRY(need_grams(k));
	char ctx[CONTEXT_LEN];
	out->p[out->len] = VERSION;
	TRY(aead_seal_with(k->grams, 2 * clear->nonce + 1, context(clear, 'G', ctx), grams, (uint8_t *)out->p + out->len + 1));
	out->len += 1 + grams.n + TAG_LEN;
	return RC_OK;
}

enum rc grams_open(struct epoch_keys *k, const struct record_clear *clear, struct str sealed, struct buf *scratch, struct str *out)
{
	buf_clear(scratch);
	if (sealed.n < 1 + TAG_LEN || sealed.p[0] != VERSION)
		return RC_DAMAGED;
	if (!buf_room(scratch, sealed.n))
		return RC_LIMIT;
	TRY(need_grams(k));
	char ctx[CONTEXT_LEN];
	TRY(aead_open_with(k->grams, 2 * clear->nonce + 1, context(clear, 'G', ctx), str_skip(sealed, 1), (uint8_t *)scratch->p));
	scratch->len = sealed.n - 1 - TAG_LEN;
	*out = buf_str(scratch);
	return RC_OK;
}

/* ---- epochs ---- */
enum { OWNER_CONTEXT_LEN = 1 + 8 + 8, ROLLUP_MAX = 1000, ENTRY_LEN = 8 + KEY_LEN, SALT_LEN = 16 };

static struct str owner_context(char part, uint64_t owner, uint64_t id, char out[OWNER_CONTEXT_LEN])
{
	struct pen p = { out };
	pen_int(&p, (uint8_t)part, 1);
	pen_int(&p, owner, 8);
	pen_int(&p, id, 8);
	return str_of(out, OWNER_CONTEXT_LEN);
}

enum rc epoch_seal(const struct secret *epoch_key, uint64_t owner, uint64_t epoch, const uint8_t owner_public[PUB_LEN], struct buf *out)
{
	char ctx[OWNER_CONTEXT_LEN];
	return seal_to(owner_public, owner_context('E', owner, epoch, ctx), str_of(epoch_key->k, KEY_LEN), out);
}

enum rc epoch_open_by(struct unsealer *u, uint64_t owner, uint64_t epoch, struct str sealed, struct secret *out_epoch_key)
{
	if (sealed.n != KEY_LEN + SEAL_OVERHEAD)
		return RC_DAMAGED;
	struct buf b;
	buf_init(&b, 256);
	char ctx[OWNER_CONTEXT_LEN];
	enum rc rc = unsealer_open(u, owner_context('E', owner, epoch, ctx), sealed, &b);
	if (rc == RC_OK && b.len != KEY_LEN)
		rc = RC_DAMAGED;
	if (rc == RC_OK)
		memcpy(out_epoch_key->k, b.p, KEY_LEN);
	buf_wipe(&b);
	return rc;
}

enum rc epoch_open(const struct secret *owner_private, const uint8_t owner_public[PUB_LEN], uint64_t owner, uint64_t epoch, struct str sealed,
                   struct secret *out_epoch_key)
{
	struct unsealer *u;
	TRY(unsealer_new(owner_private, owner_public, &u));
	enum rc rc = epoch_open_by(u, owner, epoch, sealed, out_epoch_key);
	unsealer_free(&u);
	return rc;
}

/* Each seal has its own key (the salt is fresh), so a roll-up made twice under one id never repeats a nonce under one key. */
static enum rc rollup_key(const struct secret *owner_private, uint64_t owner, uint64_t id, struct str salt, struct secret *out)
{
	char ctx[OWNER_CONTEXT_LEN];
	return hkdf(str_of(owner_private->k, KEY_LEN), salt, owner_context('U', owner, id, ctx), out);
}

enum rc rollup_seal(const struct secret *owner_private, uint64_t owner, uint64_t rollup_id, const struct epoch_entry *e, size_t n, struct buf *out)
{
	if (n > ROLLUP_MAX)
		return RC_LIMIT;
	uint8_t salt[SALT_LEN];
	struct secret key;
	TRY(random_bytes(salt, sizeof salt));
	TRY(rollup_key(owner_private, owner, rollup_id, str_of(salt, sizeof salt), &key));
	struct buf plain;
	buf_init(&plain, ROLLUP_MAX * ENTRY_LEN);
	for (size_t i = 0; i < n; i++) {
		buf_u64(&plain, e[i].epoch);
		buf_add(&plain, str_of(e[i].key.k, KEY_LEN));
	}
	char ctx[OWNER_CONTEXT_LEN];
	buf_u8(out, VERSION);
	buf_add(out, str_of(salt, sizeof salt));
	enum rc rc = plain.failed || out->failed ? RC_NOMEM : aead_seal(&key, 0, owner_context('U', owner, rollup_id, ctx), buf_str(&plain), out);
	secret_done(&key);
	buf_wipe(&plain);
	return rc;
}

enum rc rollup_open(const struct secret *owner_private, uint64_t owner, uint64_t rollup_id, struct str sealed,
                    void (*each)(void *arg, const struct epoch_entry *e), void *arg)
{
	struct cursor c = cursor_of(sealed);
	uint8_t version = cursor_u8(&c);
	struct str salt = cursor_take(&c, SALT_LEN);
	if (c.failed || version != VERSION || c.in.n < TAG_LEN || c.in.n > TAG_LEN + ROLLUP_MAX * ENTRY_LEN || (c.in.n - TAG_LEN) % ENTRY_LEN)
		return RC_DAMAGED;
	struct secret key;
	TRY(rollup_key(owner_private, owner, rollup_id, salt, &key));
	struct buf plain;
	buf_init(&plain, TAG_LEN + ROLLUP_MAX * ENTRY_LEN);
	char ctx[OWNER_CONTEXT_LEN];
	enum rc rc = aead_open(&key, 0, owner_context('U', owner, rollup_id, ctx), c.in, &plain);
	secret_done(&key);
	struct cursor p = cursor_of(buf_str(&plain));
	while (rc == RC_OK && p.in.n) {
		struct epoch_entry e = { .epoch = cursor_u64(&p) };
		memcpy(e.key.k, cursor_take(&p, KEY_LEN).p, KEY_LEN);
		each(arg, &e);
		secret_done(&e.key);
	}
	buf_wipe(&plain);
	return rc;
}
