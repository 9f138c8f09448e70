#include "mail/parts.h"

#include "base/cursor.h"

void parts_format(const struct mime_tree *t, struct buf *out)
{
	if (!buf_room(out, PARTS_HEAD + (size_t)t->n * PARTS_EACH))
		return;
	buf_u8(out, PARTS_VERSION);
	buf_u32(out, t->n);
	for (uint32_t i = 0; i < t->n; i++) {
		const struct mime_part *p = &t->part[i];
		buf_u8(out, (uint8_t)p->kind);
		buf_u32(out, p->next == MIME_NONE ? 0 : p->next);
		buf_u32(out, (uint32_t)p->header_off);
		buf_u32(out, (uint32_t)p->header_len);
		buf_u32(out, (uint32_t)p->body_len);
		buf_u32(out, p->lines);
	}
}

struct row {
	struct mail_part part;
	uint32_t next;
};

static bool row_at(struct str packed, uint32_t index, struct row *out)
{
	struct cursor c = cursor_of(str_skip(packed, PARTS_HEAD + (size_t)index * PARTS_EACH));
	uint8_t kind = cursor_u8(&c);
	out->next = cursor_u32(&c);
	out->part.header_off = cursor_u32(&c);
	out->part.header_len = cursor_u32(&c);
	out->part.body_off = out->part.header_off + out->part.header_len;
	out->part.body_len = cursor_u32(&c);
	out->part.lines = cursor_u32(&c);
	out->part.kind = kind == MAIL_MULTIPART ? MAIL_MULTIPART : kind == MAIL_MESSAGE ? MAIL_MESSAGE : MAIL_LEAF;
	return !c.failed && kind <= MAIL_MESSAGE && (out->next == 0 || out->next > index);
}

/* The k-th (from 1) part among the siblings that begin with `index`. */
static bool sibling(struct str packed, uint32_t *index, uint32_t k, struct row *row)
{
	while (row_at(packed, *index, row)) {
		if (--k == 0)
			return true;
		if (row->next == 0)
			return false;
		*index = row->next;
	}
	return false;
}

enum rc mail_part_find(struct str packed, const uint32_t *path, size_t n, struct mail_part *out, struct mail_part *out_inner)
{
	struct row row, child;
	uint32_t at = 0;
	bool is_root = true; /* of a message: when it is no multipart, it is its own part 1 */
	if (packed.n < PARTS_HEAD || (uint8_t)packed.p[0] != PARTS_VERSION || !row_at(packed, 0, &row))
		return RC_DAMAGED;
	for (size_t i = 0; i < n; i++) {
		/* RFC 3501 6.4.5: the parts of an embedded message are counted as those of its message/rfc822 part */
		if (!is_root && row.part.kind == MAIL_MESSAGE) {
			if (!row_at(packed, ++at, &row))
				return RC_DAMAGED;
			is_root = true;
		}
		if (path[i] == 0)
			return RC_NOTFOUND;
		if (row.part.kind == MAIL_MULTIPART) {
			at++;
			if (!sibling(packed, &at, path[i], &row))
				return RC_NOTFOUND;
		} else if (!is_root || path[i] != 1) {
			return RC_NOTFOUND;
		}
		is_root = false;
	}
	*out = row.part;
	if (out_inner) {
		*out_inner = (struct mail_part){ 0 };
		if (n == 0)
			*out_inner = row.part;
		else if (row.part.kind == MAIL_MESSAGE && row_at(packed, at + 1, &child))
			*out_inner = child.part;
	}
	return RC_OK;
}
