#include "imap/search.h"

#include "base/codec.h"
#include "mail/header.h"

/* RFC 3501 6.4.4: every key, and what stands behind it. */
enum takes { NOTHING, TAKES_TEXT, TAKES_DAY, TAKES_NUMBER, TAKES_WORD, TAKES_FIELD, TAKES_SET, TAKES_KEY, TAKES_TWO };
static const struct {
	struct str word;
	enum key_kind kind;
	enum takes takes;
	uint32_t flag;
} words[] = {
	{ STR_INIT("ALL"), KEY_TRUE, NOTHING, 0 },
	{ STR_INIT("ANSWERED"), KEY_FLAG, NOTHING, IMAP_ANSWERED },
	{ STR_INIT("BCC"), KEY_BCC, TAKES_TEXT, 0 },
	{ STR_INIT("BEFORE"), KEY_BEFORE, TAKES_DAY, 0 },
	{ STR_INIT("BODY"), KEY_BODY, TAKES_TEXT, 0 },
	{ STR_INIT("CC"), KEY_CC, TAKES_TEXT, 0 },
	{ STR_INIT("DELETED"), KEY_FLAG, NOTHING, IMAP_DELETED },
	{ STR_INIT("DRAFT"), KEY_FLAG, NOTHING, IMAP_DRAFT },
	{ STR_INIT("FLAGGED"), KEY_FLAG, NOTHING, IMAP_FLAGGED },
	{ STR_INIT("FROM"), KEY_FROM, TAKES_TEXT, 0 },
	{ STR_INIT("HEADER"), KEY_HEADER, TAKES_FIELD, 0 },
	{ STR_INIT("KEYWORD"), KEY_KEYWORD, TAKES_WORD, 0 },
	{ STR_INIT("LARGER"), KEY_LARGER, TAKES_NUMBER, 0 },
	{ STR_INIT("NEW"), KEY_NEW, NOTHING, IMAP_SEEN },
	{ STR_INIT("NOT"), KEY_NOT, TAKES_KEY, 0 },
	{ STR_INIT("OLD"), KEY_OLD, NOTHING, 0 },
	{ STR_INIT("ON"), KEY_ON, TAKES_DAY, 0 },
	{ STR_INIT("OR"), KEY_OR, TAKES_TWO, 0 },
	{ STR_INIT("RECENT"), KEY_RECENT, NOTHING, 0 },
	{ STR_INIT("SEEN"), KEY_FLAG, NOTHING, IMAP_SEEN },
	{ STR_INIT("SENTBEFORE"), KEY_SENTBEFORE, TAKES_DAY, 0 },
	{ STR_INIT("SENTON"), KEY_SENTON, TAKES_DAY, 0 },
	{ STR_INIT("SENTSINCE"), KEY_SENTSINCE, TAKES_DAY, 0 },
	{ STR_INIT("SINCE"), KEY_SINCE, TAKES_DAY, 0 },
	{ STR_INIT("SMALLER"), KEY_SMALLER, TAKES_NUMBER, 0 },
	{ STR_INIT("SUBJECT"), KEY_SUBJECT, TAKES_TEXT, 0 },
	{ STR_INIT("TEXT"), KEY_TEXT, TAKES_TEXT, 0 },
	{ STR_INIT("TO"), KEY_TO, TAKES_TEXT, 0 },
	{ STR_INIT("UID"), KEY_UID, TAKES_SET, 0 },
	{ STR_INIT("UNANSWERED"), KEY_NO_FLAG, NOTHING, IMAP_ANSWERED },
	{ STR_INIT("UNDELETED"), KEY_NO_FLAG, NOTHING, IMAP_DELETED },
	{ STR_INIT("UNDRAFT"), KEY_NO_FLAG, NOTHING, IMAP_DRAFT },
	{ STR_INIT("UNFLAGGED"), KEY_NO_FLAG, NOTHING, IMAP_FLAGGED },
	{ STR_INIT("UNKEYWORD"), KEY_NO_KEYWORD, TAKES_WORD, 0 },
	{ STR_INIT("UNSEEN"), KEY_NO_FLAG, NOTHING, IMAP_SEEN },
};
enum { WORDS = sizeof words / sizeof *words };

static struct key *key_new(struct args *a, struct search *s, enum key_kind kind)
{
	struct key *k = s->n < SEARCH_KEYS_MAX ? arena_new(a->arena, sizeof *k) : NULL;
	if (!k) {
		args_fail(a, "at most 2000 search keys");
		return NULL;
	}
	k->kind = kind;
	s->all[s->n++] = k;
	return k;
}

