#include "dialog/dialog.h"

#include <stdio.h>

enum { SCRIPT_MAX = 1 << 20, SAID_MAX = 8 << 20 };

struct play {
	const struct dialog_cast *cast;
	const char *name;
	size_t chunk;
	struct str rest;             /* script not yet played */
	unsigned line_no;
	bool failed, over;           /* over: the client is gone */
	struct stream *io;
	struct buf out, said;        /* heard from the session; being said to it */
	size_t told;                 /* octets of `said` that have arrived */
	bool was_tls;
	size_t seen;                 /* octets of `out` already looked at */
};

static void complain(struct play *p, const char *what, struct str want, struct str got)
{
	if (p->failed)
		return; /* the first difference is the one that matters */
	p->failed = true;
	fprintf(stderr, "%s:%u (chunks of %zu): %s\n  script:  %.*s\n  session: %.*s\n", p->name, p->line_no, p->chunk, what, PSTR(want), PSTR(got));
}

/* "*" stands for any octets, all else for itself. */
static bool matches(struct str pattern, struct str s)
{
	size_t star = str_find(pattern, '*');
	if (star == pattern.n)
		return str_eq(pattern, s);
	if (!str_starts(s, str_head(pattern, star)))
		return false;
	s = str_skip(s, star);
	pattern = str_skip(pattern, star + 1);
	for (size_t next; (next = str_find(pattern, '*')) < pattern.n; pattern = str_skip(pattern, next + 1)) {
		size_t at = str_find_str(s, str_head(pattern, next));
		if (at == s.n && next)
			return false;
		s = str_skip(s, at + next);
	}
	return str_ends(s, pattern);
}

static bool heard_line(struct play *p, struct str *out)
{
	struct str all = str_skip(buf_str(&p->out), p->seen);
	size_t end = str_find_str(all, STR("\r\n"));
	*out = str_head(all, end);
	if (end == all.n)
		return false;
	p->seen += end + 2;
	return true;
}

static void expect(struct play *p, struct str want, bool skipping)
{
	struct str got;
	for (;;) {
		if (!heard_line(p, &got)) {
			complain(p, "the session said nothing more", want, got);
			return;
		}
		if (matches(want, got))
			return;
		if (!skipping) {
			complain(p, "another answer", want, got);
			return;
		}
	}
}

static int hex(char c) { return ascii_digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 0; }

static void say_raw(struct play *p, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\\' || i + 1 == s.n) {
			buf_byte(&p->said, s.p[i]);
			continue;
		}
		char c = s.p[++i];
		if (c == 'x' && i + 2 < s.n) {
			buf_byte(&p->said, (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2])));
			i += 2;
		} else {
			buf_byte(&p->said, c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : c == '0' ? '\0' : c);
		}
	}
}

static void say_many(struct play *p, struct str arg)
{
	struct str count, text;
	uint64_t n = 0;
	if (!str_cut(arg, ' ', &count, &text) || !str_u64(count, 4 << 20, &n))
		complain(p, "MANY wants a number and text", arg, STR(""));
	for (uint64_t i = 0; i < n; i++)
		say_raw(p, text);
}

/* What the client says. True when `line` was such a step. */
static bool say(struct play *p, struct str line)
{
	if (str_starts(line, STR("C:"))) {
		struct str text = str_skip(line, str_starts(line, STR("C:+")) ? 3 : 2);
		buf_add(&p->said, text.n && text.p[0] == ' ' ? str_skip(text, 1) : text);
		buf_add(&p->said, STR("\r\n"));
	} else if (str_starts(line, STR("R: "))) {
		say_raw(p, str_skip(line, 3));
	} else if (str_starts(line, STR("MANY "))) {
		say_many(p, str_skip(line, 5));
	} else {
		return false;
	}
	return true;
}

static void check_house(struct play *p, struct str claim)
{
	struct buf truth;
	buf_init(&truth, SAID_MAX);
	if (!p->cast->holds(p->cast->arg, claim, &truth))
		complain(p, "not so in the house", claim, str_head(buf_str(&truth), 300));
	buf_done(&truth);
}

enum turn { TURN_ON, TURN_SILENT, TURN_CLOSE };

/* A step that is not the client's talk. `ended`: the session is over already. */
static enum turn step(struct play *p, struct str line, bool ended)
{
	if (str_starts(line, STR("S:")) || str_starts(line, STR("S*"))) {
		struct str want = str_skip(line, 2);
		expect(p, want.n && want.p[0] == ' ' ? str_skip(want, 1) : want, line.p[1] == '*');
	} else if (str_starts(line, STR("HOUSE "))) {
		check_house(p, str_skip(line, 6));
	} else if (str_eq(line, STR("TLS"))) {
		if (!stream_is_tls(p->io))
			complain(p, "TLS did not begin", line, STR(""));
	} else if (str_eq(line, STR("CLOSE"))) {
		return TURN_CLOSE;
	} else if (str_eq(line, STR("EOF"))) {
		if (!ended)
			complain(p, "the session goes on", line, STR(""));
	} else if (str_starts(line, STR("TIME+"))) {
		return TURN_SILENT;
	} else if (str_eq(line, STR("WAKE"))) {
		stream_wake(p->io);
		return TURN_SILENT;
	} else {
		complain(p, "no such step", line, STR(""));
	}
	return TURN_ON;
}

