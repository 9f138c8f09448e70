#pragma once
#include "base/buf.h"
#include "base/why.h"
#include <stdint.h>

/* Everything a mail server wants to know about a message, found once (by `scan`) and kept beside it. Pure: no I/O. Never
 * changes a byte of the message; what is broken is reported in `defects`. Work and memory are bounded by `limits` and linear in
 * the message; past a limit the structure is reported as far as it is sound. */
struct mail_limits {
	unsigned depth;          /* nested multiparts and messages; default 100 */
	unsigned parts;          /* default 10,000 */
	unsigned header_fields;  /* per part; default 2,000 */
	size_t header_bytes;     /* of one part's header; default 1 MiB: the rest is body */
	size_t preview_chars;    /* default 200 */
	size_t text_bytes;       /* decoded text looked at for preview and grams; default 2 MiB */
};
extern const struct mail_limits mail_limits_default;

enum mail_defect {           /* bits of mail_digest.defects; names by mail_defect_name() */
	MAIL_NO_HEADER_END = 1 << 0, MAIL_BAD_FIELD_NAME = 1 << 1, MAIL_BARE_CR = 1 << 2, MAIL_BARE_LF = 1 << 3,
	MAIL_NUL = 1 << 4, MAIL_8BIT_HEADER = 1 << 5, MAIL_LONG_LINE = 1 << 6, MAIL_BAD_CONTENT_TYPE = 1 << 7,
	MAIL_NO_BOUNDARY = 1 << 8, MAIL_UNCLOSED_MULTIPART = 1 << 9, MAIL_BAD_ENCODING = 1 << 10, MAIL_BAD_CHARSET = 1 << 11,
	MAIL_TOO_DEEP = 1 << 12, MAIL_TOO_MANY_PARTS = 1 << 13, MAIL_HEADER_TOO_LARGE = 1 << 14, MAIL_DUPLICATE_FIELD = 1 << 15,
	MAIL_BAD_ADDRESS = 1 << 16, MAIL_BAD_DATE = 1 << 17, MAIL_BAD_ENCODED_WORD = 1 << 18, MAIL_MISSING_FIELD = 1 << 19,
	MAIL_TYPE_MISMATCH = 1 << 20,   /* an attachment's bytes are not what its type or name says */
	MAIL_DEFECTS = 21
};
const char *mail_defect_name(unsigned bit_index); /* "no-header-end", ... */

struct mail_digest {
	struct buf envelope;     /* IMAP ENVELOPE in its wire form, RFC 3501 7.4.2: "(...)"; 7-bit, quoted or literal-free strings */
	struct buf structure;    /* BODYSTRUCTURE wire form with extension data: "(...)" */
	struct buf parts;        /* packed part table for mail_part_find() */
	struct buf preview;      /* UTF-8, white space collapsed, <= preview_chars characters (RFC 8970) */
	struct buf fields;       /* packed search and sort fields for mail_fields_parse() */
	struct buf attachments;  /* packed: per attachment name (UTF-8), declared type, true type by magic bytes, size */
	struct buf grams;        /* search signature, see mail/grams.h */
	uint32_t defects;
	uint32_t part_count;
	int64_t date_ms;         /* Date:, Unix ms; INT64_MIN when missing or broken */
};
MUST_USE enum rc mail_digest(struct str message, const struct mail_limits *limits, struct mail_digest *out, struct why *why);
void mail_digest_done(struct mail_digest *d);

/* ---- reading the packed parts back (access; the bytes are our own, yet bounds-checked) ---- */
enum mail_part_kind { MAIL_LEAF, MAIL_MULTIPART, MAIL_MESSAGE };
struct mail_part {
	enum mail_part_kind kind;
	uint64_t header_off, header_len; /* the part's own MIME header, its empty line included; for the root: the message header */
	uint64_t body_off, body_len;
	uint32_t lines;
};
/* RFC 3501 6.4.5 part numbers: path {1,2} is BODY[1.2]. n = 0 is the whole message. A non-multipart message has part 1.
 * For a message/rfc822 part, *out_inner (may be NULL) is the embedded message's root (its header and text). RC_NOTFOUND. */
MUST_USE enum rc mail_part_find(struct str packed, const uint32_t *path, size_t n, struct mail_part *out, struct mail_part *out_inner);
/* BODY (no extension data) from BODYSTRUCTURE. */
MUST_USE enum rc mail_body_of_structure(struct str structure, struct buf *out);

/* ---- search and sort fields ---- */
struct mail_fields {             /* borrowed; text is UTF-8, decoded; `*_folded` is case-folded for searching (mail_fold) */
	struct str from_folded, to_folded, cc_folded, bcc_folded, subject_folded;
	struct str message_id, in_reply_to, references;
	int64_t date_ms;         /* sent date; INT64_MIN when unknown */
	int32_t date_day;        /* days since 1970-01-01 of the Date: header disregarding time and zone; INT32_MIN unknown */
};
MUST_USE enum rc mail_fields_parse(struct str packed, struct mail_fields *out);

/* ---- attachments ---- */
struct mail_attachment {         /* borrowed */
	struct str name;         /* UTF-8, "" = none */
	struct str declared;     /* "application/pdf", lower case */
	struct str true_type;    /* by magic bytes: "pdf", "exe", "zip", ... ; "" = not recognized */
	uint64_t size;           /* octets; for base64 decoded ones (computed from the encoded length), else as stored */
};
/* The next attachment of what is left of *packed. RC_NOTFOUND at the end, RC_DAMAGED. */
MUST_USE enum rc mail_attachment_next(struct str *packed, struct mail_attachment *out);

/* Unicode case folding plus white-space collapsing, the form all searching compares in (ICU; use in scan only). */
MUST_USE enum rc mail_fold(struct str utf8, struct buf *out);

/* Does the message contain every one of these? For SEARCH's TEXT, BODY and HEADER after the signature said "maybe". */
enum mail_match_where { MATCH_BODY, MATCH_TEXT, MATCH_HEADER };
struct mail_match { enum mail_match_where where; struct str field; struct str needle_folded; };
MUST_USE enum rc mail_matches(struct str message, const struct mail_match *m, size_t n, const struct mail_limits *limits, bool *out);

/* What `letterlock probe mime` prints. JSON: one object on one line (headers, tree with offsets, ENVELOPE, BODYSTRUCTURE, BODY, preview,
 * attachments, defects); else text for people. `name` stands in it as the file's name. */
MUST_USE enum rc mail_describe(struct str name, struct str message, const struct mail_limits *limits, bool json, struct buf *out, struct why *why);

/* Frees what this thread keeps for charsets and signatures; the next use makes it again. At the end of a thread or process. */
void mail_thread_done(void);
