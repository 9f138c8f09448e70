#pragma once
#include "ipc/ipc.h"
#include "os/sandbox.h"
#include "policy/limits.h"
#include "role/config.h"

/* How every role lives: one identical arc. Open what it needs → enter the sandbox → say READY → serve until STOP.
 * A role is wiring: the work is in the libraries. */

enum metric {
#define METRIC(id, kind, family, labels, help) M_##id,
#include "role/metrics.def"
#undef METRIC
	METRIC_COUNT
};
enum { SHARED_SLOTS = 300 };                 /* processes that may count; slot 0 is master's */
struct shared {                              /* one mapping, made by master */
	_Alignas(64) int64_t metrics[SHARED_SLOTS][METRIC_COUNT];
	_Alignas(64) int64_t load[SHARED_SLOTS]; /* role/door_load.h; any role may write it, and nothing may depend on it but where a connection goes */
	_Alignas(64) char limits[];          /* struct limits */
};
size_t shared_size(void);

struct role_listener { enum listener_proto proto; int fd; bool proxy; };
struct role_ops;

struct role_env {
	const struct role_ops *ops;
	unsigned index, slot;                /* slot: its line in the shared table */
	struct loop *loop;
	struct ipc_node *node;
	struct ipc_peer *master;
	struct config *config;               /* the one in force; replaced whole by a reload */
	struct shared *shared;
	struct role_listener *listeners; size_t listener_n;
	void *state;                         /* the role's own */
	struct doors *doors;                 /* role/door.h, of a role that has some; NULL before they open */
	uint64_t sessions;                   /* open now */
	bool stopping;
	enum rc ended;                       /* why start failed; RC_OK = it did not */
	unsigned uid, gid;                   /* who it becomes when started as root; 0 = stays who it is */
	bool embedded;                       /* one process for all roles: the loop is not ours to stop */
};
static inline void count_add(struct role_env *e, enum metric m, int64_t by)
{
	if (e->shared)
		__atomic_fetch_add(&e->shared->metrics[e->slot][m], by, __ATOMIC_RELAXED);
}
static inline void count_set(struct role_env *e, enum metric m, int64_t v)
{
	if (e->shared)
		__atomic_store_n(&e->shared->metrics[e->slot][m], v, __ATOMIC_RELAXED);
}
static inline struct limits *env_limits(struct role_env *e) { return e->shared ? (struct limits *)(void *)e->shared->limits : NULL; }

enum { ROLE_PATHS_MAX = 8, ROLE_PORTS_MAX = 20 };
struct role_ops {
	enum role role;
	unsigned talks_to;                   /* roles it has channels to (from either side) */
	unsigned needs;                      /* enum sandbox_need */
	unsigned long max_memory;            /* octets of private memory; 0 = no limit of its own */
	/* What it may touch in the file system; returns how many. The texts live as long as the process. */
	size_t (*paths)(const struct role_env *e, struct sandbox_path out[ROLE_PATHS_MAX]);
	/* TCP ports that it may dial where the kernel can tell (and UDP at all); none: SANDBOX_CONNECT is taken back. NULL: no port is named. */
	size_t (*ports)(const struct role_env *e, uint16_t out[ROLE_PORTS_MAX]);
	enum rc (*open)(struct role_env *e, struct why *why);   /* before the sandbox; does not wait */
	enum rc (*start)(struct role_env *e, struct why *why);  /* after it, in a fiber; READY is said when it returns RC_OK */
	void (*reload)(struct role_env *e);                     /* config has changed; may be NULL */
	void (*close)(struct role_env *e);                      /* all fibers are gone */
	ipc_handler *const *on;                                 /* MSG_COUNT entries; house is the struct role_env */
	void (*gone)(struct role_env *e, struct ipc_peer *p);   /* may be NULL */
	void (*came)(struct role_env *e, struct ipc_peer *p);   /* may be NULL */
};
extern const struct role_ops role_vault, role_store, role_reader, role_edge, role_access, role_scan, role_ledger, role_web, role_resolver, role_relay;
const struct role_ops *role_ops_of(enum role r); /* NULL: master, ctl */

/* From here on files are opened and made as the user that the role will be; called before `open`, except by a role that must read
 * something of root's first (the vault its root key), which calls it itself. */
MUST_USE enum rc role_files_as_user(const struct role_env *e, struct why *why);
/* The user of server.user; RC_NOTFOUND with how to make it. 0 and 0 when we are not root, or in the demo. */
MUST_USE enum rc role_user(const struct config *c, unsigned *out_uid, unsigned *out_gid, struct why *why);

/* A role ends with this status when starting it again cannot help: another root key, damage, a configuration that names what is not there. */
enum { EXIT_FOR_GOOD = 78 }; /* EX_CONFIG of sysexits.h */

/* The child's side of `letterlock --role NAME INDEX SLOT LISTENERS`: descriptors 3 = channel to master, 4 = shared table,
 * 5 = configuration (memfd), 6... = listeners. */
int role_main(int argc, char **argv);
/* The same inside one process: `fd` is the channel to master. Runs open and start now; the loop is the caller's. */
MUST_USE enum rc role_embed(struct role_env *e, int take_fd, struct why *why);

/* `data_dir`/sub as a text that lives as long as the configuration. */
const char *role_path(const struct role_env *e, const char *sub);
