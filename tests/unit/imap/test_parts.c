#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "play.h"

#include "base/mem.h"
#include "imap/fetch.h"
#include "imap/glob.h"
#include "imap/parse.h"
#include "imap/ranges.h"
#include "imap/utf7.h"
#include <stdio.h>

static uint64_t seed;
static uint32_t dice(uint32_t sides)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % sides;
}

/* ---- modified UTF-7 ---- */

static const struct { struct str wire, utf8; } names[] = {
	{ STR_INIT("INBOX"), STR_INIT("INBOX") },
	{ STR_INIT(""), STR_INIT("") },
	{ STR_INIT("a&-b"), STR_INIT("a&b") },
	{ STR_INIT("&-&-"), STR_INIT("&&") },
	/* RFC 3501 5.1.3 */
	{ STR_INIT("~peter/mail/&U,BTFw-/&ZeVnLIqe-"), STR_INIT("~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e") },
	{ STR_INIT("&Jjo-!"), STR_INIT("\xe2\x98\xba!") },
	{ STR_INIT("&U,BTF2XlZyyKng-"), STR_INIT("\xe5\x8f\xb0\xe5\x8c\x97\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e") },
	{ STR_INIT("Entw&APw-rfe"), STR_INIT("Entw\xc3\xbcrfe") },
	{ STR_INIT("&2D3cqQ-"), STR_INIT("\xf0\x9f\x92\xa9") }, /* beyond the basic plane: a surrogate pair */
	{ STR_INIT("&AAk-"), STR_INIT("\t") },
};

static void utf7_names_go_both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct buf out;
		buf_init(&out, 1000);
		assert_int_equal(utf7_decode(names[i].wire, &out), RC_OK);
		assert_true(str_eq(buf_str(&out), names[i].utf8));
		buf_clear(&out);
		assert_int_equal(utf7_encode(names[i].utf8, &out), RC_OK);
		assert_true(str_eq(buf_str(&out), names[i].wire));
		buf_done(&out);
	}
}

static void utf7_takes_one_form_only(void **state)
{
	(void)state;
	static const struct str bad[] = {
		STR_INIT("&"), STR_INIT("&Jjo"), STR_INIT("&Jjo!"), STR_INIT("&Jj-"), STR_INIT("&Jj/-"), STR_INIT("&Jjo=-"), STR_INIT("\xc3\xbc"),
		STR_INIT("a\tb"), STR_INIT("a\x7f"),
		STR_INIT("&AGE-"),         /* "a" needs no shift */
		STR_INIT("&AAA-"),         /* NUL */
		STR_INIT("&U,BTFw-&ZeVnLIqe-"), /* RFC 3501 5.1.3: a superfluous shift */
		STR_INIT("&2D0-"),         /* half a pair */
		STR_INIT("&3Kk-"), STR_INIT("&3KnYPQ-"),
		STR_INIT("&Jjp-"),         /* bits left over */
		STR_INIT("&JjoA-"), STR_INIT("&A-"),
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct buf out;
		buf_init(&out, 1000);
		if (utf7_decode(bad[i], &out) != RC_SYNTAX)
			fail_msg("taken: %.*s", PSTR(bad[i]));
		buf_done(&out);
	}
	struct buf out;
	buf_init(&out, 1000);
	assert_int_equal(utf7_encode(STR("\xff"), &out), RC_SYNTAX);
	assert_int_equal(utf7_encode(STR("a\0b"), &out), RC_SYNTAX);
	buf_done(&out);
}

