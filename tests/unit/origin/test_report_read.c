/* Reports of strangers: what is read in spite of its sender, and what is refused. */
#include "origin/report_internal.h"

#include "../mail/mail_test.h"
#include "base/codec.h"
#include "base/mem.h"
#include <zlib.h>

#define META "<report_metadata><org_name>Org</org_name><email>a@b.example</email><report_id>1</report_id>" \
	     "<date_range><begin>1795392000</begin><end>1795478399</end></date_range></report_metadata>"
#define POLICY "<policy_published><domain>Bank.Example</domain><p>reject</p><pct>100</pct></policy_published>"
#define RECORD(ip, count) "<record><row><source_ip>" ip "</source_ip><count>" count "</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim>" \
	"<spf>fail</spf></policy_evaluated></row><identifiers><header_from>bank.example</header_from></identifiers><auth_results/></record>"
#define GOOD "<feedback>" META POLICY RECORD("192.0.2.1", "5") "</feedback>"

static enum rc read_into(struct str bytes, struct arena *a, struct report *r, struct why *why)
{
	*why = (struct why){ 0 };
	return report_read(bytes, a, r, why);
}

static void refused(struct str bytes, enum rc want, const char *because)
{
	AUTO(arena_done) struct arena a = { .max = 16 << 20 };
	struct report r;
	struct why why;
	enum rc rc = read_into(bytes, &a, &r, &why);
	if (rc != want || !strstr(why.text, because))
		fail_msg("%s (%s), should be %s (%s): %.*s", rc_name(rc), why.text, rc_name(want), because, PSTR(str_head(bytes, 300)));
	assert_int_equal(r.kind, REPORT_UNKNOWN);
}

static void good(struct str bytes, uint64_t count)
{
	AUTO(arena_done) struct arena a = { .max = 16 << 20 };
	struct report r;
	struct why why;
	enum rc rc = read_into(bytes, &a, &r, &why);
	if (rc != RC_OK)
		fail_msg("%s: %s", rc_name(rc), why.text);
	assert_int_equal(r.kind, REPORT_DMARC);
	assert_int_equal(r.dmarc.rows, 1);
	assert_int_equal(r.dmarc.row[0].count, count);
	SAME(r.dmarc.domain, STR("bank.example"));
	SAME(r.dmarc.p, STR("reject"));
	SAME(r.dmarc.row[0].dkim, STR("pass"));
	SAME(r.dmarc.row[0].source_ip, STR("192.0.2.1"));
}

static void gzipped(struct str in, struct buf *out) { assert_int_equal(report_gzip(in, out), RC_OK); }

/* A zip archive with one file; `method` 0 or 8. */
static void le(struct buf *b, uint64_t v, unsigned n)
{
	for (; n; n--, v >>= 8)
		buf_u8(b, (uint8_t)(v & 0xff));
}
struct zip_lie { uint32_t flags, size, crc_xor, local, method, entries; bool set_size; };

static void zipped(struct str name, struct str in, unsigned method, const struct zip_lie *lie, struct buf *out)
{
	AUTO(buf_done) struct buf gz = { .max = 80 << 20 };
	static const struct zip_lie truth;
	lie = lie ? lie : &truth;
	struct str data = in;
	if (method == 8) {
		gzipped(in, &gz);
		data = str_of(gz.p + 10, gz.len - 18);
	}
	uint32_t crc = (uint32_t)crc32(0, (const unsigned char *)in.p, (unsigned)in.n) ^ lie->crc_xor;
	size_t size = lie->set_size ? lie->size : in.n;
	method = lie->method ? lie->method : method;
	size_t local = out->len;
	buf_add(out, STR("PK\3\4"));
	le(out, 20, 2), le(out, lie->flags, 2), le(out, method, 2), le(out, 0, 4), le(out, crc, 4), le(out, data.n, 4), le(out, size, 4), le(out, name.n, 2), le(out, 0, 2);
	buf_add(out, name);
	buf_add(out, data);
	size_t central = out->len;
	unsigned n = lie->entries ? lie->entries : 1;
	for (unsigned i = 0; i < n; i++) {
		buf_add(out, STR("PK\1\2"));
		le(out, 20, 2), le(out, 20, 2), le(out, lie->flags, 2), le(out, method, 2), le(out, 0, 4), le(out, crc, 4), le(out, data.n, 4), le(out, size, 4);
		le(out, name.n, 2), le(out, 0, 2), le(out, 0, 2), le(out, 0, 2), le(out, 0, 2), le(out, 0, 4), le(out, lie->local ? lie->local : local, 4);
		buf_add(out, name);
	}
	size_t end = out->len;
	buf_add(out, STR("PK\5\6"));
	le(out, 0, 4), le(out, n, 2), le(out, n, 2), le(out, end - central, 4), le(out, central, 4), le(out, 0, 2);
}

