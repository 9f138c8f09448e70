#include "role/sealer.h"

#include "base/map.h"
#include "base/mem.h"
#include "role/wire_queue.h"

/* Invariants.
 * 1. An epoch key seals only here, and `used` never goes back: no nonce repeats under a key.
 * 2. The epoch's sealed row goes along with every delivery until one that carried it has been answered: no record can be on disk
 *    without the row that opens it, for both are in one commit. */

enum { EPOCH_MS = 3600 * 1000, EPOCHS_MAX = 20000, COPIES_ROOM = 64 << 20, BODY_ROOM = 300 << 20 };

struct epoch_live {
	uint64_t owner, id, used;
	int64_t made;
	bool stored;
	struct epoch_keys *keys;
	struct buf sealed;
};

struct sealer { struct role_env *e; struct map epochs; };

static void epoch_free(struct epoch_live *p)
{
	epoch_keys_free(&p->keys);
	buf_done(&p->sealed);
	mem_free(p);
}

static void forget_all(struct sealer *s)
{
	size_t at = 0;
	for (struct epoch_live *p; (p = map_next(&s->epochs, &at));)
		epoch_free(p);
	map_done(&s->epochs);
	map_init(&s->epochs, EPOCHS_MAX);
}

enum rc sealer_new(struct role_env *e, struct sealer **out)
{
	struct sealer *s = mem_new(sizeof *s);
	if (!s)
		return RC_NOMEM;
	s->e = e;
	map_init(&s->epochs, EPOCHS_MAX);
	*out = s;
	return RC_OK;
}

void sealer_free(struct sealer **s)
{
	if (*s) {
		forget_all(*s);
		map_done(&(*s)->epochs);
	}
	mem_free(*s);
	*s = NULL;
}

static enum rc epoch_make(const struct seal_target *t, int64_t now, struct epoch_live **out)
{
	struct secret key = { 0 };
	struct epoch_live *p = mem_new(sizeof *p);
	if (!p)
		return RC_NOMEM;
	p->owner = t->account;
	p->made = now;
	buf_init(&p->sealed, 4096);
	enum rc rc = random_bytes(&p->id, sizeof p->id);
	p->id = p->id >> 1 | 1; /* never 0 */
	if (rc == RC_OK)
		rc = random_bytes(key.k, sizeof key.k);
	if (rc == RC_OK)
		rc = epoch_keys_new(&key, &p->keys);
	if (rc == RC_OK)
		rc = epoch_seal(&key, p->owner, p->id, t->public_key, &p->sealed);
	secret_done(&key);
	if (rc != RC_OK)
		epoch_free(p);
	else
		*out = p;
	return rc;
}

static enum rc epoch_for(struct sealer *s, const struct seal_target *t, struct epoch_live **out)
{
	int64_t now = loop_now(s->e->loop);
	struct epoch_live *p = map_get_u64(&s->epochs, t->account);
	if (p && p->used < s->e->config->process_epoch_messages && now - p->made < EPOCH_MS) {
		*out = p;
		return RC_OK;
	}
	if (p) {
		(void)map_drop_u64(&s->epochs, t->account);
		epoch_free(p);
	}
	TRY(epoch_make(t, now, &p));
	enum rc rc = map_put_u64(&s->epochs, t->account, p);
	if (rc == RC_FULL) {
		forget_all(s);
		rc = map_put_u64(&s->epochs, t->account, p);
	}
	if (rc != RC_OK)
		epoch_free(p);
	else
		*out = p;
	return rc;
}

/* ---- one delivery ---- */

struct delivery {
	struct arena a;
	struct msg_SCAN_answer found;
	struct ipc_reply found_reply;
	struct buf body, sealed, copies, epochs, puts, sent;
	const struct seal_out *out;     /* NULL: nothing goes out */
	struct blob_id blob;
	struct secret body_key;
	uint64_t id;
};

static void delivery_done(struct delivery *d)
{
	ipc_reply_done(&d->found_reply);
	buf_done(&d->body);
	buf_done(&d->sealed);
	buf_done(&d->copies);
	buf_done(&d->epochs);
	buf_done(&d->puts);
	buf_done(&d->sent);
	secret_done(&d->body_key);
	arena_done(&d->a);
}

/* 22 bits of time in front: the rows by which the store knows a delivery again lie together, a page for a group instead of one each.
 * 42 random bits tell deliveries of one millisecond apart. Never 0. */
static enum rc delivery_id(uint64_t *out)
{
	uint64_t r = 0;
	TRY(random_bytes(&r, sizeof r));
	*out = (uint64_t)(wall_ms() % (3600 * 1000)) << 42 | r >> 22 | 1;
	return RC_OK;
}

