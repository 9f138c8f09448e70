#include "client_play.h"

#include "base/codec.h"
#include "smtp/scram.h"
#include <stdio.h>

/* What is said and read line by line: replies, parameters, logins, the message's own lines. */

int run_client_lines_tests(void);

#define HELLO(lines) "S: 220 mx.example\nC: EHLO me.example\nS: 250-mx.example\n" lines "S: 250 HELP\n"

static void greet(struct talk *t, const char *script, const struct talk_options *o)
{
	assert_true(talk_open(t, script, o));
	assert_int_equal(smtp_client_hello(t->c, &t->reply, &t->why), RC_OK);
}

/* ---- replies ---- */

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A512 A64 A64 A64 A64 A64 A64 A64 A64
#define A2044 A512 A512 A512 A64 A64 A64 A64 A64 A64 A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct { struct str in; long used; int code; const char *enhanced, *text; } replies[] = {
	{ STR_INIT("250 ok\r\n"), 8, 250, "", "ok" },
	{ STR_INIT("250\r\n"), 5, 250, "", "" },
	{ STR_INIT("250 \r\n"), 6, 250, "", "" },
	{ STR_INIT("250 ok\r\n250 more\r\n"), 8, 250, "", "ok" },
	{ STR_INIT("250-one\r\n250-\r\n250 two\r\n"), 24, 250, "", "one two" },
	{ STR_INIT("550-5.1.1 no such\r\n550 5.1.1 user\r\n"), 35, 550, "5.1.1", "no such user" },
	{ STR_INIT("550 5.1.1\r\n"), 11, 550, "5.1.1", "" },
	{ STR_INIT("550 4.1.1 other class\r\n"), 23, 550, "", "4.1.1 other class" },
	{ STR_INIT("450 4.7.100 x\r\n"), 15, 450, "4.7.100", "x" },
	{ STR_INIT("450 4.7.1000 x\r\n"), 16, 450, "", "4.7.1000 x" },
	{ STR_INIT("450 4.07.1 x\r\n"), 14, 450, "", "4.07.1 x" },
	{ STR_INIT("450 4.7.1x\r\n"), 12, 450, "", "4.7.1x" },
	{ STR_INIT("450 4.7.\r\n"), 10, 450, "", "4.7." },
	{ STR_INIT("354 3.0.0 go\r\n"), 14, 354, "", "3.0.0 go" },
	{ STR_INIT("250 a\tb\x1b[31m\x7f\0z\r\n"), 17, 250, "", "a?b?[31m??z" },
	{ STR_INIT("250 gr\xc3\xbc\xc3\x9f \xff\xc3 \xc2\x9b\r\n"), 18, 250, "", "gr\xc3\xbc\xc3\x9f ?? ?" },
	{ STR_INIT("250 " A2044 "\r\n"), 2050, 250, "", NULL },
	{ STR_INIT("250 " A2044 "a\r\n"), -1 },
	{ STR_INIT("250 " A2044 "aa"), -1 },
	{ STR_INIT(""), 0 }, { STR_INIT("2"), 0 }, { STR_INIT("250 ok"), 0 }, { STR_INIT("250 ok\r"), 0 }, { STR_INIT("250-ok\r\n"), 0 }, { STR_INIT("250-ok\r\n25"), 0 },
	{ STR_INIT("250 ok\n"), -1 }, { STR_INIT("250 o\rk\r\n"), -1 }, { STR_INIT("250-ok\r\n250 ok\n"), -1 }, { STR_INIT("\n"), -1 }, { STR_INIT("\r\n"), -1 },
	{ STR_INIT("25 ok\r\n"), -1 }, { STR_INIT("2500 ok\r\n"), -1 }, { STR_INIT("150 ok\r\n"), -1 }, { STR_INIT("600 ok\r\n"), -1 }, { STR_INIT("2x0 ok\r\n"), -1 },
	{ STR_INIT("250\tok\r\n"), -1 }, { STR_INIT(" 250 ok\r\n"), -1 }, { STR_INIT("250-a\r\n251 b\r\n"), -1 }, { STR_INIT("ok\r\n"), -1 },
};

