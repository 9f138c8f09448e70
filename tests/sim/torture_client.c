/* The client: asks along the whole journey and believes nothing. */
#include "torture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 4000, ROOM = 4 << 20 };

struct conn {
	int fd;
	bool closed, late;
	char *in; size_t n, at;         /* what came, and how much of it is used up */
	const char *step;               /* for what goes wrong */
};

struct visit {
	const struct place *p;
	struct truth *t;
	const char *name;
	bool strict;
	char *said;
	struct conn c;
};

/* ---- octets ---- */

static int64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool dial(struct conn *c, unsigned port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1;
	*c = (struct conn){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .step = "connect" };
	if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&to, sizeof to) < 0) {
		c->closed = true;
		return false;
	}
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	c->in = malloc(ROOM);
	c->closed = !c->in;
	return !c->closed;
}

static void hang_up(struct conn *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	free(c->in);
	c->in = NULL;
	c->fd = -1;
}

static bool more(struct conn *c, int64_t until)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	int64_t left = until - now_ms();
	if (c->closed || c->late || c->n == ROOM)
		return false;
	if (left <= 0 || poll(&p, 1, (int)left) <= 0) {
		c->late = true;
		return false;
	}
	ssize_t n = recv(c->fd, c->in + c->n, ROOM - c->n, 0);
	if (n <= 0) {
		c->closed = true;
		return false;
	}
	c->n += (size_t)n;
	return true;
}

static bool put(struct conn *c, const char *p, size_t n)
{
	while (n && !c->closed) {
		ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL);
		if (k <= 0)
			c->closed = true;
		else
			p += k, n -= (size_t)k;
	}
	return !c->closed;
}

