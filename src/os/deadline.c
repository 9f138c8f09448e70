/* The deadlines of one loop's fibers: a binary heap by time. A fiber has at most one, and room is made when the fiber is
 * started, so setting and dropping one is a few moves of 16 octets and cannot fail. */
#include "os/runtime.h"

#include "base/mem.h"

bool deadline_room(struct loop *l, size_t n)
{
	if (n <= l->heap_cap)
		return true;
	size_t cap = l->heap_cap ? l->heap_cap * 2 : 64;
	while (cap < n)
		cap *= 2;
	struct deadline *h = mem_grow(l->heap, l->heap_cap * sizeof *h, cap * sizeof *h);
	if (!h)
		return false;
	l->heap = h;
	l->heap_cap = cap;
	return true;
}

static void place(struct loop *l, size_t i, struct deadline d)
{
	l->heap[i] = d;
	d.f->heap_at = i + 1;
}

static void sift_up(struct loop *l, size_t i, struct deadline d)
{
	while (i > 0) {
		size_t parent = (i - 1) / 2;
		if (l->heap[parent].at <= d.at)
			break;
		place(l, i, l->heap[parent]);
		i = parent;
	}
	place(l, i, d);
}

static void sift_down(struct loop *l, size_t i, struct deadline d)
{
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= l->heap_n)
			break;
		if (child + 1 < l->heap_n && l->heap[child + 1].at < l->heap[child].at)
			child++;
		if (l->heap[child].at >= d.at)
			break;
		place(l, i, l->heap[child]);
		i = child;
	}
	place(l, i, d);
}

void deadline_set(struct fiber *f, int64_t at)
{
	struct loop *l = f->loop;
	sift_up(l, l->heap_n++, (struct deadline){ at, f });
}

void deadline_drop(struct fiber *f)
{
	struct loop *l = f->loop;
	if (!f->heap_at)
		return;
	size_t i = f->heap_at - 1;
	struct deadline last = l->heap[--l->heap_n];
	f->heap_at = 0;
	if (last.f == f)
		return;
	if (i > 0 && l->heap[(i - 1) / 2].at > last.at)
		sift_up(l, i, last);
	else
		sift_down(l, i, last);
}

struct fiber *deadline_due(struct loop *l)
{
	return l->heap_n && l->heap[0].at <= l->now ? l->heap[0].f : NULL;
}

int64_t deadline_next(const struct loop *l) { return l->heap_n ? l->heap[0].at : NO_DEADLINE; }
