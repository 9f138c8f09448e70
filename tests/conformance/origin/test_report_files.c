/* Reads the published reports: test_report_files DIRECTORY (testdata/dmarc). Prints every difference and the sums; 77: they are not here. */
#include "base/codec.h"
#include "base/mem.h"
#include "origin/report.h"

#include <stdio.h>
#include <unistd.h>

static struct str slurp(const char *dir, const char *name, struct arena *a)
{
	char path[1024];
	static char bytes[1 << 20];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "rb");
	size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
	if (f)
		fclose(f);
	return arena_str(a, str_of(bytes, n));
}

static bool equal(const char *file, const char *what, struct str got, struct str want)
{
	if (str_eq(got, want))
		return true;
	printf("%s: %s is \"%.*s\", should be \"%.*s\"\n", file, what, PSTR(got), PSTR(want));
	return false;
}

static bool same_number(const char *file, const char *what, uint64_t got, struct str want)
{
	char text[32];
	snprintf(text, sizeof text, "%llu", (unsigned long long)got);
	return equal(file, what, str_z(text), want);
}

/* The report once more through each of our own forms. */
static bool survives(const char *file, const struct report *r, struct arena *a)
{
	AUTO(buf_done) struct buf packed = { .max = 1 << 20 };
	AUTO(buf_done) struct buf xml = { .max = 1 << 20 };
	struct report again, written;
	struct why why = { 0 };
	uint64_t sum[3] = { 0 };
	report_pack(r, &packed);
	if (report_unpack(buf_str(&packed), a, &again, &why) != RC_OK || report_aggregate_xml(&again.dmarc, &xml) != RC_OK ||
	    report_read(buf_str(&xml), a, &written, &why) != RC_OK) {
		printf("%s: does not survive: %s\n", file, why.text);
		return false;
	}
	for (size_t i = 0; i < r->dmarc.rows; i++)
		sum[0] += r->dmarc.row[i].count;
	for (size_t i = 0; i < again.dmarc.rows; i++)
		sum[1] += again.dmarc.row[i].count;
	for (size_t i = 0; i < written.dmarc.rows; i++)
		sum[2] += written.dmarc.row[i].count;
	return sum[0] == sum[1] && sum[1] == sum[2] && equal(file, "id", written.dmarc.id, r->dmarc.id) && equal(file, "domain", written.dmarc.domain, r->dmarc.domain);
}

static bool is_as_expected(const char *dir, const struct str *col, bool *out_read)
{
	AUTO(arena_done) struct arena a = { .max = 16 << 20 };
	struct report r;
	struct why why = { 0 };
	uint64_t sum = 0;
	char file[400];
	snprintf(file, sizeof file, "%.*s", PSTR(col[0]));
	bool well = str_eq(col[2], STR("yes"));
	enum rc rc = report_read(slurp(dir, file, &a), &a, &r, &why);
	*out_read = rc == RC_OK;
	if (!well || rc != RC_OK) {
		printf("%s: %s%s%s\n", file, well ? "should be read: " : "refused: ", rc_name(rc), why.text);
		return !well && rc == RC_SYNTAX;
	}
	for (size_t i = 0; i < r.dmarc.rows; i++)
		sum += r.dmarc.row[i].count;
	return r.kind == REPORT_DMARC && equal(file, "org_name", r.dmarc.org, col[3]) && equal(file, "report_id", r.dmarc.id, col[4]) &&
	       equal(file, "domain", r.dmarc.domain, col[5]) && same_number(file, "records", r.dmarc.rows, col[6]) &&
	       same_number(file, "messages", sum, col[7]) && survives(file, &r, &a);
}

static int aggregate(const char *dir)
{
	AUTO(arena_done) struct arena a = { .max = 4 << 20 };
	char path[900];
	snprintf(path, sizeof path, "%s/reports", dir);
	struct str line, rest = slurp(path, "expected.tsv", &a);
	int good = 0, all = 0, read = 0;
	str_cut(rest, '\n', &line, &rest);
	while (str_cut(rest, '\n', &line, &rest)) {
		struct str col[9];
		bool was_read;
		for (size_t i = 0; i < 9; i++)
			if (!str_cut(line, '\t', &col[i], &line))
				line = STR("");
		all++;
		good += is_as_expected(path, col, &was_read);
		read += was_read;
	}
	printf("aggregate reports: %d of %d as expected, %d read, %d refused\n", good, all, read, all - read);
	return all == 12 && good == all ? 0 : 1;
}

static int tls(const char *dir)
{
	static const struct { const char *file, *org, *domain; uint64_t failure; size_t failures; } cases[] = {
		{ "tlsrpt/mail.ru.json", "Mail.ru", "example.com", 1, 2 }, { "tlsrpt/smtp_tls.json", "Example Inc.", "example.com", 3, 2 },
	};
	int bad = 0;
	for (size_t i = 0; i < 2; i++) {
		AUTO(arena_done) struct arena a = { .max = 4 << 20 };
		struct report r;
		struct why why = { 0 };
		if (report_read(slurp(dir, cases[i].file, &a), &a, &r, &why) != RC_OK || r.kind != REPORT_TLS || !str_eq(r.tls.org, str_z(cases[i].org)) ||
		    r.tls.policies != 1 || r.tls.policy[0].failure != cases[i].failure || r.tls.policy[0].n_failures != cases[i].failures) {
			printf("%s: not as expected %s\n", cases[i].file, why.text);
			bad++;
		}
	}
	printf("TLS reports: %d of 2\n", 2 - bad);
	return bad;
}

int main(int argc, char **argv)
{
	if (argc != 2 || access(argv[1], R_OK) != 0) {
		printf("skipped: %s is not here\n", argc == 2 ? argv[1] : "the directory");
		return 77;
	}
	return aggregate(argv[1]) | tls(argv[1]);
}
