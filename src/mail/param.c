#include "mail/param.h"

#include "mail/charset.h"
#include "mail/encoded_word.h"

struct piece {
	struct mail_param p;
	int section;  /* -1: not a continuation */
	bool used;
};

static bool is_wsp(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* RFC 2045 5.1: token: any CHAR except SPACE, CTLs and tspecials; 8-bit octets pass */
static bool is_token(char c)
{
	static const bool tspecial[256] = { ['('] = true, [')'] = true, ['<'] = true, ['>'] = true, ['@'] = true, [','] = true, [';'] = true, [':'] = true,
		['\\'] = true, ['"'] = true, ['/'] = true, ['['] = true, [']'] = true, ['?'] = true, ['='] = true };
	return (unsigned char)c > ' ' && c != 0x7f && !tspecial[(unsigned char)c];
}

static size_t skip_cfws(struct str s, size_t i)
{
	unsigned depth = 0;
	for (; i < s.n; i++) {
		char c = s.p[i];
		if (c == '(')
			depth++;
		else if (c == ')' && depth)
			depth--;
		else if (depth && c == '\\')
			i++;
		else if (!depth && !is_wsp(c))
			break;
	}
	return i < s.n ? i : s.n;
}

static size_t token_end(struct str s, size_t i)
{
	while (i < s.n && is_token(s.p[i]))
		i++;
	return i;
}

struct str param_token(struct str value, struct str *out_rest)
{
	size_t i = skip_cfws(value, 0), e = token_end(value, i);
	*out_rest = str_skip(value, e);
	return (struct str){ value.p + i, e - i };
}

bool param_type(struct str value, struct str *out_type, struct str *out_subtype, struct str *out_rest)
{
	size_t i = skip_cfws(value, 0), e = token_end(value, i);
	if (i < value.n && value.p[i] == '"') { /* "text/plain" in quotes is seen */
		i++;
		e = token_end(value, i);
	}
	struct str type = { value.p + i, e - i };
	i = skip_cfws(value, e);
	if (type.n == 0 || i >= value.n || value.p[i] != '/')
		return false;
	i = skip_cfws(value, i + 1);
	e = token_end(value, i);
	if (e == i)
		return false;
	*out_type = type;
	*out_subtype = (struct str){ value.p + i, e - i };
	*out_rest = str_skip(value, e);
	return true;
}

/* "(...)"-free end of an unquoted value: at ";", a comment, or before " name=" where a semicolon was forgotten. */
static size_t bare_end(struct str s, size_t i, bool *sound)
{
	size_t from = i;
	for (; i < s.n && s.p[i] != ';'; i++) {
		if (!is_wsp(s.p[i]))
			continue;
		size_t k = skip_cfws(s, i), e = token_end(s, k);
		if (k >= s.n || s.p[k] == ';' || (e > k && e < s.n && s.p[e] == '='))
			break;
		for (size_t c = i; c < k; c++)
			if (s.p[c] == '(')
				return i;
		*sound = false; /* a space inside the value: name=my file.pdf */
		i = k - 1;
	}
	while (i > from && is_wsp(s.p[i - 1]))
		i--;
	return i;
}

static size_t quoted_value(struct str s, size_t i, struct arena *a, struct str *out, bool *sound)
{
	size_t from = ++i, n = 0;
	bool plain = true;
	for (; i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++, plain = false;
		else if (s.p[i] == '\r' || s.p[i] == '\n')
			plain = false;
	}
	*sound &= i < s.n;
	*out = (struct str){ s.p + from, i - from };
	if (!plain) {
		char *p = arena_new(a, i - from);
		for (size_t k = from; p && k < i; k++) {
			if (s.p[k] == '\r' || s.p[k] == '\n')
				continue;
			if (s.p[k] == '\\' && k + 1 < i)
				k++;
			p[n++] = s.p[k];
		}
		*out = str_of(p, n);
	}
	return i < s.n ? i + 1 : i;
}

/* "filename*0*" -> base "filename", section 0, extended. */
static void split_name(struct str name, struct piece *out)
{
	uint64_t v;
	out->section = -1;
	if (name.n > 1 && name.p[name.n - 1] == '*') {
		out->p.extended = true;
		name.n--;
	}
	size_t star = str_find(name, '*');
	if (star && star < name.n && str_u64(str_skip(name, star + 1), PARAMS_MAX, &v)) {
		out->section = (int)v;
		name.n = star;
	}
	out->p.name = name;
}

static size_t take_pieces(struct str s, struct arena *a, struct piece *pieces, bool *sound)
{
	size_t i = 0, n = 0;
	while (i < s.n) {
		i = skip_cfws(s, i);
		if (i < s.n && s.p[i] == ';') {
			i++;
			continue;
		}
		size_t e = token_end(s, i), eq = skip_cfws(s, e);
		if (e == i || eq >= s.n || s.p[eq] != '=') {
			*sound &= i >= s.n;
			i = e > i ? e : i + 1;
			continue;
		}
		if (n == PARAMS_MAX) {
			*sound = false;
			return n;
		}
		struct piece *p = &pieces[n++];
		*p = (struct piece){ 0 };
		split_name((struct str){ s.p + i, e - i }, p);
		i = skip_cfws(s, eq + 1);
		if (i < s.n && s.p[i] == '"') {
			i = quoted_value(s, i, a, &p->p.value, sound);
		} else {
			e = bare_end(s, i, sound);
			p->p.value = (struct str){ s.p + i, e - i };
			i = e;
		}
	}
	return n;
}

/* RFC 2231 7: attribute-char: any ASCII CHAR except SPACE, CTLs, "*", "'", "%" and tspecials */
static bool is_attr_char(char c) { return is_token(c) && (unsigned char)c < 0x80 && c != '*' && c != '\'' && c != '%'; }

static size_t put_piece(char *to, const struct piece *p, bool extended)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;
	for (size_t i = 0; i < p->p.value.n; i++) {
		unsigned char c = (unsigned char)p->p.value.p[i];
		if (!extended || p->p.extended || is_attr_char((char)c)) {
			to[n++] = (char)c;
		} else {
			to[n++] = '%';
			to[n++] = hex[c >> 4];
			to[n++] = hex[c & 15];
		}
	}
	return n;
}

