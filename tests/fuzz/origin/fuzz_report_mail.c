/* Whole mails and bare files, as they come. */
#include "fuzz_report_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct report r;
	arena_init(&a, 4 << 20);
	if (report_read(str_of(data, size), &a, &r, NULL) == RC_OK) {
		unsigned n = 0;
		assert(r.kind != REPORT_UNKNOWN);
		for (const struct report *one = &r; one; one = one->next, n++) {
			assert(one->kind != REPORT_UNKNOWN || one->wrong.n > 0);
			if (one->kind != REPORT_UNKNOWN)
				fuzz_report(one, &a);
		}
		assert(n <= REPORT_FILES_MAX);
	} else {
		assert(r.kind == REPORT_UNKNOWN);
	}
	arena_done(&a);
	return 0;
}
