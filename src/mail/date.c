/* Dates: RFC 5322 3.3 and 4.3 with the damage seen in real mail, and IMAP's two forms. No locale, no libc calendar. */
#include "mail/header.h"

#include <stdlib.h>

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
static const char days[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" }; /* 1970-01-01 was a Thursday */
enum { MS_DAY = 86400000, MINUTE_MS = 60000 };

/* Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant's method). */
static int64_t days_from_civil(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void civil_from_days(int64_t z, int *y, int *m, int *d)
{
	z += 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	*d = (int)(doy - (153 * mp + 2) / 5 + 1);
	*m = (int)(mp < 10 ? mp + 3 : mp - 9);
	*y = (int)(yoe + era * 400 + (*m <= 2));
}

static int days_in_month(int y, int m)
{
	static const signed char n[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	return m == 2 && (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)) ? 29 : n[m - 1];
}

static int month_of(struct str s)
{
	for (int i = 0; s.n >= 3 && i < 12; i++)
		if (str_ieq(str_head(s, 3), (struct str){ months[i], 3 }))
			return i + 1;
	return 0;
}

struct date {
	int year, month, day, hour, minute, second, zone;
	bool has_time, has_zone, pm, am;
};

static bool date_ms(const struct date *d, int64_t *out_ms)
{
	if (d->year < 1 || d->year > 9999 || d->month < 1 || d->month > 12 || d->day < 1 || d->day > days_in_month(d->year, d->month) ||
	    d->hour > 23 || d->minute > 59 || d->second > 60)
		return false;
	int64_t s = ((days_from_civil(d->year, d->month, d->day) * 24 + d->hour) * 60 + d->minute - d->zone) * 60 + d->second;
	*out_ms = s * 1000;
	return true;
}

/* Reads up to `max` digits at *i; false when there is none. */
static bool digits(struct str s, size_t *i, size_t max, int *out)
{
	size_t k = *i;
	int v = 0;
	while (k < s.n && k - *i < max && ascii_digit(s.p[k]))
		v = v * 10 + (s.p[k++] - '0');
	if (k == *i)
		return false;
	*i = k;
	*out = v;
	return true;
}

/* "21:36", "21:36:12", "21.36.12.345", "9:36pm" */
static bool take_time(struct str t, struct date *d)
{
	size_t i = 0;
	d->second = 0;
	if (d->has_time || !digits(t, &i, 2, &d->hour) || i >= t.n || (t.p[i] != ':' && t.p[i] != '.'))
		return false;
	i++;
	if (!digits(t, &i, 2, &d->minute))
		return false;
	if (i < t.n && (t.p[i] == ':' || t.p[i] == '.')) {
		i++;
		if (!digits(t, &i, 2, &d->second))
			return false;
	}
	if (i < t.n && (t.p[i] == '.' || t.p[i] == ','))
		while (++i < t.n && ascii_digit(t.p[i]))
			;
	d->pm = i < t.n && ascii_lower(t.p[i]) == 'p';
	d->am = i < t.n && ascii_lower(t.p[i]) == 'a';
	d->has_time = true;
	return true;
}

/* RFC 5322 3.3: zone = ("+" / "-") 4DIGIT; a colon and a missing sign's worth of digits are tolerated. */
static bool take_offset(struct str t, struct date *d)
{
	int v[4], n = 0;
	if (t.n < 3 || (t.p[0] != '+' && t.p[0] != '-'))
		return false;
	for (size_t i = 1; i < t.n && n < 4; i++) {
		if (ascii_digit(t.p[i]))
			v[n++] = t.p[i] - '0';
		else if (t.p[i] != ':')
			break;
	}
	if (n < 2)
		return false;
	int minutes = n == 2 ? (v[0] * 10 + v[1]) * 60 : n == 3 ? v[0] * 60 + v[1] * 10 + v[2] : (v[0] * 10 + v[1]) * 60 + v[2] * 10 + v[3];
	d->has_zone = true;
	d->zone = minutes > 24 * 60 ? 0 : t.p[0] == '-' ? -minutes : minutes;
	return true;
}

static void take_zone_name(struct str t, struct date *d)
{
	/* RFC 5322 4.3: what is not listed here counts as "-0000" */
	static const struct { char name[5]; short minutes; } zones[] = {
		{ "EDT", -240 }, { "EST", -300 }, { "CDT", -300 }, { "CST", -360 }, { "MDT", -360 }, { "MST", -420 }, { "PDT", -420 },
		{ "PST", -480 }, { "CET", 60 }, { "MET", 60 }, { "CEST", 120 }, { "MEST", 120 }, { "BST", 60 }, { "JST", 540 },
	};
	if (d->has_zone)
		return;
	size_t k = 0;
	while (k < t.n && ascii_alpha(t.p[k]))
		k++;
	for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++)
		if (str_ieq(str_head(t, k), str_z(zones[i].name))) {
			d->zone = zones[i].minutes;
			d->has_zone = true;
		}
	if (!take_offset(str_skip(t, k), d)) /* "GMT+0100" */
		d->has_zone = true;
}

static int full_year(int y, size_t width)
{
	/* RFC 5322 4.3: two digits 00-49 mean 2000-2049, 50-99 and any three digits add 1900 */
	if (width <= 2)
		return y < 50 ? y + 2000 : y + 1900;
	return width == 3 ? y + 1900 : y;
}

/* "23-Nov-2026", "2026-11-23", "2026-11-23T21:36:12Z", "11/23/2026" is ambiguous and not taken */
static bool take_dashed(struct str t, struct date *d)
{
	size_t i = 0, at;
	int a, b;
	if (d->day || !digits(t, &i, 4, &a) || i >= t.n || t.p[i] != '-')
		return false;
	bool iso = i == 4;
	struct str rest = str_skip(t, i + 1);
	i = 0;
	if (iso ? !digits(rest, &i, 2, &b) : !(b = month_of(rest)))
		return false;
	while (!iso && i < rest.n && ascii_alpha(rest.p[i]))
		i++;
	if (i >= rest.n || rest.p[i] != '-')
		return false;
	at = ++i;
	int c;
	if (!digits(rest, &i, 4, &c))
		return false;
	d->month = b;
	d->day = iso ? c : a;
	d->year = iso ? a : full_year(c, i - at);
	rest = str_skip(rest, i);
	if (rest.n > 1 && (rest.p[0] == 'T' || rest.p[0] == 't') && take_time(str_skip(rest, 1), d)) {
		for (i = 1; i < rest.n && rest.p[i] != '+' && rest.p[i] != '-'; i++)
			;
		if (!take_offset(str_skip(rest, i), d) && ascii_lower(rest.p[rest.n - 1]) == 'z')
			d->has_zone = true;
	}
	return true;
}

static bool take_token(struct str t, struct date *d)
{
	size_t i = 0;
	int v, m;
	if (t.p[0] == '+' || t.p[0] == '-')
		return d->has_zone || take_offset(t, d) || true;
	if (ascii_alpha(t.p[0])) {
		if (d->month == 0 && (m = month_of(t)))
			return d->month = m, true;
		if (d->has_time && (str_ieq(t, STR("pm")) || str_ieq(t, STR("am")))) {
			d->pm = ascii_lower(t.p[0]) == 'p';
			d->am = !d->pm;
		} else if (d->has_time) {
			take_zone_name(t, d);
		}
		return true; /* a day's name, or a word that means nothing to us */
	}
	if (!ascii_digit(t.p[0]))
		return true;
	if (take_dashed(t, d))
		return true;
	if (!digits(t, &i, 5, &v))
		return false;
	if (i < t.n && (t.p[i] == ':' || (t.p[i] == '.' && d->day && d->month && i <= 2)))
		return take_time(t, d);
	if (d->day == 0 && i <= 2)
		return d->day = v, v > 0;
	if (d->year == 0 && d->month)
		return d->year = full_year(v, i), true;
	return true;
}

/* The next token of a date: between white space, commas and comments. */
static bool next_token(struct str in, size_t *pos, struct str *out)
{
	size_t i = *pos, start;
	for (; i < in.n; i++) {
		char c = in.p[i];
		if (c == '(') {
			for (int depth = 0; i < in.n; i++) {
				depth += in.p[i] == '(' ? 1 : in.p[i] == ')' ? -1 : 0;
				if (depth == 0)
					break;
				i += in.p[i] == '\\';
			}
			if (i >= in.n)
				break;
		} else if ((unsigned char)c > ' ' && c != ',' && c != ';' && c != '"') {
			break;
		}
	}
	if (i >= in.n)
		return false;
	start = i;
	while (i < in.n && (unsigned char)in.p[i] > ' ' && in.p[i] != ',' && in.p[i] != '(' && in.p[i] != ';' && in.p[i] != '"')
		i++;
	*out = (struct str){ in.p + start, i - start };
	*pos = i;
	return true;
}

enum rc mail_date_parse(struct str in, int64_t *out_ms, int *out_zone_minutes)
{
	struct date d = { 0 };
	struct str t;
	size_t pos = 0;
	for (int n = 0; n < 16 && next_token(in, &pos, &t); n++)
		if (!take_token(t, &d))
			return RC_SYNTAX;
	if (d.pm && d.hour < 12)
		d.hour += 12;
	else if (d.am && d.hour == 12)
		d.hour = 0;
	if (!date_ms(&d, out_ms))
		return RC_SYNTAX;
	if (out_zone_minutes)
		*out_zone_minutes = d.zone;
	return RC_OK;
}

/* ---- writing ---- */
static struct date split(int64_t ms, int zone_minutes, int *weekday)
{
	struct date d = { .zone = zone_minutes };
	const int64_t lo = -62135596800000, hi = 253402300799999; /* years 1 to 9999 */
	ms = ms < lo + MS_DAY ? lo + MS_DAY : ms > hi - MS_DAY ? hi - MS_DAY : ms;
	ms += (int64_t)zone_minutes * MINUTE_MS;
	int64_t day = ms / MS_DAY - (ms % MS_DAY < 0), s = (ms - day * MS_DAY) / 1000;
	civil_from_days(day, &d.year, &d.month, &d.day);
	*weekday = (int)(((day % 7) + 7) % 7);
	d.hour = (int)(s / 3600);
	d.minute = (int)(s / 60 % 60);
	d.second = (int)(s % 60);
	return d;
}

static int sane_zone(int z) { return z > 24 * 60 || z < -24 * 60 ? 0 : z; }

void mail_date_format(int64_t ms, int zone_minutes, struct buf *out)
{
	int wd, z = sane_zone(zone_minutes);
	struct date d = split(ms, z, &wd);
	buf_addf(out, "%s, %d %s %04d %02d:%02d:%02d %c%02d%02d", days[wd], d.day, months[d.month - 1], d.year, d.hour, d.minute, d.second,
	         z < 0 ? '-' : '+', abs(z) / 60, abs(z) % 60);
}

void imap_date_format(int64_t ms, int zone_minutes, struct buf *out)
{
	int wd, z = sane_zone(zone_minutes);
	struct date d = split(ms, z, &wd);
	buf_addf(out, "%02d-%s-%04d %02d:%02d:%02d %c%02d%02d", d.day, months[d.month - 1], d.year, d.hour, d.minute, d.second,
	         z < 0 ? '-' : '+', abs(z) / 60, abs(z) % 60);
}

/* ---- IMAP's forms, strictly ---- */
static bool imap_day(struct str in, size_t *i, struct date *d)
{
	size_t from;
	if (*i < in.n && in.p[*i] == ' ')
		++*i;
	if (!digits(in, i, 2, &d->day) || *i + 5 > in.n || in.p[*i] != '-')
		return false;
	d->month = month_of((struct str){ in.p + *i + 1, 3 });
	*i += 4;
	if (d->month == 0 || in.p[*i] != '-')
		return false;
	from = ++*i;
	return digits(in, i, 4, &d->year) && *i - from == 4;
}

static bool two(struct str in, size_t *i, char before, int *out)
{
	if (*i + 3 > in.n || in.p[*i] != before)
		return false;
	size_t from = ++*i;
	return digits(in, i, 2, out) && *i - from == 2;
}

enum rc imap_date_parse(struct str in, int64_t *out_ms)
{
	struct date d = { 0 };
	size_t i = 0;
	int hh, mm;
	if (!imap_day(in, &i, &d) || !two(in, &i, ' ', &d.hour) || !two(in, &i, ':', &d.minute) || !two(in, &i, ':', &d.second) ||
	    i + 6 != in.n || in.p[i++] != ' ')
		return RC_SYNTAX;
	char sign = in.p[i++];
	if ((sign != '+' && sign != '-') || !digits(in, &i, 2, &hh) || !digits(in, &i, 2, &mm) || i != in.n || hh > 23 || mm > 59)
		return RC_SYNTAX;
	d.zone = (hh * 60 + mm) * (sign == '-' ? -1 : 1);
	return date_ms(&d, out_ms) ? RC_OK : RC_SYNTAX;
}

enum rc imap_day_parse(struct str in, int32_t *out_day)
{
	struct date d = { 0 };
	size_t i = 0;
	int64_t ms;
	if (!imap_day(in, &i, &d) || i != in.n || !date_ms(&d, &ms))
		return RC_SYNTAX;
	*out_day = (int32_t)(ms / MS_DAY - (ms % MS_DAY < 0));
	return RC_OK;
}
