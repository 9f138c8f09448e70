#pragma once
#include "base/arena.h"
#include "base/cursor.h"
#include "store/store.h"
#include "store/view.h"

/* What the BYTES fields of ipc/messages.def hold when they hold more than bytes: the store's structs, packed. Every wire_get_* takes a
 * whole field (except those with a cursor), answers RC_SYNTAX on anything that wire_put_* cannot have written (bad length, count, truth
 * value, trailing bytes) and RC_NOMEM when the arena is full; counts are checked against the octets that are there before
 * anything is allocated. Arrays lie in the arena. Text of accounts, folders and lists of names is copied there too, so it outlives the
 * frame; the runs of copies and epochs are large and BORROW from the input. */
enum { WIRE_ADDRESS_MAX = 320, WIRE_NAME_MAX = 1024, WIRE_KEYWORD_MAX = 255, WIRE_RUN_MAX = 64 << 20 };

void wire_put_account(struct buf *out, const struct account *a);
MUST_USE enum rc wire_get_account(struct cursor *in, struct arena *a, struct account *out);
void wire_put_accounts(struct buf *out, const struct account *list, size_t n);
MUST_USE enum rc wire_get_accounts(struct str in, struct arena *a, struct account **out, size_t *out_n);

/* Pairs (first, last): first >= 1 and first <= last. Also the run-length list of UIDs. */
void wire_put_ranges(struct buf *out, const struct uid_range *r, size_t n);
MUST_USE enum rc wire_get_ranges(struct str in, struct arena *a, struct uid_range **out, size_t *out_n);

void wire_put_copies(struct buf *out, const struct store_copy *list, size_t n);
MUST_USE enum rc wire_get_copies(struct str in, struct arena *a, struct store_copy **out, size_t *out_n); /* runs borrow */
void wire_put_results(struct buf *out, const struct store_copy_result *list, size_t n);
MUST_USE enum rc wire_get_results(struct str in, struct arena *a, struct store_copy_result **out, size_t *out_n);
void wire_put_epochs(struct buf *out, const struct store_epoch *list, size_t n);
MUST_USE enum rc wire_get_epochs(struct str in, struct arena *a, struct store_epoch **out, size_t *out_n); /* runs borrow */

void wire_put_box(struct buf *out, const struct box_info *b);
MUST_USE enum rc wire_get_box(struct cursor *in, struct arena *a, struct box_info *out);
void wire_put_boxes(struct buf *out, const struct box_info *list, size_t n);
/* The answer to BOXES: the folders, then the subscribed names that have none, with id 0, for wire_get_boxes. */
void wire_put_folders(struct buf *out, const struct box_info *list, size_t n, const struct str *names, size_t names_n);
MUST_USE enum rc wire_get_boxes(struct str in, struct arena *a, struct box_info **out, size_t *out_n);

void wire_put_changes(struct buf *out, const struct box_change *list, size_t n);
MUST_USE enum rc wire_get_changes(struct str in, struct arena *a, struct box_change **out, size_t *out_n);
void wire_put_strs(struct buf *out, const struct str *list, size_t n); /* domains, keywords: each at most WIRE_NAME_MAX */
MUST_USE enum rc wire_get_strs(struct str in, struct arena *a, struct str **out, size_t *out_n);
void wire_put_ids(struct buf *out, const uint64_t *list, size_t n);    /* epoch ids of a roll-up */
MUST_USE enum rc wire_get_ids(struct str in, struct arena *a, uint64_t **out, size_t *out_n);
