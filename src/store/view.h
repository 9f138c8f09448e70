#pragma once
#include "base/arena.h"
#include "store/store.h"

/* Reading the index: what a `reader` process answers. Maps the environment read-only; each call is one short snapshot
 * (reset/renew), never held past it. Also used by offline tools. Rows go out packed (store/rows.h), so that a reader copies
 * each value once. */
struct view;
MUST_USE enum rc view_open(const char *dir, uint64_t map_size, struct view **out, struct why *why);
void view_close(struct view **v);

/* An address of ours -> account, or RC_NOTFOUND (nobody's, or a group's: view_route()). Order: exact address, plus-address (local part up to the first '+', tag in *out_tag),
 * alias, the domain's catch-all. RC_DENIED: the domain is not ours (no relay). `a` holds what comes back. */
MUST_USE enum rc view_address(struct view *v, struct str address, struct arena *a, struct account *out, struct str *out_tag, struct why *why);
MUST_USE enum rc view_account(struct view *v, uint64_t id, struct arena *a, struct account *out, struct why *why);
/* catch_alls: one for each domain, "" = none. */
MUST_USE enum rc view_domains(struct view *v, struct arena *a, struct str **out, struct str **out_catch_alls, size_t *out_n, struct why *why);
MUST_USE enum rc view_accounts(struct view *v, struct str after_address, size_t max, struct arena *a, struct account **out, size_t *out_n, struct why *why);

struct box_info {
	uint64_t id;
	struct str name;
	uint32_t special_use; bool subscribed, selectable; /* not selectable: a removed folder whose children remain */
	uint32_t uidvalidity, uidnext, exists, unseen, first_unseen_uid;
	uint32_t recent_from;           /* the first UID that no IMAP session was given as \Recent; uidnext = there is none */
	uint64_t highestmodseq, size;
	struct str keywords[64];
};
MUST_USE enum rc view_boxes(struct view *v, uint64_t account, struct arena *a, struct box_info **out, size_t *out_n, struct why *why); /* no first_unseen, no recent_from */
/* view_boxes and, in the same snapshot, the subscribed names that have no folder (in no order). */
MUST_USE enum rc view_folders(struct view *v, uint64_t account, struct arena *a, struct box_info **out, size_t *out_n, struct str **out_names,
                              size_t *out_names_n, struct why *why);
MUST_USE enum rc view_box(struct view *v, uint64_t account, uint64_t box, struct arena *a, struct box_info *out, struct why *why);
MUST_USE enum rc view_box_named(struct view *v, uint64_t account, struct str name, struct arena *a, struct box_info *out, struct why *why);
/* The UIDs present, as runs. */
MUST_USE enum rc view_runs(struct view *v, uint64_t account, uint64_t box, struct arena *a, struct uid_range **out, size_t *out_n, struct why *why);

/* Rows of these ranges in UID order, appended packed to `out` until it holds `max_bytes` (at least one row). *out_next: first UID not
 * yet looked at, 0 = all done. */
enum { ROW_STATE = 1, ROW_RECORD = 2, ROW_GRAMS = 4, ROW_PLACE = 8 /* where the body lies */, ROW_HEAD = 16 /* of the record only its head */ };
MUST_USE enum rc view_rows(struct view *v, uint64_t account, uint64_t box, const struct uid_range *r, size_t n, unsigned want,
                           size_t max_bytes, struct buf *out, uint32_t *out_next, struct why *why);
struct box_change { uint64_t modseq; uint32_t uid; bool expunged; uint32_t flags; uint64_t keywords; };
MUST_USE enum rc view_changes(struct view *v, uint64_t account, uint64_t box, uint64_t since, size_t max, struct arena *a,
                              struct box_change **out, size_t *out_n, uint64_t *out_modseq, bool *out_more, struct why *why);
struct blob_place { uint32_t segment; uint64_t offset; uint64_t length; };
/* Is its end an offset of a file? What tells a place is not always to be trusted. */
static inline bool blob_place_fits(const struct blob_place *p) { return p->offset <= INT64_MAX && p->length <= INT64_MAX - p->offset; }
MUST_USE enum rc view_place(struct view *v, const struct blob_id *id, struct blob_place *out, struct why *why);
/* Epoch rows of an owner from `from` on, packed as (u64 id, u8 kind: 0 sealed epoch / 1 roll-up, run sealed)*; *out_next 0 = all. */
MUST_USE enum rc view_epochs(struct view *v, uint64_t owner, uint64_t from, size_t max_bytes, struct buf *out, uint64_t *out_next, struct why *why);
