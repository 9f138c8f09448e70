/* Fibers, deadlines, polling, workers. */
#include "os/file.h"
#include "os/loop.h"
#include "base/mem.h"
#include "os/runtime.h"
#include "os_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

static struct loop *make_loop(void)
{
	struct loop *l;
	struct why why = { 0 };
	assert_int_equal(loop_open(&l, &why), RC_OK);
	return l;
}

static void run_and_close(struct loop *l)
{
	loop_run(l);
	assert_int_equal(fiber_count(l), 0);
	loop_close(&l);
	assert_null(l);
}

static void stops_itself(void *arg)
{
	(*(int *)arg)++;
	loop_stop(fiber_loop());
}

static void a_fiber_runs_and_ends(void **state)
{
	struct loop *l = make_loop();
	int n = 0;
	assert_int_equal(fiber_start(l, stops_itself, &n, NULL), RC_OK);
	assert_int_equal(n, 0); /* only in the loop's turn */
	assert_null(fiber_self());
	run_and_close(l);
	assert_int_equal(n, 1);
}

struct ping { struct waitlist a, b; unsigned rounds, done; bool left_waits; };

static void ping_left(void *arg)
{
	struct ping *p = arg;
	for (unsigned i = 0; i < p->rounds; i++) {
		wake_one(&p->b);
		assert_int_equal(wait_on(&p->a, NO_DEADLINE), RC_OK);
	}
	wake_one(&p->b);
	loop_stop(fiber_loop());
}

static void ping_right(void *arg)
{
	struct ping *p = arg;
	while (wait_on(&p->b, NO_DEADLINE) == RC_OK) {
		p->done++;
		wake_one(&p->a);
	}
}

