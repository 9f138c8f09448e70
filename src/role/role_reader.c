#include "role/role.h"

#include "base/mem.h"
#include "os/file.h"
#include "role/reader_queue.h"
#include "role/reader_route.h"
#include "role/wire.h"
#include <time.h>

/* The role `reader`: bounded answers from the index, each one short snapshot. */
enum { ANSWER_MAX = 16 << 20, ROWS_MAX = 4 << 20, INDEX_WAIT_MS = 3000, INDEX_STEP_MS = 3 };

static struct view *view_of(void *env) { return ((struct role_env *)env)->state; }
struct view *role_view_of(void *env) { return view_of(env); }

static size_t paths(const struct role_env *e, struct sandbox_path out[ROLE_PATHS_MAX])
{
	out[0] = (struct sandbox_path){ role_path(e, "index"), true }; /* LMDB's reader slots lie in its lock file */
	return 1;
}

/* `store` makes the index; when both start for the first time, it is there in a moment. Nothing else runs here yet. */
static enum rc open_reader(struct role_env *e, struct why *why)
{
	char dir[4096];
	struct view *v = NULL;
	(void)snprintf(dir, sizeof dir, "%.*s", PSTR(e->config->server_data_dir));
	enum rc rc;
	for (int i = 0; (rc = view_open(dir, 0, &v, why)) != RC_OK && i < INDEX_WAIT_MS / INDEX_STEP_MS; i++)
		(void)nanosleep(&(struct timespec){ .tv_nsec = INDEX_STEP_MS * 1000000L }, NULL);
	e->state = v;
	return rc;
}

static void close_reader(struct role_env *e)
{
	struct view *v = e->state;
	if (v)
		view_close(&v);
}

static void on_address(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct arena a;
	struct account acct;
	struct str tag = STR("");
	struct why why = { 0 };
	struct buf out;
	uint64_t box = 0;
	(void)from;
	fd_close(&fd);
	arena_init(&a, 1 << 20);
	buf_init(&out, 4096);
	enum rc rc = view_address(view_of(env), ((const struct msg_ADDRESS *)msg)->address, &a, &acct, &tag, &why);
	if (rc == RC_OK) {
		/* user+junk goes to the folder Junk when there is one; any other tag to the INBOX. */
		struct box_info *boxes;
		size_t n = 0;
		if (tag.n && view_boxes(view_of(env), acct.id, &a, &boxes, &n, NULL) == RC_OK)
			for (size_t i = 0; i < n; i++)
				if (str_ieq(boxes[i].name, tag))
					box = boxes[i].id;
		wire_put_account(&out, &acct);
		rc = out.failed ? RC_NOMEM : RC_OK;
	}
	ipc_answer(call, rc, &why, &(struct msg_ADDRESS_answer){ .account = buf_str(&out), .tag = str_head(tag, 64), .box = box });
	buf_done(&out);
	arena_done(&a);
}

/* The folder for one use (RFC 6154), by number alone: who delivers need not know what folders there are. */
static void on_box_special(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_BOX_SPECIAL *m = msg;
	struct arena a;
	struct box_info *boxes;
	size_t n = 0;
	uint64_t box = 0;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	arena_init(&a, 8 << 20);
	enum rc rc = view_boxes(view_of(env), m->account, &a, &boxes, &n, &why);
	for (size_t i = 0; rc == RC_OK && i < n && !box; i++)
		if ((boxes[i].special_use & m->special_use) && boxes[i].selectable)
			box = boxes[i].id;
	if (rc == RC_OK && !box)
		rc = RC_NOTFOUND;
	ipc_answer(call, rc, &why, &(struct msg_BOX_SPECIAL_answer){ .box = box });
	arena_done(&a);
}

static void on_account(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct arena a;
	struct account acct;
	struct why why = { 0 };
	struct buf out;
	(void)from;
	fd_close(&fd);
	arena_init(&a, 1 << 16);
	buf_init(&out, 4096);
	enum rc rc = view_account(view_of(env), ((const struct msg_ACCOUNT_GET *)msg)->account, &a, &acct, &why);
	if (rc == RC_OK)
		wire_put_account(&out, &acct);
	ipc_answer(call, rc, &why, &(struct msg_ACCOUNT_GET_answer){ .packed = buf_str(&out) });
	buf_done(&out);
	arena_done(&a);
}

