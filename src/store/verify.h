#pragma once
#include "store/index.h"
#include "store/layout.h"
#include "store/rows.h"

/* The inside of store_verify(): verify.c walks the tables, verify_body.c the bodies. */
struct seen_account { uint64_t id; struct account_row row; uint64_t used, messages; uint32_t waiting, waiting_seen /* recipients in the queue: as counted, as there are */; bool unsure; };
struct seen_box {
	uint64_t id, account;
	struct box_row row;
	struct str name;                /* in the snapshot */
	uint64_t exists, unseen, size, keywords, highestmodseq;
	uint32_t first_unseen;
	bool unsure;                    /* some row of it is damaged: its totals cannot be judged */
};
struct seen_segment { uint32_t n; struct segment_row row; uint64_t live; bool unsure; };
struct list { void *items; size_t n, cap; };

struct verify {
	struct index *index;
	MDB_txn *txn;
	int segments_dir;
	struct list accounts, boxes, segments, letters, groups, named; /* of seen_account, seen_box, seen_segment, seen_letter, seen_group, blob_id (one per record and letter) */
	bool quiet;                     /* checksum failures of this table are told already */
	uint64_t damaged_rows[TABLE_COUNT];
	void (*damage)(void *arg, const char *what);
	void *arg;
	struct verify_report *out;
	struct why *why;
};
void verify_say(struct verify *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void *verify_add(struct list *l, size_t item);
struct seen_box *verify_box(struct verify *v, uint64_t id);
struct seen_account *verify_account(struct verify *v, uint64_t id);
/* Every row of a table: checksum first (a failure is reported here), then `each`, whose false means "impossible value". */
typedef bool verify_row(struct verify *v, struct str key, struct str value);
MUST_USE enum rc verify_table(struct verify *v, enum table t, verify_row *each);
MUST_USE enum rc verify_route(struct verify *v); /* after accounts and addresses */
MUST_USE enum rc verify_queue(struct verify *v); /* after accounts, before bodies */
MUST_USE enum rc verify_bodies(struct verify *v);
