#include "imap/search.h"

#include "imap/internal.h"
#include "os/loop.h"

struct searching {
	struct session *s;
	struct search q;
	struct ranges hits;
	struct ranges left;        /* not decided yet */
	uint64_t damaged;
	size_t work;               /* keys tried since others had their turn */
	struct why why;
};
enum { WORK_MAX = 200000 };

/* Many keys over many rows: the process has other sessions to serve. Between rows, so that nothing borrowed is held. */
static void take_turns(struct searching *g)
{
	g->work += g->q.n;
	if (g->work < WORK_MAX)
		return;
	g->work = 0;
	if (fiber_self())
		fiber_yield();
}

static enum rc match(void *arg, const struct imap_row *row, const struct key *k, bool *out)
{
	struct searching *g = arg;
	char where = k->kind == KEY_BODY ? 'B' : k->kind == KEY_TEXT ? 'T' : 'H';
	return g->s->hooks->match(g->s->hooks->house, row, where, k->field, k->folded, out, &g->why);
}

/* The numbers that a key names, where it names some: its set, or what is \\Recent here, which is as long as it is and not copied for each key. */
static const struct ranges *numbers_of(const struct searching *g, const struct key *k)
{
	return k->kind == KEY_SEQ || k->kind == KEY_UID ? &k->uids : k->kind == KEY_RECENT || k->kind == KEY_NEW ? &g->s->box.recent : NULL;
}

/* Numbers become UIDs and needles their folded form, once. */
static enum rc prepare(struct searching *g)
{
	struct session *s = g->s;
	for (size_t i = 0; i < g->q.n; i++) {
		struct key *k = g->q.all[i];
		if (k->kind == KEY_SEQ || k->kind == KEY_UID)
			TRY(set_resolve(s, k->set, k->kind == KEY_UID, &k->uids));
		else if (k->kind >= KEY_FROM && k->text.n)
			TRY(s->hooks->fold(s->hooks->house, k->text, &s->arena, &k->folded, &g->why));
	}
	return RC_OK;
}

/* The messages that can match by number alone: all that the client knows, less what the outer AND leaves out. */
static enum rc start_set(struct searching *g)
{
	const struct seqmap *m = &g->s->box.map;
	const struct ranges *narrow = NULL;
	for (const struct key *k = g->q.root->first; k; k = k->next) {
		const struct ranges *r = numbers_of(g, k);
		if (r && r != narrow && (!narrow || ranges_total(r) < ranges_total(narrow)))
			narrow = r;
	}
	if (!narrow) {
		if (m->count)
			ranges_add(&g->left, m->runs[0].first, seqmap_last_uid(m));
	} else {
		for (size_t i = 0; i < narrow->n; i++)
			ranges_add(&g->left, narrow->v[i].first, narrow->v[i].last);
	}
	return g->left.failed ? RC_NOMEM : RC_OK;
}

static bool is_held(const struct session *s, uint32_t uid) { return s->box.held.n && ranges_have(&s->box.held, uid); }

/* Only numbers are asked for: the map knows the answer. */
static enum rc search_numbers(struct searching *g)
{
	struct session *s = g->s;
	const struct seqmap *m = &s->box.map;
	struct imap_row row = { 0 };
	struct search_view v = { .row = &row, .box = &s->box };
	for (size_t i = 0; i < g->left.n; i++) {
		struct imap_range r = g->left.v[i];
		for (size_t k = seqmap_run_at(m, r.first); k < m->n && m->runs[k].first <= r.last; k++) {
			uint64_t uid = m->runs[k].first > r.first ? m->runs[k].first : r.first;
			for (; uid <= m->runs[k].last && uid <= r.last; uid++) {
				row.uid = (uint32_t)uid;
				take_turns(g);
				if (!is_held(s, row.uid) && search_eval(g->q.root, &v) == IS_TRUE)
					ranges_add(&g->hits, row.uid, row.uid);
			}
		}
	}
	return g->hits.failed ? RC_NOMEM : RC_OK;
}

