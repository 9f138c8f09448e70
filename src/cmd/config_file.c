#include "cmd/config_file.h"

#include "base/mem.h"
#include "os/file.h"
#include <assert.h>
#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

enum { SECTIONS_MAX = 32, KEYS_MAX = 48, WORD_MAX = 64 };

/* One file being read. libconfuse's callbacks carry no pointer of ours, so the current one is per thread: a thread reads one at a time. */
struct load {
	const char *name;
	struct str text;
	struct config *config;
	struct config_lines *lines;
	struct why *why;
	bool failed;
};
static _Thread_local struct load *loading;

static const char tls_section[] = "tls", listen_section[] = "listen", version_key[] = "config_version", proxies_key[] = "trusted_proxies";

/* ---- where and how wrong ---- */

static struct str line_of(struct str text, unsigned line)
{
	struct str head = { "", 0 };
	for (unsigned i = 0; i < line && text.n; i++)
		(void)str_cut(text, '\n', &head, &text);
	return head;
}

/* libconfuse counts lines, not columns: the column is where the word stands in its line, as a whole word. */
static unsigned column_of(struct str line, struct str word)
{
	for (size_t i = 0; word.n && i + word.n <= line.n; i++) {
		bool starts = i == 0 || !(ascii_alnum(line.p[i - 1]) || line.p[i - 1] == '_');
		bool ends = i + word.n == line.n || !(ascii_alnum(line.p[i + word.n]) || line.p[i + word.n] == '_');
		if (starts && ends && str_eq((struct str){ line.p + i, word.n }, word))
			return (unsigned)i + 1;
	}
	return 1;
}

/* The first reason is the one to tell. */
static void complain(unsigned line, struct str word, enum rc rc, const char *text)
{
	struct load *l = loading;
	if (l->failed)
		return;
	l->failed = true;
	(void)why_fail(l->why, rc, 0, __FILE__, "%s:%u:%u: %s", l->name, line, column_of(line_of(l->text, line), word), text);
}

static size_t least3(size_t a, size_t b, size_t c) { return a < b ? (a < c ? a : c) : (b < c ? b : c); }

/* Levenshtein distance; words longer than WORD_MAX are far from everything. */
static size_t distance(struct str a, struct str b)
{
	size_t row[WORD_MAX + 1];
	if (a.n > WORD_MAX || b.n > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t above = row[j];
			row[j] = least3(above + 1, row[j - 1] + 1, diagonal + (ascii_lower(a.p[i - 1]) != b.p[j - 1]));
			diagonal = above;
		}
	}
	return row[b.n];
}

const char *nearest_word(struct str word, const char *const *words, size_t n)
{
	const char *best = NULL;
	size_t best_distance = SIZE_MAX;
	for (size_t i = 0; i < n; i++) {
		size_t d = distance(word, str_z(words[i]));
		if (d < best_distance && d <= 1 + strlen(words[i]) / 3) {
			best = words[i];
			best_distance = d;
		}
	}
	return best;
}

static void unknown_key(cfg_t *cfg, const char *key)
{
	const char *names[KEYS_MAX * 2];
	size_t n = 0;
	for (unsigned i = 0; i < cfg_num(cfg) && n < KEYS_MAX * 2; i++)
		names[n++] = cfg_opt_name(cfg_getnopt(cfg, i));
	const char *near = nearest_word(str_z(key), names, n);
	const char *elsewhere = NULL;
	for (size_t i = 0; i < config_row_n && !near; i++)
		if (str_eq(str_z(key), str_z(config_rows[i].name)))
			elsewhere = config_rows[i].section;
	char text[160];
	if (near)
		(void)snprintf(text, sizeof text, "unknown key \"%.40s\"; did you mean \"%s\"?", key, near);
	else if (elsewhere)
		(void)snprintf(text, sizeof text, "unknown key \"%.40s\" here; it belongs into section %s", key, elsewhere);
	else
		(void)snprintf(text, sizeof text, "unknown key \"%.40s\"; see: letterlock config explain", key);
	complain((unsigned)cfg->line, str_z(key), RC_SYNTAX, text);
}

