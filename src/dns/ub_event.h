#pragma once
#include "os/loop.h"
#include <sys/time.h>
#include <unbound-event.h>

/* Our loop as libunbound wants to see one. */
struct ub_loop { struct ub_event_base base; struct loop *loop; };
void ub_loop_init(struct ub_loop *u, struct loop *l);
