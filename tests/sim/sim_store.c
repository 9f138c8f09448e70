/* Power cuts at the level of the store. One run: three accounts, each driven by a fiber of its own with random verbs, while another
 * fiber compacts; the disk records. Then, for random cuts, the directory is made as the power cut might have left it, and opened:
 * verify is clean; each account is exactly as after its last acknowledged verb, or as after the one that was under way (verbs are
 * atomic); every body opens and is the one that was delivered; and the store goes on working. A fourth, the postman, puts letters into the queue
 * (in one delivery with copies for himself), changes their rows and ends them: his account and the queue are looked at as one. */
#include "sim/sim_queue.h"

#include "os/file.h"
#include "store/rows.h"
#include "store/store.h"
#include "unit/store/tree.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACCOUNTS = 4, POSTMAN = 3, VERBS = 50, CUTS = 4, STATE_MAX = 1 << 16, TEXT_MAX = 900, MAILS_MAX = ACCOUNTS * VERBS * 8 };

struct mail { uint64_t email; size_t n; char text[TEXT_MAX]; };
struct moment { size_t at; char *state; };   /* the account as it was when a verb returned, and how long the record was then */
struct person {
	uint64_t id;
	struct rng rng;
	unsigned done;
	struct moment moments[VERBS + 1];
};
static uint64_t seed;
static struct rng rng;
static struct store *store;
static struct loop *loop;
static struct view *view;
static struct person people[ACCOUNTS];
static unsigned finished;
static bool queue_only;                /* nobody but the postman does anything */
static struct mail mails[MAILS_MAX];
static size_t mail_n;
static struct secret epoch_key, body_key;
static struct epoch_keys *keys;
static uint64_t nonce;
static struct why why;
static const char *const folders[] = { "INBOX", "Archive", "Work", "Work/2025", "Trash" };

