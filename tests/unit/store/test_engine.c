#include "unit/store/kit.h"

#include "store/engine.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

/* The contract of store/engine.h, and how verbs of many fibers share a group. Another engine is one more row of `engines`. */
static char dir[64];
static struct why why;
static struct loop *loop;

typedef enum rc open_fn(struct loop *l, const char *path, struct engine **out);
static enum rc open_local(struct loop *l, const char *path, struct engine **out)
{
	struct engine_options o = { .dir = path, .map_size = 1 << 28, .grace_ms = -1 };
	return engine_local_open(l, &o, out, &why);
}
static open_fn *const engines[] = { open_local };
static struct engine *e;

static void each_engine(void (*test)(void))
{
	for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
		memcpy(dir, "/tmp/llengine.XXXXXX", sizeof "/tmp/llengine.XXXXXX");
		assert_non_null(mkdtemp(dir));
		assert_int_equal(engines[i](NULL, dir, &e), RC_OK);
		test();
		engine_close(&e);
		kit_remove_tree(dir);
	}
}

static struct batch b;
static enum rc commit(void)
{
	enum rc rc = engine_commit(e, &b, &why);
	batch_done(&b);
	batch_init(&b);
	return rc;
}

static void want_value(enum table t, const char *key, const char *want)
{
	struct buf v;
	buf_init(&v, 1 << 20);
	enum rc rc = engine_get(e, t, str_z(key), &v);
	assert_int_equal(rc, want ? RC_OK : RC_NOTFOUND);
	if (want)
		assert_true(str_eq(buf_str(&v), str_z(want)));
	buf_done(&v);
	engine_settle(e);
}

static void batches(void)
{
	batch_put(&b, TABLE_META, STR("k1"), STR("one"));
	batch_put(&b, TABLE_META, STR("k2"), STR("two"));
	batch_put(&b, TABLE_QUEUE, STR("k1"), STR("elsewhere"));
	assert_int_equal(commit(), RC_OK);
	want_value(TABLE_META, "k1", "one");
	want_value(TABLE_QUEUE, "k1", "elsewhere");
	want_value(TABLE_META, "k3", NULL);
	batch_delete(&b, TABLE_META, STR("k1"));
	batch_delete(&b, TABLE_META, STR("never there"));
	batch_copy(&b, TABLE_META, STR("k2"), STR("k4"), 1, STR("WO"), false);
	batch_copy(&b, TABLE_META, STR("nothing"), STR("k5"), 0, STR(""), true);
	assert_int_equal(commit(), RC_OK);
	want_value(TABLE_META, "k1", NULL);
	want_value(TABLE_META, "k4", "tWO");
	want_value(TABLE_META, "k5", NULL);
}

/* Keys behind all others, and ones that are not: both are put, and what was there before is replaced. */
static void appended(void)
{
	batch_put(&b, TABLE_QUEUE, STR("a5"), STR("put"));
	batch_append(&b, TABLE_QUEUE, STR("a7"), STR("seven"));
	batch_append(&b, TABLE_QUEUE, STR("a6"), STR("six"));
	batch_append(&b, TABLE_QUEUE, STR("a5"), STR("again"));
	assert_int_equal(commit(), RC_OK);
	want_value(TABLE_QUEUE, "a5", "again");
	want_value(TABLE_QUEUE, "a6", "six");
	want_value(TABLE_QUEUE, "a7", "seven");
	batch_append(&b, TABLE_QUEUE, STR("a8"), STR("eight"));
	batch_delete(&b, TABLE_QUEUE, STR("a7"));
	assert_int_equal(commit(), RC_OK);
	want_value(TABLE_QUEUE, "a7", NULL);
	want_value(TABLE_QUEUE, "a8", "eight");
}

static void expectations(void)
{
	batch_expect(&b, TABLE_META, STR("k"), STR(""));
	batch_put(&b, TABLE_META, STR("k"), STR("1"));
	assert_int_equal(commit(), RC_OK);
	batch_expect(&b, TABLE_META, STR("k"), STR(""));
	batch_put(&b, TABLE_META, STR("k"), STR("2"));
	assert_int_equal(commit(), RC_CONFLICT);
	batch_put(&b, TABLE_META, STR("other"), STR("2"));
	batch_expect(&b, TABLE_META, STR("k"), STR("2"));
	assert_int_equal(commit(), RC_CONFLICT);
	want_value(TABLE_META, "other", NULL);
	want_value(TABLE_META, "k", "1");
	batch_expect(&b, TABLE_META, STR("k"), STR("1"));
	batch_put(&b, TABLE_META, STR("k"), STR("2"));
	assert_int_equal(commit(), RC_OK);
	want_value(TABLE_META, "k", "2");
}

