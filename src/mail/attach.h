#pragma once
#include "mail/mime.h"

enum { ATTACHMENTS_VERSION = 1 };
bool attach_is_attachment(const struct mime_part *p);
/* Packs all attachments of the tree; MAIL_TYPE_MISMATCH and others are added to *defects. */
MUST_USE enum rc attach_format(const struct mime_tree *t, struct buf *out, uint32_t *defects);
