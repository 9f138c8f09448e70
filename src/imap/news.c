#include "imap/internal.h"

#include "base/mem.h"

/* What changed in the selected mailbox, and how it is told. The house gives changes in modseq order and in pieces; all of
 * them are gathered first, because a new message's row may come before that of an older one, and sequence numbers that
 * the client has heard of never move but by an EXPUNGE. */

enum { FLAG_NEWS_MAX = 100000 }; /* past that many the rows are read instead */

struct flag_change { uint32_t uid, flags; uint64_t keywords; };
struct news {
	struct ranges fresh, gone;
	struct flag_change *flags;
	size_t flag_n, flag_cap;
	bool is_reload;
	uint64_t before;
};

static void news_done(struct news *n)
{
	ranges_done(&n->fresh);
	ranges_done(&n->gone);
	mem_free(n->flags);
	*n = (struct news){ 0 };
}

static enum rc news_add_flags(struct news *n, const struct imap_change *c)
{
	if (n->flag_n == n->flag_cap) {
		size_t cap = n->flag_cap ? n->flag_cap * 2 : 8;
		void *p = cap <= 2 * FLAG_NEWS_MAX ? mem_grow(n->flags, n->flag_cap * sizeof *n->flags, cap * sizeof *n->flags) : NULL;
		if (!p)
			return RC_NOMEM;
		n->flags = p;
		n->flag_cap = cap;
	}
	n->flags[n->flag_n++] = (struct flag_change){ c->uid, c->flags, c->keywords };
	return RC_OK;
}

static enum rc gather(struct session *s, struct news *n, struct why *why)
{
	struct selected *box = &s->box;
	uint32_t last = seqmap_last_uid(&box->map);
	for (bool more = true; more;) {
		struct arena a;
		struct imap_change *v = NULL;
		size_t count = 0;
		arena_init(&a, HOUSE_ARENA_MAX);
		more = false;
		enum rc rc = s->hooks->changes(s->hooks->house, box->id, box->modseq, &a, &v, &count, &box->modseq, &more, why);
		for (size_t i = 0; rc == RC_OK && i < count; i++) {
			if (v[i].expunged)
				ranges_add(&n->gone, v[i].uid, v[i].uid);
			else if (v[i].uid > last)
				ranges_add(&n->fresh, v[i].uid, v[i].uid);
			else if (seqmap_seq(&box->map, v[i].uid) && n->flag_n < FLAG_NEWS_MAX)
				rc = news_add_flags(n, &v[i]);
			else if (n->flag_n >= FLAG_NEWS_MAX)
				n->is_reload = true;
		}
		arena_done(&a);
		if (n->fresh.failed || n->gone.failed)
			rc = RC_NOMEM;
		TRY(rc);
	}
	return RC_OK;
}

/* Fresh: above all that the client knows. Gone: what the client knows, less what is there. */
static enum rc compare(const struct selected *box, const struct imap_box *now, struct news *n)
{
	struct ranges there = { 0 }, known = { 0 };
	struct seqmap left = { 0 };
	uint32_t last = seqmap_last_uid(&box->map);
	for (size_t i = 0; i < now->run_count; i++) {
		struct imap_range r = now->runs[i];
		ranges_add(&there, r.first, r.last);
		if (r.last > last)
			ranges_add(&n->fresh, r.first > last ? r.first : last + 1, r.last);
	}
	for (size_t i = 0; i < box->map.n; i++)
		ranges_add(&known, box->map.runs[i].first, box->map.runs[i].last);
	enum rc rc = there.failed || known.failed ? RC_NOMEM : seqmap_set(&left, known.v, known.n);
	if (rc == RC_OK)
		rc = seqmap_remove(&left, &there);
	for (size_t i = 0; rc == RC_OK && i < left.n; i++)
		ranges_add(&n->gone, left.runs[i].first, left.runs[i].last);
	ranges_done(&there);
	ranges_done(&known);
	seqmap_done(&left);
	return rc == RC_OK && (n->gone.failed || n->fresh.failed) ? RC_NOMEM : rc;
}

/* The house no longer knows what happened since: compare what is there with what the client knows. */
static enum rc reload(struct session *s, struct news *n, struct why *why)
{
	struct selected *box = &s->box;
	struct arena a;
	struct imap_box now = { 0 };
	arena_init(&a, HOUSE_ARENA_MAX);
	s->hooks->close(s->hooks->house, box->id);
	enum rc rc = s->hooks->open(s->hooks->house, box->id, box->readonly, &a, &now, why);
	box->is_open = rc == RC_OK;
	if (rc == RC_OK && now.uidvalidity != box->uidvalidity)
		rc = RC_CONFLICT;
	if (rc == RC_OK)
		rc = compare(box, &now, n);
	if (rc == RC_OK) {
		box->modseq = now.highestmodseq;
		rc = selected_keywords(s, &now);
	}
	arena_done(&a);
	return rc;
}

