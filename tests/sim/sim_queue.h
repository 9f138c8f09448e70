#pragma once
/* The postman of the power-cut simulation: what he does to the queue, what it looks like, and whether its letters still have their bodies. */
#include "sim/disk.h"
#include "store/queue.h"
#include "store/view.h"

enum { SIM_PUTS = 3, SIM_ROWS = 4 };
struct sim_puts { struct queue_put list[SIM_PUTS]; struct queue_row rows[SIM_PUTS][SIM_ROWS]; char text[32]; size_t n; };
/* One to three letters of one to four rows each, whose sealed text is `name`. */
void sim_puts_make(struct sim_puts *p, uint64_t name, uint64_t account, struct rng *r);
/* A random change of some rows, the end of some, a part of the history forgotten, or a note. RC_OK: each row got the outcome that its version deserves. */
enum rc sim_queue_verb(struct store *s, struct view *v, struct rng *r, struct why *why);
void sim_queue_describe(struct view *v, struct buf *out);
/* Calls `each` with the name and the body's place of every letter. */
void sim_queue_letters(struct view *v, void (*each)(void *arg, uint64_t name, const struct blob_id *id, const struct blob_place *place), void *arg);
void sim_fail(const char *what, const char *detail) __attribute__((noreturn));
