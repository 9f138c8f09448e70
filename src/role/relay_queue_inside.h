#pragma once
#include "base/map.h"
#include "role/relay_queue.h"

/* Shared by relay_queue.c (lanes, turns, times) and relay_queue_rows.c (where a row is). */

struct row {
	uint64_t letter;
	int64_t due;
	uint32_t lane, at, chain;
	uint32_t n : 17, priority : 4, state : 3, again : 1;
};

struct heap { uint32_t *v; uint32_t n, cap; };
enum place { NOWHERE, ASLEEP, AWAKE };

struct lane {
	uint64_t id;
	struct heap waiting, ready;
	uint32_t rows, jobs, down_jobs, limit, self, at;
	unsigned failures;
	enum place place;
	bool paused, slow;             /* slow: has been crowded: grows by one a round, not by one a success */
	int64_t until, wake, idle_since;
	uint64_t turn;
	struct rate rate;
	int64_t slot;                  /* of its rate */
};

struct rq {
	struct rq_limits limits;
	struct row *rows;
	uint32_t row_n, row_cap, row_free;   /* row_free: a list through `chain` */
	uint32_t *bucket;                    /* linear hashing: grows by one bucket a row, never all at once */
	uint32_t bucket_n, bucket_cap, index_n;
	struct lane **lanes;
	uint32_t lane_n, lane_cap, holes;
	uint32_t *hole;                      /* numbers of lanes that are free again */
	struct map by_id;
	struct heap awake, asleep;
	uint64_t turn;
	uint32_t jobs, states[RQ_STATES], again;
	uint64_t random;
};

enum { RQ_NONE = 0xffffffff };
uint32_t rq_row_find(const struct rq *q, uint64_t letter, uint32_t n); /* RQ_NONE */
MUST_USE bool rq_index_grow(struct rq *q);                              /* a place for one row more */
MUST_USE enum rc rq_row_new(struct rq *q, uint32_t *out);               /* RC_FULL, RC_NOMEM */
void rq_row_link(struct rq *q, uint32_t r);                             /* from now on it is found */
void rq_row_free(struct rq *q, uint32_t r);                             /* it is not any more, and its number is free */
