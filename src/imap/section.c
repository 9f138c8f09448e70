#include "imap/fetch.h"
#include "imap/internal.h"

#include "mail/digest.h"
#include "mail/header.h"

/* Where the octets of a section lie in the message. */
struct extent { uint64_t offset, length; };

static struct extent header_of(const struct mail_part *p) { return (struct extent){ p->header_off, p->header_len }; }
static struct extent body_of(const struct mail_part *p) { return (struct extent){ p->body_off, p->body_len }; }

/* RFC 3501 6.4.5. RC_NOTFOUND: the message has no such part, or the part no such text. */
static enum rc section_find(const struct imap_row *row, const struct section *sec, struct extent *out)
{
	struct mail_part part, inner = { 0 };
	if (!sec->path_n && sec->what == SECTION_ALL) {
		*out = (struct extent){ 0, row->size };
		return RC_OK;
	}
	TRY(mail_part_find(row->parts, sec->path, sec->path_n, &part, &inner));
	/* "HEADER" and "TEXT" after a part number belong to the message that lies in that part. */
	bool is_message = !sec->path_n || part.kind == MAIL_MESSAGE;
	const struct mail_part *message = sec->path_n ? &inner : &part;
	switch (sec->what) {
	case SECTION_ALL: *out = body_of(&part); break;
	case SECTION_MIME: *out = header_of(&part); break;
	case SECTION_TEXT:
		if (!is_message)
			return RC_NOTFOUND;
		*out = body_of(message);
		break;
	default:
		if (!is_message)
			return RC_NOTFOUND;
		*out = header_of(message);
	}
	/* Our own record, yet it decides what we promise: never past the message. */
	if (out->offset > row->size)
		out->offset = row->size;
	if (out->length > row->size - out->offset)
		out->length = row->size - out->offset;
	return RC_OK;
}

static struct extent cut(struct extent e, const struct section *sec)
{
	if (!sec->is_partial)
		return e;
	uint64_t skip = sec->offset < e.length ? sec->offset : e.length;
	e.offset += skip;
	e.length -= skip;
	if (e.length > sec->length)
		e.length = sec->length;
	return e;
}

static void put_literal_size(struct out *o, uint64_t n)
{
	out_put(o, STR("{"));
	out_num(o, n);
	out_put(o, STR("}\r\n"));
}

/* Streams the octets. What cannot be read is found out before the literal is promised, as far as its first piece tells. */
static enum rc put_extent(struct session *s, struct out *o, const struct imap_row *row, struct extent e)
{
	struct str piece = STR("");
	struct why why = { 0 };
	out_flush(o);
	if (e.length) {
		enum rc rc = s->hooks->body_read(s->hooks->house, row, e.offset, e.length, &piece, &why);
		if (rc != RC_OK || !piece.n) {
			out_put(o, STR("NIL"));
			return rc == RC_OK ? RC_DAMAGED : rc;
		}
	}
	put_literal_size(o, e.length);
	out_flush(o);
	while (e.length) {
		piece = str_head(piece, e.length);
		stream_write(s->io, piece);
		e.offset += piece.n;
		e.length -= piece.n;
		if (e.length && (s->hooks->body_read(s->hooks->house, row, e.offset, e.length, &piece, &why) != RC_OK || !piece.n))
			return RC_CLOSED; /* the number of octets is promised: nothing true can follow */
		if (stream_error(s->io) != RC_OK)
			return RC_CLOSED;
	}
	return RC_OK;
}

/* ---- HEADER.FIELDS ---- */

static bool is_wanted(const struct section *sec, struct str name)
{
	for (size_t i = 0; i < sec->field_n; i++)
		if (str_ieq(sec->fields[i], name))
			return sec->what == SECTION_FIELDS;
	return sec->what == SECTION_FIELDS_NOT;
}

static enum rc read_header(struct session *s, const struct imap_row *row, struct extent e, struct buf *out)
{
	struct why why = { 0 };
	if (e.length > HEADER_MAX)
		e.length = HEADER_MAX;
	while (e.length) {
		struct str piece;
		TRY(s->hooks->body_read(s->hooks->house, row, e.offset, e.length, &piece, &why));
		piece = str_head(piece, e.length);
		if (!piece.n)
			return RC_DAMAGED;
		buf_add(out, piece);
		e.offset += piece.n;
		e.length -= piece.n;
	}
	return out->failed ? RC_NOMEM : RC_OK;
}

/* The fields chosen, in their order, and the empty line (RFC 3501 6.4.5: "the delimiting blank line is always included").
 * They are moved to the front of `header`. */
static size_t choose_fields(const struct section *sec, struct buf *header)
{
	size_t pos = 0, kept = 0;
	struct header_field f;
	bool broken = false;
	struct str all = buf_str(header);
	while (header_next(all, &pos, &f, &broken) == RC_OK) {
		if (!is_wanted(sec, f.name))
			continue;
		memmove(header->p + kept, f.raw.p, f.raw.n);
		kept += f.raw.n;
		if (kept && header->p[kept - 1] != '\n')
			break; /* the last line of a message that ends in it */
	}
	return kept;
}

static enum rc put_fields(struct session *s, struct out *o, const struct imap_row *row, const struct section *sec, struct extent e)
{
	AUTO(buf_done) struct buf header;
	buf_init(&header, HEADER_MAX + 8);
	out_flush(o);
	enum rc rc = read_header(s, row, e, &header);
	if (rc != RC_OK) {
		out_put(o, STR("NIL"));
		return rc;
	}
	header.len = choose_fields(sec, &header);
	if (header.len && header.p[header.len - 1] != '\n')
		buf_add(&header, STR("\r\n"));
	buf_add(&header, STR("\r\n"));
	if (header.failed) {
		out_put(o, STR("NIL"));
		return RC_NOMEM;
	}
	struct extent part = cut((struct extent){ 0, header.len }, sec);
	put_literal_size(o, part.length);
	out_put(o, str_head(str_skip(buf_str(&header), part.offset), part.length));
	out_flush(o);
	return RC_OK;
}

enum rc section_put(struct session *s, struct out *o, const struct imap_row *row, const struct section *sec)
{
	struct extent e;
	enum rc rc = section_find(row, sec, &e);
	if (rc != RC_OK) {
		out_put(o, STR("NIL"));
		return rc == RC_NOTFOUND ? RC_OK : RC_DAMAGED;
	}
	if (sec->what == SECTION_FIELDS || sec->what == SECTION_FIELDS_NOT)
		return put_fields(s, o, row, sec, e);
	return put_extent(s, o, row, cut(e, sec));
}
