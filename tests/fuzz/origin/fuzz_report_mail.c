/* Whole mails and bare files, as they come. */
#include "fuzz_report_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct report r;
	arena_init(&a, 4 << 20);
	if (report_read(str_of(data, size), &a, &r, NULL) == RC_OK) {
		assert(r.kind != REPORT_UNKNOWN);
		fuzz_report(&r, &a);
	} else {
		assert(r.kind == REPORT_UNKNOWN);
	}
	arena_done(&a);
	return 0;
}
