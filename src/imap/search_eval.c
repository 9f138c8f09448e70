#include "imap/internal.h"
#include "imap/search.h"

#include "mail/digest.h"
#include "mail/grams.h"

unsigned key_needs(const struct key *key)
{
	switch (key->kind) {
	case KEY_FLAG: case KEY_NO_FLAG: case KEY_NEW: case KEY_KEYWORD: case KEY_NO_KEYWORD: case KEY_LARGER: case KEY_SMALLER:
		return WANT_STATE;
	case KEY_BEFORE: case KEY_ON: case KEY_SINCE: case KEY_SENTBEFORE: case KEY_SENTON: case KEY_SENTSINCE:
	case KEY_FROM: case KEY_TO: case KEY_CC: case KEY_BCC: case KEY_SUBJECT:
		return WANT_RECORD;
	case KEY_HEADER:
		return key->text.n ? WANT_GRAMS | WANT_BODY : WANT_BODY;
	case KEY_BODY: case KEY_TEXT:
		return WANT_GRAMS | WANT_BODY;
	default:
		return 0;
	}
}

static enum truth truth(bool b) { return b ? IS_TRUE : IS_FALSE; }

static bool keyword_is_set(const struct search_view *v, struct str name)
{
	for (uint64_t left = v->row->keywords & v->box->known_keywords; left; left &= left - 1)
		if (str_ieq(v->box->keywords[__builtin_ctzll(left)], name))
			return true;
	return false;
}

static enum truth eval_state(const struct key *k, const struct search_view *v)
{
	switch (k->kind) {
	case KEY_FLAG: return truth(v->row->flags & k->flag);
	case KEY_NO_FLAG: case KEY_NEW: return truth(!(v->row->flags & k->flag));
	case KEY_KEYWORD: return truth(keyword_is_set(v, k->text));
	case KEY_NO_KEYWORD: return truth(!keyword_is_set(v, k->text));
	case KEY_LARGER: return truth(v->row->size > k->number);
	default: return truth(v->row->size < k->number);
	}
}

static int32_t internal_day(const struct imap_row *row)
{
	int64_t day = row->internal_ms / 86400000 - (row->internal_ms % 86400000 < 0);
	return (int32_t)day;
}

static enum truth compare_day(enum key_kind kind, int32_t day, int32_t wanted)
{
	if (kind == KEY_BEFORE || kind == KEY_SENTBEFORE)
		return truth(day < wanted);
	if (kind == KEY_ON || kind == KEY_SENTON)
		return truth(day == wanted);
	return truth(day >= wanted);
}

static enum truth eval_record(const struct key *k, const struct search_view *v)
{
	struct mail_fields f;
	if (k->kind == KEY_BEFORE || k->kind == KEY_ON || k->kind == KEY_SINCE)
		return compare_day(k->kind, internal_day(v->row), k->day);
	if (mail_fields_parse(v->row->fields, &f) != RC_OK)
		return IS_FALSE;
	struct str in;
	switch (k->kind) {
	case KEY_FROM: in = f.from_folded; break;
	case KEY_TO: in = f.to_folded; break;
	case KEY_CC: in = f.cc_folded; break;
	case KEY_BCC: in = f.bcc_folded; break;
	case KEY_SUBJECT: in = f.subject_folded; break;
	default: return f.date_day == INT32_MIN ? IS_FALSE : compare_day(k->kind, f.date_day, k->day);
	}
	return truth(k->folded.n <= in.n && str_find_str(in, k->folded) < in.n + (k->folded.n == 0));
}

/* The signature can only say no; the message itself decides. */
static enum truth eval_text(const struct key *k, struct search_view *v)
{
	bool found = false;
	unsigned where = k->kind == KEY_BODY ? GRAMS_BODY : k->kind == KEY_HEADER ? GRAMS_HEADER : GRAMS_BODY | GRAMS_HEADER;
	if (v->have & WANT_GRAMS && k->folded.n && !grams_maybe(v->row->grams, where, k->folded))
		return IS_FALSE;
	if (!(v->have & WANT_BODY))
		return UNDECIDED;
	enum rc rc = v->match(v->arg, v->row, k, &found);
	if (rc != RC_OK && v->rc == RC_OK)
		v->rc = rc;
	return truth(rc == RC_OK && found);
}

/* A false one decides an AND, a true one an OR; keys that are dear to decide are asked only when nothing cheap has
 * decided. Depth is bounded by the parser. */
static enum truth eval_list(const struct key *list, struct search_view *v, enum truth decides)
{
	unsigned have = v->have;
	bool open = false;
	for (unsigned pass = have & WANT_BODY ? 0 : 1; pass < 2; pass++) {
		v->have = pass == 0 ? have & ~(unsigned)WANT_BODY : have;
		open = false;
		for (const struct key *k = list->first; k; k = k->next) {
			enum truth t = search_eval(k, v);
			if (t == decides) {
				v->have = have;
				return t;
			}
			open |= t == UNDECIDED;
		}
		if (!open)
			break;
	}
	v->have = have;
	return open ? UNDECIDED : decides == IS_FALSE ? IS_TRUE : IS_FALSE;
}

enum truth search_eval(const struct key *k, struct search_view *v)
{
	enum truth t;
	unsigned needs = key_needs(k);
	switch (k->kind) {
	case KEY_TRUE: return IS_TRUE;
	case KEY_AND: return eval_list(k, v, IS_FALSE);
	case KEY_OR: return eval_list(k, v, IS_TRUE);
	case KEY_NOT:
		t = search_eval(k->first, v);
		return t == UNDECIDED ? t : truth(t == IS_FALSE);
	case KEY_SEQ: case KEY_UID: return truth(ranges_have(&k->uids, v->row->uid));
	case KEY_RECENT: return truth(ranges_have(&v->box->recent, v->row->uid));
	case KEY_OLD: return truth(!ranges_have(&v->box->recent, v->row->uid));
	case KEY_NEW: /* RFC 3501 6.4.4: "(RECENT UNSEEN)" */
		if (!ranges_have(&v->box->recent, v->row->uid))
			return IS_FALSE;
		break;
	default: break;
	}
	if (needs & WANT_STATE)
		return v->have & WANT_STATE ? eval_state(k, v) : UNDECIDED;
	if (needs & WANT_RECORD)
		return v->have & WANT_RECORD ? eval_record(k, v) : UNDECIDED;
	return eval_text(k, v);
}
