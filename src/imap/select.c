#include "imap/internal.h"

#include "os/loop.h"

/* Names of the mailbox's keywords, copied: they outlive the house's answer. */
enum rc selected_keywords(struct session *s, const struct imap_box *from)
{
	struct selected *box = &s->box;
	unsigned n = 0;
	for (unsigned i = 0; i < 64; i++)
		if (from->keywords[i].n)
			n = i + 1;
	arena_done(&box->arena);
	box->keyword_n = 0;
	box->known_keywords = 0;
	box->keywords = NULL;
	if (!n)
		return RC_OK;
	struct str *names = arena_new(&box->arena, n * sizeof *names);
	for (unsigned i = 0; names && i < n; i++) {
		names[i] = arena_str(&box->arena, from->keywords[i]);
		if (names[i].n)
			box->known_keywords |= 1ull << i;
	}
	if (box->arena.full) {
		box->known_keywords = 0;
		return RC_NOMEM;
	}
	box->keywords = names;
	box->keyword_n = n;
	return RC_OK;
}

void tell_flags(struct session *s)
{
	static const struct str names[] = { STR_INIT("* FLAGS "), STR_INIT("* OK [PERMANENTFLAGS ") };
	struct out o = { .io = s->io };
	for (unsigned i = 0; i < 2; i++) {
		bool settable = i == 1;
		out_put(&o, names[i]);
		if (settable && s->box.readonly) {
			out_put(&o, STR("()"));
		} else {
			out_put(&o, STR("(\\Answered \\Flagged \\Deleted \\Seen \\Draft"));
			for (uint64_t left = s->box.known_keywords; left; left &= left - 1) {
				out_put(&o, STR(" "));
				out_put(&o, s->box.keywords[__builtin_ctzll(left)]);
			}
			out_put(&o, settable ? STR(" \\*)") : STR(")"));
		}
		out_put(&o, settable ? STR("] what can be kept\r\n") : STR("\r\n"));
	}
	out_flush(&o);
}

enum rc selected_refresh_keywords(struct session *s)
{
	struct arena a;
	struct why why = { 0 };
	struct imap_box now = { 0 };
	arena_init(&a, HOUSE_ARENA_MAX);
	enum rc rc = s->hooks->status(s->hooks->house, s->box.id, &a, &now, &why);
	if (rc == RC_OK)
		rc = selected_keywords(s, &now);
	arena_done(&a);
	if (rc == RC_OK)
		tell_flags(s);
	return rc;
}

void selected_drop(struct session *s)
{
	if (s->state != SELECTED)
		return;
	if (s->box.is_open)
		s->hooks->close(s->hooks->house, s->box.id);
	seqmap_done(&s->box.map);
	ranges_done(&s->box.held);
	ranges_done(&s->box.recent);
	arena_done(&s->box.arena);
	s->box = (struct selected){ .arena = s->box.arena };
	s->state = LOGGED_IN;
}

enum rc set_resolve(const struct session *s, struct set set, bool by_uid, struct ranges *out)
{
	const struct seqmap *m = &s->box.map;
	for (size_t i = 0; i < set.n; i++) {
		struct imap_range r = set.v[i];
		uint32_t top = by_uid ? seqmap_last_uid(m) : m->count;
		bool has_star = !r.first || !r.last;
		if (!top && has_star)
			continue; /* "*" of an empty mailbox is nothing */
		r.first = r.first ? r.first : top;
		r.last = r.last ? r.last : top;
		if (r.first > r.last)
			r = (struct imap_range){ r.last, r.first };
		if (!by_uid) {
			if (r.last > m->count)
				return RC_SYNTAX;
			r = (struct imap_range){ seqmap_uid(m, r.first), seqmap_uid(m, r.last) };
		} else if (r.first > top) {
			continue;
		} else if (r.last > top) {
			r.last = top;
		}
		ranges_add(out, r.first, r.last);
	}
	ranges_tidy(out);
	return out->failed ? RC_NOMEM : RC_OK;
}

/* ---- SELECT and EXAMINE ---- */

static void tell_selected(struct session *s, const struct imap_box *box)
{
	tell_flags(s);
	stream_writef(s->io, "* %u EXISTS\r\n", (unsigned)s->box.map.count);
	tell_recent(s); /* RFC 3501 6.3.1: REQUIRED, also when there are none */
	uint32_t unseen = box->first_unseen_uid ? seqmap_seq(&s->box.map, box->first_unseen_uid) : 0;
	if (unseen)
		stream_writef(s->io, "* OK [UNSEEN %u] the first unseen\r\n", (unsigned)unseen);
	stream_writef(s->io, "* OK [UIDVALIDITY %u] these UIDs hold\r\n* OK [UIDNEXT %u] the next\r\n", (unsigned)box->uidvalidity,
	              (unsigned)box->uidnext);
}

