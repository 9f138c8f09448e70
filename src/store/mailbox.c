#include "store/verb.h"

#include "base/mem.h"

/* Flags and removal, in steps: each step is a batch of its own, durable before the next one, so that a STORE over a million
 * messages holds nobody else up. */
enum { FLAGS_STEP = 4096, EXPUNGE_STEP = 1024, SEEN = 1, DELETED = 8, FLAGS_ALL = 31 };

static enum rc open_box(struct tx *t, uint64_t account, uint64_t box, struct tx_box **out, struct why *why)
{
	struct tx_account *a;
	TRY(tx_account(t, account, &a, why));
	return tx_box(t, a, box, out, why);
}

/* ---- flags ---- */
struct flags_step {
	uint64_t account, box;
	struct range_walk walk, next;   /* where this step starts; where the one after it does */
	enum flag_mode mode;
	uint32_t flags;
	const struct str *keywords;
	size_t keyword_n;
	struct message *m;
	uint64_t modseq;
};

static void count_seen(struct tx_box *b, const struct message *m, uint32_t flags)
{
	bool was = m->state.flags & SEEN, is = flags & SEEN;
	if (was && !is) {
		if (b->row.unseen++ == 0 || m->uid < b->row.unseen_from)
			b->row.unseen_from = m->uid;
	} else if (!was && is && b->row.unseen) {
		b->row.unseen--;
		if (m->uid == b->row.unseen_from)
			b->row.unseen_from = m->uid + 1; /* nothing unseen below it, and now not this one either */
	}
}

static void flag_one(struct tx *t, struct tx_box *b, const struct flags_step *f, const struct message *m, uint64_t bits)
{
	struct state_row s = m->state;
	if (f->mode == FLAG_SET) {
		s.flags = f->flags;
		s.keywords = bits;
	} else if (f->mode == FLAG_ADD) {
		s.flags |= f->flags;
		s.keywords |= bits;
	} else {
		s.flags &= ~f->flags;
		s.keywords &= ~bits;
	}
	if (s.flags == m->state.flags && s.keywords == m->state.keywords)
		return;
	count_seen(b, m, s.flags);
	s.modseq = tx_change(t, b, CHANGE_FLAGS, m->uid);
	char row[STATE_LEN];
	struct key k = key_uid(b->id, m->uid);
	batch_put(&t->batch, TABLE_STATE, key_str(&k), state_format(&s, row));
}

static enum rc flags_step(struct tx *t, void *arg, struct why *why)
{
	struct flags_step *f = arg;
	struct tx_box *b;
	uint64_t bits;
	size_t n;
	TRY(open_box(t, f->account, f->box, &b, why));
	f->next = f->walk;
	TRY(walk_collect(t, f->box, &f->next, f->m, FLAGS_STEP, &n));
	TRY(tx_keywords(t, b, f->keywords, f->keyword_n, n > 0 && f->mode != FLAG_REMOVE, &bits, why));
	for (size_t i = 0; i < n; i++)
		if (!f->m[i].damaged)
			flag_one(t, b, f, &f->m[i], bits);
	f->modseq = b->row.highestmodseq;
	return RC_OK;
}

enum rc store_flags(struct store *s, uint64_t account, uint64_t box, const struct uid_range *r, size_t n, enum flag_mode mode, uint32_t flags,
                    const struct str *keywords, size_t keyword_n, uint64_t *out_modseq, struct why *why)
{
	struct flags_step f = { .account = account, .box = box, .walk = { r, n, 0, 0 }, .mode = mode, .flags = flags & FLAGS_ALL,
		                .keywords = keywords, .keyword_n = keyword_n };
	f.m = mem_new(FLAGS_STEP * sizeof *f.m);
	if (!f.m)
		FAIL(why, RC_NOMEM, "no memory for flags");
	enum rc rc;
	do {
		rc = verb_run(s, flags_step, &f, why);
		f.walk = f.next;
	} while (rc == RC_OK && !walk_at_end(&f.walk));
	mem_free(f.m);
	if (rc == RC_OK && out_modseq)
		*out_modseq = f.modseq;
	return rc;
}

