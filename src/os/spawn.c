#include "os/spawn.h"

#include "base/mem.h"
#include "os/file.h"
#include "os/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

enum { FIRST_FD = 3, MAX_FDS = 64 };

/* One child: a pidfd tells when it ends, so no signal handler reaps children that are not ours. */
struct child {
	uv_poll_t ended;
	int pidfd;
	pid_t pid;
	void (*fn)(void *arg, pid_t pid, int status);
	void *arg;
};

static void child_gone(uv_handle_t *h)
{
	struct child *c = h->data;
	fd_close(&c->pidfd);
	mem_free(c);
}

static void child_ended(uv_poll_t *h, int uv_status, int events)
{
	struct child *c = h->data;
	(void)uv_status;
	(void)events;
	int status = 0;
	pid_t got;
	do
		got = waitpid(c->pid, &status, WNOHANG);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return;
	(void)uv_poll_stop(h);
	if (c->fn)
		c->fn(c->arg, c->pid, status);
	uv_close((uv_handle_t *)h, child_gone);
}

uv_close_cb spawn_closer(const uv_handle_t *h)
{
	return h->type == UV_POLL && ((const uv_poll_t *)h)->poll_cb == child_ended ? child_gone : NULL;
}

/* Our own binary as it was when we started: an upgrade under our feet must not mix two builds. */
static int own_binary(void)
{
	static int fd = -1; /* opened once for the life of the process; the path may be another file later */
	if (fd < 0)
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	return fd;
}

/* In the child: descriptors 3, 4, ... are the given ones and everything else goes at exec. They are copied high first, so
 * that placing one cannot overwrite another that is still to be placed. */
static bool place_fds(const int *fds, size_t n, int *exe)
{
	int high[MAX_FDS + 1];
	for (size_t i = 0; i <= n; i++) {
		high[i] = fcntl(i < n ? fds[i] : *exe, F_DUPFD_CLOEXEC, FIRST_FD + MAX_FDS + 1);
		if (high[i] < 0)
			return false;
	}
	for (size_t i = 0; i < n; i++)
		if (dup2(high[i], FIRST_FD + (int)i) < 0)
			return false;
	*exe = high[n];
	return syscall(SYS_close_range, FIRST_FD + (unsigned)n, ~0U, CLOSE_RANGE_CLOEXEC) == 0 || errno == ENOSYS;
}

static void reset_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become(const struct spawn *what, size_t n_fds, int exe, pid_t parent)
{
	reset_signals();
	/* Set before the exec (it survives one that gains no privilege), and looked at again: the parent may be gone already. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || !place_fds(what->fds, n_fds, &exe))
		_exit(126);
	(void)syscall(SYS_execveat, exe, "", what->argv, environ, 0x1000 /* AT_EMPTY_PATH */);
	_exit(127);
}

/* vfork(), since fork() would copy the page tables of a process that is replaced at once, and make the parent copy every page that it touches next. Until
 * the exec the child runs in our memory: it calls the kernel, and writes its own variables and errno, nothing else; no handler of ours may run in it, so that signals
 * wait in both until it has set them back. */
static pid_t start(const struct spawn *what, size_t n_fds, int exe)
{
	pid_t parent = getpid();
	sigset_t all, before;
	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, &before) < 0)
		return -1;
	pid_t pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): what it warns of is what the comment above rules out */
	if (pid == 0)
		become(what, n_fds, exe, parent);
	int e = errno;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	errno = e;
	return pid;
}

static enum rc watch(struct loop *l, struct child *c, struct why *why)
{
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (c->pidfd < 0)
		FAIL_SYS(why, "pidfd_open");
	(void)fcntl(c->pidfd, F_SETFD, FD_CLOEXEC);
	c->ended.data = c;
	int e = uv_poll_init(loop_uv(l), &c->ended, c->pidfd);
	if (e)
		FAIL(why, RC_IO, "cannot watch a child: %s", uv_strerror(e));
	(void)uv_poll_start(&c->ended, UV_READABLE, child_ended);
	return RC_OK;
}

enum rc spawn_self(struct loop *l, const struct spawn *what, pid_t *out_pid, struct why *why)
{
	size_t n = 0;
	while (what->fds && what->fds[n] >= 0)
		n++;
	if (n > MAX_FDS)
		FAIL(why, RC_LIMIT, "at most %d descriptors for a child", MAX_FDS);
	int exe = own_binary();
	if (exe < 0)
		FAIL_SYS(why, "cannot open our own binary");
	struct child *c = mem_new(sizeof *c);
	if (!c)
		FAIL(why, RC_NOMEM, "no memory for a child");
	*c = (struct child){ .pidfd = -1, .fn = what->ended, .arg = what->arg };
	c->pid = start(what, n, exe);
	enum rc rc = RC_OK;
	if (c->pid < 0)
		rc = why_fail(why, RC_IO, errno, __FILE__ ":" WHY_STR(__LINE__), "cannot start a process");
	else
		rc = watch(l, c, why);
	if (rc != RC_OK) {
		if (c->pid > 0) {
			(void)kill(c->pid, SIGKILL);
			(void)waitpid(c->pid, NULL, 0);
		}
		fd_close(&c->pidfd);
		mem_free(c);
		return rc;
	}
	if (out_pid)
		*out_pid = c->pid;
	return RC_OK;
}

void spawn_child_setup(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int fd = FIRST_FD; fd < FIRST_FD + MAX_FDS; fd++) {
		int flags = fcntl(fd, F_GETFD);
		if (flags >= 0)
			(void)fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
	}
}