/* The same for e-mail ids, by which the index orders records: 42 bits of time, 22 random ones to tell those of one millisecond apart. */
static enum rc email_id(uint64_t *out)
{
	uint64_t r = 0;
	TRY(random_bytes(&r, sizeof r));
	*out = (uint64_t)wall_ms() << 22 | r >> 42;
	return RC_OK;
}

/* Behind what is in d->sealed; the texts of `out` get their places when that stays where it is. */
static enum rc seal_copy(struct sealer *s, struct delivery *d, const struct seal_target *t, struct record_clear *clear,
                         const struct record_plain *plain, struct store_copy *out, struct store_epoch *epoch, bool *out_new)
{
	struct epoch_live *p;
	struct buf *to = &d->sealed;
	TRY(epoch_for(s, t, &p));
	clear->owner = t->account;
	clear->epoch = p->id;
	clear->nonce = p->used++;
	size_t start = to->len;
	TRY(record_seal_plain(p->keys, clear, plain, to));
	size_t middle = to->len;
	TRY(grams_seal(p->keys, clear, d->found.grams, to));
	*out = (struct store_copy){ .account = t->account, .box = t->box, .flags = t->flags, .keywords = t->keywords, .keyword_n = t->keyword_n,
		.email_id = clear->email_id, .record.n = middle - start, .grams.n = to->len - middle };
	*out_new = !p->stored;
	if (*out_new)
		*epoch = (struct store_epoch){ p->owner, p->id, arena_str(&d->a, buf_str(&p->sealed)) };
	return d->a.full ? RC_NOMEM : RC_OK;
}

static enum rc seal_copies(struct sealer *s, struct delivery *d, struct record_clear *clear, const struct seal_target *t, size_t n,
                           struct store_copy *copies, struct store_epoch *epochs, size_t *out_epochs)
{
	struct record_plain plain;
	struct record_secret secret = { .envelope = d->found.envelope, .structure = d->found.structure, .parts = d->found.parts,
		.preview = d->found.preview, .fields = d->found.fields, .body_key = d->body_key };
	size_t epoch_n = 0;
	enum rc rc = record_plain_make(&secret, &plain);
	secret_done(&secret.body_key);
	TRY(rc);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		bool fresh = false;
		rc = email_id(&clear->email_id);
		if (rc == RC_OK)
			rc = seal_copy(s, d, &t[i], clear, &plain, &copies[i], &epochs[epoch_n], &fresh);
		epoch_n += fresh;
		if (i == 0 && rc == RC_OK) /* all are of one size */
			(void)buf_room(&d->sealed, (n - 1) * d->sealed.len);
	}
	record_plain_done(&plain);
	const char *at = d->sealed.p;
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		copies[i].record.p = at;
		copies[i].grams.p = at + copies[i].record.n;
		at += copies[i].record.n + copies[i].grams.n;
	}
	*out_epochs = epoch_n;
	return rc;
}

static enum rc seal_out(struct delivery *d, size_t message_n)
{
	TRY(sealer_seal_letters(d->out, &d->body_key, &d->blob, message_n, &d->a, &d->puts));
	if (d->out->sent)
		wire_put_sent(&d->sent, d->out->sent);
	return d->puts.failed || d->sent.failed ? RC_NOMEM : RC_OK;
}

static enum rc seal_all(struct sealer *s, struct delivery *d, struct str message, int64_t internal_ms, const struct seal_target *t, size_t n)
{
	struct store_copy *copies = arena_new(&d->a, n * sizeof *copies);
	struct store_epoch *epochs = arena_new(&d->a, n * sizeof *epochs);
	size_t epoch_n = 0;
	if (!copies || !epochs)
		return RC_NOMEM;
	TRY(random_bytes(d->body_key.k, sizeof d->body_key.k));
	d->id = d->out ? d->out->delivery : 0;
	if (!d->id)
		TRY(delivery_id(&d->id));
	TRY(blob_id_new(&d->blob));
	/* One body, one key: it belongs to the first; every copy's record carries the key, and so does every letter. */
	TRY(blob_seal(&d->body_key, &d->blob, n ? t[0].account : d->out->letters[0].letter.account, message, &d->body));
	if (d->out)
		TRY(seal_out(d, message.n));
	struct record_clear clear = { .internal_ms = internal_ms, .save_ms = wall_ms(), .blob = d->blob };
	if (n)
		TRY(seal_copies(s, d, &clear, t, n, copies, epochs, &epoch_n));
	for (size_t i = 0; i < n; i++)
		copies[i].size = message.n;
	size_t total = 0;
	for (size_t i = 0; i < n; i++)
		total += copies[i].record.n + copies[i].grams.n + 64;
	(void)buf_room(&d->copies, total + 16); /* once, not in doubling steps; keywords may add to it */
	wire_put_copies(&d->copies, copies, n);
	wire_put_epochs(&d->epochs, epochs, epoch_n);
	return d->copies.failed || d->epochs.failed || d->body.failed ? RC_NOMEM : RC_OK;
}

