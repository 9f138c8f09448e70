#include "cmd/demo.h"

#include "base/codec.h"
#include "os/file.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Forty messages of many shapes, spoken to the demo's own SMTP port: the road that strangers' mail takes. */

enum { MESSAGES = 40, LINE_MAX_ = 1000, REPLY_SECONDS = 60 };
enum shape { PLAIN, HTML, BOTH, ATTACHED, PICTURE, FORWARDED, NESTED, LATIN1, LIST };

static const struct letter { const char *from, *name, *to, *subject, *text; enum shape shape; } letters[] = {
	{ "billing@supplies.example", "Supplies Ltd", "bob", "Invoice 77", "Dear Bob,\n\nplease find invoice 77 attached: 12 boxes of paper, 148.20 EUR, due in 14 days.\n\nKind regards\nSupplies Ltd\n", ATTACHED },
	{ "carol@demo.test", "Carol Clark", "alice", "Lunch on Thursday?", "Hi Alice,\n\nthe new place at the harbour has a table at half past twelve. Shall I take it?\n\nCarol\n", PLAIN },
	{ "news@gardening.example", "The Green Letter", "bob", "What to sow in May", "Beans, courgettes and sunflowers can go out now.\nWater in the morning.\n", BOTH },
	{ "travel@rail.example", "Northern Rail", "alice", "Your ticket to Hamburg", "Coach 7, seat 42, departure 09:36 from platform 3.\nThe ticket is attached.\n", ATTACHED },
	{ "m.dupont@atelier.example", "Mireille Dupont", "carol", "R\xc3\xa9union d\xc3\xa9plac\xc3\xa9" "e", "Bonjour Carol,\n\nla r\xc3\xa9union est d\xc3\xa9plac\xc3\xa9" "e \xc3\xa0 mardi, quatorze heures. \xc3\x80 bient\xc3\xb4t !\n\nMireille\n", PLAIN },
	{ "post@stadtwerke.example", "Stadtwerke", "alice", "Z\xc3\xa4hlerstand f\xc3\xbcr M\xc3\xa4rz", "Guten Tag,\n\nbitte geben Sie Ihren Z\xc3\xa4hlerstand bis zum 15. durch. Gr\xc3\xbc\xc3\x9f" "e aus dem Werk.\n", LATIN1 },
	{ "tanaka@shop.example", "\xe7\x94\xb0\xe4\xb8\xad", "bob", "\xe3\x81\x94\xe6\xb3\xa8\xe6\x96\x87\xe3\x81\xae\xe7\xa2\xba\xe8\xaa\x8d", "\xe3\x81\x93\xe3\x82\x93\xe3\x81\xab\xe3\x81\xa1\xe3\x81\xaf\xe3\x80\x82\n\xe3\x81\x94\xe6\xb3\xa8\xe6\x96\x87\xe3\x82\x92\xe5\x8f\x97\xe3\x81\x91\xe4\xbb\x98\xe3\x81\x91\xe3\x81\xbe\xe3\x81\x97\xe3\x81\x9f\xe3\x80\x82\n", PLAIN },
	{ "olena@biblioteka.example", "\xd0\x9e\xd0\xbb\xd0\xb5\xd0\xbd\xd0\xb0", "carol", "\xd0\x9a\xd0\xbd\xd0\xb8\xd0\xb3\xd0\xb8 \xd1\x87\xd0\xb5\xd0\xba\xd0\xb0\xd1\x8e\xd1\x82\xd1\x8c", "\xd0\x94\xd0\xbe\xd0\xb1\xd1\x80\xd0\xb8\xd0\xb9 \xd0\xb4\xd0\xb5\xd0\xbd\xd1\x8c!\n\xd0\x94\xd0\xb2\xd1\x96 \xd0\xba\xd0\xbd\xd0\xb8\xd0\xb3\xd0\xb8 \xd1\x87\xd0\xb5\xd0\xba\xd0\xb0\xd1\x8e\xd1\x82\xd1\x8c \xd0\xbd\xd0\xb0 \xd0\xb2\xd0\xb0\xd1\x81.\n", BOTH },
	{ "sara@hospital.example", "\xd7\xa9\xd7\xa8\xd7\x94", "alice", "\xd7\xaa\xd7\x95\xd7\xa8 \xd7\x9c\xd7\x91\xd7\x93\xd7\x99\xd7\xa7\xd7\x94", "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d,\n\xd7\x94\xd7\xaa\xd7\x95\xd7\xa8 \xd7\xa9\xd7\x9c\xd7\x9a \xd7\x91\xd7\x99\xd7\x95\xd7\x9d \xd7\xa8\xd7\x90\xd7\xa9\xd7\x95\xd7\x9f.\n", HTML },
	{ "it@demo.test", "Help desk", "bob", "Printer on floor 2 is back", "It was the toner. Thank you for your patience.\n", PLAIN },
	{ "photos@family.example", "Aunt Edith", "bob", "The cat again", "She found the one sunny spot. Picture attached.\n", PICTURE },
	{ "lawyer@office.example", "Office of N. Stern", "alice", "Fwd: draft contract", "See the forwarded message below; clause 4 is the one to read.\n", FORWARDED },
	{ "archive@records.example", "Records", "carol", "Three letters in one envelope", "A digest of digests, to see how deep a reader can look.\n", NESTED },
	{ "dev-request@lists.example", "dev list", "alice", "[dev] Release 4.2 is out", "Changes since 4.1: faster start, two fixes, no new options.\n", LIST },
	{ "hr@demo.test", "People team", "carol", "Holiday calendar", "Please enter your holidays until the end of the month.\n", HTML },
	{ "bob@demo.test", "Bob Brown", "carol", "Numbers for the meeting", "Carol,\n\nrevenue 4.1, costs 3.6, both in millions. Slides follow tonight.\n\nBob\n", PLAIN },
};
enum { LETTERS = sizeof letters / sizeof *letters };

