#include "unit/store/kit.h"

#include "store/crc.h"
#include "store/pack.h"
#include "store/record.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "unit/crypto/hex.h"

static struct secret key_a = { { 1 } }, key_b = { { 2 } };

static void make_plain(char *p, size_t n, bool random)
{
	if (random)
		assert_int_equal(random_bytes(p, n), RC_OK);
	else
		for (size_t i = 0; i < n; i++)
			p[i] = "the quick brown fox jumps over the lazy dog\r\n"[i % 45];
}

/* The other way of opening a chunk says the same, spends nothing but the chunk, and gives the same octets. */
static void open_over(struct aead *a, const struct blob_header *h, uint32_t i, struct str stored, enum rc want, struct str plain)
{
	struct buf out;
	char *copy = malloc(stored.n + 1);
	memcpy(copy, stored.p, stored.n);
	buf_init(&out, 1 << 20);
	assert_int_equal(blob_chunk_open_over(a, h, i, copy, stored.n, &out), want);
	assert_true(str_eq(buf_str(&out), plain));
	buf_done(&out);
	free(copy);
}

static enum rc open_all(const struct secret *key, struct str stored, struct buf *out)
{
	struct blob_header h;
	struct aead *a = NULL;
	size_t need;
	assert_int_equal(aead_new(key, &a), RC_OK);
	enum rc rc = blob_header_parse(stored, &h, &need, NULL);
	for (uint32_t i = 0; rc == RC_OK && i < h.chunks; i++) {
		uint64_t off;
		uint32_t len;
		rc = blob_chunk_at(stored, &h, i, &off, &len);
		size_t before = out->len;
		if (rc != RC_OK)
			break;
		rc = blob_chunk_open(key, &h, i, str_head(str_skip(stored, off), len), out);
		open_over(a, &h, i, str_head(str_skip(stored, off), len), rc, str_skip(buf_str(out), before));
	}
	aead_free(&a);
	return rc;
}

static void bodies_of_every_size_come_back_and_stay_within_the_promised_length(void **state)
{
	static const size_t sizes[] = { 0, 1, 63, 64, 1000, BLOB_CHUNK - 1, BLOB_CHUNK, BLOB_CHUNK + 1, 3 * BLOB_CHUNK + 17 };
	for (size_t i = 0; i < 2 * (sizeof sizes / sizeof *sizes); i++) {
		size_t n = sizes[i / 2];
		char *plain = malloc(n + 1);
		make_plain(plain, n, i % 2);
		struct blob_id id;
		struct buf sealed, back;
		buf_init(&sealed, 1 << 20);
		buf_init(&back, 1 << 20);
		assert_int_equal(blob_id_new(&id), RC_OK);
		assert_int_equal(blob_seal(&key_a, &id, 7, str_of(plain, n), &sealed), RC_OK);
		assert_true(sealed.len <= n + n / 100 + 256);
		assert_int_equal(blob_check(buf_str(&sealed), &id, NULL), RC_OK);
		assert_int_equal(open_all(&key_a, buf_str(&sealed), &back), RC_OK);
		assert_int_equal(back.len, n);
		assert_memory_equal(back.p, plain, n);
		if (n >= 1000 && i % 2 == 0)
			assert_true(sealed.len < n * 4 / 5);
		buf_done(&sealed);
		buf_done(&back);
		free(plain);
	}
}

/* What a chunk is packed by stands before its seal. */
static enum packing packing_of(struct str sealed)
{
	struct blob_header h;
	size_t need;
	assert_int_equal(blob_header_parse(sealed, &h, &need, NULL), RC_OK);
	return (enum packing)sealed.p[h.header_len];
}

