#include "unit/store/kit.h"

#include "store/view.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static struct kit kit, *k = &kit;
static struct arena arena;

static int set_up(void **state)
{
	kit_open(k);
	kit_account(k, 11, "Anna@Example.org", 0);
	kit_account(k, 12, "ben@example.org", 0);
	arena_init(&arena, 16 << 20);
	return 0;
}

static int tear_down(void **state)
{
	arena_done(&arena);
	kit_done(k);
	return 0;
}

static struct store_copy_result deliver(uint64_t account, uint64_t box, uint32_t flags, const char *text)
{
	struct store_copy_result r = { 0 };
	struct kit_copy c = { .account = account, .box = box, .flags = flags };
	enum rc rc = kit_deliver(k, 0, str_z(text), &c, 1, &r);
	if (rc != RC_OK)
		fail_msg("deliver: %s %s", rc_name(rc), k->why.text);
	return r;
}

static void expect_list(uint64_t account, uint64_t box, const char *want)
{
	struct buf b;
	buf_init(&b, 1 << 20);
	kit_list(k, account, box, &b);
	buf_byte(&b, 0);
	assert_string_equal(b.p, want);
	buf_done(&b);
}

static struct box_info box_info(uint64_t account, uint64_t box)
{
	struct view *v;
	struct box_info b = { 0 };
	assert_int_equal(view_open(k->dir, k->o.map_size, &v, &k->why), RC_OK);
	assert_int_equal(view_box(v, account, box, &arena, &b, &k->why), RC_OK);
	view_close(&v);
	return b;
}

static struct account account_info(uint64_t id)
{
	struct view *v;
	struct account a = { 0 };
	assert_int_equal(view_open(k->dir, k->o.map_size, &v, &k->why), RC_OK);
	enum rc rc = view_account(v, id, &arena, &a, &k->why);
	view_close(&v);
	if (rc != RC_OK)
		a.id = 0;
	return a;
}

static void clean(void)
{
	struct buf list;
	buf_init(&list, 1 << 20);
	if (kit_verify(k->dir, &list, NULL))
		fail_msg("verify: %.*s", PSTR(str_head(buf_str(&list), 500)));
	buf_done(&list);
}

static void a_delivered_message_is_read_back_after_a_restart(void **state)
{
	struct store_copy_result r = deliver(11, 0, 0, "Subject: hello\r\n\r\nhello\r\n");
	assert_int_equal(r.rc, RC_OK);
	assert_int_equal(r.uid, 1);
	assert_int_equal(r.box, kit_box(k, 11, "inbox"));
	kit_reopen(k);
	struct buf b;
	buf_init(&b, 4096);
	assert_int_equal(kit_read(k, 11, r.box, 1, &b), RC_OK);
	assert_true(str_eq(buf_str(&b), STR("Subject: hello\r\n\r\nhello\r\n")));
	buf_done(&b);
	struct box_info i = box_info(11, r.box);
	assert_int_equal(i.exists, 1);
	assert_int_equal(i.unseen, 1);
	assert_int_equal(i.first_unseen_uid, 1);
	assert_int_equal(i.uidnext, 2);
	assert_int_equal(i.uidvalidity, r.uidvalidity);
	assert_int_equal(account_info(11).used, 25);
	assert_int_equal(account_info(11).messages, 1);
	clean();
}

static void ten_recipients_share_one_body(void **state)
{
	struct kit_copy c[10];
	struct store_copy_result r[10];
	struct store_stats before, after;
	for (uint64_t i = 0; i < 10; i++) {
		char address[32] = "x0@example.org";
		address[1] = (char)('0' + i);
		kit_account(k, 100 + i, address, 0);
		c[i] = (struct kit_copy){ .account = 100 + i };
	}
	char body[5000];
	assert_int_equal(random_bytes(body, sizeof body), RC_OK);
	store_stats(k->s, &before);
	assert_int_equal(kit_deliver(k, 1, str_of(body, sizeof body), c, 10, r), RC_OK);
	store_stats(k->s, &after);
	assert_true(after.live_bytes - before.live_bytes < 6000);
	assert_int_equal(after.commits - before.commits, 1);
	for (size_t i = 0; i < 10; i++) {
		struct buf b;
		buf_init(&b, 8192);
		assert_int_equal(r[i].rc, RC_OK);
		assert_int_equal(kit_read(k, c[i].account, r[i].box, r[i].uid, &b), RC_OK);
		assert_memory_equal(b.p, body, sizeof body);
		buf_done(&b);
	}
	for (size_t i = 0; i < 10; i++) /* the body goes with its last copy */
		assert_int_equal(store_expunge(k->s, c[i].account, r[i].box, NULL, 0, false, NULL, &k->why), RC_OK);
	store_stats(k->s, &after);
	assert_int_equal(after.live_bytes, before.live_bytes);
	clean();
}

