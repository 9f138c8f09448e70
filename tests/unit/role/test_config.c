#include "role/config.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct config_row *row(const char *section, const char *name)
{
	const struct config_row *r = config_row_find(str_z(section), str_z(name));
	assert_non_null(r);
	return r;
}

static void fill(struct config *c)
{
	struct why why;
	config_init(c);
	assert_int_equal(config_set(c, row("server", "hostname"), STR("mail.demo.test"), &why), RC_OK);
	assert_int_equal(config_set(c, row("inbound", "max_size"), STR("25 MiB"), &why), RC_OK);
	assert_int_equal(config_set(c, row("server", "demo"), STR("on"), &why), RC_OK);
	assert_int_equal(config_listen(c, LISTEN_SMTP, false, STR("127.0.0.1:2525"), &why), RC_OK);
	assert_int_equal(config_listen(c, LISTEN_IMAPS, true, STR("[::1]:9930"), &why), RC_OK);
	assert_int_equal(config_add_tls(c, &(struct config_tls){ STR("main"), STR("/c.pem"), STR("/k.pem") }, &why), RC_OK);
	assert_int_equal(config_add_proxy(c, STR("10.0.0.0/8"), &why), RC_OK);
}

static void units_are_read_and_required(void **state)
{
	static const struct { const char *section, *name, *text; enum rc rc; uint64_t value; } cases[] = {
		{ "inbound", "max_size", "50 MiB", RC_OK, 50 << 20 },      { "inbound", "max_size", "64KiB", RC_OK, 65536 },
		{ "inbound", "max_size", "50", RC_SYNTAX, 0 },             { "inbound", "max_size", "50 MB", RC_SYNTAX, 0 },
		{ "inbound", "max_size", "1 KiB", RC_LIMIT, 0 },           { "inbound", "max_size", "-1 MiB", RC_SYNTAX, 0 },
		{ "inbound", "max_size", "99999999999 GiB", RC_LIMIT, 0 }, { "account", "quota", "0", RC_OK, 0 },
		{ "inbound", "tarpit", "1500 ms", RC_OK, 1500 },           { "inbound", "tarpit", "2 s", RC_OK, 2000 },
		{ "access", "idle", "1 d", RC_OK, 86400000 },              { "access", "idle", "29 min", RC_LIMIT, 0 },
		{ "access", "prelogin", "1 m", RC_SYNTAX, 0 },             { "process", "edge", "4", RC_OK, 4 },
		{ "process", "edge", "4 MiB", RC_SYNTAX, 0 },              { "process", "edge", "", RC_SYNTAX, 0 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct config c;
		struct why why = { 0 };
		config_init(&c);
		const struct config_row *r = row(cases[i].section, cases[i].name);
		assert_int_equal(config_set(&c, r, str_z(cases[i].text), &why), cases[i].rc);
		if (cases[i].rc == RC_OK)
			assert_int_equal(*(uint64_t *)((char *)&c + r->offset), cases[i].value);
		else
			assert_non_null(strstr(why.text, cases[i].name));
		config_done(&c);
	}
}

static void every_default_can_be_written_and_read_again(void **state)
{
	struct config c;
	struct why why = { 0 };
	config_init(&c);
	for (size_t i = 0; i < config_row_n; i++) {
		AUTO(buf_done) struct buf text = { .max = 8192 }, again = { .max = 8192 };
		config_value(&c, &config_rows[i], &text);
		struct str v = buf_str(&text);
		if (config_rows[i].kind == CONFIG_STRING)
			v = str_head(str_skip(v, 1), v.n - 2);
		assert_int_equal(config_set(&c, &config_rows[i], v, &why), RC_OK);
		config_value(&c, &config_rows[i], &again);
		assert_true(str_eq(buf_str(&text), buf_str(&again)));
	}
	config_done(&c);
}

static void what_is_packed_comes_back_and_nothing_shorter(void **state)
{
	struct config c, back;
	struct why why = { 0 };
	fill(&c);
	AUTO(buf_done) struct buf packed = { .max = 1 << 16 }, again = { .max = 1 << 16 };
	config_pack(&c, &packed);
	assert_int_equal(config_unpack(buf_str(&packed), &back, &why), RC_OK);
	config_pack(&back, &again);
	assert_true(str_eq(buf_str(&packed), buf_str(&again)));
	assert_true(back.server_demo && back.inbound_max_size == 25 << 20 && str_eq(back.server_hostname, STR("mail.demo.test")));
	assert_true(back.listener_n == 2 && back.listeners[1].proxy && str_eq(back.listeners[1].address, STR("[::1]:9930")));
	assert_true(back.tls_n == 1 && str_eq(back.tls[0].key, STR("/k.pem")) && back.proxy_n == 1);
	config_done(&back);
	for (size_t n = 0; n < packed.len; n++)
		assert_int_equal(config_unpack(str_head(buf_str(&packed), n), &back, &why), RC_SYNTAX);
	buf_byte(&packed, 0);
	assert_int_equal(config_unpack(buf_str(&packed), &back, &why), RC_SYNTAX);
	config_done(&c);
}

static void what_no_single_key_can_say_is_checked(void **state)
{
	static const struct { const char *section, *name, *value, *error; } cases[] = {
		{ "server", "hostname", "", "server.hostname must be set" },
		{ "server", "data_dir", "var", "server.data_dir must be an absolute path" },
		{ "server", "data_dir", "/a/../b", "server.data_dir may not hold \"..\"" },
		{ "server", "sandbox", "none", "server.sandbox must be full or reduced" },
		{ "account", "mode", "x", "account.mode must be organisation or private" },
		{ "relay", "rate_per_destination", "30/week", "relay.rate_per_destination must be N/s, N/min or N/h, or 0" },
		{ "server", "root_key", "x", "server.root_key must be credential:NAME or file:/path" },
		{ "server", "demo", "off", NULL },
		{ "server", "hostname", "mail.example.org\r\nX", "server.hostname: \"mail.example.org\r\nX\" is no host name, such as mail.example.org" },
		{ "relay", "hostname", "a b", "relay.hostname: \"a b\" is no host name, such as mail.example.org" },
		{ "server", "hostname", "192.0.2.1", "server.hostname: \"192.0.2.1\" is no host name, such as mail.example.org" },
		{ "server", "hostname", "mail2.example7.org", NULL },
		{ "relay", "hostname", "192.0.2.1.", "relay.hostname: \"192.0.2.1.\" is no host name, such as mail.example.org" },
		{ "relay", "hostname", "[192.0.2.1]", "relay.hostname: \"[192.0.2.1]\" is no host name, such as mail.example.org" },
		{ "login", "default_domain", "192.0.2.1", "login.default_domain: \"192.0.2.1\" is no domain, such as example.org" },
		{ "login", "default_domain", "2001:db8::1", "login.default_domain: \"2001:db8::1\" is no domain, such as example.org" },
		{ "login", "default_domain", "example.4you", NULL },
		{ "login", "default_domain", "@x", "login.default_domain: \"@x\" is no domain, such as example.org" },
		{ "relay", "source_v4", "::1", "relay.source_v4: \"::1\" is no IPv4 address" },
		{ "relay", "source_v4", "192.0.2.1", NULL },
		{ "relay", "source_v6", "192.0.2.1", "relay.source_v6: \"192.0.2.1\" is no IPv6 address" },
		{ "relay", "source_v6", "2001:db8::1", NULL },
		{ "relay", "ports", "2525 70000", "relay.ports: \"70000\" is no port: 1 to 65535" },
		{ "dns", "insecure", "a.test bad..zone", "dns.insecure: \"bad..zone\" is no zone, such as example.org" },
		{ "dns", "insecure", ". a.test.", NULL },
		{ "dns", "forwarder", "127.0.0.1 resolver", "dns.forwarder: \"resolver\" is not ADDRESS or ADDRESS@PORT" },
		{ "dns", "forwarder", "127.0.0.1@65536", "dns.forwarder: \"127.0.0.1@65536\" is not ADDRESS or ADDRESS@PORT" },
		{ "dns", "forwarder", "127.0.0.1@5353 2001:db8::53", NULL },
		{ "dns", "forwarder", "none", NULL },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct config c;
		struct why why = { 0 };
		fill(&c);
		assert_int_equal(config_check(&c, &why), RC_OK);
		assert_int_equal(config_set(&c, row(cases[i].section, cases[i].name), str_z(cases[i].value), &why), RC_OK);
		assert_int_equal(config_check(&c, &why) == RC_OK, cases[i].error == NULL);
		if (cases[i].error)
			assert_string_equal(why.text, cases[i].error);
		config_done(&c);
	}
}

static void the_root_key_may_not_lie_in_the_data_directory(void **state)
{
	static const struct { const char *key; bool demo; enum rc rc; } cases[] = {
		{ "file:/var/lib/letterlock/root.key", false, RC_DENIED }, { "file:/var/lib/letterlock", false, RC_DENIED },
		{ "file:/var/lib/letterlock-root.key", false, RC_OK },     { "file:/var/lib/letterlock/root.key", true, RC_OK },
		{ "file:/var/lib/x/../letterlock/k", false, RC_SYNTAX },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct config c;
		struct why why = { 0 };
		fill(&c);
		c.server_demo = cases[i].demo;
		assert_int_equal(config_set(&c, row("server", "root_key"), str_z(cases[i].key), &why), RC_OK);
		assert_int_equal(config_check(&c, &why), cases[i].rc);
		config_done(&c);
	}
}

static void a_demo_and_whatever_has_no_login_stay_on_loopback(void **state)
{
	static const struct { enum listener_proto proto; const char *at; bool demo; enum rc rc; } cases[] = {
		{ LISTEN_SMTP, "0.0.0.0:25", true, RC_DENIED },      { LISTEN_SMTP, "0.0.0.0:25", false, RC_OK },
		{ LISTEN_METRICS, "0.0.0.0:9465", false, RC_DENIED }, { LISTEN_METRICS, "127.0.0.1:9465", false, RC_OK },
		{ LISTEN_LMTP, "192.0.2.1:24", false, RC_DENIED },   { LISTEN_LMTP, "unix:/run/lmtp.sock", true, RC_OK },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct config c;
		struct why why = { 0 };
		fill(&c);
		c.server_demo = cases[i].demo;
		assert_int_equal(config_listen(&c, cases[i].proto, false, str_z(cases[i].at), &why), RC_OK);
		assert_int_equal(config_check(&c, &why), cases[i].rc);
		config_done(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_are_read_and_required),
		cmocka_unit_test(every_default_can_be_written_and_read_again),
		cmocka_unit_test(what_is_packed_comes_back_and_nothing_shorter),
		cmocka_unit_test(what_no_single_key_can_say_is_checked),
		cmocka_unit_test(the_root_key_may_not_lie_in_the_data_directory),
		cmocka_unit_test(a_demo_and_whatever_has_no_login_stay_on_loopback),
	};
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
