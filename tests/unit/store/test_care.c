#include "unit/store/kit.h"

#include "store/layout.h"
#include "store/index.h"
#include "store/route.h"
#include "store/view.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static struct kit kit, *k = &kit;

static int set_up(void **state)
{
	kit_open(k);
	kit_account(k, 11, "anna@example.org", 0);
	return 0;
}

static int tear_down(void **state)
{
	kit_done(k);
	return 0;
}

static void expect_clean(const char *dir)
{
	struct buf b;
	buf_init(&b, 1 << 20);
	if (kit_verify(dir, &b, NULL))
		fail_msg("%.*s", PSTR(str_head(buf_str(&b), 600)));
	buf_done(&b);
}

static uint64_t fill(unsigned n, size_t size)
{
	uint64_t box = 0;
	char *body = malloc(size);
	for (unsigned i = 0; i < n; i++) {
		struct store_copy_result r;
		struct kit_copy c = { .account = 11, .flags = i % 3, .keyword = i % 5 == 0 ? STR("word") : STR("") };
		assert_int_equal(random_bytes(body, size), RC_OK);
		assert_int_equal(kit_deliver(k, i + 1, str_of(body, size), &c, 1, &r), RC_OK);
		box = r.box;
	}
	free(body);
	return box;
}

/* Letters that wait, one of them in part, one that is done, a note, and what an account has sent: rows in every table of outbound mail. */
static void fill_queue(void)
{
	const struct queue_row rows[2] = { { .state = QUEUE_READY, .sealed = STR("one") }, { .state = QUEUE_HELD, .sealed = STR("two") } };
	struct queue_put puts[2] = { { STR("a letter"), rows, 2, 11 }, { STR("another"), rows, 1, 11 } };
	struct sent_note sent = { .account = 11, .messages = 1, .recipients = 3, .known = (uint64_t[]){ 5, 6 }, .known_n = 2 };
	struct kit_copy c = { .account = 11 };
	struct store_copy_result r;
	uint64_t letters[2];
	assert_int_equal(kit_deliver_out(k, 900, STR("to many"), &c, 1, puts, 2, &sent, &r, letters), RC_OK);
	struct queue_change done[2] = { { .row = { .letter = letters[0], .n = 1, .version = 1, .state = QUEUE_DONE, .end = QUEUE_SENT, .sealed = STR("") }, .done = STR("h") },
		{ .row = { .letter = kit_letter(k, 1), .version = 1, .state = QUEUE_DONE, .end = QUEUE_BOUNCED, .sealed = STR("") }, .done = STR("") } };
	assert_int_equal(queue_change(k->s, done, 2, &k->why), RC_OK);
	assert_true(done[0].rc == RC_OK && done[1].rc == RC_OK);
	assert_int_equal(note_put(k->s, STR("sts.example.net"), STR("policy"), &k->why), RC_OK);
}

/* A group with members, an account's rules, a way out, a catch-all. */
static void fill_routes(void)
{
	struct str forwards[] = { STR("x@example.net") };
	assert_int_equal(group_add(k->s, &(struct group){ .address = STR("staff@example.org"), .name = STR("Staff"), .owner = STR("anna@example.org") }, &k->why), RC_OK);
	assert_int_equal(group_member_set(k->s, STR("staff@example.org"), STR("anna@example.org"), true, &k->why), RC_OK);
	assert_int_equal(group_member_set(k->s, STR("staff@example.org"), STR("x@example.net"), true, &k->why), RC_OK);
	assert_int_equal(account_rules_set(k->s, &(struct account_rules){ .account = 11, .forwards = forwards, .forward_n = 1, .undo_ms = 1000 }, &k->why), RC_OK);
	assert_int_equal(way_set(k->s, &(struct way){ .key = STR("*"), .host = STR("relay.example"), .user = STR("u"), .password_sealed = STR("s") }, &k->why), RC_OK);
	assert_int_equal(domain_catch_all(k->s, STR("example.org"), STR("staff@example.org"), &k->why), RC_OK);
}

/* ---- damage ---- */
struct spot { off_t at; size_t n; enum table table; uint32_t uid; };

/* Where this process has mapped the index (LMDB itself tells only for fixed maps). */
static char *map_base(void)
{
	char line[600], *base = NULL;
	FILE *f = fopen("/proc/self/maps", "r");
	assert_non_null(f);
	while (!base && fgets(line, sizeof line, f))
		if (strstr(line, "/index/data.mdb"))
			base = (char *)strtoul(line, NULL, 16);
	(void)fclose(f);
	assert_non_null(base);
	return base;
}

