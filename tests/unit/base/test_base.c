#include "base/arena.h"
#include "base/codec.h"
#include "base/cursor.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/why.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define IS(b, lit) assert_true(str_eq(buf_str(b), STR(lit)))

static void base64_gives_the_vectors_of_rfc_4648(void **state)
{
	static const struct { struct str in, out; } cases[] = {
		{ STR_INIT(""), STR_INIT("") },         { STR_INIT("f"), STR_INIT("Zg==") },         { STR_INIT("fo"), STR_INIT("Zm8=") },
		{ STR_INIT("foo"), STR_INIT("Zm9v") },  { STR_INIT("foob"), STR_INIT("Zm9vYg==") }, { STR_INIT("fooba"), STR_INIT("Zm9vYmE=") },
		{ STR_INIT("foobar"), STR_INIT("Zm9vYmFy") }, { STR_INIT("\xff\xfe\x00\x10"), STR_INIT("//4AEA==") },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		AUTO(buf_done) struct buf b = { .max = 100 }, back = { .max = 100 };
		base64_add(&b, cases[i].in);
		assert_true(str_eq(buf_str(&b), cases[i].out));
		assert_int_equal(base64_decode(buf_str(&b), false, &back), RC_OK);
		assert_true(str_eq(buf_str(&back), cases[i].in));
	}
}

static void base64_refuses_what_is_not_base64(void **state)
{
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zg===", "Zm9v=", "=", "Zm9 v", "Zm9v\n", "Zh==", "Zm9=", "Zm!v", "Zg==Zg==", "====" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		AUTO(buf_done) struct buf out = { .max = 100 };
		assert_int_equal(base64_decode(str_z(bad[i]), false, &out), RC_SYNTAX);
	}
}

static void lenient_base64_allows_white_space_and_missing_padding_only(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 100 };
	assert_int_equal(base64_decode(STR("Zm9v\r\n Yg"), true, &out), RC_OK);
	IS(&out, "foob");
	assert_int_equal(base64_decode(STR("Zm9v!"), true, &out), RC_SYNTAX);
}

static void base64_stops_at_the_ceiling_of_its_buffer(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 3 };
	assert_int_equal(base64_decode(STR("Zm9vYg=="), false, &out), RC_LIMIT);
	AUTO(buf_done) struct buf small = { .max = 3 };
	base64_add(&small, STR("foo"));
	assert_true(small.failed);
}

static void hex_goes_there_and_back(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 100 }, back = { .max = 100 };
	hex_add(&out, STR("\x00\xff\x1a"));
	IS(&out, "00ff1a");
	assert_int_equal(hex_decode(STR("00FF1a"), &back), RC_OK);
	assert_true(str_eq(buf_str(&back), STR("\x00\xff\x1a")));
	assert_int_equal(hex_decode(STR("0"), &back), RC_SYNTAX);
	assert_int_equal(hex_decode(STR("0g"), &back), RC_SYNTAX);
}

static void short_ids_have_eight_digits_without_confusable_letters(void **state)
{
	char id[9];
	for (uint64_t v = 0; v < 4096; v++) {
		short_id(v * 0x9e3779b97f4a7c15u, id);
		assert_int_equal(strlen(id), 8);
		assert_int_equal(strcspn(id, "ILOUilou"), 8);
	}
}

