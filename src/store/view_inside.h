#pragma once
#include "store/index.h"
#include "store/layout.h"
#include "store/rows.h"

/* The inside of a view, for view.c and view_rows.c. */
struct view {
	struct index *index;
	MDB_txn *txn;
	MDB_cursor *cursors[TABLE_COUNT];
};
MUST_USE enum rc view_begin(struct view *v, struct why *why);
enum rc view_end(struct view *v, enum rc rc);  /* lets the snapshot go, hands `rc` on */
MUST_USE enum rc view_get(struct view *v, enum table t, struct key k, struct str *out);
MUST_USE enum rc view_cursor(struct view *v, enum table t, MDB_cursor **out);
typedef enum rc view_row(void *arg, const struct engine_row *r);
MUST_USE enum rc view_each(struct view *v, enum table t, struct key from, struct key to, view_row *each, void *arg);
