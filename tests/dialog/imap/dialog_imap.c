/* Plays IMAP scripts (tests/dialog/README.md) against the session and the house in memory of the unit tests.
 * SET tls | tls_on | no plaintext | max_append=N | refuses. HOUSE deliver N BOX | given N BOX (another session has selected the N messages there) |
 * expunge UID BOX | seen UID BOX |
 * forget: happen at that point of the play; HOUSE messages N BOX: so many are there. */
#include "../../unit/imap/house.h"
#include "dialog/dialog.h"

#include "os/loop.h"
#include <stdio.h>

struct cast {
	struct house house;
	struct imap_config config;
	bool can_tls, is_tls;
};

static bool begin(void *arg)
{
	struct cast *c = arg;
	*c = (struct cast){ .config = { .hostname = STR("mail.corp.example"), .plaintext_login = true, .max_append = 100000, .idle_ms = 1800000,
	                                .prelogin_ms = 60000, .max_errors = 10 } };
	house_init(&c->house);
	wall_ms_fixed = 1790000000000;
	return true;
}

static bool set(void *arg, struct str option)
{
	struct cast *c = arg;
	uint64_t n;
	if (str_eq(option, STR("tls")))
		c->can_tls = true;
	else if (str_eq(option, STR("tls_on")))
		c->is_tls = true;
	else if (str_eq(option, STR("no plaintext")))
		c->config.plaintext_login = false;
	else if (str_eq(option, STR("refuses")))
		c->house.refuses = true;
	else if (str_starts(option, STR("max_append=")) && str_u64(str_skip(option, 11), UINT64_MAX, &n))
		c->config.max_append = n;
	else
		return false;
	return true;
}

static enum rc serve(void *arg, struct stream *io)
{
	struct cast *c = arg;
	struct imap_hooks hooks = house_hooks(&c->house);
	c->house.io = io;
	enum rc rc = imap_serve(io, &c->config, &hooks);
	c->house.io = NULL;
	return rc;
}

static bool deliver(struct cast *c, struct house_box *b, uint64_t n)
{
	bool ok = true;
	for (uint64_t i = 0; i < n && ok; i++) {
		struct buf m;
		buf_init(&m, 4096);
		buf_addf(&m, "From: Bob <bob@corp.example>\r\nTo: alice@corp.example\r\nSubject: number %u\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n\r\nbody %u\r\n", b->uidnext, b->uidnext);
		ok = house_deliver(&c->house, b, buf_str(&m), 760000000000) > 0;
		buf_done(&m);
	}
	return ok;
}

static bool holds(void *arg, struct str claim, struct buf *truth)
{
	struct cast *c = arg;
	struct str verb, rest, number, name;
	uint64_t n = 0;
	char box[64];
	str_cut(claim, ' ', &verb, &rest);
	if (str_eq(verb, STR("forget")))
		return c->house.forgets = true;
	str_cut(rest, ' ', &number, &name);
	snprintf(box, sizeof box, "%.*s", PSTR(name));
	struct house_box *b = house_box(&c->house, box);
	if (!b || !str_u64(number, 1000, &n)) {
		buf_add(truth, STR("no such mailbox or number"));
		return false;
	}
	if (str_eq(verb, STR("deliver")))
		return deliver(c, b, n);
	if (str_eq(verb, STR("given"))) {
		b->given = b->uidnext;
		return b->n == n;
	}
	if (str_eq(verb, STR("expunge")))
		return house_expunge(&c->house, b, (uint32_t)n);
	if (str_eq(verb, STR("seen"))) {
		house_flag(&c->house, b, (uint32_t)n, IMAP_SEEN);
		return true;
	}
	buf_addf(truth, "%zu messages", b->n);
	return str_eq(verb, STR("messages")) && b->n == n;
}

static void end(void *arg)
{
	house_done(&((struct cast *)arg)->house);
	wall_ms_fixed = 0;
}

static bool can_tls(void *arg) { return ((struct cast *)arg)->can_tls; }
static bool is_tls(void *arg) { return ((struct cast *)arg)->is_tls; }

int main(int argc, char **argv)
{
	static struct cast cast;
	return dialog_main(argc, argv, &(struct dialog_cast){ &cast, begin, set, serve, holds, end, can_tls, is_tls, NULL });
}
