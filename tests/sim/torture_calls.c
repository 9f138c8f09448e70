/* System calls that fail. The executable defines these names, so every caller in the process, libraries included, comes here first.
 *
 * Spared, because no kernel answers them with an error that is not a programming mistake: close, munmap, shutdown, epoll_ctl MOD and
 * DEL, fcntl's getters and setters of flags, fstat of a memfd. Spared too: libuv's own epoll_ctl, eventfd and pipe — there it calls
 * abort() by design, which ends one role of a real server, and `master` starts that again.
 *
 * After a failed write of its header LMDB refuses everything until the environment is opened anew. `store` does that by itself where it
 * is the only user; here `reader` holds the same environment (LMDB allows one per process), so for these points, and only for them, the
 * server is started again before its clean journey. */
#include "torture.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct board *board;
unsigned torture_turn;
static uintptr_t uv_from, uv_to;

enum { SHORT = -1 }; /* not an error: half of what was asked for */

void torture_trace(const char *call, int error)
{
	struct board *b = board;
	b->error = error;
	(void)snprintf(b->call, sizeof b->call, "%s", call);
	b->trace_n = backtrace(b->trace, TRACE_MAX_FRAMES);
	__atomic_store_n(&b->fired, 1, __ATOMIC_SEQ_CST);
}

static void find_libuv(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	while (maps && fgets(line, sizeof line, maps)) {
		unsigned long from, to;
		if (!strstr(line, "/libuv.so") || sscanf(line, "%lx-%lx", &from, &to) != 2)
			continue;
		uv_from = uv_from ? uv_from : from;
		uv_to = to;
	}
	if (maps)
		(void)fclose(maps);
}

void torture_serve_begin(struct board *b)
{
	void *warm[4];
	(void)backtrace(warm, 4); /* loads its unwinder now */
	find_libuv();
	board = b;
}

/* ---- which, and how ---- */

enum what { NET, IPC, FILE_, MEMFD, OTHER };

static enum what what_is(int fd)
{
	static int (*real_fstat)(int, struct stat *);
	struct stat st;
	if (!real_fstat)
		real_fstat = (int (*)(int, struct stat *))dlsym(RTLD_NEXT, "fstat");
	if (!real_fstat || real_fstat(fd, &st) < 0)
		return OTHER;
	if (S_ISSOCK(st.st_mode)) {
		int domain = 0;
		socklen_t n = sizeof domain;
		(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n);
		return domain == AF_UNIX ? IPC : NET;
	}
	if (!S_ISREG(st.st_mode))
		return OTHER;
	char link[64], name[64] = { 0 };
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	return readlink(link, name, sizeof name - 1) > 0 && strncmp(name, "/memfd:", 7) == 0 ? MEMFD : FILE_;
}

static bool on(void) { return board && __atomic_load_n(&board->armed, __ATOMIC_RELAXED); }
static bool of_libuv(const void *caller) { return (uintptr_t)caller >= uv_from && (uintptr_t)caller < uv_to; }

/* One point passed: 0, or the errno (or SHORT) that it fails with. `may` ends with 0. */
static int point(const char *call, const int *may)
{
	if (!may[0]) {
		__atomic_fetch_add(&board->spared, 1, __ATOMIC_RELAXED);
		return 0;
	}
	long n = __atomic_fetch_add(&board->count[TORTURE_SYSCALL], 1, __ATOMIC_SEQ_CST);
	if (board->kind != TORTURE_SYSCALL || n != board->k)
		return 0;
	size_t choices = 0;
	while (may[choices])
		choices++;
	int error = may[((unsigned long)n + torture_turn) % choices];
	torture_trace(call, error);
	return error;
}

static const int none[] = { 0 }, only_eintr[] = { EINTR, 0 }, only_nomem[] = { ENOMEM, 0 };

static const int *may_read(int fd, const void *caller)
{
	static const int net[] = { ECONNRESET, EINTR, SHORT, ETIMEDOUT, 0 }, ipc[] = { ENOMEM, EINTR, ENOBUFS, 0 }, file[] = { EIO, EINTR, 0 };
	enum what w = what_is(fd);
	return w == NET ? net : w == IPC ? ipc : w == FILE_ ? file : of_libuv(caller) ? only_eintr : none;
}