static void failed_batches(void)
{
	batch_put(&b, TABLE_META, STR("a"), STR("1"));
	batch_copy(&b, TABLE_META, STR("nothing"), STR("x"), 0, STR(""), false);
	assert_int_equal(commit(), RC_DAMAGED);
	want_value(TABLE_META, "a", NULL);
	batch_put(&b, TABLE_META, STR("a"), STR("1"));
	assert_int_equal(commit(), RC_OK);
	want_value(TABLE_META, "a", "1");
}

static bool join(void *arg, const struct engine_row *r)
{
	buf_add(arg, r->key);
	buf_byte(arg, '=');
	buf_add(arg, r->value);
	buf_byte(arg, r->damaged ? '!' : ' ');
	return !str_eq(r->key, STR("s4"));
}

static void scans(void)
{
	static const char *const keys[] = { "s3", "s1", "s5", "s2", "s4", "t" };
	struct buf t;
	uint64_t v1 = 0, v2 = 0;
	buf_init(&t, 4096);
	for (size_t i = 0; i < 6; i++)
		batch_put(&b, TABLE_META, str_z(keys[i]), keys[i][1] ? str_z(keys[i] + 1) : STR("-"));
	assert_int_equal(commit(), RC_OK);
	assert_int_equal(engine_scan(e, TABLE_META, STR("s1"), STR("s3"), 10, join, &t, &v1), RC_OK);
	assert_true(str_eq(buf_str(&t), STR("s1=1 s2=2 ")));
	buf_clear(&t);
	assert_int_equal(engine_scan(e, TABLE_META, STR("s"), STR("z"), 2, join, &t, NULL), RC_OK);
	assert_true(str_eq(buf_str(&t), STR("s1=1 s2=2 ")));
	buf_clear(&t);
	assert_int_equal(engine_scan(e, TABLE_META, STR("s3"), STR("z"), 10, join, &t, NULL), RC_OK);
	assert_true(str_eq(buf_str(&t), STR("s3=3 s4=4 ")));
	engine_settle(e);
	batch_put(&b, TABLE_META, STR("s9"), STR("9"));
	assert_int_equal(commit(), RC_OK);
	assert_int_equal(engine_scan(e, TABLE_META, STR("s9"), STR("z"), 10, join, &t, &v2), RC_OK);
	assert_true(v2 > v1);
	engine_settle(e);
	buf_done(&t);
}

static void blobs(void)
{
	struct blob_id id;
	struct buf t;
	struct engine_stats s;
	buf_init(&t, 4096);
	assert_int_equal(blob_id_new(&id), RC_OK);
	assert_int_equal(engine_blob_put(e, &id, STR("the octets"), &why), RC_OK);
	assert_int_equal(engine_blob_put(e, &id, STR("the octets"), &why), RC_OK);
	batch_blob(&b, &id, 2);
	assert_int_equal(commit(), RC_OK);
	assert_int_equal(engine_blob_read(e, &id, 4, 6, &t, &why), RC_OK);
	assert_true(str_eq(buf_str(&t), STR("octets")));
	assert_int_equal(engine_blob_read(e, &id, 4, 7, &t, &why), RC_LIMIT);
	engine_settle(e);
	batch_blob(&b, &id, -1);
	assert_int_equal(commit(), RC_OK);
	assert_int_equal(engine_blob_read(e, &id, 0, 10, &t, &why), RC_OK);
	engine_settle(e);
	batch_blob(&b, &id, -1);
	assert_int_equal(commit(), RC_OK);
	assert_int_equal(engine_blob_read(e, &id, 0, 10, &t, &why), RC_NOTFOUND);
	engine_settle(e);
	engine_stats(e, &s);
	assert_int_equal(s.live_bytes, 0);
	assert_int_equal(s.dead_bytes, 10);
	assert_int_equal(engine_blob_put(e, &id, STR("never named"), &why), RC_OK);
	engine_blob_drop(e, &id);
	batch_blob(&b, &id, 1);
	assert_int_equal(commit(), RC_DAMAGED);
	buf_done(&t);
}

