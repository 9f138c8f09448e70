#include "mail/charset.h"
#include "mail/encoded_word.h"
#include "mail/fold.h"
#include "mail/grams.h"
#include "mail/html.h"
#include "mail/magic.h"
#include "mail/param.h"
#include "mail/transfer.h"
#include "mail_test.h"

static void encoded_words_become_text(void **state)
{
	static const struct { struct str in, out; bool ok; } cases[] = {
		{ STR_INIT("plain"), STR_INIT("plain"), true },
		{ STR_INIT("=?ISO-8859-1?Q?a?="), STR_INIT("a"), true },                             /* RFC 2047 8 */
		{ STR_INIT("=?ISO-8859-1?Q?a?= b"), STR_INIT("a b"), true },
		{ STR_INIT("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?="), STR_INIT("ab"), true },
		{ STR_INIT("=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?="), STR_INIT("ab"), true },
		{ STR_INIT("=?ISO-8859-1?Q?a_b?="), STR_INIT("a b"), true },
		{ STR_INIT("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?="), STR_INIT("a b"), true },
		{ STR_INIT("=?US-ASCII*EN?Q?Keith_Moore?= <moore@cs.utk.edu>"), STR_INIT("Keith Moore <moore@cs.utk.edu>"), true }, /* RFC 2231 5 */
		{ STR_INIT("=?utf-8?b?w6T=?= =?utf-8?b?pA==?="), STR_INIT("\xc3\xa4\xef\xbf\xbd"), false },
		{ STR_INIT("=?utf-8?q?=C3?= =?utf-8?q?=A4?="), STR_INIT("\xc3\xa4"), true },           /* one character in two words */
		{ STR_INIT("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?="), STR_INIT("\xe6\x97\xa5\xe6\x9c\xac"), true },
		{ STR_INIT("=?koi8-r?Q?=F0=D2=C9?="), STR_INIT("\xd0\x9f\xd1\x80\xd0\xb8"), true },
		{ STR_INIT("=?no-such-charset?Q?=E4?="), STR_INIT("\xc3\xa4"), false },
		{ STR_INIT("raw \xe4"), STR_INIT("raw \xc3\xa4"), true },
		{ STR_INIT("raw \xc3\xa4"), STR_INIT("raw \xc3\xa4"), true },
		{ STR_INIT("=?utf-8?x?abc?="), STR_INIT("=?utf-8?x?abc?="), false },
		{ STR_INIT("=?utf-8?q?abc"), STR_INIT("=?utf-8?q?abc"), false },
		{ STR_INIT("a\r\n b"), STR_INIT("a b"), true },
		{ STR_INIT("(=?utf-8?q?a?=)"), STR_INIT("(a)"), true },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(buf_done) struct buf b = { .max = 1000 };
		bool ok = encoded_words_decode(cases[i].in, &b);
		SAME(buf_str(&b), cases[i].out);
		if (ok != cases[i].ok)
			fail_msg("sound is %d for %s", ok, cases[i].in.p);
	}
}

static void words_we_make_read_back_and_are_short(void **state)
{
	AUTO(buf_done) struct buf text = { .max = 10000 }, words = { .max = 20000 }, back = { .max = 10000 };
	for (int i = 0; i < 100; i++)
		buf_add(&text, STR("\xc3\xa4" "b\xe6\x97\xa5"));
	encoded_words_add(&words, buf_str(&text));
	assert_true(encoded_words_decode(buf_str(&words), &back));
	SAME(buf_str(&back), buf_str(&text));
	struct str word, rest = buf_str(&words);
	while (rest.n) {
		str_cut(rest, ' ', &word, &rest);
		assert_true(word.n <= 75);
	}
}

