#include "ipc/codec.h"
#include "ipc/frame.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "os/file.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct buf encoded(enum msg_type t, bool answer, const void *msg)
{
	struct buf b;
	buf_init(&b, 1 << 20);
	assert_int_equal(msg_encode(t, answer, msg, &b), RC_OK);
	return b;
}

static void a_message_comes_back_as_it_was(void **state)
{
	(void)state;
	struct msg_LOGIN in = { .account = 0x0123456789abcdefu, .password = STR("open sesame"), .network = STR("0123456789abcdef"), .protocol = STR("imap") }, out;
	AUTO(buf_done) struct buf b = encoded(MSG_LOGIN, false, &in);
	assert_int_equal(msg_decode(MSG_LOGIN, false, buf_str(&b), &out, NULL), RC_OK);
	assert_true(out.account == in.account);
	assert_true(str_eq(out.password, in.password) && str_eq(out.network, in.network) && str_eq(out.protocol, in.protocol));
}

static void every_message_is_refused_at_every_cut_and_with_an_octet_more(void **state)
{
	(void)state;
	for (enum msg_type t = 0; t < MSG_COUNT; t++) {
		for (int answer = 0; answer <= msg_is_ask(t); answer++) {
			_Alignas(16) char zero[MSG_STRUCT_MAX] = { 0 }, out[MSG_STRUCT_MAX];
			AUTO(buf_done) struct buf b = encoded(t, answer, zero);
			for (size_t n = 0; n < b.len; n++)
				assert_int_equal(msg_decode(t, answer, str_head(buf_str(&b), n), out, NULL), RC_SYNTAX);
			assert_int_equal(msg_decode(t, answer, buf_str(&b), out, NULL), RC_OK);
			buf_u8(&b, 0);
			struct why why = { 0 };
			assert_int_equal(msg_decode(t, answer, buf_str(&b), out, &why), RC_SYNTAX);
			assert_non_null(strstr(why.text, "1 octets too many"));
		}
	}
}

static void a_field_over_its_maximum_is_refused_on_both_ends(void **state)
{
	(void)state;
	char long_text[400];
	memset(long_text, 'a', sizeof long_text);
	struct msg_ADDRESS m = { .address = str_of(long_text, 321) }, out;
	struct buf b;
	buf_init(&b, 4096);
	assert_int_equal(msg_encode(MSG_ADDRESS, false, &m, &b), RC_LIMIT);
	buf_clear(&b);
	buf_run(&b, str_of(long_text, 321));
	assert_int_equal(msg_decode(MSG_ADDRESS, false, buf_str(&b), &out, NULL), RC_SYNTAX);
	buf_done(&b);
}

static void a_list_of_messages_is_as_it_was_when_one_does_not_fit(void **state)
{
	(void)state;
	char long_text[321];
	memset(long_text, 'a', sizeof long_text);
	AUTO(buf_done) struct buf list = { .max = 300 };
	assert_true(msg_add(&list, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = STR("bob@example.org") }));
	size_t had = list.len;
	assert_false(msg_add(&list, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = str_of(long_text, 321) })); /* over the field's maximum */
	assert_true(list.len == had && !list.failed);
	assert_true(msg_add(&list, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = STR("joe@example.org") }));
	had = list.len;
	for (size_t n = list.max - had - 7; n <= 320; n++) { /* over the list's: each has two lengths of four octets */
		assert_false(msg_add(&list, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = str_of(long_text, n) }));
		assert_true(list.len == had && !list.failed);
	}
	struct cursor c = cursor_of(buf_str(&list));
	static const char *const who[] = { "bob@example.org", "joe@example.org" };
	for (size_t i = 0; i < 2; i++) {
		struct msg_ADDRESS m;
		assert_int_equal(msg_decode(MSG_ADDRESS, false, cursor_run(&c, 300), &m, NULL), RC_OK);
		assert_true(str_eq(m.address, str_z(who[i])));
	}
	assert_true(cursor_at_end(&c));
}

