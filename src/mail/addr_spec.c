/* Judges one addr-spec by the letter of RFC 5322 3.4.1, obsolete forms included. */
#include "mail/address.h"

struct scan {
	struct str in;
	size_t i;
	bool bad;
};
static int peek(const struct scan *s) { return s->i < s->in.n ? (unsigned char)s->in.p[s->i] : -1; }

static bool is_atext(int c)
{
	static const char special[] = "!#$%&'*+-/=?^_`{|}~";
	return c > 0 && c < 0x80 && (ascii_alnum((char)c) || memchr(special, c, sizeof special - 1));
}
/* obs-NO-WS-CTL: controls other than NUL, HTAB, LF and CR, and DEL */
static bool is_obs_ctl(int c) { return (c > 0 && c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f; }

/* RFC 5322 4.2: obs-FWS = 1*WSP *(CRLF 1*WSP), and FWS with a CRLF first. A CR or LF elsewhere is bad. */
static void fws(struct scan *s)
{
	for (;;) {
		int c = peek(s);
		if (c == ' ' || c == '\t') {
			s->i++;
		} else if (c == '\r') {
			int next = s->i + 2 < s->in.n ? s->in.p[s->i + 2] : -1;
			if (s->i + 1 >= s->in.n || s->in.p[s->i + 1] != '\n' || (next != ' ' && next != '\t')) {
				s->bad = true;
				return;
			}
			s->i += 2;
		} else {
			return;
		}
	}
}

/* quoted-pair: "\" and any ASCII octet (obs-qp takes even NUL, LF and CR) */
static void quoted_pair(struct scan *s)
{
	s->i++;
	if (peek(s) < 0 || peek(s) >= 0x80)
		s->bad = true;
	else
		s->i++;
}

static void comment(struct scan *s)
{
	unsigned depth = 0;
	do {
		fws(s);
		int c = peek(s);
		if (c == '(')
			depth++, s->i++;
		else if (c == ')')
			depth--, s->i++;
		else if (c == '\\')
			quoted_pair(s);
		else if ((c > 0x20 && c < 0x7f) || is_obs_ctl(c))
			s->i++;
		else
			s->bad = true;
	} while (depth && !s->bad);
}

static void cfws(struct scan *s)
{
	fws(s);
	while (peek(s) == '(' && !s->bad) {
		comment(s);
		fws(s);
	}
}

static void quoted_string(struct scan *s)
{
	s->i++;
	while (!s->bad && peek(s) != '"') {
		fws(s);
		int c = peek(s);
		if (c == '\\')
			quoted_pair(s);
		else if (c != '"' && ((c > 0x20 && c < 0x7f) || is_obs_ctl(c)))
			s->i++;
		else if (c != '"')
			s->bad = true;
	}
	s->i++;
}

static void atom(struct scan *s, bool label)
{
	size_t from = s->i;
	while (is_atext(peek(s)))
		s->i++;
	if (s->i == from)
		s->bad = true;
	/* a name of the DNS neither begins nor ends with a hyphen (RFC 1034 3.5) */
	else if (label && (s->in.p[from] == '-' || s->in.p[s->i - 1] == '-'))
		s->bad = true;
}

/* obs-local-part = word *("." word), obs-domain = atom *("." atom), CFWS around each */
static void dotted(struct scan *s, bool domain)
{
	for (;;) {
		cfws(s);
		if (!domain && peek(s) == '"')
			quoted_string(s);
		else
			atom(s, domain);
		cfws(s);
		if (s->bad || peek(s) != '.')
			return;
		s->i++;
	}
}

static void domain_literal(struct scan *s)
{
	s->i++;
	while (!s->bad && peek(s) != ']') {
		fws(s);
		int c = peek(s);
		if (c == '\\')
			quoted_pair(s);
		else if (c != ']' && c != '[' && ((c > 0x20 && c < 0x7f) || is_obs_ctl(c)))
			s->i++;
		else if (c != ']')
			s->bad = true;
	}
	s->i++;
	cfws(s);
}

bool mail_addr_spec_ok(struct str in)
{
	struct scan s = { .in = in };
	dotted(&s, false);
	if (s.bad || peek(&s) != '@')
		return false;
	s.i++;
	cfws(&s);
	if (peek(&s) == '[')
		domain_literal(&s);
	else
		dotted(&s, true);
	return !s.bad && s.i == in.n;
}
