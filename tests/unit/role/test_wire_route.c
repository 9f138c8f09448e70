#include "base/mem.h"
#include "role/way_seal.h"
#include "role/wire_route.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What is written, and how it is read back: `again` answers the rc and writes the result once more. */
struct thing {
	const char *name;
	void (*write)(struct buf *out);
	enum rc (*again)(struct str in, struct arena *a, struct buf *out);
};

static struct route_target targets[] = {
	{ .account = 1, .box = 2, .public_key = { 1, 2, 255 }, .quota = 3, .used = 4, .disabled = true, .address = STR_INIT("anna@example.org"),
	  .via = STR_INIT("staff@example.org"), .group_owner = STR_INIT("carl@example.org") },
	{ .remote = true, .address = STR_INIT("x@example.net"), .forwarder = UINT64_MAX, .via = STR_INIT("anna@example.org"), .group_owner = STR_INIT("") },
};
static uint64_t may_write[] = { 5, 6, UINT64_MAX };
static const struct route route = { .targets = targets, .n = 2, .truncated = true, .rights = GROUP_OWNERS, .may_write = may_write, .may_write_n = 3 };
static const struct group groups[] = {
	{ .id = 7, .address = STR_INIT("staff@example.org"), .name = STR_INIT("Everybody \xc3\x84"), .rights = GROUP_MEMBERS, .owner = STR_INIT("x@y"), .members = 9 },
	{ .address = STR_INIT("b@example.org"), .name = STR_INIT(""), .owner = STR_INIT("") },
};
static struct str forwards[] = { STR_INIT("x@example.net"), STR_INIT("y@example.net") }, grants[] = { STR_INIT("@example.com") };
static const struct account_rules rules = { .account = 11, .forward_only = true, .forwards = forwards, .forward_n = 2, .grants = grants, .grant_n = 1,
	.undo_ms = 30000, .max_messages = 100, .max_recipients = 200, .max_first = 300, .max_waiting = 400 };
static const struct way ways[] = {
	{ .key = STR_INIT("*"), .tls = ROUTE_TLS_VERIFIED, .host = STR_INIT("relay.example"), .port = 465, .user = STR_INIT("u"), .password_sealed = STR_INIT("\0\1"), .max_connections = 4, .rate = { 30, 60 } },
	{ .key = STR_INIT("example.net"), .host = STR_INIT(""), .user = STR_INIT(""), .password_sealed = STR_INIT("") },
};
static const struct alias aliases[] = { { STR_INIT("info@example.org"), STR_INIT("anna@example.org") }, { STR_INIT("a@b"), STR_INIT("a@b") } };

