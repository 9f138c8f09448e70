#include "role/edge_trace.h"

#include "base/codec.h"
#include "base/octets.h"
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

/* The value, when the field has this name. RFC 5322 4.5: white space may stand before the colon. */
static bool field_is(struct str field, struct str name, struct str *out_value)
{
	if (!str_istarts(field, name))
		return false;
	struct str value = str_skip(field, name.n);
	while (value.n && (value.p[0] == ' ' || value.p[0] == '\t'))
		value = str_skip(value, 1);
	*out_value = str_skip(value, 1);
	return value.n && value.p[0] == ':';
}

bool edge_is_ours(const void *authserv, struct str field)
{
	struct str value;
	return field_is(field, STR("authentication-results"), &value) && auth_results_is_ours(value, *(const struct str *)authserv);
}

bool edge_is_private(const void *authserv, struct str field)
{
	static const struct str names[] = { STR_INIT("bcc"), STR_INIT("resent-bcc"), STR_INIT("return-path") };
	struct str value;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (field_is(field, names[i], &value))
			return true;
	return edge_is_ours(authserv, field);
}

size_t edge_strip(char *header, size_t n, bool (*drop)(const void *arg, struct str field), const void *arg)
{
	size_t kept = 0, at = 0;
	while (at < n) {
		struct str left = { header + at, n - at };
		size_t len = field_length(left);
		if (!drop(arg, str_head(left, len))) {
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

void edge_head_read(struct str header, struct edge_head *out)
{
	struct edge_head h = { .from_value = STR(""), .sender_value = STR(""), .resent_from_value = STR(""), .resent_sender_value = STR(""), .subject = STR("") };
	const struct { struct str name; unsigned *count; struct str *value; } wanted[] = {
		{ STR("from"), &h.from, &h.from_value }, { STR("sender"), &h.sender, &h.sender_value }, { STR("date"), &h.date, NULL },
		{ STR("message-id"), &h.message_id, NULL }, { STR("received"), &h.received, NULL }, { STR("subject"), NULL, &h.subject },
		{ STR("resent-from"), &h.resent_from, &h.resent_from_value }, { STR("resent-sender"), &h.resent_sender, &h.resent_sender_value },
	};
	struct str value;
	for (struct str left = header; left.n;) {
		struct str field = str_head(left, field_length(left));
		for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
			if (!field_is(field, wanted[i].name, &value))
				continue;
			if (wanted[i].count)
				++*wanted[i].count;
			if (wanted[i].value && !wanted[i].value->n)
				*wanted[i].value = value;
		}
		/* RFC 8689 5: "the TLS-Required header field ... "No"", whatever its case */
		if (field_is(field, STR("tls-required"), &value))
			h.tls_optional = str_ieq(str_trim(value), STR("no"));
		left = str_skip(left, field.n);
	}
	bool eight_bit = edge_has_8bit(header);
	h.utf8 = eight_bit && utf8_ok(header);
	h.foreign = eight_bit && !h.utf8;
	*out = h;
}

bool edge_was_delivered_to(struct str header, struct str address)
{
	struct str value;
	for (struct str left = header; left.n;) {
		struct str field = str_head(left, field_length(left));
		if (field_is(field, STR("delivered-to"), &value) && str_ieq(str_trim(value), address))
			return true;
		left = str_skip(left, field.n);
	}
	return false;
}

bool edge_lines_ok(struct str header) { return !(octets_survey(header) & (OCTETS_BARE_CR | OCTETS_BARE_LF)); }

bool edge_has_8bit(struct str text)
{
	uint64_t all = 0;
	size_t i = 0;
	for (; i + 8 <= text.n; i += 8) {
		uint64_t word;
		memcpy(&word, text.p + i, 8);
		all |= word;
	}
	for (; i < text.n; i++)
		all |= (unsigned char)text.p[i];
	return (all & 0x8080808080808080u) != 0;
}
