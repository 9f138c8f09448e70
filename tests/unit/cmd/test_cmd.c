#include "cmd/address.h"
#include "cmd/config_file.h"
#include "cmd/verbs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAD "config_version = 1\nserver { hostname = \"mail.demo.test\" }\nlisten { smtp = {\"127.0.0.1:2525\"} }\n"

static void a_right_file_is_taken_with_its_lines(void **state)
{
	static const struct str text = STR_INIT(HEAD "# a comment\ninbound {\n  max_size = 25MiB\n  tarpit = \"2 s\"\n}\n"
	                                        "tls \"a\" { cert = \"/c\" key = \"/k\" }\nlisten { imaps = {\"[::1]:993\", \"127.0.0.1:993\"}\n trusted_proxies = {\"10.0.0.0/8\"} }\n");
	struct config c;
	struct config_lines lines;
	struct why why = { 0 };
	assert_int_equal(config_text_load("x.conf", text, &c, &lines, &why), RC_OK);
	assert_int_equal(c.inbound_max_size, 25 << 20);
	assert_int_equal(c.inbound_tarpit, 2000);
	assert_int_equal(c.listener_n, 3);
	assert_true(str_eq(c.listeners[2].address, STR("127.0.0.1:993")));
	assert_true(c.tls_n == 1 && c.proxy_n == 1 && str_eq(c.tls[0].cert, STR("/c")));
	assert_int_equal(lines.row[config_row_find(STR("inbound"), STR("tarpit")) - config_rows], 7);
	assert_int_equal(lines.row[config_row_find(STR("inbound"), STR("max_errors")) - config_rows], 0);
	config_done(&c);
}

