#pragma once
#include "../../unit/imap/house.h"

/* Runs a session over these octets in a house with a few messages. The first octet says how small the packets are. */
int fuzz_session(const char *prefix, const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
