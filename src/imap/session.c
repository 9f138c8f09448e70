#include "imap/internal.h"

#include "os/loop.h"

enum { SEL = SELECTED, AUTH = LOGGED_IN | SELECTED, ANY = BEFORE_LOGIN | LOGGED_IN | SELECTED };
enum {
	BY_UID = 1,
	/* RFC 3501 7.4.1: EXPUNGE must not be sent while responding to a FETCH, STORE or SEARCH command. */
	HOLD = 2,
	QUIET = 4 /* answers for itself */
};

/* The protocol on one screen: what, who handles it, when it is allowed. */
static const struct command {
	struct str name;
	command_fn *run;
	unsigned allowed_in, how;
} commands[] = {
	{ STR_INIT("CAPABILITY"), do_capability, ANY, 0 },
	{ STR_INIT("NOOP"), do_noop, ANY, 0 },
	{ STR_INIT("LOGOUT"), do_logout, ANY, 0 },
	{ STR_INIT("ID"), do_id, ANY, 0 },
	{ STR_INIT("STARTTLS"), do_starttls, BEFORE_LOGIN, QUIET },
	{ STR_INIT("LOGIN"), do_login, BEFORE_LOGIN, 0 },
	{ STR_INIT("AUTHENTICATE"), do_authenticate, BEFORE_LOGIN, 0 },
	{ STR_INIT("ENABLE"), do_enable, AUTH, 0 },
	{ STR_INIT("NAMESPACE"), do_namespace, AUTH, 0 },
	{ STR_INIT("LIST"), do_list, AUTH, 0 },
	{ STR_INIT("LSUB"), do_lsub, AUTH, 0 },
	{ STR_INIT("STATUS"), do_status, AUTH, 0 },
	{ STR_INIT("CREATE"), do_create, AUTH, 0 },
	{ STR_INIT("DELETE"), do_delete, AUTH, 0 },
	{ STR_INIT("RENAME"), do_rename, AUTH, 0 },
	{ STR_INIT("SUBSCRIBE"), do_subscribe, AUTH, 0 },
	{ STR_INIT("UNSUBSCRIBE"), do_unsubscribe, AUTH, 0 },
	{ STR_INIT("SELECT"), do_select, AUTH, 0 },
	{ STR_INIT("EXAMINE"), do_examine, AUTH, 0 },
	{ STR_INIT("APPEND"), do_append, AUTH, 0 },
	{ STR_INIT("IDLE"), do_idle, AUTH, 0 },
	{ STR_INIT("CHECK"), do_check, SEL, 0 },
	{ STR_INIT("CLOSE"), do_close, SEL, 0 },
	{ STR_INIT("UNSELECT"), do_unselect, SEL, 0 },
	{ STR_INIT("EXPUNGE"), do_expunge, SEL, 0 },
	{ STR_INIT("UID EXPUNGE"), do_expunge, SEL, BY_UID },
	{ STR_INIT("FETCH"), do_fetch, SEL, HOLD },
	{ STR_INIT("UID FETCH"), do_fetch, SEL, BY_UID },
	{ STR_INIT("STORE"), do_store, SEL, HOLD },
	{ STR_INIT("UID STORE"), do_store, SEL, BY_UID },
	{ STR_INIT("SEARCH"), do_search, SEL, HOLD },
	{ STR_INIT("UID SEARCH"), do_search, SEL, BY_UID },
	{ STR_INIT("COPY"), do_copy, SEL, 0 },
	{ STR_INIT("UID COPY"), do_copy, SEL, BY_UID },
	{ STR_INIT("MOVE"), do_move, SEL, 0 },
	{ STR_INIT("UID MOVE"), do_move, SEL, BY_UID },
};

enum rc session_wait(struct session *s, unsigned ms)
{
	int64_t until = wall_ms() + ms;
	if (stream_pending(s->io))
		return stream_error(s->io);
	TRY(stream_flush(s->io));
	int64_t left = until - wall_ms();
	return stream_wait(s->io, left < 1 ? 1 : left > ms ? ms : (unsigned)left);
}

