/* Aggregate reports as XML. */
#include "fuzz_report_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct report r = { .kind = REPORT_DMARC };
	arena_init(&a, 4 << 20);
	if (report_read_xml(str_of(data, size), &a, &r.dmarc, NULL) == RC_OK)
		fuzz_report(&r, &a);
	arena_done(&a);
	return 0;
}
