#pragma once
#include "ipc/ipc.h"

/* The tables behind the codec, and encoding in pieces: long runs are not copied but referred to. For channel.c. */
enum { IPC_RUNS_MAX = 12, IPC_INLINE_RUN = 512 };
struct ipc_pieces {
	struct buf small;                                   /* integers, lengths, short runs */
	struct { size_t at; struct str run; } runs[IPC_RUNS_MAX]; /* `run` stands after the first `at` octets of `small` */
	size_t run_n, total;
};
MUST_USE enum rc msg_pieces(enum msg_type t, bool answer, const void *msg, struct ipc_pieces *out);
bool msg_is_ask(enum msg_type t);
bool msg_is_secret(enum msg_type t, bool answer);           /* has a SECRET field */
unsigned msg_patience(enum msg_type t);                     /* ms */
uint64_t msg_payload_max(enum msg_type t, bool answer);     /* octets that a frame of it may hold */
