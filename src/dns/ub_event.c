#include "dns/ub_event.h"

#include "base/mem.h"

/* One event of libunbound's: a descriptor, a time, or both. Traps: its callback may free the event, so nothing of it is touched after the call; the library
 * closes a descriptor right after del(), so the watch must be gone by then. */
struct event {
	struct ub_event base;
	struct loop *loop;
	int fd;
	short bits;
	void (*call)(int, short, void *);
	void *arg;
	struct io_watch *watch;
	struct ticker *timer;
	unsigned timer_ms;
};

static struct event *event_of(struct ub_event *e) { return (struct event *)(void *)e; }

static int event_del(struct ub_event *ub)
{
	struct event *e = event_of(ub);
	if (e->watch)
		io_watch_close(&e->watch);
	if (e->timer)
		ticker_stop(&e->timer);
	return 0;
}

static int arm(struct event *e, const struct timeval *tv);

static void fire(struct event *e, short bits)
{
	void (*call)(int, short, void *) = e->call;
	void *arg = e->arg;
	int fd = e->fd;
	if (!(e->bits & UB_EV_PERSIST)) {
		(void)event_del(&e->base);
	} else if (e->timer) { /* as libevent has it: silence is counted anew from each event */
		struct timeval tv = { .tv_sec = e->timer_ms / 1000, .tv_usec = e->timer_ms % 1000 * 1000 };
		(void)arm(e, &tv);
	}
	call(fd, bits, arg);
}

static void on_time(void *arg)
{
	struct event *e = arg;
	if (!(e->bits & UB_EV_PERSIST) || e->fd < 0)
		ticker_stop(&e->timer);
	fire(e, UB_EV_TIMEOUT);
}

static void on_ready(void *arg, unsigned ready)
{
	struct event *e = arg;
	int bits = (ready & IO_READ && e->bits & UB_EV_READ ? UB_EV_READ : 0) | (ready & IO_WRITE && e->bits & UB_EV_WRITE ? UB_EV_WRITE : 0);
	if (!bits) /* the peer is gone: whichever is waited for hears of it */
		bits = e->bits & (UB_EV_READ | UB_EV_WRITE);
	fire(e, (short)bits);
}

static int arm(struct event *e, const struct timeval *tv)
{
	if (e->timer)
		ticker_stop(&e->timer);
	uint64_t ms = (uint64_t)tv->tv_sec * 1000 + (uint64_t)(tv->tv_usec + 999) / 1000;
	e->timer_ms = ms > INT32_MAX ? INT32_MAX : (unsigned)ms;
	return ticker_start(e->loop, e->timer_ms, on_time, e, &e->timer) == RC_OK ? 0 : -1;
}

static int event_add(struct ub_event *ub, struct timeval *tv)
{
	struct event *e = event_of(ub);
	unsigned want = (e->bits & UB_EV_READ ? IO_READ : 0u) | (e->bits & UB_EV_WRITE ? IO_WRITE : 0u);
	if (e->watch)
		io_watch_close(&e->watch);
	if (e->fd >= 0 && want && io_watch_open(e->loop, e->fd, want, on_ready, e, &e->watch) != RC_OK)
		return -1;
	return tv && e->bits & UB_EV_TIMEOUT ? arm(e, tv) : 0;
}

static void event_add_bits(struct ub_event *ub, short bits) { event_of(ub)->bits = (short)(event_of(ub)->bits | bits); }
static void event_del_bits(struct ub_event *ub, short bits) { event_of(ub)->bits = (short)(event_of(ub)->bits & ~bits); }
static void event_set_fd(struct ub_event *ub, int fd) { event_of(ub)->fd = fd; }

static void event_free(struct ub_event *ub)
{
	if (!ub)
		return;
	(void)event_del(ub);
	mem_free(event_of(ub));
}

static int event_add_timer(struct ub_event *ub, struct ub_event_base *base, void (*call)(int, short, void *), void *arg, struct timeval *tv)
{
	struct event *e = event_of(ub);
	e->loop = ((struct ub_loop *)(void *)base)->loop;
	e->call = call;
	e->arg = arg;
	return arm(e, tv);
}

static int event_del_timer(struct ub_event *ub)
{
	struct event *e = event_of(ub);
	if (e->timer)
		ticker_stop(&e->timer);
	return 0;
}

static int no_signal_add(struct ub_event *ub, struct timeval *tv) { return (void)ub, (void)tv, -1; }
static int no_signal_del(struct ub_event *ub) { return (void)ub, -1; }
static void no_winsock(struct ub_event *ub) { (void)ub; }
static void no_winsock_block(struct ub_event *ub, int bit) { (void)ub, (void)bit; }

static struct ub_event_vmt event_vmt = { event_add_bits, event_del_bits, event_set_fd, event_free, event_add, event_del, event_add_timer, event_del_timer,
	no_signal_add, no_signal_del, no_winsock, no_winsock_block };

static struct ub_event *new_event(struct ub_event_base *base, int fd, short bits, void (*call)(int, short, void *), void *arg)
{
	struct event *e = mem_new(sizeof *e);
	if (!e)
		return NULL;
	*e = (struct event){ .base = { UB_EVENT_MAGIC, &event_vmt }, .loop = ((struct ub_loop *)(void *)base)->loop, .fd = fd, .bits = bits, .call = call, .arg = arg };
	return &e->base;
}

static void base_free(struct ub_event_base *b) { (void)b; }
static int base_dispatch(struct ub_event_base *b) { return (void)b, -1; }
static int base_exit(struct ub_event_base *b, struct timeval *tv) { return (void)b, (void)tv, -1; }
static struct ub_event *no_signal(struct ub_event_base *b, int fd, void (*call)(int, short, void *), void *arg) { return (void)b, (void)fd, (void)call, (void)arg, NULL; }
static struct ub_event *no_wsaevent(struct ub_event_base *b, void *w, void (*call)(int, short, void *), void *arg) { return (void)b, (void)w, (void)call, (void)arg, NULL; }

static struct ub_event_base_vmt base_vmt = { base_free, base_dispatch, base_exit, new_event, no_signal, no_wsaevent };

void ub_loop_init(struct ub_loop *u, struct loop *l) { *u = (struct ub_loop){ .base = { UB_EVENT_MAGIC, &base_vmt }, .loop = l }; }
