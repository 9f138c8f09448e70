#include "store/verb.h"

/* Delivery: one body, any number of copies and letters to go out, one batch. A retry after a lost answer finds the first answer under the delivery's id. */
enum { COPIES_MAX = 10000, HOUR_MS = 3600 * 1000, RESULT_LEN = 1 + 4 + 4 + 8 + 8, PRUNE_EVERY = 64, PRUNE_STEP = 128, FLAGS_ALL = 31 };

struct delivery {
	uint64_t id;
	const struct blob_id *blob;
	struct str body;
	const struct store_epoch *epochs;
	size_t epoch_n;
	const struct store_copy *copies;
	size_t n;
	struct store_copy_result *out;
	const struct queue_put *puts;
	size_t put_n;
	const struct sent_note *sent;
	uint64_t *letters;              /* out */
	struct why *why;                /* a single copy's refusal, for people */
};

static uint64_t hour_of(int64_t ms) { return (uint64_t)(ms / HOUR_MS); }

static enum rc read_results(struct str v, struct delivery *d)
{
	struct cursor c = cursor_of(v);
	if (v.n != d->n * RESULT_LEN + d->put_n * sizeof(uint64_t))
		return RC_SYNTAX;
	for (size_t i = 0; i < d->n; i++) {
		struct store_copy_result *r = &d->out[i];
		r->rc = cursor_u8(&c);
		r->uid = cursor_u32(&c);
		r->uidvalidity = cursor_u32(&c);
		r->modseq = cursor_u64(&c);
		r->box = cursor_u64(&c);
	}
	for (size_t i = 0; i < d->put_n; i++)
		d->letters[i] = cursor_u64(&c);
	return RC_OK;
}

/* RC_OK: it was delivered already. */
static enum rc find_delivery(struct tx *t, struct delivery *d, struct why *why)
{
	struct str v;
	enum rc rc = d->id ? tx_get(t, TABLE_DELIVERY, key_pair(hour_of(t->now), d->id), &v) : RC_NOTFOUND;
	if (d->id && rc == RC_NOTFOUND)
		rc = tx_get(t, TABLE_DELIVERY, key_pair(hour_of(t->now) - 1, d->id), &v);
	if (rc == RC_OK && read_results(v, d) != RC_OK)
		FAIL(why, RC_SYNTAX, "another delivery has this id");
	return rc;
}

static bool prune_row(void *arg, const struct engine_row *r)
{
	struct tx *t = arg;
	batch_delete(&t->batch, TABLE_DELIVERY, r->key);
	return true;
}

static enum rc put_delivery(struct tx *t, const struct delivery *d)
{
	struct buf b;
	buf_init(&b, COPIES_MAX * RESULT_LEN + PUTS_MAX * sizeof(uint64_t));
	for (size_t i = 0; i < d->n; i++) {
		const struct store_copy_result *r = &d->out[i];
		buf_u8(&b, (uint8_t)r->rc);
		buf_u32(&b, r->uid);
		buf_u32(&b, r->uidvalidity);
		buf_u64(&b, r->modseq);
		buf_u64(&b, r->box);
	}
	for (size_t i = 0; i < d->put_n; i++)
		buf_u64(&b, d->letters[i]);
	struct key k = key_pair(hour_of(t->now), d->id);
	batch_put(&t->batch, TABLE_DELIVERY, key_str(&k), buf_str(&b));
	bool failed = b.failed;
	buf_done(&b);
	if (failed)
		return RC_NOMEM;
	if (t->s->verbs % PRUNE_EVERY)
		return RC_OK;
	struct key from = key_pair(0, 0), to = key_pair(hour_of(t->now) - 1, 0);
	return engine_scan(t->s->engine, TABLE_DELIVERY, key_str(&from), key_str(&to), PRUNE_STEP, prune_row, t, NULL);
}

/* A copy is put where its recipient's totals and quota allow. RC_NOTFOUND and RC_FULL are this copy's alone. */
static enum rc put_copy(struct tx *t, struct delivery *d, const struct store_copy *c, struct store_copy_result *out, struct why *why)
{
	struct tx_account *a;
	struct tx_box *b;
	TRY(tx_account(t, c->account, &a, why));
	TRY(tx_box(t, a, c->box ? c->box : a->row.a.inbox, &b, why));
	if (!b->row.selectable)
		FAIL(why, RC_NOTFOUND, "that folder holds no messages");
	if (a->row.a.quota && (c->size > a->row.a.quota || a->row.a.used > a->row.a.quota - c->size))
		FAIL(why, RC_FULL, "5.2.2 mailbox full");
	if (c->size > UINT32_MAX || b->row.uidnext == UINT32_MAX)
		FAIL(why, RC_LIMIT, "message or folder too large");
	struct state_row s = { .flags = c->flags & FLAGS_ALL, .size = (uint32_t)c->size, .email = c->email_id };
	TRY(tx_keywords(t, b, c->keywords, c->keyword_n, true, &s.keywords, why));
	uint32_t uid = b->row.uidnext++;
	s.modseq = tx_change(t, b, CHANGE_NEW, uid);
	char row[STATE_LEN];
	struct key k = key_uid(b->id, uid), rk = key_record(c->email_id, b->id, uid);
	batch_put(&t->batch, TABLE_STATE, key_str(&k), state_format(&s, row));
	batch_lend(&t->batch, TABLE_RECORD, key_str(&rk), c->record);
	if (c->grams.n)
		batch_lend(&t->batch, TABLE_GRAMS, key_str(&rk), c->grams);
	a->row.a.used += c->size;
	a->row.a.messages++;
	b->row.exists++;
	b->row.size += c->size;
	if (!(s.flags & 1)) {
		if (b->row.unseen++ == 0)
			b->row.unseen_from = uid;
	}
	*out = (struct store_copy_result){ RC_OK, uid, b->row.uidvalidity, s.modseq, b->id };
	return RC_OK;
}

