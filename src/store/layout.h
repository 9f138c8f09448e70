#pragma once
#include "base/cursor.h"
#include "store/engine.h"
#include "store/store.h"
#include "store/view.h"

/* Keys and values of every table, in one place (docs/storage.md says the same in prose). All integers big-endian, so that
 * order is meaning; every key begins with the organisation's id. */
#define ORG 1u

struct key { size_t n; char b[ENGINE_KEY_MAX]; };
static inline struct str key_str(const struct key *k) { return (struct str){ k->b, k->n }; }

enum { NAME_MAX_OCTETS = 1000, ADDRESS_MAX = 320, DOMAIN_MAX = 255, KEYWORD_MAX = 128, PERSON_NAME_MAX = 1000, STATE_KEY_LEN = 16, STATE_LEN = 32,
	STATE_EMAIL_AT = 24, RECORD_KEY_LEN = 24 };

struct key key_meta(struct str name);
struct key key_domain(struct str domain);
struct key key_address(struct str address);       /* canonical */
struct key key_address_end(struct str domain);     /* behind the domain's last address; its first: key_address of "@domain" */
struct key key_account(uint64_t account);
struct key key_box(uint64_t account, uint64_t box);
struct key key_box_end(uint64_t account);          /* behind the account's last box */
enum rc key_name(uint64_t account, struct str name, struct key *out); /* name, subscription */
struct key key_name_first(uint64_t account);
struct key key_name_end(uint64_t account);         /* behind the account's last name; no account has the id UINT64_MAX */
struct key key_uid(uint64_t box, uint32_t uid);    /* state */
struct key key_uid_end(uint64_t box);
struct key key_keyword(uint64_t box, uint8_t bit);
struct key key_keyword_end(uint64_t box);
struct key key_change(uint64_t account, uint64_t modseq);
/* record, grams: by e-mail id first, whose high bits are time, so that what comes together lies together, whosever it is; the state
 * row says the id */
struct key key_record(uint64_t email, uint64_t box, uint32_t uid);
struct key key_pair(uint64_t a, uint64_t b);       /* epoch: owner, id; delivery: hour, id */
struct key key_blob(const struct blob_id *id);
struct key key_segment(uint32_t n);
uint32_t key_uid_of(struct str key);               /* the uid at the end of a state or record key */
uint64_t key_first_of(struct str key);               /* the u64 before that */
uint64_t key_second(struct str key);               /* the second u64 of (org, u64, u64 ...) */

/* Writing into fixed memory; sticky `failed`. */
struct pen { char *p, *end; bool failed; };
void pen_int(struct pen *p, uint64_t v, unsigned octets);
void pen_bytes(struct pen *p, struct str s);
void pen_run(struct pen *p, struct str s);         /* u16 length */

/* ---- rows ---- */
struct account_row { struct account a; uint64_t modseq, floor; uint32_t last_uidvalidity; bool removing; };
/* What people call an account or a group: at most PERSON_NAME_MAX octets, one line without controls, for it stands in lists and headers.
 * RC_LIMIT, RC_SYNTAX. */
MUST_USE enum rc person_name_check(struct str name, struct why *why);
enum { ACCOUNT_ROW_MAX = 256 + ADDRESS_MAX + PERSON_NAME_MAX, BOX_ROW_MAX = 128 + NAME_MAX_OCTETS };
struct str account_format(const struct account_row *r, char out[ACCOUNT_ROW_MAX]);
MUST_USE enum rc account_parse(struct str v, struct account_row *out);      /* runs point into v */

struct box_row {
	struct str name;
	uint32_t special_use;
	bool selectable;
	uint32_t uidvalidity, uidnext, exists, unseen, unseen_from; /* no unseen message below this uid */
	uint64_t highestmodseq, size;
};
struct str box_format(const struct box_row *r, char out[BOX_ROW_MAX]);
MUST_USE enum rc box_parse(struct str v, struct box_row *out);

