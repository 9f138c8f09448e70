#include "base/mem.h"
#include "ipc/codec.h"
#include "ipc/frame.h"
#include "os/sandbox.h"
#include "role/role.h"
#include "role/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* One case per list: what is written, and how it is read back. `read` answers the rc and writes the result again. */
struct list {
	const char *name;
	void (*write)(struct buf *out);
	enum rc (*again)(struct str in, struct arena *a, struct buf *out);
};

static const struct str words[] = { STR_INIT("$Forwarded"), STR_INIT(""), STR_INIT("a\0b") };
static const struct account account = {
	.id = 0xfedcba9876543210, .address = STR_INIT("alice@demo.test"), .name = STR_INIT("Alice \xc3\x84"), .quota = 5u << 30, .used = 17,
	.messages = 3, .public_key = { 1, 2, 255 }, .private_mode = true, .disabled = false, .created_ms = -5, .inbox = 77,
};
static const struct uid_range ranges[] = { { 1, 1 }, { 5, 9 }, { 4294967295u, 4294967295u } };
static const struct store_copy copies[] = {
	{ .account = 1, .box = 2, .flags = 3, .keywords = words, .keyword_n = 3, .size = 4, .email_id = 5, .record = STR_INIT("rec"), .grams = STR_INIT("") },
	{ .account = 9, .size = UINT64_MAX, .record = STR_INIT("r"), .grams = STR_INIT("gr\0ams") },
};
static const struct store_copy_result results[] = { { RC_OK, 1, 2, 3, 4 }, { RC_IO, 0, 0, UINT64_MAX, 0 } };
static const struct store_epoch epochs[] = { { 1, 2, STR_INIT("sealed") }, { 3, 4, STR_INIT("") } };
static const struct box_info boxes[] = {
	{ .id = 1, .name = STR_INIT("INBOX"), .special_use = 2, .subscribed = true, .uidvalidity = 3, .uidnext = 4, .exists = 5, .unseen = 6,
	  .first_unseen_uid = 8, .recent_from = 7, .highestmodseq = 9, .size = 10, .keywords = { [0] = STR_INIT("a"), [2] = STR_INIT("c"), [63] = STR_INIT("z") } },
	{ .id = 2, .name = STR_INIT("Sent") },
	{ .name = STR_INIT("not there"), .subscribed = true },
};
static const struct box_change changes[] = { { 1, 2, true, 3, 4 }, { 5, 6, false, 7, 8 } };
static const uint64_t ids[] = { 0, 1, UINT64_MAX };

#define N(x) (sizeof(x) / sizeof *(x))
#define LIST(what, data, type)                                                                 \
	static void write_##what(struct buf *out) { wire_put_##what(out, data, N(data)); }     \
	static enum rc again_##what(struct str in, struct arena *a, struct buf *out)           \
	{                                                                                      \
		type *list;                                                                    \
		size_t n;                                                                      \
		TRY(wire_get_##what(in, a, &list, &n));                                        \
		wire_put_##what(out, list, n);                                                 \
		return RC_OK;                                                                  \
	}
static const struct account accounts[] = { { .id = 1, .address = STR_INIT("x@y"), .name = STR_INIT("") }, { .id = 2, .address = STR_INIT(""), .name = STR_INIT("") } };
LIST(accounts, accounts, struct account)
LIST(ranges, ranges, struct uid_range)
LIST(copies, copies, struct store_copy)
LIST(results, results, struct store_copy_result)
LIST(epochs, epochs, struct store_epoch)
LIST(boxes, boxes, struct box_info)
LIST(changes, changes, struct box_change)
LIST(strs, words, struct str)
LIST(ids, ids, uint64_t)

static const struct list lists[] = {
	{ "accounts", write_accounts, again_accounts }, { "ranges", write_ranges, again_ranges }, { "copies", write_copies, again_copies },
	{ "results", write_results, again_results },    { "epochs", write_epochs, again_epochs }, { "boxes", write_boxes, again_boxes },
	{ "changes", write_changes, again_changes },    { "strs", write_strs, again_strs },       { "ids", write_ids, again_ids },
};

static void every_list_comes_back_as_it_was_written(void **state)
{
	for (size_t i = 0; i < N(lists); i++) {
		AUTO(buf_done) struct buf b = { .max = 1 << 16 }, back = { .max = 1 << 16 };
		AUTO(arena_done) struct arena a = { .max = 1 << 16 };
		lists[i].write(&b);
		assert_int_equal(lists[i].again(buf_str(&b), &a, &back), RC_OK);
		assert_true(b.len > 0 && str_eq(buf_str(&b), buf_str(&back)));
	}
}

static void every_shorter_or_longer_list_is_refused(void **state)
{
	for (size_t i = 0; i < N(lists); i++) {
		AUTO(buf_done) struct buf b = { .max = 1 << 16 }, back = { .max = 1 << 16 };
		lists[i].write(&b);
		size_t whole = b.len, step = lists[i].again == again_ranges || lists[i].again == again_ids ? 8 : 0;
		buf_byte(&b, 0);
		for (size_t n = 0; n <= b.len; n++) {
			AUTO(arena_done) struct arena a = { .max = 1 << 16 };
			if (n == whole || (step && n % step == 0))
				continue; /* lists without a count may end after any element */
			assert_int_equal(lists[i].again(str_head(buf_str(&b), n), &a, &back), RC_SYNTAX);
		}
	}
}

static void a_full_arena_is_no_memory_and_not_half_a_list(void **state)
{
	for (size_t i = 0; i < N(lists); i++) {
		AUTO(buf_done) struct buf b = { .max = 1 << 16 }, back = { .max = 1 << 16 };
		AUTO(arena_done) struct arena a = { .max = 16 };
		lists[i].write(&b);
		assert_int_equal(lists[i].again(buf_str(&b), &a, &back), RC_NOMEM);
	}
}

static void a_count_larger_than_its_octets_allocates_nothing(void **state)
{
	AUTO(arena_done) struct arena a = { .max = SIZE_MAX / 2 };
	struct account *list;
	size_t n;
	assert_int_equal(wire_get_accounts(STR("\xff\xff\xff\xff"), &a, &list, &n), RC_SYNTAX);
	assert_int_equal(a.used, 0);
}

static void an_account_keeps_every_field(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 4096 };
	AUTO(arena_done) struct arena a = { .max = 4096 };
	wire_put_account(&b, &account);
	struct cursor c = cursor_of(buf_str(&b));
	struct account v;
	assert_int_equal(wire_get_account(&c, &a, &v), RC_OK);
	assert_true(cursor_at_end(&c));
	assert_true(v.id == account.id && v.quota == account.quota && v.used == 17 && v.messages == 3 && v.created_ms == -5 && v.inbox == 77);
	assert_true(v.private_mode && !v.disabled && str_eq(v.address, account.address) && str_eq(v.name, account.name));
	assert_memory_equal(v.public_key, account.public_key, PUB_LEN);
}

