#include "origin/dkim_thread.h"

#include "base/mem.h"
#include "origin/dkim_key.h"
#include <threads.h>

static once_flag once = ONCE_FLAG_INIT;
static tss_t at_exit;
static bool have_key;
static _Thread_local struct dkim_thread *mine;

static void drop(void *arg)
{
	struct dkim_thread *t = arg;
	if (!t)
		return;
	dkim_key_forget(t);
	while (t->spares)
		EVP_MD_CTX_free(t->spare[--t->spares]);
	EVP_MD_free(t->sha256);
	EVP_MD_free(t->sha1);
	mem_free(t);
	mine = NULL;
}

static void make_key(void) { have_key = tss_create(&at_exit, drop) == thrd_success; }

struct dkim_thread *dkim_thread(void)
{
	if (mine)
		return mine;
	struct dkim_thread *t = mem_new(sizeof *t);
	if (!t)
		return NULL;
	dkim_key_setup(t);
	t->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	call_once(&once, make_key);
	if (!t->sha256 || !have_key || tss_set(at_exit, t) != thrd_success) {
		drop(t);
		return NULL;
	}
	return mine = t;
}

void dkim_thread_done(void)
{
	if (mine)
		(void)tss_set(at_exit, NULL);
	drop(mine);
}