static double seconds(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void two_fibers_wake_each_other(void **state)
{
	struct loop *l = make_loop();
	struct ping p = { .rounds = 200000 };
	assert_int_equal(fiber_start(l, ping_right, &p, NULL), RC_OK);
	assert_int_equal(fiber_start(l, ping_left, &p, NULL), RC_OK);
	double t = seconds();
	loop_run(l);
	t = seconds() - t;
	print_message("a wait and wake, with its switch: %.1f ns\n", t * 1e9 / (2.0 * p.rounds));
	assert_true(p.done >= p.rounds);
	loop_close(&l);
}

struct many { struct waitlist gate; unsigned in, out, want; };

static void waits_at_the_gate(void *arg)
{
	struct many *m = arg;
	double keep[4] = { 1.5, 2.5, 3.5, (double)m->in };
	m->in++;
	assert_int_equal(wait_on(&m->gate, loop_now(fiber_loop()) + 60000 + m->in % 977), RC_OK);
	assert_true(keep[0] + keep[1] + keep[2] == 7.5);
	if (++m->out == m->want)
		loop_stop(fiber_loop());
}

static void opens_the_gate(void *arg)
{
	struct many *m = arg;
	while (m->in < m->want)
		fiber_yield();
	wake_all(&m->gate);
}

static void ten_thousand_fibers_wait_at_once(void **state)
{
	struct loop *l = make_loop();
	struct many m = { .want = 10000 };
	for (unsigned i = 0; i < m.want; i++)
		assert_int_equal(fiber_start(l, waits_at_the_gate, &m, NULL), RC_OK);
	assert_int_equal(fiber_count(l), m.want);
	assert_int_equal(fiber_start(l, opens_the_gate, &m, NULL), RC_OK);
	loop_run(l);
	assert_int_equal(m.out, m.want);
	loop_close(&l);
}

struct order { char text[64]; size_t n; };
struct sleeper { struct order *o; char name; unsigned ms; enum rc rc; };

static void sleeps(void *arg)
{
	struct sleeper *s = arg;
	s->rc = fiber_sleep(s->ms);
	s->o->text[s->o->n++] = s->name;
	if (s->o->n == 5)
		loop_stop(fiber_loop());
}

static void deadlines_fire_in_their_order(void **state)
{
	struct loop *l = make_loop();
	struct order o = { 0 };
	struct sleeper s[] = { { &o, 'c', 30 }, { &o, 'a', 10 }, { &o, 'e', 50 }, { &o, 'b', 20 }, { &o, 'd', 40 } };
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(fiber_start(l, sleeps, &s[i], NULL), RC_OK);
	run_and_close(l);
	assert_string_equal(o.text, "abcde");
}

struct late { struct waitlist w; enum rc rc; int64_t took; };

static void waits_too_long(void *arg)
{
	struct late *t = arg;
	int64_t from = loop_now(fiber_loop());
	t->rc = wait_on(&t->w, from + 20);
	t->took = loop_now(fiber_loop()) - from;
	assert_null(t->w.first);
	loop_stop(fiber_loop());
}

static void a_wait_past_its_deadline_is_late(void **state)
{
	struct loop *l = make_loop();
	struct late t = { 0 };
	assert_int_equal(fiber_start(l, waits_too_long, &t, NULL), RC_OK);
	run_and_close(l);
	assert_int_equal(t.rc, RC_LATE);
	assert_in_range(t.took, 20, 500);
}

struct victim { struct waitlist w; enum rc first, second, third; struct fiber *f; };

static void is_cancelled(void *arg)
{
	struct victim *v = arg;
	v->first = wait_on(&v->w, NO_DEADLINE);
	v->second = fiber_sleep(60000);
	v->third = io_wait(0, IO_READ, NO_DEADLINE);
	assert_true(fiber_cancelled());
}

static void cancels(void *arg)
{
	struct victim *v = arg;
	fiber_cancel(v->f);
	fiber_yield();
	loop_stop(fiber_loop());
}

static void plain(void *arg)
{
	struct order *o = arg;
	o->text[o->n++] = 'p';
}

static void polite(void *arg)
{
	struct order *o = arg;
	o->text[o->n++] = 'a';
	fiber_defer();
	o->text[o->n++] = 'z';
}

static void who_defers_runs_behind_those_that_are_ready_unless_they_are_many(void **state)
{
	static const struct { unsigned others; const char *order; } rows[] = {
		{ 0, "az" }, { 2, "appz" }, { 15, "a" "ppppppppppppppp" "z" }, { 16, "az" "pppppppppppppppp" } }; /* and the one that stops the loop */
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct loop *l = make_loop();
		struct order o = { 0 };
		int stopped = 0;
		assert_int_equal(fiber_start(l, polite, &o, NULL), RC_OK);
		for (unsigned k = 0; k < rows[i].others; k++)
			assert_int_equal(fiber_start(l, plain, &o, NULL), RC_OK);
		assert_int_equal(fiber_start(l, stops_itself, &stopped, NULL), RC_OK);
		run_and_close(l);
		assert_string_equal(o.text, rows[i].order);
	}
}

static void every_wait_of_a_cancelled_fiber_is_closed(void **state)
{
	struct loop *l = make_loop();
	struct victim v = { 0 };
	assert_int_equal(fiber_start(l, is_cancelled, &v, &v.f), RC_OK);
	assert_int_equal(fiber_start(l, cancels, &v, NULL), RC_OK);
	run_and_close(l);
	assert_int_equal(v.first, RC_CLOSED);
	assert_int_equal(v.second, RC_CLOSED);
	assert_int_equal(v.third, RC_CLOSED);
}

static void waits_for_ever(void *arg)
{
	struct waitlist w = { 0 };
	char *p = mem_new(100);
	*(enum rc *)arg = wait_on(&w, NO_DEADLINE);
	mem_free(p);
}

static void stopping_cancels_and_drains_every_fiber(void **state)
{
	struct loop *l = make_loop();
	enum rc rc[50];
	int n = 0;
	for (int i = 0; i < 50; i++) {
		rc[i] = RC_OK;
		assert_int_equal(fiber_start(l, waits_for_ever, &rc[i], NULL), RC_OK);
	}
	assert_int_equal(fiber_start(l, stops_itself, &n, NULL), RC_OK);
	run_and_close(l);
	for (int i = 0; i < 50; i++)
		assert_int_equal(rc[i], RC_CLOSED);
}

