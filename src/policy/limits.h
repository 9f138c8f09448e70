#pragma once
#include "base/why.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Counters shared by every process: connections at a time and events per window, per client network or account. One flat
 * table in a shared mapping made by `master`; entries are claimed and aged with C11 atomics, no locks, so that a process that is
 * killed in the middle harms nobody. What a dead process held is given back by `master` (each holder slot carries its process index).
 * Approximate on purpose under collisions: a full bucket makes a limit stricter for nobody but counts less for newcomers. */
struct limits;                                   /* the mapping itself */
size_t limits_size(void);                        /* octets to map; as they come, all zero, they are a table without an entry */
enum limit_kind { LIMIT_CONNECTIONS, LIMIT_RATE };
struct limit_key { uint8_t bytes[24]; };         /* kind of thing + 16 octets network or id */
struct limit_key limit_key_of(char thing, const uint8_t network[16]);
enum { LIMIT_HOLDER_MAX = 255 };                 /* process indices; beyond it nothing is counted */
/* One more of `key`, held by process `holder` until released. false = it would pass `max`. Of two that enter at the same moment for the last
 * place both may be refused, never both let in. */
bool limits_enter(struct limits *l, struct limit_key key, unsigned holder, uint32_t max);
void limits_leave(struct limits *l, struct limit_key key, unsigned holder);
void limits_forget(struct limits *l, unsigned holder);          /* that process died */
uint32_t limits_held(struct limits *l, struct limit_key key);   /* by all processes together, now */
/* One more event in a sliding window (two buckets); false = over `max` per `window_ms`. */
bool limits_rate(struct limits *l, struct limit_key key, int64_t now_ms, uint32_t window_ms, uint32_t max);
