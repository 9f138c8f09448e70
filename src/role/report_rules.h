#pragma once
#include "origin/report.h"
#include "role/config.h"

/* What the section `reports` means, and what reports of all kinds share in this layer. Pure. */
enum { REPORT_ROWS_IN = 20000, REPORT_ROWS_UNPROVEN = 100, REPORTS_UNPROVEN = 10000 }; /* different rows of one received report that are kept one by one; of one that
                                           proves nothing; how many of those a day */
enum { DAY_MS = 86400000 };
static inline uint32_t day_of_ms(int64_t ms) { return ms > 0 ? (uint32_t)(ms / DAY_MS) : 0; }

/* Is "local@domain" an address that reports come to? The domain must be one of ours; who asks knows that. Letters in any case. */
bool report_address_is(const struct config *c, struct str local, struct str domain);
/* A value of that kind at one of our domains; "" = none. Lives in `room` or the value. */
struct str report_address_at(struct str value, struct str domain, char room[400]);
/* Where our reports come from: reports.from, else reports.dmarc_address at the domain that the server's name is in. "" = it does not fit. */
struct str report_from(const struct config *c, char room[400]);
struct str report_org(const struct config *c);
struct str report_domain_of(struct str address); /* after the last "@"; "" = none */
/* Messages that carry a report or come from our own reporting address: reports about them would be answered by reports. */
bool report_is_one(const struct config *c, struct str header);
MUST_USE enum rc report_rules_check(const struct config *c, struct why *why);

/* "2026-11-24" and back; 0 = no date. */
void report_day_text(uint32_t day, char out[16]);
uint32_t report_day_read(struct str text);
