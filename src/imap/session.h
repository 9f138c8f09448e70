#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "os/stream.h"

/* The server side of IMAP4rev1 (RFC 3501) with LITERAL+ (7888), UIDPLUS (4315), IDLE (2177), NAMESPACE (2342), ID (2971),
 * SPECIAL-USE (6154), UNSELECT (3691), MOVE (6851), CHILDREN (3348). A function of a stream and its hooks; hooks may suspend.
 * Mailbox names are UTF-8 here (modified UTF-7 stays in the session), hierarchy separator "/", INBOX in capitals. */
struct imap_config {
	struct str hostname;
	bool plaintext_login;        /* without TLS (demo on loopback only) */
	uint64_t max_append;         /* octets; APPENDLIMIT */
	unsigned idle_ms;            /* autologout, >= 30 min */
	unsigned prelogin_ms;        /* patience before login, default 60,000 */
	unsigned max_errors;
};

enum { IMAP_SEEN = 1, IMAP_ANSWERED = 2, IMAP_FLAGGED = 4, IMAP_DELETED = 8, IMAP_DRAFT = 16 }; /* system flags, bits 0..4 */
/* Keywords of a mailbox have a bit each, 0..63; names in imap_box.keywords. */

struct imap_folder {
	struct str name;             /* "Archive/2025" */
	uint64_t id;
	uint32_t special_use;        /* bits of enum imap_use */
	bool subscribed, selectable;
	bool exists;                 /* false: a subscribed name that has no folder; id 0 */
};
enum imap_use { USE_DRAFTS = 1, USE_SENT = 2, USE_JUNK = 4, USE_TRASH = 8, USE_ARCHIVE = 16, USE_FLAGGED = 32, USE_ALL = 64 };

struct imap_range { uint32_t first, last; };   /* UIDs, inclusive, first <= last */
struct imap_box {
	uint64_t id;
	uint32_t uidvalidity, uidnext, exists, unseen;
	uint32_t first_unseen_uid;   /* 0 = none */
	uint32_t recent_from;        /* the first UID that no session was given, at least: the house may know of more that were; uidnext = none */
	uint64_t highestmodseq, size;
	struct str keywords[64];     /* "" = free bit */
	const struct imap_range *runs; size_t run_count; /* UIDs present, ascending; filled by `open` only */
	bool readonly;
};

/* What fetch_open() shall bring along. Costs grow downwards. */
enum imap_want { WANT_STATE = 1, WANT_HEAD = 16 /* dates, envelope */, WANT_RECORD = 2 /* those, structure, parts, preview, fields */, WANT_GRAMS = 4,
	WANT_BODY = 8 /* body_read will follow */ };
struct imap_row {                /* borrowed until the next fetch_next() */
	uint32_t uid;
	uint32_t flags;              /* IMAP_* */
	uint64_t keywords;
	uint64_t modseq;
	uint64_t size;               /* RFC822.SIZE */
	int64_t internal_ms, save_ms;
	struct str envelope, structure, parts, preview, fields, grams; /* see mail/digest.h; "" when not wanted */
	void *handle;                /* for body_read */
};

enum imap_flag_mode { FLAGS_SET, FLAGS_ADD, FLAGS_REMOVE };
struct imap_change {             /* news of the selected mailbox */
	uint32_t uid;
	bool expunged;               /* otherwise new or flags changed */
	uint32_t flags; uint64_t keywords; uint64_t modseq;
};

struct imap_hooks {
	void *house;
	enum rc (*connect)(void *house, const struct stream_facts *facts, struct why *why);
	enum rc (*login)(void *house, struct str user, struct str password, struct why *why); /* RC_DENIED, RC_BUSY, ... */
	void (*logout)(void *house);                                   /* once after a successful login, also on a lost connection */