static void what_a_chunk_is_packed_by_stands_before_its_seal(void **state)
{
	static const struct { const char *what; enum packing packing; unsigned most; } rows[] = {
		{ "text", PACKED_LZ4, 30 }, { "base64", PACKED_LINES, 75 }, { "noise", PACKED_NOT, 101 } };
	static char plain[40000], noise[30000];
	struct blob_id id;
	assert_int_equal(blob_id_new(&id), RC_OK);
	assert_int_equal(random_bytes(noise, sizeof noise), RC_OK);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf sealed, back, b64;
		buf_init(&sealed, 1 << 20);
		buf_init(&back, 1 << 20);
		buf_init(&b64, 1 << 20);
		make_plain(plain, sizeof plain, rows[i].packing == PACKED_NOT);
		for (size_t k = 0; k < sizeof noise; k += 57) { /* lines, as mail has them */
			base64_add(&b64, str_head(str_of(noise + k, sizeof noise - k), 57));
			buf_add(&b64, STR("\r\n"));
		}
		struct str in = rows[i].packing == PACKED_LINES ? buf_str(&b64) : str_of(plain, sizeof plain);
		assert_int_equal(blob_seal(&key_a, &id, 7, in, &sealed), RC_OK);
		assert_int_equal(packing_of(buf_str(&sealed)), rows[i].packing);
		assert_true(sealed.len <= in.n * rows[i].most / 100);
		assert_int_equal(open_all(&key_a, buf_str(&sealed), &back), RC_OK);
		assert_true(str_eq(buf_str(&back), in));
		buf_done(&sealed);
		buf_done(&back);
		buf_done(&b64);
	}
}

/* Made by the program before it knew LZ4: 600 octets of make_plain() under the key 7, blob id 1 2 3, owner 9. */
static const char version_1[] = "4c4c423100010000010203000000000000000000000000000000000000000009000000000000025800000001e32890790000008a012c23c7f4153723"
	"fc199e5abe866b572c0f4e6d54dc6823d9cd9e7b05cbae2765cff46289c0df4db636ab69663004cbcfce0600f7cc8656417502da4148e1ad6ef655fc"
	"cf64e961079ba4e959333dacba18b156e8b0f004f8c4613192b33ccca5b6b431669f526b5a2ed662980ca7680339cc17c6befb5ec5c5bb0f37f8c74d"
	"65035d68ade6c35a095c4edf5ad8";

static void a_body_of_the_first_format_is_read(void **state)
{
	static const struct secret key = { { 7 } };
	static const struct blob_id id = { { 1, 2, 3 } };
	char plain[600];
	struct buf back;
	struct str stored = hex(version_1);
	make_plain(plain, sizeof plain, false);
	buf_init(&back, 4096);
	assert_int_equal(blob_check(stored, &id, NULL), RC_OK);
	assert_int_equal(packing_of(stored), PACKED_ZSTD);
	assert_int_equal(open_all(&key, stored, &back), RC_OK);
	assert_true(str_eq(buf_str(&back), str_of(plain, sizeof plain)));
	buf_done(&back);
}

static void a_packing_that_a_format_does_not_know_is_damage(void **state)
{
	static const struct secret key = { { 7 } };
	struct blob_header h;
	struct buf chunk, out;
	size_t need;
	char aad[45];
	struct str stored = hex(version_1);
	buf_init(&chunk, 4096);
	buf_init(&out, 4096);
	assert_int_equal(blob_header_parse(stored, &h, &need, NULL), RC_OK);
	memcpy(aad, stored.p, 44);
	aad[44] = PACKED_LZ4;
	buf_byte(&chunk, PACKED_LZ4);
	assert_int_equal(aead_seal(&key, 0, str_of(aad, sizeof aad), STR("\x1f" "a\1\0\xff\xff\xff"), &chunk), RC_OK);
	assert_int_equal(blob_chunk_open(&key, &h, 0, buf_str(&chunk), &out), RC_DAMAGED);
	buf_done(&chunk);
	buf_done(&out);
}

