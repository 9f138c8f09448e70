#include "store/view_inside.h"

#include "base/map.h"
#include "base/mem.h"
#include "store/route_row.h"
#include <stdlib.h>

/* Where an address leads. The directory is walked breadth first, so that what comes first lies on a shortest way; every account and group is gone
 * through once. Texts point into the index until the snapshot is let go: only what is answered is copied. */
enum { NODES_MAX = 4 * ROUTE_TARGETS_MAX, FOLDER_TAG_MAX = 64 };
enum kind { NODE_DEAD, NODE_REMOTE, NODE_ACCOUNT, NODE_GROUP };

struct node {                           /* an address on the way */
	struct str address, via, owner;
	uint64_t forwarder, id;         /* id: of the account or group */
	size_t parent, same;            /* same: the node that went through this account or group before; both + 1, 0 = none */
	struct str group_owner;         /* of this group */
	enum kind kind;
	uint8_t depth;
	bool target, reaches;           /* is one; it or something behind it is one */
	bool forward_only, fallen_back;
};

struct walk {
	struct view *v;
	struct node *nodes;
	size_t n, cap, next;            /* next: the first not gone through */
	struct arena mem;
	struct map seen;                /* "a" or "g" and the id -> node + 1; "t", account and box, or "r" and the address: a target */
	struct route_target *targets;
	size_t target_n, target_cap;
	bool truncated, restricted;
	uint8_t rights;
	uint64_t *writers; size_t writer_n; /* sorted; meaningful once `restricted` */
};

/* ---- what is seen ---- */
static struct str seen_key(struct arena *a, char what, uint64_t x, uint64_t y, struct str text)
{
	char *p = arena_new(a, 17 + text.n);
	if (!p)
		return STR("");
	struct pen pen = { p, p + 17 + text.n, false };
	pen_int(&pen, (uint8_t)what, 1);
	pen_int(&pen, x, 8);
	pen_int(&pen, y, 8);
	pen_bytes(&pen, text);
	return str_of(p, 17 + text.n);
}

/* *out_first: the node that was here before, + 1; 0: none, and `node` is it from now on. */
static enum rc see(struct walk *w, char what, uint64_t x, uint64_t y, struct str text, size_t node, size_t *out_first)
{
	struct str key = seen_key(&w->mem, what, x, y, text);
	if (!key.n)
		return RC_NOMEM;
	*out_first = (size_t)(uintptr_t)map_get(&w->seen, key);
	return *out_first ? RC_OK : map_put(&w->seen, key, (void *)(uintptr_t)(node + 1));
}

static bool is_ancestor(const struct walk *w, size_t of, size_t node)
{
	for (size_t i = of; ; i = w->nodes[i].parent - 1) {
		if (i == node)
			return true;
		if (!w->nodes[i].parent)
			return false;
	}
}

/* A node that was gone through before: what it reaches, this one does. On its own way, it is a loop. */
static void again(struct walk *w, size_t i, size_t first)
{
	w->nodes[i].same = first;
	w->truncated |= is_ancestor(w, i, first - 1);
}

/* ---- nodes and targets ---- */
static enum rc push(struct walk *w, size_t parent, struct str address, uint64_t forwarder, struct str via, struct str owner)
{
	uint8_t depth = parent ? (uint8_t)(w->nodes[parent - 1].depth + 1) : 0;
	if (depth > ROUTE_DEPTH_MAX || w->n == NODES_MAX) {
		w->truncated = true;
		return RC_OK;
	}
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 16;
		void *p = mem_grow(w->nodes, w->cap * sizeof *w->nodes, cap * sizeof *w->nodes);
		if (!p)
			return RC_NOMEM;
		w->nodes = p;
		w->cap = cap;
	}
	w->nodes[w->n++] = (struct node){ .address = address, .via = via, .owner = owner, .forwarder = forwarder, .parent = parent, .depth = depth, .group_owner = STR("") };
	return RC_OK;
}

