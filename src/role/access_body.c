#include "role/access_reading.h"

#include "base/log.h"

/* The current row's body: opened ahead, or read now. */

void body_init(struct reading *r)
{
	body_reader_init(&r->body, r->o->e->node, &reading_house(r)->files);
	buf_init(&r->bodies.scratch, SCRATCH_MAX);
}

void body_done(struct reading *r)
{
	ahead_done(r);
	body_reader_done(&r->body);
}

enum rc reading_body(struct reading *r, uint64_t offset, uint64_t max, struct str *out, struct why *why)
{
	struct str whole;
	*out = STR("");
	enum rc rc = r->body.open ? RC_NOTFOUND : ahead_take(r, &whole);
	if (rc == RC_OK)
		*out = str_head(str_skip(whole, offset < whole.n ? (size_t)offset : whole.n), max);
	ahead_go(r);
	if (rc == RC_NOTFOUND)
		rc = body_reader_read(&r->body, offset, max, out, why);
	if (rc == RC_DAMAGED)
		log_event(LEVEL_ERROR, EV_STORE_DAMAGE, F("what", "body"), F("acct", (int64_t)r->o->account), F("segment", (int64_t)r->body.place.segment));
	return rc;
}

void reading_for_bodies(struct reading *r) { r->bodies.wanted = true; }