void sim_fail(const char *what, const char *detail)
{
	(void)fprintf(stderr, "seed %llu: %s: %s\n", (unsigned long long)seed, what, detail);
	exit(1);
}
#define fail sim_fail
#define MUST(call)                                                  \
	do {                                                        \
		enum rc must_rc = (call);                           \
		if (must_rc != RC_OK)                               \
			fail(#call ": " WHY_STR(__LINE__), why.text[0] ? why.text : rc_name(must_rc)); \
	} while (0)

static void on_crash(int signo)
{
	static const char text[] = "the store crashed on what a power cut had left\n";
	(void)!write(2, text, sizeof text - 1);
	_exit(1);
}

/* ---- messages ---- */
static enum rc deliver_out(struct store *s, uint64_t account, uint64_t box, unsigned copies, bool out_too, struct rng *r)
{
	struct blob_id id;
	struct buf body, record[3], grams[3];
	struct store_copy c[3];
	struct store_copy_result out[3];
	struct sim_puts puts = { 0 };
	uint64_t letters[SIM_PUTS];
	struct mail *m = &mails[mail_n];
	m->n = 1 + rng_below(r, TEXT_MAX - 1);
	for (size_t i = 0; i < m->n; i++)
		m->text[i] = (char)rng_next(r);
	buf_init(&body, 1 << 20);
	MUST(blob_id_new(&id));
	MUST(blob_seal(&body_key, &id, account, str_of(m->text, m->n), &body));
	if (out_too) {
		uint64_t name = rng_next(r);
		sim_puts_make(&puts, name, account, r);
		mails[mail_n] = *m;
		mails[mail_n++].email = name;
	}
	for (unsigned i = 0; i < copies; i++) {
		struct record_clear clear = { .blob = id, .email_id = rng_next(r), .owner = account, .epoch = 1, .nonce = nonce++ };
		struct record_secret secret = { STR("e"), STR("s"), STR("p"), STR("v"), STR("f"), body_key };
		mails[mail_n] = *m;
		mails[mail_n++].email = clear.email_id;
		buf_init(&record[i], 4096);
		buf_init(&grams[i], 4096);
		MUST(record_seal(keys, &clear, &secret, &record[i]));
		MUST(grams_seal(keys, &clear, STR("signature"), &grams[i]));
		c[i] = (struct store_copy){ .account = account, .box = box, .flags = (uint32_t)rng_below(r, 32), .size = m->n,
			                    .email_id = clear.email_id, .record = buf_str(&record[i]), .grams = buf_str(&grams[i]) };
	}
	enum rc rc = store_deliver_out(s, rng_next(r), &id, buf_str(&body), NULL, 0, c, copies, puts.list, puts.n, NULL, out, letters, &why);
	for (unsigned i = 0; i < copies; i++) {
		if (rc == RC_OK)
			rc = out[i].rc;
		buf_done(&record[i]);
		buf_done(&grams[i]);
	}
	buf_done(&body);
	return rc;
}

static enum rc deliver(struct store *s, uint64_t account, uint64_t box, unsigned copies, struct rng *r) { return deliver_out(s, account, box, copies, false, r); }

/* ---- what an account looks like: folders by name, in each its messages with flags and email ids ---- */
static void describe_box(struct view *v, uint64_t account, const struct box_info *b, struct buf *out)
{
	struct buf rows;
	struct row row;
	struct uid_range all = { 1, UINT32_MAX };
	uint32_t next;
	buf_init(&rows, 1 << 22);
	MUST(view_rows(v, account, b->id, &all, 1, ROW_STATE | ROW_RECORD, 1 << 22, &rows, &next, &why));
	buf_add(out, b->name);
	buf_addf(out, "(%u %u %d %d):", b->uidvalidity, b->uidnext, b->selectable, b->subscribed);
	struct cursor c = cursor_of(buf_str(&rows));
	while (row_next(&c, ROW_STATE | ROW_RECORD, &row) == RC_OK) {
		struct record_clear clear;
		struct str sealed;
		if (row.damaged || record_clear_parse(row.record, &clear, &sealed) != RC_OK)
			fail("a damaged row", "served");
		buf_addf(out, " %u/%u/%llx", row.uid, row.flags, (unsigned long long)clear.email_id);
	}
	buf_byte(out, '\n');
	buf_done(&rows);
}

static char *describe(struct view *v, uint64_t account)
{
	struct arena a;
	struct box_info *b;
	struct buf out;
	struct str *names;
	size_t n, names_n;
	arena_init(&a, 16 << 20);
	buf_init(&out, STATE_MAX);
	MUST(view_folders(v, account, &a, &b, &n, &names, &names_n, &why));
	for (size_t i = 0; i < n; i++)
		describe_box(v, account, &b[i], &out);
	for (size_t i = 0; i < names_n; i++)
		buf_addf(&out, "subscribed: %.*s\n", PSTR(names[i]));
	if (account == people[POSTMAN].id)
		sim_queue_describe(v, &out);
	buf_byte(&out, 0);
	arena_done(&a);
	return out.p;
}

/* ---- random verbs ---- */
static uint64_t find_box(uint64_t account, const char *name)
{
	struct arena a;
	struct box_info b = { 0 };
	arena_init(&a, 1 << 20);
	enum rc rc = view_box_named(view, account, str_z(name), &a, &b, &why);
	arena_done(&a);
	return rc == RC_OK && b.selectable ? b.id : 0;
}

static enum rc one_verb(struct person *p)
{
	struct rng *r = &p->rng;
	const char *name = folders[rng_below(r, 5)], *other = folders[rng_below(r, 5)];
	uint64_t box = find_box(p->id, name), to = find_box(p->id, other);
	uint32_t first = 1 + (uint32_t)rng_below(r, 10);
	struct uid_range some = { first, first + (uint32_t)rng_below(r, 6) };
	struct arena a;
	struct uid_range *src, *dst;
	size_t n;
	uint32_t validity;
	enum rc rc;
	switch (rng_below(r, 14)) {
	case 0: return store_flags(store, p->id, box, &some, 1, (enum flag_mode)rng_below(r, 3), (uint32_t)rng_below(r, 32), NULL, 0, NULL, &why);
	case 1:
	case 7:
	case 8:
		some.last += (uint32_t)rng_below(r, 20);
		return store_expunge(store, p->id, box, &some, 1, rng_below(r, 2), NULL, &why);
	case 2:
	case 3:
		arena_init(&a, 1 << 20);
		rc = store_copy_to(store, p->id, box, &some, 1, to, rng_below(r, 2), &a, &src, &dst, &n, &validity, &why);
		arena_done(&a);
		return rc;
	case 4: return box_create(store, p->id, str_z(name), 0, NULL, &why);
	case 13: /* at once, and with others' verbs on its way to the disk */
		rc = store_recent(store, p->id, box, first, &validity, &why);
		return rc == RC_OK && rng_below(r, 2) ? store_recent_settle(store, &why) : rc;
	case 12: return box_subscribe(store, p->id, str_z(name), rng_below(r, 2), &why);
	case 5: return box_remove(store, p->id, str_z(name), &why);
	case 6: return rng_below(r, 2) ? box_rename(store, p->id, STR("Work"), STR("Done"), &why) : box_rename(store, p->id, STR("Done"), STR("Work"), &why);
	default: return deliver(store, p->id, box, 1 + (unsigned)rng_below(r, 3), r);
	}
}

static enum rc one_letter(struct person *p)
{
	struct rng *r = &p->rng;
	return rng_below(r, 5) < 2 ? deliver_out(store, p->id, 0, (unsigned)rng_below(r, 3), true, r) : sim_queue_verb(store, view, r, &why);
}

static void note_moment(struct person *p)
{
	p->moments[p->done].at = disk_events();
	p->moments[p->done].state = describe(view, p->id);
}

static void live(void *arg)
{
	struct person *p = arg;
	for (; p->done < VERBS; p->done++, note_moment(p)) {
		enum rc rc = p == &people[POSTMAN] ? one_letter(p) : one_verb(p);
		if (rc != RC_OK && rc != RC_NOTFOUND && rc != RC_EXISTS && rc != RC_DENIED)
			fail("a verb", why.text);
	}
	if (++finished == ACCOUNTS)
		loop_stop(loop);
}

static void sweep(void *arg)
{
	bool more;
	while (finished < ACCOUNTS) {
		MUST(store_compact(store, 0, &more, &why));
		fiber_yield();
	}
}

/* ---- after the cut ---- */
static void check_body_at(const char *dir, const struct blob_place *place, const struct secret *key, uint64_t email)
{
	char path[400], stored[TEXT_MAX + 400];
	struct buf plain;
	struct blob_header h;
	size_t need;
	uint64_t off;
	uint32_t len;
	(void)snprintf(path, sizeof path, "%s/segments/%08x.seg", dir, place->segment);
	buf_init(&plain, 1 << 20);
	int fd = open(path, O_RDONLY);
	if (fd < 0 || place->length > sizeof stored || pread(fd, stored, place->length, (off_t)place->offset) != (ssize_t)place->length)
		fail("a body cannot be read", path);
	(void)close(fd);
	struct str s = str_of(stored, place->length);
	MUST(blob_header_parse(s, &h, &need, &why));
	MUST(blob_chunk_at(s, &h, 0, &off, &len));
	MUST(blob_chunk_open(key, &h, 0, str_head(str_skip(s, off), len), &plain));
	bool found = false;
	for (size_t i = 0; i < mail_n && !found; i++)
		found = mails[i].email == email && str_eq(str_of(mails[i].text, mails[i].n), buf_str(&plain));
	if (!found)
		fail("a body", "is not the one that was delivered");
	buf_done(&plain);
}

static void check_body(const char *dir, const struct row *row)
{
	struct record_clear clear;
	struct record_secret secret;
	struct str sealed;
	struct buf scratch;
	buf_init(&scratch, 1 << 20);
	MUST(record_clear_parse(row->record, &clear, &sealed));
	MUST(record_open(keys, &clear, sealed, &scratch, &secret));
	check_body_at(dir, &row->place, &secret.body_key, clear.email_id);
	buf_done(&scratch);
}

static void check_letter(void *arg, uint64_t name, const struct blob_id *id, const struct blob_place *place)
{
	(void)id;
	check_body_at(arg, place, &body_key, name);
}

static void check_bodies(const char *dir, struct view *v, uint64_t account)
{
	struct arena a;
	struct box_info *b;
	size_t n;
	arena_init(&a, 16 << 20);
	MUST(view_boxes(v, account, &a, &b, &n, &why));
	for (size_t i = 0; i < n; i++) {
		struct buf rows;
		struct row row;
		struct uid_range all = { 1, UINT32_MAX };
		uint32_t next;
		buf_init(&rows, 1 << 22);
		MUST(view_rows(v, account, b[i].id, &all, 1, 15, 1 << 22, &rows, &next, &why));
		struct cursor c = cursor_of(buf_str(&rows));
		while (row_next(&c, 15, &row) == RC_OK)
			check_body(dir, &row);
		buf_done(&rows);
	}
	arena_done(&a);
}

static void check_account(const char *dir, struct view *v, const struct person *p, size_t cut)
{
	unsigned last = 0;
	while (last < p->done && p->moments[last + 1].at <= cut)
		last++;
	char *now = describe(v, p->id);
	if (strcmp(now, p->moments[last].state) != 0 && (last == p->done || strcmp(now, p->moments[last + 1].state) != 0)) {
		(void)fprintf(stderr, "acknowledged (verb %u at %zu, cut %zu):\n%sfound:\n%s", last, p->moments[last].at, cut, p->moments[last].state, now);
		fail("an account", "is neither as acknowledged nor as the verb under way would leave it");
	}
	free(now);
	check_bodies(dir, v, p->id);
}

static void tell(void *arg, const char *what)
{
	(void)arg;
	(void)fprintf(stderr, "verify: %s\n", what);
}

static void expect_clean(const char *dir)
{
	struct verify_report r;
	MUST(store_verify(dir, tell, NULL, &r, &why));
	if (r.damaged)
		fail("verify", "finds damage after a power cut");
}

static void check_cut(size_t cut, const char *to)
{
	struct store *s;
	struct view *v;
	struct store_options o = { .dir = to, .map_size = 64 << 20, .segment_bytes = 3000, .grace_ms = -1 };
	if (!disk_crash(cut, &rng, to))
		fail("the disk", "cannot be made");
	MUST(store_open(NULL, &o, &s, &why));
	expect_clean(to);
	MUST(view_open(to, o.map_size, &v, &why));
	for (unsigned i = 0; i < ACCOUNTS; i++)
		check_account(to, v, &people[i], cut);
	char where[300];
	(void)snprintf(where, sizeof where, "%s", to);
	sim_queue_letters(v, check_letter, where);
	size_t kept = mail_n;
	for (unsigned i = 0; i < ACCOUNTS; i++) /* and life goes on */
		MUST(deliver_out(s, people[i].id, 0, 1, i == POSTMAN, &rng));
	bool more = true;
	while (more)
		MUST(store_compact(s, 0, &more, &why));
	expect_clean(to);
	for (unsigned i = 0; i < ACCOUNTS; i++)
		check_bodies(to, v, people[i].id);
	sim_queue_letters(v, check_letter, where);
	mail_n = kept;
	view_close(&v);
	store_close(&s);
	tree_remove(to);
}

/* ---- one seed ---- */
static void set_up(const char *dir)
{
	struct store_options o = { .dir = dir, .map_size = 64 << 20, .segment_bytes = 3000, .grace_ms = -1 };
	disk_watch(dir);
	MUST(loop_open(&loop, &why));
	MUST(store_open(loop, &o, &store, &why));
	MUST(domain_add(store, STR("example.org"), &why));
	for (unsigned i = 0; i < ACCOUNTS; i++) {
		char address[] = "a0@example.org";
		address[1] = (char)('0' + i);
		people[i] = (struct person){ .id = 100 + i, .rng = { rng_next(&rng) } };
		struct account a = { .id = people[i].id, .address = str_z(address), .name = STR("") };
		MUST(account_add(store, &a, &why));
	}
	MUST(view_open(dir, o.map_size, &view, &why));
	disk_baseline();
	for (unsigned i = 0; i < ACCOUNTS; i++)
		note_moment(&people[i]);
}

static void run_seed(const char *base)
{
	char dir[300], cut_dir[300];
	(void)snprintf(dir, sizeof dir, "%s/live", base);
	(void)snprintf(cut_dir, sizeof cut_dir, "%s/after", base);
	rng = (struct rng){ seed };
	finished = 0;
	mail_n = 0;
	MUST(dir_make(dir, 0700, &why));
	set_up(dir);
	for (unsigned i = 0; i < ACCOUNTS; i++)
		if (i == POSTMAN || !queue_only)
			MUST(fiber_start(loop, live, &people[i], NULL));
		else
			finished++;
	MUST(fiber_start(loop, sweep, NULL, NULL));
	loop_run(loop);
	expect_clean(dir);
	view_close(&view);
	store_close(&store);
	loop_close(&loop);
	for (unsigned i = 0; i < CUTS; i++)
		check_cut(1 + rng_below(&rng, disk_events()), cut_dir);
	disk_stop();
	for (unsigned i = 0; i < ACCOUNTS; i++)
		for (unsigned k = 0; k <= people[i].done; k++)
			free(people[i].moments[k].state);
	tree_remove(dir);
}

/* "--seed 7" or "--seed 1..1000". */
static bool parse_seeds(int argc, char **argv, uint64_t *first, uint64_t *last)
{
	queue_only = argc > 1 && strcmp(argv[argc - 1], "--queue") == 0;
	argc -= queue_only;
	if (argc == 1)
		return true;
	if (argc != 3 || strcmp(argv[1], "--seed") != 0)
		return false;
	struct str head, tail;
	struct str all = str_z(argv[2]);
	size_t dots = str_find_str(all, STR(".."));
	head = str_head(all, dots);
	tail = dots < all.n ? str_skip(all, dots + 2) : head;
	return str_u64(head, UINT64_MAX, first) && str_u64(tail, UINT64_MAX, last);
}

int main(int argc, char **argv)
{
	uint64_t first = 1, last = 20;
	const char *drop = getenv("SIM_DROP_SYNC");
	char base[] = "/dev/shm/llsim.XXXXXX";
	if (!parse_seeds(argc, argv, &first, &last)) {
		(void)fprintf(stderr, "usage: sim_store [--seed N | --seed FIRST..LAST] [--queue]   (SIM_DROP_SYNC=segment|index|meta|dir takes those syncs for nothing)\n");
		return 2;
	}
	if (!mkdtemp(base))
		fail("no temporary directory", base);
	(void)signal(SIGSEGV, on_crash);
	(void)signal(SIGBUS, on_crash);
	(void)signal(SIGABRT, on_crash);
	disk_ignore_syncs(drop ? drop : "");
	MUST(random_bytes(epoch_key.k, KEY_LEN));
	MUST(random_bytes(body_key.k, KEY_LEN));
	MUST(epoch_keys_new(&epoch_key, &keys));
	for (seed = first; seed <= last; seed++)
		run_seed(base);
	epoch_keys_free(&keys);
	tree_remove(base);
	(void)printf("sim_store: seeds %llu to %llu, %d cuts each; %llu writes, %llu syncs, %llu files made, %llu unlinked: nothing acknowledged was lost\n",
	             (unsigned long long)first, (unsigned long long)last, CUTS, (unsigned long long)disk_totals.writes,
	             (unsigned long long)disk_totals.syncs, (unsigned long long)disk_totals.created, (unsigned long long)disk_totals.unlinked);
	return 0;
}