/* The target of node i, if it is a new one. */
static enum rc add_target(struct walk *w, size_t i, const struct route_target *t)
{
	size_t first;
	if (w->target_n == ROUTE_TARGETS_MAX) {
		w->truncated = true;
		return RC_OK;
	}
	TRY(see(w, t->remote ? 'r' : 't', t->account, t->box, t->remote ? t->address : STR(""), i, &first));
	w->nodes[i].target = true;
	if (first)
		return RC_OK;
	if (w->target_n == w->target_cap) {
		size_t cap = w->target_cap ? w->target_cap * 2 : 16;
		void *p = mem_grow(w->targets, w->target_cap * sizeof *w->targets, cap * sizeof *w->targets);
		if (!p)
			return RC_NOMEM;
		w->targets = p;
		w->target_cap = cap;
	}
	struct route_target *to = &w->targets[w->target_n++];
	*to = *t;
	to->forwarder = w->nodes[i].forwarder;
	to->via = w->nodes[i].via;
	to->group_owner = w->nodes[i].owner;
	return RC_OK;
}

/* ---- rows ---- */
static enum rc exact(struct view *v, struct str address, struct address_row *out)
{
	struct str raw;
	TRY(view_get(v, TABLE_ADDRESS, key_address(address), &raw));
	return address_row_parse(raw, out);
}

enum rc view_find(struct view *v, struct str address, struct address_row *out, struct str *out_tag)
{
	char text[ADDRESS_MAX];
	struct str raw, catch_all, tag;
	enum rc rc = view_get(v, TABLE_DOMAIN, key_domain(address_domain(address)), &raw);
	*out_tag = STR("");
	if (rc != RC_OK)
		return rc == RC_NOTFOUND ? RC_DENIED : rc;
	TRY(domain_row_parse(raw, &catch_all));
	rc = exact(v, address, out);
	if (rc == RC_NOTFOUND) {
		struct str base = address_base(address, text, &tag);
		rc = tag.n || base.n != address.n ? exact(v, base, out) : RC_NOTFOUND;
		if (rc == RC_OK)
			*out_tag = tag;
	}
	return rc == RC_NOTFOUND && catch_all.n ? exact(v, catch_all, out) : rc;
}

enum rc view_account_get(struct view *v, uint64_t account, struct account_row *out)
{
	struct str raw;
	TRY(view_get(v, TABLE_ACCOUNT, key_account(account), &raw));
	TRY(account_parse(raw, out));
	return out->removing ? RC_NOTFOUND : RC_OK;
}

enum rc view_group_get(struct view *v, uint64_t group, struct group *out)
{
	struct str raw;
	TRY(view_get(v, TABLE_GROUP, key_group(group), &raw));
	TRY(group_parse(raw, out));
	out->id = group;
	return RC_OK;
}

enum rc view_rules_get(struct view *v, uint64_t account, struct arena *a, struct account_rules *out)
{
	struct str raw;
	*out = (struct account_rules){ .account = account };
	enum rc rc = view_get(v, TABLE_RULES, key_rules(account), &raw);
	return rc == RC_OK ? rules_parse(raw, a, out) : rc == RC_NOTFOUND ? RC_OK : rc;
}

struct folder { struct str name; uint64_t box; };

static enum rc folder_row(void *arg, const struct engine_row *r)
{
	struct folder *f = arg;
	struct box_row row;
	if (!r->damaged && box_parse(r->value, &row) == RC_OK && row.selectable && str_ieq(row.name, f->name)) {
		f->box = key_second(r->key);
		return RC_AGAIN;
	}
	return RC_OK;
}

/* The folder that a plus-address names; 0: none of that name. */
static enum rc tag_folder(struct view *v, uint64_t account, struct str tag, uint64_t *out_box)
{
	struct folder f = { .name = tag };
	if (tag.n && tag.n <= FOLDER_TAG_MAX)
		TRY(view_each(v, TABLE_BOX, key_box(account, 0), key_box_end(account), folder_row, &f));
	*out_box = f.box;
	return RC_OK;
}

/* ---- who may write to a group ---- */
struct ids { uint64_t *p; size_t n, cap; };
struct writers { struct view *v; struct arena mem; struct map seen; struct ids ids; struct str *todo; size_t todo_n, todo_cap; };

