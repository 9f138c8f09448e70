#include "cmd/sendmail.h"

#include "base/arena.h"
#include "cmd/config_file.h"
#include "cmd/verbs.h"
#include "os/file.h"
#include "role/sendmail_text.h"
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

/* Speaks SMTP over the server's Unix socket, which knows by the kernel who is calling. Nothing is queued here: without a running server the answer is EX_TEMPFAIL, and the
 * caller keeps its mail. */

enum { MESSAGE_MAX = 256 << 20, REPLY_MAX = 4096, PATIENCE_S = 600, RCPTS_MAX = 10000 };
static const char default_socket[] = "/run/letterlock/submit.sock", default_config[] = "/etc/letterlock/letterlock.conf";

struct job {
	const char *program, *config_path, *sender, *name, *notify, *ret, *envid;
	bool from_header, dot_ends, session, queue_list, nothing, bad;
	char **rcpts; int rcpt_n;
	/* the connection */
	int fd;
	char in[REPLY_MAX]; size_t in_n;
	char reply[REPLY_MAX];         /* of the last command, its first line's text */
	/* from the configuration, as far as it can be read */
	char socket[108], domain[256];
};

static int fail(const struct job *j, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int fail(const struct job *j, int code, const char *format, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
	(void)fprintf(stderr, "%s: %s\n", j->program, text);
	return code;
}

/* ---- arguments ---- */

/* Flags that take a value, in the same argument or the next. */
static const char **value_of(struct job *j, char flag)
{
	static const char *ignored;
	switch (flag) {
	case 'f': case 'r': return &j->sender;
	case 'F': return &j->name;
	case 'N': return &j->notify;
	case 'R': return &j->ret;
	case 'V': return &j->envid;
	case 'C': return &j->config_path;
	case 'B': case 'h': case 'L': case 'O': case 'X': return &ignored;
	default: return NULL;
	}
}

static void mode(struct job *j, const char *how)
{
	if (strcmp(how, "s") == 0)
		j->session = true;
	else if (strcmp(how, "p") == 0)
		j->queue_list = true;
	else if (strcmp(how, "i") == 0)
		j->nothing = true; /* newaliases: aliases are the server's own */
	else if (strcmp(how, "m") != 0)
		j->bad = true;
}

/* One letter of an argument; false: the rest of the argument belongs to it. */
static bool letter(struct job *j, const char *a)
{
	switch (*a) {
	case 't': j->from_header = true; return true;
	case 'i': j->dot_ends = false; return true;
	case 'o': j->dot_ends = j->dot_ends && strcmp(a, "oi") != 0; return false; /* the other -o are of another program's insides */
	case 'b': mode(j, a + 1); return false;
	case 'q': j->nothing = true; return false;                                 /* the queue runs by itself */
	case 'I': j->nothing = true; return true;
	case 'A': case 'e': return false;
	case 'v': case 'n': case 'm': case 'G': case 'U': case 's': return true;
	default: j->bad = true; return false;
	}
}

/* "-ti" is "-t -i", and "-tf ADDRESS" is "-t -f ADDRESS". */
static void option(struct job *j, char **argv, int argc, int *i)
{
	for (const char *a = argv[*i] + 1; *a; a++) {
		const char **value = value_of(j, *a);
		if (value) {
			*value = a[1] ? a + 1 : *i + 1 < argc ? argv[++*i] : "";
			return;
		}
		if (!letter(j, a))
			return;
	}
}

static void parse(struct job *j, int argc, char **argv)
{
	int i = 1;
	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
			j->config_path = argv[++i];
		else
			option(j, argv, argc, &i);
	}
	j->rcpts = argv + i;
	j->rcpt_n = argc - i;
}

/* ---- where the server is ---- */

