#include "mail/digest.h"

#include "base/mem.h"
#include "mail/grams.h"
#include "mail/header.h"
#include "mail_test.h"

static struct mail_digest digest_of(struct str message)
{
	struct mail_digest d;
	struct why why = { 0 };
	if (mail_digest(message, NULL, &d, &why) != RC_OK)
		fail_msg("%s", why.text);
	return d;
}

/* The message behind RFC 3501 8's FETCH example, ENVELOPE and BODY as printed there (type and subtype in our lower case). */
static void envelope_is_that_of_rfc_3501(void **state)
{
	struct mail_digest d = digest_of(STR("Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\n"
	                                     "Subject: IMAP4rev1 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\n"
	                                     "cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
	                                     "Message-Id: <B27397-0100000@cac.washington.edu>\r\nMIME-Version: 1.0\r\n"
	                                     "Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\nHi\r\n"));
	SAME(buf_str(&d.envelope),
	     STR("(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" "
	         "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
	         "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) "
	         "((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL "
	         "\"<B27397-0100000@cac.washington.edu>\")"));
	SAME(buf_str(&d.structure), STR("(\"text\" \"plain\" (\"charset\" \"US-ASCII\") NIL NIL \"7bit\" 4 1 NIL NIL NIL NIL)"));
	assert_true(d.date_ms == 837595405000);
	assert_int_equal(d.defects, 0);
	mail_digest_done(&d);
}

/* RFC 3501 7.4.2: "A two part message consisting of a text and a BASE64-encoded text attachment". */
static void body_has_the_shape_of_rfc_3501(void **state)
{
	AUTO(buf_done) struct buf body = { .max = 1000 };
	struct mail_digest d = digest_of(
		STR("From: a@b\r\nDate: Wed, 17 Jul 1996 02:23:25 -0700\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
	            "--x\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nab\r\ncd\r\n\r\n"
	            "--x\r\nContent-Type: text/plain; charset=us-ascii; name=\"cc.diff\"\r\nContent-ID: <960723163407.20117h@cac.washington.edu>\r\n"
	            "Content-Description: Compiler diff\r\nContent-Transfer-Encoding: BASE64\r\nContent-Disposition: attachment; filename=cc.diff\r\n"
	            "Content-Language: en, de\r\nContent-Location: http://x/\r\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n\r\nQUJD\r\n--x--\r\n"));
	SAME(buf_str(&d.structure),
	     STR("((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 8 2 NIL NIL NIL NIL)"
	         "(\"text\" \"plain\" (\"charset\" \"us-ascii\" \"name\" \"cc.diff\") \"<960723163407.20117h@cac.washington.edu>\" \"Compiler diff\" "
	         "\"base64\" 4 0 \"Q2hlY2sgSW50ZWdyaXR5IQ==\" (\"attachment\" (\"filename\" \"cc.diff\")) (\"en\" \"de\") \"http://x/\")"
	         " \"mixed\" (\"boundary\" \"x\") NIL NIL NIL)"));
	assert_int_equal(mail_body_of_structure(buf_str(&d.structure), &body), RC_OK);
	SAME(buf_str(&body), STR("((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 8 2)"
	                         "(\"text\" \"plain\" (\"charset\" \"us-ascii\" \"name\" \"cc.diff\") \"<960723163407.20117h@cac.washington.edu>\" "
	                         "\"Compiler diff\" \"base64\" 4 0) \"mixed\")"));
	struct str packed = buf_str(&d.attachments);
	struct mail_attachment a;
	assert_int_equal(mail_attachment_next(&packed, &a), RC_OK);
	SAME(a.name, STR("cc.diff"));
	SAME(a.declared, STR("text/plain"));
	assert_int_equal(a.size, 3);
	assert_int_equal(mail_attachment_next(&packed, &a), RC_NOTFOUND);
	mail_digest_done(&d);
}

