#include "smtp/received.h"

#include <time.h>

enum { NAME_MAX_HERE = 255, ADDRESS_MAX_HERE = 320, WORD_MAX_HERE = 40 };

const char *smtp_with_keyword(const struct smtp_received *r)
{
	/* [lmtp][utf8][tls][auth]; plain SMTP only when nothing else holds, for TLS and AUTH need EHLO */
	static const char *const words[2][2][2][2] = {
		{ { { "ESMTP", "ESMTPA" }, { "ESMTPS", "ESMTPSA" } }, { { "UTF8SMTP", "UTF8SMTPA" }, { "UTF8SMTPS", "UTF8SMTPSA" } } },
		{ { { "LMTP", "LMTPA" }, { "LMTPS", "LMTPSA" } }, { { "UTF8LMTP", "UTF8LMTPA" }, { "UTF8LMTPS", "UTF8LMTPSA" } } },
	};
	bool tls = r->tls_version.n != 0;
	if (!r->lmtp && !r->esmtp && !tls && !r->auth && !r->utf8)
		return "SMTP";
	return words[r->lmtp][r->utf8][tls][r->auth];
}

/* Adds `s` where every octet outside letters, digits and `also` becomes "?". UTF-8 stays when `utf8`. */
static void add_word(struct buf *out, struct str s, const char *also, bool utf8, size_t max)
{
	s = str_head(s, max);
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool ok = ascii_alnum(c) || (c && strchr(also, c)) || (utf8 && (unsigned char)c >= 128);
		buf_byte(out, ok ? c : '?');
	}
}

static void add_date(struct buf *out, int64_t wall_ms)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm = { 0 };
	if (!gmtime_r(&t, &tm) || tm.tm_year < 0 || tm.tm_year > 8099)
		tm = (struct tm){ .tm_mday = 1, .tm_year = 70, .tm_wday = 4 };
	buf_addf(out, "%.3s, %d %.3s %d %02d:%02d:%02d +0000", days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, 1900 + tm.tm_year,
	         tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void add_from(const struct smtp_received *r, struct buf *out)
{
	buf_add(out, STR("Received: from "));
	if (r->helo.n)
		add_word(out, r->helo, ".-_:[]", false, NAME_MAX_HERE);
	else
		buf_add(out, STR("unknown"));
	if (!r->peer_ip.n) {
		buf_add(out, STR(" (local)"));
		return;
	}
	/* RFC 5321 4.4: "The FROM clause ... MUST" have the address literal of the source */
	buf_add(out, str_find(r->peer_ip, ':') < r->peer_ip.n ? STR(" ([IPv6:") : STR(" (["));
	add_word(out, r->peer_ip, ".:", false, 45);
	buf_add(out, STR("])"));
}

void smtp_received_format(const struct smtp_received *r, struct buf *out)
{
	if (r->no_client)
		buf_add(out, STR("Received:"));
	else
		add_from(r, out);
	if (r->tls_version.n && !r->no_client) {
		buf_add(out, STR("\r\n\t(using "));
		add_word(out, r->tls_version, ".", false, WORD_MAX_HERE);
		if (r->tls_cipher.n) {
			buf_add(out, STR(" with cipher "));
			add_word(out, r->tls_cipher, "_-", false, WORD_MAX_HERE);
		}
		buf_byte(out, ')');
	}
	buf_add(out, r->no_client ? STR(" by ") : STR("\r\n\tby "));
	add_word(out, r->by, ".-", false, NAME_MAX_HERE);
	buf_addf(out, " with %s", smtp_with_keyword(r));
	if (r->id.n) {
		buf_add(out, STR(" id "));
		add_word(out, r->id, "-", false, WORD_MAX_HERE);
	}
	if (r->only_rcpt.n && r->only_rcpt.n <= ADDRESS_MAX_HERE) {
		buf_add(out, STR("\r\n\tfor <"));
		add_word(out, r->only_rcpt, "@.!#$%&'*+-/=?^_`{|}~:[]", r->utf8, ADDRESS_MAX_HERE);
		buf_byte(out, '>');
	}
	buf_add(out, STR(";\r\n\t"));
	add_date(out, r->wall_ms);
	buf_add(out, STR("\r\n"));
}
