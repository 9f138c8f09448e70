#include "base/base64.h"
#include "base/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* In memory of just that size: what reads or writes past it dies under the sanitizers. */
static char *exactly(const char *p, size_t n)
{
	char *q = malloc(n + !n);
	assert_non_null(q);
	memcpy(q, p, n);
	return q;
}

static void noise(char *p, size_t n)
{
	static uint64_t x = 88172645463325252ull;
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (char)(x >> 32);
	}
}

static void every_length_is_what_the_octet_by_octet_coder_says(void **state)
{
	static char all[600];
	noise(all, sizeof all);
	for (size_t n = 0; n <= sizeof all; n += 3) {
		AUTO(buf_done) struct buf want = { .max = 2000 };
		base64_add(&want, str_of(all, n));
		char *in = exactly(all, n), *out = malloc(want.len + 1), *back = malloc(n + 1);
		base64_encode_block(in, n, n, out, want.len);
		assert_memory_equal(out, want.p, want.len);
		char *digits = exactly(out, want.len);
		assert_int_equal(base64_decode_block(digits, want.len, back, n), want.len);
		assert_memory_equal(back, all, n);
		free(in);
		free(out);
		free(back);
		free(digits);
	}
}

static void more_room_gives_the_same(void **state)
{
	static char all[700], out[1200];
	noise(all, sizeof all);
	for (size_t n = 3; n <= 300; n += 3) {
		AUTO(buf_done) struct buf want = { .max = 2000 };
		base64_add(&want, str_of(all, n));
		base64_encode_block(all, n, sizeof all, out, sizeof out);
		assert_memory_equal(out, want.p, want.len);
	}
}

static void the_first_octet_that_is_no_digit_ends_it_wherever_it_stands(void **state)
{
	static char all[150], digits[200];
	noise(all, sizeof all);
	base64_encode_block(all, sizeof all, sizeof all, digits, sizeof digits);
	for (size_t at = 0; at < sizeof digits; at++)
		for (unsigned c = 0; c < 256; c++) {
			char text[sizeof digits], back[sizeof all + 4];
			bool digit = c == '+' || c == '/' || ascii_digit((char)c) || ascii_alpha((char)c);
			memcpy(text, digits, sizeof text);
			text[at] = (char)c;
			size_t took = base64_decode_block(text, sizeof text, back, sizeof back);
			assert_int_equal(took, digit ? sizeof text : at / 4 * 4);
			if (!digit)
				assert_memory_equal(back, all, took / 4 * 3);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_is_what_the_octet_by_octet_coder_says),
		cmocka_unit_test(more_room_gives_the_same),
		cmocka_unit_test(the_first_octet_that_is_no_digit_ends_it_wherever_it_stands),
	};
	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
