#include "os/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* FAIL_SYS for this folder: a full disk is RC_FULL and an absent file RC_NOTFOUND, whatever the call was. */
#define FAIL_FILE(w, ...) return why_fail((w), rc_of(errno), errno, __FILE__ ":" WHY_STR(__LINE__), __VA_ARGS__)

static enum rc rc_of(int e)
{
	switch (e) {
	case ENOSPC:
	case EDQUOT: return RC_FULL;
	case ENOENT: return RC_NOTFOUND;
	case EEXIST: return RC_EXISTS;
	case EACCES:
	case EPERM: return RC_DENIED;
	case ENOMEM: return RC_NOMEM;
	default: return RC_IO;
	}
}

void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

enum rc fd_write_all(int fd, struct str s, struct why *why)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			FAIL_FILE(why, "write");
		s = str_skip(s, (size_t)n);
	}
	return RC_OK;
}

enum rc fd_pwrite_all(int fd, struct str s, uint64_t offset, struct why *why)
{
	while (s.n) {
		ssize_t n = pwrite(fd, s.p, s.n, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			FAIL_FILE(why, "write");
		s = str_skip(s, (size_t)n);
		offset += (uint64_t)n;
	}
	return RC_OK;
}

long fd_read_some(int fd, void *p, size_t n)
{
	ssize_t k;
	do
		k = read(fd, p, n);
	while (k < 0 && errno == EINTR);
	return k;
}

enum rc fd_read_all(int fd, size_t max, struct buf *out, struct why *why)
{
	size_t total = 0;
	for (;;) {
		/* One octet past the limit tells "as large as allowed" from "larger". */
		size_t want = max - total < 64 * 1024 ? max - total + 1 : 64 * 1024;
		char spare;
		if (want > 1 && !buf_room(out, want - 1))
			FAIL(why, RC_NOMEM, "no room to read into");
		ssize_t n = want > 1 ? read(fd, out->p + out->len, want - 1) : read(fd, &spare, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			FAIL_FILE(why, "read");
		if (n == 0)
			return RC_OK;
		if (want == 1)
			FAIL(why, RC_LIMIT, "larger than %zu octets", max);
		out->len += (size_t)n;
		total += (size_t)n;
	}
}

enum rc dir_sync(int dir, struct why *why)
{
	if (fsync(dir) < 0)
		FAIL_FILE(why, "fsync of a directory");
	return RC_OK;
}

static enum rc put_temporary(int dir, const char *tmp, struct str body, unsigned mode, struct why *why)
{
	AUTO(fd_close) int fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		FAIL_FILE(why, "cannot create %s", tmp);
	if (fchmod(fd, mode) < 0) /* the umask may have taken bits away, or an older file kept its own */
		FAIL_FILE(why, "cannot set the mode of %s", tmp);
	TRY(fd_write_all(fd, body, why));
	if (fsync(fd) < 0)
		FAIL_FILE(why, "fsync of %s", tmp);
	return RC_OK;
}

enum rc file_put(int dir, const char *name, struct str body, unsigned mode, struct why *why)
{
	char tmp[280];
	int n = snprintf(tmp, sizeof tmp, "%s.tmp", name);
	if (n < 0 || (size_t)n >= sizeof tmp)
		FAIL(why, RC_LIMIT, "file name too long");
	enum rc rc = put_temporary(dir, tmp, body, mode, why);
	if (rc != RC_OK) {
		(void)unlinkat(dir, tmp, 0);
		return rc;
	}
	if (renameat(dir, tmp, dir, name) < 0) {
		int e = errno;
		(void)unlinkat(dir, tmp, 0);
		errno = e;
		FAIL_FILE(why, "cannot put %s in place", name);
	}
	return dir_sync(dir, why);
}

enum rc file_get(int dir, const char *name, size_t max, struct buf *out, struct why *why)
{
	AUTO(fd_close) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		FAIL_FILE(why, "cannot open %s", name);
	return fd_read_all(fd, max, out, why);
}

static enum rc make_one(const char *path, unsigned mode, struct why *why)
{
	if (mkdir(path, mode) == 0)
		return RC_OK;
	int e = errno;
	struct stat st;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return RC_OK;
	errno = e == EEXIST ? ENOTDIR : e;
	FAIL_FILE(why, "cannot make the directory %s", path);
}

enum rc dir_make(const char *path, unsigned mode, struct why *why)
{
	char part[4096];
	size_t n = strlen(path);
	if (n == 0 || n >= sizeof part)
		FAIL(why, RC_LIMIT, "directory name empty or too long");
	memcpy(part, path, n + 1);
	for (size_t i = 1; i < n; i++)
		if (part[i] == '/') {
			part[i] = 0;
			TRY(make_one(part, mode, why));
			part[i] = '/';
		}
	return make_one(part, mode, why);
}

enum rc dir_open(const char *path, int *out_fd, struct why *why)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		FAIL_FILE(why, "cannot open the directory %s", path);
	*out_fd = fd;
	return RC_OK;
}
