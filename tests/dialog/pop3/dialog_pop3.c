#include "base/buf.h"
#include "dialog/pop3/house.h"

#include <stdio.h>

/* Plays scripts of C: and S: lines against the session (README.md has the syntax). A command is handed over only when
 * everything before it was answered as written, so a script is also the order of things. */

enum { SCRIPT_MAX = 1 << 20, POOL_MAX = 1 << 20 };

struct play {
	const char *name;
	struct str rest;             /* script not yet played */
	unsigned line_no, failures;
	struct pop3_house house;
	struct pop3_config config;
	bool tls;                    /* the connection begins inside TLS */
	bool can_tls;
	struct buf out, pool;        /* pool: bodies; never grows past its first room, so they stay put */
	size_t seen;                 /* octets of `out` already checked */
	char line[4096];             /* what was said last, with CRLF */
};

static void complain(struct play *p, const char *what, struct str want, struct str got)
{
	p->failures++;
	fprintf(stderr, "%s:%u: %s\n  script:  %.*s\n  session: %.*s\n", p->name, p->line_no, what, PSTR(want), PSTR(got));
}

static bool next_line(struct play *p, struct str *out)
{
	if (p->rest.n == 0)
		return false;
	str_cut(p->rest, '\n', out, &p->rest);
	p->line_no++;
	return true;
}

/* The next line the session said must be `want`; a "*" at the end stands for anything. */
static void heard(struct play *p, struct str want)
{
	struct str all = str_skip(buf_str(&p->out), p->seen);
	size_t end = str_find_str(all, STR("\r\n"));
	struct str got = str_head(all, end);
	if (end == all.n) {
		complain(p, "the session said nothing more", want, got);
		return;
	}
	p->seen += end + 2;
	bool open = str_ends(want, STR("*"));
	if (open ? !str_starts(got, str_head(want, want.n - 1)) : !str_eq(got, want))
		complain(p, "another answer", want, got);
}

static void mail_of_size(struct play *p, uint64_t size)
{
	size_t at = p->pool.len;
	buf_add(&p->pool, STR("Subject: sized\r\n\r\n"));
	for (size_t i = p->pool.len - at; i + 2 < size; i++)
		buf_byte(&p->pool, i % 60 == 58 ? '\r' : i % 60 == 59 ? '\n' : 'x');
	buf_add(&p->pool, STR("\r\n"));
	if (p->pool.len - at != size)
		complain(p, "no message of that size", STR("MAIL"), STR(""));
	house_put(&p->house, str_of(p->pool.p + at, p->pool.len - at));
}

/* Lines up to one of "END", each with CRLF. */
static void mail_of_lines(struct play *p)
{
	size_t at = p->pool.len;
	struct str line;
	while (next_line(p, &line) && !str_eq(line, STR("END"))) {
		buf_add(&p->pool, line);
		buf_add(&p->pool, STR("\r\n"));
	}
	house_put(&p->house, str_of(p->pool.p + at, p->pool.len - at));
}

static void set(struct play *p, struct str what)
{
	if (str_eq(what, STR("in tls")))
		p->tls = true;
	else if (str_eq(what, STR("no tls")))
		p->can_tls = false;
	else if (str_eq(what, STR("plaintext login")))
		p->config.plaintext_login = true;
	else if (str_eq(what, STR("removing fails")))
		p->house.expunge_rc = RC_FULL;
	else if (str_eq(what, STR("login is busy")))
		p->house.login_rc = RC_BUSY;
	else if (str_eq(what, STR("three errors")))
		p->config.max_errors = 3;
	else
		complain(p, "no such setting", what, STR(""));
}

static void removed(struct play *p, struct str want)
{
	char got[300];
	int n = 0;
	got[0] = 0;
	for (size_t i = 0; i < p->house.n; i++)
		if (p->house.mails[i].removed)
			n += snprintf(got + n, sizeof got - (size_t)n, "%s%zu", n ? " " : "", i + 1);
	if (!str_eq(want, n ? str_z(got) : STR("nothing")))
		complain(p, "other messages were removed", want, str_z(got));
}

