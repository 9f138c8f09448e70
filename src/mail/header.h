#pragma once
#include "base/buf.h"
#include "base/str.h"
#include "base/why.h"
#include <stdint.h>

/* The header of a message, as raw runs into it. Nothing is copied or decoded. */
struct header_field {
	struct str raw;    /* whole field with folding and its line end */
	struct str name;   /* without the colon and white space before it */
	struct str value;  /* after the colon, folded, without the last line end */
};
/* Iterates over the fields of `in`, which starts at a header. RC_OK = *out filled; RC_NOTFOUND = the header is over, *pos is
 * the offset of the body (after the empty line). Lines end in CRLF or LF. A line that is no field and no continuation
 * ends the header there (the common reading of broken mail); *out_broken is set then. */
MUST_USE enum rc header_next(struct str in, size_t *pos, struct header_field *out, bool *out_broken);
/* First field of that name, or RC_NOTFOUND. */
MUST_USE enum rc header_find(struct str in, struct str name, struct header_field *out);
/* The value unfolded: line ends removed (RFC 5322 2.2.3). */
void header_unfold(struct str value, struct buf *out);

/* RFC 5322 3.3 dates with the obsolete forms, and the damage seen in real mail. Unix ms. */
MUST_USE enum rc mail_date_parse(struct str in, int64_t *out_ms, int *out_zone_minutes);
/* "Mon, 23 Nov 2026 21:36:12 +0000" */
void mail_date_format(int64_t ms, int zone_minutes, struct buf *out);
/* IMAP's "23-Nov-2026 21:36:12 +0000" both ways (RFC 3501 date-time; a leading space in the day allowed). */
void imap_date_format(int64_t ms, int zone_minutes, struct buf *out);
MUST_USE enum rc imap_date_parse(struct str in, int64_t *out_ms);
/* IMAP's "23-Nov-2026" or "1-Feb-1994" -> days since 1970-01-01. */
MUST_USE enum rc imap_day_parse(struct str in, int32_t *out_day);