struct idle { int calls, steps; };
static void on_idle(void *arg) { ((struct idle *)arg)->calls++; }
static void steps_thrice(void *arg)
{
	struct idle *i = arg;
	for (i->steps = 0; i->steps < 3; i->steps++) {
		assert_int_equal(i->calls, i->steps);
		fiber_yield();
	}
	loop_stop(fiber_loop());
}

static void the_idle_call_comes_once_per_turn(void **state)
{
	struct loop *l = make_loop();
	struct idle i = { 0 };
	loop_on_idle(l, on_idle, &i);
	assert_int_equal(fiber_start(l, steps_thrice, &i, NULL), RC_OK);
	run_and_close(l);
	assert_int_equal(i.steps, 3);
}

struct pipes { int fd[2]; enum rc rc; ssize_t n; char got; };
static void reads_a_pipe(void *arg)
{
	struct pipes *p = arg;
	p->rc = io_wait(p->fd[0], IO_READ, loop_now(fiber_loop()) + 5000);
	p->n = read(p->fd[0], &p->got, 1);
	loop_stop(fiber_loop());
}
static void writes_a_pipe(void *arg)
{
	struct pipes *p = arg;
	assert_int_equal(fiber_sleep(10), RC_OK);
	assert_int_equal(write(p->fd[1], "x", 1), 1);
}

