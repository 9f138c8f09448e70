#include "store/address.h"

#include "base/mem.h"
#include "store/route_row.h"

/* An address that goes takes with it what names it: else whoever gets it next would inherit another's mail and rights. */
struct sweep {
	struct tx *t;
	const struct gone *gone;
	struct map addresses;           /* those that go */
	struct map kept;                /* of their plus-addresses those that somebody has in his own right */
	struct map left;                /* group -> struct leaving */
	struct str domain;              /* that goes; "" = none */
	enum rc rc;
};
struct leaving { uint32_t n; };
enum { GONE_MAX = 1 << 20 };

/* ---- which ---- */
static bool named(const struct sweep *w, struct str address)
{
	char text[ADDRESS_MAX];
	struct str tag;
	if (map_get(&w->addresses, address))
		return true;
	struct str base = address_base(address, text, &tag);
	return base.n != address.n && map_get(&w->addresses, base) && !map_get(&w->kept, address);
}

/* The same for what may be sent as: "@domain" too. */
static bool named_sender(const struct sweep *w, struct str sender)
{
	return named(w, sender) || (w->domain.n && str_eq(address_domain(sender), w->domain));
}

/* "domain NUL local" behind the organisation, as the address it is. */
static struct str address_of(struct str key, struct arena *a)
{
	struct str domain, local;
	(void)str_cut(str_skip(key, 4), '\0', &domain, &local);
	char *p = arena_new(a, local.n + 1 + domain.n);
	if (!p)
		return STR("");
	memcpy(p, local.p, local.n);
	p[local.n] = '@';
	memcpy(p + local.n + 1, domain.p, domain.n);
	return str_of(p, local.n + 1 + domain.n);
}

static bool keep_row(void *arg, const struct engine_row *r)
{
	struct sweep *w = arg;
	struct str address = address_of(r->key, &w->t->batch.mem);
	if (!map_get(&w->addresses, address))
		w->rc = map_put(&w->kept, address, w);
	return w->rc == RC_OK;
}

/* Addresses "local+...@domain" that are there themselves, for an address that goes. */
static enum rc keep(struct sweep *w, struct str address)
{
	struct key from = key_address(address), to = from;
	from.b[from.n++] = '+';
	to.b[to.n++] = '+' + 1;
	TRY(engine_scan(w->t->s->engine, TABLE_ADDRESS, key_str(&from), key_str(&to), SIZE_MAX, keep_row, w, NULL));
	return w->rc;
}

/* ---- the tables ---- */
static bool member_row(void *arg, const struct engine_row *r)
{
	struct sweep *w = arg;
	uint64_t group = key_first_of(r->key);
	if (!named(w, key_member_address(r->key)))
		return true;
	struct leaving *l = map_get_u64(&w->left, group);
	if (!l) {
		l = arena_new(&w->t->batch.mem, sizeof *l);
		w->rc = l ? map_put_u64(&w->left, group, l) : RC_NOMEM;
		if (w->rc != RC_OK)
			return false;
	}
	l->n++;
	batch_delete(&w->t->batch, TABLE_MEMBER, r->key);
	return true;
}

static bool group_row(void *arg, const struct engine_row *r)
{
	struct sweep *w = arg;
	struct group g;
	char row[GROUP_ROW_MAX];
	uint64_t id = key_first_of(r->key);
	if (r->damaged || id == w->gone->group || group_parse(r->value, &g) != RC_OK)
		return true;
	const struct leaving *l = map_get_u64(&w->left, id);
	bool owner = g.owner.n && named(w, g.owner);
	if (!l && !owner)
		return true;
	if (owner)
		g.owner = STR("");
	if (l)
		g.members -= l->n < g.members ? l->n : g.members;
	batch_expect(&w->t->batch, TABLE_GROUP, r->key, r->value);
	batch_put(&w->t->batch, TABLE_GROUP, r->key, group_format(&g, row));
	return true;
}

static size_t drop(const struct sweep *w, struct str *list, size_t n, bool (*gone)(const struct sweep *, struct str))
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++)
		if (!gone(w, list[i]))
			list[kept++] = list[i];
	return kept;
}