/* Where every row's value lies in data.mdb. */
static size_t find_spots(struct spot *out, size_t max, bool keys)
{
	struct index *x;
	MDB_txn *t;
	size_t n = 0;
	assert_int_equal(index_open(k->dir, k->o.map_size, false, &x, &k->why), RC_OK);
	char *base = map_base();
	assert_int_equal(mdb_txn_begin(x->env, NULL, MDB_RDONLY, &t), 0);
	for (unsigned i = 0; i < TABLE_COUNT; i++) {
		MDB_cursor *c;
		MDB_val key, v;
		assert_int_equal(mdb_cursor_open(t, x->dbi[i], &c), 0);
		for (int err = mdb_cursor_get(c, &key, &v, MDB_FIRST); !err && n < max; err = mdb_cursor_get(c, &key, &v, MDB_NEXT)) {
			MDB_val *w = keys ? &key : &v;
			out[n++] = (struct spot){ (char *)w->mv_data - base, w->mv_size, i, key_uid_of(str_val(key)) };
		}
		mdb_cursor_close(c);
	}
	mdb_txn_abort(t);
	index_close(&x);
	return n;
}

static void flip(const char *dir, const char *name, off_t at, unsigned bit)
{
	char path[600], c;
	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= (char)(1u << bit);
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	(void)close(fd);
}

static void ignore(void *arg, const char *what)
{
	(void)arg;
	(void)what;
}

static void one_flipped_bit_in_any_index_value_is_reported_once(void **state)
{
	static struct spot spots[4096];
	uint32_t first;
	assert_int_equal(store_recent(k->s, 11, fill(7, 500), 4, &first, &k->why), RC_OK);
	fill_queue();
	fill_routes();
	store_close(&k->s);
	expect_clean(k->dir);
	size_t n = find_spots(spots, 4096, false), tables = 0;
	for (size_t i = 0; i < n; i++) {
		tables |= (size_t)1 << spots[i].table;
		for (unsigned s = 0; s < 3; s++) {
			off_t at = spots[i].at + (off_t)((spots[i].n - 1) * s / 2);
			unsigned bit = (unsigned)(i + s) % 8;
			struct buf b;
			buf_init(&b, 1 << 20);
			flip(k->dir, "index/data.mdb", at, bit);
			if (kit_verify(k->dir, &b, NULL) != 1)
				fail_msg("table %s: %.*s", index_table_names[spots[i].table], PSTR(str_head(buf_str(&b), 600)));
			flip(k->dir, "index/data.mdb", at, bit);
			buf_done(&b);
		}
	}
	assert_int_equal(tables, (1u << TABLE_COUNT) - 1); /* each has a value here */
	expect_clean(k->dir);
}

static void one_flipped_bit_in_any_key_is_reported(void **state)
{
	static struct spot spots[4096];
	uint32_t first;
	assert_int_equal(store_recent(k->s, 11, fill(3, 500), 4, &first, &k->why), RC_OK);
	fill_queue();
	fill_routes();
	store_close(&k->s);
	size_t n = find_spots(spots, 4096, true);
	for (size_t i = 0; i < n; i++) {
		off_t at = spots[i].at + (off_t)(i % spots[i].n);
		flip(k->dir, "index/data.mdb", at, (unsigned)i % 8);
		assert_true(kit_verify(k->dir, NULL, NULL) >= 1);
		flip(k->dir, "index/data.mdb", at, (unsigned)i % 8);
	}
	expect_clean(k->dir);
}

static void one_flipped_bit_anywhere_in_a_segment_is_reported_once(void **state)
{
	struct stat sb;
	char path[600];
	(void)fill(5, 700);
	store_close(&k->s);
	(void)snprintf(path, sizeof path, "%s/segments/00000001.seg", k->dir);
	assert_int_equal(stat(path, &sb), 0);
	for (off_t at = 0; at < sb.st_size; at += at < 100 ? 1 : 37) {
		flip(k->dir, "segments/00000001.seg", at, (unsigned)at % 8);
		assert_int_equal(kit_verify(k->dir, NULL, NULL), 1);
		flip(k->dir, "segments/00000001.seg", at, (unsigned)at % 8);
	}
	expect_clean(k->dir);
}

