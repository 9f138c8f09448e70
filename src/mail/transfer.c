#include "mail/transfer.h"

static const struct { struct str name; enum transfer how; } names[] = {
	{ STR_INIT("7bit"), TRANSFER_7BIT }, { STR_INIT("8bit"), TRANSFER_8BIT }, { STR_INIT("binary"), TRANSFER_BINARY },
	{ STR_INIT("quoted-printable"), TRANSFER_QP }, { STR_INIT("base64"), TRANSFER_BASE64 }, { STR_INIT("x-uuencode"), TRANSFER_UUENCODE },
	{ STR_INIT("x-uue"), TRANSFER_UUENCODE }, { STR_INIT("uuencode"), TRANSFER_UUENCODE },
};

enum transfer transfer_of(struct str name)
{
	if (name.n == 0)
		return TRANSFER_7BIT;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (str_ieq(name, names[i].name))
			return names[i].how;
	return TRANSFER_UNKNOWN;
}

static size_t room_for(struct buf *out, size_t wanted)
{
	size_t left = out->max - out->len;
	size_t n = wanted < left ? wanted : left;
	return n && buf_room(out, n) ? n : 0;
}

enum { PAD = 65, JUNK = 66 }; /* 64: white space, skipped */
static const unsigned char b64[256] = { /* RFC 2045 table 1 by octet */
	66, 66, 66, 66, 66, 66, 66, 66, 66, 64, 64, 66, 66, 64, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66,
	64, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 62, 66, 66, 66, 63, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 66, 66, 66, 65, 66, 66,
	66, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 66, 66, 66, 66, 66,
	66, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 66, 66, 66, 66, 66,
	66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66,
	66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66,
	66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66,
	66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66,
};

/* RFC 2045 6.8: "=" ends the data; what follows a complete quantum with padding starts anew (concatenated pieces are seen). */
static bool base64_run(struct str in, struct buf *out)
{
	bool ok = true;
	unsigned v = 0, have = 0;
	size_t i = 0, room = room_for(out, in.n / 4 * 3 + 3);
	unsigned char *p = (unsigned char *)(out->p ? out->p + out->len : NULL), *end = p ? p + room : p;
	while (i < in.n) {
		while (have == 0 && i + 4 <= in.n && end - p >= 3) { /* a whole quantum at a time */
			unsigned a = b64[(unsigned char)in.p[i]], b = b64[(unsigned char)in.p[i + 1]];
			unsigned c = b64[(unsigned char)in.p[i + 2]], d = b64[(unsigned char)in.p[i + 3]];
			if ((a | b | c | d) > 63)
				break;
			v = a << 18 | b << 12 | c << 6 | d;
			*p++ = (unsigned char)(v >> 16);
			*p++ = (unsigned char)(v >> 8);
			*p++ = (unsigned char)v;
			i += 4;
			v = 0;
		}
		if (i >= in.n || p == end)
			break;
		unsigned c = b64[(unsigned char)in.p[i++]];
		if (c < 64) {
			v = v << 6 | c;
			have++;
			if (have > 1) {
				unsigned bits = have == 2 ? 4 : have == 3 ? 2 : 0;
				*p++ = (unsigned char)(v >> bits);
			}
			have &= 3;
			v = have ? v : 0;
		} else if (c == PAD) {
			ok &= have != 1;
			have = 0;
			v = 0;
			while (i < in.n && b64[(unsigned char)in.p[i]] == PAD)
				i++;
		} else if (c == JUNK) {
			ok = false;
		}
	}
	if (out->p)
		out->len = (size_t)((char *)p - out->p);
	return ok && have == 0;
}

static int hex_digit(char c) { return ascii_digit(c) ? c - '0' : ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f' ? ascii_lower(c) - 'a' + 10 : -1; }

/* One line without its end; `soft` = a soft line break stands at its end. */
static bool qp_line(struct str line, char **to, char *end, bool *soft)
{
	char *p = *to;
	bool ok = true;
	*soft = false;
	/* RFC 2045 6.7 (3): white space at the end of a line was added on the way and must be deleted */
	while (line.n && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
		line.n--;
	if (line.n && line.p[line.n - 1] == '=') {
		line.n--;
		*soft = true;
	}
	while (line.n && p < end) {
		size_t k = str_find(line, '=');
		if (k > (size_t)(end - p))
			k = (size_t)(end - p);
		if (k) {
			memcpy(p, line.p, k);
			p += k;
			line = str_skip(line, k);
			continue;
		}
		int hi = line.n > 2 ? hex_digit(line.p[1]) : -1, lo = line.n > 2 ? hex_digit(line.p[2]) : -1;
		bool good = hi >= 0 && lo >= 0;
		*p++ = (char)(good ? hi << 4 | lo : '=');
		line = str_skip(line, good ? 3 : 1);
		ok &= good;
	}
	*to = p;
	return ok;
}

static bool qp_run(struct str in, struct buf *out)
{
	bool ok = true, soft = false;
	size_t room = room_for(out, in.n);
	if (room == 0)
		return true;
	char *p = out->p + out->len, *end = p + room;
	while (in.n && p < end) {
		size_t k = str_find(in, '\n'), eol = k < in.n ? 1 : 0;
		size_t n = k;
		if (eol && n && in.p[n - 1] == '\r')
			n--, eol = 2;
		ok &= qp_line(str_head(in, n), &p, end, &soft);
		if (!soft)
			for (; eol && p < end; eol--)
				*p++ = eol == 2 ? '\r' : '\n';
		in = str_skip(in, k + 1);
	}
	out->len = (size_t)(p - out->p);
	return ok;
}

/* "begin 644 name", lines of a length character and groups of four, "end". */
static bool uu_run(struct str in, struct buf *out)
{
	bool on = false, ended = false;
	while (in.n && !ended) {
		size_t k = str_find(in, '\n');
		struct str line = str_trim(str_head(in, k));
		in = str_skip(in, k + 1);
		if (!on) {
			on = str_starts(line, STR("begin "));
			continue;
		}
		ended = str_eq(line, STR("end"));
		size_t n = line.n && !ended ? (unsigned)(line.p[0] - ' ') & 63 : 0, done = 0;
		for (size_t i = 1; done < n && i < line.n && room_for(out, 3) == 3; i += 4) {
			unsigned v = 0;
			for (size_t j = 0; j < 4; j++)
				v = v << 6 | (i + j < line.n ? (unsigned)(line.p[i + j] - ' ') & 63 : 0);
			for (int s = 16; s >= 0 && done < n; s -= 8, done++)
				out->p[out->len++] = (char)(v >> s);
		}
	}
	return on && ended;
}

bool transfer_decode(enum transfer how, struct str in, struct buf *out)
{
	switch (how) {
	case TRANSFER_BASE64: return base64_run(in, out);
	case TRANSFER_QP: return qp_run(in, out);
	case TRANSFER_UUENCODE: return uu_run(in, out);
	case TRANSFER_7BIT:
	case TRANSFER_8BIT:
	case TRANSFER_BINARY:
	case TRANSFER_UNKNOWN: break;
	}
	size_t n = room_for(out, in.n);
	buf_add(out, str_head(in, n));
	return how != TRANSFER_UNKNOWN;
}
