#include "base/octets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

enum { LENGTHS = 201, ALIGNMENTS = 32, ROUNDS = 40 };

/* ---- the same questions, answered octet by octet ---- */

static size_t plain_count(struct str s, char c)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == c;
	return n;
}

static size_t plain_pairs(struct str s, char a, char b, size_t *out_first)
{
	size_t n = 0;
	*out_first = s.n;
	for (size_t i = 1; i < s.n; i++)
		if (s.p[i - 1] == a && s.p[i] == b && n++ == 0)
			*out_first = i - 1;
	return n;
}

static unsigned plain_survey(struct str s)
{
	unsigned found = 0;
	for (size_t i = 0; i < s.n; i++) {
		bool after_cr = i > 0 && s.p[i - 1] == '\r', before_lf = i + 1 < s.n && s.p[i + 1] == '\n';
		if (s.p[i] == 0)
			found |= OCTETS_NUL;
		if (s.p[i] == '\r' && !before_lf)
			found |= OCTETS_BARE_CR;
		if (s.p[i] == '\n' && !after_cr)
			found |= OCTETS_BARE_LF;
	}
	return found;
}

static bool plain_long_line(struct str s, size_t most)
{
	size_t from = 0;
	for (size_t i = 0; i <= s.n; i++) {
		if (i < s.n && s.p[i] != '\n')
			continue;
		size_t n = i - from;
		if (i < s.n && n && s.p[i - 1] == '\r')
			n--;
		if (n > most)
			return true;
		from = i + 1;
	}
	return false;
}

static size_t plain_whole_lines(struct str s, char stop)
{
	size_t whole = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (whole && i == whole && s.p[i] == stop)
			break;
		if (s.p[i] == '\n')
			break;
		if (s.p[i] != '\r')
			continue;
		if (i + 1 == s.n || s.p[i + 1] != '\n')
			break;
		whole = ++i + 1;
	}
	return whole;
}

/* ---- texts ---- */

static uint32_t dice(void)
{
	static uint64_t x = 88172645463325252ull;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 32);
}

/* Mostly sound lines, so that one odd octet is alone among many; or the octets that matter in any order; or noise. */
static void make(char *p, size_t n, unsigned kind)
{
	static const char few[] = { '\r', '\n', '.', '-', 'a', 0, '\r', '\n', '\v', '\x8d', '\x8a', '\x0c' };
	for (size_t i = 0; i < n; i++) {
		if (kind % 3 == 0)
			p[i] = i % 7 == 5 ? '\r' : i % 7 == 6 ? '\n' : (char)('a' + dice() % 26);
		else if (kind % 3 == 1)
			p[i] = few[dice() % sizeof few];
		else
			p[i] = (char)dice();
	}
	if (kind % 3 == 0 && n && dice() % 4)
		p[dice() % n] = few[dice() % sizeof few];
}

static void ask_all(struct str s)
{
	static const char pairs[][2] = { { '\n', '-' }, { '\n', '.' }, { '\r', '\n' }, { 'a', 'a' }, { '\n', '\n' } };
	static const char one[] = { '\n', '\r', 0, 'a', '\xff' };
	static const char stops[] = { '.', '\n', 'a' };
	for (size_t k = 0; k < sizeof one; k++)
		assert_int_equal(octets_count(s, one[k]), plain_count(s, one[k]));
	for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
		size_t first, n = plain_pairs(s, pairs[k][0], pairs[k][1], &first);
		assert_int_equal(octets_count_pair(s, pairs[k][0], pairs[k][1]), n);
		assert_int_equal(octets_find_pair(s, pairs[k][0], pairs[k][1]), first);
	}
	assert_int_equal(octets_survey(s), plain_survey(s));
	for (size_t most = 0; most < 12; most++)
		assert_int_equal(octets_long_line(s, most), plain_long_line(s, most));
	for (size_t k = 0; k < sizeof stops; k++)
		assert_int_equal(octets_whole_lines(s, stops[k]), plain_whole_lines(s, stops[k]));
}

static void every_length_at_every_alignment_is_answered_as_octet_by_octet(void **state)
{
	(void)state;
	for (size_t n = 0; n < LENGTHS; n++)
		for (size_t at = 0; at < ALIGNMENTS; at++) {
			char *room = malloc(at + n + 1); /* what is read behind the text dies under the sanitizers, when the text ends the room */
			assert_non_null(room);
			for (unsigned round = 0; round < ROUNDS; round++) {
				make(room, at + n + 1, round);
				ask_all(str_of(room + at, n));
				ask_all(str_of(room + at + 1, n));
			}
			free(room);
		}
}

/* Sound lines, and in every place once what makes them unsound: no place of a step is blind. */
static void one_odd_octet_is_seen_wherever_it_stands(void **state)
{
	(void)state;
	static const char odd[] = { '\r', '\n', 0, '.', '-' };
	for (size_t n = 1; n < 180; n += 13)
		for (size_t at = 0; at < n; at++)
			for (size_t k = 0; k < sizeof odd; k++) {
				char text[180];
				for (size_t i = 0; i < n; i++)
					text[i] = i % 10 == 8 ? '\r' : i % 10 == 9 ? '\n' : 'x';
				text[at] = odd[k];
				ask_all(str_of(text, n));
			}
}

static void counts_do_not_overflow_an_octet(void **state)
{
	(void)state;
	static char text[16 * 255 * 3 + 20];
	memset(text, 'a', sizeof text);
	for (size_t n = sizeof text - 40; n <= sizeof text; n++) {
		assert_int_equal(octets_count(str_of(text, n), 'a'), n);
		assert_int_equal(octets_count_pair(str_of(text, n), 'a', 'a'), n - 1);
	}
}

static void long_texts_are_answered_as_octet_by_octet(void **state)
{
	(void)state;
	static char text[9000];
	for (unsigned round = 0; round < 60; round++) {
		make(text, sizeof text, round);
		ask_all(str_of(text, sizeof text - round));
	}
}

/* RFC 5322 2.1.1: "Each line of characters MUST be no more than 998 characters ... excluding the CRLF" */
static void the_line_limit_does_not_count_the_line_end(void **state)
{
	(void)state;
	static const struct str ends[] = { STR_INIT(""), STR_INIT("\n"), STR_INIT("\r\n"), STR_INIT("\r\r\n"), STR_INIT("\r") };
	char text[2100];
	for (size_t n = 990; n < 1006; n++)
		for (size_t k = 0; k < sizeof ends / sizeof *ends; k++)
			for (size_t before = 0; before < 40; before += 13) {
				memset(text, 'x', sizeof text);
				if (before)
					text[before - 1] = '\n';
				memcpy(text + before + n, ends[k].p, ends[k].n);
				size_t whole = before + n + ends[k].n;
				assert_int_equal(octets_long_line(str_of(text, whole), 998), plain_long_line(str_of(text, whole), 998));
				assert_int_equal(octets_long_line(str_of(text, whole + 5), 998), plain_long_line(str_of(text, whole + 5), 998));
				assert_int_equal(octets_long_line(str_of(text, sizeof text), 998), true);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_at_every_alignment_is_answered_as_octet_by_octet),
		cmocka_unit_test(one_odd_octet_is_seen_wherever_it_stands),
		cmocka_unit_test(counts_do_not_overflow_an_octet),
		cmocka_unit_test(long_texts_are_answered_as_octet_by_octet),
		cmocka_unit_test(the_line_limit_does_not_count_the_line_end),
	};
	return cmocka_run_group_tests_name("octets", tests, NULL, NULL);
}