static void a_bare_file_is_read_in_every_wrapping(void **state)
{
	AUTO(buf_done) struct buf gz = { .max = 1 << 20 };
	AUTO(buf_done) struct buf zip = { .max = 1 << 20 };
	AUTO(buf_done) struct buf stored = { .max = 1 << 20 };
	good(STR(GOOD), 5);
	good(STR("\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" GOOD), 5);
	good(STR("\r\n <?xml version=\"1.0\"?>" GOOD "\r\n\r\n"), 5);
	gzipped(STR(GOOD), &gz);
	good(buf_str(&gz), 5);
	buf_add(&gz, STR("\r\n\r\n"));
	good(buf_str(&gz), 5);
	zipped(STR("r.xml"), STR(GOOD), 8, NULL, &zip);
	good(buf_str(&zip), 5);
	zipped(STR("wrong.name"), STR(GOOD), 0, NULL, &stored);
	good(buf_str(&stored), 5);
}

static void a_declaration_of_utf16_that_is_not_true_is_passed_over(void **state)
{
	good(STR("<?xml version=\"1.0\" encoding=\"utf-16\"?>" GOOD), 5);
	good(STR("\xef\xbb\xbf<?xml version=\"1.0\" encoding='UTF-16'?>\r\n" GOOD), 5);
	refused(STR("<?xml version=\"1.0\" encoding=\"x-nobody\"?>" GOOD), RC_SYNTAX, "unknown encoding");
}

static void charsets_of_one_octet_a_character_are_read(void **state)
{
	static const struct { const char *charset, *org; struct str want; } cases[] = {
		{ "windows-1252", "J\xf6rg \x80\x97", STR_INIT("J\xc3\xb6rg \xe2\x82\xac\xe2\x80\x94") }, { "Windows-1251", "\xc0", STR_INIT("\xd0\x90") },
		{ "iso-8859-15", "\xa4", STR_INIT("\xe2\x82\xac") }, { "iso-8859-1", "\xe9", STR_INIT("\xc3\xa9") }, { "gb18030", "plain", STR_INIT("plain") },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(buf_done) struct buf xml = { .max = 1 << 16 };
		AUTO(arena_done) struct arena a = { .max = 1 << 20 };
		struct report r;
		struct why why;
		buf_addf(&xml, "<?xml version=\"1.0\" encoding=\"%s\"?>%s", cases[i].charset, GOOD);
		good(buf_str(&xml), 5);
		buf_clear(&xml);
		buf_addf(&xml, "<?xml version=\"1.0\" encoding=\"%s\"?><feedback><report_metadata><org_name>%s</org_name>"
		               "<date_range><begin>1700000000</begin><end>1700086399</end></date_range></report_metadata>" POLICY "</feedback>", cases[i].charset, cases[i].org);
		assert_int_equal(read_into(buf_str(&xml), &a, &r, &why), RC_OK);
		SAME(r.dmarc.org, cases[i].want);
	}
	refused(STR("<?xml version=\"1.0\" encoding=\"shift_jis\"?><feedback><report_metadata><org_name>\x83\x65</org_name></report_metadata></feedback>"), RC_SYNTAX, "");
	refused(STR("<?xml version=\"1.0\" encoding=\"utf-7\"?>" GOOD), RC_SYNTAX, "unknown encoding");
	refused(STR("<?xml version=\"1.0\" encoding=\"ibm037\"?>" GOOD), RC_SYNTAX, "unknown encoding");
}

static void utf16_is_read(void **state)
{
	static const char xml[] = "<?xml version=\"1.0\" encoding=\"UTF-16\"?>" GOOD;
	AUTO(buf_done) struct buf le16 = { .max = 1 << 16 };
	AUTO(buf_done) struct buf be16 = { .max = 1 << 16 };
	buf_add(&le16, STR("\xff\xfe"));
	buf_add(&be16, STR("\xfe\xff"));
	for (size_t i = 0; xml[i]; i++) {
		buf_byte(&le16, xml[i]);
		buf_byte(&le16, 0);
		buf_byte(&be16, 0);
		buf_byte(&be16, xml[i]);
	}
	good(buf_str(&le16), 5);
	good(buf_str(&be16), 5);
}

