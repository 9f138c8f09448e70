#include "smtp/client.h"

#include "base/mem.h"
#include "smtp/client_internal.h"

/* A connection's beginning and end: greeting, hello, what the peer can, STARTTLS, QUIT. */

static const struct smtp_client_config default_times = { /* RFC 5321 4.5.3.2 */
	.greeting_ms = 300000, .hello_ms = 300000, .mail_ms = 300000, .rcpt_ms = 300000, .data_ms = 120000, .block_ms = 180000, .dot_ms = 600000, .quit_ms = 5000,
};

static void fill_times(struct smtp_client_config *c)
{
	const struct smtp_client_config *d = &default_times;
	const struct { unsigned *to, from; } times[] = {
		{ &c->greeting_ms, d->greeting_ms }, { &c->hello_ms, d->hello_ms }, { &c->mail_ms, d->mail_ms }, { &c->rcpt_ms, d->rcpt_ms },
		{ &c->data_ms, d->data_ms }, { &c->block_ms, d->block_ms }, { &c->dot_ms, d->dot_ms }, { &c->quit_ms, d->quit_ms },
	};
	for (size_t i = 0; i < sizeof times / sizeof *times; i++)
		if (!*times[i].to)
			*times[i].to = times[i].from;
}

enum rc smtp_client_new(struct stream *borrowed, const struct smtp_client_config *config, struct smtp_client **out)
{
	if (config->helo.n == 0 || config->helo.n > CLIENT_NAME_MAX)
		return RC_SYNTAX;
	for (size_t i = 0; i < config->helo.n; i++)
		if (config->helo.p[i] <= ' ' || config->helo.p[i] > '~')
			return RC_SYNTAX;
	struct smtp_client *c = mem_new(sizeof *c);
	if (!c)
		return RC_NOMEM;
	c->io = borrowed;
	c->config = *config;
	memcpy(c->helo, config->helo.p, config->helo.n);
	c->config.helo = str_of(c->helo, config->helo.n);
	fill_times(&c->config);
	buf_init(&c->line, REPLY_LINE_MAX + 2);
	*out = c;
	return RC_OK;
}

void smtp_client_free(struct smtp_client **c)
{
	if (!*c)
		return;
	buf_done(&(*c)->line);
	mem_free(*c);
	*c = NULL;
}

unsigned smtp_client_extensions(const struct smtp_client *c) { return c->extensions; }
uint64_t smtp_client_size(const struct smtp_client *c) { return c->size; }
unsigned smtp_client_rcpt_max(const struct smtp_client *c) { return c->rcpt_max; }
unsigned smtp_client_mail_max(const struct smtp_client *c) { return c->mail_max; }
struct str smtp_client_name(const struct smtp_client *c) { return str_z(c->name); }

void smtp_client_watch(struct smtp_client *c, void (*line)(void *arg, char direction, struct str text), void *arg)
{
	c->watch = line;
	c->watch_arg = arg;
}

bool smtp_client_usable(const struct smtp_client *c)
{
	return c->ready && c->dead == RC_OK && stream_error(c->io) == RC_OK && !stream_pending(c->io) && (!c->mail_max || c->mails < c->mail_max);
}

/* ---- what the peer can ---- */

/* A keyword's number, "0" and what is none = no limit. */
static uint64_t number(struct str s)
{
	uint64_t n = 0;
	return str_u64(s, UINT64_MAX, &n) ? n : 0;
}

static void take_size(struct smtp_client *c, struct str args) { c->size = number(args); }

static void take_auth(struct smtp_client *c, struct str args)
{
	static const struct { struct str name; unsigned bit; } known[] = {
		{ STR_INIT("PLAIN"), SMTP_EXT_AUTH_PLAIN }, { STR_INIT("LOGIN"), SMTP_EXT_AUTH_LOGIN }, { STR_INIT("SCRAM-SHA-256"), SMTP_EXT_AUTH_SCRAM_SHA_256 },
	};
	for (struct str word; args.n;) {
		str_cut(args, ' ', &word, &args);
		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			if (str_ieq(word, known[i].name))
				c->extensions |= known[i].bit;
	}
}