/* RFC 2231 3: the pieces of one parameter, in order of their numbers, wherever they stand. */
static enum rc join(struct piece *pieces, size_t n, struct piece *first, struct arena *a)
{
	struct piece *order[PARAMS_MAX] = { first };
	size_t count = 1, total = first->p.value.n * 3, at = 0;
	bool extended = first->p.extended;
	for (size_t i = 0; i < n && count < PARAMS_MAX; i++) {
		struct piece *q = &pieces[i];
		if (q->used || q->section != (int)count || !str_ieq(q->p.name, first->p.name))
			continue;
		q->used = true;
		order[count++] = q;
		total += q->p.value.n * 3;
		extended |= q->p.extended;
		i = (size_t)-1; /* the next number may stand before this one */
	}
	if (count == 1 && extended == first->p.extended)
		return RC_OK;
	char *p = arena_new(a, total + 2);
	if (!p)
		return RC_NOMEM;
	if (extended && !first->p.extended) { /* the charset is not said: only the first piece can */
		p[at++] = '\'';
		p[at++] = '\'';
	}
	for (size_t i = 0; i < count; i++)
		at += put_piece(p + at, order[i], extended);
	first->p.value = (struct str){ p, at };
	first->p.extended = extended;
	return RC_OK;
}

enum rc param_parse(struct str rest, struct arena *a, struct mail_param **out_first, bool *out_sound)
{
	struct piece pieces[PARAMS_MAX];
	struct mail_param *first = NULL, **tail = &first;
	*out_sound = true;
	size_t n = take_pieces(rest, a, pieces, out_sound);
	for (size_t i = 0; i < n; i++) {
		struct piece *p = &pieces[i];
		if (p->section > 0)
			continue;
		if (p->section == 0)
			TRY(join(pieces, n, p, a));
		struct mail_param *made = arena_new(a, sizeof *made);
		if (!made)
			return RC_NOMEM;
		*made = p->p;
		*tail = made;
		tail = &made->next;
	}
	for (size_t i = 0; i < n; i++)
		*out_sound &= pieces[i].section <= 0 || pieces[i].used;
	if (a->full)
		return RC_NOMEM;
	*out_first = first;
	return RC_OK;
}

const struct mail_param *param_get(const struct mail_param *first, struct str name)
{
	const struct mail_param *plain = NULL;
	for (; first; first = first->next)
		if (str_ieq(first->name, name)) {
			if (first->extended) /* RFC 6266 4.3 and custom: the extended form wins */
				return first;
			if (!plain)
				plain = first;
		}
	return plain;
}

static int hex_digit(char c) { return ascii_digit(c) ? c - '0' : ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f' ? ascii_lower(c) - 'a' + 10 : -1; }

bool param_text(const struct mail_param *p, struct buf *out)
{
	struct str charset, lang, v = p->value;
	struct buf raw;
	if (!p->extended)
		return encoded_words_decode(v, out);
	if (!str_cut(v, '\'', &charset, &v) || !str_cut(v, '\'', &lang, &v)) {
		charset = STR("");
		v = p->value;
	}
	buf_init(&raw, v.n + 1);
	for (size_t i = 0; i < v.n; i++) {
		int hi, lo;
		if (v.p[i] == '%' && i + 2 < v.n && (hi = hex_digit(v.p[i + 1])) >= 0 && (lo = hex_digit(v.p[i + 2])) >= 0) {
			buf_byte(&raw, (char)(hi << 4 | lo));
			i += 2;
		} else {
			buf_byte(&raw, v.p[i]);
		}
	}
	bool ok = charset_to_utf8(charset, buf_str(&raw), out);
	out->failed |= raw.failed;
	buf_done(&raw);
	return ok;
}