static void on_accounts(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct arena a;
	struct account *list = NULL;
	size_t n = 0;
	struct why why = { 0 };
	struct buf out;
	(void)from;
	fd_close(&fd);
	arena_init(&a, 8 << 20);
	buf_init(&out, 1 << 20);
	enum rc rc = view_accounts(view_of(env), ((const struct msg_ACCOUNTS *)msg)->after, 1000, &a, &list, &n, &why);
	if (rc == RC_OK)
		wire_put_accounts(&out, list, n);
	ipc_answer(call, rc == RC_OK && out.failed ? RC_NOMEM : rc, &why, &(struct msg_ACCOUNTS_answer){ .accounts = buf_str(&out) });
	buf_done(&out);
	arena_done(&a);
}

static void on_domains(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct arena a;
	struct str *list = NULL, *catch_alls = NULL;
	size_t n = 0;
	struct why why = { 0 };
	struct buf out, to;
	(void)from, (void)msg;
	fd_close(&fd);
	arena_init(&a, 8 << 20);
	buf_init(&out, 1 << 20);
	buf_init(&to, 1 << 20);
	enum rc rc = view_domains(view_of(env), &a, &list, &catch_alls, &n, &why);
	if (rc == RC_OK) {
		wire_put_strs(&out, list, n);
		wire_put_strs(&to, catch_alls, n);
		rc = out.failed || to.failed ? RC_NOMEM : RC_OK;
	}
	ipc_answer(call, rc, &why, &(struct msg_DOMAINS_answer){ .domains = buf_str(&out), .catch_alls = buf_str(&to) });
	buf_done(&out);
	buf_done(&to);
	arena_done(&a);
}

static void on_boxes(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct arena a;
	struct box_info *list = NULL;
	struct str *names = NULL;
	size_t n = 0, names_n = 0;
	struct why why = { 0 };
	struct buf out;
	(void)from;
	fd_close(&fd);
	arena_init(&a, 64 << 20);
	buf_init(&out, 8 << 20);
	enum rc rc = view_folders(view_of(env), ((const struct msg_BOXES *)msg)->account, &a, &list, &n, &names, &names_n, &why);
	if (rc == RC_OK)
		wire_put_folders(&out, list, n, names, names_n);
	ipc_answer(call, rc == RC_OK && out.failed ? RC_NOMEM : rc, &why, &(struct msg_BOXES_answer){ .boxes = buf_str(&out) });
	buf_done(&out);
	arena_done(&a);
}

static void on_box_status(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_BOX_STATUS *m = msg;
	struct arena a;
	struct box_info info;
	struct why why = { 0 };
	struct buf out;
	(void)from;
	fd_close(&fd);
	arena_init(&a, 1 << 20);
	buf_init(&out, 65536);
	enum rc rc = view_box(view_of(env), m->account, m->box, &a, &info, &why);
	if (rc == RC_OK)
		wire_put_box(&out, &info);
	ipc_answer(call, rc == RC_OK && out.failed ? RC_NOMEM : rc, &why, &(struct msg_BOX_STATUS_answer){ .box_info = buf_str(&out) });
	buf_done(&out);
	arena_done(&a);
}

static void on_box_open(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_BOX_OPEN *m = msg;
	struct arena a;
	struct box_info info;
	struct uid_range *runs = NULL;
	size_t n = 0;
	struct why why = { 0 };
	struct buf out, list;
	(void)from;
	fd_close(&fd);
	arena_init(&a, 64 << 20);
	buf_init(&out, 65536);
	buf_init(&list, ANSWER_MAX);
	enum rc rc = view_box(view_of(env), m->account, m->box, &a, &info, &why);
	if (rc == RC_OK && !info.selectable)
		rc = why_fail(&why, RC_NOTFOUND, 0, __FILE__, "this name only holds other folders");
	if (rc == RC_OK)
		rc = view_runs(view_of(env), m->account, m->box, &a, &runs, &n, &why);
	if (rc == RC_OK) {
		wire_put_box(&out, &info);
		wire_put_ranges(&list, runs, n);
		rc = out.failed || list.failed ? RC_NOMEM : RC_OK;
	}
	ipc_answer(call, rc, &why, &(struct msg_BOX_OPEN_answer){ .box_info = buf_str(&out), .runs = buf_str(&list) });
	buf_done(&out);
	buf_done(&list);
	arena_done(&a);
}

