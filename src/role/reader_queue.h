#pragma once
#include "role/role.h"
#include "store/view.h"

/* What a reader answers about the queue. */
struct view *role_view_of(void *env); /* role_reader.c */
void reader_on_queue_scan(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
void reader_on_letter(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
void reader_on_notes(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
