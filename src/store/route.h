#pragma once
#include "base/arena.h"
#include "base/rate.h"
#include "store/store.h"

/* Where an address leads, and what an account may send: aliases, groups, forwarding, grants, limits, ways out. Everything here is directory: it
 * changes through the command line, is read in one snapshot, and a change is told to edge and relay by DIRECTORY_NEWS. */

/* ---- groups ---- */
enum group_rights { GROUP_ANYONE, GROUP_ORGANISATION /* senders who have logged in here */, GROUP_MEMBERS, GROUP_OWNERS, GROUP_RIGHTS_COUNT };
enum { GROUP_MEMBERS_MAX = 10000, FORWARDS_MAX = 16, GRANTS_MAX = 256, WAYS_MAX = 1000, WAY_PASSWORD_MAX = 2048, UNDO_MS_MAX = 600000, ROUTE_TARGETS_MAX = 10000,
	ROUTE_DEPTH_MAX = 8 };
/* owner: an address, "" = none. It gets what reaches no member (nobody is in the group, or nobody who can be reached), and is the envelope sender of
 * the group's mail going out. */
struct group { uint64_t id; struct str address, name; uint8_t rights; struct str owner; uint32_t members; };
MUST_USE enum rc group_add(struct store *s, const struct group *g, struct why *why);      /* id and members are not read. RC_EXISTS: address taken; RC_NOTFOUND: no such domain */
MUST_USE enum rc group_set(struct store *s, const struct group *g, struct why *why);      /* name, rights, owner of the group with this address */
MUST_USE enum rc group_remove(struct store *s, struct str address, struct why *why);
/* Any address, ours or not. RC_NOTFOUND: no such group, an address of ours that leads to nobody, or (removing) no such member; RC_EXISTS; RC_LIMIT. */
MUST_USE enum rc group_member_set(struct store *s, struct str address, struct str member, bool add, struct why *why);

/* ---- an account's rules ---- */
struct account_rules {
	uint64_t account;
	bool forward_only;              /* forwards without keeping a copy */
	struct str *forwards; size_t forward_n;
	struct str *grants; size_t grant_n;      /* addresses, or "@domain", that it may send as besides its own and its aliases */
	uint32_t undo_ms;               /* a submitted message waits so long before it leaves; at most 600,000 */
	uint32_t max_messages, max_recipients, max_first; /* a day; 0 = the configuration's */
	uint32_t max_waiting;           /* recipients in the queue at a time; likewise */
};
/* Replaces all of it. RC_NOTFOUND: no such account, or a forward to an address of ours that leads to nobody; RC_SYNTAX: not an address, to itself,
 * forward_only without a forward. */
MUST_USE enum rc account_rules_set(struct store *s, const struct account_rules *r, struct why *why);

/* An address that goes (account, alias or group removed) takes with it what names it: memberships, forwards, grants, ownership of groups, catch-alls,
 * ways by sender. Whoever gets that address next inherits nothing. */


/* ---- ways out: per destination domain, or per sender ---- */
enum route_tls { ROUTE_TLS_DEFAULT, ROUTE_TLS_VERIFIED /* DANE or PKIX, or it waits */, ROUTE_TLS_ENCRYPTED, ROUTE_TLS_NONE /* never tried: a broken peer */, ROUTE_TLS_COUNT };
struct way {
	struct str key;                 /* "partner.example", ".partner.example" (and all below), "*", or a sender: "bob@example.org", "@example.org" */
	uint8_t tls;
	struct str host; uint16_t port; /* smarthost; host "" = by MX. Port 0 = 25; 465 = implicit TLS */
	struct str user; struct str password_sealed; /* role/way_seal.h; both "" = no AUTH. Never said without TLS: with ROUTE_TLS_NONE refused here */
	uint32_t max_connections;       /* 0 = the configuration's */
	struct rate rate;               /* of recipients that leave for each destination that this way is for; nothing said = the configuration's */
};
MUST_USE enum rc way_set(struct store *s, const struct way *w, struct why *why); /* new, or in place of the one of this key; RC_SYNTAX, RC_LIMIT */
MUST_USE enum rc way_remove(struct store *s, struct str key, struct why *why);

/* ---- reading (view) ---- */
struct view;
struct route_target {                  /* one place that a message for the address goes to */
	bool remote;
	uint64_t account, box;          /* local: whose, and the plus-address's folder (0 = INBOX) */
	uint8_t public_key[PUB_LEN]; uint64_t quota, used;
	bool disabled;                  /* only ever of the asked address's own account, which is then the one target; others are left out */
	struct str address;             /* remote: where to; local: the account's primary address */
	uint64_t forwarder;             /* remote or local: the account whose forwarding brought it here; 0 = none */
	struct str via;                 /* the address (of the forwarder or group) that led here last, for Delivered-To and SRS; "" = direct */
	struct str group_owner;         /* of the innermost group; "" = none */
};
struct route {
	struct route_target *targets; size_t n; /* each account and box once, each remote address once; those on the shortest way first */
	bool truncated;                 /* past ROUTE_TARGETS_MAX, or ROUTE_DEPTH_MAX, or a loop was cut: what was cut is in no target */
	uint8_t rights;                 /* the strictest enum group_rights on the way; GROUP_ANYONE without groups */
	uint64_t *may_write; size_t may_write_n; /* with GROUP_MEMBERS or GROUP_OWNERS: the accounts that may write to every such group on the way, ascending */
};
/* Everything that an address of ours leads to, in one snapshot. RC_DENIED: the domain is not ours; RC_NOTFOUND: nobody here.
 * - Exact address, then up to the first '+' (an account: into the folder of that name, if there is one), then the domain's catch-all.
 * - An account that only forwards keeps a copy after all when its forwards reach nobody; a group that reaches nobody goes to its owner. n can
 *   still be 0.
 * - Who forwards into a group writes to it in his own name: behind a forward a group's rights are judged for the forwarder, do not count in `rights`,
 *   and a group that he may not write to is cut. */
MUST_USE enum rc view_route(struct view *v, struct str address, struct arena *a, struct route *out, struct why *why);
MUST_USE enum rc view_groups(struct view *v, struct str after_address, size_t max, struct arena *a, struct group **out, size_t *out_n, struct why *why);
MUST_USE enum rc view_group(struct view *v, struct str address, struct arena *a, struct group *out, struct str **out_members, size_t *out_n, struct why *why);
MUST_USE enum rc view_rules(struct view *v, uint64_t account, struct arena *a, struct account_rules *out, struct why *why); /* none set: all zero, RC_OK */
MUST_USE enum rc view_ways(struct view *v, struct arena *a, struct way **out, size_t *out_n, struct why *why);
/* The addresses behind `after` ("" = from the first) in the directory's order, and whose they are: of one account, or of all accounts (0). */
struct alias { struct str address, account; /* its primary address: the same for that one */ };
MUST_USE enum rc view_addresses(struct view *v, uint64_t account, struct str after, size_t max, struct arena *a, struct alias **out, size_t *out_n, struct why *why);
/* May the account put this address into MAIL FROM or From? Its own or an alias (with any plus-tag), or granted (likewise). An address that is another's is
 * not one's own for its tag. RC_NOTFOUND: no such account; a disabled one may send as nobody. */
MUST_USE enum rc view_may_send(struct view *v, uint64_t account, struct str address, bool *out_yes, struct why *why);
