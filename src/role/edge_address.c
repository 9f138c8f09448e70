#include "role/edge_address.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "role/wire.h"

enum { CACHE_MAX = 50000, CACHE_MS = 10000 };

void edge_addresses_init(struct map *m) { map_init(m, CACHE_MAX); }

void edge_addresses_forget(struct map *m)
{
	size_t at = 0;
	for (struct edge_known *k; (k = map_next(m, &at));)
		mem_free(k);
	map_done(m);
	map_init(m, CACHE_MAX);
}

static enum rc remember(struct role_env *e, struct map *m, struct str address, const struct account *a, uint64_t box, const struct edge_known **out)
{
	struct edge_known *k = mem_new(sizeof *k + address.n), *old;
	if (!k)
		return RC_NOMEM;
	*k = (struct edge_known){ .until = loop_now(e->loop) + CACHE_MS, .account = a->id, .box = box, .quota = a->quota, .used = a->used,
		.disabled = a->disabled, .n = address.n };
	memcpy(k->public_key, a->public_key, sizeof k->public_key);
	memcpy(k->address, address.p, address.n);
	if ((old = map_drop(m, address)))
		mem_free(old);
	enum rc rc = map_put(m, str_of(k->address, k->n), k);
	if (rc == RC_FULL) {
		edge_addresses_forget(m);
		rc = map_put(m, str_of(k->address, k->n), k);
	}
	if (rc != RC_OK) {
		mem_free(k);
		return rc;
	}
	*out = k;
	return RC_OK;
}

enum rc edge_address_find(struct role_env *e, struct map *m, struct str address, const struct edge_known **out, struct why *why)
{
	struct edge_known *k = map_get(m, address);
	if (k && k->until > loop_now(e->loop)) {
		*out = k;
		return RC_OK;
	}
	struct msg_ADDRESS_answer a;
	struct ipc_reply reply = { 0 };
	struct arena arena;
	struct account acct;
	enum rc rc = ipc_ask_role(e->node, ROLE_READER, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = address }, &a, &reply, true, why);
	if (rc != RC_OK)
		return rc;
	arena_init(&arena, 16384);
	struct cursor c = cursor_of(a.account);
	rc = wire_get_account(&c, &arena, &acct);
	if (rc == RC_OK)
		rc = remember(e, m, address, &acct, a.box, out);
	arena_done(&arena);
	ipc_reply_done(&reply);
	return rc;
}
