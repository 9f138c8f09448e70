#pragma once
#include "base/why.h"
#include "os/loop.h"
#include <sys/types.h>

/* Children of `master`: exec'ed from our own open binary (/proc/self/exe opened once), a fresh address space each. */
struct spawn {
	const char *const *argv;       /* NULL-terminated */
	const int *fds;                /* inherited as descriptors 3, 4, ... in this order; -1 terminated */
	void (*ended)(void *arg, pid_t pid, int status); /* on the loop's thread */
	void *arg;
};
MUST_USE enum rc spawn_self(struct loop *l, const struct spawn *what, pid_t *out_pid, struct why *why);
/* The child's side: dies with its parent (PR_SET_PDEATHSIG), close-on-exec set on the inherited descriptors. */
void spawn_child_setup(void);
