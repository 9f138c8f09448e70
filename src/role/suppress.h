#pragma once
#include "base/str.h"
#include <stdint.h>

/* Recipients who are not written to again, as notes in the store: `relay` writes them after a refusal for good, `edge` looks before it
 * accepts a recipient elsewhere, and before it makes rows for members of groups and ends of forwards (edge_suppress.c). */
enum { SUPPRESS_KEY = 37 };
/* "sup/" and 32 hex digits: two SipHashes of the lower-case address, under the vault's hash key and under one made from it. */
void suppress_key(const uint8_t hash_key[16], struct str address, char out[SUPPRESS_KEY]);
