#include "smtp/internal.h"
#include "smtp/sasl.h"

#include "base/codec.h"

/* AUTH (RFC 4954): one login per connection, over TLS, by a password. What the client says in it is a secret: it lies in buffers that are wiped, and never in a
 * reason or in s->command. */

enum { BAD_LOGINS_MAX = 5, SCRATCH_MAX = 32768, BASE64_MAX = SMTP_AUTH_MAX, TEXT_MAX = BASE64_MAX / 4 * 3 + 3 };

/* One exchange. The client's words of the moment lie in `said`. */
struct exchange {
	struct smtp_session *s;
	const char *mechanism;
	struct arena a;
	struct buf said;
	bool has_initial;
};

static bool may_login_here(const struct smtp_session *s) { return stream_is_tls(s->io) || s->config->plaintext_login; }

static const struct { struct str name; enum stream_binding kind; } bindings[] = {
	{ STR_INIT("tls-exporter"), STREAM_TLS_EXPORTER },                 /* RFC 9266 */
	{ STR_INIT("tls-server-end-point"), STREAM_TLS_SERVER_END_POINT }, /* RFC 5929 4 */
};
enum { BINDINGS = sizeof bindings / sizeof *bindings };

/* What binds a login to this connection; name "" = anything that does. */
static enum rc binding_of(const struct smtp_session *s, struct str name, struct buf *out)
{
	for (size_t i = 0; i < BINDINGS; i++)
		if (!name.n || str_eq(name, bindings[i].name)) {
			enum rc rc = stream_binding(s->io, bindings[i].kind, out);
			if (rc == RC_OK || name.n)
				return rc;
		}
	return RC_NOTFOUND;
}

static bool has_binding(const struct smtp_session *s)
{
	char room[STREAM_BINDING_MAX];
	struct buf b = { .p = room, .cap = sizeof room, .max = sizeof room };
	return binding_of(s, STR(""), &b) == RC_OK;
}

void smtp_auth_extension(struct smtp_session *s)
{
	if (s->logged_in || !may_login_here(s))
		return;
	stream_writef(s->io, "250-AUTH PLAIN LOGIN%s%s\r\n", s->config->scram && has_binding(s) ? " SCRAM-SHA-256-PLUS" : "", s->config->scram ? " SCRAM-SHA-256" : "");
}

/* ---- challenge and response ---- */

static bool decode(struct exchange *x, struct str line)
{
	buf_wipe(&x->said);
	buf_init(&x->said, TEXT_MAX);
	if (base64_decode(line, false, &x->said) == RC_OK && !x->said.failed)
		return true;
	smtp_error(x->s, 501, "5.5.2 not base64");
	return false;
}

/* "334 ...", then the client's answer into x->said. False: answered, or the client is gone. */
static bool ask(struct exchange *x, struct str challenge)
{
	struct smtp_session *s = x->s;
	struct buf line AUTO(buf_wipe);
	struct str in;
	buf_init(&line, BASE64_MAX);
	buf_add(&line, STR("334 "));
	base64_add(&line, challenge);
	buf_add(&line, STR("\r\n"));
	stream_write(s->io, buf_str(&line));
	stream_limit(s->io, s->config->command_ms);
	enum rc rc = line.failed ? RC_LIMIT : stream_line(s->io, SMTP_AUTH_MAX, &in);
	stream_limit(s->io, 0);
	if (rc == RC_LIMIT && stream_error(s->io) == RC_OK)
		smtp_error(s, 500, "5.5.6 line too long, at most %d octets", SMTP_AUTH_MAX + 2); /* RFC 4954 6 */
	else if (rc == RC_SYNTAX && stream_error(s->io) == RC_OK)
		smtp_error(s, 501, "5.5.2 bare CR or LF; lines end with CR LF");
	else if (rc != RC_OK && s->state != SMTP_GONE)
		s->state = SMTP_GONE, s->end = rc;
	else if (rc == RC_OK && str_eq(in, STR("*"))) /* RFC 4954 4: "MUST ... reject ... by sending a 501 reply" */
		smtp_error(s, 501, "5.7.0 cancelled");
	else
		return rc == RC_OK && decode(x, in);
	return false;
}

/* The client's first words: those that came with the command, or those after `challenge`. */
static bool first_words(struct exchange *x, struct str challenge)
{
	if (x->has_initial)
		return true;
	return ask(x, challenge);
}

static void refuse_login(struct smtp_session *s, enum rc rc, const struct why *why)
{
	char text[240];
	if (rc == RC_DENIED || rc == RC_NOTFOUND || rc == RC_SYNTAX) {
		s->bad_logins++;
		if (s->bad_logins >= BAD_LOGINS_MAX)
			smtp_hang_up(s, RC_DENIED, 421, "4.7.0 too many failed logins");
		else /* RFC 4954 4: never says which of the two was wrong */
			smtp_error(s, 535, "5.7.8 wrong address or password");
		return;
	}
	smtp_text_of(rc, 454, why, "4.7.0", text);
	smtp_reply(s, 454, "%s", text);
}

