#pragma once
#include "os/sandbox.h"

/* The two filters, each in its own file. `out_abi` 0: this kernel has no Landlock. */
MUST_USE enum rc landlock_enter(const struct sandbox *box, int *out_abi, struct why *why);
MUST_USE enum rc seccomp_enter(unsigned needs, struct why *why);

#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_ASAN 1
#endif
#endif
