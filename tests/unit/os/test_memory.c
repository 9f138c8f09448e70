/* Lines, limits and buffers of streams, over memory. */
#include "base/mem.h"
#include "os/stream.h"
#include "os_test.h"

#include <stdio.h>
#include <stdlib.h>

/* What a reader sees of `in`: one line per call as text, so that runs can be compared. */
static void transcript(struct str in, size_t chunk, size_t max, struct buf *out)
{
	struct stream *s = stream_of_memory((struct stream_memory){ .in = in, .chunk = chunk, .fail_at = -1 });
	assert_non_null(s);
	for (int i = 0; i < 1000; i++) {
		struct str line = STR("");
		enum rc rc = stream_line(s, max, &line);
		buf_addf(out, "%s ", rc_name(rc));
		buf_add(out, line);
		buf_byte(out, '\n');
		if (rc == RC_CLOSED || stream_error(s) != RC_OK)
			break;
	}
	stream_free(&s);
}

static void lines_end_at_crlf_only(void **state)
{
	static const struct { const char *in, *want; } cases[] = {
		{ "a\r\nbc\r\n", "ok a\nok bc\nclosed \n" },
		{ "\r\n\r\n", "ok \nok \nclosed \n" },
		{ "a\nb\r\nc\r\n", "syntax \nok c\nclosed \n" },
		{ "a\rb\r\nc\r\n", "syntax \nok c\nclosed \n" },
		{ "a\r\r\nc\r\n", "syntax \nok c\nclosed \n" },
		{ "\n\r\nc\r\n", "syntax \nok c\nclosed \n" },
		{ "\r\n.\n\r\n", "ok \nsyntax \nclosed \n" },
		{ "12345678\r\nc\r\n", "ok 12345678\nok c\nclosed \n" },
		{ "123456789\r\nc\r\n", "limit \nok c\nclosed \n" },
		{ "1234567\n9\r\nc\r\n", "limit \nok c\nclosed \n" },
		{ "12345678901234567890\r\r\nc\r\n", "limit \nok c\nclosed \n" },
		{ "unfinished", "closed \n" },
		{ "cr\r", "closed \n" },
		{ "", "closed \n" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t chunk = 0; chunk < 12; chunk++) {
			struct buf out;
			buf_init(&out, 1 << 16);
			transcript(str_z(cases[i].in), chunk, 8, &out);
			buf_byte(&out, 0);
			assert_string_equal(out.p, cases[i].want);
			buf_done(&out);
		}
}

static void every_chunk_size_gives_the_same_lines(void **state)
{
	unsigned seed = 12345;
	for (int round = 0; round < 60; round++) {
		char in[600];
		for (size_t i = 0; i < sizeof in; i++) {
			seed = seed * 1103515245 + 12345;
			unsigned r = seed >> 16;
			in[i] = r % 7 == 0 ? '\r' : r % 7 == 1 ? '\n' : (char)('a' + r % 26);
			if (r % 9 == 8 && i + 1 < sizeof in) {
				in[i] = '\r';
				in[++i] = '\n';
			}
		}
		struct buf whole, parts;
		buf_init(&whole, 1 << 20);
		buf_init(&parts, 1 << 20);
		transcript(str_of(in, sizeof in), 0, 20, &whole);
		for (size_t chunk = 1; chunk < 50; chunk++) {
			buf_clear(&parts);
			transcript(str_of(in, sizeof in), chunk, 20, &parts);
			assert_true(str_eq(buf_str(&whole), buf_str(&parts)));
		}
		buf_done(&whole);
		buf_done(&parts);
	}
}

static struct str repeated(char c, size_t n, const char *end)
{
	char *p = mem_new(n + strlen(end));
	assert_non_null(p);
	memset(p, c, n);
	memcpy(p + n, end, strlen(end));
	return str_of(p, n + strlen(end));
}

static void a_line_may_be_longer_than_the_first_buffer(void **state)
{
	struct str in = repeated('x', 100000, "\r\ny\r\n"), line;
	for (size_t chunk = 0; chunk < 40000; chunk += 9999) {
		struct stream *s = stream_of_memory((struct stream_memory){ .in = in, .chunk = chunk, .fail_at = -1 });
		assert_int_equal(stream_line(s, 100000, &line), RC_OK);
		assert_int_equal(line.n, 100000);
		assert_int_equal(stream_line(s, 10, &line), RC_OK);
		assert_true(str_eq(line, STR("y")));
		stream_free(&s);
	}
	mem_free((void *)(uintptr_t)in.p);
}

static void a_flood_without_line_end_breaks_the_stream(void **state)
{
	struct str in = repeated('x', 3 << 20, "\r\ny\r\n"), line;
	struct stream *s = stream_of_memory((struct stream_memory){ .in = in, .fail_at = -1 });
	assert_int_equal(stream_line(s, 1000, &line), RC_LIMIT);
	assert_int_equal(stream_error(s), RC_LIMIT);
	assert_int_equal(stream_line(s, 1000, &line), RC_LIMIT);
	assert_int_equal(stream_flush(s), RC_LIMIT);
	stream_free(&s);
	mem_free((void *)(uintptr_t)in.p);
}

static void some_octets_can_be_given_back(void **state)
{
	struct str got;
	struct stream *s = stream_of_memory((struct stream_memory){ .in = STR("abcdef\r\n"), .fail_at = -1 });
	assert_int_equal(stream_pending(s), 0);
	assert_int_equal(stream_some(s, 4, &got), RC_OK);
	assert_true(str_eq(got, STR("abcd")));
	stream_unread(s, 2);
	assert_int_equal(stream_pending(s), 6);
	assert_int_equal(stream_line(s, 80, &got), RC_OK);
	assert_true(str_eq(got, STR("cdef")));
	assert_int_equal(stream_some(s, 4, &got), RC_CLOSED);
	stream_free(&s);
}

static void nothing_is_sent_before_a_flush(void **state)
{
	struct buf out;
	struct str line;
	buf_init(&out, 1 << 20);
	struct stream *s = stream_of_memory((struct stream_memory){ .in = STR("a\r\n"), .out = &out, .fail_at = -1 });
	stream_write(s, STR("one "));
	stream_writef(s, "%d ", 2);
	char *p = stream_reserve(s, 100);
	memcpy(p, "three", 5);
	stream_commit(s, 5);
	assert_int_equal(stream_line(s, 80, &line), RC_OK);
	assert_int_equal(out.len, 0);
	assert_int_equal(stream_flush(s), RC_OK);
	assert_true(str_eq(buf_str(&out), STR("one 2 three")));
	stream_write(s, STR("!"));
	assert_int_equal(stream_line(s, 80, &line), RC_CLOSED); /* a read that would wait sends first */
	assert_true(str_eq(buf_str(&out), STR("one 2 three!")));
	stream_free(&s);
	buf_done(&out);
}

static void large_output_comes_out_whole(void **state)
{
	struct str big = repeated('z', 1000000, "end");
	struct buf out;
	buf_init(&out, 1 << 22);
	struct stream *s = stream_of_memory((struct stream_memory){ .out = &out, .fail_at = -1 });
	stream_write(s, STR("start"));
	stream_write(s, big);
	assert_int_equal(stream_flush(s), RC_OK);
	assert_int_equal(out.len, 5 + big.n);
	assert_true(str_starts(buf_str(&out), STR("startzz")));
	assert_true(str_ends(buf_str(&out), STR("zzend")));
	stream_free(&s);
	buf_done(&out);
	mem_free((void *)(uintptr_t)big.p);
}

static void a_planned_failure_is_sticky(void **state)
{
	for (long at = 0; at < 12; at++) {
		struct buf out;
		struct str line;
		buf_init(&out, 1000);
		struct stream *s = stream_of_memory((struct stream_memory){ .in = STR("abcd\r\n"), .out = &out, .fail_at = at });
		enum rc first = stream_line(s, 80, &line);
		assert_int_equal(first, at < 6 ? RC_CLOSED : RC_OK);
		stream_write(s, STR("123456"));
		assert_int_equal(stream_flush(s), RC_CLOSED);
		assert_int_equal(out.len, at < 6 ? 0 : at - 6);
		assert_int_equal(stream_line(s, 80, &line), RC_CLOSED);
		stream_free(&s);
		buf_done(&out);
	}
}

struct script { const char *const *steps; int at; struct stream *s; };
static bool next_step(void *arg, struct str *in)
{
	struct script *c = arg;
	const char *step = c->steps[c->at];
	if (!step)
		return false;
	c->at++;
	if (step[0] == '!') {
		if (step[1] == 'w')
			stream_wake(c->s);
		return true;
	}
	*in = str_z(step);
	return true;
}

static void a_script_can_speak_wake_and_be_silent(void **state)
{
	static const char *const steps[] = { "a\r\n", "!w", "b\r\n", "!", NULL };
	struct script c = { .steps = steps };
	struct str line;
	struct stream *s = c.s = stream_of_memory((struct stream_memory){ .more = next_step, .arg = &c, .fail_at = -1 });
	assert_int_equal(stream_wait(s, 10), RC_OK);
	assert_int_equal(stream_line(s, 80, &line), RC_OK);
	assert_int_equal(stream_wait(s, 10), RC_AGAIN);
	assert_int_equal(stream_wait(s, 10), RC_OK); /* the wake was used up */
	assert_int_equal(stream_line(s, 80, &line), RC_OK);
	assert_int_equal(stream_wait(s, 10), RC_LATE);
	stream_wake(s);
	assert_int_equal(stream_wait(s, 10), RC_AGAIN); /* sticky */
	assert_int_equal(stream_wait(s, 10), RC_CLOSED);
	stream_free(&s);
}

static void starttls_throws_away_what_was_pipelined(void **state)
{
	static const char *const steps[] = { "STARTTLS\r\nEVIL\r\n", "GOOD\r\n", NULL };
	struct script c = { .steps = steps };
	struct str line;
	struct stream *s = c.s = stream_of_memory((struct stream_memory){ .more = next_step, .arg = &c, .fail_at = -1, .can_tls = true });
	assert_true(stream_can_tls(s));
	assert_int_equal(stream_line(s, 80, &line), RC_OK);
	assert_int_equal(stream_pending(s), 6);
	assert_int_equal(stream_starttls(s), RC_OK);
	assert_true(stream_is_tls(s));
	assert_false(stream_can_tls(s));
	assert_int_equal(stream_starttls(s), RC_DENIED);
	assert_int_equal(stream_line(s, 80, &line), RC_OK);
	assert_true(str_eq(line, STR("GOOD")));
	stream_free(&s);
}

static void without_a_provider_starttls_is_denied(void **state)
{
	struct stream *s = stream_of_memory((struct stream_memory){ .fail_at = -1 });
	assert_false(stream_can_tls(s));
	assert_int_equal(stream_starttls(s), RC_DENIED);
	assert_int_equal(stream_error(s), RC_OK);
	stream_free(&s);
}

static void running_out_of_memory_breaks_the_stream(void **state)
{
	for (long k = 0; k < 3; k++) {
		mem_fail_at = -1;
		struct str line = STR("");
		struct stream *s = stream_of_memory((struct stream_memory){ .in = STR("a\r\n"), .fail_at = -1 });
		mem_count = 0;
		mem_fail_at = k;
		enum rc rc = stream_line(s, 80, &line);
		stream_write(s, STR("x"));
		mem_fail_at = -1;
		assert_int_equal(rc, k == 0 ? RC_NOMEM : RC_OK);
		assert_int_equal(stream_error(s), k < 2 ? RC_NOMEM : RC_OK);
		stream_free(&s);
	}
}

const struct CMUnitTest memory_tests[] = {
	cmocka_unit_test(lines_end_at_crlf_only),
	cmocka_unit_test(every_chunk_size_gives_the_same_lines),
	cmocka_unit_test(a_line_may_be_longer_than_the_first_buffer),
	cmocka_unit_test(a_flood_without_line_end_breaks_the_stream),
	cmocka_unit_test(some_octets_can_be_given_back),
	cmocka_unit_test(nothing_is_sent_before_a_flush),
	cmocka_unit_test(large_output_comes_out_whole),
	cmocka_unit_test(a_planned_failure_is_sticky),
	cmocka_unit_test(a_script_can_speak_wake_and_be_silent),
	cmocka_unit_test(starttls_throws_away_what_was_pipelined),
	cmocka_unit_test(without_a_provider_starttls_is_denied),
	cmocka_unit_test(running_out_of_memory_breaks_the_stream),
};
const size_t memory_tests_n = sizeof memory_tests / sizeof *memory_tests;
