#include "fake_dns.h"
#include "origin/origin.h"
#include "origin/psl.h"

#include <stdlib.h>

static void a_registrable_domain_is_one_label_below_a_public_suffix(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "example.com", "example.com" }, { "A.b.EXAMPLE.com.", "example.com" }, { "com", "" }, { "a.b.example.co.uk", "example.co.uk" }, { "co.uk", "" },
		{ "www.b\xc3\xbc" "cher.example", "xn--bcher-kva.example" }, { "", "" }, { ".", "" }, { "a..com", "" }, { "example.com..", "" }, { "b\xc3\xbc" "cher.example..", "" }, { "www.city.kawasaki.jp", "city.kawasaki.jp" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(arena_done) struct arena a = { .max = 10000 };
		SAME(psl_registrable(str_z(cases[i].in), &a), str_z(cases[i].out));
	}
	AUTO(arena_done) struct arena a = { .max = 10000 };
	SAME(psl_registrable(STR("evil.example\0.com"), &a), STR(""));
	AUTO(arena_done) struct arena none = { .max = 2 };
	SAME(psl_registrable(STR("www.example.com"), &none), STR(""));
}

static bool has_high(const char *z)
{
	while (*z && !(*z & 0x80))
		z++;
	return *z;
}

/* "DOMAIN EXPECTED" a line, "null" for none. U-labels are answered as A-labels here, so both sides go through the same folding. */
static unsigned published(const char *path, unsigned *out_bad)
{
	char line[300], domain[128], want[128];
	unsigned n = 0;
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		if (line[0] == '/' || sscanf(line, "%127s %127s", domain, want) != 2)
			continue;
		AUTO(arena_done) struct arena a = { .max = 10000 };
		bool none = strcmp(want, "null") == 0;
		struct str got = strcmp(domain, "null") == 0 ? psl_registrable(STR(""), &a) : psl_registrable(str_z(domain), &a);
		/* The registrable domain of a registrable domain is itself; one with U-labels is answered in A-labels. */
		struct str right = none ? STR("") : psl_registrable(str_z(want), &a);
		bool sound = none || (right.n && (has_high(want) || str_eq(right, str_z(want))));
		n++;
		if (!str_eq(got, right) || !sound) {
			++*out_bad;
			print_error("%s: %.*s instead of %s\n", domain, PSTR(got), want);
		}
	}
	(void)fclose(f);
	return n;
}

static void every_published_case_is_right(void **state)
{
	const char *folder = getenv("LETTERLOCK_TESTDATA");
	char path[500];
	unsigned bad = 0;
	(void)snprintf(path, sizeof path, "%s/psl/tests.txt", folder ? folder : TESTDATA_DEFAULT);
	FILE *f = fopen(path, "r");
	if (!f) {
		print_message("skipped: %s is not there\n", path);
		skip();
	}
	(void)fclose(f);
	assert_int_equal(published(path, &bad), 78);
	assert_int_equal(bad, 0);
	assert_int_equal(psl_setup(NULL), RC_OK);
	assert_int_equal(psl_setup(NULL), RC_OK);
	assert_int_equal(published(path, &bad), 78);
	assert_int_equal(bad, 0);
	psl_done();
	assert_int_equal(published(path, &bad), 78);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_registrable_domain_is_one_label_below_a_public_suffix), cmocka_unit_test(every_published_case_is_right),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