enum rc session_drop(struct session *s, uint64_t octets)
{
	while (octets) {
		struct str piece;
		TRY(stream_some(s->io, octets < 65536 ? octets : 65536, &piece));
		octets -= piece.n;
	}
	return RC_OK;
}

void session_lost_track(struct session *s)
{
	answer_send(s);
	bye(s, "cannot tell where the next command begins");
	s->is_cut = true;
}

/* ---- reading one command ---- */

/* Does the line end in "{12}" or "{12+}"? A number too large to count is a literal too large to take. */
static bool literal_announced(struct str line, struct literal *out)
{
	if (!line.n || line.p[line.n - 1] != '}')
		return false;
	size_t end = line.n - 1;
	bool is_sync = !(end && line.p[end - 1] == '+');
	end -= is_sync ? 0 : 1;
	size_t start = end;
	while (start && ascii_digit(line.p[start - 1]))
		start--;
	if (start == end || !start || line.p[start - 1] != '{')
		return false;
	*out = (struct literal){ .is_sync = is_sync, .is_pending = true };
	if (!str_u64((struct str){ line.p + start, end - start }, INT64_MAX, &out->size))
		out->size = INT64_MAX;
	return true;
}

static bool is_tag_char(char c) { return (is_atom_char(c) || c == ']') && c != '+'; }

/* "a1 UID FETCH rest": the tag, the verb with its UID, and what follows. False: there is no tag. */
static bool split(struct str text, struct str *out_tag, struct str *out_verb, bool *out_uid, struct str *out_rest)
{
	struct str rest;
	str_cut(text, ' ', out_tag, &rest);
	*out_uid = str_istarts(rest, STR("UID "));
	if (*out_uid)
		rest = str_skip(rest, 4);
	size_t n = 0;
	while (n < rest.n && ascii_alpha(rest.p[n]))
		n++;
	*out_verb = str_head(rest, n);
	*out_rest = str_skip(rest, n);
	for (size_t i = 0; i < out_tag->n; i++)
		if (!is_tag_char(out_tag->p[i]))
			return false;
	return out_tag->n > 0 && out_tag->n <= 256;
}

static bool may_login_here(const struct session *s) { return stream_is_tls(s->io) || s->config->plaintext_login; }

/* Which literals are let in; NULL = this one is. The words go into the tagged answer. */
static const char *literal_refused(const struct session *s, struct str verb, uint64_t size, uint64_t so_far)
{
	if (s->state == BEFORE_LOGIN) {
		if (!str_ieq(verb, STR("LOGIN")) && !str_ieq(verb, STR("AUTHENTICATE")))
			return "no literals before login";
		if (!may_login_here(s))
			return "[PRIVACYREQUIRED] use TLS first";
		return size > PRELOGIN_LITERALS_MAX - so_far ? "literals before login may have 1024 octets" : NULL;
	}
	return size > LITERALS_MAX - so_far ? "[TOOBIG] literals of one command may have 65536 octets" : NULL;
}

static enum rc take_literal(struct session *s, uint64_t size)
{
	buf_add(&s->command, STR("\r\n"));
	while (size) {
		struct str piece;
		TRY(stream_some(s->io, size, &piece));
		buf_add(&s->command, piece);
		size -= piece.n;
	}
	return s->command.failed ? RC_NOMEM : RC_OK;
}

/* A command that is not carried out: what the client has sent of it without waiting is read away (RFC 7888 4). */
static enum rc skip_command(struct session *s, struct literal literal, size_t line_max)
{
	uint64_t budget = s->state == BEFORE_LOGIN ? 0 : LITERALS_MAX * 16;
	while (!literal.is_sync) {
		struct str line;
		if (literal.size > budget) {
			answer_send(s);
			bye(s, "[TOOBIG] literal larger than we take");
			return RC_OK;
		}
		budget -= literal.size;
		TRY(session_drop(s, literal.size));
		if (stream_line(s->io, line_max, &line) != RC_OK) {
			session_lost_track(s);
			return RC_OK;
		}
		if (!literal_announced(line, &literal))
			break;
	}
	answer_send(s);
	return RC_AGAIN;
}