/* The fields whose folded text is at hand. */
static enum key_kind known_field(struct str field)
{
	static const struct { struct str name; enum key_kind kind; } known[] = {
		{ STR_INIT("from"), KEY_FROM }, { STR_INIT("to"), KEY_TO }, { STR_INIT("cc"), KEY_CC }, { STR_INIT("bcc"), KEY_BCC },
		{ STR_INIT("subject"), KEY_SUBJECT },
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (str_ieq(field, known[i].name))
			return known[i].kind;
	return KEY_HEADER;
}

static struct str field_of(enum key_kind kind)
{
	switch (kind) {
	case KEY_FROM: return STR("From");
	case KEY_TO: return STR("To");
	case KEY_CC: return STR("Cc");
	case KEY_BCC: return STR("Bcc");
	case KEY_SUBJECT: return STR("Subject");
	default: return STR("");
	}
}

static void take_text(struct args *a, struct search *s, struct key *k)
{
	k->text = args_astring(a);
	if (!utf8_ok(k->text))
		s->bad_charset = true;
	if (++s->texts > SEARCH_TEXTS_MAX)
		args_fail(a, "at most 64 texts to search for");
	if (!k->field.n)
		k->field = field_of(k->kind);
	/* RFC 3501 6.4.4: an empty string: "all messages that have a header line with the specified field-name". */
	if (!k->text.n)
		k->kind = k->kind == KEY_BODY || k->kind == KEY_TEXT ? KEY_TRUE : KEY_HEADER;
}

/* HEADER looks into every field of that name, where what is at hand is the first only: that one is asked first, for it is
 * cheap and mostly decides. */
static void ask_cheap_first(struct args *a, struct search *s, struct key *k)
{
	enum key_kind cheap = known_field(k->field);
	if (cheap == KEY_HEADER || !k->text.n)
		return;
	struct key *first = key_new(a, s, cheap), *every = key_new(a, s, KEY_HEADER);
	if (!first || !every)
		return;
	first->text = every->text = k->text;
	first->field = every->field = k->field;
	first->next = every;
	k->kind = KEY_OR;
	k->first = first;
	k->text = STR("");
}

static struct key *take_key(struct args *a, struct search *s, unsigned depth);

/* One or more keys up to `)` or the end, as an AND. */
static struct key *take_keys(struct args *a, struct search *s, unsigned depth)
{
	struct key *list = key_new(a, s, KEY_AND), **tail;
	if (!list)
		return NULL;
	tail = &list->first;
	do {
		*tail = take_key(a, s, depth);
		if (!*tail)
			return NULL;
		tail = &(*tail)->next;
	} while (args_maybe(a, ' '));
	return list;
}

static void take_argument(struct args *a, struct search *s, struct key *k, enum takes takes, unsigned depth)
{
	if (takes == NOTHING)
		return;
	args_space(a);
	switch (takes) {
	case TAKES_FIELD:
		k->field = args_astring(a);
		args_space(a);
		take_text(a, s, k);
		ask_cheap_first(a, s, k);
		break;
	case TAKES_TEXT: take_text(a, s, k); break;
	case TAKES_DAY: {
		bool quoted = args_next_is(a, '"');
		struct str day = quoted ? args_string(a) : args_atom(a);
		if (args_fine(a) && imap_day_parse(day, &k->day) != RC_OK)
			args_fail(a, "a date like 1-Feb-1994");
		break;
	}
	case TAKES_NUMBER: k->number = args_number(a); break;
	case TAKES_WORD: k->text = args_atom(a); break;
	case TAKES_SET: k->set = args_set(a); break;
	case TAKES_KEY: k->first = take_key(a, s, depth + 1); break;
	case TAKES_TWO:
		k->first = take_key(a, s, depth + 1);
		args_space(a);
		if (k->first)
			k->first->next = take_key(a, s, depth + 1);
		break;
	case NOTHING: break;
	}
}

static struct key *take_key(struct args *a, struct search *s, unsigned depth)
{
	if (depth > SEARCH_DEPTH_MAX)
		args_fail(a, "keys nested at most 50 deep");
	if (!args_fine(a))
		return NULL;
	if (args_maybe(a, '(')) {
		struct key *list = take_keys(a, s, depth + 1);
		args_want(a, ')');
		return list;
	}
	if (args_set_is_next(a)) {
		struct key *k = key_new(a, s, KEY_SEQ);
		if (k)
			k->set = args_set(a);
		return k;
	}
	for (size_t i = 0; i < WORDS; i++) {
		if (!args_word(a, words[i].word))
			continue;
		struct key *k = key_new(a, s, words[i].kind);
		if (!k)
			return NULL;
		k->flag = words[i].flag;
		take_argument(a, s, k, words[i].takes, depth);
		return args_fine(a) ? k : NULL;
	}
	args_fail(a, "a search key");
	return NULL;
}

void search_parse(struct args *a, struct search *out)
{
	*out = (struct search){ .all = arena_new(a->arena, SEARCH_KEYS_MAX * sizeof(struct key *)) };
	if (!out->all)
		args_fail(a, "less (out of memory)");
	args_space(a);
	if (args_word(a, STR("CHARSET"))) {
		args_space(a);
		struct str charset = args_astring(a);
		args_space(a);
		out->bad_charset = !str_ieq(charset, STR("US-ASCII")) && !str_ieq(charset, STR("UTF-8"));
	}
	if (!args_fine(a))
		return;
	out->root = take_keys(a, out, 0);
	args_end(a);
}

void search_done(struct search *s)
{
	for (size_t i = 0; s->all && i < s->n; i++)
		ranges_done(&s->all[i]->uids);
	s->n = 0;
}