static void on_rows(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_ROWS *m = msg;
	struct arena a;
	struct uid_range *r = NULL;
	size_t n = 0;
	uint32_t next = 0;
	struct why why = { 0 };
	struct buf out;
	(void)from;
	fd_close(&fd);
	arena_init(&a, 32 << 20);
	buf_init(&out, ROWS_MAX);
	enum rc rc = wire_get_ranges(m->ranges, &a, &r, &n);
	size_t max = m->max_bytes < ROWS_MAX / 2 ? m->max_bytes : ROWS_MAX / 2;
	if (rc == RC_OK && !buf_room(&out, max + max / 8))
		rc = RC_NOMEM;
	if (rc == RC_OK)
		rc = view_rows(view_of(env), m->account, m->box, r, n, m->want, max, &out, &next, &why);
	ipc_answer(call, rc == RC_OK && out.failed ? RC_NOMEM : rc, &why, &(struct msg_ROWS_answer){ .rows = buf_str(&out), .next = next });
	buf_done(&out);
	arena_done(&a);
}

static void on_changes(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_CHANGES *m = msg;
	struct arena a;
	struct box_change *list = NULL;
	size_t n = 0;
	uint64_t modseq = m->since;
	bool more = false;
	struct why why = { 0 };
	struct buf out;
	(void)from;
	fd_close(&fd);
	arena_init(&a, 8 << 20);
	buf_init(&out, 1 << 20);
	enum rc rc = view_changes(view_of(env), m->account, m->box, m->since, 10000, &a, &list, &n, &modseq, &more, &why);
	if (rc == RC_OK)
		wire_put_changes(&out, list, n);
	struct msg_CHANGES_answer answer = { .changes = buf_str(&out), .modseq = modseq, .more = more };
	ipc_answer(call, rc == RC_OK && out.failed ? RC_NOMEM : rc, &why, &answer);
	buf_done(&out);
	arena_done(&a);
}

static void on_epochs(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_EPOCHS *m = msg;
	uint64_t next = 0;
	struct why why = { 0 };
	struct buf out;
	(void)from;
	fd_close(&fd);
	buf_init(&out, 1 << 20);
	enum rc rc = view_epochs(view_of(env), m->owner, m->after, 512 * 1024, &out, &next, &why);
	ipc_answer(call, rc == RC_OK && out.failed ? RC_NOMEM : rc, &why, &(struct msg_EPOCHS_answer){ .epochs = buf_str(&out), .next = next });
	buf_done(&out);
}

static void on_place(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_PLACE *m = msg;
	struct blob_id id;
	struct blob_place p = { 0 };
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = m->blob.n == sizeof id.b ? RC_OK : RC_SYNTAX;
	if (rc == RC_OK) {
		memcpy(id.b, m->blob.p, sizeof id.b);
		rc = view_place(view_of(env), &id, &p, &why);
	}
	ipc_answer(call, rc, &why, &(struct msg_PLACE_answer){ .segment = p.segment, .offset = p.offset, .length = p.length });
}

static ipc_handler *const on[MSG_COUNT] = {
	[MSG_ADDRESS] = on_address,       [MSG_ACCOUNT_GET] = on_account, [MSG_ACCOUNTS] = on_accounts, [MSG_DOMAINS] = on_domains,
	[MSG_BOXES] = on_boxes,           [MSG_BOX_STATUS] = on_box_status, [MSG_BOX_OPEN] = on_box_open, [MSG_ROWS] = on_rows,
	[MSG_CHANGES] = on_changes,       [MSG_EPOCHS] = on_epochs,       [MSG_PLACE] = on_place,           [MSG_BOX_SPECIAL] = on_box_special,
	[MSG_QUEUE_SCAN] = reader_on_queue_scan, [MSG_LETTER] = reader_on_letter, [MSG_NOTES] = reader_on_notes,
	[MSG_ROUTE] = reader_on_route,    [MSG_MAY_SEND] = reader_on_may_send, [MSG_RULES] = reader_on_rules, [MSG_ADDRESSES] = reader_on_addresses,
	[MSG_GROUPS] = reader_on_groups,  [MSG_GROUP_GET] = reader_on_group_get, [MSG_WAYS] = reader_on_ways,
};

const struct role_ops role_reader = {
	.role = ROLE_READER,
	.talks_to = R_EDGE | R_ACCESS | R_RELAY,
	.needs = SANDBOX_FILES | SANDBOX_LMDB | SANDBOX_MEMFD,
	.paths = paths,
	.open = open_reader,
	.close = close_reader,
	.on = on,
};
