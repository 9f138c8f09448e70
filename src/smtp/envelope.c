#include "smtp/internal.h"
#include "smtp/params.h"

#include "base/mem.h"
#include "os/loop.h"

/* MAIL and RCPT: who sends, who receives (RFC 5321 4.1.1.2, 4.1.1.3). */

void smtp_end_transaction(struct smtp_session *s)
{
	bool was_open = s->mail_open;
	smtp_abort_body(s);
	mem_free(s->results);
	s->results = NULL;
	arena_done(&s->envelope);
	s->mail = (struct smtp_mail){ 0 };
	s->mail_open = false;
	s->rcpts = s->rcpts_tried = 0;
	s->refusal_code = 0;
	if (s->state & (SMTP_MAIL | SMTP_RCPT | SMTP_BDAT))
		s->state = SMTP_READY;
	if (was_open && s->hooks->reset)
		s->hooks->reset(s->hooks->house);
}

/* "FROM:" or "TO:" before the path; spaces after the colon are a common mistake that harms nobody. */
static bool cut_keyword(struct str arg, struct str keyword, struct str *out_path)
{
	if (!str_istarts(arg, keyword))
		return false;
	struct str path = str_skip(arg, keyword.n);
	while (path.n && path.p[0] == ' ')
		path = str_skip(path, 1);
	*out_path = path;
	return true;
}

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 128)
			return false;
	return true;
}

static void refuse_path(struct smtp_session *s, enum rc rc, const struct why *why, const char *enhanced)
{
	char text[240];
	if (rc == RC_NOMEM) {
		smtp_reply(s, 452, "4.3.1 no memory for this now");
		return;
	}
	smtp_text_of(rc, 501, why, enhanced, text);
	smtp_error(s, 501, "%s", text);
}

static void refuse_params(struct smtp_session *s, enum rc rc, const struct why *why)
{
	if (rc == RC_NOMEM)
		smtp_reply(s, 452, "4.3.1 no memory for this now");
	else
		smtp_error(s, rc == RC_NOTFOUND ? 555 : rc == RC_LIMIT ? 552 : 501, "%s", why->text);
}

/* May a transaction begin at all? */
static bool may_begin(struct smtp_session *s)
{
	const struct smtp_config *c = s->config;
	if (c->tls_required && !stream_is_tls(s->io)) {
		smtp_error(s, 530, "5.7.0 say STARTTLS first"); /* RFC 3207 4 */
		return false;
	}
	if (smtp_must_login(s)) { /* RFC 4954 6 */
		smtp_error(s, 530, "5.7.0 log in first");
		return false;
	}
	/* RFC 9422 3.1: MAILMAX, "the maximum number of transactions" in a session */
	if (c->max_mails && s->mails >= c->max_mails) {
		smtp_hang_up(s, RC_LIMIT, 421, "4.7.0 %u messages are enough for one connection", c->max_mails);
		return false;
	}
	return true;
}

static bool parse_mail(struct smtp_session *s, struct str path)
{
	struct why why = { 0 };
	struct str rest = STR("");
	enum rc rc = mail_path_parse(path, true, s->config->utf8, &s->envelope, &s->mail.from, &rest, &why);
	if (rc != RC_OK) {
		if (!s->config->utf8 && !is_ascii(path))
			smtp_error(s, 553, "5.6.7 addresses beyond ASCII are not supported");
		else
			refuse_path(s, rc, &why, "5.1.7");
		return false;
	}
	if (rest.n && rest.p[0] != ' ') {
		smtp_error(s, 501, "5.5.4 something follows the path");
		return false;
	}
	if (str_trim(rest).n && !s->mail.esmtp) {
		smtp_error(s, 555, "5.5.4 parameters need EHLO");
		return false;
	}
	rc = smtp_mail_params(rest, s->config, wall_ms(), &s->envelope, &s->mail, &why);
	if (rc != RC_OK) {
		refuse_params(s, rc, &why);
		return false;
	}
	if (s->mail.require_tls && !stream_is_tls(s->io)) { /* RFC 8689 4.2 */
		smtp_error(s, 530, "5.7.4 REQUIRETLS needs TLS here, too");
		return false;
	}
	if (!s->mail.smtputf8 && (!is_ascii(s->mail.from.local) || !is_ascii(s->mail.from.domain))) {
		smtp_error(s, 553, "5.6.7 addresses beyond ASCII need SMTPUTF8"); /* RFC 6531 3.5 */
		return false;
	}
	return true;
}

