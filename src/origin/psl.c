#include "origin/psl.h"

#include "origin/origin.h"
#include <idn2.h>
#include <libpsl.h>
#include <stdatomic.h>

/* The one piece of state in this folder: a table of constants that comes from a file. Set once, before there are threads. */
static _Atomic(psl_ctx_t *) loaded;

void psl_setup(void)
{
	if (!atomic_load(&loaded))
		atomic_store(&loaded, psl_latest(NULL));
}

void psl_done(void) { psl_free(atomic_exchange(&loaded, NULL)); }

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
	if (idn2_to_ascii_8z(s.p, &labels, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) != IDN2_OK)
		return STR("");
	s = arena_str(a, str_z(labels));
	idn2_free(labels);
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
	const psl_ctx_t *list = atomic_load(&loaded);
	const char *found = psl_registrable_domain(list ? list : psl_builtin(), name.p);
	return str_z(found);
}