static enum rc add_todo(struct writers *w, struct str address)
{
	if (w->todo_n == w->todo_cap) {
		size_t cap = w->todo_cap ? w->todo_cap * 2 : 64;
		void *p = cap > NODES_MAX * 2 ? NULL : mem_grow(w->todo, w->todo_cap * sizeof *w->todo, cap * sizeof *w->todo);
		if (!p)
			return RC_NOMEM;
		w->todo = p;
		w->todo_cap = cap;
	}
	w->todo[w->todo_n++] = address;
	return RC_OK;
}

static enum rc writer_row(void *arg, const struct engine_row *r) { return r->damaged ? RC_OK : add_todo(arg, key_member_address(r->key)); }

static enum rc add_members(struct writers *w, uint64_t group)
{
	struct str key = seen_key(&w->mem, 'g', group, 0, STR(""));
	if (!key.n)
		return RC_NOMEM;
	if (map_get(&w->seen, key))
		return RC_OK;
	TRY(map_put(&w->seen, key, w));
	return view_each(w->v, TABLE_MEMBER, key_member(group, STR("")), key_member_end(group), writer_row, w);
}

static enum rc add_id(struct ids *l, uint64_t id)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		void *p = mem_grow(l->p, l->cap * sizeof *l->p, cap * sizeof *l->p);
		if (!p)
			return RC_NOMEM;
		l->p = p;
		l->cap = cap;
	}
	l->p[l->n++] = id;
	return RC_OK;
}

