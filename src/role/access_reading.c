#include "role/access.h"

#include "base/log.h"
#include "base/mem.h"
#include "role/wire.h"
#include <unistd.h>

enum { FIRST_BYTES = 12 * 1024, CHUNK_BYTES = 56 * 1024, READ_FIRST = 96 * 1024, SCRATCH_MAX = 32 << 20 };

struct body {                                   /* what is open of the current row's body */
	struct blob_id id;
	bool open;
	struct blob_place place;
	struct blob_header head;
	struct buf first;                       /* the blob's first stored octets */
	struct buf more;                        /* a later chunk as stored */
	struct buf plain;                       /* chunk `chunk`, opened */
	uint32_t chunk;
	bool have_chunk;
};

struct reading {
	struct owner *o;
	uint64_t box;
	struct uid_range *ranges; size_t n, at; /* what is left: from ranges[at] on */
	unsigned want;
	bool ended;
	uint32_t bytes;
	struct ipc_pending *ahead;
	struct ipc_reply reply;
	struct cursor c;
	struct buf scratch, scratch2;
	struct reading_row *now;
	struct secret body_key;
	struct blob_place place;
	struct blob_id blob;
	struct body body;
};

static struct access_house *house_of(const struct reading *r) { return r->o->e->state; }

/* ---- rows ---- */

static enum rc ask_rows(struct reading *r, struct why *why)
{
	struct buf packed;
	struct ipc_peer *reader;
	buf_init(&packed, 8 << 20);
	wire_put_ranges(&packed, r->ranges + r->at, r->n - r->at);
	struct msg_ROWS q = { .account = r->o->account, .box = r->box, .ranges = buf_str(&packed), .want = r->want, .max_bytes = r->bytes };
	enum rc rc = packed.failed ? RC_NOMEM : ipc_find(r->o->e->node, ROLE_READER, 3000, &reader);
	if (rc == RC_OK)
		rc = ipc_ask_start(reader, MSG_ROWS, &q, &r->ahead, why);
	r->bytes = CHUNK_BYTES;
	buf_done(&packed);
	return rc;
}

/* The ranges from `next` on are what is left; 0: nothing. */
static void skip_to(struct reading *r, uint32_t next)
{
	while (r->at < r->n && (next == 0 || r->ranges[r->at].last < next))
		r->at++;
	if (r->at < r->n && r->ranges[r->at].first < next)
		r->ranges[r->at].first = next;
}

static enum rc next_chunk(struct reading *r, struct why *why)
{
	struct msg_ROWS_answer a;
	ipc_reply_done(&r->reply);
	for (int tries = 0;; tries++) {
		if (r->at >= r->n)
			return RC_NOTFOUND;
		if (!r->ahead)
			TRY(ask_rows(r, why));
		enum rc rc = ipc_ask_collect(&r->ahead, &a, &r->reply, why);
		if (rc == RC_CLOSED && tries == 0 && !loop_stopping(r->o->e->loop))
			continue; /* a reader that was restarted answers the same */
		TRY(rc);
		break;
	}
	r->c = cursor_of(a.rows);
	skip_to(r, a.next);
	return r->at < r->n ? ask_rows(r, why) : RC_OK;
}

enum rc reading_open(struct owner *o, uint64_t box, const struct uid_range *ranges, size_t n, unsigned want, struct reading **out, struct why *why)
{
	struct reading *r = mem_new(sizeof *r);
	struct uid_range *copy = mem_new(n * sizeof *copy);
	if (!r || !copy) {
		mem_free(r);
		mem_free(copy);
		FAIL(why, RC_NOMEM, "no memory");
	}
	memcpy(copy, ranges, n * sizeof *copy);
	*r = (struct reading){ .o = o, .box = box, .ranges = copy, .n = n, .want = want, .bytes = FIRST_BYTES };
	buf_init(&r->scratch, SCRATCH_MAX);
	buf_init(&r->scratch2, 1 << 20);
	buf_init(&r->body.first, READ_FIRST + BLOB_HEAD_MAX + (64u << 20));
	buf_init(&r->body.more, 2 * BLOB_CHUNK);
	buf_init(&r->body.plain, 2 * BLOB_CHUNK);
	*out = r;
	return RC_OK;
}

