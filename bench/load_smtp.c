/* Sends mail by SMTP or LMTP over many connections and says how fast it was taken. One message is timed from its MAIL to the
 * last answer to its text. */
#include "net.h"

#include "base/buf.h"

#include <stdio.h>

static const char *host = "127.0.0.1", *port = "2525", *corpus_path, *pattern = "u%d@demo.test", *from = "sender@bench.example";
static long connections = 40, messages = 1000, rcpts = 1, accounts = 200, first = 1, per_connection = 50;
static bool lmtp, pipelining;

enum step { GREETING, HELLO, MAIL, RCPT, DATA, TEXT, QUIT };
struct client {
	struct link link;
	enum step step;
	unsigned expected;     /* answers still to come in this step */
	long done;             /* messages of this connection */
	long message;          /* number of the one under way */
	double since;
	long rcpts_sent;
	struct buf cmd;
};

static struct net net;
static struct corpus corpus;
static struct result result = { .tool = "load_smtp" };
static long next_message, finished;
static char name_head[128];
static struct str name_tail;

static void add_rcpt(struct buf *b, long i)
{
	buf_add(b, STR("RCPT TO:<"));
	buf_add(b, str_z(name_head));
	buf_num(b, (uint64_t)(first + i % accounts));
	buf_add(b, name_tail);
	buf_add(b, STR(">\r\n"));
}

static void say(struct client *c, enum step step, unsigned answers)
{
	c->step = step;
	c->expected = answers;
	link_send(&net, &c->link, buf_str(&c->cmd));
}

static void begin(struct client *c)
{
	buf_clear(&c->cmd);
	if (next_message == messages || c->done == per_connection) {
		buf_add(&c->cmd, STR("QUIT\r\n"));
		say(c, QUIT, 1);
		return;
	}
	c->message = next_message++;
	c->since = now();
	c->rcpts_sent = 0;
	buf_addf(&c->cmd, "MAIL FROM:<%s>\r\n", from);
	if (!pipelining) {
		say(c, MAIL, 1);
		return;
	}
	for (long i = 0; i < rcpts; i++)
		add_rcpt(&c->cmd, c->message * rcpts + i);
	buf_add(&c->cmd, STR("DATA\r\n"));
	say(c, MAIL, (unsigned)rcpts + 2);
}

static void send_text(struct client *c)
{
	c->step = TEXT;
	c->expected = lmtp ? (unsigned)rcpts : 1;
	link_send(&net, &c->link, corpus.mail[(size_t)c->message % corpus.n]);
}

static void next_rcpt_or_data(struct client *c)
{
	if (c->rcpts_sent == rcpts) {
		buf_add(&c->cmd, STR("DATA\r\n"));
		say(c, DATA, 1);
		return;
	}
	add_rcpt(&c->cmd, c->message * rcpts + c->rcpts_sent++);
	say(c, RCPT, 1);
}

static void taken(struct client *c)
{
	c->done++;
	finished++;
	lat_add(&result.lat, now() - c->since);
	result.count++;
	result.bytes += corpus.mail[(size_t)c->message % corpus.n].n;
	begin(c);
}

/* The step's last answer is here: what comes next. */
static void advance(struct client *c)
{
	buf_clear(&c->cmd);
	switch (c->step) {
	case GREETING:
		buf_add(&c->cmd, lmtp ? STR("LHLO bench.example\r\n") : STR("EHLO bench.example\r\n"));
		say(c, HELLO, 1);
		break;
	case HELLO:
		begin(c);
		break;
	case MAIL:
	case RCPT:
		if (pipelining)
			send_text(c);
		else
			next_rcpt_or_data(c);
		break;
	case DATA:
		send_text(c);
		break;
	case TEXT:
		taken(c);
		break;
	case QUIT:
		c->link.closed = true;
		break;
	}
}

static bool good(const struct client *c, struct str line)
{
	char want = '2';
	if (c->step == DATA || (c->step == MAIL && pipelining && c->expected == 1))
		want = '3';
	return line.n >= 3 && line.p[0] == want;
}

static void reopen(struct client *c)
{
	link_close(&net, &c->link);
	c->step = GREETING;
	c->expected = 1;
	c->done = 0;
	if (next_message < messages)
		link_open(&net, &c->link);
}

/* A refused message counts as an error; the connection starts anew with the next one. */
static void fail(struct client *c, struct str what)
{
	result_error(&result, what);
	if (c->step != GREETING && c->step != HELLO && c->step != QUIT)
		finished++;
	if (result.errors > 1000)
		die("1000 errors, the first: %s", result.first_error);
	c->step = QUIT;
	reopen(c);
}

static void on(struct link *l)
{
	struct client *c = l->user;
	struct str line;
	while (l->fd && !l->closed && link_line(l, &line)) {
		if (line.n > 3 && line.p[3] == '-')
			continue;
		if (!good(c, line)) {
			fail(c, line);
			return;
		}
		if (--c->expected == 0)
			advance(c);
	}
	if (l->fd && l->closed) {
		if (c->step == QUIT)
			reopen(c);
		else
			fail(c, STR("connection lost"));
	}
}

int main(int argc, char **argv)
{
	const struct opt opts[] = {
		{ "host", "address", .text = &host }, { "port", "port, or path of a Unix socket", .text = &port },
		{ "corpus", "container of mail", .text = &corpus_path }, { "to", "recipients, %d is the number", .text = &pattern },
		{ "from", "sender", .text = &from }, { "connections", "at a time", .number = &connections },
		{ "messages", "to send", .number = &messages }, { "rcpts", "recipients of each", .number = &rcpts },
		{ "accounts", "recipients there are", .number = &accounts }, { "first", "number of the first", .number = &first },
		{ "per-connection", "messages before QUIT", .number = &per_connection }, { "lmtp", "LMTP instead of SMTP", .flag = &lmtp },
		{ "pipelining", "MAIL, RCPT and DATA in one packet", .flag = &pipelining },
	};
	options(argc, argv, "load_smtp: sends mail and prints one JSON line", opts, sizeof opts / sizeof *opts);
	if (!corpus_path || connections < 1 || rcpts < 1 || accounts < 1)
		die("--corpus is needed; counts begin at 1");
	struct str p = str_z(pattern);
	size_t at = str_find_str(p, STR("%d"));
	if (at == p.n || at >= sizeof name_head)
		die("--to %s: no %%d", pattern);
	memcpy(name_head, pattern, at);
	name_tail = str_skip(p, at + 2);
	corpus_load(corpus_path, true, &corpus);
	net_fds((unsigned)connections);
	net_init(&net, host, port, false, LINK_SMALL);
	struct client *clients = mem_new((size_t)connections * sizeof *clients);
	if (!clients)
		die("no memory");
	double start = now();
	for (long i = 0; i < connections; i++) {
		struct client *c = &clients[i];
		c->link.user = c;
		c->step = GREETING;
		c->expected = 1;
		buf_init(&c->cmd, 1 << 24);
		link_open(&net, &c->link);
	}
	while (finished < messages)
		if (!net_turn(&net, 60000, on))
			die("60 s of silence; %ld of %ld messages done, errors %llu %s", finished, messages, (unsigned long long)result.errors, result.first_error);
	result.seconds = now() - start;
	result.action = lmtp ? "lmtp" : "smtp";
	result_print(&result);
	return result.errors > 0;
}
