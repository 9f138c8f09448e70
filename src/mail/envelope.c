#include "mail/address.h"
#include "mail/charset.h"
#include "mail/encoded_word.h"
#include "mail/wire.h"

static void quote(struct buf *out, struct str s)
{
	while (s.n) {
		size_t k = 0;
		while (k < s.n && s.p[k] != '"' && s.p[k] != '\\' && s.p[k] != '\r' && s.p[k] != '\n' && s.p[k] != 0)
			k++;
		buf_add(out, str_head(s, k));
		s = str_skip(s, k);
		if (s.n == 0)
			return;
		if (s.p[0] == '"' || s.p[0] == '\\')
			buf_byte(out, '\\');
		if (s.p[0] != '\r' && s.p[0] != '\n')
			buf_byte(out, s.p[0] ? s.p[0] : ' ');
		s = str_skip(s, 1);
	}
}

/* From the first word with an 8-bit octet to the last: they become encoded words, what is around them stays. */
static void quote_8bit(struct buf *out, struct str s)
{
	struct buf utf8, words;
	size_t from = ascii_prefix(s), to = s.n;
	while (from > 0 && s.p[from - 1] != ' ' && s.p[from - 1] != '\t')
		from--;
	while (to > from && !(s.p[to - 1] & 0x80))
		to--;
	while (to < s.n && s.p[to] != ' ' && s.p[to] != '\t')
		to++;
	buf_init(&utf8, 4 * (to - from) + 64);
	buf_init(&words, 12 * (to - from) + 256);
	encoded_words_decode((struct str){ s.p + from, to - from }, &utf8);
	encoded_words_add(&words, buf_str(&utf8));
	quote(out, str_head(s, from));
	quote(out, buf_str(&words));
	quote(out, str_skip(s, to));
	out->failed |= utf8.failed || words.failed;
	buf_done(&utf8);
	buf_done(&words);
}

void wire_string(struct buf *out, struct str raw, uint32_t *defects)
{
	if (raw.n > WIRE_STRING_MAX) {
		*defects |= MAIL_HEADER_TOO_LARGE;
		raw.n = WIRE_STRING_MAX;
	}
	buf_byte(out, '"');
	if (ascii_prefix(raw) == raw.n)
		quote(out, raw);
	else
		quote_8bit(out, raw);
	buf_byte(out, '"');
}

static void nstring(struct buf *out, struct str s, uint32_t *defects)
{
	if (s.n)
		wire_string(out, s, defects);
	else
		buf_add(out, STR("NIL"));
}

static void mailbox(struct buf *out, const struct mail_mailbox *m, uint32_t *d)
{
	buf_byte(out, '(');
	switch (m->kind) {
	case MAILBOX_GROUP_START: /* RFC 3501 7.4.2: host NIL, mailbox the group's name */
		buf_add(out, STR("NIL NIL "));
		wire_string(out, m->name, d);
		buf_add(out, STR(" NIL"));
		break;
	case MAILBOX_GROUP_END:
		buf_add(out, STR("NIL NIL NIL NIL"));
		break;
	case MAILBOX_ADDRESS: /* never NIL: that would read as a group */
		nstring(out, m->name, d);
		buf_byte(out, ' ');
		nstring(out, m->route, d);
		buf_byte(out, ' ');
		wire_string(out, m->local, d);
		buf_byte(out, ' ');
		wire_string(out, m->domain, d);
		break;
	}
	buf_byte(out, ')');
}

static enum rc list(struct buf *out, struct str value, uint32_t *defects)
{
	struct arena a;
	struct mail_mailbox *m = NULL;
	bool sound = true, in_group = false;
	size_t start = out->len;
	arena_init(&a, 4 * value.n + ((size_t)4 << 20));
	enum rc rc = mail_list_parse(value, &a, &m, &sound);
	if (rc == RC_OK && !sound)
		*defects |= MAIL_BAD_ADDRESS;
	buf_byte(out, '(');
	for (; m; m = m->next) {
		if (out->len - start > WIRE_LIST_MAX && m->kind != MAILBOX_GROUP_END) {
			*defects |= MAIL_HEADER_TOO_LARGE;
			continue;
		}
		if (m->kind == MAILBOX_GROUP_END && !in_group)
			continue; /* its start was cut off */
		if (m->kind != MAILBOX_ADDRESS)
			in_group = m->kind == MAILBOX_GROUP_START;
		mailbox(out, m, defects);
	}
	buf_byte(out, ')');
	if (out->len == start + 2 && !out->failed) {
		out->len = start;
		buf_add(out, STR("NIL"));
	}
	arena_done(&a);
	return rc;
}

static void text(struct buf *out, const struct mime_head *h, enum mime_field f, uint32_t *defects)
{
	if (h->present & 1u << f)
		wire_string(out, str_trim(h->value[f]), defects);
	else
		buf_add(out, STR("NIL"));
}

enum rc wire_envelope(const struct mime_head *h, struct buf *out, uint32_t *defects)
{
	static const enum mime_field lists[] = { MIME_FROM, MIME_SENDER, MIME_REPLY_TO, MIME_TO, MIME_CC, MIME_BCC };
	size_t from = 0, from_len = 0;
	buf_byte(out, '(');
	text(out, h, MIME_DATE, defects);
	buf_byte(out, ' ');
	text(out, h, MIME_SUBJECT, defects);
	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		buf_byte(out, ' ');
		size_t start = out->len;
		if (h->value[lists[i]].n)
			TRY(list(out, h->value[lists[i]], defects));
		else
			buf_add(out, STR("NIL"));
		if (lists[i] == MIME_FROM) {
			from = start;
			from_len = out->len - start;
		} else if ((lists[i] == MIME_SENDER || lists[i] == MIME_REPLY_TO) && str_eq(str_skip(buf_str(out), start), STR("NIL"))) {
			/* RFC 3501 7.4.2: if Sender or Reply-To are absent or empty, the server sets them to From */
			out->len = start;
			if (buf_room(out, from_len))
				buf_add(out, (struct str){ out->p + from, from_len });
		}
	}
	buf_byte(out, ' ');
	text(out, h, MIME_IN_REPLY_TO, defects);
	buf_byte(out, ' ');
	text(out, h, MIME_MESSAGE_ID, defects);
	buf_byte(out, ')');
	return out->failed ? RC_NOMEM : RC_OK;
}