static void transfer_encodings_are_read_leniently(void **state)
{
	static const struct { enum transfer how; struct str in, out; bool ok; } cases[] = {
		{ TRANSFER_BASE64, STR_INIT("SGVsbG8="), STR_INIT("Hello"), true },
		{ TRANSFER_BASE64, STR_INIT("SGVs\r\nbG8="), STR_INIT("Hello"), true },
		{ TRANSFER_BASE64, STR_INIT("SGVsbG8"), STR_INIT("Hello"), false },
		{ TRANSFER_BASE64, STR_INIT("S!GVs*bG8="), STR_INIT("Hello"), false },
		{ TRANSFER_BASE64, STR_INIT("SGk=SGk="), STR_INIT("HiHi"), true },
		{ TRANSFER_BASE64, STR_INIT(""), STR_INIT(""), true },
		{ TRANSFER_QP, STR_INIT("a=3Db=\r\nc \t\r\nd"), STR_INIT("a=bc\r\nd"), true },
		{ TRANSFER_QP, STR_INIT("=C3=A4=c3=a4"), STR_INIT("\xc3\xa4\xc3\xa4"), true },
		{ TRANSFER_QP, STR_INIT("100=%"), STR_INIT("100=%"), false },
		{ TRANSFER_QP, STR_INIT("soft=  \nline"), STR_INIT("softline"), true },
		{ TRANSFER_UUENCODE, STR_INIT("begin 644 x\n#0V%T\n`\nend\n"), STR_INIT("Cat"), true },
		{ TRANSFER_UUENCODE, STR_INIT("begin 644 x\nT%xV\n`\nend\n"), STR_INIT("\x15\x8d\x80"), true }, /* claims 52 octets, holds 3 */
		{ TRANSFER_8BIT, STR_INIT("\xff=3D"), STR_INIT("\xff=3D"), true },
		{ TRANSFER_UNKNOWN, STR_INIT("x"), STR_INIT("x"), false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(buf_done) struct buf b = { .max = 1000 };
		bool ok = transfer_decode(cases[i].how, cases[i].in, &b);
		SAME(buf_str(&b), cases[i].out);
		if (ok != cases[i].ok)
			fail_msg("sound is %d for %s", ok, cases[i].in.p);
	}
}

static void decoding_stops_at_the_ceiling_without_failing(void **state)
{
	static const enum transfer hows[] = { TRANSFER_BASE64, TRANSFER_QP, TRANSFER_8BIT };
	for (size_t i = 0; i < 3; i++) {
		AUTO(buf_done) struct buf b = { .max = 5 };
		transfer_decode(hows[i], STR("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="), &b);
		assert_false(b.failed);
		assert_true(b.len >= 3 && b.len <= 5);
	}
}

static void parameters_follow_rfc_2231_and_custom(void **state)
{
	static const struct { struct str in, name, text; bool sound; } cases[] = {
		{ STR_INIT("; charset=us-ascii (Plain text)"), STR_INIT("charset"), STR_INIT("us-ascii"), true },              /* RFC 2045 5.1 */
		{ STR_INIT("; charset=\"us-ascii\""), STR_INIT("CHARSET"), STR_INIT("us-ascii"), true },
		{ STR_INIT("; URL*0=\"ftp://\";\r\n URL*1=\"cs.utk.edu/pub\""), STR_INIT("url"), STR_INIT("ftp://cs.utk.edu/pub"), true }, /* RFC 2231 3 */
		{ STR_INIT("; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"), STR_INIT("title"), STR_INIT("This is ***fun***"), true },
		{ STR_INIT("; title*0*=us-ascii'en'This%20is%20even%20more%20\r\n; title*1*=%2A%2A%2Afun%2A%2A%2A%20\r\n; title*2=\"isn't it!\""),
		  STR_INIT("title"), STR_INIT("This is even more ***fun*** isn't it!"), true },                                  /* RFC 2231 4.1 */
		{ STR_INIT("; n*1=b; n*0=a"), STR_INIT("n"), STR_INIT("ab"), true },
		{ STR_INIT("; filename=\"=?utf-8?q?=C3=A4?=.pdf\""), STR_INIT("filename"), STR_INIT("\xc3\xa4.pdf"), true },
		{ STR_INIT("; filename=my file.pdf; x=1"), STR_INIT("filename"), STR_INIT("my file.pdf"), false },
		{ STR_INIT("; charset=utf-8 format=flowed"), STR_INIT("format"), STR_INIT("flowed"), true },
		{ STR_INIT("; name=\"a\\\"b\""), STR_INIT("name"), STR_INIT("a\"b"), true },
		{ STR_INIT("; name=\"unclosed"), STR_INIT("name"), STR_INIT("unclosed"), false },
		{ STR_INIT(";; ; a=b;"), STR_INIT("a"), STR_INIT("b"), true },
		{ STR_INIT("; name=r\xe4t"), STR_INIT("name"), STR_INIT("r\xc3\xa4t"), true },
		{ STR_INIT("; name*=iso-8859-1''%E4"), STR_INIT("name"), STR_INIT("\xc3\xa4"), true },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(arena_done) struct arena a = { .max = 100000 };
		AUTO(buf_done) struct buf b = { .max = 1000 };
		struct mail_param *first;
		bool sound;
		assert_int_equal(param_parse(cases[i].in, &a, &first, &sound), RC_OK);
		const struct mail_param *p = param_get(first, cases[i].name);
		if (!p || sound != cases[i].sound)
			fail_msg("%s: sound %d", cases[i].in.p, sound);
		param_text(p, &b);
		SAME(buf_str(&b), cases[i].text);
	}
}

static void charsets_become_utf8(void **state)
{
	static const struct { struct str name, in, out; bool ok; } cases[] = {
		{ STR_INIT("utf-8"), STR_INIT("\xc3\xa4"), STR_INIT("\xc3\xa4"), true },
		{ STR_INIT("utf-8"), STR_INIT("a\xff" "b"), STR_INIT("a\xef\xbf\xbd" "b"), false },
		{ STR_INIT("iso-8859-1"), STR_INIT("\x80\xe4"), STR_INIT("\xe2\x82\xac\xc3\xa4"), true },
		{ STR_INIT("ISO-8859-15"), STR_INIT("\xa4"), STR_INIT("\xe2\x82\xac"), true },
		{ STR_INIT("shift_jis"), STR_INIT("\x93\xfa\x96\x7b"), STR_INIT("\xe6\x97\xa5\xe6\x9c\xac"), true },
		{ STR_INIT("gb2312"), STR_INIT("\xc4\xe3"), STR_INIT("\xe4\xbd\xa0"), true },
		{ STR_INIT("utf-7"), STR_INIT("a+AOQ-b"), STR_INIT("a\xc3\xa4" "b"), true },
		{ STR_INIT(""), STR_INIT("\xe4"), STR_INIT("\xc3\xa4"), false },
		{ STR_INIT("../../etc/passwd"), STR_INIT("\xc3\xa4"), STR_INIT("\xc3\xa4"), false },
	};
	for (int turn = 0; turn < 2; turn++) { /* the second time out of the cache, and after it was closed */
		for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
			AUTO(buf_done) struct buf b = { .max = 1000 };
			bool ok = charset_to_utf8(cases[i].name, cases[i].in, &b);
			SAME(buf_str(&b), cases[i].out);
			assert_int_equal(ok, cases[i].ok);
		}
		mail_thread_done();
	}
}