static void look_up_server(struct job *j)
{
	struct config c;
	struct why why;
	(void)snprintf(j->socket, sizeof j->socket, "%s", default_socket);
	config_init(&c);
	if (config_file_load(j->config_path ? j->config_path : default_config, &c, NULL, &why) == RC_OK) {
		for (size_t i = 0; i < c.listener_n; i++)
			if (c.listeners[i].proto == LISTEN_SUBMISSION && str_starts(c.listeners[i].address, STR("unix:")))
				(void)snprintf(j->socket, sizeof j->socket, "%.*s", PSTR(str_head(str_skip(c.listeners[i].address, 5), sizeof j->socket - 1)));
		struct str domain = c.login_default_domain.n ? c.login_default_domain : c.server_hostname;
		(void)snprintf(j->domain, sizeof j->domain, "%.*s", PSTR(str_head(domain, 255)));
	}
	config_done(&c);
}

static bool dial(struct job *j)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = PATIENCE_S };
	memcpy(a.sun_path, j->socket, sizeof a.sun_path - 1);
	j->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return j->fd >= 0 && setsockopt(j->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
	       setsockopt(j->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 && connect(j->fd, (const struct sockaddr *)&a, sizeof a) == 0;
}

/* ---- SMTP ---- */

static bool send_all(struct job *j, struct str s)
{
	while (s.n) {
		ssize_t k = send(j->fd, s.p, s.n, MSG_NOSIGNAL);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		s = str_skip(s, (size_t)k);
	}
	return true;
}

/* A line without its end into j->reply; false: gone, or not a line. */
static bool read_line(struct job *j)
{
	for (;;) {
		char *end = memchr(j->in, '\n', j->in_n);
		if (end) {
			size_t n = (size_t)(end - j->in), text = n && j->in[n - 1] == '\r' ? n - 1 : n;
			memcpy(j->reply, j->in, text);
			j->reply[text] = 0;
			j->in_n -= n + 1;
			memmove(j->in, end + 1, j->in_n);
			return true;
		}
		ssize_t k = j->in_n < sizeof j->in ? recv(j->fd, j->in + j->in_n, sizeof j->in - j->in_n, 0) : 0;
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		j->in_n += (size_t)k;
	}
}

/* The code of a whole reply; 0: the server is gone. */
static int read_reply(struct job *j)
{
	do
		if (!read_line(j) || strlen(j->reply) < 3)
			return 0;
	while (j->reply[3] == '-');
	return (int)strtol(j->reply, NULL, 10);
}

static int command(struct job *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int command(struct job *j, const char *format, ...)
{
	AUTO(buf_done) struct buf line = { .max = 4096 };
	char text[2000];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	buf_addf(&line, "%s\r\n", text);
	if (n < 0 || (size_t)n >= sizeof text || strpbrk(text, "\r\n") || !send_all(j, buf_str(&line)))
		return 0;
	return read_reply(j);
}

/* What a refusal means to the caller. */
static int exit_of(const struct job *j, int code, int permanent, const char *about)
{
	if (code == 0)
		return fail(j, EX_TEMPFAIL, "the server went away");
	return fail(j, code >= 500 ? permanent : EX_TEMPFAIL, "%s%s%s", about, about[0] ? ": " : "", j->reply);
}

static bool is_ascii(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s > 127)
			return false;
	return true;
}

/* "bob" is bob at our domain. */
static const char *with_domain(const struct job *j, const char *address, char out[600])
{
	(void)snprintf(out, 600, strchr(address, '@') || !*address || !*j->domain ? "%.300s" : "%.300s@%s", address, j->domain);
	return out;
}

/* RFC 3461 4: xtext. Like Postfix's -V, ours takes the id as it is. */
static void add_envid(const char *id, struct buf *out)
{
	for (; *id; id++)
		if (*id < '!' || *id > '~' || *id == '+' || *id == '=')
			buf_addf(out, "+%02X", (unsigned char)*id);
		else
			buf_byte(out, *id);
}

static int say_mail(struct job *j, const char *sender, bool utf8, size_t size)
{
	char full[600], id_room[400];
	struct buf id = { .p = id_room, .cap = sizeof id_room, .max = sizeof id_room };
	size_t n = strlen(sender);
	char bare[400];
	(void)snprintf(bare, sizeof bare, "%s", sender);
	if (n >= 2 && n < sizeof bare && bare[0] == '<' && bare[n - 1] == '>') {
		memmove(bare, bare + 1, n - 2);
		bare[n - 2] = 0;
	}
	add_envid(j->envid ? j->envid : "", &id);
	if (id.failed)
		return fail(j, 0, "the -V is too long");
	return command(j, "MAIL FROM:<%s> SIZE=%zu BODY=8BITMIME%s%s%s%s%.*s", with_domain(j, bare, full), size, utf8 ? " SMTPUTF8" : "", j->ret ? " RET=" : "", j->ret ? j->ret : "",
	               id.len ? " ENVID=" : "", PSTR(buf_str(&id)));
}

static bool send_body(struct job *j, struct str message)
{
	AUTO(buf_done) struct buf out = { .max = MESSAGE_MAX + (MESSAGE_MAX >> 1) };
	for (struct str rest = message, line; rest.n; rest = str_skip(rest, line.n)) {
		size_t end = str_find(rest, '\n');
		line = str_head(rest, end + 1);
		if (line.p[0] == '.')
			buf_byte(&out, '.');
		buf_add(&out, line);
	}
	buf_add(&out, STR(".\r\n"));
	return !out.failed && send_all(j, buf_str(&out));
}

/* All recipients or none: a program that hears "some" cannot say which. */
static int send_message(struct job *j, const char *sender, const struct str *rcpts, size_t n, struct str message)
{
	int code = read_reply(j);
	bool utf8 = !is_ascii(sender);
	char full[600];
	if (code != 220)
		return exit_of(j, code, EX_NOPERM, "");
	for (size_t i = 0; i < n; i++)
		utf8 = utf8 || !is_ascii(rcpts[i].p);
	if ((code = command(j, "EHLO localhost")) != 250)
		return exit_of(j, code, EX_UNAVAILABLE, "");
	if ((code = say_mail(j, sender, utf8, message.n)) != 250)
		return exit_of(j, code, EX_NOPERM, sender);
	for (size_t i = 0; i < n; i++)
		if ((code = command(j, "RCPT TO:<%s>%s%s", with_domain(j, rcpts[i].p, full), j->notify ? " NOTIFY=" : "", j->notify ? j->notify : "")) != 250)
			return exit_of(j, code, EX_NOUSER, rcpts[i].p);
	if ((code = command(j, "DATA")) != 354)
		return exit_of(j, code, EX_UNAVAILABLE, "");
	code = send_body(j, message) ? read_reply(j) : 0;
	if (code != 250)
		return exit_of(j, code, EX_DATAERR, "");
	(void)command(j, "QUIT");
	return EX_OK;
}

/* ---- -bs: the caller speaks SMTP itself ---- */

static bool pump(int from, int to)
{
	char room[16384];
	struct why why;
	long n = fd_read_some(from, room, sizeof room);
	return n > 0 && fd_write_all(to, str_of(room, (size_t)n), &why) == RC_OK;
}

static int pass_through(struct job *j)
{
	struct pollfd p[] = { { .fd = 0, .events = POLLIN }, { .fd = j->fd, .events = POLLIN } };
	for (;;) {
		if (poll(p, 2, PATIENCE_S * 1000) <= 0)
			return EX_TEMPFAIL;
		if (p[1].revents && !pump(j->fd, 1))
			return EX_OK;
		if (p[0].revents && !pump(0, j->fd)) {
			(void)shutdown(j->fd, SHUT_WR); /* the caller has said all; the server answers what is left */
			p[0].fd = -1;
		}
	}
}

/* ---- the whole ---- */

static const char *own_name(void)
{
	const struct passwd *pw = getpwuid(getuid());
	return pw ? pw->pw_name : "";
}

static enum rc add_recipients(const struct str *found, size_t n, struct str *rcpts, size_t *out_n, struct why *why)
{
	for (size_t i = 0; i < n; i++) {
		if (*out_n == RCPTS_MAX)
			FAIL(why, RC_LIMIT, "more than %d recipients", RCPTS_MAX);
		rcpts[(*out_n)++] = found[i];
	}
	return RC_OK;
}

/* Of the arguments, and with -t of the header. */
static enum rc all_recipients(const struct job *j, struct str message, struct arena *a, struct str *rcpts, size_t *out_n, struct why *why)
{
	struct str *found = NULL;
	size_t n = 0;
	for (int i = 0; i < j->rcpt_n; i++) {
		TRY(sendmail_argument(str_z(j->rcpts[i]), a, &found, &n, why));
		TRY(add_recipients(found, n, rcpts, out_n, why));
	}
	if (!j->from_header)
		return RC_OK;
	TRY(sendmail_recipients(message, a, &found, &n, why));
	return add_recipients(found, n, rcpts, out_n, why);
}

static int deliver(struct job *j)
{
	AUTO(buf_done) struct buf raw = { .max = MESSAGE_MAX }, plain = { .max = MESSAGE_MAX + (MESSAGE_MAX >> 2) }, message = { .max = MESSAGE_MAX + (MESSAGE_MAX >> 2) };
	AUTO(arena_done) struct arena a = { .max = 64 << 20 };
	struct str *rcpts = arena_new(&a, RCPTS_MAX * sizeof *rcpts);
	size_t n = 0;
	struct why why = { 0 };
	const char *sender = j->sender ? j->sender : own_name();
	if (fd_read_all(0, MESSAGE_MAX, &raw, &why) != RC_OK)
		return fail(j, EX_IOERR, "standard input: %s", why.text);
	if (j->name && !sendmail_has_from(buf_str(&raw))) {
		char full[600];
		buf_add(&plain, STR("From: \""));
		for (const char *p = j->name; *p && p < j->name + 200; p++)
			buf_byte(&plain, (unsigned char)*p < ' ' || *p == '"' || *p == '\\' ? ' ' : *p);
		buf_addf(&plain, "\" <%s>\r\n", with_domain(j, sender, full));
	}
	sendmail_message(buf_str(&raw), j->dot_ends, &plain);
	enum rc rc = sendmail_qualify(buf_str(&plain), str_z(j->domain), &a, &message);
	if (rc == RC_OK && rcpts)
		rc = all_recipients(j, buf_str(&message), &a, rcpts, &n, &why);
	if (rc == RC_SYNTAX || rc == RC_LIMIT)
		return fail(j, EX_DATAERR, "%s", why.text);
	if (rc != RC_OK || !rcpts || plain.failed)
		return fail(j, EX_OSERR, "no memory for the message");
	if (n == 0)
		return fail(j, EX_USAGE, "nobody to send it to: name recipients, or -t to take them from the header");
	return send_message(j, sender, rcpts, n, buf_str(&message));
}

static int list_queue(const struct job *j)
{
	char *argv[] = { (char *)(uintptr_t)"letterlock", (char *)(uintptr_t)"queue", (char *)(uintptr_t)"list", (char *)(uintptr_t)"--mailq", (char *)(uintptr_t)"--config", NULL, NULL };
	argv[5] = (char *)(uintptr_t)(j->config_path ? j->config_path : default_config);
	int status = verbs_main(6, argv);
	return status == STATUS_OK || status == STATUS_NOTHING ? EX_OK : status == STATUS_USAGE ? EX_USAGE : EX_UNAVAILABLE;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

bool is_sendmail(const char *program)
{
	const char *name = base_name(program);
	return strcmp(name, "sendmail") == 0 || strcmp(name, "mailq") == 0 || strcmp(name, "newaliases") == 0;
}

int sendmail_main(int argc, char **argv)
{
	struct job j = { .program = base_name(argv[0]), .dot_ends = true, .fd = -1 };
	parse(&j, argc, argv);
	j.queue_list = j.queue_list || strcmp(j.program, "mailq") == 0;
	if (j.bad)
		return fail(&j, EX_USAGE, "an option that is not known; -t -i -f ADDRESS -F NAME -bm -bs -bp -N -R -V are");
	if (j.nothing || strcmp(j.program, "newaliases") == 0)
		return EX_OK;
	if (j.queue_list)
		return list_queue(&j);
	look_up_server(&j);
	if (!dial(&j))
		return fail(&j, EX_TEMPFAIL, "%s: %s; is the server running?", j.socket, strerror(errno));
	int code = j.session ? pass_through(&j) : deliver(&j);
	fd_close(&j.fd);
	return code;
}
