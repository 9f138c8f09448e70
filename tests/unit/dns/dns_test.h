#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "dns/dns.h"
#include <stdio.h>
#include <string.h>

static inline void expect_str(struct str got, const char *want)
{
	if (!str_eq(got, str_z(want)))
		fail_msg("\"%.*s\" instead of \"%s\"", PSTR(got), want);
}

/* "MX 10 a.example; MX 20 b.example" of an answer, for tables of cases. */
static inline const char *show(unsigned type, const struct dns_answer *a, char *out, size_t room)
{
	size_t n = (size_t)snprintf(out, room, "%s", dns_status_name(a->status));
	for (size_t i = 0; i < a->records; i++) {
		const struct dns_record *r = &a->record[i];
		n += (size_t)snprintf(out + n, room - n, "; %u %u %u %u %u %u %.*s ", r->preference, r->weight, r->port, r->usage, r->selector, r->matching, PSTR(r->name));
		for (size_t k = 0; k < r->data.n; k++)
			n += (size_t)snprintf(out + n, room - n, type == DNS_TXT || type == DNS_CAA ? "%c" : "%02x", (unsigned char)r->data.p[k]);
	}
	return out;
}