static void a_batch_is_applied_whole(void **state) { each_engine(batches); }
static void what_is_appended_is_put(void **state) { each_engine(appended); }
static void an_expectation_that_does_not_hold_is_a_conflict(void **state) { each_engine(expectations); }
static void a_batch_that_fails_leaves_nothing(void **state) { each_engine(failed_batches); }
static void a_scan_goes_in_order_within_its_bounds(void **state) { each_engine(scans); }
static void a_blob_lives_as_long_as_it_is_named(void **state) { each_engine(blobs); }

/* ---- groups ---- */
enum { FIBERS = 50, ROUNDS = 4 };
static struct kit kit, *k = &kit;
static unsigned ended, succeeded, full;
static size_t body_size = 300;

static void one_client(void *arg)
{
	uint64_t me = (uint64_t)(uintptr_t)arg;
	char *body = malloc(body_size);
	assert_int_equal(random_bytes(body, body_size), RC_OK); /* so that it does not shrink */
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct kit_copy c = { .account = 11 + me % 3 };
		struct store_copy_result r;
		enum rc rc = kit_deliver(k, me * 1000 + i + 1, str_of(body, body_size), &c, 1, &r);
		succeeded += rc == RC_OK && r.rc == RC_OK;
		full += rc == RC_FULL;
	}
	free(body);
	if (++ended == FIBERS)
		loop_stop(loop);
}

static void run_fibers(unsigned n)
{
	ended = FIBERS - n;
	for (uintptr_t i = 0; i < n; i++)
		assert_int_equal(fiber_start(loop, one_client, (void *)i, NULL), RC_OK);
	loop_run(loop);
}

static void open_looped(void)
{
	kit_open(k);
	kit_account(k, 11, "a@example.org", 0);
	kit_account(k, 12, "b@example.org", 0);
	kit_account(k, 13, "c@example.org", 0);
	store_close(&k->s);
	assert_int_equal(loop_open(&loop, &why), RC_OK);
	assert_int_equal(store_open(loop, &k->o, &k->s, &why), RC_OK);
	succeeded = full = 0;
	body_size = 300;
}

static void close_looped(unsigned messages)
{
	struct verify_report r;
	assert_int_equal(kit_verify(k->dir, NULL, &r), 0);
	assert_int_equal(r.messages, messages);
	kit_done(k);
	loop_close(&loop);
}

static void many_fibers_share_one_commit(void **state)
{
	struct store_stats before, after;
	open_looped();
	store_stats(k->s, &before);
	run_fibers(FIBERS);
	store_stats(k->s, &after);
	assert_int_equal(succeeded, FIBERS * ROUNDS);
	assert_true(after.commits - before.commits <= 2 * ROUNDS);
	close_looped(FIBERS * ROUNDS);
}

/* ---- waiting for company ---- */
enum { CROWD = 10, EACH_TURN = 5, TOO_MANY = 500, HOUSES = 50, FIRST_HOUSE = 100 }; /* accounts enough: those of one count as one */
static unsigned begun, first_ended_after;

static void deliver_once(void *arg)
{
	struct kit_copy c = { .account = FIRST_HOUSE + (uint64_t)(uintptr_t)arg % HOUSES };
	struct store_copy_result r;
	enum rc rc = kit_deliver(k, 5000 + (uint64_t)(uintptr_t)arg, STR("octets"), &c, 1, &r);
	succeeded += rc == RC_OK && r.rc == RC_OK;
	if ((uintptr_t)arg == CROWD) /* the first that came after the crowd */
		first_ended_after = begun - CROWD;
}

static void begin(unsigned n)
{
	for (unsigned i = 0; i < n; i++, begun++)
		assert_int_equal(fiber_start(loop, deliver_once, (void *)(uintptr_t)begun, NULL), RC_OK);
}

/* A crowd, and then five more in each turn of the loop, for as long as the first of these has no answer. */
static void never_ending_company(void *arg)
{
	(void)arg;
	begin(CROWD);
	while (succeeded < CROWD)
		fiber_yield();
	while (!first_ended_after && begun < TOO_MANY) {
		begin(EACH_TURN);
		fiber_yield();
	}
	while (succeeded < begun)
		fiber_yield();
	loop_stop(loop);
}