static const int *may_write(int fd, const void *caller)
{
	static const int net[] = { ECONNRESET, EAGAIN, SHORT, EINTR, ENOBUFS, EPIPE, 0 }, ipc[] = { ENOBUFS, EAGAIN, EINTR, ENOMEM, 0 },
		file[] = { ENOSPC, EIO, SHORT, EINTR, EDQUOT, 0 }, memory[] = { ENOSPC, ENOMEM, SHORT, EINTR, 0 };
	enum what w = what_is(fd);
	return w == NET ? net : w == IPC ? ipc : w == FILE_ ? file : w == MEMFD ? memory : of_libuv(caller) ? only_eintr : none;
}

#define REAL(ret, name, ...) \
	static ret (*real)(__VA_ARGS__); \
	if (!real) \
		real = (ret (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)
#define FAILING(name, may) \
	int e_ = on() ? point(#name, may) : 0; \
	if (e_ > 0) { \
		errno = e_; \
		return -1; \
	}
#define HALF(n) (e_ == SHORT && (n) > 1 ? (n) / 2 : (n))
#define CALLER __builtin_return_address(0)

/* ---- data ---- */

static void note_header(int fd, off_t at, int error)
{
	enum { HEADERS_END = 2 * 4096 };
	char link[64], name[512] = { 0 };
	if (!error || at >= HEADERS_END)
		return;
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, name, sizeof name - 1);
	board->header = n > 15 && strcmp(name + n - 15, "/index/data.mdb") == 0;
}

#define DATA4(name, type, may) \
	ssize_t name(int fd, type *p, size_t n, off_t at); \
	ssize_t name(int fd, type *p, size_t n, off_t at) \
	{ \
		REAL(ssize_t, name, int, type *, size_t, off_t); \
		int e_ = on() ? point(#name, may(fd, CALLER)) : 0; \
		note_header(fd, at, e_); \
		if (e_ > 0) { \
			errno = e_; \
			return -1; \
		} \
		return real(fd, p, HALF(n), at); \
	}
#define DATA3(name, type, may) \
	ssize_t name(int fd, type *p, size_t n) \
	{ \
		REAL(ssize_t, name, int, type *, size_t); \
		FAILING(name, may(fd, CALLER)) \
		return real(fd, p, HALF(n)); \
	}
#define SOCK(name, type, may) \
	ssize_t name(int fd, type *p, size_t n, int flags) \
	{ \
		REAL(ssize_t, name, int, type *, size_t, int); \
		FAILING(name, may(fd, CALLER)) \
		return real(fd, p, HALF(n), flags); \
	}
#define VEC(name, may) \
	ssize_t name(int fd, const struct iovec *v, int n) \
	{ \
		REAL(ssize_t, name, int, const struct iovec *, int); \
		FAILING(name, may(fd, CALLER)) \
		return real(fd, v, HALF(n)); \
	}
#define VECAT(name, may) \
	ssize_t name(int fd, const struct iovec *v, int n, off_t at) \
	{ \
		REAL(ssize_t, name, int, const struct iovec *, int, off_t); \
		FAILING(name, may(fd, CALLER)) \
		return real(fd, v, HALF(n), at); \
	}
#define CHECKED(name, under) /* what _FORTIFY_SOURCE makes of it */ \
	ssize_t name(int fd, void *p, size_t n, size_t room); \
	ssize_t name(int fd, void *p, size_t n, size_t room) { (void)room; return under(fd, p, n); }
DATA3(read, void, may_read)
DATA3(write, const void, may_write)
DATA4(pread, void, may_read)
DATA4(pread64, void, may_read)
DATA4(pwrite, const void, may_write)
DATA4(pwrite64, const void, may_write)
SOCK(recv, void, may_read)
SOCK(send, const void, may_write)
VEC(readv, may_read)
VEC(writev, may_write)
VECAT(preadv, may_read)
VECAT(preadv64, may_read)
VECAT(pwritev, may_write)
VECAT(pwritev64, may_write)
CHECKED(__read_chk, read)
ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t room);
ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t room) { (void)room; return pread(fd, p, n, at); }
ssize_t __pread64_chk(int fd, void *p, size_t n, off_t at, size_t room);
ssize_t __pread64_chk(int fd, void *p, size_t n, off_t at, size_t room) { (void)room; return pread(fd, p, n, at); }
ssize_t __recv_chk(int fd, void *p, size_t n, size_t room, int flags);
ssize_t __recv_chk(int fd, void *p, size_t n, size_t room, int flags) { (void)room; return recv(fd, p, n, flags); }

static const int *may_preadv2(int fd, const void *caller, int flags)
{
	static const int cached[] = { EAGAIN, EIO, EINTR, 0 };
	return flags & RWF_NOWAIT ? cached : may_read(fd, caller);
}
#define VECAT2(name, may) \
	ssize_t name(int fd, const struct iovec *v, int n, off_t at, int flags) \
	{ \
		REAL(ssize_t, name, int, const struct iovec *, int, off_t, int); \
		FAILING(name, may) \
		return real(fd, v, HALF(n), at, flags); \
	}