static void html_becomes_readable_text(void **state)
{
	static const struct { struct str in, out; } cases[] = {
		{ STR_INIT("<p>Hi <b>y</b>ou &amp; me</p>"), STR_INIT("\nHi you & me\n") },
		{ STR_INIT("<style>p{}</style>a<script>if(a<b)</script>b"), STR_INIT("ab") },
		{ STR_INIT("a<!-- <p>x --> b"), STR_INIT("a b") },
		{ STR_INIT("&#65;&#x42;&euro;&nosuch;&lt"), STR_INIT("AB\xe2\x82\xac&nosuch;<") },
		{ STR_INIT("1 < 2 <a title=\"x>y\">z</a>"), STR_INIT("1 < 2 z") },
		{ STR_INIT("<b"), STR_INIT("") },
		{ STR_INIT("<!-- never closed"), STR_INIT("") },
		{ STR_INIT("&#0;&#xD800;"), STR_INIT("\xef\xbf\xbd\xef\xbf\xbd") },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(buf_done) struct buf b = { .max = 1000 };
		html_text(cases[i].in, &b);
		SAME(buf_str(&b), cases[i].out);
	}
}

/* The rule itself, an octet at a time. */
static size_t fold_slowly(struct str in, char *out)
{
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		unsigned char c = (unsigned char)in.p[i];
		if ((c >= 9 && c <= 13) || c == ' ') {
			if (n == 0 || out[n - 1] != ' ')
				out[n++] = ' ';
		} else {
			out[n++] = (char)(c == 0 ? 1 : c >= 'A' && c <= 'Z' ? c + 32 : c);
		}
	}
	return n;
}