static void namespaces_and_order_do_not_matter(void **state)
{
	good(STR("<feedback xmlns=\"urn:wrong\">" META POLICY RECORD("192.0.2.1", "5") "</feedback>"), 5);
	good(STR("<d:feedback xmlns:d=\"http://dmarc.org/dmarc-xml/0.1\"><d:report_metadata><d:report_id>1</d:report_id><d:date_range><d:end>1795478399</d:end>"
	         "<d:begin>1795392000</d:begin></d:date_range></d:report_metadata>" POLICY RECORD("192.0.2.1", "5") "</d:feedback>"), 5);
	good(STR("<x:feedback>" META POLICY RECORD("192.0.2.1", "5") "</x:feedback>"), 5);
	good(STR("<feedback><version>1.0</version>" RECORD("192.0.2.1", " 5\n") POLICY META "<extension><new><report_id>no</report_id></new></extension></feedback>"), 5);
	good(STR("<feedback>" META POLICY RECORD("192.0.2.1", "5") "</feedback>junk <after"), 5);
	good(STR("<feedback>" META POLICY RECORD("::ffff:192.0.2.1", "5") "</feedback>"), 5);
}

static void the_namespace_of_rfc_9990_is_seen(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct report r;
	struct why why;
	assert_int_equal(read_into(STR("<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\">" META POLICY "</feedback>"), &a, &r, &why), RC_OK);
	assert_true(r.dmarc.rfc9990);
	assert_int_equal(read_into(STR(GOOD), &a, &r, &why), RC_OK);
	assert_false(r.dmarc.rfc9990);
}

static void entities_and_dtds_are_refused(void **state)
{
	refused(STR("<!DOCTYPE feedback SYSTEM \"file:///etc/passwd\">" GOOD), RC_LIMIT, "document type");
	refused(STR("<!DOCTYPE x [<!ENTITY a \"b\">]>" GOOD), RC_LIMIT, "document type");
	refused(STR("<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;\">]><feedback>&lol2;</feedback>"), RC_LIMIT, "document type");
	refused(STR("<feedback>" META POLICY "&undefined;</feedback>"), RC_SYNTAX, "undefined entity");
}

static void numbers_that_cannot_be_true_are_refused(void **state)
{
	refused(STR("<feedback>" META POLICY RECORD("192.0.2.1", "-5") "</feedback>"), RC_SYNTAX, "count");
	refused(STR("<feedback>" META POLICY RECORD("192.0.2.1", "") "</feedback>"), RC_SYNTAX, "count");
	refused(STR("<feedback>" META POLICY RECORD("192.0.2.1", "1e9") "</feedback>"), RC_SYNTAX, "count");
	refused(STR("<feedback>" META POLICY RECORD("192.0.2.1", "18446744073709551616") "</feedback>"), RC_SYNTAX, "count");
	refused(STR("<feedback>" META POLICY RECORD("192.0.2.1", "1000000001") "</feedback>"), RC_SYNTAX, "count");
	refused(STR("<feedback>" META POLICY "<record><row><source_ip>192.0.2.1</source_ip></row></record></feedback>"), RC_SYNTAX, "count");
}

static void periods_that_cannot_be_true_are_refused(void **state)
{
	static const struct { const char *begin, *end; } cases[] = {
		{ "0", "86400" }, { "1795478399", "1795392000" }, { "-1", "5" }, { "1795392000", "99999999999" }, { "1795392000", "" }, { "x", "1795478399" },
		{ "1295392000", "1795478399" }, { "9223372036854775808", "9223372036854775809" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char xml[600];
		snprintf(xml, sizeof xml, "<feedback><report_metadata><date_range><begin>%s</begin><end>%s</end></date_range></report_metadata>" POLICY "</feedback>",
		         cases[i].begin, cases[i].end);
		refused(str_z(xml), RC_SYNTAX, "period");
	}
	refused(STR("<feedback>" POLICY RECORD("192.0.2.1", "5") "</feedback>"), RC_SYNTAX, "period");
}

static void what_is_no_report_is_said(void **state)
{
	refused(STR("<html><body>hello</body></html>"), RC_NOTFOUND, "no DMARC report");
	refused(STR("{\"hello\": 1}"), RC_NOTFOUND, "no TLS report");
	refused(STR(""), RC_NOTFOUND, "no report");
	refused(STR("Subject: hello\r\n\r\nJust a letter.\r\n"), RC_NOTFOUND, "no report");
	refused(STR("<feedback>" META "<policy_published><p>none</p></policy_published></feedback>"), RC_SYNTAX, "no domain");
	refused(STR("<feedback>" META POLICY), RC_SYNTAX, "line 1");
	refused(STR("<feedback><report_metadata><org_name>a\xff</org_name></report_metadata></feedback>"), RC_SYNTAX, "line 1");
}

static void a_wrong_address_is_kept_as_unknown(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct report r;
	struct why why;
	assert_int_equal(read_into(STR("<feedback>" META POLICY RECORD("not an address", "1") RECORD("2001:DB8:0:0:0:0:0:1", "2") "</feedback>"), &a, &r, &why), RC_OK);
	SAME(r.dmarc.row[0].source_ip, STR(""));
	SAME(r.dmarc.row[1].source_ip, STR("2001:db8::1"));
}

static void deep_nesting_and_long_values_are_refused(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 1 << 20 };
	buf_add(&b, STR("<feedback>"));
	for (int i = 0; i < 100; i++)
		buf_add(&b, STR("<a>"));
	refused(buf_str(&b), RC_LIMIT, "nested");
	buf_clear(&b);
	buf_add(&b, STR("<feedback>" META POLICY RECORD("192.0.2.1", "5") "<extension><blob>"));
	for (int i = 0; i < 5000; i++)
		buf_byte(&b, 'x');
	buf_add(&b, STR("</blob></extension></feedback>"));
	good(buf_str(&b), 5); /* what we do not know may be long */
	buf_clear(&b);
	buf_add(&b, STR("<feedback><report_metadata><org_name>"));
	for (int i = 0; i < 5000; i++)
		buf_byte(&b, 'x');
	refused(buf_str(&b), RC_LIMIT, "too long");
}