static void a_retried_delivery_gets_the_first_answer(void **state)
{
	struct kit_copy c = { .account = 11 };
	struct store_copy_result a, b, again;
	assert_int_equal(kit_deliver(k, 99, STR("one"), &c, 1, &a), RC_OK);
	assert_int_equal(kit_deliver(k, 99, STR("one"), &c, 1, &again), RC_OK);
	assert_int_equal(again.uid, a.uid);
	assert_int_equal(again.modseq, a.modseq);
	assert_int_equal(kit_deliver(k, 100, STR("two"), &c, 1, &b), RC_OK);
	assert_int_equal(b.uid, a.uid + 1);
	expect_list(11, a.box, "1:0 2:0");
	clean();
}

static void a_copy_fails_alone_for_quota_or_a_missing_account(void **state)
{
	kit_account(k, 13, "small@example.org", 10);
	struct kit_copy c[4] = { { .account = 11 }, { .account = 13 }, { .account = 999 }, { .account = 12, .box = 4711 } };
	struct store_copy_result r[4];
	assert_int_equal(kit_deliver(k, 5, STR("more than ten octets"), c, 4, r), RC_OK);
	assert_int_equal(r[0].rc, RC_OK);
	assert_int_equal(r[1].rc, RC_FULL);
	assert_int_equal(r[2].rc, RC_NOTFOUND);
	assert_int_equal(r[3].rc, RC_NOTFOUND);
	assert_int_equal(kit_deliver(k, 6, STR("tiny"), c + 1, 1, r), RC_OK);
	assert_int_equal(r[0].rc, RC_OK);
	assert_int_equal(kit_deliver(k, 7, STR("too much"), c + 1, 1, r), RC_OK);
	assert_int_equal(r[0].rc, RC_FULL);
	assert_string_equal(k->why.text, "5.2.2 mailbox full");
	assert_int_equal(account_info(13).used, 4);
	clean();
}

static void a_large_body_has_a_file_of_its_own_which_goes_with_it(void **state)
{
	size_t n = 3 << 20;
	char *body = malloc(n);
	struct kit_copy c = { .account = 11 };
	struct store_copy_result r;
	struct store_stats s;
	struct buf b;
	bool more = true;
	assert_int_equal(random_bytes(body, n), RC_OK);
	assert_int_equal(kit_deliver(k, 0, str_of(body, n), &c, 1, &r), RC_OK);
	(void)deliver(11, 0, 0, "a small one");
	buf_init(&b, n + 1);
	assert_int_equal(kit_read(k, 11, r.box, 1, &b), RC_OK);
	assert_memory_equal(b.p, body, n);
	clean();
	store_stats(k->s, &s);
	assert_int_equal(s.segments, 2);
	struct uid_range one = { 1, 1 };
	assert_int_equal(store_expunge(k->s, 11, r.box, &one, 1, false, NULL, &k->why), RC_OK);
	while (more)
		assert_int_equal(store_compact(k->s, 1000, &more, &k->why), RC_OK);
	store_stats(k->s, &s);
	assert_int_equal(s.segments, 1);
	buf_done(&b);
	free(body);
	clean();
}

static void flags_are_set_added_and_removed_and_keywords_get_bits(void **state)
{
	uint64_t box = kit_box(k, 11, "INBOX"), m1, m2;
	for (int i = 0; i < 5; i++)
		(void)deliver(11, box, 0, "text");
	struct uid_range r[] = { { 1, 2 }, { 4, UINT32_MAX } };
	struct str words[] = { STR_INIT("$Forwarded"), STR_INIT("todo") }, again = STR("TODO");
	assert_int_equal(store_flags(k->s, 11, box, r, 2, FLAG_ADD, 1 | 8, words, 2, &m1, &k->why), RC_OK);
	expect_list(11, box, "1:9 2:9 3:0 4:9 5:9");
	assert_int_equal(box_info(11, box).unseen, 1);
	assert_int_equal(box_info(11, box).first_unseen_uid, 3);
	assert_true(str_eq(box_info(11, box).keywords[1], STR("todo")));
	assert_int_equal(store_flags(k->s, 11, box, r, 1, FLAG_REMOVE, 8, &again, 1, &m2, &k->why), RC_OK);
	assert_true(m2 > m1);
	expect_list(11, box, "1:1 2:1 3:0 4:9 5:9");
	assert_int_equal(store_flags(k->s, 11, box, r, 1, FLAG_SET, 2, NULL, 0, &m2, &k->why), RC_OK);
	expect_list(11, box, "1:2 2:2 3:0 4:9 5:9");
	assert_int_equal(box_info(11, box).unseen, 3);
	assert_int_equal(box_info(11, box).first_unseen_uid, 1);
	clean();
}

