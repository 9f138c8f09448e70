#include "unit/store/kit.h"

#include "base/codec.h"
#include "store/pack.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

/* How a chunk of a body is made smaller, and that it comes back as it was whatever it is. */

static uint32_t draw(uint32_t below)
{
	static uint64_t x = 88172645463325252ull;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 33) % below;
}

static void noise(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)draw(256);
}

/* Packs and unpacks in memory of just the promised size; answers how, and how long it was packed. */
static enum packing there_and_back(struct str plain, size_t *out_n)
{
	enum packing how;
	char *in = malloc(plain.n + 1), *room = malloc(plain.n + !plain.n), *back = malloc(plain.n + !plain.n);
	memcpy(in, plain.p, plain.n);
	assert_int_equal(pack_chunk(str_of(in, plain.n), room, &how, out_n), RC_OK);
	if (how != PACKED_NOT) {
		assert_true(*out_n < plain.n);
		char *packed = malloc(*out_n);
		memcpy(packed, room, *out_n);
		assert_int_equal(unpack_chunk(how, str_of(packed, *out_n), back, plain.n), RC_OK);
		assert_memory_equal(back, plain.p, plain.n);
		free(packed);
	}
	free(in);
	free(room);
	free(back);
	return how;
}

/* `octets` in lines of `digits`, each with CRLF, the last as well. */
static void add_lines(struct buf *b, struct str octets, size_t digits)
{
	AUTO(buf_done) struct buf all = { .max = 1 << 20 };
	base64_add(&all, octets);
	for (size_t at = 0; at < all.len; at += digits) {
		buf_add(b, str_head(str_skip(buf_str(&all), at), digits));
		buf_add(b, STR("\r\n"));
	}
}

static void add_text(struct buf *b, size_t lines)
{
	for (size_t i = 0; i < lines; i++)
		buf_addf(b, "Line %u of %u, as people write them to each other.\r\n", draw(1000), draw(100000));
}

static void an_attachment_is_stored_as_what_it_stands_for(void **state)
{
	static char octets[30000];
	AUTO(buf_done) struct buf b = { .max = 1 << 20 };
	size_t n;
	noise(octets, sizeof octets);
	add_text(&b, 20);
	buf_add(&b, STR("Content-Transfer-Encoding: base64\r\n\r\n"));
	add_lines(&b, str_of(octets, sizeof octets), 76);
	buf_add(&b, STR("--=_boundary--\r\n"));
	assert_int_equal(there_and_back(buf_str(&b), &n), PACKED_LINES);
	assert_true(n < sizeof octets + 900);
}

static void what_an_attachment_stands_for_is_packed_as_well(void **state)
{
	AUTO(buf_done) struct buf text = { .max = 1 << 20 }, b = { .max = 1 << 20 };
	size_t n;
	add_text(&text, 500);
	add_lines(&b, buf_str(&text), 72);
	assert_int_equal(there_and_back(buf_str(&b), &n), PACKED_LINES);
	assert_true(n < b.len / 2);
}

static void each_kind_of_content_has_its_packing(void **state)
{
	static char hex[20000], raw[20000];
	AUTO(buf_done) struct buf text = { .max = 1 << 20 };
	size_t n;
	add_text(&text, 300);
	for (size_t i = 0; i < sizeof hex; i++)
		hex[i] = i % 62 == 60 ? '\r' : i % 62 == 61 ? '\n' : "0123456789abcdef"[draw(16)];
	hex[31] = '-'; /* else it would be base64 as well */
	for (size_t i = 31; i < sizeof hex; i += 62)
		hex[i] = '-';
	noise(raw, sizeof raw);
	assert_int_equal(there_and_back(buf_str(&text), &n), PACKED_LZ4);
	assert_int_equal(there_and_back(str_of(hex, sizeof hex), &n), PACKED_ZSTD);
	assert_int_equal(there_and_back(str_of(raw, sizeof raw), &n), PACKED_NOT);
}

/* Lines that are nearly what they should be, cut anywhere, as a chunk of a body is. */
static void anything_like_base64_comes_back_as_it_was(void **state)
{
	static char octets[4000];
	size_t lines = 0, n;
	for (unsigned round = 0; round < 4000; round++) {
		AUTO(buf_done) struct buf b = { .max = 1 << 20 };
		for (unsigned part = draw(5) + 1; part; part--) {
			size_t m = draw(sizeof octets), from = b.len;
			noise(octets, m);
			switch (draw(4)) {
			case 0: add_text(&b, draw(20)); break;
			case 1: add_lines(&b, str_of(octets, m), 4 * (draw(60) + 1)); break;
			default: add_lines(&b, str_of(octets, m), 76); break;
			}
			for (unsigned k = draw(3); k && b.len > from; k--) /* = and CR and LF and others where they do not belong */
				b.p[from + draw((uint32_t)(b.len - from))] = "=\r\n-A \t\xff"[draw(8)];
		}
		size_t cut = b.len ? draw((uint32_t)(b.len < 200 ? b.len : 200)) : 0, end = b.len > cut ? draw((uint32_t)(b.len - cut < 200 ? b.len - cut : 200)) : 0;
		lines += there_and_back(str_head(str_skip(buf_str(&b), cut), b.len - cut - end), &n) == PACKED_LINES;
	}
	assert_true(lines > 1000);
}

