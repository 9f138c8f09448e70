#pragma once
#include "ipc/ipc.h"
#include "store/store.h"

/* The role `store`: groups, rules of accounts, ways out, and what these handlers share with role_store.c. */
struct store *role_store_of(void *env);
/* Answers a verb that changed the directory. Whoever caches addresses hears of it first: of that account, or of anything (0). */
void role_store_answer_directory(void *env, struct ipc_call *call, enum rc rc, const struct why *why, uint64_t account);

ipc_handler store_on_group_add, store_on_group_set, store_on_group_remove, store_on_group_member, store_on_rules_set, store_on_way_set, store_on_way_remove;
