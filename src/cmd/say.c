#include "cmd/verbs.h"

#include "base/codec.h"
#include "base/mem.h"
#include "cmd/config_file.h"
#include <stdarg.h>
#include <termios.h>
#include <unistd.h>

/* What verbs say and ask. Text from the server is shown with its control characters replaced: a folder's name may not move the cursor. */

void say(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	(void)vprintf(format, ap);
	va_end(ap);
	(void)putchar('\n');
}

void say_json(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	(void)vprintf(format, ap);
	va_end(ap);
	(void)putchar('\n');
}

static void put_json_field(const char *key, const char *value)
{
	AUTO(buf_done) struct buf b = { .max = 8192 };
	json_escape(&b, str_z(value));
	(void)fprintf(stderr, ",\"%s\":\"%.*s\"", key, PSTR(buf_str(&b)));
}

enum status say_error(const struct call *c, enum status s, const char *what, const char *why, const char *act)
{
	(void)fflush(stdout);
	if (c->json) {
		(void)fprintf(stderr, "{\"status\":%d", (int)s);
		put_json_field("error", what);
		if (why && *why)
			put_json_field("why", why);
		if (act)
			put_json_field("do", act);
		(void)fprintf(stderr, "}\n");
		return s;
	}
	(void)fprintf(stderr, "letterlock: %s\n", what);
	if (why && *why)
		(void)fprintf(stderr, "  why: %s\n", why);
	if (act)
		(void)fprintf(stderr, "  do:  %s\n", act);
	return s;
}

enum status say_usage(const struct call *c, const char *format, ...)
{
	char text[300];
	va_list ap;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	return say_error(c, STATUS_USAGE, text, NULL, NULL);
}

const char *json_text(struct arena *a, struct str s)
{
	AUTO(buf_done) struct buf b = { .max = 1 << 24 };
	json_escape(&b, s);
	return arena_str(a, buf_str(&b)).p;
}

/* What acts on a terminal instead of being seen there: controls, and marks that turn the direction of text or end its lines. */
static bool is_trick(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

const char *text_z(struct arena *a, struct str s)
{
	AUTO(buf_done) struct buf b = { .max = 1 << 24 };
	while (s.n) {
		uint32_t v;
		size_t n = utf8_next(s, &v);
		if (n == 0 || is_trick(v))
			buf_byte(&b, '?');
		else
			buf_add(&b, str_head(s, n));
		s = str_skip(s, n ? n : 1);
	}
	return arena_str(a, buf_str(&b)).p;
}

const char *size_text(uint64_t octets, char out[24])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)octets;
	size_t u = 0;
	while (v >= 1024 && u < 4) {
		v /= 1024;
		u++;
	}
	(void)snprintf(out, 24, u ? "%.1f %s" : "%.0f %s", v, units[u]);
	return out;
}

/* ---- secrets ---- */

/* One line without its end. Octet by octet, so that nothing of the next line is taken, and no stdio buffer keeps a copy. */
static enum rc read_secret_line(struct buf *out, struct why *why)
{
	FILE *in = stdin;
	int c;
	(void)setvbuf(in, NULL, _IONBF, 0);
	while ((c = getc(in)) != EOF && c != '\n')
		buf_byte(out, (char)c);
	if (out->len && out->p[out->len - 1] == '\r')
		out->len--;
	if (out->failed)
		FAIL(why, RC_LIMIT, "longer than %zu octets", out->max);
	if (out->len == 0)
		FAIL(why, RC_SYNTAX, "nothing was given");
	return RC_OK;
}

static enum rc read_hidden(const char *prompt, struct buf *out, struct why *why)
{
	struct termios was, quiet;
	if (tcgetattr(STDIN_FILENO, &was) < 0)
		return read_secret_line(out, why);
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	(void)fprintf(stderr, "%s: ", prompt);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	enum rc rc = read_secret_line(out, why);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	(void)fprintf(stderr, "\n");
	return rc;
}

enum rc ask_secret(const char *prompt, bool again, struct buf *out, struct why *why)
{
	if (!isatty(STDIN_FILENO))
		return read_secret_line(out, why);
	TRY(read_hidden(prompt, out, why));
	if (!again)
		return RC_OK;
	AUTO(buf_wipe) struct buf second = { .max = out->max };
	TRY(read_hidden("Again", &second, why));
	if (!str_eq(buf_str(out), buf_str(&second)))
		FAIL(why, RC_SYNTAX, "the two were different");
	return RC_OK;
}

bool ask_yes(const struct call *c, const char *question)
{
	if (c->yes)
		return true;
	if (!isatty(STDIN_FILENO)) {
		(void)say_error(c, STATUS_FAILED, question, "nobody is there to answer", "give --yes");
		return false;
	}
	(void)fprintf(stderr, "%s [y/N] ", question);
	int first = getchar();
	for (int ch = first; ch != EOF && ch != '\n';)
		ch = getchar();
	return first == 'y' || first == 'Y';
}

bool call_config(const struct call *c, struct config *out)
{
	struct why why = { 0 };
	enum rc rc = config_file_load(c->config_path, out, NULL, &why);
	if (rc == RC_OK)
		return true;
	char what[300];
	(void)snprintf(what, sizeof what, "the configuration cannot be used");
	(void)say_error(c, STATUS_FAILED, what, why.text, rc == RC_NOTFOUND ? "give --config FILE, or write " CONFIG_PATH : "letterlock config explain");
	return false;
}
