#pragma once
#include "base/str.h"

/* Memory that dies together. Three lifetimes in the whole server: session, command, scratch.
 * Hard ceiling; returns NULL past it and remembers (`full`), so callers may check once. */
struct arena {
	struct chunk *head;
	size_t used, max;
	bool full;
};
void arena_init(struct arena *a, size_t max);
void *arena_new(struct arena *a, size_t n);          /* zeroed, max_align */
struct str arena_str(struct arena *a, struct str s); /* copy with a NUL after it; empty when full */
void arena_done(struct arena *a);                    /* frees everything; reusable */
