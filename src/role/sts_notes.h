#pragma once
#include "ipc/ipc.h"
#include "role/sts_cache.h"

/* sts_cache's notes in the store, over IPC: `node` is the house of the three. */
enum rc sts_note_get(void *node, struct str key, struct buf *out, struct why *why);
enum rc sts_note_put(void *node, struct str key, struct str value, struct why *why);
enum rc sts_note_list(void *node, struct str prefix, struct str after, struct buf *out, bool *out_more, struct why *why);
