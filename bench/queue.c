/* How fast the queue takes letters and changes rows, and whether it matters how many wait already. Two queues, one short, one long, take turns (A B
 * A B): in each round as many letters of one recipient are put by many fibers at once (group commit, as `edge` asks), changed in calls of a
 * thousand rows (as `relay` does: deferred) and ended, so that the depth stays. "anywhere": the rows changed lie all over the queue. */
#include "os/file.h"
#include "store/queue.h"
#include "store/store.h"
#include "unit/store/tree.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FIBERS = 256, BATCH = 1000, ROUND = 10000, ROUNDS = 9, WIDE = 1000, STEP = 50000, SEALED_ROW = 150, SEALED_LETTER = 700, BODY = 1500 };

/* By the wall, and by the processor: the one means something on an idle machine only. */
struct cost { double wall, cpu; };
enum what { PUT, CHANGE, END, ANYWHERE, WHATS };
static const char *const what_names[WHATS] = { "letters put", "rows changed", "rows ended", "rows changed anywhere" };

struct side {
	char dir[256];
	size_t depth, waiting;
	struct store *store;
	struct loop *loop;
	uint64_t base, gap, next;        /* `depth` letters wait from `base` on; every gap-th is changed; the next one's number */
	struct cost cost[WHATS][ROUNDS];
};

/* Letters under way. */
static struct side *at;
static struct buf *bodies;
static struct blob_id *ids;
static size_t to_put, active, body_at;

static struct secret body_key;
static char letter[SEALED_LETTER], sealed_row[SEALED_ROW];
static struct why why;

static void must(enum rc rc, const char *what)
{
	if (rc == RC_OK)
		return;
	(void)fprintf(stderr, "bench_queue: %s: %s (%s)\n", what, rc_name(rc), why.text);
	exit(1);
}

