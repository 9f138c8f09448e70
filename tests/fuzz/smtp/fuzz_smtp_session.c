#include "dialog/smtp/house.h"
#include "os/loop.h"

#include <assert.h>

/* A whole session over memory. The first octet picks options, the second the packet size; the rest is what the client says. Must hold:
 * the house's contract is kept (the house itself watches), what is committed was sent and in that order, nothing is told to be stored that was
 * not, and the packets' size changes no octet of any answer. Built for SMTP and, with FUZZ_LMTP or FUZZ_SUBMISSION, for LMTP and for submission with all of AUTH. */
#ifndef FUZZ_LMTP
#define FUZZ_LMTP 0
#endif
#ifndef FUZZ_SUBMISSION
#define FUZZ_SUBMISSION 0
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct run {
	struct smtp_house house;
	struct buf out;
};

static void run(struct run *r, uint8_t options, size_t chunk, struct str in)
{
	wall_ms_fixed = 1796029200000; /* EHLO says a date; both runs are to say the same */
	smtp_house_init(&r->house);
	buf_init(&r->out, 16 << 20);
	r->house.config.kind = FUZZ_LMTP ? SMTP_LMTP : FUZZ_SUBMISSION ? SMTP_SUBMISSION : SMTP_RELAY_IN;
	r->house.config.scram = options & 1;
	r->house.config.plaintext_login = options & 8;
	r->house.config.max_before_login = options & 16 ? 8 : 0;
	r->house.config.max_hold_s = 1000;
	r->house.config.utf8 = options & 1;
	r->house.config.max_size = options & 2 ? 100 : 100000;
	r->house.config.tls_required = options & 4;
	r->house.config.max_errors = options & 8 ? 5 : 0;
	r->house.config.max_bad_rcpt = options & 16 ? 2 : 0;
	r->house.write_fails_after = options & 32 ? 64 : -1;
	struct stream_memory m = { .in = in, .chunk = chunk, .out = &r->out, .fail_at = -1, .can_tls = options & 64, .is_tls = FUZZ_SUBMISSION && options & 128,
		.binding = STR("fuzz") };
	struct stream *io = stream_of_memory(m);
	if (!io)
		return;
	(void)smtp_house_serve(&r->house, io);
	stream_free(&io);
	assert(!r->house.breach);
}

/* Answers that begin with `start`: what a client said may be repeated within one. */
static size_t count(struct str answers, struct str start)
{
	size_t c = 0;
	for (struct str line; answers.n; answers = str_skip(answers, line.n + 2)) {
		line = str_head(answers, str_find_str(answers, STR("\r\n")));
		c += str_starts(line, start);
	}
	return c;
}

static bool was_sent(struct str stored, struct str sent)
{
	size_t k = 0;
	for (size_t i = 0; i < sent.n && k < stored.n; i++)
		k += sent.p[i] == stored.p[k];
	return k == stored.n;
}

static void check(const struct run *r, struct str in)
{
	struct str out = buf_str(&r->out);
	size_t told = count(out, STR("250 2.0.0 Ok 0"));
	assert(was_sent(buf_str(&r->house.bodies), in));
	assert(told <= (size_t)r->house.commits * (FUZZ_LMTP ? HOUSE_RCPTS : 1));
	assert(r->house.commits <= r->house.begins && r->house.mails == r->house.resets);
	/* every octet that was said is a line of printable ASCII with a code */
	for (struct str line, rest = out; rest.n; rest = str_skip(rest, line.n + 2)) {
		line = str_head(rest, str_find_str(rest, STR("\r\n")));
		assert(line.n >= 4 && line.n <= 510 && ascii_digit(line.p[0]) && (line.p[3] == ' ' || line.p[3] == '-'));
		for (size_t i = 0; i < line.n; i++)
			assert(line.p[i] >= ' ' && line.p[i] <= '~');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 2 || n > 32768)
		return 0;
	struct str in = str_of(data + 2, n - 2);
	struct run whole, cut;
	run(&whole, data[0], 0, in);
	check(&whole, in);
	run(&cut, data[0], (size_t)data[1] + 1, in);
	assert(str_eq(buf_str(&whole.out), buf_str(&cut.out)));
	assert(str_eq(buf_str(&whole.house.bodies), buf_str(&cut.house.bodies)));
	smtp_house_done(&whole.house);
	smtp_house_done(&cut.house);
	buf_done(&whole.out);
	buf_done(&cut.out);
	return 0;
}