/* Which of the two LMDB believes hangs on their numbers alone. */
static void a_flipped_bit_in_the_number_of_an_index_header_is_reported(void **state)
{
	enum { PAGE = 4096, TXN_AT = 144, LAST_PAGE_AT = 136 };
	(void)fill(5, 700);
	store_close(&k->s);
	for (off_t page = 0; page < 2; page++)
		for (unsigned bit = 0; bit < 64; bit++) {
			off_t at = page * PAGE + TXN_AT + bit / 8;
			flip(k->dir, "index/data.mdb", at, bit % 8);
			struct verify_report r;
			enum rc rc = store_verify(k->dir, ignore, NULL, &r, &k->why);
			if (bit != 1) /* two more or less may be the commit that followed */
				assert_int_equal(rc, RC_DAMAGED);
			flip(k->dir, "index/data.mdb", at, bit % 8);
		}
	for (unsigned bit = 32; bit < 64; bit++) { /* of the believed one: more pages than any machine has memory for */
		struct verify_report r;
		enum rc rc[2];
		for (off_t page = 0; page < 2; page++) {
			flip(k->dir, "index/data.mdb", page * PAGE + LAST_PAGE_AT + bit / 8, bit % 8);
			rc[page] = store_verify(k->dir, ignore, NULL, &r, &k->why);
			flip(k->dir, "index/data.mdb", page * PAGE + LAST_PAGE_AT + bit / 8, bit % 8);
		}
		assert_true(rc[0] == RC_DAMAGED || rc[1] == RC_DAMAGED);
		assert_true(rc[0] == RC_OK || rc[1] == RC_OK);
	}
	expect_clean(k->dir);
}

/* Without its index no segment has a row: a start that took the new, empty index for the truth would remove them all. */
static void a_lost_index_is_refused_and_costs_no_segment(void **state)
{
	char index[600], lost[600], segment[600];
	struct verify_report r;
	struct store *s = NULL;
	uint64_t box = fill(3, 700);
	(void)snprintf(index, sizeof index, "%s/index/data.mdb", k->dir);
	(void)snprintf(lost, sizeof lost, "%s/lost.mdb", k->dir);
	(void)snprintf(segment, sizeof segment, "%s/segments/00000001.seg", k->dir);
	store_close(&k->s);
	assert_int_equal(rename(index, lost), 0);
	assert_int_equal(store_verify(k->dir, ignore, NULL, &r, &k->why), RC_DAMAGED);
	assert_string_equal(k->why.text, "there is no index");
	for (unsigned again = 0; again < 2; again++) { /* the first makes an index, the second finds it */
		assert_int_equal(store_open(NULL, &k->o, &s, &k->why), RC_DAMAGED);
		assert_non_null(strstr(k->why.text, "there are segments with mail"));
		assert_int_equal(access(segment, F_OK), 0);
	}
	assert_int_equal(kit_verify(k->dir, NULL, NULL), 1);
	assert_int_equal(truncate(index, 0), 0);
	assert_int_equal(store_verify(k->dir, ignore, NULL, &r, &k->why), RC_DAMAGED);
	assert_int_equal(rename(lost, index), 0); /* and when it comes back all is as it was */
	kit_reopen(k);
	expect_clean(k->dir);
	AUTO(buf_done) struct buf plain = { .max = 1 << 20 };
	assert_int_equal(kit_read(k, 11, box, 3, &plain), RC_OK);
	assert_int_equal(buf_str(&plain).n, 700);
}

static void damaged_rows_are_said_and_the_others_served(void **state)
{
	static struct spot spots[4096];
	uint64_t box = fill(5, 100);
	store_close(&k->s);
	size_t n = find_spots(spots, 4096, false);
	for (size_t i = 0; i < n; i++) /* the second message's record */
		if (spots[i].table == TABLE_RECORD && spots[i].uid == 2)
			flip(k->dir, "index/data.mdb", spots[i].at + 80, 1);
	struct view *v;
	struct buf rows;
	struct row row;
	uint32_t next;
	struct uid_range all = { 1, UINT32_MAX };
	buf_init(&rows, 1 << 20);
	assert_int_equal(view_open(k->dir, k->o.map_size, &v, &k->why), RC_OK);
	assert_int_equal(view_rows(v, 11, box, &all, 1, ROW_STATE | ROW_RECORD, 1 << 20, &rows, &next, &k->why), RC_OK);
	struct cursor c = cursor_of(buf_str(&rows));
	for (uint32_t uid = 1; uid <= 5; uid++) {
		assert_int_equal(row_next(&c, ROW_STATE | ROW_RECORD, &row), RC_OK);
		assert_int_equal(row.uid, uid);
		assert_int_equal(row.damaged, uid == 2);
		assert_int_equal(row.record.n > 0, uid != 2);
	}
	assert_int_equal(row_next(&c, ROW_STATE | ROW_RECORD, &row), RC_NOTFOUND);
	view_close(&v);
	buf_done(&rows);
	assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_OK); /* and the others can be worked with */
	struct uid_range two = { 2, 2 };
	assert_int_equal(store_flags(k->s, 11, box, &all, 1, FLAG_ADD, 1, NULL, 0, NULL, &k->why), RC_OK);
	assert_int_equal(store_expunge(k->s, 11, box, &two, 1, false, NULL, &k->why), RC_OK);
}

