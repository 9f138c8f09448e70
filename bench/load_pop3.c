/* Fetches every message of C maildrops by POP3 over C connections, one account each, after a LIST as clients do. The clock runs from the first
 * RETR, when all are logged in, to the last octet. */
#include "net.h"

#include "base/buf.h"

#include <stdio.h>

static const char *host = "127.0.0.1", *port = "2110", *pattern = "u%d@demo.test", *password = "demo-only";
static long connections = 8, first = 1, repeat = 1, limit = 1 << 30;
static bool tls, pipelining;

enum step { GREETING, USER, PASS, STAT, LIST, SIZES, READY, RETR, BODY, QUIT };
struct client {
	struct link link;
	enum step step;
	long mails, asked, got, rounds, listed;
	uint32_t *sizes;       /* as LIST says */
	size_t left;           /* octets of the body that are known to come before its end */
	bool fresh;            /* no octet of the body was eaten yet */
	double since;
	struct buf cmd;
};

static struct net net;
static struct result result = { .tool = "load_pop3" };
static struct client *clients;
static long ready, finished;
static double start;

static void user_name(struct buf *b, long number)
{
	struct str p = str_z(pattern);
	size_t at = str_find_str(p, STR("%d"));
	buf_add(b, str_head(p, at));
	if (at < p.n) {
		buf_num(b, (uint64_t)number);
		buf_add(b, str_skip(p, at + 2));
	}
}

static void say(struct client *c, enum step step)
{
	c->step = step;
	link_send(&net, &c->link, buf_str(&c->cmd));
}

/* A small message is read whole, with its answer and its end; of a larger one the answer alone: what comes between that and the end is not even
 * copied, for this program must not cost what the server is measured by. */
enum { LOOK = 16384, ANSWER = 256 };

static void ask(struct client *c, double t)
{
	c->since = t;
	c->link.most = pipelining || c->sizes[c->asked] + ANSWER <= LOOK ? 0 : ANSWER;
	buf_clear(&c->cmd);
	do {
		buf_add(&c->cmd, STR("RETR "));
		buf_num(&c->cmd, (uint64_t)++c->asked);
		buf_add(&c->cmd, STR("\r\n"));
	} while (pipelining && c->asked < c->mails);
	say(c, RETR);
}

static void begin_all(void)
{
	start = now();
	for (long i = 0; i < connections; i++)
		if (clients[i].mails)
			ask(&clients[i], start);
		else
			finished++;
}

static void got_one(struct client *c)
{
	double t = now();
	lat_add(&result.lat, t - c->since);
	c->since = t;
	result.count++;
	c->step = RETR;
	if (++c->got == c->mails) {
		if (++c->rounds == repeat) {
			finished++;
			c->step = QUIT;
			return;
		}
		c->got = c->asked = 0;
	}
	if (c->got == c->asked || !pipelining)
		ask(c, t);
}

/* The number behind the line's first word; 0: none. */
static size_t number_in(struct str line)
{
	size_t n = 0;
	for (size_t i = str_find(line, ' ') + 1; i < line.n && ascii_digit(line.p[i]); i++)
		n = n * 10 + (size_t)(line.p[i] - '0');
	return n;
}

/* "+OK 13790 octets": so many come at least, dots that were stuffed beside. The last CRLF of them belongs to the end that is looked for. 0: it did not say. */
static size_t announced(struct str line)
{
	size_t n = number_in(line);
	return n > 2 ? n - 2 : 0;
}

/* A line of LIST. */
static void size_of(struct client *c, struct str line)
{
	if (str_eq(line, STR("."))) {
		c->step = READY;
		if (++ready == connections)
			begin_all();
	} else if (c->listed < c->mails) {
		c->sizes[c->listed++] = (uint32_t)number_in(line);
	}
}

