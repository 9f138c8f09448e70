#include "role/edge_post.h"

#include "base/map.h"
#include "role/edge_session.h"
#include "role/report_rules.h"

enum { BUCKETS_MAX = 256, PLACES_MAX = 1 << 20 };

static bool same(const struct edge_bucket *b, const struct route_target *t)
{
	return b->forwarder == t->forwarder && str_eq(b->via, t->via) && str_eq(b->group_owner, t->group_owner);
}

static struct edge_bucket *bucket_of(struct edge_post *p, const struct route_target *t)
{
	for (size_t i = 0; i < p->bucket_n; i++)
		if (same(&p->buckets[i], t))
			return &p->buckets[i];
	if (p->bucket_n == p->bucket_cap)
		return NULL;
	struct edge_bucket *b = &p->buckets[p->bucket_n++];
	*b = (struct edge_bucket){ .forwarder = t->forwarder, .via = t->via, .group_owner = t->group_owner };
	return b;
}

static enum rc grow(struct edge_post *p, struct edge_bucket *b)
{
	size_t cap = b->cap ? b->cap * 2 : 4;
	struct letter_rcpt *r = arena_new(p->a, cap * sizeof *r);
	uint64_t *lanes = arena_new(p->a, cap * sizeof *lanes);
	if (!r || !lanes)
		return RC_NOMEM;
	if (b->n) {
		memcpy(r, b->rcpts, b->n * sizeof *r);
		memcpy(lanes, b->lanes, b->n * sizeof *lanes);
	}
	b->rcpts = r;
	b->lanes = lanes;
	b->cap = cap;
	return RC_OK;
}

static enum rc add_remote(struct edge_post *p, const struct edge_rcpt *from, const struct route_target *t)
{
	struct edge_bucket *b = bucket_of(p, t);
	if (!b)
		return RC_LIMIT;
	if (b->n == b->cap)
		TRY(grow(p, b));
	bool direct = t->via.n == 0;
	/* RFC 3461 5.2.7: what becomes of a message behind an alias is not what its sender asked about by NOTIFY, except for failures. */
	b->rcpts[b->n] = (struct letter_rcpt){ .address = t->address, .orcpt_type = direct ? from->orcpt_type : STR(""), .orcpt = direct ? from->orcpt : STR(""),
		.notify = direct ? (uint8_t)from->notify : 0, .reply = STR(""), .host = STR(""), .tls = STR("") };
	b->lanes[b->n++] = letter_lane(p->h->hash_key, report_domain_of(t->address));
	return RC_OK;
}

static uint64_t box_key(const struct route_target *t) { return t->account ^ t->box * 0x9e3779b97f4a7c15u; }

static enum rc add_local(struct edge_post *p, struct map *boxes, const struct route_target *t, unsigned *out_slot)
{
	const struct seal_target *known = map_get_u64(boxes, box_key(t));
	if (known && known->account == t->account && known->box == t->box) {
		*out_slot = (unsigned)(known - p->targets);
		return RC_OK;
	}
	struct seal_target *n = &p->targets[p->target_n];
	*n = (struct seal_target){ .account = t->account, .box = t->box };
	memcpy(n->public_key, t->public_key, PUB_LEN);
	*out_slot = (unsigned)p->target_n++;
	return known ? RC_OK : map_put_u64(boxes, box_key(t), n);
}

static enum rc plan_here(struct edge_post *p, struct map *boxes, struct edge_rcpt *r)
{
	r->slots = arena_new(p->a, (r->place_n + 1) * sizeof *r->slots);
	if (!r->slots)
		return RC_NOMEM;
	for (size_t i = 0; i < r->place_n; i++)
		if (!r->places[i].remote)
			TRY(add_local(p, boxes, &r->places[i], &r->slots[i]));
	return RC_OK;
}

static enum rc plan_elsewhere(struct edge_post *p, struct map *remotes, struct edge_rcpt *r, bool direct)
{
	for (size_t i = 0; i < r->place_n; i++) {
		const struct route_target *t = &r->places[i];
		if (!t->remote || (t->via.n == 0) != direct || map_get(remotes, t->address))
			continue;
		TRY(map_put(remotes, t->address, r));
		TRY(add_remote(p, r, t));
	}
	return RC_OK;
}

static size_t places_away(const struct edge_rcpt *r)
{
	size_t n = 0;
	for (size_t i = 0; i < r->place_n; i++)
		n += r->places[i].remote;
	return n;
}

enum rc edge_post_plan(struct edge_post *p)
{
	struct map boxes, remotes;
	size_t places = 0, away = 0;
	for (size_t i = 0; i < p->rcpt_n; i++) {
		places += p->rcpts[i].place_n;
		away += places_away(&p->rcpts[i]);
	}
	if (places > PLACES_MAX)
		return RC_LIMIT;
	p->targets = arena_new(p->a, (places + 1) * sizeof *p->targets);
	p->results = arena_new(p->a, (places + 1) * sizeof *p->results);
	p->bucket_cap = away < BUCKETS_MAX ? away : BUCKETS_MAX;
	p->buckets = arena_new(p->a, p->bucket_cap * sizeof *p->buckets);
	map_init(&boxes, places + 1);
	map_init(&remotes, places + 1);
	enum rc rc = p->targets && p->results && p->buckets ? RC_OK : RC_NOMEM;
	for (size_t i = 0; i < p->rcpt_n && rc == RC_OK; i++)
		rc = plan_here(p, &boxes, &p->rcpts[i]);
	/* Who is named himself gets it from its sender, whatever group he is a member of: that is whose NOTIFY and whose notices it is about. */
	for (size_t i = 0; i < 2 * p->rcpt_n && rc == RC_OK; i++)
		rc = plan_elsewhere(p, &remotes, &p->rcpts[i % p->rcpt_n], i < p->rcpt_n);
	map_done(&boxes);
	map_done(&remotes);
	p->letters = arena_new(p->a, (p->bucket_n + 1) * sizeof *p->letters);
	if (rc == RC_OK && !p->letters)
		rc = RC_NOMEM;
	for (size_t i = 0; i < p->bucket_n && rc == RC_OK; i++)
		p->letters[i] = (struct seal_letter){ .rcpts = p->buckets[i].rcpts, .lanes = p->buckets[i].lanes, .n = p->buckets[i].n };
	return rc;
}

enum rc edge_post_commit(struct edge_post *p, struct str message, struct why *why)
{
	struct seal_out out = { .delivery = p->delivery, .queue_public = p->h->queue_public, .letters = p->letters, .letter_n = p->bucket_n, .sent = p->sent };
	if (!p->target_n && !p->bucket_n)
		return RC_OK;
	return sealer_deliver_out(p->h->sealer, message, wall_ms(), p->targets, p->target_n, &out, p->results, &p->defects, why);
}

enum rc edge_post_outcome(const struct edge_post *p, const struct edge_rcpt *r)
{
	enum rc first = RC_OK;
	for (size_t i = 0; i < r->place_n; i++) {
		enum rc rc = r->places[i].remote ? RC_OK : p->results[r->slots[i]].rc;
		if (rc == RC_OK)
			return RC_OK;
		if (first == RC_OK)
			first = rc;
	}
	return first == RC_OK ? RC_NOTFOUND : first;
}
