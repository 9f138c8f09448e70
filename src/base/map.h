#pragma once
#include "base/str.h"
#include "base/why.h"

/* A small hash map: text or 64-bit number -> pointer. Open addressing, at most `max` entries, seeded (SipHash-1-3 under a random key
 * per map), so that a stranger who chooses the keys cannot make it slow. Text keys are borrowed: they must live as long as their
 * entry, so they usually lie in the value. Values are never NULL and stay the caller's. One map holds one kind of key. */
struct map {
	struct map_slot *slots;
	size_t n, cap, max;
	uint64_t seed[2];
};
void map_init(struct map *m, size_t max);          /* cannot fail; allocates nothing */
void map_done(struct map *m);                      /* safe on a zeroed or done map; values are not touched */
/* Adds, or replaces the value (and borrowed key) of an equal key. RC_FULL: `max` entries are there. RC_NOMEM. */
MUST_USE enum rc map_put(struct map *m, struct str key, void *value);
void *map_get(const struct map *m, struct str key);   /* NULL: not there */
void *map_drop(struct map *m, struct str key);        /* the value that was there, or NULL */
MUST_USE enum rc map_put_u64(struct map *m, uint64_t key, void *value);
void *map_get_u64(const struct map *m, uint64_t key);
void *map_drop_u64(struct map *m, uint64_t key);
/* Walks in no order: start with *at = 0, until NULL. The map may not be changed meanwhile. */
void *map_next(const struct map *m, size_t *at);