static void a_wrong_file_is_refused_with_line_column_and_neighbour(void **state)
{
	static const struct { const char *text, *error; } cases[] = {
		{ HEAD "server {\n  admni = \"x\"\n}\n", "x.conf:5:3: unknown key \"admni\"; did you mean \"admin\"?" },
		{ HEAD "inbuond {\n}\n", "x.conf:4:1: unknown key \"inbuond\"; did you mean \"inbound\"?" },
		{ HEAD "server { max_size = 1MiB }\n", "x.conf:4:10: unknown key \"max_size\" here; it belongs into section inbound" },
		{ HEAD "include(\"/etc/passwd\")\n", "x.conf:4:1: unknown key \"include\"; see: letterlock config explain" },
		{ HEAD "inbound {\n  max_size = 50\n}\n", "x.conf:5:3: inbound.max_size wants a number with KiB, MiB or GiB, such as \"64 MiB\", not \"50\"" },
		{ HEAD "inbound {\n  tarpit = 2 h\n}\n", "x.conf:5:3: inbound.tarpit wants a number with ms, s, min, h or d, such as \"30 s\", not \"2\"" },
		{ HEAD "inbound {\n  tarpit = 2h\n}\n", "x.conf:5:3: inbound.tarpit must be 0 to 1 min" },
		{ HEAD "inbound {\n  tarpit = 1s\n  tarpit = 2s\n}\n", "x.conf:6:3: tarpit is already set in line 5" },
		{ HEAD "listen { pop3 = {\"nowhere\"} }\n", NULL },
		{ HEAD "tls \"a\" { cert = \"/c\" }\n", "tls \"a\" needs both cert and key" },
		{ HEAD "listen { imaps = {\"127.0.0.1:1\"} }\n", "x.conf:4:10: listen.imaps needs a tls \"name\" { cert key } section" },
		{ "server { hostname = \"a\" }\nconfig_version = 1\n", "x.conf:1:10: config_version = 1 must stand first" },
		{ HEAD "account {\n  mode = secret\n}\nlisten { smtp = {\"127.0.0.1:25\"} }\n", "x.conf:5:3: account.mode must be organisation or private" },
		{ HEAD "relay {\n  source_v4 = x\n}\n", "x.conf:5:3: relay.source_v4: \"x\" is no IPv4 address" },
		{ HEAD "listen {\n  imap_proxy = {\"127.0.0.1:143\"}\n}\n", "x.conf:5:3: listen.imap_proxy needs listen.trusted_proxies" },
		{ HEAD "listen { smtp = {\"127.0.0.1:25\"}\n  metrics = {\"0.0.0.0:9\"}\n}\n", "x.conf:5:3: listen.metrics: metrics have no login: loopback only, not 0.0.0.0:9" },
		{ "config_version = 2\n", "x.conf:1:1: config_version must be 1: this program knows no other" },
		{ "", "x.conf:1:1: config_version = 1 must stand first" },
		{ HEAD "server {\n", "x.conf:4:1: the file ends inside a section: a } is missing" }, { HEAD "server { admin = \"x\n", "premature end of file" },
		{ HEAD "}\n", "x.conf:4:1: unexpected closing brace" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct config c;
		struct why why = { 0 };
		enum rc rc = config_text_load("x.conf", str_z(cases[i].text), &c, NULL, &why);
		if (rc == RC_OK)
			print_error("case %zu was taken\n", i);
		assert_int_not_equal(rc, RC_OK);
		if (cases[i].error && !strstr(why.text, cases[i].error))
			print_error("case %zu: %s\n", i, why.text);
		assert_true(!cases[i].error || strstr(why.text, cases[i].error));
		assert_non_null(strstr(why.text, "x.conf"));
	}
}

/* Each line after HEAD is the fourth one. */
static void a_variable_that_is_not_set_is_an_error_unless_it_has_a_default(void **state)
{
	static const struct { const char *text, *hostname, *error; } cases[] = {
		{ "relay { hostname = \"mx.${LL_TEST_NOT_SET}\" }\n", NULL, "x.conf:4:24: the environment variable \"LL_TEST_NOT_SET\" is not set; a default is written ${NAME:-VALUE}" },
		{ "relay {\n  hostname = ${LL_TEST_NOT_SET}\n}\n", NULL, "x.conf:5:14: the environment variable \"LL_TEST_NOT_SET\" is not set" },
		{ "relay { hostname = \"${LL_TEST_SET}${LL_TEST_NOT_SET}\" }\n", NULL, "x.conf:4:35: the environment variable \"LL_TEST_NOT_SET\" is not set" },
		{ "relay { hostname = \"${LL_TEST_NOT_SET:x}\" }\n", NULL, "x.conf:4:21: the environment variable \"LL_TEST_NOT_SET:x\" is not set" },
		{ "relay { hostname = \"${}\" }\n", NULL, "x.conf:4:21: the environment variable \"\" is not set" },
		{ "relay { hostname = 'it''s' hostname = \"\\\"${LL_TEST_NOT_SET}\" }\n", NULL, "x.conf:4:42: the environment variable \"LL_TEST_NOT_SET\" is not set" },
		{ "relay { hostname = \"${LL_TEST_SET}\" }\n", "mx.set.example", NULL },
		{ "relay { hostname = ${LL_TEST_SET} }\n", "mx.set.example", NULL },
		{ "relay { hostname = \"${LL_TEST_NOT_SET:-mx.default.example}\" }\n", "mx.default.example", NULL },
		{ "relay { hostname = ${LL_TEST_NOT_SET:-mx.default.example} }\n", "mx.default.example", NULL },
		{ "relay { hostname = \"${LL_TEST_EMPTY}\" }\n", "", NULL },
		{ "# ${LL_TEST_NOT_SET}\n/* \"${LL_TEST_NOT_SET}\" */ relay { hostname = mx.plain.example }\n", "mx.plain.example", NULL },
		{ "reports { org_name = '${LL_TEST_NOT_SET}' }\n", "", NULL },
		{ "reports { org_name = \"\\${LL_TEST_NOT_SET}\" }\n", "", NULL },
		{ "reports { org_name = \"a ${ b\" org_name = \"${\" }\n", NULL, "x.conf:4:25: the environment variable \" b\"" }, /* up to the first brace, as libconfuse has it */
		{ "relay { hostname = \"${LL_TEST_NOT_SET\n", NULL, "x.conf" },
	};
	assert_int_equal(setenv("LL_TEST_SET", "mx.set.example", 1) | setenv("LL_TEST_EMPTY", "", 1) | unsetenv("LL_TEST_NOT_SET"), 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[500];
		struct config c;
		struct why why = { 0 };
		snprintf(text, sizeof text, HEAD "%s", cases[i].text);
		enum rc rc = config_text_load("x.conf", str_z(text), &c, NULL, &why);
		if ((rc == RC_OK) != !cases[i].error || (cases[i].error && !strstr(why.text, cases[i].error)))
			print_error("case %zu: %s\n", i, why.text);
		assert_int_equal(rc, cases[i].error ? RC_SYNTAX : RC_OK);
		if (cases[i].error) {
			assert_non_null(strstr(why.text, cases[i].error));
			continue;
		}
		assert_true(str_eq(c.relay_hostname, str_z(cases[i].hostname)));
		config_done(&c);
	}
}

static void a_file_that_is_no_text_or_too_large_is_refused(void **state)
{
	static char big[CONFIG_FILE_MAX + 1];
	struct config c;
	struct why why = { 0 };
	memset(big, '#', sizeof big);
	assert_int_equal(config_text_load("x", str_of(big, sizeof big), &c, NULL, &why), RC_LIMIT);
	assert_int_equal(config_text_load("x", STR("config_version\0= 1"), &c, NULL, &why), RC_SYNTAX);
	assert_int_equal(config_file_load("/nowhere/x.conf", &c, NULL, &why), RC_NOTFOUND);
}

static void comments_do_not_move_the_line_numbers(void **state)
{
	static const char *const comments[] = { "# x", "// x", "/* x */", "/* x\n * y */", "#", "##\n#", "# \"", "/* ' */", "//" };
	for (size_t i = 0; i < sizeof comments / sizeof *comments; i++) {
		char text[1000], expected[100];
		struct config c;
		struct why why = { 0 };
		unsigned lines = 1;
		for (const char *p = comments[i]; *p; p++)
			lines += *p == '\n';
		snprintf(text, sizeof text, "%s\nconfig_version = 1 %s\nserver {\n  hostname = 'a#b' %s\n  admni = x\n}\n", comments[i], comments[i], comments[i]);
		snprintf(expected, sizeof expected, "x:%u:3: unknown key \"admni\"", 3 * lines + 2);
		assert_int_equal(config_text_load("x", str_z(text), &c, NULL, &why), RC_SYNTAX);
		if (!strstr(why.text, expected))
			print_error("%s: %s, not %s\n", comments[i], why.text, expected);
		assert_non_null(strstr(why.text, expected));
	}
}

static void the_nearest_word_is_near_or_none(void **state)
{
	static const char *const words[] = { "hostname", "admin", "data_dir" };
	assert_string_equal(nearest_word(STR("hostnam"), words, 3), "hostname");
	assert_string_equal(nearest_word(STR("datadir"), words, 3), "data_dir");
	assert_null(nearest_word(STR("quota"), words, 3));
	assert_null(nearest_word(STR(""), words, 3));
}

static void addresses_become_what_the_directory_keeps(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "Alice@Example.ORG", "alice@example.org" }, { "bob@b\xc3\xbc" "cher.example", "bob@xn--bcher-kva.example" },
		{ "j\xc3\xb6rg@example.org", "j\xc3\xb6rg@example.org" }, { "a.b-c_d@x-y.example", "a.b-c_d@x-y.example" },
		{ "a@b", NULL }, { "@example.org", NULL }, { "a b@example.org", NULL }, { "a..b@example.org", NULL }, { "a+tag@example.org", NULL },
		{ "a@-x.example", NULL }, { "a@x..example", NULL }, { "a@@example.org", NULL }, { "\"a\"@example.org", NULL }, { "a@example.org.", NULL },
		{ "a\r\n@example.org", NULL }, { "a", NULL }, { "", NULL }, { "a@exa mple.org", NULL },
		{ "a@0123456789012345678901234567890123456789012345678901234567890123456789.example", NULL },
		{ "01234567890123456789012345678901234567890123456789012345678901234@example.org", NULL },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char out[321];
		struct why why = { 0 };
		enum rc rc = address_clean(cases[i].in, out, sizeof out, &why);
		if ((rc == RC_OK) != (cases[i].out != NULL))
			print_error("%s\n", cases[i].in);
		assert_int_equal(rc == RC_OK, cases[i].out != NULL);
		if (cases[i].out)
			assert_string_equal(out, cases[i].out);
	}
}

