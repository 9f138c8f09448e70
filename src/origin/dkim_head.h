#pragma once
#include "base/arena.h"
#include "base/map.h"
#include "base/str.h"

/* A message's header by name, for signatures that pick fields from the bottom. A line that is neither a field nor a continuation is
 * skipped: what stands after it still counts, so that nothing can hide behind it. */
enum { HEAD_MAX_FIELDS = 10000, HEAD_MAX_NAME = 255 };
struct head_field {
	struct str raw, name, value;      /* as in mail/header.h */
	struct head_field *above;         /* the next one of that name towards the top */
};
struct head_name {
	struct str lower;
	struct head_field *last, *cursor; /* the lowest; the next to be picked */
	unsigned round;
	size_t count;
};
struct head {
	struct head_field *field;
	size_t n;
	bool too_many;
	unsigned round;
	struct map names;
};
/* Borrows `header`; memory from `a`. RC_NOMEM. head_done() in any case. */
MUST_USE enum rc head_read(struct head *h, struct str header, struct arena *a);
void head_done(struct head *h);
/* The group of a name in any case, or NULL. */
struct head_name *head_name(const struct head *h, struct str name);
/* RFC 6376 5.4.2: each pick of a name goes one up from the bottom. NULL: none is left. */
void head_pick_begin(struct head *h);
const struct head_field *head_pick(struct head *h, struct str name);
