#include "store/view_inside.h"

#include "store/route_row.h"

/* Groups, accounts' rules, ways out and addresses, as they are. */

/* ---- groups ---- */
static enum rc group_out(const struct group *g, struct arena *a, struct group *out)
{
	*out = *g;
	out->address = arena_str(a, g->address);
	out->name = arena_str(a, g->name);
	out->owner = arena_str(a, g->owner);
	return a->full ? RC_NOMEM : RC_OK;
}

static enum rc group_row(void *arg, const struct engine_row *r)
{
	struct view_list *l = arg;
	struct address_row row;
	struct group g, *slot;
	if (r->damaged || address_row_parse(r->value, &row) != RC_OK || row.kind != ADDRESS_GROUP)
		return RC_OK;
	if (l->n == l->max)
		return RC_AGAIN;
	enum rc rc = view_group_get(l->v, row.id, &g);
	if (rc == RC_NOTFOUND || rc == RC_DAMAGED)
		return RC_OK; /* verify names it */
	if (rc != RC_OK)
		return rc;
	slot = view_list_add(l, sizeof *slot);
	return slot ? group_out(&g, l->a, slot) : RC_NOMEM;
}

/* Behind that address, or from the first one. */
static enum rc from_address(struct str after, struct key *out, struct why *why)
{
	char text[ADDRESS_MAX];
	struct str canonical;
	*out = view_first();
	if (!after.n)
		return RC_OK;
	enum rc rc = address_canonical(after, text, &canonical);
	if (rc != RC_OK)
		FAIL(why, rc, "not an address");
	*out = key_address(canonical);
	out->b[out->n++] = 0;
	return RC_OK;
}

enum rc view_groups(struct view *v, struct str after_address, size_t max, struct arena *a, struct group **out, size_t *out_n, struct why *why)
{
	struct key from;
	struct view_list l = { .v = v, .a = a, .max = max };
	TRY(from_address(after_address, &from, why));
	TRY(view_begin(v, why));
	TRY(view_end(v, view_each(v, TABLE_ADDRESS, from, view_last(), group_row, &l)));
	*out = l.items;
	*out_n = l.n;
	return RC_OK;
}

static enum rc member_row(void *arg, const struct engine_row *r)
{
	struct view_list *l = arg;
	if (r->damaged)
		return RC_OK;
	struct str *slot = view_list_add(l, sizeof *slot);
	if (!slot)
		return RC_NOMEM;
	*slot = arena_str(l->a, key_member_address(r->key));
	return l->a->full ? RC_NOMEM : RC_OK;
}

static enum rc get_group(struct view *v, struct str address, struct arena *a, struct group *out, struct view_list *members)
{
	struct str raw;
	struct address_row row;
	struct group g;
	TRY(view_get(v, TABLE_ADDRESS, key_address(address), &raw));
	TRY(address_row_parse(raw, &row));
	if (row.kind != ADDRESS_GROUP)
		return RC_NOTFOUND;
	TRY(view_group_get(v, row.id, &g));
	TRY(group_out(&g, a, out));
	return view_each(v, TABLE_MEMBER, key_member(row.id, STR("")), key_member_end(row.id), member_row, members);
}

enum rc view_group(struct view *v, struct str address, struct arena *a, struct group *out, struct str **out_members, size_t *out_n, struct why *why)
{
	char text[ADDRESS_MAX];
	struct str canonical;
	struct view_list l = { .v = v, .a = a };
	enum rc rc = address_canonical(address, text, &canonical);
	if (rc != RC_OK)
		FAIL(why, rc, "not an address");
	TRY(view_begin(v, why));
	rc = view_end(v, get_group(v, canonical, a, out, &l));
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_NOTFOUND ? "no such group" : "the group cannot be read");
	*out_members = l.items;
	*out_n = l.n;
	return RC_OK;
}

/* ---- rules ---- */
static enum rc rules_out(struct view *v, uint64_t account, struct arena *a, struct account_rules *out)
{
	struct account_row row;
	TRY(view_account_get(v, account, &row));
	TRY(view_rules_get(v, account, a, out));
	for (size_t i = 0; i < out->forward_n; i++)
		out->forwards[i] = arena_str(a, out->forwards[i]);
	for (size_t i = 0; i < out->grant_n; i++)
		out->grants[i] = arena_str(a, out->grants[i]);
	return a->full ? RC_NOMEM : RC_OK;
}

enum rc view_rules(struct view *v, uint64_t account, struct arena *a, struct account_rules *out, struct why *why)
{
	TRY(view_begin(v, why));
	enum rc rc = view_end(v, rules_out(v, account, a, out));
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_NOTFOUND ? "no such account" : "the account's rules cannot be read");
	return RC_OK;
}

