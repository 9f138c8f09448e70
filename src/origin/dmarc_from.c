/* The author domain of a message (RFC 9989 5.3.1), for a reader who must not be fooled: what two mail programs could read differently is refused, and
 * every domain that any of them might show is told (struct from_found).
 * Three passes: find the From fields as the most careless program would; cut the value into tokens; read the tokens as RFC 5322's mailbox-list
 * without groups, routes and comments within addresses. Everything is one pass over the value, without recursion. */
#include "origin/dmarc_internal.h"

#include "base/codec.h"
#include "base/idn.h"
#include "mail/address.h"
#include "mail/encoded_word.h"

enum { VALUE_MAX = 16384, ADDRESSES_MAX = 200, COMMENT_DEPTH = 8 };

/* ---- domains ---- */
static bool ldh_or_underscore(struct str d)
{
	for (size_t i = 0; i < d.n; i++)
		if (!ascii_alnum(d.p[i]) && d.p[i] != '-' && d.p[i] != '_' && d.p[i] != '.')
			return false;
	return true;
}

static struct str lower(struct str s, struct arena *a)
{
	char *p = arena_new(a, s.n + 1);
	if (!p)
		return STR("");
	for (size_t i = 0; i < s.n; i++)
		p[i] = ascii_lower(s.p[i]);
	return str_of(p, s.n);
}

/* U-labels as a browser would read them (UTS 46, not transitional): full-width letters, ideographic full stops and invisible characters included, so that
 * what looks like a name is evaluated as that name. */
static struct str to_ascii(struct str d, struct arena *a)
{
	char *made = NULL;
	struct str in = arena_str(a, d);
	if (in.n == 0 || memchr(d.p, 0, d.n) || !utf8_ok(d) || d.n > 1000)
		return STR("");
	if (!idn_to_ascii(in.p, &made))
		return STR("");
	struct str out = lower(str_z(made), a);
	idn_alabels_free(made);
	return out;
}

struct str dmarc_domain_fold(struct str domain, struct arena *a)
{
	bool ascii = true;
	for (size_t i = 0; i < domain.n; i++)
		ascii &= (unsigned char)domain.p[i] < 0x80;
	struct str d = ascii ? lower(domain, a) : to_ascii(domain, a);
	if (d.n && d.p[d.n - 1] == '.')
		d.n--;
	return d.n && d.p[d.n - 1] != '.' && ldh_or_underscore(d) && dns_name_ok(d) ? d : STR("");
}

static void note(struct from_found *f, struct str domain, struct arena *a)
{
	struct str d = dmarc_domain_fold(domain, a);
	for (size_t i = 0; d.n && i < f->domains; i++)
		if (str_eq(f->domain[i], d))
			return;
	if (d.n && f->domains < FROM_DOMAINS_MAX)
		f->domain[f->domains++] = d;
}

/* ---- characters ---- */
/* Characters that are not seen, or that turn what follows around, or that look like "@": an address that has them is read differently than it looks. */
static bool is_treacherous(uint32_t c)
{
	static const struct { uint32_t from, to; } ranges[] = {
		{ 0x80, 0xa0 }, { 0xad, 0xad }, { 0x34f, 0x34f }, { 0x61c, 0x61c }, { 0x115f, 0x1160 }, { 0x1680, 0x1680 }, { 0x17b4, 0x17b5 }, { 0x180b, 0x180f },
		{ 0x2000, 0x200f }, { 0x2028, 0x202f }, { 0x205f, 0x206f }, { 0x3000, 0x3000 }, { 0x3164, 0x3164 }, { 0xfe00, 0xfe0f }, { 0xfe6b, 0xfe6b },
		{ 0xfeff, 0xfeff }, { 0xff20, 0xff20 }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xffff }, { 0xe0000, 0xe0fff },
	};
	for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
		if (c >= ranges[i].from && c <= ranges[i].to)
			return true;
	return false;
}
/* Overrides of writing direction, in a name: they may turn the address that follows it. */
static bool is_override(uint32_t c) { return c == 0x202d || c == 0x202e; }

static bool has_char(struct str s, bool (*is)(uint32_t))
{
	uint32_t c;
	while (s.n) {
		size_t n = utf8_next(s, &c);
		if (n && is(c))
			return true;
		s = str_skip(s, n ? n : 1);
	}
	return false;
}
static bool has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
			return true;
	return false;
}
static bool has_any(struct str s, const char *set)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] && strchr(set, s.p[i]))
			return true;
	return false;
}
static bool is_wsp(char c) { return c == ' ' || c == '\t'; }

