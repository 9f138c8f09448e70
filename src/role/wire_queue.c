#include "role/wire_queue.h"

enum { ROW_LEAST = 8 + 4 + 44 + 4, NOTE_VALUE_MAX = 256 << 10, NOTE_KEY_OCTETS = 200 };

static enum rc get_count(struct cursor *in, size_t least, size_t *out)
{
	uint32_t n = cursor_u32(in);
	if (in->failed || n > in->in.n / least)
		return RC_SYNTAX;
	*out = n;
	return RC_OK;
}

static enum rc end_of(const struct cursor *in, const struct arena *a)
{
	if (!cursor_at_end(in))
		return RC_SYNTAX;
	return a->full ? RC_NOMEM : RC_OK;
}

/* ---- a delivery's letters ---- */
void wire_put_puts(struct buf *out, const struct queue_put *list, size_t n)
{
	buf_u32(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		buf_run(out, list[i].letter);
		buf_u64(out, list[i].account);
		buf_u32(out, (uint32_t)list[i].row_n);
		for (size_t k = 0; k < list[i].row_n; k++) {
			struct queue_row r = list[i].rows[k];
			r.letter = r.n = r.version = 0;
			queue_row_put(out, &r);
		}
	}
}

enum rc wire_get_puts(struct str in, struct arena *a, struct queue_put **out, size_t *out_n)
{
	struct cursor c = cursor_of(in);
	size_t n;
	TRY(get_count(&c, 4 + 8 + 4, &n));
	struct queue_put *list = arena_new(a, n * sizeof *list);
	if (!list)
		return RC_NOMEM;
	for (size_t i = 0; i < n; i++) {
		list[i].letter = cursor_run(&c, QUEUE_LETTER_MAX);
		list[i].account = cursor_u64(&c);
		TRY(get_count(&c, ROW_LEAST, &list[i].row_n));
		struct queue_row *rows = arena_new(a, list[i].row_n * sizeof *rows);
		if (!rows)
			return RC_NOMEM;
		for (size_t k = 0; k < list[i].row_n; k++) {
			TRY(queue_row_get(&c, &rows[k]));
			if (rows[k].state == QUEUE_UNREADABLE || rows[k].letter || rows[k].n || rows[k].version)
				return RC_SYNTAX;
		}
		list[i].rows = rows;
	}
	TRY(end_of(&c, a));
	*out = list;
	*out_n = n;
	return RC_OK;
}

void wire_put_sent(struct buf *out, const struct sent_note *s)
{
	buf_u64(out, s->account);
	buf_u32(out, s->messages);
	buf_u32(out, s->recipients);
	buf_u32(out, s->max_messages);
	buf_u32(out, s->max_recipients);
	buf_u32(out, s->max_first);
	buf_u32(out, s->max_waiting);
	wire_put_ids(out, s->known, s->known_n);
}

enum rc wire_get_sent(struct str in, struct arena *a, struct sent_note *out)
{
	struct cursor c = cursor_of(in);
	struct sent_note s = { .account = cursor_u64(&c) };
	uint64_t *known;
	s.messages = cursor_u32(&c);
	s.recipients = cursor_u32(&c);
	s.max_messages = cursor_u32(&c);
	s.max_recipients = cursor_u32(&c);
	s.max_first = cursor_u32(&c);
	s.max_waiting = cursor_u32(&c);
	if (c.failed)
		return RC_SYNTAX;
	TRY(wire_get_ids(c.in, a, &known, &s.known_n));
	s.known = known;
	*out = s;
	return RC_OK;
}

/* ---- changes ---- */
void wire_put_queue_changes(struct buf *out, const struct queue_change *list, size_t n)
{
	buf_u32(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		queue_row_put(out, &list[i].row);
		buf_run(out, list[i].done);
	}
}

enum rc wire_get_queue_changes(struct str in, struct arena *a, struct queue_change **out, size_t *out_n)
{
	struct cursor c = cursor_of(in);
	size_t n;
	TRY(get_count(&c, ROW_LEAST + 4, &n));
	struct queue_change *list = arena_new(a, n * sizeof *list);
	if (!list)
		return RC_NOMEM;
	for (size_t i = 0; i < n; i++) {
		TRY(queue_row_get(&c, &list[i].row));
		list[i].done = cursor_run(&c, QUEUE_ROW_MAX);
	}
	TRY(end_of(&c, a));
	*out = list;
	*out_n = n;
	return RC_OK;
}

void wire_put_outcomes(struct buf *out, const struct queue_change *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_u8(out, (uint8_t)list[i].rc);
}

enum rc wire_get_outcomes(struct str in, struct queue_change *list, size_t n)
{
	if (in.n != n)
		return RC_SYNTAX;
	for (size_t i = 0; i < n; i++)
		if ((uint8_t)in.p[i] > RC_IO)
			return RC_SYNTAX;
	for (size_t i = 0; i < n; i++)
		list[i].rc = (enum rc)(uint8_t)in.p[i];
	return RC_OK;
}

enum rc wire_next_note(struct cursor *in, struct str *out_key, struct str *out_value)
{
	if (!in->failed && in->in.n == 0)
		return RC_NOTFOUND;
	struct str key = cursor_run(in, NOTE_KEY_OCTETS), value = cursor_run(in, NOTE_VALUE_MAX);
	if (in->failed || key.n == 0)
		return in->failed = true, RC_SYNTAX;
	*out_key = key;
	*out_value = value;
	return RC_OK;
}
