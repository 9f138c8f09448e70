#pragma once
#include "mail/mime.h"

/* The packed part table: u8 version, u32 count, then per part in preorder: u8 kind, u32 next sibling (0 = none), u32 header offset, header
 * length, body length, lines. The body follows its header; the first child of a part that has any is the next one. */
enum { PARTS_VERSION = 1, PARTS_HEAD = 5, PARTS_EACH = 21 };
void parts_format(const struct mime_tree *t, struct buf *out);
