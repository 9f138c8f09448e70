/* Notices made of a stranger's octets: the header has our fields only, every line ends in CRLF, each recipient has his block. */
#include "mail/dsn.h"

#include "mail/header.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str next(struct str *in)
{
	struct str one;
	(void)str_cut(*in, '|', &one, in);
	return one;
}

static size_t count(struct str text, struct str needle)
{
	size_t n = 0;
	for (size_t at; (at = str_find_str(text, needle)) < text.n; text = str_skip(text, at + needle.n))
		n++;
	return n;
}

/* What stands between the boundary's second place, where the report begins, and its third. Our own words for the report would not do: a stranger may
 * have said them, and they stand in the text for people. */
static struct str report_of(struct str out, struct str content_type)
{
	AUTO(buf_done) struct buf delimiter = { .max = 128 };
	struct str boundary = str_skip(content_type, str_find_str(content_type, STR("boundary=\"")) + 10);
	buf_addf(&delimiter, "\r\n--%.*s", PSTR(str_head(boundary, str_find(boundary, '"'))));
	for (size_t i = 0; i < 2; i++)
		out = str_skip(out, str_find_str(out, buf_str(&delimiter)) + delimiter.len);
	return str_head(out, str_find_str(out, buf_str(&delimiter)));
}

static void check(const struct dsn *d, struct str out)
{
	static const char *const known[] = { "From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted", "MIME-Version", "Content-Type" };
	struct header_field f = { 0 };
	struct str content_type = STR("");
	size_t pos = 0, k = 0;
	while (header_next(out, &pos, &f, NULL) == RC_OK) {
		while (k < 10 && !str_eq(f.name, str_z(known[k])))
			k++;
		assert(k++ < 10);
		content_type = f.value;
	}
	struct str report = report_of(out, content_type);
	assert(count(report, STR("\r\nFinal-Recipient: ")) == d->n && count(report, STR("\r\nAction: ")) == d->n && count(report, STR("\r\nStatus: ")) == d->n);
	assert(count(report, STR("\n")) == count(report, STR("\r\n")) && count(report, STR("\r")) == count(report, STR("\r\n")));
	assert(count(out, STR("\r\n--=_notice_")) >= 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	AUTO(buf_done) struct buf out = { .max = 8 << 20 };
	struct str in = str_of(data + 1, size - 1);
	struct dsn_rcpt r[2] = { { .action = data[0] % 5, .remote = data[0] & 8 }, { .action = data[0] / 5 % 5, .last_ms = 1, .retry_until_ms = 2 } };
	for (size_t i = 0; i < 2; i++) {
		struct str status = str_head(next(&in), sizeof r[i].status);
		memcpy(r[i].status, status.p, status.n);
		r[i].final = next(&in);
		r[i].orcpt_type = next(&in);
		r[i].orcpt = next(&in);
		r[i].remote_mta = next(&in);
		r[i].diagnostic = next(&in);
		r[i].tls = next(&in);
	}
	struct dsn d = { .reporting_mta = STR("mail.ours.example"), .from = STR("MAILER-DAEMON@ours.example"), .to = STR("a@ours.example"), .message_id = STR("1@ours.example"), .mid = next(&in),
		.envid = next(&in), .subject = next(&in), .message_to_name = next(&in), .arrival_ms = 1, .now_ms = 2, .rcpts = r, .n = 2, .full = data[0] & 16, .utf8 = data[0] & 32 };
	d.original = in;
	enum rc rc = dsn_format(&d, &out);
	assert(rc == RC_OK || (rc == RC_SYNTAX && (!r[0].final.n || !r[1].final.n)));
	if (rc == RC_OK)
		check(&d, buf_str(&out));
	return 0;
}
