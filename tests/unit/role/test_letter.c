#include "role/letter.h"

#include "role/sealer.h"
#include "role/wire_queue.h"
#include "smtp/session.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Letters and rows: what is sealed comes back whole, to its owner alone, and only where it belongs. */
static const struct blob_id body = { { 1, 2, 3 } }, other_body = { { 1, 2, 4 } };
static struct secret queue_private;
static uint8_t queue_public[PUB_LEN];
static struct unsealer *queue;

static const struct letter whole = {
	.body_key = { { 1, 2, 3 } }, .row_key = { { 250, 251 } }, .mid = STR_INIT("0123456789abcdef"), .sender = STR_INIT("alice@demo.test"),
	.owner = STR_INIT("alice.a@demo.test"), .account = 0xfedcba9876543210, .kind = LETTER_FORWARDED, .prefix = STR_INIT("DKIM-Signature: v=1\r\nDelivered-To: x\r\n"),
	.skip = 77, .size = 1ull << 40, .envid = STR_INIT("QQ314159"), .ret = LETTER_RET_HDRS, .body_8bit = true, .body_binary = false, .smtputf8 = true,
	.utf8_header = false, .require_tls = true, .tls_optional = false, .created_ms = -5, .deliver_by_ms = 123456789012, .by_return = true, .has_priority = true, .mt_priority = -9,
	.subject = STR_INIT("Gr\xc3\xbc\xc3\x9f" "e"), .from = STR_INIT("Alice <alice@demo.test>"),
};

static int set_up(void **state)
{
	assert_int_equal(x25519_pair(&queue_private, queue_public), RC_OK);
	assert_int_equal(unsealer_new(&queue_private, queue_public, &queue), RC_OK);
	return 0;
}

static int tear_down(void **state)
{
	unsealer_free(&queue);
	return 0;
}

static void expect_letter(const struct letter *l, const struct letter *w)
{
	assert_memory_equal(l->body_key.k, w->body_key.k, KEY_LEN);
	assert_memory_equal(l->row_key.k, w->row_key.k, KEY_LEN);
	assert_true(str_eq(l->mid, w->mid) && str_eq(l->sender, w->sender) && str_eq(l->owner, w->owner) && str_eq(l->prefix, w->prefix));
	assert_true(str_eq(l->envid, w->envid) && str_eq(l->subject, w->subject) && str_eq(l->from, w->from));
	assert_true(l->account == w->account && l->kind == w->kind && l->skip == w->skip && l->size == w->size && l->ret == w->ret);
	assert_true(l->body_8bit == w->body_8bit && l->body_binary == w->body_binary && l->smtputf8 == w->smtputf8 && l->utf8_header == w->utf8_header);
	assert_true(l->require_tls == w->require_tls && l->tls_optional == w->tls_optional && l->by_return == w->by_return);
	assert_true(l->has_priority == w->has_priority && l->mt_priority == w->mt_priority);
	assert_true(l->created_ms == w->created_ms && l->deliver_by_ms == w->deliver_by_ms);
}

static void a_letter_comes_back_with_every_field(void **state)
{
	struct letter empty = { 0 }, flipped = whole, *const cases[] = { &empty, &flipped, (struct letter *)(uintptr_t)&whole };
	flipped.body_8bit = false, flipped.body_binary = true, flipped.smtputf8 = false, flipped.utf8_header = true;
	flipped.require_tls = false, flipped.tls_optional = true, flipped.by_return = false;
	flipped.mt_priority = 9;
	for (size_t i = 0; i < 3; i++) {
		AUTO(buf_done) struct buf sealed = { .max = 1 << 16 };
		AUTO(arena_done) struct arena a = { .max = 1 << 16 };
		struct letter l;
		assert_int_equal(letter_seal(queue_public, &body, cases[i], &sealed), RC_OK);
		assert_int_equal(letter_open(queue, &body, buf_str(&sealed), &a, &l), RC_OK);
		expect_letter(&l, cases[i]);
	}
}

static void a_letter_opens_for_its_owner_and_its_body_only(void **state)
{
	AUTO(buf_done) struct buf sealed = { .max = 1 << 16 };
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct secret stranger_private;
	uint8_t stranger_public[PUB_LEN];
	struct unsealer *stranger;
	struct letter l;
	assert_int_equal(letter_seal(queue_public, &body, &whole, &sealed), RC_OK);
	assert_int_equal(letter_open(queue, &other_body, buf_str(&sealed), &a, &l), RC_DAMAGED);
	assert_int_equal(x25519_pair(&stranger_private, stranger_public), RC_OK);
	assert_int_equal(unsealer_new(&stranger_private, stranger_public, &stranger), RC_OK);
	assert_int_equal(letter_open(stranger, &body, buf_str(&sealed), &a, &l), RC_DAMAGED);
	unsealer_free(&stranger);
	for (size_t i = 0; i < sealed.len; i++) {
		sealed.p[i] ^= 1;
		assert_int_not_equal(letter_open(queue, &body, buf_str(&sealed), &a, &l), RC_OK);
		sealed.p[i] ^= 1;
	}
	assert_int_equal(str_find_str(buf_str(&sealed), STR("demo.test")), sealed.len);
}