/* ---- removal ---- */
static void settle_totals(struct tx_box *b, const struct message *m)
{
	struct account *a = &b->account->row.a;
	uint64_t size = m->damaged ? 0 : m->state.size;
	a->used -= size < a->used ? size : a->used;
	a->messages -= a->messages > 0;
	b->row.size -= size < b->row.size ? size : b->row.size;
	b->row.exists -= b->row.exists > 0;
	if (!m->damaged && !(m->state.flags & SEEN))
		b->row.unseen -= b->row.unseen > 0;
}

enum rc tx_expunge(struct tx *t, struct tx_box *b, const struct message *m, struct why *why)
{
	struct key k = key_uid(b->id, m->uid), rk = key_record(m->state.email, b->id, m->uid);
	struct str v, sealed;
	struct record_clear clear;
	enum rc rc = tx_get(t, TABLE_RECORD, rk, &v);
	if (rc == RC_OK && record_clear_parse(v, &clear, &sealed) == RC_OK)
		batch_blob(&t->batch, &clear.blob, -1);
	else if (rc != RC_OK && rc != RC_NOTFOUND && rc != RC_DAMAGED)
		FAIL(why, rc, "a message's record cannot be read");
	/* a damaged record does not say which body it had: the body stays, and verify tells */
	batch_delete(&t->batch, TABLE_STATE, key_str(&k));
	batch_delete(&t->batch, TABLE_RECORD, key_str(&rk));
	batch_delete(&t->batch, TABLE_GRAMS, key_str(&rk));
	(void)tx_change(t, b, CHANGE_EXPUNGED, m->uid);
	settle_totals(b, m);
	return RC_OK;
}

struct expunge_step {
	uint64_t account, box;
	struct range_walk walk, next;
	bool only_deleted;
	struct message *m;
	uint64_t modseq;
};

static enum rc expunge_step(struct tx *t, void *arg, struct why *why)
{
	struct expunge_step *x = arg;
	struct tx_box *b;
	size_t n;
	TRY(open_box(t, x->account, x->box, &b, why));
	x->next = x->walk;
	TRY(walk_collect(t, x->box, &x->next, x->m, EXPUNGE_STEP, &n));
	for (size_t i = 0; i < n; i++)
		if (!x->only_deleted || (!x->m[i].damaged && x->m[i].state.flags & DELETED))
			TRY(tx_expunge(t, b, &x->m[i], why));
	x->modseq = b->row.highestmodseq;
	return RC_OK;
}

enum rc store_expunge(struct store *s, uint64_t account, uint64_t box, const struct uid_range *r, size_t n, bool only_deleted, uint64_t *out_modseq,
                      struct why *why)
{
	static const struct uid_range all = { 1, UINT32_MAX };
	struct expunge_step x = { .account = account, .box = box, .walk = { r ? r : &all, r ? n : 1, 0, 0 }, .only_deleted = only_deleted };
	x.m = mem_new(EXPUNGE_STEP * sizeof *x.m);
	if (!x.m)
		FAIL(why, RC_NOMEM, "no memory to expunge");
	enum rc rc;
	do {
		rc = verb_run(s, expunge_step, &x, why);
		x.walk = x.next;
	} while (rc == RC_OK && !walk_at_end(&x.walk));
	mem_free(x.m);
	if (rc == RC_OK && out_modseq)
		*out_modseq = x.modseq;
	return rc;
}

enum rc tx_empty(struct tx *t, struct tx_box *b, size_t max, bool *out_left, struct why *why)
{
	static const struct uid_range all = { 1, UINT32_MAX };
	struct range_walk w = { &all, 1, 0, 0 };
	size_t n;
	struct message *m = mem_new(max * sizeof *m);
	if (!m)
		FAIL(why, RC_NOMEM, "no memory to empty a folder");
	enum rc rc = walk_collect(t, b->id, &w, m, max, &n);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = tx_expunge(t, b, &m[i], why);
	mem_free(m);
	*out_left = !walk_at_end(&w);
	return rc;
}
