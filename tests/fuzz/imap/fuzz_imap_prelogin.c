#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) { return fuzz_session("", data, n); }
