#include "pop3/internal.h"

#include "base/mem.h"
#include "pop3/body.h"
#include "os/loop.h"

enum { IDLE_MS = 600000, ERRORS_MAX = 20 };

/* ---- answers ---- */

void pop3_ok(struct pop3_session *s, const char *text)
{
	stream_write(s->io, STR("+OK "));
	stream_write(s->io, str_z(text));
	stream_write(s->io, STR("\r\n"));
}

void pop3_refuse(struct pop3_session *s, const char *text)
{
	stream_write(s->io, STR("-ERR "));
	stream_write(s->io, str_z(text));
	stream_write(s->io, STR("\r\n"));
}

void pop3_fault(struct pop3_session *s, const char *text)
{
	if (++s->errors < s->max_errors) {
		pop3_refuse(s, text);
		return;
	}
	pop3_refuse(s, "too many errors, closing");
	s->state = POP3_GONE;
	s->ended = RC_LIMIT;
}

static const char *response_code(enum rc rc)
{
	switch (rc) {
	case RC_DENIED: case RC_LIMIT: case RC_NOTFOUND: case RC_DAMAGED:
		return "[SYS/PERM] ";
	case RC_CONFLICT: case RC_EXISTS:
		return "[IN-USE] ";
	default:
		return "[SYS/TEMP] ";
	}
}

void pop3_failed(struct pop3_session *s, enum rc rc, const struct why *why, const char *otherwise)
{
	const char *text = why->text[0] ? why->text : otherwise;
	char line[POP3_TEXT_MAX];
	size_t n = 0;
	for (; text[n] && n < sizeof line; n++) /* whatever a hook quotes, it stays one line */
		line[n] = (unsigned char)text[n] < ' ' || text[n] == 127 ? '?' : text[n];
	stream_write(s->io, STR("-ERR "));
	if (line[0] != '[') /* a hook that knows better brings its own code */
		stream_write(s->io, str_z(response_code(rc)));
	stream_write(s->io, str_of(line, n));
	stream_write(s->io, STR("\r\n"));
}

static size_t number(char *out, uint64_t v)
{
	char digits[20];
	size_t n = 0, i = 0;
	do
		digits[n++] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	while (n)
		out[i++] = digits[--n];
	return i;
}

/* "a sep b CRLF": scan listings are made of these, and maildrops have a million messages. */
static void pair(struct pop3_session *s, size_t a, const char *prefix, uint64_t b, char sep, uint64_t c)
{
	char *p = stream_reserve(s->io, 80);
	size_t n = strlen(prefix);
	if (!p)
		return;
	memcpy(p, prefix, n);
	n += number(p + n, a);
	p[n++] = ' ';
	n += number(p + n, b);
	if (sep) {
		p[n++] = sep;
		n += number(p + n, c);
	}
	p[n++] = '\r';
	p[n++] = '\n';
	stream_commit(s->io, n);
}

/* ---- the maildrop ---- */

static void unmark_all(struct pop3_session *s)
{
	s->left = s->n;
	s->octets = 0;
	for (size_t i = 0; i < s->n; i++) {
		s->dropped[i] = 0;
		s->octets += s->entries[i].size;
	}
}

void pop3_enter(struct pop3_session *s)
{
	struct why why = { 0 };
	enum rc rc = s->hooks->list(s->hooks->house, &s->entries, &s->n, &s->uidvalidity, &why);
	if (rc == RC_OK && !(s->dropped = mem_new(s->n + 1)))
		rc = RC_NOMEM;
	if (rc != RC_OK) {
		pop3_leave(s);
		pop3_failed(s, rc, &why, "the maildrop cannot be opened now");
		return;
	}
	unmark_all(s);
	buf_wipe(&s->user);
	s->state = POP3_TRANSACTION;
	stream_timeout(s->io, s->config->idle_ms ? s->config->idle_ms : IDLE_MS);
	stream_limit(s->io, 0);
	stream_writef(s->io, "+OK %zu messages (%llu octets)\r\n", s->left, (unsigned long long)s->octets);
}