/* Does APPEND's message come next? Its mailbox may be a literal too, right behind the verb. */
static bool is_message(struct str verb, bool uid, struct str rest)
{
	struct literal l;
	size_t line_end = str_find(rest, '\r');
	return !uid && str_ieq(verb, STR("APPEND")) &&
	       !(line_end == rest.n && str_starts(rest, STR(" {")) && literal_announced(rest, &l) && str_find(str_skip(rest, 2), '{') == rest.n - 2);
}

/* Gathers one command: its lines, and between them its literals as they came. RC_AGAIN: it has been answered already. */
static enum rc read_command(struct session *s)
{
	size_t line_max = s->state == BEFORE_LOGIN ? PRELOGIN_LINE_MAX : LINE_MAX_OCTETS, text = 0;
	uint64_t literals = 0;
	s->message = (struct literal){ 0 };
	for (;;) {
		struct str line, verb, rest;
		struct literal literal;
		bool uid;
		enum rc rc = stream_line(s->io, line_max - text, &line);
		if (rc == RC_LIMIT || (rc == RC_SYNTAX && stream_error(s->io) == RC_OK)) {
			/* What follows might be a literal of that line, and not a command. */
			if (rc == RC_LIMIT)
				stream_writef(s->io, "* BAD a command may have %zu octets besides its literals\r\n", line_max);
			else
				stream_write(s->io, STR("* BAD a line must end in CR LF and have neither of them inside\r\n"));
			bye(s, "cannot tell where the next command begins");
			return RC_OK;
		}
		TRY(rc);
		text += line.n;
		buf_add(&s->command, line);
		bool more = literal_announced(line, &literal);
		if (s->command.failed)
			return RC_NOMEM;
		if (!more)
			return RC_OK;
		bool has_tag = split(buf_str(&s->command), &s->tag, &verb, &uid, &rest);
		if (has_tag && s->state != BEFORE_LOGIN && is_message(verb, uid, rest)) {
			s->message = literal;
			return RC_OK;
		}
		const char *refused = has_tag ? literal_refused(s, verb, literal.size, literals) : "a tag was expected";
		if (refused) {
			s->tag = has_tag ? s->tag : STR("");
			answer_bad(s, "%s", refused);
			s->errors++;
			return skip_command(s, literal, line_max);
		}
		literals += literal.size;
		if (literal.is_sync)
			stream_write(s->io, STR("+ go on\r\n"));
		TRY(take_literal(s, literal.size));
	}
}

/* ---- carrying it out ---- */

static const struct command *command_find(struct str verb, bool uid)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		struct str name = commands[i].name;
		if (((commands[i].how & BY_UID) != 0) == uid && str_ieq(uid ? str_skip(name, 4) : name, verb))
			return &commands[i];
	}
	return NULL;
}

static void run_command(struct session *s)
{
	struct str verb, rest;
	const struct command *c = NULL;
	buf_clear(&s->answer);
	s->answer_kind = ANSWER_OK;
	s->news_told = false;
	if (!split(buf_str(&s->command), &s->tag, &verb, &s->by_uid, &rest)) {
		s->tag = STR("");
		answer_bad(s, "expected a tag and a command");
	} else if (!(c = command_find(verb, s->by_uid)) || (rest.n && rest.p[0] != ' ')) {
		c = NULL;
		answer_bad(s, "no such command");
	} else if (!(c->allowed_in & s->state)) {
		answer_bad(s, s->state == BEFORE_LOGIN ? "log in first" : c->allowed_in == SEL ? "select a mailbox first" : "you are logged in already");
		c = NULL;
	} else {
		struct args a = { rest, &s->arena, NULL };
		c->run(s, &a);
	}
	if (!c && s->message.is_pending && !s->message.is_sync)
		session_lost_track(s);
	if (s->is_cut)
		return;
	if (!s->is_over && !s->news_told && (!c || !(c->how & QUIET)) && news_tell(s, c && !(c->how & HOLD), NULL) != RC_OK)
		return;
	if (!c || !(c->how & QUIET))
		answer_send(s);
	s->errors = s->answer_kind == ANSWER_BAD ? s->errors + 1 : s->state == BEFORE_LOGIN ? s->errors : 0;
}