static void a_group_in_a_crowd_waits_for_company_and_not_for_ever(void **state)
{
	for (int patient = 0; patient < 2; patient++) {
		open_looped();
		store_close(&k->s);
		k->o.patient = patient;
		assert_int_equal(store_open(loop, &k->o, &k->s, &why), RC_OK);
		for (unsigned i = 0; i < HOUSES; i++) {
			char address[40];
			(void)snprintf(address, sizeof address, "h%u@example.org", i);
			kit_account(k, FIRST_HOUSE + i, address, 0);
		}
		begun = first_ended_after = 0;
		assert_int_equal(fiber_start(loop, never_ending_company, NULL, NULL), RC_OK);
		loop_run(loop);
		/* Two waits of a turn each bring in ten more, and no third one follows; without patience the group ends with those it began with, or with the next turn's. */
		assert_in_range(first_ended_after, patient ? 3 * EACH_TURN : EACH_TURN, patient ? 4 * EACH_TURN : 2 * EACH_TURN);
		close_looped(begun);
	}
}

static void large_bodies_go_through_a_worker(void **state)
{
	open_looped();
	body_size = (1 << 20) + 70000;
	run_fibers(3);
	assert_int_equal(succeeded, 3 * ROUNDS);
	close_looped(3 * ROUNDS);
}

static unsigned numbered;
static bool given[FIBERS * ROUNDS + 1];

/* Letters with large and small bodies: while a worker writes the one, the others' letters take their numbers. */
static void one_poster(void *arg)
{
	uint64_t me = (uint64_t)(uintptr_t)arg;
	const struct queue_row rows[2] = { { .state = QUEUE_READY, .sealed = STR("one") }, { .state = QUEUE_READY, .sealed = STR("two") } };
	const struct queue_put puts = { STR("letter"), rows, 2 };
	size_t n = me % 2 ? 300 : (1 << 20) + 70000;
	char *body = malloc(n);
	assert_int_equal(random_bytes(body, n), RC_OK);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct kit_copy c = { .account = 11 + me % 3 };
		struct store_copy_result r;
		uint64_t letter = 0;
		assert_int_equal(kit_deliver_out(k, me * 1000 + i + 1, str_of(body, n), &c, 1, &puts, 1, NULL, &r, &letter), RC_OK);
		assert_true(letter > 0 && letter <= FIBERS * ROUNDS && !given[letter]);
		given[letter] = true;
		numbered++;
	}
	free(body);
	if (++ended == FIBERS)
		loop_stop(loop);
}

static void letters_of_many_fibers_get_a_number_each(void **state)
{
	open_looped();
	ended = FIBERS - 12;
	for (uintptr_t i = 0; i < 12; i++)
		assert_int_equal(fiber_start(loop, one_poster, (void *)i, NULL), RC_OK);
	loop_run(loop);
	assert_int_equal(numbered, 12 * ROUNDS);
	for (size_t i = 1; i <= numbered; i++)
		assert_true(given[i]);
	close_looped(12 * ROUNDS);
}

static void a_group_without_room_fails_together_and_the_next_one_succeeds(void **state)
{
	struct rlimit old, small = { 450000, 0 };
	unsigned stored;
	open_looped();
	body_size = 3000;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	run_fibers(FIBERS);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_true(full > 0);
	assert_int_equal(full + succeeded, FIBERS * ROUNDS);
	stored = succeeded;
	run_fibers(FIBERS); /* the same delivery ids: those that were stored answer again, the others are stored now */
	assert_int_equal(succeeded, stored + FIBERS * ROUNDS);
	close_looped(FIBERS * ROUNDS);
}

/* ---- a removal that several go on with ---- */
enum { REMOVERS = 3 };
static enum rc removed[REMOVERS];

static void one_remover(void *arg)
{
	size_t me = (size_t)(uintptr_t)arg;
	bool more;
	removed[me] = me ? account_remove(k->s, 11, &why) : store_compact(k->s, 0, &more, &why);
	if (++ended == REMOVERS)
		loop_stop(loop);
}

