#include "unit/store/kit.h"

#include "store/view.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static struct kit kit, *k = &kit;
static struct arena arena;
static struct view *v;

static int set_up(void **state)
{
	kit_open(k);
	kit_account(k, 11, "anna@example.org", 0);
	kit_account(k, 12, "ben@example.org", 0);
	arena_init(&arena, 64 << 20);
	assert_int_equal(view_open(k->dir, k->o.map_size, &v, &k->why), RC_OK);
	return 0;
}

static int tear_down(void **state)
{
	if (kit_verify(k->dir, NULL, NULL))
		fail_msg("verify finds damage");
	view_close(&v);
	arena_done(&arena);
	kit_done(k);
	return 0;
}

static void expect_folders(uint64_t account, const char *want)
{
	struct box_info *b;
	size_t n;
	struct buf t;
	buf_init(&t, 65536);
	assert_int_equal(view_boxes(v, account, &arena, &b, &n, &k->why), RC_OK);
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_byte(&t, ' ');
		buf_add(&t, b[i].name);
		if (!b[i].selectable)
			buf_byte(&t, '!');
		if (!b[i].subscribed)
			buf_byte(&t, '-');
	}
	buf_byte(&t, 0);
	assert_string_equal(t.p, want);
	buf_done(&t);
}

static struct box_info named(const char *name)
{
	struct box_info b = { 0 };
	(void)!view_box_named(v, 11, str_z(name), &arena, &b, &k->why);
	return b;
}

static void put(uint64_t box)
{
	struct store_copy_result r;
	struct kit_copy c = { .account = 11, .box = box };
	assert_int_equal(kit_deliver(k, 0, STR("text"), &c, 1, &r), RC_OK);
	assert_int_equal(r.rc, RC_OK);
}

static void a_new_account_has_its_folders(void **state)
{
	expect_folders(11, "INBOX Archive Drafts Junk Sent Trash");
	assert_int_equal(named("Drafts").special_use, 1);
	assert_int_equal(named("Archive").special_use, 16);
	assert_int_equal(named("inBox").uidnext, 1);
	assert_true(named("Sent").uidvalidity > 0);
}

static void names_have_rules(void **state)
{
	static const struct { const char *name; enum rc rc; } cases[] = {
		{ "", RC_SYNTAX },          { "/x", RC_SYNTAX },   { "x/", RC_SYNTAX },    { "x//y", RC_SYNTAX },
		{ "bad\xff", RC_SYNTAX },   { "a\tb", RC_SYNTAX }, { "inbox", RC_EXISTS }, { "Sent", RC_EXISTS },
		{ "Gr\xc3\xbc\xc3\x9f" "e/2025", RC_OK }, { "inbox/below", RC_OK }, { "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20", RC_OK },
		{ "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21", RC_LIMIT },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t id;
		enum rc rc = box_create(k->s, 11, str_z(cases[i].name), 0, &id, &k->why);
		if (rc != cases[i].rc)
			fail_msg("%s: %s", cases[i].name, rc_name(rc));
	}
	char long_name[1100];
	memset(long_name, 'a', sizeof long_name);
	assert_int_equal(box_create(k->s, 11, str_of(long_name, 255), 0, NULL, &k->why), RC_OK);
	assert_int_equal(box_create(k->s, 11, str_of(long_name, 256), 0, NULL, &k->why), RC_LIMIT);
	for (size_t i = 100; i < sizeof long_name; i += 101)
		long_name[i] = '/';
	assert_int_equal(box_create(k->s, 11, str_of(long_name, 1000), 0, NULL, &k->why), RC_OK);
	assert_int_equal(box_create(k->s, 11, str_of(long_name, 1001), 0, NULL, &k->why), RC_LIMIT);
	assert_true(named("INBOX/below").id != 0);
	assert_true(named("Gr\xc3\xbc\xc3\x9f" "e").id != 0);
}

