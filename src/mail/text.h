#pragma once
#include "mail/fold.h"
#include "mail/mime.h"

/* The one way from a message to what is searched in it: digest (signatures, preview) and mail_matches both go through here, so that a
 * signature can never deny what a search would find. Buffers are reused from part to part. */
struct text_reader {
	struct buf raw, utf8, plain; /* decoded octets, as UTF-8, without markup */
	size_t budget;               /* decoded octets left to look at */
	uint32_t defects;
};
void text_reader_init(struct text_reader *r, const struct mail_limits *lim);
void text_reader_done(struct text_reader *r);
/* The readable text of a text part as UTF-8, valid until the next call; "" for any other part. RC_NOMEM. What a part of type message says that
 * holds no message (a delivery status, a disposition, a feedback report) is text, too: bounces are searched for whom they are about. */
MUST_USE enum rc text_of_part(struct text_reader *r, const struct mime_tree *t, const struct mime_part *p, struct str *out);
/* The name of an attachment as it is searched, folded, appended to `out`; nothing for other parts. RC_NOMEM. */
MUST_USE enum rc text_of_name(struct text_reader *r, const struct mime_part *p, struct buf *out);
/* A header field as it is searched: "Name: decoded value", folded, appended to `out`. */
MUST_USE enum rc text_of_field(struct text_reader *r, struct str name, struct str value, struct buf *out);
bool text_is_text(const struct mime_part *p);
