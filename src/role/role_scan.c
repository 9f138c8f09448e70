#include "role/role.h"

#include "base/mem.h"
#include "crypto/crypto.h"
#include "mail/digest.h"
#include "mail/icu.h"
#include "os/file.h"
#include "role/report_rules.h"
#include "role/report_take.h"

/* The role `scan`: computes and nothing else. It opens what strangers wrote, so it has no file, no key and no network, little memory, and
 * no long life: what somebody's message did to it is gone with it. */
enum { LIFE = 100000 }; /* messages, give or take a quarter: processes that share the work are not to end together */

/* Master starts the next one at once, and who asked meanwhile asks again. */
static void grow_older(struct role_env *e)
{
	uint64_t *left = e->state;
	if (!e->embedded && --*left == 0)
		loop_stop(e->loop);
}

static void on_scan(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct mail_digest d = { 0 };
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	enum rc rc = mail_digest(((const struct msg_SCAN *)msg)->message, &mail_limits_default, &d, &why);
	struct msg_SCAN_answer a = { .envelope = buf_str(&d.envelope), .structure = buf_str(&d.structure), .parts = buf_str(&d.parts),
		.preview = buf_str(&d.preview), .fields = buf_str(&d.fields), .attachments = buf_str(&d.attachments), .grams = buf_str(&d.grams),
		.defects = d.defects, .part_count = d.part_count, .date_ms = (uint64_t)d.date_ms };
	ipc_answer(call, rc, &why, &a);
	mail_digest_done(&d);
	grow_older(env);
}

static void on_fold(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct buf out;
	(void)env, (void)from;
	fd_close(&fd);
	buf_init(&out, 256 * 1024);
	enum rc rc = mail_fold(((const struct msg_FOLD *)msg)->text, &out);
	ipc_answer(call, rc, NULL, &(struct msg_FOLD_answer){ .folded = buf_str(&out) });
	buf_done(&out);
}

static void on_match(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_MATCH *m = msg;
	struct mail_match match = { .where = (enum mail_match_where)m->where, .field = m->field, .needle_folded = m->needle };
	bool yes = false;
	(void)env, (void)from;
	fd_close(&fd);
	enum rc rc = m->where > MATCH_HEADER ? RC_SYNTAX : mail_matches(m->message, &match, 1, &mail_limits_default, &yes);
	ipc_answer(call, rc, NULL, &(struct msg_MATCH_answer){ .yes = yes });
}

enum { REPORT_ROOM = 512 << 20, REPORT_PACKED = 32 << 20 };

static enum rc put_report(struct report *r, struct arena *a, struct buf *out)
{
	AUTO(buf_done) struct buf packed = { .max = REPORT_PACKED };
	TRY(report_shrink(r, REPORT_ROWS_IN, a));
	if (r->kind != REPORT_UNKNOWN)
		report_pack(r, &packed);
	buf_u8(out, (uint8_t)r->kind);
	buf_run(out, str_head(report_about_whom(r), 255));
	buf_run(out, r->kind == REPORT_UNKNOWN ? r->wrong : buf_str(&packed));
	return out->failed || packed.failed ? RC_LIMIT : RC_OK;
}

static void on_report_read(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct arena a;
	struct report first = { 0 };
	struct buf out;
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	arena_init(&a, REPORT_ROOM);
	buf_init(&out, REPORT_PACKED);
	enum rc rc = report_read(((const struct msg_REPORT_READ *)msg)->message, &a, &first, &why);
	for (struct report *r = &first; r && rc == RC_OK; r = r->next)
		rc = put_report(r, &a, &out);
	ipc_answer(call, rc, &why, &(struct msg_REPORT_READ_answer){ .reports = buf_str(&out) });
	buf_done(&out);
	arena_done(&a);
	grow_older(env);
}

/* The converters and tables of ICU are loaded before the sandbox closes the file system. */
static enum rc open_scan(struct role_env *e, struct why *why)
{
	TRY(icu_load(why));
	struct mail_digest d = { 0 };
	e->state = mem_new(sizeof(uint64_t));
	uint32_t luck = 0;
	if (!e->state)
		FAIL(why, RC_NOMEM, "no memory");
	TRY(random_bytes(&luck, sizeof luck));
	*(uint64_t *)e->state = LIFE - LIFE / 4 + luck % (LIFE / 2);
	enum rc rc = mail_digest(STR("Subject: =?iso-8859-15?q?=A4?=\r\nContent-Type: text/plain; charset=koi8-r\r\n\r\n\xc1\r\n"), &mail_limits_default, &d, why);
	mail_digest_done(&d);
	return rc;
}

static void close_scan(struct role_env *e)
{
	mail_thread_done();
	mem_free(e->state);
}

static ipc_handler *const on[MSG_COUNT] = { [MSG_SCAN] = on_scan, [MSG_REPORT_READ] = on_report_read, [MSG_FOLD] = on_fold, [MSG_MATCH] = on_match };

const struct role_ops role_scan = {
	.role = ROLE_SCAN,
	.talks_to = R_EDGE | R_ACCESS,
	.needs = SANDBOX_MEMFD,
	.max_memory = 2ul << 30,
	.open = open_scan,
	.close = close_scan,
	.on = on,
};