static void utf8_is_judged_as_rfc_3629_says(void **state)
{
	static const struct { struct str in; size_t good; } cases[] = {
		{ STR_INIT("plain"), 5 },          { STR_INIT("\xc3\xa4"), 2 },         { STR_INIT("\xe2\x82\xac"), 3 },    { STR_INIT("\xf0\x9f\x98\x80"), 4 },
		{ STR_INIT("a\xc0\xaf"), 1 },      { STR_INIT("a\xc1\x80"), 1 },        { STR_INIT("\xe0\x80\xaf"), 0 },    { STR_INIT("\xed\xa0\x80"), 0 },
		{ STR_INIT("\xf0\x80\x80\xaf"), 0 }, { STR_INIT("\xf4\x90\x80\x80"), 0 }, { STR_INIT("\xf5\x80\x80\x80"), 0 }, { STR_INIT("ab\xe2\x82"), 2 },
		{ STR_INIT("\x80"), 0 },           { STR_INIT("\xf4\x8f\xbf\xbf"), 4 }, { STR_INIT("\xed\x9f\xbf"), 3 },    { STR_INIT("\xc3("), 0 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(utf8_valid_prefix(cases[i].in), cases[i].good);
}

static void json_text_cannot_end_its_own_string(void **state)
{
	AUTO(buf_done) struct buf out = { .max = 1000 };
	json_escape(&out, STR("a\"b\\c\r\n\x7f\xc2\x9b\xff\xc3\xa4"));
	IS(&out, "a\\\"b\\\\c\\u000d\\u000a\\u007f\\u009b\xef\xbf\xbd\xc3\xa4");
}

/* What one call of log_event writes. */
static size_t logged(char *out, size_t max, void (*say)(void))
{
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	log_setup("edge", 3, LEVEL_INFO, fds[1]);
	say();
	log_setup("main", 0, LEVEL_INFO, 2);
	close(fds[1]);
	long n = read(fds[0], out, max - 1);
	close(fds[0]);
	assert_true(n >= 0);
	out[n] = 0;
	return (size_t)n;
}

static void say_hostile(void) { log_event(LEVEL_WARN, EV_SMTP_REFUSED, F("command", STR("x\r\n{\"level\":\"info\"}")), F("code", 550), F("tls", (bool)true)); }
static void say_quiet(void) { log_event(LEVEL_DEBUG, EV_READY); }
static void say_much(void)
{
	static char big[9000];
	memset(big, 0x80, sizeof big);
	log_event(LEVEL_ERROR, EV_FATAL, F("reason", str_of(big, sizeof big)), F("after", 1));
}
static void say_edge(void)
{
	for (size_t n = 3800; n < 4100; n++) {
		static char big[4200];
		memset(big, 'a', sizeof big);
		log_event(LEVEL_ERROR, EV_FATAL, F("reason", str_of(big, n)), F("k", "v"));
	}
}

static void a_log_line_cannot_be_forged_by_a_hostile_name(void **state)
{
	char line[8192];
	logged(line, sizeof line, say_hostile);
	assert_non_null(strstr(line, "\"level\":\"warn\",\"event\":\"smtp.refused\",\"role\":\"edge\",\"index\":3"));
	assert_non_null(strstr(line, "\"command\":\"x\\u000d\\u000a{\\\"level\\\":\\\"info\\\"}\",\"code\":550,\"tls\":true}\n"));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void a_log_line_below_the_level_is_not_written(void **state)
{
	char line[64];
	assert_int_equal(logged(line, sizeof line, say_quiet), 0);
}

static void a_long_log_value_is_cut_and_marked(void **state)
{
	char line[8192];
	size_t n = logged(line, sizeof line, say_much);
	assert_true(n <= 4096);
	assert_string_equal(line + n - 14, "\",\"cut\":true}\n");
	assert_null(strstr(line, "after"));
}

static void every_length_of_log_line_is_whole(void **state)
{
	static char lines[2 << 20];
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	assert_true(fd >= 0);
	log_setup("edge", 0, LEVEL_INFO, fd);
	say_edge();
	log_setup("main", 0, LEVEL_INFO, 2);
	long n = pread(fd, lines, sizeof lines - 1, 0);
	close(fd);
	assert_true(n > 0);
	int count = 0;
	for (char *at = lines, *end; at < lines + n; at = end + 1, count++) {
		end = strchr(at, '\n');
		assert_non_null(end);
		assert_true(end - at < 4096);
		assert_true(end[-1] == '}' && at[0] == '{');
	}
	assert_int_equal(count, 300);
}

static void a_map_finds_what_was_put_and_nothing_else(void **state)
{
	enum { N = 3000 };
	static char keys[N][12];
	struct map m;
	map_init(&m, N);
	for (size_t i = 0; i < N; i++) {
		snprintf(keys[i], sizeof keys[i], "k%zu", i);
		assert_int_equal(map_put(&m, str_z(keys[i]), keys[i]), RC_OK);
	}
	assert_int_equal(map_put(&m, STR("one more"), &m), RC_FULL);
	for (size_t i = 0; i < N; i += 2)
		assert_ptr_equal(map_drop(&m, str_z(keys[i])), keys[i]);
	for (size_t i = 0; i < N; i++)
		assert_ptr_equal(map_get(&m, str_z(keys[i])), i % 2 ? keys[i] : NULL);
	size_t at = 0, seen = 0;
	while (map_next(&m, &at))
		seen++;
	assert_int_equal(seen, N / 2);
	assert_int_equal(m.n, N / 2);
	map_done(&m);
	assert_null(map_get(&m, STR("k1")));
}

static void a_map_of_numbers_survives_random_puts_and_drops(void **state)
{
	static char present[256];
	struct map m;
	map_init(&m, 256);
	uint64_t seed = 1;
	for (int i = 0; i < 100000; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		size_t k = seed >> 56;
		if (seed >> 40 & 1) {
			assert_int_equal(map_put_u64(&m, k << 32, &present[k]), RC_OK);
			present[k] = 1;
		} else {
			assert_ptr_equal(map_drop_u64(&m, k << 32), present[k] ? &present[k] : NULL);
			present[k] = 0;
		}
	}
	for (size_t k = 0; k < 256; k++)
		assert_ptr_equal(map_get_u64(&m, k << 32), present[k] ? &present[k] : NULL);
	map_done(&m);
}

static void a_map_replaces_an_equal_key_and_takes_empty_ones(void **state)
{
	int a, b;
	struct map m;
	map_init(&m, 1);
	assert_int_equal(map_put(&m, STR(""), &a), RC_OK);
	assert_int_equal(map_put(&m, STR(""), &b), RC_OK);
	assert_ptr_equal(map_get(&m, STR("")), &b);
	assert_null(map_get(&m, STR("x")));
	map_done(&m);
}

static void a_map_without_memory_says_so_and_stays_usable(void **state)
{
	int a;
	struct map m;
	map_init(&m, 10);
	mem_count = 0;
	mem_fail_at = 0;
	enum rc rc = map_put_u64(&m, 1, &a);
	mem_fail_at = -1;
	assert_int_equal(rc, RC_NOMEM);
	assert_int_equal(map_put_u64(&m, 1, &a), RC_OK);
	map_done(&m);
}

static void a_cursor_reads_what_a_buffer_wrote_and_refuses_every_shorter_input(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 100 };
	buf_u8(&b, 7);
	buf_u16(&b, 0x1234);
	buf_u32(&b, 0x89abcdef);
	buf_u64(&b, 0x0123456789abcdef);
	buf_run(&b, STR("run"));
	for (size_t n = 0; n <= b.len; n++) {
		struct cursor c = cursor_of(str_head(buf_str(&b), n));
		uint8_t a = cursor_u8(&c);
		uint16_t d = cursor_u16(&c);
		uint32_t e = cursor_u32(&c);
		uint64_t f = cursor_u64(&c);
		struct str r = cursor_run(&c, 3);
		assert_int_equal(cursor_at_end(&c), n == b.len);
		if (n == b.len)
			assert_true(a == 7 && d == 0x1234 && e == 0x89abcdef && f == 0x0123456789abcdef && str_eq(r, STR("run")));
	}
	AUTO(buf_done) struct buf pieces = { .max = 100 }, whole = { .max = 100 };
	size_t begun = buf_run_begin(&pieces);
	buf_add(&pieces, STR("ru"));
	buf_byte(&pieces, 'n');
	buf_run_end(&pieces, begun);
	buf_run(&whole, STR("run"));
	assert_true(str_eq(buf_str(&pieces), buf_str(&whole)));
	struct cursor c = cursor_of(STR("\0\0\0\4abcd"));
	assert_int_equal(cursor_run(&c, 3).n, 0);
	assert_true(c.failed);
}

static void a_buffer_grows_as_it_must_and_never_past_its_ceiling(void **state)
{
	static const struct { size_t max, len, more, cap; } cases[] = {
		{ 1 << 20, 0, 1, 64 }, { 1 << 20, 64, 1, 256 }, { 1 << 20, 256, 1, 1024 }, { 1 << 20, 1024, 1, 2048 }, { 1 << 20, 2048, 1, 4096 },
		{ 1 << 20, 0, 300, 1024 }, { 1 << 20, 64, 5000, 8192 }, { 300, 64, 1, 256 }, { 300, 256, 44, 300 }, { 100, 64, 36, 100 }, { 50, 0, 50, 64 }, { 1500, 1024, 1, 1500 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		AUTO(buf_done) struct buf b = { .max = cases[i].max };
		assert_true(cases[i].len == 0 || buf_room(&b, cases[i].len));
		b.len = cases[i].len;
		assert_true(buf_room(&b, cases[i].more));
		assert_true(b.cap >= b.len + cases[i].more);
		assert_int_equal(b.cap, cases[i].cap);
		assert_false(buf_room(&b, cases[i].max - b.len + 1)); /* even where there is memory for it */
		assert_true(b.failed);
	}
	char room[8] = "12345678";
	struct buf lent = { .p = room, .cap = 8, .max = 6 };
	buf_add(&lent, STR("abcdef"));
	assert_true(!lent.failed && lent.p == room);
	buf_byte(&lent, 'g');
	assert_true(lent.failed && lent.len == 6 && memcmp(room, "abcdef78", 8) == 0);
}

static void a_buffer_fails_at_its_ceiling_and_stays_failed(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 4 };
	buf_add(&b, STR("abcd"));
	assert_false(b.failed);
	buf_byte(&b, 'e');
	assert_true(b.failed);
	buf_clear(&b);
	buf_addf(&b, "%d", 12345);
	assert_true(b.failed);
}

static void what_an_arena_gives_is_zeroed_whatever_lay_there(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		struct arena a;
		arena_init(&a, 1 << 20);
		for (size_t n = 1; n < 9000; n += 477) {
			unsigned char *p = arena_new(&a, n);
			assert_non_null(p);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(p[i], 0);
			memset(p, 0xa5, n);
		}
		arena_done(&a);
	}
}

static void blocks_come_back_and_no_more_than_a_few_are_kept(void **state)
{
	(void)state;
	enum { MANY = 100 };
	void *block[MANY];
	mem_setup();
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < MANY; i++) {
			block[i] = mem_block();
			assert_non_null(block[i]);
			memset(block[i], (int)i, MEM_BLOCK);
		}
		for (size_t i = 0; i < MANY; i++)
			assert_int_equal(*(unsigned char *)block[i], i); /* nobody else's */
		for (size_t i = 0; i < MANY; i++)
			mem_block_free(block[i]);
	}
	mem_block_free(NULL);
	mem_count = 0;
	mem_fail_at = 0;
	assert_null(mem_block()); /* one that was kept fails in its turn, as any other */
	mem_fail_at = -1;
	what_an_arena_gives_is_zeroed_whatever_lay_there(NULL);
}