void reading_close(struct reading **rp)
{
	struct reading *r = *rp;
	if (!r)
		return;
	ipc_ask_abandon(&r->ahead);
	ipc_reply_done(&r->reply);
	buf_wipe(&r->scratch);
	buf_wipe(&r->scratch2);
	buf_done(&r->body.first);
	buf_done(&r->body.more);
	buf_wipe(&r->body.plain);
	secret_done(&r->body_key);
	mem_free(r->ranges);
	mem_free(r);
	*rp = NULL;
}

static enum rc damaged(struct reading *r, uint32_t uid, struct why *why)
{
	log_event(LEVEL_ERROR, EV_STORE_DAMAGE, F("what", "record"), F("acct", (int64_t)r->o->account), F("box", (int64_t)r->box), F("uid", (int64_t)uid));
	FAIL(why, RC_DAMAGED, "message %u is damaged", uid);
}

static enum rc open_row(struct reading *r, struct reading_row *out, struct why *why)
{
	struct str sealed;
	struct epoch_keys *keys;
	if (out->row.damaged || record_clear_parse(out->row.record, &out->clear, &sealed) != RC_OK)
		return damaged(r, out->row.uid, why);
	enum rc rc = owner_epoch(r->o, out->clear.epoch, &keys, why);
	if (rc == RC_OK)
		rc = record_open(keys, &out->clear, sealed, &r->scratch, &out->secret);
	if (rc == RC_OK && (r->want & ROW_GRAMS))
		rc = grams_open(keys, &out->clear, out->row.grams, &r->scratch2, &out->grams);
	if (rc == RC_DAMAGED)
		return damaged(r, out->row.uid, why);
	TRY(rc);
	r->body_key = out->secret.body_key;
	r->blob = out->clear.blob;
	r->place = out->row.place;
	return RC_OK;
}

enum rc reading_next(struct reading *r, struct reading_row *out, struct why *why)
{
	r->body.open = r->body.have_chunk = false;
	for (;;) {
		enum rc rc = r->reply.frame ? row_next(&r->c, r->want, &out->row) : RC_NOTFOUND;
		if (rc == RC_NOTFOUND) {
			TRY(next_chunk(r, why));
			continue;
		}
		if (rc != RC_OK)
			FAIL(why, rc, "a broken row");
		break;
	}
	out->grams = STR("");
	return r->want & ROW_RECORD ? open_row(r, out, why) : out->row.damaged ? damaged(r, out->row.uid, why) : RC_OK;
}

/* ---- bodies ---- */

static enum rc segment_fd(struct access_house *h, uint32_t segment, int *out, struct why *why)
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
	TRY(segment_fd(house_of(r), r->place.segment, &fd, why));
	for (int i = 0; i < 2; i++) {
		TRY(segment_fetch(fd, r->place.offset, need, &b->first, why));
		enum rc rc = blob_header_parse(buf_str(&b->first), &b->head, &need, why);
		if (rc != RC_AGAIN)
			return rc;
		if (need > r->place.length)
			break;
		TRY(segment_fd(house_of(r), r->place.segment, &fd, why));
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
		TRY(segment_fd(house_of(r), r->place.segment, &fd, why));
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

enum rc reading_body(struct reading *r, uint64_t offset, uint64_t max, struct str *out, struct why *why)
{
	enum rc rc = open_body(r, why);
	*out = STR("");
	if (rc == RC_OK && offset < r->body.head.plain_len) {
		rc = open_chunk(r, (uint32_t)(offset / BLOB_CHUNK), why);
		if (rc == RC_OK)
			*out = str_head(str_skip(buf_str(&r->body.plain), offset % BLOB_CHUNK), max);
	}
	if (rc == RC_DAMAGED)
		log_event(LEVEL_ERROR, EV_STORE_DAMAGE, F("what", "body"), F("acct", (int64_t)r->o->account), F("segment", (int64_t)r->place.segment));
	return rc;
}