static enum rc put_epochs(struct tx *t, const struct delivery *d)
{
	for (size_t i = 0; i < d->epoch_n; i++) {
		struct key k = key_pair(d->epochs[i].owner, d->epochs[i].epoch);
		struct str v;
		enum rc rc = tx_get(t, TABLE_EPOCH, k, &v);
		if (rc == RC_OK)
			continue; /* an epoch's key never changes */
		if (rc != RC_NOTFOUND)
			return rc;
		struct buf b;
		buf_init(&b, 4096);
		buf_u8(&b, 0);
		buf_add(&b, d->epochs[i].sealed);
		batch_put(&t->batch, TABLE_EPOCH, key_str(&k), buf_str(&b));
		bool failed = b.failed;
		buf_done(&b);
		if (failed)
			return RC_LIMIT;
	}
	return RC_OK;
}

static enum rc deliver(struct tx *t, void *arg, struct why *why)
{
	struct delivery *d = arg;
	enum rc rc = find_delivery(t, d, why);
	if (rc != RC_NOTFOUND)
		return rc;
	int32_t stored = 0;
	for (size_t i = 0; i < d->n; i++) {
		struct store_copy_result none = { 0 };
		rc = put_copy(t, d, &d->copies[i], &none, why);
		if (rc != RC_OK && rc != RC_NOTFOUND && rc != RC_FULL)
			return rc;
		d->out[i] = none;
		d->out[i].rc = rc;
		stored += rc == RC_OK;
	}
	if (stored == 0 && d->put_n == 0)
		return RC_OK;
	if (d->sent)
		TRY(tx_sent(t, d->sent, why));
	TRY(put_epochs(t, d));
	TRY(tx_queue_put(t, d->blob, d->puts, d->put_n, d->sent, d->letters, why));
	batch_blob(&t->batch, d->blob, stored + (int32_t)d->put_n);
	if (d->id)
		TRY(put_delivery(t, d));
	return engine_blob_put(t->s->engine, d->blob, d->body, why);
}

static enum rc check_copies(const struct delivery *d, struct why *why)
{
	if ((d->n == 0 && d->put_n == 0) || d->n > COPIES_MAX)
		FAIL(why, RC_LIMIT, "a delivery has 1 to %d copies", COPIES_MAX);
	for (size_t i = 0; i < d->n; i++) {
		struct record_clear clear;
		struct str sealed;
		if (record_clear_parse(d->copies[i].record, &clear, &sealed) != RC_OK || clear.email_id != d->copies[i].email_id ||
		    memcmp(clear.blob.b, d->blob->b, BLOB_ID_LEN) != 0)
			FAIL(why, RC_SYNTAX, "a copy's record does not belong to this delivery");
	}
	return RC_OK;
}

enum rc store_deliver_out(struct store *s, uint64_t delivery, const struct blob_id *blob, struct str sealed_body, const struct store_epoch *epochs,
                          size_t epoch_n, const struct store_copy *copies, size_t n, const struct queue_put *puts, size_t put_n,
                          const struct sent_note *sent, struct store_copy_result *out, uint64_t *out_letters, struct why *why)
{
	struct delivery d = { delivery, blob, sealed_body, epochs, epoch_n, copies, n, out, puts, put_n, sent, out_letters, why };
	TRY(check_copies(&d, why));
	TRY(queue_check_puts(puts, put_n, sent, why));
	TRY(blob_check(sealed_body, blob, why)); /* what is kept must be what verify would accept */
	enum rc rc = verb_run(s, deliver, &d, why);
	engine_blob_drop(s->engine, blob);
	return rc;
}

enum rc store_deliver(struct store *s, uint64_t delivery, const struct blob_id *blob, struct str sealed_body, const struct store_epoch *epochs,
                      size_t epoch_n, const struct store_copy *copies, size_t n, struct store_copy_result *out, struct why *why)
{
	return store_deliver_out(s, delivery, blob, sealed_body, epochs, epoch_n, copies, n, NULL, 0, NULL, out, NULL, why);
}
