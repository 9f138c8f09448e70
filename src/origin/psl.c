#include "origin/psl.h"

#include "base/idn.h"
#include "base/late.h"
#include "origin/origin.h"
#include <libpsl.h>
#include <stdatomic.h>

/* The one piece of state in this folder: a table of constants that comes from a file. Set once, before there are threads. */
static _Atomic(psl_ctx_t *) newest;

#define SYMBOLS(X) X(psl_builtin) X(psl_free) X(psl_latest) X(psl_registrable_domain)
static struct { SYMBOLS(LATE_SLOT) } f;
static struct late_library library = LATE_LIBRARY("libpsl.so.5", "libpsl5", SYMBOLS);

enum rc psl_setup(struct why *why)
{
	TRY(late_load(&library, &f, why));
	if (!atomic_load(&newest))
		atomic_store(&newest, f.psl_latest(NULL));
	return RC_OK;
}

void psl_done(void)
{
	psl_ctx_t *list = atomic_exchange(&newest, NULL);
	if (list)
		f.psl_free(list);
}

/* Lower-case A-labels with a NUL behind, or "" when it is no name. */
static struct str folded(struct str domain, struct arena *a)
{
	struct str s = arena_str(a, domain);
	bool ascii = true;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\0')
			return STR("");
		ascii = ascii && (unsigned char)s.p[i] < 0x80;
		((char *)s.p)[i] = ascii_lower(s.p[i]);
	}
	if (ascii)
		return s;
	char *labels = NULL;
	if (!idn_to_ascii(s.p, &labels))
		return STR("");
	s = arena_str(a, str_z(labels));
	idn_alabels_free(labels);
	return s;
}

struct str psl_registrable(struct str domain, struct arena *a)
{
	if (domain.n && domain.p[domain.n - 1] == '.')
		domain.n--;
	if (domain.n > 1000)
		return STR("");
	struct str name = folded(domain, a);
	/* One dot at the end has gone already. */
	if (!dns_name_ok(name) || name.p[name.n - 1] == '.')
		return STR("");
	if (!late_ready(&library, &f))
		return STR("");
	const psl_ctx_t *list = atomic_load(&newest);
	const char *found = f.psl_registrable_domain(list ? list : f.psl_builtin(), name.p);
	return str_z(found);
}