static bool putf(struct conn *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool putf(struct conn *c, const char *format, ...)
{
	char text[512];
	va_list v;
	va_start(v, format);
	int n = vsnprintf(text, sizeof text, format, v);
	va_end(v);
	return put(c, text, (size_t)n);
}

/* The next line without its CRLF, zero-terminated in place; NULL: closed or late. */
static char *line(struct conn *c)
{
	int64_t until = now_ms() + PATIENCE_MS;
	for (;;) {
		char *from = c->in ? c->in + c->at : NULL, *end = from ? memchr(from, '\n', c->n - c->at) : NULL;
		if (end) {
			c->at = (size_t)(end + 1 - c->in);
			*end = 0;
			if (end > from && end[-1] == '\r')
				end[-1] = 0;
			return from;
		}
		if (!more(c, until))
			return NULL;
	}
}

static bool octets(struct conn *c, size_t n, const char **out)
{
	int64_t until = now_ms() + PATIENCE_MS;
	while (c->n - c->at < n)
		if (!more(c, until))
			return false;
	*out = c->in + c->at;
	c->at += n;
	return true;
}

/* ---- messages: every octet of one follows from its tag and size ---- */

static char *compose(const char *tag, size_t size, size_t *out_n)
{
	char *m = malloc(size + 1024);
	int n = snprintf(m, 1024, "From: =?utf-8?q?S=C3=A9nder?= <sender@example.org>\r\nTo: alice@torture.test\r\nSubject: %s\r\n"
	                          "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%s@example.org>\r\nMIME-Version: 1.0\r\n"
	                          "Content-Type: multipart/mixed; boundary=\"b-%s\"\r\n\r\n--b-%s\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
	                          "Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe, %s\r\n--b-%s\r\nContent-Type: text/plain\r\n\r\n",
	                 tag, tag, tag, tag, tag, tag);
	size_t at = (size_t)n;
	unsigned x = 1;
	for (const char *p = tag; *p; p++)
		x = x * 31 + (unsigned char)*p;
	while (at < size) {
		for (int i = 0; i < 70; i++, x = x * 1103515245 + 12345)
			m[at++] = (char)('a' + (x >> 16) % 26);
		m[at++] = '\r';
		m[at++] = '\n';
	}
	at += (size_t)snprintf(m + at, 128, "--b-%s--\r\n", tag);
	*out_n = at;
	return m;
}

static struct item *item_new(struct truth *t, const char *tag, int who, size_t size, bool appended)
{
	struct item *i = &t->items[t->n++];
	*i = (struct item){ .who = who, .size = size, .appended = appended };
	(void)snprintf(i->tag, sizeof i->tag, "%s", tag);
	return i;
}

/* Whose is it, and is every octet as it was given? */
static struct item *recognise(struct truth *t, int who, const char *p, size_t n, char said[SAID_MAX])
{
	for (size_t i = 0; i < t->n; i++) {
		struct item *it = &t->items[i];
		size_t m;
		char mark[40];
		(void)snprintf(mark, sizeof mark, "\r\nSubject: %s\r\n", it->tag);
		if (it->who != who || !memmem(p, n, mark, strlen(mark)))
			continue;
		char *want = compose(it->tag, it->size, &m);
		bool same = n >= m && memcmp(p + n - m, want, m) == 0;
		same = same && (it->appended ? n == m : n > m && strncmp(p, "Return-Path: <", 14) == 0 && p[n - m - 1] == '\n');
		free(want);
		if (!same)
			(void)said_set(said, "message %s came back with other octets (%zu, given %zu)", it->tag, n, m);
		return same ? it : NULL;
	}
	(void)said_set(said, "a message that nobody sent: %.60s", p);
	return NULL;
}

/* ---- what an answer means ---- */

/* false from a step: this conversation is over; `said` is set when that is not allowed. */
static bool over(struct visit *v, const char *answer)
{
	if (v->said[0])
		return false;
	if (v->c.late)
		return said_set(v->said, "%s: no answer within %d ms at %s", v->name, PATIENCE_MS, v->c.step);
	if (v->strict)
		return said_set(v->said, "%s: %s at %s", v->name, answer ? answer : "closed", v->c.step);
	return false;
}

bool client_greeted(unsigned port, unsigned ms)
{
	int64_t until = now_ms() + ms;
	struct conn c;
	bool ok = dial(&c, port) && more(&c, until);
	hang_up(&c);
	return ok;
}

/* ---- SMTP ---- */

/* The answer's code; 0: closed or late. */
static int smtp_code(struct visit *v, const char **out)
{
	char *l;
	do
		l = line(&v->c);
	while (l && strlen(l) > 3 && l[3] == '-');
	*out = l;
	return l ? (int)strtol(l, NULL, 10) : 0;
}

static bool smtp_step(struct visit *v, const char *step, const char *text, int want)
{
	const char *l;
	v->c.step = step;
	if (text && !putf(&v->c, "%s\r\n", text))
		return over(v, NULL);
	int code = smtp_code(v, &l);
	return code == want ? true : over(v, l);
}

static void smtp_talk(struct visit *v, const char *tag, size_t size, unsigned whom)
{
	char text[128];
	bool taken[WHO] = { 0 };
	const char *l = NULL;
	if (!dial(&v->c, v->p->smtp) || !smtp_step(v, "SMTP greeting", NULL, 220) || !smtp_step(v, "EHLO", "EHLO client.example.org", 250)) {
		(void)over(v, NULL);
		return;
	}
	if (!smtp_step(v, "MAIL", "MAIL FROM:<sender@example.org>", 250))
		return;
	for (int i = 0; i < WHO; i++) {
		(void)snprintf(text, sizeof text, "RCPT TO:<%s>", torture_who[i]);
		if (whom >> i & 1)
			taken[i] = smtp_step(v, "RCPT", text, 250);
		if (v->c.closed || v->c.late || v->said[0])
			return;
	}
	if (!taken[0] && !taken[1])
		return;
	if (!smtp_step(v, "DATA", "DATA", 354))
		return;
	size_t n;
	char *m = compose(tag, size, &n);
	v->c.step = "end of DATA";
	(void)(put(&v->c, m, n) && put(&v->c, ".\r\n", 3));
	free(m);
	int code = smtp_code(v, &l);
	for (int i = 0; i < WHO; i++)
		if (taken[i]) {
			struct item *it = item_new(v->t, tag, i, size, false);
			it->least = code == 250;
			it->most = 1;
		}
	if (code != 250)
		(void)over(v, l);
	else
		(void)smtp_step(v, "QUIT", "QUIT", 221);
}

static bool smtp_journey(struct visit *v, const char *tag, size_t size, unsigned whom)
{
	smtp_talk(v, tag, size, whom);
	hang_up(&v->c);
	return !v->said[0];
}

bool client_deliver(const struct place *p, struct truth *t, const char *tag, size_t size, unsigned whom, bool strict, char said[SAID_MAX])
{
	struct visit v = { .p = p, .t = t, .name = tag, .strict = strict, .said = said };
	said[0] = 0;
	return smtp_journey(&v, tag, size, whom);
}

/* ---- IMAP ---- */

enum { SEEN_MAX = 64 };
struct seen { uint32_t uid; struct item *item; bool flagged, deleted; };
struct box { uint32_t exists; struct seen seen[SEEN_MAX]; size_t n, rows; int who; };

static uint32_t number_after(const char *l, const char *word)
{
	const char *at = strstr(l, word);
	return at ? (uint32_t)strtoul(at + strlen(word), NULL, 10) : 0;
}

static struct seen *seen_of(struct box *b, uint32_t uid)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->seen[i].uid == uid)
			return &b->seen[i];
	if (b->n == SEEN_MAX)
		return NULL;
	b->seen[b->n] = (struct seen){ .uid = uid };
	return &b->seen[b->n++];
}

