#pragma once
#include "role/role.h"

/* How many connections each process of a role has, in the shared table. The kernel deals new ones out by a hash of their addresses: a few busy ones
 * fall as unevenly as they like (eight on two processes: four on each only one time in four), and stay there for as long as they last. So
 * whoever accepts one gives it on, before a byte of it was read, to a process of the same role that has fewer.
 *
 * A line is the process's connections, those on their way to it included. Who gives one counts it there, so that a burst that many processes accept
 * at once is dealt out evenly, too; its owner counts it off. Any process may write the table, so what it says is a hint: see door_load_give(). */
enum { DOOR_SHUT = -(1 << 30) };                              /* and near it: takes none */
static inline void door_shut(struct shared *s, unsigned slot) { __atomic_store_n(&s->load[slot], (int64_t)DOOR_SHUT, __ATOMIC_RELAXED); }

struct door_load {
	struct role_env *e;
	int64_t here;                     /* connections of this process, those on their way left out */
	int64_t drift;                    /* by how much the line differed from that at the last door_load_mend() */
	uint64_t kept, given;             /* connections accepted here */
};

void door_load_open(struct door_load *l, struct role_env *e); /* from now on others may give connections to this process */
void door_load_close(struct door_load *l);                    /* and no longer */
/* What a process that died gave, or was given, may have left the line wrong: a difference that is there twice in a row, minutes apart, is no
 * connection on its way, and is taken off. */
void door_load_mend(struct door_load *l);

void door_load_begin(struct door_load *l, bool by_us);        /* a connection is here; `by_us`: accepted here, else given and counted by who gave it */
void door_load_end(struct door_load *l);
void door_load_refuse(struct door_load *l);                   /* one that was given is not taken */

/* `fd` was accepted from the `listener`th listener, and is another process's now: closed here. False: it stays here, since none has fewer
 * connections, its channel is too full, or as many were given away as were kept: a process that lies about its line gets half
 * of them and 32 at most. */
bool door_load_give(struct door_load *l, size_t listener, int *fd);
