#include "client_play.h"

#include <stdio.h>

/* The client side of SMTP, played against scripted servers. */

#define HELLO(lines) "S: 220 mx.example ESMTP\nC: EHLO me.example\nS: 250-mx.example at your service\n" lines "S: 250 HELP\n"
#define PIPE HELLO("S: 250-PIPELINING\n")
enum { MANY = 250 };

static void greet(struct talk *t, const char *script, const struct talk_options *o)
{
	assert_true(talk_open(t, script, o));
	assert_int_equal(smtp_client_hello(t->c, &t->reply, &t->why), RC_OK);
}

/* ---- greeting and hello ---- */

static void what_a_server_can_is_read_from_its_hello(void **state)
{
	struct talk t;
	greet(&t, "S: 220 x\nC: EHLO me.example\nS: 250-MX.Example hello\nS: 250-pipelining\nS: 250-SIZE 1000\nS: 250-8BITMIME\nS: 250-STARTTLS\nS: 250-AUTH PLAIN cram-md5 login\n"
	          "S: 250-AUTH=SCRAM-SHA-256\nS: 250-CHUNKING\nS: 250-BINARYMIME\nS: 250-SMTPUTF8\nS: 250-DSN\nS: 250-REQUIRETLS\nS: 250-DELIVERBY 240\nS: 250-MT-PRIORITY MIXER\n"
	          "S: 250-LIMITS MAILMAX=5 FOO RCPTMAX=100 RCPTDOMAINMAX=1\nS: 250-XSIZE 5\nS: 250-\nS: 250 ENHANCEDSTATUSCODES\n", NULL);
	assert_int_equal(smtp_client_extensions(t.c), (1 << 15) - 1);
	assert_true(smtp_client_size(t.c) == 1000);
	assert_int_equal(smtp_client_rcpt_max(t.c), 100);
	assert_int_equal(smtp_client_mail_max(t.c), 5);
	assert_true(str_eq(smtp_client_name(t.c), STR("MX.Example")));
	assert_true(smtp_client_usable(t.c));
	talk_close(&t);
}

static void helo_is_said_where_ehlo_is_not_known_and_lhlo_has_no_second_form(void **state)
{
	struct talk t;
	greet(&t, "S: 220 x\nC: EHLO me.example\nS: 502 what?\nC: HELO me.example\nS: 250-mx.example\nS: 250 PIPELINING\n", NULL);
	assert_int_equal(smtp_client_extensions(t.c), 0);
	assert_true(str_eq(smtp_client_name(t.c), STR("mx.example")));
	talk_close(&t);
	struct talk_options lmtp = { .config.lmtp = true };
	assert_true(talk_open(&t, "S: 220 x\nC: LHLO me.example\nS: 502 what?\n", &lmtp));
	assert_int_equal(smtp_client_hello(t.c, &t.reply, &t.why), RC_DENIED);
	assert_false(smtp_client_usable(t.c));
	talk_close(&t);
}

int run_client_tests(void);

struct ending { const char *script; enum rc rc; int code; const char *words; };