VECAT2(preadv2, may_preadv2(fd, CALLER, flags))
VECAT2(preadv64v2, may_preadv2(fd, CALLER, flags))
VECAT2(pwritev2, may_write(fd, CALLER))

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	REAL(ssize_t, recvmsg, int, struct msghdr *, int);
	FAILING(recvmsg, may_read(fd, CALLER))
	return real(fd, m, flags);
}

int recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *timeout)
{
	REAL(int, recvmmsg, int, struct mmsghdr *, unsigned, int, struct timespec *);
	FAILING(recvmmsg, may_read(fd, CALLER))
	return real(fd, m, n, flags, timeout);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	REAL(ssize_t, sendmsg, int, const struct msghdr *, int);
	FAILING(sendmsg, may_write(fd, CALLER))
	return real(fd, m, flags);
}

/* ---- descriptors ---- */

static const int may_open[] = { EMFILE, ENFILE, ENOMEM, EIO, EINTR, 0 }, may_make[] = { EMFILE, ENOSPC, ENOMEM, EIO, EINTR, EDQUOT, 0 };

#define OPEN(name) \
	int name(const char *path, int flags, ...) \
	{ \
		REAL(int, name, const char *, int, mode_t); \
		va_list v; \
		va_start(v, flags); \
		mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(v, mode_t) : 0; \
		va_end(v); \
		FAILING(name, flags & O_CREAT ? may_make : may_open) \
		return real(path, flags, mode); \
	}
#define OPENAT(name) \
	int name(int dir, const char *path, int flags, ...) \
	{ \
		REAL(int, name, int, const char *, int, mode_t); \
		va_list v; \
		va_start(v, flags); \
		mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(v, mode_t) : 0; \
		va_end(v); \
		FAILING(name, flags & O_CREAT ? may_make : may_open) \
		return real(dir, path, flags, mode); \
	}
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int accept4(int fd, struct sockaddr *sa, socklen_t *n, int flags)
{
	static const int may[] = { EMFILE, ECONNABORTED, EINTR, ENFILE, ENOMEM, ENOBUFS, 0 };
	REAL(int, accept4, int, struct sockaddr *, socklen_t *, int);
	FAILING(accept4, may)
	return real(fd, sa, n, flags);
}

int dup(int fd)
{
	static const int may[] = { EMFILE, 0 };
	REAL(int, dup, int);
	FAILING(dup, may)
	return real(fd);
}

int memfd_create(const char *name, unsigned flags)
{
	static const int may[] = { ENOMEM, EMFILE, ENFILE, 0 };
	REAL(int, memfd_create, const char *, unsigned);
	FAILING(memfd_create, may)
	return real(name, flags);
}

static const int *may_fcntl(int command)
{
	static const int duplicate[] = { EMFILE, 0 }, lock[] = { ENOLCK, EAGAIN, EINTR, 0 };
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		return duplicate;
	if (command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW)
		return lock;
	return command == F_ADD_SEALS ? only_nomem : none;
}
#define FCNTL(name) \
	int name(int fd, int command, ...) \
	{ \
		REAL(int, name, int, int, void *); \
		va_list v; \
		va_start(v, command); \
		void *arg = va_arg(v, void *); \
		va_end(v); \
		FAILING(name, may_fcntl(command)) \
		return real(fd, command, arg); \
	}
FCNTL(fcntl)
FCNTL(fcntl64)

/* ---- files ---- */

static const int *may_sync(void)
{
	static const int may[] = { EIO, ENOSPC, EINTR, EDQUOT, 0 };
	return may;
}
int fsync(int fd)
{
	REAL(int, fsync, int);
	FAILING(fsync, may_sync())
	return real(fd);
}
int fdatasync(int fd)
{
	REAL(int, fdatasync, int);
	FAILING(fdatasync, may_sync())
	return real(fd);
}
#define TRUNCATE(name) \
	int name(int fd, off_t n) \
	{ \
		REAL(int, name, int, off_t); \
		FAILING(name, may_sync()) \
		return real(fd, n); \
	}
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

