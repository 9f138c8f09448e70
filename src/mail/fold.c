/* The form in which texts are compared: case folded, every run of white space one space. ASCII goes through a table. */
#include "mail/fold.h"

#include "base/codec.h"
#include "mail/charset.h"
#include "mail/icu.h"
#include <endian.h>
#include <string.h>

/* By octet: 0 = white space, else its lower case (NUL counts as 1). */
static const unsigned char ascii_fold[128] = {
	1, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 14, 15,
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
	0, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
	48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
	64, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111,
	112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 91, 92, 93, 94, 95,
	96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111,
	112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127,
};

static bool is_space(uint32_t c)
{
	return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
	       c == 0x3000;
}

void fold_begin(struct fold *f) { *f = (struct fold){ 0 }; }

/* One character that is not ASCII. Answers how many octets of `in` it took. */
static size_t fold_wide(struct fold *f, struct str in, struct buf *out)
{
	const struct icu *letters = icu();
	uint32_t c;
	size_t k = utf8_next(in, &c);
	if (k == 0) {
		c = 0xfffd;
		k = 1;
	}
	if (is_space(c)) {
		if (!f->space)
			buf_byte(out, ' ');
		f->space = true;
		return k;
	}
	f->space = false;
	if (c == 0xdf || c == 0x1e9e) /* full folding of the one letter that people type both ways: sharp s */
		buf_add(out, STR("ss"));
	else
		utf8_put(out, letters ? (uint32_t)letters->u_foldCase((UChar32)c, U_FOLD_CASE_DEFAULT) : c);
	return k;
}

/* Eight octets at once, as long as they are visible ASCII and single spaces. Answers how many octets of `in` it took; it wrote as many. */
static size_t fold_words(struct str in, size_t from, char *to, bool *space)
{
	const uint64_t ones = UINT64_MAX / 255, tops = ones << 7;
	size_t i = from;
	for (; i + 8 <= in.n; i += 8) {
		uint64_t w;
		memcpy(&w, in.p + i, 8);
		w = le64toh(w);
		if (!fold_plain(w, space))
			break;
		uint64_t upper = ((w + (0x80 - 'A') * ones) & ~(w + (0x80 - 'Z' - 1) * ones)) & tops;
		w |= upper >> 2; /* 0x80 >> 2 = 0x20 */
		w = htole64(w);
		memcpy(to + (i - from), &w, 8);
	}
	return i - from;
}

void fold_add(struct fold *f, struct str in, struct buf *out)
{
	size_t i = 0;
	while (i < in.n && !out->failed) {
		if (in.p[i] & 0x80) {
			i += fold_wide(f, str_skip(in, i), out);
			continue;
		}
		if (!buf_room(out, in.n - i))
			return;
		char *to = out->p + out->len;
		bool space = f->space;
		while (i < in.n && !(in.p[i] & 0x80)) {
			size_t words = fold_words(in, i, to, &space);
			i += words;
			to += words;
			for (size_t end = i + 8; i < end && i < in.n && !(in.p[i] & 0x80); i++) { /* past what was no such word */
				unsigned char c = ascii_fold[(unsigned char)in.p[i]];
				*to = (char)(c ? c : ' ');
				to += c || !space;
				space = !c;
			}
		}
		f->space = space;
		out->len = (size_t)(to - out->p);
	}
}

enum rc mail_fold(struct str utf8, struct buf *out)
{
	struct fold f;
	fold_begin(&f);
	fold_add(&f, utf8, out);
	return out->failed ? RC_NOMEM : RC_OK;
}
