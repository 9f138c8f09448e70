#pragma once
#include "base/why.h"
#include <stdbool.h>
#include <stdint.h>

/* One event loop per process (libuv underneath), and fibers on it. Everything here is called from the loop's own
 * thread; only worker_run()'s function runs elsewhere. Times are milliseconds; deadlines are absolute loop_now() values. */
struct loop;
struct fiber;

#define NO_DEADLINE INT64_MAX

MUST_USE enum rc loop_open(struct loop **out, struct why *why);
void loop_run(struct loop *l);               /* until loop_stop(); then cancels and drains every fiber */
void loop_stop(struct loop *l);
void loop_close(struct loop **l);
bool loop_stopping(const struct loop *l);
int64_t loop_now(struct loop *l);            /* monotonic ms, cached per turn */
int64_t wall_ms(void);                       /* Unix time in ms; the one clock for mail dates (tests may set it) */
extern int64_t wall_ms_fixed;                /* > 0: wall_ms() answers this */
struct uv_loop_s;
struct uv_loop_s *loop_uv(struct loop *l);   /* for os, crypto, ipc, role only */

/* Runs `fn` once per turn, after everything runnable has run and before the loop blocks (group commit hangs here).
 * One per loop. */
void loop_on_idle(struct loop *l, void (*fn)(void *arg), void *arg);

/* A timer without a fiber; `fn` is called every `ms`. Stop tickers before loop_close(). */
struct ticker;
MUST_USE enum rc ticker_start(struct loop *l, unsigned ms, void (*fn)(void *arg), void *arg, struct ticker **out);
void ticker_stop(struct ticker **t);

/* Signals as calls on the loop's thread. */
MUST_USE enum rc loop_on_signal(struct loop *l, int signo, void (*fn)(void *arg, int signo), void *arg, struct why *why);

/* ---- fibers: 256 KiB reserved stacks with a guard page, from a pool ---- */

/* Starts `run(arg)` on a fresh stack in this loop's next turn. RC_NOMEM, RC_BUSY past the loop's fiber ceiling (60,000),
 * RC_CLOSED while the loop drains. */
MUST_USE enum rc fiber_start(struct loop *l, void (*run)(void *arg), void *arg, struct fiber **out_or_null);
struct fiber *fiber_self(void);              /* NULL outside a fiber */
struct loop *fiber_loop(void);               /* the running fiber's loop */
void fiber_cancel(struct fiber *f);          /* every wait of it answers RC_CLOSED from now on; `f` is valid until its run() returns */
bool fiber_cancelled(void);                  /* the running fiber has been cancelled; false outside a fiber */
void fiber_yield(void);                      /* let others run; comes back next turn */
void fiber_defer(void);                      /* let those run that are ready now, unless they are more than 16; comes back behind them, in this turn */
MUST_USE enum rc fiber_sleep(unsigned ms);   /* RC_OK, or RC_CLOSED when cancelled */

/* A place to wait. Zero-initialised = ready to use. */
struct waitlist { struct waiter *first, *last; };
/* RC_OK = woken, RC_LATE = deadline, RC_CLOSED = cancelled. Spurious wake-ups do not happen. */
MUST_USE enum rc wait_on(struct waitlist *w, int64_t deadline);
void wake_one(struct waitlist *w);           /* may be called from a callback or a fiber */
void wake_all(struct waitlist *w);

/* Suspends until `fd` is readable / writable. Outside a fiber: polls (blocking). */
enum io_want { IO_READ = 1, IO_WRITE = 2 };
MUST_USE enum rc io_wait(int fd, enum io_want want, int64_t deadline);
/* The same with the poll handle kept by the owner of the descriptor: streams use this. */
struct io_poll;
MUST_USE enum rc io_poll_open(struct loop *l, int fd, struct io_poll **out);
MUST_USE enum rc io_poll_wait(struct io_poll *p, enum io_want want, int64_t deadline);
/* The same for a caller that has just been told EAGAIN (and only then): saves the look that io_poll_wait() takes first. */
MUST_USE enum rc io_poll_wait_drained(struct io_poll *p, enum io_want want, int64_t deadline);
void io_poll_reading(struct io_poll *p); /* a read begins: what comes from here on is news to io_poll_wait_drained() */
void io_poll_close(struct io_poll **p, bool close_fd); /* ends waits with RC_CLOSED; the descriptor is closed after the handle is gone */

/* A descriptor without a fiber: `fn` runs on the loop, told in `ready` which of IO_READ and IO_WRITE there is, again each turn until it is
 * taken. IO_READ is also told when the peer has gone. `fn` may close it. Close it before the descriptor. */
struct io_watch;
MUST_USE enum rc io_watch_open(struct loop *l, int fd, unsigned want, void (*fn)(void *arg, unsigned ready), void *arg, struct io_watch **out);
void io_watch_want(struct io_watch *w, unsigned want); /* 0: nothing for now */
void io_watch_close(struct io_watch **w);

/* Runs `fn(arg)` on a worker thread and suspends the fiber until it is back. Workers start at the first use (so after
 * the sandbox) and inherit it. `fn` is a pure function or plain I/O. Never cut short by cancelling. */
MUST_USE enum rc worker_run(void (*fn)(void *arg), void *arg);

/* High-water mark of stack use over all fibers so far, in bytes (CI prints it), and how many fibers live. */
size_t fiber_stack_high_water(void);
size_t fiber_count(const struct loop *l);
