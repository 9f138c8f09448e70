#pragma once
#include "base/str.h"

enum { GLOB_PATTERN_MAX = 1024 };
/* RFC 3501 6.3.8: "*" matches anything, "%" anything but "/". Work is pattern times name, whatever the pattern; one
 * longer than GLOB_PATTERN_MAX matches nothing. */
bool glob_match(struct str pattern, struct str name);
