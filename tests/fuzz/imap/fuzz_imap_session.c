#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	return fuzz_session("a login alice@corp.example secret\r\nb select INBOX\r\n", data, n);
}
