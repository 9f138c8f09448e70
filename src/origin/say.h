#pragma once
#include "base/arena.h"

/* A sentence of at most 511 octets in memory of `a`; "" when that is full. */
struct str origin_say(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
