#include "role/sealer.h"
#include "role/wire_queue.h"

/* One letter: its rows under a key of their own, which the letter carries; version 1 is the only one that is sealed here. */
static enum rc seal_rows(const struct seal_letter *in, const struct secret *row_key, struct arena *a, struct queue_row *rows)
{
	struct buf sealed AUTO(buf_done);
	buf_init(&sealed, QUEUE_ROW_MAX);
	for (size_t i = 0; i < in->n; i++) {
		buf_clear(&sealed);
		TRY(letter_rcpt_seal(row_key, 1, (uint32_t)i, &in->rcpts[i], &sealed));
		rows[i] = (struct queue_row){ .state = in->held ? QUEUE_HELD : QUEUE_READY, .priority = in->priority, .flags = in->flags, .lane = in->lanes[i],
			.created_ms = in->letter.created_ms, .due_ms = in->due_ms, .expires_ms = in->expires_ms, .sealed = arena_str(a, buf_str(&sealed)) };
	}
	return a->full ? RC_NOMEM : RC_OK;
}

static enum rc seal_one(const struct seal_letter *in, const struct seal_out *o, struct letter *l, const struct blob_id *blob, struct arena *a, struct queue_put *out)
{
	struct queue_row *rows = arena_new(a, in->n * sizeof *rows);
	struct buf sealed AUTO(buf_done);
	buf_init(&sealed, QUEUE_LETTER_MAX);
	if (!rows)
		return RC_NOMEM;
	TRY(random_bytes(l->row_key.k, sizeof l->row_key.k));
	TRY(seal_rows(in, &l->row_key, a, rows));
	TRY(letter_seal(o->queue_public, blob, l, &sealed));
	*out = (struct queue_put){ .letter = arena_str(a, buf_str(&sealed)), .rows = rows, .row_n = in->n, .account = in->counted };
	return a->full ? RC_NOMEM : RC_OK;
}

enum rc sealer_seal_letters(const struct seal_out *o, const struct secret *body_key, const struct blob_id *blob, size_t message_n, struct arena *a,
                            struct buf *puts)
{
	struct queue_put *list = arena_new(a, o->letter_n * sizeof *list);
	if (!list)
		return RC_NOMEM;
	for (size_t i = 0; i < o->letter_n; i++) {
		struct letter l = o->letters[i].letter;
		l.body_key = *body_key;
		l.size = l.prefix.n + message_n - (l.skip < message_n ? l.skip : message_n);
		enum rc rc = seal_one(&o->letters[i], o, &l, blob, a, &list[i]);
		secret_done(&l.body_key);
		secret_done(&l.row_key);
		TRY(rc);
	}
	wire_put_puts(puts, list, o->letter_n);
	return puts->failed ? RC_NOMEM : RC_OK;
}