static void folding_eight_at_once_is_folding_one_by_one(void **state)
{
	(void)state;
	static const char odd[] = " \t\r\n@AZ[`az{\x7f\x1f\x01!";
	uint32_t seed = 1;
	for (unsigned round = 0; round < 20000; round++) {
		char in[64], want[64];
		struct buf b;
		size_t n = round % sizeof in;
		for (size_t i = 0; i < n; i++) {
			seed = seed * 1664525u + 1013904223u;
			in[i] = seed >> 30 ? (char)('A' + (seed >> 16) % 58) : odd[(seed >> 16) % (sizeof odd - 1)];
		}
		buf_init(&b, 128);
		assert_int_equal(mail_fold(str_of(in, n), &b), RC_OK);
		size_t k = fold_slowly(str_of(in, n), want);
		assert_int_equal(b.len, k);
		assert_memory_equal(k ? b.p : "", want, k);
		buf_done(&b);
	}
}

static void folding_makes_spellings_equal(void **state)
{
	static const struct { struct str in, out; } cases[] = {
		{ STR_INIT("Hello  World\r\n\t!"), STR_INIT("hello world !") },
		{ STR_INIT("\xc3\x84PFEL"), STR_INIT("\xc3\xa4pfel") },
		{ STR_INIT("Stra\xc3\x9f" "e"), STR_INIT("strasse") },
		{ STR_INIT("\xd0\x9f\xd0\xa0"), STR_INIT("\xd0\xbf\xd1\x80") },
		{ STR_INIT("a\xc2\xa0\xe3\x80\x80" "b"), STR_INIT("a b") },
		{ STR_INIT("\xff"), STR_INIT("\xef\xbf\xbd") },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(buf_done) struct buf b = { .max = 1000 };
		assert_int_equal(mail_fold(cases[i].in, &b), RC_OK);
		SAME(buf_str(&b), cases[i].out);
	}
}

static void signatures_tell_body_from_header(void **state)
{
	struct grams *g;
	AUTO(buf_done) struct buf sig = { .max = 20000 };
	assert_int_equal(grams_new(&g), RC_OK);
	grams_add(g, GRAMS_BODY, STR("the quick br"));
	grams_add(g, GRAMS_BODY, STR("own fox"));
	grams_gap(g);
	grams_add(g, GRAMS_HEADER, STR("subject: lazy dog"));
	assert_int_equal(grams_format(g, &sig), RC_OK);
	grams_free(&g);
	assert_int_equal(sig.len, 3 + 56);
	assert_true(grams_maybe(buf_str(&sig), GRAMS_BODY, STR("k brown f"))); /* over the seam */
	assert_true(grams_maybe(buf_str(&sig), GRAMS_HEADER, STR("lazy")));
	assert_false(grams_maybe(buf_str(&sig), GRAMS_BODY, STR("lazy dog")));
	assert_false(grams_maybe(buf_str(&sig), GRAMS_HEADER, STR("quick brown")));
	assert_true(grams_maybe(buf_str(&sig), GRAMS_BODY | GRAMS_HEADER, STR("quick")));
	assert_false(grams_maybe(buf_str(&sig), GRAMS_BODY | GRAMS_HEADER, STR("elephant")));
	assert_true(grams_maybe(buf_str(&sig), GRAMS_BODY, STR("zq")));
	sig.p[0] = 9; /* another version: always a candidate */
	assert_true(grams_maybe(buf_str(&sig), GRAMS_BODY, STR("elephant")));
	assert_true(grams_maybe(STR(""), GRAMS_BODY, STR("elephant")));
}

