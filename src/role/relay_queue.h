#pragma once
#include "base/rate.h"
#include "base/why.h"
#include <stdbool.h>
#include <stdint.h>

/* Which row of the queue goes next, and when. No I/O, no clock of its own, no address: a row is (letter, n), a lane is the keyed hash of where it goes. Everything takes
 * O(log n) time; a row costs 32 octets, its places in the index and in its lane's heaps 12 more.
 *
 * Times are milliseconds of a clock that never jumps (the caller's): what is written to disk in wall time is translated on the way in and out.
 *
 * A row is in one of four states: waiting for its time, ready, held, or under way in a job. A lane has a number of jobs at a time that it may have, which grows with each
 * success and shrinks with each failure; a lane whose hosts do not answer is left alone for a while that doubles, and its rows stay ready untouched. Only rows that
 * have been ready for `stale_ms` in such a lane are given out, marked `down`, so that their senders hear of the delay and that they expire.
 * A lane may have a rate: so many rows are given out in a time, and it sleeps until its next slot while the others go on.
 * Lanes take turns; a row of higher priority gets its lane an earlier turn, but a lane with low ones only is never passed by more than a bounded number of times. */
struct rq;
struct rq_limits {
	unsigned total;                /* jobs at a time, all lanes */
	unsigned lane_first, lane_most;/* jobs at a time of one lane: at the beginning, and ever */
	int64_t down_first_ms, down_most_ms; /* how long a lane is left alone after its first failure, and at most */
	int64_t stale_ms;
};
enum { RQ_ROWS_MAX = 16 << 20 /* rows, all lanes */, RQ_JOB_ROWS = 1000, RQ_N_MAX = 1 << 17 };

MUST_USE enum rc rq_new(const struct rq_limits *l, struct rq **out);
void rq_free(struct rq **q);
void rq_set_limits(struct rq *q, const struct rq_limits *l);

struct rq_row {
	uint64_t letter; uint32_t n;
	uint64_t lane;
	int64_t due;
	uint8_t priority;              /* 0 ... 9, higher goes first */
	bool held;
	bool again;                    /* it was tried before */
};
/* RC_EXISTS: it is there already, nothing changes. RC_FULL, RC_LIMIT (n), RC_NOMEM. */
MUST_USE enum rc rq_add(struct rq *q, const struct rq_row *r, int64_t now);

/* Rows of one letter in one lane: one transaction. They are under way until each got rq_back() or rq_drop(). */
struct rq_job {
	uint64_t lane, letter;
	uint32_t n[RQ_JOB_ROWS]; unsigned rows;
	bool down;                     /* no connection is to be tried: the lane does not answer */
	bool paid;                     /* its rows are counted in the lane's rate */
};
/* RC_AGAIN: nothing to do now. A job given takes one of its lane's places until rq_leave(). */
MUST_USE enum rc rq_next(struct rq *q, int64_t now, unsigned max_rows, struct rq_job *out);
/* The next job of a lane whose place one has already (a connection goes on). RC_AGAIN: none, or it is another lane's turn. */
MUST_USE enum rc rq_more(struct rq *q, int64_t now, uint64_t lane, unsigned max_rows, struct rq_job *out);
void rq_leave(struct rq *q, int64_t now, uint64_t lane, bool down);
/* When rq_next() may have something again by itself; INT64_MAX: never without news. */
int64_t rq_wake_at(const struct rq *q);

enum rq_news {
	RQ_WELL,                       /* something was delivered, or refused in an orderly way */
	RQ_CROWDED,                    /* the peer wants fewer connections, or broke one */
	RQ_DOWN,                       /* no host of it could be used */
};
void rq_tell(struct rq *q, int64_t now, uint64_t lane, enum rq_news news);

/* Of a row under way. */
void rq_back(struct rq *q, int64_t now, uint64_t letter, uint32_t n, int64_t due, bool held);
void rq_drop(struct rq *q, int64_t now, uint64_t letter, uint32_t n);
/* Of a row that is not: RC_NOTFOUND, RC_BUSY (under way). */
MUST_USE enum rc rq_take(struct rq *q, int64_t now, uint64_t letter, uint32_t n);       /* now it is: by hand, outside of any job */
/* Somebody wants it tried now: its lane is asked again, too. Under way: nothing to do. */
MUST_USE enum rc rq_retry(struct rq *q, int64_t now, uint64_t letter, uint32_t n);
void rq_pause(struct rq *q, int64_t now, uint64_t lane, bool paused);                     /* RC_NOMEM passes unseen: tell again */
bool rq_paused(const struct rq *q, uint64_t lane);

/* A lane's rate, in rows; n == 0: none. Whoever opens its rows finds out, so the first jobs are given out before it is known. */
void rq_rate(struct rq *q, int64_t now, uint64_t lane, const struct rate *r);
/* Of a job's `n` rows so many may leave now: all, if they are counted. The others are to be given back, and are ready for their slots. */
unsigned rq_pay(struct rq *q, int64_t now, const struct rq_job *j, unsigned n);
void rq_unpay(struct rq *q, int64_t now, uint64_t lane, unsigned n); /* so many did not leave: nothing was tried */
bool rq_rated(const struct rq *q, uint32_t *at, uint64_t *out_lane); /* the lanes that have one, from *at = 0 on, also while things change */

enum rq_state { RQ_WAITING, RQ_READY, RQ_HELD, RQ_UNDER_WAY, RQ_STATES };
struct rq_fact { enum rq_state state; uint64_t lane; int64_t due /* not before */; uint8_t priority; bool again; };
bool rq_find(const struct rq *q, uint64_t letter, uint32_t n, struct rq_fact *out);
struct rq_lane_fact { uint32_t rows, jobs, limit; unsigned failures; int64_t down_until; bool paused; };
bool rq_lane(const struct rq *q, uint64_t lane, struct rq_lane_fact *out);
struct rq_counts { uint32_t rows[RQ_STATES], again, lanes, jobs; }; /* again: of the rows waiting or ready, those that were tried before */
void rq_counts(const struct rq *q, struct rq_counts *out);
/* Forgets lanes without rows that have been so for a while; once a minute or so. */
void rq_sweep(struct rq *q, int64_t now);
