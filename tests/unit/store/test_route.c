#include "unit/store/kit.h"

#include "store/index.h"
#include "store/route.h"
#include "store/route_row.h"
#include "store/view.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* Where addresses lead, as one line: "anna@example.org >out@example.net<staff@example.org(owner)"; ">" is elsewhere, "<" led by, "!" disabled. */
static struct kit kit, *k = &kit;
static struct view *v;
static char line[4096];

static int set_up(void **state)
{
	kit_open(k);
	kit_account(k, 1, "anna@example.org", 0);
	kit_account(k, 2, "bob@example.org", 0);
	kit_account(k, 3, "carl@example.org", 0);
	assert_int_equal(view_open(k->dir, k->o.map_size, &v, &k->why), RC_OK);
	return 0;
}

static int tear_down(void **state)
{
	view_close(&v);
	store_close(&k->s);
	struct buf b = { .max = 1 << 20 };
	uint64_t damaged = kit_verify(k->dir, &b, NULL); /* whatever a test did: the rows agree with each other */
	if (damaged)
		fail_msg("%.*s", PSTR(str_head(buf_str(&b), 600)));
	buf_done(&b);
	kit_done(k);
	return 0;
}

static enum rc group(const char *address, enum group_rights rights, const char *owner)
{
	return group_add(k->s, &(struct group){ .address = str_z(address), .name = STR("A Group"), .rights = (uint8_t)rights, .owner = str_z(owner) }, &k->why);
}

static enum rc member(const char *address, const char *m) { return group_member_set(k->s, str_z(address), str_z(m), true, &k->why); }

static enum rc forward(uint64_t account, bool only, const char *a, const char *b)
{
	struct str list[2] = { str_z(a), str_z(b) };
	return account_rules_set(k->s, &(struct account_rules){ .account = account, .forward_only = only, .forwards = list, .forward_n = b ? 2 : a ? 1 : 0 }, &k->why);
}

static const char *text(const struct route *r)
{
	struct buf b = { .p = line, .cap = sizeof line, .max = sizeof line };
	for (size_t i = 0; i < r->n; i++) {
		const struct route_target *t = &r->targets[i];
		buf_addf(&b, "%s%s%.*s%s", i ? " " : "", t->remote ? ">" : "", PSTR(t->address), t->box ? "/folder" : "");
		if (t->via.n)
			buf_addf(&b, "<%.*s", PSTR(t->via));
		if (t->forwarder)
			buf_addf(&b, "[%u]", (unsigned)t->forwarder);
		if (t->group_owner.n)
			buf_addf(&b, "(%.*s)", PSTR(t->group_owner));
		if (t->disabled)
			buf_addf(&b, "!");
	}
	if (r->rights || r->may_write_n)
		buf_addf(&b, " rights %u", r->rights);
	for (size_t i = 0; i < r->may_write_n; i++)
		buf_addf(&b, ",%u", (unsigned)r->may_write[i]);
	if (r->truncated)
		buf_addf(&b, " cut");
	buf_u8(&b, 0);
	assert_false(b.failed);
	return line;
}

static const char *leads(const char *address)
{
	AUTO(arena_done) struct arena a = { .max = 64 << 20 };
	struct route r;
	enum rc rc = view_route(v, str_z(address), &a, &r, &k->why);
	return rc == RC_OK ? text(&r) : rc_name(rc);
}

#define LEADS(address, to) assert_string_equal(leads(address), to)
#define OK(call) assert_int_equal(call, RC_OK)
#define IS(rc, call) assert_int_equal(call, rc)

