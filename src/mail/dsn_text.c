#include "mail/dsn_internal.h"

#include "base/codec.h"
#include "mail/header.h"

/* The part of a notice that a person reads. One paragraph a reason, each complete in itself: who, what, why in the receiver's words, what to do. */
enum { COLUMNS = 72, WORD_MAX = 400, GROUPS_MAX = 10, LISTED_MAX = 20, SUBJECT_MAX = 120, QUOTE_MAX = 500, ADDRESS_MAX = 320, PARAGRAPH_MAX = 8192 };

/* ---- filling lines ---- */

static size_t columns_of(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static void fill(struct buf *out, struct str text)
{
	size_t at = 0;
	struct str word, rest = text;
	while (rest.n) {
		(void)str_cut(rest, ' ', &word, &rest);
		if (word.n > WORD_MAX) { /* a line has its limit even where words have none */
			size_t cut = utf8_valid_prefix(str_head(word, WORD_MAX));
			word = str_head(word, cut ? cut : WORD_MAX);
			rest = str_skip(text, (size_t)(word.p + word.n - text.p));
		}
		if (!word.n)
			continue;
		size_t n = columns_of(word);
		if (at && at + 1 + n > COLUMNS) {
			buf_add(out, STR("\r\n"));
			at = 0;
		} else if (at) {
			buf_byte(out, ' ');
			at++;
		}
		buf_add(out, word);
		at += n;
	}
	buf_add(out, STR("\r\n"));
}

/* ---- who belongs together ---- */

/* The receiver's words without the recipient's own address, by which alone they may differ. */
static void reason_of(const struct dsn_rcpt *r, struct buf *out)
{
	struct str s = r->diagnostic;
	while (s.n && r->final.n) {
		size_t at = str_ifind_str(s, r->final);
		buf_add(out, str_head(s, at));
		if (at == s.n)
			return;
		buf_byte(out, '\0');
		s = str_skip(s, at + r->final.n);
	}
	buf_add(out, s);
}

static bool same_reason(const struct dsn_rcpt *x, const struct dsn_rcpt *y)
{
	AUTO(buf_done) struct buf a = { .max = 1 << 16 }, b = { .max = 1 << 16 };
	if (x->action != y->action || x->remote != y->remote || strcmp(x->status, y->status) != 0 || !str_ieq(x->remote_mta, y->remote_mta) || x->retry_until_ms != y->retry_until_ms)
		return false;
	reason_of(x, &a);
	reason_of(y, &b);
	return str_eq(buf_str(&a), buf_str(&b));
}

struct groups { const struct dsn_rcpt *first[GROUPS_MAX]; size_t count[GROUPS_MAX], n, left_out; };

static void group(const struct dsn *d, struct groups *g)
{
	for (size_t i = 0; i < d->n; i++) {
		size_t k = 0;
		while (k < g->n && !same_reason(g->first[k], &d->rcpts[i]))
			k++;
		if (k == GROUPS_MAX) {
			g->left_out++;
			continue;
		}
		if (k == g->n)
			g->first[g->n++] = &d->rcpts[i];
		g->count[k]++;
	}
}

/* ---- sentences ---- */

static void put_message(struct buf *b, const struct dsn *d)
{
	buf_add(b, STR("Your message "));
	if (d->subject.n) {
		buf_byte(b, '"');
		dsn_clean(b, d->subject, SUBJECT_MAX);
		buf_add(b, STR("\" "));
	}
}

static void put_whom(struct buf *b, const struct dsn *d, const struct dsn_rcpt *r, size_t n)
{
	if (n > 1) {
		buf_addf(b, "the %zu recipients listed below", n);
		return;
	}
	if (d->n == 1 && d->message_to_name.n) {
		dsn_clean(b, d->message_to_name, SUBJECT_MAX);
		buf_add(b, STR(" <"));
		dsn_clean(b, r->final, ADDRESS_MAX);
		buf_byte(b, '>');
		return;
	}
	dsn_clean(b, r->final, ADDRESS_MAX);
}

static void put_why(struct buf *b, const struct dsn_rcpt *r)
{
	if (!r->diagnostic.n)
		return;
	if (!r->remote)
		buf_add(b, STR(" This server notes: \""));
	else if (r->remote_mta.n) {
		buf_add(b, STR(" The receiving server, "));
		dsn_clean(b, r->remote_mta, 255);
		buf_add(b, STR(", said: \""));
	} else {
		buf_add(b, STR(" The receiving server said: \""));
	}
	dsn_clean(b, r->diagnostic, QUOTE_MAX);
	buf_add(b, STR("\""));
}

static void put_trouble(struct buf *b, const struct dsn *d, const struct dsn_rcpt *r, size_t n)
{
	char status[12];
	dsn_status(r, status);
	struct dsn_words w = dsn_explain(status, dsn_code(r->diagnostic), r->remote);
	bool delayed = r->action == DSN_DELAYED;
	put_message(b, d);
	buf_add(b, delayed ? STR("has not reached ") : STR("could not be delivered to "));
	put_whom(b, d, r, n);
	buf_addf(b, "%s: %s.", delayed ? " yet" : "", w.what);
	put_why(b, r);
	if (!delayed) {
		buf_addf(b, " What to do: %s", w.act);
		return;
	}
	buf_add(b, STR(" What to do: nothing for now. You need not send it again; this server keeps trying"));
	if (r->retry_until_ms) {
		buf_add(b, STR(" until "));
		mail_date_format(r->retry_until_ms, 0, b);
	}
	buf_add(b, STR(" and tells you if it has to give up. If it is urgent, reach the recipient by other means."));
}

static void put_success(struct buf *b, const struct dsn *d, const struct dsn_rcpt *r, size_t n)
{
	put_message(b, d);
	if (r->action == DSN_RELAYED) {
		buf_add(b, STR("was handed over for "));
		put_whom(b, d, r, n);
		if (r->remote_mta.n) {
			buf_add(b, STR(" to the server "));
			dsn_clean(b, r->remote_mta, 255);
		}
		buf_add(b, STR(", which does not confirm what it delivers: no further notice will come unless it fails there."));
	} else if (r->action == DSN_EXPANDED) {
		buf_add(b, STR("was passed on to everybody behind "));
		put_whom(b, d, r, n);
		buf_add(b, STR(", a list; no notices about its members will come."));
	} else {
		buf_add(b, STR("was delivered to "));
		put_whom(b, d, r, n);
		buf_byte(b, '.');
	}
	put_why(b, r);
	buf_add(b, STR(" What to do: nothing; you asked to be told."));
}

static void put_group(struct buf *out, const struct dsn *d, const struct dsn_rcpt *r, size_t n)
{
	AUTO(buf_done) struct buf b = { .max = PARAGRAPH_MAX };
	size_t listed = 0;
	if (r->action == DSN_FAILED || r->action == DSN_DELAYED)
		put_trouble(&b, d, r, n);
	else
		put_success(&b, d, r, n);
	fill(out, buf_str(&b));
	out->failed |= b.failed;
	buf_add(out, STR("\r\n"));
	if (n < 2)
		return;
	for (size_t i = 0; i < d->n && listed < LISTED_MAX; i++) {
		if (!same_reason(r, &d->rcpts[i]))
			continue;
		buf_add(out, STR("    "));
		dsn_clean(out, d->rcpts[i].final, ADDRESS_MAX);
		buf_add(out, STR("\r\n"));
		listed++;
	}
	if (n > listed)
		buf_addf(out, "    and %zu more, all in the report below\r\n", n - listed);
	buf_add(out, STR("\r\n"));
}

static const enum dsn_action order[] = { DSN_FAILED, DSN_DELAYED, DSN_RELAYED, DSN_EXPANDED, DSN_DELIVERED };

static void put_facts(struct buf *out, const struct dsn *d)
{
	const struct dsn_rcpt *r = d->rcpts;
	buf_add(out, STR("  Sent:      "));
	mail_date_format(d->arrival_ms, 0, out);
	if (d->n == 1 && r->last_ms) {
		buf_add(out, STR("\r\n  Last try:  "));
		mail_date_format(r->last_ms, 0, out);
	}
	if (d->n == 1 && r->tls.n) {
		buf_add(out, STR("\r\n  Secured:   "));
		dsn_clean(out, r->tls, 200);
	}
	if (d->mid.n) {
		buf_add(out, STR("\r\n  Number:    "));
		dsn_clean(out, d->mid, 64);
		buf_add(out, STR(" (say it when you ask for help)"));
	}
	buf_add(out, STR("\r\n  Notice by: "));
	dsn_clean(out, d->reporting_mta, 255);
	buf_addf(out, "\r\n\r\nBelow are a report for programs and %s.\r\n", d->full ? "your message" : "the header of your message");
}

void dsn_text(const struct dsn *d, struct buf *out)
{
	struct groups g = { 0 };
	group(d, &g);
	for (size_t k = 0; k < sizeof order / sizeof *order; k++)
		for (size_t i = 0; i < g.n; i++)
			if (g.first[i]->action == order[k])
				put_group(out, d, g.first[i], g.count[i]);
	if (g.left_out)
		buf_addf(out, "For %zu more recipients there are other reasons; the report below has them all.\r\n\r\n", g.left_out);
	put_facts(out, d);
}

void dsn_subject(const struct dsn *d, struct buf *out)
{
	static const char *const words[] = { [DSN_FAILED] = "Not delivered", [DSN_DELAYED] = "Not delivered yet", [DSN_DELIVERED] = "Delivered", [DSN_RELAYED] = "Passed on",
		[DSN_EXPANDED] = "Passed on to a list" };
	enum dsn_action gravest = DSN_DELIVERED;
	for (size_t k = sizeof order / sizeof *order; k-- > 0;)
		for (size_t i = 0; i < d->n; i++)
			if (d->rcpts[i].action == order[k]) {
				gravest = order[k];
				break;
			}
	buf_add(out, str_z(words[gravest]));
	if (d->subject.n) {
		buf_add(out, STR(": "));
		dsn_clean(out, d->subject, SUBJECT_MAX);
	}
}