static void a_wrong_key_opens_no_chunk(void **state)
{
	char plain[3 * BLOB_CHUNK];
	struct blob_id id;
	struct buf sealed, back;
	struct blob_header h;
	size_t need;
	make_plain(plain, sizeof plain, false);
	buf_init(&sealed, 1 << 20);
	buf_init(&back, 1 << 20);
	assert_int_equal(blob_id_new(&id), RC_OK);
	assert_int_equal(blob_seal(&key_a, &id, 7, str_of(plain, sizeof plain), &sealed), RC_OK);
	assert_int_equal(blob_header_parse(buf_str(&sealed), &h, &need, NULL), RC_OK);
	for (uint32_t i = 0; i < h.chunks; i++) {
		uint64_t off;
		uint32_t len;
		assert_int_equal(blob_chunk_at(buf_str(&sealed), &h, i, &off, &len), RC_OK);
		assert_int_equal(blob_chunk_open(&key_b, &h, i, str_head(str_skip(buf_str(&sealed), off), len), &back), RC_DAMAGED);
		assert_int_equal(blob_chunk_open(&key_a, &h, (i + 1) % h.chunks, str_head(str_skip(buf_str(&sealed), off), len), &back), RC_DAMAGED);
	}
	assert_int_equal(back.len, 0);
	buf_done(&sealed);
	buf_done(&back);
}