/* Is there news of every message in the list? */
static bool has_all(const struct selected *box, const struct news *n, const struct ranges *uids)
{
	struct ranges got = { 0 };
	uint64_t there = 0;
	for (size_t i = 0; i < n->flag_n; i++)
		if (ranges_have(uids, n->flags[i].uid) && !ranges_have(&box->held, n->flags[i].uid))
			ranges_add(&got, n->flags[i].uid, n->flags[i].uid);
	ranges_tidy(&got);
	for (size_t i = 0; i < uids->n; i++) {
		struct imap_range u = uids->v[i];
		for (size_t k = seqmap_run_at(&box->map, u.first); k < box->map.n && box->map.runs[k].first <= u.last; k++) {
			struct seqmap_run r = box->map.runs[k];
			there += (r.last < u.last ? r.last : u.last) - (r.first > u.first ? r.first : u.first) + 1u;
		}
	}
	bool all = !got.failed && ranges_total(&got) == there;
	ranges_done(&got);
	return all;
}

static bool is_told(const struct told *t, const struct flag_change *c)
{
	if (!t || (t->covers && *t->covers) || !ranges_have(t->uids, c->uid))
		return false;
	if (!t->compare)
		return true;
	switch (t->mode) {
	case FLAGS_SET: return c->flags == t->flags && c->keywords == t->keywords;
	case FLAGS_ADD: return (c->flags & t->flags) == t->flags && (c->keywords & t->keywords) == t->keywords;
	case FLAGS_REMOVE: return (c->flags & t->flags) == 0 && (c->keywords & t->keywords) == 0;
	}
	return false;
}

static void tell_row_flags(struct session *s, struct out *o, const struct flag_change *c)
{
	uint32_t seq = seqmap_seq(&s->box.map, c->uid);
	if (!seq)
		return;
	out_put(o, STR("* "));
	out_num(o, seq);
	out_put(o, STR(" FETCH ("));
	if (s->by_uid) {
		out_put(o, STR("UID "));
		out_num(o, c->uid);
		out_put(o, STR(" "));
	}
	out_put(o, STR("FLAGS "));
	out_flags(o, &s->box, c->uid, c->flags, c->keywords);
	out_put(o, STR(")\r\n"));
}

static enum rc tell_flag_news(struct session *s, const struct news *n, const struct told *told)
{
	struct out o = { .io = s->io };
	for (size_t i = 0; i < n->flag_n; i++)
		if (n->flags[i].keywords & ~s->box.known_keywords) {
			TRY(selected_refresh_keywords(s));
			break;
		}
	if (told && told->covers)
		*told->covers = has_all(&s->box, n, told->uids);
	for (size_t i = 0; i < n->flag_n; i++)
		if (!is_told(told, &n->flags[i]) && !ranges_have(&s->box.held, n->flags[i].uid))
			tell_row_flags(s, &o, &n->flags[i]);
	out_flush(&o);
	return RC_OK;
}