/* Added as it is, or folded before. */
static void signature_of(struct str text, bool whole, struct buf *folded, struct buf *out)
{
	AUTO(grams_free) struct grams *g = NULL;
	assert_int_equal(grams_new(&g), RC_OK);
	grams_add(g, GRAMS_BODY, STR("something before"));
	grams_gap(g);
	buf_clear(folded);
	assert_int_equal(mail_fold(text, folded), RC_OK);
	if (whole)
		grams_add_text(g, GRAMS_BODY, text);
	else
		grams_add(g, GRAMS_BODY, buf_str(folded));
	buf_clear(out);
	assert_int_equal(grams_format(g, out), RC_OK);
}

static void a_text_has_the_signature_of_its_folded_form(void **state)
{
	static const char *const bits[] = { "a", "b", "Z", " ", "  ", "\t", "\r\n", "\n\n", "x-", "\xc3\xa4", "\xc2\xa0", "\xe2\x80\xa8", "\xc3\x9f", "\xf0\x9f\x98\x80", "\xff", "\xa4",
		                            "\xe2\x82", "word", "LONGER words", "\x01", "eight888", "\xd0\x9f\xd0\xa0" };
	AUTO(buf_done) struct buf text = { .max = 4000 }, folded = { .max = 16000 }, one = { .max = 20000 }, two = { .max = 20000 };
	uint32_t seed = 1;
	for (unsigned round = 0; round < 4000; round++) {
		buf_clear(&text);
		unsigned n = round % 90, kinds = round % 3 ? 22 : 9; /* every third is ASCII */
		for (unsigned i = 0; i < n * (round % 7 == 0 ? 6 : 1); i++) {
			seed = seed * 1664525 + 1013904223;
			buf_add(&text, str_z(bits[(seed >> 16) % kinds]));
		}
		signature_of(buf_str(&text), true, &folded, &one);
		signature_of(buf_str(&text), false, &folded, &two);
		SAME(buf_str(&one), buf_str(&two));
		for (size_t i = 0; i + 3 <= folded.len; i++)
			assert_true(grams_maybe(buf_str(&one), GRAMS_BODY, str_of(folded.p + i, 3)));
	}
}

static void signatures_of_the_version_before_are_read(void **state)
{
	static const char made[] = "\x03\x07\x03\x00\x00\x02\xe6\x08\x20\x20\x80\x80\x88\x00\x04\x00\xb0\x00\x04\x01\x0d\x42\x00\xc8\x10\x85\x50\x80\x80\x10"
	                           "\x11\x04\x00\xa0\x10\x32\x30\x00\x51\x02\x02\x12\x28\x11\x02\x49\x00\x52\x84\x81\x38\x06\x02\x11\x04\x00\x08\x68\x08";
	struct str sig = str_of(made, sizeof made - 1); /* body: "the quick brown fox", header: "subject: lazy dog" */
	assert_true(grams_maybe(sig, GRAMS_BODY, STR("the quick brown fox")));
	assert_true(grams_maybe(sig, GRAMS_HEADER, STR("subject: lazy dog")));
	assert_false(grams_maybe(sig, GRAMS_BODY, STR("lazy dog")));
	assert_false(grams_maybe(sig, GRAMS_HEADER, STR("quick brown")));
	assert_false(grams_maybe(sig, GRAMS_BODY | GRAMS_HEADER, STR("elephant")));
}

