/* gzip and zip of strangers. Bounded thrice: what `out` may hold, REPORT_UNPACKED_MAX, and the ratio to what was received. */
#include "origin/report_internal.h"

#include <zlib.h>

enum { MEMBERS_MAX = 8, ENTRIES_MAX = REPORT_FILES_MAX, CHUNK = 65536, RATIO_FREE = 1 << 20 };

enum packing packing_of(struct str b)
{
	if (b.n > 3 && memcmp(b.p, "\x1f\x8b\x08", 3) == 0)
		return PACKING_GZIP;
	if (b.n > 4 && memcmp(b.p, "PK\3\4", 4) == 0)
		return PACKING_ZIP;
	if (b.n > 3 && (memcmp(b.p, "\xff\xfe<", 3) == 0 || (memcmp(b.p, "\xfe\xff\0<", 4) == 0)))
		return PACKING_XML;
	if (b.n >= 3 && memcmp(b.p, "\xef\xbb\xbf", 3) == 0)
		b = str_skip(b, 3);
	b = str_trim(b);
	return b.n == 0 ? PACKING_NONE : b.p[0] == '<' ? PACKING_XML : b.p[0] == '{' ? PACKING_JSON : PACKING_NONE;
}

static enum rc inflate_run(z_stream *z, struct buf *out, size_t ceiling, struct why *why)
{
	for (;;) {
		if (!buf_room(out, CHUNK))
			FAIL(why, out->len + CHUNK > out->max ? RC_LIMIT : RC_NOMEM, "unpacked it is larger than %zu octets", out->max);
		z->next_out = (unsigned char *)out->p + out->len;
		z->avail_out = CHUNK;
		int got = inflate(z, Z_NO_FLUSH);
		out->len += CHUNK - z->avail_out;
		if (out->len > ceiling)
			FAIL(why, RC_LIMIT, "it unpacks to more than %d times its size", REPORT_RATIO_MAX);
		if (got == Z_STREAM_END)
			return RC_OK;
		if (got == Z_MEM_ERROR)
			FAIL(why, RC_NOMEM, "no memory to unpack");
		if (got != Z_OK || (z->avail_in == 0 && z->avail_out != 0))
			FAIL(why, RC_SYNTAX, "the compressed data are damaged: %s", z->msg ? z->msg : "they end too early");
	}
}

enum rc inflate_bounded(struct str in, bool gzip, struct buf *out, size_t *out_used, struct why *why)
{
	z_stream z = { .next_in = (unsigned char *)in.p, .avail_in = (unsigned)in.n };
	if (in.n > REPORT_UNPACKED_MAX)
		FAIL(why, RC_LIMIT, "more than %d octets compressed", REPORT_UNPACKED_MAX);
	if (inflateInit2(&z, gzip ? 15 + 16 : -15) != Z_OK)
		FAIL(why, RC_NOMEM, "no memory to unpack");
	enum rc rc = inflate_run(&z, out, out->len + RATIO_FREE + REPORT_RATIO_MAX * in.n, why);
	*out_used = in.n - z.avail_in;
	inflateEnd(&z);
	return rc;
}

enum rc gunzip(struct str in, struct buf *out, struct why *why)
{
	size_t used;
	for (unsigned members = 0; packing_of(in) == PACKING_GZIP; members++) {
		if (members == MEMBERS_MAX)
			FAIL(why, RC_LIMIT, "more than %d gzip members", MEMBERS_MAX);
		TRY(inflate_bounded(in, true, out, &used, why));
		in = str_skip(in, used);
	}
	return RC_OK;
}

static uint32_t le(struct str s, size_t at, unsigned octets)
{
	uint32_t v = 0;
	for (unsigned i = octets; i-- > 0;)
		v = v << 8 | (unsigned char)s.p[at + i];
	return v;
}

struct entry {
	uint32_t flags, method, crc, packed, size, local;
	struct str name;
};

/* APPNOTE 4.3.16: the end record, sought from behind over the longest comment. */
static bool find_end(struct str in, size_t *out)
{
	for (size_t back = 22; back <= in.n && back <= 22 + 65535; back++)
		if (memcmp(in.p + in.n - back, "PK\5\6", 4) == 0 && le(in, in.n - back + 20, 2) + 22 <= back) {
			*out = in.n - back;
			return true;
		}
	return false;
}

static bool central_next(struct str in, size_t end, size_t *at, struct entry *out)
{
	if (*at + 46 > end || memcmp(in.p + *at, "PK\1\2", 4) != 0)
		return false;
	size_t name = le(in, *at + 28, 2), extra = le(in, *at + 30, 2), comment = le(in, *at + 32, 2);
	if (*at + 46 + name + extra + comment > end)
		return false;
	*out = (struct entry){ le(in, *at + 8, 2), le(in, *at + 10, 2), le(in, *at + 16, 4), le(in, *at + 20, 4), le(in, *at + 24, 4), le(in, *at + 42, 4),
		str_of(in.p + *at + 46, name) };
	*at += 46 + name + extra + comment;
	return true;
}

