#include "role/body_reader.h"

#include "os/file.h"
#include <unistd.h>

enum { READ_FIRST = 96 * 1024, STRETCH = 48 * 1024, STRETCH_BODY = 24 * 1024 /* larger ones are read by themselves */ };

enum rc segment_files_get(struct segment_files *f, uint32_t segment, int *out, struct why *why)
{
	size_t oldest = 0;
	for (size_t i = 0; i < sizeof f->file / sizeof *f->file; i++) {
		if (f->file[i].fd > 0 && f->file[i].segment == segment) {
			f->file[i].used = ++f->clock;
			*out = f->file[i].fd;
			return RC_OK;
		}
		if (f->file[i].used < f->file[oldest].used)
			oldest = i;
	}
	int fd;
	TRY(segment_open(f->dir, segment, &fd, why));
	if (f->file[oldest].fd > 0)
		(void)close(f->file[oldest].fd);
	f->file[oldest].segment = segment;
	f->file[oldest].fd = fd;
	f->file[oldest].used = ++f->clock;
	*out = fd;
	return RC_OK;
}

void segment_files_done(struct segment_files *f)
{
	for (size_t i = 0; i < sizeof f->file / sizeof *f->file; i++)
		if (f->file[i].fd > 0)
			(void)close(f->file[i].fd);
	fd_close(&f->dir);
}

void stretch_init(struct stretch *s)
{
	*s = (struct stretch){ .segment = UINT32_MAX };
	buf_init(&s->b, STRETCH);
}

void stretch_done(struct stretch *s) { buf_wipe(&s->b); }

void body_reader_init(struct body_reader *b, struct ipc_node *node, struct segment_files *files)
{
	*b = (struct body_reader){ .node = node, .files = files };
	buf_init(&b->first, READ_FIRST + BLOB_HEAD_MAX + (64u << 20));
	buf_init(&b->more, 2 * BLOB_CHUNK);
	buf_init(&b->plain, 2 * BLOB_CHUNK);
}

void body_reader_done(struct body_reader *b)
{
	buf_wipe(&b->first);
	buf_wipe(&b->more);
	buf_wipe(&b->plain);
	aead_free(&b->aead);
	secret_done(&b->key);
}

void body_reader_set(struct body_reader *b, const struct blob_id *id, const struct secret *key, const struct blob_place *place)
{
	b->id = *id;
	b->key = *key;
	b->place = place ? *place : (struct blob_place){ 0 };
	b->open = b->have_chunk = b->keyed = false;
}

static enum rc find_place(struct body_reader *b, struct why *why)
{
	struct msg_PLACE_answer a;
	TRY(ipc_ask_role(b->node, ROLE_READER, MSG_PLACE, &(struct msg_PLACE){ .blob = str_of(b->id.b, sizeof b->id.b) }, &a, NULL, true, why));
	b->place = (struct blob_place){ a.segment, a.offset, a.length };
	return RC_OK;
}

/* What grows moves, and leaves behind what it was: these held plain text. */
static enum rc fetch(int fd, uint64_t off, size_t n, struct buf *out, struct why *why)
{
	size_t max = out->max;
	if (n > out->cap) {
		buf_wipe(out);
		buf_init(out, max);
	}
	return segment_fetch(fd, off, n, n, out, why);
}

static enum rc read_head(struct body_reader *b, struct why *why)
{
	size_t need = b->place.length < READ_FIRST ? b->place.length : READ_FIRST;
	int fd;
	for (int i = 0; i < 2; i++) {
		TRY(segment_files_get(b->files, b->place.segment, &fd, why));
		TRY(fetch(fd, b->place.offset, need, &b->first, why));
		enum rc rc = blob_header_parse(buf_str(&b->first), &b->head, &need, why);
		if (rc != RC_AGAIN)
			return rc;
		if (need > b->place.length)
			break;
	}
	FAIL(why, RC_DAMAGED, "a body's header is longer than the body");
}

/* A segment may have been rewritten since the place was told: the index knows where the body lies now. */
static enum rc open_body(struct body_reader *b, struct why *why)
{
	if (b->open)
		return RC_OK;
	if (!b->place.length)
		TRY(find_place(b, why));
	for (int tries = 0;; tries++) {
		enum rc rc = read_head(b, why);
		if (rc == RC_OK && memcmp(b->head.id.b, b->id.b, sizeof b->id.b) == 0)
			break;
		if (tries)
			FAIL(why, rc == RC_OK ? RC_DAMAGED : rc, "the body is not where the index says");
		TRY(find_place(b, why));
	}
	b->open = true;
	b->have_chunk = false;
	b->spent = 0;
	return RC_OK;
}

