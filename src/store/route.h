#pragma once
#include "base/arena.h"
#include "store/store.h"

/* Where an address leads, and what an account may send: aliases, groups, forwarding, grants, limits, ways out. Everything here is directory: it
 * changes through the command line, is read in one snapshot, and a change is told to edge and relay by DIRECTORY_NEWS. */

/* ---- groups ---- */
enum group_rights { GROUP_ANYONE, GROUP_ORGANISATION /* senders who have logged in here */, GROUP_MEMBERS, GROUP_OWNERS, GROUP_RIGHTS_COUNT };
enum { GROUP_MEMBERS_MAX = 10000, FORWARDS_MAX = 16, GRANTS_MAX = 256, ROUTE_TARGETS_MAX = 10000, ROUTE_DEPTH_MAX = 8 };
struct group { uint64_t id; struct str address, name; uint8_t rights; struct str owner; /* an address: gets what cannot be passed on; also envelope sender of the group's mail going out */ };
MUST_USE enum rc group_add(struct store *s, const struct group *g, struct why *why);      /* RC_EXISTS: address taken; RC_NOTFOUND: no such domain */
MUST_USE enum rc group_set(struct store *s, const struct group *g, struct why *why);      /* name, rights, owner */
MUST_USE enum rc group_remove(struct store *s, struct str address, struct why *why);
MUST_USE enum rc group_member(struct store *s, struct str address, struct str member, bool add, struct why *why); /* any address, ours or not; RC_LIMIT */

/* ---- an account's rules ---- */
struct account_rules {
	uint64_t account;
	bool forward_only;              /* forwards without keeping a copy */
	struct str *forwards; size_t forward_n;
	struct str *grants; size_t grant_n;      /* addresses, or "@domain", that it may send as besides its own and its aliases */
	uint32_t undo_ms;               /* a submitted message waits so long before it leaves; at most 600,000 */
	uint32_t max_messages, max_recipients, max_first; /* a day; 0 = the configuration's */
};
MUST_USE enum rc account_rules_set(struct store *s, const struct account_rules *r, struct why *why); /* replaces all of it */

/* ---- ways out: per destination domain, or per sender ---- */
enum route_tls { ROUTE_TLS_DEFAULT, ROUTE_TLS_VERIFIED /* DANE or PKIX, or it waits */, ROUTE_TLS_ENCRYPTED, ROUTE_TLS_NONE /* never tried: a broken peer */, ROUTE_TLS_COUNT };
struct way {
	struct str key;                 /* "partner.example", ".partner.example" (and all below), "*", or a sender: "bob@example.org", "@example.org" */
	uint8_t tls;
	struct str host; uint16_t port; /* smarthost; host "" = by MX. Port 0 = 25; 465 = implicit TLS */
	struct str user; struct str password_sealed; /* sealed to the queue's key owner; "" = no AUTH */
	uint32_t max_connections;       /* 0 = the configuration's */
};
MUST_USE enum rc way_set(struct store *s, const struct way *w, struct why *why);
MUST_USE enum rc way_remove(struct store *s, struct str key, struct why *why);

/* ---- reading (view) ---- */
struct view;
struct route_target {                  /* one place that a message for the address goes to */
	bool remote;
	uint64_t account, box;          /* local: whose, and the plus-address's folder (0 = INBOX) */
	uint8_t public_key[PUB_LEN]; uint64_t quota, used; bool disabled;
	struct str address;             /* remote: where to; local: the account's primary address */
	uint64_t forwarder;             /* remote or local: the account whose forwarding brought it here; 0 = none */
	struct str via;                 /* the address (of the forwarder or group) that led here, for Delivered-To and SRS; "" = direct */
	struct str group_owner;         /* of the innermost group; "" = none */
};
struct route {
	struct route_target *targets; size_t n; /* each account and box once, each remote address once */
	bool truncated;                 /* past ROUTE_TARGETS_MAX, or ROUTE_DEPTH_MAX, or a loop was cut: what was cut is in no target */
	uint8_t rights;                 /* the strictest enum group_rights on the way; GROUP_ANYONE without groups */
	uint64_t *may_write; size_t may_write_n; /* accounts that GROUP_MEMBERS or GROUP_OWNERS lets write */
};
/* Everything that an address of ours leads to, in one snapshot. RC_DENIED: the domain is not ours; RC_NOTFOUND: nobody here. */
MUST_USE enum rc view_route(struct view *v, struct str address, struct arena *a, struct route *out, struct why *why);
MUST_USE enum rc view_groups(struct view *v, struct str after_address, size_t max, struct arena *a, struct group **out, size_t *out_n, struct why *why);
MUST_USE enum rc view_group(struct view *v, struct str address, struct arena *a, struct group *out, struct str **out_members, size_t *out_n, struct why *why);
MUST_USE enum rc view_rules(struct view *v, uint64_t account, struct arena *a, struct account_rules *out, struct why *why); /* none set: all zero, RC_OK */
MUST_USE enum rc view_ways(struct view *v, struct arena *a, struct way **out, size_t *out_n, struct why *why);
/* Every address of an account: primary and aliases. */
MUST_USE enum rc view_addresses(struct view *v, uint64_t account, struct arena *a, struct str **out, size_t *out_n, struct why *why);
/* May the account put this address into MAIL FROM or From? Its own (with any plus-tag), an alias, or granted. */
MUST_USE enum rc view_may_send(struct view *v, uint64_t account, struct str address, bool *out_yes, struct why *why);
