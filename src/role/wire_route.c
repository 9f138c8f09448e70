#include "role/wire_route.h"

#include "role/wire.h"
#include "role/wire_inside.h"

enum { TARGET_LEAST = 1 + 8 + 8 + PUB_LEN + 8 + 8 + 1 + 4 + 8 + 4 + 4, GROUP_LEAST = 8 + 4 + 4 + 1 + 4 + 4, WAY_LEAST = 4 + 1 + 4 + 2 + 4 + 4 + 4 + 8, HOST_MAX = 255, USER_MAX = 320 };

/* Addresses and the like, each at most `max` octets. */
static enum rc get_texts(struct cursor *in, struct arena *a, size_t max, struct str **out, size_t *out_n)
{
	struct str *list;
	TRY(get_list(in, a, 4, sizeof *list, &list, out_n));
	for (size_t i = 0; i < *out_n; i++)
		list[i] = get_text(in, max, a);
	*out = list;
	return get_done(in, a);
}

/* ---- routes ---- */

static void put_target(struct buf *out, const struct route_target *t)
{
	buf_u8(out, t->remote);
	buf_u64(out, t->account);
	buf_u64(out, t->box);
	buf_add(out, str_of(t->public_key, PUB_LEN));
	buf_u64(out, t->quota);
	buf_u64(out, t->used);
	buf_u8(out, t->disabled);
	buf_run(out, t->address);
	buf_u64(out, t->forwarder);
	buf_run(out, t->via);
	buf_run(out, t->group_owner);
}

static void get_target(struct cursor *in, struct arena *a, struct route_target *t)
{
	t->remote = get_bool(in);
	t->account = cursor_u64(in);
	t->box = cursor_u64(in);
	struct str key = cursor_take(in, PUB_LEN);
	memcpy(t->public_key, key.p, key.n);
	t->quota = cursor_u64(in);
	t->used = cursor_u64(in);
	t->disabled = get_bool(in);
	t->address = get_text(in, WIRE_ADDRESS_MAX, a);
	t->forwarder = cursor_u64(in);
	t->via = get_text(in, WIRE_ADDRESS_MAX, a);
	t->group_owner = get_text(in, WIRE_ADDRESS_MAX, a);
}

void wire_put_route(struct buf *out, const struct route *r)
{
	buf_u8(out, r->truncated);
	buf_u8(out, r->rights);
	put_count(out, r->may_write_n);
	for (size_t i = 0; i < r->may_write_n; i++)
		buf_u64(out, r->may_write[i]);
	put_count(out, r->n);
	for (size_t i = 0; i < r->n; i++)
		put_target(out, &r->targets[i]);
}

enum rc wire_get_route(struct str in, struct arena *a, struct route *out)
{
	struct cursor c = cursor_of(in);
	struct route r = { .truncated = get_bool(&c) };
	r.rights = cursor_u8(&c);
	if (r.rights >= GROUP_RIGHTS_COUNT)
		return RC_SYNTAX;
	TRY(get_list(&c, a, 8, sizeof *r.may_write, &r.may_write, &r.may_write_n));
	for (size_t i = 0; i < r.may_write_n; i++)
		r.may_write[i] = cursor_u64(&c);
	TRY(get_list(&c, a, TARGET_LEAST, sizeof *r.targets, &r.targets, &r.n));
	for (size_t i = 0; i < r.n; i++)
		get_target(&c, a, &r.targets[i]);
	TRY(end_of(&c, a));
	*out = r;
	return RC_OK;
}

/* ---- groups ---- */

void wire_put_group(struct buf *out, const struct group *g)
{
	buf_u64(out, g->id);
	buf_run(out, g->address);
	buf_run(out, g->name);
	buf_u8(out, g->rights);
	buf_run(out, g->owner);
	buf_u32(out, g->members);
}

static enum rc get_group(struct cursor *in, struct arena *a, struct group *out)
{
	struct group g = { .id = cursor_u64(in) };
	g.address = get_text(in, WIRE_ADDRESS_MAX, a);
	g.name = get_text(in, WIRE_NAME_MAX, a);
	g.rights = cursor_u8(in);
	g.owner = get_text(in, WIRE_ADDRESS_MAX, a);
	g.members = cursor_u32(in);
	if (g.rights >= GROUP_RIGHTS_COUNT)
		return RC_SYNTAX;
	*out = g;
	return get_done(in, a);
}

enum rc wire_get_group(struct str in, struct arena *a, struct group *out)
{
	struct cursor c = cursor_of(in);
	TRY(get_group(&c, a, out));
	return end_of(&c, a);
}

void wire_put_groups(struct buf *out, const struct group *list, size_t n)
{
	put_count(out, n);
	for (size_t i = 0; i < n; i++)
		wire_put_group(out, &list[i]);
}

