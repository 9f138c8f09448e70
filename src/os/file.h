#pragma once
#include "base/buf.h"
#include "base/why.h"

/* Files whose contents survive a power cut, and descriptors as owned values. ENOSPC and EDQUOT are RC_FULL. */
void fd_close(int *fd); /* idempotent, leaves -1 behind; works with AUTO() */
MUST_USE enum rc fd_write_all(int fd, struct str s, struct why *why);
MUST_USE enum rc fd_pwrite_all(int fd, struct str s, uint64_t offset, struct why *why);
long fd_read_some(int fd, void *p, size_t n); /* read(2), again where a signal came; 0 = the end, < 0: errno */
MUST_USE enum rc fd_read_all(int fd, size_t max, struct buf *out, struct why *why); /* RC_LIMIT past max */

/* Replaces `dir`/`name` atomically: temporary file, fsync, rename, fsync of the directory. */
MUST_USE enum rc file_put(int dir, const char *name, struct str body, unsigned mode, struct why *why);
MUST_USE enum rc file_get(int dir, const char *name, size_t max, struct buf *out, struct why *why); /* RC_NOTFOUND */
MUST_USE enum rc dir_make(const char *path, unsigned mode, struct why *why); /* with parents; fine when it is there */
MUST_USE enum rc dir_sync(int dir, struct why *why);
MUST_USE enum rc dir_open(const char *path, int *out_fd, struct why *why);
