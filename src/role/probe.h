#pragma once
#include "base/buf.h"
#include "base/why.h"

/* `letterlock probe mime`: how a message is understood, as one JSON object or as text. */
MUST_USE enum rc probe_mime(struct str name, struct str message, bool json, struct buf *out, struct why *why);
