#include "store/verb.h"

#include "base/mem.h"

/* COPY and MOVE within one account: all or nothing, so one batch whatever its size. Sealed bytes go along unchanged: their context
 * is the email's id, never folder or uid. A copy is one more reference to its body; a move keeps the one there is. */
enum { COPY_MAX = 250000, SEEN = 1, SAVE_DATE_AT = 1 + 8, SAVE_DATE_LEN = 8 };

struct copy_verb {
	uint64_t account, from, to;
	const struct uid_range *r;
	size_t n;
	bool move;
	struct arena *a;
	struct uid_range *src, *dst;
	size_t pairs, cap;
	uint32_t uidvalidity;
	struct message *m;
	size_t m_n;
};

static enum rc collect(struct tx *t, struct copy_verb *c, struct why *why)
{
	struct range_walk w = { c->r, c->n, 0, 0 };
	size_t cap = 0;
	c->m_n = 0;
	while (!walk_at_end(&w)) {
		if (c->m_n == cap) {
			size_t more = cap ? cap * 2 : 256;
			struct message *m = cap >= COPY_MAX ? NULL : mem_grow(c->m, cap * sizeof *m, more * sizeof *m);
			if (!m)
				FAIL(why, cap >= COPY_MAX ? RC_LIMIT : RC_NOMEM, "at most %d messages at once", COPY_MAX);
			c->m = m;
			cap = more;
		}
		size_t n;
		TRY(walk_collect(t, c->from, &w, c->m + c->m_n, cap - c->m_n, &n));
		c->m_n += n;
	}
	return RC_OK;
}

/* Keyword bits mean different names in different folders. */
static enum rc map_keywords(struct tx *t, struct tx_box *from, struct tx_box *to, uint64_t bits, uint64_t *out, struct why *why)
{
	struct str names[64];
	size_t n = 0;
	*out = 0;
	if (!bits)
		return RC_OK;
	TRY(tx_keyword_names(t, from));
	for (unsigned i = 0; i < 64; i++)
		if (bits >> i & 1 && from->keywords[i].n)
			names[n++] = from->keywords[i];
	return tx_keywords(t, to, names, n, true, out, why);
}

static enum rc note_pair(struct copy_verb *c, uint32_t src, uint32_t dst)
{
	struct uid_range *s = c->pairs ? &c->src[c->pairs - 1] : NULL, *d = c->pairs ? &c->dst[c->pairs - 1] : NULL;
	if (s && s->last + 1 == src && d->last + 1 == dst) {
		s->last = src;
		d->last = dst;
		return RC_OK;
	}
	if (c->pairs == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 16;
		struct uid_range *ns = arena_new(c->a, cap * sizeof *ns), *nd = arena_new(c->a, cap * sizeof *nd);
		if (!ns || !nd)
			return RC_NOMEM;
		if (c->pairs) {
			memcpy(ns, c->src, c->pairs * sizeof *ns);
			memcpy(nd, c->dst, c->pairs * sizeof *nd);
		}
		c->src = ns;
		c->dst = nd;
		c->cap = cap;
	}
	c->src[c->pairs] = (struct uid_range){ src, src };
	c->dst[c->pairs++] = (struct uid_range){ dst, dst };
	return RC_OK;
}

static enum rc read_clear(struct tx *t, struct key k, struct record_clear *out, struct why *why)
{
	struct str v, sealed;
	struct key bk;
	enum rc rc = tx_get(t, TABLE_RECORD, k, &v);
	if (rc == RC_OK)
		rc = record_clear_parse(v, out, &sealed);
	if (rc == RC_OK) {
		bk = key_blob(&out->blob);
		rc = tx_get(t, TABLE_BLOB, bk, &v);
	}
	if (rc == RC_NOTFOUND || rc == RC_DAMAGED)
		FAIL(why, RC_DAMAGED, "a message among these is damaged");
	return rc;
}