/* Up to where sessions were given a folder's messages as \Recent: the first UID that none was. */
enum { RECENT_ROW_LEN = 4 };
struct str recent_format(uint32_t first, char out[RECENT_ROW_LEN]);
MUST_USE enum rc recent_parse(struct str v, uint32_t *out);
/* The same of what a look at the row has answered. No row, or a damaged one: RFC 3501 2.3.2 has in doubt everything recent. */
uint32_t recent_of(enum rc got, struct str v, uint32_t uidnext);

struct state_row { uint64_t modseq; uint32_t flags, size; uint64_t keywords, email; };
struct str state_format(const struct state_row *r, char out[STATE_LEN]);
MUST_USE enum rc state_parse(struct str v, struct state_row *out);

/* A change row: one step of one verb. Tail: uid ranges. */
enum change_what { CHANGE_NEW = 1, CHANGE_FLAGS = 2, CHANGE_EXPUNGED = 3, CHANGE_FOLDERS = 4, CHANGE_KEYWORDS = 5 };
enum { CHANGE_RANGES_MAX = 128, CHANGE_ROW_MAX = 18 + 8 * CHANGE_RANGES_MAX };
struct change_row { uint8_t what; uint64_t box; int64_t at_ms; struct uid_range r[CHANGE_RANGES_MAX]; size_t n; };
struct str change_format(const struct change_row *r, char out[CHANGE_ROW_MAX]);
MUST_USE enum rc change_parse(struct str v, struct change_row *out);

struct blob_row { struct blob_place place; uint32_t refs; };
enum { BLOB_ROW_LEN = 1 + 4 + 8 + 8 + 4 };
struct str blob_row_format(const struct blob_row *r, char out[BLOB_ROW_LEN]);
MUST_USE enum rc blob_row_parse(struct str v, struct blob_row *out);

struct segment_row { uint64_t length, live; int64_t retired_ms; bool single; }; /* retired_ms != 0: nothing lives here any more */
enum { SEGMENT_ROW_LEN = 1 + 8 + 8 + 8 + 1, SEGMENT_HEAD_LEN = 16 };
struct str segment_row_format(const struct segment_row *r, char out[SEGMENT_ROW_LEN]);
MUST_USE enum rc segment_row_parse(struct str v, struct segment_row *out);
void segment_head(uint32_t n, char out[SEGMENT_HEAD_LEN]);
MUST_USE enum rc segment_head_check(struct str head, uint32_t n);
void segment_name(uint32_t n, char out[16]);

enum address_kind { ADDRESS_ACCOUNT, ADDRESS_ALIAS, ADDRESS_GROUP, ADDRESS_KINDS };
struct address_row { uint8_t kind; uint64_t id; };  /* of the account, or the group */
enum { ADDRESS_ROW_LEN = 1 + 8 };
struct str address_row_format(const struct address_row *r, char out[ADDRESS_ROW_LEN]);
MUST_USE enum rc address_row_parse(struct str v, struct address_row *out);

enum { DOMAIN_ROW_MAX = 3 + ADDRESS_MAX };
struct str domain_row_format(struct str catch_all, char out[DOMAIN_ROW_MAX]);
MUST_USE enum rc domain_row_parse(struct str v, struct str *out_catch_all);

/* Mailbox names: UTF-8, "/" between levels, INBOX in capitals. RC_SYNTAX, RC_LIMIT. */
MUST_USE enum rc name_canonical(struct str name, char out[NAME_MAX_OCTETS], struct str *out_name, struct why *why);
/* Addresses and domains in lower case (ASCII; the rest stays). RC_SYNTAX, RC_LIMIT. */
MUST_USE enum rc address_canonical(struct str address, char out[ADDRESS_MAX], struct str *out_address);
/* The same of an address that is asked for: its local part may have blanks (RFC 5321 4.1.2: a quoted string). No row has such a one, but its domain may be ours. */
MUST_USE enum rc address_asked(struct str address, char out[ADDRESS_MAX], struct str *out_address);
MUST_USE enum rc domain_canonical(struct str domain, char out[DOMAIN_MAX], struct str *out_domain);
struct str address_domain(struct str address);
/* Without the plus-tag: from the first '+' of the local part, unless it stands first, to its end. *out_tag "" and the address itself: there is none. */
struct str address_base(struct str address, char out[ADDRESS_MAX], struct str *out_tag);
