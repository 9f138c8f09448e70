#pragma once
#include "imap/parse.h"
#include "imap/ranges.h"
#include "imap/session.h"

/* What the files of this folder share. One session = one stream, one fiber, no globals. */

enum {
	PRELOGIN_LINE_MAX = 8 << 10, LINE_MAX_OCTETS = 64 << 10,          /* text of one command, its literals not counted */
	PRELOGIN_LITERALS_MAX = 1 << 10, LITERALS_MAX = 64 << 10,         /* literals of one command, APPEND's message not counted */
	COMMAND_ARENA_MAX = 8 << 20, BOX_ARENA_MAX = 1 << 20, HOUSE_ARENA_MAX = 256 << 20,
	KEEPALIVE_MS = 120000, PATIENCE_MS = 300000,
};

enum session_state { BEFORE_LOGIN = 1, LOGGED_IN = 2, SELECTED = 4 };

/* The selected mailbox as this client knows it. `map` changes only where the client is told. */
struct selected {
	uint64_t id, modseq;
	uint32_t uidvalidity;
	bool readonly, is_open;      /* is_open: the house has it open */
	struct seqmap map;
	struct ranges held;          /* expunged, but the client may not hear of it yet */
	struct ranges recent;        /* \Recent in this session; tidy; expunged ones may be among them */
	uint32_t recent_told;        /* how many, as the client has heard */
	struct arena arena;          /* keyword names */
	struct str *keywords;        /* by bit */
	unsigned keyword_n;
	uint64_t known_keywords;     /* bits with a name */
};

struct literal {
	uint64_t size;
	bool is_sync, is_pending;
};

enum { ANSWER_OK, ANSWER_NO, ANSWER_BAD };
struct session {
	struct stream *io;
	const struct imap_config *config;
	const struct imap_hooks *hooks;
	enum session_state state;
	bool is_over, by_uid, news_told;
	bool is_cut;                 /* a literal could not be finished: not one octet more may follow */
	unsigned errors, failed_logins;
	int64_t since_ms;
	struct arena arena;          /* lives as long as one command */
	struct buf command;          /* its text */
	struct str tag;
	struct literal message;      /* APPEND's, not yet read */
	int answer_kind;
	struct buf answer;           /* "[CODE] text" of the tagged response */
	struct selected box;
};

/* ---- reply.c: answers and the words in them ---- */
void answer_ok(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void answer_no(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void answer_bad(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void answer_syntax(struct session *s, const struct args *a);
/* NO with the response code of RFC 5530 that fits, and the house's own words. */
void answer_failure(struct session *s, enum rc rc, const struct why *why, const char *what);
void answer_send(struct session *s);
void bye(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Writes at the end of the stream's output with few calls. Nothing may suspend between a put and out_flush(). */
struct out {
	struct stream *io;
	char *p;
	size_t at, cap;
};
bool out_room(struct out *o, size_t n);
void out_flush(struct out *o);
void out_num(struct out *o, uint64_t v);
void out_long(struct out *o, struct str s);        /* any length */
static inline void out_put(struct out *o, struct str s)
{
	if (s.n > 4096) {
		out_long(o, s);
	} else if (o->cap - o->at >= s.n || out_room(o, s.n)) {
		memcpy(o->p + o->at, s.p, s.n);
		o->at += s.n;
	}
}
void out_string(struct out *o, struct str s);       /* quoted, or a literal where it must be */
void out_mailbox(struct out *o, struct str utf8);
void out_flags(struct out *o, const struct selected *box, uint32_t uid, uint32_t flags, uint64_t keywords); /* "(\Seen \Recent $Junk)" */
void out_date(struct out *o, int64_t ms);           /* "23-Nov-2026 21:36:12 +0000" with quotes */

/* ---- session.c ---- */
/* Input is there: RC_OK. RC_AGAIN: the mailbox may have news. RC_LATE after `ms`. */
enum rc session_wait(struct session *s, unsigned ms);
enum rc session_drop(struct session *s, uint64_t octets); /* reads and forgets */
/* Answers, and ends the connection: what comes next might be the rest of a literal and must not be taken for a command. */
void session_lost_track(struct session *s);
void capabilities(const struct session *s, struct buf *out);
/* The folder of that name; RC_NOTFOUND. */
enum rc folder_find(struct session *s, struct str name, struct imap_folder *out, struct why *why);

/* ---- news.c ---- */
/* Own changes, about to come back as news of these UIDs. What the client will be told of them by the command itself is not told
 * here; with `compare` (STORE .SILENT) what looks as the command asked is not told at all, so that somebody else's change
 * at the same time still is. `covers`, where given: if there is news of every one of them, it is told here after all and *covers set. */
struct told {
	const struct ranges *uids;
	bool compare, *covers;
	enum imap_flag_mode mode;
	uint32_t flags;
	uint64_t keywords;
};
/* Tells what happened in the selected mailbox. RC_OK, or the session must end (a BYE is on its way). */
enum rc news_tell(struct session *s, bool may_expunge, const struct told *told);
enum rc selected_take(struct session *s, const struct imap_box *box);
enum rc selected_keywords(struct session *s, const struct imap_box *box);
enum rc selected_refresh_keywords(struct session *s); /* asks the house and tells FLAGS */
void tell_flags(struct session *s);
void selected_drop(struct session *s);                /* closes it; harmless when none is */
/* The set as UID ranges of messages this client knows, clamped to them. RC_SYNTAX: a sequence number past the end. */
enum rc set_resolve(const struct session *s, struct set set, bool by_uid, struct ranges *out);

/* ---- recent.c ---- */
/* What of the UIDs from `first` to `last`, all new to this client, is \Recent in this session: taken, or with EXAMINE only looked at. */
enum rc recent_take(struct session *s, uint32_t first, uint32_t last);
uint32_t recent_count(const struct selected *box);
void tell_recent(struct session *s);
/* STATUS: how many no session was given yet. */
enum rc recent_status(struct session *s, const struct imap_box *box, uint64_t *out, struct why *why);

/* ---- commands ---- */
typedef void command_fn(struct session *s, struct args *a);
command_fn do_capability, do_noop, do_logout, do_id, do_starttls, do_login, do_authenticate, do_enable, do_namespace;
command_fn do_list, do_lsub, do_status, do_create, do_delete, do_rename, do_subscribe, do_unsubscribe;
command_fn do_select, do_examine, do_close, do_unselect, do_check, do_idle, do_append;
command_fn do_fetch, do_store, do_copy, do_move, do_expunge, do_search;
