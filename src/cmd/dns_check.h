#pragma once
#include "cmd/ctl.h"
#include "role/dns_want.h"

/* What every one of a zone's own name servers says of a record. Inside src/cmd only. */
enum { CHECK_ROOM = 32 << 20, CHECK_WAIT_MS = 5000, SERVERS_MAX = 16, ZONES_MAX = 64 };
struct zone_server { struct str address, name; unsigned silent; }; /* silent: answers in a row that did not come */
struct zone { struct str name; struct zone_server server[SERVERS_MAX]; size_t n; char why[120]; };
struct checking {
	struct call *c;
	struct ctl *ctl;
	struct ipc_peer *resolver;
	struct dns dns;
	struct arena *a;
	struct zone zone[ZONES_MAX]; size_t zone_n;
	struct dns_wants wants;
};
struct dns_found {
	enum dns_check result;         /* the worst that a server answered; DNS_UNCHECKED when none did */
	struct str is, should;
	size_t servers, answered;      /* of the zone */
	const struct zone_server *at;  /* who said so, where not all say the same; else NULL */
	const struct zone_server *mute;/* one that did not answer; NULL: all did */
	const char *note;              /* what else is to be known; NULL: nothing */
};
void dns_check_one(struct checking *k, const struct dns_want *w, struct dns_found *out);
void dns_check_say(struct checking *k, const struct dns_want *w, const struct dns_found *f);
