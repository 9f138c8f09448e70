#pragma once
#include "mail/mime.h"

enum { ATTACHMENTS_VERSION = 1 };
bool attach_is_attachment(const struct mime_part *p);
/* The file name that a part goes by, as UTF-8, appended to `out`; nothing where it has none. What is wrong with it is added to *defects. RC_NOMEM. */
MUST_USE enum rc attach_name(const struct mime_part *p, struct buf *out, uint32_t *defects);
/* Packs all attachments of the tree; MAIL_TYPE_MISMATCH and others are added to *defects. */
MUST_USE enum rc attach_format(const struct mime_tree *t, struct buf *out, uint32_t *defects);