/* One line of the script. True: `out_in` is what the client says now. */
static bool play_line(struct play *p, struct str line, struct str *out_in, bool *out_lost)
{
	struct str word, arg;
	uint64_t size;
	if (line.n == 0 || line.p[0] == '#')
		return false;
	str_cut(line, ' ', &word, &arg);
	if (str_eq(word, STR("C:"))) {
		int n = snprintf(p->line, sizeof p->line, "%.*s\r\n", PSTR(arg));
		*out_in = str_of(p->line, (size_t)n);
		return true;
	}
	if (str_eq(word, STR("S:")))
		heard(p, arg);
	else if (str_eq(word, STR("LOST")))
		*out_lost = true;
	else if (str_eq(word, STR("REMOVED")))
		removed(p, arg);
	else if (str_eq(word, STR("SET")))
		set(p, arg);
	else if (str_eq(word, STR("MAIL")) && str_u64(arg, 100000, &size))
		mail_of_size(p, size);
	else if (str_eq(word, STR("MAIL")))
		mail_of_lines(p);
	else
		complain(p, "no such step", line, STR(""));
	return false;
}

/* "C:+" glues commands together: all of them arrive in one packet. */
static bool more(void *arg, struct str *out_in)
{
	struct play *p = arg;
	struct str line;
	bool lost = false;
	while (!lost && next_line(p, &line)) {
		if (str_starts(line, STR("C:+ "))) {
			int n = 0;
			do {
				n += snprintf(p->line + n, sizeof p->line - (size_t)n, "%.*s\r\n", PSTR(str_skip(line, 4)));
			} while (str_starts(p->rest, STR("C:+ ")) && next_line(p, &line));
			*out_in = str_of(p->line, (size_t)n);
			return true;
		}
		if (play_line(p, line, out_in, &lost))
			return true;
	}
	return false;
}

/* Settings and messages stand before the first S:, so that the greeting already knows them. */
static void prologue(struct play *p)
{
	struct str line, in;
	bool lost;
	while (p->rest.n && !str_starts(p->rest, STR("S:")) && !str_starts(p->rest, STR("C:")) && next_line(p, &line))
		play_line(p, line, &in, &lost);
}

static unsigned play(const char *name, struct str script)
{
	struct play p = { .name = name, .rest = script, .can_tls = true };
	struct pop3_hooks hooks = house_hooks(&p.house);
	p.house.user = STR("mrose");
	p.house.password = STR("tanstaaf");
	p.house.uidvalidity = 1700000000;
	p.config = (struct pop3_config){ .hostname = STR("dbc.mtview.ca.us"), .max_errors = 20 };
	buf_init(&p.out, 1 << 20);
	buf_init(&p.pool, POOL_MAX);
	bool room = buf_room(&p.pool, POOL_MAX);
	prologue(&p);
	struct stream *io = stream_of_memory((struct stream_memory){ .out = &p.out, .fail_at = -1, .can_tls = p.can_tls, .is_tls = p.tls, .more = more, .arg = &p });
	if (!room || !io) {
		fprintf(stderr, "%s: out of memory\n", name);
		return 1;
	}
	enum rc rc = pop3_serve(io, &p.config, &hooks);
	struct str line;
	if (rc == RC_NOMEM)
		complain(&p, "out of memory", STR(""), STR(""));
	while (next_line(&p, &line)) { /* what was said last, and what came of it */
		struct str in;
		bool lost;
		if (play_line(&p, line, &in, &lost))
			complain(&p, "the session was over", line, STR(""));
	}
	if (p.seen != p.out.len)
		complain(&p, "the session said more", STR(""), str_skip(buf_str(&p.out), p.seen));
	if (p.house.logins != p.house.logouts)
		complain(&p, "logins without logout", STR(""), STR(""));
	stream_free(&io);
	buf_done(&p.out);
	buf_done(&p.pool);
	return p.failures;
}

int main(int argc, char **argv)
{
	unsigned failures = 0;
	static char text[SCRIPT_MAX];
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		size_t n = f ? fread(text, 1, sizeof text, f) : 0;
		if (f)
			fclose(f);
		if (n == 0) {
			fprintf(stderr, "%s: cannot be read\n", argv[i]);
			failures++;
			continue;
		}
		failures += play(argv[i], str_of(text, n));
	}
	printf("%d scripts, %u failures\n", argc - 1, failures);
	return failures || argc < 2;
}
