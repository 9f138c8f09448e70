/* The allow-list of system calls, by need. What is not listed answers EPERM instead of killing: the self-test must be able
 * to read an errno, a stray call in a library (a probe for a CPU count, a terminal) degrades instead of taking a role
 * down, and an attacker gains nothing from staying alive in here. A call by a foreign architecture's number kills.
 *
 * Consequences to know: no PROT_EXEC mapping can be made any more, so dlopen() must have happened before (iconv, NSS and
 * OpenSSL's providers too); clone3 answers ENOSYS so that glibc takes clone(), whose flags a filter can see. */
#include "os/sandbox_impl.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#define NO_CALL __NR_SCMP_ERROR
enum { NEED_ALWAYS = 0 };

/* Calls allowed with any arguments. By name, so that one this architecture or libseccomp lacks is passed over. */
static const struct { unsigned need; const char *names; } plain[] = {
	{ NEED_ALWAYS,
	  "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 close lseek dup dup2 dup3 fstat "
	  "epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd2 pipe2 timerfd_create timerfd_settime "
	  "timerfd_gettime poll ppoll select pselect6 "
	  "munmap mremap brk madvise mincore "
	  "futex futex_time64 membarrier rseq set_robust_list get_robust_list "
	  "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time "
	  "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait sigaltstack restart_syscall exit exit_group "
	  "getpid gettid getppid getuid geteuid getgid getegid getrandom getrusage times uname sysinfo getcpu "
	  "sched_yield sched_getaffinity "
	  "sendmsg recvmsg recvfrom sendmmsg recvmmsg" },
	{ SANDBOX_SOCKETS, "accept4 accept getsockname getpeername getsockopt setsockopt shutdown" },
	{ SANDBOX_FILES,
	  "openat open openat2 newfstatat statx stat lstat fsync fdatasync sync_file_range rename renameat renameat2 unlink "
	  "unlinkat mkdir mkdirat rmdir link linkat ftruncate fallocate fadvise64 fchmod getdents64 access faccessat faccessat2 "
	  "readlink readlinkat flock fstatfs statfs copy_file_range sendfile getcwd umask readahead" },
	{ SANDBOX_LMDB, "msync fsync fdatasync sync_file_range ftruncate fallocate flock fstatfs" },
	{ SANDBOX_MEMFD, "memfd_create ftruncate fallocate" },
	{ SANDBOX_CONNECT, "connect bind getsockname getpeername getsockopt setsockopt shutdown sendto" },
#ifdef SANDBOX_ASAN
	{ NEED_ALWAYS, "readlink readlinkat personality" }, /* the sanitizers' own runtime, when it reports */
#endif
};

