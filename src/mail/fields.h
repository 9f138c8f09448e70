#pragma once
#include "mail/text.h"

enum { FIELDS_VERSION = 1 };
/* Packs what mail_fields_parse() reads. `date_day` and the rest come from the root's header. */
MUST_USE enum rc fields_format(const struct mime_head *h, struct text_reader *r, int64_t date_ms, int32_t date_day, struct buf *out);