static void answer(struct client *c, struct str line)
{
	if (line.n < 3 || line.p[0] != '+')
		die("%.*s", PSTR(str_head(line, 200)));
	buf_clear(&c->cmd);
	switch (c->step) {
	case GREETING:
		buf_add(&c->cmd, STR("USER "));
		user_name(&c->cmd, first + (c - clients));
		buf_add(&c->cmd, STR("\r\n"));
		say(c, USER);
		break;
	case USER:
		buf_addf(&c->cmd, "PASS %s\r\n", password);
		say(c, PASS);
		break;
	case PASS:
		buf_add(&c->cmd, STR("STAT\r\n"));
		say(c, STAT);
		break;
	case STAT:
		if (sscanf(line.p, "+OK %ld", &c->mails) != 1)
			die("no number in the answer to STAT");
		if (c->mails > limit)
			c->mails = limit;
		c->sizes = mem_new((size_t)(c->mails + 1) * sizeof *c->sizes);
		if (!c->sizes)
			die("no memory");
		buf_add(&c->cmd, STR("LIST\r\n"));
		say(c, LIST);
		break;
	case LIST:
		c->step = SIZES;
		break;
	default:
		c->step = BODY;
		c->fresh = true;
		c->left = announced(line);
		break;
	}
}

/* What is known to come before a body's end is thrown away where it lies. */
static bool skip(struct link *l, struct client *c)
{
	if (!l->most || !c->left)
		return false;
	size_t n = link_skip(l, c->left);
	c->left -= n;
	result.bytes += n;
	return n && c->left == 0 && link_more(&net, l);
}

/* Eats body octets; true = its end was among them. The last four octets of an unfinished body stay, since its end may be cut. */
static bool body(struct link *l, size_t *left, bool *fresh)
{
	size_t sure = l->end - l->at < *left ? l->end - l->at : *left;
	l->at += sure;
	*left -= sure;
	result.bytes += sure;
	*fresh = *fresh && sure == 0;
	if (*left)
		return false;
	const char *p = l->in + l->at;
	size_t n = l->end - l->at;
	if (*fresh && n >= 3 && p[0] == '.' && p[1] == '\r' && p[2] == '\n') { /* an empty message */
		l->at += 3;
		return true;
	}
	const char *end = n >= 5 ? memmem(p, n, "\r\n.\r\n", 5) : NULL;
	size_t take = end ? (size_t)(end - p) + 5 : n > 4 ? n - 4 : 0;
	result.bytes += take;
	*fresh = *fresh && take == 0;
	l->at += take;
	return end != NULL;
}

static void on(struct link *l)
{
	struct client *c = l->user;
	struct str line;
	while (l->fd && l->end > l->at) {
		if (c->step == BODY) {
			if (!body(l, &c->left, &c->fresh)) {
				if (l->at < l->end || !skip(l, c))
					break;
				continue;
			}
			got_one(c);
		} else if (!link_line(l, &line)) {
			break;
		} else if (c->step == SIZES) {
			size_of(c, line);
		} else {
			answer(c, line);
		}
	}
	if (l->closed && c->step != QUIT)
		die("connection lost after %llu messages", (unsigned long long)result.count);
}

int main(int argc, char **argv)
{
	const struct opt opts[] = {
		{ "host", "address", .text = &host }, { "port", "port", .text = &port }, { "user", "accounts, %d is the number", .text = &pattern },
		{ "password", "of all of them", .text = &password }, { "connections", "and accounts", .number = &connections },
		{ "first", "number of the first account", .number = &first }, { "repeat", "rounds over each maildrop", .number = &repeat },
		{ "limit", "at most so many messages of each", .number = &limit }, { "tls", "TLS from the first octet", .flag = &tls },
		{ "pipelining", "all RETR commands at once", .flag = &pipelining },
	};
	options(argc, argv, "load_pop3: fetches everything and prints one JSON line", opts, sizeof opts / sizeof *opts);
	net_fds((unsigned)connections);
	net_init(&net, host, port, tls, pipelining || tls ? LINK_IN : LOOK);
	clients = mem_new((size_t)connections * sizeof *clients);
	if (!clients)
		die("no memory");
	for (long i = 0; i < connections; i++) {
		clients[i].link.user = &clients[i];
		buf_init(&clients[i].cmd, 1 << 26);
		link_open(&net, &clients[i].link);
	}
	while (ready < connections || finished < connections)
		if (!net_turn(&net, 60000, on))
			die("60 s of silence after %llu messages", (unsigned long long)result.count);
	result.seconds = now() - start;
	result.action = pipelining ? "retr-pipelined" : "retr";
	result_print(&result);
	for (long i = 0; i < connections; i++)
		link_close(&net, &clients[i].link);
	return 0;
}
