/* Drives an IMAP server. Actions:
 *   login   connect, LOGIN, SELECT, LOGOUT, --count times over --connections
 *   fetch   UID FETCH 1:* --items on --mailbox, --repeat times; counts messages and octets, looks at nothing else
 *   store   --count UID STOREs of \Seen to and fro
 *   append  --count messages of --corpus (--multi: so many in one APPEND)
 *   search  --count UID SEARCHes of --query
 *   idle    --connections logged in, SELECTed and IDLEing for --hold seconds; says READY on stderr when all are
 * In all but `login` the clock runs from when every connection is logged in and has its mailbox open. */
#include "load_imap.h"

#include <stdio.h>

struct args args = { .host = "127.0.0.1", .port = "2143", .pattern = "u%d@demo.test", .password = "demo-only", .mailbox = "INBOX", .items = "(FLAGS)",
	.query = "TEXT hello", .action = "login", .connections = 20, .count = 1000, .first = 1, .accounts = 200, .repeat = 1, .multi = 1, .hold = 10, .opening = 50 };
struct run run = { .result = { .tool = "load_imap" } };

void say(struct client *c, enum step step)
{
	c->step = step;
	link_send(&run.net, &c->link, buf_str(&c->cmd));
}

static void user_name(struct buf *b, long number)
{
	struct str p = str_z(args.pattern);
	size_t at = str_find_str(p, STR("%d"));
	buf_add(b, str_head(p, at));
	if (at < p.n) {
		buf_num(b, (uint64_t)number);
		buf_add(b, str_skip(p, at + 2));
	}
}

static void open_one(struct client *c)
{
	c->step = GREETING;
	c->literal = 0;
	c->exists = 0;
	c->since = now();
	run.opening++;
	link_open(&run.net, &c->link);
}

static void open_more(void)
{
	while (run.opened < args.connections && run.opening < args.opening)
		open_one(&run.clients[run.opened++]);
}

/* ---- what happens after each tagged answer ---- */

static void logged_out(struct client *c)
{
	lat_add(&run.result.lat, now() - c->since);
	run.result.count++;
	link_close(&run.net, &c->link);
	if (run.asked < args.count) {
		run.asked++;
		c->account = args.first + run.next_account++ % args.accounts;
		open_one(c);
	} else {
		run.finished++;
	}
}

static void selected(struct client *c)
{
	run.opening--;
	buf_clear(&c->cmd);
	if (run.kind == LOGIN_LOOP) {
		buf_add(&c->cmd, STR("c LOGOUT\r\n"));
		say(c, LOGOUT);
		return;
	}
	if (run.kind == IDLE) {
		buf_add(&c->cmd, STR("d IDLE\r\n"));
		say(c, WORK);
		open_more();
		return;
	}
	c->step = READY;
	open_more();
	if (++run.ready < args.connections)
		return;
	run.start = now();
	for (long i = 0; i < args.connections; i++)
		work(&run.clients[i]);
}

static void tagged(struct client *c, struct str line)
{
	struct str rest = str_skip(line, 2);
	if (line.n < 4 || line.p[1] != ' ' || !str_istarts(rest, STR("OK"))) {
		if (c->step != WORK)
			die("%.*s", PSTR(str_head(line, 300)));
		result_error(&run.result, line);
	}
	buf_clear(&c->cmd);
	switch (c->step) {
	case LOGIN:
		buf_addf(&c->cmd, "b SELECT \"%s\"\r\n", args.mailbox);
		say(c, SELECT);
		break;
	case SELECT:
		selected(c);
		break;
	case LOGOUT:
		logged_out(c);
		break;
	case WORK:
		worked(c);
		break;
	default:
		die("an answer nobody asked for: %.*s", PSTR(str_head(line, 300)));
	}
}

static void greeted(struct client *c)
{
	buf_clear(&c->cmd);
	buf_add(&c->cmd, STR("a LOGIN "));
	user_name(&c->cmd, c->account);
	buf_addf(&c->cmd, " \"%s\"\r\n", args.password);
	say(c, LOGIN);
}

/* "* 12 EXISTS", "* 3 FETCH (...": the number and the word after it. */
static void untagged(struct client *c, struct str line)
{
	size_t i = 2, value = 0;
	while (i < line.n && ascii_digit(line.p[i]))
		value = value * 10 + (size_t)(line.p[i++] - '0');
	struct str word = str_skip(line, i + 1);
	if (i == 2)
		return;
	if (str_starts(word, STR("FETCH")))
		run.fetched++;
	else if (str_starts(word, STR("EXISTS"))) {
		c->exists = (long)value;
		run.exists++;
		run.last_exists = now();
	}
}

static void line_is_here(struct client *c, struct str line)
{
	if (c->step == GREETING)
		greeted(c);
	else if (line.n && line.p[0] == '*')
		untagged(c, line);
	else if (line.n && line.p[0] == '+')
		go_ahead(c);
	else
		tagged(c, line);
}

/* "...{123}" at the end of a line: that many octets of literal follow. */
static size_t literal_at_end(const char *p, size_t n)
{
	size_t value = 0, unit = 1;
	if (n < 3 || p[n - 1] != '}')
		return 0;
	for (size_t i = n - 2; i > 0 && unit < (size_t)1e15; i--, unit *= 10) {
		if (p[i] == '{')
			return value;
		if (!ascii_digit(p[i]))
			return 0;
		value += (size_t)(p[i] - '0') * unit;
	}
	return 0;
}