/* Two administrators, and the care of a store just opened, which finds the mark of either and goes on, too. */
static void a_removal_may_be_ended_by_another(void **state)
{
	for (int keeper_first = 0; keeper_first < 2; keeper_first++) {
		open_looped();
		run_fibers(FIBERS);
		ended = 0;
		for (uintptr_t i = 0; i < REMOVERS; i++)
			assert_int_equal(fiber_start(loop, one_remover, (void *)((i + (keeper_first ? 0 : 1)) % REMOVERS), NULL), RC_OK);
		loop_run(loop);
		for (size_t i = 0; i < REMOVERS; i++)
			assert_int_equal(removed[i], RC_OK);
		assert_int_equal(account_remove(k->s, 11, &why), RC_NOTFOUND);
		close_looped((FIBERS - (FIBERS + 2) / 3) * ROUNDS);
	}
}

static char copy_dir[600];
static enum rc copied;
static void copy_store(void *arg)
{
	(void)arg;
	copied = store_backup(k->dir, copy_dir, &why);
}

/* Expunges and compacts while the others deliver, and takes a backup in the middle of it. */
static void busy_keeper(void *arg)
{
	uint64_t lease, boxes[3];
	bool more;
	(void)arg;
	for (uint64_t i = 0; i < 3; i++)
		boxes[i] = kit_box(k, 11 + i, "INBOX");
	while (ended < FIBERS) {
		for (uint64_t i = 0; i < 3; i++)
			assert_int_equal(store_expunge(k->s, 11 + i, boxes[i], NULL, 0, true, NULL, &why), RC_OK);
		assert_int_equal(store_compact(k->s, 0, &more, &why), RC_OK);
		if (copied == RC_AGAIN && succeeded > 50) {
			assert_int_equal(store_pin(k->s, &lease, &why), RC_OK);
			assert_int_equal(worker_run(copy_store, NULL), RC_OK);
			store_unpin(k->s, lease);
		}
		fiber_yield();
	}
}

static void flagged_client(void *arg)
{
	struct uid_range all = { 1, UINT32_MAX };
	uint64_t account = 11 + (uint64_t)(uintptr_t)arg % 3, box = kit_box(k, account, "INBOX");
	for (unsigned i = 0; i < ROUNDS; i++)
		assert_int_equal(store_flags(k->s, account, box, &all, 1, FLAG_ADD, 8, NULL, 0, NULL, &why), RC_OK);
	one_client(arg);
}

static void a_backup_taken_under_load_is_whole(void **state)
{
	struct verify_report r;
	open_looped();
	store_close(&k->s);
	k->o.segment_bytes = 9000;
	assert_int_equal(store_open(loop, &k->o, &k->s, &why), RC_OK);
	(void)snprintf(copy_dir, sizeof copy_dir, "%s/copy", k->dir);
	copied = RC_AGAIN;
	assert_int_equal(fiber_start(loop, busy_keeper, NULL, NULL), RC_OK);
	ended = 0;
	for (uintptr_t i = 0; i < FIBERS; i++)
		assert_int_equal(fiber_start(loop, flagged_client, (void *)i, NULL), RC_OK);
	loop_run(loop);
	assert_int_equal(copied, RC_OK);
	assert_int_equal(kit_verify(copy_dir, NULL, &r), 0);
	assert_int_equal(r.accounts, 3);
	assert_int_equal(kit_verify(k->dir, NULL, &r), 0);
	kit_done(k);
	loop_close(&loop);
}

static int init_batch(void **state)
{
	batch_init(&b);
	return 0;
}

static int done_batch(void **state)
{
	batch_done(&b);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_is_applied_whole),
		cmocka_unit_test(what_is_appended_is_put),
		cmocka_unit_test(an_expectation_that_does_not_hold_is_a_conflict),
		cmocka_unit_test(a_batch_that_fails_leaves_nothing),
		cmocka_unit_test(a_scan_goes_in_order_within_its_bounds),
		cmocka_unit_test(a_blob_lives_as_long_as_it_is_named),
		cmocka_unit_test(many_fibers_share_one_commit),
		cmocka_unit_test(a_group_in_a_crowd_waits_for_company_and_not_for_ever),
		cmocka_unit_test(large_bodies_go_through_a_worker),
		cmocka_unit_test(letters_of_many_fibers_get_a_number_each),
		cmocka_unit_test(a_removal_may_be_ended_by_another),
		cmocka_unit_test(a_backup_taken_under_load_is_whole),
		cmocka_unit_test(a_group_without_room_fails_together_and_the_next_one_succeeds),
	};
	return cmocka_run_group_tests(tests, init_batch, done_batch);
}
