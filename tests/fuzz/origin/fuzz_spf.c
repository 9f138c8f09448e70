/* check_host() over a DNS that answers everything with the input: the first line is HELO, the second the local part, the rest are TXT records. Questions stay
 * within their bound, results are printable. */
#include "origin/spf_internal.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { QUESTIONS_MAX = 1 + 10 + 10 * 10 + 11 + 1 };
struct answers { struct str records; unsigned asked; };

static void ask(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	struct answers *d = house;
	struct str rest = d->records, line;
	d->asked++;
	*out = (struct dns_answer){ .status = dns_name_ok(name) ? DNS_NODATA : DNS_BADNAME };
	if (out->status == DNS_BADNAME)
		return;
	/* The n-th question is answered with the n-th record, and the last again and again. */
	for (unsigned i = 0; i < d->asked && rest.n; i++)
		(void)str_cut(rest, '\n', &line, &rest);
	if (d->records.n == 0 || line.n == 0)
		return;
	struct dns_record *r = arena_new(a, 12 * sizeof *r);
	if (!r || line.p[0] == '!') {
		out->status = r && line.n > 1 ? DNS_NXDOMAIN : DNS_TEMPFAIL;
		return;
	}
	for (unsigned i = 0; i < 12; i++)
		r[i] = (struct dns_record){ .name = str_head(line, 60), .data = type == DNS_A ? STR("\xc0\x00\x02\x01") : type == DNS_AAAA ? STR("0123456789abcdef") : line };
	*out = (struct dns_answer){ .status = DNS_OK, .record = r, .records = type == DNS_TXT ? 1 : 1 + line.n % 12 };
}

static void printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		assert(s.p[i] >= 0x20 && s.p[i] <= 0x7e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	AUTO(buf_done) struct buf field = { .max = 1 << 16 };
	struct answers d = { .records = str_of(data, size) };
	struct dns dns = { .house = &d, .ask = ask };
	struct spf_query q = { .domain = STR("a.example.org"), .receiver = STR("r.example"), .ip = size % 2 ? STR("\xc0\x00\x02\x01") : STR("0123456789abcdef") };
	struct spf_result r;
	(void)str_cut(d.records, '\n', &q.helo, &d.records);
	(void)str_cut(d.records, '\n', &q.local, &d.records);
	spf_check(&dns, &q, NULL, &a, &r);
	assert(d.asked <= QUESTIONS_MAX && r.lookups <= 10 && r.voids <= 3);
	printable(r.why);
	printable(r.explanation);
	assert(r.result != AUTH_POLICY && (r.result == AUTH_FAIL || r.explanation.n == 0));
	spf_received(&q, &r, &field);
	for (struct str rest = buf_str(&field), line; rest.n;) {
		bool more = str_cut(rest, '\n', &line, &rest);
		assert(more && line.n && line.p[line.n - 1] == '\r' && (line.p[0] == '\t' || str_starts(line, STR("Received-SPF: "))));
	}
	return 0;
}
