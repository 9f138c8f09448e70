#include "ledger/ledger.h"
#include "ledger/pack.h"

#include <stdlib.h>

/* The packed texts of a ledger row: what unpacks packs to the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str in = { (const char *)p, n }, texts[7];
	for (size_t k = 5; k <= 7; k++) {
		struct buf out;
		struct why why = { 0 };
		buf_init(&out, 1 << 20);
		if (unpack(in, texts, k)) {
			enum rc rc = pack(texts, k, &out, &why);
			if (rc == RC_OK ? !str_eq(buf_str(&out), in) : rc != RC_LIMIT)
				abort();
		}
		buf_done(&out);
	}
	return 0;
}