static void mark_stored(struct sealer *s, struct delivery *d)
{
	struct store_epoch *list;
	size_t n;
	if (wire_get_epochs(buf_str(&d->epochs), &d->a, &list, &n) != RC_OK)
		return;
	for (size_t i = 0; i < n; i++) {
		struct epoch_live *p = map_get_u64(&s->epochs, list[i].owner);
		if (p && p->id == list[i].epoch)
			p->stored = true;
	}
}

static enum rc commit(struct sealer *s, struct delivery *d, size_t n, struct store_copy_result *results, struct why *why)
{
	struct msg_DELIVER q = { .delivery = d->id, .blob = str_of(d->blob.b, sizeof d->blob.b), .body = buf_str(&d->body),
		.epochs = buf_str(&d->epochs), .copies = buf_str(&d->copies), .puts = buf_str(&d->puts), .sent = buf_str(&d->sent) };
	struct msg_DELIVER_answer a;
	struct ipc_reply reply = { 0 };
	struct store_copy_result *got;
	uint64_t *letters = NULL;
	size_t got_n = 0, letter_n = 0, want = d->out ? d->out->letter_n : 0;
	/* Asking again is harmless: the store knows the delivery id. */
	enum rc rc = ipc_ask_role(s->e->node, ROLE_STORE, MSG_DELIVER, &q, &a, &reply, true, why);
	if (rc == RC_OK)
		rc = wire_get_results(a.results, &d->a, &got, &got_n);
	if (rc == RC_OK)
		rc = wire_get_ids(a.letters, &d->a, &letters, &letter_n);
	if (rc == RC_OK && (got_n != n || letter_n != want))
		rc = why_fail(why, RC_SYNTAX, 0, __FILE__, "4.3.0 the store's answer does not fit");
	if (rc == RC_OK) {
		if (n)
			memcpy(results, got, n * sizeof *results);
		if (want && d->out->out_letters)
			memcpy(d->out->out_letters, letters, want * sizeof *letters);
		mark_stored(s, d);
	}
	ipc_reply_done(&reply);
	return rc;
}

enum rc sealer_deliver_out(struct sealer *s, struct str message, int64_t internal_ms, const struct seal_target *targets, size_t n,
                           const struct seal_out *out, struct store_copy_result *results, uint32_t *out_defects, struct why *why)
{
	struct delivery d = { .out = out };
	struct msg_SCAN q = { .message = message };
	enum rc rc = RC_OK;
	*out_defects = 0;
	if (n == 0 && (!out || out->letter_n == 0))
		FAIL(why, RC_LIMIT, "4.3.0 a delivery to nobody");
	arena_init(&d.a, COPIES_ROOM);
	buf_init(&d.body, BODY_ROOM);
	buf_init(&d.sealed, COPIES_ROOM);
	buf_init(&d.copies, COPIES_ROOM);
	buf_init(&d.epochs, 1 << 20);
	buf_init(&d.puts, COPIES_ROOM);
	buf_init(&d.sent, 1 << 20);
	if (n) {
		rc = ipc_ask_role(s->e->node, ROLE_SCAN, MSG_SCAN, &q, &d.found, &d.found_reply, true, why);
		*out_defects = rc == RC_OK ? d.found.defects : 0;
	}
	if (rc == RC_OK) {
		rc = seal_all(s, &d, message, internal_ms, targets, n);
		if (rc != RC_OK)
			(void)why_fail(why, rc, 0, __FILE__, rc == RC_LIMIT ? "5.3.4 too long to be sealed" : "4.3.0 no memory to seal the message");
	}
	if (rc == RC_OK)
		rc = commit(s, &d, n, results, why);
	delivery_done(&d);
	return rc;
}

enum rc sealer_deliver(struct sealer *s, struct str message, int64_t internal_ms, const struct seal_target *targets, size_t n,
                       struct store_copy_result *results, uint32_t *out_defects, struct why *why)
{
	return sealer_deliver_out(s, message, internal_ms, targets, n, NULL, results, out_defects, why);
}