static void replies_are_read_whole_or_refused(void **state)
{
	for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
		struct smtp_reply r;
		long n = smtp_reply_parse(replies[i].in, &r);
		if (n != replies[i].used)
			print_error("case %zu: %ld\n", i, n);
		assert_int_equal(n, replies[i].used);
		if (n <= 0)
			continue;
		assert_int_equal(r.code, replies[i].code);
		assert_string_equal(r.enhanced, replies[i].enhanced);
		if (replies[i].text)
			assert_string_equal(r.text, replies[i].text);
		for (long k = 0; k < n; k++)
			assert_int_equal(smtp_reply_parse(str_head(replies[i].in, (size_t)k), &r), 0);
	}
}

static void a_replys_bounds_are_exact_and_a_long_text_is_cut_visibly(void **state)
{
	struct buf b AUTO(buf_done);
	struct smtp_reply r;
	for (int lines = 100; lines <= 101; lines++) {
		buf_init(&b, 1 << 20);
		for (int i = 1; i < lines; i++)
			buf_add(&b, STR("250-\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\r\n"));
		buf_add(&b, STR("250 end\r\n"));
		assert_int_equal(smtp_reply_parse(buf_str(&b), &r), lines == 100 ? (long)b.len : -1);
		buf_done(&b);
	}
	assert_int_equal(strcmp(r.text + strlen(r.text) - 3, "..."), 0);
	assert_true(strlen(r.text) < sizeof r.text && utf8_ok(str_z(r.text)));
	for (int over = 0; over < 2; over++) { /* 16 KiB, every CRLF counted: seven full lines, one that fills up, an end */
		buf_init(&b, 1 << 20);
		for (int i = 0; i < 7; i++)
			buf_add(&b, STR("250-" A2044 "\r\n"));
		buf_add(&b, STR("250-"));
		while (b.len < 16 * 1024 - 10 + (size_t)over)
			buf_byte(&b, 'a');
		buf_add(&b, STR("\r\n250 ok\r\n"));
		assert_int_equal(smtp_reply_parse(buf_str(&b), &r), over ? -1 : 16 * 1024);
		buf_done(&b);
	}
}

/* A server that never stops talking. */
struct flood { const char *part; uint64_t said; };
static bool flood_more(void *arg, struct str *out)
{
	struct flood *f = arg;
	*out = str_z(f->said ? f->part : "220-x\r\n");
	f->said += out->n;
	assert_true(f->said < 64 * 1024); /* who listens longer than this would listen to a gigabyte */
	return true;
}

static void a_server_that_never_stops_talking_is_left_early(void **state)
{
	static const char *const parts[] = { "220-and more\r\n", "220-" A512 A512 "\r\n", A64, "x", "\r" };
	static const enum rc want[] = { RC_LIMIT, RC_LIMIT, RC_LIMIT, RC_LIMIT, RC_SYNTAX };
	for (size_t i = 0; i < 5; i++) {
		struct flood f = { parts[i], 0 };
		struct smtp_client *c = NULL;
		struct smtp_reply r;
		struct why why = { 0 };
		struct stream *io = stream_of_memory((struct stream_memory){ .fail_at = -1, .more = flood_more, .arg = &f });
		assert_int_equal(smtp_client_new(io, &(struct smtp_client_config){ .helo = STR("me") }, &c), RC_OK);
		assert_int_equal(smtp_client_hello(c, &r, &why), want[i]);
		assert_int_equal(r.code, 0);
		assert_true(f.said < 20000);
		assert_false(smtp_client_usable(c));
		smtp_client_free(&c);
		stream_free(&io);
	}
}

/* ---- parameters ---- */

#define ALL HELLO("S: 250-SIZE 1000\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-DSN\nS: 250-REQUIRETLS\nS: 250-DELIVERBY\nS: 250-MT-PRIORITY\nS: 250-CHUNKING\nS: 250-BINARYMIME\n")
#define BARE HELLO("")
#define S(x) STR_INIT(x)