static void strings_of_an_envelope_are_always_quotable(void **state)
{
	static const struct { struct str header, part; } cases[] = {
		{ STR_INIT("Subject: a \"q\" \\ b\r\n"), STR_INIT("(NIL \"a \\\"q\\\" \\\\ b\" ") },
		{ STR_INIT("Subject: folded\r\n line\r\n"), STR_INIT("(NIL \"folded line\" ") },
		{ STR_INIT("Subject:\r\n"), STR_INIT("(NIL \"\" ") },
		{ STR_INIT("Subject: =?utf-8?q?=C3=A4?=\r\n"), STR_INIT("(NIL \"=?utf-8?q?=C3=A4?=\" ") },
		{ STR_INIT("Subject: one \xc3\xa4 two\r\n"), STR_INIT("(NIL \"one =?utf-8?b?w6Q=?= two\" ") },
		{ STR_INIT("Subject: \xe4\r\n"), STR_INIT("(NIL \"=?utf-8?b?w6Q=?=\" ") },
		{ STR_INIT("Subject: a\0b\r\n"), STR_INIT("(NIL \"a b\" ") },
		{ STR_INIT("To: g: a@b, c;\r\n"), STR_INIT(" ((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"\")(NIL NIL NIL NIL)) ") },
		{ STR_INIT("Sender: s@t\r\nFrom: f@g\r\nReply-To:\r\n"),
		  STR_INIT("(NIL NIL ((NIL NIL \"f\" \"g\")) ((NIL NIL \"s\" \"t\")) ((NIL NIL \"f\" \"g\")) NIL") },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct mail_digest d = digest_of(cases[i].header);
		if (str_find_str(buf_str(&d.envelope), cases[i].part) == d.envelope.len)
			fail_msg("%.*s", PSTR(buf_str(&d.envelope)));
		mail_digest_done(&d);
	}
}

/* RFC 3501 6.4.5's example of part numbers. */
static struct str example(void)
{
	return STR("Subject: root\r\nContent-Type: multipart/mixed; boundary=A\r\n\r\n"
	           "--A\r\nContent-Type: text/plain\r\n\r\none\r\n"
	           "--A\r\nContent-Type: application/octet-stream\r\n\r\ntwo\r\n"
	           "--A\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n"
	           "--B\r\n\r\nthree.one\r\n--B\r\nContent-Type: application/octet-stream\r\n\r\nthree.two\r\n--B--\r\n\r\n"
	           "--A\r\nContent-Type: message/rfc822\r\n\r\nSubject: single\r\n\r\nfour.one\r\n"
	           "--A--\r\n");
}

static void part_numbers_find_parts(void **state)
{
	static const struct { uint32_t path[3]; size_t n; struct str body; enum mail_part_kind kind; } cases[] = {
		{ { 1 }, 1, STR_INIT("one"), MAIL_LEAF },
		{ { 2 }, 1, STR_INIT("two"), MAIL_LEAF },
		{ { 3, 1 }, 2, STR_INIT("three.one"), MAIL_LEAF },
		{ { 3, 2 }, 2, STR_INIT("three.two"), MAIL_LEAF },
		{ { 4, 1 }, 2, STR_INIT("four.one"), MAIL_LEAF },
		{ { 4 }, 1, STR_INIT("Subject: single\r\n\r\nfour.one"), MAIL_MESSAGE },
	};
	static const struct { uint32_t path[3]; size_t n; } missing[] = {
		{ { 0 }, 1 }, { { 5 }, 1 }, { { 1, 1 }, 2 }, { { 3, 3 }, 2 }, { { 4, 2 }, 2 }, { { 4, 1, 1 }, 3 }, { { 3, 1, 1 }, 3 },
	};
	struct mail_digest d = digest_of(example());
	struct mail_part p, inner;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(mail_part_find(buf_str(&d.parts), cases[i].path, cases[i].n, &p, &inner), RC_OK);
		SAME(str_head(str_skip(example(), p.body_off), p.body_len), cases[i].body);
		assert_int_equal(p.kind, cases[i].kind);
	}
	SAME(str_head(str_skip(example(), inner.header_off), inner.header_len), STR("Subject: single\r\n\r\n"));
	SAME(str_head(str_skip(example(), inner.body_off), inner.body_len), STR("four.one"));
	for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++)
		assert_int_equal(mail_part_find(buf_str(&d.parts), missing[i].path, missing[i].n, &p, NULL), RC_NOTFOUND);
	assert_int_equal(mail_part_find(buf_str(&d.parts), NULL, 0, &p, &inner), RC_OK);
	assert_true(p.header_off == 0 && p.body_off + p.body_len == example().n && inner.body_off == p.body_off);
	assert_int_equal(mail_part_find(str_head(buf_str(&d.parts), 7), (uint32_t[]){ 1 }, 1, &p, NULL), RC_DAMAGED);
	mail_digest_done(&d);
}

