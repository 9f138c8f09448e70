#include "smtp_test.h"

#include <stdio.h>

/* Conformance with testdata/hostile/smtp-smuggling.tsv: false ends of data. */

enum { CASES = 23 };

static void unescape(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			buf_byte(out, s.p[++i] == 'r' ? '\r' : '\n');
		else if (s.p[i] != '|') /* where the sender stops for a second: chunks of one octet stop everywhere */
			buf_byte(out, s.p[i]);
	}
}

/* Without the stuffing, as plainly as it can be said; `end` is whether CR LF . CR LF is there. */
static void expected_body(struct str sent, struct buf *out)
{
	bool start = true;
	for (size_t i = 0; i < sent.n; i++) {
		if (start && sent.p[i] == '.') {
			start = false;
			if (str_starts(str_skip(sent, i), STR(".\r\n")))
				return;
			continue;
		}
		buf_byte(out, sent.p[i]);
		start = sent.p[i] == '\n' && i && sent.p[i - 1] == '\r';
	}
}

static bool has_bare(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r')) || (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')))
			return true;
	return false;
}

static void talk_data(struct str bytes, bool first, bool ends, struct str name)
{
	struct buf sent, in, want;
	buf_init(&sent, 8192), buf_init(&in, 8192), buf_init(&want, 8192);
	if (!first)
		buf_add(&sent, STR("a line of text"));
	buf_add(&sent, bytes);
	if (!ends)
		buf_add(&sent, STR("more text\r\n.\r\n"));
	buf_add(&in, STR("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n"));
	buf_add(&in, buf_str(&sent));
	buf_add(&in, STR("QUIT\r\n"));
	expected_body(buf_str(&sent), &want);
	for (size_t chunk = 0; chunk < 9; chunk++) {
		struct smtp_run r;
		smtp_run_init(&r);
		smtp_run(&r, buf_str(&in), chunk, -1);
		struct str after = str_skip(buf_str(&r.out), str_find_str(buf_str(&r.out), STR("354 ")));
		if (count_of(after, STR("\r\n")) != 3 || r.rc != RC_OK)
			fail_msg("%.*s, chunks of %zu: not one answer to the message: %.*s", PSTR(name), chunk, PSTR(after));
		if (has_bare(buf_str(&sent)) ? r.house.commits || !count_of(after, STR("\r\n550 5.6.0 ")) : !str_eq(buf_str(&r.house.bodies), buf_str(&want)))
			fail_msg("%.*s, chunks of %zu: neither stored as it came nor refused", PSTR(name), chunk);
		smtp_run_done(&r);
	}
	buf_done(&sent), buf_done(&in), buf_done(&want);
}

static void talk_command(struct str bytes, struct str name)
{
	struct buf in;
	buf_init(&in, 8192);
	bool bdat = str_starts(bytes, STR("BDAT"));
	buf_add(&in, STR("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<joe@example.org>\r\n"));
	buf_add(&in, bytes);
	buf_add(&in, bdat ? STR("NOOP\r\nQUIT\r\n") : STR("\r\nQUIT\r\n"));
	for (size_t chunk = 0; chunk < 9; chunk++) {
		struct smtp_run r;
		smtp_run_init(&r);
		smtp_run(&r, buf_str(&in), chunk, -1);
		struct str out = buf_str(&r.out), after = str_skip(out, str_find_str(out, STR("250 2.1.5 ")));
		if (bdat) /* the chunk is refused for its bare LF or taken; NOOP behind it is a command */
			assert_true(count_of(after, STR("\r\n")) == 4 && count_of(after, STR("\r\n250 2.0.0 Ok\r\n")) == 1);
		else if (count_of(after, STR("\r\n500 ")) < 1 || count_of(after, STR("250 2.0.0")))
			fail_msg("%.*s: two commands in one", PSTR(name));
		smtp_run_done(&r);
	}
	buf_done(&in);
}

static void one_case(struct str line)
{
	struct str name, bytes, place, ends, rest = line;
	str_cut(rest, '\t', &name, &rest);
	str_cut(rest, '\t', &bytes, &rest);
	str_cut(rest, '\t', &place, &rest);
	str_cut(rest, '\t', &ends, &rest);
	struct buf raw;
	buf_init(&raw, 4096);
	unescape(bytes, &raw);
	if (str_eq(place, STR("command")))
		talk_command(buf_str(&raw), name);
	else
		talk_data(buf_str(&raw), str_starts(place, STR("first")), !str_eq(ends, STR("no")), name);
	buf_done(&raw);
}

static void no_false_end_of_data_is_believed(void **state)
{
	(void)state;
	FILE *f = fopen(TESTDATA "/hostile/smtp-smuggling.tsv", "rb");
	if (!f) {
		print_message("skipped: no " TESTDATA "/hostile/smtp-smuggling.tsv\n");
		skip();
	}
	char text[16384];
	size_t n = fread(text, 1, sizeof text, f), cases = 0;
	(void)fclose(f);
	struct str line, rest = str_of(text, n);
	str_cut(rest, '\n', &line, &rest); /* the column names */
	while (rest.n) {
		str_cut(rest, '\n', &line, &rest);
		if (!line.n)
			continue;
		one_case(line);
		cases++;
	}
	print_message("%zu of %d\n", cases, CASES);
	assert_int_equal(cases, CASES);
}

int run_smuggling_tests(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(no_false_end_of_data_is_believed) };
	return cmocka_run_group_tests_name("smtp smuggling", tests, NULL, NULL);
}