static void large_memory_comes_zeroed_at_a_large_page_s_start_and_goes_back(void **state)
{
	(void)state;
	static const size_t sizes[] = { 0, 1, (2 << 20) - 1, 2 << 20, (19 << 20) + 1 };
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		for (int again = 0; again < 20; again++) {
			unsigned char *p = mem_huge(sizes[i]);
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % (2 << 20), 0);
			if (sizes[i]) {
				assert_int_equal(p[0] | p[sizes[i] / 2] | p[sizes[i] - 1], 0);
				p[0] = p[sizes[i] / 2] = p[sizes[i] - 1] = 1;
			}
			mem_huge_free(p, sizes[i]);
		}
	mem_huge_free(NULL, 5);
	assert_null(mem_huge(SIZE_MAX - 1));
	mem_count = 0;
	mem_fail_at = 0;
	assert_null(mem_huge(1));
	mem_fail_at = -1;
}

static void an_arena_refuses_past_its_ceiling_and_remembers(void **state)
{
	struct arena a;
	arena_init(&a, 64);
	assert_non_null(arena_new(&a, 33));
	assert_null(arena_new(&a, 33));
	assert_true(a.full);
	assert_null(arena_new(&a, SIZE_MAX));
	arena_done(&a);
	assert_non_null(arena_new(&a, 64));
	arena_done(&a);
}