static void a_removed_folder_with_children_stays_as_a_name(void **state)
{
	assert_int_equal(box_create(k->s, 11, STR("a/b/c"), 0, NULL, &k->why), RC_OK);
	struct box_info b = named("a/b");
	put(b.id);
	assert_int_equal(box_remove(k->s, 11, STR("a/b"), &k->why), RC_OK);
	assert_false(named("a/b").selectable);
	assert_int_equal(named("a/b").exists, 0);
	assert_int_equal(box_remove(k->s, 11, STR("a/b"), &k->why), RC_DENIED);
	assert_int_equal(box_create(k->s, 11, STR("a/b"), 0, NULL, &k->why), RC_OK);
	assert_true(named("a/b").selectable);
	assert_true(named("a/b").uidvalidity > b.uidvalidity);
	assert_int_equal(box_remove(k->s, 11, STR("a/b/c"), &k->why), RC_OK);
	assert_int_equal(box_remove(k->s, 11, STR("a/b"), &k->why), RC_OK);
	expect_folders(11, "INBOX Archive Drafts Junk Sent Trash a-");
	assert_int_equal(box_remove(k->s, 11, STR("Inbox"), &k->why), RC_DENIED);
	assert_int_equal(box_remove(k->s, 11, STR("nothing"), &k->why), RC_NOTFOUND);
}

static void a_folder_made_again_has_a_greater_uidvalidity(void **state)
{
	uint32_t last = 0;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(box_create(k->s, 11, STR("again"), 0, NULL, &k->why), RC_OK);
		struct box_info b = named("again");
		assert_true(b.uidvalidity > last);
		last = b.uidvalidity;
		put(b.id);
		assert_int_equal(box_remove(k->s, 11, STR("again"), &k->why), RC_OK);
	}
}

static void renaming_takes_the_children_along(void **state)
{
	assert_int_equal(box_create(k->s, 11, STR("a/b/c"), 0, NULL, &k->why), RC_OK);
	assert_int_equal(box_create(k->s, 11, STR("ab"), 0, NULL, &k->why), RC_OK);
	uint64_t c = named("a/b/c").id;
	put(c);
	assert_int_equal(box_rename(k->s, 11, STR("a"), STR("x/y"), &k->why), RC_OK);
	expect_folders(11, "INBOX Archive Drafts Junk Sent Trash ab- x- x/y- x/y/b- x/y/b/c-");
	assert_int_equal(named("x/y/b/c").id, c);
	assert_int_equal(named("x/y/b/c").exists, 1);
	assert_int_equal(box_rename(k->s, 11, STR("x"), STR("x/z"), &k->why), RC_DENIED);
	assert_int_equal(box_rename(k->s, 11, STR("x"), STR("Sent"), &k->why), RC_EXISTS);
	assert_int_equal(box_rename(k->s, 11, STR("gone"), STR("new"), &k->why), RC_NOTFOUND);
}

static void renaming_inbox_moves_its_messages(void **state)
{
	struct box_info in = named("INBOX");
	assert_int_equal(box_create(k->s, 11, STR("INBOX/below"), 0, NULL, &k->why), RC_OK);
	put(in.id);
	put(in.id);
	assert_int_equal(box_rename(k->s, 11, STR("inbox"), STR("old/mail"), &k->why), RC_OK);
	assert_int_equal(named("INBOX").id, in.id);
	assert_int_equal(named("INBOX").exists, 0);
	assert_int_equal(named("old/mail").exists, 2);
	assert_true(named("INBOX/below").id != 0);
}

static void subscriptions_are_kept(void **state)
{
	assert_int_equal(box_subscribe(k->s, 11, STR("Junk"), false, &k->why), RC_OK);
	kit_reopen(k);
	expect_folders(11, "INBOX Archive Drafts Junk- Sent Trash");
	assert_int_equal(box_subscribe(k->s, 11, STR("Junk"), false, &k->why), RC_OK);
	assert_int_equal(box_subscribe(k->s, 11, STR("none"), false, &k->why), RC_NOTFOUND);
	assert_int_equal(box_subscribe(k->s, 11, STR("a//b"), true, &k->why), RC_SYNTAX);
	expect_folders(12, "INBOX Archive Drafts Junk Sent Trash");
}

