/* Logging in at a smarthost (RFC 4954): SCRAM-SHA-256 where it is offered, else PLAIN, else LOGIN. The last two show the password, so they need TLS or a path
 * that does not leave the machine. */
#include "base/codec.h"
#include "smtp/client_internal.h"
#include "smtp/scram.h"

enum { AUTH_LINE_MAX = 12288 }; /* RFC 4954 4: "the line length limitation ... 12288 octets" */

struct login {
	struct smtp_client *c;
	struct str user, password;
	struct smtp_reply *reply;
	struct why *why;
	struct buf line;               /* wiped */
};

static enum rc say(struct login *l, const char *shown, struct str text)
{
	if (l->line.failed || l->line.len > AUTH_LINE_MAX)
		FAIL(l->why, RC_LIMIT, "name or password are too long for a login");
	smtp_say(l->c, text, shown);
	return smtp_answer(l->c, "AUTH", l->c->config.hello_ms, l->reply, l->why, NULL, NULL);
}

/* A line of base64, with words before it. */
static enum rc say_base64(struct login *l, const char *before, struct str secret)
{
	char shown[64];
	(void)snprintf(shown, sizeof shown, "%s***", before);
	buf_clear(&l->line);
	buf_add(&l->line, str_z(before));
	base64_add(&l->line, secret);
	return say(l, shown, buf_str(&l->line));
}

/* The end: 235, or its refusal. */
static enum rc verdict(struct login *l)
{
	enum rc rc = smtp_class(l->reply);
	if (rc == RC_AGAIN)
		return smtp_out_of_order(l->c, "AUTH", l->reply, l->why);
	return rc == RC_OK ? RC_OK : smtp_refused("AUTH", l->reply, l->why);
}

/* In the middle: 334, or the login has ended. RC_AGAIN = it goes on. */
static enum rc goes_on(struct login *l)
{
	enum rc rc = smtp_class(l->reply);
	if (rc == RC_OK)
		return smtp_out_of_order(l->c, "AUTH", l->reply, l->why);
	return rc == RC_AGAIN ? RC_AGAIN : smtp_refused("AUTH", l->reply, l->why);
}

static enum rc by_plain(struct login *l)
{
	struct buf b AUTO(buf_wipe);
	buf_init(&b, AUTH_LINE_MAX);
	buf_byte(&b, 0);
	buf_add(&b, l->user);
	buf_byte(&b, 0);
	buf_add(&b, l->password);
	if (b.failed)
		FAIL(l->why, RC_LIMIT, "name or password are too long for a login");
	TRY(say_base64(l, "AUTH PLAIN ", buf_str(&b)));
	return verdict(l);
}

static enum rc by_login(struct login *l)
{
	TRY(say(l, NULL, STR("AUTH LOGIN")));
	enum rc rc = goes_on(l);
	if (rc != RC_AGAIN)
		return rc;
	TRY(say_base64(l, "", l->user));
	rc = goes_on(l);
	if (rc != RC_AGAIN)
		return rc;
	TRY(say_base64(l, "", l->password));
	return verdict(l);
}

/* ---- SCRAM ---- */

struct stretch { struct str password, salt; uint32_t iterations; struct secret *out; enum rc rc; };
static void stretch(void *arg)
{
	struct stretch *s = arg;
	s->rc = scram_salted(s->password, s->salt, s->iterations, s->out);
}

/* The server said what nobody can go on with: RFC 4954 4: "*" cancels, and the server answers 501. */
static enum rc cancel(struct login *l, enum rc rc, const char *words)
{
	struct smtp_reply ignored;
	smtp_say(l->c, STR("*"), NULL);
	TRY(smtp_answer(l->c, "the end of AUTH", l->c->config.hello_ms, &ignored, l->why, NULL, NULL));
	*l->reply = (struct smtp_reply){ 0 };
	return smtp_dead(l->c, rc, l->why, "%s", words);
}

static enum rc challenge(struct login *l, struct buf *out)
{
	buf_clear(out);
	if (base64_decode(str_z(l->reply->text), false, out) != RC_OK)
		return cancel(l, RC_SYNTAX, "the server's challenge is not base64");
	return RC_OK;
}

