#include "imap/internal.h"

#include "base/codec.h"
#include "base/mem.h"

enum { FAILED_LOGINS_MAX = 5, CREDENTIAL_MAX = 4096 };

static bool may_login_here(const struct session *s) { return stream_is_tls(s->io) || s->config->plaintext_login; }

void capabilities(const struct session *s, struct buf *out)
{
	buf_add(out, STR("IMAP4rev1 LITERAL+ SASL-IR ID"));
	if (s->state != BEFORE_LOGIN) {
		buf_add(out, STR(" ENABLE IDLE NAMESPACE UIDPLUS UNSELECT MOVE CHILDREN SPECIAL-USE CREATE-SPECIAL-USE"));
		if (s->config->max_append)
			buf_addf(out, " APPENDLIMIT=%llu", (unsigned long long)s->config->max_append);
		return;
	}
	if (!stream_is_tls(s->io) && stream_can_tls(s->io))
		buf_add(out, STR(" STARTTLS"));
	buf_add(out, may_login_here(s) ? STR(" AUTH=PLAIN") : STR(" LOGINDISABLED"));
}

void do_capability(struct session *s, struct args *a)
{
	AUTO(buf_done) struct buf caps;
	buf_init(&caps, 1024);
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	capabilities(s, &caps);
	if (caps.failed) {
		answer_failure(s, RC_NOMEM, NULL, "");
		return;
	}
	stream_write(s->io, STR("* CAPABILITY "));
	stream_write(s->io, buf_str(&caps));
	stream_write(s->io, STR("\r\n"));
	answer_ok(s, "that is all");
}

void do_noop(struct session *s, struct args *a)
{
	args_end(a);
	if (args_fine(a))
		answer_ok(s, "done");
	else
		answer_syntax(s, a);
}

void do_logout(struct session *s, struct args *a)
{
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	stream_write(s->io, STR("* BYE see you\r\n"));
	answer_ok(s, "logged out");
	s->is_over = true;
}

/* RFC 2971: what the client says of itself is checked for form and forgotten. */
void do_id(struct session *s, struct args *a)
{
	unsigned fields = 0;
	args_space(a);
	if (!args_nil(a)) {
		args_want(a, '(');
		while (args_fine(a) && !args_maybe(a, ')')) {
			if (fields++)
				args_space(a);
			struct str field = args_string(a);
			args_space(a);
			if (!args_nil(a))
				(void)args_string(a);
			/* RFC 2971 3.3: field strings at most 30 octets, not more than 30 pairs. */
			if (fields > 30 || field.n > 30)
				args_fail(a, "at most 30 fields with names of 30 octets");
		}
	}
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	stream_write(s->io, STR("* ID (\"name\" \"Letterlock\")\r\n"));
	answer_ok(s, "pleased to meet you");
}

void do_starttls(struct session *s, struct args *a)
{
	args_end(a);
	if (!args_fine(a))
		answer_syntax(s, a);
	else if (stream_is_tls(s->io))
		answer_bad(s, "TLS is on already");
	else if (!stream_can_tls(s->io))
		answer_no(s, "[UNAVAILABLE] no TLS here");
	else
		answer_ok(s, "begin TLS now");
	answer_send(s);
	/* A handshake that fails leaves a broken stream, which ends the session on the next read. */
	if (s->answer_kind == ANSWER_OK && (stream_flush(s->io) != RC_OK || stream_starttls(s->io) != RC_OK))
		s->is_cut = s->is_over = true;
}