/* Reads the rows that are left and keeps in `left` those that still cannot be decided. */
static enum rc search_pass(struct searching *g, unsigned have)
{
	struct session *s = g->s;
	struct ranges next = { 0 };
	void *cursor;
	TRY(s->hooks->fetch_open(s->hooks->house, s->box.id, g->left.v, g->left.n, have, &cursor, &g->why));
	enum rc rc;
	for (;;) {
		struct imap_row row = { 0 };
		take_turns(g);
		rc = s->hooks->fetch_next(s->hooks->house, cursor, &row, &g->why);
		if (rc == RC_DAMAGED) {
			g->damaged++;
			continue;
		}
		if (rc != RC_OK)
			break;
		if (!seqmap_seq(&s->box.map, row.uid))
			continue;
		if (row.keywords & ~s->box.known_keywords && (rc = selected_refresh_keywords(s)) != RC_OK)
			break;
		struct search_view v = { .row = &row, .have = have, .box = &s->box, .match = match, .arg = g };
		enum truth t = search_eval(g->q.root, &v);
		g->damaged += v.rc == RC_DAMAGED;
		if (v.rc != RC_OK && v.rc != RC_DAMAGED && v.rc != RC_NOTFOUND) {
			rc = v.rc;
			break;
		}
		if (t != IS_FALSE && v.rc == RC_OK)
			ranges_add(t == IS_TRUE ? &g->hits : &next, row.uid, row.uid);
	}
	s->hooks->fetch_close(s->hooks->house, cursor);
	ranges_done(&g->left);
	g->left = next;
	if (g->hits.failed || next.failed)
		return RC_NOMEM;
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc search_all(struct searching *g)
{
	static const unsigned passes[] = { WANT_STATE, WANT_RECORD, WANT_GRAMS, WANT_BODY };
	unsigned needs = 0, have = 0;
	for (size_t i = 0; i < g->q.n; i++)
		needs |= key_needs(g->q.all[i]);
	TRY(start_set(g));
	if (!needs)
		return search_numbers(g);
	for (size_t i = 0; i < sizeof passes / sizeof *passes && g->left.n; i++) {
		if (!(needs & passes[i]))
			continue;
		have |= passes[i];
		TRY(search_pass(g, have));
	}
	ranges_tidy(&g->hits);
	return RC_OK;
}

static void tell_hits(struct session *s, const struct ranges *hits)
{
	const struct seqmap *m = &s->box.map;
	struct out o = { .io = s->io };
	out_put(&o, STR("* SEARCH"));
	for (size_t i = 0; i < hits->n; i++) {
		uint32_t uid = hits->v[i].first, n = hits->v[i].last - uid + 1;
		uint32_t number = s->by_uid ? uid : seqmap_seq(m, uid);
		for (uint32_t k = 0; k < n; k++) {
			out_put(&o, STR(" "));
			out_num(&o, number + k);
		}
	}
	out_put(&o, STR("\r\n"));
	out_flush(&o);
}

static void search_answer(struct session *s, struct searching *g, enum rc rc)
{
	if (rc == RC_SYNTAX) {
		answer_bad(s, "no message has such a number");
	} else if (rc != RC_OK) {
		answer_failure(s, rc, &g->why, "the search could not be finished");
	} else {
		tell_hits(s, &g->hits);
		if (g->damaged)
			answer_no(s, "[CORRUPTION] %llu messages could not be searched", (unsigned long long)g->damaged);
		else
			answer_ok(s, "searched");
	}
}

void do_search(struct session *s, struct args *a)
{
	struct searching g = { .s = s };
	search_parse(a, &g.q);
	if (!args_fine(a)) {
		answer_syntax(s, a);
	} else if (g.q.bad_charset) {
		/* RFC 3501 6.4.4 */
		answer_no(s, "[BADCHARSET (US-ASCII UTF-8)] only these charsets are known");
	} else {
		enum rc rc = prepare(&g);
		if (rc == RC_OK)
			rc = search_all(&g);
		search_answer(s, &g, rc);
	}
	search_done(&g.q);
	ranges_done(&g.hits);
	ranges_done(&g.left);
}
