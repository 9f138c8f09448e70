#include "imap/parse.h"

#include "imap/utf7.h"

enum { KEYWORDS_MAX = 64, KEYWORD_LENGTH_MAX = 255, NAME_MAX_OCTETS = 1000 };

void args_fail(struct args *a, const char *expected)
{
	if (!a->expected)
		a->expected = expected;
}

bool args_next_is(const struct args *a, char c) { return !a->expected && a->in.n && a->in.p[0] == c; }

bool args_maybe(struct args *a, char c)
{
	bool there = args_next_is(a, c);
	if (there)
		a->in = str_skip(a->in, 1);
	return there;
}

void args_want(struct args *a, char c)
{
	if (!args_maybe(a, c))
		args_fail(a, c == '(' ? "\"(\"" : c == ')' ? "\")\"" : c == ' ' ? "a space" : "another character");
}

void args_space(struct args *a) { args_want(a, ' '); }

void args_end(struct args *a)
{
	if (a->in.n)
		args_fail(a, "the end of the command");
}

/* RFC 3501 9: atom-specials are "(" ")" "{" SP CTL list-wildcards quoted-specials resp-specials. */
bool is_atom_char(char c)
{
	return c > ' ' && c < 0x7f && !memchr("(){%*\"\\]", c, 8);
}

static struct str take_while(struct args *a, bool (*is)(char), const char *expected)
{
	size_t n = 0;
	if (a->expected)
		return STR("");
	while (n < a->in.n && is(a->in.p[n]))
		n++;
	if (n == 0)
		args_fail(a, expected);
	struct str s = str_head(a->in, n);
	a->in = str_skip(a->in, n);
	return s;
}

static bool is_astring_char(char c) { return is_atom_char(c) || c == ']'; }
static bool is_list_char(char c) { return is_astring_char(c) || c == '%' || c == '*'; }

struct str args_atom(struct args *a) { return take_while(a, is_atom_char, "a word"); }

/* RFC 3501 9: quoted = DQUOTE *QUOTED-CHAR DQUOTE. 8-bit octets are let through: what reads the value decides. */
static struct str take_quoted(struct args *a)
{
	size_t n = 1, escapes = 0;
	for (; n < a->in.n && a->in.p[n] != '"'; n++) {
		if (a->in.p[n] == '\\') {
			escapes++;
			n++;
			if (n < a->in.n && a->in.p[n] != '"' && a->in.p[n] != '\\')
				break;
		} else if (a->in.p[n] == '\r' || a->in.p[n] == '\n' || a->in.p[n] == 0) {
			break;
		}
	}
	if (n >= a->in.n || a->in.p[n] != '"') {
		args_fail(a, "a closing quote");
		return STR("");
	}
	struct str raw = { a->in.p + 1, n - 1 };
	a->in = str_skip(a->in, n + 1);
	if (!escapes)
		return raw;
	char *p = arena_new(a->arena, raw.n);
	if (!p) {
		args_fail(a, "less (out of memory)");
		return STR("");
	}
	size_t k = 0;
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] == '\\')
			i++;
		p[k++] = raw.p[i];
	}
	return str_of(p, k);
}

/* RFC 3501 9: literal = "{" number "}" CRLF *CHAR8; CHAR8 is any octet but NUL. */
static struct str take_literal(struct args *a)
{
	uint64_t n;
	size_t end = str_find(a->in, '}');
	struct str digits = str_skip(str_head(a->in, end), 1);
	if (digits.n && digits.p[digits.n - 1] == '+')
		digits.n--;
	struct str rest = str_skip(a->in, end + 1);
	if (!str_u64(digits, UINT32_MAX, &n) || !str_starts(rest, STR("\r\n")) || rest.n - 2 < n) {
		args_fail(a, "a string");
		return STR("");
	}
	struct str s = str_head(str_skip(rest, 2), n);
	if (str_find(s, 0) < s.n)
		args_fail(a, "a literal without NUL");
	a->in = str_skip(rest, 2 + n);
	return s;
}

struct str args_string(struct args *a)
{
	if (args_next_is(a, '"'))
		return take_quoted(a);
	if (args_next_is(a, '{'))
		return take_literal(a);
	args_fail(a, "a string");
	return STR("");
}

struct str args_astring(struct args *a)
{
	if (args_next_is(a, '"') || args_next_is(a, '{'))
		return args_string(a);
	return take_while(a, is_astring_char, "a string");
}

struct str args_pattern(struct args *a)
{
	if (args_next_is(a, '"') || args_next_is(a, '{'))
		return args_string(a);
	return take_while(a, is_list_char, "a mailbox pattern");
}

bool args_word(struct args *a, struct str word)
{
	if (a->expected || !str_istarts(a->in, word) || (a->in.n > word.n && is_atom_char(a->in.p[word.n])))
		return false;
	a->in = str_skip(a->in, word.n);
	return true;
}

