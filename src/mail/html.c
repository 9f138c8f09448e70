#include "mail/html.h"

#include "mail/charset.h"

static const struct { char name[10]; uint16_t c; } entities[] = {
	{ "amp", '&' },      { "lt", '<' },       { "gt", '>' },       { "quot", '"' },     { "apos", '\'' },    { "nbsp", 0xa0 },
	{ "copy", 0xa9 },    { "reg", 0xae },     { "trade", 0x2122 }, { "euro", 0x20ac },  { "pound", 0xa3 },   { "yen", 0xa5 },
	{ "cent", 0xa2 },    { "sect", 0xa7 },    { "deg", 0xb0 },     { "middot", 0xb7 },  { "bull", 0x2022 },  { "hellip", 0x2026 },
	{ "ndash", 0x2013 }, { "mdash", 0x2014 }, { "lsquo", 0x2018 }, { "rsquo", 0x2019 }, { "ldquo", 0x201c }, { "rdquo", 0x201d },
	{ "sbquo", 0x201a }, { "bdquo", 0x201e }, { "laquo", 0xab },   { "raquo", 0xbb },   { "auml", 0xe4 },    { "ouml", 0xf6 },
	{ "uuml", 0xfc },    { "Auml", 0xc4 },    { "Ouml", 0xd6 },    { "Uuml", 0xdc },    { "szlig", 0xdf },   { "eacute", 0xe9 },
	{ "egrave", 0xe8 },  { "ecirc", 0xea },   { "agrave", 0xe0 },  { "aacute", 0xe1 },  { "acirc", 0xe2 },   { "ccedil", 0xe7 },
	{ "ntilde", 0xf1 },  { "oacute", 0xf3 },  { "ograve", 0xf2 },  { "ocirc", 0xf4 },   { "iacute", 0xed },  { "uacute", 0xfa },
	{ "ugrave", 0xf9 },  { "aring", 0xe5 },   { "oslash", 0xf8 },  { "aelig", 0xe6 },   { "Aring", 0xc5 },   { "Oslash", 0xd8 },
	{ "times", 0xd7 },   { "shy", 0xad },     { "zwnj", 0x200c },  { "zwj", 0x200d },   { "ensp", 0x2002 },  { "emsp", 0x2003 },
	{ "thinsp", 0x2009 },{ "iexcl", 0xa1 },   { "iquest", 0xbf },  { "Eacute", 0xc9 },  { "frac12", 0xbd },  { "plusmn", 0xb1 },
};

static bool is_wsp(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f'; }

/* "&#x41;", "&amp;": octets taken (0 = not an entity) and the character. */
static size_t entity(struct str s, uint32_t *out)
{
	size_t i = 1;
	uint32_t v = 0;
	if (s.n > 2 && s.p[1] == '#') {
		bool hex = ascii_lower(s.p[2]) == 'x';
		size_t from = i = hex ? 3 : 2;
		for (; i < s.n && i < from + 8; i++) {
			char c = ascii_lower(s.p[i]);
			if (ascii_digit(c))
				v = v * (hex ? 16 : 10) + (uint32_t)(c - '0');
			else if (hex && c >= 'a' && c <= 'f')
				v = v * 16 + (uint32_t)(c - 'a' + 10);
			else
				break;
		}
		if (i == from)
			return 0;
		*out = v ? v : 0xfffd;
		return i < s.n && s.p[i] == ';' ? i + 1 : i;
	}
	while (i < s.n && i < 10 && ascii_alnum(s.p[i]))
		i++;
	for (size_t k = 0; k < sizeof entities / sizeof entities[0]; k++)
		if (str_eq((struct str){ s.p + 1, i - 1 }, str_z(entities[k].name))) {
			*out = entities[k].c;
			return i < s.n && s.p[i] == ';' ? i + 1 : i;
		}
	return 0;
}

/* Octets of a tag, its ">" included. Quotes are honoured when they close within the tag. */
static size_t tag_length(struct str s)
{
	char quote = 0;
	size_t first = 0;
	for (size_t i = 1; i < s.n; i++) {
		char c = s.p[i];
		if (quote) {
			quote = c == quote ? 0 : quote;
			if (c == '>' && !first)
				first = i + 1;
			if (first && i > first + 256) /* a stray quote: the tag ended at the first ">" */
				return first;
		} else if (c == '"' || c == '\'') {
			quote = s.p[i - 1] == '=' || is_wsp(s.p[i - 1]) ? c : 0;
		} else if (c == '>') {
			return i + 1;
		}
	}
	return first ? first : s.n;
}

static struct str tag_name(struct str tag)
{
	size_t i = 1, from;
	if (i < tag.n && tag.p[i] == '/')
		i++;
	from = i;
	while (i < tag.n && ascii_alnum(tag.p[i]))
		i++;
	return (struct str){ tag.p + from, i - from };
}

static bool is_one_of(struct str name, const char (*set)[12], size_t n)
{
	char first = ascii_lower(name.p[0]);
	for (size_t i = 0; i < n; i++)
		if (first == set[i][0] && str_ieq(name, str_z(set[i])))
			return true;
	return false;
}

/* For text that is not shown: the offset after "</name". */
static size_t skip_element(struct str s, struct str name)
{
	size_t i = 0;
	while (i < s.n) {
		i += str_find_str(str_skip(s, i), STR("</"));
		if (str_istarts(str_skip(s, i + 2), name))
			return i;
		i += 2;
	}
	return s.n;
}

static size_t markup(struct str s, struct buf *out)
{
	static const char blocks[][12] = { "p", "br", "div", "tr", "td", "th", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6",
		"hr", "blockquote", "pre", "body", "title", "head", "center", "dd", "dt", "section", "article", "option" };
	static const char hidden[][12] = { "style", "script" };
	if (str_starts(s, STR("<!--"))) {
		size_t k = str_find_str(str_skip(s, 4), STR("-->"));
		return k + 7 < s.n ? k + 7 : s.n;
	}
	if (s.n < 2 || (!ascii_alpha(s.p[1]) && s.p[1] != '/' && s.p[1] != '!' && s.p[1] != '?'))
		return 0;
	size_t n = tag_length(s);
	struct str name = tag_name(str_head(s, n));
	if (name.n == 0)
		return n;
	if (s.p[1] != '/' && is_one_of(name, hidden, 2))
		return n + skip_element(str_skip(s, n), name);
	if (is_one_of(name, blocks, sizeof blocks / sizeof blocks[0]))
		buf_byte(out, '\n');
	return n;
}

static size_t next_of(struct str s, size_t from, char c) { return from + str_find(str_skip(s, from), c); }

void html_text(struct str html, struct buf *out)
{
	size_t i = 0, lt = next_of(html, 0, '<'), amp = next_of(html, 0, '&');
	while (i < html.n && !out->failed) {
		if (lt < i) /* looked up only when passed, so the whole stays linear */
			lt = next_of(html, i, '<');
		if (amp < i)
			amp = next_of(html, i, '&');
		size_t k = lt < amp ? lt : amp;
		buf_add(out, (struct str){ html.p + i, k - i });
		if (k >= html.n)
			return;
		struct str rest = str_skip(html, k);
		uint32_t c = 0;
		size_t n = rest.p[0] == '<' ? markup(rest, out) : entity(rest, &c);
		if (n == 0)
			buf_byte(out, rest.p[0]);
		else if (rest.p[0] == '&')
			utf8_put(out, c);
		i = k + (n ? n : 1);
	}
}