static bool rules_row(void *arg, const struct engine_row *r)
{
	struct sweep *w = arg;
	struct account_rules rules;
	if (w->gone->account && key_first_of(r->key) == w->gone->account)
		return batch_delete(&w->t->batch, TABLE_RULES, r->key), true;
	enum rc rc = r->damaged ? RC_DAMAGED : rules_parse(r->value, &w->t->batch.mem, &rules);
	if (rc == RC_NOMEM)
		return w->rc = rc, false;
	if (rc != RC_OK)
		return true;
	size_t forwards = drop(w, rules.forwards, rules.forward_n, named), grants = drop(w, rules.grants, rules.grant_n, named_sender);
	if (forwards == rules.forward_n && grants == rules.grant_n)
		return true;
	rules.forward_n = forwards;
	rules.grant_n = grants;
	rules.forward_only &= forwards > 0;
	AUTO(buf_done) struct buf row = { .max = RULES_ROW_MAX };
	rules_format(&rules, &row);
	batch_expect(&w->t->batch, TABLE_RULES, r->key, r->value);
	batch_put(&w->t->batch, TABLE_RULES, r->key, buf_str(&row));
	if (row.failed)
		w->rc = RC_NOMEM;
	return w->rc == RC_OK;
}

static bool domain_row(void *arg, const struct engine_row *r)
{
	struct sweep *w = arg;
	struct str catch_all;
	char row[DOMAIN_ROW_MAX];
	if (r->damaged || domain_row_parse(r->value, &catch_all) != RC_OK || !catch_all.n || !named(w, catch_all))
		return true;
	batch_expect(&w->t->batch, TABLE_DOMAIN, r->key, r->value);
	batch_put(&w->t->batch, TABLE_DOMAIN, r->key, domain_row_format(STR(""), row));
	return true;
}

static bool way_row(void *arg, const struct engine_row *r)
{
	struct sweep *w = arg;
	struct str key = str_skip(r->key, 4);
	if (str_find(key, '@') < key.n && named_sender(w, key))
		batch_delete(&w->t->batch, TABLE_WAY, r->key);
	return true;
}

static enum rc walk(struct sweep *w)
{
	static const struct { enum table table; bool (*each)(void *, const struct engine_row *); } tables[] = {
		{ TABLE_MEMBER, member_row }, { TABLE_GROUP, group_row } /* after its members */, { TABLE_RULES, rules_row }, { TABLE_DOMAIN, domain_row },
		{ TABLE_WAY, way_row },
	};
	struct key from = { 4, { 0, 0, 0, ORG } }, to = { 4, { 0, 0, 0, ORG + 1 } };
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		if (w->domain.n && tables[i].table == TABLE_DOMAIN)
			continue; /* its own row is going; nobody's catch-all is an address in it */
		TRY(engine_scan(w->t->s->engine, tables[i].table, key_str(&from), key_str(&to), SIZE_MAX, tables[i].each, w, NULL));
		TRY(w->rc);
	}
	return RC_OK;
}

static void sweep_begin(struct sweep *w, struct tx *t, const struct gone *g)
{
	*w = (struct sweep){ .t = t, .gone = g, .domain = STR("") };
	map_init(&w->addresses, GONE_MAX);
	map_init(&w->kept, GONE_MAX);
	map_init(&w->left, GONE_MAX);
}

static enum rc sweep_end(struct sweep *w, enum rc rc)
{
	map_done(&w->addresses);
	map_done(&w->kept);
	map_done(&w->left);
	return rc;
}

/* ---- what the verbs call ---- */
void gone_add(struct gone *g, struct str key)
{
	struct gone_list *l = mem_new(sizeof *l + key.n);
	if (!l) {
		g->failed = true;
		return;
	}
	l->n = key.n;
	memcpy(l->key, key.p, key.n);
	l->next = g->list;
	g->list = l;
}

static enum rc sweep_list(struct sweep *w, const struct gone *g)
{
	if (g->failed)
		return RC_NOMEM;
	for (const struct gone_list *l = g->list; l; l = l->next)
		TRY(map_put(&w->addresses, address_of(str_of(l->key, l->n), &w->t->batch.mem), w));
	for (const struct gone_list *l = g->list; l; l = l->next)
		TRY(keep(w, address_of(str_of(l->key, l->n), &w->t->batch.mem)));
	return walk(w);
}

enum rc gone_sweep(struct tx *t, struct gone *g)
{
	struct sweep w;
	sweep_begin(&w, t, g);
	enum rc rc = sweep_end(&w, sweep_list(&w, g));
	while (g->list) {
		struct gone_list *next = g->list->next;
		mem_free(g->list);
		g->list = next;
	}
	return rc;
}

enum rc gone_address(struct tx *t, struct str address)
{
	struct gone g = { 0 };
	struct key k = key_address(address);
	gone_add(&g, key_str(&k));
	return gone_sweep(t, &g);
}

enum rc gone_domain(struct tx *t, struct str domain)
{
	static const struct gone none;
	struct sweep w;
	sweep_begin(&w, t, &none);
	w.domain = domain;
	return sweep_end(&w, walk(&w));
}