enum rc wire_get_groups(struct str in, struct arena *a, struct group **out, size_t *out_n)
{
	struct cursor c = cursor_of(in);
	struct group *list;
	size_t n;
	TRY(get_list(&c, a, GROUP_LEAST, sizeof *list, &list, &n));
	for (size_t i = 0; i < n; i++)
		TRY(get_group(&c, a, &list[i]));
	TRY(end_of(&c, a));
	*out = list;
	*out_n = n;
	return RC_OK;
}

/* ---- rules ---- */

void wire_put_rules(struct buf *out, const struct account_rules *r)
{
	buf_u64(out, r->account);
	buf_u8(out, r->forward_only);
	buf_u32(out, r->undo_ms);
	buf_u32(out, r->max_messages);
	buf_u32(out, r->max_recipients);
	buf_u32(out, r->max_first);
	buf_u32(out, r->max_waiting);
	wire_put_strs(out, r->forwards, r->forward_n);
	wire_put_strs(out, r->grants, r->grant_n);
}

enum rc wire_get_rules(struct str in, struct arena *a, struct account_rules *out)
{
	struct cursor c = cursor_of(in);
	struct account_rules r = { .account = cursor_u64(&c) };
	r.forward_only = get_bool(&c);
	r.undo_ms = cursor_u32(&c);
	r.max_messages = cursor_u32(&c);
	r.max_recipients = cursor_u32(&c);
	r.max_first = cursor_u32(&c);
	r.max_waiting = cursor_u32(&c);
	TRY(get_texts(&c, a, WIRE_ADDRESS_MAX, &r.forwards, &r.forward_n));
	TRY(get_texts(&c, a, WIRE_ADDRESS_MAX, &r.grants, &r.grant_n));
	TRY(end_of(&c, a));
	*out = r;
	return RC_OK;
}

/* ---- ways ---- */

void wire_put_way(struct buf *out, const struct way *w)
{
	buf_run(out, w->key);
	buf_u8(out, w->tls);
	buf_run(out, w->host);
	buf_u16(out, w->port);
	buf_run(out, w->user);
	buf_run(out, w->password_sealed);
	buf_u32(out, w->max_connections);
	buf_u32(out, w->rate.n);
	buf_u32(out, w->rate.seconds);
}

static enum rc get_way(struct cursor *in, struct arena *a, struct way *out)
{
	struct way w = { .key = get_text(in, WIRE_ADDRESS_MAX, a) };
	w.tls = cursor_u8(in);
	w.host = get_text(in, HOST_MAX, a);
	w.port = cursor_u16(in);
	w.user = get_text(in, USER_MAX, a);
	w.password_sealed = get_text(in, WAY_PASSWORD_MAX, a);
	w.max_connections = cursor_u32(in);
	w.rate.n = cursor_u32(in);
	w.rate.seconds = cursor_u32(in);
	if (w.tls >= ROUTE_TLS_COUNT || !rate_possible(&w.rate))
		return RC_SYNTAX;
	*out = w;
	return get_done(in, a);
}

enum rc wire_get_way(struct str in, struct arena *a, struct way *out)
{
	struct cursor c = cursor_of(in);
	TRY(get_way(&c, a, out));
	return end_of(&c, a);
}

void wire_put_ways(struct buf *out, const struct way *list, size_t n)
{
	put_count(out, n);
	for (size_t i = 0; i < n; i++)
		wire_put_way(out, &list[i]);
}

enum rc wire_get_ways(struct str in, struct arena *a, struct way **out, size_t *out_n)
{
	struct cursor c = cursor_of(in);
	struct way *list;
	size_t n;
	TRY(get_list(&c, a, WAY_LEAST, sizeof *list, &list, &n));
	for (size_t i = 0; i < n; i++)
		TRY(get_way(&c, a, &list[i]));
	TRY(end_of(&c, a));
	*out = list;
	*out_n = n;
	return RC_OK;
}

/* ---- addresses of accounts ---- */

void wire_put_aliases(struct buf *out, const struct alias *list, size_t n)
{
	put_count(out, n);
	for (size_t i = 0; i < n; i++) {
		buf_run(out, list[i].address);
		buf_run(out, list[i].account);
	}
}

enum rc wire_get_aliases(struct str in, struct arena *a, struct alias **out, size_t *out_n)
{
	struct cursor c = cursor_of(in);
	struct alias *list;
	size_t n;
	TRY(get_list(&c, a, 4 + 4, sizeof *list, &list, &n));
	for (size_t i = 0; i < n; i++) {
		list[i].address = get_text(&c, WIRE_ADDRESS_MAX, a);
		list[i].account = get_text(&c, WIRE_ADDRESS_MAX, a);
	}
	TRY(end_of(&c, a));
	*out = list;
	*out_n = n;
	return RC_OK;
}
