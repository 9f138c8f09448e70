#include "role/master_state.h"

#include "base/mem.h"
#include "os/file.h"
#include <unistd.h>

enum { LISTENERS_MAX = 60 };

enum rc proc_embed(struct proc *p, int take_fd, struct why *why)
{
	AUTO(fd_close) int fd = take_fd;
	struct role_env *e = mem_new(sizeof *e);
	struct role_listener *l = mem_new(LISTENERS_MAX * sizeof *l);
	if (!e || !l) {
		mem_free(e);
		mem_free(l);
		FAIL(why, RC_NOMEM, "no memory");
	}
	*e = (struct role_env){ .ops = p->ops, .index = p->index, .slot = p->slot, .loop = p->m->loop, .config = p->m->config, .shared = p->m->shared,
		.listeners = l, .listener_n = proc_listeners(p, l, LISTENERS_MAX), .embedded = true };
	p->inside = e;
	p->pid = getpid();
	int mine = fd;
	fd = -1;
	return role_embed(e, mine, why);
}

void proc_disembed_all(struct master *m)
{
	for (size_t i = 0; i < m->proc_n; i++) {
		struct role_env *e = m->procs[i].inside;
		if (!e)
			continue;
		if (e->ops->close && e->state)
			e->ops->close(e);
		ipc_node_free(&e->node);
		mem_free(e->listeners);
		mem_free(e);
		m->procs[i].inside = NULL;
	}
}
