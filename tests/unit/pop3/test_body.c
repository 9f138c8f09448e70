#include "base/buf.h"
#include "pop3/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* RFC 1939 section 3, octet by octet. */
static void stuffed_as_by_hand(struct str message, struct buf *out)
{
	char before = '\n';
	for (size_t i = 0; i < message.n; before = message.p[i++]) {
		if (before == '\n' && message.p[i] == '.')
			buf_byte(out, '.');
		buf_byte(out, message.p[i]);
	}
	if (message.n < 2 || message.p[message.n - 2] != '\r' || message.p[message.n - 1] != '\n')
		buf_add(out, STR("\r\n"));
	buf_add(out, STR(".\r\n"));
}

static void write_pieces(struct stream *io, struct str message, size_t piece)
{
	struct pop3_body b;
	pop3_body_begin(&b, io);
	for (; message.n; message = str_skip(message, piece))
		pop3_body_write(&b, str_head(message, piece));
	pop3_body_end(&b);
}

/* `piece` 0: whole, if it may. False: it may not. */
static bool sent(struct str message, size_t piece, struct buf *out)
{
	buf_clear(out);
	struct stream *io = stream_of_memory((struct stream_memory){ .out = out, .fail_at = -1 });
	assert_non_null(io);
	bool done = piece || pop3_body_whole(io, message);
	if (piece)
		write_pieces(io, message, piece);
	assert_int_equal(stream_flush(io), RC_OK);
	stream_free(&io);
	return done;
}

/* One octet in `rare` matters. */
static void fill_with_dots(char *text, size_t n, unsigned rare, uint64_t *seed)
{
	for (size_t i = 0; i < n; i++) {
		*seed = *seed * 6364136223846793005u + 1442695040888963407u;
		unsigned r = (unsigned)(*seed >> 40);
		text[i] = r % rare ? 'x' : "..\n\r\n."[r / rare % 6];
	}
}

static void whole_messages_and_pieces_are_stuffed_alike(void **x)
{
	static char text[200000];
	struct buf want, got;
	unsigned whole = 0, dots = 0;
	uint64_t seed = 1;
	(void)x;
	buf_init(&want, 1 << 20);
	buf_init(&got, 1 << 20);
	for (unsigned round = 0; round < 10000; round++) {
		size_t n = round % 500 ? 1 + round % 3000 : sizeof text - round;
		fill_with_dots(text, n, 1u << round % 13, &seed);
		if (round % 3 == 0)
			text[n - 1] = '\n', text[n > 1 ? n - 2 : 0] = '\r';
		buf_clear(&want);
		stuffed_as_by_hand(str_of(text, n), &want);
		dots += want.len > n + 5;
		bool done = sent(str_of(text, n), 0, &got);
		whole += done;
		assert_true(!done || str_eq(buf_str(&got), buf_str(&want)));
		const size_t pieces[] = { 1 + round % 700, 32 * 1024, 64 * 1024 };
		for (size_t i = 0; i < 3; i++) {
			assert_true(sent(str_of(text, n), pieces[i], &got));
			assert_true(str_eq(buf_str(&got), buf_str(&want)));
		}
	}
	assert_in_range(whole, 1000, 9000);
	assert_in_range(dots, 1000, 9000);
	buf_done(&want);
	buf_done(&got);
}
static void pop3_top_finds_the_blank_line_in_any_chunking(void **x)
{
	static const struct { struct str body; uint64_t lines; size_t taken; } cases[] = {
		{ STR_INIT("a: b\r\n\r\nx\r\ny\r\n"), 0, 8 },
		{ STR_INIT("a: b\r\n\r\nx\r\ny\r\n"), 1, 11 },
		{ STR_INIT("a: b\r\n\r\nx\r\ny\r\n"), 2, 14 },
		{ STR_INIT("a: b\r\n\r\nx\r\ny\r\n"), UINT64_MAX, 14 },
		{ STR_INIT("\r\nx\r\n"), 0, 2 },
		{ STR_INIT("a\n\nx\ny\n"), 1, 5 },
		{ STR_INIT("a\r\n\r\r\n\r\nx\r\n"), 0, 8 },
		{ STR_INIT("a\r\nb"), 0, 4 },
		{ STR_INIT("a\r\n\r\nrest"), 1, 9 },
	};
	(void)x;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		for (size_t chunk = 1; chunk <= cases[i].body.n; chunk++) {
			struct pop3_top top;
			size_t taken = 0;
			pop3_top_begin(&top, cases[i].lines);
			for (size_t at = 0; at < cases[i].body.n && !top.done; at += chunk)
				taken += pop3_top_take(&top, str_head(str_skip(cases[i].body, at), chunk));
			assert_int_equal(taken, cases[i].taken);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(whole_messages_and_pieces_are_stuffed_alike), cmocka_unit_test(pop3_top_finds_the_blank_line_in_any_chunking) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
