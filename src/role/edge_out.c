#include "role/edge_session.h"

#include "base/codec.h"
#include "base/log.h"
#include "mail/encoded_word.h"
#include "mail/header.h"
#include "os/file.h"
#include "role/edge_sign.h"
#include "role/report_rules.h"
#include "role/wire_route.h"

/* Submissions (RFC 6409): what somebody who has logged in sends. It is made whole, signed, delivered to people here and queued for those elsewhere, in one commit. */

/* ---- whose addresses ---- */

static enum rc lower(struct str in, char *room, size_t max, struct str *out)
{
	if (in.n > max)
		return RC_LIMIT;
	for (size_t i = 0; i < in.n; i++)
		room[i] = ascii_lower(in.p[i]);
	*out = str_of(room, in.n);
	return RC_OK;
}

static enum rc is_ours(struct edge_session *s, struct str low)
{
	const struct edge_known *k;
	struct why why = { 0 };
	enum rc rc = edge_address_find(s->v->e, &s->h->addresses, low, &k, &why);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc edge_may_send(struct edge_session *s, struct str address, const char *where, struct why *why)
{
	char room[320];
	struct str low;
	struct msg_MAY_SEND_answer a = { 0 };
	struct why inner = { 0 };
	if (lower(address, room, sizeof room, &low) != RC_OK)
		FAIL(why, RC_DENIED, "5.7.1 the address in %s is too long", where);
	enum rc rc = s->is_system ? is_ours(s, low) : ipc_ask_role(s->v->e->node, ROLE_READER, MSG_MAY_SEND, &(struct msg_MAY_SEND){ .account = s->account, .address = low }, &a, NULL, true, &inner);
	if (rc == RC_OK && (s->is_system || a.yes))
		return RC_OK;
	if (rc == RC_OK || rc == RC_DENIED || rc == RC_NOTFOUND || rc == RC_SYNTAX)
		FAIL(why, RC_DENIED, "5.7.1 %s may not send as %.*s (in %s)", s->is_system ? "this server" : s->login, PSTR(str_head(address, 100)), where);
	FAIL(why, RC_BUSY, "4.3.0 the directory does not answer, try again");
}

enum rc edge_out_mail(struct edge_session *s, struct why *why)
{
	return s->from.n ? edge_may_send(s, s->from, "MAIL FROM", why) : RC_OK; /* null: a receipt or the like; its From is looked at */
}

/* ---- the header ---- */

/* A domain in small letters, its U-labels as A-labels, as in an envelope: rights and keys are kept under that name. What is no address there stays as it is. */
static void one_spelling(struct mail_address *m, struct arena *a)
{
	char room[400];
	struct buf path = { .p = room, .cap = sizeof room, .max = sizeof room };
	struct mail_address same;
	struct str rest;
	struct why why = { 0 };
	buf_byte(&path, '<');
	mail_address_format(m, &path);
	buf_byte(&path, '>');
	struct str kept = arena_str(a, buf_str(&path)); /* what is parsed points into it */
	if (!path.failed && !a->full && mail_path_parse(kept, true, true, a, &same, &rest, &why) == RC_OK && !rest.n && same.domain.n)
		*m = same;
}

/* Every author, and who sends in their place, must be the account's: recipients are shown these. */
static enum rc check_list(struct edge_session *s, struct str value, const char *where, struct str *out_domain, struct why *why)
{
	struct arena a;
	struct mail_mailbox *m;
	bool sound = true;
	size_t n = 0;
	arena_init(&a, 1 << 20);
	enum rc rc = mail_list_parse(value, &a, &m, &sound);
	if (rc == RC_OK && !sound)
		rc = why_fail(why, RC_SYNTAX, 0, __FILE__, "5.6.0 the %s field cannot be read", where);
	for (; rc == RC_OK && m; m = m->next) {
		char room[400];
		struct buf text = { .p = room, .cap = sizeof room, .max = sizeof room };
		if (m->kind != MAILBOX_ADDRESS)
			continue;
		struct mail_address one = { m->local, m->domain };
		one_spelling(&one, &a);
		mail_address_format(&one, &text);
		rc = text.failed ? why_fail(why, RC_DENIED, 0, __FILE__, "5.7.1 an address in %s is too long", where) : edge_may_send(s, buf_str(&text), where, why);
		if (rc == RC_OK && n++ == 0)
			*out_domain = arena_str(&s->a, one.domain);
	}
	if (rc == RC_OK && n == 0)
		rc = why_fail(why, RC_SYNTAX, 0, __FILE__, "5.6.0 no address in %s", where);
	arena_done(&a);
	return rc;
}

/* What is checked here and what others are shown is the same: nothing goes on with the last field that is put in front, and no other field reads like From. */
static enum rc check_form(struct edge_session *s, const struct edge_head *h, struct why *why)
{
	struct str header = str_head(edge_raw(s), s->header);
	if (header.n && (header.p[0] == ' ' || header.p[0] == '\t'))
		FAIL(why, RC_SYNTAX, "5.6.0 the header begins with white space");
	if (dmarc_from_fields(header) > h->from)
		FAIL(why, RC_SYNTAX, "5.6.0 a field that some programs read as From");
	return RC_OK;
}

static enum rc check_authors(struct edge_session *s, const struct edge_head *h, struct str *out_domain, struct why *why)
{
	struct str unused;
	if (h->from > 1 || h->sender > 1) /* RFC 5322 3.6; readers differ in which one they show */
		FAIL(why, RC_SYNTAX, "5.6.0 more than one %s field", h->from > 1 ? "From" : "Sender");
	if (h->from)
		TRY(check_list(s, h->from_value, "From", out_domain, why));
	if (h->sender)
		TRY(check_list(s, h->sender_value, "Sender", &unused, why));
	/* RFC 5322 3.6.6: blocks of Resent fields are put in front, so the first one is whoever sends it now; the others are history. */
	if (h->resent_from)
		TRY(check_list(s, h->resent_from_value, "Resent-From", &unused, why));
	if (h->resent_sender && h->resent_from)
		TRY(check_list(s, h->resent_sender_value, "Resent-Sender", &unused, why));
	return RC_OK;
}

/* RFC 6409 8: what is missing of From, Date and Message-ID. */
static void add_missing(struct edge_session *s, const struct edge_head *h, struct str *domain, struct buf *out)
{
	const struct config *c = s->v->e->config;
	struct str author = s->from.n ? s->from : s->is_system ? STR("") : str_z(s->login);
	if (!h->from) {
		buf_add(out, STR("From: <"));
		if (author.n)
			buf_add(out, author);
		else
			buf_addf(out, "root@%.*s", PSTR(str_head(c->server_hostname, 253)));
		buf_add(out, STR(">\r\n"));
		*domain = report_domain_of(author);
	}
	if (!h->date) {
		buf_add(out, STR("Date: "));
		mail_date_format(wall_ms(), 0, out);
		buf_add(out, STR("\r\n"));
	}
	if (!h->message_id) {
		uint64_t random = 0;
		(void)!random_bytes(&random, sizeof random);
		buf_addf(out, "Message-ID: <%s.%016llx@%.*s>\r\n", s->mid, (unsigned long long)random, PSTR(str_head(domain->n ? *domain : c->server_hostname, 253)));
	}
}

struct str edge_subject(struct arena *a, const struct edge_head *h)
{
	struct buf text AUTO(buf_done);
	buf_init(&text, 65536);
	encoded_words_decode(str_trim(h->subject), &text);
	return text.failed ? STR("") : arena_str(a, str_head(buf_str(&text), 1000)); /* letter_seal() cuts at a whole character */
}

/* In this order, for the signature is over what is added and without what is taken out. */
static enum rc make_whole(struct edge_session *s, struct edge_head *h, struct why *why)
{
	struct buf added AUTO(buf_done), signatures AUTO(buf_done);
	struct str domain = STR("");
	struct why inner = { 0 };
	buf_init(&added, 4096);
	buf_init(&signatures, EDGE_TRACE_MAX);
	TRY(edge_check_lines(s, why));
	edge_head_read(str_head(edge_raw(s), s->header), h);
	if (h->received > EDGE_RECEIVED_MAX)
		FAIL(why, RC_CONFLICT, "5.4.6 more than %d Received fields: this message goes round in circles", EDGE_RECEIVED_MAX);
	TRY(check_form(s, h, why));
	TRY(check_authors(s, h, &domain, why));
	add_missing(s, h, &domain, &added);
	h->from_value = arena_str(&s->a, h->from ? h->from_value : s->from); /* the header is about to move */
	h->subject = arena_str(&s->a, h->subject);
	edge_take_out(s, edge_is_private);
	if (added.failed || edge_prepend(s, buf_str(&added)) != RC_OK)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	if (edge_sign_dkim(s->v->e, domain, edge_now(s), &signatures, &inner) != RC_OK)
		FAIL(why, RC_BUSY, "4.3.0 not signed (%s), try again", inner.text);
	return edge_put_trace(s, buf_str(&signatures), why);
}

/* ---- the letters ---- */

void edge_letter_times(const struct role_env *e, struct seal_letter *l, int64_t due_ms)
{
	int64_t now = wall_ms();
	l->letter.created_ms = now;
	l->due_ms = due_ms > now ? due_ms : now;
	l->expires_ms = l->due_ms + (int64_t)e->config->relay_expire;
	l->priority = l->priority ? l->priority : 4;
}

static enum rc rules_of(struct edge_session *s, struct account_rules *out, struct why *why)
{
	struct msg_RULES_answer a;
	struct ipc_reply reply = { 0 };
	struct why inner = { 0 };
	*out = (struct account_rules){ 0 };
	if (s->is_system)
		return RC_OK;
	enum rc rc = ipc_ask_role(s->v->e->node, ROLE_READER, MSG_RULES, &(struct msg_RULES){ .account = s->account }, &a, &reply, true, &inner);
	if (rc == RC_OK)
		rc = wire_get_rules(a.rules, &s->a, out);
	ipc_reply_done(&reply);
	if (rc != RC_OK)
		FAIL(why, RC_BUSY, "4.3.0 the directory does not answer, try again");
	return RC_OK;
}

/* Beside who sent it, what the client asked for; and by a forwarding or a group it goes on under their name. */
static void fill_letter(struct edge_session *s, const struct edge_bucket *b, const struct edge_head *h, const struct account_rules *rules, struct seal_letter *l)
{
	const struct smtp_mail *m = s->mail;
	bool direct = b->via.n == 0;
	struct letter *x = &l->letter;
	*x = (struct letter){ .mid = str_z(s->mid), .sender = s->from, .owner = direct ? s->from : b->forwarder ? b->via : b->group_owner, .account = direct ? s->account : b->forwarder,
		.kind = direct ? LETTER_SUBMITTED : LETTER_FORWARDED, .prefix = STR(""), .skip = (uint32_t)s->return_path, .envid = direct ? arena_str(&s->a, m->envid) : STR(""),
		.ret = str_eq(m->ret, STR("FULL")) ? LETTER_RET_FULL : m->ret.n ? LETTER_RET_HDRS : LETTER_RET_NONE,
		.body_8bit = h->foreign || edge_has_8bit(str_skip(edge_raw(s), s->header)), .body_binary = m->body_binary, .smtputf8 = m->smtputf8, .utf8_header = h->utf8,
		.require_tls = m->require_tls, .tls_optional = h->tls_optional && !m->require_tls, .subject = edge_subject(&s->a, h), .from = str_head(str_trim(h->from_value), 320) };
	if (!direct && b->group_owner.n && !b->forwarder && s->from.n)
		x->sender = b->group_owner;
	if (!s->from.n)
		x->owner = STR("");
	if (!direct) {
		char room[400];
		struct buf text = { .p = room, .cap = sizeof room, .max = sizeof room };
		buf_addf(&text, "Delivered-To: %.*s\r\n", PSTR(str_head(b->via, 320)));
		x->prefix = arena_str(&s->a, buf_str(&text));
	}
	if (m->by && m->by_s > 0)
		x->deliver_by_ms = wall_ms() + m->by_s * 1000;
	x->by_return = m->by_return;
	x->has_priority = m->has_priority;
	x->mt_priority = m->mt_priority;
	int64_t undo = wall_ms() + rules->undo_ms;
	l->counted = direct && !s->is_system ? s->account : 0;
	edge_letter_times(s->v->e, l, m->hold_until_ms > undo ? m->hold_until_ms : undo);
	if (m->has_priority)
		l->priority = (uint8_t)((m->mt_priority + 9) / 2); /* RFC 6710's -9 ... 9 on ours, 0 ... 9 */
	/* RFC 2852 4: by-mode R asks for the message back once its time has passed */
	if (x->by_return && x->deliver_by_ms && x->deliver_by_ms < l->expires_ms)
		l->expires_ms = x->deliver_by_ms;
}

/* ---- how much ---- */

static uint32_t limit_of(uint32_t own, uint64_t configured) { return own ? own : configured > UINT32_MAX ? UINT32_MAX : (uint32_t)configured; }

/* What leaves for other servers by the account's own wish counts, for a day and while it waits: groups and forwardings are somebody else's. */
static enum rc count(struct edge_session *s, const struct edge_post *p, const struct account_rules *rules, struct sent_note *note, const struct sent_note **out)
{
	const struct config *c = s->v->e->config;
	*out = NULL;
	for (size_t i = 0; i < p->bucket_n; i++) {
		const struct edge_bucket *b = &p->buckets[i];
		if (b->via.n || s->is_system)
			continue;
		uint64_t *known = arena_new(&s->a, b->n * sizeof *known);
		if (!known)
			return RC_NOMEM;
		for (size_t k = 0; k < b->n; k++) {
			char room[1024];
			struct str low = b->rcpts[k].address;
			(void)!lower(low, room, sizeof room, &low);
			known[k] = siphash(s->h->hash_key, low);
		}
		*note = (struct sent_note){ .account = s->account, .messages = 1, .recipients = (uint32_t)b->n, .max_messages = limit_of(rules->max_messages, c->submission_max_messages),
			.max_recipients = limit_of(rules->max_recipients, c->submission_max_recipients), .max_first = limit_of(rules->max_first, c->submission_max_first_recipients),
			.max_waiting = limit_of(rules->max_waiting, c->submission_max_waiting),
			.known = known, .known_n = b->n };
		*out = note;
	}
	return RC_OK;
}

enum rc edge_out_commit(void *house, struct smtp_result *results, size_t n, char out_id[16], struct why *why)
{
	struct edge_session *s = house;
	struct edge_head head;
	struct account_rules rules;
	struct sent_note note;
	struct why inner = { 0 };
	struct edge_post p = { .e = s->v->e, .h = s->h, .a = &s->a, .rcpts = s->rcpts, .rcpt_n = s->rcpt_n };
	memcpy(out_id, s->mid, sizeof s->mid);
	if (n != s->rcpt_n || (!s->header && edge_feed_auth(s, STR(""), true) != RC_OK))
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	enum rc rc = make_whole(s, &head, why);
	if (rc != RC_OK) {
		count_add(s->v->e, rc == RC_DENIED || rc == RC_SYNTAX ? M_SMTP_PERM : M_SMTP_TEMP, 1);
		return rc;
	}
	TRY(rules_of(s, &rules, why));
	if (edge_post_suppress(&p) != RC_OK)
		FAIL(why, RC_BUSY, "4.3.0 no memory, or the directory does not answer");
	rc = edge_post_plan(&p);
	for (size_t i = 0; rc == RC_OK && i < p.bucket_n; i++)
		fill_letter(s, &p.buckets[i], &head, &rules, &p.letters[i]);
	if (rc == RC_OK)
		rc = count(s, &p, &rules, &note, &p.sent);
	if (rc != RC_OK || s->a.full)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	edge_read_reports(s, results);
	rc = edge_post_commit(&p, s->message, &inner);
	if (rc != RC_OK)
		return edge_commit_failed(s, rc, &inner, why);
	count_add(s->v->e, M_SMTP_OK, 1);
	edge_settle(s, &p, results);
	return RC_OK;
}
