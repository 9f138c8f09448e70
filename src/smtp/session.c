#include "smtp/internal.h"
#include "smtp/params.h"

#include "os/loop.h"

/* One connection from greeting to goodbye. The table below is the protocol; each verb reads, asks the house, answers. */

static struct str kind_name(const struct smtp_session *s) { return s->config->kind == SMTP_LMTP ? STR("LMTP") : STR("ESMTP"); }

/* ---- hello (RFC 5321 4.1.1.1, RFC 2033 4.1) ---- */

/* The name that a client gives itself is not believed, only kept; it is to be one printable word. */
static bool helo_ok(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~')
			return false;
	return name.n && name.n <= SMTP_HELO_MAX;
}

/* Offered before login, too: hardly any client says EHLO again after it. */
static void submission_extensions(struct smtp_session *s)
{
	const struct smtp_config *c = s->config;
	if (c->max_hold_s) { /* RFC 4865 3: the longest interval, and the date that it leads to */
		char date[SMTP_DATE_LEN + 1];
		smtp_date_format(wall_ms() + (int64_t)c->max_hold_s * 1000, date);
		stream_writef(s->io, "250-FUTURERELEASE %llu %s\r\n", (unsigned long long)c->max_hold_s, date);
	}
	stream_writef(s->io, "250-DELIVERBY\r\n250-MT-PRIORITY\r\n");
	/* RFC 8689 2: "MUST NOT advertise ... if the connection is not protected by TLS" */
	if (stream_is_tls(s->io))
		stream_writef(s->io, "250-REQUIRETLS\r\n");
	smtp_auth_extension(s);
}

static void extensions(struct smtp_session *s)
{
	const struct smtp_config *c = s->config;
	stream_writef(s->io, "250-PIPELINING\r\n");
	if (c->max_size)
		stream_writef(s->io, "250-SIZE %llu\r\n", (unsigned long long)c->max_size);
	else
		stream_writef(s->io, "250-SIZE\r\n");
	stream_writef(s->io, "250-8BITMIME\r\n250-CHUNKING\r\n250-BINARYMIME\r\n");
	if (c->utf8)
		stream_writef(s->io, "250-SMTPUTF8\r\n");
	if (c->dsn)
		stream_writef(s->io, "250-DSN\r\n");
	if (stream_can_tls(s->io) && !stream_is_tls(s->io))
		stream_writef(s->io, "250-STARTTLS\r\n");
	if (c->kind == SMTP_SUBMISSION)
		submission_extensions(s);
	/* RFC 9422 3: values have at most six digits */
	unsigned rcpts = c->max_recipients ? c->max_recipients : SMTP_RCPT_DEFAULT;
	stream_writef(s->io, "250-LIMITS RCPTMAX=%u", rcpts > 999999 ? 999999 : rcpts);
	if (c->max_mails && c->max_mails <= 999999)
		stream_writef(s->io, " MAILMAX=%u", c->max_mails);
	stream_writef(s->io, "\r\n250 ENHANCEDSTATUSCODES\r\n");
}

static void hello(struct smtp_session *s, struct str arg, bool esmtp)
{
	if (!helo_ok(arg)) {
		smtp_error(s, 501, "5.5.4 give one name, at most %d octets", SMTP_HELO_MAX);
		return;
	}
	smtp_end_transaction(s); /* RFC 5321 4.1.4: EHLO clears all state, like RSET */
	memcpy(s->helo, arg.p, arg.n);
	s->helo[arg.n] = 0;
	s->esmtp = esmtp;
	s->state = SMTP_READY;
	if (s->hooks->hello)
		s->hooks->hello(s->hooks->house, str_z(s->helo), esmtp);
	stream_writef(s->io, esmtp ? "250-%.*s\r\n" : "250 %.*s\r\n", PSTR(s->config->hostname));
	if (esmtp)
		extensions(s);
}

static void do_ehlo(struct smtp_session *s, struct str arg) { hello(s, arg, true); }
static void do_helo(struct smtp_session *s, struct str arg) { hello(s, arg, false); }

/* ---- STARTTLS (RFC 3207) ---- */