/* ---- ways ---- */
static enum rc way_row(void *arg, const struct engine_row *r)
{
	struct view_list *l = arg;
	struct way w;
	if (r->damaged || way_parse(r->value, &w) != RC_OK)
		return RC_OK;
	struct way *slot = view_list_add(l, sizeof *slot);
	if (!slot)
		return RC_NOMEM;
	*slot = w;
	slot->key = arena_str(l->a, str_skip(r->key, 4));
	slot->host = arena_str(l->a, w.host);
	slot->user = arena_str(l->a, w.user);
	slot->password_sealed = arena_str(l->a, w.password_sealed);
	return l->a->full ? RC_NOMEM : RC_OK;
}

enum rc view_ways(struct view *v, struct arena *a, struct way **out, size_t *out_n, struct why *why)
{
	struct view_list l = { .v = v, .a = a };
	TRY(view_begin(v, why));
	TRY(view_end(v, view_each(v, TABLE_WAY, view_first(), view_last(), way_row, &l)));
	*out = l.items;
	*out_n = l.n;
	return RC_OK;
}

/* ---- addresses ---- */
struct aliases { struct view_list l; uint64_t account; };

static enum rc alias_row(void *arg, const struct engine_row *r)
{
	struct aliases *s = arg;
	struct address_row row;
	struct account_row account;
	struct str domain, local;
	char text[ADDRESS_MAX];
	if (r->damaged || address_row_parse(r->value, &row) != RC_OK || row.kind == ADDRESS_GROUP || (s->account && row.id != s->account))
		return RC_OK;
	if (s->l.n == s->l.max)
		return RC_AGAIN;
	enum rc rc = view_account_get(s->l.v, row.id, &account);
	(void)str_cut(str_skip(r->key, 4), '\0', &domain, &local);
	if (rc == RC_NOTFOUND || rc == RC_DAMAGED || domain.n + local.n + 1 > sizeof text)
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	struct pen p = { text, text + sizeof text, false };
	pen_bytes(&p, local);
	pen_int(&p, '@', 1);
	pen_bytes(&p, domain);
	struct alias *slot = view_list_add(&s->l, sizeof *slot);
	if (!slot)
		return RC_NOMEM;
	*slot = (struct alias){ arena_str(s->l.a, str_of(text, (size_t)(p.p - text))), arena_str(s->l.a, account.a.address) };
	return s->l.a->full ? RC_NOMEM : RC_OK;
}

enum rc view_addresses(struct view *v, uint64_t account, struct str after, size_t max, struct arena *a, struct alias **out, size_t *out_n, struct why *why)
{
	struct key from;
	struct aliases s = { { .v = v, .a = a, .max = max }, account };
	TRY(from_address(after, &from, why));
	TRY(view_begin(v, why));
	TRY(view_end(v, view_each(v, TABLE_ADDRESS, from, view_last(), alias_row, &s)));
	*out = s.l.items;
	*out_n = s.l.n;
	return RC_OK;
}

/* ---- the right to send ---- */
static enum rc is_own(struct view *v, uint64_t account, struct str address, struct str base, bool *out)
{
	struct str raw;
	struct address_row row;
	enum rc rc = view_get(v, TABLE_ADDRESS, key_address(address), &raw);
	if (rc == RC_NOTFOUND)
		rc = view_get(v, TABLE_ADDRESS, key_address(base), &raw);
	if (rc == RC_OK)
		rc = address_row_parse(raw, &row);
	*out = rc == RC_OK && row.kind != ADDRESS_GROUP && row.id == account;
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static bool is_granted(const struct account_rules *r, struct str address, struct str base)
{
	for (size_t i = 0; i < r->grant_n; i++) {
		struct str g = r->grants[i];
		if (str_eq(g, address) || str_eq(g, base) || (g.n && g.p[0] == '@' && str_eq(str_skip(g, 1), address_domain(address))))
			return true;
	}
	return false;
}

static enum rc may_send(struct view *v, uint64_t account, struct str address, bool *out_yes)
{
	char text[ADDRESS_MAX];
	struct str tag, base = address_base(address, text, &tag);
	struct account_row row;
	struct account_rules rules;
	TRY(view_account_get(v, account, &row));
	if (row.a.disabled)
		return RC_OK;
	TRY(is_own(v, account, address, base, out_yes));
	if (*out_yes)
		return RC_OK;
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	TRY(view_rules_get(v, account, &a, &rules));
	*out_yes = is_granted(&rules, address, base);
	return RC_OK;
}

enum rc view_may_send(struct view *v, uint64_t account, struct str address, bool *out_yes, struct why *why)
{
	char text[ADDRESS_MAX];
	struct str canonical;
	*out_yes = false;
	if (address_canonical(address, text, &canonical) != RC_OK)
		return RC_OK; /* nobody may send as that */
	TRY(view_begin(v, why));
	enum rc rc = view_end(v, may_send(v, account, canonical, out_yes));
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_NOTFOUND ? "no such account" : "the account's rights cannot be read");
	return RC_OK;
}
