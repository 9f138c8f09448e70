#include "role/access.h"

#include "base/mem.h"
#include "role/wire.h"

/* Who is logged in to an account, so that nobody stays who may no longer be there: the account was disabled or removed. */
struct guest { struct guest *next; struct fiber *fiber; };

static struct access_house *house_of(struct role_env *e) { return e->state; }

enum rc guests_enter(struct owner *o)
{
	struct guest *g = mem_new(sizeof *g);
	if (!g)
		return RC_NOMEM;
	*g = (struct guest){ o->guests, fiber_self() };
	o->guests = g;
	return RC_OK;
}

void guests_leave(struct owner *o)
{
	for (struct guest **at = &o->guests, *g; (g = *at); at = &g->next)
		if (g->fiber == fiber_self()) {
			*at = g->next;
			mem_free(g);
			return;
		}
}

static enum rc ask_account(struct role_env *e, uint64_t account, bool *out_welcome)
{
	struct msg_ACCOUNT_GET_answer a;
	struct ipc_reply reply = { 0 };
	struct why why = { 0 };
	struct account acct;
	AUTO(arena_done) struct arena arena = { .max = 16384 };
	*out_welcome = false;
	enum rc rc = ipc_ask_role(e->node, ROLE_READER, MSG_ACCOUNT_GET, &(struct msg_ACCOUNT_GET){ .account = account }, &a, &reply, true, &why);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	TRY(rc);
	struct cursor c = cursor_of(a.packed);
	rc = wire_get_account(&c, &arena, &acct);
	*out_welcome = rc == RC_OK && !acct.disabled;
	ipc_reply_done(&reply);
	return rc;
}

struct check { struct role_env *e; uint64_t account; };

static void check_fiber(void *arg)
{
	struct check *c = arg;
	bool welcome = true;
	enum rc rc = ask_account(c->e, c->account, &welcome);
	struct owner *o = c->e->state ? map_get_u64(&house_of(c->e)->owners, c->account) : NULL;
	for (const struct guest *g = rc == RC_OK && !welcome && o ? o->guests : NULL; g; g = g->next)
		fiber_cancel(g->fiber);
	mem_free(c);
}

void guests_check(struct role_env *e, uint64_t account)
{
	if (!e->state || !map_get_u64(&house_of(e)->owners, account))
		return;
	struct check *c = mem_new(sizeof *c);
	if (!c)
		return;
	*c = (struct check){ e, account };
	if (fiber_start(e->loop, check_fiber, c, NULL) != RC_OK)
		mem_free(c);
}