static void a_session_that_does_not_begin_says_why(void **state)
{
	static const struct ending cases[] = {
		{ "S: 554 5.7.1 go away", RC_DENIED, 554, "Our connection was answered: 554 5.7.1 go away" },
		{ "S: 421 4.3.2 later", RC_BUSY, 421, "421 4.3.2 later" },
		{ "S: 450 later", RC_BUSY, 450, "450 later" },
		{ "S: 354 go on", RC_SYNTAX, 354, "354 is no answer to our connection" },
		{ "CLOSE", RC_CLOSED, 0, "closed the connection before it answered our connection" },
		{ "SILENT", RC_LATE, 0, "no answer to our connection within 300 seconds" },
		{ "R: 220 bare\\n", RC_SYNTAX, 0, "is not SMTP" },
		{ "R: HTTP/1.1 400 Bad Request\\r\\n", RC_SYNTAX, 0, "is not SMTP" },
		{ "R: \\x16\\x03\\x01\\x02\\0\\x01\\xff\\xfe\\r\\n", RC_SYNTAX, 0, "is not SMTP" },
		{ "R: 220-one\\r\\n221 two\\r\\n", RC_SYNTAX, 0, "is not SMTP" },
		{ "R: 220 a\\rb\\r\\n", RC_SYNTAX, 0, "is not SMTP" },
		{ "R: 220-half", RC_CLOSED, 0, "closed" },
		{ "S: 220 x\nC: EHLO me.example\nS: 421 bye", RC_BUSY, 421, "EHLO was answered: 421 bye" },
		{ "S: 220 x\nC: EHLO me.example\nS: 500 no\nC: HELO me.example\nS: 550 5.0.0 no again", RC_DENIED, 550, "HELO was answered: 550" },
		{ "S: 220 x\nC: EHLO me.example\nS: 354 hm", RC_SYNTAX, 354, "out of step" },
		{ "S: 220 x\nS: 250 and more", RC_SYNTAX, 250, "said 250 without being asked" },
		{ "S: 220 x\nS: 421 4.4.2 idle", RC_BUSY, 421, "421" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct talk t;
		assert_true(talk_open(&t, cases[i].script, NULL));
		enum rc rc = smtp_client_hello(t.c, &t.reply, &t.why);
		if (rc != cases[i].rc || !strstr(t.why.text, cases[i].words))
			print_error("case %zu: %s, %s\n", i, rc_name(rc), t.why.text);
		assert_int_equal(rc, cases[i].rc);
		assert_int_equal(t.reply.code, cases[i].code);
		assert_non_null(strstr(t.why.text, cases[i].words));
		assert_false(smtp_client_usable(t.c));
		talk_close(&t);
	}
}

static void the_name_that_we_give_is_one_word(void **state)
{
	static const char *const bad[] = { "", "two words", "new\r\nline", "tab\t", "\xc3\xbc.example" };
	struct smtp_client *c = NULL;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(smtp_client_new(NULL, &(struct smtp_client_config){ .helo = str_z(bad[i]) }, &c), RC_SYNTAX);
	static char longest[256];
	memset(longest, 'a', 256);
	assert_int_equal(smtp_client_new(NULL, &(struct smtp_client_config){ .helo = str_of(longest, 256) }, &c), RC_SYNTAX);
	assert_int_equal(smtp_client_new(NULL, &(struct smtp_client_config){ .helo = str_of(longest, 255) }, &c), RC_OK);
	smtp_client_free(&c);
}

/* ---- STARTTLS ---- */

static void starttls_forgets_what_was_said_in_the_clear(void **state)
{
	struct talk t;
	greet(&t, HELLO("S: 250-STARTTLS\nS: 250-SIZE 5\nS: 250-AUTH PLAIN\n") "C: STARTTLS\nS: 220 go\nC: EHLO me.example\nS: 250-mx.example\nS: 250 STARTTLS\n",
	      &(struct talk_options){ .can_tls = true });
	assert_int_equal(smtp_client_starttls(t.c, &t.reply, &t.why), RC_OK);
	assert_true(stream_is_tls(t.io));
	assert_int_equal(smtp_client_extensions(t.c), 0); /* STARTTLS under TLS counts for nothing */
	assert_true(smtp_client_size(t.c) == 0);
	assert_int_equal(smtp_client_starttls(t.c, &t.reply, &t.why), RC_NOTFOUND);
	talk_close(&t);
}

static void a_starttls_that_goes_wrong_says_how(void **state)
{
	static const struct { const char *script; bool can; enum rc rc; bool usable; const char *words; } cases[] = {
		{ "C: STARTTLS\nS: 220 go\nS: 250 injected", true, RC_SYNTAX, false, "in the clear behind the answer to STARTTLS" },
		{ "C: STARTTLS\nS: 454 4.7.0 not now", true, RC_BUSY, true, "STARTTLS was answered: 454" },
		{ "C: STARTTLS\nS: 502 no", true, RC_DENIED, true, "502" },
		{ "C: STARTTLS\nS: 334 hm", true, RC_SYNTAX, false, "out of step" },
		{ "C: STARTTLS\nS: 220 go", false, RC_CLOSED, false, "the TLS handshake failed" },
		{ "C: STARTTLS\nS: 220 go\nC: EHLO me.example", true, RC_CLOSED, false, "before it answered EHLO" },
		{ "C: STARTTLS\nCLOSE", true, RC_CLOSED, false, "before it answered STARTTLS" },
		{ "C: STARTTLS\nS: 421 bye", true, RC_BUSY, false, "421" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct talk t;
		char script[512];
		(void)snprintf(script, sizeof script, "%s%s", HELLO("S: 250-STARTTLS\n"), cases[i].script);
		greet(&t, script, &(struct talk_options){ .can_tls = cases[i].can });
		enum rc rc = smtp_client_starttls(t.c, &t.reply, &t.why);
		if (rc != cases[i].rc || !strstr(t.why.text, cases[i].words))
			print_error("case %zu: %s, %s\n", i, rc_name(rc), t.why.text);
		assert_int_equal(rc, cases[i].rc);
		assert_int_equal(smtp_client_usable(t.c), cases[i].usable);
		assert_non_null(strstr(t.why.text, cases[i].words));
		talk_close(&t);
	}
}

/* ---- one transaction ---- */

struct outcome { enum rc rc; bool asked; int code; };
struct sent {
	const char *name, *script;
	struct talk_options options;
	enum rc rc;
	struct outcome out[3];
	size_t n;
	bool usable;
	const char *words;             /* of `why`, where rc is not RC_OK */
	bool whole;                    /* is seen only where it lies here before the next step */
};
#define OK { RC_OK, true, 250 }
#define MAIL "C: MAIL FROM:<a@b.example>\n"
#define RCPT(n) "C: RCPT TO:<" #n "@r.example>\n"
#define TEXT "C: x\nC: ..dot\nC: .\n"
#define CHUNKS HELLO("S: 250-PIPELINING\nS: 250-CHUNKING\n")

static const struct sent sents[] = {
	{ "one by one", HELLO("") MAIL "S: 250 ok\n" RCPT(1) "S: 250 ok\n" RCPT(2) "S: 251 will forward\nC: DATA\nS: 354 go\n" TEXT "S: 250 2.0.0 queued\n", { .chunk = 0 }, RC_OK, { OK, OK }, 2, true, "" },
	{ "pipelined", PIPE MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 a\nS: 250 b\nS: 250 c\nS: 354 go\n" TEXT "S: 250 2.0.0 queued\n", { .chunk = 0 }, RC_OK, { OK, OK }, 2, true, "" },
	{ "pipelining forbidden", PIPE MAIL "S: 250 ok\n" RCPT(1) "S: 250 ok\nC: DATA\nS: 354 go\n" TEXT "S: 250 queued\n", { .config.no_pipelining = true }, RC_OK, { OK }, 1, true, "" },
	{ "in a chunk", CHUNKS MAIL RCPT(1) "S: 250 a\nS: 250 b\nC: BDAT 9 LAST\nC: x\nC: .dot\nS: 250 queued\n", { .chunk = 0 }, RC_OK, { OK }, 1, true, "" },
	{ "chunking forbidden", CHUNKS MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 354 go\n" TEXT "S: 250 queued\n", { .config.no_chunking = true }, RC_OK, { OK }, 1, true, "" },
	{ "some refused", PIPE MAIL RCPT(1) RCPT(2) RCPT(3) "C: DATA\nS: 250 a\nS: 550 5.1.1 who?\nS: 250 b\nS: 452 4.2.2 full\nS: 354 go\n" TEXT "S: 250 queued\n",
	  { .chunk = 0 }, RC_OK, { { RC_DENIED, true, 550 }, OK, { RC_BUSY, true, 452 } }, 3, true, "" },
	{ "552 for a recipient is temporary", PIPE MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 a\nS: 250 b\nS: 552 too many\nS: 354 go\n" TEXT "S: 250 queued\n", { .chunk = 0 }, RC_OK, { OK, { RC_BUSY, true, 552 } }, 2, true, "" },
	{ "RCPT said 250, the message 550", PIPE MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 354 go\n" TEXT "S: 550 5.7.1 spam\n", { .chunk = 0 }, RC_OK, { { RC_DENIED, true, 550 } }, 1, true, "" },
	{ "RCPT said 250, DATA 451", PIPE MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 451 later\n", { .chunk = 0 }, RC_OK, { { RC_BUSY, true, 451 } }, 1, true, "" },
	{ "nobody accepted, DATA refused", PIPE MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 a\nS: 550 b\nS: 550 c\nS: 554 no valid recipients\n", { .chunk = 0 }, RC_OK, { { RC_DENIED, true, 550 }, { RC_DENIED, true, 550 } }, 2, true, "" },
	{ "nobody accepted, DATA taken: a dot alone", PIPE MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 550 b\nS: 354 go\nC: .\nS: 250 ok\n", { .chunk = 0 }, RC_OK, { { RC_DENIED, true, 550 } }, 1, true, "" },
	{ "nobody accepted, one by one", HELLO("") MAIL "S: 250 a\n" RCPT(1) "S: 550 b\n", { .chunk = 0 }, RC_OK, { { RC_DENIED, true, 550 } }, 1, true, "" },
	{ "MAIL refused", PIPE MAIL RCPT(1) "C: DATA\nS: 550 5.7.1 no\nS: 503 a\nS: 503 b\n", { .chunk = 0 }, RC_DENIED, { { RC_DENIED, false, 550 } }, 1, true, "MAIL was answered: 550" },
	{ "MAIL refused, DATA taken", PIPE MAIL RCPT(1) "C: DATA\nS: 451 4.7.1 later\nS: 503 a\nS: 354 go\nC: .\nS: 503 b\n", { .chunk = 0 }, RC_BUSY, { { RC_BUSY, false, 451 } }, 1, true, "451" },
	{ "MAIL refused, one by one", HELLO("") MAIL "S: 451 later\n", { .chunk = 0 }, RC_BUSY, { { RC_BUSY, false, 451 }, { RC_BUSY, false, 451 } }, 2, true, "451" },
	{ "421 at MAIL", PIPE MAIL RCPT(1) "C: DATA\nS: 421 bye\n", { .chunk = 0 }, RC_BUSY, { { RC_AGAIN, false, 0 } }, 1, false, "MAIL was answered: 421" },
	{ "421 at RCPT", PIPE MAIL RCPT(1) RCPT(2) RCPT(3) "C: DATA\nS: 250 a\nS: 250 b\nS: 421 bye\n", { .chunk = 0 }, RC_BUSY, { { RC_AGAIN, true, 250 }, { RC_BUSY, true, 421 }, { RC_AGAIN, false, 0 } }, 3, false, "421" },
	{ "421 at DATA", PIPE MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 421 bye\n", { .chunk = 0 }, RC_OK, { { RC_BUSY, true, 421 } }, 1, false, "" },
	{ "421 at the end", PIPE MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 354 go\n" TEXT "S: 421 bye\n", { .chunk = 0 }, RC_OK, { { RC_BUSY, true, 421 } }, 1, false, "" },
	{ "gone after the dot", PIPE MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 a\nS: 250 b\nS: 550 c\nS: 354 go\n" TEXT "CLOSE\n", { .chunk = 0 }, RC_CLOSED, { { RC_AGAIN, true, 250 }, { RC_DENIED, true, 550 } }, 2, false, "before it answered the message" },
	{ "silent after the dot", PIPE MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 354 go\n" TEXT "SILENT\n", { .chunk = 0 }, RC_LATE, { { RC_AGAIN, true, 250 } }, 1, false, "no answer to the message within 600 seconds" },
	{ "half an answer after the dot", PIPE MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 354 go\n" TEXT "R: 250-ok\\r\\n250 o\n", { .chunk = 0 }, RC_CLOSED, { { RC_AGAIN, true, 250 } }, 1, false, "closed" },
	{ "354 after the dot", PIPE MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 354 go\n" TEXT "S: 354 more\n", { .chunk = 0 }, RC_SYNTAX, { { RC_AGAIN, true, 250 } }, 1, false, "354 is no answer to the message" },
	{ "an answer too few", PIPE MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 a\nS: 250 b\nS: 354 go\n", { .chunk = 0 }, RC_SYNTAX, { { RC_AGAIN, true, 250 }, { RC_AGAIN, false, 0 } }, 2, false, "354 is no answer to RCPT" },
	{ "an answer too many", PIPE MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 250 surplus\nS: 354 go\n", { .chunk = 0 }, RC_SYNTAX, { { RC_AGAIN, true, 250 } }, 1, false, "250 is no answer to DATA" },
	{ "a final answer before the message", PIPE MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 354 go\nS: 250 queued\n", { .chunk = 0 }, RC_SYNTAX, { { RC_AGAIN, true, 250 } }, 1, false, "250 without being asked", true },
	{ "a refusal before the message", PIPE MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 354 go\nS: 421 bye\n", { .chunk = 0 }, RC_BUSY, { { RC_AGAIN, true, 250 } }, 1, false, "421", true },
	{ "251 to EHLO's command set in LMTP: one answer each", "S: 220 x\nC: LHLO me.example\nS: 250-x\nS: 250 PIPELINING\n" MAIL RCPT(1) RCPT(2) RCPT(3) "C: DATA\nS: 250 a\nS: 250 b\nS: 550 c\nS: 250 d\nS: 354 go\n" TEXT
	  "S: 250 one\nS: 452 4.2.2 three is full\n", { .config.lmtp = true }, RC_OK, { OK, { RC_DENIED, true, 550 }, { RC_BUSY, true, 452 } }, 3, true, "" },
	{ "LMTP in a chunk", "S: 220 x\nC: LHLO me.example\nS: 250-x\nS: 250 CHUNKING\n" MAIL "S: 250 a\n" RCPT(1) "S: 250 b\n" RCPT(2) "S: 250 c\nC: BDAT 9 LAST\nC: x\nC: .dot\nS: 550 one\nS: 250 two\n",
	  { .config.lmtp = true }, RC_OK, { { RC_DENIED, true, 550 }, OK }, 2, true, "" },
	{ "LMTP, gone between two answers", "S: 220 x\nC: LHLO me.example\nS: 250-x\nS: 250 PIPELINING\n" MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 a\nS: 250 b\nS: 250 c\nS: 354 go\n" TEXT "S: 250 one\nCLOSE\n",
	  { .config.lmtp = true }, RC_CLOSED, { OK, { RC_AGAIN, true, 250 } }, 2, false, "closed" },
	{ "LMTP, 421 between two answers", "S: 220 x\nC: LHLO me.example\nS: 250-x\nS: 250 PIPELINING\n" MAIL RCPT(1) RCPT(2) RCPT(3) "C: DATA\nS: 250 a\nS: 250 b\nS: 250 c\nS: 250 d\nS: 354 go\n" TEXT "S: 250 one\nS: 421 bye\n",
	  { .config.lmtp = true }, RC_BUSY, { OK, { RC_BUSY, true, 421 }, { RC_AGAIN, true, 250 } }, 3, false, "421" },
	{ "LMTP, nobody accepted, DATA taken", "S: 220 x\nC: LHLO me.example\nS: 250-x\nS: 250 PIPELINING\n" MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 550 b\nS: 354 go\n", { .config.lmtp = true }, RC_SYNTAX, { { RC_DENIED, true, 550 } }, 1, false, "out of step" },
	{ "a chunk refused", CHUNKS MAIL RCPT(1) "S: 250 a\nS: 250 b\nC: BDAT 9 LAST\nC: x\nC: .dot\nS: 554 5.6.0 no\n", { .chunk = 0 }, RC_OK, { { RC_DENIED, true, 554 } }, 1, true, "" },
	{ "nobody accepted, chunks offered", CHUNKS MAIL RCPT(1) "S: 250 a\nS: 550 b\n", { .chunk = 0 }, RC_OK, { { RC_DENIED, true, 550 } }, 1, true, "" },
	{ "gone in the envelope", PIPE MAIL RCPT(1) RCPT(2) "C: DATA\nS: 250 a\nS: 550 b\nCLOSE\n", { .chunk = 0 }, RC_CLOSED, { { RC_DENIED, true, 550 }, { RC_AGAIN, false, 0 } }, 2, false, "before it answered RCPT" },
};

static const char text[] = "x\r\n.dot\r\n";

static void send_one(struct talk *t, const struct sent *s, size_t chunk, size_t run)
{
	struct talk_options o = s->options;
	struct smtp_client_mail m = { .from = FROM };
	struct smtp_client_rcpt r[] = { to("1"), to("2"), to("3") };
	o.chunk = chunk;
	greet(t, s->script, &o);
	talk_message(t, &m, text);
	t->run = run;
	enum rc rc = smtp_client_send(t->c, &m, r, s->n, &t->reply, &t->why);
	bool right = rc == s->rc && smtp_client_usable(t->c) == s->usable && strstr(t->why.text, s->words);
	for (size_t i = 0; i < s->n; i++)
		right = right && r[i].rc == s->out[i].rc && r[i].asked == s->out[i].asked && r[i].reply.code == (s->out[i].rc == RC_OK && r[i].reply.code == 250 ? 250 : s->out[i].code);
	if (!right) {
		print_error("%s (packets of %zu, runs of %zu): %s, \"%s\", usable %d\n", s->name, chunk, run, rc_name(rc), t->why.text, smtp_client_usable(t->c));
		for (size_t i = 0; i < s->n; i++)
			print_error("  %zu: %s asked %d %d\n", i, rc_name(r[i].rc), r[i].asked, r[i].reply.code);
	}
	assert_true(right);
	talk_close(t);
}

static void each_recipients_outcome_is_true_whatever_the_server_does(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 7 };
	struct talk t;
	for (size_t i = 0; i < sizeof sents / sizeof *sents; i++)
		for (size_t c = 0; c < (sents[i].whole ? 1 : 4); c++)
			for (size_t r = 0; r < 4; r++)
				send_one(&t, &sents[i], sizes[c], sizes[r]);
}

static void a_second_message_comes_after_the_first_and_rset_where_it_is_due(void **state)
{
	struct talk t;
	struct smtp_client_mail m = { .from = FROM };
	struct smtp_client_rcpt r = to("1");
	greet(&t, PIPE MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 354 go\nC: x\nC: .\nS: 250 queued\n"
	               MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 550 b\nS: 554 none\n"
	               "C: RSET\n" MAIL RCPT(1) "C: DATA\nS: 250 reset\nS: 250 a\nS: 250 b\nS: 354 go\nC: x\nC: .\nS: 250 queued\nC: QUIT\nS: 221 bye\n", NULL);
	talk_message(&t, &m, "x\r\n");
	static const enum rc want[] = { RC_OK, RC_DENIED, RC_OK };
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(smtp_client_send(t.c, &m, &r, 1, &t.reply, &t.why), RC_OK);
		assert_int_equal(r.rc, want[i]);
		assert_true(smtp_client_usable(t.c));
	}
	assert_int_equal(t.rewinds, 2); /* the second was never wanted */
	smtp_client_quit(t.c);
	assert_false(smtp_client_usable(t.c));
	assert_int_equal(smtp_client_send(t.c, &m, &r, 1, &t.reply, &t.why), RC_CLOSED);
	talk_close(&t);
}

/* What a server does with a connection that waits says nothing of the message. */
static void a_connection_that_ended_while_it_waited_is_no_refusal(void **state)
{
	static const struct { const char *then; int code; } cases[] = {
		{ "CLOSE\n", 0 }, { "S: 421 4.4.2 idle\n", 421 }, { MAIL RCPT(1) "C: DATA\nS: 421 4.4.2 idle\n", 421 }, { MAIL RCPT(1) "C: DATA\nCLOSE\n", 0 },
	};
	for (size_t i = 0; i < 4; i++) {
		char script[1024];
		struct talk t;
		struct smtp_client_mail m = { .from = FROM };
		struct smtp_client_rcpt r = to("1");
		(void)snprintf(script, sizeof script, "%s%s", PIPE MAIL RCPT(1) "C: DATA\nS: 250 a\nS: 250 b\nS: 354 go\nC: x\nC: .\nS: 250 queued\n", cases[i].then);
		greet(&t, script, NULL);
		talk_message(&t, &m, "x\r\n");
		assert_int_equal(smtp_client_send(t.c, &m, &r, 1, &t.reply, &t.why), RC_OK);
		assert_int_equal(r.rc, RC_OK);
		assert_int_equal(smtp_client_send(t.c, &m, &r, 1, &t.reply, &t.why), RC_CLOSED);
		assert_int_equal(r.rc, RC_AGAIN);
		assert_false(r.asked);
		assert_int_equal(t.reply.code, cases[i].code);
		assert_false(smtp_client_usable(t.c));
		talk_close(&t);
	}
}

static void without_a_message_it_ends_when_the_recipients_are_answered(void **state)
{
	static const char *const scripts[] = { PIPE MAIL RCPT(1) RCPT(2) "S: 250 a\nS: 250 b\nS: 550 c\nC: RSET\n" MAIL RCPT(1) RCPT(2) "S: 250 r\nS: 451 a\nS: 503 b\nS: 503 c\n",
		                               CHUNKS MAIL RCPT(1) RCPT(2) "S: 250 a\nS: 250 b\nS: 550 c\nC: RSET\n" MAIL RCPT(1) RCPT(2) "S: 250 r\nS: 451 a\nS: 503 b\nS: 503 c\n",
		                               HELLO("") MAIL "S: 250 a\n" RCPT(1) "S: 250 b\n" RCPT(2) "S: 550 c\nC: RSET\nS: 250 r\n" MAIL "S: 451 a\n" };
	for (size_t i = 0; i < 3; i++) {
		struct talk t;
		struct smtp_client_mail m = { .from = FROM };
		struct smtp_client_rcpt r[] = { to("1"), to("2") };
		greet(&t, scripts[i], NULL);
		talk_message(&t, &m, "never wanted");
		m.more = NULL;
		assert_int_equal(smtp_client_send(t.c, &m, r, 2, &t.reply, &t.why), RC_OK);
		assert_true(r[0].rc == RC_AGAIN && r[0].asked && r[0].reply.code == 250);
		assert_true(r[1].rc == RC_DENIED && r[1].asked && r[1].reply.code == 550);
		assert_true(smtp_client_usable(t.c));
		assert_int_equal(smtp_client_send(t.c, &m, r, 2, &t.reply, &t.why), RC_BUSY); /* the first transaction was ended */
		assert_int_equal(r[0].rc, RC_BUSY);
		assert_false(r[0].asked);
		talk_close(&t);
	}
}

static void mailmax_ends_the_use_of_a_connection(void **state)
{
	struct talk t;
	struct smtp_client_mail m = { .from = FROM };
	struct smtp_client_rcpt r = to("1");
	greet(&t, HELLO("S: 250-LIMITS MAILMAX=1\n") MAIL "S: 250 a\n" RCPT(1) "S: 550 b\n", NULL);
	talk_message(&t, &m, "x\r\n");
	assert_int_equal(smtp_client_send(t.c, &m, &r, 1, &t.reply, &t.why), RC_OK);
	assert_false(smtp_client_usable(t.c));
	talk_close(&t);
}

static void many_recipients_go_in_groups_that_no_window_chokes_on(void **state)
{
	struct talk t;
	struct buf script;
	struct smtp_client_mail m = { .from = FROM };
	static struct smtp_client_rcpt r[MANY];
	static char names[MANY][8];
	buf_init(&script, 1 << 20);
	buf_add(&script, STR(PIPE MAIL));
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(names[i], sizeof names[i], "u%d", i);
		r[i] = to(names[i]);
	}
	for (int first = 0; first < MANY; first += 100) {
		for (int i = first; i < MANY && i < first + 100; i++)
			buf_addf(&script, "C: RCPT TO:<u%d@r.example>\n", i);
		buf_add(&script, first + 100 >= MANY ? STR("C: DATA\n") : STR(""));
		buf_add(&script, first == 0 ? STR("S: 250 mail\n") : STR(""));
		for (int i = first; i < MANY && i < first + 100; i++)
			buf_addf(&script, i % 3 ? "S: 250 %d\n" : "S: 550 %d\n", i);
	}
	buf_add(&script, STR("S: 354 go\nC: x\nC: .\nS: 250 queued\n"));
	buf_byte(&script, 0);
	greet(&t, script.p, NULL);
	talk_message(&t, &m, "x\r\n");
	assert_int_equal(smtp_client_send(t.c, &m, r, MANY, &t.reply, &t.why), RC_OK);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(r[i].rc, i % 3 ? RC_OK : RC_DENIED);
	talk_close(&t);
	buf_done(&script);
}

int run_client_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_server_can_is_read_from_its_hello),
		cmocka_unit_test(helo_is_said_where_ehlo_is_not_known_and_lhlo_has_no_second_form),
		cmocka_unit_test(a_session_that_does_not_begin_says_why),
		cmocka_unit_test(the_name_that_we_give_is_one_word),
		cmocka_unit_test(starttls_forgets_what_was_said_in_the_clear),
		cmocka_unit_test(a_starttls_that_goes_wrong_says_how),
		cmocka_unit_test(each_recipients_outcome_is_true_whatever_the_server_does),
		cmocka_unit_test(a_second_message_comes_after_the_first_and_rset_where_it_is_due),
		cmocka_unit_test(a_connection_that_ended_while_it_waited_is_no_refusal),
		cmocka_unit_test(without_a_message_it_ends_when_the_recipients_are_answered),
		cmocka_unit_test(mailmax_ends_the_use_of_a_connection),
		cmocka_unit_test(many_recipients_go_in_groups_that_no_window_chokes_on),
	};
	return _cmocka_run_group_tests("client", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
