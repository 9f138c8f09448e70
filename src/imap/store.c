#include "imap/internal.h"

/* STORE, COPY, MOVE, EXPUNGE: what changes messages that are there. */

/* The bits that the named keywords have in this mailbox by now. */
static uint64_t keyword_bits(const struct selected *box, const struct flag_list *list)
{
	uint64_t bits = 0;
	for (uint64_t left = box->known_keywords; left; left &= left - 1)
		for (size_t i = 0; i < list->keyword_n; i++)
			if (str_ieq(box->keywords[__builtin_ctzll(left)], list->keywords[i]))
				bits |= 1ull << __builtin_ctzll(left);
	return bits;
}

static size_t keywords_known(const struct selected *box, const struct flag_list *list)
{
	return (size_t)__builtin_popcountll(keyword_bits(box, list));
}

/* RFC 3501 6.4.6: the new value of the flags, of every message that was named. */
static enum rc tell_stored(struct session *s, const struct ranges *uids, struct why *why)
{
	struct out o = { .io = s->io };
	void *cursor;
	enum rc rc;
	TRY(s->hooks->fetch_open(s->hooks->house, s->box.id, uids->v, uids->n, WANT_STATE, &cursor, why));
	for (;;) {
		struct imap_row row = { 0 };
		rc = s->hooks->fetch_next(s->hooks->house, cursor, &row, why);
		if (rc == RC_DAMAGED)
			continue;
		uint32_t seq = rc == RC_OK ? seqmap_seq(&s->box.map, row.uid) : 0;
		if (rc != RC_OK)
			break;
		if (!seq)
			continue;
		if (row.keywords & ~s->box.known_keywords && (rc = selected_refresh_keywords(s)) != RC_OK)
			break;
		out_put(&o, STR("* "));
		out_num(&o, seq);
		out_put(&o, s->by_uid ? STR(" FETCH (UID ") : STR(" FETCH (FLAGS "));
		if (s->by_uid) {
			out_num(&o, row.uid);
			out_put(&o, STR(" FLAGS "));
		}
		out_flags(&o, &s->box, row.uid, row.flags, row.keywords);
		out_put(&o, STR(")\r\n"));
		out_flush(&o);
	}
	s->hooks->fetch_close(s->hooks->house, cursor);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

struct store_args {
	struct set set;
	enum imap_flag_mode mode;
	bool is_silent;
	struct flag_list list;
};

static void take_store(struct args *a, struct store_args *out)
{
	args_space(a);
	out->set = args_set(a);
	args_space(a);
	out->mode = args_maybe(a, '+') ? FLAGS_ADD : args_maybe(a, '-') ? FLAGS_REMOVE : FLAGS_SET;
	out->is_silent = args_word(a, STR("FLAGS.SILENT"));
	if (!out->is_silent && !args_word(a, STR("FLAGS")))
		args_fail(a, "FLAGS or FLAGS.SILENT");
	args_space(a);
	out->list = args_flags(a, false);
	args_end(a);
}

static enum rc store(struct session *s, const struct store_args *st, const struct ranges *uids, struct why *why)
{
	enum rc rc = s->hooks->store(s->hooks->house, s->box.id, uids->v, uids->n, st->mode, st->list.flags, st->list.keywords,
	                             st->list.keyword_n, why);
	TRY(rc);
	if (st->mode != FLAGS_REMOVE && keywords_known(&s->box, &st->list) < st->list.keyword_n)
		TRY(selected_refresh_keywords(s));
	/* The news comes first: what is read after it is at least as new, so that the echo of our own change can be left
	 * out without losing somebody else's. */
	bool covers = false;
	struct told told = { uids, st->is_silent, st->is_silent ? NULL : &covers, st->mode, st->list.flags, keyword_bits(&s->box, &st->list) };
	if (news_tell(s, s->by_uid, &told) != RC_OK)
		return RC_OK; /* BYE is said */
	return st->is_silent || covers ? RC_OK : tell_stored(s, uids, why);
}

static bool refuse_readonly(struct session *s)
{
	if (s->box.readonly)
		answer_no(s, "[NOPERM] the mailbox is open read-only");
	return s->box.readonly;
}

void do_store(struct session *s, struct args *a)
{
	struct store_args st = { 0 };
	struct ranges uids = { 0 };
	struct why why = { 0 };
	take_store(a, &st);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	if (refuse_readonly(s))
		return;
	enum rc rc = set_resolve(s, st.set, s->by_uid, &uids);
	if (rc == RC_SYNTAX) {
		answer_bad(s, "no message has such a number");
	} else {
		if (rc == RC_OK && uids.n)
			rc = store(s, &st, &uids, &why);
		if (rc == RC_OK)
			answer_ok(s, "stored");
		else
			answer_failure(s, rc, &why, "not stored");
	}
	ranges_done(&uids);
}

/* ---- COPY and MOVE ---- */

static void add_ranges(struct buf *out, const struct imap_range *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_byte(out, ',');
		buf_num(out, v[i].first);
		if (v[i].last != v[i].first) {
			buf_byte(out, ':');
			buf_num(out, v[i].last);
		}
	}
}

