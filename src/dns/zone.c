#include "base/mem.h"
#include "dns/table.h"
#include <stdarg.h>

enum { WORDS_MAX = 16384, TTL_MAX = INT32_MAX, TTL_DEFAULT = 300 };

/* Reads a master file entry by entry: an entry is a line, or several within parentheses. */
struct reader {
	struct dns_table *t;
	struct str text;
	size_t at;
	unsigned line;
	struct str origin, owner;
	bool owner_known, ttl_known;
	uint32_t ttl, last_ttl;
	struct zone_word *word;  /* of the entry under way */
	size_t n, cap;
	bool blank;              /* the entry began with white space: the owner is the one before */
	struct why *why;
};

static enum rc bad(struct reader *r, enum rc rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static enum rc bad(struct reader *r, enum rc rc, const char *fmt, ...)
{
	char text[160];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	FAIL(r->why, rc, "line %u: %s", r->line, text);
}

/* What `why` says already, with the line before it. */
static enum rc located(struct reader *r, enum rc rc)
{
	if (rc != RC_OK && r->why) {
		char text[sizeof r->why->text];
		memcpy(text, r->why->text, sizeof text);
		return bad(r, rc, "%.150s", text);
	}
	return rc;
}

static bool blank_at(const struct reader *r, size_t i) { return r->text.p[i] == ' ' || r->text.p[i] == '\t' || r->text.p[i] == '\r'; }

/* "; TIMEOUT name type" and its like: the comments that a test's zone speaks to us with. Anything else is a comment. */
static enum rc remark(struct reader *r, struct str text)
{
	static const struct { struct str word; enum dns_status status; unsigned args; } remarks[] = {
		{ STR_INIT("TIMEOUT"), DNS_TEMPFAIL, 2 }, { STR_INIT("SERVFAIL"), DNS_TEMPFAIL, 2 }, { STR_INIT("BOGUS"), DNS_BOGUS, 2 }, { STR_INIT("SECURE"), DNS_OK, 1 },
	};
	struct str part[4];
	size_t n = 0;
	for (struct str rest = str_trim(text); rest.n && n < 4; rest = str_trim(rest)) {
		size_t end = 0;
		while (end < rest.n && rest.p[end] != ' ' && rest.p[end] != '\t')
			end++;
		part[n++] = str_head(rest, end);
		rest = str_skip(rest, end);
	}
	for (size_t i = 0; n && i < sizeof(remarks) / sizeof(remarks[0]); i++) {
		struct str name;
		if (!str_eq(part[0], remarks[i].word) || n != remarks[i].args + 1u)
			continue;
		unsigned type = n == 3 ? rdata_type(part[2]) : 0;
		if (n == 3 && !type && !str_eq(part[2], STR("ANY")))
			return RC_OK;
		TRY(located(r, rdata_name(part[1], r->origin, &r->t->a, &name, r->why)));
		if (remarks[i].args == 2)
			return dns_table_fail(r->t, name, type, remarks[i].status);
		struct table_node *node = table_node(r->t, name);
		if (!node)
			return RC_NOMEM;
		node->secure = true;
	}
	return RC_OK;
}

static enum rc skip_comment(struct reader *r)
{
	size_t from = ++r->at;
	while (r->at < r->text.n && r->text.p[r->at] != '\n')
		r->at++;
	return remark(r, str_of(r->text.p + from, r->at - from));
}

static enum rc take_quoted(struct reader *r, struct str *out)
{
	size_t from = ++r->at;
	for (; r->at < r->text.n && r->text.p[r->at] != '"'; r->at++) {
		if (r->text.p[r->at] == '\n')
			return bad(r, RC_SYNTAX, "a quoted string does not end on its line");
		if (r->text.p[r->at] == '\\' && r->at + 1 < r->text.n && r->text.p[r->at + 1] != '\n')
			r->at++;
	}
	if (r->at >= r->text.n)
		return bad(r, RC_SYNTAX, "a quoted string does not end");
	*out = str_of(r->text.p + from, r->at++ - from);
	return RC_OK;
}

static struct str take_bare(struct reader *r)
{
	size_t from = r->at;
	while (r->at < r->text.n && !blank_at(r, r->at) && !memchr("\n;()\"", r->text.p[r->at], 5)) {
		if (r->text.p[r->at] == '\\' && r->at + 1 < r->text.n && r->text.p[r->at + 1] != '\n')
			r->at++;
		r->at++;
	}
	return str_of(r->text.p + from, r->at - from);
}

static enum rc put_word(struct reader *r, struct str text, bool quoted)
{
	if (r->n == WORDS_MAX)
		return bad(r, RC_LIMIT, "more than %d words in one record", WORDS_MAX);
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 16;
		struct zone_word *more = mem_grow(r->word, r->cap * sizeof *more, cap * sizeof *more);
		if (!more)
			return bad(r, RC_NOMEM, "no memory for a record's words");
		r->word = more;
		r->cap = cap;
	}
	r->word[r->n++] = (struct zone_word){ text, quoted };
	return RC_OK;
}

