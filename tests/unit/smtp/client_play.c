#include "client_play.h"

#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

static bool next_line(const char **at, struct str *out)
{
	while (**at == '\n')
		(*at)++;
	if (!**at)
		return false;
	const char *end = strchr(*at, '\n');
	*out = end ? str_of(*at, (size_t)(end - *at)) : str_z(*at);
	*at += out->n;
	return true;
}

static void add_raw(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i], hex[3] = { 0 };
		if (c == '\\' && i + 1 < s.n) {
			c = s.p[++i];
			if (c == 'x' && i + 2 < s.n) {
				memcpy(hex, s.p + i + 1, 2);
				c = (char)strtol(hex, NULL, 16);
				i += 2;
			} else {
				c = c == 'r' ? '\r' : c == 'n' ? '\n' : c == '0' ? 0 : c;
			}
		}
		buf_byte(b, c);
	}
}

/* What the client should have said up to here. */
static bool was_said(struct play *p, struct str line)
{
	struct str got = str_skip(buf_str(&p->out), p->checked);
	if (str_starts(got, line) && str_starts(str_skip(got, line.n), STR("\r\n"))) {
		p->checked += line.n + 2;
		return true;
	}
	if (!p->lenient && !p->mistake) {
		print_error("wanted: %.*s\n   got: %.*s\n", PSTR(line), (int)(got.n < 200 ? got.n : 200), got.p);
		p->mistake = "the client said something else";
	}
	return false;
}

static bool more(void *arg, struct str *out_in)
{
	struct play *p = arg;
	struct str line;
	bool spoke = false;
	buf_clear(&p->in);
	for (const char *before = p->at; next_line(&p->at, &line); before = p->at) {
		if (str_eq(line, STR("SILENT")) || str_eq(line, STR("CLOSE"))) {
			if (spoke) {
				p->at = before;
				break;
			}
			return str_eq(line, STR("SILENT"));
		}
		bool theirs = str_starts(line, STR("S: ")) || str_starts(line, STR("R: "));
		if (!theirs && spoke) {
			p->at = before;
			break;
		}
		if (!theirs && p->checked == p->out.len) { /* it was not spoken to: it waits */
			p->at = before;
			return true;
		}
		if (!theirs && !was_said(p, str_skip(line, 3)))
			return false;
		spoke = spoke || theirs;
		if (theirs && line.p[0] == 'R')
			add_raw(&p->in, str_skip(line, 3));
		else if (theirs)
			buf_add(&p->in, str_skip(line, 3)), buf_add(&p->in, STR("\r\n"));
	}
	*out_in = buf_str(&p->in);
	return spoke;
}

bool talk_open(struct talk *t, const char *script, const struct talk_options *o)
{
	static const struct talk_options none;
	o = o ? o : &none;
	*t = (struct talk){ .play = { .at = script, .lenient = o->fail_at > 0 } };
	/* The test's own memory is taken before any allocation is made to fail. */
	long fail_at = mem_fail_at;
	mem_fail_at = -1;
	buf_init(&t->play.out, 4 << 20);
	buf_init(&t->play.in, 4 << 20);
	assert_true(buf_room(&t->play.out, 65536) && buf_room(&t->play.in, 65536));
	mem_fail_at = fail_at;
	struct stream_memory m = { .chunk = o->chunk, .out = &t->play.out, .fail_at = o->fail_at - 1, .can_tls = o->can_tls, .is_tls = o->is_tls, .more = more, .arg = &t->play };
	m.facts.loopback = !o->public_path;
	struct smtp_client_config config = o->config;
	if (!config.helo.n)
		config.helo = STR("me.example");
	t->io = stream_of_memory(m);
	return t->io && smtp_client_new(t->io, &config, &t->c) == RC_OK;
}

void talk_free(struct talk *t)
{
	smtp_client_free(&t->c);
	stream_free(&t->io);
	buf_done(&t->play.out);
	buf_done(&t->play.in);
}

void talk_close(struct talk *t)
{
	struct str line;
	if (t->io && stream_error(t->io) == RC_OK)
		assert_int_equal(stream_flush(t->io), RC_OK);
	while (next_line(&t->play.at, &line) && !t->play.mistake) {
		if (str_starts(line, STR("C: ")))
			(void)was_said(&t->play, str_skip(line, 3));
		else if (!str_eq(line, STR("CLOSE")) && !str_eq(line, STR("SILENT")))
			print_error("never asked for: %.*s\n", PSTR(line)), t->play.mistake = "the script was not played to its end";
	}
	if (!t->play.mistake && t->play.checked != t->play.out.len) {
		print_error("too much: %.*s\n", (int)(t->play.out.len - t->play.checked), t->play.out.p + t->play.checked);
		t->play.mistake = "the client said more";
	}
	if (t->play.mistake)
		fail_msg("%s", t->play.mistake);
	talk_free(t);
}

static enum rc message_more(void *house, struct str *out_run)
{
	struct talk *t = house;
	struct str rest = str_skip(t->message, t->given);
	*out_run = t->run ? str_head(rest, t->run) : rest;
	t->given += out_run->n;
	return out_run->n ? RC_OK : t->more_rc;
}

static enum rc message_rewind(void *house)
{
	struct talk *t = house;
	t->given = 0;
	t->rewinds++;
	return RC_OK;
}

void talk_message(struct talk *t, struct smtp_client_mail *m, const char *text)
{
	t->message = str_z(text);
	m->more = message_more;
	m->rewind = message_rewind;
	m->house = t;
	if (!m->envid.p)
		m->envid = STR("");
	if (!m->from.local.p)
		m->from = (struct mail_address){ STR(""), STR("") };
}

struct smtp_client_rcpt to(const char *local)
{
	return (struct smtp_client_rcpt){ .to = { str_z(local), STR("r.example") }, .orcpt_type = STR(""), .orcpt = STR("") };
}
