#include "imap/fetch.h"

#include "imap/internal.h"
#include "mail/digest.h"

/* One FETCH under way. */
struct fetching {
	struct session *s;
	const struct fetch *f;
	struct out out;
	size_t run;                /* where in the map the last row was: rows ascend */
	struct ranges seen;        /* told as \Seen, to be stored so */
	uint64_t damaged;
	enum rc store_rc;
	struct why why;
};
enum { SEEN_BATCH = 256 };

/* RFC 3501 6.4.5: "the \Seen flag is implicitly set". In batches, and after the client has got the message. */
static void store_seen(struct fetching *f)
{
	struct session *s = f->s;
	struct why why = { 0 };
	if (!f->seen.n || f->seen.failed)
		return;
	enum rc rc = s->hooks->store(s->hooks->house, s->box.id, f->seen.v, f->seen.n, FLAGS_ADD, IMAP_SEEN, NULL, 0, &why);
	if (rc != RC_OK && f->store_rc == RC_OK) {
		f->store_rc = rc;
		f->why = why;
	}
	if (rc == RC_OK) {
		struct told told = { .uids = &f->seen, .compare = true, .mode = FLAGS_ADD, .flags = IMAP_SEEN };
		(void)news_tell(s, s->by_uid, &told); /* BYE is said where it fails */
	}
	f->seen.n = 0;
}

static uint32_t row_seq(struct fetching *f, uint32_t uid)
{
	const struct seqmap *m = &f->s->box.map;
	if (f->run >= m->n || m->runs[f->run].first > uid)
		f->run = seqmap_run_at(m, uid);
	else if (m->runs[f->run].last < uid && (f->run + 1 == m->n || m->runs[++f->run].last < uid))
		f->run = seqmap_run_at(m, uid);
	if (f->run >= m->n || m->runs[f->run].first > uid)
		return 0;
	return m->runs[f->run].seq + (uid - m->runs[f->run].first);
}

static void put_body(struct out *o, struct str structure)
{
	AUTO(buf_done) struct buf body;
	buf_init(&body, structure.n + 64);
	if (!structure.n || mail_body_of_structure(structure, &body) != RC_OK || body.failed)
		out_put(o, STR("NIL"));
	else
		out_put(o, buf_str(&body));
}

static inline void put_or_nil(struct out *o, struct str s) { out_put(o, s.n ? s : STR("NIL")); }

static enum rc put_item(struct fetching *f, const struct imap_row *row, const struct item *item)
{
	struct out *o = &f->out;
	out_put(o, item->label);
	out_put(o, STR(" "));
	switch (item->kind) {
	case ITEM_UID: out_num(o, row->uid); break;
	case ITEM_FLAGS: out_flags(o, &f->s->box, row->uid, row->flags, row->keywords); break;
	case ITEM_INTERNALDATE: out_date(o, row->internal_ms); break;
	case ITEM_SIZE: out_num(o, row->size); break;
	case ITEM_ENVELOPE: put_or_nil(o, row->envelope); break;
	case ITEM_BODY: put_body(o, row->structure); break;
	case ITEM_BODYSTRUCTURE: put_or_nil(o, row->structure); break;
	case ITEM_SECTION: return section_put(f->s, o, row, &item->section);
	}
	return RC_OK;
}

/* One row as one answer. RC_CLOSED: it could not be finished. */
static enum rc put_row(struct fetching *f, struct imap_row *row, uint32_t seq)
{
	struct out *o = &f->out;
	bool has_flags = false, is_damaged = false;
	bool newly_seen = f->f->sets_seen && !f->s->box.readonly && !(row->flags & IMAP_SEEN);
	if (newly_seen)
		row->flags |= IMAP_SEEN;
	out_put(o, STR("* "));
	out_num(o, seq);
	out_put(o, STR(" FETCH ("));
	for (size_t i = 0; i < f->f->n; i++) {
		if (i)
			out_put(o, STR(" "));
		has_flags |= f->f->items[i].kind == ITEM_FLAGS;
		enum rc rc = put_item(f, row, &f->f->items[i]);
		if (rc == RC_CLOSED)
			return rc;
		is_damaged |= rc != RC_OK;
	}
	/* RFC 3501 6.4.5: "if this causes the flags to change, they SHOULD be included". */
	if (newly_seen && !has_flags) {
		out_put(o, STR(" FLAGS "));
		out_flags(o, &f->s->box, row->uid, row->flags, row->keywords);
	}
	out_put(o, STR(")\r\n"));
	out_flush(o);
	f->damaged += is_damaged;
	if (newly_seen && !is_damaged)
		ranges_add(&f->seen, row->uid, row->uid);
	return RC_OK;
}