void smtp_do_mail(struct smtp_session *s, struct str arg)
{
	struct str path, kept;
	if (!may_begin(s))
		return;
	if (!cut_keyword(arg, STR("FROM:"), &path)) {
		smtp_error(s, 501, "5.5.4 syntax: MAIL FROM:<address>");
		return;
	}
	s->mails++;
	arena_init(&s->envelope, SMTP_ENVELOPE_MAX);
	s->mail = (struct smtp_mail){ .from = { STR(""), STR("") }, .envid = STR(""), .ret = STR(""), .helo = STR(""), .esmtp = s->esmtp };
	kept = arena_str(&s->envelope, path); /* the line goes with the next read; addresses point into this copy */
	bool sound = !s->envelope.full;
	if (!sound)
		smtp_reply(s, 452, "4.3.1 no memory for this now");
	if (!sound || !parse_mail(s, kept)) {
		arena_done(&s->envelope);
		s->mail = (struct smtp_mail){ 0 };
		return;
	}
	s->mail.helo = str_z(s->helo);
	struct why why = { 0 };
	enum rc rc = s->hooks->mail ? s->hooks->mail(s->hooks->house, &s->mail, &why) : RC_OK;
	if (rc == RC_OK) {
		s->state = SMTP_MAIL;
		s->mail_open = true;
		smtp_reply(s, 250, "2.1.0 Ok");
		return;
	}
	char text[240];
	smtp_text_of(rc, smtp_code_of(rc), &why, NULL, text);
	arena_done(&s->envelope);
	s->mail = (struct smtp_mail){ 0 };
	if (smtp_code_of(rc) >= 500)
		smtp_error(s, smtp_code_of(rc), "%s", text);
	else
		smtp_reply(s, smtp_code_of(rc), "%s", text);
}

static bool parse_rcpt(struct smtp_session *s, struct str path, struct arena *a, struct smtp_rcpt *rcpt)
{
	struct why why = { 0 };
	struct str rest = STR("");
	/* RFC 5321 4.5.1: "the reserved name 'postmaster' ... MUST be supported", without a domain and in any case. */
	if (str_istarts(path, STR("<postmaster>"))) {
		rcpt->to = (struct mail_address){ STR("postmaster"), STR("") };
		rest = str_skip(path, 12);
	} else {
		enum rc rc = mail_path_parse(path, false, s->mail.smtputf8, a, &rcpt->to, &rest, &why);
		if (rc != RC_OK && !s->mail.smtputf8 && !is_ascii(path)) {
			smtp_error(s, 553, "5.6.7 addresses beyond ASCII need SMTPUTF8");
			return false;
		}
		if (rc != RC_OK) {
			refuse_path(s, rc, &why, "5.1.3");
			return false;
		}
	}
	if (rest.n && rest.p[0] != ' ') {
		smtp_error(s, 501, "5.5.4 something follows the path");
		return false;
	}
	if (str_trim(rest).n && !s->mail.esmtp) {
		smtp_error(s, 555, "5.5.4 parameters need EHLO");
		return false;
	}
	enum rc rc = smtp_rcpt_params(rest, s->mail.smtputf8, a, rcpt, &why);
	if (rc != RC_OK)
		refuse_params(s, rc, &why);
	return rc == RC_OK;
}

static void answer_rcpt(struct smtp_session *s, enum rc rc, const struct why *why)
{
	char text[240];
	int code = smtp_code_of(rc);
	if (rc == RC_OK) {
		s->rcpts++;
		s->state = SMTP_RCPT;
		smtp_reply(s, 250, "2.1.5 Ok");
		return;
	}
	smtp_text_of(rc, code, why, rc == RC_SYNTAX ? "5.1.3" : NULL, text);
	if (code >= 500) {
		s->bad_rcpts++;
		smtp_tarpit(s);
	}
	/* Somebody tries names: enough of them. */
	if (s->config->max_bad_rcpt && s->bad_rcpts >= s->config->max_bad_rcpt)
		smtp_hang_up(s, RC_DENIED, 421, "4.7.0 too many unknown recipients");
	else if (s->state != SMTP_GONE)
		smtp_reply(s, code, "%s", text);
}

void smtp_do_rcpt(struct smtp_session *s, struct str arg)
{
	struct str path;
	struct why why = { 0 };
	struct smtp_rcpt rcpt = { .to = { STR(""), STR("") }, .orcpt_type = STR(""), .orcpt = STR("") };
	if (!cut_keyword(arg, STR("TO:"), &path)) {
		smtp_error(s, 501, "5.5.4 syntax: RCPT TO:<address>");
		return;
	}
	unsigned max = s->config->max_recipients ? s->config->max_recipients : SMTP_RCPT_DEFAULT;
	s->rcpts_tried++;
	if (s->rcpts >= max) { /* RFC 5321 4.5.3.1.10 */
		smtp_reply(s, 452, "4.5.3 at most %u recipients in one transaction", max);
		return;
	}
	struct arena a;
	arena_init(&a, SMTP_ENVELOPE_MAX);
	if (parse_rcpt(s, path, &a, &rcpt))
		answer_rcpt(s, s->hooks->rcpt(s->hooks->house, &s->mail, &rcpt, &why), &why);
	arena_done(&a);
}
