/* Address lists of headers (RFC 5322 3.4 and 4.4), leniently: one pass, no recursion. Words and comments are gathered in two
 * buffers as long as the value, for every octet put stands for one read. */
#include "mail/address.h"

enum { ENTRIES_MAX = 10000 };

struct text {
	char *p;
	size_t n;
};
struct reader {
	struct str in;
	size_t i;
	struct text words, comments;
	struct str comment;          /* the last one seen in this entry */
	struct arena *arena;
	struct mail_mailbox **tail;
	unsigned entries;
	bool sound, in_group, quoted; /* quoted: the last words were one quoted string */
};

static bool is_wsp(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
static int peek(const struct reader *r) { return r->i < r->in.n ? (unsigned char)r->in.p[r->i] : -1; }

/* What no atom has in it; -1 is the end of the value. */
static bool is_special(int c)
{
	static const bool special[256] = { [' '] = true, ['\t'] = true, ['\r'] = true, ['\n'] = true, ['('] = true, [')'] = true, ['<'] = true, ['>'] = true,
		[':'] = true, [';'] = true, ['@'] = true, [','] = true, ['"'] = true };
	return c < 0 || special[c];
}

static void put(const struct reader *r, struct text *t, char c)
{
	if (t->n < r->in.n)
		t->p[t->n++] = c;
}

static void take_comment(struct reader *r)
{
	size_t from = r->comments.n;
	unsigned depth = 0;
	for (; r->i < r->in.n; r->i++) {
		char c = r->in.p[r->i];
		if (c == '(' && depth++ == 0)
			continue;
		if (c == ')' && --depth == 0)
			break;
		if (c == '\\' && r->i + 1 < r->in.n)
			c = r->in.p[++r->i];
		if (c != '\r' && c != '\n')
			put(r, &r->comments, c);
	}
	r->sound &= r->i < r->in.n;
	r->i += r->i < r->in.n;
	r->comment = str_trim((struct str){ r->comments.p + from, r->comments.n - from });
}

/* White space and comments; true when there was any. */
static bool cfws(struct reader *r)
{
	size_t from = r->i;
	while (r->i < r->in.n && (is_wsp(r->in.p[r->i]) || r->in.p[r->i] == '(')) {
		if (r->in.p[r->i] == '(')
			take_comment(r);
		else
			r->i++;
	}
	return r->i > from;
}

static void take_quoted(struct reader *r)
{
	for (r->i++; r->i < r->in.n && r->in.p[r->i] != '"'; r->i++) {
		char c = r->in.p[r->i];
		if (c == '\\' && r->i + 1 < r->in.n)
			c = r->in.p[++r->i];
		if (c != '\r' && c != '\n')
			put(r, &r->words, c);
	}
	r->sound &= r->i < r->in.n;
	r->i += r->i < r->in.n;
}

static void take_atom(struct reader *r)
{
	for (; !is_special(peek(r)); r->i++) {
		char c = r->in.p[r->i];
		if ((unsigned char)c < 0x20 || c == 0x7f || c == '[' || c == ']')
			r->sound = false;
		put(r, &r->words, c);
	}
}

/* Words up to a special: "John Q. Public", "a.b". White space between two words becomes one space. */
static bool take_words(struct reader *r, struct str *out)
{
	size_t from = r->words.n;
	unsigned parts = 0;
	r->quoted = false;
	for (;;) {
		bool gap = cfws(r);
		int c = peek(r);
		if (c != '"' && is_special(c))
			break;
		if (gap && parts)
			put(r, &r->words, ' ');
		r->quoted = c == '"' && parts == 0;
		if (c == '"')
			take_quoted(r);
		else
			take_atom(r);
		parts++;
	}
	*out = (struct str){ r->words.p + from, r->words.n - from };
	return parts > 0;
}

/* obs-local-part: "j . doe" is "j.doe"; of words that no dot joins the last one counts. In place. */
static struct str local_of(struct reader *r, struct str words)
{
	char *p = r->words.p + (words.p - r->words.p);
	size_t n = 0;
	if (r->quoted)
		return words;
	for (size_t i = 0; i < words.n; i++) {
		if (words.p[i] != ' ') {
			p[n++] = words.p[i];
		} else if (n && p[n - 1] != '.' && i + 1 < words.n && words.p[i + 1] != '.') {
			r->sound = false;
			n = 0;
		}
	}
	return (struct str){ p, n };
}

/* After "@": a name, its atoms and dots possibly apart (obs-domain), or a literal. */
static struct str take_domain(struct reader *r)
{
	size_t from;
	bool dot = true;
	cfws(r);
	from = r->words.n;
	if (peek(r) == '[') {
		for (; r->i < r->in.n && r->in.p[r->i] != ']'; r->i++)
			if (!is_wsp(r->in.p[r->i]))
				put(r, &r->words, r->in.p[r->i]);
		r->sound &= peek(r) == ']';
		if (peek(r) == ']')
			put(r, &r->words, r->in.p[r->i++]);
		return (struct str){ r->words.p + from, r->words.n - from };
	}
	while (!is_special(peek(r)) && (dot || r->in.p[r->i] == '.')) {
		size_t at = r->words.n;
		take_atom(r);
		dot = r->words.n > at && r->words.p[r->words.n - 1] == '.';
		cfws(r);
	}
	struct str d = { r->words.p + from, r->words.n - from };
	if (d.n == 0 || d.p[0] == '.' || d.p[d.n - 1] == '.')
		r->sound = false;
	return d;
}

static void emit(struct reader *r, struct mail_mailbox m)
{
	struct mail_mailbox *box = arena_new(r->arena, sizeof *box);
	if (!box)
		return;
	*box = m;
	*r->tail = box;
	r->tail = &box->next;
	r->entries++;
}

static struct str raw_run(const struct reader *r, size_t from, size_t to) { return str_trim((struct str){ r->in.p + from, to - from }); }

/* obs-route: what stands before the ":" in "<@a,@b:c@d>". */
static struct str take_route(struct reader *r)
{
	size_t from = r->i, i = from;
	if (peek(r) != '@')
		return STR("");
	while (i < r->in.n && r->in.p[i] != ':' && r->in.p[i] != '>' && r->in.p[i] != '<')
		i++;
	if (i >= r->in.n || r->in.p[i] != ':') {
		r->sound = false;
		return STR("");
	}
	r->i = i + 1;
	return raw_run(r, from, i);
}

static void skip_to(struct reader *r, const char *stops)
{
	while (r->i < r->in.n && !strchr(stops, r->in.p[r->i] ? r->in.p[r->i] : ' ')) {
		r->i++;
		r->sound = false;
	}
}

/* From "<" on. */
static void take_angle(struct reader *r, struct str name)
{
	struct mail_mailbox m = { .name = name, .kind = MAILBOX_ADDRESS, .domain = STR("") };
	struct str words;
	r->i++;
	cfws(r);
	m.route = take_route(r);
	r->sound &= take_words(r, &words);
	m.local = local_of(r, words);
	if (peek(r) == '@') {
		r->i++;
		m.domain = take_domain(r);
	} else {
		r->sound = false;
	}
	cfws(r);
	skip_to(r, ">,;");
	if (peek(r) == '>')
		r->i++;
	else
		r->sound = false;
	cfws(r);
	skip_to(r, ",;");
	if (m.name.n == 0)
		m.name = r->comment;
	emit(r, m);
}

/* At "@" after a local part. "a@b <a@b>" and "a@b c <a@b>" are common damage: all before the "<" is then the name. */
static void take_plain(struct reader *r, size_t start, struct str words)
{
	struct mail_mailbox m = { .kind = MAILBOX_ADDRESS, .route = STR("") };
	m.local = local_of(r, words);
	r->sound &= m.local.n > 0 || r->quoted;
	r->i++;
	m.domain = take_domain(r);
	cfws(r);
	skip_to(r, ",;<");
	if (peek(r) == '<') {
		r->sound = false;
		take_angle(r, raw_run(r, start, r->i));
		return;
	}
	m.name = r->comment;
	emit(r, m);
}

static void take_entry(struct reader *r)
{
	struct str words, none = STR("");
	r->comment = none;
	cfws(r);
	size_t start = r->i;
	bool some = take_words(r, &words);
	int c = peek(r);
	if (c == '<') {
		take_angle(r, words);
	} else if (c == '@') {
		take_plain(r, start, words);
	} else if (c == ':' && some && !r->in_group) {
		emit(r, (struct mail_mailbox){ words, none, none, none, MAILBOX_GROUP_START, NULL });
		r->in_group = true;
		r->i++;
		return;
	} else if (some) { /* "root": no domain */
		emit(r, (struct mail_mailbox){ r->comment, none, words, none, MAILBOX_ADDRESS, NULL });
		r->sound = false;
	}
	c = peek(r);
	if (c == ';' && r->in_group) {
		emit(r, (struct mail_mailbox){ none, none, none, none, MAILBOX_GROUP_END, NULL });
		r->in_group = false;
	} else if (c >= 0 && c != ',') {
		r->sound = false;
	}
	r->i += c >= 0;
}

enum rc mail_list_parse(struct str value, struct arena *a, struct mail_mailbox **out_first, bool *out_sound)
{
	struct mail_mailbox *first = NULL;
	struct reader r = { .in = value, .arena = a, .tail = &first, .sound = true, .comment = STR("") };
	r.words.p = arena_new(a, value.n + 1);
	r.comments.p = str_find(value, '(') < value.n ? arena_new(a, value.n + 1) : r.words.p;
	if (!r.words.p || !r.comments.p)
		return RC_NOMEM;
	while (r.i < value.n && r.entries < ENTRIES_MAX)
		take_entry(&r);
	r.sound &= r.i >= value.n;
	if (r.in_group) {
		emit(&r, (struct mail_mailbox){ STR(""), STR(""), STR(""), STR(""), MAILBOX_GROUP_END, NULL });
		r.sound = false;
	}
	if (a->full)
		return RC_NOMEM;
	*out_first = first;
	*out_sound = r.sound;
	return RC_OK;
}
