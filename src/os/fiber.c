/* Fibers: a stack, a saved stack pointer, and a place in one of the loop's lists. The switch saves what the ABI calls
 * callee-saved, plus the floating-point control words; everything else is dead at a call. */
#include "os/runtime.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#ifdef FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define stack_register(lo, hi) ((unsigned)VALGRIND_STACK_REGISTER((lo), (hi)))
#define stack_forget(id) VALGRIND_STACK_DEREGISTER(id)
#else
#define stack_register(lo, hi) 0u
#define stack_forget(id) ((void)(id))
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13: a guard page without a mapping of its own */
#endif

enum { GUARD = 4096, DEFER_MOST = 16 };
#define STACK_USABLE ((size_t)FIBER_STACK - GUARD)

static __thread struct fiber *current; /* per thread, so that a worker sees none */
static size_t high_water;

struct fiber *fiber_self(void) { return current; }
struct loop *fiber_loop(void) { return current ? current->loop : NULL; }
size_t fiber_count(const struct loop *l) { return l->count; }

/* ---- the switch ---- */

#if defined(__x86_64__)
/* No shadow stack is enabled in user land by our targets; the landing is a `ret`, and endbr64 marks the entry. */
__asm__(".pushsection .text\n"
        ".globl ll_fiber_swap\n.hidden ll_fiber_swap\n.type ll_fiber_swap,@function\n.p2align 4\n"
        "ll_fiber_swap:\n"
        "\tendbr64\n"
        "\tpushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n"
        "\tsubq $8, %rsp\n\tstmxcsr (%rsp)\n\tfnstcw 4(%rsp)\n"
        "\tmovq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n"
        "\tldmxcsr (%rsp)\n\tfldcw 4(%rsp)\n\taddq $8, %rsp\n"
        "\tpopq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n"
        "\tret\n"
        ".size ll_fiber_swap,.-ll_fiber_swap\n.popsection\n");
#elif defined(__aarch64__)
__asm__(".pushsection .text\n"
        ".globl ll_fiber_swap\n.hidden ll_fiber_swap\n.type ll_fiber_swap,%function\n.p2align 4\n"
        "ll_fiber_swap:\n"
        "\thint #34\n" /* bti c */
        "\tsub sp, sp, #176\n"
        "\tstp x19, x20, [sp, #0]\n\tstp x21, x22, [sp, #16]\n\tstp x23, x24, [sp, #32]\n"
        "\tstp x25, x26, [sp, #48]\n\tstp x27, x28, [sp, #64]\n\tstp x29, x30, [sp, #80]\n"
        "\tstp d8, d9, [sp, #96]\n\tstp d10, d11, [sp, #112]\n\tstp d12, d13, [sp, #128]\n\tstp d14, d15, [sp, #144]\n"
        "\tmrs x9, fpcr\n\tstr x9, [sp, #160]\n"
        "\tmov x9, sp\n\tstr x9, [x0]\n\tmov sp, x1\n"
        "\tldr x9, [sp, #160]\n\tmsr fpcr, x9\n"
        "\tldp x19, x20, [sp, #0]\n\tldp x21, x22, [sp, #16]\n\tldp x23, x24, [sp, #32]\n"
        "\tldp x25, x26, [sp, #48]\n\tldp x27, x28, [sp, #64]\n\tldp x29, x30, [sp, #80]\n"
        "\tldp d8, d9, [sp, #96]\n\tldp d10, d11, [sp, #112]\n\tldp d12, d13, [sp, #128]\n\tldp d14, d15, [sp, #144]\n"
        "\tadd sp, sp, #176\n\tret\n"
        ".size ll_fiber_swap,.-ll_fiber_swap\n.popsection\n");
#endif

static void fiber_main(void);

#ifdef FIBER_UCONTEXT
static void swap_in(struct loop *l, struct fiber *f) { (void)swapcontext(&l->uc, &f->uc); }
static void swap_out(struct loop *l, struct fiber *f) { (void)swapcontext(&f->uc, &l->uc); }
static void prepare(struct fiber *f)
{
	(void)getcontext(&f->uc);
	f->uc.uc_stack.ss_sp = f->low;
	f->uc.uc_stack.ss_size = (size_t)((char *)f - f->low);
	f->uc.uc_link = NULL;
	f->sp = (char *)f - 2048;
	makecontext(&f->uc, fiber_main, 0);
}
#else
void ll_fiber_swap(void **save, void *to);
static void swap_in(struct loop *l, struct fiber *f) { ll_fiber_swap(&l->sp, f->sp); }
static void swap_out(struct loop *l, struct fiber *f) { ll_fiber_swap(&f->sp, l->sp); }