/* RFC 9422 4: "RCPTMAX=100 MAILMAX=10" */
static void take_limits(struct smtp_client *c, struct str args)
{
	for (struct str word, key, value; args.n;) {
		str_cut(args, ' ', &word, &args);
		if (!str_cut(word, '=', &key, &value))
			continue;
		uint64_t n = number(value);
		if (n > UINT32_MAX)
			n = UINT32_MAX;
		if (str_ieq(key, STR("RCPTMAX")))
			c->rcpt_max = (unsigned)n;
		else if (str_ieq(key, STR("MAILMAX")))
			c->mail_max = (unsigned)n;
	}
}

static const struct { struct str name; unsigned bit; void (*take)(struct smtp_client *c, struct str args); } known_extensions[] = {
	{ STR_INIT("PIPELINING"), SMTP_EXT_PIPELINING, NULL },        /* RFC 2920 */
	{ STR_INIT("SIZE"), SMTP_EXT_SIZE, take_size },               /* RFC 1870 */
	{ STR_INIT("8BITMIME"), SMTP_EXT_8BITMIME, NULL },            /* RFC 6152 */
	{ STR_INIT("CHUNKING"), SMTP_EXT_CHUNKING, NULL },            /* RFC 3030 */
	{ STR_INIT("BINARYMIME"), SMTP_EXT_BINARYMIME, NULL },
	{ STR_INIT("SMTPUTF8"), SMTP_EXT_SMTPUTF8, NULL },            /* RFC 6531 */
	{ STR_INIT("DSN"), SMTP_EXT_DSN, NULL },                      /* RFC 3461 */
	{ STR_INIT("STARTTLS"), SMTP_EXT_STARTTLS, NULL },            /* RFC 3207 */
	{ STR_INIT("REQUIRETLS"), SMTP_EXT_REQUIRETLS, NULL },        /* RFC 8689 */
	{ STR_INIT("ENHANCEDSTATUSCODES"), SMTP_EXT_ENHANCED, NULL }, /* RFC 2034 */
	{ STR_INIT("DELIVERBY"), SMTP_EXT_DELIVERBY, NULL },          /* RFC 2852 */
	{ STR_INIT("MT-PRIORITY"), SMTP_EXT_MT_PRIORITY, NULL },      /* RFC 6710 */
	{ STR_INIT("AUTH"), 0, take_auth },                           /* RFC 4954 */
	{ STR_INIT("LIMITS"), 0, take_limits },                       /* RFC 9422 */
};

static void take_name(struct smtp_client *c, struct str text)
{
	struct str word, rest;
	str_cut(str_trim(text), ' ', &word, &rest);
	size_t n = word.n < CLIENT_NAME_MAX ? word.n : CLIENT_NAME_MAX;
	for (size_t i = 0; i < n; i++)
		c->name[i] = word.p[i] > ' ' && word.p[i] <= '~' ? word.p[i] : '?';
	c->name[n] = 0;
}

static void take_extension(void *arg, unsigned line, struct str text)
{
	struct smtp_client *c = arg;
	struct str word, args;
	if (line == 0) {
		take_name(c, text);
		return;
	}
	text = str_trim(text);
	if (str_istarts(text, STR("AUTH="))) { /* of before RFC 2554; some still say it */
		take_auth(c, str_skip(text, 5));
		return;
	}
	str_cut(text, ' ', &word, &args);
	for (size_t i = 0; i < sizeof known_extensions / sizeof *known_extensions; i++) {
		if (!str_ieq(word, known_extensions[i].name))
			continue;
		c->extensions |= known_extensions[i].bit;
		if (known_extensions[i].take)
			known_extensions[i].take(c, str_trim(args));
	}
}

static void forget_extensions(struct smtp_client *c)
{
	c->extensions = c->rcpt_max = c->mail_max = 0;
	c->size = 0;
	c->name[0] = 0;
	c->ready = false;
}

