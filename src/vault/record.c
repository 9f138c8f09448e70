#include "vault/record.h"

#include "base/mem.h"

enum { RECORD_VERSION = 1, PARAMS_LEN = WRAP_SALT + 12, COST_KIB_MAX = 1 << 20, PASSES_MAX = 16, LANES_MAX = 8 };

void record_format(const struct account_record *r, struct buf *out)
{
	buf_u8(out, RECORD_VERSION);
	buf_u8(out, (uint8_t)r->mode);
	buf_add(out, str_of(r->public_key, PUB_LEN));
	buf_u64(out, (uint64_t)r->made_ms);
	buf_u8(out, (uint8_t)r->wraps);
	for (unsigned i = 0; i < r->wraps; i++) {
		buf_u8(out, r->wrap[i].type);
		buf_run(out, r->wrap[i].bytes);
	}
}

enum rc record_parse(uint64_t id, struct str value, struct account_record *out)
{
	struct cursor c = cursor_of(value);
	struct account_record r = { .id = id };
	if (cursor_u8(&c) != RECORD_VERSION)
		return RC_DAMAGED;
	uint8_t mode = cursor_u8(&c);
	struct str pub = cursor_take(&c, PUB_LEN);
	r.made_ms = (int64_t)cursor_u64(&c);
	r.wraps = cursor_u8(&c);
	if (c.failed || mode > MODE_PRIVATE || r.wraps > WRAPS_MAX)
		return RC_DAMAGED;
	r.mode = mode;
	memcpy(r.public_key, pub.p, PUB_LEN);
	for (unsigned i = 0; i < r.wraps; i++) {
		r.wrap[i].type = cursor_u8(&c);
		r.wrap[i].bytes = cursor_run(&c, WRAP_MAX);
	}
	if (!cursor_at_end(&c))
		return RC_DAMAGED;
	*out = r;
	return RC_OK;
}

const struct wrap *record_wrap(const struct account_record *r, enum wrap_type type)
{
	for (unsigned i = 0; i < r->wraps; i++)
		if (r->wrap[i].type == type)
			return &r->wrap[i];
	return NULL;
}

enum rc record_put(struct account_record *r, enum wrap_type type, struct str bytes)
{
	unsigned i = 0;
	while (i < r->wraps && r->wrap[i].type != type)
		i++;
	if (i == WRAPS_MAX || bytes.n > WRAP_MAX)
		return RC_LIMIT;
	r->wrap[i] = (struct wrap){ (uint8_t)type, bytes };
	if (i == r->wraps)
		r->wraps++;
	return RC_OK;
}

void record_drop(struct account_record *r, enum wrap_type type)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < r->wraps; i++)
		if (r->wrap[i].type != type)
			r->wrap[kept++] = r->wrap[i];
	r->wraps = kept;
}

enum { BOUND_LEN = 16 + 1 + 8 + PUB_LEN };
static void bound_to(const struct account_record *r, enum wrap_type type, uint8_t out[BOUND_LEN])
{
	memcpy(out, "letterlock wrap ", 16);
	out[16] = (uint8_t)type;
	for (unsigned i = 0; i < 8; i++)
		out[17 + i] = (uint8_t)(r->id >> (56 - 8 * i));
	memcpy(out + 25, r->public_key, PUB_LEN);
}

enum rc wrap_seal(const struct account_record *r, enum wrap_type type, struct str strong, const struct secret *priv, struct buf *out)
{
	struct secret key AUTO(secret_done) = { { 0 } };
	uint8_t salt[WRAP_SALT], bound[BOUND_LEN];
	bound_to(r, type, bound);
	TRY(random_bytes(salt, sizeof salt));
	TRY(hkdf(strong, str_of(salt, sizeof salt), str_of(bound, sizeof bound), &key));
	buf_add(out, str_of(salt, sizeof salt));
	return aead_seal(&key, 0, str_of(bound, sizeof bound), secret_str(priv), out);
}