static void do_starttls(struct smtp_session *s, struct str arg)
{
	(void)arg;
	if (stream_is_tls(s->io)) {
		smtp_error(s, 503, "5.5.1 TLS is on already");
		return;
	}
	if (!stream_can_tls(s->io)) {
		smtp_error(s, 502, "5.5.1 no TLS here");
		return;
	}
	smtp_reply(s, 220, "2.0.0 go ahead");
	/* RFC 3207 4.2: "the SMTP protocol is reset to the initial state ... The server MUST discard any knowledge obtained from the client".
	 * stream_starttls() throws away what came in the clear behind the command. */
	smtp_end_transaction(s);
	s->helo[0] = 0;
	s->esmtp = false;
	s->logged_in = s->config->logged_in; /* a login in the clear, too */
	s->state = SMTP_GREET;
	enum rc rc = stream_flush(s->io);
	if (rc == RC_OK)
		rc = stream_starttls(s->io);
	if (rc != RC_OK) {
		s->state = SMTP_GONE;
		s->end = rc;
	}
}

/* ---- the small ones ---- */

static void do_rset(struct smtp_session *s, struct str arg)
{
	(void)arg;
	smtp_end_transaction(s);
	smtp_reply(s, 250, "2.0.0 Ok");
}

static void do_noop(struct smtp_session *s, struct str arg)
{
	(void)arg;
	smtp_reply(s, 250, "2.0.0 Ok");
}

static void do_vrfy(struct smtp_session *s, struct str arg)
{
	(void)arg;
	smtp_reply(s, 252, "2.5.0 send some mail and see"); /* RFC 5321 3.5.3: neither yes nor no */
}

static void do_absent(struct smtp_session *s, struct str arg)
{
	(void)arg;
	smtp_error(s, 502, "5.5.1 not offered here");
}

static void do_quit(struct smtp_session *s, struct str arg)
{
	(void)arg;
	smtp_reply(s, 221, "2.0.0 bye");
	s->state = SMTP_GONE;
	s->end = RC_OK;
}

/* A web browser was made to talk to us: what follows was not meant as mail. */
static void do_foreign(struct smtp_session *s, struct str arg)
{
	(void)arg;
	s->errors++;
	smtp_hang_up(s, RC_DENIED, 421, "4.7.0 this is not a web server");
}

static void do_help(struct smtp_session *s, struct str arg);

/* ---- the protocol on one screen ---- */

enum arg_rule { ARG_NONE, ARG_ANY, ARG_SOME };
enum { ANY_TIME = SMTP_GREET | SMTP_READY | SMTP_MAIL | SMTP_RCPT | SMTP_BDAT, IN_MAIL = SMTP_MAIL | SMTP_RCPT, ON_SMTP = 1, ON_LMTP = 2, ON_BOTH = 3 };

