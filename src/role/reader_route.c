#include "role/reader_route.h"

#include "os/file.h"
#include "role/wire.h"
#include "role/wire_route.h"

/* The role `reader`: where addresses lead, groups, rules, ways. */
enum { ROUTE_MAX = 16 << 20, LIST_MAX = 1 << 20, MEMBERS_MAX = 4 << 20, PACKED_MAX = 4096, RULES_PACKED_MAX = 262144, GROUPS_STEP = 500, ADDRESSES_STEP = 1000 };

static enum rc whole(enum rc rc, const struct buf *out) { return rc == RC_OK && out->failed ? RC_NOMEM : rc; }

void reader_on_route(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	AUTO(arena_done) struct arena a = { .max = 2 * ROUTE_MAX };
	AUTO(buf_done) struct buf out = { .max = ROUTE_MAX };
	struct route r;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = view_route(role_view_of(env), ((const struct msg_ROUTE *)msg)->address, &a, &r, &why);
	if (rc == RC_OK)
		wire_put_route(&out, &r);
	ipc_answer(call, whole(rc, &out), &why, &(struct msg_ROUTE_answer){ .route = buf_str(&out) });
}

void reader_on_may_send(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_MAY_SEND *m = msg;
	struct why why = { 0 };
	bool yes = false;
	(void)from;
	fd_close(&fd);
	enum rc rc = view_may_send(role_view_of(env), m->account, m->address, &yes, &why);
	ipc_answer(call, rc, &why, &(struct msg_MAY_SEND_answer){ .yes = yes });
}

void reader_on_rules(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	AUTO(arena_done) struct arena a = { .max = LIST_MAX };
	AUTO(buf_done) struct buf out = { .max = RULES_PACKED_MAX };
	struct account_rules r;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = view_rules(role_view_of(env), ((const struct msg_RULES *)msg)->account, &a, &r, &why);
	if (rc == RC_OK)
		wire_put_rules(&out, &r);
	ipc_answer(call, whole(rc, &out), &why, &(struct msg_RULES_answer){ .rules = buf_str(&out) });
}

void reader_on_addresses(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_ADDRESSES *m = msg;
	AUTO(arena_done) struct arena a = { .max = 4 * LIST_MAX };
	AUTO(buf_done) struct buf out = { .max = LIST_MAX };
	struct alias *list = NULL;
	size_t n = 0;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = view_addresses(role_view_of(env), m->account, m->after, ADDRESSES_STEP, &a, &list, &n, &why);
	if (rc == RC_OK)
		wire_put_aliases(&out, list, n);
	ipc_answer(call, whole(rc, &out), &why, &(struct msg_ADDRESSES_answer){ .addresses = buf_str(&out) });
}

void reader_on_groups(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	AUTO(arena_done) struct arena a = { .max = 4 * LIST_MAX };
	AUTO(buf_done) struct buf out = { .max = LIST_MAX };
	struct group *list = NULL;
	size_t n = 0;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = view_groups(role_view_of(env), ((const struct msg_GROUPS *)msg)->after, GROUPS_STEP, &a, &list, &n, &why);
	if (rc == RC_OK)
		wire_put_groups(&out, list, n);
	ipc_answer(call, whole(rc, &out), &why, &(struct msg_GROUPS_answer){ .groups = buf_str(&out) });
}

void reader_on_group_get(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	AUTO(arena_done) struct arena a = { .max = 4 * MEMBERS_MAX };
	AUTO(buf_done) struct buf out = { .max = PACKED_MAX }, list = { .max = MEMBERS_MAX };
	struct group g;
	struct str *members = NULL;
	size_t n = 0;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = view_group(role_view_of(env), ((const struct msg_GROUP_GET *)msg)->address, &a, &g, &members, &n, &why);
	if (rc == RC_OK) {
		wire_put_group(&out, &g);
		wire_put_strs(&list, members, n);
	}
	ipc_answer(call, whole(whole(rc, &out), &list), &why, &(struct msg_GROUP_GET_answer){ .group = buf_str(&out), .members = buf_str(&list) });
}

void reader_on_ways(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	AUTO(arena_done) struct arena a = { .max = 2 * MEMBERS_MAX };
	AUTO(buf_done) struct buf out = { .max = MEMBERS_MAX };
	struct way *list = NULL;
	size_t n = 0;
	struct why why = { 0 };
	(void)from, (void)msg;
	fd_close(&fd);
	enum rc rc = view_ways(role_view_of(env), &a, &list, &n, &why);
	if (rc == RC_OK)
		wire_put_ways(&out, list, n);
	ipc_answer(call, whole(rc, &out), &why, &(struct msg_WAYS_answer){ .ways = buf_str(&out) });
}