static bool peek(struct play *p, struct str *out_line, struct str *out_after)
{
	while (p->rest.n) {
		str_cut(p->rest, '\n', out_line, out_after);
		if (out_line->n && out_line->p[0] != '#')
			return true;
		p->rest = *out_after;
		p->line_no++;
	}
	return false;
}

/* The next packet of what the client says. When TLS began meanwhile, what was still under way in the clear is gone. */
static bool tell(struct play *p, struct str *out_in)
{
	if (stream_is_tls(p->io) && !p->was_tls)
		p->told = p->said.len;
	p->was_tls = stream_is_tls(p->io);
	struct str rest = str_skip(buf_str(&p->said), p->told);
	*out_in = p->chunk ? str_head(rest, p->chunk) : rest;
	p->told += out_in->n;
	return out_in->n > 0;
}

/* The session wants input: when all that was said has arrived, everything it had to answer is answered. */
static bool more(void *arg, struct str *out_in)
{
	struct play *p = arg;
	struct str line, after;
	if (tell(p, out_in))
		return true;
	buf_clear(&p->said);
	p->told = 0;
	while (!p->failed && !p->over && peek(p, &line, &after)) {
		bool talk = say(p, line);
		if (!talk && p->said.len)
			break;
		p->rest = after;
		p->line_no++;
		enum turn turn = talk ? TURN_ON : step(p, line, false);
		if (turn == TURN_SILENT)
			return true;
		p->over = turn == TURN_CLOSE;
	}
	return !p->failed && tell(p, out_in);
}

static void after_the_end(struct play *p)
{
	struct str line, after;
	while (!p->failed && peek(p, &line, &after)) {
		p->rest = after;
		p->line_no++;
		if (say(p, line))
			complain(p, "the session ended before this", line, STR(""));
		else
			(void)step(p, line, true);
	}
	if (!p->failed && p->seen < p->out.len)
		complain(p, "the session said more", STR(""), str_skip(buf_str(&p->out), p->seen));
}

static void take_settings(struct play *p)
{
	struct str line, after;
	while (peek(p, &line, &after) && str_starts(line, STR("SET "))) {
		if (!p->cast->set(p->cast->arg, str_skip(line, 4)))
			complain(p, "no such setting", line, STR(""));
		p->rest = after;
		p->line_no++;
	}
}

static bool play_once(const struct dialog_cast *cast, const char *name, struct str script, size_t chunk)
{
	struct play p = { .cast = cast, .name = name, .rest = script, .chunk = chunk };
	buf_init(&p.out, SAID_MAX);
	buf_init(&p.said, SAID_MAX);
	if (!cast->begin(cast->arg))
		return false;
	take_settings(&p);
	struct stream_memory m = { .in = STR(""), .out = &p.out, .fail_at = -1, .more = more, .arg = &p, .binding = STR("this channel") };
	m.can_tls = cast->can_tls && cast->can_tls(cast->arg);
	m.is_tls = cast->is_tls && cast->is_tls(cast->arg);
	(void)snprintf(m.facts.peer_ip, sizeof m.facts.peer_ip, "%s", cast->peer_ip ? cast->peer_ip : "192.0.2.1");
	p.was_tls = m.is_tls;
	p.io = stream_of_memory(m);
	if (p.io && !p.failed) {
		(void)cast->serve(cast->arg, p.io);
		after_the_end(&p);
	}
	stream_free(&p.io);
	cast->end(cast->arg);
	buf_done(&p.out);
	buf_done(&p.said);
	return !p.failed;
}

static bool read_script(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return false;
	while (buf_room(out, 4096)) {
		size_t n = fread(out->p + out->len, 1, 4096, f);
		if (!n)
			break;
		out->len += n;
	}
	bool ok = !ferror(f) && !out->failed;
	(void)fclose(f);
	return ok;
}

int dialog_main(int argc, char **argv, const struct dialog_cast *cast)
{
	static const size_t chunks[] = { 0, 1, 2, 3, 7, 64 };
	int passed = 0, failed = 0;
	for (int i = 1; i < argc; i++) {
		struct buf script;
		buf_init(&script, SCRIPT_MAX);
		bool ok = read_script(argv[i], &script);
		if (!ok)
			fprintf(stderr, "%s: cannot be read\n", argv[i]);
		for (size_t k = 0; ok && k < sizeof chunks / sizeof *chunks; k++)
			ok = play_once(cast, argv[i], buf_str(&script), chunks[k]);
		passed += ok;
		failed += !ok;
		buf_done(&script);
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed || !passed ? 1 : 0;
}