static void expect_only_names(uint64_t account, const char *one_or_none)
{
	struct box_info *b;
	struct str *names;
	size_t n, names_n;
	assert_int_equal(view_folders(v, account, &arena, &b, &n, &names, &names_n, &k->why), RC_OK);
	assert_int_equal(names_n, one_or_none ? 1 : 0);
	if (one_or_none && !str_eq(names[0], str_z(one_or_none)))
		fail_msg("%.*s", PSTR(names[0]));
}

static void a_subscription_outlives_its_folder(void **state)
{
	assert_int_equal(box_create(k->s, 11, STR("a"), 0, NULL, &k->why), RC_OK);
	assert_int_equal(box_subscribe(k->s, 11, STR("a"), true, &k->why), RC_OK);
	expect_only_names(11, NULL);
	assert_int_equal(box_remove(k->s, 11, STR("a"), &k->why), RC_OK);
	kit_reopen(k);
	expect_folders(11, "INBOX Archive Drafts Junk Sent Trash");
	expect_only_names(11, "a");
	expect_only_names(12, NULL);
	assert_int_equal(box_create(k->s, 11, STR("a"), 0, NULL, &k->why), RC_OK);
	assert_true(named("a").subscribed);
	assert_int_equal(box_rename(k->s, 11, STR("a"), STR("b"), &k->why), RC_OK);
	expect_folders(11, "INBOX Archive Drafts Junk Sent Trash b-");
	expect_only_names(11, "a");
	assert_int_equal(box_subscribe(k->s, 11, STR("a"), false, &k->why), RC_OK);
	expect_only_names(11, NULL);
	assert_int_equal(box_subscribe(k->s, 11, STR("inbox/not there"), true, &k->why), RC_OK);
	expect_only_names(11, "INBOX/not there");
}

static void subscriptions_are_limited(void **state)
{
	char name[16];
	enum rc rc = RC_OK;
	for (int i = 0; i < 10000 - 6 && rc == RC_OK; i++) {
		(void)snprintf(name, sizeof name, "n%d", i);
		rc = box_subscribe(k->s, 11, str_z(name), true, &k->why);
	}
	assert_int_equal(rc, RC_OK);
	assert_int_equal(box_subscribe(k->s, 11, STR("more"), true, &k->why), RC_LIMIT);
	assert_int_equal(box_subscribe(k->s, 11, STR("n7"), true, &k->why), RC_OK);
	assert_int_equal(box_subscribe(k->s, 11, STR("n7"), false, &k->why), RC_OK);
	assert_int_equal(box_subscribe(k->s, 11, STR("more"), true, &k->why), RC_OK);
	assert_int_equal(account_remove(k->s, 11, &k->why), RC_OK); /* verify misses the account of whatever is left */
}

/* ---- changes ---- */
static struct { uint64_t account, box, modseq; } heard[64];
static size_t heard_n;

static void hear(void *arg, uint64_t account, uint64_t box, uint64_t modseq)
{
	assert_true(heard_n < 64);
	heard[heard_n].account = account;
	heard[heard_n].box = box;
	heard[heard_n++].modseq = modseq;
}