__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	if (strcmp(fmt, "no such option '%s'") == 0) {
		unknown_key(cfg, va_arg(ap, const char *));
		return;
	}
	char text[160];
	(void)vsnprintf(text, sizeof text, fmt, ap);
	complain((unsigned)cfg->line, STR(""), RC_SYNTAX, text);
}

/* ---- values, as libconfuse meets them ---- */

static int refuse(cfg_t *cfg, const char *word, enum rc rc, const char *text)
{
	complain((unsigned)cfg->line, str_z(word), rc, text);
	return -1;
}

/* Notes the line of a key and refuses a second one: the later of two would silently win. */
static int once(cfg_t *cfg, cfg_opt_t *opt, unsigned *line)
{
	char text[80];
	if (*line) {
		(void)snprintf(text, sizeof text, "%.40s is already set in line %u", opt->name, *line);
		return refuse(cfg, opt->name, RC_SYNTAX, text);
	}
	*line = (unsigned)cfg->line;
	return 0;
}

static int is_versioned(cfg_t *cfg, cfg_opt_t *opt)
{
	return loading->lines->version ? 0 : refuse(cfg, opt->name, RC_SYNTAX, "config_version = 1 must stand first");
}

static int on_version(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	if (strcmp(value, "1") != 0)
		return refuse(cfg, opt->name, RC_SYNTAX, "config_version must be 1: this program knows no other");
	*(const char **)result = value;
	return once(cfg, opt, &loading->lines->version);
}

static int on_scalar(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct why why = { 0 };
	const struct config_row *row = config_row_find(str_z(cfg_name(cfg)), str_z(opt->name));
	*(const char **)result = value;
	if (is_versioned(cfg, opt) || once(cfg, opt, &loading->lines->row[row - config_rows]))
		return -1;
	enum rc rc = config_set(loading->config, row, str_z(value), &why);
	return rc == RC_OK ? 0 : refuse(cfg, opt->name, rc, why.text);
}

static int on_listen(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct why why = { 0 };
	struct str name = str_z(opt->name);
	bool proxy = str_ends(name, STR("_proxy"));
	size_t proto = 0;
	*(const char **)result = value;
	if (is_versioned(cfg, opt))
		return -1;
	while (!str_eq(str_head(name, proxy ? name.n - 6 : name.n), str_z(listener_proto_names[proto])))
		proto++; /* the options were made from this very table */
	loading->lines->listen[proxy][proto] = (unsigned)cfg->line;
	enum rc rc = config_listen(loading->config, (enum listener_proto)proto, proxy, str_z(value), &why);
	return rc == RC_OK ? 0 : refuse(cfg, opt->name, rc, why.text);
}

static int on_trusted(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct why why = { 0 };
	*(const char **)result = value;
	if (is_versioned(cfg, opt))
		return -1;
	loading->lines->trusted_proxies = (unsigned)cfg->line;
	enum rc rc = config_add_proxy(loading->config, str_z(value), &why);
	return rc == RC_OK ? 0 : refuse(cfg, opt->name, rc, why.text);
}

static int on_text(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	*(const char **)result = value;
	return is_versioned(cfg, opt);
}

/* ---- libconfuse's option tables, made from ours ---- */

_Static_assert(2 * LISTEN_PROTOS + 2 <= KEYS_MAX, "the section listen has its own rows");
struct tables {
	cfg_opt_t top[SECTIONS_MAX], keys[SECTIONS_MAX][KEYS_MAX];
	char proxy_names[LISTEN_PROTOS][24];
	size_t top_n, key_n[SECTIONS_MAX];
};

static void add_section(struct tables *t, const char *name, cfg_opt_t *keys, cfg_flag_t flags)
{
	assert(t->top_n + 1 < SECTIONS_MAX); /* one stays zero: the end */
	t->top[t->top_n++] = (cfg_opt_t)CFG_SEC(name, keys, flags);
}