static void forget_command(struct session *s)
{
	enum { KEEP = 2048 };
	if (s->state == BEFORE_LOGIN || s->command.cap > KEEP)
		buf_wipe(&s->command); /* it may have held a password */
	else
		buf_clear(&s->command);
	if (s->answer.cap > KEEP)
		buf_done(&s->answer);
	arena_done(&s->arena);
	s->tag = STR("");
}

/* Waits for the next command. Before login the patience is for the whole of it; after login silence ends it (RFC 3501
 * 5.4: the autologout timer is at least 30 minutes). */
static enum rc await_command(struct session *s)
{
	if (s->state == BEFORE_LOGIN) {
		int64_t left = s->since_ms + s->config->prelogin_ms - wall_ms();
		if (left <= 0 || left > s->config->prelogin_ms)
			left = left <= 0 ? 1 : s->config->prelogin_ms;
		stream_timeout(s->io, (unsigned)left);
		return RC_OK;
	}
	stream_timeout(s->io, PATIENCE_MS);
	stream_limit(s->io, 0);
	int64_t until = wall_ms() + s->config->idle_ms;
	for (;;) {
		int64_t left = until - wall_ms();
		if (left <= 0)
			return RC_LATE;
		enum rc rc = session_wait(s, left < s->config->idle_ms ? (unsigned)left : s->config->idle_ms);
		if (rc != RC_AGAIN) /* news waits for a command: no EXPUNGE may go out while there is none */
			return rc;
	}
}

static enum rc serve(struct session *s)
{
	while (!s->is_over) {
		enum rc rc = await_command(s);
		if (rc == RC_OK)
			rc = read_command(s);
		if (rc == RC_OK && !s->is_over)
			run_command(s);
		if (rc == RC_LATE) {
			bye(s, "%s", s->state == BEFORE_LOGIN ? "nobody logged in for too long" : "nothing was said for too long");
		} else if (rc == RC_NOMEM) {
			bye(s, "[UNAVAILABLE] out of memory, try again later");
		} else if (rc != RC_OK && rc != RC_AGAIN) {
			/* What was answered before, if it still goes out. */
			return stream_flush(s->io) == RC_OK ? rc : stream_error(s->io);
		}
		if (!s->is_over && s->errors > s->config->max_errors)
			bye(s, "too many errors");
		forget_command(s);
	}
	enum rc rc = stream_flush(s->io);
	return s->is_cut ? RC_CLOSED : rc;
}

static void greet(struct session *s)
{
	AUTO(buf_done) struct buf caps;
	buf_init(&caps, 1024);
	capabilities(s, &caps);
	stream_write(s->io, STR("* OK [CAPABILITY "));
	stream_write(s->io, buf_str(&caps));
	stream_write(s->io, STR("] "));
	stream_write(s->io, s->config->hostname);
	stream_write(s->io, STR(" ready\r\n"));
}

enum rc imap_serve(struct stream *stream, const struct imap_config *config, const struct imap_hooks *hooks)
{
	struct session s = { .io = stream, .config = config, .hooks = hooks, .state = BEFORE_LOGIN, .since_ms = wall_ms() };
	struct why why = { 0 };
	arena_init(&s.arena, COMMAND_ARENA_MAX);
	arena_init(&s.box.arena, BOX_ARENA_MAX);
	buf_init(&s.command, LINE_MAX_OCTETS + LITERALS_MAX + LINE_MAX_OCTETS);
	buf_init(&s.answer, 1 << 20);
	stream_limit(stream, config->prelogin_ms);
	if (hooks->connect(hooks->house, stream_facts(stream), &why) != RC_OK)
		bye(&s, "%s", why.text[0] ? why.text : "[UNAVAILABLE] not now");
	else
		greet(&s);
	enum rc rc = serve(&s);
	selected_drop(&s);
	if (s.state != BEFORE_LOGIN)
		hooks->logout(hooks->house);
	arena_done(&s.arena);
	arena_done(&s.box.arena);
	buf_wipe(&s.command);
	buf_done(&s.answer);
	return rc;
}
