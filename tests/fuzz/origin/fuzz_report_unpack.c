/* gzip and zip: bounded by the ceiling of the buffer and by the ratio; and the packed report as a taken-over process may send it. */
#include "fuzz_report_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = { .max = 4 << 20 };
	struct arena a;
	struct report r;
	struct str file[REPORT_FILES_MAX];
	size_t n = 0, files = 0;
	struct str in = str_of(data, size);
	arena_init(&a, 4 << 20);
	if (packing_of(in) == PACKING_GZIP)
		(void)!gunzip(in, &out, NULL);
	else if (packing_of(in) == PACKING_ZIP && unzip_reports(in, &out, file, &n, NULL) == RC_OK)
		for (size_t i = 0; i < n; i++)
			files += file[i].n;
	assert(out.len <= out.max && n <= REPORT_FILES_MAX && (n == 0 || files == out.len));
	if (report_unpack(in, &a, &r, NULL) == RC_OK)
		fuzz_report(&r, &a);
	buf_done(&out);
	arena_done(&a);
	return 0;
}