static const struct {
	const char *hello, *mail_line, *rcpt_line;
	struct smtp_client_mail m;
	struct smtp_client_rcpt r;
} lines[] = {
	{ ALL, "MAIL FROM:<a@b.example> SIZE=999 BODY=8BITMIME RET=FULL ENVID=x+20+2By+3D BY=3600;R MT-PRIORITY=-9", "RCPT TO:<joe@r.example> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;Joe+2BX@r.example",
	  { .from = FROM, .size = 999, .body_8bit = true, .ret = 1, .envid = S("x +y="), .by = true, .by_return = true, .by_s = 3600, .has_priority = true, .mt_priority = -9 },
	  { .to = { S("joe"), S("r.example") }, .notify = NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, .orcpt_type = S("rfc822"), .orcpt = S("Joe+X@r.example") } },
	{ BARE, "MAIL FROM:<a@b.example>", "RCPT TO:<joe@r.example>",
	  { .from = FROM, .size = 999, .ret = 1, .envid = S("x"), .by = true, .by_s = 3600, .has_priority = true },
	  { .to = { S("joe"), S("r.example") }, .notify = NOTIFY_NEVER, .orcpt_type = S("rfc822"), .orcpt = S("x@y") } },
	{ ALL, "MAIL FROM:<> BODY=BINARYMIME RET=HDRS BY=-5;N MT-PRIORITY=9", "RCPT TO:<\"a b\"@r.example> NOTIFY=NEVER",
	  { .from = { S(""), S("") }, .body_binary = true, .body_8bit = true, .ret = 2, .by = true, .by_s = -5, .has_priority = true, .mt_priority = 9 },
	  { .to = { S("a b"), S("r.example") }, .notify = NOTIFY_NEVER | NOTIFY_DELAY, .orcpt_type = S(""), .orcpt = S("") } },
	{ ALL, "MAIL FROM:<a@b.example> SMTPUTF8 BY=999999999;N", "RCPT TO:<j\xc3\xb6@r.example> ORCPT=utf-8;j\xc3\xb6\\x{2B}\\x{5C}@r.example",
	  { .from = FROM, .by = true, .by_s = INT64_MAX }, { .to = { S("j\xc3\xb6"), S("r.example") }, .orcpt_type = S("utf-8"), .orcpt = S("j\xc3\xb6+\\@r.example") } },
	{ ALL, "MAIL FROM:<a@b.example>", "RCPT TO:<joe@r.example> ORCPT=utf-8;j\\x{F6}\\x{1F600}@r.example",
	  { .from = FROM }, { .to = { S("joe"), S("r.example") }, .orcpt_type = S("utf-8"), .orcpt = S("j\xc3\xb6\xf0\x9f\x98\x80@r.example") } },
	{ ALL, "MAIL FROM:<a@b.example> SMTPUTF8", "RCPT TO:<joe@r.example>", { .from = FROM, .utf8_wanted = true }, { .to = { S("joe"), S("r.example") } } },
	{ HELLO("S: 250-8BITMIME\n"), "MAIL FROM:<a@b.example> BODY=8BITMIME", "RCPT TO:<joe@r.example>", { .from = FROM, .utf8_wanted = true }, { .to = { S("joe"), S("r.example") } } },
	{ ALL, "MAIL FROM:<a@b.example>", "RCPT TO:<postmaster>",
	  { .from = FROM, .envid = S(A64 A64) }, { .to = { S("postmaster"), S("") }, .orcpt_type = S("rfc822"), .orcpt = S("\xc3\xb6@x") } },
	{ ALL, "MAIL FROM:<a@b.example>", "RCPT TO:<joe@[192.0.2.1]>",
	  { .from = FROM }, { .to = { S("joe"), S("[192.0.2.1]") }, .orcpt_type = S("rf;c"), .orcpt = S("x@y") } },
};

static void mail_and_rcpt_carry_what_the_server_knows(void **state)
{
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		char script[2048];
		struct talk t;
		struct smtp_client_mail m = lines[i].m;
		struct smtp_client_rcpt r = lines[i].r;
		(void)snprintf(script, sizeof script, "%sC: %s\nS: 250 ok\nC: %s\nS: 550 no\n", lines[i].hello, lines[i].mail_line, lines[i].rcpt_line);
		greet(&t, script, NULL);
		talk_message(&t, &m, "x\r\n");
		assert_int_equal(smtp_client_send(t.c, &m, &r, 1, &t.reply, &t.why), RC_OK);
		assert_int_equal(r.rc, RC_DENIED);
		talk_close(&t);
	}
}