static void a_message_without_parts_is_its_own_part_one(void **state)
{
	struct mail_digest d = digest_of(STR("Subject: x\r\n\r\nbody\r\n"));
	struct mail_part p;
	assert_int_equal(mail_part_find(buf_str(&d.parts), (uint32_t[]){ 1 }, 1, &p, NULL), RC_OK);
	assert_true(p.body_off == 14 && p.body_len == 6 && p.lines == 1);
	assert_int_equal(mail_part_find(buf_str(&d.parts), (uint32_t[]){ 2 }, 1, &p, NULL), RC_NOTFOUND);
	assert_int_equal(mail_part_find(buf_str(&d.parts), (uint32_t[]){ 1, 1 }, 2, &p, NULL), RC_NOTFOUND);
	mail_digest_done(&d);
}

/* Found by fuzz_digest: the inner header ends where the outer delimiter stands, and so must all the parts around it. */
static void a_header_cut_off_by_a_delimiter_stays_inside_its_parent(void **state)
{
	struct str msg = STR("Content-Type: multipart/mixed; boundary=A\n\n--A\nContent-Type: message/rfc822\n\n"
	                     "Content-Type: multipart/mixed; boundary=B\n\n--B\nContent-Type: x/y\n--A--\n");
	struct mail_digest d = digest_of(msg);
	struct mail_part up, in;
	assert_int_equal(mail_part_find(buf_str(&d.parts), (uint32_t[]){ 1 }, 1, &up, NULL), RC_OK);
	assert_int_equal(mail_part_find(buf_str(&d.parts), (uint32_t[]){ 1, 1 }, 2, &in, NULL), RC_OK);
	SAME(str_head(str_skip(msg, in.header_off), in.header_len), STR("Content-Type: x/y"));
	assert_int_equal(in.body_len, 0);
	assert_true(in.body_off == up.body_off + up.body_len);
	mail_digest_done(&d);
}

static void damage_is_told_as_a_fact(void **state)
{
	static const struct { struct str in; enum mail_defect bit; } cases[] = {
		{ STR_INIT("Subject: x\r\n"), MAIL_NO_HEADER_END },
		{ STR_INIT("Subject: x\r\nnonsense\r\n\r\n"), MAIL_BAD_FIELD_NAME },
		{ STR_INIT("A: b\rc\r\n\r\n"), MAIL_BARE_CR },
		{ STR_INIT("A: b\n\r\n"), MAIL_BARE_LF },
		{ STR_INIT("A: b\r\n\r\n\0"), MAIL_NUL },
		{ STR_INIT("A: \xe4\r\n\r\n"), MAIL_8BIT_HEADER },
		{ STR_INIT("Content-Type: nonsense\r\n\r\n"), MAIL_BAD_CONTENT_TYPE },
		{ STR_INIT("Content-Type: multipart/mixed\r\n\r\n"), MAIL_NO_BOUNDARY },
		{ STR_INIT("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nhi\r\n"), MAIL_UNCLOSED_MULTIPART },
		{ STR_INIT("Content-Transfer-Encoding: rot13\r\n\r\n"), MAIL_BAD_ENCODING },
		{ STR_INIT("Content-Transfer-Encoding: base64\r\n\r\n!!!"), MAIL_BAD_ENCODING },
		{ STR_INIT("Content-Type: text/plain; charset=klingon\r\n\r\n\xff"), MAIL_BAD_CHARSET },
		{ STR_INIT("Subject: a\r\nSubject: b\r\n\r\n"), MAIL_DUPLICATE_FIELD },
		{ STR_INIT("To: <<>>\r\n\r\n"), MAIL_BAD_ADDRESS },
		{ STR_INIT("Date: never\r\n\r\n"), MAIL_BAD_DATE },
		{ STR_INIT("Subject: =?utf-8?q?x\r\n\r\n"), MAIL_BAD_ENCODED_WORD },
		{ STR_INIT("Subject: a\r\n\r\n"), MAIL_MISSING_FIELD },
		{ STR_INIT("Content-Type: application/pdf; name=a.pdf\r\n\r\nMZ"), MAIL_TYPE_MISMATCH },
	};
	struct mail_digest d = digest_of(STR("From: a@b\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n\r\nfine\r\n"));
	assert_int_equal(d.defects, 0);
	mail_digest_done(&d);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		d = digest_of(cases[i].in);
		if (!(d.defects & cases[i].bit))
			fail_msg("not told in case %zu: %s", i, mail_defect_name((unsigned)__builtin_ctz(cases[i].bit)));
		mail_digest_done(&d);
	}
}