static void every_flipped_bit_of_a_body_is_seen_without_a_key(void **state)
{
	char plain[2000];
	struct blob_id id;
	struct buf sealed;
	make_plain(plain, sizeof plain, true);
	buf_init(&sealed, 1 << 20);
	assert_int_equal(blob_id_new(&id), RC_OK);
	assert_int_equal(blob_seal(&key_a, &id, 7, str_of(plain, sizeof plain), &sealed), RC_OK);
	for (size_t bit = 0; bit < sealed.len * 8; bit++) {
		sealed.p[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_equal(blob_check(buf_str(&sealed), &id, NULL), RC_DAMAGED);
		sealed.p[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t n = 0; n < sealed.len; n++)
		assert_int_equal(blob_check(str_head(buf_str(&sealed), n), &id, NULL), RC_DAMAGED);
	struct blob_id other = id;
	other.b[15] ^= 1;
	assert_int_equal(blob_check(buf_str(&sealed), &other, NULL), RC_DAMAGED);
	buf_done(&sealed);
}

static void a_header_in_pieces_says_how_much_it_needs(void **state)
{
	size_t n = 1100 * (size_t)BLOB_CHUNK; /* its table is longer than BLOB_HEAD_MAX */
	char *plain = calloc(1, n);
	struct blob_id id;
	struct buf sealed;
	struct blob_header h;
	size_t need = 0;
	buf_init(&sealed, (size_t)64 << 20);
	assert_int_equal(blob_id_new(&id), RC_OK);
	assert_int_equal(blob_seal(&key_a, &id, 7, str_of(plain, n), &sealed), RC_OK);
	assert_int_equal(blob_header_parse(str_head(buf_str(&sealed), 10), &h, &need, NULL), RC_AGAIN);
	assert_int_equal(blob_header_parse(str_head(buf_str(&sealed), BLOB_HEAD_MAX), &h, &need, NULL), RC_AGAIN);
	assert_true(need > BLOB_HEAD_MAX);
	assert_int_equal(blob_header_parse(str_head(buf_str(&sealed), need), &h, &need, NULL), RC_OK);
	assert_int_equal(h.plain_len, n);
	buf_done(&sealed);
	free(plain);
}

struct rig { struct secret epoch, owner; uint8_t pub[PUB_LEN]; struct epoch_keys *keys; struct record_clear clear; struct buf record, grams; };

static void rig_open(struct rig *r)
{
	*r = (struct rig){ .clear = { .internal_ms = -5, .save_ms = 9, .email_id = 77, .owner = 3, .epoch = 4, .nonce = 12 } };
	assert_int_equal(random_bytes(r->epoch.k, KEY_LEN), RC_OK);
	assert_int_equal(x25519_pair(&r->owner, r->pub), RC_OK);
	assert_int_equal(epoch_keys_new(&r->epoch, &r->keys), RC_OK);
	struct record_secret s = { STR("envelope"), STR("structure"), STR("parts"), STR(""), STR("fields"), key_a };
	buf_init(&r->record, 4096);
	buf_init(&r->grams, 4096);
	assert_int_equal(record_seal(r->keys, &r->clear, &s, &r->record), RC_OK);
	assert_int_equal(grams_seal(r->keys, &r->clear, STR("signature"), &r->grams), RC_OK);
}

static void rig_done(struct rig *r)
{
	epoch_keys_free(&r->keys);
	buf_done(&r->record);
	buf_done(&r->grams);
}

static void records_and_signatures_come_back(void **state)
{
	struct rig r;
	struct record_clear clear;
	struct record_secret s;
	struct str sealed, grams;
	struct buf scratch;
	rig_open(&r);
	buf_init(&scratch, 4096);
	assert_int_equal(record_clear_parse(buf_str(&r.record), &clear, &sealed), RC_OK);
	assert_int_equal(clear.internal_ms, -5);
	assert_int_equal(clear.email_id, 77);
	assert_int_equal(record_open(r.keys, &clear, sealed, &scratch, &s), RC_OK);
	assert_true(str_eq(s.structure, STR("structure")) && str_eq(s.preview, STR("")) && str_eq(s.fields, STR("fields")));
	assert_memory_equal(s.body_key.k, key_a.k, KEY_LEN);
	assert_int_equal(grams_open(r.keys, &clear, buf_str(&r.grams), &scratch, &grams), RC_OK);
	assert_true(str_eq(grams, STR("signature")));
	buf_done(&scratch);
	rig_done(&r);
}

static void the_head_of_a_record_opens_alone(void **state)
{
	struct rig r;
	struct record_clear clear;
	struct record_secret s;
	struct str sealed;
	struct buf scratch;
	rig_open(&r);
	buf_init(&scratch, 4096);
	struct str head = record_head(buf_str(&r.record));
	assert_true(head.n > 0 && head.n < r.record.len);
	assert_int_equal(record_clear_parse(head, &clear, &sealed), RC_OK);
	assert_int_equal(record_open_head(r.keys, &clear, sealed, &scratch, &s), RC_OK);
	assert_true(str_eq(s.envelope, STR("envelope")) && s.structure.n == 0 && s.fields.n == 0);
	assert_memory_equal(s.body_key.k, key_a.k, KEY_LEN);
	assert_int_equal(record_open(r.keys, &clear, sealed, &scratch, &s), RC_DAMAGED);
	for (size_t bit = 0; bit < head.n * 8; bit++) {
		if (bit / 8 >= 9 && bit / 8 < 17) /* a copy has its own save date */
			continue;
		r.record.p[bit / 8] ^= (char)(1 << bit % 8);
		if (record_clear_parse(head, &clear, &sealed) == RC_OK)
			assert_int_equal(record_open_head(r.keys, &clear, sealed, &scratch, &s), RC_DAMAGED);
		r.record.p[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_int_equal(record_head(str_head(head, head.n - 1)).n, 0);
	buf_done(&scratch);
	rig_done(&r);
}

static void a_record_does_not_open_when_any_bit_but_its_save_date_changed(void **state)
{
	struct rig r;
	struct record_clear clear;
	struct record_secret s;
	struct str sealed;
	struct buf scratch;
	rig_open(&r);
	buf_init(&scratch, 4096);
	for (size_t bit = 0; bit < r.record.len * 8; bit++) {
		if (bit / 8 >= 9 && bit / 8 < 17) /* a copy has its own save date */
			continue;
		r.record.p[bit / 8] ^= (char)(1 << bit % 8);
		if (record_clear_parse(buf_str(&r.record), &clear, &sealed) == RC_OK)
			assert_int_equal(record_open(r.keys, &clear, sealed, &scratch, &s), RC_DAMAGED);
		r.record.p[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t n = 0; n < r.record.len; n++)
		if (record_clear_parse(str_head(buf_str(&r.record), n), &clear, &sealed) == RC_OK)
			assert_int_equal(record_open(r.keys, &clear, sealed, &scratch, &s), RC_DAMAGED);
	buf_done(&scratch);
	rig_done(&r);
}

static size_t rolled;
static void count_entry(void *arg, const struct epoch_entry *e)
{
	assert_int_equal(e->epoch, 100 + rolled);
	assert_int_equal(e->key.k[0], rolled);
	rolled++;
}

static void epochs_and_rollups_open_for_their_owner_alone(void **state)
{
	struct rig r;
	struct buf b;
	struct secret back, stranger;
	uint8_t stranger_pub[PUB_LEN];
	rig_open(&r);
	buf_init(&b, 65536);
	assert_int_equal(x25519_pair(&stranger, stranger_pub), RC_OK);
	assert_int_equal(epoch_seal(&r.epoch, 3, 4, r.pub, &b), RC_OK);
	assert_int_equal(epoch_open(&r.owner, r.pub, 3, 4, buf_str(&b), &back), RC_OK);
	assert_memory_equal(back.k, r.epoch.k, KEY_LEN);
	assert_int_not_equal(epoch_open(&r.owner, r.pub, 3, 5, buf_str(&b), &back), RC_OK);
	assert_int_not_equal(epoch_open(&stranger, stranger_pub, 3, 4, buf_str(&b), &back), RC_OK);
	struct epoch_entry e[3] = { { 100, { { 0 } } }, { 101, { { 1 } } }, { 102, { { 2 } } } };
	buf_clear(&b);
	rolled = 0;
	assert_int_equal(rollup_seal(&r.owner, 3, 9, e, 3, &b), RC_OK);
	assert_int_equal(rollup_open(&stranger, 3, 9, buf_str(&b), count_entry, NULL), RC_DAMAGED);
	assert_int_equal(rollup_open(&r.owner, 3, 8, buf_str(&b), count_entry, NULL), RC_DAMAGED);
	assert_int_equal(rolled, 0);
	assert_int_equal(rollup_open(&r.owner, 3, 9, buf_str(&b), count_entry, NULL), RC_OK);
	assert_int_equal(rolled, 3);
	buf_done(&b);
	rig_done(&r);
}

static void crc32c_is_the_one_of_rfc_3720(void **state)
{
	char b[48] = { 0 }; /* RFC 3720 B.4 */
	assert_int_equal(crc32c(0, str_of(b, 32)), 0x8a9136aa);
	memset(b, 0xff, 32);
	assert_int_equal(crc32c(0, str_of(b, 32)), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		b[i] = (char)i;
	assert_int_equal(crc32c(0, str_of(b, 32)), 0x46dd794e);
	for (size_t n = 0; n < sizeof b; n++) {
		assert_int_equal(crc32c(0, str_of(b, n)), crc32c_table(0, str_of(b, n)));
		assert_int_equal(crc32c(crc32c(0, str_of(b, n / 2)), str_of(b + n / 2, n - n / 2)), crc32c(0, str_of(b, n)));
	}
}

static void crc32c_of_any_length_is_what_the_table_says(void **state)
{
	static char b[10000];
	for (size_t i = 0; i < sizeof b; i++)
		b[i] = (char)(i * i >> 5);
	for (size_t n = 0; n < sizeof b; n += n < 1300 ? 1 : 97)
		assert_int_equal(crc32c((uint32_t)n, str_of(b + n % 8, n - n % 8)), crc32c_table((uint32_t)n, str_of(b + n % 8, n - n % 8)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_of_every_size_come_back_and_stay_within_the_promised_length),
		cmocka_unit_test(what_a_chunk_is_packed_by_stands_before_its_seal),
		cmocka_unit_test(a_body_of_the_first_format_is_read), cmocka_unit_test(a_packing_that_a_format_does_not_know_is_damage),
		cmocka_unit_test(a_wrong_key_opens_no_chunk),
		cmocka_unit_test(every_flipped_bit_of_a_body_is_seen_without_a_key),
		cmocka_unit_test(a_header_in_pieces_says_how_much_it_needs),
		cmocka_unit_test(records_and_signatures_come_back), cmocka_unit_test(the_head_of_a_record_opens_alone),
		cmocka_unit_test(a_record_does_not_open_when_any_bit_but_its_save_date_changed),
		cmocka_unit_test(epochs_and_rollups_open_for_their_owner_alone),
		cmocka_unit_test(crc32c_is_the_one_of_rfc_3720), cmocka_unit_test(crc32c_of_any_length_is_what_the_table_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
