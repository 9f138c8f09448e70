#include "mail/icu.h"

#include "base/late.h"

static struct icu table;
static struct late_library library = LATE_LIBRARY("libicuuc.so." LATE_TEXT(U_ICU_VERSION_MAJOR_NUM), "libicu" LATE_TEXT(U_ICU_VERSION_MAJOR_NUM), ICU_SYMBOLS);

enum rc icu_load(struct why *why) { return late_load(&library, &table, why); }

const struct icu *icu(void) { return late_ready(&library, &table) ? &table : NULL; }