/* The frame ll_fiber_swap() takes down at the first switch: control words as the ABI wants them at a process's start. */
static void prepare(struct fiber *f)
{
	uint64_t *top = (uint64_t *)((uintptr_t)f & ~(uintptr_t)15);
#if defined(__x86_64__)
	*--top = 0;                       /* fiber_main's return address: there is none */
	*--top = (uint64_t)(uintptr_t)fiber_main;
	for (int i = 0; i < 6; i++)
		*--top = 0;
	*--top = UINT64_C(0x037f) << 32 | 0x1f80;
#else
	top -= 22;
	memset(top, 0, 22 * sizeof *top);
	top[11] = (uint64_t)(uintptr_t)fiber_main;
#endif
	f->sp = top;
}
#endif

static void fiber_main(void)
{
	struct fiber *f = current;
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(NULL, &f->loop->own_stack, &f->loop->own_stack_size);
#endif
	f->run(f->arg);
	f->state = FIBER_DEAD;
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(NULL, f->loop->own_stack, f->loop->own_stack_size);
#endif
	swap_out(f->loop, f);
	assert(f->state != FIBER_DEAD && "a finished fiber was resumed");
}

/* ---- stacks ---- */

static void measure(const struct fiber *f)
{
	unsigned char pages[FIBER_STACK / 4096];
	if (mincore(f->low, STACK_USABLE, pages) != 0)
		return;
	size_t i = 0;
	while (i < STACK_USABLE / 4096 && !(pages[i] & 1))
		i++;
	size_t used = STACK_USABLE - i * 4096;
	if (used > high_water)
		high_water = used;
}

/* A guard page by madvise keeps neighbouring stacks in one mapping; by mprotect it takes two mappings per stack
 * (vm.max_map_count is 65,530 by default, so some 30,000 fibers). */
static bool guard(char *base)
{
	return madvise(base, GUARD, MADV_GUARD_INSTALL) == 0 || mprotect(base, GUARD, PROT_NONE) == 0;
}

