#include "role/store_route.h"

#include "os/file.h"
#include "role/wire_route.h"

/* The role `store`: groups, rules of accounts, ways out. */
enum { GROUP_SCRATCH = 16384, RULES_SCRATCH = 1 << 20 };

static void group_verb(void *env, struct ipc_call *call, struct str packed, enum rc (*verb)(struct store *, const struct group *, struct why *))
{
	AUTO(arena_done) struct arena a = { .max = GROUP_SCRATCH };
	struct group g;
	struct why why = { 0 };
	enum rc rc = wire_get_group(packed, &a, &g);
	if (rc == RC_OK)
		rc = verb(role_store_of(env), &g, &why);
	role_store_answer_directory(env, call, rc, &why, 0);
}

void store_on_group_add(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	(void)from;
	fd_close(&fd);
	group_verb(env, call, ((const struct msg_GROUP_ADD *)msg)->group, group_add);
}

void store_on_group_set(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	(void)from;
	fd_close(&fd);
	group_verb(env, call, ((const struct msg_GROUP_SET *)msg)->group, group_set);
}

void store_on_group_remove(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = group_remove(role_store_of(env), ((const struct msg_GROUP_REMOVE *)msg)->address, &why);
	role_store_answer_directory(env, call, rc, &why, 0);
}

void store_on_group_member(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_GROUP_MEMBER *m = msg;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = group_member_set(role_store_of(env), m->address, m->member, m->add, &why);
	role_store_answer_directory(env, call, rc, &why, 0);
}

void store_on_rules_set(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	AUTO(arena_done) struct arena a = { .max = RULES_SCRATCH };
	struct account_rules r = { 0 };
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = wire_get_rules(((const struct msg_RULES_SET *)msg)->rules, &a, &r);
	if (rc == RC_OK)
		rc = account_rules_set(role_store_of(env), &r, &why);
	role_store_answer_directory(env, call, rc, &why, 0); /* a forward changes where other addresses lead, too */
}

void store_on_way_set(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	AUTO(arena_done) struct arena a = { .max = GROUP_SCRATCH };
	struct way w;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = wire_get_way(((const struct msg_WAY_SET *)msg)->way, &a, &w);
	if (rc == RC_OK)
		rc = way_set(role_store_of(env), &w, &why);
	role_store_answer_directory(env, call, rc, &why, 0);
}

void store_on_way_remove(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = way_remove(role_store_of(env), ((const struct msg_WAY_REMOVE *)msg)->key, &why);
	role_store_answer_directory(env, call, rc, &why, 0);
}