/* One FETCH answer, whose first line is `l`; its literal, if any, is judged. */
static bool take_row(struct visit *v, struct box *b, char *l)
{
	uint32_t uid = number_after(l, "UID ");
	struct seen *s = uid ? seen_of(b, uid) : NULL;
	if (s && strstr(l, "FLAGS (")) {
		s->flagged = strstr(l, "\\Flagged");
		s->deleted = strstr(l, "\\Deleted");
	}
	for (size_t n; strlen(l) && l[strlen(l) - 1] == '}';) {
		const char *p;
		bool body = strstr(l, "BODY[] {");
		n = strtoul(strrchr(l, '{') + 1, NULL, 10);
		if (!octets(&v->c, n, &p))
			return false;
		if (body && s) {
			s->item = recognise(v->t, b->who, p, n, v->said);
			if (!s->item)
				return false;
			b->rows++;
		}
		l = line(&v->c);
		if (!l)
			return false;
	}
	if (strstr(l, "ENVELOPE ("))
		b->rows++;
	return true;
}

/* One command to its tagged answer. True: OK. */
static bool imap_step(struct visit *v, struct box *b, const char *step, const char *command)
{
	v->c.step = step;
	if (command && !putf(&v->c, "t1 %s\r\n", command))
		return over(v, NULL);
	for (char *l; (l = line(&v->c));) {
		if (strncmp(l, "t1 OK", 5) == 0)
			return true;
		if (strncmp(l, "t1 ", 3) == 0)
			return over(v, l);
		if (l[0] == '+')
			return true;
		if (strncmp(l, "* BYE", 5) == 0 && !strstr(step, "LOGOUT")) {
			v->c.closed = true;
			return over(v, l);
		}
		if (b && strstr(l, " EXISTS"))
			b->exists = (uint32_t)strtoul(l + 2, NULL, 10);
		if (b && strstr(l, " FETCH (") && !take_row(v, b, l))
			break;
	}
	return over(v, NULL);
}

/* An OK after which rows are missing is a lie. */
static bool imap_rows(struct visit *v, struct box *b, const char *step, const char *command)
{
	b->rows = 0;
	if (!imap_step(v, b, step, command))
		return false;
	if (b->rows != b->exists)
		return said_set(v->said, "%s: %s answered OK with %zu of %u messages", v->name, step, b->rows, b->exists);
	return true;
}

static struct seen *seen_tag(struct box *b, const char *tag)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->seen[i].item && strcmp(b->seen[i].item->tag, tag) == 0)
			return &b->seen[i];
	return NULL;
}

