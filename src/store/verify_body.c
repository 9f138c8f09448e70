#include "store/verify.h"

#include "base/mem.h"
#include "os/file.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bodies: each is where its row says, whole by its own checksum, and referred to as often as its row counts; each segment's row counts
 * what lives there. */
static int by_id(const void *a, const void *b) { return memcmp(a, b, BLOB_ID_LEN); }

static int by_number(const void *a, const void *b)
{
	const struct seen_segment *x = a, *y = b;
	return x->n < y->n ? -1 : x->n > y->n;
}

static struct seen_segment *find_segment(struct verify *v, uint32_t n)
{
	struct seen_segment want = { .n = n };
	return v->segments.n ? bsearch(&want, v->segments.items, v->segments.n, sizeof want, by_number) : NULL;
}

static bool segment_row(struct verify *v, struct str key, struct str value)
{
	struct segment_row row;
	struct cursor c = cursor_of(str_skip(key, 4));
	uint32_t n = cursor_u32(&c);
	struct stat sb;
	char head[SEGMENT_HEAD_LEN];
	int fd = -1;
	if (segment_row_parse(value, &row) != RC_OK || row.length < SEGMENT_HEAD_LEN)
		return false;
	struct seen_segment *s = verify_add(&v->segments, sizeof *s);
	if (!s)
		return true;
	*s = (struct seen_segment){ .n = n, .row = row };
	v->out->segments++;
	if (row.retired_ms && row.live == 0)
		return true; /* its file may be gone already */
	if (segment_open(v->segments_dir, n, &fd, NULL) != RC_OK || fstat(fd, &sb) != 0) {
		verify_say(v, "segment %u cannot be opened", n);
		s->unsure = true;
	} else if ((uint64_t)sb.st_size < row.length) {
		verify_say(v, "segment %u is cut off: %lld of %llu octets", n, (long long)sb.st_size, (unsigned long long)row.length);
		s->unsure = true;
	} else if (pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head || segment_head_check(str_of(head, sizeof head), n) != RC_OK) {
		verify_say(v, "segment %u: its first %d octets are damaged", n, SEGMENT_HEAD_LEN);
	}
	v->out->bytes += row.length;
	fd_close(&fd);
	return true;
}

static void hex_id(const char *id, char out[2 * BLOB_ID_LEN + 1])
{
	for (size_t i = 0; i < BLOB_ID_LEN; i++) {
		out[2 * i] = "0123456789abcdef"[(uint8_t)id[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[(uint8_t)id[i] & 15];
	}
	out[2 * BLOB_ID_LEN] = 0;
}

/* How many records and letters name this body: `named` is sorted. */
static uint64_t count_named(struct verify *v, const char *id)
{
	const struct blob_id *all = v->named.items;
	size_t lo = 0, hi = v->named.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (memcmp(all[mid].b, id, BLOB_ID_LEN) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	size_t n = 0;
	while (lo + n < v->named.n && memcmp(all[lo + n].b, id, BLOB_ID_LEN) == 0)
		n++;
	return n;
}

static void check_body(struct verify *v, const char *id, const struct blob_place *p)
{
	char name[2 * BLOB_ID_LEN + 1];
	struct blob_id want;
	struct why why = { 0 };
	int fd = -1;
	hex_id(id, name);
	memcpy(want.b, id, BLOB_ID_LEN);
	char *bytes = mem_new(p->length);
	if (!bytes || segment_open(v->segments_dir, p->segment, &fd, NULL) != RC_OK)
		verify_say(v, "body %s cannot be read", name);
	else if (pread(fd, bytes, p->length, (off_t)p->offset) != (ssize_t)p->length)
		verify_say(v, "body %s cannot be read whole from segment %u", name, p->segment);
	else if (blob_check(str_of(bytes, p->length), &want, &why) != RC_OK)
		verify_say(v, "body %s in segment %u at %llu: %s", name, p->segment, (unsigned long long)p->offset, why.text);
	fd_close(&fd);
	mem_free(bytes);
}

static bool blob_row(struct verify *v, struct str key, struct str value)
{
	struct blob_row row;
	char name[2 * BLOB_ID_LEN + 1];
	if (key.n != 4 + BLOB_ID_LEN || blob_row_parse(value, &row) != RC_OK)
		return false;
	const char *id = key.p + 4;
	struct seen_segment *s = find_segment(v, row.place.segment);
	hex_id(id, name);
	v->out->blobs++;
	uint64_t refs = count_named(v, id);
	if (refs != row.refs && !v->damaged_rows[TABLE_RECORD] && !v->damaged_rows[TABLE_LETTER])
		verify_say(v, "body %s: its row counts %u references, there are %llu", name, row.refs, (unsigned long long)refs);
	if (!s) {
		if (!v->damaged_rows[TABLE_SEGMENT])
			verify_say(v, "body %s lies in segment %u, which is not known", name, row.place.segment);
		return true;
	}
	s->live += row.place.length;
	if (row.place.offset + row.place.length > s->row.length)
		verify_say(v, "body %s lies behind the end of segment %u", name, row.place.segment);
	else if (!s->unsure)
		check_body(v, id, &row.place);
	return true;
}

/* Every body that a record or a letter names has a row: both lists are in order. */
static void missing_bodies(struct verify *v)
{
	const struct blob_id *all = v->named.items;
	for (size_t i = 0; i < v->named.n; i++) {
		struct key k = key_blob(&all[i]);
		struct str raw;
		char name[2 * BLOB_ID_LEN + 1];
		if (i && by_id(&all[i], &all[i - 1]) == 0)
			continue;
		if (index_get(v->index, v->txn, TABLE_BLOB, key_str(&k), &raw) != RC_NOTFOUND)
			continue;
		hex_id((const char *)all[i].b, name);
		verify_say(v, "body %s is named by a message or a letter and missing", name);
	}
}

enum rc verify_bodies(struct verify *v)
{
	TRY(verify_table(v, TABLE_SEGMENT, segment_row));
	if (v->segments.n)
		qsort(v->segments.items, v->segments.n, sizeof(struct seen_segment), by_number);
	if (v->named.n)
		qsort(v->named.items, v->named.n, sizeof(struct blob_id), by_id);
	TRY(verify_table(v, TABLE_BLOB, blob_row));
	if (!v->damaged_rows[TABLE_BLOB])
		missing_bodies(v);
	struct seen_segment *all = v->segments.items;
	for (size_t i = 0; i < v->segments.n && !v->damaged_rows[TABLE_BLOB]; i++)
		if (all[i].live != all[i].row.live)
			verify_say(v, "segment %u: its row counts %llu living octets, there are %llu", all[i].n, (unsigned long long)all[i].row.live,
			           (unsigned long long)all[i].live);
	return RC_OK;
}
