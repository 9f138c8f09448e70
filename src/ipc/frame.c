#include "ipc/frame.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "os/file.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

void frame_header_put(struct buf *out, const struct frame_header *h)
{
	buf_u8(out, h->kind);
	buf_u8(out, h->flags);
	buf_u16(out, h->type);
	buf_u32(out, h->slot);
	buf_u32(out, h->generation);
	buf_u64(out, h->length);
}

enum rc frame_header_get(struct str in, struct frame_header *out)
{
	struct cursor c = cursor_of(in);
	out->kind = cursor_u8(&c);
	out->flags = cursor_u8(&c);
	out->type = cursor_u16(&c);
	out->slot = cursor_u32(&c);
	out->generation = cursor_u32(&c);
	out->length = cursor_u64(&c);
	return c.failed ? RC_SYNTAX : RC_OK;
}

enum rc frame_of_bytes(struct str payload, struct ipc_frame **out)
{
	struct ipc_frame *f = mem_raw(sizeof *f + payload.n);
	if (!f)
		return RC_NOMEM;
	*f = (struct ipc_frame){ 0 };
	memcpy(f + 1, payload.p, payload.n);
	f->payload = str_of(f + 1, payload.n);
	*out = f;
	return RC_OK;
}

enum rc frame_of_memfd(int take_fd, uint64_t length, struct ipc_frame **out, struct why *why)
{
	AUTO(fd_close) int fd = take_fd;
	struct stat st;
	const int need = F_SEAL_SHRINK | F_SEAL_WRITE;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & need) != need)
		FAIL(why, RC_SYNTAX, "the memfd is not sealed");
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != length || length == 0)
		FAIL(why, RC_SYNTAX, "the memfd's size is not what the frame says");
	struct ipc_frame *f = mem_new(sizeof *f);
	if (!f)
		FAIL(why, RC_NOMEM, "no memory");
	f->map = mmap(NULL, length, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (f->map == MAP_FAILED) {
		mem_free(f);
		FAIL(why, RC_NOMEM, "no room to map a frame");
	}
	f->map_len = length;
	f->payload = str_of(f->map, length);
	*out = f;
	return RC_OK;
}

void frame_free(struct ipc_frame **f)
{
	if (!*f)
		return;
	if ((*f)->map)
		(void)munmap((*f)->map, (*f)->map_len);
	else if ((*f)->secret)
		mem_wipe(*f + 1, (*f)->payload.n);
	mem_free(*f);
	*f = NULL;
}

enum { IOV_MAX_OURS = 2 + 2 * IPC_RUNS_MAX };

static size_t vectors(const struct ipc_pieces *p, struct iovec *v)
{
	size_t n = 0, done = 0;
	for (size_t i = 0; i < p->run_n; i++) {
		if (p->runs[i].at > done)
			v[n++] = (struct iovec){ p->small.p + done, p->runs[i].at - done };
		v[n++] = (struct iovec){ (void *)(uintptr_t)p->runs[i].run.p, p->runs[i].run.n };
		done = p->runs[i].at;
	}
	if (p->small.len > done)
		v[n++] = (struct iovec){ p->small.p + done, p->small.len - done };
	return n;
}

/* writev until all is there; a memfd can only be short of memory. */
static enum rc fill(int fd, struct iovec *v, size_t n)
{
	while (n) {
		ssize_t k = writev(fd, v, (int)n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return RC_NOMEM;
		size_t left = (size_t)k;
		while (n && left >= v->iov_len) {
			left -= v->iov_len;
			v++;
			n--;
		}
		if (n) {
			v->iov_base = (char *)v->iov_base + left;
			v->iov_len -= left;
		}
	}
	return RC_OK;
}

static enum rc send_one(int sock, struct iovec *v, size_t n, int fd)
{
	union { struct cmsghdr h; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct msghdr m = { .msg_iov = v, .msg_iovlen = n };
	if (fd >= 0) {
		memset(&control, 0, sizeof control);
		m.msg_control = &control;
		m.msg_controllen = sizeof control;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	for (;;) {
		if (sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return RC_OK;
		if (errno == EINTR)
			continue;
		return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS ? RC_AGAIN : RC_CLOSED;
	}
}

enum rc frame_send(int sock, struct frame_header h, const struct ipc_pieces *p, int fd)
{
	char head[64];
	struct buf hb = { .p = head, .cap = sizeof head, .max = sizeof head };
	struct iovec v[IOV_MAX_OURS];
	size_t n = vectors(p, v + 1);
	AUTO(fd_close) int body = -1;
	h.length = p->total;
	if (p->total > FRAME_INLINE_MAX) {
		if (fd >= 0)
			return RC_LIMIT; /* a message has a descriptor or a large body, never both */
		body = memfd_create("frame", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (body < 0)
			return RC_NOMEM;
		TRY(fill(body, v + 1, n));
		if (fcntl(body, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
			return RC_NOMEM;
		h.flags |= FRAME_IN_MEMFD;
		n = 0;
	} else if (fd >= 0) {
		h.flags |= FRAME_HAS_FD;
	}
	frame_header_put(&hb, &h);
	v[0] = (struct iovec){ head, hb.len };
	return send_one(sock, v, n + 1, body >= 0 ? body : fd);
}

static int take_descriptor(struct msghdr *m)
{
	int fd = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len; i++) {
			int got;
			memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
			fd_close(&fd); /* one is allowed; more are closed, the last stays */
			fd = got;
		}
	}
	return fd;
}

enum rc frames_recv(int sock, char rooms[FRAMES][FRAME_ROOM], struct received out[FRAMES], size_t *out_n)
{
	union { struct cmsghdr h; char room[CMSG_SPACE(4 * sizeof(int))]; } control[FRAMES];
	struct iovec v[FRAMES];
	struct mmsghdr m[FRAMES];
	for (size_t i = 0; i < FRAMES; i++) {
		v[i] = (struct iovec){ rooms[i], FRAME_ROOM };
		m[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &v[i], .msg_iovlen = 1, .msg_control = &control[i], .msg_controllen = sizeof control[i] } };
	}
	int n;
	do
		n = recvmmsg(sock, m, FRAMES, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n == 0 || errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS ? RC_AGAIN : RC_CLOSED; /* short of memory is not gone: it is asked again */
	for (int i = 0; i < n; i++) {
		out[i] = (struct received){ RC_OK, str_of(rooms[i], m[i].msg_len), take_descriptor(&m[i].msg_hdr), m[i].msg_hdr.msg_flags & MSG_CTRUNC };
		if (m[i].msg_len == 0)
			out[i].rc = RC_CLOSED;
		else if (m[i].msg_hdr.msg_flags & MSG_TRUNC)
			out[i].rc = RC_SYNTAX;
	}
	*out_n = (size_t)n;
	return RC_OK;
}
