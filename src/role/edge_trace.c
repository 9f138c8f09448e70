#include "role/edge_trace.h"

#include "origin/auth_results.h"

size_t edge_header_end(struct str raw, size_t from)
{
	if (str_starts(raw, STR("\r\n")))
		return 2;
	size_t at = from > 3 ? from - 3 : 0;
	const char *p = raw.n >= at + 4 ? memmem(raw.p + at, raw.n - at, "\r\n\r\n", 4) : NULL;
	return p ? (size_t)(p - raw.p) + 4 : 0;
}

/* The octets of the field that starts here: its first line and those that go on with white space. */
static size_t field_length(struct str in)
{
	size_t n = 0;
	do {
		const char *end = memchr(in.p + n, '\n', in.n - n);
		n = end ? (size_t)(end - in.p) + 1 : in.n;
	} while (n < in.n && (in.p[n] == ' ' || in.p[n] == '\t'));
	return n;
}

static bool is_ours(struct str field, struct str authserv)
{
	static const struct str name = STR_INIT("authentication-results");
	if (!str_istarts(field, name))
		return false;
	struct str value = str_skip(field, name.n);
	while (value.n && (value.p[0] == ' ' || value.p[0] == '\t'))
		value = str_skip(value, 1);
	return value.n && value.p[0] == ':' && auth_results_is_ours(str_skip(value, 1), authserv);
}

size_t edge_strip_results(char *header, size_t n, struct str authserv)
{
	size_t kept = 0, at = 0;
	while (at < n) {
		struct str left = { header + at, n - at };
		size_t len = field_length(left);
		if (!is_ours(str_head(left, len), authserv)) {
			if (kept != at)
				memmove(header + kept, header + at, len);
			kept += len;
		}
		at += len;
	}
	if (kept != n)
		memmove(header + n - kept, header, kept);
	return n - kept;
}