void pop3_leave(struct pop3_session *s)
{
	if (s->logged_in)
		s->hooks->logout(s->hooks->house);
	s->logged_in = false;
	mem_free(s->dropped);
	s->dropped = NULL;
	s->entries = NULL;
	s->n = s->left = 0;
}

static bool count(struct str word, uint64_t *out)
{
	return str_u64(word, UINT64_MAX, out);
}

/* A message number that names a message: 1-based, not marked deleted. Otherwise the refusal is said. */
static bool message(struct pop3_session *s, struct str word, size_t *out)
{
	uint64_t i;
	if (!count(word, &i) || i == 0) {
		pop3_fault(s, "that is not a message number");
		return false;
	}
	if (i > s->n) {
		stream_writef(s->io, "-ERR no such message, only %zu messages in maildrop\r\n", s->n);
		return false;
	}
	if (s->dropped[i - 1]) {
		stream_writef(s->io, "-ERR message %llu is marked deleted\r\n", (unsigned long long)i);
		return false;
	}
	*out = (size_t)i - 1;
	return true;
}

static void do_stat(struct pop3_session *s, struct str arg)
{
	(void)arg;
	pair(s, s->left, "+OK ", s->octets, 0, 0);
}

/* One line of LIST or UIDL. RFC 1939 section 7: a unique-id is 1 to 70 characters from 0x21 to 0x7E and never reused:
 * uidvalidity and UID of IMAP have just that promise. */
static void entry_line(struct pop3_session *s, const char *prefix, size_t i, bool uid)
{
	if (uid)
		pair(s, i + 1, prefix, s->uidvalidity, '-', s->entries[i].uid);
	else
		pair(s, i + 1, prefix, s->entries[i].size, 0, 0);
}

static void listing(struct pop3_session *s, struct str arg, bool uid)
{
	size_t i;
	arg = str_trim(arg);
	if (arg.n) {
		if (message(s, arg, &i))
			entry_line(s, "+OK ", i, uid);
		return;
	}
	stream_writef(s->io, "+OK %zu messages (%llu octets)\r\n", s->left, (unsigned long long)s->octets);
	for (i = 0; i < s->n && stream_error(s->io) == RC_OK; i++)
		if (!s->dropped[i])
			entry_line(s, "", i, uid);
	stream_write(s->io, STR(".\r\n"));
}

static void do_list(struct pop3_session *s, struct str arg) { listing(s, arg, false); }
static void do_uidl(struct pop3_session *s, struct str arg) { listing(s, arg, true); }

static void do_dele(struct pop3_session *s, struct str arg)
{
	size_t i;
	if (!message(s, str_trim(arg), &i))
		return;
	s->dropped[i] = 1;
	s->left--;
	s->octets -= s->entries[i].size;
	stream_writef(s->io, "+OK message %zu marked deleted\r\n", i + 1);
}

static void do_noop(struct pop3_session *s, struct str arg)
{
	(void)arg;
	pop3_ok(s, "still here");
}

static void do_rset(struct pop3_session *s, struct str arg)
{
	(void)arg;
	unmark_all(s);
	stream_writef(s->io, "+OK maildrop has %zu messages (%llu octets)\r\n", s->left, (unsigned long long)s->octets);
}

static void octets_follow(struct pop3_session *s, uint64_t n)
{
	char *p = stream_reserve(s->io, 40);
	if (!p)
		return;
	memcpy(p, "+OK ", 4);
	size_t at = 4 + number(p + 4, n);
	memcpy(p + at, " octets\r\n", 9);
	stream_commit(s->io, at + 9);
}

/* Sends message `i`, all of it or what `top` wants. The first piece is read before "+OK", so that a message that cannot be
 * opened is refused and the others go on; if a later piece fails, all that is left is to break off: an answer that
 * ends in "." would be a lie. */
