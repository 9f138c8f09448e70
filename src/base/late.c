#include "base/late.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
static bool closed;

void late_close(void) { __atomic_store_n(&closed, true, __ATOMIC_RELAXED); }

static const char *reason(void)
{
	const char *text = dlerror();
	return text ? text : "";
}

static enum rc load(const struct late_library *l, void *slots, struct why *why)
{
	if (__atomic_load_n(&closed, __ATOMIC_RELAXED))
		FAIL(why, RC_DENIED, "%s was not loaded before the sandbox", l->soname);
	void *library = dlopen(l->soname, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		FAIL(why, RC_NOTFOUND, "%s cannot be loaded: install the package %s (%.90s)", l->soname, l->package, reason());
	for (size_t i = 0; i < l->n; i++) {
		void *f = dlsym(library, l->names[i]);
		if (!f)
			FAIL(why, RC_NOTFOUND, "%s has no %s: install the package %s of this release", l->soname, l->names[i], l->package);
		memcpy((char *)slots + i * sizeof f, &f, sizeof f);
	}
	return RC_OK;
}

enum rc late_load(struct late_library *l, void *slots, struct why *why)
{
	(void)pthread_mutex_lock(&loading);
	enum rc rc = l->loaded ? RC_OK : load(l, slots, why);
	__atomic_store_n(&l->loaded, rc == RC_OK, __ATOMIC_RELEASE);
	(void)pthread_mutex_unlock(&loading);
	return rc;
}

bool late_ready(struct late_library *l, void *slots)
{
	return __builtin_expect(__atomic_load_n(&l->loaded, __ATOMIC_ACQUIRE), 1) || late_load(l, slots, NULL) == RC_OK;
}