static void add_rows(struct tables *t)
{
	for (size_t i = 0; i < config_row_n; i++) {
		size_t s = 0;
		while (s < t->top_n && (t->top[s].type != CFGT_SEC || strcmp(t->top[s].name, config_rows[i].section) != 0))
			s++;
		if (s == t->top_n)
			add_section(t, config_rows[i].section, t->keys[s], CFGF_NONE);
		assert(t->key_n[s] + 1 < KEYS_MAX);
		t->keys[s][t->key_n[s]++] = (cfg_opt_t)CFG_STR_CB(config_rows[i].name, NULL, CFGF_NODEFAULT, on_scalar);
	}
}

static void make_tables(struct tables *t)
{
	memset(t, 0, sizeof *t);
	t->top[t->top_n++] = (cfg_opt_t)CFG_STR_CB(version_key, NULL, CFGF_NODEFAULT, on_version);
	add_rows(t);
	cfg_opt_t *listen = t->keys[t->top_n];
	size_t n = 0;
	add_section(t, listen_section, listen, CFGF_NONE);
	for (size_t i = 0; i < LISTEN_PROTOS; i++) {
		(void)snprintf(t->proxy_names[i], sizeof t->proxy_names[i], "%s_proxy", listener_proto_names[i]);
		listen[n++] = (cfg_opt_t)CFG_STR_LIST_CB(listener_proto_names[i], NULL, CFGF_NODEFAULT, on_listen);
		listen[n++] = (cfg_opt_t)CFG_STR_LIST_CB(t->proxy_names[i], NULL, CFGF_NODEFAULT, on_listen);
	}
	listen[n++] = (cfg_opt_t)CFG_STR_LIST_CB(proxies_key, NULL, CFGF_NODEFAULT, on_trusted);
	cfg_opt_t *tls = t->keys[t->top_n];
	tls[0] = (cfg_opt_t)CFG_STR_CB("cert", NULL, CFGF_NODEFAULT, on_text);
	tls[1] = (cfg_opt_t)CFG_STR_CB("key", NULL, CFGF_NODEFAULT, on_text);
	add_section(t, tls_section, tls, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
}

static void take_tls(cfg_t *cfg)
{
	for (unsigned i = 0; i < cfg_size(cfg, tls_section); i++) {
		cfg_t *sec = cfg_getnsec(cfg, tls_section, i);
		struct why why = { 0 };
		if (i == 0)
			loading->lines->tls = (unsigned)sec->line;
		struct config_tls tls = { str_z(cfg_title(sec)), str_z(cfg_getstr(sec, "cert")), str_z(cfg_getstr(sec, "key")) };
		enum rc rc = config_add_tls(loading->config, &tls, &why);
		if (rc != RC_OK)
			complain((unsigned)sec->line, STR("tls"), rc, why.text);
	}
}

/* ---- comments ---- */

static bool begins_token(const char *text, size_t at) { return at == 0 || strchr(" \t\r\n{}=,\"'", text[at - 1]) != NULL; }

/* The length of a comment at `at`, its newline not included; 0: none. As libconfuse's lexer: # anywhere, the others where a word begins. */
static size_t comment_at(struct str s, size_t at)
{
	struct str rest = str_skip(s, at);
	bool line = rest.p[0] == '#' || (str_starts(rest, STR("//")) && begins_token(s.p, at));
	if (line)
		return str_find(rest, '\n');
	if (!str_starts(rest, STR("/*")) || !begins_token(s.p, at))
		return 0;
	size_t end = str_find_str(str_skip(rest, 2), STR("*/"));
	return end + 4 < rest.n ? end + 4 : rest.n;
}

/* Blanks comments, for libconfuse counts the newline after one three times and would name wrong lines. Newlines stay. Answers how many
 * braces are open at the end, which libconfuse does not mind either. */
static int blank_comments(char *p, size_t n)
{
	char quote = 0;
	int open = 0;
	for (size_t i = 0; i < n; i++) {
		if (quote && p[i] == '\\' && i + 1 < n)
			i++;
		else if (quote && p[i] == quote)
			quote = 0;
		else if (!quote && (p[i] == '"' || p[i] == '\''))
			quote = p[i];
		else if (!quote)
			open += (p[i] == '{') - (p[i] == '}');
		for (size_t k = quote ? 0 : comment_at((struct str){ p, n }, i); k > 0; k--, i++)
			if (p[i] != '\n')
				p[i] = ' ';
		if (i >= n)
			break;
	}
	return open;
}

/* ---- the environment ---- */

/* The inside of the next "${NAME}" or "${NAME:-default}" from *at on, which then is behind it. As libconfuse's lexer: inside double quotes anywhere but behind a
 * backslash, inside single quotes nowhere, elsewhere as a word of its own; it ends at the first brace that closes. *quote is the one that is open. */
static bool next_reference(struct str text, size_t *at, char *quote, struct str *out_inside)
{
	for (; *at < text.n; ++*at) {
		char c = text.p[*at];
		bool word = *quote == '"' || (!*quote && (*at == 0 || strchr(" #\"'\t\n\r={}()+,*", text.p[*at - 1])));
		if (word && str_starts(str_skip(text, *at), STR("${"))) {
			struct str inside = str_skip(text, *at + 2);
			*out_inside = str_head(inside, str_find(inside, '}'));
			*at += out_inside->n + 3;
			return out_inside->n < inside.n; /* no brace closes: none is left for any other either */
		}
		if (*quote && c == '\\')
			++*at;
		else if (*quote ? c == *quote : c == '"' || c == '\'')
			*quote = *quote ? 0 : c;
	}
	return false;
}

/* A variable that is not set would be an empty one to libconfuse, where no default follows the name. A colon without a hyphen is part of the name. */
static enum rc is_set(struct str inside, bool *out)
{
	AUTO(buf_done) struct buf z = { .max = CONFIG_FILE_MAX + 1 };
	*out = str_starts(str_skip(inside, str_find(inside, ':')), STR(":-"));
	buf_add(&z, inside);
	buf_byte(&z, 0);
	if (z.failed)
		return RC_NOMEM;
	*out = *out || getenv(z.p);
	return RC_OK;
}

static enum rc check_environment(const struct load *l)
{
	struct str inside;
	char quote = 0;
	size_t at = 0;
	while (next_reference(l->text, &at, &quote, &inside)) {
		bool set;
		if (is_set(inside, &set) != RC_OK)
			FAIL(l->why, RC_NOMEM, "no memory for the configuration");
		if (set)
			continue;
		struct str name = str_head(inside, 60), before = str_head(l->text, (size_t)(inside.p - 2 - l->text.p));
		unsigned line = 1;
		for (size_t n; (n = str_find(before, '\n')) < before.n; line++)
			before = str_skip(before, n + 1);
		FAIL(l->why, RC_SYNTAX, "%s:%u:%zu: the environment variable \"%.*s\" is not set; a default is written ${NAME:-VALUE}", l->name, line, before.n + 1, PSTR(name));
	}
	return RC_OK;
}

static unsigned lines_of(struct str text)
{
	unsigned n = 1;
	for (size_t i = 0; i + 1 < text.n; i++)
		n += text.p[i] == '\n';
	return n;
}

/* The line that sets the key which a reason begins with, as all of config_check() do that are about one; 0: none sets it. */
static unsigned line_of_reason(const struct load *l, struct str reason, struct str *out_word)
{
	struct str key = str_head(reason, str_find(reason, ' ')), section, name;
	if (key.n && key.p[key.n - 1] == ':')
		key.n--;
	if (!str_cut(key, '.', &section, &name))
		return 0;
	*out_word = name;
	const struct config_row *row = config_row_find(section, name);
	if (row)
		return l->lines->row[row - config_rows];
	for (size_t proto = 0; str_eq(section, str_z(listen_section)) && proto < LISTEN_PROTOS; proto++)
		for (int proxy = 0; proxy < 2; proxy++)
			if (str_eq(str_head(name, name.n - (proxy ? 6 : 0)), str_z(listener_proto_names[proto])))
				return l->lines->listen[proxy][proto];
	return 0;
}

static enum rc placed(const struct load *l, enum rc rc, const struct why *reason)
{
	struct str word = STR("");
	unsigned line = line_of_reason(l, str_z(reason->text), &word);
	if (line == 0)
		FAIL(l->why, rc, "%s: %s", l->name, reason->text);
	FAIL(l->why, rc, "%s:%u:%u: %s", l->name, line, column_of(line_of(l->text, line), word), reason->text);
}

/* `text` ends with a NUL that it does not count. */
static enum rc parse(struct load *l)
{
	struct tables *t = mem_new(sizeof *t);
	if (!t)
		FAIL(l->why, RC_NOMEM, "no memory for the configuration");
	make_tables(t);
	loading = l;
	cfg_t *cfg = cfg_init(t->top, CFGF_NONE);
	if (cfg) {
		(void)cfg_set_error_function(cfg, on_error);
		if (cfg_parse_buf(cfg, l->text.p) == CFG_SUCCESS)
			take_tls(cfg);
		else
			complain((unsigned)cfg->line, STR(""), RC_SYNTAX, "not understood");
		cfg_free(cfg);
	}
	loading = NULL;
	mem_free(t);
	if (!cfg)
		FAIL(l->why, RC_NOMEM, "no memory for the configuration");
	if (l->failed)
		return l->why->rc;
	if (!l->lines->version)
		FAIL(l->why, RC_SYNTAX, "%s:1:1: config_version = 1 must stand first", l->name);
	struct why why = { 0 };
	enum rc rc = config_check(l->config, &why);
	return rc == RC_OK ? RC_OK : placed(l, rc, &why);
}

enum rc config_text_load(const char *name, struct str text, struct config *out, struct config_lines *lines, struct why *why)
{
	assert(config_row_n <= CONFIG_ROWS_MAX && "room for every row of config.def");
	struct config_lines unused;
	struct why local = { 0 };
	if (text.n > CONFIG_FILE_MAX)
		FAIL(why, RC_LIMIT, "%s: larger than %d octets", name, CONFIG_FILE_MAX);
	if (str_find(text, 0) < text.n)
		FAIL(why, RC_SYNTAX, "%s: holds a NUL octet: not a text file", name);
	AUTO(buf_done) struct buf copy = { .max = CONFIG_FILE_MAX + 1 };
	buf_add(&copy, text);
	buf_byte(&copy, 0);
	if (copy.failed)
		FAIL(why, RC_NOMEM, "no memory for the configuration");
	int open = blank_comments(copy.p, text.n);
	struct load l = { .name = name, .text = { copy.p, text.n }, .config = out, .lines = lines ? lines : &unused, .why = why ? why : &local };
	*l.lines = (struct config_lines){ 0 };
	config_init(out);
	enum rc rc = check_environment(&l);
	if (rc == RC_OK)
		rc = parse(&l);
	if (rc == RC_OK && open > 0)
		rc = why_fail(why, RC_SYNTAX, 0, __FILE__, "%s:%u:1: the file ends inside a section: a } is missing", name, lines_of(text));
	if (rc != RC_OK)
		config_done(out);
	return rc;
}

enum rc config_file_load(const char *path, struct config *out, struct config_lines *lines, struct why *why)
{
	AUTO(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		FAIL(why, RC_NOTFOUND, "%s: no such file", path);
	if (fd < 0)
		FAIL_SYS(why, "%s: cannot be opened: %s", path, strerror(errno));
	AUTO(buf_done) struct buf text = { .max = CONFIG_FILE_MAX };
	struct why one = { 0 };
	enum rc rc = fd_read_all(fd, CONFIG_FILE_MAX, &text, &one);
	if (rc != RC_OK)
		FAIL(why, rc, "%s: cannot be read: %s", path, one.sys ? strerror(one.sys) : one.text);
	return config_text_load(path, buf_str(&text), out, lines, why);
}
