#pragma once
#include "base/str.h"

/* CRC32C (Castagnoli; RFC 3720 12.1), by the processor's own instruction where it has one. `crc` chains calls; begin with 0. */
uint32_t crc32c(uint32_t crc, struct str s);
/* The portable way alone, so that tests can compare the two. */
uint32_t crc32c_table(uint32_t crc, struct str s);