struct copied {
	struct imap_range *from, *to;
	size_t n;
	uint32_t uidvalidity;
};

/* RFC 4315 3: "[COPYUID uidvalidity source-set destination-set]" */
static void add_copyuid(struct buf *out, const struct copied *c)
{
	buf_add(out, STR("[COPYUID "));
	buf_num(out, c->uidvalidity);
	buf_byte(out, ' ');
	add_ranges(out, c->from, c->n);
	buf_byte(out, ' ');
	add_ranges(out, c->to, c->n);
	buf_add(out, STR("] "));
}

static void copied_answer(struct session *s, const struct copied *c, bool move)
{
	if (!c->n) {
		answer_ok(s, "nothing to %s", move ? "move" : "copy");
		return;
	}
	buf_clear(&s->answer);
	s->answer_kind = ANSWER_OK;
	add_copyuid(&s->answer, c);
	buf_add(&s->answer, move ? STR("moved") : STR("copied"));
	if (s->answer.failed) /* too many pieces to name: the code may be left out */
		answer_ok(s, "%s", move ? "moved" : "copied");
	if (!move)
		return;
	/* RFC 6851 4.3: COPYUID goes out in an untagged OK before the first EXPUNGE. */
	if (s->answer.p[0] == '[') {
		stream_write(s->io, STR("* OK "));
		stream_write(s->io, buf_str(&s->answer));
		stream_write(s->io, STR("\r\n"));
	}
	answer_ok(s, "moved");
}

static void copy(struct session *s, struct args *a, bool move)
{
	struct ranges uids = { 0 };
	struct imap_folder to;
	struct why why = { 0 };
	struct copied done = { 0 };
	args_space(a);
	struct set set = args_set(a);
	args_space(a);
	struct str name = args_mailbox(a);
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	if (move && refuse_readonly(s))
		return;
	enum rc rc = set_resolve(s, set, s->by_uid, &uids);
	if (rc == RC_SYNTAX) {
		answer_bad(s, "no message has such a number");
	} else if (rc == RC_OK && (rc = folder_find(s, name, &to, &why)) == RC_NOTFOUND) {
		/* RFC 3501 6.4.7: TRYCREATE says that CREATE would help. */
		answer_no(s, "[TRYCREATE] no such mailbox");
	} else if (rc == RC_OK && !to.selectable) {
		answer_no(s, "[CANNOT] that mailbox holds no messages");
	} else {
		if (rc == RC_OK && uids.n)
			rc = s->hooks->copy(s->hooks->house, s->box.id, uids.v, uids.n, to.id, move, &s->arena, &done.from, &done.to, &done.n,
			                    &done.uidvalidity, &why);
		if (rc == RC_OK)
			copied_answer(s, &done, move);
		else
			answer_failure(s, rc, &why, move ? "not moved" : "not copied");
	}
	ranges_done(&uids);
}

void do_copy(struct session *s, struct args *a) { copy(s, a, false); }
void do_move(struct session *s, struct args *a) { copy(s, a, true); }

/* EXPUNGE, and UIDPLUS's UID EXPUNGE (RFC 4315 2.1). */
void do_expunge(struct session *s, struct args *a)
{
	struct ranges uids = { 0 };
	struct set set = { 0 };
	struct why why = { 0 };
	if (s->by_uid) {
		args_space(a);
		set = args_set(a);
	}
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	if (refuse_readonly(s))
		return;
	enum rc rc = set_resolve(s, set, true, &uids);
	if (rc == RC_OK && (!s->by_uid || uids.n))
		rc = s->hooks->expunge(s->hooks->house, s->box.id, s->by_uid ? uids.v : NULL, uids.n, &why);
	if (rc == RC_OK)
		answer_ok(s, "expunged");
	else
		answer_failure(s, rc, &why, "not expunged");
	ranges_done(&uids);
}
