#pragma once
#include "base/str.h"
/* What tells this build from every other: both ends of a channel must agree on it. At most 64 octets, static. */
struct str build_id(void);