static void more_rows_than_fit_are_refused(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 8 << 20 };
	AUTO(arena_done) struct arena a = { .max = 100000 };
	struct report r;
	struct why why;
	buf_add(&b, STR("<feedback>" META POLICY));
	for (int i = 0; i < 5000; i++)
		buf_add(&b, STR(RECORD("192.0.2.1", "5")));
	buf_add(&b, STR("</feedback>"));
	assert_int_equal(read_into(buf_str(&b), &a, &r, &why), RC_LIMIT);
	assert_non_null(strstr(why.text, "rows"));
}

static void a_gzip_bomb_is_refused(void **state)
{
	AUTO(buf_done) struct buf zeros = { .max = 80 << 20 };
	AUTO(buf_done) struct buf gz = { .max = 80 << 20 };
	AUTO(buf_done) struct buf zip = { .max = 80 << 20 };
	assert_true(buf_room(&zeros, 40 << 20));
	memset(zeros.p, ' ', 40 << 20);
	zeros.len = 40 << 20;
	gzipped(buf_str(&zeros), &gz);
	refused(buf_str(&gz), RC_LIMIT, "times its size");
	zipped(STR("r.xml"), buf_str(&zeros), 8, NULL, &zip);
	refused(buf_str(&zip), RC_LIMIT, "times its size");
}

static void too_large_unpacked_is_refused(void **state)
{
	AUTO(buf_done) struct buf big = { .max = 80 << 20 };
	AUTO(buf_done) struct buf gz = { .max = 80 << 20 };
	uint32_t x = 1;
	assert_true(buf_room(&big, 70 << 20));
	big.len = 70 << 20;
	for (size_t i = 0; i < big.len; i++) {
		x = x * 1664525 + 1013904223;
		big.p[i] = (char)("0123456789abcdef"[x >> 28]);
	}
	for (size_t from = 0; from < big.len; from += 35 << 20) /* report_gzip itself takes no more: two members */
		gzipped(str_of(big.p + from, 35 << 20), &gz);
	refused(buf_str(&gz), RC_LIMIT, "larger than");
}

static void archives_within_archives_are_refused(void **state)
{
	AUTO(buf_done) struct buf gz = { .max = 1 << 20 };
	AUTO(buf_done) struct buf twice = { .max = 1 << 20 };
	AUTO(buf_done) struct buf zip = { .max = 1 << 20 };
	gzipped(STR(GOOD), &gz);
	gzipped(buf_str(&gz), &twice);
	refused(buf_str(&twice), RC_LIMIT, "archive within");
	zipped(STR("r.xml.gz"), buf_str(&gz), 8, NULL, &zip);
	refused(buf_str(&zip), RC_LIMIT, "archive within");
}

/* One archive of several files: each is zipped by itself, and their directories put behind one another. */
static void zipped_together(const struct str *names, const struct str *texts, size_t n, struct buf *out)
{
	AUTO(buf_done) struct buf directory = { .max = 1 << 20 };
	for (size_t i = 0; i < n; i++) {
		AUTO(buf_done) struct buf one = { .max = 1 << 20 };
		size_t local = 30 + names[i].n + texts[i].n;
		zipped(names[i], texts[i], 0, &(struct zip_lie){ .local = (uint32_t)out->len }, &one);
		buf_add(out, str_head(buf_str(&one), local));
		buf_add(&directory, str_of(one.p + local, 46 + names[i].n));
	}
	size_t central = out->len;
	buf_add(out, buf_str(&directory));
	buf_add(out, STR("PK\5\6"));
	le(out, 0, 4), le(out, (uint32_t)n, 2), le(out, (uint32_t)n, 2), le(out, (uint32_t)directory.len, 4), le(out, (uint32_t)central, 4), le(out, 0, 2);
}