static const struct verb {
	struct str name;
	void (*run)(struct smtp_session *s, struct str arg);
	unsigned allowed_in, on;
	enum arg_rule arg;
	size_t line_max;
} verbs[] = {
	{ STR_INIT("EHLO"), do_ehlo, ANY_TIME, ON_SMTP, ARG_SOME, SMTP_COMMAND_MAX },
	{ STR_INIT("HELO"), do_helo, ANY_TIME, ON_SMTP, ARG_SOME, SMTP_COMMAND_MAX },
	{ STR_INIT("LHLO"), do_ehlo, ANY_TIME, ON_LMTP, ARG_SOME, SMTP_COMMAND_MAX },
	{ STR_INIT("STARTTLS"), do_starttls, SMTP_READY, ON_BOTH, ARG_NONE, SMTP_COMMAND_MAX },
	{ STR_INIT("MAIL"), smtp_do_mail, SMTP_READY, ON_BOTH, ARG_SOME, SMTP_EXTENDED_MAX },
	{ STR_INIT("RCPT"), smtp_do_rcpt, IN_MAIL, ON_BOTH, ARG_SOME, SMTP_EXTENDED_MAX },
	{ STR_INIT("DATA"), smtp_do_data, IN_MAIL, ON_BOTH, ARG_NONE, SMTP_COMMAND_MAX },
	{ STR_INIT("BDAT"), smtp_do_bdat, ANY_TIME /* its octets must go */, ON_BOTH, ARG_ANY, SMTP_COMMAND_MAX },
	{ STR_INIT("RSET"), do_rset, ANY_TIME, ON_BOTH, ARG_NONE, SMTP_COMMAND_MAX },
	{ STR_INIT("NOOP"), do_noop, ANY_TIME, ON_BOTH, ARG_ANY, SMTP_COMMAND_MAX },
	{ STR_INIT("VRFY"), do_vrfy, ANY_TIME, ON_BOTH, ARG_SOME, SMTP_COMMAND_MAX },
	{ STR_INIT("HELP"), do_help, ANY_TIME, ON_BOTH, ARG_ANY, SMTP_COMMAND_MAX },
	{ STR_INIT("QUIT"), do_quit, ANY_TIME, ON_BOTH, ARG_NONE, SMTP_COMMAND_MAX },
	{ STR_INIT("EXPN"), do_absent, ANY_TIME, ON_BOTH, ARG_ANY, SMTP_COMMAND_MAX },
	{ STR_INIT("AUTH"), smtp_do_auth, ANY_TIME, ON_SMTP, ARG_ANY, SMTP_AUTH_MAX },
	{ STR_INIT("AUTH"), do_absent, ANY_TIME, ON_LMTP, ARG_ANY, SMTP_EXTENDED_MAX },
	{ STR_INIT("ETRN"), do_absent, ANY_TIME, ON_BOTH, ARG_ANY, SMTP_COMMAND_MAX },
	{ STR_INIT("TURN"), do_absent, ANY_TIME, ON_BOTH, ARG_ANY, SMTP_COMMAND_MAX },
	{ STR_INIT("GET"), do_foreign, ANY_TIME, ON_BOTH, ARG_ANY, SMTP_EXTENDED_MAX },
	{ STR_INIT("POST"), do_foreign, ANY_TIME, ON_BOTH, ARG_ANY, SMTP_EXTENDED_MAX },
	{ STR_INIT("PUT"), do_foreign, ANY_TIME, ON_BOTH, ARG_ANY, SMTP_EXTENDED_MAX },
	{ STR_INIT("CONNECT"), do_foreign, ANY_TIME, ON_BOTH, ARG_ANY, SMTP_EXTENDED_MAX },
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static unsigned side_of(const struct smtp_session *s) { return s->config->kind == SMTP_LMTP ? ON_LMTP : ON_SMTP; }

static void do_help(struct smtp_session *s, struct str arg)
{
	(void)arg;
	stream_writef(s->io, "214 2.0.0");
	for (size_t i = 0; i < VERBS; i++)
		if (verbs[i].on & side_of(s) && verbs[i].run != do_absent && verbs[i].run != do_foreign && (verbs[i].run != smtp_do_auth || s->config->kind == SMTP_SUBMISSION))
			stream_writef(s->io, " %.*s", PSTR(verbs[i].name));
	stream_writef(s->io, "\r\n");
}

static const struct verb *find_verb(const struct smtp_session *s, struct str name)
{
	for (size_t i = 0; i < VERBS; i++)
		if (str_ieq(name, verbs[i].name) && verbs[i].on & side_of(s))
			return &verbs[i];
	return NULL;
}

static void out_of_sequence(struct smtp_session *s, const struct verb *v)
{
	if (s->state == SMTP_GREET)
		smtp_error(s, 503, "5.5.1 say %s first", s->config->kind == SMTP_LMTP ? "LHLO" : "EHLO");
	else if (s->state == SMTP_BDAT) /* RFC 3030 2: nothing but BDAT and RSET fits between chunks */
		smtp_error(s, 503, "5.5.1 BDAT goes on, or RSET");
	else if (v->run == smtp_do_mail)
		smtp_error(s, 503, "5.5.1 one MAIL at a time");
	else
		smtp_error(s, 503, v->run == do_starttls ? "5.5.1 not within a transaction" : "5.5.1 MAIL first");
}

static void command(struct smtp_session *s, struct str line)
{
	struct str name, arg;
	while (line.n && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
		line.n--; /* RFC 5321 4.1.1: "receivers SHOULD tolerate trailing white space" */
	s->command = line;
	str_cut(line, ' ', &name, &arg);
	arg = str_trim(arg);
	const struct verb *v = find_verb(s, name);
	/* Whoever goes on with AUTH although it was refused says names and passwords where a command belongs. */
	if (v && v->run == smtp_do_auth)
		s->command = v->name, s->hush = true;
	else if (!v && (s->hush || smtp_must_login(s)))
		s->command = STR("-");
	if (!v)
		smtp_error(s, 500, line.n > SMTP_COMMAND_MAX ? "5.5.2 line too long" : "5.5.2 unknown command");
	else if (line.n > v->line_max && v->run == smtp_do_bdat)
		smtp_hang_up(s, RC_SYNTAX, 500, "5.5.2 line too long; closing, for the size of the chunk is not known");
	else if (line.n > v->line_max)
		smtp_error(s, 500, "5.5.2 line too long, at most %zu octets", v->line_max + 2);
	else if (v->run == smtp_do_bdat || v->run == do_foreign)
		v->run(s, arg);
	else if ((v->arg == ARG_NONE && arg.n) || (v->arg == ARG_SOME && !arg.n))
		smtp_error(s, 501, v->arg == ARG_NONE ? "5.5.4 %.*s takes no argument" : "5.5.4 %.*s needs an argument", PSTR(v->name));
	else if (!(v->allowed_in & s->state))
		out_of_sequence(s, v);
	else
		v->run(s, arg);
}

/* How long the next command may take. Before login all of them together have prelogin_ms. */
static unsigned patience(const struct smtp_session *s)
{
	const struct smtp_config *c = s->config;
	if (!smtp_must_login(s) || !c->prelogin_ms)
		return c->command_ms;
	int64_t left = c->prelogin_ms - (fiber_self() ? loop_now(fiber_loop()) - s->began : 0);
	return left <= 1 ? 1 : left < c->command_ms ? (unsigned)left : c->command_ms;
}

/* Waits for a command, answers what went out first, and reads it. False: the session is over. */
static bool next_command(struct smtp_session *s, struct str *out_line, bool *out_broken)
{
	enum rc rc = RC_OK;
	*out_broken = false;
	s->command = STR("");
	if (!stream_pending(s->io)) {
		rc = stream_flush(s->io);
		if (rc == RC_OK)
			rc = stream_wait(s->io, patience(s));
		if (rc == RC_LATE && smtp_must_login(s) && s->config->prelogin_ms)
			smtp_hang_up(s, RC_LATE, 421, "4.4.2 no login within %u s", s->config->prelogin_ms / 1000);
		else if (rc == RC_LATE)
			smtp_hang_up(s, RC_LATE, 421, "4.4.2 nothing came for %u s", s->config->command_ms / 1000);
		if (rc == RC_AGAIN) /* RFC 5321 3.8: 421 is the answer of a server that must shut down */
			smtp_hang_up(s, RC_BUSY, 421, "4.3.2 shutting down");
	}
	size_t max = smtp_must_login(s) ? SMTP_AUTH_MAX : SMTP_EXTENDED_MAX;
	stream_limit(s->io, patience(s)); /* for the whole line, however it trickles */
	if (rc == RC_OK)
		rc = stream_line(s->io, max, out_line);
	stream_limit(s->io, 0);
	if (rc == RC_OK)
		return true;
	if (s->state == SMTP_GONE)
		return false;
	if (rc == RC_LIMIT && stream_error(s->io) == RC_OK)
		smtp_error(s, 500, "5.5.2 line too long, at most %zu octets", max + 2);
	else if (rc == RC_SYNTAX && stream_error(s->io) == RC_OK)
		smtp_error(s, 500, "5.5.2 bare CR or LF in a command; lines end with CR LF");
	else {
		s->state = SMTP_GONE;
		s->end = rc;
		return false;
	}
	*out_broken = true;
	return true;
}

static void greet(struct smtp_session *s)
{
	struct why why = { 0 };
	enum rc rc = s->hooks->connect ? s->hooks->connect(s->hooks->house, stream_facts(s->io), &why) : RC_OK;
	if (rc == RC_OK) {
		stream_writef(s->io, "220 %.*s %.*s Letterlock\r\n", PSTR(s->config->hostname), PSTR(kind_name(s)));
		return;
	}
	char text[240];
	int code = rc == RC_DENIED ? 554 : 421;
	smtp_text_of(rc, code, &why, rc == RC_DENIED ? NULL : "4.7.0", text);
	smtp_hang_up(s, rc, code, "%s", text);
}

enum rc smtp_serve(struct stream *stream, const struct smtp_config *config, const struct smtp_hooks *hooks)
{
	struct smtp_session s = { .io = stream, .config = config, .hooks = hooks, .state = SMTP_GREET, .command = STR(""), .logged_in = config->logged_in };
	s.began = fiber_self() ? loop_now(fiber_loop()) : 0;
	stream_timeout(stream, config->command_ms);
	greet(&s);
	while (s.state != SMTP_GONE) {
		struct str line;
		bool broken;
		if (!next_command(&s, &line, &broken) || broken)
			continue;
		if (smtp_must_login(&s) && config->max_before_login && ++s.before_login > config->max_before_login)
			smtp_hang_up(&s, RC_DENIED, 421, "4.7.0 %u commands and no login", config->max_before_login);
		else
			command(&s, line);
	}
	smtp_end_transaction(&s);
	enum rc rc = stream_flush(stream);
	return s.end != RC_OK ? s.end : rc;
}