/* Calls allowed only with a certain argument: (argument & mask) == value. */
static const struct { unsigned need; const char *name; unsigned arg; uint64_t mask, value; } masked[] = {
	{ NEED_ALWAYS, "mmap", 2, PROT_EXEC, 0 },
	{ NEED_ALWAYS, "mmap2", 2, PROT_EXEC, 0 },
	{ NEED_ALWAYS, "mprotect", 2, PROT_EXEC, 0 },
	{ NEED_ALWAYS, "newfstatat", 3, AT_EMPTY_PATH, AT_EMPTY_PATH }, /* glibc's fstat() */
	{ NEED_ALWAYS, "sendto", 4, ~0ULL, 0 },                         /* connected sockets only */
	/* No datagram pairs: their sendmsg() could name any Unix socket. */
	{ NEED_ALWAYS, "socketpair", 1, 0xf, SOCK_STREAM },
	{ NEED_ALWAYS, "socketpair", 1, 0xf, SOCK_SEQPACKET },
	{ NEED_ALWAYS, "fcntl", 1, ~0ULL, F_GETFD }, { NEED_ALWAYS, "fcntl", 1, ~0ULL, F_SETFD },
	{ NEED_ALWAYS, "fcntl", 1, ~0ULL, F_GETFL }, { NEED_ALWAYS, "fcntl", 1, ~0ULL, F_SETFL },
	{ NEED_ALWAYS, "fcntl", 1, ~0ULL, F_DUPFD_CLOEXEC }, { NEED_ALWAYS, "fcntl", 1, ~0ULL, F_GET_SEALS },
	{ SANDBOX_MEMFD, "fcntl", 1, ~0ULL, F_ADD_SEALS },
	{ SANDBOX_LMDB, "fcntl", 1, ~0ULL, F_SETLK }, { SANDBOX_LMDB, "fcntl", 1, ~0ULL, F_SETLKW },
	{ SANDBOX_LMDB, "fcntl", 1, ~0ULL, F_GETLK },
	{ SANDBOX_FILES, "fcntl", 1, ~0ULL, F_SETLK }, { SANDBOX_FILES, "fcntl", 1, ~0ULL, F_SETLKW },
	{ SANDBOX_FILES, "fcntl", 1, ~0ULL, F_GETLK }, { SANDBOX_FILES, "fcntl", 1, ~0ULL, F_OFD_SETLK },
	{ SANDBOX_FILES, "fcntl", 1, ~0ULL, F_OFD_GETLK },
	{ NEED_ALWAYS, "ioctl", 1, 0xffffffff, FIONBIO }, { NEED_ALWAYS, "ioctl", 1, 0xffffffff, FIONREAD },
	{ NEED_ALWAYS, "ioctl", 1, 0xffffffff, FIOCLEX },
	{ NEED_ALWAYS, "prctl", 0, 0xffffffff, PR_SET_NAME }, { NEED_ALWAYS, "prctl", 0, 0xffffffff, PR_GET_NAME },
	{ NEED_ALWAYS, "prctl", 0, 0xffffffff, PR_SET_VMA }, { NEED_ALWAYS, "prctl", 0, 0xffffffff, PR_GET_DUMPABLE },
	{ NEED_ALWAYS, "prctl", 0, 0xffffffff, PR_GET_SECCOMP }, { NEED_ALWAYS, "prctl", 0, 0xffffffff, PR_GET_NO_NEW_PRIVS },
	{ NEED_ALWAYS, "prlimit64", 2, ~0ULL, 0 },                      /* reading only */
	{ SANDBOX_CONNECT, "socket", 0, 0xffffffff, AF_INET }, { SANDBOX_CONNECT, "socket", 0, 0xffffffff, AF_INET6 },
	{ SANDBOX_THREADS, "clone", 0, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND },
};

static bool needed(unsigned need, unsigned needs) { return need == NEED_ALWAYS || needs & need; }

static int add_names(scmp_filter_ctx ctx, struct str names)
{
	struct str word;
	while (names.n) {
		char z[40];
		(void)str_cut(names, ' ', &word, &names);
		if (word.n == 0 || word.n >= sizeof z)
			continue;
		memcpy(z, word.p, word.n);
		z[word.n] = 0;
		int nr = seccomp_syscall_resolve_name(z);
		int e = nr == NO_CALL ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
		if (e < 0 && e != -EDOM && e != -EEXIST)
			return e;
	}
	return 0;
}

static int add_masked(scmp_filter_ctx ctx, unsigned needs)
{
	for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
		int nr = seccomp_syscall_resolve_name(masked[i].name);
		if (nr == NO_CALL || !needed(masked[i].need, needs))
			continue;
		struct scmp_arg_cmp want = { .arg = masked[i].arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = masked[i].mask, .datum_b = masked[i].value };
		int e = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, nr, 1, &want);
		if (e < 0 && e != -EDOM && e != -EEXIST)
			return e;
	}
	/* abort() and raise() signal their own thread; no other process can be signalled. */
	struct scmp_arg_cmp own = { .arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid() };
	int e = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name("tgkill"), 1, &own);
	if (e < 0)
		return e;
	int clone3 = seccomp_syscall_resolve_name("clone3");
	return clone3 == NO_CALL ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), clone3, 0);
}

static int fill(scmp_filter_ctx ctx, unsigned needs)
{
	int e = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (e == 0)
		e = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (e == 0)
		e = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree: the list is long */
	for (size_t i = 0; e == 0 && i < sizeof plain / sizeof *plain; i++)
		if (needed(plain[i].need, needs))
			e = add_names(ctx, str_z(plain[i].names));
	if (e == 0)
		e = add_masked(ctx, needs);
	return e == 0 ? seccomp_load(ctx) : e;
}

enum rc seccomp_enter(unsigned needs, struct why *why)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		FAIL(why, RC_NOMEM, "no memory for seccomp");
	int e = fill(ctx, needs);
	seccomp_release(ctx);
	if (e < 0)
		return why_fail(why, RC_DENIED, -e, __FILE__ ":" WHY_STR(__LINE__), "seccomp");
	return RC_OK;
}