static void a_file_beside_the_report_does_not_hide_it(void **state)
{
	static const struct str names[] = { STR_INIT("readme.txt"), STR_INIT("./a/Report.XML"), STR_INIT("a/._Report.XML") };
	static const struct str texts[] = { STR_INIT("<hello>"), STR_INIT(GOOD), STR_INIT("<xsl/>") };
	static const struct str both[] = { STR_INIT(GOOD), STR_INIT(GOOD) };
	static const struct str plain[] = { STR_INIT("a"), STR_INIT("b") };
	for (size_t from = 0; from < 2; from++) {
		AUTO(buf_done) struct buf zip = { .max = 1 << 20 };
		zipped_together(names + from, texts + from, 3 - from, &zip);
		good(buf_str(&zip), 5);
	}
	AUTO(buf_done) struct buf nameless = { .max = 1 << 20 };
	zipped_together(plain, both, 2, &nameless);
	refused(buf_str(&nameless), RC_LIMIT, "2 files where a report is one");
}

static void mail_of(const char *type, struct str body, bool base64, struct buf *out)
{
	buf_addf(out, "From: a@b.example\r\nSubject: Report\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nHello <b>\r\n"
	         "--x\r\nContent-Type: text/html\r\n\r\n<html></html>\r\n--x\r\nContent-Type: %s\r\n%s\r\n", type, base64 ? "Content-Transfer-Encoding: base64\r\n" : "");
	if (base64)
		base64_add(out, body);
	else
		buf_add(out, body);
	buf_add(out, STR("\r\n--x--\r\n"));
}

#define COUNTED(n) "<feedback>" META POLICY RECORD("192.0.2.1", n) "</feedback>"

static void each_report_of_an_archive_is_read(void **state)
{
	static const struct { struct str name, text; } files[] = {
		{ STR_INIT("a.xml"), STR_INIT("<feedback>" META "</feed") }, { STR_INIT("b.XML"), STR_INIT(COUNTED("1")) }, { STR_INIT("readme"), STR_INIT(COUNTED("9")) },
		{ STR_INIT("c.json"), STR_INIT("{\"organization-name\":\"O\",\"date-range\":{\"start-datetime\":\"2026-11-23T00:00:00Z\",\"end-datetime\":\"2026-11-23T23:59:59Z\"},"
		  "\"report-id\":\"i\",\"policies\":[{\"policy\":{\"policy-domain\":\"b.example\"},\"summary\":{\"total-successful-session-count\":7}}]}") },
		{ STR_INIT("d.xml"), STR_INIT(COUNTED("3")) }, { STR_INIT("e.xml"), STR_INIT("PK\3\4PK") }, { STR_INIT("f.xml"), STR_INIT("words") },
	};
	enum { N = sizeof files / sizeof *files };
	struct str names[N], texts[N];
	AUTO(buf_done) struct buf zip = { .max = 1 << 20 };
	AUTO(buf_done) struct buf mail = { .max = 1 << 20 };
	for (size_t i = 0; i < N; i++)
		names[i] = files[i].name, texts[i] = files[i].text;
	zipped_together(names, texts, N, &zip);
	mail_of("application/zip", buf_str(&zip), true, &mail);
	for (size_t i = 0; i < 2; i++) {
		AUTO(arena_done) struct arena a = { .max = 16 << 20 };
		struct report r;
		struct why why;
		assert_int_equal(read_into(buf_str(i ? &mail : &zip), &a, &r, &why), RC_OK);
		assert_true(r.kind == REPORT_DMARC && r.dmarc.row[0].count == 1);
		r = *r.next;
		assert_true(r.kind == REPORT_TLS && r.tls.policy[0].success == 7);
		r = *r.next;
		assert_true(r.kind == REPORT_DMARC && r.dmarc.row[0].count == 3);
		r = *r.next;
		assert_true(r.kind == REPORT_UNKNOWN && str_find_str(r.wrong, STR("line 1")) < r.wrong.n);
		r = *r.next;
		assert_true(r.kind == REPORT_UNKNOWN && str_eq(r.wrong, STR("an archive within an archive")));
		assert_null(r.next);
	}
}

