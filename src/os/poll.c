/* Waiting for descriptors. Each is added to the loop's epoll set once, edge-triggered, for input; output is watched only
 * while somebody waits for room. Outside a fiber the same calls block in poll(2). */
#include "os/runtime.h"

#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define WATCH_INPUT (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET)

static enum rc block_in_poll(int fd, enum io_want want, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = (short)((want & IO_READ ? POLLIN : 0) | (want & IO_WRITE ? POLLOUT : 0)) };
	for (;;) {
		int ms = -1;
		if (deadline != NO_DEADLINE) {
			struct timespec ts;
			(void)clock_gettime(CLOCK_MONOTONIC, &ts);
			int64_t left = deadline - ((int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
			ms = left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
		}
		int n = poll(&p, 1, ms);
		if (n > 0)
			return p.revents & POLLNVAL ? RC_IO : RC_OK;
		if (n == 0)
			return RC_LATE;
		if (errno != EINTR)
			return RC_IO;
	}
}

enum rc io_poll_open(struct loop *l, int fd, struct io_poll **out)
{
	struct io_poll *p = mem_new(sizeof *p);
	if (!p)
		return RC_NOMEM;
	*p = (struct io_poll){ .l = l, .fd = fd, .input_edge = true };
	struct epoll_event ev = { .events = WATCH_INPUT, .data.ptr = p };
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
		if (errno != EPERM) {
			mem_free(p);
			return RC_IO;
		}
		p->always = true; /* epoll refuses regular files: they are always ready */
	}
	*out = p;
	return RC_OK;
}

void io_poll_event(struct io_poll *p, uint32_t events)
{
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		p->ended = true;
	if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		p->input_edge = true;
		wake_all(&p->readers);
	}
	if (p->writers.first && events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		struct epoll_event ev = { .events = WATCH_INPUT, .data.ptr = p };
		(void)epoll_ctl(p->l->epoll, EPOLL_CTL_MOD, p->fd, &ev);
		wake_all(&p->writers);
	}
}

bool io_poll_may_read(const struct io_poll *p) { return p->always || p->input_edge || p->ended; }
void io_poll_reading(struct io_poll *p) { p->input_edge = false; }

static enum rc wait_for_room(struct io_poll *p, int64_t deadline)
{
	struct epoll_event ev = { .events = WATCH_INPUT | EPOLLOUT, .data.ptr = p };
	if (epoll_ctl(p->l->epoll, EPOLL_CTL_MOD, p->fd, &ev) < 0)
		return RC_IO;
	return wait_on(&p->writers, deadline);
}

enum rc io_poll_wait_drained(struct io_poll *p, enum io_want want, int64_t deadline)
{
	struct fiber *f = fiber_self();
	if (!f)
		return block_in_poll(p->fd, want, deadline);
	if (f->cancelled)
		return RC_CLOSED;
	if (p->always)
		return RC_OK;
	if (want == IO_WRITE)
		return wait_for_room(p, deadline);
	if (p->input_edge)
		return RC_OK;
	return wait_on(&p->readers, deadline);
}

enum rc io_poll_wait(struct io_poll *p, enum io_want want, int64_t deadline)
{
	struct fiber *f = fiber_self();
	if (!f)
		return block_in_poll(p->fd, want, deadline);
	if (f->cancelled)
		return RC_CLOSED;
	if (p->always)
		return RC_OK;
	enum rc rc = block_in_poll(p->fd, want, 0);
	if (rc != RC_LATE)
		return rc;
	/* Whatever comes after that look is an edge of its own. */
	return want == IO_WRITE ? wait_for_room(p, deadline) : wait_on(&p->readers, deadline);
}

static void end_waits(struct waitlist *w)
{
	while (w->first)
		fiber_resume((struct fiber *)(void *)w->first, RC_CLOSED);
}

void io_poll_close(struct io_poll **pp, bool close_fd)
{
	struct io_poll *p = *pp;
	if (!p)
		return;
	*pp = NULL;
	end_waits(&p->readers);
	end_waits(&p->writers);
	if (!p->always && !(p->own && close_fd))
		(void)epoll_ctl(p->l->epoll, EPOLL_CTL_DEL, p->fd, NULL);
	if (close_fd)
		close(p->fd);
	mem_free(p);
}

/* A descriptor whose owner keeps no io_poll. One that is in the set already is watched through a duplicate. */
static enum rc wait_once(struct loop *l, int fd, enum io_want want, int64_t deadline)
{
	struct io_poll *p;
	enum rc rc = io_poll_open(l, fd, &p);
	if (rc == RC_OK) {
		rc = io_poll_wait(p, want, deadline);
		io_poll_close(&p, false);
		return rc;
	}
	if (rc != RC_IO || errno != EEXIST)
		return rc;
	int copy = dup(fd);
	if (copy < 0)
		return RC_IO;
	rc = io_poll_open(l, copy, &p);
	if (rc != RC_OK) {
		close(copy);
		return rc;
	}
	rc = io_poll_wait(p, want, deadline);
	io_poll_close(&p, true);
	return rc;
}

enum rc io_wait(int fd, enum io_want want, int64_t deadline)
{
	struct fiber *f = fiber_self();
	if (!f)
		return block_in_poll(fd, want, deadline);
	if (f->cancelled)
		return RC_CLOSED;
	enum rc rc = block_in_poll(fd, want, 0);
	return rc == RC_LATE ? wait_once(f->loop, fd, want, deadline) : rc;
}