static void recipients_in_several_fields_are_all_told(void **state)
{
	struct mail_digest d = digest_of(STR("From: a@b\r\nFrom: x@y\r\nTo: Ann <t1@x>\r\nSubject: one\r\nTO:\r\n t2@x\r\nCc:\r\nCc: c@x\r\nSubject: two\r\n\r\n"));
	struct mail_fields f;
	assert_true(str_eq(buf_str(&d.envelope), STR("(NIL \"one\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) "
	                                            "((\"Ann\" NIL \"t1\" \"x\")(NIL NIL \"t2\" \"x\")) ((NIL NIL \"c\" \"x\")) NIL NIL NIL)")));
	assert_int_equal(mail_fields_parse(buf_str(&d.fields), &f), RC_OK);
	assert_true(str_find_str(f.to_folded, STR("t2@x")) < f.to_folded.n && str_find_str(f.from_folded, STR("x@y")) == f.from_folded.n);
	assert_true(d.defects & MAIL_DUPLICATE_FIELD);
	mail_digest_done(&d);
	AUTO(buf_done) struct buf in = { .max = 16 << 20 };
	for (int i = 0; i < 1900; i++)
		buf_addf(&in, "To: %0500d@x\r\n", i);
	buf_add(&in, STR("\r\n"));
	d = digest_of(buf_str(&in)); /* work and memory stay bounded, and what is left out is told */
	assert_true(d.defects & MAIL_HEADER_TOO_LARGE && d.envelope.len < 1 << 20);
	mail_digest_done(&d);
}

static void previews_show_the_first_text(void **state)
{
	static const struct { struct str in, out; } cases[] = {
		{ STR_INIT("\r\n  Hello\r\n\r\n  world \r\n"), STR_INIT("Hello world") },
		{ STR_INIT("Content-Type: text/html\r\n\r\n<style>x</style><p>Hi&nbsp;<b>you</b></p>"), STR_INIT("Hi you") },
		{ STR_INIT("Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<i>rich</i>\r\n"
		           "--x\r\nContent-Type: text/plain\r\n\r\nplain\r\n--x--\r\n"), STR_INIT("plain") },
		{ STR_INIT("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Disposition: attachment\r\n\r\nfile\r\n"
		           "--x\r\n\r\nbody\r\n--x--\r\n"), STR_INIT("body") },
		{ STR_INIT("Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E4"), STR_INIT("\xc3\xa4") },
		{ STR_INIT("Content-Type: image/png\r\n\r\nx"), STR_INIT("") },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct mail_digest d = digest_of(cases[i].in);
		SAME(buf_str(&d.preview), cases[i].out);
		mail_digest_done(&d);
	}
	struct mail_limits lim = mail_limits_default;
	struct mail_digest d;
	lim.preview_chars = 3;
	assert_int_equal(mail_digest(STR("\r\n\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"), &lim, &d, NULL), RC_OK);
	SAME(buf_str(&d.preview), STR("\xc3\xa4\xc3\xa4\xc3\xa4"));
	mail_digest_done(&d);
}

static void search_fields_are_decoded_and_folded(void **state)
{
	struct mail_digest d = digest_of(STR("From: =?utf-8?q?J=C3=96RG?= <J@X.org>\r\nTo: A@b\r\nSubject: Re:  HELLO\r\n"
	                                     "Message-ID:  <1@x> (c)\r\nReferences: <a@b>\r\n <c@d>\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n\r\n"));
	struct mail_fields f;
	assert_int_equal(mail_fields_parse(buf_str(&d.fields), &f), RC_OK);
	SAME(f.from_folded, STR("j\xc3\xb6rg <j@x.org>"));
	SAME(f.to_folded, STR("a@b"));
	SAME(f.subject_folded, STR("re: hello"));
	SAME(f.message_id, STR("<1@x>"));
	SAME(f.references, STR("<a@b> <c@d>"));
	assert_int_equal(f.date_day, 8803); /* 7 February, though it is the 8th in UTC */
	assert_int_equal(mail_fields_parse(str_head(buf_str(&d.fields), d.fields.len - 1), &f), RC_DAMAGED);
	mail_digest_done(&d);
}

static bool matches(struct str message, enum mail_match_where where, struct str field, struct str needle)
{
	bool yes = false;
	struct mail_match m = { where, field, needle };
	assert_int_equal(mail_matches(message, &m, 1, NULL, &yes), RC_OK);
	return yes;
}