static void changes_since_a_modseq_are_told_once_and_in_order(void **state)
{
	struct box_change *c;
	size_t n;
	uint64_t at, in = named("INBOX").id;
	bool more;
	struct uid_range one = { 1, 1 }, two = { 2, 2 };
	put(in);
	uint64_t since = named("INBOX").highestmodseq;
	put(in);
	put(named("Sent").id);
	assert_int_equal(store_flags(k->s, 11, in, &one, 1, FLAG_ADD, 4, NULL, 0, NULL, &k->why), RC_OK);
	assert_int_equal(store_flags(k->s, 11, in, &one, 1, FLAG_ADD, 1, NULL, 0, NULL, &k->why), RC_OK);
	assert_int_equal(view_changes(v, 11, in, since, 100, &arena, &c, &n, &at, &more, &k->why), RC_OK);
	assert_int_equal(n, 2);
	assert_true(c[0].uid == 2 && !c[0].expunged && c[1].uid == 1 && c[1].flags == 5 && c[1].modseq == at && !more);
	assert_int_equal(store_expunge(k->s, 11, in, &two, 1, false, NULL, &k->why), RC_OK);
	assert_int_equal(view_changes(v, 11, in, since, 1, &arena, &c, &n, &at, &more, &k->why), RC_OK);
	assert_true(n == 1 && c[0].uid == 1 && more);
	assert_int_equal(view_changes(v, 11, in, at, 1, &arena, &c, &n, &at, &more, &k->why), RC_OK);
	assert_true(n == 1 && c[0].uid == 2 && c[0].expunged);
	assert_int_equal(view_changes(v, 11, in, at, 1, &arena, &c, &n, &at, &more, &k->why), RC_OK);
	assert_true(n == 0 && !more);
}

static void what_came_is_told_among_the_changes_whatever_happened_to_it_since(void **state)
{
	struct box_change *c;
	size_t n;
	uint64_t at, in = named("INBOX").id, start;
	bool more = true;
	struct uid_range two = { 2, 2 }, four = { 4, 4 };
	put(in);
	at = start = named("INBOX").highestmodseq;
	for (int i = 0; i < 2; i++)
		put(in); /* 2, 3 */
	assert_int_equal(store_flags(k->s, 11, in, &two, 1, FLAG_ADD, 4, NULL, 0, NULL, &k->why), RC_OK);
	for (int i = 0; i < 3; i++)
		put(in); /* 4, 5, 6 */
	assert_int_equal(store_expunge(k->s, 11, in, &four, 1, false, NULL, &k->why), RC_OK);
	assert_int_equal(view_changes(v, 11, in, start, 100, &arena, &c, &n, &at, &more, &k->why), RC_OK);
	assert_true(n == 5 && !more && at == named("INBOX").highestmodseq);
	static const struct { uint32_t uid, flags; bool expunged; } want[] = { { 3, 0, false }, { 2, 4, false }, { 5, 0, false }, { 6, 0, false }, { 4, 0, true } };
	at = start;
	for (size_t i = 0; i < 5; i++) { /* and the same one at a time */
		assert_true(c[i].uid == want[i].uid && c[i].flags == want[i].flags && c[i].expunged == want[i].expunged);
		assert_true(i == 0 || c[i].modseq > c[i - 1].modseq);
		struct box_change *one;
		assert_int_equal(view_changes(v, 11, in, at, 1, &arena, &one, &n, &at, &more, &k->why), RC_OK);
		assert_true(n == 1 && one[0].uid == want[i].uid && more == (i < 4));
	}
}

static enum rc add_keyword(uint64_t box, uint32_t uid, unsigned i)
{
	char name[8] = { 'k', (char)('0' + i / 10), (char)('0' + i % 10) };
	struct str word = str_z(name);
	struct uid_range r = { uid, uid };
	return store_flags(k->s, 11, box, &r, 1, FLAG_ADD, 0, &word, 1, NULL, &k->why);
}

