#include "role/hourly.h"

#include "base/mem.h"

enum { HOUR_MS = 3600000 };

struct counted { uint64_t n; size_t len; char name[]; };

void hourly_init(struct hourly *h, size_t most)
{
	*h = (struct hourly){ 0 };
	map_init(&h->counts, most);
}

void hourly_done(struct hourly *h)
{
	size_t at = 0;
	for (struct counted *c; (c = map_next(&h->counts, &at));)
		mem_free(c);
	map_done(&h->counts);
}

static struct counted *begin(struct hourly *h, struct str name)
{
	struct counted *c = mem_new(sizeof *c + name.n);
	if (!c)
		return NULL;
	c->len = name.n;
	memcpy(c->name, name.p, name.n);
	if (map_put(&h->counts, str_of(c->name, c->len), c) != RC_OK)
		return mem_free(c), NULL;
	return c;
}

bool hourly_take(struct hourly *h, int64_t now, struct str name, uint64_t limit)
{
	if (now >= h->ends) {
		size_t most = h->counts.max;
		hourly_done(h);
		hourly_init(h, most);
		h->ends = now + HOUR_MS;
	}
	struct counted *c = map_get(&h->counts, name);
	if (!c)
		c = begin(h, name);
	if (!c || c->n >= limit)
		return false;
	c->n++;
	return true;
}