static void utf7_survives_the_round_trip_whatever_the_name(void **state)
{
	(void)state;
	seed = 7;
	for (unsigned round = 0; round < 20000; round++) {
		char name[40];
		size_t n = 0;
		for (unsigned k = dice(8); k; k--) {
			uint32_t c = dice(4) == 0 ? 0x20 + dice(0x5f) : dice(3) == 0 ? 0x10000 + dice(0x100000) : 0xa0 + dice(0xd000);
			n += (size_t)(c < 0x80     ? snprintf(name + n, 6, "%c", (int)c)
			              : c < 0x800  ? snprintf(name + n, 6, "%c%c", (int)(0xc0 | c >> 6), (int)(0x80 | (c & 63)))
			              : c < 0x10000 ? snprintf(name + n, 6, "%c%c%c", (int)(0xe0 | c >> 12), (int)(0x80 | (c >> 6 & 63)), (int)(0x80 | (c & 63)))
			                           : snprintf(name + n, 6, "%c%c%c%c", (int)(0xf0 | c >> 18), (int)(0x80 | (c >> 12 & 63)),
			                                      (int)(0x80 | (c >> 6 & 63)), (int)(0x80 | (c & 63))));
		}
		struct buf wire, back;
		buf_init(&wire, 1000);
		buf_init(&back, 1000);
		assert_int_equal(utf7_encode(str_of(name, n), &wire), RC_OK);
		assert_int_equal(utf7_decode(buf_str(&wire), &back), RC_OK);
		assert_true(str_eq(buf_str(&back), str_of(name, n)));
		buf_done(&wire);
		buf_done(&back);
	}
}

/* ---- patterns ---- */

static bool naive(const char *p, const char *s)
{
	if (!*p)
		return !*s;
	if (*p == '*' || *p == '%')
		return naive(p + 1, s) || (*s && !(*p == '%' && *s == '/') && naive(p, s + 1));
	return *p == *s && naive(p + 1, s + 1);
}

static void patterns_match_as_a_naive_matcher_does(void **state)
{
	(void)state;
	seed = 3;
	unsigned hits = 0;
	for (unsigned round = 0; round < 50000; round++) {
		char p[9] = "", s[11] = "";
		for (unsigned k = dice(8), i = 0; i < k; i++)
			p[i] = "ab/*%"[dice(5)];
		for (unsigned k = dice(10), i = 0; i < k; i++)
			s[i] = "ab/"[dice(3)];
		hits += naive(p, s);
		if (glob_match(str_z(p), str_z(s)) != naive(p, s))
			fail_msg("%s against %s", p, s);
	}
	assert_in_range(hits, 1000, 49000);
}

static void a_hostile_pattern_costs_no_more(void **state)
{
	(void)state;
	char p[GLOB_PATTERN_MAX], s[1000];
	memset(s, 'a', sizeof s);
	for (size_t i = 0; i < sizeof p; i++)
		p[i] = i % 2 ? '*' : 'a';
	p[sizeof p - 1] = 'b';
	assert_false(glob_match(str_of(p, sizeof p), str_of(s, sizeof s)));
	assert_false(glob_match(str_of(p, sizeof p), STR("")));
}

/* ---- numbers ---- */

enum { MODEL_MAX = 3000 };
struct model { uint32_t uid[MODEL_MAX]; uint32_t n; };

static void compare_with_model(const struct seqmap *m, const struct model *model)
{
	assert_int_equal(m->count, model->n);
	assert_int_equal(seqmap_last_uid(m), model->n ? model->uid[model->n - 1] : 0);
	for (uint32_t i = 0; i < model->n; i++) {
		assert_int_equal(seqmap_uid(m, i + 1), model->uid[i]);
		assert_int_equal(seqmap_seq(m, model->uid[i]), i + 1);
	}
	for (size_t i = 1; i < m->n; i++)
		assert_true(m->runs[i - 1].last + 1 < m->runs[i].first);
	assert_int_equal(seqmap_uid(m, model->n + 1), 0);
	assert_int_equal(seqmap_uid(m, 0), 0);
}