bool args_nil(struct args *a) { return args_word(a, STR("NIL")); }

uint64_t args_number64(struct args *a)
{
	size_t n = 0;
	uint64_t v = 0;
	while (!a->expected && n < a->in.n && ascii_digit(a->in.p[n]))
		n++;
	if (!str_u64(str_head(a->in, n), INT64_MAX, &v))
		args_fail(a, "a number");
	a->in = str_skip(a->in, n);
	return v;
}

uint32_t args_number(struct args *a)
{
	uint64_t v = args_number64(a);
	if (v > UINT32_MAX)
		args_fail(a, "a number under 4294967296");
	return (uint32_t)v;
}

static uint32_t take_set_number(struct args *a)
{
	if (args_maybe(a, '*'))
		return 0;
	uint32_t v = args_number(a);
	if (v == 0)
		args_fail(a, "message numbers from 1 on");
	return v;
}

struct set args_set(struct args *a)
{
	struct set s = { 0 };
	size_t commas = 0;
	for (size_t i = 0; i < a->in.n && (ascii_digit(a->in.p[i]) || memchr("*:,", a->in.p[i], 3)); i++)
		commas += a->in.p[i] == ',';
	if (a->expected)
		return s;
	s.v = arena_new(a->arena, (commas + 1) * sizeof *s.v);
	if (!s.v) {
		args_fail(a, "fewer message numbers");
		return s;
	}
	do {
		struct imap_range r = { take_set_number(a), 0 };
		r.last = args_maybe(a, ':') ? take_set_number(a) : r.first;
		if (a->expected)
			return (struct set){ 0 };
		s.v[s.n++] = r;
	} while (args_maybe(a, ',') && s.n <= commas);
	return s;
}

bool args_set_is_next(const struct args *a) { return !a->expected && a->in.n && (ascii_digit(a->in.p[0]) || a->in.p[0] == '*'); }

static const struct { struct str name; uint32_t bit; } system_flags[] = {
	{ STR_INIT("Seen"), IMAP_SEEN },       { STR_INIT("Answered"), IMAP_ANSWERED }, { STR_INIT("Flagged"), IMAP_FLAGGED },
	{ STR_INIT("Deleted"), IMAP_DELETED }, { STR_INIT("Draft"), IMAP_DRAFT },
};

static void take_flag(struct args *a, struct flag_list *out)
{
	bool is_system = args_maybe(a, '\\');
	struct str name = args_atom(a);
	if (a->expected)
		return;
	if (is_system) {
		for (size_t i = 0; i < sizeof system_flags / sizeof *system_flags; i++)
			if (str_ieq(name, system_flags[i].name)) {
				out->flags |= system_flags[i].bit;
				return;
			}
		args_fail(a, "a flag that can be set"); /* \Recent is the server's, others do not exist */
		return;
	}
	for (size_t i = 0; i < out->keyword_n; i++)
		if (str_ieq(out->keywords[i], name))
			return;
	if (out->keyword_n == KEYWORDS_MAX || name.n > KEYWORD_LENGTH_MAX)
		args_fail(a, "at most 64 keywords of 255 octets");
	else
		out->keywords[out->keyword_n++] = name;
}

struct flag_list args_flags(struct args *a, bool brackets_needed)
{
	struct flag_list out = { .keywords = arena_new(a->arena, KEYWORDS_MAX * sizeof(struct str)) };
	bool brackets = args_maybe(a, '(');
	if (!out.keywords || (brackets_needed && !brackets))
		args_fail(a, "a list of flags");
	if (brackets && args_maybe(a, ')'))
		return out;
	do
		take_flag(a, &out);
	while (args_fine(a) && args_maybe(a, ' '));
	if (brackets)
		args_want(a, ')');
	return out;
}

/* RFC 3501 5.1: "INBOX" is case-insensitive; as the first level of a path we treat it so too. */
struct str mailbox_canonical(struct str name, struct arena *a)
{
	if (!str_istarts(name, STR("INBOX")) || (name.n > 5 && name.p[5] != '/') || str_starts(name, STR("INBOX")))
		return name;
	struct str copy = arena_str(a, name);
	if (copy.n)
		memcpy((char *)copy.p, "INBOX", 5);
	return copy;
}

struct str args_mailbox(struct args *a)
{
	struct str raw = args_astring(a), name = STR("");
	AUTO(buf_done) struct buf utf8;
	buf_init(&utf8, NAME_MAX_OCTETS);
	if (a->expected)
		return name;
	if (utf7_decode(raw, &utf8) != RC_OK)
		args_fail(a, "a mailbox name in modified UTF-7 of at most 1000 octets");
	else
		name = arena_str(a->arena, buf_str(&utf8));
	if (a->arena->full)
		args_fail(a, "less (out of memory)");
	return mailbox_canonical(name, a->arena);
}
