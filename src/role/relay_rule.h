#pragma once
#include "store/queue.h"

/* What follows from an attempt, and when: back-off, expiry, the notice of a delay, who is told, who is not written to again. Pure; wall time in ms. */

struct relay_times { int64_t first, most, expire, notice; }; /* notice 0: never */

/* The wait after attempt number `attempts` (1 = the first): doubles from `first` to `most`, a fifth more or less by `seed`, which is the same for rows that are to stay together. */
int64_t relay_wait(const struct relay_times *t, uint32_t attempts, uint64_t seed);
/* How many attempts the schedule makes within that time, the first at once. */
uint32_t relay_attempts_in(const struct relay_times *t, int64_t ms);

/* From when on its times count: it was let go `expire` before its end, where it was held for its sender (HOLDFOR, undo); else it came then. */
int64_t relay_begin(const struct relay_times *t, const struct queue_row *r);
/* Is its time over? A clock that jumped a year proves nothing: its time must have passed AND it must have been tried a third as often as the schedule has it; and where
 * the clock was set back behind its beginning, twice as often is enough without the time. */
bool relay_expired(const struct relay_times *t, const struct queue_row *r, int64_t now);
/* Is it time to tell its sender of the delay? By the same two measures, once (QUEUE_ROW_DELAY_TOLD). */
bool relay_is_late(const struct relay_times *t, const struct queue_row *r, int64_t now);
/* When it is tried again, after `attempts` (this one included): by the schedule, but not past the moments at which something has to be said. */
int64_t relay_due(const struct relay_times *t, const struct queue_row *r, int64_t now, uint64_t seed);
/* When a row read from the store is really due: no jump of the clock puts it off further than the schedule or its own wish could. */
int64_t relay_due_loaded(const struct relay_times *t, const struct queue_row *r, int64_t now);

/* ---- one recipient's outcome ---- */
enum relay_what { RELAY_LATER /* also what nobody has said anything about */, RELAY_SENT, RELAY_FAILED };
struct relay_outcome {
	enum relay_what what;
	bool remote;                   /* the words are the receiver's */
	int code;                      /* of its reply; 0 = none */
	char status[12];               /* "5.1.1"; always there */
	char text[512];                /* with the code where there is one */
};
/* From a reply of the receiver's. `enhanced` may be "". */
void relay_reply(struct relay_outcome *o, int code, const char *enhanced, const char *text);
/* From something that happened on our side. */
void relay_own(struct relay_outcome *o, enum relay_what what, const char *status, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* RFC 3461 4.1: which report is due; `notify` 0 = nothing was said (failures and delays are told). */
enum relay_report { RELAY_REPORT_NONE, RELAY_REPORT_FAILED, RELAY_REPORT_DELAYED, RELAY_REPORT_RELAYED };
enum relay_report relay_report_due(enum relay_what what, unsigned notify, bool late, bool peer_has_dsn, bool has_owner);
/* Would it be foolish to write there again? "No such mailbox" in the receiver's own words (RFC 3463 X.1.x about the recipient), for good. */
bool relay_suppresses(const struct relay_outcome *o);
