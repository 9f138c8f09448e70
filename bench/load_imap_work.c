#include "load_imap.h"

static const struct str crlf = STR_INIT("\r\n");

static void fetch(struct client *c)
{
	if (c->rounds++ == args.repeat) {
		c->step = DONE;
		run.finished++;
		return;
	}
	buf_addf(&c->cmd, "d UID FETCH 1:* %s\r\n", args.items);
	say(c, WORK);
}

static void store(struct client *c)
{
	long n = c->exists > 0 ? c->exists : 1;
	buf_addf(&c->cmd, "d STORE %ld %cFLAGS (\\Seen)\r\n", c->uid % n + 1, c->uid / n % 2 ? '-' : '+');
	c->uid++;
	say(c, WORK);
}

static void search(struct client *c)
{
	buf_addf(&c->cmd, "d UID SEARCH %s\r\n", args.query);
	say(c, WORK);
}

/* Non-synchronising literals (RFC 7888). One message is lent to the connection as it lies; with --multi (RFC 3502) the whole
 * command is built first. */
static void append(struct client *c)
{
	long left = args.count - run.asked + 1;
	c->batch = args.multi < left ? args.multi : left;
	run.asked += c->batch - 1;
	buf_addf(&c->cmd, "d APPEND \"%s\"", args.mailbox);
	if (c->batch == 1) {
		struct str mail = run.corpus.mail[(size_t)run.next_mail++ % run.corpus.n];
		run.result.bytes += mail.n;
		buf_addf(&c->cmd, " {%zu+}\r\n", mail.n);
		say(c, WORK);
		link_send(&run.net, &c->link, mail);
		link_send(&run.net, &c->link, crlf);
		return;
	}
	buf_clear(&c->tail);
	buf_add(&c->tail, buf_str(&c->cmd));
	for (long i = 0; i < c->batch; i++) {
		struct str mail = run.corpus.mail[(size_t)run.next_mail++ % run.corpus.n];
		run.result.bytes += mail.n;
		buf_addf(&c->tail, " {%zu+}\r\n", mail.n);
		buf_add(&c->tail, mail);
	}
	buf_add(&c->tail, crlf);
	c->step = WORK;
	link_send(&run.net, &c->link, buf_str(&c->tail));
}

void work(struct client *c)
{
	buf_clear(&c->cmd);
	c->since = now();
	if (run.kind == FETCH) {
		fetch(c);
		return;
	}
	if (run.asked >= args.count) {
		c->step = DONE;
		run.finished++;
		return;
	}
	run.asked++;
	if (run.kind == STORE)
		store(c);
	else if (run.kind == SEARCH)
		search(c);
	else
		append(c);
}

void worked(struct client *c)
{
	lat_add(&run.result.lat, now() - c->since);
	run.result.count += run.kind == APPEND ? (uint64_t)c->batch : 1;
	work(c);
}

/* "+" answers IDLE: this connection is where it should be. */
void go_ahead(struct client *c)
{
	if (run.kind == IDLE && c->step == WORK)
		run.ready++;
}
