/* What libuv does for the loop: tickers, signals, workers. */
#include "os/runtime.h"

#include "base/mem.h"

#include <assert.h>

struct ticker {
	uv_timer_t timer;
	void (*fn)(void *arg);
	void *arg;
};

static void tick(uv_timer_t *t)
{
	struct ticker *k = t->data;
	k->fn(k->arg);
}

static void free_handle(uv_handle_t *h) { mem_free(h->data); }

enum rc ticker_start(struct loop *l, unsigned ms, void (*fn)(void *arg), void *arg, struct ticker **out)
{
	struct ticker *t = mem_new(sizeof *t);
	if (!t)
		return RC_NOMEM;
	t->fn = fn;
	t->arg = arg;
	(void)uv_timer_init(loop_uv(l), &t->timer);
	t->timer.data = t;
	uv_update_time(loop_uv(l));
	(void)uv_timer_start(&t->timer, tick, ms, ms ? ms : 1);
	*out = t;
	return RC_OK;
}

void ticker_stop(struct ticker **tp)
{
	struct ticker *t = *tp;
	if (!t)
		return;
	*tp = NULL;
	uv_close((uv_handle_t *)&t->timer, free_handle);
}

struct watcher {
	uv_signal_t signal;
	void (*fn)(void *arg, int signo);
	void *arg;
};

static void signalled(uv_signal_t *s, int signo)
{
	struct watcher *w = s->data;
	w->fn(w->arg, signo);
}

enum rc loop_on_signal(struct loop *l, int signo, void (*fn)(void *arg, int signo), void *arg, struct why *why)
{
	struct watcher *w = mem_new(sizeof *w);
	if (!w)
		FAIL(why, RC_NOMEM, "no memory for a signal");
	w->fn = fn;
	w->arg = arg;
	int e = uv_signal_init(loop_uv(l), &w->signal);
	if (e) {
		mem_free(w);
		FAIL(why, RC_IO, "signal %d: %s", signo, uv_strerror(e));
	}
	w->signal.data = w;
	e = uv_signal_start(&w->signal, signalled, signo);
	if (e) {
		uv_close((uv_handle_t *)&w->signal, free_handle);
		FAIL(why, RC_IO, "signal %d: %s", signo, uv_strerror(e));
	}
	return RC_OK;
}

uv_close_cb loop_closer(const uv_handle_t *h)
{
	bool ours = (h->type == UV_TIMER && ((const uv_timer_t *)h)->timer_cb == tick) ||
	            (h->type == UV_SIGNAL && ((const uv_signal_t *)h)->signal_cb == signalled);
	return ours ? free_handle : spawn_closer(h);
}

struct job {
	uv_work_t work;
	struct fiber *f;
	void (*fn)(void *arg);
	void *arg;
};

static void job_run(uv_work_t *w)
{
	struct job *j = w->data;
	j->fn(j->arg);
}

static void job_done(uv_work_t *w, int status)
{
	struct job *j = w->data;
	(void)status;
	fiber_resume(j->f, RC_OK);
}

enum rc worker_run(void (*fn)(void *arg), void *arg)
{
	struct fiber *f = fiber_self();
	if (!f) {
		fn(arg);
		return RC_OK;
	}
	struct job *j = mem_new(sizeof *j); /* not on the stack: another thread writes to it */
	if (!j)
		return RC_NOMEM;
	*j = (struct job){ .f = f, .fn = fn, .arg = arg };
	j->work.data = j;
	enum rc rc = RC_OK;
	if (uv_queue_work(&f->loop->uv, &j->work, job_run, job_done) != 0)
		rc = RC_BUSY;
	else
		rc = fiber_park(f, NO_DEADLINE, FIBER_BOUND);
	mem_free(j);
	return rc;
}
