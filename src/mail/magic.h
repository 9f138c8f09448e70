#pragma once
#include "base/str.h"

/* What a file is, by its first octets (a few KiB are enough): "pdf", "zip", "docx", "exe", ... or "" when nothing is recognized. */
struct str magic_type(struct str head);
/* What a name's ending or a declared MIME type promises, in the same words; "" = no promise that could be broken. */
struct str magic_promise(struct str name, struct str mime_type);
/* Do the octets break the promise? Containers count as what is built on them (an unnamed zip may be a docx). */
bool magic_breaks(struct str promise, struct str found, bool empty);
