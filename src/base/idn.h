#pragma once
#include "base/why.h"
#include <stdbool.h>

/* The form in A-labels of a domain with U-labels, which are brought to NFC first: IDNA2008 (RFC 5891), not transitional. `out` (a text with a NUL behind)
 * goes back by idn_alabels_free. False: there is no such form, or libidn2 cannot be loaded. Loaded by the first call, or before a sandbox by idn_load(). Thread-safe. */
bool idn_to_ascii(const char *utf8, char **out);
void idn_alabels_free(char *a_labels);
MUST_USE enum rc idn_load(struct why *why);