/* ---- what the server lacks, and what cannot be said ---- */

static const struct { const char *hello; struct smtp_client_mail m; int code; const char *enhanced; bool no_chunking; } lacking[] = {
	{ HELLO("S: 250-SIZE 1000\n"), { .from = FROM, .size = 1001 }, 552, "5.3.4" },
	{ BARE, { .from = FROM, .body_8bit = true }, 554, "5.6.3" },
	{ HELLO("S: 250-8BITMIME\nS: 250-CHUNKING\n"), { .from = FROM, .body_binary = true }, 554, "5.6.1" },
	{ HELLO("S: 250-BINARYMIME\n"), { .from = FROM, .body_binary = true }, 554, "5.6.1" },
	{ HELLO("S: 250-BINARYMIME\nS: 250-CHUNKING\n"), { .from = FROM, .body_binary = true }, 554, "5.6.1", true },
	{ BARE, { .from = FROM, .smtputf8 = true }, 553, "5.6.7" },
	{ BARE, { .from = FROM, .utf8_wanted = true }, 554, "5.6.3" },
	{ BARE, { .from = { S("\xc3\xb6"), S("b.example") } }, 553, "5.6.7" },
	{ BARE, { .from = FROM, .require_tls = true }, 550, "5.7.30" },
	{ HELLO("S: 250-REQUIRETLS\n"), { .from = FROM, .require_tls = true }, 550, "5.7.30" }, /* not under TLS */
	{ BARE, { .from = { S("a\r\nRCPT TO:<x@y>"), S("b.example") } }, 553, "5.1.7" },
	{ BARE, { .from = { S("a"), S("b.example> X=y") } }, 553, "5.1.7" },
	{ BARE, { .from = { S("a"), S("") } }, 553, "5.1.7" },
};

static void what_the_server_lacks_is_refused_before_anything_is_sent(void **state)
{
	for (size_t i = 0; i < sizeof lacking / sizeof *lacking; i++) {
		struct talk t;
		struct smtp_client_mail m = lacking[i].m;
		struct smtp_client_rcpt r[] = { { .to = { S("1"), S("r.example") }, .orcpt_type = S(""), .orcpt = S("") }, { .to = { S("2"), S("r.example") }, .orcpt_type = S(""), .orcpt = S("") } };
		greet(&t, lacking[i].hello, &(struct talk_options){ .config.no_chunking = lacking[i].no_chunking });
		talk_message(&t, &m, "x\r\n");
		assert_int_equal(smtp_client_send(t.c, &m, r, 2, &t.reply, &t.why), RC_DENIED);
		for (size_t k = 0; k < 2; k++) {
			assert_int_equal(r[k].rc, RC_DENIED);
			assert_false(r[k].asked);
			assert_int_equal(r[k].reply.code, lacking[i].code);
			assert_string_equal(r[k].reply.enhanced, lacking[i].enhanced);
			assert_true(r[k].reply.ours);
		}
		assert_int_equal(t.reply.code, lacking[i].code);
		assert_true(smtp_client_usable(t.c));
		talk_close(&t); /* nothing more was said */
	}
}

