#include "store/rows.h"

#include "os/file.h"
#include "os/loop.h"
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

/* Reading bodies where they lie. Warm pages are read here and now; a cold one is a worker's, so that no session waits for another's disk. */

struct cold { int fd; char *p; size_t n; uint64_t off; ssize_t got; };

static void read_cold(void *arg)
{
	struct cold *c = arg;
	c->got = pread(c->fd, c->p, c->n, (off_t)c->off);
}

/* On its own descriptor: the caller's cache may close the other one while this waits. */
static enum rc read_by_worker(int fd, char *p, size_t n, uint64_t off, ssize_t *out_got)
{
	struct cold c = { .fd = dup(fd), .p = p, .n = n, .off = off };
	enum rc rc = c.fd < 0 ? RC_IO : worker_run(read_cold, &c);
	fd_close(&c.fd);
	*out_got = c.got;
	return rc;
}

enum rc segment_pull(int fd, uint64_t off, size_t n, struct buf *out)
{
	buf_clear(out);
	if (!buf_room(out, n))
		return RC_NOMEM;
	while (out->len < n) {
		ssize_t k = pread(fd, out->p + out->len, n - out->len, (off_t)(off + out->len));
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return RC_DAMAGED;
		out->len += (size_t)k;
	}
	return RC_OK;
}

enum rc segment_fetch(int fd, uint64_t off, size_t n, size_t most, struct buf *out, struct why *why)
{
	buf_clear(out);
	if (!buf_room(out, most))
		FAIL(why, RC_NOMEM, "no memory for a body");
	while (out->len < n) {
		struct iovec v = { out->p + out->len, most - out->len };
		ssize_t k = preadv2(fd, &v, 1, (off_t)(off + out->len), RWF_NOWAIT);
		if (k < 0 && (errno == EAGAIN || errno == EOPNOTSUPP))
			TRY(read_by_worker(fd, v.iov_base, n - out->len, off + out->len, &k));
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			FAIL(why, RC_DAMAGED, "a segment is shorter than the index says");
		out->len += (size_t)k;
	}
	return RC_OK;
}