static void searching_looks_where_it_is_told(void **state)
{
	struct str none = STR(""), msg = STR("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-Empty:\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\npreamble\r\n"
	                     "--q\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nOne T=\r\nWO <b>th</b>ree\r\n"
	                     "--q\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner thing\r\n\r\nfour\r\nfive\r\n--q--\r\n");
	assert_true(matches(msg, MATCH_BODY, none, STR("one two three")));
	assert_true(matches(msg, MATCH_BODY, none, STR("inner thing")));
	assert_true(matches(msg, MATCH_BODY, none, STR("four five")));
	assert_false(matches(msg, MATCH_BODY, none, STR("gr\xc3\xbcsse")));
	assert_true(matches(msg, MATCH_TEXT, none, STR("gr\xc3\xbcsse")));
	assert_true(matches(msg, MATCH_TEXT, none, STR("two")));
	assert_true(matches(msg, MATCH_HEADER, STR("subject"), STR("gr\xc3\xbc")));
	assert_false(matches(msg, MATCH_HEADER, STR("subject"), STR("inner")));
	assert_true(matches(msg, MATCH_HEADER, STR("X-Empty"), none));
	assert_false(matches(msg, MATCH_HEADER, STR("X-Missing"), none));
	assert_false(matches(msg, MATCH_BODY, none, STR("preamble")));
	struct mail_match both[] = { { MATCH_BODY, none, STR("one") }, { MATCH_HEADER, STR("Subject"), STR("nothing") } };
	bool yes = true;
	assert_int_equal(mail_matches(msg, both, 2, NULL, &yes), RC_OK);
	assert_false(yes);
}

static void searching_finds_whom_a_bounce_is_about(void **state)
{
	struct str msg = STR("Subject: Undelivered\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=q\r\n\r\n"
	                     "--q\r\n\r\nSorry.\r\n--q\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
	                     "Final-Recipient: rfc822; Nobody@Example.org\r\n--q\r\nContent-Type: application/octet-stream\r\n\r\nno words\r\n--q--\r\n");
	struct mail_digest d = digest_of(msg);
	assert_true(matches(msg, MATCH_BODY, STR(""), STR("nobody@example.org")));
	assert_true(grams_maybe(buf_str(&d.grams), GRAMS_BODY, STR("nobody@example.org")));
	assert_false(matches(msg, MATCH_BODY, STR(""), STR("no words")));
	assert_true(str_eq(buf_str(&d.preview), STR("Sorry.")));
	mail_digest_done(&d);
}

static void searching_finds_attachments_by_their_names(void **state)
{
	struct str msg = STR("Subject: x\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n\r\nsee there\r\n--q\r\nContent-Type: application/pdf; name=\"Old.pdf\"\r\n"
	                     "Content-Disposition: attachment; filename*0*=utf-8''R%C3%BC; filename*1=ckblick.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n"
	                     "--q\r\nContent-Type: image/png; name=\"=?utf-8?q?Gr=C3=BC=C3=9Fe.png?=\"\r\n\r\nx\r\n--q--\r\n");
	static const struct str names[] = { STR_INIT("r\xc3\xbc" "ckblick.pdf"), STR_INIT("gr\xc3\xbcsse.png") };
	struct mail_digest d = digest_of(msg);
	for (size_t i = 0; i < 2; i++) {
		assert_true(matches(msg, MATCH_BODY, STR(""), names[i]) && matches(msg, MATCH_TEXT, STR(""), names[i]));
		assert_true(grams_maybe(buf_str(&d.grams), GRAMS_BODY, names[i]));
	}
	assert_false(matches(msg, MATCH_TEXT, STR(""), STR("image/png")));
	mail_digest_done(&d);
}