static void keywords_that_nothing_bears_make_room_and_who_knew_them_reads_again(void **state)
{
	struct box_change *c;
	size_t n;
	uint64_t at, in = named("INBOX").id, sent = named("Sent").id;
	bool more;
	struct uid_range one = { 1, 1 };
	struct str kept[] = { STR_INIT("k07"), STR_INIT("k63") };
	put(in);
	put(in);
	put(sent);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(add_keyword(in, 1, i), RC_OK);
	assert_int_equal(add_keyword(in, 2, 64), RC_LIMIT); /* all are in use */
	assert_int_equal(store_flags(k->s, 11, in, &one, 1, FLAG_SET, 0, kept, 2, NULL, &k->why), RC_OK);
	uint64_t since = named("INBOX").highestmodseq;
	assert_int_equal(add_keyword(in, 2, 64), RC_OK);
	assert_int_equal(add_keyword(in, 2, 65), RC_OK);
	struct box_info b = named("INBOX");
	assert_true(str_eq(b.keywords[7], STR("k07")) && str_eq(b.keywords[63], STR("k63")));
	assert_true(str_eq(b.keywords[0], STR("k64")) && str_eq(b.keywords[1], STR("k65")) && b.keywords[2].n == 0);
	assert_int_equal(view_changes(v, 11, in, since, 100, &arena, &c, &n, &at, &more, &k->why), RC_NOTFOUND);
	assert_int_equal(view_changes(v, 11, in, b.highestmodseq, 100, &arena, &c, &n, &at, &more, &k->why), RC_OK);
	assert_int_equal(view_changes(v, 11, sent, since, 100, &arena, &c, &n, &at, &more, &k->why), RC_OK); /* other folders go on */
}

static void names_that_one_verb_needs_together_take_no_bit_from_each_other(void **state)
{
	uint64_t in = named("INBOX").id;
	struct uid_range one = { 1, 1 };
	char names[64][8];
	struct str words[64];
	put(in);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(add_keyword(in, 1, i), RC_OK);
	assert_int_equal(store_flags(k->s, 11, in, &one, 1, FLAG_SET, 0, NULL, 0, NULL, &k->why), RC_OK);
	for (unsigned i = 0; i < 64; i++) { /* half of them new, each behind an old one */
		memcpy(names[i], i % 2 ? "n00" : "k00", 4);
		names[i][1] = (char)('0' + i / 10);
		names[i][2] = (char)('0' + i % 10);
		words[i] = str_z(names[i]);
	}
	assert_int_equal(store_flags(k->s, 11, in, &one, 1, FLAG_SET, 0, words, 64, NULL, &k->why), RC_OK);
	struct box_info b = named("INBOX");
	for (unsigned i = 0; i < 64; i++) {
		unsigned found = 0;
		for (unsigned j = 0; j < 64; j++)
			found += str_eq(b.keywords[j], words[i]);
		assert_int_equal(found, 1);
	}
}

static void a_modseq_behind_the_horizon_is_said_to_be_forgotten(void **state)
{
	struct box_change *c;
	size_t n;
	uint64_t at, in = named("INBOX").id;
	bool more;
	wall_ms_fixed = wall_ms();
	for (int i = 0; i < 5; i++)
		put(in);
	wall_ms_fixed += 31ll * 24 * 3600 * 1000;
	for (int i = 0; i < 80; i++)
		put(in);
	wall_ms_fixed = 0;
	assert_int_equal(view_changes(v, 11, in, 3, 100, &arena, &c, &n, &at, &more, &k->why), RC_NOTFOUND);
	assert_int_equal(view_changes(v, 11, in, 20, 1000, &arena, &c, &n, &at, &more, &k->why), RC_OK);
	assert_true(n > 60);
}

static void a_subscription_without_a_folder_is_told(void **state)
{
	store_on_change(k->s, hear, NULL);
	heard_n = 0;
	assert_int_equal(box_subscribe(k->s, 11, STR("nowhere"), true, &k->why), RC_OK);
	assert_int_equal(box_subscribe(k->s, 11, STR("nowhere"), true, &k->why), RC_OK);
	assert_true(heard_n == 1 && heard[0].account == 11 && heard[0].box == 0);
}

static void whoever_watches_hears_of_it_after_the_commit(void **state)
{
	store_on_change(k->s, hear, NULL);
	heard_n = 0;
	put(named("INBOX").id);
	assert_int_equal(heard_n, 1);
	assert_true(heard[0].account == 11 && heard[0].box == named("INBOX").id && heard[0].modseq == named("INBOX").highestmodseq);
	assert_int_equal(box_create(k->s, 11, STR("news"), 0, NULL, &k->why), RC_OK);
	assert_true(heard_n >= 2 && heard[1].account == 11 && heard[1].box == 0);
}

