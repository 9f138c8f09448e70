#include "smtp_test.h"

#include "base/mem.h"
#include "os/loop.h"

/* The properties that hold for every session, whatever is said. */

#define HELLO "EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<joe@example.org>\r\n"
#define MESSAGE "Subject: one\r\n\r\n..stuffed\r\nlast\r\n.\r\n"
#define STORED "Subject: one\r\n\r\n.stuffed\r\nlast\r\n"

static const struct { const char *name; struct str in; bool lmtp; } talks[] = {
	{ "a message", STR_INIT(HELLO "DATA\r\n" MESSAGE "QUIT\r\n"), false },
	{ "two messages, the second refused",
	  STR_INIT(HELLO "DATA\r\n" MESSAGE "MAIL FROM:<c@d.example> SIZE=10 BODY=8BITMIME ENVID=a+2Bb\r\nRCPT TO:<nobody@example.org>\r\n"
	                 "RCPT TO:<never@example.org> NOTIFY=FAILURE ORCPT=rfc822;x\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"), false },
	{ "chunks", STR_INIT(HELLO "BDAT 5\r\nab\r\nc" "BDAT 6 LAST\r\nd\r\n.\r\nNOOP\r\nQUIT\r\n"), false },
	{ "a chunk with a bare LF", STR_INIT(HELLO "BDAT 5 LAST\r\nab\ncd" "QUIT\r\n"), false },
	{ "lines of every offence",
	  STR_INIT(HELLO "DATA\r\na\nb\rc\r\n.\r\n" "MAIL FROM:<a@b.example>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n\r.\r\n.\r\nQUIT\r\n"), false },
	{ "errors", STR_INIT("FOO\r\nEHLO\r\nNO\nOP\r\nHELO x\r\nMAIL FROM:<x\r\nRCPT TO:<y>\r\nBDAT 3\r\nabcBDAT x\r\nNOOP\r\n"), false },
	{ "TLS", STR_INIT("EHLO x\r\nSTARTTLS\r\nEHLO y\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\n.\r\n"), false },
	{ "LMTP", STR_INIT("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<joe@example.org>\r\nRCPT TO:<later@example.org>\r\nDATA\r\n" MESSAGE "RSET\r\nHELP\r\nQUIT\r\n"), true },
};
enum { TALKS = sizeof talks / sizeof *talks };

static void prepare(struct smtp_run *r, size_t i)
{
	smtp_run_init(r);
	r->house.config.kind = talks[i].lmtp ? SMTP_LMTP : SMTP_RELAY_IN;
	r->house.tls_offered = true;
}

static void the_session_does_not_see_packet_boundaries(void **state)
{
	(void)state;
	for (size_t i = 0; i < TALKS; i++) {
		struct smtp_run whole;
		prepare(&whole, i);
		smtp_run(&whole, talks[i].in, 0, -1);
		assert_true(whole.out.len > 100);
		for (size_t chunk = 1; chunk <= talks[i].in.n; chunk++) {
			struct smtp_run r;
			prepare(&r, i);
			smtp_run(&r, talks[i].in, chunk, -1);
			assert_null(r.house.breach);
			assert_str(buf_str(&r.out), buf_str(&whole.out));
			assert_str(buf_str(&r.house.bodies), buf_str(&whole.house.bodies));
			smtp_run_done(&r);
		}
		smtp_run_done(&whole);
	}
}

/* Everything the client was told to be stored is stored, whole. */
static void nothing_false_was_said(const struct smtp_run *r)
{
	assert_null(r->house.breach);
	size_t told = count_of(buf_str(&r->out), STR("250 2.0.0 Ok 0"));
	assert_true(told <= r->house.commits);
	assert_int_equal(count_of(buf_str(&r->house.bodies), STR(STORED)), count_of(buf_str(&r->house.bodies), STR("Subject:")));
	assert_int_equal(r->house.mails, r->house.resets);
}

static void a_stream_that_breaks_at_any_octet_commits_whole_messages_or_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < TALKS; i++)
		for (size_t chunk = 0; chunk < 8; chunk += 7) {
			bool ran_through = false;
			for (long at = 0; !ran_through; at++) {
				struct smtp_run r;
				prepare(&r, i);
				smtp_run(&r, talks[i].in, chunk, at);
				nothing_false_was_said(&r);
				ran_through = at > (long)(talks[i].in.n + 4096);
				smtp_run_done(&r);
			}
		}
}

static void a_message_cut_before_its_last_octet_is_not_committed(void **state)
{
	(void)state;
	static const struct str ends[] = { STR_INIT(HELLO "DATA\r\n" MESSAGE), STR_INIT(HELLO "BDAT 8\r\nabcdef\r\nBDAT 3 LAST\r\nx\r\n") };
	for (size_t i = 0; i < 2; i++)
		for (size_t n = 0; n <= ends[i].n; n++) {
			struct smtp_run r;
			smtp_run_init(&r);
			smtp_run(&r, str_head(ends[i], n), 0, -1);
			assert_int_equal(r.house.commits, n == ends[i].n);
			assert_null(r.house.breach);
			smtp_run_done(&r);
		}
}