static void login(struct session *s, struct str user, struct str password)
{
	struct why why = { 0 };
	enum rc rc = s->hooks->login(s->hooks->house, user, password, &why);
	if (rc == RC_OK) {
		AUTO(buf_done) struct buf caps;
		buf_init(&caps, 1024);
		s->state = LOGGED_IN;
		s->errors = 0;
		capabilities(s, &caps);
		/* RFC 3501 6.2.3: a CAPABILITY response code in the tagged OK, since it differs from the one before. */
		answer_ok(s, "[CAPABILITY %.*s] logged in", PSTR(buf_str(&caps)));
		if (caps.failed)
			answer_ok(s, "logged in");
		return;
	}
	const char *code = rc == RC_BUSY || rc == RC_LIMIT ? "LIMIT" : "UNAVAILABLE";
	if (rc == RC_DENIED || rc == RC_NOTFOUND || rc == RC_SYNTAX) {
		code = "AUTHENTICATIONFAILED"; /* RFC 5530 3: never says which of the two was wrong */
		answer_no(s, "[%s] %s", code, rc == RC_DENIED && why.text[0] ? why.text : "wrong user name or password");
	} else {
		answer_no(s, "[%s] %s", code, why.text[0] ? why.text : "try again later");
	}
	if (++s->failed_logins >= FAILED_LOGINS_MAX) {
		answer_send(s);
		bye(s, "too many failed logins");
		s->is_cut = true; /* answered already */
	}
}

static bool refuse_clear_text(struct session *s)
{
	if (may_login_here(s))
		return false;
	answer_no(s, "[PRIVACYREQUIRED] use TLS first");
	s->errors++;
	return true;
}

void do_login(struct session *s, struct args *a)
{
	args_space(a);
	struct str user = args_astring(a);
	args_space(a);
	struct str password = args_astring(a);
	args_end(a);
	if (!args_fine(a))
		answer_syntax(s, a);
	else if (refuse_clear_text(s))
		return;
	else if (user.n > CREDENTIAL_MAX || password.n > CREDENTIAL_MAX)
		answer_no(s, "[AUTHENTICATIONFAILED] wrong user name or password");
	else
		login(s, user, password);
}

/* RFC 4616 2: message = [authzid] NUL authcid NUL passwd. Acting for somebody else is not offered. */
static void login_plain(struct session *s, struct str message)
{
	struct str authzid, user, password, rest;
	if (!str_cut(message, 0, &authzid, &rest) || !str_cut(rest, 0, &user, &password) || !user.n || str_find(password, 0) < password.n)
		answer_bad(s, "not a PLAIN message (RFC 4616)");
	else if (authzid.n && !str_eq(authzid, user))
		answer_no(s, "[AUTHORIZATIONFAILED] you may only log in as yourself");
	else
		login(s, user, password);
}

void do_authenticate(struct session *s, struct args *a)
{
	struct str line = STR("");
	args_space(a);
	struct str mechanism = args_atom(a);
	bool has_initial = args_maybe(a, ' ');
	if (has_initial) {
		line = a->in;
		a->in = str_skip(a->in, a->in.n);
		if (!line.n)
			args_fail(a, "an initial response");
	}
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	if (!str_ieq(mechanism, STR("PLAIN"))) {
		answer_no(s, "[CANNOT] only PLAIN is offered");
		return;
	}
	if (refuse_clear_text(s))
		return;
	if (!has_initial) {
		stream_write(s->io, STR("+ \r\n"));
		enum rc rc = stream_line(s->io, PRELOGIN_LINE_MAX, &line);
		if (rc == RC_LIMIT) {
			answer_bad(s, "a response may have 8192 octets");
			return;
		}
		if (rc != RC_OK) {
			answer_bad(s, "a line must end in CR LF");
			return;
		}
		if (str_eq(line, STR("*"))) {
			answer_bad(s, "cancelled");
			return;
		}
	}
	AUTO(buf_wipe) struct buf message;
	buf_init(&message, PRELOGIN_LINE_MAX);
	/* RFC 4959 3: "=" is an empty initial response. */
	enum rc rc = has_initial && str_eq(line, STR("=")) ? RC_OK : base64_decode(line, false, &message);
	if (rc != RC_OK || message.failed)
		answer_bad(s, "not base64");
	else
		login_plain(s, buf_str(&message));
}

void do_enable(struct session *s, struct args *a)
{
	do {
		args_space(a);
		(void)args_atom(a);
	} while (args_fine(a) && a->in.n);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	/* RFC 5161 3.1: what is unknown or cannot be enabled is left out of the answer. */
	stream_write(s->io, STR("* ENABLED\r\n"));
	answer_ok(s, "done");
}

void do_namespace(struct session *s, struct args *a)
{
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	stream_write(s->io, STR("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"));
	answer_ok(s, "done");
}
