/* A letter's way between the roles: `edge` seals it and asks the store, `relay` hears of it, reads it from a reader, opens it, and changes its rows.
 * The roles' own tables of handlers, over real channels, in one process. */
#include "role/letter.h"
#include "role/role.h"
#include "role/sealer.h"
#include "role/wire_queue.h"
#include "unit/store/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static struct config config;
static struct role_env store_env, reader_env, edge_env, relay_env, access_env;
static struct sealer *sealer, *access_sealer;
static struct secret queue_private;
static uint8_t queue_public[PUB_LEN];
static struct unsealer *queue;
static char dir[64];
static struct why why;
static struct waitlist heard;
static uint64_t news;

#define OK(call)                                                                     \
	do {                                                                         \
		enum rc ok_rc = (call);                                              \
		if (ok_rc != RC_OK)                                                  \
			fail_msg("%s: %s (%s)", #call, rc_name(ok_rc), why.text);    \
	} while (0)

static void on_news(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	(void)house, (void)from, (void)call, (void)fd;
	news = ((const struct msg_QUEUE_NEWS *)msg)->letter;
	wake_all(&heard);
}

static void open_role(struct role_env *e, enum role role, const struct role_ops *ops)
{
	struct ipc_config c = { .role = role, .house = e };
	*e = (struct role_env){ .ops = ops, .loop = loop, .config = &config, .embedded = true };
	if (ops) {
		OK(ops->open(e, &why));
		memcpy(c.on, ops->on, sizeof c.on);
	}
	c.on[MSG_QUEUE_NEWS] = on_news;
	OK(ipc_node_new(loop, &c, &e->node));
}

static void connect_roles(struct role_env *a, enum role a_role, struct role_env *b, enum role b_role)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	OK(ipc_attach(a->node, ends[0], b_role, 0, NULL, &why));
	OK(ipc_attach(b->node, ends[1], a_role, 0, NULL, &why));
}

static int set_up(void **state)
{
	memcpy(dir, "/tmp/llqueue.XXXXXX", sizeof "/tmp/llqueue.XXXXXX");
	assert_non_null(mkdtemp(dir));
	config_init(&config);
	config.server_data_dir = str_z(dir);
	OK(loop_open(&loop, &why));
	open_role(&store_env, ROLE_STORE, &role_store);
	open_role(&reader_env, ROLE_READER, &role_reader);
	open_role(&edge_env, ROLE_EDGE, NULL);
	open_role(&relay_env, ROLE_RELAY, NULL);
	open_role(&access_env, ROLE_ACCESS, NULL);
	connect_roles(&access_env, ROLE_ACCESS, &store_env, ROLE_STORE);
	connect_roles(&edge_env, ROLE_EDGE, &store_env, ROLE_STORE);
	connect_roles(&relay_env, ROLE_RELAY, &store_env, ROLE_STORE);
	connect_roles(&relay_env, ROLE_RELAY, &reader_env, ROLE_READER);
	OK(sealer_new(&edge_env, &sealer));
	OK(sealer_new(&access_env, &access_sealer));
	OK(x25519_pair(&queue_private, queue_public));
	OK(unsealer_new(&queue_private, queue_public, &queue));
	return 0;
}

static int tear_down(void **state)
{
	sealer_free(&sealer);
	sealer_free(&access_sealer);
	unsealer_free(&queue);
	ipc_node_free(&edge_env.node);
	ipc_node_free(&relay_env.node);
	ipc_node_free(&access_env.node);
	role_store.close(&store_env);
	role_reader.close(&reader_env);
	ipc_node_free(&store_env.node);
	ipc_node_free(&reader_env.node);
	loop_close(&loop);
	config_done(&config);
	tree_remove(dir);
	return 0;
}

/* ---- edge ---- */
static const struct letter_rcpt rcpts[2] = { { .address = STR_INIT("bob@else.test") }, { .address = STR_INIT("eve@else.test") } };
static const uint64_t lanes[2] = { 5, 5 };
static const struct str message = STR_INIT("Subject: out\r\n\r\nhello\r\n");