static void an_address_of_a_machine_is_no_domain_of_ours(void **state)
{
	static const char ip[] = "is an IP address, not a domain; it should look like example.org";
	static const char number[] = "is not a domain, for it ends with a number; it should look like example.org";
	static const char other[] = "is not a domain; it should look like example.org";
	static const struct { const char *in, *wrong; } cases[] = {
		{ "1.2.3.4", ip }, { "[1.2.3.4]", ip }, { "2001:db8::1", ip }, { "[2001:db8::1]", ip }, { "[IPv6:2001:db8::1]", ip }, { "::ffff:192.0.2.1", ip },
		{ "1.2.3", number }, { "300.2.3.4", number }, { "example.123", number }, { "1.2.3.4.", other }, { "[example.org]", other },
		{ "1.2.3.example", NULL }, { "example.x1", NULL }, { "b\xc3\xbc" "cher.example", NULL },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char out[256], want[200];
		struct why why = { 0 };
		assert_int_equal(domain_clean_ours(cases[i].in, out, sizeof out, &why), cases[i].wrong ? RC_SYNTAX : RC_OK);
		if (cases[i].wrong) {
			(void)snprintf(want, sizeof want, "\"%s\" %s", cases[i].in, cases[i].wrong);
			assert_string_equal(why.text, want);
		}
	}
	char out[256];
	assert_int_equal(domain_clean("1.2.3.4", out, sizeof out, NULL), RC_OK); /* where mail goes, and what is to be removed */
}

