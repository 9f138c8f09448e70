#pragma once
#include "imap/parse.h"

/* FETCH's items, resolved once per command: the row loop does no more thinking. */
enum item_kind { ITEM_UID, ITEM_FLAGS, ITEM_INTERNALDATE, ITEM_SIZE, ITEM_ENVELOPE, ITEM_BODY, ITEM_BODYSTRUCTURE, ITEM_SECTION };
enum section_what { SECTION_ALL, SECTION_HEADER, SECTION_FIELDS, SECTION_FIELDS_NOT, SECTION_TEXT, SECTION_MIME };
enum { SECTION_DEPTH_MAX = 100, FETCH_ITEMS_MAX = 256, FIELDS_MAX = 256, HEADER_MAX = 1 << 20 };

struct section {
	uint32_t *path;          /* RFC 3501 6.4.5: part numbers */
	size_t path_n;
	enum section_what what;
	struct str *fields;
	size_t field_n;
	bool is_partial;
	uint32_t offset, length;
};
struct item {
	enum item_kind kind;
	struct section section;
	struct str label;        /* as the answer names it: "BODY[1.HEADER]<0>" */
};
struct fetch {
	struct item *items;
	size_t n;
	unsigned want;           /* enum imap_want */
	bool sets_seen;
};
/* "ALL", "FLAGS", "(UID BODY.PEEK[HEADER.FIELDS (From To)]<0.100>)" */
void fetch_parse(struct args *a, bool by_uid, struct fetch *out);
/* The inside of "BODY[...]" with both brackets and "<o.n>"; appends its canonical form to `label`. */
void section_parse(struct args *a, struct section *out, struct buf *label);

struct session;
struct out;
/* Writes the octets of a section as a literal, or NIL where there is none. RC_CLOSED: a literal was begun and cannot be
 * finished. RC_DAMAGED: NIL was written, the octets cannot be read. */
enum rc section_put(struct session *s, struct out *o, const struct imap_row *row, const struct section *sec);