/* After a reload: every row that is newer than what the client knows. */
static enum rc tell_newer_rows(struct session *s, uint64_t before, struct why *why)
{
	uint32_t last = seqmap_last_uid(&s->box.map);
	struct imap_range all = { 1, last };
	struct out o = { .io = s->io };
	void *cursor;
	if (!last)
		return RC_OK;
	tell_flags(s);
	TRY(s->hooks->fetch_open(s->hooks->house, s->box.id, &all, 1, WANT_STATE, &cursor, why));
	enum rc rc;
	for (;;) {
		struct imap_row row = { 0 };
		rc = s->hooks->fetch_next(s->hooks->house, cursor, &row, why);
		if (rc == RC_DAMAGED)
			continue;
		if (rc != RC_OK)
			break;
		if (row.modseq > before && row.keywords & ~s->box.known_keywords && selected_refresh_keywords(s) != RC_OK)
			break;
		if (row.modseq > before)
			tell_row_flags(s, &o, &(struct flag_change){ row.uid, row.flags, row.keywords });
		out_flush(&o);
	}
	s->hooks->fetch_close(s->hooks->house, cursor);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* RFC 3501 7.4.1: after each EXPUNGE the higher sequence numbers are one less: told in ascending order, the k-th is
 * its number less k. */
static enum rc tell_expunged(struct session *s)
{
	struct selected *box = &s->box;
	struct ranges real = { 0 };
	struct out o = { .io = s->io };
	ranges_tidy(&box->held);
	for (size_t i = 0; i < box->held.n; i++) {
		struct imap_range g = box->held.v[i];
		for (size_t k = seqmap_run_at(&box->map, g.first); k < box->map.n && box->map.runs[k].first <= g.last; k++) {
			struct seqmap_run r = box->map.runs[k];
			ranges_add(&real, r.first > g.first ? r.first : g.first, r.last < g.last ? r.last : g.last);
		}
	}
	uint32_t before = 0;
	for (size_t i = 0; i < real.n && !real.failed; i++) {
		uint32_t seq = seqmap_seq(&box->map, real.v[i].first), n = real.v[i].last - real.v[i].first + 1;
		for (uint32_t k = 0; k < n; k++) {
			out_put(&o, STR("* "));
			out_num(&o, seq - before);
			out_put(&o, STR(" EXPUNGE\r\n"));
		}
		before += n;
	}
	out_flush(&o);
	enum rc rc = real.failed ? RC_NOMEM : seqmap_remove(&box->map, &real);
	ranges_done(&real);
	ranges_done(&box->held);
	return rc;
}

static enum rc tell_fresh(struct session *s, struct news *n)
{
	struct selected *box = &s->box;
	struct seqmap fresh = { 0 };
	ranges_tidy(&n->fresh);
	enum rc rc = seqmap_set(&fresh, n->fresh.v, n->fresh.n);
	if (rc == RC_OK)
		rc = seqmap_remove(&fresh, &n->gone); /* came and went unseen */
	for (size_t i = 0; rc == RC_OK && i < fresh.n; i++)
		rc = seqmap_add(&box->map, fresh.runs[i].first, fresh.runs[i].last);
	if (rc == RC_OK && fresh.count)
		rc = recent_take(s, fresh.runs[0].first, seqmap_last_uid(&fresh));
	if (rc == RC_OK && fresh.count) {
		stream_writef(s->io, "* %u EXISTS\r\n", (unsigned)box->map.count);
		tell_recent(s);
	}
	seqmap_done(&fresh);
	return rc;
}

static enum rc tell(struct session *s, struct news *n, bool may_expunge, const struct told *told, struct why *why)
{
	struct selected *box = &s->box;
	n->before = box->modseq;
	enum rc rc = gather(s, n, why);
	if (rc == RC_NOTFOUND || (rc == RC_OK && n->is_reload)) {
		uint64_t before = n->before;
		news_done(n);
		*n = (struct news){ .is_reload = true, .before = before };
		rc = reload(s, n, why);
	}
	TRY(rc);
	ranges_tidy(&n->gone);
	for (size_t i = 0; i < n->gone.n; i++)
		ranges_add(&box->held, n->gone.v[i].first, n->gone.v[i].last);
	ranges_tidy(&box->held);
	if (box->held.failed)
		return RC_NOMEM;
	TRY(n->is_reload ? tell_newer_rows(s, n->before, why) : tell_flag_news(s, n, told));
	bool shrinks = may_expunge && box->held.n;
	if (shrinks)
		TRY(tell_expunged(s));
	if (n->fresh.n)
		TRY(tell_fresh(s, n));
	/* RFC 3501 7.3.2: RECENT comes "if the size of the mailbox changes": also when a recent message goes. */
	if (shrinks && recent_count(box) != box->recent_told)
		tell_recent(s);
	return RC_OK;
}

enum rc news_tell(struct session *s, bool may_expunge, const struct told *told)
{
	struct why why = { 0 };
	struct news n = { 0 };
	if (s->state != SELECTED)
		return RC_OK;
	enum rc rc = tell(s, &n, may_expunge, told, &why);
	news_done(&n);
	if (rc == RC_NOTFOUND)
		bye(s, "the selected mailbox is gone");
	else if (rc == RC_CONFLICT)
		bye(s, "the selected mailbox was replaced");
	else if (rc == RC_NOMEM)
		bye(s, "[UNAVAILABLE] out of memory, try again later");
	else if (rc != RC_OK)
		bye(s, "[UNAVAILABLE] %s", why.text[0] ? why.text : "the mailbox cannot be read now");
	s->news_told = true;
	return rc;
}
