#include "smtp/params.h"

#include "base/codec.h"

enum { ENVID_MAX = 100, ORCPT_MAX = 500 }; /* RFC 3461 5.4, 5.2 d */

struct param { struct str key, value; bool has_value; };
struct parse { /* what a parameter's own parser may need */
	const struct smtp_config *config;
	struct arena *arena;
	struct smtp_mail *mail;
	struct smtp_rcpt *rcpt;
	int64_t now_ms;
	bool smtputf8, held;
	struct why *why;
};

static int hex_upper(char c) { return ascii_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

static bool is_print(unsigned char c) { return c >= 32 && c < 127; }

enum rc smtp_xtext_decode(struct str in, struct arena *a, struct str *out)
{
	char *p = arena_new(a, in.n + 1);
	if (!p)
		return RC_NOMEM;
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		if (c < '!' || c > '~' || c == '=')
			return RC_SYNTAX;
		if (c == '+') { /* hexchar = ASCII "+" immediately followed by two upper case hexadecimal digits */
			int hi = i + 2 < in.n ? hex_upper(in.p[i + 1]) : -1, lo = i + 2 < in.n ? hex_upper(in.p[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return RC_SYNTAX;
			c = (char)(hi << 4 | lo);
			i += 2;
		}
		if (!is_print((unsigned char)c))
			return RC_SYNTAX;
		p[n++] = c;
	}
	*out = str_of(p, n);
	return RC_OK;
}

static size_t put_utf8(char *p, uint32_t u)
{
	if (u < 0x80)
		return p[0] = (char)u, 1;
	if (u < 0x800)
		return p[0] = (char)(0xc0 | u >> 6), p[1] = (char)(0x80 | (u & 63)), 2;
	if (u < 0x10000)
		return p[0] = (char)(0xe0 | u >> 12), p[1] = (char)(0x80 | (u >> 6 & 63)), p[2] = (char)(0x80 | (u & 63)), 3;
	return p[0] = (char)(0xf0 | u >> 18), p[1] = (char)(0x80 | (u >> 12 & 63)), p[2] = (char)(0x80 | (u >> 6 & 63)),
	       p[3] = (char)(0x80 | (u & 63)), 4;
}

/* "\x{HEXPOINT}": 2 to 6 upper case digits, no surrogate, not past U+10FFFF. Gives the octets used, 0 = malformed. */
static size_t hexpoint(struct str in, uint32_t *out)
{
	if (!str_starts(in, STR("\\x{")))
		return 0;
	uint32_t u = 0;
	size_t i = 3;
	for (; i < in.n && i < 9 && hex_upper(in.p[i]) >= 0; i++)
		u = u << 4 | (uint32_t)hex_upper(in.p[i]);
	if (i < 5 || i >= in.n || in.p[i] != '}' || u > 0x10ffff || (u >= 0xd800 && u < 0xe000) || u < 32 || u == 127)
		return 0;
	*out = u;
	return i + 1;
}

enum rc smtp_utf8_addr_decode(struct str in, struct arena *a, struct str *out)
{
	char *p = arena_new(a, in.n + 1); /* an escape is never shorter than what it stands for */
	if (!p)
		return RC_NOMEM;
	size_t n = 0;
	for (size_t i = 0; i < in.n;) {
		unsigned char c = (unsigned char)in.p[i];
		uint32_t u;
		if (c == '\\') {
			size_t used = hexpoint(str_skip(in, i), &u);
			if (!used)
				return RC_SYNTAX;
			n += put_utf8(p + n, u);
			i += used;
			continue;
		}
		if (c <= 32 || c == 127 || c == '+' || c == '=')
			return RC_SYNTAX;
		p[n++] = in.p[i++];
	}
	*out = str_of(p, n);
	return utf8_ok(*out) ? RC_OK : RC_SYNTAX;
}

/* ---- dates (RFC 3339 5.6) ---- */

/* Days since 1970-01-01 of a day of the proleptic Gregorian calendar: years begin in March here, so that the leap day is the last. */
static int64_t days_of(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t in_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return y * 365 + y / 4 - y / 100 + y / 400 + in_year - 719468;
}

static int digits(struct str in, size_t at, size_t n)
{
	int v = 0;
	for (size_t i = at; i < at + n; i++) {
		if (i >= in.n || !ascii_digit(in.p[i]))
			return -1;
		v = v * 10 + in.p[i] - '0';
	}
	return v;
}

static bool punctuation(struct str in)
{
	static const struct { size_t at; char c; } marks[] = { { 4, '-' }, { 7, '-' }, { 13, ':' }, { 16, ':' } };
	for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
		if (in.p[marks[i].at] != marks[i].c)
			return false;
	return ascii_upper(in.p[10]) == 'T';
}

/* "Z", "+01:00": in minutes. */
static bool zone_of(struct str in, int *out)
{
	if (in.n == 1 && ascii_upper(in.p[0]) == 'Z')
		return *out = 0, true;
	int h = digits(in, 1, 2), m = digits(in, 4, 2);
	if (in.n != 6 || (in.p[0] != '+' && in.p[0] != '-') || in.p[3] != ':' || h < 0 || h > 23 || m < 0 || m > 59)
		return false;
	*out = in.p[0] == '-' ? -(h * 60 + m) : h * 60 + m;
	return true;
}

enum rc smtp_date_parse(struct str in, int64_t *out_ms)
{
	static const int lengths[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int zone;
	if (in.n < 20 || in.n > 40 || !punctuation(in))
		return RC_SYNTAX;
	int y = digits(in, 0, 4), mo = digits(in, 5, 2), d = digits(in, 8, 2), h = digits(in, 11, 2), mi = digits(in, 14, 2), s = digits(in, 17, 2);
	struct str rest = str_skip(in, 19);
	if (rest.p[0] == '.') {
		size_t n = 1;
		while (n < rest.n && ascii_digit(rest.p[n]))
			n++;
		if (n == 1)
			return RC_SYNTAX;
		rest = str_skip(rest, n);
	}
	bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
	if (y < 1970 || mo < 1 || mo > 12 || d < 1 || d > lengths[mo - 1] || (mo == 2 && d == 29 && !leap) || h < 0 || h > 23 || mi < 0 || mi > 59 || s < 0 ||
	    s > 60 || !zone_of(rest, &zone))
		return RC_SYNTAX;
	*out_ms = (((days_of(y, mo, d) * 24 + h) * 60 + mi - zone) * 60 + s) * 1000;
	return *out_ms >= 0 ? RC_OK : RC_SYNTAX;
}

static void two(char *p, int64_t v)
{
	p[0] = (char)('0' + v / 10 % 10);
	p[1] = (char)('0' + v % 10);
}

void smtp_date_format(int64_t ms, char out[SMTP_DATE_LEN + 1])
{
	int64_t s = ms < 0 ? 0 : ms / 1000, day = s / 86400, y = 1970 + day / 366;
	int m = 12;
	while (days_of(y + 1, 1, 1) <= day)
		y++;
	while (days_of(y, m, 1) > day)
		m--;
	memcpy(out, "0000-00-00T00:00:00Z", SMTP_DATE_LEN + 1);
	two(out, y / 100);
	two(out + 2, y);
	two(out + 5, m);
	two(out + 8, day - days_of(y, m, 1) + 1);
	two(out + 11, s / 3600 % 24);
	two(out + 14, s / 60 % 60);
	two(out + 17, s % 60);
}

/* ---- MAIL ---- */

static enum rc take_size(struct parse *x, struct str v)
{
	uint64_t n = 0;
	for (size_t i = 0; i < v.n; i++)
		if (!ascii_digit(v.p[i]))
			FAIL(x->why, RC_SYNTAX, "5.5.4 SIZE is not a number");
	if (v.n > 20) /* RFC 1870 4: size-value ::= 1*20DIGIT */
		FAIL(x->why, RC_SYNTAX, "5.5.4 SIZE has more than 20 digits");
	if (!str_u64(v, UINT64_MAX, &n))
		n = UINT64_MAX;
	if (x->config->max_size && n > x->config->max_size)
		FAIL(x->why, RC_LIMIT, "5.3.4 message larger than %llu octets", (unsigned long long)x->config->max_size);
	x->mail->size = n;
	return RC_OK;
}

static enum rc take_body(struct parse *x, struct str v)
{
	if (str_ieq(v, STR("8BITMIME")))
		x->mail->body_8bit = true;
	else if (str_ieq(v, STR("BINARYMIME")))
		x->mail->body_8bit = x->mail->body_binary = true;
	else if (!str_ieq(v, STR("7BIT")))
		FAIL(x->why, RC_SYNTAX, "5.5.4 BODY is 7BIT, 8BITMIME or BINARYMIME");
	return RC_OK;
}

static enum rc take_smtputf8(struct parse *x, struct str v)
{
	(void)v;
	if (!x->config->utf8)
		FAIL(x->why, RC_NOTFOUND, "5.5.4 SMTPUTF8 is not offered");
	x->mail->smtputf8 = true;
	return RC_OK;
}

static enum rc take_ret(struct parse *x, struct str v)
{
	if (!str_ieq(v, STR("FULL")) && !str_ieq(v, STR("HDRS")))
		FAIL(x->why, RC_SYNTAX, "5.5.4 RET is FULL or HDRS");
	x->mail->ret = str_ieq(v, STR("FULL")) ? STR("FULL") : STR("HDRS");
	return RC_OK;
}

static enum rc take_envid(struct parse *x, struct str v)
{
	if (v.n > ENVID_MAX)
		FAIL(x->why, RC_SYNTAX, "5.5.4 ENVID longer than %d octets", ENVID_MAX);
	enum rc rc = smtp_xtext_decode(v, x->arena, &x->mail->envid);
	if (rc != RC_OK)
		FAIL(x->why, rc, "5.5.4 ENVID is not xtext");
	return RC_OK;
}

/* ---- MAIL of a submission ---- */

/* RFC 4954 5: who wrote it, as another server believes. Checked and forgotten: here everybody has logged in himself. */
static enum rc take_auth(struct parse *x, struct str v)
{
	struct str decoded;
	enum rc rc = smtp_xtext_decode(v, x->arena, &decoded);
	if (rc != RC_OK)
		FAIL(x->why, rc, "5.5.4 AUTH is not xtext");
	return RC_OK;
}

static enum rc hold_until(struct parse *x, int64_t ms)
{
	if (x->held)
		FAIL(x->why, RC_SYNTAX, "5.5.4 HOLDFOR or HOLDUNTIL, not both");
	if (!x->config->max_hold_s)
		FAIL(x->why, RC_NOTFOUND, "5.5.4 FUTURERELEASE is not offered");
	if (ms > x->now_ms + (int64_t)x->config->max_hold_s * 1000)
		FAIL(x->why, RC_SYNTAX, "5.5.4 held for at most %llu s", (unsigned long long)x->config->max_hold_s);
	x->held = true;
	x->mail->hold_until_ms = ms > x->now_ms ? ms : 0;
	return RC_OK;
}

static enum rc take_holdfor(struct parse *x, struct str v)
{
	uint64_t seconds; /* RFC 4865 3: future-release-integer = %x31-39 *8DIGIT */
	if (v.n > 9 || !str_u64(v, 999999999, &seconds) || !seconds || v.p[0] == '0')
		FAIL(x->why, RC_SYNTAX, "5.5.4 HOLDFOR is a number of seconds, 1 to 999999999");
	return hold_until(x, x->now_ms + (int64_t)seconds * 1000);
}

static enum rc take_holduntil(struct parse *x, struct str v)
{
	int64_t ms;
	if (smtp_date_parse(v, &ms) != RC_OK)
		FAIL(x->why, RC_SYNTAX, "5.5.4 HOLDUNTIL is a date as 2026-11-30T09:00:00Z");
	return hold_until(x, ms);
}

/* RFC 2852 4: by-value = by-time ";" by-mode [by-trace]; by-time = ["-" / "+"] 1*9DIGIT */
static enum rc take_by(struct parse *x, struct str v)
{
	struct str time, mode;
	uint64_t seconds;
	bool cut = str_cut(v, ';', &time, &mode), negative = time.n && time.p[0] == '-';
	if (time.n && (time.p[0] == '-' || time.p[0] == '+'))
		time = str_skip(time, 1);
	bool trace = mode.n == 2 && ascii_upper(mode.p[1]) == 'T';
	char m = mode.n == 1 || trace ? ascii_upper(mode.p[0]) : 0;
	if (!cut || time.n > 9 || !str_u64(time, 999999999, &seconds) || (m != 'R' && m != 'N'))
		FAIL(x->why, RC_SYNTAX, "5.5.4 BY is seconds;R or seconds;N, and T behind it");
	/* RFC 2852 4: "a by-time of zero or negative ... with R ... MUST [be] reject[ed]" */
	if (m == 'R' && (negative || !seconds))
		FAIL(x->why, RC_SYNTAX, "5.5.4 BY with R wants a time to come");
	x->mail->by = true;
	x->mail->by_return = m == 'R';
	x->mail->by_trace = trace;
	x->mail->by_s = negative ? -(int64_t)seconds : (int64_t)seconds;
	return RC_OK;
}

/* RFC 6710 3: priority-value = ["-"] NZDIGIT / "0" */
static enum rc take_priority(struct parse *x, struct str v)
{
	bool negative = v.n == 2 && v.p[0] == '-';
	char digit = v.n == 1 ? v.p[0] : negative ? v.p[1] : 0;
	if (!ascii_digit(digit) || (negative && digit == '0'))
		FAIL(x->why, RC_SYNTAX, "5.5.4 MT-PRIORITY is -9 to 9");
	x->mail->has_priority = true;
	x->mail->mt_priority = negative ? -(digit - '0') : digit - '0';
	return RC_OK;
}

static enum rc take_requiretls(struct parse *x, struct str v)
{
	(void)v;
	x->mail->require_tls = true;
	return RC_OK;
}

/* ---- RCPT ---- */

static enum rc take_notify(struct parse *x, struct str v)
{
	static const struct { struct str name; unsigned bit; } words[] = {
		{ STR_INIT("NEVER"), NOTIFY_NEVER }, { STR_INIT("SUCCESS"), NOTIFY_SUCCESS },
		{ STR_INIT("FAILURE"), NOTIFY_FAILURE }, { STR_INIT("DELAY"), NOTIFY_DELAY },
	};
	unsigned bits = 0;
	struct str word, rest = v;
	for (bool more = true; more;) {
		more = str_cut(rest, ',', &word, &rest);
		unsigned bit = 0;
		for (size_t i = 0; i < sizeof words / sizeof *words; i++)
			if (str_ieq(word, words[i].name))
				bit = words[i].bit;
		if (!bit || bits & bit)
			FAIL(x->why, RC_SYNTAX, "5.5.4 NOTIFY is NEVER, or of SUCCESS, FAILURE, DELAY each once");
		bits |= bit;
	}
	/* RFC 3461 4.1: "NEVER ... MUST appear alone" */
	if (bits & NOTIFY_NEVER && bits != NOTIFY_NEVER)
		FAIL(x->why, RC_SYNTAX, "5.5.4 NOTIFY=NEVER stands alone");
	x->rcpt->notify = bits;
	return RC_OK;
}

static enum rc take_orcpt(struct parse *x, struct str v)
{
	struct str type, address;
	if (v.n > ORCPT_MAX)
		FAIL(x->why, RC_SYNTAX, "5.5.4 ORCPT longer than %d octets", ORCPT_MAX);
	if (!str_cut(v, ';', &type, &address) || !type.n || !address.n)
		FAIL(x->why, RC_SYNTAX, "5.5.4 ORCPT is type;address");
	for (size_t i = 0; i < type.n; i++)
		if (!ascii_alnum(type.p[i]) && type.p[i] != '-')
			FAIL(x->why, RC_SYNTAX, "5.5.4 ORCPT has no such address type");
	enum rc rc;
	if (str_ieq(type, STR("utf-8"))) {
		/* RFC 6533 3: utf-8-addr-unitext "is allowed only when the SMTPUTF8 parameter is" */
		for (size_t i = 0; i < address.n; i++)
			if ((unsigned char)address.p[i] >= 128 && !x->smtputf8)
				FAIL(x->why, RC_SYNTAX, "5.5.4 ORCPT beyond ASCII without SMTPUTF8");
		rc = smtp_utf8_addr_decode(address, x->arena, &x->rcpt->orcpt);
	} else {
		rc = smtp_xtext_decode(address, x->arena, &x->rcpt->orcpt);
	}
	if (rc != RC_OK)
		FAIL(x->why, rc, "5.5.4 ORCPT is not xtext");
	x->rcpt->orcpt_type = arena_str(x->arena, type);
	return x->arena->full ? RC_NOMEM : RC_OK;
}

/* ---- the two tables ---- */

struct known {
	struct str name;
	bool has_value;
	enum rc (*take)(struct parse *x, struct str value);
	bool submission;               /* known there alone */
};
static const struct known mail_known[] = {
	{ STR_INIT("SIZE"), true, take_size },           /* RFC 1870 */
	{ STR_INIT("BODY"), true, take_body },           /* RFC 6152, 3030 */
	{ STR_INIT("SMTPUTF8"), false, take_smtputf8 },  /* RFC 6531 */
	{ STR_INIT("RET"), true, take_ret },             /* RFC 3461 */
	{ STR_INIT("ENVID"), true, take_envid },
	{ STR_INIT("AUTH"), true, take_auth, true },           /* RFC 4954 */
	{ STR_INIT("HOLDFOR"), true, take_holdfor, true },     /* RFC 4865 */
	{ STR_INIT("HOLDUNTIL"), true, take_holduntil, true },
	{ STR_INIT("BY"), true, take_by, true },               /* RFC 2852 */
	{ STR_INIT("MT-PRIORITY"), true, take_priority, true },/* RFC 6710 */
	{ STR_INIT("REQUIRETLS"), false, take_requiretls, true }, /* RFC 8689 */
};
static const struct known rcpt_known[] = {
	{ STR_INIT("NOTIFY"), true, take_notify },       /* RFC 3461 */
	{ STR_INIT("ORCPT"), true, take_orcpt },
};

/* RFC 5321 4.1.2: esmtp-param = esmtp-keyword ["=" esmtp-value]. False = malformed. */
static bool next_param(struct str *rest, struct param *out)
{
	struct str token;
	str_cut(*rest, ' ', &token, rest);
	out->has_value = str_cut(token, '=', &out->key, &out->value);
	if (!out->key.n || !ascii_alnum(out->key.p[0]) || (out->has_value && !out->value.n))
		return false;
	for (size_t i = 0; i < out->key.n; i++)
		if (!ascii_alnum(out->key.p[i]) && out->key.p[i] != '-')
			return false;
	for (size_t i = 0; i < out->value.n; i++) {
		unsigned char c = (unsigned char)out->value.p[i];
		if (c <= 32 || c == '=' || c == 127)
			return false;
	}
	return true;
}

static enum rc take_all(struct str in, struct parse *x, const struct known *known, size_t n)
{
	unsigned seen = 0;
	bool submission = x->config && x->config->kind == SMTP_SUBMISSION;
	for (in = str_trim(in); in.n; in = str_trim(in)) {
		struct param p;
		if (!next_param(&in, &p))
			FAIL(x->why, RC_SYNTAX, "5.5.4 malformed parameter");
		size_t i = 0;
		while (i < n && !str_ieq(p.key, known[i].name))
			i++;
		if (i == n || (known[i].submission && !submission))
			FAIL(x->why, RC_NOTFOUND, "5.5.4 unknown parameter %.*s", (int)(p.key.n < 40 ? p.key.n : 40), p.key.p);
		if (seen & 1u << i)
			FAIL(x->why, RC_SYNTAX, "5.5.4 %.*s given twice", PSTR(known[i].name));
		if (p.has_value != known[i].has_value)
			FAIL(x->why, RC_SYNTAX, "5.5.4 %.*s takes %s value", PSTR(known[i].name), known[i].has_value ? "a" : "no");
		seen |= 1u << i;
		TRY(known[i].take(x, p.value));
	}
	return RC_OK;
}

enum rc smtp_mail_params(struct str in, const struct smtp_config *config, int64_t now_ms, struct arena *a, struct smtp_mail *mail, struct why *why)
{
	struct parse x = { .config = config, .now_ms = now_ms, .arena = a, .mail = mail, .why = why };
	return take_all(in, &x, mail_known, sizeof mail_known / sizeof *mail_known);
}

enum rc smtp_rcpt_params(struct str in, bool smtputf8, struct arena *a, struct smtp_rcpt *rcpt, struct why *why)
{
	struct parse x = { .arena = a, .rcpt = rcpt, .smtputf8 = smtputf8, .why = why };
	return take_all(in, &x, rcpt_known, sizeof rcpt_known / sizeof *rcpt_known);
}
