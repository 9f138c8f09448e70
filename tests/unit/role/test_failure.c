#include "role/edge_failure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Whom fo= wants to hear of what, and what of a header is told. */

static void fo_says_which_failures_are_told(void **state)
{
	static const struct { const char *fo; enum auth dmarc; bool spf_aligned, dkim_aligned; enum auth spf, dkim; bool body_ok; const char *want; } cases[] = {
		{ "", AUTH_FAIL, false, false, AUTH_FAIL, AUTH_NONE, false, "dmarc" },
		{ "0", AUTH_PASS, true, false, AUTH_PASS, AUTH_FAIL, false, NULL },
		{ "1", AUTH_PASS, true, false, AUTH_PASS, AUTH_FAIL, false, "dmarc" },
		{ "1", AUTH_PASS, true, true, AUTH_PASS, AUTH_PASS, true, NULL },
		{ "d", AUTH_PASS, true, false, AUTH_PASS, AUTH_FAIL, false, "bodyhash" },
		{ "d", AUTH_PASS, true, false, AUTH_PASS, AUTH_FAIL, true, "signature" },
		{ "d", AUTH_FAIL, false, false, AUTH_FAIL, AUTH_PASS, true, NULL },
		{ "s", AUTH_PASS, false, true, AUTH_SOFTFAIL, AUTH_PASS, true, "spf" },
		{ " D : s ", AUTH_PASS, false, true, AUTH_PERMERROR, AUTH_PASS, true, "spf" },
		{ "s", AUTH_PASS, false, true, AUTH_NEUTRAL, AUTH_PASS, true, NULL },
		{ "x:11", AUTH_FAIL, false, false, AUTH_FAIL, AUTH_FAIL, false, NULL },
		{ "0", AUTH_TEMPERROR, false, false, AUTH_TEMPERROR, AUTH_NONE, false, NULL },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct dkim_signature s = { .result = cases[i].dkim, .body_ok = cases[i].body_ok };
		struct dkim_result dkim = { .signature = &s, .n = cases[i].dkim != AUTH_NONE };
		struct spf_result spf = { .result = cases[i].spf };
		struct dmarc_result d = { .result = cases[i].dmarc, .spf_aligned = cases[i].spf_aligned, .dkim_aligned = cases[i].dkim_aligned,
			.record = { .found = true, .ruf = STR("mailto:a@b.example"), .fo = str_z(cases[i].fo) } };
		const char *got = edge_failure_wanted(&d, &dkim, &spf);
		if ((got == NULL) != (cases[i].want == NULL) || (got && strcmp(got, cases[i].want) != 0))
			fail_msg("case %zu: %s", i, got ? got : "none");
		d.record.ruf = STR("");
		assert_null(edge_failure_wanted(&d, &dkim, &spf));
	}
}

static void only_the_way_and_the_signatures_of_a_header_are_told(void **state)
{
	struct buf out = { .max = 1 << 20 };
	struct buf big = { .max = 1 << 20 };
	(void)state;
	edge_failure_fields(STR("Received: from a\r\n by b\r\nSubject: secret\r\nX-A: y\r\nfrom: <a@b.example>\r\nTo: c@d.example\r\nDKIM-Signature: v=1\r\n\r\nFrom: body\r\n"), &out);
	assert_true(str_eq(buf_str(&out), STR("Received: from a\r\n by b\r\nfrom: <a@b.example>\r\nDKIM-Signature: v=1\r\n")));
	for (unsigned i = 0; i < 3000; i++)
		buf_add(&big, STR("Received: from one host that has a long name by another host that has a long name\r\n"));
	buf_clear(&out);
	edge_failure_fields(buf_str(&big), &out);
	assert_true(out.len > 40000 && out.len <= 49152);
	buf_done(&out);
	buf_done(&big);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(fo_says_which_failures_are_told), cmocka_unit_test(only_the_way_and_the_signatures_of_a_header_are_told) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
