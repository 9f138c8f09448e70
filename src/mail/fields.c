#include "mail/fields.h"

#include "base/cursor.h"
#include "mail/encoded_word.h"
#include "mail/header.h"

enum { FIELD_MAX = 4 << 20 };

static void folded(struct text_reader *r, struct str value, struct buf *out)
{
	struct fold f;
	size_t from = buf_run_begin(out);
	fold_begin(&f);
	buf_clear(&r->utf8);
	if (!encoded_words_decode(str_trim(value), &r->utf8))
		r->defects |= MAIL_BAD_ENCODED_WORD;
	fold_add(&f, buf_str(&r->utf8), out);
	out->failed |= r->utf8.failed;
	buf_run_end(out, from);
}

/* RFC 5322 3.6.4: the first msg-id with its brackets, or what stands there instead. */
static struct str first_id(struct str value)
{
	struct str s = str_trim(value);
	size_t open = str_find(s, '<'), close = open + str_find(str_skip(s, open), '>');
	return open < s.n && close < s.n ? (struct str){ s.p + open, close + 1 - open } : s;
}

static void unfolded(struct str value, struct buf *out)
{
	size_t from = buf_run_begin(out);
	header_unfold(str_trim(value), out);
	buf_run_end(out, from);
}

enum rc fields_format(const struct mime_head *h, struct text_reader *r, int64_t date_ms, int32_t date_day, struct buf *out)
{
	static const enum mime_field texts[] = { MIME_FROM, MIME_TO, MIME_CC, MIME_BCC, MIME_SUBJECT };
	buf_u8(out, FIELDS_VERSION);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		folded(r, h->value[texts[i]], out);
	unfolded(first_id(h->value[MIME_MESSAGE_ID]), out);
	unfolded(h->value[MIME_IN_REPLY_TO], out);
	unfolded(h->value[MIME_REFERENCES], out);
	buf_u64(out, (uint64_t)date_ms);
	buf_u32(out, (uint32_t)date_day);
	return out->failed ? RC_NOMEM : RC_OK;
}

enum rc mail_fields_parse(struct str packed, struct mail_fields *out)
{
	struct cursor c = cursor_of(packed);
	struct mail_fields f;
	if (cursor_u8(&c) != FIELDS_VERSION)
		return RC_DAMAGED;
	struct str *runs[] = { &f.from_folded, &f.to_folded, &f.cc_folded, &f.bcc_folded, &f.subject_folded, &f.message_id, &f.in_reply_to, &f.references };
	for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
		*runs[i] = cursor_run(&c, FIELD_MAX);
	f.date_ms = (int64_t)cursor_u64(&c);
	f.date_day = (int32_t)cursor_u32(&c);
	if (!cursor_at_end(&c))
		return RC_DAMAGED;
	*out = f;
	return RC_OK;
}
