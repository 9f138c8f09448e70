#pragma once
#include "imap/session.h"

/* A growing list of UID ranges. Owned; sticky failure: write many, check once. */
struct ranges {
	struct imap_range *v;
	size_t n, cap;
	bool failed;
};
void ranges_done(struct ranges *r);
void ranges_add(struct ranges *r, uint32_t first, uint32_t last); /* anywhere; joins the last one when adjacent above it */
void ranges_tidy(struct ranges *r);                               /* ascending, disjoint, joined where adjacent */
bool ranges_have(const struct ranges *r, uint32_t uid);           /* of a tidy list */
uint64_t ranges_total(const struct ranges *r);                    /* how many numbers a tidy list holds */

/* The messages of the selected mailbox: runs of UIDs, each with the sequence number of its first. 12 octets a run, so
 * a mailbox without gaps costs nothing and every question is a binary search. Sequence numbers start at 1. */
struct seqmap {
	struct seqmap_run { uint32_t first, last, seq; } *runs;
	size_t n, cap;
	uint32_t count;
};
void seqmap_done(struct seqmap *m);
MUST_USE enum rc seqmap_set(struct seqmap *m, const struct imap_range *runs, size_t n); /* replaces all; RC_DAMAGED: not ascending */
uint32_t seqmap_uid(const struct seqmap *m, uint32_t seq);   /* 0 = no such message */
uint32_t seqmap_seq(const struct seqmap *m, uint32_t uid);   /* 0 = no such message */
uint32_t seqmap_last_uid(const struct seqmap *m);            /* 0 = empty */
/* The run that holds `uid`, or the first one after it; n when there is none. */
size_t seqmap_run_at(const struct seqmap *m, uint32_t uid);
MUST_USE enum rc seqmap_add(struct seqmap *m, uint32_t first, uint32_t last); /* above everything there */
MUST_USE enum rc seqmap_remove(struct seqmap *m, const struct ranges *tidy_gone); /* in one pass; unchanged when it fails */
