#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A disk that remembers. The system calls that write, sync, create or unlink are defined in this executable, so that the store's and
 * liblmdb's calls both land here; they do what they always do, and below the watched directory every one is recorded with its data.
 * disk_crash() then makes the directory that a power cut after any prefix of the record might have left. */
void disk_watch(const char *root);   /* from now on; descriptors opened before are unknown */
void disk_baseline(void);            /* all that is there now is durable; the record begins again */
size_t disk_events(void);            /* how long the record is */
void disk_stop(void);
struct disk_totals { uint64_t writes, syncs, created, unlinked; }; /* over all records so far */
extern struct disk_totals disk_totals;

/* Which syncs are taken for nothing ("segment", "index", "meta", "dir"): the proof that each one matters. */
void disk_ignore_syncs(const char *what);

struct rng { uint64_t s; };
uint64_t rng_next(struct rng *r);
static inline uint64_t rng_below(struct rng *r, uint64_t n) { return n ? rng_next(r) % n : 0; }

/* The disk after the first `cut` events, in `to` (made). What was not synced by then is kept, lost, or kept in part (sectors of
 * 512 octets, each for itself), and names that were not synced are there or not. */
bool disk_crash(size_t cut, struct rng *r, const char *to);