static void no_failed_allocation_makes_a_false_answer(void **state)
{
	(void)state;
	long points = 0;
	for (size_t i = 0; i < TALKS; i++)
		for (long k = 0, more = 1; more; k++, points++) {
			struct smtp_run r;
			prepare(&r, i);
			mem_count = 0;
			mem_fail_at = k;
			smtp_run(&r, talks[i].in, 3, -1);
			more = mem_count > k;
			mem_fail_at = -1;
			nothing_false_was_said(&r);
			smtp_run_done(&r);
		}
	assert_true(points > 20);
	print_message("%ld allocations failed in turn\n", points);
}

static void a_lost_connection_says_so(void **state)
{
	(void)state;
	struct smtp_run r;
	smtp_run_init(&r);
	smtp_run(&r, STR("EHLO x\r\n"), 0, -1);
	assert_int_equal(r.rc, RC_CLOSED);
	smtp_run_done(&r);
	smtp_run_init(&r);
	smtp_run(&r, STR("QUIT\r\n"), 0, -1);
	assert_int_equal(r.rc, RC_OK);
	smtp_run_done(&r);
}

static void refusals_reach_the_house_for_its_log(void **state)
{
	(void)state;
	struct smtp_run r;
	smtp_run_init(&r);
	smtp_run(&r, STR("FOO\r\n" "EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<full@example.org>\r\n"), 0, -1);
	assert_int_equal(r.house.refusals, 2);
	assert_int_equal(r.house.last_code, 452);
	smtp_run_done(&r);
}

static enum rc forges(void *house, const struct smtp_mail *mail, struct why *why)
{
	(void)house, (void)mail;
	FAIL(why, RC_DENIED, "4.7.1 no\r\n250 yes\x80");
}

static void the_text_of_a_hook_cannot_forge_an_answer_or_a_class(void **state)
{
	(void)state;
	struct smtp_run r;
	smtp_run_init(&r);
	struct smtp_hooks hooks = smtp_house_hooks;
	hooks.house = &r.house;
	hooks.mail = forges;
	struct stream_memory m = { .in = STR("EHLO x\r\nMAIL FROM:<a@b.example>\r\n"), .out = &r.out, .fail_at = -1 };
	struct stream *io = stream_of_memory(m);
	assert_non_null(io);
	assert_int_equal(smtp_serve(io, &r.house.config, &hooks), RC_CLOSED);
	stream_free(&io);
	assert_true(str_ends(buf_str(&r.out), STR("\r\n550 5.7.1 no??250 yes?\r\n")));
	smtp_run_done(&r);
}

/* ---- in a fiber ---- */

static struct { struct loop *loop; struct smtp_run run; int64_t took; } tarpit;

static void in_fiber(void *arg)
{
	(void)arg;
	int64_t began = loop_now(tarpit.loop);
	smtp_run(&tarpit.run, STR("FOO\r\nFOO\r\nFOO\r\nFOO\r\nFOO\r\nQUIT\r\n"), 0, -1);
	fiber_yield();
	tarpit.took = loop_now(tarpit.loop) - began;
	loop_stop(tarpit.loop);
}

static void many_errors_are_answered_slowly(void **state)
{
	(void)state;
	struct why why;
	smtp_run_init(&tarpit.run);
	tarpit.run.house.config.tarpit_ms = 40;
	assert_int_equal(loop_open(&tarpit.loop, &why), RC_OK);
	assert_int_equal(fiber_start(tarpit.loop, in_fiber, NULL, NULL), RC_OK);
	loop_run(tarpit.loop);
	loop_close(&tarpit.loop);
	assert_int_equal(count_of(buf_str(&tarpit.run.out), STR("500 5.5.2")), 5);
	assert_true(tarpit.took >= 75); /* three at once, two after 40 ms each */
	smtp_run_done(&tarpit.run);
}

int run_session_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_session_does_not_see_packet_boundaries),
		cmocka_unit_test(a_stream_that_breaks_at_any_octet_commits_whole_messages_or_none),
		cmocka_unit_test(a_message_cut_before_its_last_octet_is_not_committed),
		cmocka_unit_test(no_failed_allocation_makes_a_false_answer),
		cmocka_unit_test(a_lost_connection_says_so),
		cmocka_unit_test(refusals_reach_the_house_for_its_log),
		cmocka_unit_test(the_text_of_a_hook_cannot_forge_an_answer_or_a_class),
		cmocka_unit_test(many_errors_are_answered_slowly),
	};
	return cmocka_run_group_tests_name("smtp session", tests, NULL, NULL);
}