static enum rc take_box(struct session *s, uint64_t id, bool readonly, struct imap_box *box, struct arena *a, struct why *why)
{
	TRY(s->hooks->open(s->hooks->house, id, readonly, a, box, why));
	s->state = SELECTED;
	s->box.is_open = true;
	s->box.id = id;
	s->box.modseq = box->highestmodseq;
	s->box.uidvalidity = box->uidvalidity;
	s->box.readonly = readonly || box->readonly;
	TRY(seqmap_set(&s->box.map, box->runs, box->run_count));
	TRY(selected_keywords(s, box));
	uint32_t last = seqmap_last_uid(&s->box.map); /* as new as the list of messages, which may be newer than uidnext */
	return recent_take(s, box->recent_from, last >= box->uidnext ? last : box->uidnext - 1);
}

static void select_box(struct session *s, struct args *a, bool readonly)
{
	struct imap_folder folder;
	struct imap_box box = { 0 };
	struct why why = { 0 };
	struct arena answer;
	args_space(a);
	struct str name = args_mailbox(a);
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	/* RFC 3501 6.3.1: SELECT deselects first, so that a failure leaves nothing selected. */
	selected_drop(s);
	enum rc rc = folder_find(s, name, &folder, &why);
	if (rc == RC_OK && !folder.selectable)
		rc = RC_NOTFOUND;
	arena_init(&answer, HOUSE_ARENA_MAX);
	if (rc == RC_OK)
		rc = take_box(s, folder.id, readonly, &box, &answer, &why);
	if (rc == RC_OK) {
		tell_selected(s, &box);
		answer_ok(s, "%s", s->box.readonly ? "[READ-ONLY] selected" : "[READ-WRITE] selected");
	} else {
		selected_drop(s);
		answer_failure(s, rc, &why, "no such mailbox");
	}
	arena_done(&answer);
	s->news_told = true; /* all is new just now */
}

void do_select(struct session *s, struct args *a) { select_box(s, a, false); }
void do_examine(struct session *s, struct args *a) { select_box(s, a, true); }

void do_check(struct session *s, struct args *a) { do_noop(s, a); } /* all is durable already */

void do_unselect(struct session *s, struct args *a)
{
	do_noop(s, a);
	if (args_fine(a))
		selected_drop(s);
}

/* RFC 3501 6.4.2: expunges in silence, unless the mailbox was opened read-only. */
void do_close(struct session *s, struct args *a)
{
	struct why why = { 0 };
	do_noop(s, a);
	if (!args_fine(a))
		return;
	enum rc rc = s->box.readonly ? RC_OK : s->hooks->expunge(s->hooks->house, s->box.id, NULL, 0, &why);
	if (rc != RC_OK && rc != RC_NOTFOUND) /* removed by somebody else: nothing is left to expunge */
		answer_failure(s, rc, &why, "not expunged");
	else
		selected_drop(s);
}

/* ---- IDLE (RFC 2177) ---- */

static void idle_input(struct session *s)
{
	struct str line;
	enum rc rc = stream_line(s->io, LINE_MAX_OCTETS, &line);
	if (rc == RC_OK && str_ieq(line, STR("DONE")))
		answer_ok(s, "idled");
	else
		answer_bad(s, "expected DONE");
}

void do_idle(struct session *s, struct args *a)
{
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	int64_t now = wall_ms(), until = now + s->config->idle_ms, tick = now + KEEPALIVE_MS;
	stream_write(s->io, STR("+ idling\r\n"));
	buf_done(&s->answer);
	for (;;) {
		if (news_tell(s, true, NULL) != RC_OK) {
			s->is_cut = true; /* BYE is said */
			return;
		}
		now = wall_ms();
		int64_t left = (tick < until ? tick : until) - now;
		enum rc rc = session_wait(s, left < 1 ? 1 : left > KEEPALIVE_MS ? KEEPALIVE_MS : (unsigned)left);
		if (rc == RC_OK) {
			idle_input(s);
			return;
		}
		if (rc != RC_AGAIN && rc != RC_LATE)
			return; /* the stream is broken and says so on the next read */
		now = wall_ms();
		if (now >= until) {
			bye(s, "nothing was said for too long");
			s->is_cut = true;
			return;
		}
		/* Middleboxes forget a connection that is silent for longer. */
		if (rc == RC_LATE && now >= tick) {
			stream_write(s->io, STR("* OK still here\r\n"));
			tick = now + KEEPALIVE_MS;
		}
	}
}