static enum rc key_body(struct body_reader *b)
{
	if (b->keyed)
		return RC_OK;
	if (b->aead)
		aead_rekey(b->aead, &b->key);
	else
		TRY(aead_new(&b->key, &b->aead));
	b->keyed = true;
	return RC_OK;
}

/* At once as large as a chunk of this body may be: it does not grow with plain text in it. */
static bool room_for_chunk(struct body_reader *b)
{
	size_t max = b->plain.max, need = (b->head.plain_len < BLOB_CHUNK ? b->head.plain_len : BLOB_CHUNK) + 1;
	if (need > b->plain.cap) {
		buf_wipe(&b->plain);
		buf_init(&b->plain, max);
	}
	buf_clear(&b->plain);
	return buf_room(&b->plain, need);
}

static enum rc open_chunk(struct body_reader *b, uint32_t i, struct why *why)
{
	uint64_t off;
	uint32_t len;
	char *stored;
	if (b->have_chunk && b->chunk == i)
		return RC_OK;
	TRY(blob_chunk_at(buf_str(&b->first), &b->head, i, &off, &len));
	TRY(key_body(b));
	b->have_chunk = false;
	if (i >= b->spent && off + len <= b->first.len) {
		stored = b->first.p + off;
		b->spent = i + 1;
	} else {
		int fd;
		TRY(segment_files_get(b->files, b->place.segment, &fd, why));
		TRY(fetch(fd, b->place.offset + off, len, &b->more, why));
		stored = b->more.p;
	}
	if (!room_for_chunk(b))
		FAIL(why, RC_NOMEM, "no memory for a body");
	enum rc rc = blob_chunk_open_over(b->aead, &b->head, i, stored, len, &b->plain);
	if (rc != RC_OK)
		FAIL(why, rc, "a body's seal does not hold");
	b->chunk = i;
	b->have_chunk = true;
	return RC_OK;
}

/* The body's stored octets from the stretch, which begins anew with a body that follows the last one. NULL: read it by itself. */
static char *on_stretch(struct body_reader *b)
{
	struct stretch *s = b->stretch;
	const struct blob_place *p = &b->place;
	struct why why;
	int fd;
	if (!s || !p->length)
		return NULL;
	bool follows = p->segment == s->segment && p->offset == s->behind;
	bool there = p->segment == s->segment && p->offset >= s->fresh && p->offset - s->from <= s->b.len && p->length <= s->b.len - (p->offset - s->from);
	s->behind = p->offset + p->length;
	if (!there) {
		s->segment = p->segment;
		s->from = s->fresh = p->offset;
		follows = follows && p->length <= STRETCH_BODY;
		buf_clear(&s->b);
		if (!follows || segment_files_get(b->files, p->segment, &fd, &why) != RC_OK ||
		    segment_fetch(fd, p->offset, p->length, STRETCH, &s->b, &why) != RC_OK)
			return NULL;
	}
	s->fresh = s->behind;
	return s->b.p + (p->offset - s->from);
}

/* A body of one chunk is opened where it lies there. What is not as it should be (moved, damaged, many chunks) is read by itself, and told then. */
static bool open_on_stretch(struct body_reader *b)
{
	size_t need;
	uint64_t off;
	uint32_t len;
	struct why why;
	char *p = on_stretch(b);
	struct str stored = str_of(p, p ? b->place.length : 0);
	if (!p || blob_header_parse(stored, &b->head, &need, &why) != RC_OK || memcmp(b->head.id.b, b->id.b, sizeof b->id.b) != 0 || b->head.chunks != 1 ||
	    blob_chunk_at(stored, &b->head, 0, &off, &len) != RC_OK || off + len > stored.n || key_body(b) != RC_OK || !room_for_chunk(b) ||
	    blob_chunk_open_over(b->aead, &b->head, 0, p + off, len, &b->plain) != RC_OK)
		return false;
	b->chunk = 0;
	b->open = b->have_chunk = true;
	return true;
}

enum rc body_reader_read(struct body_reader *b, uint64_t offset, uint64_t max, struct str *out, struct why *why)
{
	*out = STR("");
	if (!b->open && !open_on_stretch(b))
		TRY(open_body(b, why));
	if (offset >= b->head.plain_len)
		return RC_OK;
	TRY(open_chunk(b, (uint32_t)(offset / BLOB_CHUNK), why));
	*out = str_head(str_skip(buf_str(&b->plain), offset % BLOB_CHUNK), max);
	return RC_OK;
}
