#include "role/edge_address.h"

#include "base/mem.h"
#include "role/wire_route.h"

enum { CACHE_MAX = 50000, CACHE_TARGETS_MAX = 200000, CACHE_MS = 10000, ROUTE_ROOM = 32 << 20 };

void edge_addresses_init(struct edge_addresses *k)
{
	map_init(&k->m, CACHE_MAX);
	k->targets = 0;
}

void edge_addresses_forget(struct edge_addresses *k)
{
	size_t at = 0;
	for (struct edge_known *x; (x = map_next(&k->m, &at));)
		mem_free(x);
	map_done(&k->m);
	edge_addresses_init(k);
}

/* ---- a route in one block of memory ---- */

static size_t text_of(const struct route *r)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n; i++)
		n += r->targets[i].address.n + r->targets[i].via.n + r->targets[i].group_owner.n;
	return n;
}

static struct str keep(char **at, struct str s)
{
	struct str kept = str_of(*at, s.n);
	memcpy(*at, s.p, s.n);
	*at += s.n;
	return kept;
}

static struct edge_known *known_new(struct str address, const struct route *r, int64_t until)
{
	size_t targets = r->n * sizeof *r->targets, writers = r->may_write_n * sizeof *r->may_write;
	struct edge_known *x = mem_new(sizeof *x + targets + writers + text_of(r) + address.n);
	if (!x)
		return NULL;
	struct route_target *t = (struct route_target *)(x + 1);
	uint64_t *w = (uint64_t *)(void *)((char *)t + targets);
	char *at = (char *)w + writers;
	*x = (struct edge_known){ .until = until, .route = *r, .n = address.n };
	x->route.targets = t;
	x->route.may_write = w;
	if (writers)
		memcpy(w, r->may_write, writers);
	for (size_t i = 0; i < r->n; i++) {
		t[i] = r->targets[i];
		t[i].address = keep(&at, t[i].address);
		t[i].via = keep(&at, t[i].via);
		t[i].group_owner = keep(&at, t[i].group_owner);
	}
	x->address = at;
	memcpy(at, address.p, address.n);
	return x;
}

static enum rc remember(struct role_env *e, struct edge_addresses *k, struct str address, const struct route *r, const struct edge_known **out)
{
	struct edge_known *x, *old;
	if (k->targets + r->n > CACHE_TARGETS_MAX)
		edge_addresses_forget(k);
	if (!(x = known_new(address, r, loop_now(e->loop) + CACHE_MS)))
		return RC_NOMEM;
	if ((old = map_drop(&k->m, address))) {
		k->targets -= old->route.n;
		mem_free(old);
	}
	enum rc rc = map_put(&k->m, str_of(x->address, x->n), x);
	if (rc == RC_FULL) {
		edge_addresses_forget(k);
		rc = map_put(&k->m, str_of(x->address, x->n), x);
	}
	if (rc != RC_OK) {
		mem_free(x);
		return rc;
	}
	k->targets += r->n;
	*out = x;
	return RC_OK;
}

enum rc edge_address_find(struct role_env *e, struct edge_addresses *k, struct str address, const struct edge_known **out, struct why *why)
{
	struct edge_known *x = map_get(&k->m, address);
	struct msg_ROUTE_answer a;
	struct ipc_reply reply = { 0 };
	struct arena arena;
	struct route route;
	if (x && x->until > loop_now(e->loop)) {
		*out = x;
		return RC_OK;
	}
	if (address.n > 320)
		return RC_NOTFOUND;
	TRY(ipc_ask_role(e->node, ROLE_READER, MSG_ROUTE, &(struct msg_ROUTE){ .address = address }, &a, &reply, true, why));
	arena_init(&arena, ROUTE_ROOM);
	enum rc rc = wire_get_route(a.route, &arena, &route);
	if (rc == RC_OK)
		rc = remember(e, k, address, &route, out);
	arena_done(&arena);
	ipc_reply_done(&reply);
	return rc;
}
