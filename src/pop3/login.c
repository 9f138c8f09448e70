#include "pop3/internal.h"

#include "base/codec.h"
#include "base/mem.h"

/* May a password cross this connection? RFC 2595 section 2.3 and RFC 8314: not in the clear. */
static bool may_login(const struct pop3_session *s)
{
	return s->config->plaintext_login || stream_is_tls(s->io);
}

static void refuse_clear(struct pop3_session *s)
{
	/* RFC 3206: SYS/PERM: trying again changes nothing. Not AUTH: the password may well be right. */
	pop3_fault(s, stream_can_tls(s->io) ? "[SYS/PERM] login needs TLS here: say STLS first" : "[SYS/PERM] login needs TLS here");
}

/* RFC 2449 section 5. Differs with the state: what cannot be used now is not announced. */
void pop3_capa(struct pop3_session *s, struct str arg)
{
	(void)arg;
	pop3_ok(s, "capabilities follow");
	stream_write(s->io, STR("TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nUTF8\r\nEXPIRE NEVER\r\nIMPLEMENTATION Letterlock\r\n"));
	if (may_login(s))
		stream_write(s->io, STR("USER\r\nSASL PLAIN\r\n"));
	/* RFC 2595 section 4: STLS is permitted in the AUTHORIZATION state, when TLS is not active. */
	if (s->state == POP3_AUTHORIZATION && stream_can_tls(s->io) && !stream_is_tls(s->io))
		stream_write(s->io, STR("STLS\r\n"));
	stream_write(s->io, STR(".\r\n"));
}

void pop3_stls(struct pop3_session *s, struct str arg)
{
	(void)arg;
	if (stream_is_tls(s->io)) {
		pop3_fault(s, "TLS is on already");
		return;
	}
	if (!stream_can_tls(s->io)) {
		pop3_fault(s, "[SYS/PERM] no TLS here");
		return;
	}
	pop3_ok(s, "begin TLS");
	enum rc rc = stream_flush(s->io);
	if (rc == RC_OK)
		rc = stream_starttls(s->io);
	/* RFC 2595 section 4: the server discards any knowledge obtained from the client before the negotiation. */
	s->user_given = false;
	if (rc != RC_OK) {
		s->state = POP3_GONE;
		s->ended = rc;
	}
}

/* RFC 6856 section 2: in AUTHORIZATION only. Mail is sent as it lies either way, so there is nothing to remember: a
 * message is never down-converted and never refused for its octets (README.md says why). */
void pop3_utf8(struct pop3_session *s, struct str arg)
{
	(void)arg;
	pop3_ok(s, "UTF-8 it is");
}

static void login(struct pop3_session *s, struct str user, struct str password)
{
	struct why why = { 0 };
	enum rc rc = s->hooks->login(s->hooks->house, user, password, &why);
	if (rc == RC_OK) {
		s->logged_in = true;
		pop3_enter(s);
	} else if (rc == RC_DENIED) {
		/* RFC 3206 section 4: AUTH tells the client that the credentials are the problem, so that it asks for others. */
		pop3_fault(s, "[AUTH] wrong user name or password");
	} else {
		pop3_failed(s, rc, &why, "login is not possible now");
	}
}

void pop3_user(struct pop3_session *s, struct str arg)
{
	s->user_given = false;
	if (!may_login(s)) {
		refuse_clear(s);
		return;
	}
	struct str name = str_trim(arg);
	if (name.n == 0 || memchr(name.p, 0, name.n)) {
		pop3_fault(s, "USER needs a name");
		return;
	}
	buf_clear(&s->user);
	buf_add(&s->user, name);
	if (s->user.failed) {
		pop3_refuse(s, "[SYS/TEMP] out of memory");
		return;
	}
	s->user_given = true;
	/* The same answer for every name: who has a mailbox here is not told. */
	pop3_ok(s, "password please");
}

/* RFC 1939 section 7: "a POP3 server may treat spaces in the argument as part of the password, instead of as argument
 * separators": we do. */
void pop3_pass(struct pop3_session *s, struct str arg)
{
	if (!may_login(s)) {
		refuse_clear(s);
		return;
	}
	if (!s->user_given) {
		pop3_fault(s, "say USER first");
		return;
	}
	s->user_given = false;
	if (arg.n == 0 || memchr(arg.p, 0, arg.n)) {
		pop3_fault(s, "PASS needs a password");
		return;
	}
	login(s, buf_str(&s->user), arg);
}

/* RFC 4616: message = [authzid] NUL authcid NUL passwd. */
static void login_plain(struct pop3_session *s, struct str message)
{
	struct str act_as, rest, user, password;
	if (!str_cut(message, 0, &act_as, &rest) || !str_cut(rest, 0, &user, &password) ||
	    user.n == 0 || password.n == 0 || memchr(password.p, 0, password.n)) {
		pop3_fault(s, "that is not a PLAIN response");
		return;
	}
	if (act_as.n && !str_eq(act_as, user)) {
		pop3_fault(s, "[AUTH] acting as somebody else is not possible here");
		return;
	}
	login(s, user, password);
}

static void login_base64(struct pop3_session *s, struct str text)
{
	AUTO(buf_wipe) struct buf message;
	buf_init(&message, POP3_SASL_MAX);
	enum rc rc = base64_decode(text, false, &message);
	if (rc == RC_NOMEM || (rc == RC_OK && message.failed))
		pop3_refuse(s, "[SYS/TEMP] out of memory");
	else if (rc != RC_OK)
		pop3_fault(s, "that is not base64");
	else
		login_plain(s, buf_str(&message));
}

/* The challenge of PLAIN is empty (RFC 5034 section 4: "+" SP CRLF); its answer is one line, "*" cancels. */
static void ask_plain(struct pop3_session *s)
{
	struct str line;
	stream_write(s->io, STR("+ \r\n"));
	enum rc rc = stream_line(s->io, POP3_SASL_MAX, &line);
	if (rc == RC_LIMIT)
		pop3_fault(s, "response longer than 2048 octets");
	else if (rc == RC_SYNTAX)
		pop3_fault(s, "bare CR or LF in a line");
	else if (rc != RC_OK)
		return; /* the stream is broken and says so at the next read */
	else if (str_eq(line, STR("*")))
		pop3_fault(s, "cancelled");
	else
		login_base64(s, line);
}

/* RFC 5034. Without a mechanism: the list of them, as clients older than CAPA expect. */
void pop3_auth(struct pop3_session *s, struct str arg)
{
	struct str mechanism, initial;
	bool has_initial = str_cut(str_trim(arg), ' ', &mechanism, &initial);
	if (mechanism.n == 0) {
		pop3_ok(s, "mechanisms follow");
		stream_write(s->io, may_login(s) ? STR("PLAIN\r\n.\r\n") : STR(".\r\n"));
	} else if (!str_ieq(mechanism, STR("PLAIN"))) {
		pop3_fault(s, "no such mechanism; try PLAIN");
	} else if (!may_login(s)) {
		refuse_clear(s);
	} else if (!has_initial) {
		ask_plain(s);
	} else {
		/* RFC 5034 section 4: "=" is an initial response of no octets. */
		login_base64(s, str_eq(initial, STR("=")) ? STR("") : initial);
	}
}