static enum rc say_hello(struct smtp_client *c, const char *verb, struct smtp_reply *reply, struct why *why)
{
	char line[CLIENT_NAME_MAX + 8];
	int n = snprintf(line, sizeof line, "%s %s", verb, c->helo);
	bool extended = verb[0] != 'H';
	TRY(smtp_may_say(c, reply, why));
	forget_extensions(c);
	smtp_say(c, str_of(line, (size_t)n), NULL);
	enum rc rc = smtp_answer(c, verb, c->config.hello_ms, reply, why, take_extension, c);
	if (rc != RC_OK)
		return rc;
	rc = smtp_class(reply);
	if (rc == RC_AGAIN)
		return smtp_out_of_order(c, verb, reply, why);
	if (rc != RC_OK || !extended)
		c->extensions = c->rcpt_max = c->mail_max = 0, c->size = 0;
	if (rc != RC_OK)
		return smtp_refused(verb, reply, why);
	/* RFC 3207 4.2: "MUST NOT offer STARTTLS" once TLS is on; one that does is not taken up on it. */
	if (stream_is_tls(c->io))
		c->extensions &= ~(unsigned)SMTP_EXT_STARTTLS;
	c->ready = true;
	return RC_OK;
}

static enum rc hello(struct smtp_client *c, struct smtp_reply *reply, struct why *why)
{
	enum rc rc = say_hello(c, c->config.lmtp ? "LHLO" : "EHLO", reply, why);
	/* RFC 5321 4.1.1.1: where EHLO is not known, HELO; LMTP has nothing to fall back on (RFC 2033 4.1). */
	if (rc == RC_DENIED && !c->config.lmtp && c->dead == RC_OK)
		rc = say_hello(c, "HELO", reply, why);
	return rc;
}

enum rc smtp_client_hello(struct smtp_client *c, struct smtp_reply *reply, struct why *why)
{
	TRY(smtp_answer(c, "our connection", c->config.greeting_ms, reply, why, NULL, NULL));
	enum rc rc = smtp_class(reply);
	if (rc == RC_AGAIN)
		return smtp_out_of_order(c, "our connection", reply, why);
	if (rc != RC_OK)
		return smtp_refused("Our connection", reply, why);
	return hello(c, reply, why);
}

/* ---- STARTTLS (RFC 3207) ---- */

enum rc smtp_client_starttls(struct smtp_client *c, struct smtp_reply *reply, struct why *why)
{
	TRY(smtp_may_say(c, reply, why));
	if (!(c->extensions & SMTP_EXT_STARTTLS))
		FAIL(why, RC_NOTFOUND, "the server does not offer STARTTLS");
	smtp_say(c, STR("STARTTLS"), NULL);
	TRY(smtp_answer(c, "STARTTLS", c->config.hello_ms, reply, why, NULL, NULL));
	enum rc rc = smtp_class(reply);
	if (rc == RC_AGAIN)
		return smtp_out_of_order(c, "STARTTLS", reply, why);
	if (rc != RC_OK)
		return smtp_refused("STARTTLS", reply, why);
	/* What lies here already was sent in the clear: obeying it under TLS would let anybody on the way speak for the server (CVE-2011-0411's twin). */
	if (stream_pending(c->io))
		return smtp_dead(c, RC_SYNTAX, why, "something was sent in the clear behind the answer to STARTTLS: an attack, or a broken server");
	stream_timeout(c->io, c->config.hello_ms);
	stream_limit(c->io, c->config.hello_ms);
	rc = stream_starttls(c->io);
	stream_limit(c->io, 0);
	if (rc != RC_OK)
		return smtp_dead(c, rc == RC_LATE || rc == RC_NOMEM ? rc : RC_CLOSED, why, rc == RC_LATE ? "the TLS handshake took too long" : "the TLS handshake failed");
	/* RFC 3207 4.2: "The client MUST discard any knowledge obtained from the server ... which was not obtained from the TLS negotiation itself." */
	return hello(c, reply, why);
}

void smtp_client_quit(struct smtp_client *c)
{
	struct smtp_reply reply;
	if (c->dead != RC_OK || stream_error(c->io) != RC_OK)
		return;
	smtp_say(c, STR("QUIT"), NULL);
	if (smtp_answer(c, "QUIT", c->config.quit_ms, &reply, NULL, NULL, NULL) == RC_OK)
		c->dead = RC_CLOSED;
}
