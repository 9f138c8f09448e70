#include "smtp_test.h"

#include "smtp/text.h"

static const struct { const char *name; struct str in, out; size_t rest; bool ends, bare_cr, bare_lf; } cases[] = {
	{ "lines and the end", STR_INIT("a\r\nb\r\n.\r\nNOOP"), STR_INIT("a\r\nb\r\n"), 4, true, false, false },
	{ "an end at once", STR_INIT(".\r\n"), STR_INIT(""), 0, true, false, false },
	{ "a stuffed dot", STR_INIT("..\r\n.\r\n"), STR_INIT(".\r\n"), 0, true, false, false },
	{ "a dot before text goes", STR_INIT(".x\r\n.\r\n"), STR_INIT("x\r\n"), 0, true, false, false },
	{ "a dot in a line stays", STR_INIT("a.b.\r\n.\r\n"), STR_INIT("a.b.\r\n"), 0, true, false, false },
	{ "bare LF is no line end", STR_INIT("a\n.\r\nb\r\n.\r\n"), STR_INIT("a\n.\r\nb\r\n"), 0, true, false, true },
	{ "bare CR is no line end", STR_INIT("a\r.\r\nb\r\n.\r\n"), STR_INIT("a\r.\r\nb\r\n"), 0, true, true, false },
	{ "LF LF", STR_INIT("a\r\n.\n.\r\n.\r\n"), STR_INIT("a\r\n\n.\r\n"), 0, true, false, true },
	{ "dot CR CR LF", STR_INIT(".\r\r\n.\r\n"), STR_INIT("\r\r\n"), 0, true, true, false },
	{ "dot CR dot", STR_INIT(".\r.\r\n.\r\n"), STR_INIT("\r.\r\n"), 0, true, true, false },
	{ "CR CR LF", STR_INIT("a\r\r\n.\r\n"), STR_INIT("a\r\r\n"), 0, true, true, false },
	{ "LF CR", STR_INIT("a\n\r\n.\r\n"), STR_INIT("a\n\r\n"), 0, true, false, true },
	{ "NUL is data", STR_INIT("a\0b\r\n.\r\n"), STR_INIT("a\0b\r\n"), 0, true, false, false },
	{ "no end yet", STR_INIT("a\r\n.\r"), STR_INIT("a\r\n"), 0, false, false, false },
};

static void feed(struct smtp_text *t, struct str in, size_t chunk, struct buf *out, size_t *out_rest)
{
	while (in.n && t->at != TEXT_END) {
		struct str piece = str_head(in, chunk);
		size_t had = piece.n;
		for (unsigned steps = 0; piece.n && t->at != TEXT_END; steps++) {
			assert_true(steps < 4096);
			buf_add(out, smtp_text_run(t, &piece));
		}
		in = str_skip(in, had - piece.n);
	}
	*out_rest = in.n;
}

static void only_crlf_dot_crlf_ends_a_message_wherever_it_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t chunk = 1; chunk <= cases[i].in.n; chunk++) {
			struct smtp_text t = { 0 };
			struct buf out;
			size_t rest;
			buf_init(&out, 4096);
			feed(&t, cases[i].in, chunk, &out, &rest);
			if (!str_eq(buf_str(&out), cases[i].out))
				fail_msg("%s, chunks of %zu: other octets", cases[i].name, chunk);
			if (rest != cases[i].rest || (t.at == TEXT_END) != cases[i].ends || t.bare_cr != cases[i].bare_cr || t.bare_lf != cases[i].bare_lf)
				fail_msg("%s, chunks of %zu: rest %zu end %d cr %d lf %d", cases[i].name, chunk, rest, t.at == TEXT_END, t.bare_cr, t.bare_lf);
			buf_done(&out);
		}
}

/* The same rules said octet by octet, as slowly and plainly as possible. */
static bool plain_rules(struct str in, struct buf *out, bool *bare, size_t *used)
{
	bool start = true;
	for (size_t i = 0; i < in.n; i++) {
		if (start && in.p[i] == '.') {
			if (i + 2 < in.n && in.p[i + 1] == '\r' && in.p[i + 2] == '\n')
				return *used = i + 3, true;
			start = false;
			continue;
		}
		bool lf = in.p[i] == '\n', after_cr = i && in.p[i - 1] == '\r';
		*bare |= (lf && !after_cr) || (!lf && after_cr);
		start = lf && after_cr;
		buf_byte(out, in.p[i]);
	}
	return false;
}

