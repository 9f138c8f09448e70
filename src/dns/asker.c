#include "dns/asker.h"

#include "dns/rdata.h"
#include <stdio.h>

static void fail(struct dns_answer *out, enum dns_status status, const char *why)
{
	*out = (struct dns_answer){ .status = status, .canonical = STR("") };
	snprintf(out->why, sizeof out->why, "%.119s", why);
}

static void finish(enum rc rc, const struct why *why, const struct msg_RESOLVE_answer *answer, struct ipc_reply *reply, struct arena *a, struct dns_answer *out)
{
	if (rc != RC_OK) {
		fail(out, DNS_TEMPFAIL, rc == RC_BUSY ? "the resolver has too many questions under way" : rc == RC_LATE ? "the resolver did not answer" :
		     rc == RC_CLOSED ? "the resolver went away" : why->text[0] ? why->text : rc_name(rc));
		out->ours = true;
		return;
	}
	struct str copy = arena_str(a, answer->answer); /* the reply goes back to its channel */
	ipc_reply_done(reply);
	if (a->full || dns_unpack(copy, a, out, NULL) != RC_OK)
		fail(out, DNS_TEMPFAIL, a->full ? "no memory for the answer" : "the resolver's answer is malformed");
	out->ours |= a->full;
}

static void ask_with(bool at_peer, void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	char folded[256];
	size_t n;
	struct msg_RESOLVE_answer answer;
	struct ipc_reply reply = { 0 };
	struct why why = { 0 };
	if (!dns_fold(name, folded, &n)) {
		fail(out, DNS_BADNAME, "not a name that can be asked");
		return;
	}
	struct msg_RESOLVE q = { .type = type, .name = str_of(folded, n) };
	enum rc rc = at_peer ? ipc_ask(house, MSG_RESOLVE, &q, &answer, &reply, &why)
	                     : ipc_ask_role(house, ROLE_RESOLVER, MSG_RESOLVE, &q, &answer, &reply, true, &why);
	finish(rc, &why, &answer, &reply, a, out);
}

static void ask_role(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out) { ask_with(false, house, type, name, a, out); }
static void ask_peer(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out) { ask_with(true, house, type, name, a, out); }

struct dns dns_asker(struct ipc_node *node) { return (struct dns){ .house = node, .ask = ask_role }; }
struct dns dns_asker_at(struct ipc_peer *peer) { return (struct dns){ .house = peer, .ask = ask_peer }; }

static void ask_budget(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	struct dns_budget *b = house;
	if (!b->left || (b->until_ms && b->now_ms() >= b->until_ms)) {
		fail(out, DNS_TEMPFAIL, b->left ? "the DNS has taken too long for this session" : "this session has asked the DNS too much");
		return;
	}
	b->left--; /* before the fiber waits: several of one session may ask at once */
	dns_ask(&b->behind, type, name, a, out);
	if (out->cached || out->status == DNS_BADNAME)
		b->left++;
}

struct dns dns_budget_dns(struct dns_budget *b) { return (struct dns){ .house = b, .ask = ask_budget }; }
