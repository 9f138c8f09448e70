#include "unit/store/kit.h"

#include "base/mem.h"
#include "store/view.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

/* Every allocation of a verb fails once. The verb then says so and has done nothing, or has done everything. */
static struct kit kit, *k = &kit;
static uint64_t box;
static unsigned points;

static int set_up(void **state)
{
	kit_open(k);
	kit_account(k, 11, "anna@example.org", 0);
	for (int i = 0; i < 4; i++) {
		struct kit_copy c = { .account = 11 };
		struct store_copy_result r;
		assert_int_equal(kit_deliver(k, 0, STR("text"), &c, 1, &r), RC_OK);
		box = r.box;
	}
	return 0;
}

static int tear_down(void **state)
{
	kit_done(k);
	return 0;
}

static const struct uid_range all = { 1, UINT32_MAX };
static const struct str words[] = { STR_INIT("alpha"), STR_INIT("beta") };

static enum rc do_flags(void) { return store_flags(k->s, 11, box, &all, 1, FLAG_SET, 1, words, 2, NULL, &k->why); }
static enum rc do_expunge(void) { return store_expunge(k->s, 11, box, &all, 1, false, NULL, &k->why); }
static enum rc do_create(void) { return box_create(k->s, 11, STR("x/y/z"), 0, NULL, &k->why); }
static enum rc do_rename(void) { return box_rename(k->s, 11, STR("Sent"), STR("Out/Sent"), &k->why); }
static enum rc do_remove(void) { return box_remove(k->s, 11, STR("Junk"), &k->why); }
static enum rc do_domain(void) { return domain_add(k->s, STR("example.com"), &k->why); }
static enum rc do_account(void)
{
	struct account a = { .id = 12, .address = STR("ben@example.org"), .name = STR("Ben") };
	return account_add(k->s, &a, &k->why);
}
static enum rc do_copy(void)
{
	struct arena a;
	struct uid_range *src, *dst;
	size_t n;
	uint32_t validity;
	arena_init(&a, 1 << 20);
	enum rc rc = store_copy_to(k->s, 11, box, &all, 1, box, true, &a, &src, &dst, &n, &validity, &k->why);
	arena_done(&a);
	return rc;
}
static enum rc do_compact(void)
{
	bool more;
	return store_compact(k->s, 0, &more, &k->why);
}
static enum rc do_reopen(void)
{
	store_close(&k->s);
	enum rc rc = store_open(NULL, &k->o, &k->s, &k->why);
	if (rc != RC_OK) {
		long keep = mem_fail_at;
		mem_fail_at = -1;
		assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_OK);
		mem_fail_at = keep;
	}
	return rc;
}
static enum rc do_view(void)
{
	struct view *v;
	struct arena a;
	struct box_info *b;
	struct buf rows;
	size_t n;
	uint32_t next;
	arena_init(&a, 1 << 20);
	buf_init(&rows, 1 << 20);
	enum rc rc = view_open(k->dir, k->o.map_size, &v, &k->why);
	if (rc == RC_OK) {
		rc = view_boxes(v, 11, &a, &b, &n, &k->why);
		if (rc == RC_OK)
			rc = view_rows(v, 11, box, &all, 1, 15, 1 << 20, &rows, &next, &k->why);
		view_close(&v);
	}
	arena_done(&a);
	buf_done(&rows);
	return rc;
}

static enum rc do_change(void)
{
	struct queue_change c[2] = { { .row = { .letter = 1, .version = 1, .state = QUEUE_DONE, .end = QUEUE_SENT, .sealed = STR("") }, .done = STR("history") },
		{ .row = { .letter = 1, .n = 1, .version = 1, .state = QUEUE_HELD, .sealed = STR("again") }, .done = STR("") } };
	enum rc rc = queue_change(k->s, c, 2, &k->why);
	return rc == RC_OK && (c[0].rc != RC_OK || c[1].rc != RC_OK) ? RC_CONFLICT : rc;
}
static enum rc do_forget(void)
{
	bool more;
	return queue_forget(k->s, INT64_MAX, 10, &more, &k->why);
}
static enum rc do_note(void) { return note_put(k->s, STR("a note"), STR("of something"), &k->why); }
static enum rc do_view_queue(void)
{
	struct view *v;
	struct arena a;
	struct buf out;
	struct queue_letter l;
	uint64_t letter;
	uint32_t n;
	bool more;
	arena_init(&a, 1 << 20);
	buf_init(&out, 1 << 20);
	enum rc rc = view_open(k->dir, k->o.map_size, &v, &k->why);
	if (rc == RC_OK) {
		rc = view_queue(v, false, 0, 0, 1000, &out, &letter, &n, &k->why);
		if (rc == RC_OK)
			rc = view_letter(v, 1, &a, &l, &k->why);
		if (rc == RC_OK)
			rc = view_notes(v, STR(""), STR(""), 1000, &out, &more, &k->why);
		view_close(&v);
	}
	arena_done(&a);
	buf_done(&out);
	return rc == RC_LIMIT ? RC_NOMEM : rc; /* a buffer that could not grow */
}

