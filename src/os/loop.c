/* The loop. Descriptors that fibers wait for are in our own epoll set, edge-triggered, added once; libuv (timers without a
 * fiber, signals, children, workers) is one more descriptor in that set and runs only when it has something to do. */
#include "os/runtime.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { TURN_SWITCHES = 4096, TURN_EVENTS = 256, SWEEP_MS = 10 * 1000 };

int64_t wall_ms_fixed;

static int64_t clock_ms(clockid_t id)
{
	struct timespec ts;
	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t wall_ms(void) { return wall_ms_fixed > 0 ? wall_ms_fixed : clock_ms(CLOCK_REALTIME); }
int64_t loop_now(struct loop *l) { return l->now; }
struct uv_loop_s *loop_uv(struct loop *l) { return &l->uv; }
bool loop_stopping(const struct loop *l) { return l->stopping; }

void loop_stop(struct loop *l)
{
	l->stopping = true;
	(void)uv_async_send(&l->alive);
}

void loop_on_idle(struct loop *l, void (*fn)(void *arg), void *arg)
{
	l->idle = fn;
	l->idle_arg = arg;
}

static void nothing(uv_async_t *h) { (void)h; }

static enum rc open_parts(struct loop *l, struct why *why)
{
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0)
		FAIL_SYS(why, "epoll");
	int e = uv_loop_init(&l->uv);
	if (e)
		FAIL(why, RC_IO, "libuv: %s", uv_strerror(e));
	l->uv_open = true;
	e = uv_async_init(&l->uv, &l->alive, nothing);
	if (e)
		FAIL(why, RC_IO, "libuv: %s", uv_strerror(e));
	struct epoll_event ev = { .events = EPOLLIN };
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, uv_backend_fd(&l->uv), &ev) < 0)
		FAIL_SYS(why, "epoll");
	return RC_OK;
}

enum rc loop_open(struct loop **out, struct why *why)
{
	mem_setup();
	struct loop *l = mem_new(sizeof *l);
	if (!l)
		FAIL(why, RC_NOMEM, "no memory for the loop");
	l->now = l->swept_at = clock_ms(CLOCK_MONOTONIC);
	l->epoll = -1;
	(void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write(2): a peer that went away is an error, not a death */
	enum rc rc = open_parts(l, why);
	if (rc != RC_OK) {
		loop_close(&l);
		return rc;
	}
	*out = l;
	return RC_OK;
}

static void run_ready(struct loop *l)
{
	for (unsigned budget = TURN_SWITCHES; l->ready.first && budget; budget--) {
		struct fiber *f = l->ready.first;
		l->ready.first = f->ready_next;
		if (!l->ready.first)
			l->ready.last = NULL;
		fiber_switch_in(l, f);
	}
}

static void take_later(struct loop *l)
{
	if (!l->later.first)
		return;
	if (l->ready.last)
		l->ready.last->ready_next = l->later.first;
	else
		l->ready.first = l->later.first;
	l->ready.last = l->later.last;
	l->later = (struct fiber_queue){ 0 };
}

static int patience(struct loop *l)
{
	if (l->ready.first)
		return 0;
	uv_update_time(&l->uv);
	int ms = uv_backend_timeout(&l->uv); /* -1: nothing but descriptors */
	int64_t at = deadline_next(l);
	if (l->count || l->stacks_n || l->blocks_n)
		at = at < l->swept_at + SWEEP_MS ? at : l->swept_at + SWEEP_MS;
	if (at == NO_DEADLINE)
		return ms;
	int64_t left = at > l->now ? at - l->now : 0;
	if (left > INT_MAX)
		left = INT_MAX;
	return ms >= 0 && ms < left ? ms : (int)left;
}

static void sweep(struct loop *l)
{
	if (l->now - l->swept_at < SWEEP_MS)
		return;
	l->swept_at = l->now;
	fiber_trim(l);
	while (l->blocks_n > BLOCK_CACHE / 8) {
		struct block *b = l->blocks;
		l->blocks = b->next;
		l->blocks_n--;
		mem_free(b);
	}
}

static void turn(struct loop *l)
{
	run_ready(l);
	if (l->idle)
		l->idle(l->idle_arg);
	take_later(l);
	struct epoll_event ev[TURN_EVENTS];
	bool last = l->draining ? !l->count : l->stopping; /* nothing to wait for any more */
	int wait = last ? 0 : patience(l);
	int n = epoll_wait(l->epoll, ev, TURN_EVENTS, wait);
	l->now = clock_ms(CLOCK_MONOTONIC);
	bool uv_due = false;
	/* Events only move fibers and watches to queues, so none can go away while the batch is looked at. */
	for (int i = 0; i < n; i++) {
		char *to = ev[i].data.ptr;
		if (!to)
			uv_due = true;
		else if ((uintptr_t)to & IO_WATCH_TAG)
			io_watch_event((struct io_watch *)(void *)(to - IO_WATCH_TAG), ev[i].events);
		else
			io_poll_event((struct io_poll *)(void *)to, ev[i].events);
	}
	io_watch_run(l);
	for (struct fiber *f; (f = deadline_due(l)) != NULL;)
		fiber_resume(f, RC_LATE);
	uv_update_time(&l->uv);
	if (uv_due || uv_backend_timeout(&l->uv) == 0)
		(void)uv_run(&l->uv, UV_RUN_NOWAIT);
	sweep(l);
}

static void drain(struct loop *l)
{
	l->draining = true;
	fiber_cancel_all(l);
	while (l->count)
		turn(l);
	fiber_drop_cache(l, 0);
	l->draining = false;
}

void loop_run(struct loop *l)
{
	l->now = clock_ms(CLOCK_MONOTONIC);
	while (!l->stopping)
		turn(l);
	drain(l);
	l->stopping = false;
}

static void close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, loop_closer(h));
}

void loop_close(struct loop **lp)
{
	struct loop *l = *lp;
	if (!l)
		return;
	*lp = NULL;
	fiber_forget(l);
	if (l->uv_open) {
		drain(l);
		uv_walk(&l->uv, close_handle, NULL);
		(void)uv_run(&l->uv, UV_RUN_DEFAULT);
		(void)uv_loop_close(&l->uv);
	}
	while (l->blocks) {
		struct block *b = l->blocks;
		l->blocks = b->next;
		mem_free(b);
	}
	if (l->epoll >= 0)
		close(l->epoll);
	mem_free(l->heap);
	mem_free(l);
}

/* ---- buffers of streams ---- */

void *block_get(struct loop *l)
{
	struct block *b = l ? l->blocks : NULL;
	if (!b)
		return mem_raw(BLOCK_SIZE);
	l->blocks = b->next;
	l->blocks_n--;
	return b;
}

void block_put(struct loop *l, void *p)
{
	if (!p)
		return;
	if (!l || l->blocks_n >= BLOCK_CACHE) {
		mem_free(p);
		return;
	}
	struct block *b = p;
	b->next = l->blocks;
	l->blocks = b;
	l->blocks_n++;
}