static void what_is_looked_for_is_looked_for_by_its_a_labels(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "Bob@B\xc3\xbc" "cher.example", "Bob@xn--bcher-kva.example" }, { "@b\xc3\xbc" "cher.example", "@xn--bcher-kva.example" }, { "j\xc3\xb6rg@B\xc3\x9c" "cher.example", "j\xc3\xb6rg@xn--bcher-kva.example" },
		{ "\"a b\"@x.example", "\"a b\"@x.example" }, { "x@[192.0.2.1]", "x@[192.0.2.1]" }, { "x@localhost", "x@localhost" }, { "@", "@" }, { "bob", "bob" }, { "", "" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char out[321], small[4];
		assert_true(str_eq(address_sought(cases[i].in, out, sizeof out), str_z(cases[i].out)));
		assert_true(str_eq(address_sought(cases[i].in, small, sizeof small), str_z(cases[i].in)));
	}
}

/* Runs the command line with stdout and stderr into `out`. */
static int run(char *out, size_t max, const char *const *words)
{
	char copies[12][200], *argv[13] = { 0 };
	int argc = 0;
	for (; words[argc] && argc < 12; argc++) {
		snprintf(copies[argc], sizeof copies[argc], "%s", words[argc]);
		argv[argc] = copies[argc];
	}
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600), saved_out = dup(1), saved_err = dup(2);
	assert_true(fd >= 0);
	fflush(NULL);
	dup2(fd, 1);
	dup2(fd, 2);
	int status = verbs_main(argc, argv);
	fflush(NULL);
	dup2(saved_out, 1);
	dup2(saved_err, 2);
	long n = pread(fd, out, max - 1, 0);
	out[n > 0 ? n : 0] = 0;
	close(fd), close(saved_out), close(saved_err);
	return status;
}