/* The words of the next entry; RC_NOTFOUND at the end of the file. */
static enum rc next_entry(struct reader *r)
{
	unsigned depth = 0;
	r->n = 0;
	r->blank = r->at < r->text.n && blank_at(r, r->at);
	while (r->at < r->text.n) {
		char c = r->text.p[r->at];
		struct str quoted = STR("");
		if (blank_at(r, r->at)) {
			r->at++;
		} else if (c == ';') {
			TRY(skip_comment(r));
		} else if (c == '\n') {
			r->at++;
			if (depth == 0 && r->n)
				return RC_OK; /* `line` still says this entry's line */
			r->line++;
			if (depth == 0)
				r->blank = r->at < r->text.n && blank_at(r, r->at);
		} else if (c == '(' || c == ')') {
			if (c == ')' && depth == 0)
				return bad(r, RC_SYNTAX, "a closing parenthesis without an opening one");
			depth += c == '(' ? 1u : -1u;
			r->at++;
		} else if (c == '"') {
			TRY(take_quoted(r, &quoted));
			TRY(put_word(r, quoted, true));
		} else {
			TRY(put_word(r, take_bare(r), false));
		}
	}
	if (depth)
		return bad(r, RC_SYNTAX, "a parenthesis does not close");
	return r->n ? RC_OK : RC_NOTFOUND;
}

/* Seconds, or BIND's "1h30m". */
static bool ttl_of(struct str s, uint32_t *out)
{
	static const struct { char unit; uint32_t s; } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
	uint64_t sum = 0, v;
	if (!s.n || !ascii_digit(s.p[0]))
		return false;
	while (s.n) {
		size_t n = 0;
		while (n < s.n && ascii_digit(s.p[n]))
			n++;
		if (!str_u64(str_head(s, n), TTL_MAX, &v))
			return false;
		s = str_skip(s, n);
		for (size_t i = 0; s.n && i <= 5; i++) {
			if (i == 5)
				return false;
			if (ascii_lower(s.p[0]) == units[i].unit) {
				v *= units[i].s;
				s = str_skip(s, 1);
				break;
			}
		}
		if ((sum += v) > TTL_MAX)
			return false;
	}
	*out = (uint32_t)sum;
	return true;
}

static enum rc directive(struct reader *r)
{
	struct str word = r->word[0].text;
	if (str_ieq(word, STR("$ORIGIN")) && r->n == 2)
		return located(r, rdata_name(r->word[1].text, r->origin, &r->t->a, &r->origin, r->why));
	if (str_ieq(word, STR("$TTL")) && r->n == 2) {
		if (!ttl_of(r->word[1].text, &r->ttl))
			return bad(r, RC_SYNTAX, "\"%.*s\" is not a TTL", PSTR(str_head(r->word[1].text, 40)));
		r->ttl_known = true;
		return RC_OK;
	}
	return bad(r, RC_SYNTAX, "\"%.*s\" is not taken here", PSTR(str_head(word, 40)));
}

static enum rc take_soa(struct reader *r, const struct zone_word *w, size_t n, uint32_t ttl)
{
	uint32_t minimum;
	if (n != 7 || !ttl_of(w[6].text, &minimum))
		return bad(r, RC_SYNTAX, "a SOA record has seven words, the last a time");
	if (!r->ttl_known && !r->last_ttl)
		r->last_ttl = minimum;
	/* RFC 2308 5: the lesser of the SOA's own TTL and its MINIMUM */
	return table_soa(r->t, r->owner, ttl < minimum ? ttl : minimum);
}

/* [name] [TTL] [class] type data, TTL and class in either order. */
static enum rc record(struct reader *r)
{
	size_t i = 0;
	uint32_t ttl = r->ttl_known ? r->ttl : r->last_ttl ? r->last_ttl : TTL_DEFAULT, own;
	bool had_ttl = false, had_class = false;
	if (!r->blank) {
		TRY(located(r, rdata_name(r->word[i++].text, r->origin, &r->t->a, &r->owner, r->why)));
		r->owner_known = true;
	}
	if (!r->owner_known)
		return bad(r, RC_SYNTAX, "the first record has no name");
	for (; i < r->n; i++) {
		if (!had_class && str_ieq(r->word[i].text, STR("IN")))
			had_class = true;
		else if (!had_ttl && ttl_of(r->word[i].text, &own))
			had_ttl = true, ttl = r->last_ttl = own;
		else
			break;
	}
	unsigned type = i < r->n && !r->word[i].quoted ? rdata_type(r->word[i].text) : 0;
	if (!type)
		return bad(r, RC_SYNTAX, "\"%.*s\" where a record's type belongs", PSTR(str_head(i < r->n ? r->word[i].text : STR("nothing"), 40)));
	i++;
	if (type == DNS_SOA)
		TRY(take_soa(r, r->word + i, r->n - i, ttl));
	struct dns_record data;
	enum rc rc = rdata_parse(type, r->word + i, r->n - i, r->origin, &r->t->a, &data, r->why);
	if (rc != RC_OK && rc != RC_NOTFOUND)
		return located(r, rc);
	return located(r, table_add(r->t, r->owner, type, ttl, rc == RC_OK ? &data : NULL, r->why));
}

enum rc dns_table_read(struct dns_table *t, struct str text, struct str origin, struct why *why)
{
	struct why own = { 0 };
	struct reader r = { .t = t, .text = text, .line = 1, .why = why ? why : &own };
	enum rc rc = RC_OK;
	char folded[256];
	size_t n = 0;
	if (origin.n && !str_eq(origin, STR(".")) && !dns_fold(origin, folded, &n))
		FAIL(why, RC_SYNTAX, "the origin is not a name");
	r.origin = r.owner = arena_str(&t->a, str_of(folded, n));
	if (t->a.full)
		rc = RC_NOMEM;
	while (rc == RC_OK && (rc = next_entry(&r)) == RC_OK) {
		bool is_directive = !r.blank && !r.word[0].quoted && r.word[0].text.n && r.word[0].text.p[0] == '$';
		rc = is_directive ? directive(&r) : record(&r);
		r.line++;
	}
	mem_free(r.word);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}