static void the_map_agrees_with_a_plain_list(void **state)
{
	(void)state;
	for (seed = 1; seed < 60;) {
		uint64_t start = seed;
		struct seqmap m = { 0 };
		static struct model model;
		uint32_t next = 1;
		model.n = 0;
		for (unsigned step = 0; step < 60; step++) {
			for (unsigned k = dice(20); k && model.n < MODEL_MAX; k--) {
				next += dice(3) ? 0 : dice(5);
				assert_int_equal(seqmap_add(&m, next, next), RC_OK);
				model.uid[model.n++] = next++;
			}
			struct ranges gone = { 0 };
			struct model left = { .n = 0 };
			for (unsigned k = dice(6); k; k--) {
				uint32_t first = dice(next + 5), last = first + dice(9);
				ranges_add(&gone, first, last);
			}
			ranges_tidy(&gone);
			for (uint32_t i = 0; i < model.n; i++)
				if (!ranges_have(&gone, model.uid[i]))
					left.uid[left.n++] = model.uid[i];
			assert_int_equal(seqmap_remove(&m, &gone), RC_OK);
			model = left;
			for (uint32_t uid = 0; uid < next + 3; uid++) {
				bool there = false;
				for (uint32_t i = 0; i < model.n; i++)
					there |= model.uid[i] == uid;
				assert_int_equal(seqmap_seq(&m, uid) != 0, there);
			}
			compare_with_model(&m, &model);
			ranges_done(&gone);
		}
		seqmap_done(&m);
		seed = start + 1;
	}
}

static void tidy_ranges_hold_what_was_added(void **state)
{
	(void)state;
	seed = 11;
	for (unsigned round = 0; round < 3000; round++) {
		struct ranges r = { 0 };
		bool there[64] = { 0 };
		for (unsigned k = dice(12); k; k--) {
			uint32_t first = 1 + dice(50), last = first + dice(10);
			ranges_add(&r, first, last);
			for (uint32_t i = first; i <= last; i++)
				there[i] = true;
		}
		ranges_tidy(&r);
		uint64_t total = 0;
		for (uint32_t i = 0; i < 64; i++) {
			assert_int_equal(ranges_have(&r, i), there[i]);
			total += there[i];
		}
		assert_int_equal(ranges_total(&r), total);
		for (size_t i = 1; i < r.n; i++)
			assert_true(r.v[i - 1].last + 1 < r.v[i].first);
		ranges_done(&r);
	}
	struct ranges top = { 0 };
	ranges_add(&top, 5, UINT32_MAX);
	ranges_add(&top, UINT32_MAX, UINT32_MAX);
	ranges_tidy(&top);
	assert_int_equal(top.n, 1);
	ranges_done(&top);
}

static void a_map_takes_only_ascending_runs(void **state)
{
	(void)state;
	struct seqmap m = { 0 };
	assert_int_equal(seqmap_set(&m, (struct imap_range[]){ { 5, 4 } }, 1), RC_DAMAGED);
	assert_int_equal(seqmap_set(&m, (struct imap_range[]){ { 0, 4 } }, 1), RC_DAMAGED);
	assert_int_equal(seqmap_set(&m, (struct imap_range[]){ { 1, 4 }, { 4, 9 } }, 2), RC_DAMAGED);
	assert_int_equal(seqmap_set(&m, (struct imap_range[]){ { 1, 4 }, { 6, 9 } }, 2), RC_OK);
	assert_int_equal(seqmap_add(&m, 9, 10), RC_DAMAGED);
	assert_int_equal(m.count, 8);
	seqmap_done(&m);
}

/* ---- words ---- */

static void parse_section(const char *in, const char *want_label, const char *want_error)
{
	struct arena arena;
	struct buf label;
	struct section sec;
	arena_init(&arena, 1 << 20);
	buf_init(&label, 10000);
	struct args a = { str_z(in), &arena, NULL };
	section_parse(&a, &sec, &label);
	args_end(&a);
	if (want_error) {
		assert_non_null(a.expected);
		assert_string_equal(a.expected, want_error);
	} else {
		if (a.expected)
			fail_msg("%s: expected %s", in, a.expected);
		assert_true(str_eq(buf_str(&label), str_z(want_label)));
	}
	buf_done(&label);
	arena_done(&arena);
}

