#pragma once
#include "role/edge_address.h"
#include "role/sealer.h"

/* What becomes of one message in `edge`: copies for people here, letters for `relay`, all in one commit. */
struct edge_house;

struct edge_rcpt {                     /* an address that was accepted */
	struct str address;
	struct route_target *places; size_t place_n;   /* where it leads; cut down while the message is judged */
	unsigned *slots;               /* per place: index of its copy in `targets`; set by edge_post_plan() */
	unsigned notify; struct str orcpt_type, orcpt;
	uint64_t account;              /* of the first place that is here; 0 = none */
	bool report;                   /* a reporting address: read, not stored */
	bool bounce;                   /* an SRS address of ours: the place is whom the bounce is for */
	const char *refused;           /* why no place is left, with its enhanced code; NULL = there are some */
};

/* A letter for all places that were reached in the same way. */
struct edge_bucket { uint64_t forwarder; struct str via, group_owner; struct letter_rcpt *rcpts; uint64_t *lanes; size_t n, cap; };

struct edge_post {
	struct role_env *e;
	struct edge_house *h;
	struct arena *a;
	struct edge_rcpt *rcpts; size_t rcpt_n;
	struct seal_target *targets; size_t target_n;
	struct edge_bucket *buckets; size_t bucket_n, bucket_cap;
	struct seal_letter *letters;   /* one for each bucket: the caller fills them in after the plan */
	uint64_t delivery;             /* 0 = a new one */
	const struct sent_note *sent;
	struct route_target *left_out; size_t left_out_n; /* places that edge_post_suppress() took away */
	/* after edge_post_commit() */
	struct store_copy_result *results;
	uint32_t defects;
};
/* Before the plan (edge_suppress.c): members of groups and ends of forwards that were refused for good before (role/suppress.h) are no places any more. Where that leaves a
 * forward or a group without any, the message goes to whose it is, when that is somebody here; a recipient for whom nobody is left is `refused`. RC_NOMEM, or the
 * reader's failure: nothing is known, and the message is for later. */
MUST_USE enum rc edge_post_suppress(struct edge_post *p);
/* After the commit, to the history and the log: `like` has the message's id, sender, size and where it came from. */
void edge_tell_left_out(const struct edge_post *p, const struct msg_EVENT *like);
MUST_USE enum rc edge_is_suppressed(struct role_env *e, const struct edge_house *h, struct str address, bool *out);
/* The owner of the way by which `lost`, no longer among the recipient's places, was reached gets the message instead, in the room that it left: who forwarded there, or
 * the group's owner. Memory of *out_home in `a`. RC_NOTFOUND, RC_DENIED: that is nobody here, or somebody who is disabled. */
MUST_USE enum rc edge_turn_home(struct role_env *e, struct arena *a, struct edge_rcpt *r, const struct route_target *lost, struct route_target *out_home);
/* Each mailbox and each remote address once, however many ways lead there. RC_NOMEM, RC_LIMIT: too many ways. */
MUST_USE enum rc edge_post_plan(struct edge_post *p);
/* RC_OK: everything is on disk but copies that failed alone. */
MUST_USE enum rc edge_post_commit(struct edge_post *p, struct str message, struct why *why);
/* A recipient's outcome: RC_OK when any of its places has it, else the first failure's. */
enum rc edge_post_outcome(const struct edge_post *p, const struct edge_rcpt *r);
