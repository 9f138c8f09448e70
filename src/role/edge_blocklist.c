#include "role/edge_blocklist.h"

#include "base/log.h"
#include "base/mem.h"
#include "dns/asker.h"

/* Invariants.
 * 1. A check is held by its session and by each fiber that still asks; whoever lets go last frees it. So a session never waits longer than its patience.
 * 2. Each fiber writes its own place only; the session reads places whose `done` is set.
 * 3. No answer, a refused answer and an answer outside 127.0.0.0/8 are never a listing (dnsbl.c). */

enum { ARENA_MAX = 256 << 10, ZONES = 2 * DNSBL_ZONES_MAX, QUESTIONS_EACH = 3 /* the address, the address that nobody lists, and the reason */, ZONE_MAX = 180 };

struct place { struct blocklist_check *c; struct str zone; bool done; struct dnsbl_listing listing; };
struct blocklist_check {
	struct role_env *e;
	unsigned holders, waiting;
	struct waitlist over;
	struct dns_budget budget;      /* in front of the cache, which is free */
	struct dns dns;
	struct arena a;
	uint8_t ip[16];
	struct str address;            /* 4 or 16 octets of it */
	const char *ip_text;
	char sid[9];
	struct place place[ZONES]; size_t places, refuse;
	bool waited;
	struct blocklist_found found;
};

static void let_go(struct blocklist_check *c)
{
	if (--c->holders)
		return;
	arena_done(&c->a);
	mem_free(c);
}

static void ask_fiber(void *arg)
{
	struct place *p = arg;
	struct blocklist_check *c = p->c;
	dnsbl_ask(&c->dns, &p->zone, 1, c->address, &c->a, &p->listing);
	p->done = true;
	if (--c->waiting == 0)
		wake_all(&c->over);
	let_go(c);
}

static void add_zones(struct blocklist_check *c, struct str list)
{
	struct str zone[DNSBL_ZONES_MAX];
	size_t n = str_words(list, zone, DNSBL_ZONES_MAX);
	for (size_t i = 0; i < n; i++)
		c->place[c->places++] = (struct place){ .c = c, .zone = arena_str(&c->a, zone[i]) };
}

static enum rc prepare(struct blocklist_check *c, const char *ip, const char *sid)
{
	arena_init(&c->a, ARENA_MAX);
	c->ip_text = arena_str(&c->a, str_z(ip)).p;
	(void)snprintf(c->sid, sizeof c->sid, "%s", sid);
	c->address = net_is_mapped(c->ip) ? str_of(c->ip + 12, 4) : str_of(c->ip, 16);
	add_zones(c, c->e->config->blocklists_refuse);
	c->refuse = c->places;
	add_zones(c, c->e->config->blocklists_note);
	c->budget.left = (unsigned)c->places * QUESTIONS_EACH;
	c->dns = dns_budget_dns(&c->budget);
	return c->a.full ? RC_NOMEM : RC_OK;
}

enum rc blocklist_new(struct auth_house *h, struct role_env *e, const char *ip, const char *sid, struct blocklist_check **out)
{
	uint8_t addr[16];
	*out = NULL;
	if ((!e->config->blocklists_refuse.n && !e->config->blocklists_note.n) || !net_addr16(ip, addr) || auth_house_trusts(h, addr) ||
	    !dnsbl_asks_about(net_is_mapped(addr) ? str_of(addr + 12, 4) : str_of(addr, 16)))
		return RC_OK;
	struct blocklist_check *c = mem_new(sizeof *c);
	if (!c)
		return RC_NOMEM;
	c->e = e;
	c->holders = 1;
	c->budget.behind = auth_house_dns(h);
	memcpy(c->ip, addr, sizeof c->ip);
	enum rc rc = prepare(c, ip, sid);
	for (size_t i = 0; rc == RC_OK && i < c->places; i++) {
		if (fiber_start(e->loop, ask_fiber, &c->place[i], NULL) != RC_OK)
			continue; /* not asked is not listed */
		c->holders++;
		c->waiting++;
	}
	if (rc == RC_OK)
		*out = c;
	else
		let_go(c);
	return rc;
}

static void settle(struct blocklist_check *c, const struct place *p, bool refuses)
{
	const struct dnsbl_listing *l = &p->listing;
	bool listed = p->done && l->listed;
	count_add(c->e, !p->done || l->refused ? M_BLOCKLIST_SILENT : !listed ? M_BLOCKLIST_CLEAN : refuses ? M_BLOCKLIST_REFUSED : M_BLOCKLIST_NOTED, 1);
	if (!listed)
		return;
	char code[16];
	(void)snprintf(code, sizeof code, "%u.%u.%u.%u", l->code[0], l->code[1], l->code[2], l->code[3]);
	log_event(LEVEL_INFO, EV_SMTP_BLOCKLIST, F("sid", c->sid), F("ip", c->ip_text), F("zone", p->zone), F("code", code), F("reason", l->reason),
	          F("action", refuses ? "refused" : "noted"));
	c->found.listing[c->found.n++] = *l;
	c->found.refuse += refuses;
}

const struct blocklist_found *blocklist_wait(struct blocklist_check *c)
{
	if (c->waited)
		return &c->found;
	int64_t deadline = loop_now(c->e->loop) + (int64_t)c->e->config->blocklists_patience;
	while (c->waiting && wait_on(&c->over, deadline) == RC_OK)
		;
	c->waited = true;
	for (size_t i = 0; i < c->places; i++)
		settle(c, &c->place[i], i < c->refuse);
	return &c->found;
}

void blocklist_drop(struct blocklist_check **c)
{
	if (*c)
		let_go(*c);
	*c = NULL;
}

static enum rc check_list(const char *key, struct str list, struct why *why)
{
	struct str zone[DNSBL_ZONES_MAX + 1];
	size_t n = str_words(list, zone, DNSBL_ZONES_MAX + 1);
	if (n > DNSBL_ZONES_MAX)
		FAIL(why, RC_LIMIT, "%s names more than %d lists", key, DNSBL_ZONES_MAX);
	for (size_t i = 0; i < n; i++)
		if (zone[i].n > ZONE_MAX || !dns_name_ok(zone[i]) || str_find(zone[i], '.') == zone[i].n)
			FAIL(why, RC_SYNTAX, "%s: \"%.*s\" is no zone of a blocklist, such as bl.example.org", key, PSTR(str_head(zone[i], 60)));
	return RC_OK;
}

enum rc blocklist_rules_check(const struct config *c, struct why *why)
{
	TRY(check_list("blocklists.refuse", c->blocklists_refuse, why));
	return check_list("blocklists.note", c->blocklists_note, why);
}
