#pragma once
#include "store/batch.h"
#include "store/index.h"
#include "store/joint.h"
#include "store/layout.h"

/* The inside of the engine `local`: shared by engine_local.c (transactions), segment.c (files) and compact.c. */
enum { BLOB_SINGLE_MIN = 1 << 20, SEGMENT_BYTES_DEFAULT = 256 << 20, LEASES_MAX = 16 };
#define GRACE_MS_DEFAULT 600000

struct segment {
	uint32_t n;
	struct segment_row now, disk;   /* as the open group has it; as the last commit left it */
	bool known, dirty;              /* has a row on disk; `now` differs */
	bool broken;                    /* a sync failed or its walk met damage: nothing is added or moved any more */
};

/* Verbs that share one LMDB transaction and one set of syncs. */
struct group {
	struct waitlist wait;
	enum rc rc;
	struct why why;
	unsigned refs;                  /* waiting fibers */
	bool closed, dirty;
	unsigned waits;                 /* for company, so far */
	size_t waited_n;                /* notices when the last wait began */
	struct notice *notices;
	size_t notice_n, notice_cap;
};

struct offer { struct blob_id id; struct str bytes; uint32_t single; /* segment number of a body with a file of its own, 0 = none */ bool named; };
struct late { enum table table; struct str key, value; };
struct body_write { uint32_t segment; uint64_t offset; struct str bytes; };

struct engine {
	struct loop *loop;
	struct index *index;
	char *dir;
	uint64_t map_size, segment_bytes;
	int64_t grace_ms;
	bool patient;
	bool crowded;                   /* the last group was a crowd */
	int segments_dir;

	MDB_txn *txn;
	struct group *group;
	struct offer *offers;           /* bodies put and not yet committed */
	size_t offer_n, offer_cap;
	struct late *late;              /* rows of the open group that are put last, in the order of their keys */
	size_t late_n, late_cap;
	struct body_write *writes;      /* named bodies of the open group, in file order */
	size_t write_n, write_cap;

	struct segment *segments;       /* ascending numbers */
	size_t segment_n, segment_cap;
	uint32_t next_segment, next_segment_disk;
	uint32_t active;                /* 0 = none */
	int active_fd;
	bool dir_dirty;
	struct joint *joint;            /* bodies and pages synced side by side */
	uint32_t joined;                /* the segment whose sync is under way there, 0 = none */

	uint32_t walk_segment;          /* where compaction stands */
	uint64_t walk_offset;
	uint64_t leases[LEASES_MAX];
	struct engine_stats stats;
	void (*watch)(void *arg, uint64_t account, uint64_t box, uint64_t modseq);
	void *watch_arg;
};

/* engine_local.c */
MUST_USE enum rc engine_begin(struct engine *e, struct why *why);      /* opens the group's transaction unless it is open */
MUST_USE enum rc engine_wait(struct engine *e, struct why *why);       /* until the open group is on disk */
void engine_abort(struct engine *e, enum rc rc, const struct why *why);/* fails everybody in the open group */

/* segment.c */
MUST_USE enum rc segments_load(struct engine *e, struct why *why);
void segments_close(struct engine *e);
struct segment *segment_find(struct engine *e, uint32_t n);
MUST_USE enum rc segment_place(struct engine *e, struct str bytes, struct blob_place *out, struct why *why);
MUST_USE enum rc segment_write_single(struct engine *e, struct str bytes, uint32_t *out_segment, struct why *why);
MUST_USE enum rc segment_add_single(struct engine *e, uint32_t n, uint64_t length, struct why *why);
MUST_USE enum rc segments_sync(struct engine *e, struct why *why);     /* bodies of the open group, written and durable */
MUST_USE enum rc segments_joined(struct engine *e, struct why *why);   /* after the commit: how the sync beside it ended */
MUST_USE enum rc segments_put_rows(struct engine *e, struct why *why);
void segments_settle(struct engine *e, bool committed);
void segment_release(struct engine *e, uint32_t n, uint64_t length); /* that much of it is dead now */
void segment_drop(struct engine *e, uint32_t n);                      /* forgets a segment whose row is gone */
void segment_unlink(struct engine *e, uint32_t n);
MUST_USE enum rc segment_read(struct engine *e, const struct blob_place *p, uint64_t offset, size_t n, struct buf *out, struct why *why);
