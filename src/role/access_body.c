#include "role/access_reading.h"

#include "base/log.h"
#include <unistd.h>

/* The current row's body, from its segment, one chunk at a time. */

void body_init(struct reading *r)
{
	buf_init(&r->body.first, READ_FIRST + BLOB_HEAD_MAX + (64u << 20));
	buf_init(&r->body.more, 2 * BLOB_CHUNK);
	buf_init(&r->body.plain, 2 * BLOB_CHUNK);
	buf_init(&r->bodies.scratch, SCRATCH_MAX);
}

void body_done(struct reading *r)
{
	ahead_done(r);
	buf_done(&r->body.first);
	buf_done(&r->body.more);
	buf_wipe(&r->body.plain);
}

enum rc reading_segment(struct access_house *h, uint32_t segment, int *out, struct why *why)
{
	size_t oldest = 0;
	for (size_t i = 0; i < sizeof h->files / sizeof *h->files; i++) {
		if (h->files[i].fd > 0 && h->files[i].segment == segment) {
			h->files[i].used = ++h->file_clock;
			*out = h->files[i].fd;
			return RC_OK;
		}
		if (h->files[i].used < h->files[oldest].used)
			oldest = i;
	}
	int fd;
	TRY(segment_open(h->segments_dir, segment, &fd, why));
	if (h->files[oldest].fd > 0)
		(void)close(h->files[oldest].fd);
	h->files[oldest].segment = segment;
	h->files[oldest].fd = fd;
	h->files[oldest].used = ++h->file_clock;
	*out = fd;
	return RC_OK;
}

static enum rc find_place(struct reading *r, struct why *why)
{
	struct msg_PLACE_answer a;
	TRY(ipc_ask_role(r->o->e->node, ROLE_READER, MSG_PLACE, &(struct msg_PLACE){ .blob = str_of(r->blob.b, sizeof r->blob.b) }, &a, NULL, true, why));
	r->place = (struct blob_place){ a.segment, a.offset, a.length };
	return RC_OK;
}

static enum rc read_head(struct reading *r, struct why *why)
{
	struct body *b = &r->body;
	size_t need = r->place.length < READ_FIRST ? r->place.length : READ_FIRST;
	int fd;
	TRY(reading_segment(reading_house(r), r->place.segment, &fd, why));
	for (int i = 0; i < 2; i++) {
		TRY(segment_fetch(fd, r->place.offset, need, &b->first, why));
		enum rc rc = blob_header_parse(buf_str(&b->first), &b->head, &need, why);
		if (rc != RC_AGAIN)
			return rc;
		if (need > r->place.length)
			break;
		TRY(reading_segment(reading_house(r), r->place.segment, &fd, why));
	}
	FAIL(why, RC_DAMAGED, "a body's header is longer than the body");
}

/* A segment may have been rewritten since the row was read: the index knows where the body lies now. */
static enum rc open_body(struct reading *r, struct why *why)
{
	struct body *b = &r->body;
	if (b->open)
		return RC_OK;
	if (!r->place.length)
		TRY(find_place(r, why));
	for (int tries = 0;; tries++) {
		enum rc rc = read_head(r, why);
		if (rc == RC_OK && memcmp(b->head.id.b, r->blob.b, sizeof r->blob.b) == 0)
			break;
		if (tries)
			FAIL(why, rc == RC_OK ? RC_DAMAGED : rc, "the body is not where the index says");
		TRY(find_place(r, why));
	}
	b->open = true;
	b->have_chunk = false;
	return RC_OK;
}

static enum rc open_chunk(struct reading *r, uint32_t i, struct why *why)
{
	struct body *b = &r->body;
	uint64_t off;
	uint32_t len;
	struct str stored;
	if (b->have_chunk && b->chunk == i)
		return RC_OK;
	TRY(blob_chunk_at(buf_str(&b->first), &b->head, i, &off, &len));
	if (off + len <= b->first.len) {
		stored = str_of(b->first.p + off, len);
	} else {
		int fd;
		TRY(reading_segment(reading_house(r), r->place.segment, &fd, why));
		TRY(segment_fetch(fd, r->place.offset + off, len, &b->more, why));
		stored = buf_str(&b->more);
	}
	buf_clear(&b->plain);
	enum rc rc = blob_chunk_open(&r->body_key, &b->head, i, stored, &b->plain);
	if (rc != RC_OK)
		FAIL(why, rc, "a body's seal does not hold");
	b->chunk = i;
	b->have_chunk = true;
	return RC_OK;
}

static enum rc read_body(struct reading *r, uint64_t offset, uint64_t max, struct str *out, struct why *why)
{
	TRY(open_body(r, why));
	if (offset >= r->body.head.plain_len)
		return RC_OK;
	TRY(open_chunk(r, (uint32_t)(offset / BLOB_CHUNK), why));
	*out = str_head(str_skip(buf_str(&r->body.plain), offset % BLOB_CHUNK), max);
	return RC_OK;
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
		rc = read_body(r, offset, max, out, why);
	if (rc == RC_DAMAGED)
		log_event(LEVEL_ERROR, EV_STORE_DAMAGE, F("what", "body"), F("acct", (int64_t)r->o->account), F("segment", (int64_t)r->place.segment));
	return rc;
}

void reading_for_bodies(struct reading *r) { r->bodies.wanted = true; }
