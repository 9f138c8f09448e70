#include "role/sendmail_text.h"

#include "mail/address.h"
#include "mail/header.h"

enum { RECIPIENTS_MAX = 10000 };

/* One line without its end; false at the end of the input. */
static bool next_line(struct str *in, struct str *out)
{
	size_t n = 0;
	if (in->n == 0)
		return false;
	while (n < in->n && in->p[n] != '\n' && in->p[n] != '\r')
		n++;
	*out = str_head(*in, n);
	bool pair = n + 1 < in->n && in->p[n] == '\r' && in->p[n + 1] == '\n';
	*in = str_skip(*in, n + 1 + pair);
	return true;
}

/* RFC 5322 2.2: a name of printable ASCII without a colon, then the colon. */
static bool is_field(struct str line)
{
	size_t colon = str_find(line, ':');
	for (size_t i = 0; i < colon; i++)
		if (line.p[i] < '!' || line.p[i] > '~')
			return false;
	return colon > 0 && colon < line.n;
}

void sendmail_message(struct str in, bool dot_ends, struct buf *out)
{
	struct str line;
	bool first = true;
	while (next_line(&in, &line)) {
		if (first && str_starts(line, STR("From ")))
			continue;
		if (dot_ends && str_eq(line, STR(".")))
			return;
		if (first && line.n && !is_field(line))
			buf_add(out, STR("\r\n"));
		first = false;
		buf_add(out, line);
		buf_add(out, STR("\r\n"));
	}
	if (first)
		buf_add(out, STR("\r\n"));
}

static bool one_of(struct str name, const struct str *names)
{
	return str_ieq(name, names[0]) || str_ieq(name, names[1]) || str_ieq(name, names[2]);
}

struct list { struct arena *a; struct str *at; size_t n, max; struct why *why; };

static enum rc add_one(struct list *l, struct str address)
{
	if (l->n == l->max)
		FAIL(l->why, RC_LIMIT, "more than %zu recipients", l->max);
	l->at[l->n++] = arena_str(l->a, address);
	return l->a->full ? RC_NOMEM : RC_OK;
}

static enum rc add_list(struct list *l, struct str value, bool *out_sound)
{
	struct mail_mailbox *m;
	TRY(mail_list_parse(value, l->a, &m, out_sound));
	for (; m && *out_sound; m = m->next) {
		char room[512];
		struct buf text = { .p = room, .cap = sizeof room, .max = sizeof room };
		if (m->kind != MAILBOX_ADDRESS)
			continue;
		mail_address_format(&(struct mail_address){ m->local, m->domain }, &text);
		if (text.failed)
			FAIL(l->why, RC_LIMIT, "an address is too long");
		TRY(add_one(l, buf_str(&text)));
	}
	return RC_OK;
}

/* "root": a name of this machine without a domain, which no RFC knows and every machine uses. */
static bool is_bare_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alnum(s.p[i]) && s.p[i] != '.' && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '+')
			return false;
	return s.n > 0;
}

/* RC_SYNTAX: there is something in it that is no address. */
static enum rc add_all(struct list *l, struct str value)
{
	bool sound = true, more = true;
	TRY(add_list(l, value, &sound));
	for (struct str rest = value, word; !sound && more;) {
		bool whole = true;
		more = str_cut(rest, ',', &word, &rest);
		word = str_trim(word);
		if (is_bare_name(word))
			TRY(add_one(l, word));
		else
			TRY(add_list(l, word, &whole));
		if (!whole)
			return RC_SYNTAX;
	}
	return RC_OK;
}

static enum rc add_field(struct list *l, const struct header_field *f)
{
	enum rc rc = add_all(l, f->value);
	if (rc == RC_SYNTAX)
		FAIL(l->why, rc, "the field %.*s cannot be read", PSTR(str_head(f->name, 40)));
	return rc;
}

static enum rc gather(struct str message, const struct str *names, struct list *l)
{
	struct header_field f;
	bool broken = false;
	for (size_t pos = 0; header_next(message, &pos, &f, &broken) == RC_OK;)
		if (one_of(f.name, names))
			TRY(add_field(l, &f));
	return RC_OK;
}