static void a_recipient_that_cannot_be_said_does_not_stop_the_others(void **state)
{
	static const struct { struct mail_address to; const char *enhanced; } bad[] = {
		{ { S("\xc3\xb6"), S("r.example") }, "5.6.7" }, { { S("a\nb"), S("r.example") }, "5.1.3" }, { { S("a"), S("r.example>\r\nDATA") }, "5.1.3" },
		{ { S("a"), S("r example") }, "5.1.3" }, { { S("joe"), S("") }, "5.1.3" }, { { S(""), S("") }, "5.1.3" }, { { S("a\0b"), S("r.example") }, "5.1.3" },
		{ { S(A64 A64 A64 A64), S("r.example") }, "5.1.3" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct talk t;
		struct smtp_client_mail m = { .from = FROM };
		struct smtp_client_rcpt r[] = { to("1"), to("x") };
		r[0].to = bad[i].to;
		greet(&t, BARE "C: MAIL FROM:<a@b.example>\nS: 250 a\nC: RCPT TO:<x@r.example>\nS: 250 b\nC: DATA\nS: 354 go\nC: x\nC: .\nS: 250 ok\n", NULL);
		talk_message(&t, &m, "x\r\n");
		assert_int_equal(smtp_client_send(t.c, &m, r, 2, &t.reply, &t.why), RC_OK);
		assert_int_equal(r[0].rc, RC_DENIED);
		assert_false(r[0].asked);
		assert_string_equal(r[0].reply.enhanced, bad[i].enhanced);
		assert_int_equal(r[1].rc, RC_OK);
		assert_true(r[0].reply.ours && !r[1].reply.ours);
		talk_close(&t);
		greet(&t, BARE, NULL); /* alone, nothing is said at all */
		talk_message(&t, &m, "x\r\n");
		assert_int_equal(smtp_client_send(t.c, &m, r, 1, &t.reply, &t.why), RC_OK);
		assert_int_equal(r[0].rc, RC_DENIED);
		talk_close(&t);
	}
}

static void a_message_that_wants_tls_all_the_way_says_so_under_tls(void **state)
{
	struct talk t;
	struct smtp_client_mail m = { .from = FROM, .require_tls = true };
	struct smtp_client_rcpt r = to("1");
	greet(&t, HELLO("S: 250-REQUIRETLS\n") "C: MAIL FROM:<a@b.example> REQUIRETLS\nS: 550 no\n", &(struct talk_options){ .is_tls = true });
	talk_message(&t, &m, "x\r\n");
	assert_int_equal(smtp_client_send(t.c, &m, &r, 1, &t.reply, &t.why), RC_DENIED);
	talk_close(&t);
}

/* ---- logging in ---- */

static const struct { const char *script; enum rc rc; bool public_path, is_tls; const char *words; } logins[] = {
	{ HELLO("S: 250-AUTH LOGIN PLAIN\n") "C: AUTH PLAIN AGpvZQBwZW5jaWw=\nS: 235 2.7.0 welcome\n", RC_OK, false, false, "" },
	{ HELLO("S: 250-AUTH LOGIN PLAIN\n") "C: AUTH PLAIN AGpvZQBwZW5jaWw=\nS: 235 2.7.0 welcome\n", RC_OK, true, true, "" },
	{ HELLO("S: 250-AUTH LOGIN PLAIN\n"), RC_NOTFOUND, true, false, "not encrypted" },
	{ HELLO("S: 250-AUTH LOGIN\n") "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: am9l\nS: 334 UGFzc3dvcmQ6\nC: cGVuY2ls\nS: 235 ok\n", RC_OK, false, false, "" },
	{ HELLO("S: 250-AUTH LOGIN\n") "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: am9l\nS: 535 5.7.8 no\n", RC_DENIED, false, false, "AUTH was answered: 535 5.7.8 no" },
	{ HELLO("S: 250-AUTH LOGIN\n") "C: AUTH LOGIN\nS: 235 already\n", RC_SYNTAX, false, false, "out of step" },
	{ HELLO("S: 250-AUTH PLAIN\n") "C: AUTH PLAIN AGpvZQBwZW5jaWw=\nS: 535 5.7.8 wrong\n", RC_DENIED, false, false, "535" },
	{ HELLO("S: 250-AUTH PLAIN\n") "C: AUTH PLAIN AGpvZQBwZW5jaWw=\nS: 454 4.7.0 later\n", RC_BUSY, false, false, "454" },
	{ HELLO("S: 250-AUTH PLAIN\n") "C: AUTH PLAIN AGpvZQBwZW5jaWw=\nS: 334 more?\n", RC_SYNTAX, false, false, "out of step" },
	{ HELLO("S: 250-AUTH CRAM-MD5\n"), RC_NOTFOUND, false, false, "no login that we know" },
};

static void a_login_uses_the_best_that_is_offered_and_never_shows_a_password_to_the_network(void **state)
{
	for (size_t i = 0; i < sizeof logins / sizeof *logins; i++) {
		struct talk t;
		greet(&t, logins[i].script, &(struct talk_options){ .public_path = logins[i].public_path, .is_tls = logins[i].is_tls });
		enum rc rc = smtp_client_auth(t.c, STR("joe"), STR("pencil"), &t.reply, &t.why);
		if (rc != logins[i].rc || !strstr(t.why.text, logins[i].words))
			print_error("case %zu: %s, %s\n", i, rc_name(rc), t.why.text);
		assert_int_equal(rc, logins[i].rc);
		assert_non_null(strstr(t.why.text, logins[i].words));
		assert_int_equal(smtp_client_usable(t.c), rc != RC_SYNTAX);
		talk_close(&t);
	}
}

/* The client's side of SCRAM by the example of RFC 7677 3. */
static void scram_says_what_rfc_7677_says(void **state)
{
	static const char server_first[] = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
	struct scram_client s AUTO(scram_client_done);
	struct scram_challenge c;
	struct secret salted;
	struct buf out AUTO(buf_done), salt AUTO(buf_done);
	scram_client_init(&s);
	buf_init(&out, 4096);
	buf_init(&salt, 256);
	assert_int_equal(scram_client_first(&s, STR("user"), "rOprNGfwEbeRWgbNEkqO", &out), RC_OK);
	assert_true(str_eq(buf_str(&out), STR("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")));
	assert_int_equal(scram_client_read(&s, str_z(server_first), &c, &salt), RC_OK);
	assert_int_equal(scram_salted(STR("pencil"), buf_str(&salt), c.iterations, &salted), RC_OK);
	buf_clear(&out);
	assert_int_equal(scram_client_final(&s, str_z(server_first), &c, &salted, &out), RC_OK);
	assert_true(str_eq(buf_str(&out), STR("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")));
	assert_int_equal(scram_client_verify(&s, STR("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")), RC_OK);
	assert_int_equal(scram_client_verify(&s, STR("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")), RC_DENIED);
	assert_int_equal(scram_client_verify(&s, STR("e=invalid-proof")), RC_SYNTAX);
	static const struct { struct str in; enum rc rc; } bad[] = {
		{ S("r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096"), RC_SYNTAX }, { S("r=somethingelse,s=W22Z,i=4096"), RC_SYNTAX }, { S("r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096"), RC_SYNTAX },
		{ S("r=rOprNGfwEbeRWgbNEkqOx,s=!!!!,i=4096"), RC_SYNTAX }, { S("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=x"), RC_SYNTAX }, { S("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4095"), RC_LIMIT },
		{ S("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=1000001"), RC_LIMIT }, { S("m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4096"), RC_SYNTAX }, { S("e=other-error"), RC_SYNTAX }, { S(""), RC_SYNTAX },
		{ S("r=rOprNGfwEbeRWgbNEkqO\x07,s=W22Z,i=4096"), RC_SYNTAX }, { S("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4096,ext=1"), RC_OK },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		buf_clear(&salt);
		assert_int_equal(scram_client_read(&s, bad[i].in, &c, &salt), bad[i].rc);
	}
	struct scram_client named AUTO(scram_client_done);
	scram_client_init(&named);
	buf_clear(&out);
	assert_int_equal(scram_client_first(&named, STR("a,b=c"), "n", &out), RC_OK);
	assert_true(str_eq(buf_str(&out), STR("n,,n=a=2Cb=3Dc,r=n")));
}

/* The examples of RFC 4013 3. */
static void names_and_passwords_are_prepared_as_rfc_4013_says(void **state)
{
	static const struct { struct str in, out; enum rc rc; } cases[] = {
		{ S("I\xc2\xadX"), S("IX"), RC_OK }, { S("user"), S("user"), RC_OK }, { S("USER"), S("USER"), RC_OK }, { S("\xc2\xaa"), S("a"), RC_OK }, { S("\xe2\x85\xa8"), S("IX"), RC_OK },
		{ S("\x07"), S(""), RC_SYNTAX }, { S("\xd8\xa7" "1"), S(""), RC_SYNTAX }, { S("a\xc2\xa0" "b"), S("a b"), RC_OK }, { S("\xc2\xad"), S(""), RC_SYNTAX },
		{ S("\xff"), S(""), RC_SYNTAX }, { S(""), S(""), RC_SYNTAX }, { S("gr\xc3\xbc\xc3\x9f"), S("gr\xc3\xbc\xc3\x9f"), RC_OK }, { S("u\xcc\x88"), S("\xc3\xbc"), RC_OK },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf out AUTO(buf_done);
		buf_init(&out, SCRAM_TEXT_MAX);
		assert_int_equal(scram_prepare(cases[i].in, &out), cases[i].rc);
		if (cases[i].rc == RC_OK)
			assert_true(str_eq(buf_str(&out), cases[i].out));
	}
	static char longest[SCRAM_TEXT_MAX + 1];
	struct buf out AUTO(buf_done);
	buf_init(&out, SCRAM_TEXT_MAX);
	memset(longest, 'a', sizeof longest);
	assert_int_equal(scram_prepare(str_of(longest, sizeof longest), &out), RC_LIMIT);
	assert_int_equal(scram_prepare(str_of(longest, sizeof longest - 1), &out), RC_OK);
}

/* ---- the watcher ---- */

static void note(void *arg, char direction, struct str line)
{
	struct buf *b = arg;
	buf_byte(b, direction);
	buf_add(b, line);
	buf_byte(b, '\n');
}

static void a_trace_shows_every_line_but_no_secret(void **state)
{
	struct talk t;
	struct buf seen AUTO(buf_done);
	struct smtp_client_mail m = { .from = FROM };
	struct smtp_client_rcpt r = to("1");
	buf_init(&seen, 4096);
	greet(&t, HELLO("S: 250-AUTH PLAIN\n") "C: AUTH PLAIN AGpvZQBwZW5jaWw=\nS: 235 ok\nC: MAIL FROM:<a@b.example>\nS: 250 a\nC: RCPT TO:<1@r.example>\nS: 250 b\nC: DATA\nS: 354 go\nC: secret\nC: .\nS: 250-ok\nS: 250 queued\n", NULL);
	smtp_client_watch(t.c, note, &seen);
	assert_int_equal(smtp_client_auth(t.c, STR("joe"), STR("pencil"), &t.reply, &t.why), RC_OK);
	talk_message(&t, &m, "secret\r\n");
	assert_int_equal(smtp_client_send(t.c, &m, &r, 1, &t.reply, &t.why), RC_OK);
	assert_true(str_eq(buf_str(&seen), STR(">AUTH PLAIN ***\n<235 ok\n>MAIL FROM:<a@b.example>\n<250 a\n>RCPT TO:<1@r.example>\n<250 b\n>DATA\n<354 go\n"
	                                       ">(8 octets of the message)\n>.\n<250-ok\n<250 queued\n")));
	talk_close(&t);
	buf_clear(&seen);
	greet(&t, HELLO("S: 250-AUTH LOGIN\n") "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: am9l\nS: 334 UGFzc3dvcmQ6\nC: cGVuY2ls\nS: 235 ok\n", NULL);
	smtp_client_watch(t.c, note, &seen);
	assert_int_equal(smtp_client_auth(t.c, STR("joe"), STR("pencil"), &t.reply, &t.why), RC_OK);
	assert_true(str_eq(buf_str(&seen), STR(">AUTH LOGIN\n<334 VXNlcm5hbWU6\n>***\n<334 UGFzc3dvcmQ6\n>***\n<235 ok\n")));
	talk_close(&t);
}

int run_client_lines_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_are_read_whole_or_refused),
		cmocka_unit_test(a_replys_bounds_are_exact_and_a_long_text_is_cut_visibly),
		cmocka_unit_test(a_server_that_never_stops_talking_is_left_early),
		cmocka_unit_test(mail_and_rcpt_carry_what_the_server_knows),
		cmocka_unit_test(what_the_server_lacks_is_refused_before_anything_is_sent),
		cmocka_unit_test(a_recipient_that_cannot_be_said_does_not_stop_the_others),
		cmocka_unit_test(a_message_that_wants_tls_all_the_way_says_so_under_tls),
		cmocka_unit_test(a_login_uses_the_best_that_is_offered_and_never_shows_a_password_to_the_network),
		cmocka_unit_test(scram_says_what_rfc_7677_says),
		cmocka_unit_test(names_and_passwords_are_prepared_as_rfc_4013_says),
		cmocka_unit_test(a_trace_shows_every_line_but_no_secret),
	};
	return _cmocka_run_group_tests("client_lines", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