static void the_fast_scanner_agrees_with_the_plain_rules(void **state)
{
	(void)state;
	static const char alphabet[] = "\r\n.ab";
	uint32_t seed = 7;
	for (int round = 0; round < 60000; round++) {
		char text[40];
		size_t n = 0, used = 0, rest;
		while (n < sizeof text)
			seed = seed * 1664525 + 1013904223, text[n++] = alphabet[(seed >> 16) % 5];
		struct buf want, got;
		buf_init(&want, 100);
		buf_init(&got, 100);
		bool bare = false, ends = plain_rules(str_of(text, n), &want, &bare, &used);
		struct smtp_text t = { 0 };
		feed(&t, str_of(text, n), 1 + seed % 9, &got, &rest);
		assert_int_equal(ends, t.at == TEXT_END);
		if (ends) {
			assert_int_equal(n - used, rest);
			assert_str(buf_str(&got), buf_str(&want));
			assert_int_equal(bare, t.bare_cr || t.bare_lf);
		}
		buf_done(&want);
		buf_done(&got);
	}
}

/* Sound lines as long as those of mail, and one octet among them that may not be there or begins a line. */
static void one_odd_octet_among_many_lines_is_seen_wherever_it_stands(void **state)
{
	(void)state;
	static const char odd[] = "\r\n.a";
	for (size_t at = 0; at < 300; at++)
		for (size_t k = 0; k < 4; k++) {
			char text[310];
			size_t n = sizeof text, used = 0, rest;
			for (size_t i = 0; i < n; i++)
				text[i] = i % 31 == 29 ? '\r' : i % 31 == 30 ? '\n' : 'x';
			text[at] = odd[k];
			memcpy(text + n - 3, ".\r\n", 3);
			memcpy(text + n - 5, "\r\n", 2);
			for (size_t chunk = 50; chunk <= 310; chunk += 65) {
				struct buf want, got;
				buf_init(&want, 400);
				buf_init(&got, 400);
				bool bare = false;
				struct smtp_text t = { 0 };
				assert_true(plain_rules(str_of(text, n), &want, &bare, &used));
				feed(&t, str_of(text, n), chunk, &got, &rest);
				assert_true(t.at == TEXT_END && n - used == rest && !t.long_line);
				assert_str(buf_str(&got), buf_str(&want));
				assert_int_equal(bare, t.bare_cr || t.bare_lf);
				buf_done(&want);
				buf_done(&got);
			}
		}
}

static void a_cr_that_never_meets_its_lf_is_bare(void **state)
{
	(void)state;
	struct smtp_text t = { .plain = true };
	struct str in = STR(".\r\nabc\r");
	assert_int_equal(smtp_text_run(&t, &in).n, 7);
	assert_false(t.bare_cr);
	smtp_text_finish(&t);
	assert_true(t.bare_cr);
}

static void a_line_longer_than_the_limit_is_noted(void **state)
{
	(void)state;
	for (size_t extra = 0; extra < 2; extra++) {
		struct smtp_text t = { 0 };
		for (size_t i = 0; i < SMTP_TEXT_LINE_MAX + extra; i++) {
			struct str in = STR("x");
			(void)smtp_text_run(&t, &in);
		}
		struct str end = STR("\r\n");
		(void)smtp_text_run(&t, &end);
		assert_int_equal(t.long_line, extra);
	}
}

static void a_long_line_is_noted_in_a_piece_that_is_longer(void **state)
{
	(void)state;
	static char text[4 * SMTP_TEXT_LINE_MAX];
	for (size_t before = 0; before < 200; before += 40)
		for (size_t n = SMTP_TEXT_LINE_MAX - 3; n <= SMTP_TEXT_LINE_MAX + 3; n++)
			for (int plain = 0; plain < 2; plain++) {
				memset(text, 'x', sizeof text);
				for (size_t i = 40; i <= before; i += 40)
					memcpy(text + i - 2, "\r\n", 2);
				memcpy(text + before + n, "\r\nab\r\n", 6);
				struct smtp_text t = { .plain = plain };
				struct str in = str_of(text, before + n + 6);
				assert_int_equal(smtp_text_run(&t, &in).n, before + n + 6);
				assert_int_equal(t.long_line, n > SMTP_TEXT_LINE_MAX);
				assert_true(t.at == TEXT_START && !t.bare_cr && !t.bare_lf);
			}
}

int run_text_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_crlf_dot_crlf_ends_a_message_wherever_it_is_cut),
		cmocka_unit_test(the_fast_scanner_agrees_with_the_plain_rules),
		cmocka_unit_test(one_odd_octet_among_many_lines_is_seen_wherever_it_stands),
		cmocka_unit_test(a_cr_that_never_meets_its_lf_is_bare),
		cmocka_unit_test(a_line_longer_than_the_limit_is_noted),
		cmocka_unit_test(a_long_line_is_noted_in_a_piece_that_is_longer),
	};
	return cmocka_run_group_tests_name("smtp text", tests, NULL, NULL);
}