#define N(x) (sizeof(x) / sizeof *(x))
#define ONE(what, data, type)                                                                   \
	static void write_##what(struct buf *out) { wire_put_##what(out, &(data)); }            \
	static enum rc again_##what(struct str in, struct arena *a, struct buf *out)            \
	{                                                                                       \
		type x;                                                                         \
		TRY(wire_get_##what(in, a, &x));                                                \
		wire_put_##what(out, &x);                                                       \
		return RC_OK;                                                                   \
	}
#define LIST(what, data, type)                                                                  \
	static void write_##what(struct buf *out) { wire_put_##what(out, data, N(data)); }      \
	static enum rc again_##what(struct str in, struct arena *a, struct buf *out)            \
	{                                                                                       \
		type *list;                                                                     \
		size_t n;                                                                       \
		TRY(wire_get_##what(in, a, &list, &n));                                         \
		wire_put_##what(out, list, n);                                                  \
		return RC_OK;                                                                   \
	}
ONE(route, route, struct route)
ONE(group, groups[0], struct group)
LIST(groups, groups, struct group)
ONE(rules, rules, struct account_rules)
ONE(way, ways[0], struct way)
LIST(ways, ways, struct way)
LIST(aliases, aliases, struct alias)
static const struct thing things[] = { { "route", write_route, again_route }, { "group", write_group, again_group }, { "groups", write_groups, again_groups },
	{ "rules", write_rules, again_rules }, { "way", write_way, again_way }, { "ways", write_ways, again_ways }, { "aliases", write_aliases, again_aliases } };

static void everything_comes_back_as_it_was_written(void **state)
{
	for (size_t i = 0; i < N(things); i++) {
		AUTO(buf_done) struct buf b = { .max = 1 << 16 }, back = { .max = 1 << 16 };
		AUTO(arena_done) struct arena a = { .max = 1 << 16 };
		things[i].write(&b);
		assert_int_equal(things[i].again(buf_str(&b), &a, &back), RC_OK);
		assert_true(b.len > 0 && str_eq(buf_str(&b), buf_str(&back)));
	}
}

static void everything_shorter_or_longer_is_refused(void **state)
{
	for (size_t i = 0; i < N(things); i++) {
		AUTO(buf_done) struct buf b = { .max = 1 << 16 }, back = { .max = 1 << 16 };
		things[i].write(&b);
		size_t whole = b.len;
		buf_byte(&b, 0);
		for (size_t n = 0; n <= b.len; n++) {
			AUTO(arena_done) struct arena a = { .max = 1 << 16 };
			if (n != whole && things[i].again(str_head(buf_str(&b), n), &a, &back) != RC_SYNTAX)
				fail_msg("%s, %zu of %zu octets", things[i].name, n, whole);
		}
	}
}

static void a_full_arena_is_no_memory(void **state)
{
	for (size_t i = 0; i < N(things); i++) {
		AUTO(buf_done) struct buf b = { .max = 1 << 16 }, back = { .max = 1 << 16 };
		AUTO(arena_done) struct arena a = { .max = 16 };
		things[i].write(&b);
		assert_int_equal(things[i].again(buf_str(&b), &a, &back), RC_NOMEM);
	}
}

static void a_route_keeps_every_field(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 4096 };
	AUTO(arena_done) struct arena a = { .max = 8192 };
	struct route r;
	wire_put_route(&b, &route);
	assert_int_equal(wire_get_route(buf_str(&b), &a, &r), RC_OK);
	assert_true(r.truncated && r.rights == GROUP_OWNERS && r.may_write_n == 3 && r.may_write[2] == UINT64_MAX && r.n == 2);
	const struct route_target *t = &r.targets[0];
	assert_true(!t->remote && t->account == 1 && t->box == 2 && t->quota == 3 && t->used == 4 && t->disabled && t->public_key[2] == 255 && !t->forwarder);
	assert_true(str_eq(t->address, targets[0].address) && str_eq(t->via, targets[0].via) && str_eq(t->group_owner, targets[0].group_owner));
	assert_true(r.targets[1].remote && r.targets[1].forwarder == UINT64_MAX && str_eq(r.targets[1].address, STR("x@example.net")));
}

static void kinds_that_there_are_not_are_refused(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	AUTO(buf_done) struct buf b = { .max = 4096 };
	struct route r;
	struct group g;
	struct way w;
	wire_put_route(&b, &(struct route){ .rights = GROUP_RIGHTS_COUNT });
	assert_int_equal(wire_get_route(buf_str(&b), &a, &r), RC_SYNTAX);
	buf_clear(&b);
	wire_put_group(&b, &(struct group){ .address = STR(""), .name = STR(""), .owner = STR(""), .rights = GROUP_RIGHTS_COUNT });
	assert_int_equal(wire_get_group(buf_str(&b), &a, &g), RC_SYNTAX);
	buf_clear(&b);
	wire_put_way(&b, &(struct way){ .key = STR(""), .host = STR(""), .user = STR(""), .password_sealed = STR(""), .tls = ROUTE_TLS_COUNT });
	assert_int_equal(wire_get_way(buf_str(&b), &a, &w), RC_SYNTAX);
	buf_clear(&b);
	wire_put_way(&b, &(struct way){ .key = STR(""), .host = STR(""), .user = STR(""), .password_sealed = STR(""), .rate = { 1, 2 } });
	assert_int_equal(wire_get_way(buf_str(&b), &a, &w), RC_SYNTAX);
}

static void a_smarthosts_password_is_opened_by_the_queue_alone(void **state)
{
	struct secret mine, other;
	uint8_t mine_public[PUB_LEN], other_public[PUB_LEN];
	struct unsealer *u, *thief;
	AUTO(buf_done) struct buf sealed = { .max = 4096 };
	AUTO(buf_wipe) struct buf open = { .max = 4096 };
	static char huge[WAY_SECRET_MAX + 1];
	assert_int_equal(x25519_pair(&mine, mine_public), RC_OK);
	assert_int_equal(x25519_pair(&other, other_public), RC_OK);
	assert_int_equal(unsealer_new(&mine, mine_public, &u), RC_OK);
	assert_int_equal(unsealer_new(&other, other_public, &thief), RC_OK);
	assert_int_equal(way_seal(mine_public, STR("s3cret"), &sealed), RC_OK);
	assert_true(str_find_str(buf_str(&sealed), STR("s3cret")) == sealed.len && sealed.len <= WAY_PASSWORD_MAX);
	assert_int_equal(way_open(thief, buf_str(&sealed), &open), RC_DAMAGED);
	assert_int_equal(way_open(u, buf_str(&sealed), &open), RC_OK);
	assert_true(str_eq(buf_str(&open), STR("s3cret")));
	assert_int_equal(way_seal(mine_public, STR(""), &sealed), RC_LIMIT);
	assert_int_equal(way_seal(mine_public, str_of(huge, sizeof huge), &sealed), RC_LIMIT);
	unsealer_free(&u);
	unsealer_free(&thief);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_comes_back_as_it_was_written),
		cmocka_unit_test(everything_shorter_or_longer_is_refused),
		cmocka_unit_test(a_full_arena_is_no_memory),
		cmocka_unit_test(a_route_keeps_every_field),
		cmocka_unit_test(kinds_that_there_are_not_are_refused),
		cmocka_unit_test(a_smarthosts_password_is_opened_by_the_queue_alone),
	};
	return cmocka_run_group_tests_name("wire_route", tests, NULL, NULL);
}
