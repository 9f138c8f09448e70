/* Landlock by system call: which files a process may reach, whatever its uid. Rights, net and scopes are those that the
 * running kernel knows; the constants are written out because Debian 12's headers stop at ABI 2. */
#include "os/sandbox_impl.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

enum {
	FS_EXECUTE = 1 << 0, FS_WRITE_FILE = 1 << 1, FS_READ_FILE = 1 << 2, FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4, FS_REMOVE_FILE = 1 << 5, FS_MAKE_CHAR = 1 << 6, FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8, FS_MAKE_SOCK = 1 << 9, FS_MAKE_FIFO = 1 << 10, FS_MAKE_BLOCK = 1 << 11,
	FS_MAKE_SYM = 1 << 12, FS_REFER = 1 << 13, FS_TRUNCATE = 1 << 14, FS_IOCTL_DEV = 1 << 15,
	NET_BIND_TCP = 1 << 0, NET_CONNECT_TCP = 1 << 1,
	SCOPE_ABSTRACT_UNIX = 1 << 0, SCOPE_SIGNAL = 1 << 1,
	CREATE_RULESET_VERSION = 1 << 0, RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2,
};
struct ruleset { uint64_t fs, net, scoped; };
struct net_port { uint64_t allowed, port; };
struct beneath { uint64_t allowed; int32_t fd; } __attribute__((packed));

static uint64_t fs_rights(int abi)
{
	uint64_t r = FS_MAKE_SYM * 2 - 1;
	if (abi >= 2)
		r |= FS_REFER;
	if (abi >= 3)
		r |= FS_TRUNCATE;
	if (abi >= 5)
		r |= FS_IOCTL_DEV;
	return r;
}

static enum rc add_path(int ruleset, const struct sandbox_path *p, uint64_t handled, struct why *why)
{
	AUTO(fd_close) int fd = open(p->path, O_PATH | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		FAIL_SYS(why, "sandbox path %s", p->path);
	uint64_t may = FS_READ_FILE;
	if (p->write)
		may |= FS_WRITE_FILE | FS_TRUNCATE;
	if (S_ISDIR(st.st_mode)) {
		may |= FS_READ_DIR;
		if (p->write)
			may |= FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_REFER;
	}
	struct beneath rule = { .allowed = may & handled, .fd = fd };
	if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0)
		FAIL_SYS(why, "Landlock rule for %s", p->path);
	return RC_OK;
}

enum rc landlock_enter(const struct sandbox *box, int *out_abi, struct why *why)
{
	*out_abi = 0;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
	if (abi < 1) {
		if (box->reduced)
			return RC_OK;
		FAIL(why, RC_DENIED, "this kernel has no Landlock: say `sandbox = reduced` to run without it");
	}
	struct ruleset set = { .fs = fs_rights((int)abi) };
	size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
	if (abi >= 4)
		set.net = NET_BIND_TCP | (box->needs & SANDBOX_CONNECT && !box->ports ? 0 : NET_CONNECT_TCP);
	if (abi >= 6)
		set.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL; /* threads start later and share the domain */
	AUTO(fd_close) int fd = (int)syscall(SYS_landlock_create_ruleset, &set, size, 0);
	if (fd < 0)
		FAIL_SYS(why, "Landlock");
	for (const struct sandbox_path *p = box->paths; p && p->path; p++)
		TRY(add_path(fd, p, set.fs, why));
	for (size_t i = 0; abi >= 4 && box->needs & SANDBOX_CONNECT && i < box->port_n; i++) {
		struct net_port rule = { .allowed = NET_CONNECT_TCP, .port = box->ports[i] };
		if (syscall(SYS_landlock_add_rule, fd, RULE_NET_PORT, &rule, 0) < 0)
			FAIL_SYS(why, "Landlock rule for port %u", box->ports[i]);
	}
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		FAIL_SYS(why, "Landlock");
	*out_abi = (int)abi;
	return RC_OK;
}