enum rc wrap_open(const struct account_record *r, enum wrap_type type, struct str strong, struct str bytes, struct secret *out)
{
	struct secret key AUTO(secret_done) = { { 0 } };
	uint8_t bound[BOUND_LEN];
	if (bytes.n != WRAP_SALT + KEY_LEN + TAG_LEN)
		return RC_DAMAGED;
	bound_to(r, type, bound);
	TRY(hkdf(strong, str_head(bytes, WRAP_SALT), str_of(bound, sizeof bound), &key));
	return aead_open_into(&key, 0, str_of(bound, sizeof bound), str_skip(bytes, WRAP_SALT), out->k);
}

void params_format(const struct password_params *p, struct buf *out)
{
	buf_add(out, str_of(p->salt, WRAP_SALT));
	buf_u32(out, p->cost.memory_kib);
	buf_u32(out, p->cost.passes);
	buf_u32(out, p->cost.lanes);
}

enum rc params_parse(struct str bytes, struct password_params *out, struct str *out_wrap)
{
	struct cursor c = cursor_of(bytes);
	struct str salt = cursor_take(&c, WRAP_SALT);
	struct argon2_cost cost = { cursor_u32(&c), cursor_u32(&c), cursor_u32(&c) };
	if (c.failed || cost.memory_kib > COST_KIB_MAX || cost.passes > PASSES_MAX || cost.lanes > LANES_MAX)
		return RC_DAMAGED;
	memcpy(out->salt, salt.p, WRAP_SALT);
	out->cost = cost;
	*out_wrap = c.in;
	return RC_OK;
}

/* ---- recovery keys ---- */

static const char letters[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
enum { DATA_LETTERS = 26, ALL_LETTERS = 28 };

static enum rc check_of(const uint8_t key[RECOVERY_BITS], uint8_t out[2])
{
	uint8_t h[HASH_LEN];
	TRY(sha256(str_of(key, RECOVERY_BITS), h));
	out[0] = h[0] & 31;
	out[1] = h[1] & 31;
	return RC_OK;
}

enum rc recovery_format(const uint8_t key[RECOVERY_BITS], char out[RECOVERY_TEXT])
{
	uint8_t value[ALL_LETTERS] = { 0 };
	/* 130 bits in 26 letters: the last two are zero. */
	for (unsigned bit = 0; bit < 128; bit++)
		if (key[bit / 8] >> (7 - bit % 8) & 1)
			value[bit / 5] |= (uint8_t)(16 >> bit % 5);
	TRY(check_of(key, value + DATA_LETTERS));
	for (unsigned i = 0; i < ALL_LETTERS; i++) {
		out[i + i / 4] = letters[value[i]];
		if (i % 4 == 3)
			out[i + i / 4 + 1] = i + 1 < ALL_LETTERS ? '-' : 0;
	}
	mem_wipe(value, sizeof value);
	return RC_OK;
}

/* Crockford: lower case is fine, O reads as 0, I and L as 1. -1: no such letter. */
static int value_of(char c)
{
	c = ascii_upper(c);
	c = c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : c;
	for (int i = 0; i < 32; i++)
		if (letters[i] == c)
			return i;
	return -1;
}

enum rc recovery_parse(struct str text, uint8_t out[RECOVERY_BITS])
{
	uint8_t value[ALL_LETTERS], key[RECOVERY_BITS] = { 0 }, check[2];
	unsigned n = 0;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '-' || text.p[i] == ' ')
			continue;
		int v = value_of(text.p[i]);
		if (v < 0 || n == ALL_LETTERS)
			return RC_SYNTAX;
		value[n++] = (uint8_t)v;
	}
	if (n != ALL_LETTERS || value[DATA_LETTERS - 1] & 3)
		return RC_SYNTAX;
	for (unsigned bit = 0; bit < 128; bit++)
		if (value[bit / 5] >> (4 - bit % 5) & 1)
			key[bit / 8] |= (uint8_t)(128 >> bit % 8);
	TRY(check_of(key, check));
	if (!ct_eq(check, value + DATA_LETTERS, 2))
		return RC_SYNTAX;
	memcpy(out, key, RECOVERY_BITS);
	mem_wipe(key, sizeof key);
	return RC_OK;
}
