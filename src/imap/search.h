#pragma once
#include "imap/parse.h"

/* SEARCH as a tree. A key knows from which facts it can be decided, so that rows are read in passes, the cheap facts of
 * all before the dear ones of the few that are left. */
enum key_kind {
	KEY_TRUE, KEY_AND, KEY_NOT, KEY_OR,
	KEY_SEQ, KEY_UID, KEY_RECENT, KEY_OLD,    /* by number alone */
	KEY_NEW,                                  /* by number, then state */
	KEY_FLAG, KEY_NO_FLAG, KEY_KEYWORD, KEY_NO_KEYWORD, KEY_LARGER, KEY_SMALLER, /* state */
	KEY_BEFORE, KEY_ON, KEY_SINCE,            /* record: internal date */
	KEY_SENTBEFORE, KEY_SENTON, KEY_SENTSINCE,
	KEY_FROM, KEY_TO, KEY_CC, KEY_BCC, KEY_SUBJECT, /* record: folded fields */
	KEY_HEADER, KEY_BODY, KEY_TEXT,           /* signature, then the message itself */
};
enum { SEARCH_DEPTH_MAX = 50, SEARCH_KEYS_MAX = 2000, SEARCH_TEXTS_MAX = 64 };

struct key {
	enum key_kind kind;
	struct key *next;          /* in the list of AND */
	struct key *first;         /* AND, OR: their keys; NOT: its one */
	uint32_t flag;
	int32_t day;
	uint64_t number;
	struct str text, field;    /* as said; `folded` for comparing */
	struct str folded;
	struct set set;
	struct ranges uids;        /* of KEY_SEQ and KEY_UID, once resolved; owned */
};
struct search {
	struct key *root;          /* an AND */
	struct key **all;          /* every key, for resolving and freeing */
	size_t n, texts;
	bool bad_charset;
};
/* `a` stands behind the verb. Fails (args) on what is malformed, too deep or too long. */
void search_parse(struct args *a, struct search *out);
void search_done(struct search *s);

enum truth { IS_FALSE, IS_TRUE, UNDECIDED };
/* What a row can be asked at this pass: WANT_* bits that were read. `match` answers for the message itself. */
struct search_view {
	const struct imap_row *row;
	unsigned have;
	const struct selected *box;
	enum rc (*match)(void *arg, const struct imap_row *row, const struct key *key, bool *out);
	void *arg;
	enum rc rc;                /* of the first match that failed */
};
enum truth search_eval(const struct key *key, struct search_view *v);
/* Facts beyond the number that decide this key, as WANT_* bits, one bit a pass. */
unsigned key_needs(const struct key *key);