/* ---- one step ---- */
static void an_address_leads_to_its_account_by_name_alias_tag_and_catch_all(void **state)
{
	uint64_t box = 0;
	OK(domain_add(k->s, STR("example.net"), &k->why));
	OK(account_alias(k->s, 2, STR("info@example.net"), true, &k->why));
	OK(account_alias(k->s, 2, STR("anna+bob@example.org"), true, &k->why));
	OK(box_create(k->s, 1, STR("Lists/News"), 0, &box, &k->why));
	static const struct { const char *address, *to; } cases[] = {
		{ "anna@example.org", "anna@example.org" }, { "ANNA@Example.ORG", "anna@example.org" }, { "info@example.net", "bob@example.org" },
		{ "anna+any@example.org", "anna@example.org" }, { "anna+lists/news@example.org", "anna@example.org/folder" },
		{ "anna+Junk@example.org", "anna@example.org/folder" }, { "anna+bob@example.org", "bob@example.org" }, { "info+x@example.net", "bob@example.org" },
		{ "+anna@example.org", "notfound" }, { "nobody@example.org", "notfound" }, { "anna@example.com", "denied" }, { "anna", "denied" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		LEADS(cases[i].address, cases[i].to);
	OK(domain_catch_all(k->s, STR("example.org"), STR("info@example.net"), &k->why));
	LEADS("nobody@example.org", "bob@example.org");
	LEADS("nobody@example.net", "notfound");
}

static void a_disabled_account_is_told_of_and_left_out_of_groups(void **state)
{
	OK(group("all@example.org", GROUP_ANYONE, ""));
	OK(member("all@example.org", "anna@example.org"));
	OK(member("all@example.org", "bob@example.org"));
	OK(forward(2, false, "x@example.net", NULL));
	OK(account_set(k->s, &(struct account){ .id = 2, .name = STR("Bob"), .disabled = true }, &k->why));
	LEADS("bob@example.org", "bob@example.org!");
	LEADS("all@example.org", "anna@example.org<all@example.org");
}

/* ---- forwards ---- */
static void a_forward_leads_on_with_or_without_a_copy(void **state)
{
	OK(forward(1, false, "a@example.net", "bob@example.org"));
	LEADS("anna@example.org", "anna@example.org >a@example.net<anna@example.org[1] bob@example.org<anna@example.org[1]");
	OK(forward(1, true, "A@Example.NET", "a@example.net"));
	LEADS("anna@example.org", ">a@example.net<anna@example.org[1]");
	OK(forward(2, true, "anna@example.org", NULL));
	LEADS("bob@example.org", ">a@example.net<anna@example.org[1]");
	OK(forward(1, false, NULL, NULL));
	LEADS("anna@example.org", "anna@example.org");
}

static void a_ring_of_forwards_is_cut_and_keeps_the_mail(void **state)
{
	OK(forward(1, false, "bob@example.org", NULL));
	OK(forward(2, false, "anna@example.org", NULL));
	LEADS("anna@example.org", "anna@example.org bob@example.org<anna@example.org[1] cut");
	OK(forward(1, true, "bob@example.org", NULL));
	OK(forward(2, true, "carl@example.org", NULL));
	OK(forward(3, true, "anna@example.org", NULL));
	LEADS("anna@example.org", "carl@example.org<bob@example.org[2] cut");
}

static void who_only_forwards_to_nobody_keeps_it(void **state)
{
	OK(forward(1, true, "bob@example.org", NULL));
	OK(account_set(k->s, &(struct account){ .id = 2, .name = STR("Bob"), .disabled = true }, &k->why));
	LEADS("anna@example.org", "anna@example.org");
}

static void what_forwards_may_not_be(void **state)
{
	struct str many[FORWARDS_MAX + 1], grants[GRANTS_MAX + 1];
	char room[GRANTS_MAX + 1][32];
	for (size_t i = 0; i <= GRANTS_MAX; i++) {
		(void)snprintf(room[i], sizeof room[i], "u%zu@example.net", i);
		grants[i] = str_z(room[i]);
		if (i <= FORWARDS_MAX)
			many[i] = grants[i];
	}
	IS(RC_SYNTAX, forward(1, true, NULL, NULL));
	IS(RC_SYNTAX, forward(1, false, "nowhere", NULL));
	IS(RC_SYNTAX, forward(1, false, "anna@example.org", NULL));
	IS(RC_SYNTAX, forward(1, false, "anna+x@example.org", NULL));
	IS(RC_NOTFOUND, forward(1, false, "nobody@example.org", NULL));
	IS(RC_NOTFOUND, forward(9, false, "a@example.net", NULL));
	IS(RC_LIMIT, account_rules_set(k->s, &(struct account_rules){ .account = 1, .forwards = many, .forward_n = FORWARDS_MAX + 1 }, &k->why));
	OK(account_rules_set(k->s, &(struct account_rules){ .account = 1, .forwards = many, .forward_n = FORWARDS_MAX }, &k->why));
	IS(RC_LIMIT, account_rules_set(k->s, &(struct account_rules){ .account = 1, .grants = grants, .grant_n = GRANTS_MAX + 1 }, &k->why));
	OK(account_rules_set(k->s, &(struct account_rules){ .account = 1, .grants = grants, .grant_n = GRANTS_MAX }, &k->why));
	IS(RC_LIMIT, account_rules_set(k->s, &(struct account_rules){ .account = 1, .undo_ms = UNDO_MS_MAX + 1 }, &k->why));
}

static void rules_are_read_as_they_were_set(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct account_rules r;
	struct str forwards[] = { STR("x@example.net") }, grants[] = { STR("Sales@Example.ORG"), STR("@Example.NET"), STR("sales@example.org") };
	OK(account_rules_set(k->s, &(struct account_rules){ .account = 1, .forward_only = true, .forwards = forwards, .forward_n = 1, .grants = grants,
		.grant_n = 3, .undo_ms = 30000, .max_messages = 1, .max_recipients = 2, .max_first = 3, .max_waiting = 4 }, &k->why));
	OK(view_rules(v, 1, &a, &r, &k->why));
	assert_true(r.account == 1 && r.forward_only && r.undo_ms == 30000 && r.max_messages == 1 && r.max_recipients == 2 && r.max_first == 3 && r.max_waiting == 4);
	assert_true(r.forward_n == 1 && str_eq(r.forwards[0], STR("x@example.net")) && r.grant_n == 2);
	assert_true(str_eq(r.grants[0], STR("sales@example.org")) && str_eq(r.grants[1], STR("@example.net")));
	OK(account_rules_set(k->s, &(struct account_rules){ .account = 3, .max_waiting = 5 }, &k->why)); /* alone */
	OK(view_rules(v, 3, &a, &r, &k->why));
	assert_int_equal(r.max_waiting, 5);
	OK(view_rules(v, 2, &a, &r, &k->why));
	assert_true(r.account == 2 && !r.forward_n && !r.grant_n && !r.undo_ms);
	IS(RC_NOTFOUND, view_rules(v, 9, &a, &r, &k->why));
}

/* ---- groups ---- */
static void a_group_leads_to_members_inside_and_outside_once_each(void **state)
{
	OK(group("staff@example.org", GROUP_ANYONE, "carl@example.org"));
	OK(account_alias(k->s, 1, STR("ann@example.org"), true, &k->why));
	OK(member("staff@example.org", "anna@example.org"));
	OK(member("staff@example.org", "ann@example.org"));
	OK(member("staff@example.org", "x@example.net"));
	OK(member("staff@example.org", "bob+junk@example.org"));
	LEADS("staff@example.org", "anna@example.org<staff@example.org(carl@example.org) bob@example.org/folder<staff@example.org(carl@example.org) "
	                           ">x@example.net<staff@example.org(carl@example.org)");
	LEADS("staff+tag@example.org", "anna@example.org<staff@example.org(carl@example.org) bob@example.org/folder<staff@example.org(carl@example.org) "
	                               ">x@example.net<staff@example.org(carl@example.org)");
}

static void groups_in_groups_lead_on_and_rings_are_cut(void **state)
{
	OK(group("a@example.org", GROUP_ANYONE, ""));
	OK(group("b@example.org", GROUP_ANYONE, "carl@example.org"));
	OK(member("a@example.org", "b@example.org"));
	OK(member("a@example.org", "anna@example.org"));
	OK(member("b@example.org", "bob@example.org"));
	LEADS("a@example.org", "anna@example.org<a@example.org bob@example.org<b@example.org(carl@example.org)");
	OK(member("b@example.org", "a@example.org"));
	LEADS("a@example.org", "anna@example.org<a@example.org bob@example.org<b@example.org(carl@example.org) cut");
	LEADS("b@example.org", "bob@example.org<b@example.org(carl@example.org) anna@example.org<a@example.org cut");
}

static void a_group_that_reaches_nobody_goes_to_its_owner(void **state)
{
	OK(group("a@example.org", GROUP_ANYONE, "carl@example.org"));
	OK(group("b@example.org", GROUP_ANYONE, "bob@example.org"));
	LEADS("a@example.org", "carl@example.org<a@example.org(carl@example.org)");
	OK(member("b@example.org", "a@example.org"));
	LEADS("b@example.org", "carl@example.org<a@example.org(carl@example.org)"); /* the inner one's is enough */
	OK(group("c@example.org", GROUP_ANYONE, ""));
	LEADS("c@example.org", "");
}

static void depth_has_a_limit(void **state)
{
	char name[32], in[32];
	for (int i = 0; i <= ROUTE_DEPTH_MAX; i++) {
		(void)snprintf(name, sizeof name, "g%d@example.org", i);
		OK(group(name, GROUP_ANYONE, ""));
		if (i)
			OK(member(name, in));
		else
			OK(member(name, "anna@example.org"));
		(void)snprintf(in, sizeof in, "g%d@example.org", i);
	}
	(void)snprintf(name, sizeof name, "g%d@example.org", ROUTE_DEPTH_MAX - 1);
	LEADS(name, "anna@example.org<g0@example.org");
	LEADS(in, " cut"); /* anna is one step too far */
}

static void a_group_has_a_limit_and_so_has_what_it_leads_to(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 64 << 20 };
	struct route r;
	char name[48];
	OK(group("big@example.org", GROUP_MEMBERS, ""));
	OK(group("more@example.org", GROUP_MEMBERS, "anna@example.org"));
	for (int i = 0; i < GROUP_MEMBERS_MAX; i++) {
		(void)snprintf(name, sizeof name, "u%d@example.net", i);
		OK(member("big@example.org", name));
	}
	IS(RC_LIMIT, member("big@example.org", "one@example.net"));
	OK(view_route(v, STR("big@example.org"), &a, &r, &k->why));
	assert_true(r.n == ROUTE_TARGETS_MAX && !r.truncated && r.may_write_n == 0);
	OK(member("more@example.org", "big@example.org"));
	OK(member("more@example.org", "anna@example.org"));
	OK(view_route(v, STR("more@example.org"), &a, &r, &k->why));
	assert_true(r.n == ROUTE_TARGETS_MAX && r.truncated);
	OK(group_remove(k->s, STR("big@example.org"), &k->why));
	LEADS("more@example.org", "anna@example.org<more@example.org(anna@example.org) rights 2,1");
}

static void rights_name_who_may_write(void **state)
{
	OK(account_alias(k->s, 1, STR("ann@example.org"), true, &k->why));
	OK(forward(1, false, "carl@example.org", NULL)); /* makes him no member */
	OK(group("open@example.org", GROUP_ORGANISATION, ""));
	OK(group("board@example.org", GROUP_MEMBERS, ""));
	OK(group("news@example.org", GROUP_OWNERS, "bob@example.org"));
	OK(member("board@example.org", "ann@example.org"));
	OK(member("board@example.org", "x@example.net"));
	OK(member("news@example.org", "anna@example.org"));
	OK(member("open@example.org", "bob@example.org"));
	LEADS("open@example.org", "bob@example.org<open@example.org rights 1");
	LEADS("board@example.org", "anna@example.org<board@example.org >x@example.net<board@example.org carl@example.org<anna@example.org[1] rights 2,1");
	LEADS("news@example.org", "anna@example.org<news@example.org(bob@example.org) carl@example.org<anna@example.org[1](bob@example.org) rights 3,2");
	OK(member("open@example.org", "board@example.org")); /* the strictest on the way */
	LEADS("open@example.org", "bob@example.org<open@example.org anna@example.org<board@example.org >x@example.net<board@example.org "
	                          "carl@example.org<anna@example.org[1] rights 2,1");
	OK(member("board@example.org", "news@example.org")); /* anna by her membership, and of both only who may to each */
	LEADS("open@example.org", "bob@example.org<open@example.org anna@example.org<board@example.org >x@example.net<board@example.org "
	                          "carl@example.org<anna@example.org[1] rights 3");
}

static void who_forwards_into_a_group_writes_in_his_own_name(void **state)
{
	OK(group("board@example.org", GROUP_MEMBERS, ""));
	OK(member("board@example.org", "bob@example.org"));
	OK(forward(1, false, "board@example.org", NULL));
	LEADS("anna@example.org", "anna@example.org cut"); /* she is no member; her own mail is not refused for that */
	OK(forward(3, false, "board@example.org", NULL));
	OK(member("board@example.org", "carl@example.org"));
	LEADS("carl@example.org", "carl@example.org bob@example.org<board@example.org[3] cut"); /* cut: the ring back to him */
	OK(forward(1, true, "board@example.org", NULL));
	LEADS("anna@example.org", "anna@example.org cut");
}

static void what_groups_may_not_be(void **state)
{
	OK(group("g@example.org", GROUP_ANYONE, ""));
	IS(RC_EXISTS, group("g@example.org", GROUP_ANYONE, ""));
	IS(RC_EXISTS, group("anna@example.org", GROUP_ANYONE, ""));
	IS(RC_NOTFOUND, group("g@example.com", GROUP_ANYONE, ""));
	IS(RC_NOTFOUND, group("h@example.org", GROUP_ANYONE, "nobody@example.org"));
	IS(RC_SYNTAX, group("h@example.org", GROUP_ANYONE, "h@example.org"));
	IS(RC_SYNTAX, group("nowhere", GROUP_ANYONE, ""));
	IS(RC_LIMIT, group("h@example.org", GROUP_RIGHTS_COUNT, ""));
	IS(RC_EXISTS, account_alias(k->s, 1, STR("g@example.org"), true, &k->why));
	IS(RC_NOTFOUND, member("anna@example.org", "bob@example.org"));
	IS(RC_NOTFOUND, member("g@example.org", "nobody@example.org"));
	IS(RC_SYNTAX, member("g@example.org", "G@example.org"));
	IS(RC_SYNTAX, member("g@example.org", ""));
	IS(RC_NOTFOUND, group_member_set(k->s, STR("g@example.org"), STR("anna@example.org"), false, &k->why));
	OK(member("g@example.org", "anna@example.org"));
	IS(RC_EXISTS, member("g@example.org", "ANNA@example.org"));
	IS(RC_DENIED, domain_remove(k->s, STR("example.org"), &k->why));
	IS(RC_NOTFOUND, group_remove(k->s, STR("anna@example.org"), &k->why));
	IS(RC_NOTFOUND, group_set(k->s, &(struct group){ .address = STR("anna@example.org"), .name = STR(""), .owner = STR("") }, &k->why));
}

static void groups_are_listed_changed_and_shown(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct group *list, g;
	struct str *members;
	size_t n;
	OK(group("b@example.org", GROUP_ANYONE, ""));
	OK(group("a@example.org", GROUP_OWNERS, "x@example.net"));
	OK(group("c@example.org", GROUP_MEMBERS, ""));
	OK(member("a@example.org", "bob@example.org"));
	OK(member("a@example.org", "anna@example.org"));
	OK(view_groups(v, STR(""), 2, &a, &list, &n, &k->why));
	assert_true(n == 2 && str_eq(list[0].address, STR("a@example.org")) && str_eq(list[1].address, STR("b@example.org")) && list[0].members == 2);
	OK(view_groups(v, list[1].address, 2, &a, &list, &n, &k->why));
	assert_true(n == 1 && str_eq(list[0].address, STR("c@example.org")) && list[0].rights == GROUP_MEMBERS);
	OK(group_set(k->s, &(struct group){ .address = STR("A@example.org"), .name = STR("New"), .rights = GROUP_ORGANISATION, .owner = STR("") }, &k->why));
	OK(view_group(v, STR("a@example.org"), &a, &g, &members, &n, &k->why));
	assert_true(str_eq(g.name, STR("New")) && g.rights == GROUP_ORGANISATION && !g.owner.n && g.members == 2 && n == 2);
	assert_true(str_eq(members[0], STR("anna@example.org")) && str_eq(members[1], STR("bob@example.org")));
	IS(RC_NOTFOUND, view_group(v, STR("anna@example.org"), &a, &g, &members, &n, &k->why));
}

static void an_account_is_not_found_by_a_groups_address(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct account acct, *list;
	struct str tag;
	size_t n;
	OK(group("g@example.org", GROUP_ANYONE, ""));
	OK(domain_catch_all(k->s, STR("example.org"), STR("anna@example.org"), &k->why));
	IS(RC_NOTFOUND, view_address(v, STR("g@example.org"), &a, &acct, &tag, &k->why)); /* nor by the catch-all behind it */
	IS(RC_NOTFOUND, view_address(v, STR("g+x@example.org"), &a, &acct, &tag, &k->why));
	OK(view_address(v, STR("bob+x@example.org"), &a, &acct, &tag, &k->why));
	assert_true(acct.id == 2 && str_eq(tag, STR("x")));
	OK(view_accounts(v, STR(""), 100, &a, &list, &n, &k->why));
	assert_int_equal(n, 3);
	OK(domain_catch_all(k->s, STR("example.org"), STR("g@example.org"), &k->why));
	IS(RC_NOTFOUND, view_address(v, STR("nobody@example.org"), &a, &acct, &tag, &k->why));
	OK(member("g@example.org", "bob@example.org"));
	LEADS("nobody@example.org", "bob@example.org<g@example.org");
}

/* ---- what goes ---- */
static void an_address_that_goes_takes_along_what_names_it(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct account_rules r;
	struct way *ways;
	struct group g;
	struct str *members, forwards[] = { STR("bob@example.org"), STR("x@example.net") }, grants[] = { STR("bob@example.org"), STR("@example.net") };
	size_t n;
	OK(account_alias(k->s, 2, STR("bobby@example.org"), true, &k->why));
	OK(account_alias(k->s, 3, STR("bob+carl@example.org"), true, &k->why));
	OK(group("g@example.org", GROUP_ANYONE, "bobby@example.org"));
	static const char *const in[] = { "bob@example.org", "bob+tag@example.org", "bobby@example.org", "anna@example.org", "bob+carl@example.org" };
	for (size_t i = 0; i < sizeof in / sizeof *in; i++)
		OK(member("g@example.org", in[i]));
	OK(account_rules_set(k->s, &(struct account_rules){ .account = 1, .forward_only = true, .forwards = forwards, .forward_n = 2, .grants = grants, .grant_n = 2 }, &k->why));
	OK(account_rules_set(k->s, &(struct account_rules){ .account = 3, .forward_only = true, .forwards = forwards, .forward_n = 1 }, &k->why));
	OK(forward(2, false, "x@example.net", NULL));
	OK(domain_catch_all(k->s, STR("example.org"), STR("bobby@example.org"), &k->why));
	OK(way_set(k->s, &(struct way){ .key = STR("bob@example.org"), .host = STR("relay.example"), .user = STR(""), .password_sealed = STR("") }, &k->why));
	OK(way_set(k->s, &(struct way){ .key = STR("example.net"), .host = STR("relay.example"), .user = STR(""), .password_sealed = STR("") }, &k->why));
	OK(account_remove(k->s, 2, &k->why));
	OK(view_group(v, STR("g@example.org"), &a, &g, &members, &n, &k->why));
	assert_true(n == 2 && g.members == 2 && !g.owner.n && str_eq(members[0], STR("anna@example.org")) && str_eq(members[1], STR("bob+carl@example.org")));
	OK(view_rules(v, 1, &a, &r, &k->why));
	assert_true(r.forward_only && r.forward_n == 1 && str_eq(r.forwards[0], STR("x@example.net")) && r.grant_n == 1 && str_eq(r.grants[0], STR("@example.net")));
	OK(view_rules(v, 3, &a, &r, &k->why));
	assert_true(!r.forward_only && r.forward_n == 0); /* its mail stays with it */
	OK(view_ways(v, &a, &ways, &n, &k->why));
	assert_true(n == 1 && str_eq(ways[0].key, STR("example.net")));
	LEADS("nobody@example.org", "notfound");
	kit_account(k, 2, "bob@example.org", 0); /* the next one of that name and number inherits nothing */
	LEADS("bob@example.org", "bob@example.org");
	LEADS("g@example.org", "carl@example.org<g@example.org >x@example.net<anna@example.org[1]");
}

static void an_alias_or_a_group_that_goes_does_so_too(void **state)
{
	OK(account_alias(k->s, 2, STR("bobby@example.org"), true, &k->why));
	OK(group("g@example.org", GROUP_ANYONE, ""));
	OK(group("h@example.org", GROUP_ANYONE, "g@example.org"));
	OK(member("g@example.org", "bobby@example.org"));
	OK(member("g@example.org", "h@example.org"));
	OK(member("h@example.org", "g@example.org"));
	OK(member("h@example.org", "anna@example.org"));
	OK(account_alias(k->s, 2, STR("bobby@example.org"), false, &k->why));
	LEADS("g@example.org", "anna@example.org<h@example.org(g@example.org) cut");
	OK(group_remove(k->s, STR("g@example.org"), &k->why));
	LEADS("g@example.org", "notfound");
	LEADS("h@example.org", "anna@example.org<h@example.org");
	OK(group("g@example.org", GROUP_ANYONE, "")); /* a new one is empty */
	LEADS("g@example.org", "");
}

static void a_domain_that_goes_takes_along_the_right_to_send_in_its_name(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct account_rules r;
	struct way *ways;
	size_t n;
	struct str grants[] = { STR("@example.net"), STR("x@example.net"), STR("@example.com") };
	OK(domain_add(k->s, STR("example.net"), &k->why));
	OK(account_rules_set(k->s, &(struct account_rules){ .account = 1, .grants = grants, .grant_n = 3 }, &k->why));
	static const char *const keys[] = { "example.net", "@example.net", "x@example.net", "*" };
	for (size_t i = 0; i < 4; i++)
		OK(way_set(k->s, &(struct way){ .key = str_z(keys[i]), .tls = ROUTE_TLS_ENCRYPTED, .host = STR(""), .user = STR(""), .password_sealed = STR("") }, &k->why));
	OK(domain_remove(k->s, STR("example.net"), &k->why));
	OK(view_rules(v, 1, &a, &r, &k->why));
	assert_true(r.grant_n == 1 && str_eq(r.grants[0], STR("@example.com")));
	OK(view_ways(v, &a, &ways, &n, &k->why));
	assert_true(n == 2 && str_eq(ways[0].key, STR("*")) && str_eq(ways[1].key, STR("example.net"))); /* as a destination it stays */
}

/* ---- who may send as what ---- */
static void an_account_sends_as_its_own_addresses_and_those_granted(void **state)
{
	struct str grants[] = { STR("sales@example.org"), STR("@example.net") };
	OK(account_alias(k->s, 1, STR("ann@example.org"), true, &k->why));
	OK(account_alias(k->s, 2, STR("anna+bob@example.org"), true, &k->why));
	OK(group("g@example.org", GROUP_ANYONE, "anna@example.org"));
	OK(account_rules_set(k->s, &(struct account_rules){ .account = 1, .grants = grants, .grant_n = 2 }, &k->why));
	static const struct { const char *address; bool yes; } cases[] = {
		{ "anna@example.org", true }, { "Anna@EXAMPLE.org", true }, { "anna+tag@example.org", true }, { "ann@example.org", true },
		{ "ann+x+y@example.org", true }, { "anna+bob@example.org", false } /* bob's */, { "bob@example.org", false }, { "sales@example.org", true },
		{ "sales+q@example.org", true }, { "any@example.net", true }, { "any@sub.example.net", false }, { "example.net", false }, { "", false },
		{ "g@example.org", false }, { "nobody@example.org", false }, { "anna@example.com", false }, { "+anna@example.org", false },
	};
	bool yes;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		OK(view_may_send(v, 1, str_z(cases[i].address), &yes, &k->why));
		if (yes != cases[i].yes)
			fail_msg("%s", cases[i].address);
	}
	OK(view_may_send(v, 2, STR("anna+bob@example.org"), &yes, &k->why));
	assert_true(yes);
	OK(domain_catch_all(k->s, STR("example.org"), STR("anna@example.org"), &k->why)); /* gets mail; owns nothing */
	OK(view_may_send(v, 1, STR("nobody@example.org"), &yes, &k->why));
	assert_false(yes);
	OK(account_set(k->s, &(struct account){ .id = 1, .name = STR("Anna"), .disabled = true }, &k->why));
	OK(view_may_send(v, 1, STR("anna@example.org"), &yes, &k->why));
	assert_false(yes);
	IS(RC_NOTFOUND, view_may_send(v, 9, STR("anna@example.org"), &yes, &k->why));
}

