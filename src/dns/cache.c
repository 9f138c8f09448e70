#include "dns/dns.h"

#include "base/map.h"
#include "base/mem.h"
#include "dns/rdata.h"

enum { FAILURE_MS = 5000, DENIAL_S = 3600, RECORD_S = 86400, OVERHEAD = 96, KEY_MAX = 258 };

/* `key` is the type's two octets and the name in lower case; the packed answer lies behind it. */
struct entry {
	struct entry *newer, *older;
	uint64_t until_ms;
	size_t key_n, packed_n;
	char octets[];
};
struct dns_cache {
	struct dns behind;
	uint64_t (*now_ms)(void);
	size_t used, max;
	uint64_t hits, misses;
	struct map map;
	struct entry *newest, *oldest;
};

static size_t cost(const struct entry *e) { return OVERHEAD + sizeof *e + e->key_n + e->packed_n; }

static void unlink_entry(struct dns_cache *c, struct entry *e)
{
	*(e->newer ? &e->newer->older : &c->newest) = e->older;
	*(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct dns_cache *c, struct entry *e)
{
	e->newer = NULL;
	e->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = e;
	c->newest = e;
}

static void drop(struct dns_cache *c, struct entry *e)
{
	map_drop(&c->map, str_of(e->octets, e->key_n));
	unlink_entry(c, e);
	c->used -= cost(e);
	mem_free(e);
}

/* How long an answer may be kept, in ms. 0 = not at all. */
static uint64_t keep_ms(const struct dns_answer *a)
{
	switch (a->status) {
	case DNS_OK: return 1000ull * (a->ttl < RECORD_S ? a->ttl : RECORD_S);
	case DNS_NODATA: case DNS_NXDOMAIN: return 1000ull * (a->ttl < DENIAL_S ? a->ttl : DENIAL_S);
	/* RFC 2308 7: failures at most five minutes; a few seconds spare a dead server the same question from every session. */
	case DNS_TEMPFAIL: case DNS_BOGUS: return a->ours ? 0 : FAILURE_MS;
	case DNS_BADNAME: break;
	}
	return 0;
}

static void put(struct dns_cache *c, struct str key, const struct dns_answer *answer)
{
	uint64_t keep = keep_ms(answer);
	AUTO(buf_done) struct buf b;
	buf_init(&b, c->max / 4);
	dns_pack(answer, &b);
	if (!keep || b.failed)
		return;
	struct entry *old = map_get(&c->map, key), *e = mem_raw(sizeof *e + key.n + b.len);
	if (old)
		drop(c, old);
	if (!e)
		return;
	*e = (struct entry){ .until_ms = c->now_ms() + keep, .key_n = key.n, .packed_n = b.len };
	memcpy(e->octets, key.p, key.n);
	memcpy(e->octets + key.n, b.p, b.len);
	while (c->oldest && c->used + cost(e) > c->max)
		drop(c, c->oldest);
	if (c->used + cost(e) > c->max || map_put(&c->map, str_of(e->octets, e->key_n), e) != RC_OK) {
		mem_free(e);
		return;
	}
	link_newest(c, e);
	c->used += cost(e);
}

/* An answer that is kept, copied into `a`: the entry may go before the asker has read it. */
static bool answer_from(struct dns_cache *c, struct entry *e, struct arena *a, struct dns_answer *out)
{
	uint64_t now = c->now_ms();
	if (now >= e->until_ms)
		return drop(c, e), false;
	struct str copy = arena_str(a, str_of(e->octets + e->key_n, e->packed_n));
	if (a->full || dns_unpack(copy, a, out, NULL) != RC_OK) {
		*out = (struct dns_answer){ .status = DNS_TEMPFAIL, .canonical = STR(""), .why = "no memory for the answer" };
		return true;
	}
	uint64_t left = (e->until_ms - now + 999) / 1000;
	out->ttl = left < out->ttl ? (uint32_t)left : out->ttl;
	out->cached = true;
	unlink_entry(c, e);
	link_newest(c, e);
	return true;
}

static void ask(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	struct dns_cache *c = house;
	char key[KEY_MAX];
	size_t n;
	if (!dns_fold(name, key + 2, &n)) {
		dns_ask(&c->behind, type, name, a, out);
		return;
	}
	key[0] = (char)(type >> 8);
	key[1] = (char)type;
	struct entry *e = map_get(&c->map, str_of(key, n + 2));
	if (e && answer_from(c, e, a, out)) {
		c->hits++;
		return;
	}
	c->misses++;
	dns_ask(&c->behind, type, str_of(key + 2, n), a, out); /* the fiber may wait here: nothing of the cache is held */
	if (!a->full)                                            /* a session's own want of memory is not an answer */
		put(c, str_of(key, n + 2), out);
}

enum rc dns_cache_new(const struct dns *behind, size_t max_octets, uint64_t (*now_ms)(void), struct dns_cache **out)
{
	struct dns_cache *c = mem_new(sizeof *c);
	if (!c)
		return RC_NOMEM;
	*c = (struct dns_cache){ .behind = *behind, .now_ms = now_ms, .max = max_octets };
	map_init(&c->map, max_octets / (OVERHEAD + sizeof(struct entry)) + 1);
	*out = c;
	return RC_OK;
}

void dns_cache_free(struct dns_cache **c)
{
	if (!*c)
		return;
	while ((*c)->oldest)
		drop(*c, (*c)->oldest);
	map_done(&(*c)->map);
	mem_free(*c);
	*c = NULL;
}

struct dns dns_cache_dns(struct dns_cache *c) { return (struct dns){ .house = c, .ask = ask }; }

void dns_cache_stats(const struct dns_cache *c, uint64_t *out_hits, uint64_t *out_misses)
{
	*out_hits = c->hits;
	*out_misses = c->misses;
}