static void sections_are_understood(void **state)
{
	(void)state;
	static const struct { const char *in, *label; } good[] = {
		{ "[]", "[]" }, { "[]<0.1>", "[]<0>" }, { "[1]", "[1]" }, { "[1.2.3]<10.20>", "[1.2.3]<10>" }, { "[header]", "[HEADER]" },
		{ "[Text]", "[TEXT]" }, { "[4.2.mime]", "[4.2.MIME]" }, { "[3.HEADER]", "[3.HEADER]" },
		{ "[HEADER.FIELDS (a)]", "[HEADER.FIELDS (a)]" }, { "[1.header.fields.not (a \"b\" \"c(\")]", "[1.HEADER.FIELDS.NOT (a b \"c(\")]" },
		{ "[header.fields ({3}\r\nFoo)]", "[HEADER.FIELDS (Foo)]" },
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		parse_section(good[i].in, good[i].label, NULL);
	static const char words[] = "HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT, or MIME after a part number";
	parse_section("[mime]", NULL, words);
	parse_section("[foo]", NULL, words);
	parse_section("[1.]", NULL, words);
	parse_section("[0]", NULL, "at most 100 part numbers from 1 on");
	parse_section("[1.0]", NULL, "at most 100 part numbers from 1 on");
	parse_section("[]<1>", NULL, "another character");
	parse_section("[]<1.0>", NULL, "a number of octets from 1 on");
	parse_section("[header.fields ()]", NULL, "a string");
	parse_section("[header.fields (a:b)]", NULL, "at most 256 header field names");
	parse_section("[99999999999]", NULL, "a number under 4294967296");
	parse_section("[1", NULL, "another character");
}

static void a_path_too_deep_is_refused(void **state)
{
	(void)state;
	char in[300] = "[1";
	for (unsigned i = 0; i < 100; i++)
		memcpy(in + 2 + 2 * i, ".1", 2);
	in[202] = ']';
	parse_section(in, NULL, "at most 100 part numbers from 1 on");
}

static void strings_are_taken_in_all_three_forms(void **state)
{
	(void)state;
	struct arena arena;
	arena_init(&arena, 1 << 20);
	static const struct { struct str in, want; } good[] = {
		{ STR_INIT("atom]"), STR_INIT("atom]") }, { STR_INIT("\"a b\""), STR_INIT("a b") }, { STR_INIT("\"a\\\"b\\\\\""), STR_INIT("a\"b\\") },
		{ STR_INIT("{3}\r\na b"), STR_INIT("a b") }, { STR_INIT("{0+}\r\n"), STR_INIT("") }, { STR_INIT("\"\""), STR_INIT("") },
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct args a = { good[i].in, &arena, NULL };
		struct str got = args_astring(&a);
		args_end(&a);
		assert_true(args_fine(&a));
		assert_true(str_eq(got, good[i].want));
	}
	static const struct str bad[] = {
		STR_INIT(""), STR_INIT("("), STR_INIT("\"abc"), STR_INIT("\"a\\b\""), STR_INIT("\"a\\"), STR_INIT("{5}\r\nabc"), STR_INIT("{x}\r\nabc"),
		STR_INIT("{3}abc"), STR_INIT("{3}\r\na\0b"), STR_INIT("\"a\0b\""), STR_INIT("\xc3\xbc"), STR_INIT("{"), STR_INIT("{99999999999999999999}\r\n"),
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct args a = { bad[i], &arena, NULL };
		(void)args_astring(&a);
		args_end(&a);
		assert_false(args_fine(&a));
	}
	arena_done(&arena);
}

/* ---- searching ---- */

enum { SEARCHED = 40 };

/* A random program and its meaning by the plainest reading of RFC 3501 6.4.4. */
static bool random_key(struct buf *out, const struct house_box *b, unsigned depth, bool hits[SEARCHED])
{
	static const struct { const char *word; uint32_t flag; } flags[] = { { "SEEN", IMAP_SEEN }, { "DELETED", IMAP_DELETED }, { "FLAGGED", IMAP_FLAGGED } };
	bool x[SEARCHED], y[SEARCHED];
	uint32_t n = dice(3), day = 1 + dice(28), size = 150 + dice(300), uid = 1 + dice(SEARCHED + 5), last = 1 + dice((uint32_t)b->n);
	unsigned what = dice(depth ? 13 : 10);
	for (size_t i = 0; i < b->n; i++) {
		const struct house_message *m = &b->messages[i];
		struct str body = buf_str(&m->body);
		int64_t day_of = (m->internal_ms - 759974400000) / 86400000; /* 31-Jan-1994 = 0 */
		switch (what) {
		case 0: hits[i] = m->flags & flags[n].flag; break;
		case 1: hits[i] = !(m->flags & flags[n].flag); break;
		case 2: hits[i] = body.n > size; break;
		case 3: hits[i] = body.n < size; break;
		case 4: hits[i] = m->uid >= uid; break;
		case 5: hits[i] = i + 1 <= last; break;
		case 6: hits[i] = day_of >= day; break;
		case 7: hits[i] = str_find_str(body, STR("zebra")) < body.n; break;
		case 8: hits[i] = str_find_str(body, STR("Subject: third")) < body.n; break;
		default: hits[i] = str_find_str(body, STR("X-Note: green")) < body.n; break;
		}
	}
	switch (what) {
	case 0: buf_addf(out, "%s", flags[n].word); break;
	case 1: buf_addf(out, "UN%s", flags[n].word); break;
	case 2: buf_addf(out, "LARGER %u", size); break;
	case 3: buf_addf(out, "SMALLER %u", size); break;
	case 4: buf_addf(out, "UID %u:%u", uid, SEARCHED + 100); break;
	case 5: buf_addf(out, "1:%u", last); break;
	case 6: buf_addf(out, "SINCE %u-Feb-1994", day); break;
	case 7: buf_addf(out, "BODY ZEBRA"); break;
	case 8: buf_addf(out, "SUBJECT third"); break;
	case 9: buf_addf(out, "HEADER X-Note green"); break;
	case 10:
		buf_addf(out, "NOT ");
		random_key(out, b, depth - 1, x);
		break;
	case 11:
		buf_addf(out, "OR ");
		random_key(out, b, depth - 1, x);
		buf_addf(out, " ");
		random_key(out, b, depth - 1, y);
		break;
	default:
		buf_addf(out, "(");
		random_key(out, b, depth - 1, x);
		buf_addf(out, " ");
		random_key(out, b, depth - 1, y);
		buf_addf(out, ")");
	}
	for (size_t i = 0; i < b->n && what >= 10; i++)
		hits[i] = what == 10 ? !x[i] : what == 11 ? x[i] || y[i] : x[i] && y[i];
	return true;
}

static void a_search_finds_what_a_plain_reading_finds(void **state)
{
	(void)state;
	struct play p;
	play_init(&p);
	struct house_box *b = house_box(&p.house, "INBOX");
	seed = 5;
	for (unsigned i = 0; i < SEARCHED; i++) {
		assert_true(house_deliver(&p.house, b, play_message(i), 760000000000 + (int64_t)dice(28) * 86400000) > 0);
		b->messages[i].flags = dice(32);
	}
	for (uint32_t uid = 5; uid < SEARCHED; uid += 7)
		assert_true(house_expunge(&p.house, b, uid));
	unsigned found = 0;
	for (unsigned round = 0; round < 1500; round++) {
		bool hits[SEARCHED] = { 0 };
		struct buf script, want;
		bool by_uid = dice(2);
		buf_init(&script, 100000);
		buf_init(&want, 10000);
		buf_addf(&script, "C: a login alice@corp.example secret\nC: b examine INBOX\nC: c %sSEARCH ", by_uid ? "UID " : "");
		random_key(&script, b, 1 + dice(4), hits);
		buf_addf(&script, "\nC: d logout\n");
		buf_byte(&script, 0);
		buf_addf(&want, "* SEARCH");
		for (size_t i = 0; i < b->n; i++)
			if (hits[i]) {
				buf_addf(&want, " %u", by_uid ? b->messages[i].uid : (unsigned)i + 1);
				found++;
			}
		buf_addf(&want, "\r\nc OK searched\r\n");
		play_run(&p, script.p);
		if (str_find_str(buf_str(&p.out), buf_str(&want)) == p.out.len)
			fail_msg("%s: wanted %.*s, got %.*s", script.p, PSTR(buf_str(&want)), PSTR(buf_str(&p.out)));
		buf_done(&script);
		buf_done(&want);
	}
	assert_in_range(found, 2000, 50000);
	play_done(&p);
}

static void a_search_reads_no_more_than_it_needs(void **state)
{
	(void)state;
	static const struct { const char *keys; unsigned wanted, opened; } cases[] = {
		{ "ALL", 0, 0 },
		{ "1:3 NOT UID 3", 0, 0 },
		{ "UNSEEN", WANT_STATE, 0 },
		{ "SUBJECT third", WANT_RECORD, 0 },
		{ "SEEN SUBJECT third", WANT_STATE, 0 }, /* nothing is seen: no record is read */
		{ "BODY quagga", WANT_GRAMS, 0 },
		{ "BODY zebra", WANT_GRAMS | WANT_BODY, 1 },
		{ "OR ALL BODY zebra", WANT_GRAMS, 0 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct play p;
		char script[300];
		play_init(&p);
		for (unsigned k = 0; k < 3; k++)
			house_deliver(&p.house, house_box(&p.house, "INBOX"), play_message(k), 760000000000);
		snprintf(script, sizeof script, "C: a login alice@corp.example secret\nC: b examine INBOX\nC: c SEARCH %s\nC: d logout\n", cases[i].keys);
		play_run(&p, script);
		if (p.house.wanted != cases[i].wanted || p.house.matches != cases[i].opened)
			fail_msg("%s read %u, opened %u", cases[i].keys, p.house.wanted, p.house.matches);
		play_done(&p);
	}
}

static void a_search_nested_too_deep_or_too_long_is_refused(void **state)
{
	(void)state;
	struct play p;
	struct buf script;
	play_init(&p);
	buf_init(&script, 200000);
	buf_addf(&script, "C: a login alice@corp.example secret\nC: b examine INBOX\nC: c SEARCH ");
	for (unsigned i = 0; i < 20000; i++)
		buf_byte(&script, '(');
	buf_addf(&script, "\nC: d SEARCH ");
	for (unsigned i = 0; i < 5000; i++)
		buf_addf(&script, "SEEN ");
	buf_addf(&script, "ALL\nC: e SEARCH ");
	for (unsigned i = 0; i < 70; i++)
		buf_addf(&script, "TEXT x ");
	buf_addf(&script, "ALL\n");
	buf_byte(&script, 0);
	play_run(&p, script.p);
	struct str out = buf_str(&p.out);
	assert_true(str_find_str(out, STR("c BAD expected keys nested at most 50 deep\r\nd BAD expected at most 2000 search keys\r\ne BAD expected at most 64 texts to search for\r\n")) < out.n);
	buf_done(&script);
	play_done(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf7_names_go_both_ways),
		cmocka_unit_test(utf7_takes_one_form_only),
		cmocka_unit_test(utf7_survives_the_round_trip_whatever_the_name),
		cmocka_unit_test(patterns_match_as_a_naive_matcher_does),
		cmocka_unit_test(a_hostile_pattern_costs_no_more),
		cmocka_unit_test(the_map_agrees_with_a_plain_list),
		cmocka_unit_test(tidy_ranges_hold_what_was_added),
		cmocka_unit_test(a_map_takes_only_ascending_runs),
		cmocka_unit_test(sections_are_understood),
		cmocka_unit_test(a_path_too_deep_is_refused),
		cmocka_unit_test(a_search_finds_what_a_plain_reading_finds),
		cmocka_unit_test(a_search_reads_no_more_than_it_needs),
		cmocka_unit_test(a_search_nested_too_deep_or_too_long_is_refused),
		cmocka_unit_test(strings_are_taken_in_all_three_forms),
	};
	return cmocka_run_group_tests_name("imap parts", tests, NULL, NULL);
}
