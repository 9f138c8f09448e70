#include "base/map.h"

#include "base/mem.h"
#include <sys/random.h>
#include <time.h>

/* Linear probing, at most 3/4 full; a hole left by a drop is closed by moving later entries back, so there are no tombstones. */
struct map_slot {
	const char *p;   /* NULL: the key is the number in `n` */
	uint64_t n;
	void *value;     /* NULL: empty */
};

static uint64_t rotl(uint64_t v, int k) { return v << k | v >> (64 - k); }

static void sip_round(uint64_t v[4])
{
	v[0] += v[1], v[1] = rotl(v[1], 13) ^ v[0], v[0] = rotl(v[0], 32);
	v[2] += v[3], v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3], v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1], v[1] = rotl(v[1], 17) ^ v[2], v[2] = rotl(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t w)
{
	v[3] ^= w;
	sip_round(v);
	v[0] ^= w;
}

static uint64_t hash(const struct map *m, const char *p, uint64_t n)
{
	uint64_t v[4] = { m->seed[0] ^ 0x736f6d6570736575u, m->seed[1] ^ 0x646f72616e646f6du, m->seed[0] ^ 0x6c7967656e657261u,
		          m->seed[1] ^ 0x7465646279746573u };
	uint64_t last = n << 56;
	if (!p) {
		sip_word(v, n);
	} else {
		uint64_t w;
		for (; n >= 8; n -= 8, p += 8) {
			memcpy(&w, p, 8);
			sip_word(v, w);
		}
		for (uint64_t i = 0; i < n; i++)
			last |= (uint64_t)(unsigned char)p[i] << (8 * i);
	}
	sip_word(v, last);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static bool same(const struct map_slot *s, const char *p, uint64_t n)
{
	return s->n == n && !s->p == !p && (!p || n == 0 || memcmp(s->p, p, n) == 0);
}

/* Where the key is, or the empty slot where it would go. There is always an empty one. */
static struct map_slot *find(const struct map *m, const char *p, uint64_t n)
{
	size_t i = hash(m, p, n) & (m->cap - 1);
	while (m->slots[i].value && !same(&m->slots[i], p, n))
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static bool grow(struct map *m)
{
	size_t cap = m->cap ? m->cap * 2 : 16;
	if (cap > SIZE_MAX / 2 / sizeof(struct map_slot))
		return false;
	struct map_slot *slots = mem_new(cap * sizeof *slots);
	if (!slots)
		return false;
	if (!m->cap && getrandom(m->seed, sizeof m->seed, GRND_NONBLOCK) != sizeof m->seed) {
		struct timespec now; /* before the kernel has entropy: better than a constant */
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		m->seed[0] = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u;
		m->seed[1] = (uint64_t)(uintptr_t)slots;
	}
	struct map old = *m;
	m->slots = slots;
	m->cap = cap;
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].value)
			*find(m, old.slots[i].p, old.slots[i].n) = old.slots[i];
	mem_free(old.slots);
	return true;
}

static enum rc put(struct map *m, const char *p, uint64_t n, void *value)
{
	struct map_slot *s = m->cap ? find(m, p, n) : NULL;
	if (s && s->value) {
		*s = (struct map_slot){ p, n, value };
		return RC_OK;
	}
	if (m->n >= m->max)
		return RC_FULL;
	if (m->n + 1 > m->cap / 4 * 3) {
		if (!grow(m))
			return RC_NOMEM;
		s = find(m, p, n);
	}
	*s = (struct map_slot){ p, n, value };
	m->n++;
	return RC_OK;
}

static void *drop(struct map *m, const char *p, uint64_t n)
{
	if (!m->cap)
		return NULL;
	struct map_slot *s = find(m, p, n);
	void *value = s->value;
	if (!value)
		return NULL;
	size_t mask = m->cap - 1, hole = (size_t)(s - m->slots);
	for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
		size_t home = hash(m, m->slots[i].p, m->slots[i].n) & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) { /* its home is not between the hole and itself */
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_slot){ 0 };
	m->n--;
	return value;
}

void map_init(struct map *m, size_t max) { *m = (struct map){ .max = max }; }

void map_done(struct map *m)
{
	mem_free(m->slots);
	*m = (struct map){ .max = m->max };
}

enum rc map_put(struct map *m, struct str key, void *value) { return put(m, key.p, key.n, value); }
void *map_get(const struct map *m, struct str key) { return m->cap ? find(m, key.p, key.n)->value : NULL; }
void *map_drop(struct map *m, struct str key) { return drop(m, key.p, key.n); }
enum rc map_put_u64(struct map *m, uint64_t key, void *value) { return put(m, NULL, key, value); }
void *map_get_u64(const struct map *m, uint64_t key) { return m->cap ? find(m, NULL, key)->value : NULL; }
void *map_drop_u64(struct map *m, uint64_t key) { return drop(m, NULL, key); }

void *map_next(const struct map *m, size_t *at)
{
	while (*at < m->cap) {
		void *value = m->slots[(*at)++].value;
		if (value)
			return value;
	}
	return NULL;
}
