#pragma once
#include "role/master.h"
#include "role/role.h"

/* Shared by the files of master: its processes and sockets. */
enum { PROCS_MAX = SHARED_SLOTS - 1, SOCKETS_MAX = 2048, BACKOFF_MIN_MS = 10, BACKOFF_MAX_MS = 5000, HEALTHY_MS = 10000, WATCH_MS = 5000, WATCH_SILENT = 4 };

struct proc {
	struct master *m;
	const struct role_ops *ops;
	unsigned index, slot, restarts;
	pid_t pid;                     /* 0 = not running */
	struct ipc_peer *peer;
	bool ready, wanted, served;    /* served: it was ready at least once */
	int64_t started;
	unsigned backoff_ms, silent;   /* health questions in a row without an answer */
	struct waitlist ended;
	struct role_env *inside;       /* one process: the role itself */
};

struct master {
	struct loop *loop;
	struct ipc_node *node;
	struct config *config;
	const char *config_path;
	config_loader *load;
	struct shared *shared;
	int shared_fd, config_fd, control_fd;
	struct proc procs[PROCS_MAX];
	size_t proc_n;
	struct { struct role_listener l; enum role role; unsigned worker; bool everyone; } sockets[SOCKETS_MAX];
	size_t socket_n;
	unsigned ctl_n;
	bool stopping, announced, one_process, failed; /* failed: a role cannot start at all */
	int64_t started_wall, started;
	struct ticker *watchdog;
};

/* master.c */
void master_stop(struct master *m);                                       /* everything, in order; then the loop ends */
/* master_proc.c */
MUST_USE enum rc master_plan(struct master *m, struct why *why);          /* which processes, from the configuration */
void proc_start(struct proc *p);                                        /* in a fiber; tries again with back-off */
void proc_watch_all(struct master *m);                                   /* once in WATCH_MS: who does not answer WATCH_SILENT times is killed */
void proc_stop_wait(struct master *m, unsigned roles, unsigned grace_ms); /* STOP to those roles, then KILL past the grace */
/* master_embed.c: every role in this process, over the same channels; for the debugger, and the proof that the channels are the only boundary */
MUST_USE enum rc proc_embed(struct proc *p, int take_fd, struct why *why);
void proc_disembed_all(struct master *m);                                /* after the loop has ended */
size_t proc_listeners(const struct proc *p, struct role_listener *out, size_t max);
/* master_socket.c */
MUST_USE enum rc master_listen(struct master *m, struct why *why);
MUST_USE enum rc master_control(struct master *m, struct why *why);       /* opens the control socket and its accept fiber */
MUST_USE enum rc master_publish_config(struct master *m, struct why *why);/* config_fd anew */
/* master_ctl.c: answers to the command line and to children */
extern ipc_handler *const master_on[MSG_COUNT];
MUST_USE enum rc master_reload(struct master *m, struct why *why);
/* Reads the files that `c` names, hands them to the vault, which takes all or none. */
MUST_USE enum rc master_load_tls(struct master *m, const struct config *c, struct why *why);
void master_peer_gone(void *house, struct ipc_peer *p);