static void an_archive_without_a_report_that_can_be_read_is_refused(void **state)
{
	static const struct str names[] = { STR_INIT("a.xml"), STR_INIT("b.xml") };
	static const struct { struct str texts[2]; enum rc rc; const char *because; } cases[] = {
		{ { STR_INIT("words"), STR_INIT("") }, RC_NOTFOUND, "neither XML nor JSON" }, { { STR_INIT("words"), STR_INIT("PK\3\4PK") }, RC_LIMIT, "archive within" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		AUTO(buf_done) struct buf zip = { .max = 1 << 20 };
		zipped_together(names, cases[i].texts, 2, &zip);
		refused(buf_str(&zip), cases[i].rc, cases[i].because);
	}
}

/* Sixteen files, and no more; each within the bounds of one, and together past them. */
static void an_archive_of_many_files_keeps_to_the_bounds_of_one(void **state)
{
	struct str names[REPORT_FILES_MAX + 1], texts[REPORT_FILES_MAX + 1];
	char name[REPORT_FILES_MAX + 1][8];
	AUTO(buf_done) struct buf zip = { .max = 1 << 20 };
	AUTO(buf_done) struct buf more = { .max = 1 << 20 };
	AUTO(arena_done) struct arena a = { .max = 16 << 20 };
	struct report r;
	struct why why;
	size_t n = 1;
	for (size_t i = 0; i <= REPORT_FILES_MAX; i++) {
		snprintf(name[i], sizeof name[i], "%zu.xml", i);
		names[i] = str_z(name[i]), texts[i] = STR(GOOD);
	}
	zipped_together(names, texts, REPORT_FILES_MAX, &zip);
	assert_int_equal(read_into(buf_str(&zip), &a, &r, &why), RC_OK);
	for (const struct report *one = r.next; one; one = one->next, n++)
		assert_int_equal(one->dmarc.row[0].count, 5);
	assert_int_equal(n, REPORT_FILES_MAX);
	zipped_together(names, texts, REPORT_FILES_MAX + 1, &more);
	refused(buf_str(&more), RC_LIMIT, "17 entries");
}

static void files_that_are_a_bomb_together_are_refused(void **state)
{
	AUTO(buf_done) struct buf spaces = { .max = 80 << 20 };
	assert_true(buf_room(&spaces, 5 << 20));
	memset(spaces.p, ' ', 5 << 20);
	static const struct { size_t each; unsigned files; const char *because; } cases[] = { { 900 << 10, 8, "times its size" }, { 5 << 20, 14, "larger than" } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		AUTO(buf_done) struct buf zip = { .max = 80 << 20 };
		AUTO(buf_done) struct buf directory = { .max = 1 << 20 };
		spaces.len = cases[i].each;
		for (unsigned k = 0; k < cases[i].files; k++) {
			AUTO(buf_done) struct buf one = { .max = 8 << 20 };
			zipped(STR("r.xml"), buf_str(&spaces), 8, &(struct zip_lie){ .local = (uint32_t)zip.len }, &one);
			size_t local = one.len - 22 - 46 - 5;
			buf_add(&zip, str_head(buf_str(&one), local));
			buf_add(&directory, str_of(one.p + local, 46 + 5));
		}
		size_t central = zip.len;
		buf_add(&zip, buf_str(&directory));
		buf_add(&zip, STR("PK\5\6"));
		le(&zip, 0, 4), le(&zip, cases[i].files, 2), le(&zip, cases[i].files, 2), le(&zip, directory.len, 4), le(&zip, central, 4), le(&zip, 0, 2);
		refused(buf_str(&zip), RC_LIMIT, cases[i].because);
	}
}

static void broken_archives_are_refused(void **state)
{
	static const struct { struct zip_lie lie; enum rc rc; const char *because; } cases[] = {
		{ { .flags = 1 }, RC_SYNTAX, "encrypted" }, { { .crc_xor = 1 }, RC_SYNTAX, "checksum" }, { { .set_size = true, .size = 3 }, RC_SYNTAX, "checksum" },
		{ { .local = 100000 }, RC_SYNTAX, "damaged" }, { { .local = 1 }, RC_SYNTAX, "damaged" }, { { .method = 12 }, RC_SYNTAX, "method 12" },
		{ { .entries = 2 }, RC_LIMIT, "2 files are partly the same octets" }, { { .entries = 100 }, RC_LIMIT, "100 entries" },
		{ { .set_size = true, .size = 0xffffffff }, RC_LIMIT, "larger" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		AUTO(buf_done) struct buf zip = { .max = 1 << 20 };
		zipped(STR("r.xml"), STR(GOOD), 8, &cases[i].lie, &zip);
		refused(buf_str(&zip), cases[i].rc, cases[i].because);
	}
	AUTO(buf_done) struct buf gz = { .max = 1 << 20 };
	gzipped(STR(GOOD), &gz);
	refused(str_head(buf_str(&gz), gz.len / 2), RC_SYNTAX, "damaged");
	gz.p[gz.len - 6] ^= 1;
	refused(buf_str(&gz), RC_SYNTAX, "damaged");
	AUTO(buf_done) struct buf zip = { .max = 1 << 20 };
	zipped(STR("r.xml"), STR(GOOD), 8, NULL, &zip);
	for (size_t n = 5; n < zip.len; n += 7)
		refused(str_head(buf_str(&zip), n), RC_SYNTAX, "");
}

static void a_report_is_found_in_mail_whatever_its_part_says(void **state)
{
	static const char *const types[] = { "application/gzip", "application/x-zip", "application/octet-stream; name=\"report.exe\"", "text/xml", "image/png", "nonsense" };
	AUTO(buf_done) struct buf gz = { .max = 1 << 20 };
	gzipped(STR(GOOD), &gz);
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		AUTO(buf_done) struct buf mail = { .max = 1 << 20 };
		mail_of(types[i], buf_str(&gz), true, &mail);
		good(buf_str(&mail), 5);
	}
	AUTO(buf_done) struct buf mail = { .max = 1 << 20 };
	mail_of("application/xml", STR(GOOD), false, &mail);
	good(buf_str(&mail), 5);
	AUTO(buf_done) struct buf bad = { .max = 1 << 20 };
	mail_of("application/gzip", str_head(buf_str(&gz), 60), true, &bad);
	refused(buf_str(&bad), RC_SYNTAX, "damaged");
}

#define TLS(rest) "{\"organization-name\":\"O\",\"date-range\":{\"start-datetime\":\"2026-11-23T00:00:00Z\",\"end-datetime\":\"2026-11-23T23:59:59Z\"},\"report-id\":\"i\"," rest "}"

static void a_tls_report_is_read(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct report r;
	struct why why;
	assert_int_equal(read_into(STR(TLS("\"policies\":[{\"policy\":{\"policy-type\":\"tlsa\",\"policy-domain\":\"b.example\",\"mx-host\":[\"mx.b.example\"],\"policy-string\":[\"3 0 1 AB\",7]},"
	                                   "\"summary\":{\"total-successful-session-count\":7,\"total-failure-session-count\":2},\"failure-details\":[{\"result-type\":\"starttls-not-supported\","
	                                   "\"failed-session-count\":2}]}]")), &a, &r, &why), RC_OK);
	assert_int_equal(r.kind, REPORT_TLS);
	assert_int_equal(r.tls.begin_s, 1795392000);
	assert_int_equal(r.tls.end_s, 1795478399);
	assert_int_equal(r.tls.policies, 1);
	assert_int_equal(r.tls.policy[0].success, 7);
	assert_int_equal(r.tls.policy[0].policy_strings, 1);
	SAME(r.tls.policy[0].mx, STR("mx.b.example"));
	SAME(r.tls.policy[0].failures[0].type, STR("starttls-not-supported"));
}

static void hostile_json_is_refused(void **state)
{
	AUTO(buf_done) struct buf b = { .max = 32 << 20 };
	refused(STR(TLS("\"policies\":[{\"summary\":{\"total-failure-session-count\":-1}}]")), RC_SYNTAX, "no number");
	refused(STR(TLS("\"policies\":[{\"summary\":{\"total-failure-session-count\":1e30}}]")), RC_SYNTAX, "no number");
	refused(STR(TLS("\"policies\":[{\"summary\":{\"total-failure-session-count\":\"7\"}}]")), RC_SYNTAX, "no number");
	refused(STR(TLS("\"policies\":[")), RC_SYNTAX, "line 1");
	refused(STR("{\"date-range\":{\"start-datetime\":\"2026-13-01T00:00:00Z\",\"end-datetime\":\"x\"},\"policies\":[]}"), RC_SYNTAX, "period");
	for (int i = 0; i < 100000; i++)
		buf_add(&b, STR("{\"a\":"));
	refused(buf_str(&b), RC_LIMIT, "nested");
	buf_clear(&b);
	buf_add(&b, STR("{\"policies\":[0"));
	for (int i = 0; i < 400000; i++)
		buf_add(&b, STR(",0"));
	buf_add(&b, STR("]}"));
	refused(buf_str(&b), RC_LIMIT, "too many values");
	buf_clear(&b);
	buf_add(&b, STR("{\"a\":\""));
	for (int i = 0; i < 9 << 20; i++)
		buf_byte(&b, 'x');
	refused(buf_str(&b), RC_LIMIT, "larger");
}

static void times_are_read_in_every_spelling(void **state)
{
	static const struct { const char *text; int64_t want; } cases[] = {
		{ "2026-11-24T01:02:03Z", 1795482123 }, { "2026-11-24T03:02:03+02:00", 1795482123 }, { "2026-11-23t20:32:03.123-04:30", 1795482123 },
		{ "2026-11-24 01:02:03+0000", 1795482123 }, { "2026-11-24", 1795478400 }, { "1970-01-01T00:00:00Z", 0 }, { "2000-02-29T12:00:00Z", 951825600 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int64_t s = -1;
		assert_int_equal(report_time_parse(str_z(cases[i].text), &s), RC_OK);
		assert_int_equal(s, cases[i].want);
	}
	static const char *const bad[] = { "", "2026", "2026-11-24T", "2026-11-24T25:00:00Z", "2026-11-24T01:02:03", "2026-00-24", "2026-11-24T01:02:03ZZ", "20261124T010203Z", "2026-11-24T01:02:03+1" };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		int64_t s = -1;
		enum rc rc = report_time_parse(str_z(bad[i]), &s);
		if (i != 4)
			assert_int_equal(rc, RC_SYNTAX);
		else
			assert_int_equal(s, 1795482123); /* no zone: taken as UTC */
	}
}

#define ARF(type, rest) "From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=x\r\n\r\n--x\r\n\r\nwords\r\n" \
	"--x\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: " type "\r\nUser-Agent: x\r\nVersion: 1\r\n" rest "\r\n" \
	"--x\r\nContent-Type: message/rfc822\r\n\r\nFrom: ceo@bank.example\r\nSubject: hi\r\n\r\nbody\r\n--x--\r\n"

static void a_failure_report_is_read(void **state)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct report r;
	struct why why;
	assert_int_equal(read_into(STR(ARF("auth-failure", "Auth-Failure: dmarc\r\nReported-Domain: bank.example\r\nSource-IP: 192.0.2.7\r\nOriginal-Mail-From: <x@y.example>\r\n"
	                                   "Arrival-Date: Tue, 24 Nov 2026 01:02:03 +0000\r\nIncidents: 3\r\nDelivery-Result: reject\r\nIdentity-Alignment: none\r\n")), &a, &r, &why), RC_OK);
	assert_int_equal(r.kind, REPORT_FAILURE);
	SAME(r.failure.domain, STR("bank.example"));
	SAME(r.failure.source_ip, STR("192.0.2.7"));
	SAME(r.failure.alignment, STR("none"));
	assert_int_equal(r.failure.incidents, 3);
	assert_int_equal(r.failure.at_s, 1795482123);
	SAME(r.failure.original_headers, STR("From: ceo@bank.example\r\nSubject: hi\r\n\r\n"));
	refused(STR(ARF("abuse", "")), RC_NOTFOUND, "no report");
	refused(STR(ARF("auth-failure", "Incidents: -3\r\n")), RC_SYNTAX, "incidents");
}