static void numbers_are_taken_whole_or_not_at_all(void **state)
{
	uint64_t v;
	assert_true(str_u64(STR("18446744073709551615"), UINT64_MAX, &v) && v == UINT64_MAX);
	assert_false(str_u64(STR("18446744073709551616"), UINT64_MAX, &v));
	assert_false(str_u64(STR(""), 9, &v));
	assert_false(str_u64(STR("1 "), 9, &v));
	assert_false(str_u64(STR("10"), 9, &v));
}

static void pieces_of_text_are_found_cut_and_trimmed(void **state)
{
	struct str head, tail;
	assert_true(str_cut(STR("MAIL FROM:<>"), ' ', &head, &tail));
	assert_true(str_eq(head, STR("MAIL")) && str_eq(tail, STR("FROM:<>")));
	assert_false(str_cut(STR("QUIT"), ' ', &head, &tail));
	assert_true(str_eq(head, STR("QUIT")) && tail.n == 0);
	assert_int_equal(str_ifind_str(STR("Content-TYPE"), STR("type")), 8);
	assert_int_equal(str_find_str(STR("abc"), STR("cd")), 3);
	assert_true(str_eq(str_trim(STR(" \t a b\r\n")), STR("a b")));
	assert_true(str_cmp(STR("a"), STR("ab")) < 0 && str_cmp(STR("b"), STR("ab")) > 0 && str_cmp(STR("x"), STR("x")) == 0);
}

