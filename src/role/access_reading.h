#pragma once
#include "role/access.h"
#include "role/body_reader.h"

/* The inside of a reading: access_reading.c (rows), access_body.c (the current row's body), access_ahead.c (bodies of the next rows). */
enum { CHUNK_BYTES = 56 * 1024, AIM_BYTES = 46 * 1024, AHEAD = 3, FIRST_UIDS = 16, RANGES_AT_ONCE = 4096, SCRATCH_MAX = 32 << 20 };

/* Bodies of the rows behind the current one, read and opened by a worker while the session sends. */
struct batch_of_bodies;
struct ahead {
	bool wanted;                            /* this reading is for bodies */
	unsigned streak;                        /* so many rows in a row had their body read */
	bool asked;                             /* the current one, too */
	struct batch_of_bodies *now, *coming, *spare;
	struct cursor peek; bool peeking;       /* behind the last row that is under way */
	bool in_next;                           /* which lies in the next chunk */
	struct buf scratch;
};

/* A question for rows: of ranges[at] and those behind it, what lies in first..last. */
struct chunk { struct ipc_pending *ask; size_t at; uint32_t first, last; };

struct reading {
	struct owner *o;
	uint64_t box;
	struct uid_range *ranges; size_t n;
	size_t at; uint32_t uid;                /* not asked for yet: from uid on, which lies in ranges[at] */
	unsigned want;
	uint64_t uids;                          /* how many of them make a chunk */
	bool learnt;                            /* `uids` is more than a guess */
	struct chunk ahead[AHEAD]; unsigned asked; /* in UID order */
	struct ipc_reply reply, next;           /* the rows that are read, and those behind them when somebody looked ahead */
	struct cursor c, next_c;
	struct buf scratch, scratch2;
	struct reading_row *now;
	uint32_t uid_now;
	struct body_reader body;                /* the current row's */
	struct ahead bodies;
};

static inline struct access_house *reading_house(const struct reading *r) { return r->o->e->state; }
void body_init(struct reading *r);
void body_done(struct reading *r);

void ahead_row(struct reading *r);              /* another row is the current one */
void ahead_chunk(struct reading *r, bool is_next); /* the rows lie elsewhere now: where was looked ahead */
/* The rows behind the current chunk; RC_NOTFOUND: there are none. */
MUST_USE enum rc reading_look_ahead(struct reading *r, struct cursor *out, struct why *why);
/* The whole plain body of the current row when it was opened ahead; RC_NOTFOUND: it is read now. */
MUST_USE enum rc ahead_take(struct reading *r, struct str *out);
void ahead_go(struct reading *r);               /* has the next ones opened, when it looks as if they will be wanted */
void ahead_done(struct reading *r);