/* Accounts are members by their addresses; where they forward to is nobody's membership. */
static enum rc writers_walk(struct writers *w)
{
	for (size_t i = 0; i < w->todo_n && i < NODES_MAX; i++) {
		struct address_row row;
		struct str tag;
		enum rc rc = view_find(w->v, w->todo[i], &row, &tag);
		if (rc == RC_OK)
			rc = row.kind == ADDRESS_GROUP ? add_members(w, row.id) : add_id(&w->ids, row.id);
		if (rc != RC_OK && rc != RC_NOTFOUND && rc != RC_DENIED && rc != RC_DAMAGED)
			return rc;
	}
	return RC_OK;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Ascending, each once. The caller frees out->p. */
static enum rc writers_of(struct view *v, const struct group *g, struct ids *out)
{
	struct writers w = { .v = v };
	arena_init(&w.mem, 4 << 20);
	map_init(&w.seen, NODES_MAX);
	enum rc rc = g->owner.n ? add_todo(&w, g->owner) : RC_OK;
	if (rc == RC_OK && g->rights == GROUP_MEMBERS)
		rc = add_members(&w, g->id);
	if (rc == RC_OK)
		rc = writers_walk(&w);
	if (w.ids.n)
		qsort(w.ids.p, w.ids.n, sizeof *w.ids.p, by_id);
	size_t n = 0;
	for (size_t i = 0; i < w.ids.n; i++)
		if (n == 0 || w.ids.p[n - 1] != w.ids.p[i])
			w.ids.p[n++] = w.ids.p[i];
	w.ids.n = n;
	*out = w.ids;
	mem_free(w.todo);
	map_done(&w.seen);
	arena_done(&w.mem);
	return rc;
}

static bool holds(const struct ids *l, uint64_t id) { return l->n && bsearch(&id, l->p, l->n, sizeof id, by_id); }

/* *out_cut: the forwarder may not write to this group. Without a forwarder the group's rights become the route's. */
static enum rc judge(struct walk *w, const struct node *n, const struct group *g, bool *out_cut)
{
	struct ids may = { 0 };
	*out_cut = false;
	if (g->rights < GROUP_MEMBERS) {
		if (!n->forwarder && g->rights > w->rights)
			w->rights = g->rights;
		return RC_OK;
	}
	enum rc rc = writers_of(w->v, g, &may);
	if (rc != RC_OK || n->forwarder) {
		*out_cut = rc == RC_OK && !holds(&may, n->forwarder);
		mem_free(may.p);
		return rc;
	}
	size_t kept = 0;
	if (w->restricted) {
		for (size_t i = 0; i < w->writer_n; i++)
			if (holds(&may, w->writers[i]))
				w->writers[kept++] = w->writers[i];
		mem_free(may.p);
	} else {
		w->writers = may.p;
		kept = may.n;
	}
	w->writer_n = kept;
	w->restricted = true;
	if (g->rights > w->rights)
		w->rights = g->rights;
	return RC_OK;
}

/* ---- the walk ---- */
static enum rc local_target(struct walk *w, size_t i, const struct account *a, struct str tag)
{
	struct route_target t = { .account = a->id, .quota = a->quota, .used = a->used, .disabled = a->disabled, .address = a->address };
	memcpy(t.public_key, a->public_key, sizeof t.public_key);
	TRY(tag_folder(w->v, a->id, tag, &t.box));
	return add_target(w, i, &t);
}

static enum rc go_account(struct walk *w, size_t i, uint64_t id, struct str tag)
{
	struct account_row row;
	struct account_rules rules;
	size_t first;
	TRY(view_account_get(w->v, id, &row));
	w->nodes[i].kind = NODE_ACCOUNT;
	w->nodes[i].id = id;
	if (row.a.disabled)
		return i == 0 ? local_target(w, i, &row.a, tag) : RC_OK;
	TRY(view_rules_get(w->v, id, &w->mem, &rules));
	if (!rules.forward_only)
		TRY(local_target(w, i, &row.a, tag));
	TRY(see(w, 'a', id, 0, STR(""), i, &first));
	if (first) {
		again(w, i, first);
		return RC_OK;
	}
	w->nodes[i].forward_only = rules.forward_only;
	for (size_t f = 0; f < rules.forward_n; f++)
		TRY(push(w, i + 1, rules.forwards[f], id, row.a.address, w->nodes[i].owner));
	return RC_OK;
}

struct pushing { struct walk *w; size_t from; struct str via, owner; };

static enum rc member_row(void *arg, const struct engine_row *r)
{
	struct pushing *p = arg;
	if (r->damaged) {
		p->w->truncated = true;
		return RC_OK;
	}
	return push(p->w, p->from + 1, key_member_address(r->key), p->w->nodes[p->from].forwarder, p->via, p->owner);
}

static enum rc go_group(struct walk *w, size_t i, uint64_t id)
{
	struct group g;
	size_t first;
	bool cut;
	TRY(view_group_get(w->v, id, &g));
	TRY(judge(w, &w->nodes[i], &g, &cut));
	if (cut) {
		w->truncated = true;
		return RC_OK;
	}
	w->nodes[i].kind = NODE_GROUP;
	w->nodes[i].id = id;
	w->nodes[i].address = g.address;
	w->nodes[i].group_owner = g.owner;
	TRY(see(w, 'g', id, 0, STR(""), i, &first));
	if (first) {
		again(w, i, first);
		return RC_OK;
	}
	struct pushing p = { w, i, g.address, g.owner };
	return view_each(w->v, TABLE_MEMBER, key_member(id, STR("")), key_member_end(id), member_row, &p);
}

static enum rc go(struct walk *w, size_t i)
{
	struct address_row row;
	struct str tag;
	enum rc rc = view_find(w->v, w->nodes[i].address, &row, &tag);
	if (rc == RC_OK)
		return row.kind == ADDRESS_GROUP ? go_group(w, i, row.id) : go_account(w, i, row.id, tag);
	if (rc != RC_DENIED || i == 0)
		return rc;
	w->nodes[i].kind = NODE_REMOTE;
	return add_target(w, i, &(struct route_target){ .remote = true, .address = w->nodes[i].address });
}

/* What a damaged row hides is cut; only of the asked address itself is it told. */
static enum rc go_on(struct walk *w)
{
	for (; w->next < w->n; w->next++) {
		enum rc rc = go(w, w->next);
		if (w->next && (rc == RC_NOTFOUND || rc == RC_DAMAGED)) {
			w->truncated |= rc == RC_DAMAGED;
			w->nodes[w->next].kind = NODE_DEAD;
		} else if (rc != RC_OK) {
			return rc;
		}
	}
	return RC_OK;
}

static void mark_up(struct walk *w, size_t i)
{
	for (; !w->nodes[i].reaches; i = w->nodes[i].parent - 1) {
		w->nodes[i].reaches = true;
		if (!w->nodes[i].parent)
			return;
	}
}

static void find_reaching(struct walk *w)
{
	for (size_t i = 0; i < w->n; i++)
		w->nodes[i].reaches = false;
	for (size_t i = 0; i < w->n; i++)
		if (w->nodes[i].target)
			mark_up(w, i);
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < w->n; i++)
			if (!w->nodes[i].reaches && w->nodes[i].same && w->nodes[w->nodes[i].same - 1].reaches) {
				mark_up(w, i);
				more = true;
			}
	}
}