/* Whatever a search finds, the signature must not have denied. Needles are cut out of the folded text of the message itself. */
static void signatures_never_deny_what_a_search_finds(void **state)
{
	struct str msg = STR("Subject: =?utf-8?b?0J/RgNC40LLQtdGC?= World\r\nX-A: one two\r\n three\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n"
	                     "--q\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n<p>\xc4pfel &amp; Birnen</p>\r\n"
	                     "--q\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\n\xd0\x9f\xd1\x80\xd0\xb8 text\r\n"
	                     "--q\r\nContent-Transfer-Encoding: base64\r\n\r\nTWFueSBXT1JEUw==\r\n--q--\r\n");
	static const struct str texts[] = {
		STR_INIT("\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 world"), STR_INIT("x-a: one two three"), STR_INIT("\xc3\xa4pfel & birnen"),
		STR_INIT("subject: inner"), STR_INIT("\xd0\xbf\xd1\x80\xd0\xb8 text"), STR_INIT("many words"), STR_INIT("absent thing"),
	};
	struct mail_digest d = digest_of(msg);
	size_t found = 0;
	for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
		for (size_t i = 0; i < texts[t].n; i++)
			for (size_t n = 1; n <= texts[t].n - i; n++) {
				struct str needle = { texts[t].p + i, n };
				bool body = matches(msg, MATCH_BODY, STR(""), needle), text = matches(msg, MATCH_TEXT, STR(""), needle);
				assert_true(!body || grams_maybe(buf_str(&d.grams), GRAMS_BODY, needle));
				assert_true(!text || grams_maybe(buf_str(&d.grams), GRAMS_BODY | GRAMS_HEADER, needle));
				assert_true(!body || text);
				found += text;
			}
	assert_true(found > 500);
	assert_false(grams_maybe(buf_str(&d.grams), GRAMS_BODY, STR("absent thing")));
	mail_digest_done(&d);
}

static void hostile_nesting_and_counts_stay_bounded(void **state)
{
	AUTO(buf_done) struct buf in = { .max = 64 << 20 };
	struct mail_digest d;
	for (int i = 0; i < 10000; i++)
		buf_addf(&in, "Content-Type: multipart/mixed; boundary=b%dz\n\n--b%dz\n", i, i);
	d = digest_of(buf_str(&in));
	assert_true(d.defects & MAIL_TOO_DEEP);
	assert_int_equal(d.part_count, 101);
	mail_digest_done(&d);
	buf_clear(&in);
	for (int i = 0; i < 10000; i++)
		buf_add(&in, STR("Content-Type: message/rfc822\n\n"));
	d = digest_of(buf_str(&in));
	assert_true(d.defects & MAIL_TOO_DEEP);
	mail_digest_done(&d);
	buf_clear(&in);
	buf_add(&in, STR("Content-Type: multipart/mixed; boundary=b\n\n"));
	for (int i = 0; i < 1000000; i++)
		buf_add(&in, STR("--b\n\n"));
	d = digest_of(buf_str(&in));
	assert_true(d.defects & MAIL_TOO_MANY_PARTS);
	assert_int_equal(d.part_count, 10000);
	mail_digest_done(&d);
	buf_clear(&in);
	while (in.len < 20 << 20)
		buf_add(&in, STR("X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"));
	d = digest_of(buf_str(&in));
	assert_true(d.defects & MAIL_HEADER_TOO_LARGE);
	mail_digest_done(&d);
}

static void a_structure_past_its_ceiling_becomes_one_opaque_part(void **state)
{
	AUTO(buf_done) struct buf in = { .max = 128 << 20 };
	buf_add(&in, STR("Content-Type: multipart/mixed; boundary=b\n\n"));
	for (int i = 0; i < 300; i++) {
		buf_add(&in, STR("--b\nContent-Type: message/rfc822\n\nFrom: "));
		for (int k = 0; k < 2000; k++)
			buf_add(&in, STR("a@b,"));
		buf_add(&in, STR("\n\n"));
	}
	struct mail_digest d = digest_of(buf_str(&in));
	assert_true(d.defects & MAIL_TOO_MANY_PARTS);
	assert_true(str_starts(buf_str(&d.structure), STR("(\"application\" \"octet-stream\" NIL NIL NIL \"binary\" ")));
	assert_int_equal(d.part_count, 601);
	mail_digest_done(&d);
}

static void long_values_are_cut_and_told(void **state)
{
	AUTO(buf_done) struct buf in = { .max = 1 << 20 };
	buf_add(&in, STR("Subject: "));
	for (int i = 0; i < 70000; i++)
		buf_byte(&in, 's');
	buf_add(&in, STR("\r\n\r\n"));
	struct mail_digest d = digest_of(buf_str(&in));
	assert_true(d.defects & MAIL_HEADER_TOO_LARGE);
	assert_true(d.envelope.len > 65536 && d.envelope.len < 66000);
	mail_digest_done(&d);
}

