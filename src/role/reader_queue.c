#include "role/reader_queue.h"

#include "os/file.h"
#include "store/queue.h"

enum { SCAN_MAX = 4 << 20, NOTES_MAX = 1 << 20, NOTES_PAGE = 512 << 10 };

void reader_on_queue_scan(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_QUEUE_SCAN *m = msg;
	struct msg_QUEUE_SCAN_answer answer = { 0 };
	struct why why = { 0 };
	struct buf out;
	(void)from;
	fd_close(&fd);
	buf_init(&out, SCAN_MAX);
	size_t max = m->max_bytes < SCAN_MAX / 2 ? m->max_bytes : SCAN_MAX / 2;
	enum rc rc = view_queue(role_view_of(env), m->done, m->letter, m->n, max, &out, &answer.next_letter, &answer.next_n, &why);
	answer.rows = buf_str(&out);
	ipc_answer(call, rc, &why, &answer);
	buf_done(&out);
}

void reader_on_letter(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct queue_letter l = { 0 };
	struct why why = { 0 };
	struct arena a;
	(void)from;
	fd_close(&fd);
	arena_init(&a, QUEUE_LETTER_MAX + 4096);
	enum rc rc = view_letter(role_view_of(env), ((const struct msg_LETTER *)msg)->letter, &a, &l, &why);
	struct msg_LETTER_answer answer = { .blob = str_of(l.blob.b, sizeof l.blob.b), .rows_left = l.rows_left, .sealed = l.sealed };
	ipc_answer(call, rc, &why, &answer);
	arena_done(&a);
}

void reader_on_notes(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_NOTES *m = msg;
	struct why why = { 0 };
	bool more = false;
	struct buf out;
	(void)from;
	fd_close(&fd);
	buf_init(&out, NOTES_MAX);
	enum rc rc = view_notes(role_view_of(env), m->prefix, m->after, NOTES_PAGE, &out, &more, &why);
	ipc_answer(call, rc, &why, &(struct msg_NOTES_answer){ .notes = buf_str(&out), .more = more });
	buf_done(&out);
}
