#include "mail/encoded_word.h"

#include "base/codec.h"
#include "mail/charset.h"
#include "mail/transfer.h"

struct word {
	struct str charset, text;
	char encoding;       /* 'b' or 'q' */
	size_t length;       /* of the whole word */
};

static bool is_wsp(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* RFC 2047 2: "=?" charset ["*" language (RFC 2231 5)] "?" encoding "?" encoded-text "?=" */
static bool word_at(struct str s, struct word *out)
{
	struct str head, rest;
	if (!str_starts(s, STR("=?")) || !str_cut(str_skip(s, 2), '?', &head, &rest) || head.n == 0 || head.n > 70)
		return false;
	for (size_t i = 0; i < head.n; i++)
		if ((unsigned char)head.p[i] <= ' ')
			return false;
	struct str lang;
	str_cut(head, '*', &out->charset, &lang);
	if (rest.n < 4 || rest.p[1] != '?')
		return false;
	out->encoding = ascii_lower(rest.p[0]);
	if (out->encoding != 'b' && out->encoding != 'q')
		return false;
	rest = str_skip(rest, 2);
	size_t k = 0;
	while (k + 1 < rest.n && !(rest.p[k] == '?' && rest.p[k + 1] == '=') && rest.p[k] != '\n')
		k++;
	/* "=?utf-8?q?=C3=A4?=": a "?" directly followed by "=" ends the text */
	if (k + 1 >= rest.n || rest.p[k] != '?')
		return false;
	out->text = str_head(rest, k);
	out->length = (size_t)(rest.p + k + 2 - s.p);
	return true;
}

static int hex_digit(char c) { return ascii_digit(c) ? c - '0' : ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f' ? ascii_lower(c) - 'a' + 10 : -1; }

static bool decode_word(const struct word *w, struct buf *raw)
{
	struct str t = w->text;
	if (w->encoding == 'b')
		return transfer_decode(TRANSFER_BASE64, t, raw);
	bool ok = true;
	for (size_t i = 0; i < t.n; i++) {
		int hi, lo;
		if (t.p[i] == '_') {
			buf_byte(raw, ' ');
		} else if (t.p[i] != '=') {
			buf_byte(raw, t.p[i]);
		} else if (i + 2 < t.n && (hi = hex_digit(t.p[i + 1])) >= 0 && (lo = hex_digit(t.p[i + 2])) >= 0) {
			buf_byte(raw, (char)(hi << 4 | lo));
			i += 2;
		} else {
			buf_byte(raw, '=');
			ok = false;
		}
	}
	return ok;
}

/* Unfolded text between the words. */
static void plain(struct str s, struct buf *out)
{
	if (ascii_prefix(s) != s.n) {
		if (utf8_ok(s)) {
			/* below */
		} else {
			charset_to_utf8(STR("windows-1252"), s, out);
			return;
		}
	}
	while (s.n) {
		size_t k = str_find(s, '\n'), cut = k && k < s.n && s.p[k - 1] == '\r' ? k - 1 : k;
		buf_add(out, str_head(s, cut));
		s = str_skip(s, k + 1);
	}
}

static bool all_wsp(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_wsp(s.p[i]))
			return false;
	return true;
}

/* Octets of adjacent words with one charset, not yet converted. */
struct pending {
	struct str charset;
	struct buf raw;
};

static bool flush(struct pending *p, struct buf *out)
{
	bool ok = true;
	if (p->raw.len)
		ok = charset_to_utf8(p->charset, buf_str(&p->raw), out);
	out->failed |= p->raw.failed;
	buf_clear(&p->raw);
	return ok;
}

bool encoded_words_decode(struct str value, struct buf *out)
{
	struct pending pend = { .charset = STR("") };
	bool ok = true, after_word = false;
	size_t from = 0, i = str_find_str(value, STR("=?"));
	if (i == value.n) {
		plain(value, out);
		return true;
	}
	buf_init(&pend.raw, value.n + 16);
	while (i < value.n) {
		struct word w;
		if (!word_at(str_skip(value, i), &w)) {
			ok = false;
			i += 2;
		} else {
			struct str between = { value.p + from, i - from };
			/* RFC 2047 6.2: linear white space between adjacent encoded words is ignored */
			bool adjacent = after_word && all_wsp(between);
			if (!adjacent || !str_ieq(pend.charset, w.charset))
				ok &= flush(&pend, out);
			if (!adjacent)
				plain(between, out);
			pend.charset = w.charset;
			ok &= decode_word(&w, &pend.raw);
			i += w.length;
			from = i;
			after_word = true;
		}
		i += str_find_str(str_skip(value, i), STR("=?"));
	}
	ok &= flush(&pend, out);
	plain(str_skip(value, from), out);
	out->failed |= pend.raw.failed;
	buf_done(&pend.raw);
	return ok;
}

void encoded_words_add(struct buf *out, struct str utf8)
{
	enum { OCTETS_MAX = 45 }; /* 60 base64 characters and 12 around them: 72 */
	bool more = false;
	while (utf8.n) {
		size_t n = 0, k;
		uint32_t c;
		while (n < utf8.n && (k = utf8_next(str_skip(utf8, n), &c)) > 0 && n + k <= OCTETS_MAX)
			n += k;
		if (n == 0)
			n = 1;
		if (more)
			buf_byte(out, ' ');
		buf_add(out, STR("=?utf-8?b?"));
		base64_add(out, str_head(utf8, n));
		buf_add(out, STR("?="));
		utf8 = str_skip(utf8, n);
		more = true;
	}
}
