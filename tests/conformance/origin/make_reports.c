/* Writes what we send into a directory, for programs that are not ours to judge: make_reports DIRECTORY. */
#include "origin/report.h"

#include <stdio.h>

static bool spill(const char *dir, const char *name, const struct buf *b)
{
	char path[1024];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "wb");
	bool ok = f && !b->failed && fwrite(b->p, 1, b->len, f) == b->len;
	return f && fclose(f) == 0 && ok;
}

static struct report_row row_of(const char *ip, uint64_t count)
{
	static const struct str none = STR_INIT("");
	struct report_row r = { .source_ip = str_z(ip), .count = count, .disposition = STR("none"), .dkim = STR("pass"), .spf = STR("pass"), .override = none,
		.override_comment = none, .header_from = STR("bank.example"), .envelope_from = STR("bounce.bank.example"), .envelope_to = STR("letterlock.test") };
	r.auth_dkim[0] = (struct report_auth){ STR("bank.example"), STR("s2026"), STR("pass"), none };
	r.auth_dkims = 1;
	r.auth_spf = (struct report_auth){ STR("bounce.bank.example"), none, STR("pass"), STR("mfrom") };
	return r;
}

static struct report_aggregate sample(struct report_row *rows, size_t n)
{
	struct report_aggregate r = { .org = STR("Letterlock <Test> & \"Co\""), .email = STR("postmaster@letterlock.test"), .extra = STR("https://letterlock.test/"),
		.id = STR("20261124.7f3k9q2d@letterlock.test"), .begin_s = 1795392000, .end_s = 1795478399, .domain = STR("bank.example"), .p = STR("reject"), .sp = STR("quarantine"),
		.np = STR("reject"), .adkim = STR("r"), .aspf = STR("s"), .fo = STR("1"), .pct = 100, .discovery = STR("treewalk"), .row = rows, .rows = n };
	return r;
}

static size_t rows_of(struct report_row *w)
{
	w[0] = row_of("192.0.2.1", 7);
	w[1] = row_of("2001:db8::1", 1000000000);
	w[2] = row_of("198.51.100.9", 1);
	w[2].dkim = w[2].spf = STR("fail");
	w[2].disposition = STR("quarantine");
	w[2].override = STR("forwarded");
	w[2].override_comment = STR("ARC: sealed by <lists.example> & \x01\xff" "others");
	w[2].auth_dkims = 0;
	w[2].auth_spf = (struct report_auth){ STR(""), STR(""), STR(""), STR("") };
	w[3] = row_of("203.0.113.4", 3);
	w[3].envelope_from = STR("");
	w[3].auth_spf = (struct report_auth){ STR("helo.example"), STR(""), STR("softfail"), STR("helo") };
	w[3].disposition = STR("reject");
	w[3].override = STR("policy_test_mode");
	w[3].dkim = STR("fail");
	w[3].auth_dkims = 8;
	for (size_t i = 0; i < 8; i++)
		w[3].auth_dkim[i] = (struct report_auth){ STR("other.example"), STR(""), STR("permerror"), STR("") };
	return 4;
}

static bool dmarc(const char *dir, bool rfc9990)
{
	struct report_row w[4];
	struct report_aggregate r = sample(w, rows_of(w));
	struct report_mail m = { .from = STR("DMARC reports <postmaster@letterlock.test>"), .to = STR("dmarc@bank.example"), .submitter = STR("letterlock.test"), .domain = r.domain,
		.id = r.id, .message_id = STR("<20261124.1@letterlock.test>"), .now_s = 1795480000, .begin_s = r.begin_s, .end_s = r.end_s };
	AUTO(buf_done) struct buf xml = { .max = 1 << 20 };
	AUTO(buf_done) struct buf gz = { .max = 1 << 20 };
	AUTO(buf_done) struct buf mail = { .max = 1 << 20 };
	r.rfc9990 = rfc9990;
	return report_aggregate_xml(&r, &xml) == RC_OK && report_gzip(buf_str(&xml), &gz) == RC_OK && report_mail_dmarc(&m, buf_str(&gz), &mail) == RC_OK &&
	       spill(dir, rfc9990 ? "rfc9990.xml" : "rfc7489.xml", &xml) && spill(dir, rfc9990 ? "rfc9990.eml" : "rfc7489.eml", &mail);
}

static bool tls(const char *dir)
{
	struct str lines[] = { STR("version: STSv1"), STR("mode: enforce"), STR("mx: *.bank.example") };
	struct report_tls_failure f = { STR("certificate-expired"), STR("192.0.2.1"), STR("mx.bank.example"), STR("198.51.100.2"), STR("mx"), STR("a \"quoted\" \xff text"),
		STR("X509_V_ERR"), 5 };
	struct report_tls_policy p = { .type = STR("sts"), .domain = STR("bank.example"), .mx = STR("*.bank.example"), .policy_string = lines, .policy_strings = 3, .success = 100,
		.failure = 5, .failures = &f, .n_failures = 1 };
	struct report_tls r = { STR("Letterlock"), STR("tls@letterlock.test"), STR("2026-11-24.bank.example"), 1795392000, 1795478399, &p, 1 };
	struct report_mail m = { .from = STR("tls@letterlock.test"), .to = STR("tls@bank.example"), .submitter = STR("letterlock.test"), .domain = STR("bank.example"),
		.id = r.id, .message_id = STR("20261124.2@letterlock.test"), .now_s = 1795480000, .begin_s = r.begin_s, .end_s = r.end_s };
	AUTO(buf_done) struct buf json = { .max = 1 << 20 };
	AUTO(buf_done) struct buf gz = { .max = 1 << 20 };
	AUTO(buf_done) struct buf mail = { .max = 1 << 20 };
	return report_tls_json(&r, &json) == RC_OK && report_gzip(buf_str(&json), &gz) == RC_OK && report_mail_tls(&m, buf_str(&gz), &mail) == RC_OK &&
	       spill(dir, "tls.json", &json) && spill(dir, "tls.eml", &mail);
}

static bool failure(const char *dir)
{
	struct report_failure f = { .domain = STR("bank.example"), .source_ip = STR("203.0.113.9"), .mail_from = STR("ceo@bank.example"), .auth_failure = STR("dmarc"),
		.dkim_domain = STR(""), .dkim_selector = STR(""), .spf_dns = STR(""), .delivery = STR("reject"), .original_headers = STR(""), .at_s = 1795400000, .incidents = 2,
		.alignment = STR("none") };
	struct report_mail m = { .from = STR("dmarc@letterlock.test"), .to = STR("ruf@bank.example"), .submitter = STR("letterlock.test"), .domain = STR("bank.example"),
		.id = STR("1"), .message_id = STR("20261124.3@letterlock.test"), .now_s = 1795480000, .begin_s = f.at_s, .end_s = f.at_s, .key = STR("a key") };
	AUTO(buf_done) struct buf mail = { .max = 1 << 20 };
	return report_mail_failure(&m, &f, STR("Received: from x (y [203.0.113.9]) by mx for <jane.doe@letterlock.test>;\r\n\tMon, 23 Nov 2026 10:00:00 +0000\r\n"
	                                       "From: \"The CEO\" <ceo@bank.example>\r\nTo: jane.doe@letterlock.test\r\nSubject: =?utf-8?Q?jane=2Edoe=40letterlock=2Etest?=\r\n\r\n"), true, &mail) == RC_OK &&
	       spill(dir, "failure.eml", &mail);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	return dmarc(argv[1], false) && dmarc(argv[1], true) && tls(argv[1]) && failure(argv[1]) ? 0 : 1;
}