static void addresses_are_listed_of_one_account_or_of_all_piece_by_piece(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct alias *list;
	size_t n;
	OK(domain_add(k->s, STR("aaa.example"), &k->why));
	OK(account_alias(k->s, 2, STR("info@aaa.example"), true, &k->why));
	OK(group("g@aaa.example", GROUP_ANYONE, ""));
	OK(view_addresses(v, 2, STR(""), 10, &a, &list, &n, &k->why));
	assert_true(n == 2 && str_eq(list[0].address, STR("info@aaa.example")) && str_eq(list[0].account, STR("bob@example.org")));
	assert_true(str_eq(list[1].address, list[1].account) && str_eq(list[1].address, STR("bob@example.org")));
	OK(view_addresses(v, 0, STR("info@aaa.example"), 2, &a, &list, &n, &k->why));
	assert_true(n == 2 && str_eq(list[0].address, STR("anna@example.org")) && str_eq(list[1].address, STR("bob@example.org")));
}

/* ---- ways ---- */
static void ways_are_set_in_one_form_and_what_cannot_be_is_refused(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct way *list;
	size_t n;
	static const struct { const char *key, *host; unsigned port; const char *user, *password; enum route_tls tls; enum rc rc; } cases[] = {
		{ "Partner.Example", "", 0, "", "", ROUTE_TLS_VERIFIED, RC_OK },
		{ ".partner.example", "Relay.Example", 465, "u", "sealed", ROUTE_TLS_DEFAULT, RC_OK },
		{ "*", "2001:db8::1", 587, "", "", ROUTE_TLS_NONE, RC_OK },
		{ "@example.org", "r.example", 0, "", "", ROUTE_TLS_DEFAULT, RC_OK },
		{ "Bob@example.org", "r.example", 0, "", "", ROUTE_TLS_DEFAULT, RC_OK },
		{ "", "", 0, "", "", ROUTE_TLS_DEFAULT, RC_SYNTAX },
		{ "**", "", 0, "", "", ROUTE_TLS_DEFAULT, RC_SYNTAX },
		{ "..example", "", 0, "", "", ROUTE_TLS_DEFAULT, RC_SYNTAX },
		{ "a b", "", 0, "", "", ROUTE_TLS_DEFAULT, RC_SYNTAX },
		{ "x.example", "a b", 0, "", "", ROUTE_TLS_DEFAULT, RC_SYNTAX },
		{ "x.example", "", 25, "", "", ROUTE_TLS_DEFAULT, RC_SYNTAX },
		{ "x.example", "r.example", 0, "u", "", ROUTE_TLS_DEFAULT, RC_SYNTAX },
		{ "x.example", "r.example", 0, "", "p", ROUTE_TLS_DEFAULT, RC_SYNTAX },
		{ "x.example", "r.example", 0, "u", "p", ROUTE_TLS_NONE, RC_SYNTAX },
		{ "x.example", "r.example", 465, "", "", ROUTE_TLS_NONE, RC_SYNTAX },
		{ "x.example", "r.example", 0, "", "", ROUTE_TLS_COUNT, RC_LIMIT },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct way w = { .key = str_z(cases[i].key), .tls = (uint8_t)cases[i].tls, .host = str_z(cases[i].host), .port = (uint16_t)cases[i].port,
			.user = str_z(cases[i].user), .password_sealed = str_z(cases[i].password), .max_connections = 3 };
		if (way_set(k->s, &w, &k->why) != cases[i].rc)
			fail_msg("case %zu", i);
	}
	OK(view_ways(v, &a, &list, &n, &k->why));
	static const char *const keys[] = { "*", ".partner.example", "@example.org", "bob@example.org", "partner.example" };
	assert_int_equal(n, 5);
	for (size_t i = 0; i < n; i++)
		assert_true(str_eq(list[i].key, str_z(keys[i])));
	assert_true(str_eq(list[1].host, STR("relay.example")) && list[1].port == 465 && str_eq(list[1].user, STR("u")) && list[1].max_connections == 3);
	assert_true(str_eq(list[1].password_sealed, STR("sealed")) && list[4].tls == ROUTE_TLS_VERIFIED);
	OK(way_remove(k->s, STR("PARTNER.example"), &k->why));
	IS(RC_NOTFOUND, way_remove(k->s, STR("partner.example"), &k->why));
}