static void every_failed_allocation_is_an_answer(void **state)
{
	AUTO(buf_done) struct buf gz = { .max = 1 << 20 };
	AUTO(buf_done) struct buf mail = { .max = 1 << 20 };
	gzipped(STR(GOOD), &gz);
	mail_of("application/gzip", buf_str(&gz), true, &mail);
	unsigned failed = 0;
	for (long k = 0; k < 60; k++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 20 };
		struct report r;
		struct why why;
		mem_count = 0;
		mem_fail_at = k;
		enum rc rc = read_into(buf_str(&mail), &a, &r, &why);
		mem_fail_at = -1;
		assert_true(rc == RC_OK ? r.dmarc.row[0].count == 5 : rc == RC_NOMEM || rc == RC_LIMIT);
		failed += rc != RC_OK;
	}
	assert_true(failed > 5 && failed < 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bare_file_is_read_in_every_wrapping),
		cmocka_unit_test(a_declaration_of_utf16_that_is_not_true_is_passed_over),
		cmocka_unit_test(charsets_of_one_octet_a_character_are_read),
		cmocka_unit_test(utf16_is_read),
		cmocka_unit_test(namespaces_and_order_do_not_matter),
		cmocka_unit_test(the_namespace_of_rfc_9990_is_seen),
		cmocka_unit_test(entities_and_dtds_are_refused),
		cmocka_unit_test(numbers_that_cannot_be_true_are_refused),
		cmocka_unit_test(periods_that_cannot_be_true_are_refused),
		cmocka_unit_test(what_is_no_report_is_said),
		cmocka_unit_test(a_wrong_address_is_kept_as_unknown),
		cmocka_unit_test(deep_nesting_and_long_values_are_refused),
		cmocka_unit_test(more_rows_than_fit_are_refused),
		cmocka_unit_test(a_gzip_bomb_is_refused),
		cmocka_unit_test(too_large_unpacked_is_refused),
		cmocka_unit_test(archives_within_archives_are_refused),
		cmocka_unit_test(a_file_beside_the_report_does_not_hide_it),
		cmocka_unit_test(each_report_of_an_archive_is_read),
		cmocka_unit_test(an_archive_without_a_report_that_can_be_read_is_refused),
		cmocka_unit_test(an_archive_of_many_files_keeps_to_the_bounds_of_one),
		cmocka_unit_test(files_that_are_a_bomb_together_are_refused),
		cmocka_unit_test(broken_archives_are_refused),
		cmocka_unit_test(a_report_is_found_in_mail_whatever_its_part_says),
		cmocka_unit_test(a_tls_report_is_read),
		cmocka_unit_test(hostile_json_is_refused),
		cmocka_unit_test(times_are_read_in_every_spelling),
		cmocka_unit_test(a_failure_report_is_read),
		cmocka_unit_test(every_failed_allocation_is_an_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