/* Eats what is there: literals are skipped, lines counted. A logical line is looked at once, at its beginning; the pieces of it that
 * follow a literal matter only for the next literal. */
static void on(struct link *l)
{
	struct client *c = l->user;
	while (l->fd && l->end > l->at) {
		size_t n = l->end - l->at;
		if (c->literal) {
			size_t take = n < c->literal ? n : c->literal;
			l->at += take;
			run.result.bytes += take;
			c->literal -= take;
			continue;
		}
		const char *p = l->in + l->at, *lf = memchr(p, '\n', n);
		if (!lf)
			break;
		size_t len = (size_t)(lf - p);
		l->at += len + 1;
		run.result.bytes += len + 1;
		struct str line = str_of(p, len && p[len - 1] == '\r' ? len - 1 : len);
		bool inside = c->inside;
		c->literal = literal_at_end(line.p, line.n);
		c->inside = c->literal > 0 || str_ends(line, STR("{0}"));
		if (!inside)
			line_is_here(c, line);
	}
	if (l->closed && l->fd) {
		if (c->step != LOGOUT)
			die("connection %ld lost in step %d", (long)(c - run.clients), (int)c->step);
		logged_out(c);
	}
}

static const struct { const char *name; enum kind kind; } kinds[] = {
	{ "login", LOGIN_LOOP }, { "fetch", FETCH }, { "store", STORE }, { "append", APPEND }, { "search", SEARCH }, { "idle", IDLE },
};

static void prepare(void)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (str_eq(str_z(kinds[i].name), str_z(args.action)))
			run.kind = kinds[i].kind;
	run.result.action = args.action;
	if (run.kind == NO_KIND)
		die("--action %s: there is login, fetch, store, append, search, idle", args.action);
	if (run.kind == APPEND) {
		if (!args.corpus)
			die("append needs --corpus");
		corpus_load(args.corpus, false, &run.corpus);
	}
	net_fds((unsigned)args.connections);
	net_init(&run.net, args.host, args.port, args.tls, run.kind == FETCH ? LINK_IN * 4 : LINK_SMALL * 4);
	run.clients = mem_new((size_t)args.connections * sizeof *run.clients);
	if (!run.clients)
		die("no memory");
	for (long i = 0; i < args.connections; i++) {
		struct client *c = &run.clients[i];
		c->link.user = c;
		c->account = args.first + run.next_account++ % args.accounts;
		buf_init(&c->cmd, 1 << 20);
		buf_init(&c->tail, 1 << 28);
	}
}

static void idle(void)
{
	while (run.ready < args.connections)
		if (!net_turn(&run.net, 60000, on))
			die("60 s of silence with %ld of %ld connections idle", run.ready, args.connections);
	fprintf(stderr, "READY %ld\n", run.ready);
	run.exists = 0;
	run.start = now();
	double until = run.start + (double)args.hold;
	for (double t; (t = now()) < until;)
		net_turn(&run.net, (int)((until - t) * 1e3) + 1, on);
	run.result.count = (uint64_t)run.exists;
	if (run.exists)
		lat_add(&run.result.lat, run.last_exists - run.start);
	run.result.seconds = now() - run.start;
}

int main(int argc, char **argv)
{
	const struct opt opts[] = {
		{ "action", "login, fetch, store, append, search, idle", .text = &args.action }, { "host", "address", .text = &args.host },
		{ "port", "port", .text = &args.port }, { "tls", "TLS from the first octet", .flag = &args.tls },
		{ "user", "accounts, %d is the number", .text = &args.pattern }, { "password", "of all of them", .text = &args.password },
		{ "first", "number of the first account", .number = &args.first }, { "accounts", "how many there are", .number = &args.accounts },
		{ "connections", "at a time", .number = &args.connections }, { "opening", "logins under way at a time", .number = &args.opening },
		{ "count", "how many in all (login, store, append, search)", .number = &args.count }, { "mailbox", "to open", .text = &args.mailbox },
		{ "items", "what to FETCH", .text = &args.items }, { "repeat", "FETCHes by each connection", .number = &args.repeat },
		{ "query", "SEARCH keys", .text = &args.query }, { "corpus", "container of mail, for append", .text = &args.corpus },
		{ "multi", "messages in one APPEND", .number = &args.multi }, { "hold", "seconds of IDLE", .number = &args.hold },
	};
	options(argc, argv, "load_imap: drives an IMAP server and prints one JSON line", opts, sizeof opts / sizeof *opts);
	prepare();
	if (run.kind == LOGIN_LOOP) {
		args.opening = args.connections;
		run.asked = args.connections;
	}
	run.start = now();
	open_more();
	if (run.kind == IDLE) {
		idle();
	} else {
		while (run.finished < args.connections)
			if (!net_turn(&run.net, 300000, on))
				die("300 s of silence");
		run.result.seconds = now() - run.start;
	}
	if (run.kind == FETCH)
		run.result.count = run.fetched;
	result_print(&run.result);
	return run.result.errors > 0;
}