static void send_message(struct pop3_session *s, size_t i, struct pop3_top *top)
{
	struct why why = { 0 };
	struct str chunk;
	struct pop3_body body;
	uint64_t offset = 0;
	enum rc rc = s->hooks->read(s->hooks->house, i, 0, &chunk, &why);
	if (rc != RC_OK) {
		pop3_failed(s, rc, &why, "the message cannot be read");
		return;
	}
	if (top)
		pop3_ok(s, "top of message follows");
	else
		octets_follow(s, s->entries[i].size);
	if (!top && chunk.n == s->entries[i].size && stream_pending(s->io) == 0 && pop3_body_whole(s->io, chunk))
		return;
	pop3_body_begin(&body, s->io);
	while (chunk.n && stream_error(s->io) == RC_OK) {
		pop3_body_write(&body, top ? str_head(chunk, pop3_top_take(top, chunk)) : chunk);
		if (top && top->done)
			break;
		offset += chunk.n;
		rc = s->hooks->read(s->hooks->house, i, offset, &chunk, &why);
		if (rc != RC_OK) {
			s->state = POP3_GONE;
			s->ended = rc;
			return;
		}
	}
	pop3_body_end(&body);
}

static void do_retr(struct pop3_session *s, struct str arg)
{
	size_t i;
	if (!message(s, str_trim(arg), &i))
		return;
	send_message(s, i, NULL);
	s->in_order = i && i == s->next;
	s->next = i + 1;
	if (!s->in_order || s->opened < s->next)
		s->opened = s->next;
}

/* Who takes one message after the other gets the next ones opened while he is busy with this one: then a process with few clients has
 * something to do while all of them are, and more time for them when they come back together. */
static void look_ahead(struct pop3_session *s)
{
	bool wanted = s->in_order && s->hooks->ahead && stream_pending(s->io) == 0;
	s->in_order = false;
	if (!wanted || stream_flush(s->io) != RC_OK)
		return;
	while (s->opened < s->n && s->opened < s->next + POP3_AHEAD && !s->dropped[s->opened]) {
		fiber_yield(); /* whoever waits for an answer goes first */
		fiber_defer();
		if (stream_ready(s->io))
			return;
		s->hooks->ahead(s->hooks->house, s->opened++);
	}
}

static void do_top(struct pop3_session *s, struct str arg)
{
	struct str which, lines;
	struct pop3_top top;
	uint64_t n;
	size_t i;
	if (!str_cut(str_trim(arg), ' ', &which, &lines) || !count(lines, &n)) {
		pop3_fault(s, "TOP needs a message number and a number of lines");
		return;
	}
	pop3_top_begin(&top, n);
	if (message(s, which, &i))
		send_message(s, i, &top);
}

/* ---- the end ---- */

static enum rc expunge(struct pop3_session *s, struct why *why)
{
	size_t n = 0, *index = mem_new((s->n - s->left) * sizeof *index);
	if (!index)
		return RC_NOMEM;
	for (size_t i = 0; i < s->n; i++)
		if (s->dropped[i])
			index[n++] = i;
	enum rc rc = s->hooks->expunge(s->hooks->house, index, n, why);
	mem_free(index);
	return rc;
}

/* RFC 1939 section 6: only QUIT in the TRANSACTION state removes anything. What was asked before must have left for the
 * client first: one that pipelined RETR, DELE, QUIT and is gone by now keeps its mail. */
static void do_quit(struct pop3_session *s, struct str arg)
{
	struct why why = { 0 };
	(void)arg;
	bool removing = s->state == POP3_TRANSACTION && s->left < s->n;
	s->state = POP3_GONE;
	if (removing && (s->ended = stream_flush(s->io)) != RC_OK)
		return;
	if (removing && expunge(s, &why) != RC_OK)
		pop3_refuse(s, "[SYS/TEMP] some deleted messages not removed");
	else
		pop3_ok(s, "goodbye");
	pop3_leave(s); /* whoever counts connections right after our answer does not count this one */
}

/* ---- the protocol on one screen ---- */

