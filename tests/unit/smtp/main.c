#include "smtp_test.h"

#include "base/mem.h"

void smtp_run_init(struct smtp_run *r)
{
	*r = (struct smtp_run){ 0 };
	smtp_house_init(&r->house);
	buf_init(&r->out, 1 << 20);
	/* The test's own memory is taken before any allocation is made to fail. */
	assert_true(buf_room(&r->out, 65536) && buf_room(&r->house.body, 65536) && buf_room(&r->house.bodies, 65536));
}

void smtp_run_done(struct smtp_run *r)
{
	smtp_house_done(&r->house);
	buf_done(&r->out);
}

void smtp_run(struct smtp_run *r, struct str in, size_t chunk, long fail_at)
{
	struct stream_memory m = { .in = in, .chunk = chunk, .out = &r->out, .fail_at = fail_at, .can_tls = r->house.tls_offered };
	struct stream *io = stream_of_memory(m);
	if (!io)
		return;
	r->rc = smtp_house_serve(&r->house, io);
	stream_free(&io);
}

size_t count_of(struct str s, struct str needle)
{
	size_t n = 0;
	for (size_t at; (at = str_find_str(s, needle)) < s.n; s = str_skip(s, at + 1))
		n++;
	return n;
}

void assert_str_(struct str got, struct str want, const char *file, int line)
{
	if (str_eq(got, want))
		return;
	print_error("got:  %.*s\nwant: %.*s\n", PSTR(got), PSTR(want));
	_fail(file, line);
}

int main(void)
{
	int failed = run_text_tests();
	failed += run_params_tests();
	failed += run_received_tests();
	failed += run_session_tests();
	failed += run_smuggling_tests();
	return failed;
}
