#include "os/net.h"
#include "os_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void addresses_are_parsed_strictly(void **state)
{
	static const struct { const char *in; enum rc rc; const char *ip; uint16_t port; } cases[] = {
		{ "127.0.0.1:25", RC_OK, "127.0.0.1", 25 },
		{ "[::1]:25", RC_OK, "::1", 25 },
		{ "[2001:db8::5]:65535", RC_OK, "2001:db8::5", 65535 },
		{ "[::ffff:192.0.2.1]:1", RC_OK, "192.0.2.1", 1 },
		{ "0.0.0.0:0", RC_OK, "0.0.0.0", 0 },
		{ "unix:/run/x.sock", RC_OK, "", 0 },
		{ "127.0.0.1", RC_SYNTAX }, { "127.0.0.1:", RC_SYNTAX }, { "127.0.0.1:65536", RC_SYNTAX }, { "127.0.0.1:25x", RC_SYNTAX },
		{ "127.0.1:25", RC_SYNTAX }, { "::1:25", RC_SYNTAX }, { "[::1]", RC_SYNTAX }, { "[::1]25", RC_SYNTAX }, { "[::1", RC_SYNTAX },
		{ "[127.0.0.1]:25", RC_SYNTAX }, { "localhost:25", RC_SYNTAX }, { "", RC_SYNTAX }, { ":25", RC_SYNTAX }, { "[]:25", RC_SYNTAX },
		{ "unix:", RC_SYNTAX }, { "unix:relative", RC_SYNTAX }, { " 127.0.0.1:25", RC_SYNTAX },
		{ "unix:/this/path/is/longer/than/a/socket/address/can/hold/because/the/structure/has/only/one/hundred/and/eight/octets/in/it", RC_SYNTAX },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct net_addr a;
		struct why why = { 0 };
		char ip[46];
		uint16_t port;
		assert_int_equal(net_parse(str_z(cases[i].in), &a, &why), cases[i].rc);
		if (cases[i].rc != RC_OK) {
			assert_true(why.text[0]);
			continue;
		}
		net_ip_text(&a, ip, &port);
		assert_string_equal(ip, cases[i].ip);
		assert_int_equal(port, cases[i].port);
	}
}

