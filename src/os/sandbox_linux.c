#include "os/sandbox_impl.h"

#include "base/late.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static char in_force[80] = "none";

#ifdef SANDBOX_ASAN
static bool entered;
/* LeakSanitizer stops the process with ptrace() at exit, which the sandbox refuses; leaks are looked for outside it. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return entered; }
#endif

const char *sandbox_text(void) { return in_force; }

static enum rc limit(int what, rlim_t n, const char *name, struct why *why)
{
	struct rlimit old;
	if (getrlimit(what, &old) < 0)
		FAIL_SYS(why, "%s", name);
	/* A lower hard limit of the host stays: asking for more would need a privilege. */
	rlim_t most = old.rlim_max < n ? old.rlim_max : n;
	if (setrlimit(what, &(struct rlimit){ most, most }) < 0)
		FAIL_SYS(why, "%s", name);
	return RC_OK;
}

static enum rc set_limits(const struct sandbox *box, struct why *why)
{
	TRY(limit(RLIMIT_CORE, 0, "RLIMIT_CORE", why));
	if (box->max_fds)
		TRY(limit(RLIMIT_NOFILE, box->max_fds, "RLIMIT_NOFILE", why));
#ifndef SANDBOX_ASAN /* whose shadow is larger than any limit */
	if (box->max_memory)
		TRY(limit(RLIMIT_DATA, box->max_memory, "RLIMIT_DATA", why));
#endif
	return RC_OK;
}

static enum rc drop_ids(const struct sandbox *box, struct why *why)
{
	if (geteuid() != 0 || box->uid == 0)
		return RC_OK;
	int death = 0; /* changing ids clears it */
	(void)prctl(PR_GET_PDEATHSIG, &death);
	if (setgroups(0, NULL) < 0 || setresgid(box->gid, box->gid, box->gid) < 0 || setresuid(box->uid, box->uid, box->uid) < 0)
		FAIL_SYS(why, "cannot become uid %u, gid %u", (unsigned)box->uid, (unsigned)box->gid);
	if (setuid(0) == 0)
		FAIL(why, RC_DENIED, "root came back after it was dropped");
	if (death)
		(void)prctl(PR_SET_PDEATHSIG, death);
	return RC_OK;
}

/* Root that stays root (the demo) keeps one right of root's: to reach its files below directories that belong to others, as a checkout in somebody's home.
 * A role without files keeps none. */
static enum rc drop_caps(const struct sandbox *box, struct why *why)
{
	uint32_t keep = 0;
	if (geteuid() != 0)
		return RC_OK;
	for (const struct sandbox_path *p = box->paths; p && p->path; p++)
		keep |= 1u << (p->write ? CAP_DAC_OVERRIDE : CAP_DAC_READ_SEARCH);
	for (unsigned long cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if ((cap > 31 || !(keep >> cap & 1)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
			FAIL_SYS(why, "cannot drop capability %lu", cap);
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2], had[2] = { 0 };
	if (syscall(SYS_capget, &head, had) < 0)
		FAIL_SYS(why, "capget");
	sets[0] = (struct __user_cap_data_struct){ .effective = keep & had[0].permitted, .permitted = keep & had[0].permitted };
	sets[1] = (struct __user_cap_data_struct){ 0 };
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, sets) < 0)
		FAIL_SYS(why, "capset");
	return RC_OK;
}

static enum rc no_way_up(struct why *why)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		FAIL_SYS(why, "no_new_privs");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		FAIL_SYS(why, "not dumpable");
	return RC_OK;
}

#ifndef LETTERLOCK_NO_SANDBOX
/* "I tried and could not", before the first octet from outside is read. */
static enum rc self_test(const struct sandbox *box, int abi, struct why *why)
{
	struct sandbox_proof p;
	sandbox_try(NULL, &p);
	bool files_open = abi == 0 && box->needs & SANDBOX_FILES;
	bool held = sandbox_holds(&(struct sandbox_proof){ .open_passwd = files_open ? EPERM : p.open_passwd,
	                                                  .exec = p.exec,
	                                                  .connect = box->needs & SANDBOX_CONNECT && (abi < 4 || !box->ports) ? EPERM : p.connect,
	                                                  .foreign_read = p.foreign_read });
	if (!held)
		FAIL(why, RC_DENIED, "the sandbox does not hold: open /etc/passwd %d, exec %d, connect %d", p.open_passwd, p.exec, p.connect);
	return RC_OK;
}

static enum rc close_in(const struct sandbox *box, struct why *why)
{
	int abi;
	TRY(landlock_enter(box, &abi, why));
	TRY(seccomp_enter(box->needs, why));
#ifdef SANDBOX_ASAN
	entered = true;
#endif
	if (abi)
		(void)snprintf(in_force, sizeof in_force, "landlock%d seccomp nnp", abi);
	else
		(void)snprintf(in_force, sizeof in_force, "no-landlock seccomp nnp");
	return self_test(box, abi, why);
}
#else
static enum rc close_in(const struct sandbox *box, struct why *why)
{
	(void)box;
	(void)why;
	(void)snprintf(in_force, sizeof in_force, "no-filters nnp");
	return RC_OK;
}
#endif

enum rc sandbox_enter(const struct sandbox *box, struct why *why)
{
	late_close();
	TRY(set_limits(box, why));
	TRY(drop_ids(box, why));
	TRY(drop_caps(box, why));
	TRY(no_way_up(why));
	return close_in(box, why);
}

/* ---- trying to break out ---- */

static int try_open(const char *path, int flags)
{
	AUTO(fd_close) int fd = open(path, flags | O_CLOEXEC);
	return fd >= 0 ? 0 : errno;
}

/* A permitted call must do no harm: it names no file, so the kernel answers EBADF or ENOENT, and a refused one EPERM. Two
 * ways, and the weaker answer counts. */
static int try_exec(void)
{
	static const char *const none[] = { NULL };
	int at = syscall(SYS_execveat, -1, "", none, none, AT_EMPTY_PATH) < 0 ? errno : 0;
	int by_name = execve("/nonexistent-letterlock", (char *const *)none, (char *const *)none) < 0 ? errno : 0;
	return at == EPERM || at == EACCES || at == ENOSYS ? by_name : at;
}

static int try_connect(void)
{
	AUTO(fd_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	return connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 ? 0 : errno;
}

void sandbox_try(const char *foreign_dir, struct sandbox_proof *out)
{
	out->open_passwd = try_open("/etc/passwd", O_RDONLY);
	out->exec = try_exec();
	out->connect = try_connect();
	out->foreign_read = SANDBOX_NOT_TRIED;
	if (!foreign_dir)
		return;
	out->foreign_read = try_open(foreign_dir, O_RDONLY | O_DIRECTORY);
	char path[4096];
	int n = snprintf(path, sizeof path, "%s/.", foreign_dir); /* reachable by name even where it cannot be listed? */
	int below = n > 0 && (size_t)n < sizeof path ? try_open(path, O_RDONLY) : ENAMETOOLONG;
	if (below == 0)
		out->foreign_read = 0;
}

static bool refused(int e) { return e == EPERM || e == EACCES || e == ENOSYS; }

bool sandbox_holds(const struct sandbox_proof *p)
{
	return refused(p->open_passwd) && refused(p->exec) && refused(p->connect) &&
	       (p->foreign_read == SANDBOX_NOT_TRIED || refused(p->foreign_read));
}