static enum rc send_by(struct sealer *by, uint64_t delivery, uint64_t *out_number)
{
	struct seal_letter in = { .letter = { .sender = STR("alice@demo.test"), .account = 9, .created_ms = 1 }, .rcpts = rcpts, .lanes = lanes, .n = 2, .priority = 4 };
	uint32_t defects = 1;
	struct seal_out out = { .delivery = delivery, .queue_public = queue_public, .letters = &in, .letter_n = 1, .out_letters = out_number };
	enum rc rc = sealer_deliver_out(by, message, 1, NULL, 0, &out, NULL, &defects, &why);
	assert_int_equal(defects, 0);
	return rc;
}

static uint64_t send_letter(uint64_t delivery)
{
	uint64_t number = 0;
	OK(send_by(sealer, delivery, &number));
	return number;
}

/* ---- relay ---- */
static struct ipc_reply reply;

static size_t scan(bool done, struct queue_row out[8])
{
	struct msg_QUEUE_SCAN q = { .done = done, .max_bytes = 65536 };
	struct msg_QUEUE_SCAN_answer a;
	size_t n = 0;
	ipc_reply_done(&reply);
	OK(ipc_ask_role(relay_env.node, ROLE_READER, MSG_QUEUE_SCAN, &q, &a, &reply, true, &why));
	struct cursor c = cursor_of(a.rows);
	while (c.in.n && n < 8)
		OK(queue_row_get(&c, &out[n++]));
	assert_int_equal(a.next_letter, 0);
	return n;
}

static void open_letter(uint64_t number, struct arena *mem, struct letter *out)
{
	struct msg_LETTER q = { .letter = number };
	struct msg_LETTER_answer a;
	struct msg_PLACE_answer place;
	struct blob_id id;
	struct ipc_reply r = { 0 };
	OK(ipc_ask_role(relay_env.node, ROLE_READER, MSG_LETTER, &q, &a, &r, true, &why));
	assert_int_equal(a.rows_left, 2);
	memcpy(id.b, a.blob.p, sizeof id.b);
	OK(letter_open(queue, &id, a.sealed, mem, out));
	OK(ipc_ask_role(relay_env.node, ROLE_READER, MSG_PLACE, &(struct msg_PLACE){ .blob = a.blob }, &place, NULL, true, &why));
	assert_true(place.length > message.n);
	ipc_reply_done(&r);
}

static void change(struct queue_change *list, size_t n)
{
	AUTO(buf_done) struct buf packed = { .max = 65536 };
	struct msg_QUEUE_CHANGE_answer a;
	struct ipc_reply r = { 0 };
	wire_put_queue_changes(&packed, list, n);
	OK(ipc_ask_role(relay_env.node, ROLE_STORE, MSG_QUEUE_CHANGE, &(struct msg_QUEUE_CHANGE){ .changes = buf_str(&packed) }, &a, &r, true, &why));
	OK(wire_get_outcomes(a.results, list, n));
	ipc_reply_done(&r);
}

static void check_rows(const struct queue_row *rows, size_t n)
{
	struct arena mem;
	struct letter l;
	arena_init(&mem, 65536);
	open_letter(rows[0].letter, &mem, &l);
	assert_true(str_eq(l.sender, STR("alice@demo.test")) && l.size == message.n);
	for (uint32_t i = 0; i < n; i++) {
		struct letter_rcpt r;
		assert_true(rows[i].letter == 1 && rows[i].n == i && rows[i].version == 1 && rows[i].state == QUEUE_READY && rows[i].lane == 5);
		OK(letter_rcpt_open(&l.row_key, 1, i, rows[i].sealed, &mem, &r));
		assert_true(str_eq(r.address, rcpts[i].address));
	}
	arena_done(&mem);
}

