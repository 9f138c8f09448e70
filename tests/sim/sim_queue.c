#include "sim/sim_queue.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS_MAX = 2000, PAGE = 1 << 16 };
struct all { struct queue_row rows[ROWS_MAX]; size_t n; };
static struct why unused;
#define MUST(call)                                                                     \
	do {                                                                           \
		enum rc must_rc = (call);                                              \
		if (must_rc != RC_OK)                                                  \
			sim_fail(#call ": " WHY_STR(__LINE__), rc_name(must_rc));      \
	} while (0)

void sim_puts_make(struct sim_puts *p, uint64_t name, uint64_t account, struct rng *r)
{
	*p = (struct sim_puts){ .n = 1 + rng_below(r, SIM_PUTS) };
	(void)snprintf(p->text, sizeof p->text, "%llx", (unsigned long long)name);
	for (size_t i = 0; i < p->n; i++) {
		p->list[i] = (struct queue_put){ str_z(p->text), p->rows[i], 1 + rng_below(r, SIM_ROWS), rng_below(r, 4) ? account : 0 };
		for (size_t k = 0; k < p->list[i].row_n; k++)
			p->rows[i][k] = (struct queue_row){ .state = rng_below(r, 4) ? QUEUE_READY : QUEUE_HELD, .lane = rng_next(r), .created_ms = 1000, .sealed = STR("first") };
	}
}

/* The rows that wait (sealed parts are not kept). */
static void load(struct view *v, bool done, struct all *out)
{
	uint64_t letter = 0;
	uint32_t n = 0;
	out->n = 0;
	do {
		struct buf page;
		buf_init(&page, PAGE * 2);
		MUST(view_queue(v, done, letter, n, PAGE, &page, &letter, &n, &unused));
		struct cursor c = cursor_of(buf_str(&page));
		while (c.in.n && out->n < ROWS_MAX) {
			MUST(queue_row_get(&c, &out->rows[out->n]));
			out->rows[out->n++].sealed = STR("");
		}
		buf_done(&page);
	} while (letter);
}

static enum rc change_some(struct store *s, const struct all *a, struct rng *r, struct why *why)
{
	struct queue_change c[8] = { 0 };
	enum rc want[8];
	size_t n = a->n ? 1 + rng_below(r, 8) : 0;
	for (size_t i = 0; i < n; i++) {
		bool wrong = rng_below(r, 8) == 0;
		c[i].row = a->rows[rng_below(r, a->n)];
		want[i] = wrong ? RC_CONFLICT : RC_OK;
		for (size_t k = 0; k < i; k++)
			if (c[k].row.letter == c[i].row.letter && c[k].row.n == c[i].row.n)
				want[i] = RC_CONFLICT;
		c[i].row.version += wrong;
		c[i].row.attempts++;
		c[i].row.state = rng_below(r, 2) ? QUEUE_DONE : QUEUE_READY;
		c[i].row.end = c[i].row.state == QUEUE_DONE ? QUEUE_SENT : QUEUE_END_NONE;
		c[i].row.due_ms = (int64_t)rng_below(r, 1000);
		c[i].row.sealed = STR("again");
		c[i].done = STR("history");
	}
	enum rc rc = queue_change(s, c, n, why);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		if (c[i].rc != want[i])
			sim_fail("a change's outcome", rc_name(c[i].rc));
	return rc;
}

enum rc sim_queue_verb(struct store *s, struct view *v, struct rng *r, struct why *why)
{
	static struct all waiting;
	char name[8] = "note.0";
	bool more;
	name[5] = (char)('0' + rng_below(r, 4));
	switch (rng_below(r, 8)) {
	case 0: return queue_forget(s, (int64_t)rng_below(r, 1000), 1 + rng_below(r, 5), &more, why);
	case 1: return note_put(s, str_z(name), rng_below(r, 3) ? STR("a note") : STR(""), why);
	default:
		load(v, false, &waiting);
		return change_some(s, &waiting, r, why);
	}
}

static void describe_rows(struct view *v, bool done, struct buf *out)
{
	static struct all a;
	load(v, done, &a);
	buf_addf(out, "%s:", done ? "done" : "waiting");
	for (size_t i = 0; i < a.n; i++)
		buf_addf(out, " %llu.%u/%u/%u/%u", (unsigned long long)a.rows[i].letter, a.rows[i].n, a.rows[i].version, a.rows[i].state, a.rows[i].attempts);
	buf_byte(out, '\n');
}

void sim_queue_letters(struct view *v, void (*each)(void *arg, uint64_t name, const struct blob_id *id, const struct blob_place *place), void *arg)
{
	static struct all a;
	load(v, false, &a);
	for (size_t i = 0; i < a.n; i++) {
		struct arena mem;
		struct queue_letter l;
		struct blob_place place;
		if (i && a.rows[i].letter == a.rows[i - 1].letter)
			continue;
		arena_init(&mem, 1 << 16);
		MUST(view_letter(v, a.rows[i].letter, &mem, &l, &unused));
		MUST(view_place(v, &l.blob, &place, &unused));
		each(arg, strtoull(l.sealed.p, NULL, 16), &l.blob, &place);
		arena_done(&mem);
	}
}

static void describe_letter(void *arg, uint64_t name, const struct blob_id *id, const struct blob_place *place)
{
	(void)id, (void)place;
	buf_addf(arg, " %llx", (unsigned long long)name);
}

void sim_queue_describe(struct view *v, struct buf *out)
{
	bool more;
	describe_rows(v, false, out);
	describe_rows(v, true, out);
	buf_add(out, STR("letters:"));
	sim_queue_letters(v, describe_letter, out);
	buf_add(out, STR("\nnotes: "));
	MUST(view_notes(v, STR(""), STR(""), PAGE, out, &more, &unused));
	for (size_t i = 0; i < out->len; i++)
		if (out->p[i] == 0)
			out->p[i] = '.'; /* lengths of notes: the text ends with the first NUL */
	buf_byte(out, '\n');
}