/* Of the trigrams that a message does not have, few are thought to be in it. */
static void signatures_seldom_err(void **state)
{
	AUTO(buf_done) struct buf text = { .max = 1 << 16 }, sig = { .max = 20000 };
	static bool has[26][26][26];
	struct grams *g;
	uint32_t seed = 7;
	unsigned wrong = 0, absent = 0;
	for (unsigned i = 0; i < 3000; i++) {
		seed = seed * 1664525 + 1013904223;
		buf_byte(&text, (char)('a' + (seed >> 24) * (seed >> 8 & 255) / 2550)); /* some letters far more often than others */
	}
	for (size_t i = 2; i < text.len; i++)
		has[text.p[i - 2] - 'a'][text.p[i - 1] - 'a'][text.p[i] - 'a'] = true;
	assert_int_equal(grams_new(&g), RC_OK);
	grams_add_text(g, GRAMS_BODY, buf_str(&text));
	assert_int_equal(grams_format(g, &sig), RC_OK);
	grams_free(&g);
	for (unsigned i = 0; i < 26 * 26 * 26; i++) {
		char t[3] = { (char)('a' + i / 676), (char)('a' + i / 26 % 26), (char)('a' + i % 26) };
		bool in = has[i / 676][i / 26 % 26][i % 26], maybe = grams_maybe(buf_str(&sig), GRAMS_BODY, str_of(t, 3));
		assert_true(maybe || !in);
		absent += !in;
		wrong += maybe && !in;
	}
	assert_true(absent > 10000);
	assert_true(wrong * 10 < absent); /* 9.2 % where a trigram has five bits, the fewest there are */
}

static void magic_octets_name_the_type(void **state)
{
	static const struct { struct str head, type; } cases[] = {
		{ STR_INIT("%PDF-1.7"), STR_INIT("pdf") },      { STR_INIT("MZ\x90"), STR_INIT("exe") },
		{ STR_INIT("PK\x03\x04....[Content_Types].xml....word/document.xml"), STR_INIT("docx") },
		{ STR_INIT("PK\x03\x04....a.txt"), STR_INIT("zip") }, { STR_INIT("  <HTML>"), STR_INIT("html") },
		{ STR_INIT("BEGIN:VCALENDAR"), STR_INIT("ics") }, { STR_INIT("hello"), STR_INIT("") },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		SAME(magic_type(cases[i].head), cases[i].type);
	assert_true(magic_breaks(magic_promise(STR("invoice.pdf"), STR("application/octet-stream")), STR("exe"), false));
	assert_true(magic_breaks(magic_promise(STR("x"), STR("image/png")), STR(""), false));
	assert_false(magic_breaks(magic_promise(STR("a.docx"), STR("x/y")), STR("zip"), false));
	assert_false(magic_breaks(magic_promise(STR("a.pdf"), STR("x/y")), STR(""), true));
	assert_false(magic_breaks(magic_promise(STR("a.unknown"), STR("x/y")), STR("exe"), false));
	assert_true(magic_breaks(magic_promise(STR("notes.txt"), STR("text/plain")), STR("exe"), false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encoded_words_become_text), cmocka_unit_test(words_we_make_read_back_and_are_short),
		cmocka_unit_test(transfer_encodings_are_read_leniently), cmocka_unit_test(decoding_stops_at_the_ceiling_without_failing),
		cmocka_unit_test(parameters_follow_rfc_2231_and_custom), cmocka_unit_test(charsets_become_utf8),
		cmocka_unit_test(html_becomes_readable_text), cmocka_unit_test(folding_makes_spellings_equal),
		cmocka_unit_test(folding_eight_at_once_is_folding_one_by_one),
		cmocka_unit_test(signatures_tell_body_from_header), cmocka_unit_test(a_text_has_the_signature_of_its_folded_form),
		cmocka_unit_test(signatures_of_the_version_before_are_read), cmocka_unit_test(signatures_seldom_err), cmocka_unit_test(magic_octets_name_the_type),
	};
	int failed = cmocka_run_group_tests_name("mail text", tests, NULL, NULL);
	mail_thread_done();
	return failed;
}