static void loopback_is_recognised(void **state)
{
	static const struct { const char *in; bool is; } cases[] = {
		{ "127.0.0.1:1", true }, { "127.9.9.9:1", true }, { "[::1]:1", true }, { "[::ffff:127.0.0.1]:1", true }, { "unix:/x", true },
		{ "128.0.0.1:1", false }, { "[::2]:1", false }, { "[::ffff:10.0.0.1]:1", false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct net_addr a;
		struct why why = { 0 };
		assert_int_equal(net_parse(str_z(cases[i].in), &a, &why), RC_OK);
		assert_int_equal(net_is_loopback(&a), cases[i].is);
	}
}

static void networks_hold_their_addresses(void **state)
{
	static const struct { const char *range, *ip; int has; } cases[] = { /* has -1: not a network */
		{ "10.0.0.0/8", "10.255.1.2", 1 }, { "10.0.0.0/8", "11.0.0.0", 0 }, { "10.0.0.0/8", "::ffff:10.1.1.1", 1 },
		{ "192.0.2.128/25", "192.0.2.129", 1 }, { "192.0.2.128/25", "192.0.2.127", 0 },
		{ "192.0.2.1", "192.0.2.1", 1 }, { "192.0.2.1", "192.0.2.2", 0 }, { "0.0.0.0/0", "1.2.3.4", 1 }, { "0.0.0.0/0", "2001:db8::1", 0 },
		{ "2001:db8::/32", "2001:db8:ffff::1", 1 }, { "2001:db8::/32", "2001:db9::", 0 }, { "::/0", "1.2.3.4", 1 },
		{ "2001:db8::1/128", "2001:db8::1", 1 }, { "fe80::/10", "fe80::1", 1 },
		{ "10.0.0.0/33", "", -1 }, { "2001:db8::/129", "", -1 }, { "10.0.0.1/8", "", -1 }, { "10.0.0.0/", "", -1 }, { "10.0.0/8", "", -1 },
		{ "", "", -1 }, { "/8", "", -1 }, { "x", "", -1 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct net_range r;
		struct why why = { 0 };
		uint8_t a[16];
		enum rc rc = net_range_parse(str_z(cases[i].range), &r, &why);
		assert_int_equal(rc, cases[i].has < 0 ? RC_SYNTAX : RC_OK);
		if (rc != RC_OK)
			continue;
		assert_true(net_addr16(cases[i].ip, a));
		assert_int_equal(net_range_has(&r, a), cases[i].has);
	}
}

static void clients_are_counted_by_network(void **state)
{
	uint8_t a[16], b[16], net[16], other[16];
	assert_true(net_addr16("192.0.2.7", a) && net_addr16("192.0.2.200", b));
	net_client_network(a, net);
	net_client_network(b, other);
	assert_memory_equal(net, other, 16);
	assert_true(net_is_mapped(net) && net[14] == 2 && net[15] == 0);
	assert_true(net_addr16("2001:db8:1:2ff::7", a) && net_addr16("2001:db8:1:201::9", b));
	net_client_network(a, net);
	net_client_network(b, other);
	assert_memory_equal(net, other, 16);
	assert_true(net_addr16("2001:db8:1:300::7", b));
	net_client_network(b, other);
	assert_memory_not_equal(net, other, 16);
	assert_false(net_addr16("192.0.2", a));
}

static void a_unix_sockets_stale_file_is_replaced_and_a_live_one_is_not(void **state)
{
	char dir[] = "/tmp/ll-net-XXXXXX", text[80], path[60];
	struct net_addr a;
	struct why why = { 0 };
	struct stat st;
	int one, two;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	snprintf(text, sizeof text, "unix:%s", path);
	assert_int_equal(net_parse(str_z(text), &a, &why), RC_OK);
	assert_int_equal(net_listen(&a, false, 5, &one, &why), RC_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(net_listen(&a, false, 5, &two, &why), RC_BUSY);
	close(one);
	assert_int_equal(net_listen(&a, false, 5, &two, &why), RC_OK);
	close(two);
	unlink(path);
	rmdir(dir);
}

static void a_busy_port_is_busy(void **state)
{
	struct net_addr a, taken = { .len = sizeof taken.sa };
	struct why why = { 0 };
	int one, two;
	assert_int_equal(net_parse(STR("127.0.0.1:0"), &a, &why), RC_OK);
	assert_int_equal(net_listen(&a, false, 5, &one, &why), RC_OK);
	assert_int_equal(getsockname(one, (struct sockaddr *)&taken.sa, &taken.len), 0);
	assert_int_equal(net_listen(&taken, false, 5, &two, &why), RC_BUSY);
	close(one);
}

/* ---- PROXY ---- */

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define T4 "\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x10\xe1\0\x19"
#define IP6 "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1" "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2"
#define Z27 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
static const struct { struct str in; long len; bool local; const char *ip; uint16_t port; } proxies[] = {
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 4321 25\r\n"), 40, false, "192.0.2.1", 4321 },
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 4321 25\r\nEHLO"), 40, false, "192.0.2.1", 4321 },
	{ STR_INIT("PROXY TCP6 2001:DB8::1 2001:db8::2 1 65535\r\n"), 44, false, "2001:db8::1", 1 },
	{ STR_INIT("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), 56, false, "255.255.255.255", 65535 },
	{ STR_INIT("PROXY UNKNOWN\r\n"), 15, true },
	{ STR_INIT("PROXY UNKNOWN ffff:f:f ffff:f:f 65535 65535\r\n"), 45, true },
	{ STR_INIT(""), 0 }, { STR_INIT("P"), 0 }, { STR_INIT("PROXY TCP4 192.0.2.1"), 0 }, { STR_INIT("PROXY UNKNOWN\r"), 0 },
	{ STR_INIT("PROXX TCP4 192.0.2.1 192.0.2.2 4321 25\r\n"), -1 },
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 4321 25\n"), -1 },
	{ STR_INIT("PROXY TCP4 192.0.2.1\r 192.0.2.2 4321 25\r\n"), -1 },
	{ STR_INIT("PROXY TCP4  192.0.2.1 192.0.2.2 4321 25\r\n"), -1 },
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 4321 25 \r\n"), -1 },
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 4321\r\n"), -1 },
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n"), -1 },
	{ STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 04321 25\r\n"), -1 },
	{ STR_INIT("PROXY TCP4 2001:db8::1 192.0.2.2 4321 25\r\n"), -1 },
	{ STR_INIT("PROXY TCP6 192.0.2.1 192.0.2.2 4321 25\r\n"), -1 },
	{ STR_INIT("PROXY UDP4 192.0.2.1 192.0.2.2 4321 25\r\n"), -1 },
	{ STR_INIT("PROXY\r\n"), -1 }, { STR_INIT("PROXY \r\n"), -1 }, { STR_INIT("EHLO a\r\n"), -1 }, { STR_INIT("\n"), -1 },
	{ STR_INIT("PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"), -1 },
	{ STR_INIT(V2 T4), 28, false, "192.0.2.1", 4321 },
	{ STR_INIT(V2 T4 "QUIT"), 28, false, "192.0.2.1", 4321 },
	{ STR_INIT(V2 "\x21\x21\0\x24" IP6 "\0\1\0\2"), 52, false, "2001:db8::1", 1 },
	{ STR_INIT(V2 "\x21\x12\0\x0c\xc0\0\2\1\xc0\0\2\2\x10\xe1\0\x19"), 28, false, "192.0.2.1", 4321 },
	{ STR_INIT(V2 "\x21\x11\0\x11\xc0\0\2\1\xc0\0\2\2\x10\xe1\0\x19" "\1\0\2h2"), 33, false, "192.0.2.1", 4321 },
	{ STR_INIT(V2 "\x21\x11\0\x0f\xc0\0\2\1\xc0\0\2\2\x10\xe1\0\x19" "\4\0\0"), 31, false, "192.0.2.1", 4321 },
	{ STR_INIT(V2 "\x20\0\0\0"), 16, true },
	{ STR_INIT(V2 "\x20\x11\0\3abc"), 19, true },
	{ STR_INIT(V2 "\x21\0\0\0"), 16, true },
	{ STR_INIT(V2 "\x21\0\0\2xx"), 18, true },
	{ STR_INIT(V2 "\x21\x31\0\xd8" Z27 Z27 Z27 Z27 Z27 Z27 Z27 Z27), 232, true },
	{ STR_INIT("\r\n"), 0 }, { STR_INIT(V2), 0 }, { STR_INIT(V2 "\x21\x11\0\x0c\xc0\0"), 0 },
	{ STR_INIT("\r\n\r\n\1"), -1 },
	{ STR_INIT(V2 "\x11"), -1 }, { STR_INIT(V2 "\x22"), -1 },
	{ STR_INIT(V2 "\x21\x11\0\x0b\xc0\0\2\1\xc0\0\2\2\x10\xe1\0"), -1 },
	{ STR_INIT(V2 "\x21\x13\0\x0c\xc0\0\2\1\xc0\0\2\2\x10\xe1\0\x19"), -1 },
	{ STR_INIT(V2 "\x21\x41\0\x0c\xc0\0\2\1\xc0\0\2\2\x10\xe1\0\x19"), -1 },
	{ STR_INIT(V2 "\x21\x31\0\x0c\xc0\0\2\1\xc0\0\2\2\x10\xe1\0\x19"), -1 },
	{ STR_INIT(V2 "\x21\x11\0\x11\xc0\0\2\1\xc0\0\2\2\x10\xe1\0\x19" "\1\0\3h2"), -1 },
	{ STR_INIT(V2 "\x21\x11\0\x0e\xc0\0\2\1\xc0\0\2\2\x10\xe1\0\x19" "\1\0"), -1 },
	{ STR_INIT(V2 "\x21\x11\xff\xff"), -1 },
};

static void proxy_headers_are_parsed_whole_or_not_at_all(void **state)
{
	for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++) {
		struct proxy_source src = { 0 };
		bool local = false;
		long n = proxy_parse(proxies[i].in, &src, &local);
		if (n != proxies[i].len)
			print_error("case %zu\n", i);
		assert_int_equal(n, proxies[i].len);
		if (n <= 0)
			continue;
		assert_int_equal(local, proxies[i].local);
		if (!local) {
			assert_string_equal(src.ip, proxies[i].ip);
			assert_int_equal(src.port, proxies[i].port);
		}
		/* Every proper beginning of a good header asks for more. */
		for (long k = 0; k < n; k++)
			assert_int_equal(proxy_parse(str_head(proxies[i].in, (size_t)k), &src, &local), 0);
	}
}

const struct CMUnitTest net_tests[] = {
	cmocka_unit_test(addresses_are_parsed_strictly),
	cmocka_unit_test(loopback_is_recognised),
	cmocka_unit_test(networks_hold_their_addresses),
	cmocka_unit_test(clients_are_counted_by_network),
	cmocka_unit_test(a_unix_sockets_stale_file_is_replaced_and_a_live_one_is_not),
	cmocka_unit_test(a_busy_port_is_busy),
	cmocka_unit_test(proxy_headers_are_parsed_whole_or_not_at_all),
};
const size_t net_tests_n = sizeof net_tests / sizeof *net_tests;
