#pragma once
#include "role/role.h"
#include "store/store.h"

/* The store's side of the queue over IPC: what `relay` may ask, and what it is told. */
struct store *role_store_of(void *env); /* role_store.c */
void store_on_queue_change(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
void store_on_queue_forget(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
void store_on_note_put(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
/* Tells QUEUE_NEWS to `relay` from now on: once after a commit, however many letters came with it. `arg` is the struct queue_news. */
struct queue_news { struct role_env *e; uint64_t letter; bool telling; };
void store_queue_news(void *arg, uint64_t letter);
