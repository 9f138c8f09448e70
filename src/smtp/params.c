#include "smtp/params.h"

#include "base/codec.h"

enum { ENVID_MAX = 100, ORCPT_MAX = 500 }; /* RFC 3461 5.4, 5.2 d */

struct param { struct str key, value; bool has_value; };
struct parse { /* what a parameter's own parser may need */
	const struct smtp_config *config;
	struct arena *arena;
	struct smtp_mail *mail;
	struct smtp_rcpt *rcpt;
	bool smtputf8;
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
};
static const struct known mail_known[] = {
	{ STR_INIT("SIZE"), true, take_size },           /* RFC 1870 */
	{ STR_INIT("BODY"), true, take_body },           /* RFC 6152, 3030 */
	{ STR_INIT("SMTPUTF8"), false, take_smtputf8 },  /* RFC 6531 */
	{ STR_INIT("RET"), true, take_ret },             /* RFC 3461 */
	{ STR_INIT("ENVID"), true, take_envid },
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
	for (in = str_trim(in); in.n; in = str_trim(in)) {
		struct param p;
		if (!next_param(&in, &p))
			FAIL(x->why, RC_SYNTAX, "5.5.4 malformed parameter");
		size_t i = 0;
		while (i < n && !str_ieq(p.key, known[i].name))
			i++;
		if (i == n)
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

enum rc smtp_mail_params(struct str in, const struct smtp_config *config, struct arena *a, struct smtp_mail *mail, struct why *why)
{
	struct parse x = { .config = config, .arena = a, .mail = mail, .why = why };
	return take_all(in, &x, mail_known, sizeof mail_known / sizeof *mail_known);
}

enum rc smtp_rcpt_params(struct str in, bool smtputf8, struct arena *a, struct smtp_rcpt *rcpt, struct why *why)
{
	struct parse x = { .arena = a, .rcpt = rcpt, .smtputf8 = smtputf8, .why = why };
	return take_all(in, &x, rcpt_known, sizeof rcpt_known / sizeof *rcpt_known);
}