/* ---- building ---- */

static void put_word(struct buf *b, const char *text)
{
	size_t plain = 0;
	for (const char *p = text; *p; p++)
		plain += (unsigned char)*p < 0x80;
	if (plain == strlen(text)) {
		buf_addf(b, "%s", text);
		return;
	}
	buf_add(b, STR("=?UTF-8?B?")); /* RFC 2047 2: at most 75 characters, and these words are short */
	base64_add(b, str_z(text));
	buf_add(b, STR("?="));
}

static void put_lines(struct buf *b, const char *text)
{
	for (struct str rest = str_z(text), line; rest.n;) {
		(void)str_cut(rest, '\n', &line, &rest);
		buf_add(b, line);
		buf_add(b, STR("\r\n"));
	}
}

static void put_base64(struct buf *b, struct str bytes)
{
	for (; bytes.n; bytes = str_skip(bytes, 57)) {
		base64_add(b, str_head(bytes, 57));
		buf_add(b, STR("\r\n"));
	}
}

/* ISO-8859-1 as quoted-printable: the letters here are all below U+0100. */
static void put_latin1(struct buf *b, const char *text)
{
	for (struct str rest = str_z(text); rest.n;) {
		uint32_t v = 0;
		size_t n = utf8_next(rest, &v);
		if (v == '\n')
			buf_add(b, STR("\r\n"));
		else if (v == '=' || v >= 0x80)
			buf_addf(b, "=%02X", (unsigned)(v & 0xff));
		else
			buf_byte(b, (char)v);
		rest = str_skip(rest, n ? n : 1);
	}
}

static void put_html(struct buf *b, const struct letter *l)
{
	buf_add(b, STR("Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"));
	AUTO(buf_done) struct buf html = { .max = 16384 };
	buf_addf(&html, "<!doctype html><html><body><h1>%s</h1><p>%s</p></body></html>\n", l->subject, l->text);
	put_base64(b, buf_str(&html));
}