static void a_damaged_segment_row_costs_no_file(void **state)
{
	static struct spot spots[4096];
	char path[600];
	uint64_t box = fill(3, 100);
	store_close(&k->s);
	size_t n = find_spots(spots, 4096, true);
	for (size_t i = 0; i < n; i++)
		if (spots[i].table == TABLE_SEGMENT)
			flip(k->dir, "index/data.mdb", spots[i].at + 7, 2); /* segment 1 calls itself 5 */
	assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_OK);
	(void)snprintf(path, sizeof path, "%s/segments/00000001.seg", k->dir);
	assert_int_equal(access(path, F_OK), 0);
	struct buf b;
	buf_init(&b, 1000);
	assert_int_equal(kit_read(k, 11, box, 2, &b), RC_OK);
	buf_done(&b);
	assert_int_equal(fill(2, 100), box); /* their ids are known already: the first answers */
	struct kit_copy c = { .account = 11 };
	struct store_copy_result r;
	assert_int_equal(kit_deliver(k, 50, STR("into a new segment"), &c, 1, &r), RC_OK);
	assert_int_equal(access(path, F_OK), 0);
}

static void a_cut_off_index_is_refused_and_not_fatal(void **state)
{
	char path[600];
	struct stat sb;
	struct view *v;
	struct verify_report r;
	(void)fill(20, 5000);
	store_close(&k->s);
	(void)snprintf(path, sizeof path, "%s/index/data.mdb", k->dir);
	assert_int_equal(stat(path, &sb), 0);
	assert_int_equal(truncate(path, sb.st_size / 2), 0);
	assert_int_equal(view_open(k->dir, k->o.map_size, &v, &k->why), RC_DAMAGED);
	assert_int_equal(store_verify(k->dir, NULL, NULL, &r, &k->why), RC_DAMAGED);
	assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_DAMAGED);
}

static bool holds(const char *name, struct str word)
{
	char path[600];
	struct stat sb;
	(void)snprintf(path, sizeof path, "%s/%s", k->dir, name);
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0 && fstat(fd, &sb) == 0);
	char *p = malloc((size_t)sb.st_size);
	assert_int_equal(read(fd, p, (size_t)sb.st_size), sb.st_size);
	(void)close(fd);
	bool found = str_find_str(str_of(p, (size_t)sb.st_size), word) < (size_t)sb.st_size;
	free(p);
	return found;
}

static void no_word_of_a_message_is_on_the_disk(void **state)
{
	static const struct str mail = STR_INIT("From: stranger@elsewhere.example\r\nSubject: merger on friday\r\n\r\nburn after reading\r\n");
	static const char *const words[] = { "stranger", "elsewhere", "merger on", "friday", "burn after", "(envelope)", "the signature", "preview" };
	struct kit_copy c = { .account = 11 };
	struct store_copy_result r;
	assert_int_equal(kit_deliver(k, 0, mail, &c, 1, &r), RC_OK);
	store_close(&k->s);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		assert_false(holds("segments/00000001.seg", str_z(words[i])));
		assert_false(holds("index/data.mdb", str_z(words[i])));
	}
	assert_true(holds("index/data.mdb", STR("example.org"))); /* the search itself works: our own addresses are in the clear */
	assert_true(holds("segments/00000001.seg", STR("LLB1")));
}

/* ---- reading only ---- */
static void a_read_only_store_refuses_every_verb(void **state)
{
	uint64_t box = fill(1, 100), id;
	bool more;
	k->o.read_only = true;
	kit_reopen(k);
	assert_int_equal(store_expunge(k->s, 11, box, NULL, 0, false, NULL, &k->why), RC_DENIED);
	assert_int_equal(box_create(k->s, 11, STR("x"), 0, &id, &k->why), RC_DENIED);
	assert_int_equal(store_compact(k->s, 10, &more, &k->why), RC_DENIED);
	struct buf b;
	buf_init(&b, 1000);
	assert_int_equal(kit_read(k, 11, box, 1, &b), RC_OK);
	buf_done(&b);
}