/* ---- directory ---- */
static enum rc find(const char *address, uint64_t *id, struct str *tag)
{
	struct account a = { 0 };
	*tag = STR("");
	enum rc rc = view_address(v, str_z(address), &arena, &a, tag, &k->why);
	*id = rc == RC_OK ? a.id : 0;
	return rc;
}

static void addresses_are_found_exactly_by_tag_alias_and_catch_all(void **state)
{
	static const struct { const char *address; enum rc rc; uint64_t id; const char *tag; } cases[] = {
		{ "anna@example.org", RC_OK, 11, "" },      { "ANNA@EXAMPLE.ORG", RC_OK, 11, "" }, { "anna+lists+x@example.org", RC_OK, 11, "lists+x" },
		{ "info@example.org", RC_OK, 12, "" },      { "who@example.org", RC_NOTFOUND, 0, "" }, { "+x@example.org", RC_NOTFOUND, 0, "" },
		{ "anna@example.net", RC_DENIED, 0, "" },   { "anna", RC_DENIED, 0, "" },          { "@example.org", RC_DENIED, 0, "" },
		{ "any@all.example", RC_OK, 11, "" },
	};
	assert_int_equal(account_alias(k->s, 12, STR("Info@example.org"), true, &k->why), RC_OK);
	assert_int_equal(domain_add(k->s, STR("All.example"), &k->why), RC_OK);
	assert_int_equal(domain_catch_all(k->s, STR("all.example"), STR("anna@example.org"), &k->why), RC_OK);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t id;
		struct str tag;
		enum rc rc = find(cases[i].address, &id, &tag);
		if (rc != cases[i].rc || id != cases[i].id || !str_eq(tag, str_z(cases[i].tag)))
			fail_msg("%s: %s %llu", cases[i].address, rc_name(rc), (unsigned long long)id);
	}
	assert_int_equal(account_alias(k->s, 12, STR("info@example.org"), false, &k->why), RC_OK);
	uint64_t id;
	struct str tag;
	assert_int_equal(find("info@example.org", &id, &tag), RC_NOTFOUND);
}

static void the_directory_refuses_what_would_contradict_itself(void **state)
{
	struct account a = { .id = 13, .address = STR("anna@example.org"), .name = STR("") };
	assert_int_equal(domain_add(k->s, STR("example.org"), &k->why), RC_EXISTS);
	assert_int_equal(domain_remove(k->s, STR("example.org"), &k->why), RC_DENIED);
	assert_int_equal(domain_remove(k->s, STR("example.com"), &k->why), RC_NOTFOUND);
	assert_int_equal(domain_add(k->s, STR("two words"), &k->why), RC_SYNTAX);
	assert_int_equal(account_add(k->s, &a, &k->why), RC_EXISTS);
	a.address = STR("x@example.net");
	assert_int_equal(account_add(k->s, &a, &k->why), RC_NOTFOUND);
	a.address = STR("x@example.org");
	a.id = 12;
	assert_int_equal(account_add(k->s, &a, &k->why), RC_EXISTS);
	assert_int_equal(account_alias(k->s, 12, STR("anna@example.org"), true, &k->why), RC_EXISTS);
	assert_int_equal(account_alias(k->s, 12, STR("ben@example.org"), false, &k->why), RC_NOTFOUND);
}