static void io_wait_suspends_until_there_is_input(void **state)
{
	struct loop *l = make_loop();
	struct pipes p = { 0 };
	assert_int_equal(pipe2(p.fd, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(fiber_start(l, reads_a_pipe, &p, NULL), RC_OK);
	assert_int_equal(fiber_start(l, writes_a_pipe, &p, NULL), RC_OK);
	run_and_close(l);
	assert_int_equal(p.rc, RC_OK);
	assert_int_equal(p.got, 'x');
	assert_int_equal(io_wait(p.fd[0], IO_READ, 0), RC_LATE); /* outside a fiber: blocking */
	assert_int_equal(io_wait(p.fd[1], IO_WRITE, NO_DEADLINE), RC_OK);
	close(p.fd[0]);
	close(p.fd[1]);
}

struct level { int fd[2]; int rounds; };
static void reads_by_level(void *arg)
{
	struct level *v = arg;
	struct io_poll *p;
	char c;
	assert_int_equal(io_poll_open(fiber_loop(), v->fd[0], &p), RC_OK);
	/* One octet a turn: io_poll_wait() tells of the rest although no new edge comes. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(io_poll_wait(p, IO_READ, loop_now(fiber_loop()) + 5000), RC_OK);
		assert_int_equal(read(v->fd[0], &c, 1), 1);
		fiber_yield();
		v->rounds++;
	}
	assert_int_equal(io_poll_wait(p, IO_READ, loop_now(fiber_loop()) + 20), RC_LATE);
	io_poll_close(&p, false);
	loop_stop(fiber_loop());
}

static void a_poll_tells_of_input_that_was_left_over(void **state)
{
	struct loop *l = make_loop();
	struct level v = { 0 };
	assert_int_equal(pipe2(v.fd, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(write(v.fd[1], "abc", 3), 3);
	assert_int_equal(fiber_start(l, reads_by_level, &v, NULL), RC_OK);
	run_and_close(l);
	assert_int_equal(v.rounds, 3);
	close(v.fd[0]);
	close(v.fd[1]);
}

struct work { pthread_t main, ran; bool self; enum rc rc; };
static void works(void *arg)
{
	struct work *w = arg;
	w->ran = pthread_self();
	w->self = fiber_self() != NULL;
}
static void asks_a_worker(void *arg)
{
	struct work *w = arg;
	fiber_cancel(fiber_self()); /* is not cut short */
	w->rc = worker_run(works, w);
	loop_stop(fiber_loop());
}

static void a_worker_runs_elsewhere_and_is_never_cut_short(void **state)
{
	struct loop *l = make_loop();
	struct work w = { .main = pthread_self() };
	assert_int_equal(fiber_start(l, asks_a_worker, &w, NULL), RC_OK);
	run_and_close(l);
	assert_int_equal(w.rc, RC_OK);
	assert_false(pthread_equal(w.main, w.ran));
	assert_false(w.self);
}

struct ticks { struct loop *l; int n, signo; struct ticker *t; };
static void ticks(void *arg)
{
	struct ticks *t = arg;
	if (++t->n == 3)
		kill(getpid(), SIGUSR1);
}
static void signalled(void *arg, int signo)
{
	struct ticks *t = arg;
	t->signo = signo;
	loop_stop(t->l);
}

static void tickers_and_signals_are_calls_on_the_loop(void **state)
{
	struct loop *l = make_loop();
	struct ticks t = { .l = l };
	struct why why = { 0 };
	assert_int_equal(ticker_start(l, 2, ticks, &t, &t.t), RC_OK);
	assert_int_equal(loop_on_signal(l, SIGUSR1, signalled, &t, &why), RC_OK);
	loop_run(l);
	ticker_stop(&t.t);
	loop_close(&l);
	assert_true(t.n >= 3);
	assert_int_equal(t.signo, SIGUSR1);
}

struct late_start { struct ticker *t; int n; };
static void stops_after_two(void *arg)
{
	struct late_start *s = arg;
	if (++s->n == 2)
		ticker_stop(&s->t);
}
static void starts_a_ticker_and_waits(void *arg)
{
	struct late_start *s = arg;
	assert_int_equal(ticker_start(fiber_loop(), 1, stops_after_two, s, &s->t), RC_OK);
	while (s->t)
		assert_int_equal(fiber_sleep(1), RC_OK);
	loop_stop(fiber_loop());
}

static void a_ticker_started_in_a_fiber_ticks(void **state)
{
	struct loop *l = make_loop();
	struct late_start s = { 0 };
	assert_int_equal(fiber_start(l, starts_a_ticker_and_waits, &s, NULL), RC_OK);
	run_and_close(l);
	assert_int_equal(s.n, 2);
}

struct uvp { int fd[2]; uv_poll_t poll; bool seen, closed; struct waitlist w; };
static void uvp_closed(uv_handle_t *h) { ((struct uvp *)h->data)->closed = true; wake_all(&((struct uvp *)h->data)->w); }
static void uvp_ready(uv_poll_t *h, int status, int events)
{
	struct uvp *u = h->data;
	u->seen = true;
	uv_close((uv_handle_t *)h, uvp_closed);
}
static void uses_libuv(void *arg)
{
	struct uvp *u = arg;
	assert_int_equal(fiber_sleep(5), RC_OK);
	assert_int_equal(uv_poll_init(loop_uv(fiber_loop()), &u->poll, u->fd[0]), 0);
	u->poll.data = u;
	assert_int_equal(uv_poll_start(&u->poll, UV_READABLE, uvp_ready), 0);
	assert_int_equal(wait_on(&u->w, loop_now(fiber_loop()) + 5000), RC_OK);
	loop_stop(fiber_loop());
}

static void a_libuv_handle_started_in_a_fiber_works(void **state)
{
	struct loop *l = make_loop();
	struct uvp u = { 0 };
	assert_int_equal(pipe2(u.fd, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(write(u.fd[1], "x", 1), 1);
	assert_int_equal(fiber_start(l, uses_libuv, &u, NULL), RC_OK);
	run_and_close(l);
	assert_true(u.seen && u.closed);
	close(u.fd[0]);
	close(u.fd[1]);
}

static unsigned eats_stack(unsigned depth);
static unsigned (*volatile eats_more)(unsigned depth) = eats_stack; /* so that no compiler makes a loop of it */
static unsigned eats_stack(unsigned depth)
{
	char page[4096];
	memset(page, (int)depth, sizeof page);
	__asm__ volatile("" : : "r"(page) : "memory"); /* nor splits the array */
	unsigned below = depth ? eats_more(depth - 1) : 1;
	return below + (unsigned)page[0] + (unsigned)page[4095];
}
static void goes_deep(void *arg)
{
	*(unsigned *)arg = eats_stack(20);
	loop_stop(fiber_loop());
}

static void the_high_water_mark_of_stacks_is_known(void **state)
{
	struct loop *l = make_loop();
	unsigned n = 0;
	assert_int_equal(fiber_start(l, goes_deep, &n, NULL), RC_OK);
	run_and_close(l);
	assert_true(n > 0);
#ifndef __SANITIZE_ADDRESS__
	assert_in_range(fiber_stack_high_water(), 80 * 1024, 200 * 1024);
#endif
	print_message("stack high water: %zu octets\n", fiber_stack_high_water());
}

static size_t touched(const struct fiber *f)
{
	unsigned char pages[FIBER_STACK / 4096];
	size_t n = 0;
	assert_int_equal(mincore(f->low, FIBER_STACK - 4096, pages), 0);
	for (size_t i = 0; i < FIBER_STACK / 4096 - 1; i++)
		n += pages[i] & 1;
	return n;
}

struct parked { struct waitlist w; struct fiber *f; size_t before, after; unsigned ate; int steps; };
static void parks_after_a_deep_call(void *arg)
{
	struct parked *p = arg;
	char keep[100];
	memset(keep, 7, sizeof keep);
	p->ate = eats_stack(20);
	assert_int_equal(wait_on(&p->w, NO_DEADLINE), RC_OK);
	assert_int_equal(keep[99], 7);
	loop_stop(fiber_loop());
}
static void trims_when_idle(void *arg)
{
	struct parked *p = arg;
	if (p->steps++)
		return;
	struct loop *l = p->f->loop;
	p->before = touched(p->f);
	l->now += FIBER_TRIM_MS; /* half a minute later */
	fiber_trim(l);
	p->after = touched(p->f);
	wake_one(&p->w);
}

static void a_stack_parked_for_long_gives_its_pages_back(void **state)
{
	struct loop *l = make_loop();
	struct parked p = { 0 };
	assert_int_equal(fiber_start(l, parks_after_a_deep_call, &p, &p.f), RC_OK);
	loop_on_idle(l, trims_when_idle, &p);
	run_and_close(l);
	assert_true(p.ate > 0 && p.before >= 20);
	assert_in_range(p.after, 1, 3);
	print_message("a parked fiber's stack: %zu pages, trimmed: %zu\n", p.before, p.after);
}

static void the_wall_clock_can_be_set(void **state)
{
	wall_ms_fixed = 1234567890123;
	assert_true(wall_ms() == 1234567890123);
	wall_ms_fixed = 0;
	assert_true(wall_ms() > 1500000000000);
}

static void running_out_of_memory_at_the_start_is_an_answer(void **state)
{
	for (long k = 0; k < 20; k++) {
		struct loop *l = NULL;
		struct why why = { 0 };
		enum rc ended = RC_OK;
		mem_count = 0;
		mem_fail_at = k;
		enum rc rc = loop_open(&l, &why);
		if (rc == RC_OK)
			rc = fiber_start(l, waits_for_ever, &ended, NULL);
		mem_fail_at = -1;
		if (l)
			loop_stop(l);
		loop_close(&l);
		if (rc == RC_OK) {
			assert_true(k >= 2);
			return;
		}
		assert_int_equal(rc, RC_NOMEM);
	}
	fail();
}

/* ---- watches ---- */

struct watched { struct io_watch *w, *other; struct loop *l; int fd[2], told; };

static void takes_one_octet(void *arg, unsigned ready)
{
	struct watched *v = arg;
	char c;
	assert_int_equal(ready, IO_READ);
	if (read(v->fd[0], &c, 1) == 1 && ++v->told == 3) {
		io_watch_close(&v->w);
		loop_stop(v->l);
	}
}

static void a_watch_is_told_again_until_all_is_taken(void **state)
{
	struct watched v = { 0 };
	struct why why = { 0 };
	assert_int_equal(loop_open(&v.l, &why), RC_OK);
	assert_int_equal(pipe2(v.fd, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(write(v.fd[1], "abc", 3), 3);
	assert_int_equal(io_watch_open(v.l, v.fd[0], IO_READ, takes_one_octet, &v, &v.w), RC_OK);
	loop_run(v.l);
	assert_int_equal(v.told, 3);
	assert_null(v.w);
	loop_close(&v.l);
	close(v.fd[0]);
	close(v.fd[1]);
}

struct rivals { struct io_watch *w[2]; struct loop *l; int told; };
static void ends_both(void *arg, unsigned ready)
{
	struct rivals *r = arg;
	r->told++;
	io_watch_close(&r->w[0]);
	io_watch_close(&r->w[1]);
	loop_stop(r->l);
}

static void a_watch_that_another_one_ends_is_not_told(void **state)
{
	struct rivals r = { 0 };
	struct why why = { 0 };
	int fd[2][2];
	assert_int_equal(loop_open(&r.l, &why), RC_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe2(fd[i], O_CLOEXEC | O_NONBLOCK), 0);
		assert_int_equal(write(fd[i][1], "a", 1), 1);
		assert_int_equal(io_watch_open(r.l, fd[i][0], IO_READ, ends_both, &r, &r.w[i]), RC_OK);
	}
	loop_run(r.l);
	assert_int_equal(r.told, 1);
	loop_close(&r.l);
	for (int i = 0; i < 2; i++) {
		close(fd[i][0]);
		close(fd[i][1]);
	}
}

static void counts(void *arg, unsigned ready) { *(int *)arg += ready == IO_READ ? 1 : 0; }
struct deaf { struct io_watch *w; int told; };
static void listens_later(void *arg)
{
	struct deaf *d = arg;
	assert_int_equal(fiber_sleep(20), RC_OK);
	assert_int_equal(d->told, 0);
	io_watch_want(d->w, IO_READ);
	assert_int_equal(fiber_sleep(20), RC_OK);
	assert_true(d->told > 0);
	io_watch_close(&d->w);
	loop_stop(fiber_loop());
}

static void a_watch_that_wants_nothing_is_told_nothing(void **state)
{
	struct deaf d = { 0 };
	struct why why = { 0 };
	struct loop *l;
	int fd[2];
	assert_int_equal(loop_open(&l, &why), RC_OK);
	assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(write(fd[1], "a", 1), 1);
	assert_int_equal(io_watch_open(l, fd[0], 0, counts, &d.told, &d.w), RC_OK);
	assert_int_equal(fiber_start(l, listens_later, &d, NULL), RC_OK);
	loop_run(l);
	loop_close(&l);
	close(fd[0]);
	close(fd[1]);
}

const struct CMUnitTest loop_tests[] = {
	cmocka_unit_test(a_watch_is_told_again_until_all_is_taken),
	cmocka_unit_test(a_watch_that_another_one_ends_is_not_told),
	cmocka_unit_test(a_watch_that_wants_nothing_is_told_nothing),
	cmocka_unit_test(a_fiber_runs_and_ends),
	cmocka_unit_test(two_fibers_wake_each_other),
	cmocka_unit_test(ten_thousand_fibers_wait_at_once),
	cmocka_unit_test(deadlines_fire_in_their_order),
	cmocka_unit_test(a_wait_past_its_deadline_is_late),
	cmocka_unit_test(who_defers_runs_behind_those_that_are_ready_unless_they_are_many),
	cmocka_unit_test(every_wait_of_a_cancelled_fiber_is_closed),
	cmocka_unit_test(stopping_cancels_and_drains_every_fiber),
	cmocka_unit_test(the_idle_call_comes_once_per_turn),
	cmocka_unit_test(io_wait_suspends_until_there_is_input),
	cmocka_unit_test(a_poll_tells_of_input_that_was_left_over),
	cmocka_unit_test(a_worker_runs_elsewhere_and_is_never_cut_short),
	cmocka_unit_test(tickers_and_signals_are_calls_on_the_loop),
	cmocka_unit_test(a_ticker_started_in_a_fiber_ticks),
	cmocka_unit_test(a_libuv_handle_started_in_a_fiber_works),
	cmocka_unit_test(the_high_water_mark_of_stacks_is_known),
	cmocka_unit_test(a_stack_parked_for_long_gives_its_pages_back),
	cmocka_unit_test(the_wall_clock_can_be_set),
	cmocka_unit_test(running_out_of_memory_at_the_start_is_an_answer),
};
const size_t loop_tests_n = sizeof loop_tests / sizeof *loop_tests;
