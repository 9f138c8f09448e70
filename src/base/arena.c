#include "base/arena.h"

#include "base/mem.h"
#include <stdalign.h>

struct chunk {
	struct chunk *next;
	size_t len, cap;
	alignas(max_align_t) char data[];
};

void arena_init(struct arena *a, size_t max) { *a = (struct arena){ .max = max }; }

void *arena_new(struct arena *a, size_t n)
{
	const size_t al = alignof(max_align_t);
	size_t left = a->max - a->used;
	if (n == 0)
		n = 1;
	if (a->full || n > left || (n + al - 1) / al * al > left)
		return a->full = true, NULL;
	n = (n + al - 1) / al * al;
	struct chunk *c = a->head;
	if (!c || n > c->cap - c->len) {
		size_t cap = n > 1008 ? n : 1008;
		if (c && n <= 4080)
			cap = 4080; /* a first small chunk, then pages */
		c = mem_new(sizeof *c + cap);
		if (!c)
			return a->full = true, NULL;
		c->next = a->head;
		c->cap = cap;
		a->head = c;
	}
	void *p = c->data + c->len;
	c->len += n;
	a->used += n;
	return p;
}

struct str arena_str(struct arena *a, struct str s)
{
	char *p = arena_new(a, s.n + 1);
	if (!p)
		return STR("");
	memcpy(p, s.p, s.n);
	return (struct str){ p, s.n };
}

void arena_done(struct arena *a)
{
	while (a->head) {
		struct chunk *next = a->head->next;
		mem_free(a->head);
		a->head = next;
	}
	arena_init(a, a->max);
}