static double clock_s(clockid_t which)
{
	struct timespec t;
	(void)clock_gettime(which, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct cost now(void) { return (struct cost){ clock_s(CLOCK_MONOTONIC), clock_s(CLOCK_PROCESS_CPUTIME_ID) }; }

static struct cost since(struct cost t, size_t n)
{
	struct cost e = now();
	return (struct cost){ (e.wall - t.wall) / (double)n, (e.cpu - t.cpu) / (double)n };
}

/* ---- letters ---- */
static void make_bodies(size_t n)
{
	static char text[BODY];
	bodies = calloc(n, sizeof *bodies);
	ids = calloc(n, sizeof *ids);
	if (!bodies || !ids)
		must(RC_NOMEM, "bodies");
	for (size_t i = 0; i < n; i++) {
		must(random_bytes(text, 64), "random octets");
		must(blob_id_new(&ids[i]), "an id");
		buf_init(&bodies[i], 1 << 20);
		must(blob_seal(&body_key, &ids[i], 1, str_of(text, sizeof text), &bodies[i]), "sealing");
	}
	body_at = 0;
}

static void drop_bodies(size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_done(&bodies[i]);
	free(bodies);
	free(ids);
}

static void putter(void *arg)
{
	const struct queue_row row = { .state = QUEUE_READY, .priority = 4, .lane = 77, .created_ms = 1, .due_ms = 1, .expires_ms = 1ll << 40, .sealed = str_of(sealed_row, sizeof sealed_row) };
	const struct queue_put put = { str_of(letter, sizeof letter), &row, 1 };
	(void)arg;
	while (to_put) {
		size_t i = body_at++;
		uint64_t number;
		to_put--;
		must(store_deliver_out(at->store, 0, &ids[i], buf_str(&bodies[i]), NULL, 0, NULL, 0, &put, 1, NULL, NULL, &number, &why), "putting");
		if (number >= at->next)
			at->next = number + 1;
	}
	if (--active == 0)
		loop_stop(at->loop);
}

static struct cost put_letters(struct side *s, size_t n)
{
	at = s;
	make_bodies(n);
	to_put = n;
	active = FIBERS;
	for (size_t i = 0; i < FIBERS; i++)
		must(fiber_start(s->loop, putter, NULL, NULL), "a fiber");
	struct cost t = now();
	loop_run(s->loop);
	t = since(t, n);
	drop_bodies(n);
	return t;
}

/* ---- rows ---- */
/* The rows of letters from, from + gap ... that are of this version, in calls of a thousand. */
static struct cost change_rows(struct side *s, uint64_t from, uint64_t gap, size_t n, uint32_t version, enum queue_state to)
{
	static struct queue_change c[BATCH];
	struct cost t = now();
	for (size_t done = 0; done < n; done += BATCH) {
		for (size_t i = 0; i < BATCH; i++)
			c[i] = (struct queue_change){ .row = { .letter = from + (done + i) * gap, .version = version, .state = (uint8_t)to, .end = to == QUEUE_DONE ? QUEUE_SENT : 0,
				.priority = 4, .lane = 77, .attempts = version, .due_ms = 5, .expires_ms = 1ll << 40, .sealed = str_of(sealed_row, sizeof sealed_row) },
				.done = str_of(sealed_row, 100) };
		must(queue_change(s->store, c, BATCH, &why), "changing");
		for (size_t i = 0; i < BATCH; i++)
			must(c[i].rc, "a change");
	}
	return since(t, n);
}

static void open_side(struct side *s, const char *parent, size_t depth)
{
	(void)snprintf(s->dir, sizeof s->dir, "%s/llqueue.XXXXXX", parent);
	if (!mkdtemp(s->dir))
		must(RC_IO, s->dir);
	must(loop_open(&s->loop, &why), "a loop");
	must(store_open(s->loop, &(struct store_options){ .dir = s->dir, .patient = true }, &s->store, &why), "a store");
	s->depth = depth;
	s->base = s->next = 1;
	while (s->waiting < depth) {
		size_t step = depth - s->waiting < STEP ? depth - s->waiting : STEP;
		(void)put_letters(s, step);
		s->waiting += step;
	}
	s->gap = depth / WIDE;
}

static void one_round(struct side *s, uint32_t i)
{
	uint64_t fresh = s->next;
	bool more = true;
	s->cost[PUT][i] = put_letters(s, ROUND);
	s->cost[CHANGE][i] = change_rows(s, fresh, 1, ROUND, 1, QUEUE_READY);
	s->cost[END][i] = change_rows(s, fresh, 1, ROUND, 2, QUEUE_DONE);
	s->cost[ANYWHERE][i] = change_rows(s, s->base, s->gap, WIDE, 1 + i, QUEUE_READY);
	while (more)
		must(queue_forget(s->store, INT64_MAX, 10000, &more, &why), "forgetting");
}

static void close_side(struct side *s)
{
	store_close(&s->store);
	loop_close(&s->loop);
	tree_remove(s->dir);
}

static int by_wall(const void *a, const void *b) { return ((const struct cost *)a)->wall < ((const struct cost *)b)->wall ? -1 : 1; }
static int by_cpu(const void *a, const void *b) { return ((const struct cost *)a)->cpu < ((const struct cost *)b)->cpu ? -1 : 1; }

static struct cost median(struct cost list[ROUNDS])
{
	struct cost m;
	qsort(list, ROUNDS, sizeof *list, by_wall);
	m.wall = list[ROUNDS / 2].wall;
	qsort(list, ROUNDS, sizeof *list, by_cpu);
	m.cpu = list[ROUNDS / 2].cpu;
	return m;
}

int main(int argc, char **argv)
{
	static struct side sides[2];
	size_t depth[2] = { 10000, 1000000 };
	for (int i = 0; i < 2 && argc > 2 + i; i++)
		depth[i] = strtoul(argv[2 + i], NULL, 10);
	if (argc > 4 || depth[0] < WIDE || depth[1] < WIDE) {
		(void)fprintf(stderr, "usage: bench_queue [DIRECTORY [SHORT LONG]]   (a queue has at least %d letters)\n", WIDE);
		return 2;
	}
	must(random_bytes(body_key.k, KEY_LEN), "a key");
	must(random_bytes(letter, sizeof letter), "a letter");
	must(random_bytes(sealed_row, sizeof sealed_row), "a row");
	for (int i = 0; i < 2; i++)
		open_side(&sides[i], argc > 1 ? argv[1] : "/dev/shm", depth[i]);
	for (uint32_t i = 0; i < 2 * ROUNDS; i++)
		one_round(&sides[i % 2], i / 2);
	(void)printf("%-22s %12zu waiting %20zu waiting      more\n", "", depth[0], depth[1]);
	for (unsigned w = 0; w < WHATS; w++) {
		struct cost a = median(sides[0].cost[w]), b = median(sides[1].cost[w]);
		(void)printf("%-22s %9.0f /s %6.2f us %12.0f /s %6.2f us %+6.0f %% time %+6.0f %% processor\n", what_names[w], 1 / a.wall, a.cpu * 1e6, 1 / b.wall, b.cpu * 1e6,
		             100 * (b.wall / a.wall - 1), 100 * (b.cpu / a.cpu - 1));
	}
	for (int i = 0; i < 2; i++)
		close_side(&sides[i]);
	return 0;
}
