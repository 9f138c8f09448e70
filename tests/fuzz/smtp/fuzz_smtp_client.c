#include "smtp/client.h"

#include "base/codec.h"
#include <assert.h>

/* A whole session of the client; the fuzzer is the server. The first octet picks options, the second the packet size, the third the message; the rest is what the server
 * says, \x01 between what it says at once (nothing between two: it is silent). Must hold: who is said to have the message was told so behind a whole message; refusals have
 * the server's code, or ours; every line that leaves ends in CRLF; secrets are not shown; a dead connection is not called usable. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct server { struct str rest; size_t speeches; };

static bool speak(void *arg, struct str *out)
{
	struct server *s = arg;
	if (!s->rest.n || s->speeches++ > 2000)
		return false;
	str_cut(s->rest, 1, out, &s->rest);
	return true;
}

static const struct str messages[] = {
	STR_INIT("Subject: x\r\n\r\n.\r\n..\r\nend\r\n"), STR_INIT(""), STR_INIT("no end"), STR_INIT("bare\nlf\r\n"), STR_INIT("bare\rcr\r\n"), STR_INIT("\r\n.\r\nMAIL\r\n"),
};
struct message { struct str text; size_t given, run; bool breaks; };

static enum rc more(void *house, struct str *out)
{
	struct message *m = house;
	*out = str_head(str_skip(m->text, m->given), m->run);
	m->given += out->n;
	return out->n || !m->breaks ? RC_OK : RC_IO;
}

static enum rc rewind_it(void *house)
{
	((struct message *)house)->given = 0;
	return RC_OK;
}

static void watch(void *arg, char direction, struct str line)
{
	assert(direction == '<' || direction == '>');
	if (direction == '>') /* "secret", and \0joe\0secret */
		assert(str_find_str(line, STR("c2VjcmV0")) == line.n && str_find_str(line, STR("AGpvZQBzZWNyZXQ")) == line.n);
	*(size_t *)arg += line.n;
}

static size_t count(struct str s, struct str needle)
{
	size_t c = 0;
	for (size_t at; (at = str_find_str(s, needle)) < s.n; s = str_skip(s, at + 1))
		c++;
	return c;
}

static void check(const struct smtp_client_rcpt *r, enum rc rc, const struct smtp_client *c)
{
	struct str text = str_z(r->reply.text);
	assert(utf8_ok(text));
	switch (r->rc) {
	case RC_OK: assert(r->asked && r->reply.code / 100 == 2); break;
	case RC_BUSY: assert(r->reply.code / 100 == 4 || r->reply.code == 552); break;
	case RC_DENIED: assert(r->reply.code / 100 == 5); break;
	default: assert(r->rc == RC_AGAIN && rc != RC_OK);
	}
	if (rc != RC_OK && rc != RC_BUSY && rc != RC_DENIED)
		assert(!smtp_client_usable(c));
}

static void every_line_ends(struct str out)
{
	for (size_t i = 0; i < out.n; i++)
		assert(out.p[i] != '\n' || (i > 0 && out.p[i - 1] == '\r'));
}

static unsigned transact(struct smtp_client *c, uint8_t what, struct message *text)
{
	struct smtp_client_rcpt r[] = {
		{ .to = { STR_INIT("joe"), STR_INIT("r.example") }, .notify = NOTIFY_FAILURE, .orcpt_type = STR_INIT("rfc822"), .orcpt = STR_INIT("joe+x@r.example") },
		{ .to = { STR_INIT("j\xc3\xb6"), STR_INIT("r.example") }, .orcpt_type = STR_INIT(""), .orcpt = STR_INIT("") },
		{ .to = { STR_INIT("ann"), STR_INIT("r.example") }, .orcpt_type = STR_INIT(""), .orcpt = STR_INIT("") },
	};
	struct smtp_client_mail m = { .from = { STR_INIT("a"), STR_INIT("b.example") }, .envid = STR_INIT("id"), .ret = 1, .size = text->text.n, .by = true, .by_s = 100, .has_priority = true,
		                      .body_8bit = what & 64, .smtputf8 = what & 128, .more = more, .rewind = rewind_it, .house = text };
	struct smtp_reply reply;
	struct why why = { 0 };
	unsigned took = 0;
	enum rc rc = smtp_client_send(c, &m, r, 3, &reply, &why);
	for (size_t i = 0; i < 3; i++) {
		check(&r[i], rc, c);
		took += r[i].rc == RC_OK;
	}
	return took;
}

static void session(struct smtp_client *c, struct stream *io, uint8_t options, uint8_t what, struct buf *out)
{
	struct smtp_reply reply;
	struct why why = { 0 };
	struct message text = { .text = messages[(what & 7) % 6], .run = what & 8 ? 1 : 7, .breaks = what & 16 };
	bool bad = (what & 7) % 6 == 3 || (what & 7) % 6 == 4 || text.breaks;
	enum rc rc = smtp_client_hello(c, &reply, &why);
	if (rc == RC_OK && options & 8)
		rc = smtp_client_starttls(c, &reply, &why);
	if (smtp_client_usable(c) && options & 16)
		rc = smtp_client_auth(c, STR("joe"), STR("secret"), &reply, &why);
	unsigned took = 0, sends = 0;
	while (sends < 3 && smtp_client_usable(c)) {
		took += transact(c, what, &text);
		sends++;
	}
	if (bad)
		assert(took == 0);
	smtp_client_quit(c);
	if (stream_error(io) == RC_OK)
		(void)!stream_flush(io);
	every_line_ends(buf_str(out));
	size_t ends = count(buf_str(out), STR("\r\n.\r\n")) + count(buf_str(out), STR(" LAST\r\n"));
	assert(took <= 3 * ends);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 3 || n > 60000)
		return 0;
	uint8_t options = data[0];
	struct server server = { str_of(data + 3, n - 3), 0 };
	struct smtp_client *c = NULL;
	struct buf out;
	size_t seen = 0;
	buf_init(&out, 4 << 20);
	struct stream_memory m = { .chunk = data[1], .out = &out, .fail_at = -1, .can_tls = true, .is_tls = options & 32, .more = speak, .arg = &server };
	struct stream *io = stream_of_memory(m);
	struct smtp_client_config config = { .helo = STR("me.example"), .lmtp = options & 1, .no_pipelining = options & 2, .no_chunking = options & 4 };
	if (io && smtp_client_new(io, &config, &c) == RC_OK) {
		smtp_client_watch(c, watch, &seen);
		session(c, io, options, data[2], &out);
	}
	smtp_client_free(&c);
	stream_free(&io);
	buf_done(&out);
	return 0;
}
