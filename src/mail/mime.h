#pragma once
#include "base/arena.h"
#include "mail/digest.h"
#include "mail/transfer.h"

/* The tree of a message's parts, found in one pass with an explicit stack. Everything is borrowed from the message, but
 * To, Cc and Bcc of a header that has several of them, which are joined. Parts stand in the order of their first octet (preorder). An embedded message is the only child of its message/rfc822 part. */
enum { MIME_NONE = UINT32_MAX };
enum mime_field { /* what ENVELOPE asks for, RFC 3501 7.4.2, and what a sound message has once (RFC 5322 3.6) */
	MIME_DATE, MIME_SUBJECT, MIME_FROM, MIME_SENDER, MIME_REPLY_TO, MIME_TO, MIME_CC, MIME_BCC, MIME_IN_REPLY_TO, MIME_MESSAGE_ID,
	MIME_REFERENCES, MIME_FIELDS
};
struct mime_head {
	struct str value[MIME_FIELDS]; /* still folded; p is never NULL; "" when absent */
	uint32_t present;              /* bit per field: absent and empty differ */
};
struct mime_part {
	enum mail_part_kind kind;
	uint32_t parent, next, first_child, last_child; /* indexes; MIME_NONE */
	uint32_t head;                 /* index of its mime_head when it is a message's root, else MIME_NONE */
	uint32_t depth;
	bool ended, bodiless;          /* bodiless: multipart without a delimiter; its one child is made up */
	uint64_t header_off, header_len, body_off, body_len;
	uint32_t lines;
	struct str type, subtype, params; /* of Content-Type; type "" = none or broken: text/plain */
	struct str disposition, id, description, md5, language, location, encoding_name;
	enum transfer encoding;
};
struct mime_tree {
	struct str message;
	struct mime_part *part;
	uint32_t n, cap;
	struct mime_head *head;
	uint32_t heads, heads_cap;
	uint32_t defects;
	struct arena joined;           /* values of fields that were there more than once */
};
/* RC_LIMIT: the message is 4 GiB or more. RC_NOMEM. *out is to be done in any case. */
MUST_USE enum rc mime_parse(struct str message, const struct mail_limits *limits, struct mime_tree *out, struct why *why);
void mime_done(struct mime_tree *t);

static inline struct str mime_header(const struct mime_tree *t, const struct mime_part *p) { return str_of(t->message.p + p->header_off, p->header_len); }
static inline struct str mime_body(const struct mime_tree *t, const struct mime_part *p) { return str_of(t->message.p + p->body_off, p->body_len); }
bool mime_is(const struct mime_part *p, struct str type, struct str subtype); /* subtype "" = any */
