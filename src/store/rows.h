#pragma once
#include "base/cursor.h"
#include "store/view.h"

/* A packed row as view_rows() writes it and `access` reads it. Fixed little head for speed; bounds-checked. */
struct row {
	uint32_t uid, flags;
	uint64_t keywords, modseq, size;
	struct str record, grams;          /* sealed; "" when not wanted */
	struct blob_place place;           /* length 0 when not wanted */
	bool damaged;                      /* its stored bytes fail their checksum: uid is right, the rest is zero or empty */
};
MUST_USE enum rc row_next(struct cursor *c, unsigned want, struct row *out); /* RC_NOTFOUND at the end, RC_SYNTAX when broken */
/* Segments, read by `access` and `relay`: name of segment n below segments/, and reading from it. */
MUST_USE enum rc segment_open(int segments_dir, uint32_t segment, int *out_fd, struct why *why);
bool segments_lie(int segments_dir); /* is there any segment's file at all? */
/* At least `n` octets from `off` into `out` (cleared first), and up to `most` as far as they are in memory. Suspends when one of the `n` is not.
 * RC_DAMAGED: the file ends before. */
MUST_USE enum rc segment_fetch(int fd, uint64_t off, size_t n, size_t most, struct buf *out, struct why *why);
MUST_USE enum rc segment_pull(int fd, uint64_t off, size_t n, struct buf *out); /* the same on a worker, which may wait for the disk */
/* Offline care, on a store that nobody serves (or a backup). Each damaged thing is reported once. */
struct verify_report { uint64_t accounts, boxes, messages, blobs, segments, bytes, letters, queued, damaged; };
MUST_USE enum rc store_verify(const char *dir, void (*damage)(void *arg, const char *what), void *arg, struct verify_report *out, struct why *why);
/* Copies index and segments of a pinned, running store to `to` (a new directory). */
MUST_USE enum rc store_backup(const char *dir, const char *to, struct why *why);
