#include "dialog/smtp/house.h"

#include "base/codec.h"
#include "os/loop.h"
#include <stdio.h>

static void breach(struct smtp_house *h, const char *what)
{
	if (!h->breach)
		h->breach = what;
}

static enum rc on_connect(void *arg, const struct stream_facts *facts, struct why *why)
{
	struct smtp_house *h = arg;
	(void)facts;
	if (h->connect_rc != RC_OK)
		FAIL(why, h->connect_rc, h->connect_rc == RC_DENIED ? "5.7.1 we do not know you" : "4.7.0 too many connections");
	return RC_OK;
}

static void on_hello(void *arg, struct str name, bool esmtp)
{
	struct smtp_house *h = arg;
	(void)name, (void)esmtp;
	h->hellos++;
	if (h->in_mail)
		breach(h, "hello within a transaction");
}

static enum rc on_mail(void *arg, const struct smtp_mail *mail, struct why *why)
{
	struct smtp_house *h = arg;
	if (h->in_mail)
		breach(h, "MAIL within a transaction");
	if (str_starts(mail->from.local, STR("bad")))
		FAIL(why, RC_DENIED, "5.7.1 not from you");
	if (str_starts(mail->from.local, STR("slow")))
		FAIL(why, RC_BUSY, "come back in a minute");
	if (h->config.kind == SMTP_SUBMISSION && !h->login[0] && !h->config.logged_in)
		breach(h, "MAIL without a login");
	h->unanswered = false;
	h->in_mail = true;
	h->rcpts = 0;
	h->mails++;
	(void)snprintf(h->from, sizeof h->from, "%.*s@%.*s", PSTR(mail->from.local), PSTR(mail->from.domain));
	(void)snprintf(h->seen, sizeof h->seen, "size=%llu 8bit=%d binary=%d utf8=%d envid=%.*s ret=%.*s helo=%.*s esmtp=%d", (unsigned long long)mail->size,
	               mail->body_8bit, mail->body_binary, mail->smtputf8, PSTR(mail->envid), PSTR(mail->ret), PSTR(mail->helo), mail->esmtp);
	size_t n = strlen(h->seen);
	if (mail->hold_until_ms)
		n += (size_t)snprintf(h->seen + n, sizeof h->seen - n, " held=%lld", (long long)(mail->hold_until_ms - wall_ms()) / 1000);
	if (mail->by)
		n += (size_t)snprintf(h->seen + n, sizeof h->seen - n, " by=%lld%s%s", (long long)mail->by_s, mail->by_return ? "R" : "N", mail->by_trace ? "T" : "");
	if (mail->has_priority)
		n += (size_t)snprintf(h->seen + n, sizeof h->seen - n, " priority=%d", mail->mt_priority);
	if (mail->require_tls)
		(void)snprintf(h->seen + n, sizeof h->seen - n, " requiretls");
	return RC_OK;
}

static enum rc on_rcpt(void *arg, const struct smtp_mail *mail, const struct smtp_rcpt *rcpt, struct why *why)
{
	struct smtp_house *h = arg;
	(void)mail;
	if (!h->in_mail || h->in_body)
		breach(h, "RCPT out of place");
	if (rcpt->to.domain.n && !str_ieq(rcpt->to.domain, STR("example.org")))
		FAIL(why, RC_DENIED, "5.7.1 we do not relay");
	if (str_starts(rcpt->to.local, STR("nobody")))
		FAIL(why, RC_NOTFOUND, "5.1.1 no such address");
	if (str_starts(rcpt->to.local, STR("full")))
		FAIL(why, RC_FULL, "4.2.2 mailbox full");
	if (str_starts(rcpt->to.local, STR("busy")))
		FAIL(why, RC_BUSY, "4.3.2 later");
	if (h->rcpts == HOUSE_RCPTS)
		FAIL(why, RC_LIMIT, "4.5.3 the test house is small");
	(void)snprintf(h->rcpt[h->rcpts++], sizeof h->rcpt[0], "%.*s@%.*s", PSTR(rcpt->to.local), PSTR(rcpt->to.domain));
	size_t n = strlen(h->seen);
	if (rcpt->notify || rcpt->orcpt.n)
		(void)snprintf(h->seen + n, sizeof h->seen - n, " notify=%u orcpt=%.*s;%.*s", rcpt->notify, PSTR(rcpt->orcpt_type), PSTR(rcpt->orcpt));
	return RC_OK;
}

