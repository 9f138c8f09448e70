#include "store/route_row.h"

#include <assert.h>

enum { FLAG_FORWARD_ONLY = 1 };

/* ---- keys ---- */
struct key key_group(uint64_t group) { return key_account(group); }
struct key key_rules(uint64_t account) { return key_account(account); }
struct key key_way(struct str key) { return key_domain(key); }
struct key key_member_end(uint64_t group) { return key_name_end(group); }

struct key key_member(uint64_t group, struct str address)
{
	struct key k = key_account(group);
	size_t n = address.n < ADDRESS_MAX ? address.n : ADDRESS_MAX;
	memcpy(k.b + k.n, address.p, n);
	k.n += n;
	return k;
}

struct str key_member_address(struct str key) { return str_skip(key, 12); }

/* ---- rows ---- */
static struct str run16(struct cursor *c, size_t max)
{
	uint16_t n = cursor_u16(c);
	if (n > max)
		c->failed = true;
	return cursor_take(c, n);
}

struct str group_format(const struct group *g, char out[GROUP_ROW_MAX])
{
	struct pen p = { out, out + GROUP_ROW_MAX, false };
	pen_int(&p, ROUTE_ROW_VERSION, 1);
	pen_int(&p, g->rights, 1);
	pen_int(&p, g->members, 4);
	pen_run(&p, g->address);
	pen_run(&p, g->name);
	pen_run(&p, g->owner);
	assert(!p.failed); /* the verbs bound every text */
	return str_of(out, (size_t)(p.p - out));
}

enum rc group_parse(struct str v, struct group *out)
{
	struct cursor c = cursor_of(v);
	uint8_t version = cursor_u8(&c);
	struct group g = { .rights = cursor_u8(&c) };
	g.members = cursor_u32(&c);
	g.address = run16(&c, ADDRESS_MAX);
	g.name = run16(&c, PERSON_NAME_MAX);
	g.owner = run16(&c, ADDRESS_MAX);
	if (!cursor_at_end(&c) || version != ROUTE_ROW_VERSION || g.rights >= GROUP_RIGHTS_COUNT || g.members > GROUP_MEMBERS_MAX)
		return RC_DAMAGED;
	*out = g;
	return RC_OK;
}

struct str way_format(const struct way *w, char out[WAY_ROW_MAX])
{
	struct pen p = { out, out + WAY_ROW_MAX, false };
	pen_int(&p, WAY_ROW_VERSION, 1);
	pen_int(&p, w->tls, 1);
	pen_int(&p, w->port, 2);
	pen_int(&p, w->max_connections, 4);
	pen_int(&p, w->rate.n, 4);
	pen_int(&p, w->rate.seconds, 4);
	pen_run(&p, w->host);
	pen_run(&p, w->user);
	pen_run(&p, w->password_sealed);
	assert(!p.failed);
	return str_of(out, (size_t)(p.p - out));
}

enum rc way_parse(struct str v, struct way *out)
{
	struct cursor c = cursor_of(v);
	uint8_t version = cursor_u8(&c);
	struct way w = { .key = STR(""), .tls = cursor_u8(&c) };
	w.port = cursor_u16(&c);
	w.max_connections = cursor_u32(&c);
	if (version > 1) {
		w.rate.n = cursor_u32(&c);
		w.rate.seconds = cursor_u32(&c);
	}
	w.host = run16(&c, HOST_NAME_MAX);
	w.user = run16(&c, ADDRESS_MAX);
	w.password_sealed = run16(&c, WAY_PASSWORD_MAX);
	if (!cursor_at_end(&c) || version < 1 || version > WAY_ROW_VERSION || w.tls >= ROUTE_TLS_COUNT || !rate_possible(&w.rate))
		return RC_DAMAGED;
	*out = w;
	return RC_OK;
}

static void put_list(struct buf *out, const struct str *list, size_t n)
{
	buf_u16(out, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		buf_u16(out, (uint16_t)list[i].n);
		buf_add(out, list[i]);
	}
}

void rules_format(const struct account_rules *r, struct buf *out)
{
	buf_u8(out, RULES_ROW_VERSION);
	buf_u8(out, r->forward_only ? FLAG_FORWARD_ONLY : 0);
	buf_u64(out, r->account);
	buf_u32(out, r->undo_ms);
	buf_u32(out, r->max_messages);
	buf_u32(out, r->max_recipients);
	buf_u32(out, r->max_first);
	buf_u32(out, r->max_waiting);
	put_list(out, r->forwards, r->forward_n);
	put_list(out, r->grants, r->grant_n);
}

static enum rc get_list(struct cursor *c, struct arena *a, size_t max, struct str **out, size_t *out_n)
{
	size_t n = cursor_u16(c);
	if (c->failed || n > max)
		return RC_DAMAGED;
	struct str *list = arena_new(a, n * sizeof *list);
	if (!list)
		return RC_NOMEM;
	for (size_t i = 0; i < n; i++)
		list[i] = run16(c, ADDRESS_MAX);
	*out = list;
	*out_n = n;
	return c->failed ? RC_DAMAGED : RC_OK;
}

enum rc rules_parse(struct str v, struct arena *a, struct account_rules *out)
{
	struct cursor c = cursor_of(v);
	uint8_t version = cursor_u8(&c), flags = cursor_u8(&c);
	struct account_rules r = { .account = cursor_u64(&c), .forward_only = flags == FLAG_FORWARD_ONLY };
	r.undo_ms = cursor_u32(&c);
	r.max_messages = cursor_u32(&c);
	r.max_recipients = cursor_u32(&c);
	r.max_first = cursor_u32(&c);
	if (version > 1)
		r.max_waiting = cursor_u32(&c);
	TRY(get_list(&c, a, FORWARDS_MAX, &r.forwards, &r.forward_n));
	TRY(get_list(&c, a, GRANTS_MAX, &r.grants, &r.grant_n));
	if (!cursor_at_end(&c) || version < 1 || version > RULES_ROW_VERSION || flags > FLAG_FORWARD_ONLY || r.undo_ms > UNDO_MS_MAX || (r.forward_only && !r.forward_n))
		return RC_DAMAGED;
	*out = r;
	return RC_OK;
}

/* ---- keys of ways ---- */
enum rc way_key_canonical(struct str key, char out[ADDRESS_MAX], struct str *out_key)
{
	if (str_eq(key, STR("*"))) {
		out[0] = '*';
		*out_key = str_of(out, 1);
		return RC_OK;
	}
	if (str_find(key, '@') < key.n && key.p[0] != '@')
		return address_canonical(key, out, out_key);
	bool marked = key.n > 1 && (key.p[0] == '.' || key.p[0] == '@');
	struct str domain;
	TRY(domain_canonical(str_skip(key, marked), out + marked, &domain));
	if (marked)
		out[0] = key.p[0];
	*out_key = str_of(out, domain.n + marked);
	return domain.p[0] == '.' || domain.p[0] == '*' ? RC_SYNTAX : RC_OK;
}
