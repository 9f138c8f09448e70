#include "role/report_rules.h"

#include "mail/header.h"
#include <stdio.h>
#include <time.h>

static const struct str any_domain = STR_INIT("DOMAIN");

struct str report_domain_of(struct str address)
{
	for (size_t i = address.n; i-- > 0;)
		if (address.p[i] == '@')
			return str_skip(address, i + 1);
	return STR("");
}

static struct str local_of(struct str address)
{
	struct str d = report_domain_of(address);
	return d.p == address.p || address.n == 0 ? address : str_head(address, address.n - d.n - (d.n < address.n ? 1 : 0));
}

static bool fits(struct str address, struct str local, struct str domain)
{
	struct str d = report_domain_of(address);
	return d.n && str_ieq(local_of(address), local) && (str_eq(d, any_domain) || str_ieq(d, domain));
}

bool report_address_is(const struct config *c, struct str local, struct str domain)
{
	return domain.n && (fits(c->reports_dmarc_address, local, domain) || fits(c->reports_tls_address, local, domain));
}

/* "mail.example.org" → "example.org"; a name of two labels is taken whole. */
static struct str home_of(struct str hostname)
{
	size_t dot = str_find(hostname, '.');
	struct str rest = str_skip(hostname, dot + 1);
	return dot < hostname.n && str_find(rest, '.') < rest.n ? rest : hostname;
}

static struct str address_of(struct str local, struct str domain, char room[400])
{
	int n = snprintf(room, 400, "%.*s@%.*s", PSTR(str_head(local, 64)), PSTR(str_head(domain, 253)));
	return str_of(room, n > 0 && n < 400 ? (size_t)n : 0);
}

struct str report_address_at(struct str value, struct str domain, char room[400])
{
	return str_eq(report_domain_of(value), any_domain) ? address_of(local_of(value), domain, room) : value;
}

struct str report_from(const struct config *c, char room[400])
{
	if (c->reports_from.n)
		return c->reports_from;
	struct str domain = report_domain_of(c->reports_dmarc_address), local = local_of(c->reports_dmarc_address);
	if (!domain.n) {
		local = STR("dmarc-reports");
		domain = any_domain;
	}
	return str_eq(domain, any_domain) ? address_of(local, home_of(c->server_hostname), room) : address_of(local, domain, room);
}

struct str report_org(const struct config *c) { return c->reports_org_name.n ? c->reports_org_name : c->server_hostname; }

bool report_is_one(const struct config *c, struct str header)
{
	struct header_field f;
	char room[400];
	struct str from = report_from(c, room);
	if (header_find(header, STR("Subject"), &f) == RC_OK && str_istarts(str_trim(f.value), STR("Report Domain:")))
		return true;
	if (header_find(header, STR("Content-Type"), &f) == RC_OK && str_istarts(str_trim(f.value), STR("multipart/report")) &&
	    (str_ifind_str(f.value, STR("feedback-report")) < f.value.n || str_ifind_str(f.value, STR("tlsrpt")) < f.value.n))
		return true;
	return from.n && header_find(header, STR("From"), &f) == RC_OK && str_ifind_str(f.value, from) < f.value.n;
}

static enum rc check_address(const char *key, struct str a, struct why *why)
{
	struct str d = report_domain_of(a), l = local_of(a);
	if (a.n == 0)
		return RC_OK;
	bool ok = d.n && l.n && l.n <= 64 && d.n <= 253;
	for (size_t i = 0; ok && i < a.n; i++)
		ok = (unsigned char)a.p[i] > 0x20 && a.p[i] != 0x7f && !strchr("<>\",;:()\\", a.p[i]);
	if (!ok)
		FAIL(why, RC_SYNTAX, "%s: \"%.*s\" is no address", key, PSTR(str_head(a, 60)));
	return RC_OK;
}

enum rc report_rules_check(const struct config *c, struct why *why)
{
	TRY(check_address("reports.dmarc_address", c->reports_dmarc_address, why));
	TRY(check_address("reports.tls_address", c->reports_tls_address, why));
	TRY(check_address("reports.from", c->reports_from, why));
	if (str_eq(report_domain_of(c->reports_from), any_domain))
		FAIL(why, RC_SYNTAX, "reports.from must be one address");
	for (size_t i = 0; i < c->reports_org_name.n; i++)
		if ((unsigned char)c->reports_org_name.p[i] < 0x20 || c->reports_org_name.n > 200)
			FAIL(why, RC_SYNTAX, "reports.org_name must be one short line");
	return RC_OK;
}

void report_day_text(uint32_t day, char out[16])
{
	time_t t = (time_t)day * 86400;
	struct tm tm;
	if (!gmtime_r(&t, &tm) || !strftime(out, 16, "%Y-%m-%d", &tm))
		out[0] = 0;
}

uint32_t report_day_read(struct str text)
{
	int64_t ms;
	char full[48];
	int zone;
	if (text.n != 10 || text.p[4] != '-' || text.p[7] != '-')
		return 0;
	/* By way of the date parser of mail: "24 11 2026" is none, so the month gets its name. */
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	uint64_t y, m, d;
	if (!str_u64(str_head(text, 4), 9999, &y) || !str_u64(str_of(text.p + 5, 2), 12, &m) || !str_u64(str_of(text.p + 8, 2), 31, &d) || m == 0 || d == 0)
		return 0;
	int n = snprintf(full, sizeof full, "%u %.3s %04u 00:00:00 +0000", (unsigned)d, months + 3 * (m - 1), (unsigned)y);
	if (n < 0 || mail_date_parse(str_of(full, (size_t)n), &ms, &zone) != RC_OK)
		return 0;
	return day_of_ms(ms);
}