static void notes(void)
{
	struct msg_NOTES_answer a;
	struct ipc_reply r = { 0 };
	struct str key, value;
	OK(ipc_ask_role(relay_env.node, ROLE_STORE, MSG_NOTE_PUT, &(struct msg_NOTE_PUT){ .key = STR("sts.else.test"), .value = STR("policy") }, NULL, NULL, true, &why));
	OK(ipc_ask_role(relay_env.node, ROLE_READER, MSG_NOTES, &(struct msg_NOTES){ .prefix = STR("sts.") }, &a, &r, true, &why));
	struct cursor c = cursor_of(a.notes);
	OK(wire_next_note(&c, &key, &value));
	assert_true(str_eq(key, STR("sts.else.test")) && str_eq(value, STR("policy")) && !a.more && cursor_at_end(&c));
	ipc_reply_done(&r);
}

static void journey(void *arg)
{
	struct queue_row rows[8];
	struct msg_QUEUE_FORGET_answer forgot;
	uint64_t number;
	(void)arg;
	assert_int_equal(send_by(access_sealer, 76, &number), RC_DENIED);
	assert_int_equal(send_letter(77), 1);
	while (news == 0)
		OK(wait_on(&heard, loop_now(loop) + 10000));
	assert_int_equal(news, 1);
	assert_int_equal(scan(false, rows), 2);
	check_rows(rows, 2);
	struct queue_change c[2] = { { .row = rows[0], .done = STR("history") }, { .row = rows[1], .done = STR("") } };
	c[0].row.state = QUEUE_DONE;
	c[0].row.end = QUEUE_SENT;
	c[0].row.due_ms = 5;
	c[1].row.version = 3;
	change(c, 2);
	assert_true(c[0].rc == RC_OK && c[1].rc == RC_CONFLICT);
	assert_int_equal(send_letter(77), 1); /* its answer was lost, say: nothing is stored twice */
	assert_int_equal(scan(false, rows), 1);
	assert_true(rows[0].n == 1 && rows[0].version == 1);
	assert_int_equal(scan(true, rows), 1);
	assert_true(rows[0].n == 0 && rows[0].end == QUEUE_SENT && str_eq(rows[0].sealed, STR("history")));
	OK(ipc_ask_role(relay_env.node, ROLE_STORE, MSG_QUEUE_FORGET, &(struct msg_QUEUE_FORGET){ .before_ms = 10, .max = 10 }, &forgot, NULL, true, &why));
	assert_int_equal(forgot.more, 0);
	assert_int_equal(scan(true, rows), 0);
	notes();
	ipc_reply_done(&reply);
	loop_stop(loop);
}

static void a_letter_goes_from_edge_through_the_store_to_relay_and_is_done_there(void **state)
{
	OK(fiber_start(loop, journey, NULL, NULL));
	loop_run(loop);
	assert_int_equal(news, 1);
}

static void only_edge_puts_letters_and_only_relay_changes_them(void **state)
{
	for (enum role r = ROLE_MASTER; r < ROLE_COUNT; r++) {
		assert_int_equal(msg_permitted(r, ROLE_STORE, MSG_QUEUE_CHANGE), r == ROLE_RELAY);
		assert_int_equal(msg_permitted(r, ROLE_VAULT, MSG_QUEUE_KEY), r == ROLE_RELAY);
		assert_int_equal(msg_permitted(r, ROLE_READER, MSG_LETTER), r == ROLE_RELAY);
		assert_int_equal(msg_permitted(r, ROLE_STORE, MSG_DELIVER), r == ROLE_EDGE || r == ROLE_ACCESS); /* whose letters are refused: above */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_letter_goes_from_edge_through_the_store_to_relay_and_is_done_there, set_up, tear_down),
		cmocka_unit_test(only_edge_puts_letters_and_only_relay_changes_them),
	};
	return cmocka_run_group_tests_name("queue_path", tests, NULL, NULL);
}