static void only_the_roles_in_the_table_may_send_a_message(void **state)
{
	(void)state;
	static const struct { enum role from, to; enum msg_type t; bool yes; } cases[] = {
		{ ROLE_EDGE, ROLE_STORE, MSG_DELIVER, true },     { ROLE_SCAN, ROLE_STORE, MSG_DELIVER, false },
		{ ROLE_EDGE, ROLE_VAULT, MSG_ACCOUNT_KEYS, false }, { ROLE_CTL, ROLE_VAULT, MSG_ACCOUNT_KEYS, true },
		{ ROLE_ACCESS, ROLE_VAULT, MSG_PASSWORD_SET, false }, { ROLE_EDGE, ROLE_READER, MSG_ROWS, false },
		{ ROLE_EDGE, ROLE_STORE, MSG_EXPUNGE, false },    { ROLE_STORE, ROLE_VAULT, MSG_LOGIN, false },
		{ ROLE_WEB, ROLE_STORE, MSG_STORE_STATS, false }, { ROLE_ACCESS, ROLE_STORE, MSG_ACCOUNT_REMOVE, false },
		{ ROLE_ACCESS, ROLE_STORE, MSG_RECENT, true },    { ROLE_EDGE, ROLE_STORE, MSG_RECENT, false },
		{ ROLE_ACCESS, ROLE_READER, MSG_RECENT, false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(msg_permitted(cases[i].from, cases[i].to, cases[i].t), cases[i].yes);
}

/* ---- channels ---- */

struct pair { struct loop *l; struct ipc_node *a, *b; struct ipc_peer *ab, *ba; int gone, violated, told, deaths; bool ok; };

static void answer_address(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_ADDRESS *m = msg;
	(void)house, (void)from;
	assert_int_equal(fd, -1);
	if (str_eq(m->address, STR("nobody@x"))) {
		struct why why = { .text = "no such address" };
		ipc_answer(call, RC_NOTFOUND, &why, NULL);
		return;
	}
	if (str_eq(m->address, STR("slow@x")))
		(void)!fiber_sleep(20);
	ipc_answer(call, RC_OK, NULL, &(struct msg_ADDRESS_answer){ .account = m->address, .tag = STR("t"), .box = 7 });
}

static void answer_scan(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	const struct msg_SCAN *m = msg;
	(void)house, (void)from, (void)fd;
	ipc_answer(call, RC_OK, NULL, &(struct msg_SCAN_answer){ .structure = m->message, .part_count = 3 });
}

static void take_peer(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	struct pair *p = house;
	(void)from, (void)msg;
	assert_null(call);
	assert_true(fd >= 0);
	p->told++;
	fd_close(&fd);
}

static void count_gone(void *house, struct ipc_peer *peer)
{
	(void)peer;
	((struct pair *)house)->gone++;
}

static void count_violation(void *house, struct ipc_peer *peer, const char *what)
{
	(void)peer, (void)what;
	((struct pair *)house)->violated++;
}

static void open_pair(struct pair *p, enum role a, enum role b)
{
	int ends[2];
	struct why why;
	*p = (struct pair){ 0 };
	assert_int_equal(loop_open(&p->l, &why), RC_OK);
	struct ipc_config ca = { .role = a, .index = 0x10000000, .house = p, .gone = count_gone, .violation = count_violation }; /* says so in its HELLO */
	struct ipc_config cb = ca;
	cb.role = b;
	cb.on[MSG_ADDRESS] = answer_address;
	cb.on[MSG_SCAN] = answer_scan;
	cb.on[MSG_PEER] = take_peer;
	assert_int_equal(ipc_node_new(p->l, &ca, &p->a), RC_OK);
	assert_int_equal(ipc_node_new(p->l, &cb, &p->b), RC_OK);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(ipc_attach(p->a, ends[0], b, 3, &p->ab, &why), RC_OK);
	assert_int_equal(ipc_attach(p->b, ends[1], a, 4, &p->ba, &why), RC_OK);
}

static void run_pair(struct pair *p, void (*fn)(void *))
{
	assert_int_equal(fiber_start(p->l, fn, p, NULL), RC_OK);
	loop_run(p->l);
	ipc_node_free(&p->a);
	ipc_node_free(&p->b);
	loop_close(&p->l);
	assert_true(p->ok);
}

static void ask_some(void *arg)
{
	struct pair *p = arg;
	struct msg_ADDRESS_answer a;
	struct ipc_reply r = { 0 };
	struct why why = { 0 };
	assert_int_equal(ipc_ask_role(p->a, ROLE_READER, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = STR("bob@x") }, &a, &r, false, &why), RC_OK);
	assert_true(str_eq(a.account, STR("bob@x")) && a.box == 7);
	assert_int_equal(ipc_peer_index(p->ab), 3); /* as introduced, whatever they say of themselves */
	assert_int_equal(ipc_peer_index(p->ba), 4);
	ipc_reply_done(&r);
	assert_int_equal(ipc_ask(p->ab, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = STR("nobody@x") }, &a, &r, &why), RC_NOTFOUND);
	assert_string_equal(why.text, "no such address");
	/* answers come in any order: each finds its own question */
	struct ipc_pending *slow, *quick;
	assert_int_equal(ipc_ask_start(p->ab, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = STR("slow@x") }, &slow, NULL), RC_OK);
	assert_int_equal(ipc_ask_start(p->ab, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = STR("quick@x") }, &quick, NULL), RC_OK);
	assert_int_equal(ipc_ask_collect(&slow, &a, &r, NULL), RC_OK);
	assert_true(str_eq(a.account, STR("slow@x")));
	ipc_reply_done(&r);
	assert_int_equal(ipc_ask_collect(&quick, &a, &r, NULL), RC_OK);
	assert_true(str_eq(a.account, STR("quick@x")));
	ipc_reply_done(&r);
	/* an answer that nobody waits for any more is dropped */
	assert_int_equal(ipc_ask_start(p->ab, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = STR("slow@x") }, &slow, NULL), RC_OK);
	ipc_ask_abandon(&slow);
	(void)!fiber_sleep(40);
	p->ok = true;
	loop_stop(p->l);
}