static void the_words_of_a_list_may_have_any_blanks_and_commas_between(void **state)
{
	static const struct { struct str list; size_t n; const char *word[3]; } cases[] = {
		{ STR_INIT(""), 0, { 0 } },           { STR_INIT(" ,\t\r\n, "), 0, { 0 } },          { STR_INIT("a"), 1, { "a" } },
		{ STR_INIT("a,b"), 2, { "a", "b" } }, { STR_INIT(" a ,\tb,\n c,"), 3, { "a", "b", "c" } }, { STR_INIT("a b c d"), 3, { "a", "b", "c" } },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct str word[3];
		assert_int_equal(str_words(cases[i].list, word, 3), cases[i].n);
		for (size_t k = 0; k < cases[i].n; k++)
			assert_true(str_eq(word[k], str_z(cases[i].word[k])));
	}
	struct str list = STR("one, two"), word;
	assert_true(str_word(&list, &word) && str_eq(word, STR("one")) && str_word(&list, &word) && str_eq(word, STR("two")));
	assert_false(str_word(&list, &word));
	assert_int_equal(word.n, 0);
}

static void a_reason_is_kept_where_it_arose(void **state)
{
	struct why w = { 0 };
	assert_int_equal(why_fail(&w, RC_FULL, 28, "x.c:1", "no room for %d", 7), RC_FULL);
	assert_string_equal(w.text, "no room for 7");
	assert_int_equal(w.sys, 28);
	assert_int_equal(why_fail(NULL, RC_IO, 0, "x.c:1", "nobody listens"), RC_IO);
	assert_string_equal(rc_name(RC_DAMAGED), "damaged");
	assert_string_equal(rc_name((enum rc)99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_gives_the_vectors_of_rfc_4648),
		cmocka_unit_test(base64_refuses_what_is_not_base64),
		cmocka_unit_test(lenient_base64_allows_white_space_and_missing_padding_only),
		cmocka_unit_test(base64_stops_at_the_ceiling_of_its_buffer),
		cmocka_unit_test(hex_goes_there_and_back),
		cmocka_unit_test(short_ids_have_eight_digits_without_confusable_letters),
		cmocka_unit_test(utf8_is_judged_as_rfc_3629_says),
		cmocka_unit_test(json_text_cannot_end_its_own_string),
		cmocka_unit_test(a_log_line_cannot_be_forged_by_a_hostile_name),
		cmocka_unit_test(a_log_line_below_the_level_is_not_written),
		cmocka_unit_test(a_long_log_value_is_cut_and_marked),
		cmocka_unit_test(every_length_of_log_line_is_whole),
		cmocka_unit_test(a_map_finds_what_was_put_and_nothing_else),
		cmocka_unit_test(a_map_of_numbers_survives_random_puts_and_drops),
		cmocka_unit_test(a_map_replaces_an_equal_key_and_takes_empty_ones),
		cmocka_unit_test(a_map_without_memory_says_so_and_stays_usable),
		cmocka_unit_test(a_cursor_reads_what_a_buffer_wrote_and_refuses_every_shorter_input),
		cmocka_unit_test(a_buffer_grows_as_it_must_and_never_past_its_ceiling), cmocka_unit_test(a_buffer_fails_at_its_ceiling_and_stays_failed),
		cmocka_unit_test(what_an_arena_gives_is_zeroed_whatever_lay_there), cmocka_unit_test(large_memory_comes_zeroed_at_a_large_page_s_start_and_goes_back),
		cmocka_unit_test(blocks_come_back_and_no_more_than_a_few_are_kept),
		cmocka_unit_test(an_arena_refuses_past_its_ceiling_and_remembers),
		cmocka_unit_test(numbers_are_taken_whole_or_not_at_all),
		cmocka_unit_test(pieces_of_text_are_found_cut_and_trimmed),
		cmocka_unit_test(the_words_of_a_list_may_have_any_blanks_and_commas_between),
		cmocka_unit_test(a_reason_is_kept_where_it_arose),
	};
	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
