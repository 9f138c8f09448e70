#include "role/door_load.h"

#include "os/file.h"

/* shared->load: 1 + the process's connections, those on their way to it included; 0: it takes none. Who gives one on counts it there, so that a burst
 * that many processes accept at once is dealt out evenly, too; its owner counts it off. */
static int64_t *line_of(const struct role_env *e, unsigned index) { return &e->shared->load[e->slot - e->index + index]; }
static int64_t look(const int64_t *line) { return __atomic_load_n(line, __ATOMIC_RELAXED); }

static void add(struct door_load *l, int64_t by)
{
	if (l->e && l->e->shared)
		__atomic_fetch_add(line_of(l->e, l->e->index), by, __ATOMIC_RELAXED);
}

static void set(struct door_load *l, int64_t v)
{
	if (l->e && l->e->shared)
		__atomic_store_n(line_of(l->e, l->e->index), v, __ATOMIC_RELAXED);
}

void door_load_open(struct door_load *l, struct role_env *e)
{
	l->e = e;
	set(l, 1 + l->here);
}

void door_load_close(struct door_load *l)
{
	set(l, 0);
	l->e = NULL;
}

void door_load_mend(struct door_load *l) { set(l, 1 + l->here); }

void door_load_begin(struct door_load *l, bool given)
{
	l->here++;
	if (!given)
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
	if (load > 0 && load < least->load) {
		least->load = load;
		least->peer = p;
	}
}

bool door_load_give(struct door_load *l, size_t listener, int *fd)
{
	struct role_env *e = l->e;
	if (!e || !e->shared || l->here == 0)
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