static void questions_find_their_answers(void **state)
{
	struct pair p;
	(void)state;
	open_pair(&p, ROLE_EDGE, ROLE_READER);
	run_pair(&p, ask_some);
}

static void ask_large(void *arg)
{
	struct pair *p = arg;
	static const size_t sizes[] = { 0, 1, 511, 512, 30000, 60 * 1024, 124 * 1024 - 100, 124 * 1024, 130000, 5 << 20 };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		char *big = mem_new(sizes[i]);
		for (size_t k = 0; k < sizes[i]; k++)
			big[k] = (char)(k * 31);
		struct msg_SCAN_answer a;
		struct ipc_reply r = { 0 };
		assert_int_equal(ipc_ask_role(p->a, ROLE_SCAN, MSG_SCAN, &(struct msg_SCAN){ .message = str_of(big, sizes[i]) }, &a, &r, false, NULL), RC_OK);
		assert_true(str_eq(a.structure, str_of(big, sizes[i])));
		assert_int_equal(a.part_count, 3);
		ipc_reply_done(&r);
		mem_free(big);
	}
	p->ok = true;
	loop_stop(p->l);
}

static void frames_of_any_size_arrive_whole(void **state)
{
	struct pair p;
	(void)state;
	open_pair(&p, ROLE_EDGE, ROLE_SCAN);
	run_pair(&p, ask_large);
}

static void ask_while_peer_dies(void *arg)
{
	struct pair *p = arg;
	struct ipc_pending *h;
	struct ipc_peer *found;
	struct why why = { 0 };
	assert_int_equal(ipc_find(p->a, ROLE_READER, 1000, &found), RC_OK);
	assert_int_equal(ipc_ask_start(p->ab, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = STR("slow@x") }, &h, NULL), RC_OK);
	ipc_detach(p->ba);
	assert_int_equal(ipc_ask_collect(&h, NULL, NULL, &why), RC_CLOSED);
	assert_string_equal(why.text, "reader went away");
	assert_int_equal(p->gone, 2);
	p->ok = true;
	(void)!fiber_sleep(40);
	loop_stop(p->l);
}

static void the_end_of_a_channel_fails_what_is_pending(void **state)
{
	struct pair p;
	(void)state;
	open_pair(&p, ROLE_EDGE, ROLE_READER);
	run_pair(&p, ask_while_peer_dies);
}

/* Each time that a question is under way, its peer ends and another one comes. */
static void kill_some(void *arg)
{
	struct pair *p = arg;
	while (p->deaths-- > 0) {
		int ends[2];
		struct ipc_peer *old = p->ba;
		struct why why = { 0 };
		assert_int_equal(fiber_sleep(8), RC_OK);
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
		ipc_detach(old);
		assert_int_equal(ipc_attach(p->a, ends[0], ROLE_READER, 3, &p->ab, &why), RC_OK);
		assert_int_equal(ipc_attach(p->b, ends[1], ROLE_EDGE, 4, &p->ba, &why), RC_OK);
	}
}