/* Little of it is lines and the rest is what another packing finds more in: that one is taken. */
static void lines_are_left_where_another_packing_saves_more(void **state)
{
	static char hex[46500], octets[14000];
	AUTO(buf_done) struct buf b = { .max = 1 << 20 };
	size_t n;
	noise(octets, sizeof octets);
	for (size_t i = 0; i < sizeof hex; i++)
		hex[i] = i % 62 == 31 ? '-' : i % 62 == 60 ? '\r' : i % 62 == 61 ? '\n' : "0123456789abcdef"[draw(16)];
	add_lines(&b, str_of(octets, 9000), 76);
	buf_add(&b, str_of(hex, sizeof hex));
	assert_int_equal(there_and_back(buf_str(&b), &n), PACKED_ZSTD);
	assert_true(n < b.len * 3 / 4);
	buf_clear(&b);
	for (unsigned i = 0; i < 60; i++) { /* more runs than one chunk has room for */
		add_lines(&b, str_of(octets, 480), 64);
		buf_add(&b, STR("--x--\r\n"));
	}
	(void)there_and_back(buf_str(&b), &n);
	assert_true(n < b.len * 4 / 5);
}

static void a_last_quantum_that_no_encoder_writes_is_kept(void **state)
{
	static const char *const ends[] = { "AB==", "AAB=", "AA=", "A===", "====", "AA==AA==", "AAAA====", "AA", "A", "AAA", "=", "" };
	static char octets[900];
	size_t n;
	noise(octets, sizeof octets);
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		for (unsigned crlf = 0; crlf < 2; crlf++) {
			AUTO(buf_done) struct buf b = { .max = 1 << 20 };
			add_lines(&b, str_of(octets, sizeof octets - 45 * (i % 3)), 60);
			buf_addf(&b, "%s%s", ends[i], crlf ? "\r\n" : "");
			assert_int_equal(there_and_back(buf_str(&b), &n), PACKED_LINES);
		}
}

/* What was packed and then damaged does no harm, and is never longer or shorter than it should be. */
static void damage_is_seen_or_stays_within_its_bounds(void **state)
{
	static char octets[1500];
	AUTO(buf_done) struct buf b = { .max = 1 << 20 };
	enum packing how;
	size_t n;
	noise(octets, sizeof octets);
	add_text(&b, 10);
	add_lines(&b, str_of(octets, sizeof octets), 76);
	add_text(&b, 3);
	char *room = malloc(b.len);
	assert_int_equal(pack_chunk(buf_str(&b), room, &how, &n), RC_OK);
	assert_int_equal(how, PACKED_LINES);
	for (size_t cut = 0; cut < n; cut++) {
		char *packed = malloc(cut + !cut), *back = malloc(b.len);
		memcpy(packed, room, cut);
		assert_int_equal(unpack_chunk(how, str_of(packed, cut), back, b.len), RC_DAMAGED);
		free(packed);
		free(back);
	}
	for (size_t at = n > 200 ? n - 200 : 0; at < n; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			char *packed = malloc(n), *back = malloc(b.len);
			memcpy(packed, room, n);
			packed[at] = (char)(packed[at] ^ 1 << bit);
			(void)!unpack_chunk(how, str_of(packed, n), back, b.len);
			free(packed);
			free(back);
		}
	assert_int_equal(unpack_chunk(how, str_of(room, n), octets, b.len - 1 < sizeof octets ? b.len - 1 : sizeof octets), RC_DAMAGED);
	free(room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_attachment_is_stored_as_what_it_stands_for),
		cmocka_unit_test(what_an_attachment_stands_for_is_packed_as_well),
		cmocka_unit_test(each_kind_of_content_has_its_packing),
		cmocka_unit_test(anything_like_base64_comes_back_as_it_was),
		cmocka_unit_test(lines_are_left_where_another_packing_saves_more),
		cmocka_unit_test(a_last_quantum_that_no_encoder_writes_is_kept),
		cmocka_unit_test(damage_is_seen_or_stays_within_its_bounds),
	};
	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
