#include "role/door_load.h"

#include "os/file.h"

enum { GIVE_FIRST = 64 }; /* before it is looked at how many were kept */

/* NULL: no such line. */
static int64_t *line_of(const struct role_env *e, unsigned index)
{
	unsigned slot = e->slot - e->index + index;
	return e->shared && index < SHARED_SLOTS && slot < SHARED_SLOTS ? &e->shared->load[slot] : NULL;
}

static int64_t look(const int64_t *line) { return line ? __atomic_load_n(line, __ATOMIC_RELAXED) : DOOR_SHUT; }
static bool is_open(int64_t load) { return load > DOOR_SHUT / 2; }

static void add(struct door_load *l, int64_t by)
{
	int64_t *line = l->e ? line_of(l->e, l->e->index) : NULL;
	if (line)
		__atomic_fetch_add(line, by, __ATOMIC_RELAXED);
}

void door_load_open(struct door_load *l, struct role_env *e)
{
	int64_t *line = line_of(e, e->index);
	l->e = e;
	if (line)
		__atomic_store_n(line, l->here, __ATOMIC_RELAXED);
}

void door_load_close(struct door_load *l)
{
	if (l->e && l->e->shared)
		door_shut(l->e->shared, l->e->slot);
	l->e = NULL;
}

void door_load_mend(struct door_load *l)
{
	int64_t load = l->e ? look(line_of(l->e, l->e->index)) : DOOR_SHUT, drift = load - l->here;
	if (!is_open(load))
		return;
	if (drift && drift == l->drift)
		add(l, -drift);
	l->drift = drift;
}

void door_load_begin(struct door_load *l, bool by_us)
{
	l->here++;
	if (by_us)
		add(l, 1);
}

void door_load_end(struct door_load *l)
{
	l->here--;
	add(l, -1);
}

void door_load_refuse(struct door_load *l) { add(l, -1); }

struct least { const struct role_env *e; struct ipc_peer *peer; int64_t load; };

static void compare(void *arg, struct ipc_peer *p)
{
	struct least *least = arg;
	int64_t load = look(line_of(least->e, ipc_peer_index(p)));
	if (is_open(load) && load < least->load) {
		least->load = load;
		least->peer = p;
	}
}

static bool give(struct door_load *l, size_t listener, int *fd)
{
	struct role_env *e = l->e;
	if (!e || l->here == 0 || l->given >= l->kept + GIVE_FIRST)
		return false;
	struct least least = { .e = e, .load = look(line_of(e, e->index)) };
	ipc_each(e->node, e->ops->role, compare, &least);
	if (!least.peer)
		return false;
	int64_t *line = line_of(e, ipc_peer_index(least.peer));
	__atomic_fetch_add(line, 1, __ATOMIC_RELAXED);
	if (ipc_tell(least.peer, MSG_CONNECTION, &(struct msg_CONNECTION){ .listener = (uint32_t)listener }, *fd) != RC_OK) {
		__atomic_fetch_sub(line, 1, __ATOMIC_RELAXED);
		return false;
	}
	fd_close(fd);
	return true;
}

bool door_load_give(struct door_load *l, size_t listener, int *fd)
{
	bool gone = give(l, listener, fd);
	l->given += gone;
	l->kept += !gone;
	return gone;
}