static void put_text(struct buf *b, const struct letter *l)
{
	buf_add(b, STR("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
	put_lines(b, l->text);
}

static void put_pdf(struct buf *b, const char *name)
{
	static const char pdf[] = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n";
	buf_addf(b, "Content-Type: application/pdf; name=\"%s\"\r\nContent-Disposition: attachment; filename=\"%s\"\r\nContent-Transfer-Encoding: base64\r\n\r\n", name, name);
	put_base64(b, str_of(pdf, sizeof pdf - 1));
}

static void put_picture(struct buf *b)
{
	static const char gif[] = "GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x00\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02" "D\x01\x00;";
	buf_add(b, STR("Content-Type: image/gif\r\nContent-Disposition: attachment; filename*=UTF-8''K%C3%A4tzchen.gif\r\nContent-Transfer-Encoding: base64\r\n\r\n"));
	put_base64(b, str_of(gif, sizeof gif - 1));
}

static void put_inner_message(struct buf *b, unsigned depth)
{
	buf_addf(b, "Content-Type: message/rfc822\r\n\r\nFrom: Inner %u <inner%u@office.example>\r\nTo: office@office.example\r\nSubject: Inside, level %u\r\n"
	            "MIME-Version: 1.0\r\n", depth, depth, depth);
	if (depth <= 1) {
		buf_add(b, STR("Content-Type: text/plain\r\n\r\nThe innermost letter.\r\n"));
		return;
	}
	buf_addf(b, "Content-Type: multipart/mixed; boundary=\"level%u\"\r\n\r\n--level%u\r\nContent-Type: text/plain\r\n\r\nLevel %u.\r\n--level%u\r\n", depth, depth, depth, depth);
	put_inner_message(b, depth - 1); /* three levels at most */
	buf_addf(b, "--level%u--\r\n", depth);
}

static void open_parts(struct buf *b, const char *subtype) { buf_addf(b, "Content-Type: multipart/%s; boundary=\"=_demo\"\r\n\r\n--=_demo\r\n", subtype); }

static void put_body(struct buf *b, const struct letter *l)
{
	if (l->shape == HTML) {
		put_html(b, l);
		return;
	}
	if (l->shape == LATIN1) {
		buf_add(b, STR("Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"));
		put_latin1(b, l->text);
		return;
	}
	if (l->shape == PLAIN || l->shape == LIST) {
		put_text(b, l);
		return;
	}
	open_parts(b, l->shape == BOTH ? "alternative" : "mixed");
	put_text(b, l);
	buf_add(b, STR("--=_demo\r\n"));
	if (l->shape == BOTH)
		put_html(b, l);
	else if (l->shape == ATTACHED)
		put_pdf(b, strstr(l->subject, "Invoice") ? "invoice-77.pdf" : "ticket.pdf");
	else if (l->shape == PICTURE)
		put_picture(b);
	else
		put_inner_message(b, l->shape == NESTED ? 3 : 1);
	buf_add(b, STR("--=_demo--\r\n"));
}

static void put_date(struct buf *b, time_t t)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm;
	(void)gmtime_r(&t, &tm);
	buf_addf(b, "Date: %.3s, %d %.3s %d %02d:%02d:%02d +0000\r\n", days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Message number i: the letters first, then weekly reports of a machine. */
static struct letter letter_of(unsigned i, char subject[64], char text[400])
{
	if (i < LETTERS)
		return letters[i];
	unsigned week = i - LETTERS + 1;
	(void)snprintf(subject, 64, "Weekly report %u", week);
	(void)snprintf(text, 400, "Week %u: %u visitors, %u orders, %u questions answered.\nBusiest day: %.3s.\n", week, 900 + week * 37 % 211, 40 + week * 13 % 29,
	               7 + week * 5 % 11, &"MonTueWedThuFri"[week % 5 * 3]);
	return (struct letter){ "reports@demo.test", "Report robot", demo_people[i % 3], subject, text, week % 4 == 0 ? BOTH : PLAIN };
}

static void build(struct buf *b, const struct letter *l, unsigned i)
{
	put_date(b, (time_t)(wall_ms() / 1000) - (time_t)(MESSAGES - i) * 5400);
	buf_add(b, STR("From: "));
	put_word(b, l->name);
	buf_addf(b, " <%s>\r\nTo: %s@demo.test\r\nSubject: ", l->from, l->to);
	put_word(b, l->subject);
	buf_addf(b, "\r\nMessage-ID: <demo.%u.%" PRId64 "@mail.demo.test>\r\nMIME-Version: 1.0\r\n", i, wall_ms() / 1000);
	if (l->shape == LIST)
		buf_add(b, STR("List-Id: <dev.lists.example>\r\nPrecedence: list\r\n"));
	put_body(b, l);
}

/* ---- speaking ---- */

/* The last line of a reply must begin with `code`. */
static enum rc expect(FILE *in, const char *code, struct why *why)
{
	char line[LINE_MAX_];
	do {
		if (!fgets(line, sizeof line, in))
			FAIL(why, RC_CLOSED, "SMTP: the server hung up");
	} while (strlen(line) > 3 && line[3] == '-');
	if (strncmp(line, code, 3) != 0)
		FAIL(why, RC_DENIED, "SMTP: %.150s", line);
	return RC_OK;
}

/* RFC 5321 4.5.2: a leading dot is doubled. No line here begins with one but base64 and prose could. */
static void send_text(FILE *out, struct str text)
{
	for (struct str line; text.n;) {
		(void)str_cut(text, '\n', &line, &text);
		if (line.n && line.p[0] == '.')
			(void)fputc('.', out);
		(void)fwrite(line.p, 1, line.n, out);
		(void)fputc('\n', out);
	}
	(void)fputs(".\r\n", out);
	(void)fflush(out);
}

static enum rc deliver(FILE *in, FILE *out, unsigned i, struct why *why)
{
	char subject[64], text[400];
	AUTO(buf_done) struct buf b = { .max = 1 << 20 };
	struct letter l = letter_of(i, subject, text);
	build(&b, &l, i);
	if (b.failed)
		FAIL(why, RC_NOMEM, "no memory for message %u", i);
	(void)fprintf(out, "MAIL FROM:<%s> BODY=8BITMIME\r\nRCPT TO:<%s@demo.test>\r\nDATA\r\n", l.from, l.to);
	(void)fflush(out);
	TRY(expect(in, "250", why));
	TRY(expect(in, "250", why));
	TRY(expect(in, "354", why));
	send_text(out, buf_str(&b));
	return expect(in, "250", why);
}

static enum rc deliver_all(FILE *in, FILE *out, struct why *why)
{
	TRY(expect(in, "220", why));
	(void)fputs("EHLO demo.test\r\n", out);
	(void)fflush(out);
	TRY(expect(in, "250", why));
	for (unsigned i = 0; i < MESSAGES; i++)
		TRY(deliver(in, out, i, why));
	(void)fputs("QUIT\r\n", out);
	(void)fflush(out);
	return expect(in, "221", why);
}

static void close_file(FILE **f)
{
	if (*f)
		(void)fclose(*f);
	*f = NULL;
}

enum rc demo_load_mail(struct demo *d, struct why *why)
{
	AUTO(fd_close) int dir = -1;
	TRY(dir_open(d->state, &dir, why));
	if (faccessat(dir, "loaded", F_OK, 0) == 0)
		return RC_OK;
	int fd = demo_dial(d->ports[DEMO_SMTP]);
	if (fd < 0)
		FAIL_SYS(why, "SMTP port %u: %s", d->ports[DEMO_SMTP], strerror(errno));
	struct timeval patience = { .tv_sec = REPLY_SECONDS };
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	AUTO(close_file) FILE *in = fdopen(fd, "r");
	AUTO(close_file) FILE *out = fdopen(dup(fd), "w");
	if (!in || !out)
		FAIL(why, RC_NOMEM, "no memory for a connection");
	TRY(deliver_all(in, out, why));
	d->loaded = MESSAGES;
	return file_put(dir, "loaded", STR("40 messages\n"), 0600, why);
}
