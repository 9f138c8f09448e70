#pragma once
#include "base/map.h"

/* Who has had how many of something within the hour, by name: for what may be done so many times an hour for each. Embedded in its owner. The hour begins
 * with the first that is taken after the last one's end; of more than `most` names within it (the memory's limit) the rest get nothing. */
struct hourly { struct map counts; int64_t ends; };
void hourly_init(struct hourly *h, size_t most);
void hourly_done(struct hourly *h);                /* safe on a zeroed or done one */
/* One more for `name` at `now` (ms of loop_now)? false: it has had `limit` this hour, or there is no room to count it. */
MUST_USE bool hourly_take(struct hourly *h, int64_t now, struct str name, uint64_t limit);