	/* Folders. `a` holds what is returned. Names that do not exist: RC_NOTFOUND; that do: RC_EXISTS. create makes parents. */
	enum rc (*folders)(void *house, struct arena *a, struct imap_folder **out, size_t *out_n, struct why *why);
	enum rc (*status)(void *house, uint64_t box, struct arena *a, struct imap_box *out, struct why *why); /* no runs */
	enum rc (*create)(void *house, struct str name, uint32_t special_use, struct why *why);
	enum rc (*remove)(void *house, struct str name, struct why *why);
	enum rc (*rename)(void *house, struct str from, struct str to, struct why *why);   /* children go along; INBOX per RFC 3501 6.3.5 */
	enum rc (*subscribe)(void *house, struct str name, bool on, struct why *why);

	/* The selected mailbox. open() also starts the watch: from then on stream_wake() is called when something changed. */
	enum rc (*open)(void *house, uint64_t box, bool readonly, struct arena *a, struct imap_box *out, struct why *why);
	void (*close)(void *house, uint64_t box);
	/* What changed since that modseq, in modseq order; *out_modseq is where the next call starts. `more` = call again. */
	enum rc (*changes)(void *house, uint64_t box, uint64_t since, struct arena *a, struct imap_change **out, size_t *out_n,
	                   uint64_t *out_modseq, bool *out_more, struct why *why);

	/* \Recent. Gives this session the messages below `before` that none was given: from *out_first on they are its own, none of them when that is not
	 * below `before`. No other session is ever given the same. before 0 only looks. */
	enum rc (*recent)(void *house, uint64_t box, uint32_t before, uint32_t *out_first, struct why *why);

	/* Rows of these UID ranges in ascending order, prefetched in chunks. UIDs that are gone are skipped. */
	enum rc (*fetch_open)(void *house, uint64_t box, const struct imap_range *ranges, size_t n, unsigned want, void **out_cursor, struct why *why);
	enum rc (*fetch_next)(void *house, void *cursor, struct imap_row *out, struct why *why);  /* RC_NOTFOUND = end; RC_DAMAGED = this row, go on */
	void (*fetch_close)(void *house, void *cursor);
	/* Body octets of the row from `offset`, at most `max` and at most 64 KiB at a time; borrowed until the next call. Empty = past the end. */
	enum rc (*body_read)(void *house, const struct imap_row *row, uint64_t offset, uint64_t max, struct str *out, struct why *why);

	/* Writes. Durable when they return RC_OK. `changed` rows come back through changes(). unchanged_since: UINT64_MAX = unconditional. */
	enum rc (*store)(void *house, uint64_t box, const struct imap_range *ranges, size_t n, enum imap_flag_mode mode, uint32_t flags,
	                 const struct str *keywords, size_t keyword_n, struct why *why); /* creates keywords; RC_LIMIT past 64 */
	enum rc (*expunge)(void *house, uint64_t box, const struct imap_range *ranges_or_null, size_t n, struct why *why); /* of \Deleted ones; NULL = all */
	/* Copies (or moves) to `to`, all or nothing. out: UID pairs in ascending source order as two equally long range lists. */
	enum rc (*copy)(void *house, uint64_t box, const struct imap_range *ranges, size_t n, uint64_t to, bool move, struct arena *a,
	                struct imap_range **out_src, struct imap_range **out_dst, size_t *out_n, uint32_t *out_uidvalidity, struct why *why);
	/* APPEND: begin (size known), write, then end; abort on any failure. */
	enum rc (*append_begin)(void *house, uint64_t box, uint64_t size, struct why *why);
	enum rc (*append_write)(void *house, struct str bytes, struct why *why);
	enum rc (*append_end)(void *house, uint32_t flags, const struct str *keywords, size_t keyword_n, int64_t internal_ms,
	                      uint32_t *out_uid, uint32_t *out_uidvalidity, struct why *why);
	void (*append_abort)(void *house);

	/* Searching. fold: needle -> folded form (RC_OK). maybe: could a message with this signature match (grams_maybe). match: decides,
	 * reading and decoding the body elsewhere. where: 'B' body, 'T' text, 'H' header field. */
	enum rc (*fold)(void *house, struct str utf8, struct arena *a, struct str *out, struct why *why);
	enum rc (*match)(void *house, const struct imap_row *row, char where, struct str field, struct str needle_folded, bool *out, struct why *why);
};
enum rc imap_serve(struct stream *stream, const struct imap_config *config, const struct imap_hooks *hooks);