static enum rc copy_one(struct tx *t, struct copy_verb *c, struct tx_box *from, struct tx_box *to, const struct message *m, struct why *why)
{
	struct key k = key_record(m->state.email, from->id, m->uid);
	struct record_clear clear;
	if (m->damaged)
		FAIL(why, RC_DAMAGED, "a message among these is damaged");
	TRY(read_clear(t, k, &clear, why));
	struct state_row s = m->state;
	TRY(map_keywords(t, from, to, m->state.keywords, &s.keywords, why));
	uint32_t uid = to->row.uidnext++;
	s.modseq = tx_change(t, to, CHANGE_NEW, uid);
	struct key nk = key_uid(to->id, uid), nrk = key_record(s.email, to->id, uid);
	char row[STATE_LEN], saved[SAVE_DATE_LEN];
	struct pen p = { saved, saved + sizeof saved, false };
	pen_int(&p, (uint64_t)t->now, 8); /* RFC 8514: a copy is saved when it is copied */
	batch_put(&t->batch, TABLE_STATE, key_str(&nk), state_format(&s, row));
	batch_copy(&t->batch, TABLE_RECORD, key_str(&k), key_str(&nrk), SAVE_DATE_AT, str_of(saved, sizeof saved), false);
	batch_copy(&t->batch, TABLE_GRAMS, key_str(&k), key_str(&nrk), 0, STR(""), true);
	batch_blob(&t->batch, &clear.blob, 1);
	to->account->row.a.used += s.size;
	to->account->row.a.messages++;
	to->row.exists++;
	to->row.size += s.size;
	if (!(s.flags & SEEN) && to->row.unseen++ == 0)
		to->row.unseen_from = uid;
	if (note_pair(c, m->uid, uid) != RC_OK)
		FAIL(why, RC_NOMEM, "no memory for a copy");
	return RC_OK;
}

static enum rc copy(struct tx *t, void *arg, struct why *why)
{
	struct copy_verb *c = arg;
	struct tx_account *a;
	struct tx_box *from, *to;
	c->pairs = 0;
	TRY(tx_account(t, c->account, &a, why));
	TRY(tx_box(t, a, c->from, &from, why));
	TRY(tx_box(t, a, c->to, &to, why));
	if (!to->row.selectable)
		FAIL(why, RC_NOTFOUND, "that folder holds no messages");
	TRY(collect(t, c, why));
	uint64_t size = 0;
	for (size_t i = 0; i < c->m_n; i++)
		size += c->m[i].state.size;
	if (!c->move && a->row.a.quota && (size > a->row.a.quota || a->row.a.used > a->row.a.quota - size))
		FAIL(why, RC_FULL, "5.2.2 mailbox full");
	if (c->m_n >= UINT32_MAX - to->row.uidnext)
		FAIL(why, RC_LIMIT, "the folder has no more UIDs");
	for (size_t i = 0; i < c->m_n; i++)
		TRY(copy_one(t, c, from, to, &c->m[i], why));
	for (size_t i = 0; c->move && i < c->m_n; i++)
		TRY(tx_expunge(t, from, &c->m[i], why));
	c->uidvalidity = to->row.uidvalidity;
	return RC_OK;
}

enum rc store_copy_to(struct store *s, uint64_t account, uint64_t box, const struct uid_range *r, size_t n, uint64_t to, bool move, struct arena *a,
                      struct uid_range **out_src, struct uid_range **out_dst, size_t *out_n, uint32_t *out_uidvalidity, struct why *why)
{
	struct copy_verb c = { .account = account, .from = box, .to = to, .r = r, .n = n, .move = move, .a = a };
	enum rc rc = verb_run(s, copy, &c, why);
	mem_free(c.m);
	if (rc != RC_OK)
		return rc;
	*out_src = c.src;
	*out_dst = c.dst;
	*out_n = c.pairs;
	*out_uidvalidity = c.uidvalidity;
	return RC_OK;
}