/* ---- the From fields ---- */
/* Where some program ends a line: LF, a bare CR, and the other controls that text libraries split at. */
static bool is_soft_break(char c) { return (c >= 0x0b && c <= 0x0c) || (c >= 0x1c && c <= 0x1e); }
static bool is_break(char c) { return c == '\n' || c == '\r' || is_soft_break(c); }
static bool is_hard_break(char c) { return c == '\n' || c == '\r'; }

struct lines {
	struct str in;
	size_t at;
	bool first;
};

/* Behind the line that begins there, with its continuations. */
static size_t field_end(struct str in, size_t i, bool (*is)(char))
{
	for (;;) {
		while (i < in.n && !is(in.p[i]))
			i++;
		i += i < in.n && (in.p[i] != '\r' || i + 1 >= in.n || in.p[i + 1] != '\n') ? 1 : i < in.n ? 2 : 0;
		if (i >= in.n || !is_wsp(in.p[i]))
			return i;
	}
}

/* The next line with its continuations, line ends and all. False: the empty line or the end. */
static bool next_field(struct lines *l, struct str *out)
{
	struct str in = l->in;
	size_t from = l->at;
	bool fresh = from == 0 || in.p[from - 1] == '\n'; /* after a bare CR nothing is empty: "x" CR CR LF is one line to most */
	if (from >= in.n || (fresh && (in.p[from] == '\n' || (in.p[from] == '\r' && from + 1 < in.n && in.p[from + 1] == '\n'))))
		return false;
	l->at = field_end(in, from, is_break);
	*out = (struct str){ in.p + from, l->at - from };
	return true;
}

enum from_name { NOT_FROM, IS_FROM, LOOKS_LIKE_FROM };

static bool is_seen(char c) { return (unsigned char)c > 0x20 && (unsigned char)c < 0x7f; }

