#pragma once
#include "base/why.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a role may still do after it has opened everything it needs. Deny is the default. Order: rlimits -> uid/gid, capabilities,
 * no_new_privs, not dumpable -> Landlock -> seccomp allow-list -> self-test. Each step is fatal if it fails, unless
 * `reduced` names what this host lacks. */
enum sandbox_need {                 /* groups of system calls a role needs on top of the common set (memory, time, epoll, */
	SANDBOX_SOCKETS  = 1 << 0,  /* read/write/close on open descriptors, futex, signals, sendmsg/recvmsg): accept4, getsockname, setsockopt ... */
	SANDBOX_FILES    = 1 << 1,  /* openat, fstat, fsync, rename, unlink ... below `paths` */
	SANDBOX_LMDB     = 1 << 2,  /* mmap of files, msync, fcntl locks */
	SANDBOX_THREADS  = 1 << 3,  /* clone with CLONE_THREAD only */
	SANDBOX_MEMFD    = 1 << 4,
	SANDBOX_CONNECT  = 1 << 5,  /* socket + connect (relay, resolver; later) */
};
struct sandbox_path { const char *path; bool write; };
struct sandbox {
	unsigned needs;
	const struct sandbox_path *paths;  /* NULL path terminated; NULL: no file system at all */
	const uint16_t *ports; size_t port_n; /* with SANDBOX_CONNECT: the TCP ports that may be dialled, where Landlock can tell (ABI 4); NULL: any */
	unsigned long max_fds, max_memory; /* 0 = leave; memory is RLIMIT_DATA, where every fiber counts 256 KiB */
	uid_t uid; gid_t gid;              /* used only when started as root and uid != 0 */
	bool reduced;                      /* `sandbox = reduced` in the configuration: missing Landlock is said, not fatal */
};
MUST_USE enum rc sandbox_enter(const struct sandbox *box, struct why *why);

/* Tries to break out, from inside; every value is the errno met (0 = it worked, which is a failure of the sandbox). */
enum { SANDBOX_NOT_TRIED = -1 }; /* foreign_read, when no directory was given */
struct sandbox_proof { int open_passwd, exec, connect, foreign_read; };
void sandbox_try(const char *foreign_dir, struct sandbox_proof *out);
bool sandbox_holds(const struct sandbox_proof *p);
/* What was in force: "landlock7 seccomp nnp" style text for status and log. */
const char *sandbox_text(void);