static void a_rate_is_kept_and_is_of_a_destination(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct way *list;
	size_t n;
	static const struct { const char *key, *host; struct rate rate; enum rc rc; } cases[] = {
		{ "slow.example", "relay.example", { 30, 60 }, RC_OK },
		{ ".slow.example", "", { 1000000, 1 }, RC_OK },
		{ "*", "relay.example", { 0, 1 }, RC_OK }, /* no limit */
		{ "*", "relay.example", { 30, 60 }, RC_SYNTAX },
		{ ".x.example", "relay.example", { 30, 60 }, RC_SYNTAX },
		{ "bob@example.org", "", { 30, 60 }, RC_SYNTAX },
		{ "@example.org", "", { 0, 1 }, RC_SYNTAX },
		{ "x.example", "", { 30, 61 }, RC_SYNTAX },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (way_set(k->s, &(struct way){ .key = str_z(cases[i].key), .host = str_z(cases[i].host), .user = STR(""), .password_sealed = STR(""), .rate = cases[i].rate }, &k->why) != cases[i].rc)
			fail_msg("case %zu", i);
	OK(view_ways(v, &a, &list, &n, &k->why));
	assert_int_equal(n, 3);
	assert_true(list[0].rate.n == 0 && list[0].rate.seconds == 1 && list[1].rate.n == 1000000 && list[1].rate.seconds == 1 && list[2].rate.n == 30 && list[2].rate.seconds == 60);
}

/* As it was written before there were rates. */
static void a_way_without_a_rate_is_still_read(void **state)
{
	static const char row[] = "\x01\x01\x01\xd1\x00\x00\x00\x04\x00\x0drelay.example\x00\x01u\x00\x06sealed";
	char out[WAY_ROW_MAX];
	struct way w;
	OK(way_parse(str_of(row, sizeof row - 1), &w));
	assert_true(w.tls == ROUTE_TLS_VERIFIED && w.port == 465 && w.max_connections == 4 && str_eq(w.host, STR("relay.example")) && !rate_said(&w.rate));
	struct str again = way_format(&w, out);
	assert_int_equal(again.p[0], WAY_ROW_VERSION);
	OK(way_parse(again, &w));
	assert_true(w.max_connections == 4 && str_eq(w.password_sealed, STR("sealed")) && !rate_said(&w.rate));
	out[0] = WAY_ROW_VERSION + 1;
	IS(RC_DAMAGED, way_parse(again, &w));
}

static void there_are_so_many_ways_and_no_more(void **state)
{
	char key[32];
	for (int i = 0; i <= WAYS_MAX; i++) {
		(void)snprintf(key, sizeof key, "d%d.example", i);
		struct way w = { .key = str_z(key), .tls = ROUTE_TLS_VERIFIED, .host = STR(""), .user = STR(""), .password_sealed = STR("") };
		IS(i < WAYS_MAX ? RC_OK : RC_LIMIT, way_set(k->s, &w, &k->why));
	}
	OK(way_set(k->s, &(struct way){ .key = STR("d0.example"), .host = STR(""), .user = STR(""), .password_sealed = STR("") }, &k->why)); /* in its place */
}

static void everything_is_there_after_a_restart(void **state)
{
	OK(group("g@example.org", GROUP_MEMBERS, "carl@example.org"));
	OK(member("g@example.org", "anna@example.org"));
	OK(forward(1, true, "x@example.net", NULL));
	kit_reopen(k);
	LEADS("g@example.org", ">x@example.net<anna@example.org[1](carl@example.org) rights 2,1,3");
}

/* Removes one row behind the store's back. */
static void lose(enum table t, struct key key)
{
	struct index *x;
	MDB_txn *txn;
	MDB_val val = val_of(key_str(&key));
	OK(index_open(k->dir, k->o.map_size, true, &x, &k->why));
	assert_int_equal(mdb_txn_begin(x->env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_del(txn, x->dbi[t], &val, NULL), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	index_close(&x);
}

static void verify_says_what_is_missing(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct group g;
	struct str *members;
	size_t n;
	OK(group("g@example.org", GROUP_MEMBERS, ""));
	OK(member("g@example.org", "anna@example.org"));
	OK(member("g@example.org", "bob@example.org"));
	OK(forward(1, true, "x@example.net", NULL));
	OK(account_alias(k->s, 1, STR("ann@example.org"), true, &k->why));
	OK(domain_catch_all(k->s, STR("example.org"), STR("ann@example.org"), &k->why));
	OK(view_group(v, STR("g@example.org"), &a, &g, &members, &n, &k->why));
	const struct { enum table t; struct key key; const char *says; uint64_t times; } cases[] = {
		{ TABLE_MEMBER, key_member(g.id, STR("anna@example.org")), "it says 2 members, there are 1", 1 },
		{ TABLE_ADDRESS, key_address(STR("ann@example.org")), "has a catch-all to an address that is not there", 2 },
		{ TABLE_ADDRESS, key_address(STR("g@example.org")), "cannot be found by its address", 3 },
		{ TABLE_GROUP, key_group(g.id), "a member of group", 2 /* its two complaints go with it */ },
		{ TABLE_ACCOUNT, key_account(1), "rules of account 0000000000000001, which is not there", 0 /* whatever else there was of it */ },
	};
	view_close(&v);
	store_close(&k->s);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		AUTO(buf_done) struct buf b = { .max = 1 << 20 };
		lose(cases[i].t, cases[i].key);
		uint64_t times = kit_verify(k->dir, &b, NULL);
		assert_true(times == cases[i].times || (times && !cases[i].times));
		if (str_find_str(buf_str(&b), str_z(cases[i].says)) == b.len)
			fail_msg("%.*s", PSTR(str_head(buf_str(&b), 600)));
	}
	kit_done(k);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(an_address_leads_to_its_account_by_name_alias_tag_and_catch_all),
		T(a_disabled_account_is_told_of_and_left_out_of_groups),
		T(a_forward_leads_on_with_or_without_a_copy),
		T(a_ring_of_forwards_is_cut_and_keeps_the_mail),
		T(who_only_forwards_to_nobody_keeps_it),
		T(what_forwards_may_not_be),
		T(rules_are_read_as_they_were_set),
		T(a_group_leads_to_members_inside_and_outside_once_each),
		T(groups_in_groups_lead_on_and_rings_are_cut),
		T(a_group_that_reaches_nobody_goes_to_its_owner),
		T(depth_has_a_limit),
		T(a_group_has_a_limit_and_so_has_what_it_leads_to),
		T(rights_name_who_may_write),
		T(who_forwards_into_a_group_writes_in_his_own_name),
		T(what_groups_may_not_be),
		T(groups_are_listed_changed_and_shown),
		T(an_account_is_not_found_by_a_groups_address),
		T(an_address_that_goes_takes_along_what_names_it),
		T(an_alias_or_a_group_that_goes_does_so_too),
		T(a_domain_that_goes_takes_along_the_right_to_send_in_its_name),
		T(an_account_sends_as_its_own_addresses_and_those_granted),
		T(addresses_are_listed_of_one_account_or_of_all_piece_by_piece),
		T(ways_are_set_in_one_form_and_what_cannot_be_is_refused),
		T(a_rate_is_kept_and_is_of_a_destination),
		T(a_way_without_a_rate_is_still_read),
		T(there_are_so_many_ways_and_no_more),
		T(everything_is_there_after_a_restart),
		cmocka_unit_test_setup(verify_says_what_is_missing, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