static void ask_peers_that_die(void *arg)
{
	static const struct { int deaths; bool again; enum rc rc; } cases[] = { { 1, false, RC_CLOSED }, { 1, true, RC_OK }, { 2, true, RC_OK }, { 3, true, RC_CLOSED } };
	struct pair *p = arg;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct msg_ADDRESS_answer a;
		struct ipc_reply r = { 0 };
		struct ipc_peer *found;
		assert_int_equal(ipc_find(p->a, ROLE_READER, 1000, &found), RC_OK);
		p->deaths = cases[i].deaths;
		assert_int_equal(fiber_start(p->l, kill_some, p, NULL), RC_OK);
		assert_int_equal(ipc_ask_role(p->a, ROLE_READER, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = STR("slow@x") }, &a, &r, cases[i].again, NULL), cases[i].rc);
		assert_true(cases[i].rc != RC_OK || str_eq(a.account, STR("slow@x")));
		ipc_reply_done(&r);
		(void)!fiber_sleep(40);
		assert_true(p->deaths < 0);
	}
	p->ok = true;
	loop_stop(p->l);
}

static void a_harmless_question_is_asked_three_times(void **state)
{
	struct pair p;
	(void)state;
	open_pair(&p, ROLE_EDGE, ROLE_READER);
	run_pair(&p, ask_peers_that_die);
}

static void say_what_may_not_be_said(void *arg)
{
	struct pair *p = arg;
	struct ipc_peer *found;
	assert_int_equal(ipc_find(p->a, ROLE_READER, 1000, &found), RC_OK);
	assert_int_equal(ipc_tell(found, MSG_PEER, &(struct msg_PEER){ .role = ROLE_EDGE }, -1), RC_OK);
	for (int i = 0; i < 100 && !p->violated; i++)
		fiber_yield();
	assert_int_equal(p->violated, 1);
	p->ok = p->told == 0;
	loop_stop(p->l);
}

static void a_message_that_a_role_may_not_send_ends_its_channel(void **state)
{
	struct pair p;
	(void)state;
	open_pair(&p, ROLE_EDGE, ROLE_READER); /* PEER is master's to say */
	run_pair(&p, say_what_may_not_be_said);
}

static void hand_over_a_descriptor(void *arg)
{
	struct pair *p = arg;
	struct ipc_peer *found;
	assert_int_equal(ipc_find(p->a, ROLE_EDGE, 1000, &found), RC_OK);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ipc_tell(found, MSG_PEER, &(struct msg_PEER){ .role = ROLE_SCAN }, fd), RC_OK);
	fd_close(&fd);
	for (int i = 0; i < 100 && !p->told; i++)
		fiber_yield();
	p->ok = p->told == 1;
	loop_stop(p->l);
}

static void a_descriptor_travels_with_a_message(void **state)
{
	struct pair p;
	(void)state;
	open_pair(&p, ROLE_MASTER, ROLE_EDGE);
	run_pair(&p, hand_over_a_descriptor);
}

static void a_memfd_that_could_still_change_is_refused(void **state)
{
	(void)state;
	struct ipc_frame *f = NULL;
	struct why why = { 0 };
	int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, 70000), 0);
	int again = dup(fd);
	assert_int_equal(frame_of_memfd(again, 70000, &f, &why), RC_SYNTAX);
	assert_string_equal(why.text, "the memfd is not sealed");
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	again = dup(fd);
	assert_int_equal(frame_of_memfd(again, 70001, &f, &why), RC_SYNTAX);
	again = dup(fd);
	assert_int_equal(frame_of_memfd(again, 70000, &f, &why), RC_OK);
	frame_free(&f);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_comes_back_as_it_was),
		cmocka_unit_test(every_message_is_refused_at_every_cut_and_with_an_octet_more),
		cmocka_unit_test(a_field_over_its_maximum_is_refused_on_both_ends),
		cmocka_unit_test(a_list_of_messages_is_as_it_was_when_one_does_not_fit),
		cmocka_unit_test(only_the_roles_in_the_table_may_send_a_message),
		cmocka_unit_test(questions_find_their_answers),
		cmocka_unit_test(frames_of_any_size_arrive_whole),
		cmocka_unit_test(the_end_of_a_channel_fails_what_is_pending),
		cmocka_unit_test(a_harmless_question_is_asked_three_times),
		cmocka_unit_test(a_message_that_a_role_may_not_send_ends_its_channel),
		cmocka_unit_test(a_descriptor_travels_with_a_message),
		cmocka_unit_test(a_memfd_that_could_still_change_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