/* ---- compaction and backup ---- */
static void compact_all(void)
{
	bool more = true;
	for (int i = 0; more && i < 100000; i++)
		assert_int_equal(store_compact(k->s, 0, &more, &k->why), RC_OK);
	assert_false(more);
}

static void mostly_dead_segments_are_rewritten_and_unlinked(void **state)
{
	struct store_stats before, after;
	k->o.segment_bytes = 40000;
	kit_reopen(k);
	uint64_t box = fill(100, 2000);
	for (uint32_t uid = 1; uid <= 100; uid++) {
		struct uid_range r = { uid, uid };
		if (uid % 5)
			assert_int_equal(store_expunge(k->s, 11, box, &r, 1, false, NULL, &k->why), RC_OK);
	}
	store_stats(k->s, &before);
	assert_true(before.dead_bytes > 150000);
	compact_all();
	store_stats(k->s, &after);
	assert_int_equal(after.live_bytes, before.live_bytes);
	assert_true(after.dead_bytes < 40000);
	assert_true(after.segments < before.segments);
	expect_clean(k->dir);
	struct buf b;
	buf_init(&b, 4000);
	for (uint32_t uid = 5; uid <= 100; uid += 5) {
		buf_clear(&b);
		assert_int_equal(kit_read(k, 11, box, uid, &b), RC_OK);
		assert_int_equal(b.len, 2000);
	}
	buf_done(&b);
	kit_reopen(k);
	expect_clean(k->dir);
}

static void while_a_lease_lasts_no_segment_is_unlinked(void **state)
{
	uint64_t lease;
	struct store_stats s;
	k->o.segment_bytes = 10000;
	kit_reopen(k);
	uint64_t box = fill(20, 2000);
	assert_int_equal(store_pin(k->s, &lease, &k->why), RC_OK);
	assert_int_equal(store_expunge(k->s, 11, box, NULL, 0, false, NULL, &k->why), RC_OK);
	compact_all();
	store_stats(k->s, &s);
	assert_true(s.segments >= 4);
	store_unpin(k->s, lease);
	compact_all();
	store_stats(k->s, &s);
	assert_true(s.segments <= 1);
	expect_clean(k->dir);
}

static void a_backup_is_whole_whatever_happens_after_it(void **state)
{
	char to[600];
	struct verify_report r;
	uint64_t lease;
	(void)snprintf(to, sizeof to, "%s/copy", k->dir);
	k->o.segment_bytes = 10000;
	kit_reopen(k);
	uint64_t box = fill(20, 2000);
	fill_queue();
	assert_int_equal(store_pin(k->s, &lease, &k->why), RC_OK);
	assert_int_equal(store_backup(k->dir, to, &k->why), RC_OK);
	store_unpin(k->s, lease);
	assert_int_equal(store_expunge(k->s, 11, box, NULL, 0, false, NULL, &k->why), RC_OK);
	compact_all();
	assert_int_equal(kit_verify(to, NULL, &r), 0);
	assert_int_equal(r.messages, 21);
	assert_true(r.letters == 2 && r.queued == 2);
	assert_int_not_equal(store_backup(k->dir, to, &k->why), RC_OK); /* never over another one */
	store_close(&k->s);
	struct store_options o = k->o; /* a restored store serves */
	o.dir = to;
	assert_int_equal(store_open(NULL, &o, &k->s, &k->why), RC_OK);
	struct uid_range all = { 1, UINT32_MAX };
	assert_int_equal(store_flags(k->s, 11, box, &all, 1, FLAG_ADD, 1, NULL, 0, NULL, &k->why), RC_OK);
	expect_clean(to);
}

static void a_tail_that_was_never_committed_is_ignored_and_overwritten(void **state)
{
	char path[600];
	(void)fill(3, 1000);
	store_close(&k->s);
	(void)snprintf(path, sizeof path, "%s/segments/00000001.seg", k->dir);
	int fd = open(path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "garbage of a torn write", 23), 23);
	(void)close(fd);
	(void)snprintf(path, sizeof path, "%s/segments/00000007.seg", k->dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600); /* a segment whose commit never came */
	(void)close(fd);
	assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_OK);
	assert_int_not_equal(access(path, F_OK), 0);
	expect_clean(k->dir);
	struct kit_copy c = { .account = 11 };
	struct store_copy_result r;
	assert_int_equal(kit_deliver(k, 50, STR("after it"), &c, 1, &r), RC_OK);
	expect_clean(k->dir);
}