static void a_folder_keeps_every_field_and_the_places_of_its_keywords(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 4096 };
	AUTO(arena_done) struct arena a = { .max = 8192 };
	wire_put_box(&b, &boxes[0]);
	struct cursor c = cursor_of(buf_str(&b));
	struct box_info v;
	assert_int_equal(wire_get_box(&c, &a, &v), RC_OK);
	assert_true(v.id == 1 && v.special_use == 2 && v.subscribed && v.uidvalidity == 3 && v.uidnext == 4 && v.exists == 5 && v.unseen == 6);
	assert_true(v.first_unseen_uid == 8 && v.highestmodseq == 9 && v.size == 10 && str_eq(v.name, STR("INBOX")));
	assert_true(str_eq(v.keywords[2], STR("c")) && v.keywords[1].n == 0 && str_eq(v.keywords[63], STR("z")));
}

static void ranges_that_cannot_be_are_refused(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 4096 };
	struct uid_range *r;
	size_t n;
	assert_int_equal(wire_get_ranges(STR("\0\0\0\0\0\0\0\1"), &a, &r, &n), RC_SYNTAX);
	assert_int_equal(wire_get_ranges(STR("\0\0\0\2\0\0\0\1"), &a, &r, &n), RC_SYNTAX);
	assert_int_equal(wire_get_ranges(STR(""), &a, &r, &n), RC_OK);
	assert_int_equal(n, 0);
}

/* What does not fit into a datagram goes in a memfd: a role whose sandbox has none would fail at the first large answer, in service only. */
static void whoever_may_say_much_has_memory_to_say_it_in(void **state)
{
	for (enum role r = 0; r < ROLE_COUNT; r++) {
		const struct role_ops *ops = role_ops_of(r);
		/* The resolver's largest answer is past a datagram by 4 KiB only; one that large is an error like one that is larger. */
		if (!ops || r == ROLE_RESOLVER || ops->needs & SANDBOX_MEMFD)
			continue;
		for (enum msg_type t = 0; t < MSG_COUNT; t++) {
			for (enum role to = 0; to < ROLE_COUNT; to++)
				if (msg_permitted(r, to, t) && msg_payload_max(t, false) > FRAME_INLINE_MAX)
					fail_msg("%s sends %s", role_name(r), msg_name(t));
			if (msg_is_ask(t) && ops->on && ops->on[t] && msg_payload_max(t, true) > FRAME_INLINE_MAX)
				fail_msg("%s answers %s", role_name(r), msg_name(t));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_list_comes_back_as_it_was_written),
		cmocka_unit_test(every_shorter_or_longer_list_is_refused),
		cmocka_unit_test(a_full_arena_is_no_memory_and_not_half_a_list),
		cmocka_unit_test(a_count_larger_than_its_octets_allocates_nothing),
		cmocka_unit_test(an_account_keeps_every_field),
		cmocka_unit_test(a_folder_keeps_every_field_and_the_places_of_its_keywords),
		cmocka_unit_test(ranges_that_cannot_be_are_refused),
		cmocka_unit_test(whoever_may_say_much_has_memory_to_say_it_in),
	};
	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
