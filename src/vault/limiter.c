#include "vault/limiter.h"

#include "base/mem.h"

struct failure { uint64_t pair; int64_t at; bool under_way; };
struct network {
	uint8_t addr[16];
	struct network *older, *newer;
	unsigned n;
	struct failure failure[];      /* o.pairs of them, oldest first */
};

void limiter_init(struct limiter *l, const struct limiter_options *o)
{
	*l = (struct limiter){ .o = *o };
	map_init(&l->map, o->networks_max);
}

static void unlink_network(struct limiter *l, struct network *w)
{
	*(w->older ? &w->older->newer : &l->oldest) = w->newer;
	*(w->newer ? &w->newer->older : &l->newest) = w->older;
	w->older = w->newer = NULL;
}

static void link_newest(struct limiter *l, struct network *w)
{
	w->older = l->newest;
	*(l->newest ? &l->newest->newer : &l->oldest) = w;
	l->newest = w;
}

static void drop(struct limiter *l, struct network *w)
{
	unlink_network(l, w);
	(void)map_drop(&l->map, str_of(w->addr, 16));
	l->n--;
	mem_free(w);
}

void limiter_done(struct limiter *l)
{
	while (l->oldest)
		drop(l, l->oldest);
	map_done(&l->map);
}

static struct network *network_of(struct limiter *l, const uint8_t addr[16])
{
	struct network *w = map_get(&l->map, str_of(addr, 16));
	if (w) {
		unlink_network(l, w);
		link_newest(l, w);
		return w;
	}
	if (l->n >= l->o.networks_max && l->oldest)
		drop(l, l->oldest);
	w = mem_new(sizeof *w + l->o.pairs * sizeof w->failure[0]);
	if (!w)
		return NULL;
	memcpy(w->addr, addr, 16);
	if (map_put(&l->map, str_of(w->addr, 16), w) != RC_OK) {
		mem_free(w);
		return NULL;
	}
	link_newest(l, w);
	l->n++;
	return w;
}

static void remove_at(struct network *w, unsigned i)
{
	memmove(&w->failure[i], &w->failure[i + 1], (w->n - i - 1) * sizeof w->failure[0]);
	w->n--;
}

int64_t limiter_try(struct limiter *l, int64_t now, const uint8_t network[16], uint64_t pair)
{
	if (l->o.pairs == 0)
		return 0; /* switched off */
	struct network *w = network_of(l, network);
	if (!w)
		return 1000; /* no memory to count with: later */
	while (w->n && w->failure[0].at + l->o.window_ms <= now)
		remove_at(w, 0);
	for (unsigned i = 0; i < w->n; i++)
		if (w->failure[i].pair == pair) /* known: one pair counts once, from when it was first heard */
			return 0;
	if (w->n >= l->o.pairs) {
		for (unsigned i = 0; i < w->n; i++)
			if (w->failure[i].under_way)
				return LIMITER_UNDECIDED;
		return w->failure[0].at + l->o.window_ms - now;
	}
	w->failure[w->n++] = (struct failure){ pair, now, true };
	return 0;
}

void limiter_failed(struct limiter *l, const uint8_t network[16], uint64_t pair)
{
	struct network *w = map_get(&l->map, str_of(network, 16));
	for (unsigned i = 0; w && i < w->n; i++)
		if (w->failure[i].pair == pair)
			w->failure[i].under_way = false;
}

void limiter_passed(struct limiter *l, const uint8_t network[16], uint64_t pair)
{
	struct network *w = map_get(&l->map, str_of(network, 16));
	for (unsigned i = 0; w && i < w->n; i++)
		if (w->failure[i].pair == pair) {
			remove_at(w, i);
			return;
		}
}
