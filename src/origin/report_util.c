/* Values that reports share. */
#include "origin/report_internal.h"

#include "origin/spf_ip.h"

enum { DAY_S = 86400 };
#define EARLIEST_S INT64_C(1293840000) /* 2011-01-01 */
#define LATEST_S INT64_C(4102444800)   /* 2100-01-01 */

bool report_period_ok(int64_t begin_s, int64_t end_s)
{
	return begin_s >= EARLIEST_S && end_s >= begin_s && end_s < LATEST_S && end_s - begin_s <= 400 * DAY_S;
}

static struct str eight_groups(const uint8_t ip[16], char out[64])
{
	size_t n = 0;
	for (unsigned i = 0; i < 16; i += 2)
		n += (size_t)snprintf(out + n, 64 - n, "%s%x", i ? ":" : "", (unsigned)ip[i] << 8 | ip[i + 1]);
	return str_of(out, n);
}

struct str report_ip(struct str text, bool full_ipv6, char out[64])
{
	uint8_t ip[16];
	if (ip4_parse(text, ip))
		return ip_format(str_of(ip, 4), out);
	if (!ip6_parse(text, ip))
		return STR("");
	struct str v4 = ip_unmapped(str_of(ip, 16));
	if (v4.n == 4)
		return ip_format(v4, out);
	return full_ipv6 ? eight_groups(ip, out) : ip_format(str_of(ip, 16), out);
}

struct report_row report_row_empty(void)
{
	static const struct str none = STR_INIT("");
	struct report_row r = { .source_ip = none, .disposition = STR("none"), .dkim = STR("fail"), .spf = STR("fail"), .override = none, .override_comment = none,
		.header_from = none, .envelope_from = none, .envelope_to = none };
	r.auth_spf = (struct report_auth){ none, none, none, none };
	for (size_t i = 0; i < sizeof r.auth_dkim / sizeof r.auth_dkim[0]; i++)
		r.auth_dkim[i] = r.auth_spf;
	return r;
}

/* ---- RFC 3339 ---- */
/* Days since 1970 of a date of the proleptic Gregorian calendar, and back: years begin in March, so that the leap day ends one. */
static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	unsigned yoe = (unsigned)(y - era * 400), doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
	return era * 146097 + (int64_t)(yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;
}

void report_time_format(int64_t s, struct buf *out)
{
	int64_t days = s / DAY_S, rest = s % DAY_S;
	if (rest < 0) {
		rest += DAY_S;
		days--;
	}
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097), yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153, d = doy - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9;
	buf_addf(out, "%04lld-%02u-%02uT%02d:%02d:%02dZ", (long long)(yoe + era * 400 + (m <= 2)), m, d, (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
}

static bool digits(struct str s, size_t at, size_t n, unsigned *out)
{
	uint64_t v;
	if (at + n > s.n || !str_u64(str_of(s.p + at, n), 9999, &v))
		return false;
	*out = (unsigned)v;
	return true;
}

/* Also with a space for "T", with fractions, with an offset, and the bare date that some send. */
enum rc report_time_parse(struct str in, int64_t *out_s)
{
	unsigned y, mo, d, h = 0, mi = 0, s = 0, zh = 0, zm = 0;
	in = str_trim(in);
	if (!digits(in, 0, 4, &y) || !digits(in, 5, 2, &mo) || !digits(in, 8, 2, &d) || in.p[4] != '-' || in.p[7] != '-' || mo < 1 || mo > 12 || d < 1 || d > 31)
		return RC_SYNTAX;
	struct str rest = str_skip(in, 10);
	int64_t t = days_of(y, mo, d) * DAY_S;
	if (rest.n) {
		if (!strchr("Tt ", rest.p[0]) || !digits(rest, 1, 2, &h) || !digits(rest, 4, 2, &mi) || !digits(rest, 7, 2, &s) || h > 23 || mi > 59 || s > 60)
			return RC_SYNTAX;
		rest = str_skip(rest, 9);
		if (rest.n && rest.p[0] == '.')
			for (rest = str_skip(rest, 1); rest.n && ascii_digit(rest.p[0]);)
				rest = str_skip(rest, 1);
	}
	t += h * 3600 + mi * 60 + s;
	if (rest.n && (rest.p[0] == '+' || rest.p[0] == '-')) {
		if (!digits(rest, 1, 2, &zh) || !digits(rest, rest.n == 6 ? 4 : 3, 2, &zm))
			return RC_SYNTAX;
		t -= (rest.p[0] == '+' ? 1 : -1) * (int64_t)(zh * 3600 + zm * 60);
	} else if (rest.n && !str_ieq(rest, STR("Z"))) {
		return RC_SYNTAX;
	}
	*out_s = t;
	return RC_OK;
}