static enum rc on_begin(void *arg, const struct smtp_mail *mail, struct why *why)
{
	struct smtp_house *h = arg;
	(void)mail;
	h->begins++;
	if (!h->in_mail || h->in_body || !h->rcpts)
		breach(h, "a body out of place");
	if (h->begin_rc != RC_OK)
		FAIL(why, h->begin_rc, "no room for a body");
	h->in_body = true;
	buf_clear(&h->body);
	return RC_OK;
}

static enum rc on_write(void *arg, struct str bytes, struct why *why)
{
	struct smtp_house *h = arg;
	if (!h->in_body)
		breach(h, "octets without a body");
	if (!bytes.n)
		breach(h, "a write of nothing");
	if (h->write_fails_after >= 0 && h->body.len + bytes.n > (size_t)h->write_fails_after)
		FAIL(why, RC_FULL, "4.3.1 disk full");
	buf_add(&h->body, bytes);
	if (h->body.failed)
		FAIL(why, RC_FULL, "4.3.1 no memory");
	return RC_OK;
}

static void outcome(struct smtp_house *h, size_t i, struct smtp_result *r)
{
	struct str who = str_z(h->rcpt[i]);
	if (str_starts(who, STR("odd")))
		return;
	*r = (struct smtp_result){ .rc = RC_OK };
	if (str_starts(who, STR("later")))
		(void)why_fail(&r->why, r->rc = RC_BUSY, 0, "", "4.3.2 busy with %s", h->rcpt[i]);
	if (str_starts(who, STR("never")))
		(void)why_fail(&r->why, r->rc = RC_DENIED, 0, "", "5.7.1 %s refuses it", h->rcpt[i]);
}

static enum rc on_commit(void *arg, struct smtp_result *results, size_t n, char out_id[16], struct why *why)
{
	struct smtp_house *h = arg;
	if (!h->in_body)
		breach(h, "a commit without a body");
	if (n != h->rcpts)
		breach(h, "another number of recipients");
	h->in_body = false;
	if (h->commit_rc != RC_OK)
		FAIL(why, h->commit_rc, "%s", h->commit_rc == RC_FULL ? "4.3.1 disk full" : "the store is away");
	for (size_t i = 0; i < n && i < h->rcpts; i++)
		outcome(h, i, &results[i]);
	h->commits++;
	buf_add(&h->bodies, buf_str(&h->body));
	if (!h->id_missing)
		(void)snprintf(out_id, 16, "%08u", h->commits);
	return RC_OK;
}

static void on_abort(void *arg)
{
	struct smtp_house *h = arg;
	if (!h->in_body)
		breach(h, "an abort without a body");
	h->in_body = false;
	h->aborts++;
}

static void on_reset(void *arg)
{
	struct smtp_house *h = arg;
	if (!h->in_mail)
		breach(h, "a reset without a transaction");
	if (h->in_body)
		breach(h, "a reset before the body's end");
	h->in_mail = false;
	h->resets++;
}

static void on_refused(void *arg, int code, const char *text, struct str command)
{
	struct smtp_house *h = arg;
	(void)text, (void)command;
	if (code < 400 || code > 599)
		breach(h, "a refusal that is none");
	h->refusals++;
	h->last_code = code;
}

/* A proof that held is a login once the client has answered ours; who tries again has not. */
static void login_begins(struct smtp_house *h)
{
	if ((h->login[0] && !h->unanswered) || h->config.logged_in)
		breach(h, "a second login");
	h->unanswered = false;
	h->login[0] = 0;
}