/* A message is lost nowhere: who only forwards, but to nobody, keeps it; a group that reaches nobody goes to its owner. The last ones on the way first. */
static enum rc fall_back(struct walk *w, bool *out_more)
{
	size_t n = w->n;
	*out_more = false;
	find_reaching(w);
	for (size_t i = n; i-- > 0;) {
		struct node *node = &w->nodes[i];
		bool owned = node->kind == NODE_GROUP && node->group_owner.n && !node->same;
		if (node->reaches || node->fallen_back || !(node->forward_only || owned))
			continue;
		node->fallen_back = true;
		if (node->forward_only) {
			struct account_row row;
			TRY(view_account_get(w->v, node->id, &row));
			TRY(local_target(w, i, &row.a, STR("")));
		} else {
			TRY(push(w, i + 1, node->group_owner, node->forwarder, node->address, node->group_owner));
			*out_more = true;
		}
		mark_up(w, i);
	}
	return go_on(w);
}

static enum rc walk_all(struct walk *w, struct str address)
{
	TRY(push(w, 0, address, 0, STR(""), STR("")));
	TRY(go_on(w));
	for (bool more = true; more;)
		TRY(fall_back(w, &more));
	return RC_OK;
}

static enum rc answer(const struct walk *w, struct arena *a, struct route *out)
{
	*out = (struct route){ .truncated = w->truncated, .rights = w->rights, .n = w->target_n, .may_write_n = w->writer_n };
	out->targets = arena_new(a, w->target_n * sizeof *out->targets);
	out->may_write = arena_new(a, w->writer_n * sizeof *out->may_write);
	if (!out->targets || !out->may_write)
		return RC_NOMEM;
	if (w->writer_n)
		memcpy(out->may_write, w->writers, w->writer_n * sizeof *out->may_write);
	for (size_t i = 0; i < w->target_n; i++) {
		struct route_target *t = &out->targets[i];
		*t = w->targets[i];
		t->address = arena_str(a, t->address);
		t->via = arena_str(a, t->via);
		t->group_owner = arena_str(a, t->group_owner);
	}
	return a->full ? RC_NOMEM : RC_OK;
}

enum rc view_route(struct view *v, struct str address, struct arena *a, struct route *out, struct why *why)
{
	char text[ADDRESS_MAX];
	struct str canonical;
	struct walk w = { .v = v };
	enum rc rc = address_asked(address, text, &canonical);
	if (rc != RC_OK)
		FAIL(why, rc == RC_LIMIT ? RC_LIMIT : RC_DENIED, "not an address of ours");
	TRY(view_begin(v, why));
	arena_init(&w.mem, 64 << 20);
	map_init(&w.seen, 4 * NODES_MAX);
	rc = walk_all(&w, canonical);
	if (rc == RC_OK)
		rc = answer(&w, a, out);
	(void)view_end(v, rc);
	mem_free(w.nodes);
	mem_free(w.targets);
	mem_free(w.writers);
	map_done(&w.seen);
	arena_done(&w.mem);
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_DENIED ? "the domain is not ours" : rc == RC_NOTFOUND ? "no such address" : "where the address leads cannot be read");
	return RC_OK;
}