static struct fiber *stack_map(void)
{
	char *base = mmap(NULL, FIBER_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	(void)madvise(base, FIBER_STACK, MADV_NOHUGEPAGE); /* neighbours merge, and one touched page must stay one page */
	if (!guard(base)) {
		munmap(base, FIBER_STACK);
		return NULL;
	}
	struct fiber *f = (struct fiber *)(base + FIBER_STACK - (sizeof(struct fiber) + 63) / 64 * 64);
	f->low = base + GUARD;
	f->valgrind_id = stack_register(base + GUARD, base + FIBER_STACK);
	return f;
}

static void stack_unmap(struct fiber *f)
{
	char *base = f->low - GUARD;
	measure(f);
	stack_forget(f->valgrind_id);
	munmap(base, FIBER_STACK);
}

static void stack_put(struct loop *l, struct fiber *f)
{
	if (l->stacks_n >= FIBER_CACHE) {
		stack_unmap(f);
		return;
	}
	f->trimmed = false;
	f->ready_next = l->stacks;
	l->stacks = f;
	l->stacks_n++;
}

static struct fiber *stack_get(struct loop *l)
{
	struct fiber *f = l->stacks;
	if (!f)
		return stack_map();
	l->stacks = f->ready_next;
	l->stacks_n--;
	return f;
}

void fiber_drop_cache(struct loop *l, size_t keep)
{
	while (l->stacks_n > keep)
		stack_unmap(stack_get(l));
}

/* What lies below has been counted and given back: until the stack is used again there is nothing to look at. */
static void trim_to(struct fiber *f, const void *sp)
{
	uintptr_t end = (uintptr_t)sp & ~(uintptr_t)4095;
	f->trimmed = true;
	measure(f);
	if (end > (uintptr_t)f->low)
		(void)madvise(f->low, end - (uintptr_t)f->low, MADV_DONTNEED);
}

void fiber_trim(struct loop *l)
{
	for (struct fiber *f = l->all; f; f = f->next)
		if (f->state == FIBER_PARKED && !f->trimmed && l->now - f->parked_at >= FIBER_TRIM_MS)
			trim_to(f, f->sp);
	fiber_drop_cache(l, FIBER_CACHE / 4);
	for (struct fiber *f = l->stacks; f; f = f->ready_next)
		if (!f->trimmed)
			trim_to(f, f);
}

static __thread struct loop *measured; /* the loop of this thread, for fiber_stack_high_water() */

void fiber_forget(const struct loop *l)
{
	if (measured == l)
		measured = NULL;
}

size_t fiber_stack_high_water(void)
{
	if (measured) {
		for (const struct fiber *f = measured->all; f; f = f->next)
			if (!f->trimmed)
				measure(f);
		for (const struct fiber *f = measured->stacks; f; f = f->ready_next)
			if (!f->trimmed)
				measure(f);
	}
	return high_water;
}

/* ---- the run queue ---- */

static void push(struct fiber_queue *q, struct fiber *f)
{
	f->ready_next = NULL;
	if (q->last)
		q->last->ready_next = f;
	else
		q->first = f;
	q->last = f;
}

enum rc fiber_start(struct loop *l, void (*run)(void *arg), void *arg, struct fiber **out_or_null)
{
	if (l->draining)
		return RC_CLOSED;
	if (l->count >= FIBER_CEILING)
		return RC_BUSY;
	if (!deadline_room(l, l->count + 1))
		return RC_NOMEM;
	struct fiber *f = stack_get(l);
	if (!f)
		return RC_NOMEM;
	measured = l;
#ifdef FIBER_ASAN
	__asan_unpoison_memory_region(f->low, STACK_USABLE);
#endif
	*f = (struct fiber){ .loop = l, .low = f->low, .valgrind_id = f->valgrind_id, .run = run, .arg = arg, .next = l->all };
	if (l->all)
		l->all->prev = f;
	l->all = f;
	l->count++;
	prepare(f);
	push(&l->ready, f);
	if (out_or_null)
		*out_or_null = f;
	return RC_OK;
}

static void bury(struct loop *l, struct fiber *f)
{
	if (f->prev)
		f->prev->next = f->next;
	else
		l->all = f->next;
	if (f->next)
		f->next->prev = f->prev;
	l->count--;
	stack_put(l, f);
}

void fiber_switch_in(struct loop *l, struct fiber *f)
{
	f->state = FIBER_RUNNING;
	f->trimmed = false;
	current = f;
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(&l->fake_stack, f->low, STACK_USABLE);
#endif
	swap_in(l, f);
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(l->fake_stack, NULL, NULL);
#endif
	current = NULL;
	if (f->state == FIBER_DEAD)
		bury(l, f);
}

static void switch_out(struct fiber *f)
{
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(&f->fake_stack, f->loop->own_stack, f->loop->own_stack_size);
#endif
	swap_out(f->loop, f);
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(f->fake_stack, &f->loop->own_stack, &f->loop->own_stack_size);
#endif
}

/* ---- waiting ---- */

static void unlink_waiter(struct waiter *w)
{
	struct waitlist *list = w->list;
	if (!list)
		return;
	if (w->prev)
		w->prev->next = w->next;
	else
		list->first = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		list->last = w->prev;
	*w = (struct waiter){ 0 };
}

void fiber_resume(struct fiber *f, enum rc result)
{
	unlink_waiter(&f->waiter);
	deadline_drop(f);
	f->result = result;
	f->state = FIBER_READY;
	push(&f->loop->ready, f);
}

enum rc fiber_park(struct fiber *f, int64_t deadline, enum fiber_state how)
{
	if (deadline != NO_DEADLINE)
		deadline_set(f, deadline);
	f->state = how;
	f->parked_at = f->loop->now;
	switch_out(f);
	return f->result;
}

enum rc wait_on(struct waitlist *w, int64_t deadline)
{
	struct fiber *f = current;
	assert(f && "wait_on() needs a fiber");
	if (f->cancelled)
		return RC_CLOSED;
	if (deadline <= f->loop->now)
		return RC_LATE;
	f->waiter = (struct waiter){ .prev = w->last, .list = w };
	if (w->last)
		w->last->next = &f->waiter;
	else
		w->first = &f->waiter;
	w->last = &f->waiter;
	return fiber_park(f, deadline, FIBER_PARKED);
}

void wake_one(struct waitlist *w)
{
	if (w->first)
		fiber_resume((struct fiber *)(void *)w->first, RC_OK);
}

void wake_all(struct waitlist *w)
{
	while (w->first)
		wake_one(w);
}

void fiber_cancel(struct fiber *f)
{
	f->cancelled = true;
	if (f->state == FIBER_PARKED)
		fiber_resume(f, RC_CLOSED);
}

bool fiber_cancelled(void) { return current && current->cancelled; }

void fiber_cancel_all(struct loop *l)
{
	for (struct fiber *f = l->all; f; f = f->next)
		fiber_cancel(f);
}

void fiber_yield(void)
{
	struct fiber *f = current;
	if (!f)
		return;
	f->state = FIBER_READY;
	push(&f->loop->later, f);
	switch_out(f);
}

/* Behind many, an answer would wait for all of their work: nobody is asked to wait that long to be polite. */
void fiber_defer(void)
{
	struct fiber *f = current;
	unsigned before = 0;
	for (const struct fiber *r = f ? f->loop->ready.first : NULL; r && before <= DEFER_MOST; r = r->ready_next)
		before++;
	if (before == 0 || before > DEFER_MOST)
		return;
	f->state = FIBER_READY;
	push(&f->loop->ready, f);
	switch_out(f);
}

enum rc fiber_sleep(unsigned ms)
{
	struct fiber *f = current;
	if (!f) {
		(void)usleep((useconds_t)ms * 1000);
		return RC_OK;
	}
	if (f->cancelled)
		return RC_CLOSED;
	enum rc rc = fiber_park(f, f->loop->now + ms, FIBER_PARKED);
	return rc == RC_LATE ? RC_OK : rc;
}
