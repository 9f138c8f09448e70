#pragma once
#include "os/loop.h"
#include <stddef.h>
#include <uv.h>

/* Private to src/os: what a loop and a fiber are made of. One thread owns all of it. */

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(FIBER_UCONTEXT)
#define FIBER_UCONTEXT 1 /* may be defined from outside too, to try it */
#endif
#ifdef FIBER_UCONTEXT
#include <ucontext.h>
#endif

enum {
	FIBER_STACK = 256 * 1024,     /* reserved, guard page included */
	FIBER_CEILING = 60000,        /* fibers of one loop */
	FIBER_CACHE = 64,             /* finished stacks kept for the next fiber */
	FIBER_TRIM_MS = 30 * 1000,    /* parked longer than this: unused stack pages go back */
	BLOCK_SIZE = 16 * 1024,       /* stream buffers, cached by the loop */
	BLOCK_CACHE = 64,
};

struct waiter {
	struct waiter *next, *prev;
	struct waitlist *list;        /* NULL: waits for nothing but its deadline */
};

enum fiber_state {
	FIBER_READY,                  /* in the run queue */
	FIBER_RUNNING,
	FIBER_PARKED,                 /* may be cancelled */
	FIBER_BOUND,                  /* parked until a worker is back: cannot be cancelled */
	FIBER_DEAD,
};

/* Lives at the top of its own stack, so that an idle fiber costs no page besides. */
struct fiber {
	struct waiter waiter;         /* first: the waiter is the fiber */
	void *sp;
	struct loop *loop;
	char *low;                    /* the stack's lowest usable octet */
	void (*run)(void *arg);
	void *arg;
	struct fiber *ready_next, *prev, *next;
	size_t heap_at;               /* place in the deadline heap + 1; 0: no deadline */
	int64_t parked_at;
	enum rc result;
	enum fiber_state state;
	bool cancelled, trimmed;
	void *fake_stack;             /* AddressSanitizer's */
	unsigned valgrind_id;
#ifdef FIBER_UCONTEXT
	ucontext_t uc;
#endif
};

struct fiber_queue { struct fiber *first, *last; };
struct deadline { int64_t at; struct fiber *f; };
struct block { struct block *next; };

/* io_watch: its address with this added is what epoll knows, so that it is told from an io_poll. */
enum { IO_WATCH_TAG = 1 };
struct io_watch {
	struct loop *l;
	struct io_watch *due_next;
	void (*fn)(void *arg, unsigned ready);
	void *arg;
	int fd;
	unsigned want, ready;
};

struct loop {
	uv_loop_t uv;
	uv_async_t alive;             /* keeps libuv's loop from being empty */
	int epoll;                    /* descriptors of fibers, and libuv's own epoll descriptor */
	bool stopping, draining, uv_open;
	int64_t now;
	struct fiber *all;
	size_t count;
	struct fiber_queue ready, later;
	struct { struct io_watch *first, *last; } due; /* watches to be told after this batch of events */
	struct deadline *heap;        /* has room for every fiber, so that setting a deadline cannot fail */
	size_t heap_n, heap_cap;
	struct fiber *stacks;         /* finished, reusable; linked by ready_next */
	size_t stacks_n;
	struct block *blocks;
	size_t blocks_n;
	int64_t swept_at;
	void (*idle)(void *arg);
	void *idle_arg;
	void *sp;                     /* the loop's own context while a fiber runs */
	void *fake_stack;
	const void *own_stack;
	size_t own_stack_size;
#ifdef FIBER_UCONTEXT
	ucontext_t uc;
#endif
};

struct io_poll {
	struct loop *l;
	int fd;
	bool always;                  /* a regular file: never has to wait */
	bool input_edge;              /* input may have come since io_poll_reading() */
	bool own;                     /* nobody else has this open file: closing it takes it out of the set */
	bool ended;                   /* the peer has ended or broken: reads no longer block */
	struct waitlist readers, writers;
};

/* fiber.c */
void fiber_resume(struct fiber *f, enum rc result);      /* from parked to the run queue */
enum rc fiber_park(struct fiber *f, int64_t deadline, enum fiber_state how);
void fiber_switch_in(struct loop *l, struct fiber *f);   /* returns when it parks or ends */
void fiber_cancel_all(struct loop *l);
void fiber_trim(struct loop *l);                         /* stacks of those parked for long, and the cache */
void fiber_forget(const struct loop *l);                 /* it is going away */
void fiber_drop_cache(struct loop *l, size_t keep);
/* deadline.c */
bool deadline_room(struct loop *l, size_t n);
void deadline_set(struct fiber *f, int64_t at);
void deadline_drop(struct fiber *f);
struct fiber *deadline_due(struct loop *l);              /* one whose time has come, or NULL */
int64_t deadline_next(const struct loop *l);
/* watch.c */
void io_watch_event(struct io_watch *w, uint32_t events);
void io_watch_run(struct loop *l);
/* poll.c */
void io_poll_event(struct io_poll *p, uint32_t events);
bool io_poll_may_read(const struct io_poll *p); /* false: a read now would find nothing */
/* net.c */
bool fd_nonblocking(int fd);
/* loop_extra.c */
uv_close_cb loop_closer(const uv_handle_t *h);  /* what frees a handle of ours, or NULL */
uv_close_cb spawn_closer(const uv_handle_t *h); /* the same for a child's handle (spawn.c) */
/* loop.c: BLOCK_SIZE octets, not zeroed; `l` may be NULL */
void *block_get(struct loop *l);
void block_put(struct loop *l, void *p);
