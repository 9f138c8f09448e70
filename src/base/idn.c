#include "base/idn.h"

#include "base/late.h"
#include <idn2.h>
#include <stddef.h>

#define SYMBOLS(X) X(idn2_lookup_u8) X(idn2_free)

static struct { SYMBOLS(LATE_SLOT) } f;
static struct late_library library = LATE_LIBRARY("libidn2.so.0", "libidn2-0", SYMBOLS);

enum rc idn_load(struct why *why) { return late_load(&library, &f, why); }

bool idn_to_ascii(const char *utf8, char **out)
{
	uint8_t *made = NULL;
	if (!late_ready(&library, &f) || f.idn2_lookup_u8((const uint8_t *)utf8, &made, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	*out = (char *)made;
	return true;
}

void idn_alabels_free(char *a_labels)
{
	if (a_labels)
		f.idn2_free(a_labels);
}
