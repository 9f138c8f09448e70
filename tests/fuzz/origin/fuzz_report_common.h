#pragma once
#include "origin/report_internal.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A report that was read goes through packing and comes back octet for octet, and what we write of it is read again to the same sums. */
static inline uint64_t fuzz_sum(const struct report *r)
{
	uint64_t n = 0;
	for (size_t i = 0; r->kind == REPORT_DMARC && i < r->dmarc.rows; i++)
		n += r->dmarc.row[i].count;
	for (size_t i = 0; r->kind == REPORT_TLS && i < r->tls.policies; i++)
		n += r->tls.policy[i].success + r->tls.policy[i].failure;
	return n;
}

static inline void fuzz_written(const struct report *r, struct arena *a)
{
	struct buf doc = { .max = 32 << 20 };
	struct report again;
	struct why why = { 0 };
	enum rc rc = r->kind == REPORT_DMARC ? report_aggregate_xml(&r->dmarc, &doc) : report_tls_json(&r->tls, &doc);
	if (rc == RC_OK && !a->full) {
		rc = report_read(buf_str(&doc), a, &again, &why);
		/* U+FFFD is longer than the octet it stands for: a value may outgrow its ceiling, and nothing else may go wrong. */
		assert(rc == RC_OK || rc == RC_LIMIT || rc == RC_NOMEM);
		assert(rc != RC_OK || (again.kind == r->kind && fuzz_sum(&again) == fuzz_sum(r)));
	}
	buf_done(&doc);
}

static inline void fuzz_report(const struct report *r, struct arena *a)
{
	struct buf packed = { .max = 32 << 20 }, twice = { .max = 32 << 20 };
	struct report back;
	struct why why = { 0 };
	report_pack(r, &packed);
	if (!packed.failed) {
		enum rc rc = report_unpack(buf_str(&packed), a, &back, &why);
		assert(rc == RC_OK || rc == RC_NOMEM);
		if (rc == RC_OK) {
			report_pack(&back, &twice);
			assert(str_eq(buf_str(&packed), buf_str(&twice)));
		}
	}
	if (r->kind == REPORT_DMARC || r->kind == REPORT_TLS)
		fuzz_written(r, a);
	buf_done(&packed);
	buf_done(&twice);
}