static bool imap_enter(struct visit *v, struct box *b, int who)
{
	char text[128];
	b->who = who;
	if (!dial(&v->c, v->p->imap))
		return over(v, NULL);
	v->c.step = "IMAP greeting";
	char *l = line(&v->c);
	if (!l || strncmp(l, "* OK", 4) != 0)
		return over(v, l);
	(void)snprintf(text, sizeof text, "LOGIN %s %s", torture_who[who], TORTURE_PASSWORD);
	return imap_step(v, b, "LOGIN", text) && imap_step(v, b, "SELECT", "SELECT INBOX");
}

static void imap_flag(struct visit *v, struct box *b)
{
	char text[96];
	struct seen *s = seen_tag(b, "keep");
	if (!s)
		return;
	(void)snprintf(text, sizeof text, "UID STORE %u +FLAGS (\\Flagged)", s->uid);
	if (!imap_step(v, b, "STORE \\Flagged", text))
		return;
	if (!s->flagged)
		(void)said_set(v->said, "%s: STORE was answered OK without the flag", v->name);
	s->item->flagged = true;
}

static void imap_append(struct visit *v, struct box *b)
{
	char tag[24], text[96];
	size_t n;
	(void)snprintf(tag, sizeof tag, "%s-append", v->name);
	char *m = compose(tag, 3000, &n);
	(void)snprintf(text, sizeof text, "APPEND INBOX (\\Seen) {%zu}", n);
	if (imap_step(v, b, "APPEND", text)) {
		struct item *it = item_new(v->t, tag, 0, 3000, true);
		it->most = 1;
		if (put(&v->c, m, n) && put(&v->c, "\r\n", 2) && imap_step(v, b, "APPEND's message", NULL))
			it->least = 1;
		else
			(void)over(v, NULL);
	}
	free(m);
}

static void imap_expunge(struct visit *v, struct box *b)
{
	char tag[24], text[96];
	(void)snprintf(tag, sizeof tag, "%s-expunge", v->name);
	struct seen *s = seen_tag(b, tag);
	if (!s)
		return;
	struct item *it = s->item;
	(void)snprintf(text, sizeof text, "UID STORE %u +FLAGS (\\Deleted)", s->uid);
	it->least = 0; /* unanswered, it may be flagged, and then any later EXPUNGE takes it */
	bool flagged = imap_step(v, b, "STORE \\Deleted", text);
	if (v->c.closed || v->said[0])
		return;
	if (imap_step(v, b, "EXPUNGE", "EXPUNGE") && flagged)
		it->most = 0;
}

static bool imap_alive(const struct visit *v) { return !v->c.closed && !v->c.late && !v->said[0]; }

static void imap_talk(struct visit *v)
{
	struct box b = { 0 };
	if (!imap_enter(v, &b, 0))
		return;
	(void)imap_rows(v, &b, "FETCH ENVELOPE", "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)");
	if (imap_alive(v))
		(void)imap_rows(v, &b, "FETCH BODY[]", "UID FETCH 1:* (UID FLAGS BODY.PEEK[])");
	if (imap_alive(v))
		imap_flag(v, &b);
	if (imap_alive(v))
		imap_append(v, &b);
	if (imap_alive(v))
		imap_expunge(v, &b);
	if (imap_alive(v))
		(void)imap_step(v, &b, "LOGOUT", "LOGOUT");
}

/* ---- POP3 ---- */

static bool pop_step(struct visit *v, const char *step, const char *text, char **out)
{
	v->c.step = step;
	if (text && !putf(&v->c, "%s\r\n", text))
		return over(v, NULL);
	char *l = line(&v->c);
	if (out)
		*out = l;
	return l && strncmp(l, "+OK", 3) == 0 ? true : over(v, l);
}

/* A RETR's lines up to the dot, unstuffed in place. */
static bool pop_message(struct visit *v, const char **out, size_t *out_n)
{
	size_t from = v->c.at, n = 0;
	for (;;) {
		char *l = line(&v->c);
		if (!l)
			return over(v, NULL);
		if (strcmp(l, ".") == 0)
			break;
		size_t k = strlen(l);
		if (l[0] == '.')
			l++, k--;
		memmove(v->c.in + from + n, l, k);
		memcpy(v->c.in + from + n + k, "\r\n", 2);
		n += k + 2;
	}
	*out = v->c.in + from;
	*out_n = n;
	return true;
}