/* One delivery whose parts are made beforehand. */
static struct buf body, record, grams;
static struct blob_id blob;
static uint64_t email;
static enum rc do_deliver(void)
{
	struct store_copy c = { .account = 11, .keywords = words, .keyword_n = 2, .size = 4, .email_id = email, .record = buf_str(&record),
		                .grams = buf_str(&grams) };
	struct store_epoch e = { 11, k->epoch, STR("a sealed epoch key") };
	struct store_copy_result r;
	enum rc rc = store_deliver(k->s, 77, &blob, buf_str(&body), &e, 1, &c, 1, &r, &k->why);
	return rc == RC_OK ? r.rc : rc;
}

static enum rc do_deliver_out(void)
{
	const struct queue_row rows[2] = { { .state = QUEUE_READY, .sealed = STR("one") }, { .state = QUEUE_READY, .sealed = STR("two") } };
	const struct queue_put put = { STR("a letter"), rows, 2, 11 };
	const struct sent_note sent = { .account = 11, .messages = 1, .recipients = 2, .max_waiting = 100, .known = (uint64_t[]){ 7, 3 }, .known_n = 2 };
	uint64_t number;
	return store_deliver_out(k->s, 78, &blob, buf_str(&body), NULL, 0, NULL, 0, &put, 1, &sent, NULL, &number, &k->why);
}

static void make_parts(size_t n)
{
	struct record_clear clear = { .owner = 11, .email_id = 5, .epoch = k->epoch, .nonce = k->nonce++ };
	struct record_secret secret = { STR("e"), STR("s"), STR("p"), STR("v"), STR("f"), k->epoch_key };
	char *plain = malloc(n);
	assert_int_equal(random_bytes(plain, n), RC_OK);
	assert_int_equal(blob_id_new(&blob), RC_OK);
	clear.blob = blob;
	email = clear.email_id;
	buf_init(&body, 8 << 20);
	buf_init(&record, 4096);
	buf_init(&grams, 4096);
	assert_int_equal(blob_seal(&k->epoch_key, &blob, 11, str_of(plain, n), &body), RC_OK);
	assert_int_equal(record_seal(k->keys, &clear, &secret, &record), RC_OK);
	assert_int_equal(grams_seal(k->keys, &clear, STR("g"), &grams), RC_OK);
	free(plain);
}

static void done_parts(void)
{
	buf_done(&body);
	buf_done(&record);
	buf_done(&grams);
}

static void torture(enum rc (*verb)(void), const char *name)
{
	for (long at = 0;; at++) {
		mem_count = 0;
		mem_fail_at = at;
		enum rc rc = verb();
		bool failed = mem_count > at;
		mem_fail_at = -1;
		if (!failed) {
			if (rc != RC_OK && rc != RC_NOTFOUND && rc != RC_EXISTS)
				fail_msg("%s: %s (%s)", name, rc_name(rc), k->why.text);
			return;
		}
		points++;
		if (kit_verify(k->dir, NULL, NULL))
			fail_msg("%s: damage after allocation %ld failed", name, at);
		if (rc == RC_OK && verb != do_reopen && verb != do_compact && verb != do_view && verb != do_view_queue)
			return; /* it did without (a cache, a text): done is done */
		assert_true(at < 10000);
	}
}

static void no_failing_allocation_leaves_half_a_verb(void **state)
{
	static const struct { enum rc (*verb)(void); const char *name; } verbs[] = {
		{ do_view, "view" },       { do_flags, "flags" },     { do_copy, "copy" },       { do_create, "create" }, { do_rename, "rename" },
		{ do_remove, "remove" },   { do_domain, "domain" },   { do_account, "account" }, { do_reopen, "reopen" }, { do_compact, "compact" },
		{ do_expunge, "expunge" }, { do_compact, "compact" }, { do_change, "change" }, { do_forget, "forget" }, { do_note, "note" }, { do_view_queue, "view of the queue" },
	};
	make_parts(4);
	torture(do_deliver, "deliver");
	done_parts();
	make_parts(4);
	torture(do_deliver_out, "deliver out");
	done_parts();
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		torture(verbs[i].verb, verbs[i].name);
	make_parts(3 << 20);
	torture(do_deliver, "deliver a large one");
	done_parts();
	print_message("%u failing allocations\n", points);
	assert_true(points > 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(no_failing_allocation_leaves_half_a_verb, set_up, tear_down) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