static void wrong_words_are_usage_errors_that_help(void **state)
{
	static const struct { const char *words[8]; int status; const char *says; } cases[] = {
		{ { "letterlock", "acount", "list" }, 2, "did you mean \"account\"?" },
		{ { "letterlock", "account", "lst" }, 2, "did you mean \"list\"?" },
		{ { "letterlock", "account" }, 2, "needs a verb" },
		{ { "letterlock", "account", "add" }, 2, "account add needs ADDRESS" },
		{ { "letterlock", "account", "add", "a@b.example", "hunter2" }, 2, "secrets are never arguments" },
		{ { "letterlock", "status", "--jsn" }, 2, "there is no option \"--jsn\" here" },
		{ { "letterlock", "status", "--json=1" }, 2, "--json takes no value" },
		{ { "letterlock", "status", "--config" }, 2, "--config needs FILE" },
		{ { "letterlock", "docs", "nothing" }, 2, "there is no such page" },
		{ { "letterlock", "help", "nothing" }, 3, "there is no such verb" },
		{ { "letterlock", "config", "explain", "maxsize" }, 3, "did you mean max_size?" },
		{ { "letterlock", "status", "--config", "/nowhere/x.conf" }, 1, "/nowhere/x.conf: no such file" },
		{ { "letterlock", "config", "check", "/nowhere/x.conf", "--json" }, 1, "{\"status\":1,\"error\":\"there is nothing to check\",\"why\":\"/nowhere/x.conf: no such file\"" },
		{ { "letterlock", "demo", "--port-base", "x" }, 2, "--port-base is at most" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char out[8192];
		int status = run(out, sizeof out, cases[i].words);
		if (status != cases[i].status || !strstr(out, cases[i].says))
			print_error("case %zu: %d %s\n", i, status, out);
		assert_int_equal(status, cases[i].status);
		assert_non_null(strstr(out, cases[i].says));
	}
}

static void every_verb_has_help_with_two_examples(void **state)
{
	for (size_t i = 0; i < verb_n; i++) {
		char out[16384], example[200];
		const char *words[] = { "letterlock", verbs[i].noun, verbs[i].verb ? verbs[i].verb : "--help", verbs[i].verb ? "--help" : NULL, NULL };
		assert_int_equal(run(out, sizeof out, words), 0);
		for (size_t k = 0; k < 2; k++) {
			assert_non_null(verbs[i].examples[k]);
			snprintf(example, sizeof example, "  letterlock %s\n", verbs[i].examples[k]);
			assert_non_null(strstr(out, example));
		}
		assert_non_null(strstr(out, verbs[i].help));
	}
}

static void a_server_that_is_not_there_is_said_with_what_works_without(void **state)
{
	char path[] = "/tmp/letterlock-test-XXXXXX", text[1000], out[8192];
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	int n = snprintf(text, sizeof text, "%sserver { control = \"/nowhere/ctl.sock\" }\n", "config_version = 1\nlisten { smtp = {\"127.0.0.1:2525\"} }\nserver { hostname = x }\n");
	assert_int_equal(pwrite(fd, text, (size_t)n, 0), n);
	const char *words[] = { "letterlock", "status", "--config", path, NULL };
	int status = run(out, sizeof out, words);
	close(fd);
	unlink(path);
	assert_int_equal(status, 1);
	assert_non_null(strstr(out, "server is not running"));
	assert_non_null(strstr(out, "these work without it: demo, config check,"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_looked_for_is_looked_for_by_its_a_labels),
		cmocka_unit_test(a_right_file_is_taken_with_its_lines),
		cmocka_unit_test(a_wrong_file_is_refused_with_line_column_and_neighbour),
		cmocka_unit_test(a_variable_that_is_not_set_is_an_error_unless_it_has_a_default),
		cmocka_unit_test(a_file_that_is_no_text_or_too_large_is_refused),
		cmocka_unit_test(comments_do_not_move_the_line_numbers),
		cmocka_unit_test(the_nearest_word_is_near_or_none),
		cmocka_unit_test(addresses_become_what_the_directory_keeps),
		cmocka_unit_test(an_address_of_a_machine_is_no_domain_of_ours),
		cmocka_unit_test(wrong_words_are_usage_errors_that_help),
		cmocka_unit_test(every_verb_has_help_with_two_examples),
		cmocka_unit_test(a_server_that_is_not_there_is_said_with_what_works_without),
	};
	return cmocka_run_group_tests_name("cmd", tests, NULL, NULL);
}
