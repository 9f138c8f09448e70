#include "base/arena.h"

#include "base/mem.h"
#include <stdalign.h>

struct chunk {
	struct chunk *next;
	size_t len, cap;
	alignas(max_align_t) char data[];
};
enum { FIRST = 992, BLOCK = MEM_BLOCK - sizeof(struct chunk) };

/* A first small chunk, then blocks; what is larger than those is alone. */
static struct chunk *chunk_new(size_t n, bool first)
{
	size_t least = first ? FIRST : BLOCK, cap = n > least ? n : least;
	struct chunk *c = cap == BLOCK ? mem_block() : mem_raw(sizeof *c + cap);
	if (c)
		*c = (struct chunk){ .cap = cap };
	return c;
}

static void chunk_free(struct chunk *c)
{
	if (c->cap == BLOCK)
		mem_block_free(c);
	else
		mem_free(c);
}

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
		c = chunk_new(n, !c);
		if (!c)
			return a->full = true, NULL;
		c->next = a->head;
		a->head = c;
	}
	void *p = c->data + c->len;
	c->len += n;
	a->used += n;
	return memset(p, 0, n);
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
		chunk_free(a->head);
		a->head = next;
	}
	arena_init(a, a->max);
}
