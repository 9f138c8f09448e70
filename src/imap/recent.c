#include "imap/internal.h"

/* \Recent, RFC 3501 2.3.2: "This session is the first session to have been notified about this message; if the session is read-write,
 * subsequent sessions will not see \Recent set for this message." */

/* "If it is not possible to determine whether or not this session is the first session to be notified about a message, then that message
 * SHOULD be considered recent": so it is where the house cannot say. */
static uint32_t given_from(struct session *s, uint32_t first, uint32_t before)
{
	struct why why = { 0 };
	uint32_t from = 0;
	/* Ibid. 6.3.2: "EXAMINE MUST NOT cause messages to lose the \Recent flag". */
	if (s->hooks->recent(s->hooks->house, s->box.id, s->box.readonly ? 0 : before, &from, &why) != RC_OK || from < first)
		return first;
	return from;
}

enum rc recent_take(struct session *s, uint32_t first, uint32_t last)
{
	struct ranges *r = &s->box.recent;
	uint32_t from = first && first <= last ? given_from(s, first, last + 1) : UINT32_MAX;
	if (from <= last)
		ranges_add(r, from, last);
	return r->failed ? RC_NOMEM : RC_OK;
}

uint32_t recent_count(const struct selected *box)
{
	const struct seqmap *m = &box->map;
	uint32_t n = 0;
	for (size_t i = 0; i < box->recent.n; i++) {
		struct imap_range g = box->recent.v[i];
		for (size_t k = seqmap_run_at(m, g.first); k < m->n && m->runs[k].first <= g.last; k++) {
			struct seqmap_run r = m->runs[k];
			n += (r.last < g.last ? r.last : g.last) - (r.first > g.first ? r.first : g.first) + 1;
		}
	}
	return n;
}

void tell_recent(struct session *s)
{
	s->box.recent_told = recent_count(&s->box);
	stream_writef(s->io, "* %u RECENT\r\n", (unsigned)s->box.recent_told);
}

static enum rc count_rows(struct session *s, uint64_t box, struct imap_range r, uint64_t *out, struct why *why)
{
	void *cursor;
	uint64_t n = 0;
	enum rc rc;
	TRY(s->hooks->fetch_open(s->hooks->house, box, &r, 1, WANT_STATE, &cursor, why));
	do {
		struct imap_row row = { 0 };
		rc = s->hooks->fetch_next(s->hooks->house, cursor, &row, why);
		n += rc == RC_OK || rc == RC_DAMAGED;
	} while (rc == RC_OK || rc == RC_DAMAGED);
	s->hooks->fetch_close(s->hooks->house, cursor);
	*out = n;
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc recent_status(struct session *s, const struct imap_box *box, uint64_t *out, struct why *why)
{
	uint32_t from = box->recent_from, given = 0;
	*out = 0;
	if (from >= box->uidnext)
		return RC_OK;
	if (s->hooks->recent(s->hooks->house, box->id, 0, &given, why) != RC_OK)
		given = from; /* what the folder's own row says is the truth but for the last moments */
	from = given > from ? given : from;
	if (from >= box->uidnext)
		return RC_OK;
	if (from == 1) {
		*out = box->exists;
		return RC_OK;
	}
	return count_rows(s, box->id, (struct imap_range){ from, box->uidnext - 1 }, out, why);
}