static void every_allocation_may_fail(void **state)
{
	struct str rich = STR("From: =?koi8-r?q?=F0?= <a@b>, g: c@d;\r\nSubject: \xe4 =?utf-8?b?w6Q=?=\r\nContent-Type: multipart/mixed; boundary=\"q\\q\"\r\n\r\n"
	                      "--qq\r\nContent-Type: text/html; charset=big5\r\nContent-Transfer-Encoding: base64\r\n\r\npKSk5Q==\r\n"
	                      "--qq\r\nContent-Type: multipart/mixed; boundary=none\r\n\r\n"
	                      "--qq\r\nContent-Type: application/pdf; name*0*=utf-8''%C3; name*1*=%A4\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n%PDF-\r\n--qq--\r\n");
	AUTO(buf_done) struct buf large = { .max = 4000 }; /* its texts are folded piece by piece: a failure in an early one is none of the last */
	buf_add(&large, STR("Content-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa4lephant"));
	for (unsigned i = 0; i < 150; i++)
		buf_add(&large, STR(" tail"));
	buf_add(&large, STR("\r\n--q\r\n\r\nplain\r\n--q--\r\n"));
	struct str messages[] = { example(), rich, buf_str(&large) };
	for (size_t i = 0; i < 3; i++) {
		long k = 0;
		enum rc rc;
		do {
			struct mail_digest d;
			mail_thread_done(); /* nothing is left from the last time */
			mem_count = 0;
			mem_fail_at = k++;
			rc = mail_digest(messages[i], NULL, &d, NULL);
			mem_fail_at = -1;
			assert_true(rc == RC_OK || rc == RC_NOMEM);
			if (rc == RC_OK) {
				assert_true(mem_count < k); /* success is only told when nothing failed */
				mail_digest_done(&d);
			}
		} while (rc != RC_OK && k < 10000);
		assert_int_equal(rc, RC_OK);
		assert_true(k > 20);
	}
}

static void descriptions_are_one_json_line(void **state)
{
	AUTO(buf_done) struct buf json = { .max = 1 << 20 }, text = { .max = 1 << 20 };
	struct str msg = STR("Subject: \x1b[31m \"q\" =?utf-8?q?=C3=A4?=\r\n\r\nhi\r\n");
	assert_int_equal(mail_describe(STR("a\"b.eml"), msg, NULL, true, &json, NULL), RC_OK);
	assert_int_equal(str_find(buf_str(&json), '\n'), json.len - 1);
	assert_true(str_starts(buf_str(&json), STR("{\"file\":\"a\\\"b.eml\",\"size\":")));
	assert_true(str_find_str(buf_str(&json), STR("{\"name\":\"Subject\",\"offset\":0,\"length\":")) < json.len);
	assert_true(str_find_str(buf_str(&json), STR("\"defects\":[\"missing-field\"]")) < json.len);
	assert_int_equal(mail_describe(STR("x"), msg, NULL, false, &text, NULL), RC_OK);
	assert_int_equal(str_find(buf_str(&text), 0x1b), text.len); /* no escape reaches a terminal */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(envelope_is_that_of_rfc_3501), cmocka_unit_test(body_has_the_shape_of_rfc_3501),
		cmocka_unit_test(strings_of_an_envelope_are_always_quotable), cmocka_unit_test(part_numbers_find_parts),
		cmocka_unit_test(a_message_without_parts_is_its_own_part_one), cmocka_unit_test(a_header_cut_off_by_a_delimiter_stays_inside_its_parent),
		cmocka_unit_test(damage_is_told_as_a_fact),
		cmocka_unit_test(previews_show_the_first_text), cmocka_unit_test(search_fields_are_decoded_and_folded),
		cmocka_unit_test(searching_looks_where_it_is_told), cmocka_unit_test(searching_finds_whom_a_bounce_is_about), cmocka_unit_test(recipients_in_several_fields_are_all_told), cmocka_unit_test(searching_finds_attachments_by_their_names),
		cmocka_unit_test(signatures_never_deny_what_a_search_finds),
		cmocka_unit_test(hostile_nesting_and_counts_stay_bounded), cmocka_unit_test(long_values_are_cut_and_told),
		cmocka_unit_test(a_structure_past_its_ceiling_becomes_one_opaque_part),
		cmocka_unit_test(every_allocation_may_fail), cmocka_unit_test(descriptions_are_one_json_line),
	};
	int failed = cmocka_run_group_tests_name("mail digest", tests, NULL, NULL);
	mail_thread_done();
	return failed;
}