static void a_sixty_fifth_keyword_is_refused(void **state)
{
	uint64_t box = deliver(11, 0, 0, "text").box;
	struct uid_range r = { 1, 1 };
	for (unsigned i = 0; i <= 64; i++) {
		char name[8] = { 'k', (char)('0' + i / 10), (char)('0' + i % 10) };
		struct str word = str_z(name);
		assert_int_equal(store_flags(k->s, 11, box, &r, 1, FLAG_ADD, 0, &word, 1, NULL, &k->why), i < 64 ? RC_OK : RC_LIMIT);
	}
	clean();
}

static void expunge_takes_the_deleted_ones_or_all(void **state)
{
	uint64_t box = kit_box(k, 11, "INBOX");
	for (int i = 0; i < 6; i++)
		(void)deliver(11, box, i % 2 ? 8 : 1, "text");
	assert_int_equal(store_expunge(k->s, 11, box, NULL, 0, true, NULL, &k->why), RC_OK);
	expect_list(11, box, "1:1 3:1 5:1");
	struct uid_range r = { 3, 4 };
	assert_int_equal(store_expunge(k->s, 11, box, &r, 1, false, NULL, &k->why), RC_OK);
	expect_list(11, box, "1:1 5:1");
	assert_int_equal(box_info(11, box).exists, 2);
	assert_int_equal(box_info(11, box).unseen, 0);
	assert_int_equal(account_info(11).used, 8);
	assert_int_equal(box_info(11, box).uidnext, 7);
	clean();
}

static void copies_and_moves_answer_pairs_and_share_the_body(void **state)
{
	uint64_t box = kit_box(k, 11, "INBOX"), trash = kit_box(k, 11, "Trash");
	struct uid_range *src, *dst;
	size_t n;
	uint32_t validity;
	struct str word = STR("Label");
	for (int i = 0; i < 5; i++)
		(void)deliver(11, box, (uint32_t)i, i == 4 ? "the last" : "text");
	struct uid_range gap = { 3, 3 }, all = { 1, 9 };
	assert_int_equal(store_flags(k->s, 11, box, &all, 1, FLAG_ADD, 0, &word, 1, NULL, &k->why), RC_OK);
	assert_int_equal(store_expunge(k->s, 11, box, &gap, 1, false, NULL, &k->why), RC_OK);
	assert_int_equal(store_copy_to(k->s, 11, box, &all, 1, trash, false, &arena, &src, &dst, &n, &validity, &k->why), RC_OK);
	assert_int_equal(n, 2);
	assert_true(src[0].first == 1 && src[0].last == 2 && src[1].first == 4 && src[1].last == 5);
	assert_true(dst[0].first == 1 && dst[0].last == 2 && dst[1].first == 3 && dst[1].last == 4);
	assert_int_equal(validity, box_info(11, trash).uidvalidity);
	assert_true(str_eq(box_info(11, trash).keywords[0], STR("Label")));
	expect_list(11, trash, "1:0 2:1 3:3 4:4");
	assert_int_equal(account_info(11).messages, 8);
	struct uid_range last = { 5, 5 };
	assert_int_equal(store_copy_to(k->s, 11, box, &last, 1, trash, true, &arena, &src, &dst, &n, &validity, &k->why), RC_OK);
	expect_list(11, box, "1:0 2:1 4:3");
	expect_list(11, trash, "1:0 2:1 3:3 4:4 5:4");
	struct buf b;
	buf_init(&b, 100);
	assert_int_equal(kit_read(k, 11, trash, 5, &b), RC_OK);
	assert_true(str_eq(buf_str(&b), STR("the last")));
	buf_done(&b);
	clean();
	assert_int_equal(store_copy_to(k->s, 11, box, &all, 1, 4711, false, &arena, &src, &dst, &n, &validity, &k->why), RC_NOTFOUND);
	assert_int_equal(store_expunge(k->s, 11, trash, NULL, 0, false, NULL, &k->why), RC_OK);
	assert_int_equal(store_expunge(k->s, 11, box, NULL, 0, false, NULL, &k->why), RC_OK);
	struct store_stats st;
	store_stats(k->s, &st);
	assert_int_equal(st.live_bytes, 0);
	clean();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_delivered_message_is_read_back_after_a_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ten_recipients_share_one_body, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_retried_delivery_gets_the_first_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_copy_fails_alone_for_quota_or_a_missing_account, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_large_body_has_a_file_of_its_own_which_goes_with_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(flags_are_set_added_and_removed_and_keywords_get_bits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_sixty_fifth_keyword_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(expunge_takes_the_deleted_ones_or_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(copies_and_moves_answer_pairs_and_share_the_body, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