/* Folders, hidden files, and what macOS puts beside every file. */
static bool is_furniture(const struct entry *e)
{
	struct str last = e->name;
	while (str_find(last, '/') < last.n)
		last = str_skip(last, str_find(last, '/') + 1);
	return last.n == 0 || last.p[0] == '.' || str_starts(e->name, STR("__MACOSX/"));
}

static bool is_named_as_report(const struct entry *e) { return str_iends(e->name, STR(".xml")) || str_iends(e->name, STR(".json")); }

/* Those with a report's name, or the only file: others may lie beside reports. Which of several without such a name is one is not for us to say. */
static enum rc choose(struct str in, struct entry out[ENTRIES_MAX], size_t *out_n, struct why *why)
{
	size_t end, found = 0, named = 0;
	struct entry e;
	if (!find_end(in, &end))
		FAIL(why, RC_SYNTAX, "the zip archive has no directory");
	size_t n = le(in, end + 10, 2), at = le(in, end + 16, 4);
	if (n > ENTRIES_MAX)
		FAIL(why, RC_LIMIT, "the zip archive has %zu entries", n);
	for (size_t i = 0; i < n; i++) {
		if (at > end || !central_next(in, end, &at, &e))
			FAIL(why, RC_SYNTAX, "the zip archive's directory is damaged");
		if (is_furniture(&e))
			continue;
		bool report = is_named_as_report(&e);
		if (report || named == 0)
			out[named] = e;
		named += report;
		found++;
	}
	if (found != 1 && named == 0)
		FAIL(why, found ? RC_LIMIT : RC_NOTFOUND, "the zip archive has %zu files where a report is one", found);
	*out_n = named ? named : 1;
	return RC_OK;
}

/* The octets of the file, behind its local header (APPNOTE 4.3.7). */
static enum rc data_of(struct str in, const struct entry *e, struct str *out, struct why *why)
{
	size_t at = e->local;
	if (at + 30 > in.n || memcmp(in.p + at, "PK\3\4", 4) != 0)
		FAIL(why, RC_SYNTAX, "the zip archive's directory is damaged");
	at += 30 + le(in, at + 26, 2) + le(in, at + 28, 2);
	if (at > in.n || e->packed > in.n - at)
		FAIL(why, RC_SYNTAX, "the zip archive is cut off");
	*out = str_of(in.p + at, e->packed);
	return RC_OK;
}

static enum rc unzip_entry(const struct entry *e, struct str data, struct buf *out, struct why *why)
{
	size_t used, from = out->len;
	if (e->method == 0)
		buf_add(out, data);
	else if (e->method == 8)
		TRY(inflate_bounded(data, false, out, &used, why));
	else
		FAIL(why, RC_SYNTAX, "the zip archive uses method %u", e->method);
	if (out->failed)
		FAIL(why, RC_LIMIT, "unpacked it is larger than %zu octets", out->max);
	struct str made = str_skip(buf_str(out), from);
	if (made.n != e->size || crc32(0, (const unsigned char *)made.p, (unsigned)made.n) != e->crc)
		FAIL(why, RC_SYNTAX, "the zip archive's checksum is wrong");
	return RC_OK;
}

/* Before anything is unpacked: files that overlap would make much of little, and so would many that each keep to the ratio's free octets. */
static enum rc check_entries(struct str in, const struct entry *e, size_t n, struct str *data, struct why *why)
{
	uint64_t size = 0, packed = 0;
	for (size_t i = 0; i < n; i++) {
		TRY(data_of(in, &e[i], &data[i], why));
		if (e[i].flags & 1)
			FAIL(why, RC_SYNTAX, "the zip archive is encrypted");
		for (size_t k = 0; k < i; k++)
			if (data[i].p < data[k].p + data[k].n && data[k].p < data[i].p + data[i].n)
				FAIL(why, RC_LIMIT, "the zip archive's %zu files are partly the same octets", n);
		size += e[i].size;
		packed += data[i].n;
	}
	if (size > REPORT_UNPACKED_MAX)
		FAIL(why, RC_LIMIT, "unpacked it is larger than %d octets", REPORT_UNPACKED_MAX);
	if (size > RATIO_FREE + REPORT_RATIO_MAX * packed)
		FAIL(why, RC_LIMIT, "it unpacks to more than %d times its size", REPORT_RATIO_MAX);
	return RC_OK;
}

enum rc unzip_reports(struct str in, struct buf *out, struct str out_file[REPORT_FILES_MAX], size_t *out_n, struct why *why)
{
	struct entry e[ENTRIES_MAX];
	struct str data[ENTRIES_MAX];
	size_t n = 0, at = 0;
	TRY(choose(in, e, &n, why));
	TRY(check_entries(in, e, n, data, why));
	for (size_t i = 0; i < n; i++)
		TRY(unzip_entry(&e[i], data[i], out, why));
	for (size_t i = 0; i < n; at += e[i++].size) /* once `out` moves no more */
		out_file[i] = str_head(str_skip(buf_str(out), at), e[i].size);
	*out_n = n;
	return RC_OK;
}