enum takes { NOTHING, MAYBE, SOMETHING };
static const struct verb {
	struct str name;
	void (*run)(struct pop3_session *s, struct str arg);
	unsigned allowed_in;
	enum takes takes;
} verbs[] = {
	{ STR_INIT("CAPA"), pop3_capa, POP3_AUTHORIZATION | POP3_TRANSACTION, NOTHING },
	{ STR_INIT("STLS"), pop3_stls, POP3_AUTHORIZATION, NOTHING },
	{ STR_INIT("UTF8"), pop3_utf8, POP3_AUTHORIZATION, NOTHING },
	{ STR_INIT("USER"), pop3_user, POP3_AUTHORIZATION, SOMETHING },
	{ STR_INIT("PASS"), pop3_pass, POP3_AUTHORIZATION, SOMETHING },
	{ STR_INIT("AUTH"), pop3_auth, POP3_AUTHORIZATION, MAYBE },
	{ STR_INIT("STAT"), do_stat, POP3_TRANSACTION, NOTHING },
	{ STR_INIT("LIST"), do_list, POP3_TRANSACTION, MAYBE },
	{ STR_INIT("UIDL"), do_uidl, POP3_TRANSACTION, MAYBE },
	{ STR_INIT("RETR"), do_retr, POP3_TRANSACTION, SOMETHING },
	{ STR_INIT("TOP"), do_top, POP3_TRANSACTION, SOMETHING },
	{ STR_INIT("DELE"), do_dele, POP3_TRANSACTION, SOMETHING },
	{ STR_INIT("NOOP"), do_noop, POP3_TRANSACTION, NOTHING },
	{ STR_INIT("RSET"), do_rset, POP3_TRANSACTION, NOTHING },
	{ STR_INIT("QUIT"), do_quit, POP3_AUTHORIZATION | POP3_TRANSACTION, NOTHING },
};

static void command(struct pop3_session *s, struct str line)
{
	struct str name, arg;
	str_cut(line, ' ', &name, &arg);
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		const struct verb *v = &verbs[i];
		if (!str_ieq(name, v->name))
			continue;
		if (!(v->allowed_in & s->state))
			pop3_fault(s, s->state == POP3_TRANSACTION ? "not after login" : "log in first");
		else if (v->takes == NOTHING && str_trim(arg).n)
			pop3_fault(s, "this command takes no argument");
		else if (v->takes == SOMETHING && arg.n == 0)
			pop3_fault(s, "this command needs an argument");
		else
			v->run(s, arg);
		return;
	}
	pop3_fault(s, "unknown command");
}

static enum rc step(struct pop3_session *s)
{
	struct str line;
	look_ahead(s);
	switch (stream_line(s->io, POP3_LINE_MAX, &line)) {
	case RC_OK:
		command(s, line);
		break;
	case RC_LIMIT:
		pop3_fault(s, "line longer than 512 octets");
		break;
	case RC_SYNTAX:
		pop3_fault(s, "bare CR or LF in a line");
		break;
	default: /* RFC 1939 section 3: on a timeout the server closes "without removing any messages or sending any response" */
		return stream_error(s->io);
	}
	return stream_error(s->io);
}

static bool welcome(struct pop3_session *s)
{
	struct why why = { 0 };
	enum rc rc = s->hooks->connect(s->hooks->house, stream_facts(s->io), &why);
	if (rc == RC_OK) {
		/* RFC 1939 section 7: a timestamp in angle brackets here would announce APOP, which needs clear passwords at rest. */
		stream_writef(s->io, "+OK %.*s POP3 ready\r\n", (int)(s->config->hostname.n < 255 ? s->config->hostname.n : 255), s->config->hostname.p);
		return true;
	}
	s->ended = rc;
	pop3_failed(s, rc, &why, "try again later");
	return false;
}

enum rc pop3_serve(struct stream *stream, const struct pop3_config *config, const struct pop3_hooks *hooks)
{
	struct pop3_session s = { .io = stream, .config = config, .hooks = hooks, .state = POP3_AUTHORIZATION };
	unsigned idle = config->idle_ms ? config->idle_ms : IDLE_MS;
	enum rc rc = RC_OK;
	s.max_errors = config->max_errors ? config->max_errors : ERRORS_MAX;
	buf_init(&s.user, POP3_LINE_MAX);
	stream_timeout(stream, config->prelogin_ms ? config->prelogin_ms : idle);
	stream_limit(stream, config->prelogin_ms);
	if (!welcome(&s))
		s.state = POP3_GONE;
	while (rc == RC_OK && s.state != POP3_GONE)
		rc = step(&s);
	pop3_leave(&s);
	buf_wipe(&s.user);
	if (rc == RC_OK)
		rc = stream_flush(stream);
	return rc != RC_OK ? rc : s.ended;
}