static void settle(struct exchange *x, enum rc rc, const struct why *why)
{
	struct smtp_session *s = x->s;
	if (rc != RC_OK) {
		refuse_login(s, rc, why);
		return;
	}
	s->logged_in = true;
	s->hush = false;
	s->errors = 0;
	smtp_reply(s, 235, "2.7.0 logged in");
}

/* ---- PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login) ---- */

static void run_plain(struct exchange *x)
{
	struct sasl_plain p;
	struct why why = { 0 };
	if (!first_words(x, STR("")))
		return;
	if (sasl_plain_parse(buf_str(&x->said), &p) != RC_OK)
		smtp_error(x->s, 501, "5.5.2 not a PLAIN message (RFC 4616)");
	else if (p.authzid.n && !str_eq(p.authzid, p.user))
		smtp_error(x->s, 535, "5.7.8 you may only log in as yourself");
	else if (p.user.n > SASL_USER_MAX || p.password.n > SASL_PASSWORD_MAX)
		refuse_login(x->s, RC_DENIED, &why);
	else
		settle(x, x->s->hooks->login(x->s->hooks->house, p.user, p.password, x->mechanism, &why), &why);
}

static void run_login(struct exchange *x)
{
	struct why why = { 0 };
	if (!first_words(x, STR("Username:")))
		return;
	struct str user = arena_str(&x->a, buf_str(&x->said));
	if (!ask(x, STR("Password:")))
		return;
	struct str password = buf_str(&x->said);
	if (!user.n || !password.n || user.n > SASL_USER_MAX || password.n > SASL_PASSWORD_MAX)
		refuse_login(x->s, RC_DENIED, &why);
	else
		settle(x, x->s->hooks->login(x->s->hooks->house, user, password, x->mechanism, &why), &why);
}

/* ---- SCRAM-SHA-256 (RFC 5802, 7677) ---- */

/* Is what the client says of channel bindings right for this mechanism? Adds the channel's data. */
static bool binding_fits(struct exchange *x, const struct sasl_scram_first *f, bool plus, struct buf *out)
{
	if (plus)
		return f->flag == 'p' && binding_of(x->s, f->binding, out) == RC_OK;
	/* RFC 5802 6: "y" from a client that supports binding, where the server does too: somebody took -PLUS out of the list. */
	return f->flag == 'n' || (f->flag == 'y' && !has_binding(x->s));
}

struct scram { struct sasl_scram_first first; struct str nonce, server_first; struct buf channel; };

static bool begin_scram(struct exchange *x, struct scram *c, bool plus)
{
	struct smtp_session *s = x->s;
	char salt_room[64], nonce_room[64];
	struct buf salt = { .p = salt_room, .cap = sizeof salt_room, .max = sizeof salt_room }, ours = { .p = nonce_room, .cap = sizeof nonce_room, .max = sizeof nonce_room };
	struct buf text AUTO(buf_done), nonce AUTO(buf_done);
	struct why why = { 0 };
	uint32_t iterations = 0;
	buf_init(&text, 1024);
	buf_init(&nonce, 2 * SASL_NONCE_MAX);
	struct str message = arena_str(&x->a, buf_str(&x->said));
	if (sasl_scram_first_parse(message, &x->a, &c->first) != RC_OK || c->first.user.n > SASL_USER_MAX) {
		smtp_error(s, 501, "5.5.2 not a SCRAM message (RFC 5802)");
		return false;
	}
	buf_add(&c->channel, c->first.gs2);
	if (!binding_fits(x, &c->first, plus, &c->channel) || (c->first.authzid.n && !str_eq(c->first.authzid, c->first.user))) {
		smtp_error(s, 535, "5.7.8 channel binding does not fit, or a name that is not the user's");
		return false;
	}
	enum rc rc = s->hooks->scram_begin(s->hooks->house, c->first.user, &salt, &iterations, &ours, &why);
	buf_add(&nonce, c->first.nonce);
	buf_add(&nonce, buf_str(&ours));
	sasl_scram_server_first(buf_str(&nonce), buf_str(&salt), iterations, &text);
	c->nonce = arena_str(&x->a, buf_str(&nonce));
	c->server_first = arena_str(&x->a, buf_str(&text));
	if (rc == RC_OK && (text.failed || nonce.failed || x->a.full))
		rc = RC_NOMEM;
	if (rc != RC_OK)
		refuse_login(s, rc, &why);
	return rc == RC_OK;
}

