#include "store/lines.h"

#include "base/base64.h"

enum { STEP = 512, LINE_MIN = 32, RUN_MIN = 256 };

/* Digits of the line that begins at `at`, when it is nothing but such, in whole quanta, and ends with CRLF; 0: it is not. Their octets go to `out`. */
static size_t whole_line(struct str s, size_t at, size_t digits, char *out, size_t out_room)
{
	if (at > s.n || s.n - at < digits + 2 || s.p[at + digits] != '\r' || s.p[at + digits + 1] != '\n')
		return 0;
	return base64_decode_block(s.p + at, digits, out, out_room) == digits ? digits : 0;
}

/* Where a line begins, not before `from`, that could be one of many; `out_digits` says how long it is. */
static bool candidate(struct str s, size_t from, size_t *out_at, size_t *out_digits)
{
	for (size_t at = from; at < s.n; at += STEP) {
		const char *lf = memchr(s.p + at, '\n', s.n - at);
		if (!lf)
			return false;
		at = (size_t)(lf - s.p) + 1;
		const char *end = memchr(s.p + at, '\n', s.n - at);
		size_t n = end ? (size_t)(end - s.p) - at : 0;
		if (n > LINE_MIN && n <= LINE_DIGITS_MAX && n % 4 == 1 && end[-1] == '\r') {
			*out_at = at;
			*out_digits = n - 1;
			return true;
		}
	}
	return false;
}

/* The last line: what is left of digits, and a padded quantum, provided that it is written as an encoder would write it (the spare bits zero). */
static size_t last_line(struct str s, size_t at, size_t digits, char *out, size_t out_room, uint32_t *octets)
{
	size_t most = s.n - at < digits ? s.n - at : digits;
	size_t n = base64_decode_block(s.p + at, most, out, out_room);
	*octets += (uint32_t)(n / 4 * 3);
	if (most - n < 4 || s.p[at + n + 3] != '=')
		return n;
	const char *q = s.p + at + n;
	unsigned octets_here = q[2] == '=' ? 1 : 2;
	char whole[4] = { q[0], q[1], octets_here == 1 ? 'A' : q[2], 'A' }, three[3];
	if (base64_decode_block(whole, 4, three, sizeof three) != 4 || three[octets_here] != 0)
		return n;
	memcpy(out + n / 4 * 3, three, octets_here);
	*octets += octets_here;
	return n + 4;
}

static bool run_from(struct str s, size_t from, size_t seen, size_t digits, struct line_run *r, char *out)
{
	size_t room = (s.n - from) / 4 * 3 + 32, at = seen, step = digits + 2;
	if (!whole_line(s, at, digits, out, room))
		return false;
	while (at >= from + step && whole_line(s, at - step, digits, out, room))
		at -= step;
	*r = (struct line_run){ .at = at, .digits = (uint32_t)digits };
	while (whole_line(s, at, digits, out + r->octets, room - r->octets)) {
		r->octets += (uint32_t)(digits / 4 * 3);
		at += step;
	}
	size_t more = last_line(s, at, digits, out + r->octets, room - r->octets, &r->octets);
	r->n = (more ? at + more : at - 2) - r->at;
	return r->n >= RUN_MIN;
}

bool lines_find(struct str text, size_t from, struct line_run *out_run, char *out)
{
	size_t at = from, digits;
	while (candidate(text, at, &at, &digits)) {
		if (run_from(text, from, at, digits, out_run, out))
			return true;
		at += digits + 2; /* not even behind it: the next look is some lines on */
	}
	return false;
}

size_t lines_length(uint32_t octets, uint32_t digits)
{
	if (octets == 0 || octets > UINT16_MAX * 3 / 4 + 3 || digits < 4 || digits > LINE_DIGITS_MAX || digits % 4)
		return 0;
	size_t all = (octets + (size_t)2) / 3 * 4;
	return all + (all - 1) / digits * 2;
}

void lines_write(const char *in, const struct line_run *r, size_t in_room, char *out, size_t out_room)
{
	size_t each = r->digits / 4 * 3, left = r->octets;
	for (; left > each; left -= each) {
		base64_encode_block(in, each, in_room, out, out_room);
		memcpy(out + r->digits, "\r\n", 2);
		in += each;
		in_room -= each;
		out += r->digits + 2;
		out_room -= r->digits + 2;
	}
	size_t odd = left % 3;
	base64_encode_block(in, left - odd, in_room, out, out_room);
	if (!odd)
		return;
	char last[3] = { in[left - odd], odd == 2 ? in[left - 1] : 0, 0 };
	out += (left - odd) / 3 * 4;
	base64_encode_block(last, 3, 3, out, 4);
	memset(out + odd + 1, '=', 3 - odd);
}
