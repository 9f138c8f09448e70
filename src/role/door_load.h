#pragma once
#include "role/role.h"

/* How many connections each process of a role has, in the shared table. The kernel deals new ones out by a hash of their addresses: a few busy ones
 * fall as unevenly as they like (eight on two processes: four on each only one time in four), and stay there for as long as they last. So
 * whoever accepts one gives it on, before a byte of it was read, to a process of the same role that has fewer. */
struct door_load {
	struct role_env *e;
	int64_t here;                     /* connections of this process, those given on to it and not yet here left out */
};

void door_load_open(struct door_load *l, struct role_env *e); /* from now on others may give connections to this process */
void door_load_close(struct door_load *l);                    /* and no longer; the table is as for a process that is not there */
void door_load_mend(struct door_load *l);                     /* sets the table to what is here: it may be wrong by what was under way when a process died */

void door_load_begin(struct door_load *l, bool given);        /* a connection is here; `given`: by another process, which has counted it */
void door_load_end(struct door_load *l);
void door_load_refuse(struct door_load *l);                   /* one that was given is not taken */

/* `fd` was accepted from the `listener`th listener, and is another process's now: closed here. False: it stays here, since none has fewer
 * connections, or its channel is full. */
bool door_load_give(struct door_load *l, size_t listener, int *fd);