static void a_packed_letter_that_is_cut_or_longer_is_refused(void **state)
{
	AUTO(buf_done) struct buf packed = { .max = 1 << 16 };
	struct letter l;
	letter_pack(&whole, &packed);
	size_t n = packed.len;
	buf_byte(&packed, 0);
	for (size_t i = 0; i <= packed.len; i++) {
		AUTO(arena_done) struct arena a = { .max = 1 << 16 };
		assert_int_equal(letter_unpack(str_head(buf_str(&packed), i), &a, &l), i == n ? RC_OK : RC_SYNTAX);
	}
	AUTO(arena_done) struct arena small = { .max = 64 };
	assert_int_equal(letter_unpack(str_head(buf_str(&packed), n), &small, &l), RC_NOMEM);
}

static void texts_for_people_are_cut_at_a_whole_character_and_addresses_never(void **state)
{
	static char text[1025], utf8[300], prefix[(512 << 10) + 1];
	AUTO(buf_done) struct buf sealed = { .max = 1 << 20 };
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct letter l = whole, back;
	memset(text, 'x', sizeof text);
	memset(prefix, 'p', sizeof prefix);
	for (size_t i = 0; i < sizeof utf8; i += 3)
		memcpy(utf8 + i, "\xe2\x82\xac", 3);
	l.subject = str_of(utf8, sizeof utf8);
	l.from = str_of(text, 500);
	l.prefix = str_of(prefix, 512 << 10);
	assert_int_equal(letter_seal(queue_public, &body, &l, &sealed), RC_OK);
	assert_int_equal(letter_open(queue, &body, buf_str(&sealed), &a, &back), RC_OK);
	assert_true(back.subject.n == 198 && back.from.n == 320 && back.prefix.n == 512 << 10);
	l = whole;
	l.prefix = str_of(prefix, sizeof prefix);
	assert_int_equal(letter_seal(queue_public, &body, &l, &sealed), RC_LIMIT);
	l = whole;
	l.sender = str_of(text, sizeof text);
	assert_int_equal(letter_seal(queue_public, &body, &l, &sealed), RC_LIMIT);
	l = whole;
	l.kind = LETTER_KINDS;
	assert_int_equal(letter_seal(queue_public, &body, &l, &sealed), RC_LIMIT);
}

static void a_priority_is_one_of_nineteen_and_a_letter_without_is_as_short_as_ever(void **state)
{
	AUTO(buf_done) struct buf with = { .max = 1 << 16 }, without = { .max = 1 << 16 }, sealed = { .max = 1 << 16 };
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct letter l = whole, back;
	for (l.mt_priority = -9; l.mt_priority <= 9; l.mt_priority++) {
		buf_clear(&with);
		letter_pack(&l, &with);
		assert_int_equal(letter_unpack(buf_str(&with), &a, &back), RC_OK);
		assert_true(back.has_priority && back.mt_priority == l.mt_priority);
	}
	assert_int_equal(letter_seal(queue_public, &body, &l, &sealed), RC_LIMIT); /* 10 */
	buf_clear(&with);
	letter_pack(&l, &with);
	assert_int_equal(letter_unpack(buf_str(&with), &a, &back), RC_SYNTAX);
	l.has_priority = false;
	l.mt_priority = 0;
	letter_pack(&l, &without);
	assert_int_equal(without.len, with.len - 1);
	assert_int_equal(letter_unpack(buf_str(&without), &a, &back), RC_OK);
	assert_true(!back.has_priority && back.mt_priority == 0);
}

static void a_row_opens_under_its_key_version_and_number_only(void **state)
{
	const struct letter_rcpt r = { .address = STR_INIT("bob@else.test"), .orcpt_type = STR_INIT("rfc822"), .orcpt = STR_INIT("bob@old.test"),
		.notify = NOTIFY_FAILURE | NOTIFY_DELAY, .last_ms = 99, .reply = STR_INIT("450 4.2.0 later"), .host = STR_INIT("mx.else.test [192.0.2.1]"),
		.tls = STR_INIT("TLSv1.3 verified (DANE)"), .remote = 1 };
	AUTO(buf_done) struct buf sealed = { .max = 1 << 16 };
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct letter_rcpt b;
	assert_int_equal(letter_rcpt_seal(&whole.row_key, 3, 7, &r, &sealed), RC_OK);
	assert_int_equal(letter_rcpt_open(&whole.row_key, 3, 7, buf_str(&sealed), &a, &b), RC_OK);
	assert_true(str_eq(b.address, r.address) && str_eq(b.orcpt_type, r.orcpt_type) && str_eq(b.orcpt, r.orcpt) && b.notify == r.notify);
	assert_true(b.last_ms == 99 && str_eq(b.reply, r.reply) && str_eq(b.host, r.host) && str_eq(b.tls, r.tls) && b.remote == 1);
	assert_int_equal(letter_rcpt_open(&whole.row_key, 4, 7, buf_str(&sealed), &a, &b), RC_DAMAGED);
	assert_int_equal(letter_rcpt_open(&whole.row_key, 3, 8, buf_str(&sealed), &a, &b), RC_DAMAGED);
	assert_int_equal(letter_rcpt_open(&whole.body_key, 3, 7, buf_str(&sealed), &a, &b), RC_DAMAGED);
}

