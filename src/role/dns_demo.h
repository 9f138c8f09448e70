#pragma once
#include "base/buf.h"
#include "role/dkim_wire.h"

/* The demo's DNS as a master file: demo.test, demo2.test and the reverse zones of loopback. One record of demo2.test is wrong on purpose, to see what a failure
 * looks like. */
struct dns_demo {
	unsigned imaps, pop3s;                 /* ports */
	struct str tlsa;                       /* of the certificate; "" = none yet */
	const struct dkim_row *keys; size_t key_n;
};
void dns_demo_zone(const struct dns_demo *d, struct buf *out);
bool dns_demo_reads(struct str zone);          /* the resolver can read it */