enum rc sendmail_recipients(struct str message, struct arena *a, struct str **out, size_t *out_n, struct why *why)
{
	static const struct str resent[] = { STR_INIT("Resent-To"), STR_INIT("Resent-Cc"), STR_INIT("Resent-Bcc") }, plain[] = { STR_INIT("To"), STR_INIT("Cc"), STR_INIT("Bcc") };
	struct list l = { .a = a, .at = arena_new(a, RECIPIENTS_MAX * sizeof *l.at), .max = RECIPIENTS_MAX, .why = why };
	if (!l.at)
		return RC_NOMEM;
	TRY(gather(message, resent, &l));
	if (l.n == 0)
		TRY(gather(message, plain, &l));
	*out = l.at;
	*out_n = l.n;
	return RC_OK;
}

enum rc sendmail_argument(struct str text, struct arena *a, struct str **out, size_t *out_n, struct why *why)
{
	bool list = false;
	for (size_t i = 0; i < text.n; i++)
		list = list || memchr(" \t,;:<>()", text.p[i], 10);
	size_t most = list ? text.n / 2 + 1 : 1; /* an address and what parts it from the next one are two octets at least */
	struct list l = { .a = a, .at = arena_new(a, most * sizeof *l.at), .max = most, .why = why };
	if (!l.at)
		return RC_NOMEM;
	enum rc rc = list ? add_all(&l, text) : add_one(&l, text);
	if (rc == RC_SYNTAX)
		FAIL(why, rc, "\"%.*s\" is no address", PSTR(str_head(text, 200)));
	*out = l.at;
	*out_n = l.n;
	return rc;
}

/* ---- names without a domain ---- */

/* The same text, with blanks for comments and marks for quoted strings, so that what stands in them is taken for nothing else. */
static struct str without_texts(struct str in, struct arena *a)
{
	char *p = arena_new(a, in.n + 1);
	bool quoted = false;
	size_t depth = 0;
	for (size_t i = 0; p && i < in.n; i++) {
		char c = in.p[i];
		bool escape = c == '\\' && (quoted || depth) && i + 1 < in.n, was = quoted;
		quoted = quoted != (c == '"' && !depth);
		depth += c == '(' && !quoted;
		p[i] = quoted || was ? '"' : depth ? ' ' : c;
		depth -= c == ')' && !quoted && depth;
		if (escape) {
			i++;
			p[i] = p[i - 1];
		}
	}
	return str_of(p, p ? in.n : 0);
}

/* Where in an entry of a list a name ends that has no domain: "root", "root (Cron Daemon)", "Root <root>"; 0: it has one, or is something else. */
static size_t bare_end(struct str entry)
{
	size_t open = str_find(entry, '<');
	struct str name = open < entry.n ? str_skip(entry, open + 1) : entry;
	name = str_trim(str_head(name, str_find(name, '>')));
	return is_bare_name(name) ? (size_t)(name.p + name.n - entry.p) : 0;
}

static void qualify(struct str value, struct str shape, struct str domain, struct buf *out)
{
	for (size_t at = 0, n; at < value.n; at += n) {
		struct str entry = str_skip(shape, at);
		for (n = 0; n < entry.n && !memchr(",;:", entry.p[n], 3); n++)
			continue;
		size_t end = n < entry.n && entry.p[n] == ':' ? 0 : bare_end(str_head(entry, n)); /* before a colon: a group's name */
		n += n < entry.n;
		buf_add(out, str_head(str_skip(value, at), end));
		if (end) {
			buf_byte(out, '@');
			buf_add(out, domain);
		}
		buf_add(out, str_head(str_skip(value, at + end), n - end));
	}
}

static bool has_addresses(struct str name)
{
	static const struct str names[] = { STR_INIT("From"), STR_INIT("Sender"), STR_INIT("Reply-To"), STR_INIT("To"), STR_INIT("Cc"), STR_INIT("Bcc") };
	if (str_istarts(name, STR("Resent-")))
		name = str_skip(name, 7);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_ieq(name, names[i]))
			return true;
	return false;
}

enum rc sendmail_qualify(struct str message, struct str domain, struct arena *a, struct buf *out)
{
	struct header_field f;
	bool broken = false;
	size_t pos = 0, done = 0;
	while (header_next(message, &pos, &f, &broken) == RC_OK) {
		if (!domain.n || !has_addresses(f.name))
			continue;
		struct str shape = without_texts(f.value, a);
		if (a->full)
			return RC_NOMEM;
		size_t at = (size_t)(f.value.p - message.p);
		buf_add(out, str_head(str_skip(message, done), at - done));
		qualify(f.value, shape, domain, out);
		done = at + f.value.n;
	}
	buf_add(out, str_skip(message, done));
	return out->failed ? RC_NOMEM : RC_OK;
}

bool sendmail_has_from(struct str message)
{
	struct header_field f;
	return header_find(message, STR("From"), &f) == RC_OK;
}