static void the_longest_row_there_may_be_fits_into_the_queue(void **state)
{
	static char text[2000];
	AUTO(buf_done) struct buf sealed = { .max = 1 << 16 };
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct letter_rcpt r = { .address = str_of(text, 1024), .orcpt_type = str_of(text, 64), .orcpt = str_of(text, 1024), .reply = str_of(text, 2000),
		.host = str_of(text, 2000), .tls = str_of(text, 2000) }, b;
	memset(text, 'x', sizeof text);
	assert_int_equal(letter_rcpt_seal(&whole.row_key, 1, 0, &r, &sealed), RC_OK);
	assert_true(sealed.len <= QUEUE_ROW_MAX);
	assert_int_equal(letter_rcpt_open(&whole.row_key, 1, 0, buf_str(&sealed), &a, &b), RC_OK);
	assert_true(b.reply.n == 500 && b.address.n == 1024);
	r.address = str_of(text, 1025);
	assert_int_equal(letter_rcpt_seal(&whole.row_key, 1, 0, &r, &sealed), RC_LIMIT);
}

static void a_lane_is_its_domain_whatever_the_case(void **state)
{
	static const uint8_t key[16] = { 1 }, other[16] = { 2 };
	assert_true(letter_lane(key, STR("Example.ORG")) == letter_lane(key, STR("example.org")));
	assert_true(letter_lane(key, STR("example.org")) == siphash(key, STR("example.org")));
	assert_true(letter_lane(key, STR("example.org")) != letter_lane(key, STR("example.com")));
	assert_true(letter_lane(key, STR("example.org")) != letter_lane(other, STR("example.org")));
}

static void what_the_sealer_queues_opens_again(void **state)
{
	const struct letter_rcpt rcpts[2] = { { .address = STR_INIT("bob@else.test") }, { .address = STR_INIT("eve@third.test"), .notify = NOTIFY_NEVER } };
	const uint64_t lanes[2] = { 5, 6 };
	struct seal_letter in[2] = { { .letter = whole, .rcpts = rcpts, .lanes = lanes, .n = 2, .due_ms = 10, .expires_ms = 20, .priority = 4 },
		{ .letter = { .sender = STR("") }, .rcpts = rcpts + 1, .lanes = lanes, .n = 1, .priority = 9, .flags = QUEUE_ROW_SYSTEM, .held = true } };
	struct seal_out out = { .queue_public = queue_public, .letters = in, .letter_n = 2 };
	AUTO(buf_done) struct buf puts = { .max = 1 << 16 };
	AUTO(arena_done) struct arena a = { .max = 1 << 18 };
	struct queue_put *list;
	size_t n;
	assert_int_equal(sealer_seal_letters(&out, &whole.body_key, &body, 1000, &a, &puts), RC_OK);
	assert_int_equal(wire_get_puts(buf_str(&puts), &a, &list, &n), RC_OK);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < 2; i++) {
		struct letter l;
		assert_int_equal(letter_open(queue, &body, list[i].letter, &a, &l), RC_OK);
		assert_memory_equal(l.body_key.k, whole.body_key.k, KEY_LEN);
		assert_true(l.size == in[i].letter.prefix.n + 1000 - in[i].letter.skip && str_eq(l.sender, in[i].letter.sender));
		assert_int_equal(list[i].row_n, in[i].n);
		for (uint32_t k = 0; k < list[i].row_n; k++) {
			const struct queue_row *r = &list[i].rows[k];
			struct letter_rcpt rcpt;
			assert_int_equal(letter_rcpt_open(&l.row_key, 1, k, r->sealed, &a, &rcpt), RC_OK);
			assert_true(str_eq(rcpt.address, in[i].rcpts[k].address) && rcpt.notify == in[i].rcpts[k].notify);
			assert_true(r->state == (in[i].held ? QUEUE_HELD : QUEUE_READY) && r->lane == lanes[k] && r->priority == in[i].priority && r->flags == in[i].flags);
			assert_true(r->created_ms == in[i].letter.created_ms && r->due_ms == in[i].due_ms && r->expires_ms == in[i].expires_ms);
		}
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_letter_comes_back_with_every_field),
		T(a_letter_opens_for_its_owner_and_its_body_only),
		T(a_packed_letter_that_is_cut_or_longer_is_refused),
		T(texts_for_people_are_cut_at_a_whole_character_and_addresses_never),
		T(a_priority_is_one_of_nineteen_and_a_letter_without_is_as_short_as_ever),
		T(a_row_opens_under_its_key_version_and_number_only),
		T(the_longest_row_there_may_be_fits_into_the_queue),
		T(a_lane_is_its_domain_whatever_the_case),
		T(what_the_sealer_queues_opens_again),
	};
	return cmocka_run_group_tests_name("letter", tests, NULL, NULL);
}