static void accounts_are_listed_page_by_page_and_changed(void **state)
{
	struct account *a, b;
	size_t n;
	assert_int_equal(view_accounts(v, STR(""), 1, &arena, &a, &n, &k->why), RC_OK);
	assert_true(n == 1 && str_eq(a[0].address, STR("anna@example.org")));
	assert_int_equal(view_accounts(v, a[0].address, 10, &arena, &a, &n, &k->why), RC_OK);
	assert_true(n == 1 && a[0].id == 12);
	struct account set = { .id = 12, .name = STR("Benjamin"), .quota = 5, .disabled = true };
	assert_int_equal(account_set(k->s, &set, &k->why), RC_OK);
	assert_int_equal(view_account(v, 12, &arena, &b, &k->why), RC_OK);
	assert_true(b.quota == 5 && b.disabled && str_eq(b.name, STR("Benjamin")) && str_eq(b.address, STR("ben@example.org")));
}

static void a_removed_account_leaves_nothing(void **state)
{
	struct account b;
	struct store_stats st;
	for (int i = 0; i < 30; i++)
		put(named(i % 2 ? "INBOX" : "Sent").id);
	assert_int_equal(account_remove(k->s, 11, &k->why), RC_OK);
	assert_int_equal(view_account(v, 11, &arena, &b, &k->why), RC_NOTFOUND);
	store_stats(k->s, &st);
	assert_int_equal(st.live_bytes, 0);
	kit_account(k, 21, "anna@example.org", 0);
	assert_int_equal(account_remove(k->s, 12, &k->why), RC_OK);
	assert_int_equal(account_remove(k->s, 21, &k->why), RC_OK);
	assert_int_equal(account_remove(k->s, 21, &k->why), RC_NOTFOUND);
	assert_int_equal(domain_remove(k->s, STR("example.org"), &k->why), RC_OK);
	struct verify_report r;
	assert_int_equal(kit_verify(k->dir, NULL, &r), 0);
	assert_true(r.accounts == 0 && r.boxes == 0 && r.messages == 0 && r.blobs == 0);
}

static size_t epoch_rows(uint64_t *first_kind)
{
	struct buf b;
	uint64_t next;
	size_t n = 0;
	buf_init(&b, 1 << 20);
	assert_int_equal(view_epochs(v, 11, 0, 1 << 20, &b, &next, &k->why), RC_OK);
	struct cursor c = cursor_of(buf_str(&b));
	while (c.in.n) {
		(void)cursor_u64(&c);
		*first_kind = cursor_u8(&c);
		(void)cursor_run(&c, 1 << 20);
		n++;
	}
	assert_false(c.failed);
	buf_done(&b);
	return n;
}

static void a_rollup_replaces_its_epochs(void **state)
{
	uint64_t kind = 9;
	put(named("INBOX").id);
	assert_int_equal(epoch_rows(&kind), 1);
	assert_int_equal(kind, 0);
	assert_int_equal(epoch_rollup(k->s, 11, 777, STR("sealed roll-up"), &k->epoch, 1, &k->why), RC_OK);
	assert_int_equal(epoch_rows(&kind), 1);
	assert_int_equal(kind, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_new_account_has_its_folders, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_have_rules, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_removed_folder_with_children_stays_as_a_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_folder_made_again_has_a_greater_uidvalidity, set_up, tear_down),
		cmocka_unit_test_setup_teardown(renaming_takes_the_children_along, set_up, tear_down),
		cmocka_unit_test_setup_teardown(renaming_inbox_moves_its_messages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(subscriptions_are_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_subscription_outlives_its_folder, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_subscription_without_a_folder_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(subscriptions_are_limited, set_up, tear_down),
		cmocka_unit_test_setup_teardown(changes_since_a_modseq_are_told_once_and_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_came_is_told_among_the_changes_whatever_happened_to_it_since, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keywords_that_nothing_bears_make_room_and_who_knew_them_reads_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_that_one_verb_needs_together_take_no_bit_from_each_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_modseq_behind_the_horizon_is_said_to_be_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(whoever_watches_hears_of_it_after_the_commit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(addresses_are_found_exactly_by_tag_alias_and_catch_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_directory_refuses_what_would_contradict_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(accounts_are_listed_page_by_page_and_changed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_removed_account_leaves_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_rollup_replaces_its_epochs, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