static void end_scram(struct exchange *x, struct scram *c)
{
	struct smtp_session *s = x->s;
	struct sasl_scram_final f;
	struct buf message AUTO(buf_done), signature AUTO(buf_done), final AUTO(buf_done);
	struct why why = { 0 };
	buf_init(&message, 8192);
	buf_init(&signature, 64);
	buf_init(&final, 128);
	if (sasl_scram_final_parse(buf_str(&x->said), &x->a, &f) != RC_OK) {
		smtp_error(s, 501, "5.5.2 not a SCRAM message (RFC 5802)");
		return;
	}
	/* RFC 5802 5.1, r= and c=: both MUST be what was said before */
	if (!str_eq(f.nonce, c->nonce) || !str_eq(f.binding, buf_str(&c->channel))) {
		refuse_login(s, RC_DENIED, &why);
		return;
	}
	sasl_scram_auth_message(c->first.bare, c->server_first, f.without_proof, &message);
	enum rc rc = message.failed ? RC_DENIED : s->hooks->scram_prove(s->hooks->house, c->first.user, buf_str(&message), f.proof, &signature, &why);
	sasl_scram_server_final(buf_str(&signature), &final);
	/* RFC 4954 4: what the server has to say last goes as a challenge, and an empty response comes back. */
	if (rc == RC_OK && !ask(x, buf_str(&final)))
		return;
	if (rc == RC_OK && x->said.len) {
		smtp_error(s, 501, "5.5.2 an empty line was due");
		return;
	}
	settle(x, rc, &why);
}

static void scram(struct exchange *x, bool plus)
{
	struct scram c = { 0 };
	buf_init(&c.channel, 1024);
	if (first_words(x, STR("")) && begin_scram(x, &c, plus) && ask(x, c.server_first))
		end_scram(x, &c);
	buf_done(&c.channel);
}

static void run_scram(struct exchange *x) { scram(x, false); }
static void run_scram_plus(struct exchange *x) { scram(x, true); }

/* ---- OAUTHBEARER (RFC 7628), XOAUTH2: there are no tokens here; a client that tries one hears so in its own terms ---- */

static void run_token(struct exchange *x)
{
	if (!first_words(x, STR("")))
		return;
	/* RFC 7628 3.2.2, 3.2.3: the error as JSON; the client answers with one ^A, and is refused. */
	if (!ask(x, STR("{\"status\":\"invalid_token\",\"schemes\":\"bearer\"}")))
		return;
	smtp_error(x->s, 535, "5.7.8 no tokens here: log in by password");
}

/* ---- the command ---- */

static const struct mechanism {
	struct str name;
	void (*run)(struct exchange *x);
	bool scram;
} mechanisms[] = {
	{ STR_INIT("PLAIN"), run_plain, false },
	{ STR_INIT("LOGIN"), run_login, false },
	{ STR_INIT("SCRAM-SHA-256"), run_scram, true },
	{ STR_INIT("SCRAM-SHA-256-PLUS"), run_scram_plus, true },
	{ STR_INIT("OAUTHBEARER"), run_token, false },
	{ STR_INIT("XOAUTH2"), run_token, false },
};

static const struct mechanism *find(const struct smtp_session *s, struct str name)
{
	for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
		if (str_ieq(name, mechanisms[i].name) && (!mechanisms[i].scram || s->config->scram))
			return &mechanisms[i];
	return NULL;
}

static void exchange(struct smtp_session *s, const struct mechanism *m, struct str initial, bool has_initial)
{
	struct exchange x = { .s = s, .mechanism = m->name.p, .has_initial = has_initial };
	arena_init(&x.a, SCRATCH_MAX);
	buf_init(&x.said, TEXT_MAX);
	/* RFC 4954 4: "a single equals sign indicates that the response is present, but contains no data" */
	if (!has_initial || str_eq(initial, STR("=")) || decode(&x, initial))
		m->run(&x);
	buf_wipe(&x.said);
	arena_done(&x.a);
}

void smtp_do_auth(struct smtp_session *s, struct str arg)
{
	struct str name, initial;
	const struct mechanism *m;
	bool has_initial = str_cut(arg, ' ', &name, &initial);
	if (s->config->kind != SMTP_SUBMISSION) /* RFC 6409 3.3, RFC 8314: logins have ports of their own */
		smtp_error(s, 502, "5.5.1 not offered here");
	else if (s->logged_in) /* RFC 4954 4: "no more AUTH commands may be issued in the same session" */
		smtp_error(s, 503, "5.5.1 logged in already");
	else if (s->state != SMTP_READY || !s->esmtp)
		smtp_error(s, 503, s->esmtp ? "5.5.1 not within a transaction" : "5.5.1 say EHLO first");
	else if (!may_login_here(s))
		smtp_error(s, 538, "5.7.11 say STARTTLS first");
	else if (!name.n)
		smtp_error(s, 501, "5.5.4 AUTH needs a mechanism");
	else if (!(m = find(s, name)))
		smtp_error(s, 504, "5.5.4 this mechanism is not offered");
	else
		exchange(s, m, str_trim(initial), has_initial && str_trim(initial).n);
}
