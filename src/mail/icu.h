#pragma once
#include "base/late.h"
#include <unicode/uchar.h>
#include <unicode/ucnv.h>
#include <unicode/udata.h>
#include <unicode/usprep.h>
#include <unicode/ustring.h>

/* What we use of ICU. It is loaded by whoever asks first; a role that may need it asks before its sandbox (icu_load), and does not start without.
 * icu() answers NULL when it cannot be loaded: then a text stays as it is. Thread-safe. */
#define ICU_SYMBOLS(X) X(u_foldCase) X(u_strFromUTF8) X(u_strToUTF8) X(ucnv_close) X(ucnv_convertEx) X(ucnv_countAliases) X(ucnv_open) X(udata_setFileAccess) \
	X(usprep_close) X(usprep_openByType) X(usprep_prepare)
struct icu { ICU_SYMBOLS(LATE_SLOT) };
const struct icu *icu(void);
MUST_USE enum rc icu_load(struct why *why);
