#include "store/route_row.h"
#include "store/verify.h"

#include <stdlib.h>

/* Groups, rules and ways: every group is what its address says and has as many members as it counts, every member a group, all rules an account. */
struct seen_group { uint64_t id; uint32_t members, counted; };

static unsigned long long ull(uint64_t v) { return v; }

static int by_id(const void *a, const void *b)
{
	const struct seen_group *x = a, *y = b;
	return x->id < y->id ? -1 : x->id > y->id;
}

static struct seen_group *find_group(struct verify *v, uint64_t id)
{
	struct seen_group want = { .id = id };
	return v->groups.n ? bsearch(&want, v->groups.items, v->groups.n, sizeof want, by_id) : NULL;
}

static bool is_address(struct str s)
{
	char text[ADDRESS_MAX];
	struct str canonical;
	return address_canonical(s, text, &canonical) == RC_OK && str_eq(s, canonical);
}

static bool group_row(struct verify *v, struct str key, struct str value)
{
	struct group g;
	struct str raw;
	struct address_row row;
	uint64_t id = key_first_of(key);
	if (key.n != 12 || group_parse(value, &g) != RC_OK || !is_address(g.address) || (g.owner.n && !is_address(g.owner)))
		return false;
	struct seen_group *s = verify_add(&v->groups, sizeof *s); /* in the order of their ids */
	if (s)
		*s = (struct seen_group){ .id = id, .members = g.members };
	struct key k = key_address(g.address);
	enum rc rc = index_get(v->index, v->txn, TABLE_ADDRESS, key_str(&k), &raw);
	if (rc == RC_OK)
		rc = address_row_parse(raw, &row);
	if (!v->damaged_rows[TABLE_ADDRESS] && (rc == RC_NOTFOUND || (rc == RC_OK && (row.kind != ADDRESS_GROUP || row.id != id))))
		verify_say(v, "group %016llx cannot be found by its address", ull(id));
	return true;
}

static bool member_row(struct verify *v, struct str key, struct str value)
{
	if (value.n != 1 || value.p[0] != ROUTE_ROW_VERSION || !is_address(key_member_address(key)))
		return false;
	struct seen_group *g = find_group(v, key_first_of(key));
	if (g)
		g->counted++;
	else if (!v->damaged_rows[TABLE_GROUP])
		verify_say(v, "a member of group %016llx, which is not there", ull(key_first_of(key)));
	return true;
}

static bool rules_row(struct verify *v, struct str key, struct str value)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct account_rules r;
	if (key.n != 12 || rules_parse(value, &a, &r) != RC_OK || r.account != key_first_of(key))
		return false;
	if (!verify_account(v, r.account) && !v->damaged_rows[TABLE_ACCOUNT])
		verify_say(v, "rules of account %016llx, which is not there", ull(r.account));
	return true;
}

static bool way_row(struct verify *v, struct str key, struct str value)
{
	char text[ADDRESS_MAX];
	struct str canonical;
	struct way w;
	(void)v;
	return way_parse(value, &w) == RC_OK && way_key_canonical(str_skip(key, 4), text, &canonical) == RC_OK && str_eq(canonical, str_skip(key, 4));
}

enum rc verify_route(struct verify *v)
{
	TRY(verify_table(v, TABLE_GROUP, group_row));
	TRY(verify_table(v, TABLE_MEMBER, member_row));
	TRY(verify_table(v, TABLE_RULES, rules_row));
	TRY(verify_table(v, TABLE_WAY, way_row));
	const struct seen_group *g = v->groups.items;
	for (size_t i = 0; i < v->groups.n && !v->damaged_rows[TABLE_MEMBER]; i++)
		if (g[i].members != g[i].counted)
			verify_say(v, "group %016llx: it says %u members, there are %u", ull(g[i].id), g[i].members, g[i].counted);
	return RC_OK;
}
