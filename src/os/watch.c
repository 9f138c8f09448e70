/* Descriptors that are looked at without a fiber: channels between processes. They lie in the loop's own epoll set, level-triggered:
 * what is not taken now is told again, so nobody has to read until there is nothing. */
#include "os/runtime.h"

#include "base/mem.h"

#include <sys/epoll.h>

static uint32_t bits(unsigned want) { return (want & IO_READ ? EPOLLIN : 0u) | (want & IO_WRITE ? EPOLLOUT : 0u); }

static void *tagged(struct io_watch *w) { return (char *)w + IO_WATCH_TAG; }

enum rc io_watch_open(struct loop *l, int fd, unsigned want, void (*fn)(void *arg, unsigned ready), void *arg, struct io_watch **out)
{
	struct io_watch *w = mem_new(sizeof *w);
	if (!w)
		return RC_NOMEM;
	*w = (struct io_watch){ .l = l, .fd = fd, .want = want, .fn = fn, .arg = arg };
	struct epoll_event ev = { .events = bits(want), .data.ptr = tagged(w) };
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
		mem_free(w);
		return RC_IO;
	}
	*out = w;
	return RC_OK;
}

void io_watch_want(struct io_watch *w, unsigned want)
{
	struct epoll_event ev = { .events = bits(want), .data.ptr = tagged(w) };
	if (want != w->want && epoll_ctl(w->l->epoll, EPOLL_CTL_MOD, w->fd, &ev) == 0)
		w->want = want;
}

void io_watch_event(struct io_watch *w, uint32_t events)
{
	struct loop *l = w->l;
	bool ended = events & (EPOLLHUP | EPOLLERR);
	w->ready = (events & EPOLLIN || ended ? IO_READ : 0) | (events & EPOLLOUT ? IO_WRITE : 0);
	w->due_next = NULL;
	if (l->due.last)
		l->due.last->due_next = w;
	else
		l->due.first = w;
	l->due.last = w;
}

/* After the batch of events, because what runs here may end this watch and others. */
void io_watch_run(struct loop *l)
{
	while (l->due.first) {
		struct io_watch *w = l->due.first;
		l->due.first = w->due_next;
		if (!l->due.first)
			l->due.last = NULL;
		unsigned ready = w->ready;
		w->ready = 0;
		w->fn(w->arg, ready);
	}
}

void io_watch_close(struct io_watch **wp)
{
	struct io_watch *w = *wp, *before = NULL;
	if (!w)
		return;
	*wp = NULL;
	struct loop *l = w->l;
	for (struct io_watch *x = l->due.first; x; before = x, x = x->due_next) {
		if (x != w)
			continue;
		*(before ? &before->due_next : &l->due.first) = w->due_next;
		if (l->due.last == w)
			l->due.last = before;
		break;
	}
	(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	mem_free(w);
}
