#include "mail/attach.h"

#include "base/cursor.h"
#include "base/octets.h"
#include "mail/magic.h"
#include "mail/param.h"

enum { NAME_MAX_OCTETS = 4096, HEAD_OCTETS = 4096 };

bool attach_is_attachment(const struct mime_part *p)
{
	struct str rest, token;
	if (p->kind == MAIL_MULTIPART)
		return false;
	token = param_token(p->disposition, &rest);
	if (str_ieq(token, STR("attachment")))
		return true;
	if (p->kind == MAIL_MESSAGE)
		return false;
	return str_ifind_str(p->disposition, STR("filename")) < p->disposition.n || str_ifind_str(p->params, STR("name")) < p->params.n ||
	       (p->type.n && !str_ieq(p->type, STR("text")));
}

static enum rc name_of(const struct mime_part *p, struct arena *a, struct buf *out, uint32_t *defects)
{
	struct mail_param *first;
	struct str rest;
	bool sound;
	param_token(p->disposition, &rest);
	TRY(param_parse(rest, a, &first, &sound));
	const struct mail_param *n = param_get(first, STR("filename"));
	if (!n) {
		TRY(param_parse(p->params, a, &first, &sound));
		n = param_get(first, STR("name"));
	}
	if (!n)
		return RC_OK;
	struct mail_param cut = *n;
	cut.value = str_head(cut.value, NAME_MAX_OCTETS);
	if (cut.value.n < n->value.n)
		*defects |= MAIL_HEADER_TOO_LARGE;
	if (!param_text(&cut, out))
		*defects |= MAIL_BAD_ENCODED_WORD;
	return out->failed ? RC_NOMEM : RC_OK;
}

enum rc attach_name(const struct mime_part *p, struct buf *out, uint32_t *defects)
{
	struct arena a;
	arena_init(&a, 16 << 20);
	enum rc rc = name_of(p, &a, out, defects);
	arena_done(&a);
	return rc;
}

static uint64_t decoded_size(const struct mime_part *p, struct str body)
{
	if (p->encoding != TRANSFER_BASE64)
		return body.n;
	body = str_trim(body);
	uint64_t n = body.n - octets_count(body, '\n') - octets_count_pair(body, '\r', '\n');
	for (size_t i = body.n; i > 0 && body.p[i - 1] == '='; i--)
		n--;
	return n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0);
}

static enum rc one(const struct mime_tree *t, const struct mime_part *p, struct buf *head, struct buf *name, struct buf *out, uint32_t *defects)
{
	char type[160];
	size_t n = 0;
	struct str body = mime_body(t, p), found, promise;
	buf_clear(head);
	buf_clear(name);
	TRY(attach_name(p, name, defects));
	transfer_decode(p->encoding, str_head(body, 2 * HEAD_OCTETS), head);
	found = p->kind == MAIL_MESSAGE ? STR("message") : magic_type(buf_str(head));
	struct str halves[2] = { p->type.n ? p->type : STR("text"), p->type.n ? p->subtype : STR("plain") };
	for (int k = 0; k < 2; k++) {
		for (size_t i = 0; i < halves[k].n && n < sizeof type - 1; i++)
			type[n++] = ascii_lower(halves[k].p[i]);
		if (k == 0)
			type[n++] = '/';
		if (n == sizeof type)
			n--;
	}
	promise = magic_promise(buf_str(name), (struct str){ type, n });
	if (p->kind != MAIL_MESSAGE && magic_breaks(promise, found, head->len == 0))
		*defects |= MAIL_TYPE_MISMATCH;
	buf_run(out, buf_str(name));
	buf_run(out, (struct str){ type, n });
	buf_run(out, found);
	buf_u64(out, decoded_size(p, body));
	return head->failed ? RC_NOMEM : RC_OK;
}

enum rc attach_format(const struct mime_tree *t, struct buf *out, uint32_t *defects)
{
	struct buf head, name;
	enum rc rc = RC_OK;
	buf_init(&head, HEAD_OCTETS);
	buf_init(&name, 4 * NAME_MAX_OCTETS);
	buf_u8(out, ATTACHMENTS_VERSION);
	for (uint32_t i = 0; rc == RC_OK && i < t->n; i++)
		if (attach_is_attachment(&t->part[i]))
			rc = one(t, &t->part[i], &head, &name, out, defects);
	buf_done(&head);
	buf_done(&name);
	return rc;
}

enum rc mail_attachment_next(struct str *packed, struct mail_attachment *out)
{
	struct str rest = *packed;
	if (rest.n && rest.p[0] == ATTACHMENTS_VERSION) /* a length below 2^24 begins with 0, so this is the head */
		rest = str_skip(rest, 1);
	if (rest.n == 0)
		return RC_NOTFOUND;
	struct cursor c = cursor_of(rest);
	struct mail_attachment a;
	a.name = cursor_run(&c, 4 * NAME_MAX_OCTETS);
	a.declared = cursor_run(&c, 256);
	a.true_type = cursor_run(&c, 64);
	a.size = cursor_u64(&c);
	if (c.failed)
		return RC_DAMAGED;
	*out = a;
	*packed = c.in;
	return RC_OK;
}