/* ---- no room ---- */
static void deliver_until_full(unsigned *stored)
{
	static char body[20000];
	enum rc rc = RC_OK;
	struct kit_copy c = { .account = 11 };
	struct store_copy_result r;
	assert_int_equal(random_bytes(body, sizeof body), RC_OK);
	while (rc == RC_OK) {
		rc = kit_deliver(k, 0, str_of(body, sizeof body), &c, 1, &r);
		*stored += rc == RC_OK;
		assert_true(*stored < 10000);
	}
	if (rc != RC_FULL)
		fail_msg("%s: %s", rc_name(rc), k->why.text);
}

static void expect_messages(unsigned n)
{
	struct verify_report r;
	assert_int_equal(kit_verify(k->dir, NULL, &r), 0);
	assert_int_equal(r.messages, n);
}

static void a_file_size_limit_is_no_room_and_nothing_is_lost(void **state)
{
	struct rlimit old, small = { 2 << 20, 0 };
	unsigned stored = 0;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	deliver_until_full(&stored);
	deliver_until_full(&stored);
	expect_messages(stored);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	struct kit_copy c = { .account = 11 };
	struct store_copy_result r;
	assert_int_equal(kit_deliver(k, 0, STR("there is room again"), &c, 1, &r), RC_OK);
	expect_messages(stored + 1);
	kit_reopen(k);
	expect_messages(stored + 1);
}

static void a_full_index_map_is_no_room_either(void **state)
{
	unsigned stored = 0;
	store_close(&k->s);
	k->o.map_size = 1 << 20;
	assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_OK);
	deliver_until_full(&stored);
	assert_true(stored > 10);
	expect_messages(stored);
	store_close(&k->s);
	k->o.map_size = 2 << 20;
	unsigned more = 0;
	assert_int_equal(store_open(NULL, &k->o, &k->s, &k->why), RC_OK);
	deliver_until_full(&more);
	assert_true(more > 10);
	expect_messages(stored + more);
}

static void a_full_disk_is_no_room_and_works_again(void **state)
{
	char dir[] = "/tmp/llfull.XXXXXX";
	unsigned stored = 0;
	assert_non_null(mkdtemp(dir));
	if (mount("tmpfs", dir, "tmpfs", 0, "size=6m") != 0) {
		(void)rmdir(dir);
		print_message("skipped: a small tmpfs cannot be mounted here\n");
		skip();
	}
	kit_done(k);
	kit_open_in(k, dir);
	kit_account(k, 11, "anna@example.org", 0);
	deliver_until_full(&stored);
	deliver_until_full(&stored);
	assert_true(stored > 50);
	expect_messages(stored);
	assert_int_equal(mount("tmpfs", dir, "tmpfs", MS_REMOUNT, "size=12m"), 0);
	unsigned more = 0;
	deliver_until_full(&more);
	assert_true(more > 50);
	expect_messages(stored + more);
	kit_reopen(k);
	expect_messages(stored + more);
	kit_done(k);
	assert_int_equal(umount(dir), 0);
	(void)rmdir(dir);
	kit_open(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_flipped_bit_in_any_index_value_is_reported_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_flipped_bit_in_any_key_is_reported, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_flipped_bit_anywhere_in_a_segment_is_reported_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flipped_bit_in_the_number_of_an_index_header_is_reported, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_lost_index_is_refused_and_costs_no_segment, set_up, tear_down),
		cmocka_unit_test_setup_teardown(damaged_rows_are_said_and_the_others_served, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_segment_row_costs_no_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cut_off_index_is_refused_and_not_fatal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_word_of_a_message_is_on_the_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_read_only_store_refuses_every_verb, set_up, tear_down),
		cmocka_unit_test_setup_teardown(mostly_dead_segments_are_rewritten_and_unlinked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(while_a_lease_lasts_no_segment_is_unlinked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_backup_is_whole_whatever_happens_after_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_tail_that_was_never_committed_is_ignored_and_overwritten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_size_limit_is_no_room_and_nothing_is_lost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_index_map_is_no_room_either, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_disk_is_no_room_and_works_again, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