static enum rc fetch_rows(struct fetching *f, void *cursor)
{
	struct session *s = f->s;
	for (;;) {
		struct imap_row row = { 0 };
		enum rc rc = s->hooks->fetch_next(s->hooks->house, cursor, &row, &f->why);
		if (rc == RC_DAMAGED) {
			f->damaged++;
			continue;
		}
		if (rc != RC_OK)
			return rc;
		uint32_t seq = row_seq(f, row.uid);
		if (!seq)
			continue; /* newer than what the client has heard of */
		if (row.keywords & ~s->box.known_keywords)
			TRY(selected_refresh_keywords(s));
		TRY(put_row(f, &row, seq));
		TRY(stream_error(s->io));
		if (f->seen.n >= SEEN_BATCH || f->seen.failed)
			return RC_AGAIN;
	}
}

/* Rows of these UIDs, \Seen stored between batches while no cursor is open. */
static enum rc fetch_all(struct fetching *f, const struct ranges *uids, uint32_t *last)
{
	struct session *s = f->s;
	void *cursor;
	TRY(s->hooks->fetch_open(s->hooks->house, s->box.id, uids->v, uids->n, f->f->want, &cursor, &f->why));
	enum rc rc = fetch_rows(f, cursor);
	s->hooks->fetch_close(s->hooks->house, cursor);
	*last = f->seen.n ? f->seen.v[f->seen.n - 1].last : 0;
	enum rc full = f->seen.failed ? RC_NOMEM : RC_OK;
	store_seen(f);
	return full != RC_OK ? full : rc;
}

/* What is left of the list above `uid`. */
static void skip_to(struct ranges *r, uint32_t uid)
{
	size_t k = 0;
	for (size_t i = 0; i < r->n; i++) {
		if (r->v[i].last <= uid)
			continue;
		r->v[k] = r->v[i];
		if (r->v[k].first <= uid)
			r->v[k].first = uid + 1;
		k++;
	}
	r->n = k;
}

static void fetch_answer(struct session *s, const struct fetching *f, enum rc rc)
{
	if (rc == RC_CLOSED && !s->is_over) {
		s->is_cut = s->is_over = true;
	} else if (rc != RC_NOTFOUND) {
		answer_failure(s, rc, &f->why, "not all could be fetched");
	} else if (f->damaged) {
		/* RFC 5530 3: CORRUPTION */
		answer_no(s, "[CORRUPTION] %llu messages could not be read in full, the others were", (unsigned long long)f->damaged);
	} else if (f->store_rc != RC_OK) {
		answer_failure(s, f->store_rc, &f->why, "fetched, but not marked as \\Seen");
	} else {
		answer_ok(s, "fetched");
	}
}

void do_fetch(struct session *s, struct args *a)
{
	struct fetch fetch = { 0 };
	struct ranges uids = { 0 };
	args_space(a);
	struct set set = args_set(a);
	args_space(a);
	if (args_fine(a))
		fetch_parse(a, s->by_uid, &fetch);
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	struct fetching f = { .s = s, .f = &fetch, .out = { .io = s->io }, .store_rc = RC_OK };
	enum rc rc = set_resolve(s, set, s->by_uid, &uids);
	if (rc == RC_SYNTAX) {
		answer_bad(s, "no message has such a number");
	} else {
		uint32_t last = 0;
		if (rc == RC_OK)
			rc = RC_NOTFOUND;
		while (uids.n && (rc = fetch_all(&f, &uids, &last)) == RC_AGAIN && !s->is_over)
			skip_to(&uids, last);
		if (rc == RC_AGAIN)
			rc = RC_NOTFOUND;
		fetch_answer(s, &f, rc);
	}
	ranges_done(&f.seen);
	ranges_done(&uids);
}
