/* Header fields as raw runs (RFC 5322 2.2), found by line starts. */
#include "mail/header.h"

/* The offset after the line that starts at `pos`. */
static size_t line_end(struct str in, size_t pos)
{
	const char *lf = memchr(in.p + pos, '\n', in.n - pos);
	return lf ? (size_t)(lf - in.p) + 1 : in.n;
}

static bool is_empty_line(struct str in, size_t pos)
{
	return in.p[pos] == '\n' || (in.p[pos] == '\r' && pos + 1 < in.n && in.p[pos + 1] == '\n');
}

/* RFC 5322 3.6.8: ftext is any printable US-ASCII except ":". Length of the name, or 0; *out_colon is where the colon stands. */
static size_t name_length(struct str in, size_t pos, size_t *out_colon)
{
	size_t i = pos, n;
	while (i < in.n && in.p[i] > 0x20 && in.p[i] < 0x7f && in.p[i] != ':')
		i++;
	n = i - pos;
	while (i < in.n && (in.p[i] == ' ' || in.p[i] == '\t')) /* obs: white space before the colon (4.5) */
		i++;
	*out_colon = i;
	return i < in.n && in.p[i] == ':' ? n : 0;
}

enum rc header_next(struct str in, size_t *pos, struct header_field *out, bool *out_broken)
{
	size_t colon, n, end;
	if (*pos == 0 && (str_starts(in, STR("From ")) || str_starts(in, STR(">From "))) && name_length(in, 0, &colon) == 0) {
		*pos = line_end(in, 0); /* a mailbox separator that came along */
		if (out_broken)
			*out_broken = true;
	}
	if (*pos >= in.n)
		return RC_NOTFOUND;
	if (is_empty_line(in, *pos)) {
		*pos = line_end(in, *pos);
		return RC_NOTFOUND;
	}
	n = name_length(in, *pos, &colon);
	if (n == 0) {
		if (out_broken)
			*out_broken = true;
		return RC_NOTFOUND;
	}
	end = line_end(in, colon);
	while (end < in.n && (in.p[end] == ' ' || in.p[end] == '\t'))
		end = line_end(in, end);
	struct str value = { in.p + colon + 1, end - colon - 1 };
	if (value.n && value.p[value.n - 1] == '\n') {
		value.n--;
		if (value.n && value.p[value.n - 1] == '\r')
			value.n--;
	}
	*out = (struct header_field){ { in.p + *pos, end - *pos }, { in.p + *pos, n }, value };
	*pos = end;
	return RC_OK;
}

enum rc header_find(struct str in, struct str name, struct header_field *out)
{
	struct header_field f;
	size_t pos = 0;
	while (header_next(in, &pos, &f, NULL) == RC_OK)
		if (str_ieq(f.name, name)) {
			*out = f;
			return RC_OK;
		}
	return RC_NOTFOUND;
}

void header_unfold(struct str value, struct buf *out)
{
	while (value.n) {
		size_t k = str_find(value, '\n'), cut = k;
		if (cut > 0 && cut < value.n && value.p[cut - 1] == '\r')
			cut--;
		buf_add(out, str_head(value, cut));
		value = str_skip(value, k + 1);
	}
}