static enum rc prove(struct login *l, struct scram_client *s, struct str password, struct str server_first)
{
	struct scram_challenge c;
	struct secret salted AUTO(secret_done) = { { 0 } };
	struct buf salt AUTO(buf_done), final AUTO(buf_wipe);
	buf_init(&salt, 1024);
	buf_init(&final, 2 * SCRAM_TEXT_MAX);
	enum rc rc = scram_client_read(s, server_first, &c, &salt);
	if (rc == RC_LIMIT)
		return cancel(l, rc, "the server wants fewer or more iterations of SCRAM than is safe");
	if (rc != RC_OK)
		return cancel(l, RC_SYNTAX, "the server's challenge is not SCRAM");
	struct stretch work = { password, buf_str(&salt), c.iterations, &salted, RC_NOMEM };
	rc = worker_run(stretch, &work); /* up to a second of computing: not on the loop */
	rc = rc != RC_OK ? rc : work.rc;
	if (rc == RC_OK)
		rc = scram_client_final(s, server_first, &c, &salted, &final);
	if (rc != RC_OK)
		return smtp_dead(l->c, rc, l->why, "no memory for a login");
	return say_base64(l, "", buf_str(&final));
}

static enum rc by_scram(struct login *l, struct str user, struct str password)
{
	struct scram_client s AUTO(scram_client_done);
	struct buf text AUTO(buf_wipe), nonce AUTO(buf_done);
	uint8_t random[18];
	scram_client_init(&s);
	buf_init(&text, SCRAM_TEXT_MAX);
	buf_init(&nonce, 64);
	if (random_bytes(random, sizeof random) != RC_OK)
		FAIL(l->why, RC_NOMEM, "no random octets for a login");
	base64_add(&nonce, str_of(random, sizeof random));
	buf_byte(&nonce, 0);
	if (nonce.failed || scram_client_first(&s, user, nonce.p, &text) != RC_OK)
		FAIL(l->why, RC_LIMIT, "the name is too long for a login");
	TRY(say_base64(l, "AUTH SCRAM-SHA-256 ", buf_str(&text)));
	enum rc rc = goes_on(l);
	if (rc != RC_AGAIN)
		return rc;
	TRY(challenge(l, &text));
	TRY(prove(l, &s, password, buf_str(&text)));
	rc = goes_on(l);
	if (rc != RC_AGAIN)
		return rc;
	TRY(challenge(l, &text));
	/* RFC 5802 3: the server proves that it knows the password, too; one that does not is an impostor. */
	if (scram_client_verify(&s, buf_str(&text)) != RC_OK)
		return cancel(l, RC_DENIED, "the server could not prove that it knows the password");
	TRY(say(l, NULL, STR("")));
	return verdict(l);
}

static enum rc by_prepared_scram(struct login *l)
{
	struct buf user AUTO(buf_wipe), password AUTO(buf_wipe);
	buf_init(&user, SCRAM_TEXT_MAX);
	buf_init(&password, SCRAM_TEXT_MAX);
	enum rc rc = scram_prepare(l->user, &user);
	rc = rc == RC_OK ? scram_prepare(l->password, &password) : rc;
	if (rc != RC_OK)
		FAIL(l->why, rc, "the name or the password is none that SCRAM can carry (RFC 4013)");
	return by_scram(l, buf_str(&user), buf_str(&password));
}

static bool is_private(const struct smtp_client *c)
{
	const struct stream_facts *f = stream_facts(c->io);
	return stream_is_tls(c->io) || f->loopback || f->unix_socket;
}

enum rc smtp_client_auth(struct smtp_client *c, struct str user, struct str password, struct smtp_reply *reply, struct why *why)
{
	struct login l = { .c = c, .user = user, .password = password, .reply = reply, .why = why };
	unsigned ext = c->extensions;
	*reply = (struct smtp_reply){ 0 };
	TRY(smtp_may_say(c, reply, why));
	if (!user.n || !password.n || memchr(user.p, 0, user.n) || memchr(password.p, 0, password.n))
		FAIL(why, RC_SYNTAX, "a login needs a name and a password, without NUL");
	if (!(ext & (SMTP_EXT_AUTH_SCRAM_SHA_256 | SMTP_EXT_AUTH_PLAIN | SMTP_EXT_AUTH_LOGIN)))
		FAIL(why, RC_NOTFOUND, "the server offers no login that we know: SCRAM-SHA-256, PLAIN or LOGIN");
	if (!(ext & SMTP_EXT_AUTH_SCRAM_SHA_256) && !is_private(c))
		FAIL(why, RC_NOTFOUND, "the server takes passwords in the clear only, and the connection is not encrypted");
	buf_init(&l.line, AUTH_LINE_MAX + 1);
	enum rc rc = ext & SMTP_EXT_AUTH_SCRAM_SHA_256 ? by_prepared_scram(&l) : ext & SMTP_EXT_AUTH_PLAIN ? by_plain(&l) : by_login(&l);
	buf_wipe(&l.line);
	return rc;
}
