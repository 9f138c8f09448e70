#pragma once
#include "store/verb.h"

/* Folders, for box.c and directory.c. */
struct folder_name { uint64_t id; struct str name; struct folder_name *next; };
MUST_USE enum rc tx_folders(struct tx *t, struct tx_account *a, struct folder_name **out, size_t *out_n);
/* Whatever folders there are: a subscription is to a name. */
MUST_USE enum rc tx_subscribe(struct tx *t, struct tx_account *a, struct str canonical);
/* Removes an empty folder's rows. */
MUST_USE enum rc tx_box_drop(struct tx *t, struct tx_box *b, struct why *why);