static const int *may_name(void)
{
	static const int may[] = { EIO, ENOSPC, EACCES, 0 };
	return may;
}
int unlink(const char *path)
{
	REAL(int, unlink, const char *);
	FAILING(unlink, may_name())
	return real(path);
}
int unlinkat(int dir, const char *path, int flags)
{
	REAL(int, unlinkat, int, const char *, int);
	FAILING(unlinkat, may_name())
	return real(dir, path, flags);
}
int rename(const char *from, const char *to)
{
	REAL(int, rename, const char *, const char *);
	FAILING(rename, may_name())
	return real(from, to);
}
int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	REAL(int, renameat, int, const char *, int, const char *);
	FAILING(renameat, may_name())
	return real(from_dir, from, to_dir, to);
}
int mkdir(const char *path, mode_t mode)
{
	REAL(int, mkdir, const char *, mode_t);
	FAILING(mkdir, may_name())
	return real(path, mode);
}
static const int *may_stat(int fd)
{
	static const int may[] = { EIO, ENOMEM, 0 };
	return what_is(fd) == FILE_ ? may : none;
}
#define FSTAT(name, type) \
	int name(int fd, struct type *st) \
	{ \
		REAL(int, name, int, struct type *); \
		FAILING(name, may_stat(fd)) \
		return real(fd, st); \
	}
FSTAT(fstat, stat)
FSTAT(fstat64, stat64)

/* ---- memory ---- */

#define MMAP(name) \
	void *name(void *at, size_t n, int prot, int flags, int fd, off_t offset) \
	{ \
		REAL(void *, name, void *, size_t, int, int, int, off_t); \
		if (on() && point(#name, only_nomem)) { \
			errno = ENOMEM; \
			return MAP_FAILED; \
		} \
		return real(at, n, prot, flags, fd, offset); \
	}
MMAP(mmap)
MMAP(mmap64)
int mprotect(void *at, size_t n, int prot)
{
	REAL(int, mprotect, void *, size_t, int);
	FAILING(mprotect, only_nomem)
	return real(at, n, prot);
}
int madvise(void *at, size_t n, int advice)
{
	static const int may[] = { ENOMEM, EAGAIN, EINVAL, 0 };
	REAL(int, madvise, void *, size_t, int);
	FAILING(madvise, may)
	return real(at, n, advice);
}

/* ---- waiting and addresses ---- */

int epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	static const int may[] = { ENOMEM, ENOSPC, 0 };
	REAL(int, epoll_ctl, int, int, int, struct epoll_event *);
	FAILING(epoll_ctl, op == EPOLL_CTL_ADD && !of_libuv(CALLER) ? may : none)
	return real(ep, op, fd, ev);
}
int epoll_wait(int ep, struct epoll_event *ev, int n, int ms)
{
	REAL(int, epoll_wait, int, struct epoll_event *, int, int);
	FAILING(epoll_wait, only_eintr)
	return real(ep, ev, n, ms);
}
int epoll_pwait(int ep, struct epoll_event *ev, int n, int ms, const sigset_t *set)
{
	REAL(int, epoll_pwait, int, struct epoll_event *, int, int, const sigset_t *);
	FAILING(epoll_pwait, only_eintr)
	return real(ep, ev, n, ms, set);
}
int poll(struct pollfd *p, nfds_t n, int ms)
{
	static const int may[] = { EINTR, ENOMEM, 0 };
	REAL(int, poll, struct pollfd *, nfds_t, int);
	FAILING(poll, may)
	return real(p, n, ms);
}
int getsockname(int fd, struct sockaddr *restrict sa, socklen_t *restrict n)
{
	static const int may[] = { ENOBUFS, 0 };
	REAL(int, getsockname, int, struct sockaddr *, socklen_t *);
	FAILING(getsockname, may)
	return real(fd, sa, n);
}
int getpeername(int fd, struct sockaddr *restrict sa, socklen_t *restrict n)
{
	static const int may[] = { ENOTCONN, ENOBUFS, 0 };
	REAL(int, getpeername, int, struct sockaddr *, socklen_t *);
	FAILING(getpeername, may)
	return real(fd, sa, n);
}
int setsockopt(int fd, int level, int name, const void *p, socklen_t n)
{
	static const int may[] = { ENOBUFS, ENOMEM, 0 };
	REAL(int, setsockopt, int, int, int, const void *, socklen_t);
	FAILING(setsockopt, may)
	return real(fd, level, name, p, n);
}
ssize_t getrandom(void *p, size_t n, unsigned flags)
{
	static const int may[] = { EINTR, EAGAIN, 0 };
	REAL(ssize_t, getrandom, void *, size_t, unsigned);
	FAILING(getrandom, flags & 1 ? may : only_eintr)
	return real(p, n, flags);
}
