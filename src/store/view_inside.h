#pragma once
#include "store/index.h"
#include "store/layout.h"
#include "store/route.h"
#include "store/rows.h"

/* The inside of a view, for view*.c. */
struct view {
	struct index *index;
	MDB_txn *txn;
	MDB_cursor *cursors[TABLE_COUNT];
};
MUST_USE enum rc view_begin(struct view *v, struct why *why);
enum rc view_end(struct view *v, enum rc rc);  /* lets the snapshot go, hands `rc` on */
MUST_USE enum rc view_get(struct view *v, enum table t, struct key k, struct str *out);
/* Where an address leads by itself: its own row, the one without its tag (*out_tag), the domain's catch-all. RC_DENIED: the domain is not ours;
 * RC_NOTFOUND. *out_tag points into `address`. */
MUST_USE enum rc view_find(struct view *v, struct str address, struct address_row *out, struct str *out_tag);
MUST_USE enum rc view_cursor(struct view *v, enum table t, MDB_cursor **out);
typedef enum rc view_row(void *arg, const struct engine_row *r);
/* Rows from -> to, each given to `each`; it answers RC_OK, or RC_AGAIN to stop. Texts of a row stay until the snapshot is let go. */
MUST_USE enum rc view_each(struct view *v, enum table t, struct key from, struct key to, view_row *each, void *arg);
/* A whole table. */
static inline struct key view_first(void) { return (struct key){ 4, { 0, 0, 0, ORG } }; }
static inline struct key view_last(void) { return (struct key){ 4, { 0, 0, 0, ORG + 1 } }; }
/* An array that grows in the arena; `v` and `max` are its owner's. NULL: no memory. */
struct view_list { struct view *v; struct arena *a; void *items; size_t n, cap, max; };
void *view_list_add(struct view_list *l, size_t item);
MUST_USE enum rc view_rules_get(struct view *v, uint64_t account, struct arena *a, struct account_rules *out); /* none: all zero; texts in the index */
MUST_USE enum rc view_group_get(struct view *v, uint64_t group, struct group *out);                           /* texts in the index */
MUST_USE enum rc view_account_get(struct view *v, uint64_t account, struct account_row *out);                 /* likewise; RC_NOTFOUND: being removed, too */