static void pop_all(struct visit *v, unsigned n, struct item *found[SEEN_MAX])
{
	for (unsigned i = 1; i <= n && i < SEEN_MAX && imap_alive(v); i++) {
		char text[32];
		const char *p;
		size_t len;
		(void)snprintf(text, sizeof text, "RETR %u", i);
		if (!pop_step(v, "RETR", text, NULL) || !pop_message(v, &p, &len))
			continue;
		found[i] = recognise(v->t, 1, p, len, v->said);
	}
}

static void pop_talk(struct visit *v)
{
	char text[96], tag[24], *l;
	struct item *found[SEEN_MAX] = { 0 };
	unsigned chosen = 0;
	(void)snprintf(tag, sizeof tag, "%s-dele", v->name);
	(void)snprintf(text, sizeof text, "USER %s", torture_who[1]);
	if (!dial(&v->c, v->p->pop3) || !pop_step(v, "POP3 greeting", NULL, NULL) || !pop_step(v, "USER", text, NULL) ||
	    !pop_step(v, "PASS", "PASS " TORTURE_PASSWORD, NULL) || !pop_step(v, "STAT", "STAT", &l)) {
		(void)over(v, NULL);
		return;
	}
	unsigned n = (unsigned)strtoul(l + 4, NULL, 10);
	pop_all(v, n, found);
	for (unsigned i = 1; i <= n && i < SEEN_MAX; i++)
		if (found[i] && strcmp(found[i]->tag, tag) == 0)
			chosen = i;
	if (!imap_alive(v))
		return;
	(void)snprintf(text, sizeof text, "DELE %u", chosen);
	bool marked = chosen && pop_step(v, "DELE", text, NULL);
	if (!imap_alive(v))
		return;
	if (marked)
		found[chosen]->least = 0;
	if (pop_step(v, "QUIT", "QUIT", NULL) && marked)
		found[chosen]->most = 0;
}

/* ---- the whole journey, and its end ---- */

static bool talk(struct visit *v, void (*how)(struct visit *v))
{
	how(v);
	hang_up(&v->c);
	return !v->said[0];
}

bool client_journey(const struct place *p, struct truth *t, const char *name, bool strict, char said[SAID_MAX])
{
	struct visit v = { .p = p, .t = t, .name = name, .strict = strict, .said = said };
	char tag[24];
	said[0] = 0;
	(void)snprintf(tag, sizeof tag, "%s-smtp", name);
	return smtp_journey(&v, tag, 5000, 3) && talk(&v, imap_talk) && talk(&v, pop_talk);
}

static bool audit_one(struct visit *v, int who, uint32_t *out_exists)
{
	struct box b = { 0 };
	if (!imap_enter(v, &b, who) || !imap_rows(v, &b, "FETCH", "UID FETCH 1:* (UID FLAGS BODY.PEEK[])"))
		return false;
	*out_exists = b.exists;
	for (size_t i = 0; i < v->t->n; i++) {
		struct item *it = &v->t->items[i];
		int copies = 0;
		bool flagged = false;
		for (size_t j = 0; j < b.n; j++)
			if (b.seen[j].item == it) {
				copies++;
				flagged = b.seen[j].flagged;
			}
		if (it->who != who)
			continue;
		if (copies < it->least || copies > it->most)
			return said_set(v->said, "message %s of %s is there %d times, not %d to %d", it->tag, torture_who[who], copies, it->least, it->most);
		if (it->flagged && !flagged)
			return said_set(v->said, "the flag of %s was answered OK and is gone", it->tag);
	}
	return imap_step(v, &b, "LOGOUT", "LOGOUT");
}

bool client_audit(const struct place *p, const struct truth *t, uint32_t exists[WHO], char said[SAID_MAX])
{
	struct truth mine = *t;
	struct visit v = { .p = p, .t = &mine, .name = "audit", .strict = true, .said = said };
	said[0] = 0;
	for (int i = 0; i < WHO; i++) {
		bool ok = audit_one(&v, i, &exists[i]);
		hang_up(&v.c);
		if (!ok)
			return said[0] ? false : said_set(said, "audit: closed");
	}
	return true;
}