static struct str without_edges(struct str s)
{
	while (s.n && !is_seen(s.p[0]))
		s = str_skip(s, 1);
	while (s.n && !is_seen(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Is the field's name From, plainly, or once the octets are dropped that careless programs drop? */
static enum from_name name_of(struct str field, bool first, struct str *out_value)
{
	struct str name;
	char seen[5];
	size_t n = 0;
	if (!str_cut(field, ':', &name, out_value))
		return NOT_FROM;
	bool led = name.n && is_wsp(name.p[0]) && first; /* white space before the first field's name */
	size_t end = name.n;
	while (end && is_wsp(name.p[end - 1]))
		end--;
	for (size_t i = 0; i < name.n && n < sizeof seen; i++)
		if (is_seen(name.p[i]))
			seen[n++] = name.p[i];
	if (!str_ieq(str_of(seen, n), STR("from")))
		return NOT_FROM;
	if (str_ieq(str_head(name, end), STR("from")) && !led)
		return IS_FROM;
	/* "F rom" is no From to anyone. */
	struct str trimmed = without_edges(name);
	return str_find(trimmed, ' ') < trimmed.n && !has_any(trimmed, "\r\n") && !led ? NOT_FROM : LOOKS_LIKE_FROM;
}

/* The next field, and what it is to a program that ends lines at every control, or to one that takes them for white space ("From" VT ":"). */
static bool next_named(struct lines *l, enum from_name *out, struct str *out_value)
{
	struct str field;
	size_t at = l->at;
	if (!next_field(l, &field))
		return false;
	*out = name_of(field, l->first, out_value);
	bool begins = at == 0 || is_hard_break(l->in.p[at - 1]); /* once a line: a line of nothing but controls costs no more than another */
	if (*out == NOT_FROM && begins && is_soft_break(field.p[field.n - 1]))
		*out = name_of(str_of(field.p, field_end(l->in, at, is_hard_break) - at), l->first, out_value);
	l->first = false;
	return true;
}

size_t dmarc_from_fields(struct str header)
{
	struct lines l = { .in = header, .first = true };
	enum from_name is;
	struct str value;
	size_t n = 0;
	while (next_named(&l, &is, &value))
		n += is != NOT_FROM;
	return n;
}

/* ---- tokens ---- */
enum token_kind { T_END, T_ATOM, T_QUOTED, T_COMMENT, T_LITERAL, T_SPECIAL };
struct token {
	enum token_kind kind;
	char special;            /* of <>@,.:; */
	bool spaced;             /* white space stands before it */
	struct str text;         /* raw, without quotes, brackets and parentheses */
};
struct reader {
	struct str in;           /* unfolded */
	size_t i;
	struct token t;          /* the one looked at */
	struct arena *arena;
	struct from_found *found;
	struct why *why;
	struct str author;       /* of the first address */
	struct str hidden[64];   /* names, quoted strings and comments: judged when the author is known */
	enum hidden_kind { HIDDEN_NAME, HIDDEN_COMMENT, HIDDEN_ADDRESS } hidden_kind[64];
	size_t hiddens;
	bool conflict;
};

static enum rc take_comment(struct reader *r)
{
	size_t from = ++r->i;
	unsigned depth = 1;
	for (; r->i < r->in.n; r->i++) {
		char c = r->in.p[r->i];
		if (c == '\\')
			FAIL(r->why, RC_SYNTAX, "From has a comment with a backslash");
		depth += c == '(';
		depth -= c == ')';
		if (depth > COMMENT_DEPTH)
			FAIL(r->why, RC_SYNTAX, "From has comments within comments");
		if (depth)
			continue;
		r->t = (struct token){ .kind = T_COMMENT, .spaced = r->t.spaced, .text = str_of(r->in.p + from, r->i - from) };
		r->i++;
		return RC_OK;
	}
	FAIL(r->why, RC_SYNTAX, "From has a comment without end");
}

static enum rc take_until(struct reader *r, char end, enum token_kind kind)
{
	size_t from = ++r->i;
	for (; r->i < r->in.n && r->in.p[r->i] != end; r->i++)
		r->i += r->in.p[r->i] == '\\' && r->i + 1 < r->in.n;
	if (r->i >= r->in.n)
		FAIL(r->why, RC_SYNTAX, "From has a %s without end", kind == T_QUOTED ? "quoted string" : "bracket");
	r->t = (struct token){ .kind = kind, .spaced = r->t.spaced, .text = str_of(r->in.p + from, r->i - from) };
	r->i++;
	return RC_OK;
}

static enum rc next(struct reader *r)
{
	size_t from = r->i;
	while (r->i < r->in.n && is_wsp(r->in.p[r->i]))
		r->i++;
	r->t = (struct token){ .kind = T_END, .spaced = r->i > from, .text = STR("") };
	if (r->i >= r->in.n)
		return RC_OK;
	char c = r->in.p[r->i];
	if (c == '"')
		return take_until(r, '"', T_QUOTED);
	if (c == '(')
		return take_comment(r);
	if (c == '[')
		return take_until(r, ']', T_LITERAL);
	if (strchr("<>@,.:;", c)) {
		r->t.kind = T_SPECIAL;
		r->t.special = c;
		r->t.text = str_of(r->in.p + r->i++, 1);
		return RC_OK;
	}
	if (strchr("\\)]", c))
		FAIL(r->why, RC_SYNTAX, "From has a \"%c\" out of place", c);
	from = r->i;
	while (r->i < r->in.n && !is_wsp(r->in.p[r->i]) && !memchr("<>@,.:;\"([\\)]", r->in.p[r->i], 13))
		r->i++;
	r->t.kind = T_ATOM;
	r->t.text = str_of(r->in.p + from, r->i - from);
	return RC_OK;
}
static bool at(const struct reader *r, char special) { return r->t.kind == T_SPECIAL && r->t.special == special; }

static enum rc hide(struct reader *r, struct str text, enum hidden_kind kind)
{
	if (r->hiddens == sizeof r->hidden / sizeof r->hidden[0])
		FAIL(r->why, RC_SYNTAX, "From has too many names and comments");
	r->hidden_kind[r->hiddens] = kind;
	r->hidden[r->hiddens++] = text;
	return RC_OK;
}

/* Comments may stand around a mailbox, as in "a@b (Name)", and nowhere else. */
static enum rc skip_comments(struct reader *r)
{
	while (r->t.kind == T_COMMENT) {
		TRY(hide(r, r->t.text, HIDDEN_COMMENT));
		TRY(next(r));
	}
	return RC_OK;
}

/* ---- addresses ---- */
static enum rc local_ok(struct reader *r, struct str local, bool quoted)
{
	if (local.n == 0)
		FAIL(r->why, RC_SYNTAX, "From has an address without a local part");
	if (quoted && has_any(local, "@<>\"\\,;:()[]"))
		FAIL(r->why, RC_SYNTAX, "From has a quoted local part that reads like an address");
	if (str_find_str(local, STR("=?")) < local.n)
		FAIL(r->why, RC_SYNTAX, "From has an encoded word within an address");
	if (!utf8_ok(local) || has_char(local, is_treacherous))
		FAIL(r->why, RC_SYNTAX, "From has characters in its address that are not what they look like");
	return RC_OK;
}

/* The token is the first after "@". Atoms and dots without white space between. */
static enum rc take_domain(struct reader *r, struct str *out)
{
	const char *from = r->t.text.p;
	size_t n = 0;
	if (r->t.kind == T_LITERAL && !r->t.spaced) {
		*out = str_of(from - 1, r->t.text.n + 2);
		return next(r);
	}
	while ((r->t.kind == T_ATOM || at(r, '.')) && !r->t.spaced) {
		n = (size_t)(r->t.text.p + r->t.text.n - from);
		TRY(next(r));
	}
	*out = str_of(from, n);
	if (str_find_str(*out, STR("=?")) < out->n)
		FAIL(r->why, RC_SYNTAX, "From has an encoded word within an address");
	if (n == 0)
		FAIL(r->why, RC_SYNTAX, "From has an address without a domain");
	return RC_OK;
}

static enum rc add_address(struct reader *r, struct str domain)
{
	if (++r->found->addresses > ADDRESSES_MAX)
		FAIL(r->why, RC_SYNTAX, "From has more than %d addresses", ADDRESSES_MAX);
	if (domain.p[0] == '[')
		FAIL(r->why, RC_NOTFOUND, "From has an address literal, for which no DMARC policy can be");
	struct str d = dmarc_domain_fold(domain, r->arena);
	if (d.n == 0)
		FAIL(r->why, RC_SYNTAX, "\"%.*s\" in From is no domain name", PSTR(str_head(domain, 60)));
	note(r->found, d, r->arena);
	if (r->author.n == 0)
		r->author = d;
	r->conflict |= !str_eq(r->author, d);
	return RC_OK;
}

/* local "@" domain; the token is the first of it. */
static enum rc take_addr_spec(struct reader *r)
{
	struct str local, domain;
	bool quoted = r->t.kind == T_QUOTED;
	const char *from = r->t.text.p;
	size_t n = r->t.text.n;
	if (quoted) {
		local = r->t.text;
		TRY(next(r));
	} else {
		for (bool first = true; r->t.kind == T_ATOM || at(r, '.'); first = false) {
			if (r->t.spaced && !first)
				FAIL(r->why, RC_SYNTAX, "From has white space within an address");
			n = (size_t)(r->t.text.p + r->t.text.n - from);
			TRY(next(r));
		}
		local = str_of(from, n);
	}
	if (!at(r, '@') || r->t.spaced)
		FAIL(r->why, RC_SYNTAX, "From has brackets without one plain address in them");
	TRY(local_ok(r, local, quoted));
	TRY(next(r));
	TRY(take_domain(r, &domain));
	return add_address(r, domain);
}

/* From "<" on. */
static enum rc take_angle(struct reader *r)
{
	TRY(next(r));
	if (at(r, '@'))
		FAIL(r->why, RC_SYNTAX, "From has a source route");
	TRY(take_addr_spec(r));
	if (!at(r, '>'))
		FAIL(r->why, RC_SYNTAX, "From has more than one address within brackets");
	TRY(next(r));
	return skip_comments(r);
}

/* What one element begins with: words, comments, and the common damage of a bare address before the bracketed one. */
static enum rc take_element(struct reader *r)
{
	struct reader start;
	TRY(skip_comments(r));
	start = *r;
	size_t tokens = 0;
	const char *from = r->t.kind == T_QUOTED ? r->t.text.p - 1 : r->t.text.p;
	const char *end = from;
	bool has_at = false;
	while (r->t.kind == T_ATOM || r->t.kind == T_QUOTED || r->t.kind == T_LITERAL || r->t.kind == T_COMMENT || at(r, '.') || at(r, '@')) {
		has_at |= at(r, '@');
		if (r->t.kind == T_COMMENT)
			TRY(hide(r, r->t.text, HIDDEN_COMMENT));
		end = r->t.text.p + r->t.text.n + (r->t.kind == T_QUOTED || r->t.kind == T_COMMENT || r->t.kind == T_LITERAL);
		tokens++;
		TRY(next(r));
	}
	if (at(r, '<')) {
		if (tokens)
			TRY(hide(r, str_of(from, (size_t)(end - from)), has_at ? HIDDEN_ADDRESS : HIDDEN_NAME));
		return take_angle(r);
	}
	if (at(r, ':') || at(r, ';'))
		FAIL(r->why, RC_SYNTAX, "From has a group");
	if (at(r, '>'))
		FAIL(r->why, RC_SYNTAX, "From has a \">\" out of place");
	if (!has_at) {
		if (tokens == 0)
			FAIL(r->why, RC_SYNTAX, "From has an empty place between commas");
		struct str text = str_of(from, (size_t)(end - from));
		if (str_find_str(text, STR("=?")) < text.n)
			FAIL(r->why, RC_SYNTAX, "From has encoded words in the place of an address");
		if (str_find(text, '@') < text.n)
			FAIL(r->why, RC_SYNTAX, "From has a name in the place of an address, and an address in it");
		return RC_OK; /* "Smith, John <a@b>": the first half */
	}
	start.hiddens = r->hiddens;
	memcpy(start.hidden, r->hidden, sizeof start.hidden);
	memcpy(start.hidden_kind, r->hidden_kind, sizeof start.hidden_kind);
	*r = start;
	TRY(take_addr_spec(r));
	return skip_comments(r);
}

/* ---- what hides in names ---- */
/* The name that follows an "@", as far as it goes; *io moves past it. "" = there is none any more. */
static struct str next_domain(struct str text, size_t *io)
{
	for (size_t i = *io; i < text.n; i++) {
		if (text.p[i] != '@')
			continue;
		size_t from = i + 1, end = from;
		while (end < text.n && (ascii_alnum(text.p[end]) || memchr("-._", text.p[end], 3) || (unsigned char)text.p[end] >= 0x80))
			end++;
		while (end > from && text.p[end - 1] == '.')
			end--;
		*io = end > i ? end : i + 1;
		if (end > from && str_find(str_of(text.p + from, end - from), '.') < end - from)
			return str_of(text.p + from, end - from);
	}
	*io = text.n;
	return STR("");
}

/* Does the text hold an address of another domain than the author's? */
static bool foreign_address(struct reader *r, struct str text)
{
	bool foreign = false;
	size_t i = 0;
	for (unsigned seen = 0; i < text.n && seen < 64; seen++) {
		struct str d = next_domain(text, &i);
		if (d.n == 0)
			break;
		d = dmarc_domain_fold(d, r->arena);
		if (d.n == 0 || str_eq(d, r->author))
			continue;
		note(r->found, d, r->arena);
		foreign = true;
	}
	return foreign;
}

/* "a@b <a@b>": as many addresses as there are "@", and all of the author's domain. */
static bool only_the_author(const struct reader *r, struct str text)
{
	size_t i = 0, ats = 0, good = 0;
	for (size_t k = 0; k < text.n; k++)
		ats += text.p[k] == '@';
	for (size_t k = 0; k < ats; k++)
		good += str_ieq(next_domain(text, &i), r->author);
	return good == ats && str_find_str(text, STR("=?")) == text.n;
}

/* A name may say anything a reader takes for a name, other people's addresses included; but nothing that a program which decodes before it parses, or
 * which looks for the first "<" or comma, would take for the address. */
static enum rc judge_hidden(struct reader *r, struct str text, enum hidden_kind kind)
{
	AUTO(buf_done) struct buf plain = { .max = 4 * VALUE_MAX };
	size_t marks = r->found->domains;
	encoded_words_decode(text, &plain);
	struct str shown = buf_str(&plain);
	bool encoded = str_find_str(text, STR("=?")) < text.n;
	if (plain.failed)
		FAIL(r->why, RC_NOMEM, "no memory for From");
	if (has_control(shown))
		FAIL(r->why, RC_SYNTAX, "From hides control characters in encoded words");
	if (has_char(shown, is_override))
		FAIL(r->why, RC_SYNTAX, "From turns the writing direction around");
	bool alone = encoded && str_find(str_trim(shown), ' ') == str_trim(shown).n;
	bool tricky = kind != HIDDEN_NAME || alone || has_any(shown, "<>") || (encoded && has_any(shown, ",;\"\\")) || str_find(text, '\\') < text.n;
	if (tricky && foreign_address(r, shown))
		FAIL(r->why, RC_CONFLICT, "From hides an address of another domain (%.*s) in a name or comment", PSTR(str_head(r->found->domains > marks ? r->found->domain[marks] : r->author, 60)));
	if (kind == HIDDEN_ADDRESS && !only_the_author(r, text))
		FAIL(r->why, RC_SYNTAX, "From has something like an address in its name");
	return RC_OK;
}

/* ---- the value ---- */
static enum rc unfold(struct str raw, struct buf *out, struct why *why)
{
	if (raw.n && raw.p[raw.n - 1] == '\n') /* its own line end */
		raw.n -= raw.n > 1 && raw.p[raw.n - 2] == '\r' ? 2 : 1;
	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];
		if (c == '\r' && i + 1 < raw.n && raw.p[i + 1] == '\n')
			continue;
		if (c == '\n')
			continue;
		if (c == 0 || c == '\r' || c == 0x7f || ((unsigned char)c < 0x20 && c != '\t'))
			FAIL(why, RC_SYNTAX, "From has control characters (%02x)", (unsigned char)c);
		buf_byte(out, c);
	}
	if (out->failed && out->len < VALUE_MAX)
		FAIL(why, RC_NOMEM, "no memory for From");
	if (out->failed)
		FAIL(why, RC_SYNTAX, "From is longer than %d octets", VALUE_MAX);
	return RC_OK;
}

static enum rc read_list(struct reader *r)
{
	TRY(next(r));
	if (r->t.kind == T_END)
		FAIL(r->why, RC_NOTFOUND, "From is empty");
	for (;;) {
		TRY(take_element(r));
		if (r->t.kind == T_END)
			break;
		if (!at(r, ','))
			FAIL(r->why, RC_SYNTAX, "From has more after an address");
		TRY(next(r));
	}
	if (r->found->addresses == 0)
		FAIL(r->why, RC_NOTFOUND, "From has no address");
	return RC_OK;
}

static enum rc read_value(struct str raw, struct arena *a, struct from_found *found, struct str *out_domain, struct why *why)
{
	AUTO(buf_done) struct buf value = { .max = VALUE_MAX };
	TRY(unfold(raw, &value, why));
	struct reader *r = arena_new(a, sizeof *r);
	if (!r)
		FAIL(why, RC_NOMEM, "no memory for From");
	*r = (struct reader){ .in = arena_str(a, buf_str(&value)), .arena = a, .found = found, .why = why, .author = STR("") };
	if (r->in.n != value.len)
		FAIL(why, RC_NOMEM, "no memory for From");
	enum rc rc = read_list(r);
	if (rc != RC_OK) { /* everything that looks like an address is told */
		AUTO(buf_done) struct buf shown = { .max = 4 * VALUE_MAX };
		encoded_words_decode(r->in, &shown);
		foreign_address(r, buf_str(&shown));
		return rc;
	}
	for (size_t i = 0; i < r->hiddens; i++)
		TRY(judge_hidden(r, r->hidden[i], r->hidden_kind[i]));
	if (r->conflict)
		FAIL(why, RC_CONFLICT, "From has addresses of several domains (%.*s, %.*s)", PSTR(str_head(found->domain[0], 60)), PSTR(str_head(found->domain[1], 60)));
	*out_domain = r->author;
	return RC_OK;
}

enum rc dmarc_from_all(struct str header, struct arena *a, struct from_found *found, struct str *out_domain, struct why *why)
{
	struct lines l = { .in = header, .first = true };
	struct str value, domain = STR("");
	enum from_name n;
	enum rc got = RC_OK;
	bool looks = false;
	*found = (struct from_found){ 0 };
	while (next_named(&l, &n, &value)) {
		if (n == NOT_FROM)
			continue;
		looks |= n == LOOKS_LIKE_FROM;
		if (found->fields++ >= 16)
			break;
		enum rc rc = read_value(value, a, found, &domain, got == RC_OK ? why : NULL);
		got = got == RC_OK ? rc : got;
	}
	if (a->full) /* some name or value was lost: nothing can be said */
		FAIL(why, RC_NOMEM, "no memory for From");
	if (found->fields == 0)
		FAIL(why, RC_NOTFOUND, "there is no From field");
	if (found->fields > 1)
		FAIL(why, RC_CONFLICT, "there are %zu From fields", found->fields);
	if (looks)
		FAIL(why, RC_SYNTAX, "the From field's name has white space or control characters around it");
	if (got == RC_OK)
		*out_domain = domain;
	return got;
}

enum rc dmarc_from(struct str header, struct arena *a, struct str *out_domain, struct why *why)
{
	struct from_found found;
	return dmarc_from_all(header, a, &found, out_domain, why);
}
