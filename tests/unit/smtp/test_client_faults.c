#include "client_play.h"

#include "base/mem.h"
#include "smtp/text.h"
#include <stdio.h>

/* The message on its way out, and everything that can break on the way. */

int run_client_faults_tests(void);

#define HELLO(lines) "S: 220 mx.example\nC: EHLO me.example\nS: 250-mx.example\n" lines "S: 250 HELP\n"
#define MAIL "C: MAIL FROM:<a@b.example>\n"
#define RCPT(n) "C: RCPT TO:<" #n "@r.example>\n"

static void greet(struct talk *t, const char *script, const struct talk_options *o)
{
	assert_true(talk_open(t, script, o));
	assert_int_equal(smtp_client_hello(t->c, &t->reply, &t->why), RC_OK);
}

/* ---- the message's own lines ---- */

#define BY_DATA HELLO("S: 250-PIPELINING\n") MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 354 go\n"

static void lines_are_stuffed_and_ended_whatever_runs_they_come_in(void **state)
{
	static const struct { const char *text, *wire; } cases[] = {
		{ "", "C: .\n" }, { "x", "C: x\nC: .\n" }, { "x\r\n", "C: x\nC: .\n" }, { ".", "C: ..\nC: .\n" }, { ".\r\n", "C: ..\nC: .\n" }, { "..\r\n.\r\n", "C: ...\nC: ..\nC: .\n" },
		{ "a.b\r\n.c", "C: a.b\nC: ..c\nC: .\n" }, { "\r\n\r\n.\r\n", "C: \nC: \nC: ..\nC: .\n" }, { "\r\n", "C: \nC: .\n" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t run = 0; run < 5; run++) {
			char script[1024];
			struct talk t;
			struct smtp_client_mail m = { .from = FROM };
			struct smtp_client_rcpt r = to("1");
			(void)snprintf(script, sizeof script, "%s%sS: 250 ok\n", BY_DATA, cases[i].wire);
			greet(&t, script, NULL);
			talk_message(&t, &m, cases[i].text);
			t.run = run;
			assert_int_equal(smtp_client_send(t.c, &m, &r, 1, &t.reply, &t.why), RC_OK);
			assert_int_equal(r.rc, RC_OK);
			talk_close(&t);
		}
}

static void a_bare_cr_or_lf_is_never_sent(void **state)
{
	static const char *const bad[] = { "a\nb\r\n", "a\r\n\n", "\n", "a\rb\r\n", "\r", "a\r", "a\r\r\n", "\r\n.\r.\r\n", "a\n.\nMAIL FROM:<x>\n", "a\r\n\r", "\n.\r\n" };
	static const char *const hellos[] = { BY_DATA, HELLO("S: 250-CHUNKING\n") MAIL "S: 250 a\n" RCPT(1) "S: 250 b\n" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		for (size_t h = 0; h < 2; h++)
			for (size_t run = 0; run < 4; run++) {
				struct talk t;
				struct smtp_client_mail m = { .from = FROM };
				struct smtp_client_rcpt r = to("1");
				greet(&t, hellos[h], NULL);
				talk_message(&t, &m, bad[i]);
				t.run = run;
				assert_int_equal(smtp_client_send(t.c, &m, &r, 1, &t.reply, &t.why), RC_SYNTAX);
				assert_int_equal(r.rc, RC_AGAIN);
				assert_non_null(strstr(t.why.text, "no line end"));
				assert_false(smtp_client_usable(t.c));
				assert_int_equal(stream_flush(t.io), RC_OK);
				/* What went out before the offence ends nothing: no dot alone on its line, no LAST. */
				struct str said = buf_str(&t.play.out);
				assert_true(str_find_str(said, STR("\r\n.\r\n")) == said.n && str_find_str(said, STR("LAST")) == said.n);
				for (size_t k = 0; k < said.n; k++)
					assert_true(said.p[k] == '\n' ? k > 0 && said.p[k - 1] == '\r' : true);
				talk_free(&t);
			}
}

/* What our own reading side makes of what we wrote is what we were given. */
static void stuffed_text_read_back_is_the_text(void **state)
{
	uint32_t seed = 1;
	for (int round = 0; round < 2000; round++) {
		static const char *const bits[] = { "\r\n", ".", "..", "a", "\r\n.", "\r\n.\r\n", "word " };
		char text[200] = "";
		size_t n = 0;
		for (int k = 0; k < 12; k++) {
			seed = seed * 1664525 + 1013904223;
			n += (size_t)snprintf(text + n, sizeof text - n, "%s", bits[(seed >> 16) % 7]);
		}
		n += (size_t)snprintf(text + n, sizeof text - n, "\r\n");
		struct talk t;
		struct smtp_client_mail m = { .from = FROM };
		struct smtp_client_rcpt r = to("1");
		assert_true(talk_open(&t, BY_DATA "CLOSE\n", &(struct talk_options){ .fail_at = 1 << 20 }));
		assert_int_equal(smtp_client_hello(t.c, &t.reply, &t.why), RC_OK);
		talk_message(&t, &m, text);
		t.run = (size_t)round % 6;
		assert_int_equal(smtp_client_send(t.c, &m, &r, 1, &t.reply, &t.why), RC_CLOSED);
		struct str said = buf_str(&t.play.out), in = str_skip(said, str_find_str(said, STR("DATA\r\n")) + 6);
		struct smtp_text reader = { 0 };
		struct buf back AUTO(buf_done);
		buf_init(&back, 4096);
		while (in.n && reader.at != TEXT_END)
			buf_add(&back, smtp_text_run(&reader, &in));
		assert_int_equal(reader.at, TEXT_END);
		assert_int_equal(in.n, 0);
		assert_true(str_eq(buf_str(&back), str_of(text, n)));
		talk_free(&t);
	}
}

/* ---- chunks, and large messages ---- */

enum { LINE = 64, LINES_A_CHUNK = 1024 };

static void add_lines(struct buf *script, struct buf *text, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char line[LINE + 1];
		(void)snprintf(line, sizeof line, ".%061u", i);
		if (script)
			buf_addf(script, "C: %s\n", line);
		if (text)
			buf_addf(text, "%s\r\n", line);
	}
}

struct large { struct buf script, text; struct talk t; struct smtp_client_mail m; struct smtp_client_rcpt r[2]; };

static void large_begin(struct large *l, const char *hello)
{
	*l = (struct large){ .m = { .from = FROM }, .r = { to("1"), to("2") } };
	buf_init(&l->script, 4 << 20);
	buf_init(&l->text, 4 << 20);
	buf_add(&l->script, str_z(hello));
}

static enum rc large_send(struct large *l, size_t run)
{
	buf_byte(&l->script, 0);
	buf_byte(&l->text, 0);
	greet(&l->t, l->script.p, NULL);
	talk_message(&l->t, &l->m, l->text.p);
	l->t.run = run;
	return smtp_client_send(l->t.c, &l->m, l->r, 2, &l->t.reply, &l->t.why);
}

static void large_end(struct large *l)
{
	talk_close(&l->t);
	buf_done(&l->script);
	buf_done(&l->text);
}

#define CHUNKED HELLO("S: 250-PIPELINING\nS: 250-CHUNKING\n") MAIL RCPT(1) RCPT(2) "S: 250 a\nS: 250 b\nS: 250 c\n"

static void chunks_go_out_one_ahead_of_their_answers(void **state)
{
	for (size_t run = 0; run < 5000; run += 999) {
		struct large l;
		large_begin(&l, CHUNKED);
		buf_add(&l.script, STR("C: BDAT 65536\n"));
		add_lines(&l.script, &l.text, LINES_A_CHUNK);
		buf_add(&l.script, STR("C: BDAT 65536\n"));
		add_lines(&l.script, &l.text, LINES_A_CHUNK);
		buf_add(&l.script, STR("S: 250 one\nC: BDAT 64 LAST\n"));
		add_lines(&l.script, &l.text, 1);
		buf_add(&l.script, STR("S: 250 two\nS: 250 queued\n"));
		assert_int_equal(large_send(&l, run), RC_OK);
		assert_int_equal(l.r[0].rc, RC_OK);
		assert_int_equal(l.r[1].rc, RC_OK);
		assert_true(smtp_client_usable(l.t.c));
		large_end(&l);
	}
}

static void without_pipelining_each_chunk_waits_for_its_answer_and_a_refused_one_is_the_last(void **state)
{
	struct large l;
	large_begin(&l, HELLO("S: 250-CHUNKING\n") MAIL "S: 250 a\n" RCPT(1) "S: 250 b\n" RCPT(2) "S: 250 c\nC: BDAT 65536\n");
	add_lines(&l.script, &l.text, LINES_A_CHUNK);
	buf_add(&l.script, STR("S: 250 one\nC: BDAT 65536\n"));
	add_lines(&l.script, &l.text, LINES_A_CHUNK);
	buf_add(&l.script, STR("S: 452 4.3.1 full\n"));
	add_lines(NULL, &l.text, 3 * LINES_A_CHUNK);
	assert_int_equal(large_send(&l, 1000), RC_OK);
	assert_int_equal(l.r[0].rc, RC_BUSY);
	assert_int_equal(l.r[1].reply.code, 452);
	assert_true(smtp_client_usable(l.t.c));
	large_end(&l);
}

static void a_chunk_refused_with_another_on_its_way_takes_that_ones_answer_too(void **state)
{
	struct large l;
	large_begin(&l, CHUNKED "C: BDAT 65536\n");
	add_lines(&l.script, &l.text, LINES_A_CHUNK);
	buf_add(&l.script, STR("C: BDAT 65536\n"));
	add_lines(&l.script, &l.text, LINES_A_CHUNK);
	buf_add(&l.script, STR("S: 552 5.3.4 too large\nS: 503 no transaction\n"));
	add_lines(NULL, &l.text, 3 * LINES_A_CHUNK);
	assert_int_equal(large_send(&l, 0), RC_OK);
	assert_int_equal(l.r[0].rc, RC_DENIED);
	assert_int_equal(l.r[0].reply.code, 552);
	assert_true(smtp_client_usable(l.t.c));
	large_end(&l);
}

static void octets_of_any_kind_pass_in_binary_chunks(void **state)
{
	struct talk t;
	struct smtp_client_mail m = { .from = FROM, .body_binary = true };
	struct smtp_client_rcpt r = to("1");
	greet(&t, HELLO("S: 250-CHUNKING\nS: 250-BINARYMIME\n") "C: MAIL FROM:<a@b.example> BODY=BINARYMIME\nS: 250 a\n" RCPT(1) "S: 250 b\nCLOSE\n", NULL);
	talk_message(&t, &m, "");
	t.message = STR("a\rb\nc.\0");
	assert_int_equal(smtp_client_send(t.c, &m, &r, 1, &t.reply, &t.why), RC_CLOSED);
	assert_true(str_ends(buf_str(&t.play.out), STR("BDAT 7 LAST\r\na\rb\nc.\0")));
	talk_free(&t);
}

static void a_server_that_has_had_enough_is_heard_in_the_middle(void **state)
{
	static const struct { const char *says; enum rc rc, rcpt; } cases[] = {
		{ "S: 552 5.3.4 too large\n", RC_OK, RC_DENIED }, { "S: 421 4.3.2 shutting down\n", RC_OK, RC_BUSY }, { "S: 250 queued\n", RC_SYNTAX, RC_AGAIN }, { "CLOSE\n", RC_CLOSED, RC_AGAIN },
	};
	for (size_t i = 0; i < 4; i++) {
		struct large l;
		large_begin(&l, HELLO("S: 250-PIPELINING\n") MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 a\nS: 250 b\nS: 250 c\nS: 354 go\n");
		for (unsigned n = 0; n < 4 * LINES_A_CHUNK; n++)
			buf_addf(&l.script, "C: ..%061u\n", n % LINES_A_CHUNK);
		for (unsigned n = 0; n < 5; n++)
			add_lines(NULL, &l.text, LINES_A_CHUNK);
		/* A stuffed line has 65 octets: 4,096 of them make the 256 KiB after which it is listened for the first time, in the run that ends there. */
		buf_add(&l.script, str_z(cases[i].says));
		assert_int_equal(large_send(&l, 4 * LINES_A_CHUNK * LINE), cases[i].rc);
		assert_int_equal(l.r[0].rc, cases[i].rcpt);
		assert_int_equal(l.r[1].rc, cases[i].rcpt);
		assert_false(smtp_client_usable(l.t.c));
		large_end(&l);
	}
}

static void a_message_that_cannot_be_read_to_its_end_leaves_none(void **state)
{
	static const char *const scripts[] = { BY_DATA, HELLO("S: 250-CHUNKING\n") MAIL "S: 250 a\n" RCPT(1) "S: 250 b\n" };
	for (size_t i = 0; i < 2; i++) {
		struct talk t;
		struct smtp_client_mail m = { .from = FROM };
		struct smtp_client_rcpt r = to("1");
		greet(&t, scripts[i], NULL);
		talk_message(&t, &m, "half\r\n");
		t.more_rc = RC_IO;
		assert_int_equal(smtp_client_send(t.c, &m, &r, 1, &t.reply, &t.why), RC_IO);
		assert_int_equal(r.rc, RC_AGAIN);
		assert_false(smtp_client_usable(t.c));
		smtp_client_quit(t.c); /* says nothing: it would be part of the message */
		struct str said = buf_str(&t.play.out);
		assert_true(str_find_str(said, STR("\r\n.\r\n")) == said.n && str_find_str(said, STR("LAST")) == said.n && str_find_str(said, STR("QUIT")) == said.n);
		talk_free(&t);
	}
}

/* ---- whole sessions that break ---- */

#define SESSION                                                                                                                                          \
	HELLO("S: 250-STARTTLS\n") "C: STARTTLS\nS: 220 go\nC: EHLO me.example\nS: 250-mx.example\nS: 250-AUTH PLAIN\nS: 250-SIZE 1000\nS: 250 PIPELINING\n"    \
	"C: AUTH PLAIN AGpvZQBwZW5jaWw=\nS: 235 2.7.0 welcome\n"                                                                                         \
	MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 a\nS: 250 b\nS: 550 5.1.1 nobody\nS: 354 go\nC: one\nC: ..\nC: .\nS: 250 2.0.0 first\n"                      \
	MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 a\nS: 451 c\nS: 452 d\nS: 554 none\n"                                                                       \
	"C: RSET\n" MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 r\nS: 250 a\nS: 250 b\nS: 250 c\nS: 354 go\nC: one\nC: ..\nC: .\nS: 250-2.0.0\nS: 250 2.0.0 third\nC: QUIT\nS: 221 bye\n"
#define IN_CHUNKS                                                                                                                                        \
	HELLO("S: 250-PIPELINING\nS: 250-CHUNKING\n") MAIL RCPT(1) RCPT(2) "S: 250 a\nS: 250 b\nS: 550 c\nC: BDAT 8 LAST\nC: one\nC: .\nS: 250 first\n"       \
	MAIL RCPT(1) RCPT(2) "S: 250 a\nS: 450 b\nS: 550 c\nC: RSET\n" MAIL RCPT(1) RCPT(2) "S: 250 r\nS: 250 a\nS: 250 b\nS: 250 c\nC: BDAT 8 LAST\nC: one\nC: .\nS: 250 third\nC: QUIT\nS: 221 bye\n"
#define OVER_LMTP                                                                                                                                        \
	"S: 220 x\nC: LHLO me.example\nS: 250-x\nS: 250 PIPELINING\n" MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 a\nS: 250 b\nS: 250 c\nS: 354 go\nC: one\nC: ..\nC: .\nS: 250 first\nS: 550 not for two\n" \
	MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 a\nS: 450 b\nS: 550 c\nS: 503 none\nC: RSET\n" MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 r\nS: 250 a\nS: 250 b\nS: 250 c\nS: 354 go\nC: one\nC: ..\nC: .\n"     \
	"S: 250 third\nS: 250 third\nC: QUIT\nS: 221 bye\n"

struct session { const char *script; bool tls, lmtp; };
static const struct session sessions[] = { { SESSION, true, false }, { IN_CHUNKS, false, false }, { OVER_LMTP, false, true } };

struct result { struct smtp_client_rcpt r[3][2]; unsigned sent; };

/* Goes as far as it goes. */
static void run_session(struct talk *t, const struct session *s, struct result *out)
{
	struct smtp_client_mail m = { .from = FROM };
	talk_message(t, &m, "one\r\n.\r\n");
	t->run = 3;
	*out = (struct result){ .r = { { to("1"), to("2") }, { to("1"), to("2") }, { to("1"), to("2") } } };
	for (int i = 0; i < 3; i++)
		out->r[i][0].rc = out->r[i][1].rc = RC_AGAIN;
	if (smtp_client_hello(t->c, &t->reply, &t->why) != RC_OK)
		return;
	if (s->tls && (smtp_client_starttls(t->c, &t->reply, &t->why) != RC_OK || smtp_client_auth(t->c, STR("joe"), STR("pencil"), &t->reply, &t->why) != RC_OK))
		return;
	for (int i = 0; i < 3 && smtp_client_usable(t->c); i++) {
		if (smtp_client_send(t->c, &m, out->r[i], 2, &t->reply, &t->why) != RC_OK)
			return;
		out->sent++;
	}
	smtp_client_quit(t->c);
}

/* Whoever is said to have the message: the server said so, behind all of it. */
static void nothing_false_is_claimed(const struct talk *t, const struct result *r)
{
	static const char *const words[] = { "first", NULL, "third" };
	size_t whole = 0, claimed = 0;
	struct str rest = buf_str(&t->play.out), end = STR("one\r\n.");
	for (size_t at; (at = str_find_str(rest, end)) < rest.n; rest = str_skip(rest, at + 1))
		whole++;
	for (int i = 0; i < 3; i++) {
		bool any = false;
		for (int k = 0; k < 2; k++) {
			const struct smtp_client_rcpt *o = &r->r[i][k];
			assert_true(o->rc == RC_OK || o->rc == RC_AGAIN || o->rc == RC_BUSY || o->rc == RC_DENIED);
			if (o->rc == RC_OK)
				assert_true(words[i] && o->asked && o->reply.code == 250 && strstr(o->reply.text, words[i]));
			if (o->rc == RC_BUSY || o->rc == RC_DENIED)
				assert_true(o->reply.code / 100 == (o->rc == RC_BUSY ? 4 : 5) && o->asked);
			any = any || o->rc == RC_OK;
		}
		claimed += any;
	}
	assert_true(claimed <= whole);
}

static void a_connection_that_breaks_at_any_octet_makes_no_false_outcome(void **state)
{
	size_t points = 0;
	for (size_t i = 0; i < sizeof sessions / sizeof *sessions; i++)
		for (size_t chunk = 0; chunk < 6; chunk += 5) {
			unsigned sent = 0;
			for (long at = 1; sent < 3; at++, points++) {
				struct talk t;
				struct result r;
				assert_true(talk_open(&t, sessions[i].script, &(struct talk_options){ .fail_at = at, .chunk = chunk, .can_tls = sessions[i].tls, .config.lmtp = sessions[i].lmtp }));
				run_session(&t, &sessions[i], &r);
				nothing_false_is_claimed(&t, &r);
				assert_true(r.sent >= sent);
				sent = r.sent;
				if (sent == 3)
					assert_int_equal(r.r[2][1].rc, RC_OK);
				talk_free(&t);
				assert_true(at < 100000);
			}
		}
	assert_true(points > 3000);
	print_message("%zu points\n", points);
}

static void a_failed_allocation_makes_no_false_outcome(void **state)
{
	size_t points = 0;
	for (size_t i = 0; i < sizeof sessions / sizeof *sessions; i++)
		for (long k = 0, more = 1; more; k++, points++) {
			struct talk t;
			struct result r = { 0 };
			mem_count = 0;
			mem_fail_at = k;
			bool open = talk_open(&t, sessions[i].script, &(struct talk_options){ .chunk = 3, .fail_at = 1 << 20, .can_tls = sessions[i].tls, .config.lmtp = sessions[i].lmtp });
			if (open)
				run_session(&t, &sessions[i], &r);
			more = mem_count > k;
			mem_fail_at = -1;
			if (open) {
				nothing_false_is_claimed(&t, &r);
				if (!more)
					assert_int_equal(r.sent, 3);
			}
			talk_free(&t);
		}
	assert_true(points > 20);
	print_message("%zu allocations failed in turn\n", points);
}

int run_client_faults_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_stuffed_and_ended_whatever_runs_they_come_in),
		cmocka_unit_test(a_bare_cr_or_lf_is_never_sent),
		cmocka_unit_test(stuffed_text_read_back_is_the_text),
		cmocka_unit_test(chunks_go_out_one_ahead_of_their_answers),
		cmocka_unit_test(without_pipelining_each_chunk_waits_for_its_answer_and_a_refused_one_is_the_last),
		cmocka_unit_test(a_chunk_refused_with_another_on_its_way_takes_that_ones_answer_too),
		cmocka_unit_test(octets_of_any_kind_pass_in_binary_chunks),
		cmocka_unit_test(a_server_that_has_had_enough_is_heard_in_the_middle),
		cmocka_unit_test(a_message_that_cannot_be_read_to_its_end_leaves_none),
		cmocka_unit_test(a_connection_that_breaks_at_any_octet_makes_no_false_outcome),
		cmocka_unit_test(a_failed_allocation_makes_no_false_outcome),
	};
	return _cmocka_run_group_tests("client_faults", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