static enum rc on_login(void *arg, struct str user, struct str password, const char *mechanism, struct why *why)
{
	struct smtp_house *h = arg;
	login_begins(h);
	if (!user.n || !password.n)
		breach(h, "a login without a name or a password");
	if (str_eq(user, STR("busy@example.org")))
		FAIL(why, RC_BUSY, "4.7.0 too many failed logins from your network");
	if (!str_eq(user, STR("tim@example.org")) || !str_eq(password, STR("pencil sharpener")))
		FAIL(why, RC_DENIED, "wrong address or password");
	(void)snprintf(h->login, sizeof h->login, "%s %.*s", mechanism, PSTR(user));
	return RC_OK;
}

/* RFC 7677 3 */
static enum rc on_scram_begin(void *arg, struct str user, struct buf *salt, uint32_t *iterations, struct buf *nonce, struct why *why)
{
	struct smtp_house *h = arg;
	login_begins(h);
	if (!h->config.scram)
		breach(h, "SCRAM that is not offered");
	if (str_eq(user, STR("busy")))
		FAIL(why, RC_BUSY, "4.7.0 too many logins");
	buf_add(salt, STR("[m\x99h\x9d\x12" "5\x8e\xec\xa0K\x14\x12" "6\xfa\x81"));
	buf_add(nonce, STR("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"));
	*iterations = 4096;
	return RC_OK;
}

static enum rc on_scram_prove(void *arg, struct str user, struct str auth_message, struct str proof, struct buf *signature, struct why *why)
{
	static const struct str said = STR_INIT("n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
	                                        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
	static const struct str right = STR_INIT("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), v = STR_INIT("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
	struct smtp_house *h = arg;
	char room[64];
	struct buf text = { .p = room, .cap = sizeof room, .max = sizeof room };
	base64_add(&text, proof);
	bool plus = str_eq(user, STR("plus")) && str_eq(proof, STR("++++++++++++++++++++++++++++++++"));
	if (!plus && !(str_eq(user, STR("user")) && str_eq(auth_message, said) && str_eq(buf_str(&text), right)))
		FAIL(why, RC_DENIED, "wrong address or password");
	(void)snprintf(h->login, sizeof h->login, "SCRAM %.*s", PSTR(user));
	h->unanswered = true;
	return base64_decode(v, false, signature);
}

const struct smtp_hooks smtp_house_hooks = {
	.connect = on_connect, .hello = on_hello, .mail = on_mail, .rcpt = on_rcpt, .body_begin = on_begin, .body_write = on_write,
	.login = on_login, .scram_begin = on_scram_begin, .scram_prove = on_scram_prove,
	.body_commit = on_commit, .body_abort = on_abort, .reset = on_reset, .refused = on_refused,
};

void smtp_house_init(struct smtp_house *h)
{
	*h = (struct smtp_house){ .write_fails_after = -1 };
	h->config = (struct smtp_config){
		.kind = SMTP_RELAY_IN, .hostname = STR("mail.example.org"), .max_size = 100000, .max_recipients = 5, .max_mails = 10, .max_errors = 20,
		.max_bad_rcpt = 10, .command_ms = 300000, .data_ms = 180000, .utf8 = true, .dsn = true,
	};
	buf_init(&h->body, HOUSE_BODY_MAX);
	buf_init(&h->bodies, HOUSE_BODY_MAX);
}

void smtp_house_done(struct smtp_house *h)
{
	buf_done(&h->body);
	buf_done(&h->bodies);
}

enum rc smtp_house_serve(struct smtp_house *h, struct stream *io)
{
	struct smtp_hooks hooks = smtp_house_hooks;
	hooks.house = h;
	enum rc rc = smtp_serve(io, &h->config, &hooks);
	if (h->in_body || h->in_mail)
		breach(h, "the session ended within a transaction");
	return rc;
}
