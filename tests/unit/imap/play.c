#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "play.h"

#include "os/loop.h"
#include <stdio.h>

#define H "From: Bob <bob@corp.example>\r\nTo: Alice <alice@corp.example>\r\n"
static const struct str messages[] = {
	STR_INIT(H "Subject: first\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-ID: <1@corp.example>\r\n\r\nHello, this is one.\r\n"),
	STR_INIT(H "Cc: carol@corp.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Tue, 8 Feb 1994 01:00:00 +0000\r\nX-Note: green\r\n"
	           "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\nContent-Type: text/plain\r\n\r\nThe inner text\r\n"
	           "--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: dave@corp.example\r\nSubject: inner\r\n\r\ninner body\r\n--b--\r\n"),
	STR_INIT(H "Subject: third\r\nDate: Wed, 9 Feb 1994 01:00:00 +0000\r\nX-Empty:\r\n\r\nzebra\r\n"),
};
struct str play_message(unsigned i) { return messages[i % play_messages()]; }
unsigned play_messages(void) { return sizeof messages / sizeof *messages; }

const char play_login[] = "S: * OK [CAPABILITY IMAP4rev1 ...\nC: a login alice@corp.example secret\nS: a OK [CAPABILITY ...\n";

void play_init(struct play *p)
{
	*p = (struct play){ .fail_at = -1 };
	house_init(&p->house);
	p->config = (struct imap_config){ .hostname = STR("mail.corp.example"), .plaintext_login = true, .max_append = 100000,
	                                  .idle_ms = 1800000, .prelogin_ms = 60000, .max_errors = 10 };
	buf_init(&p->out, 64 << 20);
	buf_init(&p->in, 64 << 20);
	wall_ms_fixed = 1790000000000;
}

void play_done(struct play *p)
{
	house_done(&p->house);
	buf_done(&p->out);
	buf_done(&p->in);
	wall_ms_fixed = 0;
}

static void event(struct play *p, const char *step)
{
	char box[64] = "";
	unsigned a = 0, b = 0;
	struct house *h = &p->house;
	if (sscanf(step, "deliver %63s %u", box, &a) == 2)
		for (unsigned i = 0; i < a; i++) {
			struct house_box *to = house_box(h, box);
			assert_true(house_deliver(h, to, play_message(to->uidnext - 1), 760000000000 + (int64_t)to->uidnext * 86400000) > 0);
		}
	else if (sscanf(step, "flag %63s %u %u", box, &a, &b) == 3)
		house_flag(h, house_box(h, box), a, b);
	else if (sscanf(step, "expunge %63s %u", box, &a) == 2)
		assert_true(house_expunge(h, house_box(h, box), a));
	else if (sscanf(step, "damage %63s %u", box, &a) == 2)
		house_box(h, box)->messages[a - 1].is_damaged = true;
	else if (sscanf(step, "wait %u", &a) == 1)
		wall_ms_fixed += a * 1000ll;
	else if (sscanf(step, "given %63s", box) == 1)
		house_box(h, box)->given = house_box(h, box)->uidnext;
	else if (str_starts(str_z(step), STR("forget")))
		h->forgets = true;
	else
		fail_msg("no such event: %s", step);
}

static const char *line_end(const char *line)
{
	const char *nl = strchr(line, '\n');
	return nl ? nl : line + strlen(line);
}

/* The client's lines up to the next event; at an event: it happens, and there is no input for the moment. */
static bool more(void *arg, struct str *out_in)
{
	struct play *p = arg;
	buf_clear(&p->in);
	while (*p->at) {
		const char *line = p->at, *end = line_end(line);
		bool is_event = str_starts(str_z(line), STR("E: ")), is_more = str_starts(str_z(line), STR("E: more"));
		if (is_event && p->in.len)
			break;
		p->at = *end ? end + 1 : end;
		if (is_event && !is_more) {
			event(p, line + 3);
			if (!str_starts(str_z(line), STR("E: wait")))
				stream_wake(p->house.io);
			*out_in = STR("");
			return true;
		}
		if (str_starts(str_z(line), STR("C: "))) {
			buf_add(&p->in, str_of(line + 3, (size_t)(end - line - 3)));
			buf_add(&p->in, STR("\r\n"));
		}
	}
	*out_in = buf_str(&p->in);
	return p->in.len > 0;
}

void play_run(struct play *p, const char *script)
{
	struct imap_hooks hooks = house_hooks(&p->house);
	p->at = script;
	buf_clear(&p->out);
	struct stream *s = stream_of_memory((struct stream_memory){ .in = STR(""), .chunk = p->chunk, .out = &p->out, .fail_at = p->fail_at,
	                                                            .can_tls = p->can_tls, .is_tls = p->is_tls, .more = more, .arg = p });
	if (!s) {
		p->rc = RC_NOMEM;
		return;
	}
	p->house.io = s;
	p->rc = imap_serve(s, &p->config, &hooks);
	p->house.io = NULL;
	stream_free(&s);
}

static void compare(const char *script, struct str out)
{
	for (const char *line = script; *line;) {
		const char *end = line_end(line);
		struct str want = { line, (size_t)(end - line) }, got, rest;
		line = *end ? end + 1 : end;
		if (!str_starts(want, STR("S: ")) && !str_eq(want, STR("S:")))
			continue;
		want = str_skip(want, 3);
		size_t nl = str_find_str(out, STR("\r\n"));
		got = str_head(out, nl);
		rest = str_skip(out, nl + 2);
		bool open = str_ends(want, STR("..."));
		if (open ? !str_starts(got, str_head(want, want.n - 3)) : !str_eq(got, want))
			fail_msg("wanted \"%.*s\"\n got   \"%.*s\"\n before %.*s", PSTR(want), (int)(nl < 500 ? nl : 500), got.p, (int)(rest.n < 300 ? rest.n : 300), rest.p);
		out = rest;
	}
	if (out.n)
		fail_msg("too much was said: %.*s", (int)(out.n < 500 ? out.n : 500), out.p);
}

/* Blind to packet boundaries: every chunk size gives the same answers. */
void play_expect(struct play *p, const char *script)
{
	play_run(p, script);
	compare(script, buf_str(&p->out));
	assert_int_equal(p->house.cursors, 0);
	assert_int_equal(p->house.opens, p->house.closes);
	assert_int_equal(p->house.logins, p->house.logouts);
}

void play_check(const char *script)
{
	static const size_t chunks[] = { 0, 1, 2, 7, 64 };
	for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
		struct play p;
		play_init(&p);
		p.chunk = chunks[i];
		play_expect(&p, script);
		play_done(&p);
	}
}
